//! Contents as people read them: bytes as they are, or the text that UTF-16 stands for, which git
//! takes for binary.
//!
//! Told by the bytes alone, as a diff is asked of contents and not of attributes. Contents that are
//! compared are read only where all are written alike: then every difference shows, and what is put
//! together of their lines can be written as they are.

use super::encoding::{Encoding, Mark, Order};
use super::lines;
use crate::model::diff::TextEncoding;

/// Characters in a hundred that text without a mark has of letters, digits, blanks and punctuation.
const PLAIN: usize = 75;

/// How a text of UTF-16 is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Utf16 {
    order: Order,
    mark: Mark,
}

impl Utf16 {
    /// What a content is written in, and its text.
    fn read(content: &[u8]) -> Option<(Self, Vec<u8>)> {
        let marked = |order| Self { order, mark: Mark::Written };
        let found = match content {
            [0xff, 0xfe, ..] => marked(Order::Little),
            [0xfe, 0xff, ..] => marked(Order::Big),
            _ if !lines::is_binary(content) => return None,
            _ => {
                let orders = [Order::Little, Order::Big];
                let mut unmarked = orders.map(|order| Self { order, mark: Mark::Refused });
                return unmarked.iter_mut().find_map(|it| {
                    it.text(content).filter(|text| is_plain(text)).map(|text| (*it, text))
                });
            }
        };
        found.text(content).filter(|text| !text.contains(&0)).map(|text| (found, text))
    }

    fn text(self, content: &[u8]) -> Option<Vec<u8>> {
        self.encoding().decode(content)
    }

    /// A text in the same form.
    pub(super) fn write(self, text: &[u8]) -> Option<Vec<u8>> {
        self.encoding().encode(text)
    }

    fn encoding(self) -> Encoding {
        Encoding::Utf16(self.order, self.mark)
    }

    pub(super) fn name(self) -> TextEncoding {
        match self.order {
            Order::Little => TextEncoding::Utf16Le,
            Order::Big => TextEncoding::Utf16Be,
        }
    }
}

/// Makes contents what is read of them, and says how they were written where that was UTF-16; fails
/// with the first that is binary. What is empty is as good as any.
pub(super) fn read(contents: &mut [Vec<u8>]) -> Result<Option<Utf16>, usize> {
    let read = contents
        .iter()
        .map(|content| if content.is_empty() { None } else { Some(Utf16::read(content)) });
    let read: Vec<_> = read.collect();
    let mut forms = read.iter().flatten().map(|found| found.as_ref().map(|(form, _)| *form));
    if let Some(Some(form)) = forms.next()
        && forms.all(|other| other == Some(form))
    {
        for (content, found) in contents.iter_mut().zip(read) {
            *content = found.flatten().map_or_else(Vec::new, |(_, text)| text);
        }
        return Ok(Some(form));
    }
    match contents.iter().position(|content| lines::is_binary(content)) {
        Some(binary) => Err(binary),
        None => Ok(None),
    }
}

/// Whether characters are those of a text in lines, which other bytes hardly ever are by chance.
fn is_plain(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let is_blank = |character: char| matches!(character, '\t' | '\n' | '\r' | '\x0c');
    if !text.contains('\n') || text.chars().any(|it| it.is_control() && !is_blank(it)) {
        return false;
    }
    let (mut plain, mut all) = (0, 0);
    for character in text.chars() {
        let punctuation = character.is_ascii_punctuation()
            || matches!(character, '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}');
        all += 1;
        plain +=
            usize::from(character.is_alphanumeric() || character.is_whitespace() || punctuation);
    }
    plain * 100 >= all * PLAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(name: &str, text: &str) -> Vec<u8> {
        let encoding = Encoding::named(name.as_bytes()).expect("an encoding");
        encoding.encode(text.as_bytes()).expect("a text")
    }

    #[test]
    fn texts_of_utf_16_are_read_and_written_back_as_they_were() {
        for text in ["one\ntwo\r\n", "gr\u{fc}n \u{1f98a}\n", "\u{65e5}\u{672c}\u{8a9e}\n", "\n"] {
            for name in ["UTF-16LE", "UTF-16BE", "UTF-16LE-BOM", "UTF-16BE-BOM"] {
                let content = written(name, text);
                let mut contents = [content.clone(), Vec::new()];
                let form = read(&mut contents).expect("text").expect("of UTF-16");
                assert_eq!(contents, [text.as_bytes().to_vec(), Vec::new()], "{name}");
                assert_eq!(form.write(text.as_bytes()), Some(content), "{name}");
                assert_eq!(form.name() == TextEncoding::Utf16Be, name.starts_with("UTF-16BE"));
            }
        }
    }

    #[test]
    fn what_is_not_written_alike_is_not_compared_as_text() {
        let little = written("UTF-16LE-BOM", "one\n");
        for other in ["UTF-16LE", "UTF-16BE-BOM"] {
            let mut contents = [little.clone(), written(other, "one\n")];
            let before = contents.clone();
            assert_eq!(read(&mut contents), Err(0), "{other}");
            assert_eq!(contents, before);
        }
        assert_eq!(read(&mut [b"one\n".to_vec(), little]), Err(1), "git stores one, the other not");
    }

    #[test]
    fn other_bytes_stay_what_they_are() {
        for binary in [&b"\0one"[..], b"a\0b", b"\xff\xfe\0\0a\0\0\0", b"\x01\0\n\0", b"\n\0\0\xd8"]
        {
            assert_eq!(read(&mut [binary.to_vec()]), Err(0), "{binary:?}");
        }
        for text in [&b"one\n"[..], b"", b"\xfc\n", "\u{feff}one\n".as_bytes()] {
            let mut contents = [text.to_vec()];
            assert_eq!(read(&mut contents), Ok(None));
            assert_eq!(contents, [text]);
        }
    }
}
