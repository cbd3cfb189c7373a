//! Attempts beside each other as values: files × attempts, and one file in every version.
//!
//! Knows who agrees with whom, and in which order disagreement is worth a reader's time.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use super::caution::Caution;
use super::diff::{FileChange, line_text};
use super::id::{CommitId, EnvironmentId, EnvironmentName};
use super::path::RepoPath;
use super::snapshot::ChangeCount;

/// As many attempts as a comparison takes.
pub const ATTEMPTS: std::ops::RangeInclusive<usize> = 2..=4;

/// Attempts side by side: which files each changed, and by how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub base: CommitId,
    pub attempts: Vec<Attempt>,
    /// One row a file that any attempt changed, sorted by path.
    pub rows: Vec<ComparisonRow>,
    /// Whether lines were counted; without it every count is zero.
    pub counted: bool,
    /// What makes the comparison less than it seems, one sentence each.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    /// The snapshot that was compared.
    pub head: CommitId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonRow {
    pub path: RepoPath,
    /// One cell an attempt, in their order; `None` where the attempt left the file alone.
    pub cells: Vec<Option<ComparisonCell>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonCell {
    pub change: FileChange,
    pub added: u64,
    pub removed: u64,
    /// Attempts with the same number in a row have the same content.
    pub group: u32,
    /// Git's modes before and after; `None` where the file is not there.
    #[serde(default)]
    pub old_mode: Option<u32>,
    #[serde(default)]
    pub new_mode: Option<u32>,
    /// Where its content came from or went to, once lines were counted.
    #[serde(default)]
    pub moved: Option<Moved>,
    /// Why it should be read before others.
    #[serde(default)]
    pub cautions: Vec<Caution>,
}

/// The other end of a rename: each of both has a row of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moved {
    From(RepoPath),
    To(RepoPath),
}

impl ComparisonCell {
    /// What became of the mode, in a word; `None` where it is as it was or the file is new or gone.
    pub fn mode_word(&self) -> Option<&'static str> {
        const FILE: u32 = 0o100_644;
        const EXECUTABLE: u32 = 0o100_755;
        const LINK: u32 = 0o120_000;
        match (self.old_mode, self.new_mode) {
            (old, new) if old == new => None,
            (Some(FILE) | None, Some(EXECUTABLE)) => Some("+x"),
            (Some(EXECUTABLE), Some(FILE)) => Some("−x"),
            (_, Some(LINK)) => Some("link"),
            (Some(_), Some(_)) => Some("mode"),
            _ => None,
        }
    }

    /// What is to be known of it besides its lines, in words.
    pub fn remarks(&self) -> Vec<String> {
        let mut remarks: Vec<String> =
            self.cautions.iter().map(|caution| format!("! {caution}")).collect();
        remarks.extend(self.moved.as_ref().map(|moved| match moved {
            Moved::From(path) => format!("moved from {path}"),
            Moved::To(path) => format!("moved to {path}"),
        }));
        if let (Some(old), Some(new)) = (self.old_mode, self.new_mode)
            && old != new
        {
            remarks.push(format!("mode {old:o} → {new:o}"));
        }
        remarks
    }
}

/// How far attempts disagree about a file, the most first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Agreement {
    /// At least two changed it, and not to the same.
    Different,
    /// One changed it.
    Alone,
    /// Those that changed it did the same; others left it alone.
    Shared,
    /// All did the same.
    Same,
}

impl Comparison {
    /// The rows' indices, the most disagreement first, then by path.
    pub fn by_disagreement(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.rows.len()).collect();
        order.sort_by_key(|index| {
            let row = &self.rows[*index];
            (row.agreement(), Reverse(row.groups().len()), *index)
        });
        order
    }

    /// What each attempt changed in all.
    pub fn totals(&self) -> Vec<ChangeCount> {
        let total = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(column)?.as_ref());
            cells.fold(ChangeCount::default(), |sum, cell| ChangeCount {
                added: sum.added + cell.added,
                removed: sum.removed + cell.removed,
                files: sum.files + 1,
            })
        };
        (0..self.attempts.len()).map(total).collect()
    }
}

