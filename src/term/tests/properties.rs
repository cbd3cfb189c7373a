//! What holds for any output.

use alacritty_terminal::Term;
use alacritty_terminal::event::VoidListener;
use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Line;
use alacritty_terminal::term::Config;
use alacritty_terminal::term::test::TermSize;
use alacritty_terminal::vte::ansi::{Processor, StdSyncHandler};
use proptest::prelude::*;
use proptest::sample::Index;

use super::generator::{flood, output, text};
use super::{fed, seen, size};
use crate::model::screen::{Row, Screen, Size};
use crate::term::{Emulator, rows};

fn sizes() -> impl Strategy<Value = Size> {
    (4_u16..24, 3_u16..9).prop_map(|(columns, rows)| size(columns, rows))
}

fn split(bytes: &[u8], places: &[Index]) -> Vec<Vec<u8>> {
    let mut ends: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    let parts = ends.into_iter().map(|end| bytes[std::mem::replace(&mut start, end)..end].to_vec());
    parts.collect()
}

/// The grid as its own crate fills it, character by character.
fn bare(size: Size, bytes: &[u8]) -> Term<VoidListener> {
    let config = Config { scrolling_history: 1000, ..Config::default() };
    let cells = TermSize::new(usize::from(size.columns), usize::from(size.rows));
    let mut term = Term::new(config, &cells, VoidListener);
    Processor::<StdSyncHandler>::new().advance(&mut term, bytes);
    term
}

fn cells(row: &Row) -> usize {
    row.runs.iter().map(|run| usize::from(run.cells)).sum()
}

proptest! {
    #[test]
    fn any_split_gives_the_same(
        size in sizes(),
        bytes in output(),
        places in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let mut whole = fed(size, &bytes);
        let mut parts = Emulator::new(size);
        for part in split(&bytes, &places) {
            parts.feed(&part);
        }
        prop_assert_eq!(seen(&mut whole), seen(&mut parts));
        prop_assert_eq!(whole.take_replies(), parts.take_replies());
        prop_assert_eq!(whole.take_bell(), parts.take_bell());
    }

    #[test]
    fn any_schedule_of_deltas_gives_the_screen(
        size in sizes(),
        bytes in output(),
        places in prop::collection::vec((any::<Index>(), any::<bool>()), 0..12),
        resized in proptest::option::of(sizes()),
    ) {
        let (places, looks): (Vec<Index>, Vec<bool>) = places.into_iter().unzip();
        let mut emulator = Emulator::new(size);
        let mut reference = Emulator::new(size);
        let mut screen = Screen::blank(size);
        let parts = split(&bytes, &places);
        for (index, part) in parts.iter().enumerate() {
            emulator.feed(part);
            reference.feed(part);
            if let Some(size) = resized && index == parts.len() / 2 {
                emulator.resize(size);
                reference.resize(size);
            }
            if looks.get(index) == Some(&true) && let Some(delta) = emulator.delta_since(screen.sequence) {
                screen.apply(delta);
            }
        }
        emulator.release();
        if let Some(delta) = emulator.delta_since(screen.sequence) {
            screen.apply(delta);
        }
        (screen.sequence, screen.first_line, screen.asked.count) = (0, 0, 0);
        prop_assert_eq!(emulator.delta_since(emulator.sequence()), None);
        prop_assert_eq!(screen, seen(&mut reference).0);
    }

    #[test]
    fn rows_are_as_wide_as_the_screen_at_most(size in sizes(), bytes in output()) {
        let (screen, above) = seen(&mut fed(size, &bytes));
        for row in screen.rows.iter().chain(&above) {
            prop_assert!(cells(row) <= usize::from(size.columns));
            for run in &row.runs {
                prop_assert!(!run.text.is_empty() && !run.text.chars().any(char::is_control));
                prop_assert!(run.cells <= 2 || run.text.chars().count() == usize::from(run.cells));
            }
        }
    }

    #[test]
    fn a_checkpoint_rebuilds_the_screen_and_what_follows(
        size in sizes(),
        before in output(),
        after in output(),
    ) {
        let mut original = fed(size, &before);
        let mut rebuilt = fed(size, &original.checkpoint().into_bytes());
        original.take_replies();
        prop_assert_eq!(rebuilt.take_replies(), b"");
        original.feed(b"");
        let held = original.update_deadline().is_some();
        prop_assert_eq!(held, rebuilt.update_deadline().is_some());
        if !held {
            prop_assert_eq!(seen(&mut original), seen(&mut rebuilt));
        }
        original.feed(&after);
        rebuilt.feed(&after);
        prop_assert_eq!(seen(&mut original), seen(&mut rebuilt));
        prop_assert_eq!(original.take_replies(), rebuilt.take_replies());
        prop_assert_eq!(original.reported(), rebuilt.reported());
    }
}

