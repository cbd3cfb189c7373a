//! One line of text that a person edits.

use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::path::hides_or_steers;

/// Longest text kept, in bytes; a paste beyond it is cut.
const MOST_BYTES: usize = 4096;

/// Text and the place of the cursor in it, as a byte offset at a cluster's edge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Field {
    text: String,
    cursor: usize,
}

impl Field {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self { cursor: text.len(), text }
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Takes an input; `false` when it means nothing to a line of text.
    pub(crate) fn take(&mut self, input: &Input) -> bool {
        match input {
            Input::Key(key) => self.key(*key),
            Input::Paste(text) => {
                text.chars().for_each(|character| self.insert(character));
                true
            }
            Input::Mouse(_) | Input::Focus(_) => false,
        }
    }

    fn key(&mut self, key: Key) -> bool {
        let control = key.modifiers.has(Modifiers::CONTROL);
        match key.code {
            KeyCode::Char('a') if control => self.cursor = 0,
            KeyCode::Char('e') if control => self.cursor = self.text.len(),
            KeyCode::Char('u') if control => {
                self.text.drain(..self.cursor);
                self.cursor = 0;
            }
            KeyCode::Char('w') if control => self.remove_word(),
            KeyCode::Char(character) if key.modifiers.0 == 0 => self.insert(character),
            KeyCode::Backspace => {
                let start = self.before();
                self.text.drain(start..self.cursor);
                self.cursor = start;
            }
            KeyCode::Delete => {
                let end = self.after();
                self.text.drain(self.cursor..end);
            }
            KeyCode::Left => self.cursor = self.before(),
            KeyCode::Right => self.cursor = self.after(),
            KeyCode::Home => self.cursor = 0,
            KeyCode::End => self.cursor = self.text.len(),
            _ => return false,
        }
        true
    }

    /// Whether the cursor is before all text.
    pub(crate) fn at_start(&self) -> bool {
        self.cursor == 0
    }

    /// What is behind the cursor, as a field of its own with the cursor at its start.
    pub(crate) fn split_off(&mut self) -> Self {
        Self { text: self.text.split_off(self.cursor), cursor: 0 }
    }

    /// Puts another field's text at the end and the cursor between both.
    pub(crate) fn append(&mut self, other: &Self) {
        self.cursor = self.text.len();
        self.text.push_str(&other.text);
    }

    fn insert(&mut self, character: char) {
        if !hides_or_steers(character) && self.text.len() < MOST_BYTES {
            self.text.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
    }

    fn remove_word(&mut self) {
        let head = self.text[..self.cursor].trim_end();
        let start = head.rfind(' ').map_or(0, |blank| blank + 1);
        self.text.drain(start..self.cursor);
        self.cursor = start;
    }

    fn before(&self) -> usize {
        let head = &self.text[..self.cursor];
        head.grapheme_indices(true).next_back().map_or(0, |(index, _)| index)
    }

    fn after(&self) -> usize {
        let tail = &self.text[self.cursor..];
        self.cursor + tail.graphemes(true).next().map_or(0, str::len)
    }

    /// The part that fits `width` columns around the cursor, and the cursor's column in it.
    pub(crate) fn window(&self, width: usize) -> (&str, usize) {
        let mut start = 0;
        let mut column = self.text[..self.cursor].width();
        for (index, cluster) in self.text.grapheme_indices(true) {
            if column < width.max(1) {
                break;
            }
            column -= cluster.width();
            start = index + cluster.len();
        }
        (&self.text[start..], column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(field: &mut Field, code: KeyCode, modifiers: u8) {
        field.take(&Input::Key(Key { code, modifiers: Modifiers(modifiers) }));
    }

    #[test]
    fn text_is_edited_by_whole_clusters() {
        let mut field = Field::new("añb");
        typed(&mut field, KeyCode::Left, 0);
        typed(&mut field, KeyCode::Backspace, 0);
        assert_eq!(field.text(), "ab");
        field.take(&Input::Paste("x\n\x1b[2J".to_owned()));
        assert_eq!(field.text(), "ax[2Jb");
        typed(&mut field, KeyCode::Char('u'), Modifiers::CONTROL);
        assert_eq!(field.text(), "b");
    }

    #[test]
    fn a_long_text_is_shown_around_its_cursor() {
        let field = Field::new("0123456789");
        assert_eq!(field.window(5), ("6789", 4));
        assert_eq!(field.window(40), ("0123456789", 10));
    }
}
