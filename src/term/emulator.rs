//! The emulator of one session, and what changed on its screen since when.
//!
//! The screen is kept once more as finished rows, each with the sequence number at which it last
//! changed. They are brought up to date when someone looks, from the grid's own account of damage;
//! a row that was written but looks as before has not changed.

use std::time::Instant;

use alacritty_terminal::index::Line;
use alacritty_terminal::term::{TermDamage, TermMode};
use alacritty_terminal::vte::ansi::CursorShape as GridCursorShape;

use super::filter::Filter;
use super::hold::Hold;
use super::rows;
use super::terminal::{Terminal, usable};
use crate::model::asked::Asked;
use crate::model::input::Input;
use crate::model::lines::{Direction, Found, Lines, Nearest, Needle, Spot};
use crate::model::link::LinkId;
use crate::model::screen::{Cursor, CursorShape, Row, Screen, ScreenDelta, ScreenModes, Size};
use crate::model::status::Claim;

/// A terminal as a program sees it.
///
/// Takes any bytes in any splits, with bounded memory. Columns are at least two.
pub struct Emulator {
    pub(super) hold: Hold,
    pub(super) filter: Filter,
    pub(super) terminal: Terminal,
    sequence: u64,
    /// When the size last changed: what a receiver had before is void.
    resized: u64,
    rows: Vec<Dated<Row>>,
    around: Dated<Around>,
    title: Dated<String>,
    asked: Dated<Asked>,
}

/// A value and the sequence number at which it came to be.
struct Dated<T> {
    value: T,
    sequence: u64,
}

impl<T: PartialEq> Dated<T> {
    fn update(&mut self, value: T, sequence: u64) {
        if self.value != value {
            *self = Self { value, sequence };
        }
    }
}

/// What every delta carries besides rows.
#[derive(Clone, Copy, Default, PartialEq)]
struct Around {
    cursor: Cursor,
    modes: ScreenModes,
    scrollback: u32,
    first_line: u32,
}

impl Emulator {
    /// Makes an empty screen that keeps ten thousand rows above itself.
    pub fn new(size: Size) -> Self {
        let mut emulator = Self {
            hold: Hold::default(),
            filter: Filter::default(),
            terminal: Terminal::new(size),
            sequence: 1,
            resized: 1,
            rows: Vec::new(),
            around: Dated { value: Around::default(), sequence: 1 },
            title: Dated { value: String::new(), sequence: 1 },
            asked: Dated { value: Asked::default(), sequence: 1 },
        };
        emulator.clear_rows();
        emulator
    }

    /// Takes output of the program.
    pub fn feed(&mut self, bytes: &[u8]) {
        let Self { hold, filter, terminal, .. } = self;
        let mut accept = |token: super::filter::Token<'_>| terminal.accept(token);
        hold.feed(bytes, &mut |passed| filter.feed(passed, &mut accept));
        self.sequence += 1;
    }

    /// Takes the answers to what the program asked, for its standard input.
    ///
    /// Answers past 4 KiB that nobody took are dropped.
    pub fn take_replies(&mut self) -> Vec<u8> {
        self.release_overdue();
        self.terminal.replies.take()
    }

    /// Whether the bell rang since the last call.
    pub fn take_bell(&mut self) -> bool {
        std::mem::take(&mut self.terminal.bell)
    }

    /// When a synchronized update that hides newer output ends by itself, if one is going on.
    /// [`Self::delta_since`] shows that output when it is called at that time or later.
    pub fn update_deadline(&self) -> Option<Instant> {
        self.hold.deadline()
    }

    /// Changes the size; lines of the main screen are wrapped anew.
    pub fn resize(&mut self, size: Size) {
        if usable(size) == self.size() {
            return;
        }
        self.release();
        self.terminal.resize(size);
        self.sequence += 1;
        self.resized = self.sequence;
        self.clear_rows();
    }

    pub fn size(&self) -> Size {
        self.terminal.size()
    }

    /// Counts changes: raised by every feed, also one that turns out to change nothing visible.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The title the program set: printable, at most 256 characters.
    pub fn title(&self) -> &str {
        self.terminal.titles.current()
    }

    /// Where a link leads, if that is still kept.
    pub fn link(&self, link: LinkId) -> Option<&str> {
        self.terminal.links.address(link)
    }

    /// What the program last wanted in the clipboard: printable, but for tabs and ends of lines.
    pub fn clipboard(&self) -> Option<&str> {
        self.terminal.asking.clipboard()
    }

    /// What the program reported of its state, by the Program Status Protocol.
    pub fn reported(&self) -> Option<Claim> {
        self.terminal.reports.claim()
    }

    /// Forgets what was reported: later reports may have been missed.
    pub fn forget_reports(&mut self) {
        self.terminal.reports.clear();
    }

    pub fn modes(&self) -> ScreenModes {
        ScreenModes {
            alternate_screen: self.terminal.is(TermMode::ALT_SCREEN),
            bracketed_paste: self.terminal.is(TermMode::BRACKETED_PASTE),
            mouse: self.terminal.is(TermMode::MOUSE_MODE),
        }
    }

