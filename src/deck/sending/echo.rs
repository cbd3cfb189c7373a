//! Reads from the emulated screen whether a text that was typed stands there.
//!
//! Programs wrap what they are given, frame it, indent it, and show the end of what is too long; so
//! only the end of a text is looked for, without blanks and without the lines that frames are made
//! of. Of a large paste agents show a note in its place.

use crate::model::screen::{Row, Screen};

/// Characters of a text's end that are looked for.
const NEEDLE: usize = 24;

/// How agents begin the note that stands for a large paste, blanks left out.
const NOTE: &str = "[pasted";

/// What is looked for of one text.
#[derive(Clone, Debug)]
pub(super) struct Echo {
    needle: String,
}

/// How often a text and notes of pastes are on a screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    text: usize,
    notes: usize,
}

impl Echo {
    pub fn of(text: &str) -> Self {
        let all: Vec<char> = text.chars().filter(|character| kept(*character)).collect();
        Self { needle: all[all.len().saturating_sub(NEEDLE)..].iter().collect() }
    }

    /// Whether nothing of the text can be looked for.
    pub fn is_empty(&self) -> bool {
        self.needle.is_empty()
    }

    pub fn look(&self, screen: &Screen) -> Seen {
        let text: String = screen.rows.iter().flat_map(kept_of).collect();
        let notes = text.to_lowercase().matches(NOTE).count();
        let text = if self.needle.is_empty() { 0 } else { text.matches(&self.needle).count() };
        Seen { text, notes }
    }

    /// Whether the cursor stands right behind the text.
    pub fn is_at_cursor(&self, screen: &Screen) -> bool {
        let before = before_cursor(screen);
        !before.is_empty() && (before.ends_with(&self.needle) || self.needle.ends_with(&before))
    }
}

impl Seen {
    /// Whether the text came to be there since.
    pub fn is_more_than(self, before: Self) -> bool {
        self.text > before.text || self.notes > before.notes
    }
}

/// What stands in the cursor's row before it.
pub(super) fn before_cursor(screen: &Screen) -> String {
    let row = screen.rows.get(usize::from(screen.cursor.row));
    row.map_or_else(String::new, |row| {
        left_of(row, screen.cursor.column).chars().filter(|character| kept(*character)).collect()
    })
}

/// The text of a row's first cells.
pub(super) fn left_of(row: &Row, cells: u16) -> String {
    let mut left = String::new();
    let mut room = cells;
    for run in &row.runs {
        if run.cells <= room {
            left.push_str(&run.text);
            room -= run.cells;
            continue;
        }
        // Where one does not fit whole, its characters fill one cell each.
        left.extend(run.text.chars().take(usize::from(room)));
        break;
    }
    left
}

fn kept_of(row: &Row) -> impl Iterator<Item = char> {
    row.runs.iter().flat_map(|run| run.text.chars()).filter(|character| kept(*character))
}

/// Whether a character counts: no blank, no part of a frame, no mark before a prompt.
pub(super) fn kept(character: char) -> bool {
    let frame = matches!(character, '\u{2500}'..='\u{259f}' | '|' | '>' | '❯' | '›');
    !character.is_whitespace() && !character.is_control() && !frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::screen::Size;
    use crate::term::Emulator;

    fn screen(printed: &str) -> Screen {
        let mut emulator = Emulator::new(Size { columns: 24, rows: 6 });
        emulator.feed(printed.as_bytes());
        emulator.screen()
    }

    #[test]
    fn a_text_is_found_wrapped_framed_and_cut() {
        let echo = Echo::of("please look at the tests\nand mend them");
        let nothing = echo.look(&screen("> "));
        for printed in [
            "> please look at the tests and mend them",
            "│ please look at the   │\r\n│ tests and mend them  │",
            "│ …ookatthetests      │\r\n│ and mend them        │",
            "> [Pasted text #1 +2 lines]",
        ] {
            assert!(echo.look(&screen(printed)).is_more_than(nothing), "{printed}");
        }
        assert!(!echo.look(&screen("> please look at")).is_more_than(nothing));
    }

    #[test]
    fn the_same_text_above_is_not_its_echo() {
        let echo = Echo::of("go on");
        let before = echo.look(&screen("> go on\r\ndone\r\n> "));
        assert!(!echo.look(&screen("> go on\r\ndone\r\n> ")).is_more_than(before));
        assert!(echo.look(&screen("> go on\r\ndone\r\n> go on")).is_more_than(before));
    }

    #[test]
    fn the_cursor_is_behind_a_text_until_it_is_entered() {
        let echo = Echo::of("run the tests");
        assert!(echo.is_at_cursor(&screen("$ run the tests")));
        assert!(echo.is_at_cursor(&screen("$ some words before this run the tests")));
        assert!(!echo.is_at_cursor(&screen("$ run the tests\r\n")));
        assert!(!echo.is_at_cursor(&screen("$ run the tests\r\n$ ")));
    }

    #[test]
    fn a_text_of_which_nothing_counts_is_never_seen() {
        let echo = Echo::of(">>>");
        assert_eq!(echo.look(&screen(">>>")), Seen::default());
    }
}
