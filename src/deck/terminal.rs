//! One session's screen: the emulator, the offset it has read up to, and who waits for changes.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::status::Evidence;
use crate::model::input::Input;
use crate::model::lines::{Direction, Found, Lines, Needle, Spot};
use crate::model::link::LinkId;
use crate::model::screen::{Row, Screen, ScreenDelta, Size};
use crate::store;
use crate::term::Emulator;

/// Shared by the actor that feeds it and the clients that show it.
#[derive(Debug)]
pub struct Terminal {
    inner: Mutex<Inner>,
    changed: watch::Sender<Change>,
    /// Held while the file is written: one writer at a time, and none once it is `true`, which
    /// says that the session is forgotten.
    forgotten: Mutex<bool>,
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
    /// What the program asked before this offset was answered by an earlier server.
    answered: u64,
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

/// Output that was lost, and what it would have left behind.
#[derive(Clone, Copy, Debug)]
pub struct Gap<'a> {
    pub from: u64,
    pub to: u64,
    /// Brings a terminal on its main screen into the modes at `to`; empty when they are not known.
    pub modes: &'a str,
    /// The beginning of a sequence that `to` cuts in two.
    pub unfinished: &'a str,
}

/// A terminal as it is kept on disk: enough to rebuild it and go on from `offset`.
#[derive(Serialize, Deserialize)]
struct Checkpoint {
    version: u32,
    offset: u64,
    size: Size,
    /// What `Emulator::checkpoint` gave, compressed, and in Base64 because the file is JSON.
    state: String,
}

const CHECKPOINT_VERSION: u32 = 2;

/// Bytes of a checkpoint that are read at most: a file of ours is smaller by far.
const MOST_STATE: u64 = 256 << 20;

impl Terminal {
    pub fn new(size: Size) -> Self {
        Self::with(Emulator::new(size), 0)
    }

    fn with(emulator: Emulator, offset: u64) -> Self {
        let first = Change { sequence: emulator.sequence(), closed: false };
        let (changed, _) = watch::channel(first);
        let inner = Inner { emulator, offset, saved: offset, answered: offset };
        Self { inner: Mutex::new(inner), changed, forgotten: Mutex::new(false) }
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
        emulator.feed(&decompressed(&checkpoint.state)?);
        // A checkpoint is not the program's output; what it answers or rings is not for anyone.
        let _ = emulator.take_replies();
        let _ = emulator.take_bell();
        Some(Self::with(emulator, checkpoint.offset))
    }

    /// Writes the terminal's file, unless the session is forgotten.
    pub fn save(&self, path: &Path) -> anyhow::Result<()> {
        let forgotten = self.forgotten.lock().unwrap_or_else(PoisonError::into_inner);
        if *forgotten {
            return Ok(());
        }
        let (state, offset, size) = {
            let mut inner = self.lock();
            (inner.emulator.checkpoint(), inner.offset, inner.emulator.size())
        };
        // Ten thousand lines are not written and compressed while keys wait.
        let state = compressed(&state.into_bytes())?;
        let checkpoint = Checkpoint { version: CHECKPOINT_VERSION, offset, size, state };
        store::write_json(path, &checkpoint)?;
        self.lock().saved = offset;
        drop(forgotten);
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

    /// Takes note that output before `offset` was read by an earlier server: what the program
    /// asked there has its answer, and a second one would be keys that nobody typed.
    pub fn answered_until(&self, offset: u64) {
        let mut inner = self.lock();
        inner.answered = inner.answered.max(offset);
    }

    /// Takes what scrolls away within output that begins at the absolute `offset`. Gives back what
    /// is to be fed, and its own offset.
    pub fn skim<'a>(&self, offset: u64, bytes: &'a [u8]) -> (u64, &'a [u8]) {
        let mut inner = self.lock();
        let fresh = inner.fresh(offset, bytes);
        let passed = bytes.len() - fresh.len();
        let passed = passed + inner.emulator.skim(fresh);
        inner.offset = inner.offset.max(offset + passed as u64);
        (offset + passed as u64, &bytes[passed..])
    }

    /// Feeds output that begins at the absolute `offset`. Bytes that were fed before are passed
    /// over; after a gap the terminal goes on with what there is. Keys and frames wait meanwhile.
    pub fn feed(&self, offset: u64, bytes: &[u8]) -> Fed {
        let (fed, sequence) = {
            let mut inner = self.lock();
            let fresh = inner.fresh(offset, bytes);
            inner.take(offset + (bytes.len() - fresh.len()) as u64, fresh);
            let replies = inner.emulator.take_replies();
            let fed = Fed { replies, bell: inner.emulator.take_bell() };
            (fed, inner.emulator.sequence())
        };
        self.announce(sequence);
        fed
    }

