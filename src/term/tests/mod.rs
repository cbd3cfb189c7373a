//! Tests of the emulator as a whole.

mod conformance;
mod generator;
mod keys;
mod limits;
mod links;
mod programs;
mod properties;
mod recordings;
mod sequences;

use super::Emulator;
use crate::model::screen::{Row, Screen, Size};

/// Everything that can be seen of an emulator, without the count of changes.
pub(super) fn seen(emulator: &mut Emulator) -> (Screen, Vec<Row>) {
    emulator.release();
    let mut screen = emulator.screen();
    // Another that has the same did not need to have had all that went before.
    (screen.sequence, screen.first_line, screen.asked.count) = (0, 0, 0);
    let above = above(emulator);
    (screen, above)
}

/// The rows above the screen.
pub(super) fn above(emulator: &mut Emulator) -> Vec<Row> {
    let kept = emulator.screen().scrollback;
    emulator.lines(0, kept).rows
}

pub(super) fn fed(size: Size, bytes: &[u8]) -> Emulator {
    let mut emulator = Emulator::new(size);
    emulator.feed(bytes);
    emulator
}

pub(super) fn size(columns: u16, rows: u16) -> Size {
    Size { columns, rows }
}
