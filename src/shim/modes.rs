//! The modes of a terminal as output that was lost has left them.
//!
//! Bytes that leave a replay ring unread pass through here, so that a screen rebuilt from what is
//! left begins on the right screen, with the right keys and mouse, and not within a sequence.
//! Source of the sequences: xterm's control sequences, kitty's keyboard protocol.

use std::collections::BTreeMap;

use memchr::memchr;

const ESCAPE: u8 = 0x1b;
const BELL: u8 = 0x07;

/// Longest part of a sequence that is kept; longer ones are titles and pictures.
const MAX_SEQUENCE: usize = 256;

/// Keyboard modes a program may put aside, as terminals bound them.
const MAX_KEYBOARDS: usize = 16;

/// The private modes that are told, and what they are in a new terminal.
const PRIVATE: [(u16, bool); 15] = [
    (1, false),
    (6, false),
    (7, true),
    (25, true),
    (1000, false),
    (1002, false),
    (1003, false),
    (1004, false),
    (1005, false),
    (1006, false),
    (1007, true),
    (1015, false),
    (1016, false),
    (1042, true),
    (2004, false),
];

#[derive(Debug, Default)]
pub(super) struct Modes {
    /// The sequence at hand, from its escape on; at most its beginning.
    sequence: Vec<u8>,
    private: BTreeMap<u16, bool>,
    keypad: bool,
    alternate: bool,
    region: Option<(u16, u16)>,
    /// Keyboard flags put aside and current, of the main and the alternate screen.
    keyboards: [Vec<u16>; 2],
}

impl Modes {
    /// Takes output in order.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.sequence.is_empty() {
                let Some(start) = memchr(ESCAPE, bytes) else { return };
                self.sequence.push(ESCAPE);
                bytes = &bytes[start + 1..];
            } else {
                self.step(bytes[0]);
                bytes = &bytes[1..];
            }
        }
    }

    /// The terminal has another size: its scroll region is the whole of it again.
    pub(super) fn resized(&mut self) {
        self.region = None;
    }

    /// Brings a terminal on its main screen into these modes. The cursor stays on a main screen.
    pub(super) fn text(&self) -> String {
        let mut text = keyboard(&self.keyboards[0]);
        if self.alternate {
            text.push_str("\x1b[?1049h");
            text.push_str(&keyboard(&self.keyboards[1]));
        }
        // Origin mode and the region move the cursor.
        text.push_str("\x1b7");
        match self.region {
            Some((top, bottom)) => text.push_str(&format!("\x1b[{top};{bottom}r")),
            None => text.push_str("\x1b[r"),
        }
        for (mode, initial) in PRIVATE {
            let set = self.private.get(&mode).copied().unwrap_or(initial);
            text.push_str(&format!("\x1b[?{mode}{}", if set { 'h' } else { 'l' }));
        }
        text.push_str(if self.keypad { "\x1b=" } else { "\x1b>" });
        text.push_str("\x1b(B\x0f\x1b8");
        text
    }

    /// The beginning of a sequence whose end is still to come.
    pub(super) fn unfinished(&self) -> String {
        String::from_utf8_lossy(&self.sequence).into_owned()
    }

    fn step(&mut self, byte: u8) {
        // Whatever sequence is open, these end it.
        match byte {
            0x18 | 0x1a => return self.sequence.clear(),
            ESCAPE => {
                self.sequence.clear();
                return self.sequence.push(ESCAPE);
            }
            _ => {}
        }
        let ended = match self.sequence.get(1) {
            None => !matches!(byte, b'[' | b']' | b'P' | b'X' | b'^' | b'_' | 0x20..=0x2f),
            Some(b'[') => (0x40..=0x7e).contains(&byte),
            Some(b']' | b'P' | b'X' | b'^' | b'_') => byte == BELL,
            Some(_) => !(0x20..=0x2f).contains(&byte),
        };
        if self.sequence.len() < MAX_SEQUENCE {
            self.sequence.push(byte);
        }
        if ended {
            self.apply();
            self.sequence.clear();
        }
    }

    fn apply(&mut self) {
        let sequence = std::mem::take(&mut self.sequence);
        match sequence.as_slice() {
            [_, b'='] => self.keypad = true,
            [_, b'>'] => self.keypad = false,
            [_, b'c'] => *self = Self::default(),
            [_, b'[', b'!', b'p'] => {
                *self = Self {
                    alternate: self.alternate,
                    keyboards: std::mem::take(&mut self.keyboards),
                    ..Self::default()
                };
            }
            [_, b'[', b'?', parameters @ .., last @ (b'h' | b'l')] => {
                for mode in numbers(parameters) {
                    self.set(mode, *last == b'h');
                }
            }
            [_, b'[', kind @ (b'>' | b'<' | b'='), parameters @ .., b'u'] => {
                self.keyboard(*kind, &numbers(parameters).collect::<Vec<_>>());
            }
            [_, b'[', parameters @ .., b'r'] => {
                let plain = parameters.iter().all(|byte| byte.is_ascii_digit() || *byte == b';');
                let edges: Vec<u16> = numbers(parameters).collect();
                if plain {
                    self.region = match edges.as_slice() {
                        [top, bottom] if *bottom > 0 => Some(((*top).max(1), *bottom)),
                        _ => None,
                    };
                }
            }
            _ => {}
        }
    }

    fn set(&mut self, mode: u16, on: bool) {
        if matches!(mode, 47 | 1047 | 1049) {
            self.alternate = on;
        } else if PRIVATE.iter().any(|(known, _)| *known == mode) {
            self.private.insert(mode, on);
        }
    }

    fn keyboard(&mut self, kind: u8, parameters: &[u16]) {
        let stack = &mut self.keyboards[usize::from(self.alternate)];
        let first = parameters.first().copied().unwrap_or_default();
        match kind {
            b'>' => {
                if stack.len() == MAX_KEYBOARDS {
                    stack.remove(0);
                }
                stack.push(first);
            }
            b'<' => stack.truncate(stack.len().saturating_sub(usize::from(first.max(1)))),
            _ => {
                if stack.is_empty() {
                    stack.push(0);
                }
                if let Some(current) = stack.last_mut() {
                    *current = match parameters.get(1) {
                        Some(2) => *current | first,
                        Some(3) => *current & !first,
                        _ => first,
                    };
                }
            }
        }
    }
}

