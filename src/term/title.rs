//! The title a program sets, made harmless.

/// Longest payload that is looked at, in bytes.
const MAX_BYTES: usize = 1024;
/// Longest title, in characters.
const MAX_CHARACTERS: usize = 256;
/// Titles a program may put aside; older ones fall out.
const MAX_DEPTH: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Titles {
    current: String,
    aside: Vec<String>,
}

impl Titles {
    pub(super) fn current(&self) -> &str {
        &self.current
    }

    pub(super) fn aside(&self) -> &[String] {
        &self.aside
    }

    pub(super) fn set(&mut self, payload: &[u8]) {
        let text = String::from_utf8_lossy(&payload[..payload.len().min(MAX_BYTES)]);
        self.current = printable(&text, MAX_CHARACTERS);
    }

    pub(super) fn push(&mut self) {
        if self.aside.len() == MAX_DEPTH {
            self.aside.remove(0);
        }
        self.aside.push(self.current.clone());
    }

    pub(super) fn pop(&mut self) {
        if let Some(title) = self.aside.pop() {
            self.current = title;
        }
    }
}

/// What of a program's words may be shown, in at most so many characters.
pub(crate) fn printable(text: &str, characters: usize) -> String {
    let shown: String = text
        .trim()
        .chars()
        .filter(|character| !character.is_control() && !is_disguise(*character))
        .take(characters)
        .collect();
    shown.trim().to_owned()
}

/// Whether a character changes the order or look of others without being seen itself.
pub(super) fn is_disguise(character: char) -> bool {
    matches!(character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}
