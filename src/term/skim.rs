//! Passes over output that scrolls away before anybody can see it.
//!
//! Of a flood of lines only the last ones stay in the grid. Where more lines follow in the same
//! bytes than the grid keeps, those before them need not be written into cells: plain ones are
//! packed as they are. The screen, the rows above it and everything else come out as if they had
//! been fed.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::vte::ansi::{Color, Handler, NamedColor, StandardCharset};
use memchr::{memchr_iter, memrchr_iter};

use super::emulator::Emulator;
use super::history::KEPT;
use super::rows;
use super::terminal::{LIVE, Terminal};

/// Bytes looked at together; the compiler makes a few wide comparisons of them.
const BLOCK: usize = 128;

impl Emulator {
    /// Takes as many of the first bytes as it can at once; the rest is to be fed.
    pub fn skim(&mut self, bytes: &[u8]) -> usize {
        // Every line has an end at least.
        if bytes.len() < self.terminal.lines_to_feed()
            || !self.hold.is_at_rest()
            || !self.filter.is_at_rest()
        {
            return 0;
        }
        self.terminal.skim(bytes)
    }
}

impl Terminal {
    /// So many lines are fed behind those that are not: they fill the screen and the rows of the
    /// grid above it.
    fn lines_to_feed(&self) -> usize {
        LIVE + 2 * self.term.screen_lines()
    }

    fn skim(&mut self, bytes: &[u8]) -> usize {
        if self.region != (0, self.size().rows) {
            return 0;
        }
        if self.is(TermMode::ALT_SCREEN) {
            return self.forget(bytes);
        }
        let cursor = &self.term.grid().cursor;
        let plain = cursor.charsets[self.charset] == StandardCharset::Ascii
            && cursor.template.bg == Color::Named(NamedColor::Background)
            && cursor.template.extra.is_none();
        if !plain || !self.is(TermMode::LINE_WRAP) || self.is(TermMode::INSERT) {
            return 0;
        }
        let lines = &bytes[..length_of(bytes, |byte| matches!(byte, b' '..=b'~' | b'\n' | b'\r'))];
        let rows = self.term.screen_lines();
        // The first lines bring the cursor to the last row.
        let Some(head) = memchr_iter(b'\n', lines).nth(rows) else { return 0 };
        let Some(end) = memrchr_iter(b'\n', lines).nth(self.lines_to_feed()) else { return 0 };
        let Some(flood) = lines.get(head + 1..=end) else { return 0 };
        if !lines[..=head].ends_with(b"\r\n") || !are_plain(flood) {
            return 0;
        }
        self.text(&lines[..=head]);
        self.pack_flood(flood);
        end + 1
    }

    /// Packs all there is and the lines of a flood, and leaves the cursor on an empty screen.
    fn pack_flood(&mut self, flood: &[u8]) {
        let rows = self.term.screen_lines();
        if rows > 1 {
            self.term.scroll_up(rows - 1);
        }
        self.term.grid_mut().cursor.point.line = Line(0);
        self.pack_all_but(0);
        let style = rows::style(&self.term.grid().cursor.template);
        // More lines than are kept take the place of all others.
        let kept = match memrchr_iter(b'\n', flood).nth(KEPT as usize) {
            Some(before) => {
                self.history.clear();
                &flood[before + 1..]
            }
            None => flood,
        };
        for line in kept.split_inclusive(|byte| *byte == b'\n') {
            self.history.take_ascii(line.strip_suffix(b"\r\n").unwrap_or(line), style);
        }
        self.pack();
    }

    /// Passes over what leaves nothing behind on a screen that has no rows above it, but a cursor
    /// at the beginning of a row.
    fn forget(&mut self, bytes: &[u8]) -> usize {
        let writes = |byte: u8| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r');
        let lines = &bytes[..length_of(bytes, writes)];
        let Some(end) = memrchr_iter(b'\n', lines).nth(self.lines_to_feed()) else { return 0 };
        if !lines[..end].ends_with(b"\r") {
            return 0;
        }
        self.term.carriage_return();
        end + 1
    }
}

/// Whether all lines end in a carriage return and a line feed, and have no other.
fn are_plain(lines: &[u8]) -> bool {
    let ends = memchr_iter(b'\n', lines).filter(|end| lines[..*end].ends_with(b"\r")).count();
    ends == memchr_iter(b'\n', lines).count() && ends == memchr_iter(b'\r', lines).count()
}

/// How many of the first bytes are of a kind.
fn length_of(bytes: &[u8], kind: impl Fn(u8) -> bool + Copy) -> usize {
    let whole = |block: &&[u8]| block.iter().fold(true, |all, byte| all & kind(*byte));
    let start = BLOCK * bytes.chunks(BLOCK).take_while(whole).count();
    let rest = bytes.get(start..).unwrap_or_default();
    start.min(bytes.len()) + rest.iter().position(|byte| !kind(*byte)).unwrap_or(rest.len())
}