impl ComparisonRow {
    /// What is to be known of a row's files besides their lines, those who share it together.
    pub fn remarks(&self) -> Vec<(Vec<usize>, String)> {
        let mut found: Vec<(Vec<usize>, String)> = Vec::new();
        for (attempt, cell) in self.cells.iter().enumerate() {
            for remark in cell.iter().flat_map(ComparisonCell::remarks) {
                match found.iter_mut().find(|(_, known)| *known == remark) {
                    Some((attempts, _)) => attempts.push(attempt),
                    None => found.push((vec![attempt], remark)),
                }
            }
        }
        found
    }

    /// Whether any attempt's file should be read before others.
    pub fn calls_for_caution(&self) -> bool {
        self.cells.iter().flatten().any(|cell| !cell.cautions.is_empty())
    }

    pub fn agreement(&self) -> Agreement {
        let touched = self.cells.iter().flatten().count();
        match (self.groups().len(), touched) {
            (2.., _) => Agreement::Different,
            (_, 0 | 1) => Agreement::Alone,
            _ if touched == self.cells.len() => Agreement::Same,
            _ => Agreement::Shared,
        }
    }

    /// The attempts that changed the file, those with equal content together, by their indices.
    pub fn groups(&self) -> Vec<Vec<usize>> {
        let touched = self.cells.iter().enumerate();
        gather(touched.filter_map(|(index, cell)| Some((index, cell.as_ref()?.group))))
    }
}

/// Indices with equal numbers together, in the order of their first.
fn gather(numbered: impl Iterator<Item = (usize, u32)>) -> Vec<Vec<usize>> {
    let mut groups: Vec<(u32, Vec<usize>)> = Vec::new();
    for (index, number) in numbered {
        match groups.iter_mut().find(|(known, _)| *known == number) {
            Some((_, members)) => members.push(index),
            None => groups.push((number, vec![index])),
        }
    }
    groups.into_iter().map(|(_, members)| members).collect()
}

/// The letter an attempt is called by where its name has no room.
pub fn letter(attempt: usize) -> char {
    char::from(b'A' + (attempt % 26) as u8)
}

/// Attempts in words, as in `A and C` or `A, B and C`.
pub fn letters(attempts: &[usize]) -> String {
    let names: Vec<String> = attempts.iter().map(|index| letter(*index).to_string()).collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => names.concat(),
    }
}

/// One file in several versions, lines that belong together in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedFile {
    pub path: RepoPath,
    /// Column titles; the first is the base.
    pub columns: Vec<String>,
    /// The snapshots of the attempts, in their order.
    #[serde(default)]
    pub heads: Vec<CommitId>,
    /// Columns that do not have the file.
    pub missing: Vec<bool>,
    /// The whole file in order: what all versions share, and what they do not.
    pub stretches: Vec<Stretch>,
    /// Why there are no lines, for a binary or very large file.
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stretch {
    /// Lines that every version has.
    Common {
        /// The one-based number of the first of them in each column.
        starts: Vec<u32>,
        lines: Vec<LineText>,
    },
    /// Lines that at least one attempt changed.
    Changed {
        /// Columns with the same number have the same lines here; the base's is 0.
        groups: Vec<u32>,
        rows: Vec<AlignedRow>,
    },
}

impl Stretch {
    /// Lines of the base in it.
    pub fn base_lines(&self) -> usize {
        match self {
            Self::Common { lines, .. } => lines.len(),
            Self::Changed { rows, .. } => {
                rows.iter().filter(|row| row.cells.first().is_some_and(Option::is_some)).count()
            }
        }
    }
}

