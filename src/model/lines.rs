//! A session's lines as a reader goes through them: what is searched for, what is selected.
//!
//! Lines are the rows of the scrollback and of the screen below it, counted from the first that
//! ever was, so that a line keeps its number while others come and go. A line that wrapped goes on in the next: words, matches and copied text do not end there.
//! All of it is a matter of rows, so server and clients see the same.

use std::borrow::Borrow;

use serde::{Deserialize, Serialize};
use unicode_width::UnicodeWidthChar;

use super::path::hides_or_steers;
use super::screen::{Attributes, Row, Run};

/// Longest text that is searched for, in characters.
pub const LONGEST_NEEDLE: usize = 256;
/// Rows of one wrapped line that are read together; what spans more is not found whole. It bounds
/// what one search keeps, however a program wraps.
const MOST_WRAPPED: u32 = 256;
/// What belongs to a word besides letters and digits, so that a path or an address is one.
const IN_WORDS: &str = "_-./~:@%+=#?&";

/// A cell of a session's lines.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Spot {
    pub line: u32,
    pub column: u16,
}

/// Cells from one to another, as they are read, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passage {
    pub from: Spot,
    pub to: Spot,
}

impl Passage {
    /// The passage between two spots, whichever comes first.
    pub fn between(one: Spot, other: Spot) -> Self {
        Self { from: one.min(other), to: one.max(other) }
    }

    /// From where the earlier of both begins to where the later ends.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { from: self.from.min(other.from), to: self.to.max(other.to) }
    }

    /// The first and last column it has of a line.
    pub fn columns(&self, line: u32) -> Option<(u16, u16)> {
        if line < self.from.line || line > self.to.line {
            return None;
        }
        let first = if line == self.from.line { self.from.column } else { 0 };
        let last = if line == self.to.line { self.to.column } else { u16::MAX };
        Some((first, last))
    }
}

/// Some of a session's lines, and how many there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// The number of the first line that is kept.
    pub oldest: u32,
    /// The number after the last line's.
    pub total: u32,
    /// How many cells a row has, those at its end that were never written included.
    pub columns: u16,
    /// The number of the first of the rows.
    pub start: u32,
    pub rows: Vec<Row>,
}

impl Lines {
    /// The number of the line after the last one here.
    pub fn end(&self) -> u32 {
        self.start.saturating_add(self.rows.len() as u32)
    }

    /// The row of a line, if it is here.
    pub fn row(&self, line: u32) -> Option<&Row> {
        self.rows.get(line.checked_sub(self.start)? as usize)
    }

    /// The lines that are read as one with this one, as the first and the last of them.
    pub fn paragraph(&self, line: u32) -> (u32, u32) {
        let wrapped = |line: u32| self.row(line).is_some_and(|row| row.wrapped);
        let mut first = line;
        while first > 0 && line - first < MOST_WRAPPED && wrapped(first - 1) {
            first -= 1;
        }
        let mut last = line;
        while last - line < MOST_WRAPPED && wrapped(last) && self.row(last + 1).is_some() {
            last += 1;
        }
        (first, last)
    }

    /// The whole line at a spot, with what wrapped.
    pub fn line_at(&self, spot: Spot) -> Passage {
        let (first, last) = self.paragraph(spot.line);
        Passage { from: Spot { line: first, column: 0 }, to: Spot { line: last, column: u16::MAX } }
    }

    /// The word at a spot, or what there is of the same kind between words.
    pub fn word_at(&self, spot: Spot) -> Passage {
        let (first, last) = self.paragraph(spot.line);
        let mut found = Passage { from: spot, to: spot };
        let mut stretch: Option<(Kind, Passage)> = None;
        for line in first..=last {
            for glyph in self.glyphs(line) {
                let from = Spot { line, column: glyph.column };
                let to = Spot { line, column: glyph.last() };
                let kind = Kind::of(glyph.text);
                stretch = match stretch {
                    Some((known, passage)) if known == kind => {
                        Some((kind, Passage { to, ..passage }))
                    }
                    Some((_, passage)) if passage.to >= spot => return passage,
                    _ => Some((kind, Passage { from, to })),
                };
                if let Some((_, passage)) = stretch
                    && passage.from <= spot
                    && spot <= passage.to
                {
                    found = passage;
                }
            }
        }
        found
    }