    /// What changed after `since`, the sequence number of a screen or delta from this emulator.
    ///
    /// Everything when `since` is 0 or older than the size; `None` when nothing visible changed.
    pub fn delta_since(&mut self, since: u64) -> Option<ScreenDelta> {
        self.refresh();
        let full = since < self.resized || since > self.sequence;
        let newer = |sequence: u64| full || sequence > since;
        let rows: Vec<(u16, Row)> = (0..)
            .zip(&self.rows)
            .filter(|(_, row)| if full { row.value != Row::default() } else { newer(row.sequence) })
            .map(|(index, row)| (index, row.value.clone()))
            .collect();
        let title = newer(self.title.sequence).then(|| self.title.value.clone());
        let asked = newer(self.asked.sequence).then(|| self.asked.value.clone());
        let beside = title.is_some() || asked.is_some() || newer(self.around.sequence);
        if !full && rows.is_empty() && !beside {
            return None;
        }
        let Around { cursor, modes, scrollback, first_line } = self.around.value;
        Some(ScreenDelta {
            sequence: self.sequence,
            full,
            size: self.size(),
            rows,
            cursor,
            modes,
            title,
            asked,
            scrollback,
            first_line,
        })
    }

    /// The whole screen as it is now.
    pub fn screen(&mut self) -> Screen {
        self.refresh();
        let Around { cursor, modes, scrollback, first_line } = self.around.value;
        Screen {
            sequence: self.sequence,
            size: self.size(),
            rows: self.rows.iter().map(|row| row.value.clone()).collect(),
            cursor,
            modes,
            title: self.title.value.clone(),
            asked: self.asked.value.clone(),
            scrollback,
            first_line,
        }
    }

    /// Rows of the scrollback and the screen below it, from the number `start` or the oldest kept
    /// on; fewer where there are no more.
    pub fn lines(&mut self, start: u32, count: u32) -> Lines {
        self.release_overdue();
        let Size { columns, rows } = self.size();
        let (oldest, kept) = self.terminal.kept();
        let (start, found) = self.terminal.lines(start, count);
        Lines { oldest, total: oldest + kept + u32::from(rows), columns, start, rows: found }
    }

    /// Looks for a text from a spot on, through all that is kept and around its ends.
    pub fn find(&mut self, needle: &Needle, from: Spot, direction: Direction) -> Option<Found> {
        self.release_overdue();
        let (first, _) = self.terminal.kept();
        let mut nearest = Nearest::new(from, direction);
        let columns = self.size().columns;
        needle.find((first, columns), self.terminal.all_lines(), &mut |passage| {
            nearest.visit(passage);
        });
        nearest.found()
    }

    /// The bytes a key, paste, mouse event or focus change is for the program, in its modes.
    /// Empty when it did not ask for such.
    pub fn encode(&self, input: &Input) -> Vec<u8> {
        super::encode::encode(&self.terminal, input)
    }

    /// Shows what a synchronized update held back.
    pub(super) fn release(&mut self) {
        let Self { hold, filter, terminal, .. } = self;
        let mut accept = |token: super::filter::Token<'_>| terminal.accept(token);
        hold.release(&mut |passed| filter.feed(passed, &mut accept));
        self.sequence += 1;
    }

    fn release_overdue(&mut self) {
        if self.hold.is_overdue() {
            self.release();
        }
    }

    fn clear_rows(&mut self) {
        let blank = || Dated { value: Row::default(), sequence: self.sequence };
        self.rows = (0..self.size().rows).map(|_| blank()).collect();
    }

    /// Brings the finished rows up to the grid.
    fn refresh(&mut self) {
        self.release_overdue();
        let damaged: Vec<usize> = match self.terminal.term.damage() {
            TermDamage::Full => (0..self.rows.len()).collect(),
            TermDamage::Partial(lines) => lines.map(|line| line.line).collect(),
        };
        self.terminal.term.reset_damage();
        let grid = self.terminal.term.grid();
        for line in damaged {
            self.rows[line].update(rows::row(&grid[Line(line as i32)]), self.sequence);
        }
        let (oldest, scrollback) = self.terminal.kept();
        let around = Around {
            cursor: self.cursor(),
            modes: self.modes(),
            scrollback,
            first_line: oldest + scrollback,
        };
        self.around.update(around, self.sequence);
        if self.title.value != self.title() {
            self.title = Dated { value: self.title().to_owned(), sequence: self.sequence };
        }
        if self.asked.value != *self.terminal.asking.asked() {
            let value = self.terminal.asking.asked().clone();
            self.asked = Dated { value, sequence: self.sequence };
        }
    }

    fn cursor(&self) -> Cursor {
        let point = self.terminal.term.grid().cursor.point;
        let shape = match self.terminal.term.cursor_style().shape {
            GridCursorShape::Underline => CursorShape::Underline,
            GridCursorShape::Beam => CursorShape::Bar,
            _ => CursorShape::Block,
        };
        Cursor {
            column: point.column.0 as u16,
            row: point.line.0 as u16,
            visible: self.terminal.is(TermMode::SHOW_CURSOR),
            shape,
        }
    }
}
