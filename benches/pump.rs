//! How fast output of a program becomes changed rows, against the bare grid on the same bytes.
//!
//! Prints MB (10^6 bytes) per CPU second, best of a few rounds that take turns, and the ratio.

use std::fmt::Write;

use agentdeck::model::screen::Size;
use agentdeck::term::Emulator;
use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::term::Config;
use alacritty_terminal::term::test::TermSize;
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};

const SIZE: Size = Size { columns: 120, rows: 40 };
const CORPUS: usize = 32_000_000;
/// What a session's bytes come in.
const CHUNK: usize = 65_536;
const ROUNDS: usize = 5;
/// Looks at the screen per second.
const FRAMES: f64 = 60.0;

fn main() {
    let mut report = String::from("corpus      emulator   bare grid   ratio\n");
    for (name, corpus) in [("plain", plain()), ("dense", dense()), ("agent", agent())] {
        let (mut ours, mut bare) = (f64::MAX, f64::MAX);
        for _ in 0..ROUNDS {
            ours = ours.min(emulator(&corpus));
            bare = bare.min(grid(&corpus));
        }
        let speed = |seconds: f64| corpus.len() as f64 / 1e6 / seconds;
        let _ = writeln!(
            report,
            "{name:8} {:8.1} MB/s {:6.1} MB/s {:7.2}",
            speed(ours),
            speed(bare),
            bare / ours
        );
    }
    #[allow(clippy::print_stdout, reason = "the report is what a bench is for")]
    {
        print!("{report}");
    }
}

/// CPU seconds of this process.
fn cpu() -> f64 {
    let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    usage.tv_sec as f64 + usage.tv_nsec as f64 / 1e9
}

fn emulator(corpus: &[u8]) -> f64 {
    let mut emulator = Emulator::new(SIZE);
    let mut seen = 0;
    let start = cpu();
    let mut next = start;
    for chunk in corpus.chunks(CHUNK) {
        emulator.feed(chunk);
        let now = cpu();
        if now >= next {
            next = now + 1.0 / FRAMES;
            if let Some(delta) = emulator.delta_since(seen) {
                seen = delta.sequence;
            }
        }
    }
    cpu() - start
}

fn grid(corpus: &[u8]) -> f64 {
    let config = Config { scrolling_history: 1000, ..Config::default() };
    let size = TermSize::new(usize::from(SIZE.columns), usize::from(SIZE.rows));
    let mut term = Term::new(config, &size, VoidListener);
    let mut parser = Processor::<StdSyncHandler>::new();
    let start = cpu();
    for chunk in corpus.chunks(CHUNK) {
        parser.advance(&mut term, chunk);
    }
    cpu() - start
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// Numbered lines of letters.
fn plain() -> Vec<u8> {
    let mut dice = Dice(1);
    let mut text = String::new();
    for line in 0.. {
        if text.len() >= CORPUS {
            break;
        }
        let _ = write!(text, "{line} ");
        for _ in 0..dice.below(105) + 5 {
            text.push(char::from(b'a' + dice.below(26) as u8));
        }
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// Whole screens with a new style every few cells.
fn dense() -> Vec<u8> {
    let mut dice = Dice(2);
    let mut text = String::new();
    while text.len() < CORPUS {
        text.push_str("\x1b[H");
        for row in 1..=SIZE.rows {
            let _ = write!(text, "\x1b[{row};1H");
            let mut column = 0;
            while column < u64::from(SIZE.columns) {
                let cells = (dice.below(8) + 1).min(u64::from(SIZE.columns) - column);
                let (red, green, blue) = (dice.below(256), dice.below(256), dice.below(256));
                let _ = write!(text, "\x1b[38;2;{red};{green};{blue}m");
                for _ in 0..cells {
                    text.push(char::from(b'!' + dice.below(90) as u8));
                }
                column += cells;
            }
        }
    }
    text.into_bytes()
}

/// A live block redrawn in place inside synchronized updates, now and then with new lines above.
fn agent() -> Vec<u8> {
    let mut dice = Dice(3);
    let mut text = String::new();
    let mut block = 0;
    for frame in 0.. {
        if text.len() >= CORPUS {
            break;
        }
        text.push_str("\x1b[?2026h");
        if block > 0 {
            let _ = write!(text, "\x1b[{block}A\r\x1b[J");
        }
        if frame % 10 == 0 {
            for _ in 0..=dice.below(6) {
                let _ = write!(
                    text,
                    "\x1b[32m+ {:4}\x1b[0m let value = compute();\x1b[K\r\n",
                    dice.below(9999)
                );
            }
        }
        let _ = write!(text, "\x1b[38;5;214m✳\x1b[0m \x1b[1mWorking\x1b[22m… {frame}s\r\n");
        let _ = write!(text, "\x1b[2m╭{}╮\x1b[0m\r\n", "─".repeat(100));
        for _ in 0..4 {
            let _ =
                write!(text, "\x1b[2m│\x1b[0m > {:<96} \x1b[2m│\x1b[0m\r\n", dice.below(1 << 40));
        }
        let _ = write!(text, "\x1b[2m╰{}╯\x1b[0m\r\n  ? for shortcuts\x1b[?2026l", "─".repeat(100));
        block = 7;
    }
    text.into_bytes()
}