    /// The cells of a line.
    fn glyphs(&self, line: u32) -> impl Iterator<Item = Glyph<'_>> {
        let next = self.row(line + 1);
        self.row(line).into_iter().flat_map(move |row| whole(row, next, self.columns))
    }

    /// The columns at which the words of a line begin, whatever they are made of.
    pub fn word_starts(&self, line: u32) -> Vec<u16> {
        let mut blank = true;
        let begins = |glyph: &Glyph<'_>| {
            let before = std::mem::replace(&mut blank, Kind::of(glyph.text) == Kind::Blank);
            before && !blank
        };
        self.glyphs(line).filter(begins).map(|it| it.column).collect()
    }

    /// The text of a passage as it is seen: without blanks at the ends of lines, without line ends
    /// where a line wrapped, and without what hides, steers or is concealed. `None` when some of it
    /// is not here.
    pub fn text(&self, passage: Passage) -> Option<String> {
        let mut text = String::new();
        for line in passage.from.line..=passage.to.line {
            let row = self.row(line)?;
            let (first, last) = passage.columns(line)?;
            let begin = text.len();
            let selected = |it: &Glyph<'_>| it.last() >= first && it.column <= last;
            for glyph in self.glyphs(line).filter(|it| selected(it) && !it.concealed) {
                text.extend(glyph.text.chars().filter(|it| !hides_or_steers(*it)));
            }
            let whole = line < passage.to.line || last == u16::MAX;
            if whole && !row.wrapped {
                let kept = text[begin..].trim_end_matches(' ').len();
                text.truncate(begin + kept);
            }
            if line < passage.to.line && !row.wrapped {
                text.push('\n');
            }
        }
        Some(text)
    }
}

/// What is found in one or a few cells.
struct Glyph<'a> {
    column: u16,
    cells: u16,
    text: &'a str,
    /// It is there and drawn as nothing.
    concealed: bool,
}

impl Glyph<'_> {
    /// The last column it takes.
    fn last(&self) -> u16 {
        self.column + self.cells.max(1) - 1
    }
}

/// The cells of a row, left to right.
fn glyphs(row: &Row) -> impl Iterator<Item = Glyph<'_>> {
    let mut start = 0;
    row.runs.iter().flat_map(move |run| {
        let column = start;
        start += run.cells;
        let concealed = run.style.attributes.has(Attributes::HIDDEN);
        let text = run.text.as_str();
        let whole = is_cluster(run).then_some(Glyph { column, cells: run.cells, text, concealed });
        let text = if whole.is_some() { "" } else { text };
        let single = text.char_indices().zip(0..).map(move |((at, character), offset)| Glyph {
            column: column + offset,
            cells: 1,
            text: &text[at..at + character.len_utf8()],
            concealed,
        });
        whole.into_iter().chain(single)
    })
}

/// The cells of a row with the blanks that a wrapped one ends with: the next row's text does not
/// follow at once. Where a wide character did not fit any more, there was no blank.
fn whole<'a>(row: &'a Row, next: Option<&Row>, columns: u16) -> impl Iterator<Item = Glyph<'a>> {
    let begins_wide =
        |next: &Row| next.runs.first().is_some_and(|run| run.cells == 2 && is_cluster(run));
    let end = match columns.saturating_sub(row.cells()) {
        1 if next.is_some_and(begins_wide) => row.cells(),
        _ if row.wrapped => columns,
        _ => row.cells(),
    };
    let blank = |column| Glyph { column, cells: 1, text: " ", concealed: false };
    let blanks = (row.cells()..end).map(blank);
    glyphs(row).chain(blanks)
}

/// A run is either one cell a character, or one cluster.
pub fn is_cluster(run: &Run) -> bool {
    run.text.chars().count() != usize::from(run.cells)
        || (run.cells == 2 && run.text.chars().any(|it| it.width() == Some(2)))
}

/// What a word is told from its surroundings by.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Blank,
    Word,
    Sign(char),
}

impl Kind {
    fn of(text: &str) -> Self {
        match text.chars().next() {
            None | Some(' ') => Self::Blank,
            Some(it) if it.is_alphanumeric() || IN_WORDS.contains(it) => Self::Word,
            Some(it) => Self::Sign(it),
        }
    }
}

/// A text to search for. Capitals count only where it has some.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needle {
    text: String,
    exact: bool,
}

impl Needle {
    /// `None` for an empty text; a long one is cut.
    pub fn new(text: &str) -> Option<Self> {
        let text: String = text.chars().take(LONGEST_NEEDLE).collect();
        let exact = text.chars().any(char::is_uppercase);
        (!text.is_empty()).then_some(Self { text, exact })
    }

