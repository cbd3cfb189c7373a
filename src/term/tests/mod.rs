//! Tests of the emulator as a whole.

mod conformance;
mod generator;
mod keys;
mod limits;
mod properties;
mod recordings;
mod sequences;

use super::Emulator;
use crate::model::screen::{Row, Screen, Size};

/// Everything that can be seen of an emulator, without the count of changes.
pub(super) fn seen(emulator: &mut Emulator) -> (Screen, Vec<Row>) {
    emulator.release();
    let mut screen = emulator.screen();
    screen.sequence = 0;
    let above = emulator.scrollback(0, u32::MAX);
    (screen, above)
}

pub(super) fn fed(size: Size, bytes: &[u8]) -> Emulator {
    let mut emulator = Emulator::new(size);
    emulator.feed(bytes);
    emulator
}

pub(super) fn size(columns: u16, rows: u16) -> Size {
    Size { columns, rows }
}
