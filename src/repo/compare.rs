//! Attempts beside each other: which files each changed, and one file in all its versions.

use std::collections::{BTreeMap, HashMap};

use gix::ObjectId;
use gix::bstr::BStr;

use super::diff::{self, Change, Counts, Renames, Side};
use super::lines::{Changes, split};
use super::object::{self, failed};
use super::store::Store;
use crate::model::diff::{
    AlignedCell, AlignedFile, AlignedRow, Attempt, Comparison, ComparisonCell, ComparisonRow,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;

/// The title of the first column.
const BASE: &str = "base";

/// Compares what each attempt changed since the base. A rename counts as a deletion and an
/// addition, so that every row is one path for all.
pub fn attempts(
    store: &Store,
    base: &CommitId,
    attempts: Vec<Attempt>,
) -> Result<Comparison, Failure> {
    let repository = store.reader();
    let from = object::tree_of(&repository, base)?;
    let mut table: BTreeMap<RepoPath, Vec<Option<Change>>> = BTreeMap::new();
    for (column, attempt) in attempts.iter().enumerate() {
        let to = object::tree_of(&repository, &attempt.head)?;
        for change in diff::changes(&repository, from, to, Renames::Ignore)? {
            let row =
                table.entry(change.path.clone()).or_insert_with(|| vec![None; attempts.len()]);
            row[column] = Some(change);
        }
    }
    let mut counts = Counts::default();
    let mut rows = Vec::with_capacity(table.len());
    for (path, changes) in table {
        rows.push(row(&repository, path, &changes, &mut counts)?);
    }
    Ok(Comparison { base: base.clone(), attempts, rows })
}

fn row(
    repository: &gix::Repository,
    path: RepoPath,
    changes: &[Option<Change>],
    counts: &mut Counts,
) -> Result<ComparisonRow, Failure> {
    let mut groups: HashMap<Option<(u16, ObjectId)>, u32> = HashMap::new();
    let mut cells = Vec::with_capacity(changes.len());
    for change in changes {
        let Some(change) = change else {
            cells.push(None);
            continue;
        };
        let next = groups.len() as u32;
        let content = change.new.map(|side| (side.mode.value(), side.id));
        let group = *groups.entry(content).or_insert(next);
        let (added, removed) = counts.of(repository, change)?;
        cells.push(Some(ComparisonCell { change: change.kind(), added, removed, group }));
    }
    Ok(ComparisonRow { path, cells })
}

/// One file in the base and in every attempt, each attempt's lines beside the lines of the base
/// they belong to. What attempts insert at the same place stands side by side.
pub fn file(
    store: &Store,
    base: &CommitId,
    attempts: &[Attempt],
    path: &RepoPath,
) -> Result<AlignedFile, Failure> {
    let repository = store.reader();
    let titles = attempts.iter().map(|attempt| attempt.name.to_string());
    let columns: Vec<String> = std::iter::once(BASE.to_owned()).chain(titles).collect();
    let heads = attempts.iter().map(|attempt| &attempt.head);
    let mut texts = Vec::with_capacity(columns.len());
    let mut found = false;
    for (commit, title) in std::iter::once(base).chain(heads).zip(&columns) {
        let side = lookup(&repository, commit, path)?;
        found |= side.is_some();
        match diff::text(&repository, side)? {
            Ok(text) => texts.push(text),
            Err(why) => {
                let note = Some(format!("the file is {why} in {title}"));
                return Ok(AlignedFile { path: path.clone(), columns, rows: Vec::new(), note });
            }
        }
    }
    if !found {
        let message = format!("{path} is in none of the versions compared");
        return Err(Failure::new(FailureKind::NotFound, message).paths(vec![path.clone()]));
    }
    Ok(AlignedFile { path: path.clone(), columns, rows: align(&texts), note: None })
}

fn lookup(
    repository: &gix::Repository,
    commit: &CommitId,
    path: &RepoPath,
) -> Result<Option<Side>, Failure> {
    let tree = repository
        .find_tree(object::tree_of(repository, commit)?)
        .map_err(failed("read a tree"))?;
    let parts = BStr::new(path.as_bytes()).split(|byte| *byte == b'/').map(BStr::new);
    let entry =
        tree.lookup_entry(parts.map(ToOwned::to_owned)).map_err(failed("look a file up"))?;
    let entry = entry.filter(|entry| !entry.mode().is_tree());
    Ok(entry.map(|entry| Side { mode: entry.mode(), id: entry.object_id() }))
}

/// How one attempt stands to the base: for each line of the base its own line, and what it
/// inserts before each.
struct Column<'a> {
    lines: Vec<&'a [u8]>,
    /// For each line of the base, the line beside it and whether that is the same.
    beside: Vec<Option<(u32, bool)>>,
    /// For each line of the base and the end, the lines inserted before it.
    before: Vec<std::ops::Range<u32>>,
}