proptest! {
    // A flood is a thousand lines at least.
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_flood_that_is_skimmed_leaves_what_all_of_it_would(
        size in sizes(),
        before in output(),
        flood in flood(),
        after in output(),
    ) {
        let mut whole = fed(size, &before);
        let mut skimmed = fed(size, &before);
        let bytes = [flood, after].concat();
        whole.feed(&bytes);
        let passed = skimmed.skim(&bytes);
        skimmed.feed(&bytes[passed..]);
        prop_assert_eq!(seen(&mut whole), seen(&mut skimmed));
        prop_assert_eq!(whole.take_replies(), skimmed.take_replies());
        prop_assert_eq!(whole.take_bell(), skimmed.take_bell());
        let mut rebuilt = fed(size, &skimmed.checkpoint().into_bytes());
        prop_assert_eq!(seen(&mut whole), seen(&mut rebuilt));
    }

    #[test]
    fn rows_that_are_packed_look_as_they_did(
        size in sizes(),
        before in output(),
        flood in flood(),
        after in output(),
        columns in 2_u16..40,
    ) {
        let bytes = [before, flood, b"\x1b[m".to_vec(), after].concat();
        let mut grid = fed(size, &bytes);
        let mut packed = fed(size, &bytes);
        if !packed.modes().alternate_screen {
            packed.terminal.pack_all_but(0);
        }
        prop_assert_eq!(seen(&mut grid), seen(&mut packed));
        // Nor is anything lost where they are cut anew.
        packed.resize(Size { columns, ..size });
        let lines = packed.lines(0, u32::MAX);
        let cut: usize = lines.rows.iter().map(|row| row.text().trim().len()).sum();
        prop_assert!(lines.rows.iter().all(|row| cells(row) <= usize::from(columns)));
        packed.resize(size);
        let back: Vec<Row> = packed.lines(0, u32::MAX).rows;
        let again: usize = back.iter().map(|row| row.text().trim().len()).sum();
        prop_assert!(again.abs_diff(cut) <= lines.rows.len() + back.len());
    }
}

proptest! {
    #[test]
    fn text_stands_in_the_cells_in_which_the_grid_itself_writes_it(
        size in sizes(),
        bytes in text(),
        places in prop::collection::vec(any::<Index>(), 0..12),
    ) {
        let mut ours = Emulator::new(size);
        for part in split(&bytes, &places) {
            ours.feed(&part);
        }
        let grid = bare(size, &bytes);
        let all: Vec<_> = ours.terminal.all_lines().collect();
        let (ours, theirs) = (ours.terminal.term.grid(), grid.grid());
        let lines = theirs.topmost_line().0..=theirs.bottommost_line().0;
        let theirs_all: Vec<_> = lines.map(|line| rows::row(&theirs[Line(line)])).collect();
        prop_assert_eq!(all, theirs_all);
        prop_assert_eq!(ours.cursor.point, theirs.cursor.point);
        prop_assert_eq!(ours.cursor.input_needs_wrap, theirs.cursor.input_needs_wrap);
    }
}

#[test]
fn of_a_flood_of_lines_the_first_are_not_read() {
    let mut emulator = fed(size(80, 24), b"begin");
    let line = b"a line of output\r\n";
    let passed = |emulator: &mut Emulator, bytes: &[u8]| emulator.skim(bytes) / line.len();
    let flood = line.repeat(5_000);
    assert_eq!(passed(&mut emulator, &flood), 5_000 - 304);
    let colored = [&flood[..], b"\x1b[31mred"].concat();
    assert_eq!(passed(&mut emulator, &colored), 5_000 - 304);
    for spoiled in [&b"\x07"[..], b"\x0e", b"\x1b[31m"] {
        let early = [line, spoiled, &line.repeat(1_000)[..], spoiled, line].concat();
        assert_eq!(passed(&mut emulator, &early), 0, "{spoiled:?}");
        assert_eq!(passed(&mut emulator, &[spoiled, &flood].concat()), 0, "{spoiled:?}");
    }
    for unfinished in [&b"\x1b[2;9r"[..], b"\x1b[r\x1b[", b"m\xe4\xb8", b"\xad\x1b[?2026h"] {
        emulator.feed(unfinished);
        assert_eq!(passed(&mut emulator, &flood), 0, "{unfinished:?}");
    }
}

#[test]
fn a_repeat_after_a_skimmed_flood_repeats_what_it_would_have() {
    let ends = b"\r\n".repeat(2_000);
    for rest in [&b"\x1b[5b"[..], b"kept\x1b[5b", b"\xe4\xb8\xad\x1b[5b", b"kept\r\n\x1b[5b"] {
        let flood = [&b"printed\r\n".repeat(100)[..], &ends, rest].concat();
        let mut whole = fed(size(20, 5), b"before");
        let mut skimmed = fed(size(20, 5), b"before");
        whole.feed(&flood);
        let passed = skimmed.skim(&flood);
        assert!(passed > 900, "what is printed is passed over");
        skimmed.feed(&flood[passed..]);
        assert_eq!(seen(&mut skimmed), seen(&mut whole), "{rest:?}");
    }
}
