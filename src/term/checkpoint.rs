//! Writes the state of an emulator as bytes that bring a new one of the same size into it.
//!
//! The bytes are ordinary output, so any later version can read them. Not carried are: tab
//! characters inside a row (they become blanks), a tab stop in the last column, answers and bell not yet taken, and,
//! on screens of fewer than three rows or columns, that the last row is wrapped.

use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::{Cursor, Dimensions, Grid};
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Cell;
use alacritty_terminal::vte::ansi::{CharsetIndex, Handler, StandardCharset};
use unicode_width::UnicodeWidthChar;

use super::emulator::Emulator;
use super::history::History;
use super::keyboard::KeyboardStack;
use super::links::Links;
use super::paint::Painter;
use super::terminal::Terminal;
use super::title::Titles;

/// Distance of tab stops in a new terminal.
const TAB_DISTANCE: usize = 8;
/// Modes of the DEC series by number, and whether they are on in a new terminal.
const PRIVATE_MODES: [(u16, TermMode, bool); 12] = [
    (1, TermMode::APP_CURSOR, false),
    (25, TermMode::SHOW_CURSOR, true),
    (1000, TermMode::MOUSE_REPORT_CLICK, false),
    (1002, TermMode::MOUSE_DRAG, false),
    (1003, TermMode::MOUSE_MOTION, false),
    (1004, TermMode::FOCUS_IN_OUT, false),
    (1005, TermMode::UTF8_MOUSE, false),
    (1006, TermMode::SGR_MOUSE, false),
    (1007, TermMode::ALTERNATE_SCROLL, true),
    (1042, TermMode::URGENCY_HINTS, true),
    (2004, TermMode::BRACKETED_PASTE, false),
    (7, TermMode::LINE_WRAP, true),
];

impl Emulator {
    /// Writes bytes that, fed to a new emulator of the same size, rebuild what this one shows and
    /// how it will act on further output, down to a sequence cut in two. See the module for what
    /// cannot be carried.
    pub fn checkpoint(&mut self) -> Checkpoint {
        let mut checkpoint = self.terminal.checkpoint();
        checkpoint.below.extend(self.filter.unfinished());
        checkpoint.below.extend_from_slice(self.hold.held());
        checkpoint
    }
}

/// The state of an emulator at one moment. What is packed is shared, and written when it is asked
/// for.
pub struct Checkpoint {
    above: Vec<u8>,
    history: History,
    links: Links,
    below: Vec<u8>,
}

impl Checkpoint {
    /// The bytes to be fed.
    pub fn into_bytes(self) -> Vec<u8> {
        let mut painter = Painter::new(&self.links);
        self.history.paint(&mut painter);
        [self.above, painter.cut(), self.below].concat()
    }
}

impl Terminal {
    fn checkpoint(&mut self) -> Checkpoint {
        let mut above = Vec::new();
        let mut painter = Painter::new(&self.links);
        titles(&mut painter, &self.titles);
        for command in self.reports.written().chain(self.asking.written()) {
            painter.push(&command);
        }
        self.tab_stops(&mut painter);
        keyboard(&mut painter, &self.keyboards[0]);
        if self.is(TermMode::ALT_SCREEN) {
            with_main_screen(&mut self.term, |main| {
                screen(&mut painter, Some(&mut above), main);
                place(&mut painter, &main.cursor, main.columns(), true);
            });
            painter.push("\x1b[?1049h");
            keyboard(&mut painter, &self.keyboards[1]);
        }
        let is_main = !self.is(TermMode::ALT_SCREEN);
        screen(&mut painter, is_main.then_some(&mut above), self.term.grid());
        self.modes(&mut painter);
        self.cursor(&mut painter);
        let (history, links) = (self.history.clone(), self.links.clone());
        Checkpoint { above, history, links, below: painter.finish() }
    }

    fn modes(&self, painter: &mut Painter) {
        for (number, bits, initial) in PRIVATE_MODES {
            if self.is(bits) != initial {
                painter.push(&format!("\x1b[?{number}{}", if initial { 'l' } else { 'h' }));
            }
        }
        for (bits, sequence) in [
            (TermMode::APP_KEYPAD, "\x1b="),
            (TermMode::INSERT, "\x1b[4h"),
            (TermMode::LINE_FEED_NEW_LINE, "\x1b[20h"),
        ] {
            if self.is(bits) {
                painter.push(sequence);
            }
        }
        let shape = self.cursor_shape();
        if shape != 2 {
            painter.push(&format!("\x1b[{shape} q"));
        }
        if self.region != (0, self.size().rows) {
            painter.push(&format!("\x1b[{};{}r", self.region.0 + 1, self.region.1));
        }
        if self.is(TermMode::ORIGIN) {
            painter.push("\x1b[?6h");
        }
        if self.charset == CharsetIndex::G1 {
            painter.push("\x0e");
        }
    }

