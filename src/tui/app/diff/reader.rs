//! Where a reader goes in a diff: through the list of files, along long lines.

use super::super::scrolled;
use super::super::search::Search;
use super::{DiffRow, DiffView, SIDEWAYS};
use crate::tui::action::Action;

impl DiffView {
    /// Moves in the list of files; `false` when that is not what the action does.
    pub(super) fn act_on_list(&mut self, action: Action, page: usize) -> bool {
        match action {
            Action::OtherPanel | Action::Fold => self.listing = false,
            // In a list one looks for files.
            Action::Search => self.filter = Search::begin(),
            Action::Down
            | Action::Up
            | Action::First
            | Action::Last
            | Action::HalfPageDown
            | Action::HalfPageUp
            | Action::PageDown
            | Action::PageUp => {
                let file = scrolled(self.file, action, page, self.order.len());
                if file != self.file {
                    self.choose(file);
                }
            }
            _ => return false,
        }
        true
    }

    /// Goes back from the list to the text; `false` when it is there.
    pub(in super::super) fn end_listing(&mut self) -> bool {
        std::mem::take(&mut self.listing)
    }

    /// Shows more of long lines, while there is more of one on the screen.
    pub(super) fn scroll_right(&mut self, page: usize) {
        let shown = self.rows.iter().skip(self.place.top).take(page);
        let mut texts = shown.flat_map(DiffRow::texts).flatten();
        let reach = self.left + SIDEWAYS;
        if texts.any(|text| text.chars().nth(reach).is_some()) {
            self.left = reach;
        }
    }
}
