//! A few lines of text that a person edits, one field each.

use crate::model::input::{Input, Key, KeyCode, Modifiers};

use super::{Field, foreign};

/// Longest text, in lines; what is pasted beyond it is cut.
const MOST_LINES: usize = 200;

/// Lines, at least one, and which of them has the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) lines: Vec<Field>,
    pub(crate) row: usize,
}

impl Page {
    /// The cursor is in the first line.
    pub(crate) fn new(text: &str) -> Self {
        let lines = text.trim_end().lines().take(MOST_LINES);
        let mut lines: Vec<Field> = lines.map(|line| Field::new(foreign(line))).collect();
        if lines.is_empty() {
            lines.push(Field::default());
        }
        Self { lines, row: 0 }
    }

    /// The text without blanks at the ends of its lines and around it.
    pub(crate) fn text(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.text().trim_end()).collect();
        lines.join("\n").trim().to_owned()
    }

    /// Takes an input; whether the text is another by that. Enter by itself is for whoever asks.
    pub(crate) fn take(&mut self, input: &Input) -> bool {
        let Input::Key(key) = input else { return self.edit(input) };
        match *key {
            Key { code: KeyCode::Enter, .. } => self.break_line(),
            Key { code: KeyCode::Char('j'), modifiers } if modifiers.has(Modifiers::CONTROL) => {
                self.break_line()
            }
            Key { code: KeyCode::Up, .. } => {
                self.row = self.row.saturating_sub(1);
                false
            }
            Key { code: KeyCode::Down, .. } => {
                self.row = (self.row + 1).min(self.lines.len() - 1);
                false
            }
            Key { code: KeyCode::Backspace, .. } if self.lines[self.row].at_start() => {
                self.join_lines()
            }
            _ => self.edit(input),
        }
    }

    fn edit(&mut self, input: &Input) -> bool {
        if let Input::Paste(text) = input {
            for (number, line) in text.replace("\r\n", "\n").split(['\r', '\n']).enumerate() {
                if number > 0 {
                    self.break_line();
                }
                self.lines[self.row].take(&Input::Paste(line.to_owned()));
            }
            return true;
        }
        let before = self.lines[self.row].text().to_owned();
        self.lines[self.row].take(input);
        self.lines[self.row].text() != before
    }

    fn break_line(&mut self) -> bool {
        let fits = self.lines.len() < MOST_LINES;
        if fits {
            let rest = self.lines[self.row].split_off();
            self.row += 1;
            self.lines.insert(self.row, rest);
        }
        fits
    }

    fn join_lines(&mut self) -> bool {
        let joins = self.row > 0;
        if joins {
            let line = self.lines.remove(self.row);
            self.row -= 1;
            self.lines[self.row].append(&line);
        }
        joins
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_joined_and_pasted() {
        let mut page = Page::new("");
        let key = |code| Input::Key(Key { code, modifiers: Modifiers(0) });
        assert!(page.take(&Input::Paste("one\r\ntwo\rthree".to_owned())));
        assert_eq!((page.text().as_str(), page.row), ("one\ntwo\nthree", 2));
        assert!(!page.take(&key(KeyCode::Up)), "nothing is changed by going");
        page.take(&key(KeyCode::Home));
        assert!(page.take(&key(KeyCode::Backspace)));
        assert_eq!((page.text().as_str(), page.row), ("onetwo\nthree", 0));
        assert!(page.take(&key(KeyCode::Enter)));
        assert_eq!(page.text(), "one\ntwo\nthree");
    }
}