/// Attempts that did the same to a stretch, by their indices; those that left it as it was are
/// not among them.
pub fn agreeing(groups: &[u32]) -> Vec<Vec<usize>> {
    let attempts = groups.iter().skip(1).enumerate();
    gather(attempts.filter(|(_, group)| **group != 0).map(|(index, group)| (index, *group)))
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedRow {
    /// One cell a column; `None` where the column has no line here.
    pub cells: Vec<Option<AlignedCell>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedCell {
    /// One-based line number in that version.
    pub number: u32,
    pub text: LineText,
}

/// The bytes of a line without its newline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineText(#[serde(with = "line_text")] pub Vec<u8>);

#[cfg(test)]
mod tests {
    use super::*;

    fn row(groups: &[Option<u32>]) -> ComparisonRow {
        let cell = |group: &Option<u32>| {
            group.map(|group| ComparisonCell {
                change: FileChange::Modified,
                added: 2,
                removed: 1,
                group,
                old_mode: None,
                new_mode: None,
                moved: None,
                cautions: Vec::new(),
            })
        };
        ComparisonRow { path: RepoPath::new("a"), cells: groups.iter().map(cell).collect() }
    }

    #[test]
    fn what_is_to_be_known_of_a_file_is_told_once_for_all_whom_it_is_so_of() {
        let mut row = row(&[Some(0), Some(1), None]);
        for cell in row.cells.iter_mut().flatten() {
            (cell.old_mode, cell.new_mode) = (Some(0o100_644), Some(0o100_755));
            cell.cautions = vec![Caution::Executable];
        }
        let moved = Some(Moved::From(RepoPath::new("b")));
        row.cells[1].as_mut().expect("a cell").moved = moved;
        let expected = [
            (vec![0, 1], "! may be executed now".to_owned()),
            (vec![0, 1], "mode 100644 → 100755".to_owned()),
            (vec![1], "moved from b".to_owned()),
        ];
        assert_eq!(row.remarks(), expected);
        assert_eq!(row.cells[0].as_ref().expect("a cell").mode_word(), Some("+x"));
        assert!(row.calls_for_caution());
    }

    #[test]
    fn agreement_tells_who_did_what_was_done_elsewhere() {
        assert_eq!(row(&[Some(0), Some(1)]).agreement(), Agreement::Different);
        assert_eq!(row(&[Some(0), Some(1), Some(0)]).groups(), [vec![0, 2], vec![1]]);
        assert_eq!(row(&[None, Some(0)]).agreement(), Agreement::Alone);
        assert_eq!(row(&[Some(0), None, Some(0)]).agreement(), Agreement::Shared);
        assert_eq!(row(&[Some(0), Some(0)]).agreement(), Agreement::Same);
        assert_eq!(letters(&[0, 1, 3]), "A, B and D");
        assert_eq!(agreeing(&[0, 1, 0, 1]), [vec![0, 2]]);
    }

    #[test]
    fn disagreement_comes_first_and_totals_are_of_each_attempt() {
        let id = |byte: u8| CommitId::parse(&format!("{byte:02x}").repeat(20)).expect("a commit");
        let attempt = |byte: u8| Attempt {
            environment: EnvironmentId::from_random([byte; 8]),
            name: EnvironmentName::parse(&format!("a{byte}")).expect("a name"),
            head: id(byte),
        };
        let comparison = Comparison {
            base: id(9),
            attempts: vec![attempt(1), attempt(2)],
            rows: vec![
                row(&[Some(0), Some(0)]),
                row(&[None, Some(0)]),
                row(&[Some(0), Some(1)]),
                row(&[Some(0), None]),
            ],
            counted: true,
            notes: Vec::new(),
        };
        assert_eq!(comparison.by_disagreement(), [2, 1, 3, 0]);
        let files: Vec<u32> = comparison.totals().iter().map(|total| total.files).collect();
        assert_eq!(files, [3, 3]);
    }
}