    /// Visits every passage that holds it among rows of so many columns, of which the first is the
    /// line `first`, in order, none over another.
    pub fn find(
        &self,
        (first, columns): (u32, u16),
        rows: impl IntoIterator<Item = impl Borrow<Row>>,
        visit: &mut impl FnMut(Passage),
    ) {
        let mut paragraph = Paragraph::default();
        let mut rows = (first..).zip(rows).peekable();
        while let Some((line, row)) = rows.next() {
            let row = row.borrow();
            let next = rows.peek().map(|(_, next)| next.borrow());
            paragraph.push(line, whole(row, next, columns), self.exact);
            if !row.wrapped || paragraph.rows >= MOST_WRAPPED {
                paragraph.find(&self.text, visit);
                paragraph = Paragraph::default();
            }
        }
        paragraph.find(&self.text, visit);
    }
}

/// Lines that are read as one: their text, and where each piece of it stands.
#[derive(Default)]
struct Paragraph {
    text: String,
    rows: u32,
    /// Where a piece begins in the text, and its cells.
    pieces: Vec<(usize, Passage)>,
}

impl Paragraph {
    fn push<'a>(&mut self, line: u32, row: impl Iterator<Item = Glyph<'a>>, exact: bool) {
        self.rows += 1;
        for glyph in row {
            let from = Spot { line, column: glyph.column };
            let to = Spot { line, column: glyph.last() };
            self.pieces.push((self.text.len(), Passage { from, to }));
            let seen = glyph.text.chars().filter(|it| !hides_or_steers(*it));
            if exact {
                self.text.extend(seen);
            } else {
                self.text.extend(seen.flat_map(char::to_lowercase));
            }
        }
    }

    fn find(&self, needle: &str, visit: &mut impl FnMut(Passage)) {
        let piece = |at: usize| {
            let after = self.pieces.partition_point(|(start, _)| *start <= at);
            self.pieces[after.saturating_sub(1)].1
        };
        for (at, found) in self.text.match_indices(needle) {
            visit(Passage { from: piece(at).from, to: piece(at + found.len() - 1).to });
        }
    }
}

/// Where a search goes on to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    Older,
    Newer,
}

/// The match that a search comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    pub passage: Passage,
    /// Which of all it is, the oldest being the first.
    pub nth: u32,
    pub count: u32,
}

/// Finds the next match from a spot on, and around the end the first from the other side, while
/// matches are visited. It keeps two of them, however many there are.
#[derive(Debug)]
pub struct Nearest {
    from: Spot,
    direction: Direction,
    count: u32,
    /// The best so far before and behind the spot, and which they are.
    ahead: Option<(Passage, u32)>,
    around: Option<(Passage, u32)>,
}

impl Nearest {
    pub fn new(from: Spot, direction: Direction) -> Self {
        Self { from, direction, count: 0, ahead: None, around: None }
    }

    pub fn visit(&mut self, passage: Passage) {
        self.count += 1;
        let this = Some((passage, self.count));
        match self.direction {
            Direction::Older if passage.from < self.from => self.ahead = this,
            Direction::Older => self.around = this,
            Direction::Newer if passage.from > self.from => self.ahead = self.ahead.or(this),
            Direction::Newer => self.around = self.around.or(this),
        }
    }

