//! The replay ring of a session: its last output, by absolute offset.

use std::collections::VecDeque;

use super::modes::Modes;

/// Output kept for a session, in bytes: some hundred full-screen repaints.
pub(super) const CAPACITY: usize = 1 << 20;

/// The newest `CAPACITY` bytes of a stream. Memory grows with use, never ahead of it.
#[derive(Default)]
pub(super) struct Ring {
    bytes: VecDeque<u8>,
    start: u64,
    /// What the output before `start` has left behind.
    modes: Modes,
    /// Where in the output the terminal changed its size, at or after `start`, in order.
    resizes: VecDeque<u64>,
}

/// Changes of size remembered. Past that the oldest is taken as having left: a person's resizes
/// within one ring are a handful, and only a scroll region depends on them.
const MAX_RESIZES: usize = 256;

impl Ring {
    /// Offset of the oldest byte still here.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Offset of the next byte to come.
    pub(super) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The modes of a terminal that has read everything up to `start`.
    pub(super) fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Appends output; what no longer fits leaves at the old end.
    pub(super) fn push(&mut self, output: &[u8]) {
        let skipped = output.len().saturating_sub(CAPACITY);
        let kept = &output[skipped..];
        let leaving = (self.bytes.len() + kept.len()).saturating_sub(CAPACITY);
        let (front, back) = self.bytes.as_slices();
        let split = leaving.min(front.len());
        let mut at = self.start;
        for bytes in [&front[..split], &back[..leaving - split], &output[..skipped]] {
            leave(bytes, &mut at, &mut self.modes, &mut self.resizes);
        }
        self.bytes.drain(..leaving);
        self.start = at;
        self.grow_for(kept.len());
        self.bytes.extend(kept);
    }

    /// Notes that the terminal changes its size between what was printed and what will be.
    pub(super) fn resized(&mut self) {
        if self.bytes.is_empty() {
            return self.modes.resized();
        }
        if self.resizes.len() == MAX_RESIZES {
            self.resizes.pop_front();
            self.modes.resized();
        }
        self.resizes.push_back(self.end());
    }

    /// Appends at most `limit` bytes from offset `from` on, which must lie in the ring, to `output`.
    pub(super) fn read(&self, from: u64, limit: usize, output: &mut Vec<u8>) {
        let start = (from.saturating_sub(self.start) as usize).min(self.bytes.len());
        let end = self.bytes.len().min(start.saturating_add(limit));
        let (front, back) = self.bytes.as_slices();
        let part = |at: usize| (at.min(front.len()), at.saturating_sub(front.len()));
        let ((front_start, back_start), (front_end, back_end)) = (part(start), part(end));
        output.extend_from_slice(&front[front_start..front_end]);
        output.extend_from_slice(&back[back_start..back_end]);
    }

    /// Doubles the room, but never beyond `CAPACITY`, where `VecDeque` alone might go to twice it.
    fn grow_for(&mut self, added: usize) {
        let needed = self.bytes.len() + added;
        if needed > self.bytes.capacity() {
            let room = needed.next_power_of_two().min(CAPACITY);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
    }
}

/// Lets the modes know of output that leaves, which begins at `at`, and of the resizes within it.
fn leave(mut bytes: &[u8], at: &mut u64, modes: &mut Modes, resizes: &mut VecDeque<u64>) {
    while let Some(resize) =
        resizes.front().copied().filter(|resize| resize.saturating_sub(*at) <= bytes.len() as u64)
    {
        let (before, after) = bytes.split_at(resize.saturating_sub(*at) as usize);
        modes.feed(before);
        modes.resized();
        resizes.pop_front();
        *at += before.len() as u64;
        bytes = after;
    }
    modes.feed(bytes);
    *at += bytes.len() as u64;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resize_ends_the_scroll_region_that_was_set_before_it() {
        let lost = |resize_after: &[u8], rest: &[u8]| {
            let mut ring = Ring::default();
            ring.push(resize_after);
            ring.resized();
            ring.push(rest);
            ring.push(&vec![b'x'; CAPACITY]);
            ring.modes().text()
        };
        let region = "\x1b[1;25r";
        assert!(lost(b"", b"\x1b[1;25r").contains(region));
        assert!(lost(b"before", b"\x1b[1;25rafter").contains(region));
        assert!(!lost(b"\x1b[1;25r", b"after").contains(region));
        assert!(!lost(b"\x1b[1;25r and more", b"").contains(region));
    }

    fn read(ring: &Ring, from: u64, limit: usize) -> Vec<u8> {
        let mut output = Vec::new();
        ring.read(from, limit, &mut output);
        output
    }

    #[test]
    fn offsets_stay_true_when_the_ring_laps() {
        let mut ring = Ring::default();
        ring.push(b"0123456789");
        assert_eq!((ring.start(), ring.end()), (0, 10));
        assert_eq!(read(&ring, 4, 3), b"456");
        ring.push(&vec![b'x'; CAPACITY - 4]);
        assert_eq!((ring.start(), ring.end()), (6, CAPACITY as u64 + 6));
        assert_eq!(read(&ring, 6, 5), b"6789x");
        assert_eq!(read(&ring, ring.end(), 5), b"");
    }

    #[test]
    fn what_leaves_the_ring_is_known_by_its_modes() {
        let mut ring = Ring::default();
        ring.push(b"\x1b[?1049h\x1b[?25");
        assert!(!ring.modes().text().contains("1049h"));
        ring.push(&vec![b'l'; CAPACITY]);
        assert!(ring.modes().text().contains("\x1b[?1049h"));
        assert_eq!(ring.modes().unfinished(), "\x1b[?25");
    }

    #[test]
    fn one_push_larger_than_the_ring_keeps_its_tail() {
        let mut ring = Ring::default();
        ring.push(b"ab");
        let mut flood = vec![b'x'; CAPACITY + 3];
        *flood.last_mut().expect("not empty") = b'!';
        ring.push(&flood);
        assert_eq!((ring.start(), ring.end()), (5, CAPACITY as u64 + 5));
        assert_eq!(read(&ring, ring.end() - 2, 9), b"x!");
        assert!(ring.bytes.capacity() <= CAPACITY, "{}", ring.bytes.capacity());
    }
}
