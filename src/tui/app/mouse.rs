//! The mouse: a click focuses, with Ctrl it asks where a link leads, a drag selects, the wheel
//! scrolls or goes to the program that asked for it.

use ratatui::layout::Position;

use crate::model::input::{Input, Modifiers, Mouse, MouseButton, MouseKind};

use super::super::action::Action;
use super::super::layout::Tile;
use super::super::panes::PaneKey;
use super::super::view;
use super::App;

/// Lines a turn of the wheel moves, as terminals have it.
const WHEEL_LINES: i64 = 3;

impl App {
    pub(super) fn take_mouse(&mut self, mouse: Mouse) {
        let wheel = match mouse.kind {
            MouseKind::ScrollUp => Some(-WHEEL_LINES),
            MouseKind::ScrollDown => Some(WHEEL_LINES),
            _ => None,
        };
        if self.overlay.is_some() {
            return;
        }
        if !self.views.is_empty() {
            let place = Position::new(mouse.column, mouse.row);
            let pressed = matches!(mouse.kind, MouseKind::Press | MouseKind::Drag)
                && mouse.button == MouseButton::Left;
            if pressed && self.scrub_to(place) {
                return;
            }
            if let Some(lines) = wheel {
                let on_line = self.is_on_timeline(place);
                let action = match (lines < 0, on_line) {
                    (true, false) => Action::Up,
                    (false, false) => Action::Down,
                    (true, true) => Action::Left,
                    (false, true) => Action::Right,
                };
                if on_line {
                    return self.act(action);
                }
                (0..WHEEL_LINES).for_each(|_| self.act(action));
            }
            return;
        }
        if self.goes_on_selecting(mouse) {
            return;
        }
        let at = Position::new(mouse.column, mouse.row);
        let tile = self.layout().tiles.into_iter().find(|tile| tile.area.contains(at));
        let pane = tile.and_then(|tile| {
            self.environments.get(tile.index).map(|found| (tile, self.shown_session(found)))
        });
        if let Some((tile, pane)) = &pane
            && self.goes_to_program(tile, pane, mouse, at)
        {
            return;
        }
        match (pane, wheel) {
            (Some((tile, pane)), Some(lines)) => {
                self.scroll_session(&pane, lines, tile.inner.height);
            }
            (pane, None) if mouse.kind == MouseKind::Press && mouse.button == MouseButton::Left => {
                if mouse.modifiers.has(Modifiers::CONTROL)
                    && pane.as_ref().is_some_and(|(tile, pane)| self.press_link(tile, pane, at))
                {
                    return;
                }
                self.click(at, pane.as_ref().map(|(tile, _)| tile.index));
                if let Some((tile, pane)) = pane {
                    self.press_on(&tile, pane, at);
                }
            }
            _ => {}
        }
    }

    /// A program that asked for the mouse gets the wheel, and while its keyboard is held, all but
    /// what is done with Shift: that selects, as in other terminals.
    fn goes_to_program(&mut self, tile: &Tile, pane: &PaneKey, mouse: Mouse, at: Position) -> bool {
        let asked = self.panes.get(pane).is_some_and(|shown| shown.screen.modes.mouse);
        let wheel = matches!(mouse.kind, MouseKind::ScrollUp | MouseKind::ScrollDown);
        let held = self.keyboard.as_ref() == Some(pane);
        let ours = self.copy.as_ref().is_some_and(|copy| copy.pane == *pane)
            || (!wheel && mouse.modifiers.has(Modifiers::SHIFT));
        if ours || !asked || !(held || wheel) || !tile.inner.contains(at) {
            return false;
        }
        let Some(shown) = self.panes.get(pane) else { return false };
        let (left, top) = view::crop(&shown.screen, tile.inner, held);
        let column = at.x - tile.inner.x + left;
        let row = at.y - tile.inner.y + top;
        self.type_into(pane, Input::Mouse(Mouse { column, row, ..mouse }));
        true
    }

    /// Another pane than the one whose keyboard is held gives the keyboard back.
    fn click(&mut self, at: Position, tile: Option<usize>) {
        let row =
            self.layout().list.filter(|list| list.contains(at)).and_then(|list| {
                view::list_row(list, self.shown_count(), self.selected_index(), at.y)
            });
        if let Some(index) = tile.or(row).filter(|index| *index < self.shown_count()) {
            if index != self.selected_index() {
                self.give_keyboard();
            }
            self.select(index);
        }
    }
}
