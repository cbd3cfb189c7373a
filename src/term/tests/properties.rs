//! What holds for any output.

use proptest::prelude::*;
use proptest::sample::Index;

use super::generator::output;
use super::{fed, seen, size};
use crate::model::screen::{Row, Screen, Size};
use crate::term::Emulator;

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
        screen.sequence = 0;
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
        let mut rebuilt = fed(size, &original.checkpoint());
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
    }
}
