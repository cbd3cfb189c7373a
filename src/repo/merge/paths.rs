//! What becomes of each path that either side of a merge changed.
//!
//! What only one side changed is taken. Where both did, contents are merged line by line, also
//! across a rename; whatever else meets is a conflict, as it is to git: a file that one side
//! changed and the other removed, two contents without a common one, a file in the place of a
//! directory, a new file in a directory that the other side moved.

use std::collections::{BTreeMap, BTreeSet};

use gix::ObjectId;
use gix::objs::tree::{EntryKind, EntryMode};

use super::super::base::BaseTree;
use super::super::checkout::parents;
use super::super::diff::{self, Change, Renames, Side};
use super::super::forms::Forms;
use super::super::object::failed;
use super::renames::{self, File};
use super::{Sides, text};
use crate::model::failure::Failure;
use crate::model::path::RepoPath;

/// What a merge comes to.
#[derive(Default)]
pub(super) struct Merged {
    /// What stands at each path that differs from the ancestor; `None` where it goes.
    pub(super) edits: BTreeMap<RepoPath, Option<Side>>,
    /// Paths that do not fit together.
    pub(super) conflicts: BTreeSet<RepoPath>,
    /// Paths whose content was merged.
    pub(super) contents: Vec<RepoPath>,
}

/// What one side changed, by path.
type Changed = BTreeMap<RepoPath, Change>;

/// Merges two sides that both changed their ancestor.
pub(super) fn merge(
    repository: &gix::Repository,
    forms: &mut Forms<'_>,
    sides: Sides,
) -> Result<Merged, Failure> {
    let changed = |tree: ObjectId| -> Result<Changed, Failure> {
        let changes = diff::changes(repository, sides.ancestor, tree, Renames::Ignore)?;
        Ok(changes.into_iter().map(|change| (change.path.clone(), change)).collect())
    };
    let (ours, theirs) = (changed(sides.ours)?, changed(sides.theirs)?);
    let (merged, unclear) = (Merged::default(), BTreeSet::new());
    let mut merge = Merge { repository, forms, merged, unclear };
    let moved = [
        merge.moved(sides.ancestor, (&ours, sides.ours), &theirs)?,
        merge.moved(sides.ancestor, (&theirs, sides.theirs), &ours)?,
    ];
    merge.paths(&ours, &theirs)?;
    merge.moves((&ours, &theirs), &moved[0], &moved[1])?;
    merge.moves((&theirs, &ours), &moved[1], &moved[0])?;
    merge.files_in_the_place_of_directories();
    let Merge { mut merged, unclear, .. } = merge;
    merged.conflicts.extend(unclear);
    Ok(merged)
}

/// What a side moved that the other touched: from path to path.
type Moved = BTreeMap<RepoPath, RepoPath>;

struct Merge<'m, 'r> {
    repository: &'m gix::Repository,
    forms: &'m mut Forms<'r>,
    merged: Merged,
    /// Paths of which no merging of contents says where they belong.
    unclear: BTreeSet<RepoPath>,
}

impl Merge<'_, '_> {
    fn paths(&mut self, ours: &Changed, theirs: &Changed) -> Result<(), Failure> {
        for (path, our) in ours {
            let new = match theirs.get(path) {
                None => Some(our.new),
                Some(their) => self.both(path, our.old, our.new, their.new)?,
            };
            self.settle(path, new);
        }
        for (path, their) in theirs {
            if !ours.contains_key(path) {
                self.settle(path, Some(their.new));
            }
        }
        Ok(())
    }

    #[expect(clippy::option_option, reason = "no agreement is not the same as nothing there")]
    fn settle(&mut self, path: &RepoPath, new: Option<Option<Side>>) {
        match new {
            Some(new) => drop(self.merged.edits.insert(path.clone(), new)),
            None => drop(self.merged.conflicts.insert(path.clone())),
        }
    }

    /// What both sides come to together; `None` where they do not fit.
    #[expect(clippy::option_option, reason = "no agreement is not the same as nothing there")]
    fn both(
        &mut self,
        path: &RepoPath,
        base: Option<Side>,
        ours: Option<Side>,
        theirs: Option<Side>,
    ) -> Result<Option<Option<Side>>, Failure> {
        if ours == theirs || theirs == base {
            return Ok(Some(ours));
        }
        if ours == base {
            return Ok(Some(theirs));
        }
        let (Some(base), Some(ours), Some(theirs)) = (base, ours, theirs) else { return Ok(None) };
        if ![base, ours, theirs].into_iter().all(is_file) {
            return Ok(None);
        }
        let Some(mode) = mode(base, ours, theirs) else { return Ok(None) };
        let id = if ours.id == theirs.id || theirs.id == base.id {
            Some(ours.id)
        } else if ours.id == base.id {
            Some(theirs.id)
        } else {
            self.merged.contents.push(path.clone());
            let content = |side| diff::content(self.repository, Some(side));
            let contents = [content(base)?, content(ours)?, content(theirs)?];
            let manner = self.forms.manner(path)?;
            match text::merge(manner, &contents) {
                Some(merged) => {
                    let written = self.repository.write_blob(merged);
                    Some(written.map_err(failed("store a merged file"))?.detach())
                }
                None => None,
            }
        };
        Ok(id.map(|id| Some(Side { mode, id })))
    }

