//! Acts on escape and control sequences.
//!
//! Most are left to the parser of the grid's crate. Those that it does not know, gets wrong, or
//! does at a cost that a program chooses are acted on here, as are all whose effect must be known
//! when a checkpoint is written.

use alacritty_terminal::grid::{Cursor, Dimensions};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::vte::ansi::{CharsetIndex, Handler, TabulationClearMode};

use super::filter::Control;
use super::keyboard::KeyboardStack;
use super::links::Links;
use super::terminal::Terminal;

/// What a soft reset sets back, as the sequences that do so (DECSTR, VT220 manual).
const SOFT_RESET: &[u8] =
    b"\x1b[?25h\x1b[4l\x1b[?6l\x1b[?7h\x1b[?1l\x1b>\x1b[m\x1b(B\x1b)B\x1b*B\x1b+B";

impl Terminal {
    pub(super) fn escape(&mut self, intermediates: &[u8], last: u8, raw: &[u8]) {
        self.preceding = None;
        match (intermediates, last) {
            ([], b'Z') => self.identify(),
            ([], b'8') => self.restore_cursor(),
            ([b'#'], b'8') => {
                self.pass(raw);
                self.set_region(0, 0);
            }
            ([], b'c') => {
                self.pass(raw);
                self.keyboards = Default::default();
                self.region = (0, self.size().rows);
                self.charset = CharsetIndex::G0;
                self.history.clear();
                self.titles.set(b"");
                self.reports.clear();
                self.links = Links::default();
            }
            _ => self.pass(raw),
        }
    }

    pub(super) fn control(&mut self, control: Control<'_>) {
        if (control.private, control.intermediates, control.last) == (0, &[][..], b'b') {
            return self.repeat(control.number(0));
        }
        self.preceding = None;
        match (control.private, control.intermediates, control.last) {
            (0, [], b'm') if !control.parameters.contains(&b':') => {
                return self.style(control.numbers());
            }
            (0, [], b'H') => {
                let (line, column) = (control.number(0).max(1), control.number(1).max(1));
                return self.term.goto(i32::from(line) - 1, usize::from(column) - 1);
            }
            _ => {}
        }
        if self.answer(&control) || self.keyboard_control(&control) {
            return;
        }
        match (control.private, control.intermediates, control.last) {
            (0, [], b'P') => self.delete_cells(control.number(0)),
            (0, [], b'I') => self.term.move_forward_tabs(self.at_most_columns(control.number(0))),
            (0, [], b'Z') => self.move_backward_tabs(self.at_most_columns(control.number(0))),
            (0, [], b'J') => self.erase_screen(&control),
            (0, [], b'@' | b'K' | b'X') => {
                self.pass(control.raw);
                self.mend_row();
            }
            (0, [], b'r') => self.set_region(control.number(0), control.number(1)),
            (0, [], b's') if control.parameters.is_empty() => self.pass(control.raw),
            // With parameters it sets margins, which are not there.
            (0, [], b's') => {}
            (0, [], b'u') => self.restore_cursor(),
            (0, [b'!'], b'p') => self.soft_reset(),
            (b'?', [], b'W') if control.number(0) == 5 => self.usual_tabs(),
            (b'?', [], b'h' | b'l') => self.private_modes(&control),
            (0, [], last @ (b'A' | b'B' | b'E' | b'F')) => {
                self.move_rows(last, control.number(0).max(1));
            }
            (0, [], last) if self.is(TermMode::ORIGIN) && b"Gae`".contains(&last) => {
                self.move_in_origin_mode(last, control.number(0).max(1));
            }
            _ => self.pass(control.raw),
        }
    }

    fn keyboard_control(&mut self, control: &Control<'_>) -> bool {
        if control.last != b'u' || !control.intermediates.is_empty() {
            return false;
        }
        let keyboard: &mut KeyboardStack = self.keyboard_mut();
        match control.private {
            b'>' => keyboard.push(control.number(0)),
            b'<' => keyboard.pop(control.number(0)),
            b'=' => keyboard.set(control.number(0), control.number(1)),
            _ => return false,
        }
        true
    }

    fn at_most_columns(&self, count: u16) -> u16 {
        count.clamp(1, self.size().columns)
    }

    /// Where no tab stop is left, the row's beginning is one.
    fn move_backward_tabs(&mut self, count: u16) {
        // A cursor that waits to wrap stands in the last column; it stops waiting when it moves.
        self.term.grid_mut().cursor.input_needs_wrap = false;
        for _ in 0..count {
            let before = self.term.grid().cursor.point.column;
            self.term.move_backward_tabs(1);
            if self.term.grid().cursor.point.column == before {
                return self.term.carriage_return();
            }
        }
    }

    /// Sets a tab stop at every eighth column, and no other (DECST8C).
    fn usual_tabs(&mut self) {
        const DISTANCE: usize = 8;
        self.term.clear_tabs(TabulationClearMode::All);
        let column = self.term.grid().cursor.point.column;
        for stop in (0..self.term.columns()).step_by(DISTANCE) {
            self.term.grid_mut().cursor.point.column = Column(stop);
            self.term.set_horizontal_tabstop();
        }
        self.term.grid_mut().cursor.point.column = column;
    }