/// Empties a terminal's stack of keyboard modes and fills it anew.
fn keyboard(stack: &[u16]) -> String {
    let pushes = stack.iter().map(|flags| format!("\x1b[>{flags}u"));
    std::iter::once(format!("\x1b[<{MAX_KEYBOARDS}u\x1b[=0u")).chain(pushes).collect()
}

/// Numbers between semicolons; what is none counts as 0.
fn numbers(parameters: &[u8]) -> impl Iterator<Item = u16> {
    parameters
        .split(|byte| *byte == b';')
        .map(|digits| std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()))
        .map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_as_the_lost_output_left_them_however_it_is_split() {
        let output = b"\x1b[?1;2004hprompt\x1b[?2004l\x1b[?1049h\x1b[>1u\x1b[2;5r\x1b]2;a[?25l\x07\x1b[?25l\x1b[";
        let mut whole = Modes::default();
        whole.feed(output);
        let mut split = Modes::default();
        for byte in output {
            split.feed(&[*byte]);
        }
        assert_eq!(whole.text(), split.text());
        let text = whole.text();
        for wanted in
            ["\x1b[?1049h", "\x1b[>1u", "\x1b[2;5r", "\x1b[?1h", "\x1b[?2004l", "\x1b[?25l"]
        {
            assert!(text.contains(wanted), "{wanted:?} in {text:?}");
        }
        assert_eq!(whole.unfinished(), "\x1b[");
    }

    #[test]
    fn a_reset_forgets_and_an_unending_title_costs_little() {
        let mut modes = Modes::default();
        modes.feed(b"\x1b[?1049h\x1b[?1000h\x1bc");
        assert_eq!(modes.text(), Modes::default().text());
        modes.feed(b"\x1b]0;");
        modes.feed(&vec![b'x'; 1 << 20]);
        assert!(modes.unfinished().len() <= MAX_SEQUENCE);
    }
}
