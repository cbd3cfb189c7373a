//! Where a reader goes in a diff: through the list of files, along long lines, from match to match.

use super::super::scrolled;
use super::super::search::Typed;
use super::{DiffRow, DiffView, SIDEWAYS, page};
use crate::model::input::Input;
use crate::model::screen::Size;
use crate::tui::action::Action;

impl DiffView {
    /// Moves in the list of files; `false` when that is not what the action does.
    pub(super) fn act_on_list(&mut self, action: Action, page: usize) -> bool {
        match action {
            Action::OtherPanel | Action::Fold => self.listing = false,
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

    /// Goes to the next match after the row, or the one before it, around the end.
    pub(super) fn find(&mut self, page: usize, forward: bool) {
        let Some(needle) = self.search.needle().map(str::to_lowercase) else { return };
        let count = self.rows.len();
        let place = |offset: usize| {
            let offset = if forward { offset } else { count - offset };
            (self.place.row + offset) % count.max(1)
        };
        let found = (1..=count).map(place).find(|index| self.rows[*index].contains(&needle));
        if let Some(index) = found {
            self.place.go(index, page, count);
        }
    }

    pub(super) fn count_matches(&mut self) {
        let needle = self.search.needle().map(str::to_lowercase);
        self.matches =
            needle.map_or(0, |needle| self.rows.iter().filter(|row| row.contains(&needle)).count());
    }

    /// Gives an input to the search while it is typed; `false` when none is.
    pub(in super::super) fn search_input(&mut self, input: &Input, size: Size) -> bool {
        let typed = self.search.take(input);
        if typed == Typed::Entered {
            self.count_matches();
            self.find(page(size), true);
        }
        typed != Typed::Other
    }

    /// Closes an open search; `false` when there is none.
    pub(in super::super) fn end_search(&mut self) -> bool {
        self.search.end()
    }
}