    /// What `side` moved of what `other` changed, or where a directory of it has new files.
    fn moved(
        &mut self,
        ancestor: ObjectId,
        (side, tree): (&Changed, ObjectId),
        other: &Changed,
    ) -> Result<Moved, Failure> {
        let gone = |change: &&Change| change.new.is_none();
        let left = self.directories_left(ancestor, tree, side, other);
        let matters: BTreeSet<&RepoPath> = side
            .values()
            .filter(gone)
            .map(|change| &change.path)
            .filter(|path| other.contains_key(*path) || left.keys().any(|left| below(path, left)))
            .collect();
        if matters.is_empty() {
            return Ok(Moved::new());
        }
        let went = files(side, |change| change.old.filter(|_| change.new.is_none()));
        let came = files(side, |change| change.new.filter(|_| change.old.is_none()));
        let Some(found) = renames::find(self.repository, &went, &came, &matters)? else {
            self.unclear.extend(matters.into_iter().cloned());
            return Ok(Moved::new());
        };
        let moved = found.iter().flatten().flat_map(|(from, to)| directories_moved(from, to));
        for new in moved.filter_map(|directory| left.get(&directory)).flatten() {
            // Git would ask whether it is to follow.
            self.unclear.insert((*new).clone());
        }
        let mut moved = Moved::new();
        for from in matters.into_iter().filter(|path| other.contains_key(*path)) {
            let to = found[0].get(from);
            if found.iter().any(|other| other.get(from) != to) {
                self.unclear.insert(from.clone());
            } else if let Some(to) = to {
                moved.insert(from.clone(), to.clone());
            }
        }
        Ok(moved)
    }

    /// Directories of the ancestor that one side has no more, where the other made new files.
    fn directories_left<'c>(
        &self,
        ancestor: ObjectId,
        tree: ObjectId,
        side: &Changed,
        other: &'c Changed,
    ) -> BTreeMap<RepoPath, Vec<&'c RepoPath>> {
        let mut left: BTreeMap<RepoPath, Vec<&RepoPath>> = BTreeMap::new();
        if !side.values().any(|change| change.new.is_none()) {
            return left;
        }
        let mut before = BaseTree::new(self.repository, ancestor);
        let mut now = BaseTree::new(self.repository, tree);
        let is_directory =
            |entry: Option<(EntryMode, ObjectId)>| entry.is_some_and(|(mode, _)| mode.is_tree());
        for change in other.values().filter(|change| change.old.is_none()) {
            for parent in parents(&change.path) {
                let path = parent.as_bytes();
                if is_directory(before.entry(path)) && !is_directory(now.entry(path)) {
                    left.entry(parent).or_default().push(&change.path);
                }
            }
        }
        left
    }

    /// Brings what the other side did to a file to where this side moved it.
    fn moves(
        &mut self,
        (side, other): (&Changed, &Changed),
        moved: &Moved,
        others: &Moved,
    ) -> Result<(), Failure> {
        for (from, to) in moved {
            let base = side[from].old;
            let there = match (other[from].new, others.get(from)) {
                // Both moved it to one place.
                (None, Some(also)) if also == to => other[to].new,
                (new, _) if !other.contains_key(to) => new,
                _ => None,
            };
            // What is gone there, or something else there, does not follow.
            if there.map(is_file) != side[to].new.map(is_file) {
                self.merged.conflicts.extend([from.clone(), to.clone()]);
                continue;
            }
            self.merged.conflicts.remove(from);
            self.merged.conflicts.remove(to);
            self.merged.edits.insert(from.clone(), None);
            let new = self.both(to, base, side[to].new, there)?;
            self.settle(to, new);
        }
        Ok(())
    }

    fn files_in_the_place_of_directories(&mut self) {
        let is_file = |path: &RepoPath| self.merged.edits.get(path).is_some_and(Option::is_some);
        let standing = self.merged.edits.iter().filter(|(_, new)| new.is_some());
        let blocked = standing.filter_map(|(path, _)| {
            let parent = parents(path).find(is_file)?;
            Some([path.clone(), parent])
        });
        let blocked: Vec<RepoPath> = blocked.flatten().collect();
        self.merged.conflicts.extend(blocked);
    }
}

/// The directories that a file's move says have moved: its own, and those above as long as their
/// names stay.
fn directories_moved(from: &RepoPath, to: &RepoPath) -> Vec<RepoPath> {
    let (mut from, mut to) = (parents(from).collect::<Vec<_>>(), parents(to).collect::<Vec<_>>());
    let mut moved = Vec::new();
    while let Some(directory) = from.pop() {
        let same = to.pop().is_some_and(|to| to.file_name() == directory.file_name());
        moved.push(directory);
        if !same {
            break;
        }
    }
    moved
}

/// Files of a side that git would follow.
fn files(side: &Changed, pick: impl Fn(&Change) -> Option<Side>) -> Vec<File<'_>> {
    let picked = side.values().filter_map(|change| Some((&change.path, pick(change)?)));
    picked.filter(|(_, side)| !is_empty(*side)).map(|(path, side)| File { path, side }).collect()
}

/// The mode of which at most one side is another than the ancestor's.
fn mode(base: Side, ours: Side, theirs: Side) -> Option<EntryMode> {
    if ours.mode == theirs.mode || ours.mode == base.mode {
        Some(theirs.mode)
    } else {
        (theirs.mode == base.mode).then_some(ours.mode)
    }
}

fn is_file(side: Side) -> bool {
    matches!(side.mode.kind(), EntryKind::Blob | EntryKind::BlobExecutable)
}

/// Git follows no empty file.
fn is_empty(side: Side) -> bool {
    side.id == ObjectId::empty_blob(side.id.kind())
}

fn below(path: &RepoPath, directory: &RepoPath) -> bool {
    let rest = path.as_bytes().strip_prefix(directory.as_bytes());
    rest.is_some_and(|rest| rest.first() == Some(&b'/'))
}