    /// Goes on at a later offset after output was lost. A main screen says so where it is missing;
    /// an alternate one, which its program paints anew, begins empty. Returns whether it was said.
    pub fn skip(&self, gap: &Gap<'_>) -> bool {
        /// Ends whatever sequence was open.
        const CANCEL: &[u8] = b"\x18\x1b\\";
        let mut inner = self.lock();
        let emulator = &mut inner.emulator;
        emulator.feed(CANCEL);
        if emulator.modes().alternate_screen && !gap.modes.is_empty() {
            emulator.feed(b"\x1b[?1049l");
        }
        emulator.feed(gap.modes.as_bytes());
        let said = !emulator.modes().alternate_screen;
        if said {
            let lost = gap.to.saturating_sub(gap.from);
            let note = format!("\x1b[m\r\n[{lost} bytes of output were not kept]\r\n");
            emulator.feed(note.as_bytes());
        } else {
            emulator.feed(b"\x1b[m\x1b[H\x1b[2J");
        }
        emulator.feed(gap.unfinished.as_bytes());
        emulator.forget_reports();
        let _ = (emulator.take_replies(), emulator.take_bell());
        inner.offset = inner.offset.max(gap.to);
        let sequence = inner.emulator.sequence();
        drop(inner);
        self.announce(sequence);
        said
    }

    /// When [`Self::look`] must be called, because a synchronized update hides output.
    pub fn update_deadline(&self) -> Option<Instant> {
        self.lock().emulator.update_deadline()
    }

    /// Shows what a synchronized update has held back for too long.
    pub fn look(&self) -> Fed {
        let (fed, sequence) = {
            let mut inner = self.lock();
            let replies = inner.emulator.take_replies();
            (Fed { replies, bell: inner.emulator.take_bell() }, inner.emulator.sequence())
        };
        self.announce(sequence);
        fed
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

    /// What is known of what the program is doing; without its screen where that says nothing.
    pub(super) fn evidence(&self, with_screen: bool) -> Evidence {
        let mut inner = self.lock();
        let emulator = &mut inner.emulator;
        let (reported, title) = (emulator.reported(), emulator.title().to_owned());
        let rows = if with_screen { emulator.screen().rows } else { Vec::new() };
        drop(inner);
        let rows = rows.iter().map(Row::text).collect();
        Evidence { reported, title, rows, ..Evidence::default() }
    }

    pub fn encode(&self, input: &Input) -> Vec<u8> {
        self.lock().emulator.encode(input)
    }

    pub fn delta_since(&self, sequence: u64) -> Option<ScreenDelta> {
        self.lock().emulator.delta_since(sequence)
    }

    /// How much output was read, and the screen it made.
    pub fn moment(&self) -> (u64, Screen) {
        let mut inner = self.lock();
        let mut screen = Screen::blank(inner.emulator.size());
        if let Some(delta) = inner.emulator.delta_since(0) {
            screen.apply(delta);
        }
        (inner.offset, screen)
    }

    /// Where a link leads, if that is still kept.
    pub fn link(&self, link: LinkId) -> Option<String> {
        self.lock().emulator.link(link).map(str::to_owned)
    }

    /// What the program last wanted in the clipboard.
    pub fn clipboard(&self) -> Option<String> {
        self.lock().emulator.clipboard().map(str::to_owned)
    }

    /// Rows of the scrollback and the screen below it.
    pub fn lines(&self, start: u32, count: u32) -> Lines {
        self.lock().emulator.lines(start, count)
    }

    /// Looks for a text, and reads the lines around what it finds, of the same moment.
    pub fn find(
        &self,
        needle: &Needle,
        from: Spot,
        direction: Direction,
        around: u32,
    ) -> (Option<Found>, Lines) {
        let mut inner = self.lock();
        let found = inner.emulator.find(needle, from, direction);
        let line = found.map_or(u32::MAX, |found| found.passage.from.line);
        let count = if found.is_some() { around } else { 0 };
        let lines = inner.emulator.lines(line.saturating_sub(around / 2), count);
        (found, lines)
    }

    /// Tells everyone who watches that the session is forgotten. Its file is not written again
    /// once this returns.
    pub fn close(&self) {
        *self.forgotten.lock().unwrap_or_else(PoisonError::into_inner) = true;
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

impl Inner {
    /// What was not taken before of output that begins at `offset`.
    fn fresh<'a>(&self, offset: u64, bytes: &'a [u8]) -> &'a [u8] {
        let known = usize::try_from(self.offset.saturating_sub(offset)).unwrap_or(usize::MAX);
        bytes.get(known..).unwrap_or_default()
    }

    /// Takes output that begins at `offset`, which nobody took before.
    fn take(&mut self, offset: u64, bytes: &[u8]) {
        let answered = usize::try_from(self.answered.saturating_sub(offset)).unwrap_or(usize::MAX);
        let (answered, fresh) = bytes.split_at(answered.min(bytes.len()));
        if !answered.is_empty() {
            self.emulator.feed(answered);
            let _ = (self.emulator.take_replies(), self.emulator.take_bell());
        }
        if !fresh.is_empty() {
            self.emulator.feed(fresh);
        }
        self.offset = self.offset.max(offset + bytes.len() as u64);
    }
}

fn compressed(bytes: &[u8]) -> anyhow::Result<String> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes)?;
    Ok(BASE64.encode(encoder.finish()?))
}

