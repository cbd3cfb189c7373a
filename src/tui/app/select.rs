//! Selecting with the mouse: a drag takes cells, a double click a word, a triple click a line.
//! What is selected when the button is let go is copied.

use ratatui::layout::Position;

use crate::model::id::Timestamp;
use crate::model::input::{Mouse, MouseButton, MouseKind};
use crate::model::lines::Spot;

use super::super::layout::Tile;
use super::super::panes::PaneKey;
use super::super::view;
use super::App;
use super::copy::{Hand, Unit};

/// Presses of one place within this long are one click more, in milliseconds, as most desktops
/// have it.
const MULTIPLE: u64 = 400;

/// The left button was pressed on a session.
#[derive(Debug)]
pub(super) struct Press {
    pane: PaneKey,
    spot: Spot,
    at: Timestamp,
    clicks: u8,
    /// Not let go yet.
    down: bool,
}

impl App {
    /// Takes a move or the end of what was begun on a session; `false` when nothing was.
    pub(super) fn goes_on_selecting(&mut self, mouse: Mouse) -> bool {
        if mouse.kind == MouseKind::Move {
            // It was let go where the terminal did not see it.
            self.press.iter_mut().for_each(|press| press.down = false);
        }
        let down = self.press.as_ref().is_some_and(|press| press.down);
        if !down || mouse.button != MouseButton::Left {
            return false;
        }
        match mouse.kind {
            MouseKind::Drag => self.drag_to(Position::new(mouse.column, mouse.row)),
            MouseKind::Release => {
                if let Some(press) = &mut self.press {
                    press.down = false;
                }
                if self.copy.as_ref().is_some_and(|copy| copy.selected().is_some()) {
                    self.copy_selected();
                }
            }
            _ => return false,
        }
        true
    }

    /// The left button was pressed on a session that is now the chosen one.
    pub(super) fn press_on(&mut self, tile: &Tile, pane: PaneKey, at: Position) {
        self.copied = None;
        self.copy.take_if(|copy| copy.hand == Hand::Mouse || copy.pane != pane);
        self.dirty = true;
        let Some(spot) = self.spot_at(tile, &pane, at).filter(|_| tile.inner.contains(at)) else {
            self.press = None;
            return;
        };
        let again = self.press.as_ref().filter(|press| {
            press.pane == pane && press.spot == spot && self.now.0 < press.at.0 + MULTIPLE
        });
        let clicks = again.map_or(1, |press| press.clicks % 3 + 1);
        self.press = Some(Press { pane, spot, at: self.now, clicks, down: true });
        let unit = match clicks {
            1 => return self.copy.iter_mut().for_each(|copy| copy.begin_at(spot)),
            2 => Unit::Word,
            _ => Unit::Line,
        };
        self.select_from(spot, unit);
    }

    fn select_from(&mut self, spot: Spot, unit: Unit) {
        if self.copy.is_none() {
            self.enter_copy(Hand::Mouse);
        }
        if let Some(copy) = &mut self.copy {
            copy.select(spot, unit);
        }
    }

    /// Beyond the upper and lower edge each move shows a line more.
    fn drag_to(&mut self, at: Position) {
        let Some((pane, begun)) = self.press.as_ref().map(|it| (it.pane.clone(), it.spot)) else {
            return;
        };
        let Some(tile) =
            self.selected_tile().filter(|_| self.selected_pane() == Some(pane.clone()))
        else {
            return;
        };
        let beyond = at.y < tile.inner.y || at.y >= tile.inner.bottom();
        let moved = beyond || self.spot_at(&tile, &pane, at).is_some_and(|spot| spot != begun);
        if self.copy.as_ref().is_none_or(|copy| copy.selected().is_none()) {
            if !moved {
                return;
            }
            self.select_from(begun, Unit::Cell);
        }
        let inner = tile.inner;
        if let Some(copy) = &mut self.copy {
            if at.y < inner.y {
                copy.scroll_by(-1, inner.height);
            } else if at.y >= inner.bottom() {
                copy.scroll_by(1, inner.height);
            }
        }
        let spot = self.spot_at(&tile, &pane, at);
        if let (Some(copy), Some(spot)) = (&mut self.copy, spot) {
            copy.go_to(spot);
        }
        self.dirty = true;
    }

    /// The cell of a session's lines that is shown nearest to a place.
    pub(super) fn spot_at(&self, tile: &Tile, pane: &PaneKey, at: Position) -> Option<Spot> {
        let inner = tile.inner;
        let x = at.x.clamp(inner.x, inner.right().saturating_sub(1).max(inner.x)) - inner.x;
        let y = at.y.clamp(inner.y, inner.bottom().saturating_sub(1).max(inner.y)) - inner.y;
        let shown = self.panes.get(pane)?;
        let held = self.keyboard.as_ref() == Some(pane);
        let (left, top) = match (&self.copy, &shown.scroll) {
            (Some(copy), _) if copy.pane == *pane => (copy.left, copy.top),
            (_, Some(scroll)) => (0, scroll.top),
            _ => {
                let (left, row) = view::crop(&shown.screen, inner, held);
                (left, shown.screen.first_line + u32::from(row))
            }
        };
        Some(Spot { line: top + u32::from(y), column: left + x })
    }
}
