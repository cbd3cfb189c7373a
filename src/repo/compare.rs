//! Attempts beside each other: which files each changed, and one file in all its versions.

use std::collections::{BTreeMap, HashMap};

use gix::ObjectId;
use gix::bstr::BStr;

use super::align;
use super::diff::{self, Change, Counts, Renames, Side};
use super::object::{self, failed};
use super::readable;
use super::store::Store;
use crate::model::caution;
use crate::model::comparison::{
    AlignedFile, Attempt, Comparison, ComparisonCell, ComparisonRow, Moved,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;

/// The title of the first column.
const BASE: &str = "base";

/// Compares what each attempt changed since the base. A rename counts as a deletion and an
/// addition, so that every row is one path for all. Without `counts` no lines are counted, and it
/// costs what the trees cost, whatever is in the files.
pub fn attempts(
    store: &Store,
    base: &CommitId,
    attempts: Vec<Attempt>,
    counts: Option<&Counts>,
) -> Result<Comparison, Failure> {
    let repository = store.reader();
    let from = object::tree_of(&repository, base)?;
    let mut table: BTreeMap<RepoPath, Vec<Option<Change>>> = BTreeMap::new();
    let mut moves = Vec::with_capacity(attempts.len());
    for (column, attempt) in attempts.iter().enumerate() {
        let to = object::tree_of(&repository, &attempt.head)?;
        for change in diff::changes(&repository, from, to, Renames::Ignore)? {
            let row =
                table.entry(change.path.clone()).or_insert_with(|| vec![None; attempts.len()]);
            row[column] = Some(change);
        }
        // The first look must not wait for contents to be held against each other.
        moves.push(if counts.is_some() {
            find_moves(&repository, from, to)?
        } else {
            Moves::new()
        });
    }
    let mut rows = Vec::with_capacity(table.len());
    for (path, changes) in table {
        rows.push(row(&repository, path, (&changes, &moves), counts)?);
    }
    let counted = counts.is_some();
    Ok(Comparison { base: base.clone(), attempts, rows, counted, notes: Vec::new() })
}

/// The other end of each file that was renamed, by the path of either.
type Moves = HashMap<RepoPath, Moved>;

fn find_moves(
    repository: &gix::Repository,
    from: ObjectId,
    to: ObjectId,
) -> Result<Moves, Failure> {
    let mut moves = Moves::new();
    for change in diff::changes(repository, from, to, Renames::Find)? {
        if let Some(old) = change.old_path {
            moves.insert(old.clone(), Moved::To(change.path.clone()));
            moves.insert(change.path, Moved::From(old));
        }
    }
    Ok(moves)
}

fn row(
    repository: &gix::Repository,
    path: RepoPath,
    (changes, moves): (&[Option<Change>], &[Moves]),
    counts: Option<&Counts>,
) -> Result<ComparisonRow, Failure> {
    let mut groups: HashMap<Option<(u16, ObjectId)>, u32> = HashMap::new();
    let mut cells = Vec::with_capacity(changes.len());
    for (change, moves) in changes.iter().zip(moves) {
        let Some(change) = change else {
            cells.push(None);
            continue;
        };
        let next = groups.len() as u32;
        let content = change.new.map(|side| (side.mode.value(), side.id));
        let group = *groups.entry(content).or_insert(next);
        let mode = |side: Option<Side>| side.map(|side| u32::from(side.mode.value()));
        let (old_mode, new_mode) = (mode(change.old), mode(change.new));
        let mut cautions = caution::of_file(&path, old_mode, new_mode);
        let (added, removed) = match counts {
            Some(counts) => {
                cautions.extend(counts.hidden(repository, change)?);
                counts.of(repository, change)?
            }
            None => (0, 0),
        };
        let moved = moves.get(&path).cloned();
        let change = change.kind();
        cells.push(Some(ComparisonCell {
            change,
            added,
            removed,
            group,
            old_mode,
            new_mode,
            moved,
            cautions,
        }));
    }
    Ok(ComparisonRow { path, cells })
}

/// One file in the base and in every attempt, lines that belong together in one row.
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
    let mut missing = Vec::with_capacity(columns.len());
    let mut note = None;
    for (commit, title) in std::iter::once(base).chain(heads).zip(&columns) {
        let side = lookup(&repository, commit, path)?;
        missing.push(side.is_none());
        match diff::within_reach(&repository, side)? {
            Some(content) => texts.push(content),
            None => drop(note.get_or_insert_with(|| {
                format!("the file is too large to compare line by line in {title}")
            })),
        }
    }
    if missing.iter().all(|missing| *missing) {
        let message = format!("{path} is in none of the versions compared");
        return Err(Failure::new(FailureKind::NotFound, message).paths(vec![path.clone()]));
    }
    if note.is_none()
        && let Err(binary) = readable::read(&mut texts)
    {
        note = Some(format!("the file is binary in {}", columns[binary]));
    }
    let stretches = if note.is_some() { Vec::new() } else { align::stretches(&texts) };
    let heads = attempts.iter().map(|attempt| attempt.head.clone()).collect();
    Ok(AlignedFile { path: path.clone(), columns, heads, missing, stretches, note })
}

pub(super) fn lookup(
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

#[cfg(test)]
mod tests;
