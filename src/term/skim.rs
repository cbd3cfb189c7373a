//! Passes over output that scrolls away before anybody can see it.
//!
//! Of a flood of lines only the last ones stay in the grid. Where more lines follow in the same
//! bytes than the grid keeps, those before them would leave nothing behind but a cursor at the
//! beginning of a row, and are not read at all. The screen, the rows above it and everything else
//! come out as if they had been.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::vte::ansi::Handler;
use memchr::memrchr_iter;

use super::emulator::Emulator;
use super::terminal::{HISTORY, Terminal};

/// Bytes looked at together; the compiler makes a few wide comparisons of them.
const BLOCK: usize = 128;

impl Emulator {
    /// How many of the first bytes need not be fed, when all that follow them are.
    pub fn skim(&mut self, bytes: &[u8]) -> usize {
        // Every line has an end at least.
        if bytes.len() < self.terminal.lines_to_forget()
            || !self.hold.is_at_rest()
            || !self.filter.is_at_rest()
        {
            return 0;
        }
        self.terminal.skim(bytes)
    }
}

impl Terminal {
    /// So many lines printed, nothing is left of what was there: the first may only bring the
    /// cursor to the last row, then the screen and the rows above it go.
    fn lines_to_forget(&self) -> usize {
        HISTORY + 2 * self.term.screen_lines()
    }

    fn skim(&mut self, bytes: &[u8]) -> usize {
        if self.region != (0, self.size().rows) {
            return 0;
        }
        let lines = &bytes[..length_of_lines(bytes)];
        let Some(end) = memrchr_iter(b'\n', lines).nth(self.lines_to_forget()) else { return 0 };
        if !lines[..end].ends_with(b"\r") {
            return 0;
        }
        self.term.carriage_return();
        end + 1
    }
}

/// How many of the first bytes do no more than write into cells and go to next lines.
fn length_of_lines(bytes: &[u8]) -> usize {
    let writes = |byte: u8| byte >= b' ' || matches!(byte, b'\t' | b'\n' | b'\r');
    let whole = |block: &&[u8]| block.iter().fold(true, |all, byte| all & writes(*byte));
    let start = BLOCK * bytes.chunks(BLOCK).take_while(whole).count();
    let rest = bytes.get(start..).unwrap_or_default();
    start.min(bytes.len()) + rest.iter().position(|byte| !writes(*byte)).unwrap_or(rest.len())
}
