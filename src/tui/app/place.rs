//! Where a reader is in a list or a text: the row chosen, and the first row shown.

use super::super::action::Action;
use super::scrolled;

/// Rows kept above a place that was gone to.
const ABOVE: usize = 3;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) row: usize,
    pub(crate) top: usize,
}

impl Place {
    /// Moves in `count` rows of which `page` are shown at once.
    pub(crate) fn act(&mut self, action: Action, page: usize, count: usize) {
        self.row = scrolled(self.row, action, page, count);
        self.show(page, count);
    }

    /// Goes to a row and shows a little of what is above it.
    pub(crate) fn go(&mut self, row: usize, page: usize, count: usize) {
        self.row = row.min(count.saturating_sub(1));
        if !(self.top..self.top + page).contains(&self.row) || self.row < self.top + ABOVE {
            self.top = self.row.saturating_sub(ABOVE);
        }
        self.show(page, count);
    }

    /// Brings the row into sight with as little movement as can be.
    pub(crate) fn show(&mut self, page: usize, count: usize) {
        self.row = self.row.min(count.saturating_sub(1));
        let highest = (self.row + 1).saturating_sub(page.max(1));
        self.top = self.top.clamp(highest, self.row).min(count.saturating_sub(page).max(highest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_row_stays_in_sight_and_the_page_moves_as_little_as_it_can() {
        let mut place = Place::default();
        for _ in 0..12 {
            place.act(Action::Down, 10, 100);
        }
        assert_eq!(place, Place { row: 12, top: 3 });
        place.act(Action::Up, 10, 100);
        assert_eq!(place, Place { row: 11, top: 3 });
        place.act(Action::Last, 10, 100);
        assert_eq!(place, Place { row: 99, top: 90 });
        place.go(50, 10, 100);
        assert_eq!(place, Place { row: 50, top: 47 });
        place.go(5, 10, 4);
        assert_eq!(place, Place { row: 3, top: 0 });
    }
}