fn decompressed(text: &str) -> Option<Vec<u8>> {
    let compressed = BASE64.decode(text).ok()?;
    let mut bytes = Vec::new();
    ZlibDecoder::new(&compressed[..]).take(MOST_STATE).read_to_end(&mut bytes).ok()?;
    Some(bytes)
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
    fn a_flood_is_at_its_end_and_only_its_last_lines_are_fed() {
        let terminal = Terminal::new(SIZE);
        terminal.feed(0, b"first\r\n");
        let flood = (0..5_000).map(|line| format!("line {line}\r\n")).collect::<Vec<_>>().concat();
        let bytes = [b"st\r\n", flood.as_bytes()].concat();
        let (offset, rest) = terminal.skim(3, &bytes);
        assert!(rest.len() < flood.len() / 2, "{} bytes", rest.len());
        terminal.feed(offset, rest);
        assert_eq!(terminal.offset(), 7 + flood.len() as u64);
        assert_eq!(text(&terminal), ["line 4997", "line 4998", "line 4999", ""]);
        assert_eq!(terminal.skim(0, b"first"), (5, &b""[..]));
    }

    #[test]
    fn a_question_is_answered_once() {
        let terminal = Terminal::new(SIZE);
        terminal.answered_until(6);
        assert_eq!(terminal.feed(0, b"\x1b[c\x07hi\x1b[").replies, b"");
        assert!(!terminal.feed(8, b"5n").replies.is_empty(), "a question that nobody answered");
    }

    #[test]
    fn an_update_that_never_ends_is_shown_at_its_deadline() {
        let terminal = Terminal::new(SIZE);
        terminal.feed(0, b"\x1b[?2026hhidden");
        let deadline = terminal.update_deadline().expect("an update is going on");
        let changes = terminal.changes();
        while Instant::now() < deadline {
            std::thread::yield_now();
        }
        terminal.look();
        assert!(changes.has_changed().expect("open"), "those who watch are woken");
        assert_eq!(text(&terminal)[0], "hidden");
        assert_eq!(terminal.update_deadline(), None);
    }

    #[test]
    fn a_gap_is_told_on_a_main_screen_and_never_on_an_alternate_one() {
        let gap = |modes| Gap { from: 5, to: 1_000, modes, unfinished: "\x1b[3" };
        let main = Terminal::new(SIZE);
        main.feed(0, b"first");
        assert!(main.skip(&gap("\x1b7\x1b8")));
        main.feed(1_000, b"1mred");
        assert_eq!(text(&main), ["first", "[995 bytes of output", " were not kept]", "red"]);

        let alternate = Terminal::new(SIZE);
        alternate.feed(0, b"first");
        assert!(!alternate.skip(&gap("\x1b[?1049h\x1b[?1h")));
        alternate.feed(1_000, b"1mred");
        assert_eq!(text(&alternate), ["red", "", "", ""]);
    }

    #[test]
    fn a_forgotten_session_is_not_written() {
        let home = tempfile::tempdir().expect("a directory");
        let path = home.path().join("0.json");
        let terminal = Terminal::new(SIZE);
        terminal.feed(0, b"old");
        terminal.close();
        terminal.save(&path).expect("nothing to do");
        assert!(!path.exists());
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
