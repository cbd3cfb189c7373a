//! The grid and the state beside it that programs change with control sequences.

use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;
use alacritty_terminal::term::{Config, TermMode};
use alacritty_terminal::vte::ansi::{CharsetIndex, Processor, StdSyncHandler};

use super::asking::Asking;
use super::checkpoint::with_main_screen;
use super::filter::Token;
use super::history::History;
use super::keyboard::{KeyboardFlags, KeyboardStack};
use super::links::Links;
use super::paint::is_wrapped;
use super::replies::Replies;
use super::report::Reports;
use super::rows::row;
use super::title::Titles;
use crate::model::screen::{Row, Size};

/// Rows above the screen that stay in the grid when others are packed: a screen that grows takes
/// rows back from there.
pub(super) const LIVE: usize = 256;
/// Rows that are packed at once. A row in the grid costs about 3 KB at 120 columns.
const AT_ONCE: usize = 256;
/// Where a line is so long that no end of it is among the rows above the screen, it is packed in
/// parts above this.
const LIVE_AT_MOST: usize = LIVE + 3 * AT_ONCE;
/// More than a resize makes of the largest screen: the grid itself drops nothing.
const GRID_ROWS: usize = 2_000_000;
/// Fewer columns cannot hold a wide character.
const MIN_COLUMNS: u16 = 2;

/// The parser's own holding of synchronized updates is never entered: see [`super::hold`].
pub(super) type Parser = Processor<StdSyncHandler>;

pub(super) struct Terminal {
    pub(super) term: Term<VoidListener>,
    pub(super) parser: Parser,
    pub(super) replies: Replies,
    pub(super) titles: Titles,
    pub(super) reports: Reports,
    pub(super) links: Links,
    pub(super) asking: Asking,
    pub(super) bell: bool,
    /// The main screen's keyboard modes, then the alternate screen's.
    pub(super) keyboards: [KeyboardStack; 2],
    /// First row of the scroll region and the row after its last, from the top.
    pub(super) region: (u16, u16),
    /// The character set in use; the grid keeps this to itself.
    pub(super) charset: CharsetIndex,
    /// The character a repeat sequence repeats: only what was printed just before it.
    pub(super) preceding: Option<char>,
    /// Rows of the main screen that left the grid.
    pub(super) history: History,
    /// How many rows the main screen has above it, those that are not kept any more included.
    pub(super) above: u32,
}

impl Terminal {
    pub(super) fn new(size: Size) -> Self {
        let config = Config { scrolling_history: GRID_ROWS, ..Config::default() };
        let size = usable(size);
        Self {
            term: Term::new(config, &Cells(size), VoidListener),
            parser: Parser::new(),
            replies: Replies::default(),
            titles: Titles::default(),
            reports: Reports::default(),
            links: Links::default(),
            asking: Asking::default(),
            bell: false,
            keyboards: Default::default(),
            region: (0, size.rows),
            charset: CharsetIndex::G0,
            preceding: None,
            history: History::new(size.columns),
            above: 0,
        }
    }

    pub(super) fn accept(&mut self, token: Token<'_>) {
        match token {
            Token::Text(text) => self.text(text),
            Token::Escape { intermediates, last, raw } => self.escape(intermediates, last, raw),
            Token::Control(control) => self.control(control),
            Token::Command { payload, bell } => self.command(payload, bell),
            Token::Device(payload) => self.device(payload),
        }
        self.pack();
    }

    /// Packs rows that left the screen, once there are enough of them.
    pub(super) fn pack(&mut self) {
        if self.is(TermMode::ALT_SCREEN) {
            return;
        }
        if self.term.history_size() >= LIVE + AT_ONCE {
            self.pack_all_but(LIVE);
        }
        self.above = self.history.first() + self.history.rows() + self.term.history_size() as u32;
    }

    /// Packs the oldest rows above the screen, whole lines as far as there are any.
    pub(super) fn pack_all_but(&mut self, kept: usize) {
        let grid = self.term.grid();
        let above = grid.history_size();
        let row = |index: usize| &grid[Line(index as i32 - above as i32)];
        let most = above.saturating_sub(kept);
        let whole = (1..=most).rev().find(|count| !is_wrapped(row(count - 1)));
        let packed = whole.unwrap_or(if above > LIVE_AT_MOST { most } else { 0 });
        let rows: Vec<_> = (0..packed).map(row).collect();
        self.history.take(&rows);
        let grid = self.term.grid_mut();
        grid.update_history(above - packed);
        grid.update_history(GRID_ROWS);
    }

