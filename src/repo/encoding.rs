//! Encodings in which files stand in a working tree that git stores as UTF-8
//! (`working-tree-encoding` in gitattributes(5)).

use gix::filter::plumbing::{encoding, worktree};

/// The mark at the beginning of a text that tells the order of its bytes.
const MARK: char = '\u{feff}';

/// How a file stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Encoding {
    Utf16(Order, Mark),
    /// One of those before Unicode.
    Other(&'static encoding::Encoding),
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

/// What git makes of the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// It has to be there, and says what the order is.
    Required,
    /// It is written; where it is missing the order is known.
    Written,
    Refused,
}

impl Encoding {
    /// The encoding of that name; `None` where nothing is to be done.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        let name = String::from_utf8_lossy(name).to_uppercase();
        // As git does, which takes `UTF16` for `UTF-16`.
        let unicode = name.strip_prefix("UTF").map(|rest| rest.strip_prefix('-').unwrap_or(rest));
        Some(match unicode {
            Some("8") => return None,
            // The C library writes it in the order of the machine.
            Some("16") => Self::Utf16(Order::Little, Mark::Required),
            Some("16LE-BOM") => Self::Utf16(Order::Little, Mark::Written),
            Some("16BE-BOM") => Self::Utf16(Order::Big, Mark::Written),
            Some("16LE") => Self::Utf16(Order::Little, Mark::Refused),
            Some("16BE") => Self::Utf16(Order::Big, Mark::Refused),
            Some(_) => Self::Unknown,
            None => match worktree::encoding::for_label(name.as_bytes()) {
                Ok(known) => Self::Other(known),
                Err(_) => Self::Unknown,
            },
        })
    }

    /// UTF-8 of a file; `None` where git would not take it.
    pub(super) fn decode(self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (order, mark) = match self {
            Self::Utf16(order, mark) => (order, mark),
            Self::Other(known) => {
                let (mut text, check) = (Vec::new(), worktree::encode_to_git::RoundTripCheck::Skip);
                worktree::encode_to_git(bytes, known, &mut text, check).ok()?;
                return Some(text);
            }
            Self::Unknown => return None,
        };
        let told = match bytes {
            [0xff, 0xfe, ..] => Some(Order::Little),
            [0xfe, 0xff, ..] => Some(Order::Big),
            _ => None,
        };
        let order = match (mark, told) {
            (Mark::Required, None) | (Mark::Refused, Some(_)) => return None,
            (_, told) => told.unwrap_or(order),
        };
        let (units, []) = bytes.as_chunks::<2>() else { return None };
        let units = units.iter().skip(usize::from(told.is_some())).map(|unit| match order {
            Order::Little => u16::from_le_bytes(*unit),
            Order::Big => u16::from_be_bytes(*unit),
        });
        let text: Result<String, _> = char::decode_utf16(units).collect();
        text.ok().map(String::into_bytes)
    }

    /// A file of UTF-8; `None` where git would write it as it is.
    pub(super) fn encode(self, text: &[u8]) -> Option<Vec<u8>> {
        let (order, mark) = match self {
            Self::Utf16(order, mark) => (order, mark),
            Self::Other(known) => {
                let mut bytes = Vec::new();
                worktree::encode_to_worktree(text, known, &mut bytes).ok()?;
                return Some(bytes);
            }
            Self::Unknown => return None,
        };
        let text = std::str::from_utf8(text).ok()?;
        let mark = (mark != Mark::Refused).then_some(MARK);
        let mut bytes = Vec::with_capacity(text.len() * 2 + 2);
        let mut buffer = [0; 2];
        for character in mark.into_iter().chain(text.chars()) {
            for unit in character.encode_utf16(&mut buffer) {
                bytes.extend(match order {
                    Order::Little => unit.to_le_bytes(),
                    Order::Big => unit.to_be_bytes(),
                });
            }
        }
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_and_what_git_refuses_is_not() {
        let text = "gr\u{fc}n \u{1f98a}\n".as_bytes();
        for (name, first) in [
            ("UTF-16", &b"\xff\xfeg\0"[..]),
            ("utf16", b"\xff\xfeg\0"),
            ("UTF-16LE", b"g\0r\0"),
            ("UTF-16BE", b"\0g\0r"),
            ("UTF-16LE-BOM", b"\xff\xfeg\0"),
            ("UTF-16BE-BOM", b"\xfe\xff\0g"),
        ] {
            let encoding = Encoding::named(name.as_bytes()).expect("an encoding");
            let bytes = encoding.encode(text).expect("encoded");
            assert!(bytes.starts_with(first), "{name}: {bytes:?}");
            assert_eq!(encoding.decode(&bytes).as_deref(), Some(text), "{name}");
            assert_eq!(encoding.decode(b"\xff\xfeodd"), None, "{name}");
            assert_eq!(encoding.encode(b"\xff no text"), None, "{name}");
        }
        let named = |name: &str| Encoding::named(name.as_bytes());
        assert_eq!(named("UTF-8"), None);
        assert_eq!(named("UTF-16").and_then(|it| it.decode(b"g\0")), None, "the mark is missing");
        assert_eq!(named("UTF-16LE").and_then(|it| it.decode(b"\xff\xfeg\0")), None);
        let latin = named("ISO-8859-1").expect("known");
        assert_eq!(latin.encode("\u{fc}".as_bytes()).as_deref(), Some(&b"\xfc"[..]));
        assert_eq!(latin.decode(b"\xfc").as_deref(), Some("\u{fc}".as_bytes()));
        for name in ["UTF-32", "UTF-7", "no such"] {
            assert_eq!(named(name), Some(Encoding::Unknown));
        }
    }
}