    /// Places the cursor as the very last thing, so that a repeat repeats the right character.
    fn cursor(&self, painter: &mut Painter) {
        let mut cursor = self.term.grid().cursor.clone();
        let columns = self.term.columns();
        if self.is(TermMode::ORIGIN) {
            cursor.point.line -= i32::from(self.region.0);
        }
        let Some(character) = self.preceding else {
            return place(painter, &cursor, columns, self.is(TermMode::LINE_WRAP));
        };
        let width = character.width().unwrap_or(1);
        let fits = width == 1 || self.is(TermMode::LINE_WRAP) || !cursor.input_needs_wrap;
        let end = cursor.point.column.0 + usize::from(cursor.input_needs_wrap);
        let start = if fits { end.saturating_sub(width) } else { columns - 1 };
        template(painter, &cursor);
        painter.go_to(cursor.point.line.0, start);
        if fits && self.is(TermMode::INSERT) {
            painter.push(&format!("\x1b[{width}P"));
        }
        painter.push(character.encode_utf8(&mut [0; 4]));
    }

    /// Finds the tab stops by travelling along them: the grid keeps them to itself.
    fn tab_stops(&mut self, painter: &mut Painter) {
        let columns = self.term.columns();
        let cursor = self.term.grid().cursor.clone();
        let mut stops = Vec::new();
        self.term.grid_mut().cursor.point.column = Column(0);
        loop {
            self.term.move_forward_tabs(1);
            let column = self.term.grid().cursor.point.column.0;
            if column + 1 >= columns {
                break;
            }
            stops.push(column);
        }
        self.term.grid_mut().cursor = cursor;
        if stops.iter().copied().eq((TAB_DISTANCE..columns - 1).step_by(TAB_DISTANCE)) {
            return;
        }
        painter.push("\x1b[3g");
        for column in stops {
            painter.go_to(0, column);
            painter.push("\x1bH");
        }
    }
}

/// Reads the main screen while the alternate one is shown.
///
/// The grid's crate only gives the active screen, and clears the alternate one on the way back;
/// a copy puts it right again.
pub(super) fn with_main_screen(term: &mut Term<VoidListener>, read: impl FnOnce(&Grid<Cell>)) {
    let shown = term.grid().clone();
    term.swap_alt();
    read(term.grid());
    term.swap_alt();
    *term.grid_mut() = shown;
}

fn titles(painter: &mut Painter, titles: &Titles) {
    for title in titles.aside() {
        painter.push(&format!("\x1b]2;{title}\x07\x1b[22t"));
    }
    if !titles.current().is_empty() || !titles.aside().is_empty() {
        painter.push(&format!("\x1b]2;{}\x07", titles.current()));
    }
}

fn keyboard(painter: &mut Painter, stack: &KeyboardStack) {
    let mut flags = stack.below().iter().copied().chain([stack.current()]);
    if let Some(first) = flags.next().filter(|_| *stack != KeyboardStack::default()) {
        painter.push(&format!("\x1b[={}u", first.0));
    }
    for pushed in flags {
        painter.push(&format!("\x1b[>{}u", pushed.0));
    }
}

/// Writes a screen with the rows above it and its saved cursor; leaves the cursor anywhere.
///
/// What is packed of the main screen stands between what is written before and its rows: the former
/// is put aside.
fn screen(painter: &mut Painter, above: Option<&mut Vec<u8>>, grid: &Grid<Cell>) {
    place(painter, &grid.saved_cursor, grid.columns(), true);
    painter.push("\x1b7\x1b(B\x1b)B\x1b*B\x1b+B\x1b[m\x1b[H\x1b[J");
    if let Some(above) = above {
        *above = painter.cut();
    }
    let (first, last) = (grid.topmost_line(), grid.bottommost_line());
    for line in (first.0..=last.0).map(Line) {
        let below = (line < last).then(|| &grid[line + 1i32]);
        let continued = line > first && super::paint::is_wrapped(&grid[line - 1i32]);
        painter.row(&grid[line], below, continued);
    }
    painter.wrap_last_row(&grid[last], grid.screen_lines());
}

/// Brings the cursor with its style and character sets to its place.
fn place(painter: &mut Painter, cursor: &Cursor<Cell>, columns: usize, wraps: bool) {
    template(painter, cursor);
    if !cursor.input_needs_wrap {
        return painter.go_to(cursor.point.line.0, cursor.point.column.0);
    }
    // A wide character that finds no room and may not wrap leaves every cell as it is, but the
    // cursor as after a full row.
    painter.push("\x1b[?7l");
    painter.go_to(cursor.point.line.0, columns - 1);
    painter.push("中");
    painter.push(if wraps { "\x1b[?7h" } else { "\x1b[?7l" });
}

fn template(painter: &mut Painter, cursor: &Cursor<Cell>) {
    painter.style(&cursor.template);
    let sets = [CharsetIndex::G0, CharsetIndex::G1, CharsetIndex::G2, CharsetIndex::G3];
    for (index, designator) in sets.into_iter().zip(['(', ')', '*', '+']) {
        let drawing = cursor.charsets[index] == StandardCharset::SpecialCharacterAndLineDrawing;
        painter.push(&format!("\x1b{designator}{}", if drawing { '0' } else { 'B' }));
    }
}