    /// Rows above the screen that are kept, and the number of the first of them.
    pub(super) fn kept(&self) -> (u32, u32) {
        if self.is(TermMode::ALT_SCREEN) {
            return (self.above, 0);
        }
        (self.history.first(), self.above - self.history.first())
    }

    /// Rows of the scrollback and of the screen, from a number on.
    pub(super) fn lines(&self, start: u32, count: u32) -> (u32, Vec<Row>) {
        let (first, kept) = self.kept();
        let packed = self.packed();
        let start = start.clamp(first, first + kept + self.term.screen_lines() as u32);
        let mut rows =
            if packed == 0 { Vec::new() } else { self.history.range(start - first, count) };
        let room = count as usize - rows.len();
        rows.extend(self.live().skip((start - first).saturating_sub(packed) as usize).take(room));
        (start, rows)
    }

    /// All rows of the scrollback and of the screen.
    pub(super) fn all_lines(&self) -> impl Iterator<Item = Row> {
        let packed = (self.packed() > 0).then(|| self.history.all());
        packed.into_iter().flatten().chain(self.live())
    }

    /// Packed rows that stand above what is shown.
    fn packed(&self) -> u32 {
        if self.is(TermMode::ALT_SCREEN) { 0 } else { self.history.rows() }
    }

    /// Rows of the grid, from the topmost.
    fn live(&self) -> impl Iterator<Item = Row> {
        let grid = self.term.grid();
        (grid.topmost_line().0..=grid.bottommost_line().0).map(|line| row(&grid[Line(line)]))
    }

    pub(super) fn size(&self) -> Size {
        Size { columns: self.term.columns() as u16, rows: self.term.screen_lines() as u16 }
    }

    pub(super) fn resize(&mut self, size: Size) {
        let size = usable(size);
        let above = self.term.history_size();
        self.term.resize(Cells(size));
        self.take_back_rows(above, size);
        if self.is(TermMode::ALT_SCREEN) {
            // The main screen's cursor moved with its text: the saved one goes along.
            with_main_screen(&mut self.term, |_| {});
        }
        self.preceding = None;
        self.region = (0, size.rows);
        self.history.resize(size.columns);
        self.pack();
    }

    /// Rows that wrapped anew push those above them into the scrollback, also while there is room
    /// below: as many as fit come back, as a screen that grows and shrinks again takes them.
    fn take_back_rows(&mut self, above: usize, size: Size) {
        if self.is(TermMode::ALT_SCREEN) {
            return;
        }
        let pushed = self.term.history_size().saturating_sub(above) as u16;
        let grid = self.term.grid();
        let below = (grid.cursor.point.line.0 + 1..i32::from(size.rows)).rev();
        let empty = |line: &i32| row(&grid[Line(*line)]).runs.is_empty();
        let room = pushed.min(below.take_while(empty).count() as u16);
        if room > 0 {
            self.term.resize(Cells(Size { rows: size.rows + room, ..size }));
            self.term.resize(Cells(size));
        }
    }

    pub(super) fn is(&self, mode: TermMode) -> bool {
        self.term.mode().intersects(mode)
    }

    pub(super) fn keyboard(&self) -> KeyboardFlags {
        self.keyboards[usize::from(self.is(TermMode::ALT_SCREEN))].current()
    }

    pub(super) fn keyboard_mut(&mut self) -> &mut KeyboardStack {
        let alternate = usize::from(self.is(TermMode::ALT_SCREEN));
        &mut self.keyboards[alternate]
    }

    /// Lets the grid's own parser read a sequence that is known to be whole and harmless.
    pub(super) fn pass(&mut self, sequence: &[u8]) {
        self.parser.advance(&mut self.term, sequence);
    }
}

pub(super) fn usable(size: Size) -> Size {
    let size = size.clamped();
    Size { columns: size.columns.max(MIN_COLUMNS), ..size }
}

struct Cells(Size);

impl Dimensions for Cells {
    fn total_lines(&self) -> usize {
        self.screen_lines()
    }

    fn screen_lines(&self) -> usize {
        usize::from(self.0.rows)
    }

    fn columns(&self) -> usize {
        usize::from(self.0.columns)
    }
}
