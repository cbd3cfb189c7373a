//! Paths inside a repository, and text that others wrote.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path relative to a repository's root: bytes, `/`-separated, as git stores it.
///
/// In JSON it is text with anything unprintable escaped; on the wire it is exact.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RepoPath(Vec<u8>);

impl RepoPath {
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The part after the last `/`.
    pub fn file_name(&self) -> &[u8] {
        self.0.rsplit(|byte| *byte == b'/').next().unwrap_or(&self.0)
    }

    /// Whether this is `directory` or lies below it; everything lies below the root, which is
    /// empty.
    pub fn is_within(&self, directory: &Self) -> bool {
        let rest = self.0.strip_prefix(directory.as_bytes());
        directory.0.is_empty()
            || rest.is_some_and(|rest| rest.first().is_none_or(|next| *next == b'/'))
    }
}

impl fmt::Display for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&printable(&self.0))
    }
}

impl fmt::Debug for RepoPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", printable(&self.0))
    }
}

impl Serialize for RepoPath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&printable(&self.0))
        } else {
            serde_bytes::serialize(&self.0, serializer)
        }
    }
}

impl<'de> Deserialize<'de> for RepoPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            Ok(Self(String::deserialize(deserializer)?.into_bytes()))
        } else {
            serde_bytes::deserialize(deserializer).map(Self)
        }
    }
}

/// Makes bytes that others wrote safe to show: text stays, everything that could steer a terminal
/// or hide (C0, C1, DEL, bidirectional and zero-width characters, tags, bad UTF-8) is escaped.
pub fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if hides_or_steers(character) {
                text.extend(character.escape_unicode());
            } else {
                text.push(character);
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// Whether a character acts on a terminal or is invisible to a reader.
pub fn hides_or_steers(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}'
            // Letters and a pattern without ink, which name things in source as others do.
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}'
            // Selectors of variants, but for the two that emoji have everywhere.
            | '\u{fe00}'..='\u{fe0d}' | '\u{e0100}'..='\u{e01ef}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_escaped() {
        assert_eq!(printable(b"a\x1b]0;x\x07b"), "a\\u{1b}]0;x\\u{7}b");
        assert_eq!(printable("ab\u{202e}cd".as_bytes()), "ab\\u{202e}cd");
        assert_eq!(printable(b"caf\xc3\xa9 \xff"), "café \\xff");
        for unseen in ["\u{3164}", "\u{ffa0}", "\u{115f}", "\u{2800}", "\u{fe01}", "\u{e0110}"] {
            assert!(printable(unseen.as_bytes()).starts_with("\\u{"), "{unseen:?}");
        }
        assert_eq!(printable("✔\u{fe0f} 한글".as_bytes()), "✔\u{fe0f} 한글");
    }
}