    /// A count past the row's end would erase cells before the cursor.
    fn delete_cells(&mut self, count: u16) {
        let column = self.term.grid().cursor.point.column.0;
        let room = usize::from(self.size().columns) - column;
        self.term.delete_chars(usize::from(count.max(1)).min(room));
        self.mend_row();
    }

    fn erase_screen(&mut self, control: &Control<'_>) {
        // Erasing above the second row leaves out the first in the grid's own way.
        if control.number(0) == 1 && self.term.grid().cursor.point.line == Line(1) {
            self.term.grid_mut().reset_region(..Line(1));
        }
        self.pass(control.raw);
        self.mend_row();
        if control.number(0) == 3 && !self.is(TermMode::ALT_SCREEN) {
            self.history.clear();
        }
    }

    fn set_region(&mut self, top: u16, bottom: u16) {
        let rows = self.size().rows;
        let bottom = if bottom == 0 { rows } else { bottom.min(rows) };
        let top = top.max(1);
        if top < bottom {
            self.region = (top - 1, bottom);
            self.term.set_scrolling_region(usize::from(top), Some(usize::from(bottom)));
        }
    }

    fn soft_reset(&mut self) {
        let cursor = self.term.grid().cursor.point;
        self.pass(SOFT_RESET);
        self.set_charset(CharsetIndex::G0);
        self.set_region(0, 0);
        self.term.goto(cursor.line.0, cursor.column.0);
        self.term.grid_mut().saved_cursor = Cursor::default();
    }

    fn private_modes(&mut self, control: &Control<'_>) {
        let set = control.last == b'h';
        for mode in control.numbers() {
            match mode {
                47 | 1047 => {
                    // Unlike with mode 1049 the cursor stays where it is.
                    let cursor = self.term.grid().cursor.clone();
                    self.alternate_screen(set);
                    self.term.grid_mut().cursor = cursor;
                    self.keep_in_region();
                }
                1049 => self.alternate_screen(set),
                1048 if set => self.term.save_cursor_position(),
                1048 => self.restore_cursor(),
                // Column mode also clears: only the region is ours to follow.
                3 => {
                    self.pass(if set { b"\x1b[?3h" } else { b"\x1b[?3l" });
                    self.region = (0, self.size().rows);
                }
                // Addresses count from elsewhere: the cursor goes where they begin.
                6 => {
                    self.pass(if set { b"\x1b[?6h" } else { b"\x1b[?6l" });
                    self.term.goto(0, 0);
                }
                // Held back before it comes here.
                2026 => {}
                _ => {
                    let last = char::from(control.last);
                    self.pass(format!("\x1b[?{mode}{last}").as_bytes());
                }
            }
        }
    }

    /// Changes screens. What belongs to the alternate screen begins anew each time, so that
    /// nothing of it is left behind by a program that ends without cleaning up.
    fn alternate_screen(&mut self, set: bool) {
        if set == self.is(TermMode::ALT_SCREEN) {
            return;
        }
        self.term.swap_alt();
        self.keyboards[1] = KeyboardStack::default();
        if set {
            self.term.grid_mut().saved_cursor = Cursor::default();
        }
        self.keep_in_region();
    }

    fn restore_cursor(&mut self) {
        self.term.restore_cursor_position();
        self.keep_in_region();
    }

    /// In origin mode the cursor never leaves the region, wherever it came from.
    fn keep_in_region(&mut self) {
        let (top, bottom) = (i32::from(self.region.0), i32::from(self.region.1));
        let point = self.term.grid().cursor.point;
        if self.is(TermMode::ORIGIN) && !(top..bottom).contains(&point.line.0) {
            self.term.goto((point.line.0 - top).max(0), point.column.0);
        }
    }

    /// Moves by rows, which ends at the region's edge for a cursor within it.
    fn move_rows(&mut self, last: u8, count: u16) {
        let point = self.term.grid().cursor.point;
        let (line, count) = (point.line.0, i32::from(count));
        let (top, bottom) = (i32::from(self.region.0), i32::from(self.region.1));
        let line = match last {
            b'A' | b'F' => (line - count).max(if line >= top { top } else { 0 }),
            _ if line < bottom => (line + count).min(bottom - 1),
            _ => line + count,
        };
        let column = if matches!(last, b'E' | b'F') { 0 } else { point.column.0 };
        let origin = if self.is(TermMode::ORIGIN) { top } else { 0 };
        self.term.goto((line - origin).max(0), column);
    }

    /// Relative and column moves count from the screen's top, also while addresses do not.
    fn move_in_origin_mode(&mut self, last: u8, count: u16) {
        let point = self.term.grid().cursor.point;
        let (line, column, count) = (point.line.0, point.column.0, i32::from(count));
        let (line, column) = match last {
            b'e' => (line + count, column),
            b'a' => (line, column + count as usize),
            _ => (line, count as usize - 1),
        };
        let top = i32::from(self.region.0);
        let column = Column(column).0;
        self.term.goto((line - top).max(0), column);
    }
}
