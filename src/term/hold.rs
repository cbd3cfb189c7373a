//! Holds back the output between the marks of a synchronized update (mode 2026).
//!
//! What is held has not reached the grid, so a screen read at any time is a whole frame. A program
//! that never ends its update is not waited for: bytes, feeds and time are each bounded.

use std::time::{Duration, Instant};

use memchr::memmem;

const BEGIN: &[u8] = b"\x1b[?2026h";
const END: &[u8] = b"\x1b[?2026l";
/// Longer than any frame: a full screen of single-character colour changes is half of it.
const MAX_BYTES: usize = 256 * 1024;
/// A frame written in more pieces than this is not being written to be shown at once.
const MAX_FEEDS: u32 = 256;
/// How long people would accept a screen to stand still; other terminals wait as long.
const MAX_TIME: Duration = Duration::from_millis(150);

#[derive(Debug, Default)]
pub(super) struct Hold {
    held: Vec<u8>,
    feeds: u32,
    /// When the update began; `None` while `held` is at most the beginning of a mark.
    since: Option<Instant>,
}

impl Hold {
    /// Passes on what is not to be held back, in order.
    pub(super) fn feed(&mut self, bytes: &[u8], pass: &mut impl FnMut(&[u8])) {
        if self.held.is_empty() {
            return self.search(bytes, pass);
        }
        if self.since.is_none() {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            return self.search(&joined, pass);
        }
        let overlap = self.held.len().saturating_sub(END.len() - 1).max(BEGIN.len());
        self.held.extend_from_slice(bytes);
        self.feeds += 1;
        if let Some(end) = memmem::find(&self.held[overlap..], END) {
            let held = std::mem::take(&mut self.held);
            let end = overlap + end + END.len();
            pass(&held[..end]);
            self.since = None;
            self.search(&held[end..], pass);
        } else if self.held.len() > MAX_BYTES || self.feeds > MAX_FEEDS || self.is_overdue() {
            self.release(pass);
        }
    }

    /// Ends an update that is being held.
    pub(super) fn release(&mut self, pass: &mut impl FnMut(&[u8])) {
        if self.since.take().is_none() {
            return;
        }
        pass(&std::mem::take(&mut self.held));
    }

    /// When an update that is being held ends by itself.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + MAX_TIME)
    }

    pub(super) fn is_overdue(&self) -> bool {
        self.deadline().is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Whether nothing is held back, not even what may be the beginning of a mark.
    pub(super) fn is_at_rest(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    fn search(&mut self, bytes: &[u8], pass: &mut impl FnMut(&[u8])) {
        let mut done = 0;
        while let Some(begin) = memmem::find(&bytes[done..], BEGIN) {
            let begin = done + begin;
            let Some(end) = memmem::find(&bytes[begin..], END) else {
                if begin > 0 {
                    pass(&bytes[..begin]);
                }
                self.held.extend_from_slice(&bytes[begin..]);
                self.since = Some(Instant::now());
                self.feeds = 0;
                if self.held.len() > MAX_BYTES {
                    self.release(pass);
                }
                return;
            };
            done = begin + end + END.len();
        }
        let mark = beginning_of_mark(&bytes[done..]);
        let whole = bytes.len() - mark;
        if whole > 0 {
            pass(&bytes[..whole]);
        }
        self.held.extend_from_slice(&bytes[whole..]);
    }
}

/// How many bytes at the end could begin the mark.
fn beginning_of_mark(bytes: &[u8]) -> usize {
    let longest = bytes.len().min(BEGIN.len() - 1);
    (1..=longest).rev().find(|length| bytes.ends_with(&BEGIN[..*length])).unwrap_or(0)
}
