//! What is looked for in a diff: a text in the lines of all its files, and files by their paths.

use super::super::search::Typed;
use super::{DiffRow, DiffView, page};
use crate::model::comment::CommentId;
use crate::model::diff::{FileDiff, FileMatches};
use crate::model::input::Input;
use crate::model::screen::Size;
use crate::proto::{DiffSide, Request};

/// A place in a file that is not read yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    Comment(CommentId),
    /// The first match, or going backwards the last.
    Match {
        forward: bool,
    },
}

impl DiffView {
    /// Gives an input to what is being typed, a filter or a search; `false` when neither is.
    pub(in super::super) fn search_input(&mut self, input: &Input, size: Size) -> bool {
        let typed = self.filter.take(input);
        if typed != Typed::Other {
            self.filtered();
            return true;
        }
        let typed = self.search.take(input);
        if typed == Typed::Entered {
            self.everywhere = None;
            self.count_matches();
            self.find(page(size), true);
        }
        typed != Typed::Other
    }

    /// Asks which files hold what was just searched for, or is to be searched for anew.
    pub(in super::super) fn search_request(&mut self) -> Option<(Request, String)> {
        // One at a time, however fast the agent works.
        if self.search.is_typed() || self.searching {
            return None;
        }
        let (text, diff) = (self.search.needle()?.to_owned(), self.diff.as_ref()?);
        let ends = [&diff.from, &diff.to].map(|end| DiffSide::Snapshot(end.clone()));
        let (target, whitespace) = (self.target(), self.whitespace);
        self.searching = true;
        Some((Request::SearchDiff { target, ends, text: text.clone(), whitespace }, text))
    }

    /// Takes the files that hold a text, or that they are not known; `false` where another text is
    /// searched for by now.
    pub(in super::super) fn fill_matches(
        &mut self,
        text: &str,
        found: Option<Vec<FileMatches>>,
    ) -> bool {
        self.searching = false;
        let is_asked = self.search.needle() == Some(text);
        if is_asked && found.is_some() {
            self.everywhere = found;
        }
        is_asked || self.search.needle().is_none()
    }

    /// Closes an open search, else a filter; `false` when there is neither.
    pub(in super::super) fn end_search(&mut self) -> bool {
        if self.search.end() {
            self.everywhere = None;
            self.goal = None;
            return true;
        }
        let ended = self.filter.end();
        if ended {
            self.filtered();
        }
        ended
    }

    fn filtered(&mut self) {
        let before = self.chosen().map(|file| file.path.clone());
        self.arrange(before.as_ref());
        let now = self.chosen().map(|file| &file.path);
        if before.as_ref() != now {
            self.choose(self.file);
        }
    }

    /// Whether a file's path has all that the filter names.
    pub(super) fn passes(&self, file: &FileDiff) -> bool {
        let Some(words) = self.filter.needle().map(str::to_lowercase) else { return true };
        let path = file.path.to_string().to_lowercase();
        words.split_whitespace().all(|word| path.contains(word))
    }

    /// Goes to the next match after the row, or the one before it: in this file, then in the next
    /// that has one, around the end.
    pub(super) fn find(&mut self, page: usize, forward: bool) {
        let Some(needle) = self.search.needle().map(str::to_lowercase) else { return };
        let holds = |index: &usize| self.rows[*index].contains(&needle);
        let here = self.place.row;
        let ahead = if forward {
            (here + 1..self.rows.len()).find(holds)
        } else {
            (0..here.min(self.rows.len())).rev().find(holds)
        };
        if let Some(row) = ahead {
            return self.place.go(row, page, self.rows.len());
        }
        if let Some(file) = self.next_with_match(forward) {
            self.choose(file);
            self.goal = Some(Goal::Match { forward });
            return;
        }
        let around = if forward {
            (0..self.rows.len()).find(holds)
        } else {
            (0..self.rows.len()).rev().find(holds)
        };
        if let Some(row) = around {
            self.place.go(row, page, self.rows.len());
        }
    }

    /// The place of the next other file that has a match, around the end.
    fn next_with_match(&self, forward: bool) -> Option<usize> {
        let (found, files) = (self.everywhere.as_ref()?, &self.diff.as_ref()?.files);
        let count = self.order.len();
        let place = |offset: usize| {
            (self.file + if forward { offset } else { count - offset }) % count.max(1)
        };
        let has = |place: &usize| {
            let path = &files[self.order[*place]].path;
            found.binary_search_by(|matches| matches.path.cmp(path)).is_ok()
        };
        (1..count).map(place).find(has)
    }

    pub(super) fn count_matches(&mut self) {
        let needle = self.search.needle().map(str::to_lowercase);
        self.matches =
            needle.map_or(0, |needle| self.rows.iter().filter(|row| row.contains(&needle)).count());
    }

    /// Goes where the reader wanted to, once the rows of the file are there.
    pub(super) fn reach_goal(&mut self) {
        let Some(goal) = self.goal else { return };
        let is_match = matches!(goal, Goal::Match { .. });
        if is_match && !self.is_read() {
            return;
        }
        let needle = self.search.needle().map(str::to_lowercase).unwrap_or_default();
        let row = match goal {
            Goal::Comment(id) => self
                .rows
                .iter()
                .position(|row| matches!(row, DiffRow::Comment { comment, .. } if *comment == id)),
            Goal::Match { forward: true } => self.rows.iter().position(|row| row.contains(&needle)),
            Goal::Match { forward: false } => {
                self.rows.iter().rposition(|row| row.contains(&needle))
            }
        };
        if let Some(row) = row {
            self.place.row = row;
            self.goal = None;
        } else if is_match {
            // What is shown of the file has none, since it was reviewed or read meanwhile.
            self.goal = None;
        }
    }

    /// How many lines hold what is searched for, here and in all.
    pub(crate) fn found_words(&self) -> String {
        let lines =
            |count: usize| if count == 1 { "1 line".to_owned() } else { format!("{count} lines") };
        let here = match self.matches {
            0 => "not in this file".to_owned(),
            count => format!("{} here", lines(count)),
        };
        let Some(found) = &self.everywhere else { return here };
        let all: usize = found.iter().map(|matches| matches.lines as usize).sum();
        match found.len() {
            0 if self.matches == 0 => "nowhere in this diff".to_owned(),
            0 | 1 if self.matches > 0 => format!("{here}, nowhere else"),
            1 => format!("{here} · {} in 1 other file", lines(all)),
            count => format!("{here} · {} in {count} files", lines(all)),
        }
    }
}