impl<'a> Column<'a> {
    fn new(base: &[u8], text: &'a [u8]) -> Self {
        let changes = Changes::between(base, text);
        let length = changes.old_lines as usize;
        let mut column = Self {
            lines: split(text),
            beside: Vec::with_capacity(length),
            before: vec![0..0; length + 1],
        };
        let mut next = 0;
        for span in &changes.spans {
            column.keep(span.old.start, &mut next);
            // Replaced lines stand side by side; what is longer is inserted or missing.
            let paired = span.old.len().min(span.new.len()) as u32;
            let lines = (0..paired).map(|line| Some((span.new.start + line, false)));
            column.beside.extend(lines);
            column.beside.extend((paired..span.old.len() as u32).map(|_| None));
            column.before[span.old.end as usize] = span.new.start + paired..span.new.end;
            next = span.new.end;
        }
        column.keep(changes.old_lines, &mut next);
        debug_assert_eq!(next, changes.new_lines);
        column
    }

    /// Lines up to `end` of the base are the attempt's own next ones.
    fn keep(&mut self, end: u32, next: &mut u32) {
        while (self.beside.len() as u32) < end {
            self.beside.push(Some((*next, true)));
            *next += 1;
        }
    }

    fn cell(&self, line: u32, changed: bool) -> AlignedCell {
        cell(self.lines[line as usize], line, changed)
    }
}

fn cell(line: &[u8], number: u32, changed: bool) -> AlignedCell {
    let text = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
    AlignedCell { number: number + 1, text, changed }
}

/// Rows for texts of which the first is the base.
fn align(texts: &[Vec<u8>]) -> Vec<AlignedRow> {
    let Some((base, others)) = texts.split_first() else { return Vec::new() };
    let lines = split(base);
    let columns: Vec<Column<'_>> = others.iter().map(|text| Column::new(base, text)).collect();
    let mut rows = Vec::with_capacity(lines.len());
    for line in 0..=lines.len() {
        let inserted = columns.iter().map(|column| column.before[line].len()).max().unwrap_or(0);
        for number in 0..inserted as u32 {
            let mut cells = vec![None];
            cells.extend(columns.iter().map(|column| {
                let range = &column.before[line];
                let at = range.start + number;
                range.contains(&at).then(|| column.cell(at, true))
            }));
            rows.push(AlignedRow { cells });
        }
        let Some(text) = lines.get(line) else { continue };
        let beside: Vec<_> = columns.iter().map(|column| column.beside[line]).collect();
        let changed = beside.iter().any(|place| !matches!(place, Some((_, true))));
        let mut cells = vec![Some(cell(text, line as u32, changed))];
        cells.extend(
            columns
                .iter()
                .zip(beside)
                .map(|(column, place)| place.map(|(at, same)| column.cell(at, !same))),
        );
        rows.push(AlignedRow { cells });
    }
    rows
}

#[cfg(test)]
mod tests;
