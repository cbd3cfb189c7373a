//! What a person says about a line of an environment's change, before its agent is told and after.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::comparison::LineText;
use super::id::Timestamp;
use super::path::{RepoPath, printable};

/// Visible characters below which a line says too little to be known again by itself alone.
const TELLING: usize = 4;

/// Which of an environment's comments; none is given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommentId(pub u32);

/// The side of a diff that a line is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineSide {
    /// Before the change: the base.
    Old,
    New,
}

/// A line of a file as a diff numbers it, from 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinePlace {
    pub path: RepoPath,
    pub side: LineSide,
    pub line: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comment {
    pub id: CommentId,
    pub at: Timestamp,
    /// Where the line was when it was commented on.
    pub place: LinePlace,
    /// The line, and those before and after it, by which it is found again.
    pub quote: LineText,
    #[serde(default)]
    pub before: Option<LineText>,
    #[serde(default)]
    pub after: Option<LineText>,
    pub text: String,
    /// When the agent was told.
    #[serde(default)]
    pub sent: Option<Timestamp>,
    /// Its number in what was asked about; `None` where the line went: the comment is outdated.
    #[serde(default)]
    pub line: Option<u32>,
}

impl Comment {
    /// Finds the line among all of its file: the nearest of those that read the same and have a
    /// neighbour that does, or the only one that reads the same.
    pub fn find(&self, lines: &[&[u8]]) -> Option<u32> {
        let near = |index: usize| {
            let above = index.checked_sub(1).and_then(|above| lines.get(above));
            let is = |line: Option<&&[u8]>, known: &Option<LineText>| {
                line.copied() == known.as_ref().map(|text| text.0.as_slice())
            };
            u32::from(is(above, &self.before)) + u32::from(is(lines.get(index + 1), &self.after))
        };
        let far = |index: usize| (index as u32 + 1).abs_diff(self.place.line);
        let alike = || (0..lines.len()).filter(|index| lines[*index] == self.quote.0.as_slice());
        let known = alike()
            .filter(|index| near(*index) > 0)
            .min_by_key(|index| (std::cmp::Reverse(near(*index)), far(*index)));
        let visible = self.quote.0.iter().filter(|byte| !byte.is_ascii_whitespace()).count();
        let only = || {
            let mut alike = alike();
            alike.next().filter(|_| alike.next().is_none() && visible >= TELLING)
        };
        known.or_else(only).map(|index| index as u32 + 1)
    }

    /// Where it is, in words: `src/a.rs:12`, or what became of the line.
    pub fn words(&self) -> String {
        let LinePlace { path, side, line } = &self.place;
        match (self.line, side) {
            (Some(line), LineSide::New) => format!("{path}:{line}"),
            (Some(line), LineSide::Old) => format!("{path}:{line} before your change"),
            (None, _) => format!("{path}, a line that was {line} and is another now"),
        }
    }

    /// Its part of a message to the agent.
    pub fn paragraph(&self) -> String {
        let quote = printable(&self.quote.0);
        format!("{}\n> {}\n{}", self.words(), quote.trim(), self.text)
    }
}

/// Comments as one message to the agent.
pub fn message<'a>(comments: impl IntoIterator<Item = &'a Comment>) -> String {
    let mut text = String::from(GREETING);
    for comment in comments {
        let _ = write!(text, "\n\n{}", comment.paragraph());
    }
    text
}

/// What a message begins with.
pub const GREETING: &str = "Please look at these comments on your changes:";

#[cfg(test)]
mod tests {
    use super::*;

    fn comment(lines: &[&str], line: u32) -> Comment {
        let text = |index: usize| Some(LineText(lines.get(index)?.as_bytes().to_vec()));
        let index = line as usize - 1;
        Comment {
            id: CommentId(1),
            at: Timestamp(1),
            place: LinePlace { path: RepoPath::new("a.rs"), side: LineSide::New, line },
            quote: text(index).expect("a line"),
            before: index.checked_sub(1).and_then(text),
            after: text(index + 1),
            text: "say why".to_owned(),
            sent: None,
            line: Some(line),
        }
    }

    fn find(comment: &Comment, lines: &[&str]) -> Option<u32> {
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        comment.find(&lines)
    }

    #[test]
    fn a_line_is_found_where_it_moved_to_and_not_in_the_place_of_another() {
        let before = ["fn a() {", "    pay();", "}", "fn b() {", "    log();", "}"];
        let pay = comment(&before, 2);
        assert_eq!(find(&pay, &before), Some(2));
        assert_eq!(find(&pay, &["use x;", "fn a() {", "    pay();", "}"]), Some(3));
        assert_eq!(find(&pay, &["fn c() {", "    pay();", "    log();", "}"]), Some(2), "the only");
        assert_eq!(find(&pay, &["fn a() {", "    repay();", "}"]), None, "it is another line");
        // Of lines that read the same the one with its neighbours is meant.
        let second = comment(&before, 6);
        assert_eq!(find(&second, &["}", "}", "    log();", "}"]), Some(4));
        assert_eq!(find(&second, &["}", "x"]), None, "a brace says nothing by itself");
        assert_eq!(find(&second, &[]), None);
    }

    #[test]
    fn a_message_says_where_and_quotes_nothing_that_hides() {
        let mut removed = comment(&["let a = 1;\u{202e}"], 1);
        removed.place.side = LineSide::Old;
        let mut gone = comment(&["x"], 1);
        gone.line = None;
        assert_eq!(
            message([&removed, &gone]),
            "Please look at these comments on your changes:\n\n\
             a.rs:1 before your change\n> let a = 1;\\u{202e}\nsay why\n\n\
             a.rs, a line that was 1 and is another now\n> x\nsay why"
        );
    }
}
