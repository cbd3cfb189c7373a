//! One session's screen: the emulator, the offset it has read up to, and who waits for changes.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::model::input::Input;
use crate::model::screen::{Row, ScreenDelta, Size};
use crate::store;
use crate::term::Emulator;

/// Output parsed while the lock is held, in bytes; bounds how long a key or a frame waits.
const CHUNK: usize = 64 << 10;

/// Shared by the actor that feeds it and the clients that show it.
#[derive(Debug)]
pub struct Terminal {
    inner: Mutex<Inner>,
    changed: watch::Sender<Change>,
}

/// What those who watch a terminal are woken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    pub sequence: u64,
    /// The session is forgotten; no change follows.
    pub closed: bool,
}

struct Inner {
    emulator: Emulator,
    /// Absolute offset of the next byte to feed.
    offset: u64,
    /// The offset of the last checkpoint that was written.
    saved: u64,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("offset", &self.offset).finish_non_exhaustive()
    }
}

/// What feeding output brought besides the change of the screen.
#[derive(Debug, Default)]
pub struct Fed {
    /// Bytes for the program's input: answers to its queries.
    pub replies: Vec<u8>,
    pub bell: bool,
}

/// A terminal as it is kept on disk: enough to rebuild it and go on from `offset`.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    offset: u64,
    size: Size,
    /// What `Emulator::checkpoint` gave, as hexadecimal, because the file is JSON.
    state: String,
}

const CHECKPOINT_VERSION: u32 = 1;

impl Terminal {
    pub fn new(size: Size) -> Self {
        Self::with(Emulator::new(size), 0)
    }

    fn with(emulator: Emulator, offset: u64) -> Self {
        let first = Change { sequence: emulator.sequence(), closed: false };
        let (changed, _) = watch::channel(first);
        Self { inner: Mutex::new(Inner { emulator, offset, saved: offset }), changed }
    }

    /// Rebuilds a terminal from its file; `None` when there is none that can be read.
    pub fn restore(path: &Path) -> Option<Self> {
        let checkpoint: Checkpoint = match store::read_json(path) {
            Ok(found) => found?,
            Err(error) => {
                tracing::warn!("a screen is lost: {error:#}");
                return None;
            }
        };
        if checkpoint.version != CHECKPOINT_VERSION {
            return None;
        }
        let mut emulator = Emulator::new(checkpoint.size);
        emulator.feed(&from_hex(&checkpoint.state)?);
        // A checkpoint is not the program's output; what it answers or rings is not for anyone.
        let _ = emulator.take_replies();
        let _ = emulator.take_bell();
        Some(Self::with(emulator, checkpoint.offset))
    }

    /// Writes the terminal's file.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let (checkpoint, offset) = {
            let mut inner = self.lock();
            let state = to_hex(&inner.emulator.checkpoint());
            let size = inner.emulator.size();
            let offset = inner.offset;
            (Checkpoint { version: CHECKPOINT_VERSION, offset, size, state }, offset)
        };
        store::write_json(path, &checkpoint)?;
        self.lock().saved = offset;
        Ok(())
    }

    /// Bytes fed since the last checkpoint.
    pub fn unsaved(&self) -> u64 {
        let inner = self.lock();
        inner.offset.saturating_sub(inner.saved)
    }

    pub fn offset(&self) -> u64 {
        self.lock().offset
    }

    /// Feeds output that begins at the absolute `offset`. Bytes that were fed before are passed
    /// over; after a gap the terminal goes on with what there is.
    pub fn feed(&self, offset: u64, bytes: &[u8]) -> Fed {
        let mut fed = Fed::default();
        let mut at = offset;
        for chunk in bytes.chunks(CHUNK) {
            let mut inner = self.lock();
            let known = usize::try_from(inner.offset.saturating_sub(at)).unwrap_or(usize::MAX);
            if let Some(fresh) = chunk.get(known..) {
                inner.emulator.feed(fresh);
                inner.offset = at + chunk.len() as u64;
            }
            fed.replies.extend(inner.emulator.take_replies());
            fed.bell |= inner.emulator.take_bell();
            at += chunk.len() as u64;
            let sequence = inner.emulator.sequence();
            drop(inner);
            self.announce(sequence);
        }
        fed
    }

    /// Goes on at a later offset after output was lost, showing `note` in its place.
    pub fn skip_to(&self, offset: u64, note: &[u8]) {
        let sequence = {
            let mut inner = self.lock();
            inner.emulator.feed(note);
            inner.offset = inner.offset.max(offset);
            inner.emulator.sequence()
        };
        self.announce(sequence);
    }

    pub fn resize(&self, size: Size) {
        let sequence = {
            let mut inner = self.lock();
            inner.emulator.resize(size);
            inner.emulator.sequence()
        };
        self.announce(sequence);
    }

    pub fn size(&self) -> Size {
        self.lock().emulator.size()
    }

    pub fn title(&self) -> String {
        self.lock().emulator.title().to_owned()
    }

    pub fn encode(&self, input: &Input) -> Vec<u8> {
        self.lock().emulator.encode(input)
    }

    pub fn delta_since(&self, sequence: u64) -> Option<ScreenDelta> {
        self.lock().emulator.delta_since(sequence)
    }

    pub fn scrollback(&self, start: u32, count: u32) -> Vec<Row> {
        self.lock().emulator.scrollback(start, count)
    }

    /// Tells everyone who watches that the session is forgotten.
    pub fn close(&self) {
        self.changed.send_modify(|change| change.closed = true);
    }

    /// A receiver that wakes with each change.
    pub fn changes(&self) -> watch::Receiver<Change> {
        self.changed.subscribe()
    }

    fn announce(&self, sequence: u64) {
        self.changed.send_if_modified(|change| {
            std::mem::replace(&mut change.sequence, sequence) != sequence
        });
    }

    /// The emulator is whole after any panic of a feeder, since it is only bytes in, cells out.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn to_hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|byte| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]])
        .map(char::from)
        .collect()
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|value| value as u8);
    text.as_bytes()
        .chunks(2)
        .map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { columns: 20, rows: 4 };

    fn text(terminal: &Terminal) -> Vec<String> {
        let delta = terminal.delta_since(0).expect("a full screen");
        let mut screen = crate::model::screen::Screen::blank(SIZE);
        screen.apply(delta);
        screen.rows.iter().map(crate::model::screen::Row::text).collect()
    }

    #[test]
    fn bytes_that_come_twice_are_fed_once() {
        let terminal = Terminal::new(SIZE);
        terminal.feed(0, b"one ");
        terminal.feed(2, b"e two");
        assert_eq!(text(&terminal)[0], "one two");
        assert_eq!(terminal.offset(), 7);
    }

    #[test]
    fn a_terminal_goes_on_from_its_file() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("0.json");
        let terminal = Terminal::new(SIZE);
        terminal.feed(0, b"\x1b[31mred\x1b[0m\r\nnext");
        terminal.save(&path).expect("saved");
        assert_eq!(terminal.unsaved(), 0);
        terminal.feed(terminal.offset(), b"!");

        let restored = Terminal::restore(&path).expect("restored");
        restored.feed(restored.offset(), b"!");
        assert_eq!(text(&restored), text(&terminal));
        assert_eq!(restored.offset(), terminal.offset());
    }
}
