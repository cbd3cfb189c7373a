//! The keyboard modes a program pushed, after the kitty keyboard protocol.
//!
//! Kept here and not in the grid's crate: each screen has its own stack, bounded, and both can be
//! written into a checkpoint. See <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>.

/// Modes a program may push on one screen; older ones fall out.
const MAX_DEPTH: usize = 16;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyboardFlags(pub(super) u8);

impl KeyboardFlags {
    pub(super) const DISAMBIGUATE: u8 = 1;
    pub(super) const ALL_KEYS: u8 = 1 << 3;
    const KNOWN: u8 = 0b1_1111;

    pub(super) fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct KeyboardStack {
    current: KeyboardFlags,
    /// What was current before each push.
    below: Vec<KeyboardFlags>,
}

impl KeyboardStack {
    pub(super) fn current(&self) -> KeyboardFlags {
        self.current
    }

    pub(super) fn below(&self) -> &[KeyboardFlags] {
        &self.below
    }

    pub(super) fn push(&mut self, flags: u16) {
        if self.below.len() == MAX_DEPTH {
            self.below.remove(0);
        }
        self.below.push(self.current);
        self.current = known(flags);
    }

    pub(super) fn pop(&mut self, count: u16) {
        for _ in 0..count.max(1) {
            let Some(flags) = self.below.pop() else {
                self.current = KeyboardFlags::default();
                return;
            };
            self.current = flags;
        }
    }

    /// Changes the current flags: replace (1), add (2) or remove (3).
    pub(super) fn set(&mut self, flags: u16, how: u16) {
        let flags = known(flags).0;
        self.current.0 = match how {
            2 => self.current.0 | flags,
            3 => self.current.0 & !flags,
            _ => flags,
        };
    }
}

fn known(flags: u16) -> KeyboardFlags {
    KeyboardFlags((flags & u16::from(KeyboardFlags::KNOWN)) as u8)
}
