//! The state of the map: every environment as a line that leaves its base.

use crate::model::environment::Environment;
use crate::model::id::EnvironmentId;
use crate::model::screen::Size;

use super::super::action::Action;
use super::{App, Place, View};

#[derive(Debug)]
pub(crate) struct MapView {
    pub(crate) ticket: u64,
    pub(crate) place: Place,
    /// What the row is of: it stays chosen however the others come and go.
    chosen: Option<EnvironmentId>,
}

impl MapView {
    pub(super) fn is_at(&self, id: &EnvironmentId) -> bool {
        self.chosen.as_ref() == Some(id)
    }

    /// Brings the chosen environment into sight, or what stands where it was.
    pub(super) fn show(&mut self, environments: &[Environment], size: Size) {
        let is_chosen = |found: &Environment| Some(&found.id) == self.chosen.as_ref();
        if let Some(row) = environments.iter().position(is_chosen) {
            self.place.row = row;
        }
        self.place.show(map_page(size), environments.len());
        self.chosen = environments.get(self.place.row).map(|found| found.id.clone());
    }
}

impl App {
    pub(super) fn open_map(&mut self) {
        let ticket = self.ticket();
        let place = Place { row: self.selected_index(), top: 0 };
        let chosen = self.selected.clone();
        self.views.push(View::Map(MapView { ticket, place, chosen }));
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
            action => {
                view.place.act(action, map_page(size), count);
                view.chosen = self.environments.get(view.place.row).map(|found| found.id.clone());
            }
        }
    }
}

/// Environments shown at once: what is left of the height by the details below them.
pub(crate) fn map_page(size: Size) -> usize {
    let body = size.rows.saturating_sub(super::super::view::LIST_CHROME);
    usize::from(body - super::super::view::map_details(body)).max(1)
}