    pub fn found(self) -> Option<Found> {
        let (passage, nth) = self.ahead.or(self.around)?;
        Some(Found { passage, nth, count: self.count })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::screen::Style;

    /// Rows of plain text; `↵` at the end says that one wrapped.
    fn lines(start: u32, rows: &[&str]) -> Lines {
        let row = |text: &&str| {
            let (text, wrapped) = match text.strip_suffix('↵') {
                Some(text) => (text, true),
                None => (*text, false),
            };
            let run = |text: &str, cells: usize| Run {
                text: text.to_owned(),
                cells: cells as u16,
                style: Style::default(),
            };
            let mut runs = Vec::new();
            for character in text.chars() {
                runs.push(run(character.encode_utf8(&mut [0; 4]), character.width().unwrap_or(1)));
            }
            Row { runs, wrapped }
        };
        let rows: Vec<Row> = rows.iter().map(row).collect();
        // As wide as the first that wrapped.
        let columns = rows.iter().find(|row| row.wrapped).map_or(40, Row::cells);
        Lines { oldest: 0, total: start + rows.len() as u32, columns, start, rows }
    }

    fn spot(line: u32, column: u16) -> Spot {
        Spot { line, column }
    }

    fn found(lines: &Lines, needle: &str) -> Vec<(u32, u16, u32, u16)> {
        let mut all = Vec::new();
        Needle::new(needle).expect("not empty").find(
            (lines.start, lines.columns),
            &lines.rows,
            &mut |it| {
                all.push((it.from.line, it.from.column, it.to.line, it.to.column));
            },
        );
        all
    }

    #[test]
    fn a_match_goes_on_where_its_line_wrapped_and_nowhere_else() {
        let rows = lines(7, &["one nee↵", "dle two", "nee", "dle"]);
        assert_eq!(found(&rows, "needle"), [(7, 4, 8, 2)]);
    }

    #[test]
    fn blanks_at_the_end_of_a_wrapped_line_are_between_words() {
        let mut rows = lines(0, &["one↵", "two"]);
        rows.columns = 4;
        assert_eq!(found(&rows, "one two"), [(0, 0, 1, 2)]);
        assert_eq!(rows.text(rows.line_at(spot(0, 0))).as_deref(), Some("one two"));
        assert_eq!(rows.text(rows.word_at(spot(0, 0))).as_deref(), Some("one"));
        let mut wide = lines(0, &["one↵", "日"]);
        wide.columns = 4;
        assert_eq!(found(&wide, "one日").len(), 1, "it did not fit");
    }

    #[test]
    fn capitals_count_where_some_are_given() {
        let rows = lines(0, &["Error error", "ERROR ÄRGER"]);
        assert_eq!(found(&rows, "error").len(), 3);
        assert_eq!(found(&rows, "Error"), [(0, 0, 0, 4)]);
        assert_eq!(found(&rows, "ärger"), [(1, 6, 1, 10)]);
    }

    #[test]
    fn columns_are_those_of_the_screen_beside_wide_characters() {
        let rows = lines(0, &["日本語 test 日本"]);
        assert_eq!(found(&rows, "test"), [(0, 7, 0, 10)]);
        assert_eq!(found(&rows, "本"), [(0, 2, 0, 3), (0, 14, 0, 15)]);
    }

    #[test]
    fn matches_are_gone_through_in_both_directions_and_around_the_ends() {
        let rows = lines(0, &["x", "", "x x", ""]);
        let next = |from, direction| {
            let mut nearest = Nearest::new(from, direction);
            Needle::new("x").expect("text").find((0, 9), &rows.rows, &mut |it| nearest.visit(it));
            let found = nearest.found().expect("there are some");
            (found.passage.from, found.nth, found.count)
        };
        assert_eq!(next(spot(3, 0), Direction::Older), (spot(2, 2), 3, 3));
        assert_eq!(next(spot(2, 2), Direction::Older), (spot(2, 0), 2, 3));
        assert_eq!(next(spot(0, 0), Direction::Older), (spot(2, 2), 3, 3));
        assert_eq!(next(spot(0, 0), Direction::Newer), (spot(2, 0), 2, 3));
        assert_eq!(next(spot(2, 2), Direction::Newer), (spot(0, 0), 1, 3));
    }

    #[test]
    fn a_word_is_a_path_or_an_address_and_goes_on_where_its_line_wrapped() {
        let rows = lines(3, &["see (src/ma↵", "in.rs:14) now", "日本語"]);
        let word = |line, column| rows.text(rows.word_at(spot(line, column))).expect("it is here");
        assert_eq!(word(4, 0), "src/main.rs:14");
        assert_eq!(word(3, 6), "src/main.rs:14");
        assert_eq!(word(3, 1), "see");
        assert_eq!(word(3, 4), "(");
        assert_eq!(word(5, 3), "日本語");
        assert_eq!(rows.word_at(spot(5, 9)), Passage { from: spot(5, 9), to: spot(5, 9) });
    }

    #[test]
    fn copied_text_has_the_lines_that_were_written() {
        let rows = lines(0, &["first  ", "a long↵", " line", "", "last \u{202e}one"]);
        let text = |from, to| rows.text(Passage { from, to });
        let all = text(spot(0, 2), spot(4, 99)).expect("all is here");
        assert_eq!(all, "rst\na long line\n\nlast one");
        assert_eq!(text(spot(1, 2), spot(1, 5)).as_deref(), Some("long"));
        assert_eq!(text(spot(0, 0), spot(0, 5)).as_deref(), Some("first "));
        assert_eq!(rows.text(rows.line_at(spot(2, 1))).as_deref(), Some("a long line"));
        assert_eq!(text(spot(4, 0), spot(5, 0)), None, "a line that is not here");
    }

    #[test]
    fn half_of_a_wide_character_selects_it_whole() {
        let rows = lines(0, &["日本語"]);
        let text = |from, to| rows.text(Passage { from: spot(0, from), to: spot(0, to) });
        assert_eq!(text(1, 2).as_deref(), Some("日本"));
    }
}
