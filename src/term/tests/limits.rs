//! Output meant to cost more than it should. Each test first shows what the bare grid pays.

use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::{Column, Line};
use alacritty_terminal::term::Config;
use alacritty_terminal::term::test::TermSize;
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};

use super::{fed, seen, size};
use crate::term::Emulator;

/// How many times 64 KiB are fed into a string without an end.
const LOOPS: usize = 1024;

fn bare(bytes: &[u8]) -> Term<VoidListener> {
    let mut term = Term::new(Config::default(), &TermSize::new(80, 24), VoidListener);
    Processor::<StdSyncHandler>::new().advance(&mut term, bytes);
    term
}

/// The resident memory of this process, in bytes.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn strings_without_an_end_cost_no_memory() {
    let chunk = vec![b'x'; 64 * 1024];
    for introducer in ["\x1b]0;", "\x1b]52;c;", "\x1bP", "\x1b_G", "\x1b^", "\x1bX", "\x1b[?2026h"]
    {
        let mut emulator = fed(size(80, 24), introducer.as_bytes());
        let before = resident();
        for _ in 0..LOOPS {
            emulator.feed(&chunk);
        }
        let kept = emulator.filter.unfinished().len() + emulator.hold.held().len();
        assert!(kept < 512 * 1024, "{introducer:?} keeps {kept}");
        // Other tests run beside this one, so only a growth by the whole input would tell.
        assert!(resident().saturating_sub(before) < LOOPS * chunk.len() / 2, "{introducer:?}");
        emulator.feed(b"\x1b\\\x1b[2J\x1b[Hstill here");
        assert_eq!(seen(&mut emulator).0.rows[0].text(), "still here");
    }
}

#[test]
fn marks_on_a_cell_are_few() {
    let marks = "a".to_owned() + &"\u{301}".repeat(100_000);
    let cell = |term: &Term<VoidListener>| {
        term.grid()[Line(0)][Column(0)].zerowidth().map_or(0, <[char]>::len)
    };
    assert_eq!(cell(&bare(marks.as_bytes())), 100_000);
    assert_eq!(cell(&fed(size(80, 24), marks.as_bytes()).terminal.term), 8);
    // Nor can they come one by one, or by repeating.
    let moved = "a".to_owned() + &"\u{301}\x1b[D\x1b[C\u{302}\x1b[999b".repeat(1000);
    assert_eq!(cell(&fed(size(80, 24), moved.as_bytes()).terminal.term), 8);
}

#[test]
fn a_repeat_fills_the_screen_at_most() {
    let repeat = b"x\x1b[65535b";
    assert!(bare(repeat).history_size() > 700);
    assert!(fed(size(80, 24), repeat).terminal.term.history_size() <= 1);
}

#[test]
fn keyboard_modes_and_titles_pushed_for_ever_are_dropped() {
    let pushes = "\x1b[>1u\x1b]0;t\x07\x1b[22t".repeat(10_000);
    let enabled = || {
        let config = Config { kitty_keyboard: true, ..Config::default() };
        let mut term = Term::new(config, &TermSize::new(80, 24), VoidListener);
        let kitty = "\x1b[>1u".repeat(10_000);
        Processor::<StdSyncHandler>::new().advance(&mut term, kitty.as_bytes());
    };
    assert!(std::panic::catch_unwind(enabled).is_err());
    let emulator = fed(size(80, 24), pushes.as_bytes());
    assert!(emulator.terminal.keyboards[0].below().len() <= 16);
    assert!(emulator.terminal.titles.aside().len() <= 8);
}

#[test]
fn an_update_that_never_ends_hides_nothing_for_ever() {
    let mut emulator = fed(size(80, 24), b"\x1b[?2026hshown");
    assert_eq!(emulator.screen().rows[0].text(), "");
    for _ in 0..300 {
        emulator.feed(b".");
    }
    assert!(emulator.screen().rows[0].text().starts_with("shown"));

    let mut emulator = fed(size(80, 24), b"\x1b[?2026hshown");
    let deadline = emulator.update_deadline().unwrap();
    while std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    let delta = emulator.delta_since(1).unwrap();
    assert_eq!(delta.rows[0].1.text(), "shown");
}

#[test]
fn a_title_is_short_and_printable() {
    let emulator = fed(size(80, 24), b"\x1b]0;a\x01b\xe2\x80\xaec\xff\x07");
    assert_eq!(emulator.title(), "abc\u{fffd}");
    let long = format!("\x1b]2;{}\x1b\\", "é".repeat(2000));
    assert_eq!(fed(size(80, 24), long.as_bytes()).title().chars().count(), 256);
}

#[test]
fn nothing_a_program_sent_comes_back_as_if_typed() {
    let hostile =
        b"\x1b]0;rm -rf x\r\x07\x1b[21t\x1b]52;c;?\x07\x1b]52;c;cm0=\x07\x1bP$qrm\r\x1b\\\
        \x1b]7501;?\x1b\\\x1b]50;?\x07\x1b_Ga=q,i=1;rm\x1b\\\x1b[?1$p";
    let replies = fed(size(80, 24), hostile).take_replies();
    assert_eq!(String::from_utf8(replies).unwrap(), "\x1bP0$r\x1b\\\x1b]7501;?\x1b\\\x1b[?1;2$y");
}

#[test]
fn answers_nobody_takes_are_dropped() {
    let mut emulator = Emulator::new(size(80, 24));
    for _ in 0..100 {
        emulator.feed(&b"\x1b[6n\x1b[>q".repeat(100));
    }
    assert!(emulator.take_replies().len() <= 4096);
    emulator.feed(b"\x1b[5n");
    assert_eq!(emulator.take_replies(), b"\x1b[0n");
}

#[test]
fn the_largest_numbers_are_harmless() {
    let mut emulator = Emulator::new(size(80, 24));
    for last in b'@'..=b'~' {
        for prefix in ["", "?", ">", "=", "<"] {
            let last = char::from(last);
            emulator.feed(format!("\x1b[3g\x1b[5;5H\x1b[{prefix}65535;65535{last}x").as_bytes());
            emulator.feed(format!("\x1b[{prefix}99999999999999999999{last}x").as_bytes());
            emulator.delta_since(0);
        }
    }
}
