//! The state of the map: every environment as a line that leaves its base.

use crate::model::screen::Size;

use super::super::action::Action;
use super::{App, Place, View};

#[derive(Debug)]
pub(crate) struct MapView {
    pub(crate) ticket: u64,
    pub(crate) place: Place,
}

impl App {
    pub(super) fn open_map(&mut self) {
        let ticket = self.ticket();
        let place = Place { row: self.selected_index(), top: 0 };
        self.views.push(View::Map(MapView { ticket, place }));
    }

    pub(super) fn act_on_map(&mut self, action: Action) {
        let (size, count) = (self.size, self.environments.len());
        let Some(View::Map(view)) = self.views.last_mut() else { return };
        let row = view.place.row.min(count.saturating_sub(1));
        match action {
            Action::Open => {
                self.views.pop();
                self.select(row);
            }
            Action::Mark => {
                if let Some(id) = self.environments.get(row).map(|found| found.id.clone()) {
                    self.mark(id);
                }
            }
            Action::Compare => {
                self.select(row);
                self.compare();
            }
            action => view.place.act(action, map_page(size), count),
        }
    }
}

/// Environments shown at once: what is left of the height by the details below them.
pub(crate) fn map_page(size: Size) -> usize {
    let body = size.rows.saturating_sub(super::super::view::LIST_CHROME);
    usize::from(body - super::super::view::map_details(body)).max(1)
}
