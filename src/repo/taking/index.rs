//! The user's index: looked at before a merge, changed for exactly the paths that were touched.

use std::collections::BTreeSet;
use std::path::Path;

use gix::bstr::BStr;
use gix::index::entry::{Flags, Mode, Stage, Stat};
use gix::index::{File, decode, write};

use super::super::checkout::WorkingTree;
use super::super::object::{self, failed};
use super::super::sparse_index::{self, OUTSIDE};
use super::record::{Entry, State, Step};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// An index in memory.
pub(super) struct Index {
    file: File,
}

/// How the index knows a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    Nothing,
    Entry(Entry),
    /// The same outside a sparse checkout: it is in no working tree.
    Outside(Entry),
    /// It is in conflict, in a part of a sparse index whose trees are not there, or only announced.
    Special(&'static str),
}

impl Index {
    /// Reads an index of a repository at a path; a missing one is empty.
    pub(super) fn read(path: &Path, repository: &gix::Repository) -> Result<Self, Failure> {
        let (hash, options) = (repository.object_hash(), decode::Options::default());
        let mut file =
            File::at_or_default(path, hash, false, options).map_err(failed("read the index"))?;
        sparse_index::unfold(&mut file, repository);
        Ok(Self { file })
    }

    pub(super) fn known(&self, path: &RepoPath) -> Known {
        let place = BStr::new(path.as_bytes());
        if let Some(entry) = self.file.entry_by_path_and_stage(place, Stage::Unconflicted) {
            let found = Entry { mode: entry.mode.bits(), id: object::name(entry.id) };
            if entry.flags.contains(Flags::SKIP_WORKTREE) {
                return Known::Outside(found);
            }
            if entry.flags.contains(Flags::INTENT_TO_ADD) {
                return Known::Special("it is announced to the index without content");
            }
            return Known::Entry(found);
        }
        if self.file.entry_range(place).is_some() {
            return Known::Special("it is in conflict");
        }
        if self.file.is_sparse() && self.below_sparse_directory(place) {
            return Known::Special("it is outside your sparse checkout");
        }
        Known::Nothing
    }

    /// Whether it has paths outside a sparse checkout.
    pub(super) fn leaves_out(&self) -> bool {
        self.file.entries().iter().any(|entry| entry.flags.contains(Flags::SKIP_WORKTREE))
    }

    fn below_sparse_directory(&self, path: &BStr) -> bool {
        let backing = self.file.path_backing();
        self.file.entries().iter().any(|entry| {
            entry.mode == Mode::DIR && path.starts_with(entry.path_in(backing).as_ref())
        })
    }

    /// Sets the entries of the steps to what stands in the working tree after them.
    pub(super) fn bring_forward(&mut self, tree: &WorkingTree, steps: &[Step]) {
        self.forget(steps);
        for step in steps {
            if let Some(entry) = &step.new {
                let mode = Mode::from_bits_truncate(entry.mode);
                let place = BStr::new(step.path.as_bytes());
                let (stat, flags) = if step.is_outside() {
                    (Stat::default(), OUTSIDE)
                } else {
                    (stat(tree, &step.path), Flags::empty())
                };
                let id = object::id(&entry.id);
                self.file.dangerously_push_entry(stat, id, flags, mode, place);
            }
        }
        self.file.sort_entries();
    }

    /// Sets the entries of the steps to what another index has for them.
    pub(super) fn bring_back(&mut self, before: &Self, steps: &[Step]) {
        self.forget(steps);
        for step in steps {
            let place = BStr::new(step.path.as_bytes());
            if let Some(old) = before.file.entry_by_path_and_stage(place, Stage::Unconflicted) {
                let flags = old.flags & (Flags::ASSUME_VALID | OUTSIDE);
                self.file.dangerously_push_entry(old.stat, old.id, flags, old.mode, place);
            }
        }
        self.file.sort_entries();
    }

    fn forget(&mut self, steps: &[Step]) {
        let paths: BTreeSet<&[u8]> = steps.iter().map(|step| step.path.as_bytes()).collect();
        self.file.remove_entries(|_, path, _| paths.contains::<[u8]>(path.as_ref()));
    }

    /// The index as a file. The cached trees go: they no longer fit the entries.
    pub(super) fn serialize(&mut self) -> Result<Vec<u8>, Failure> {
        self.file.remove_tree();
        self.file.remove_resolve_undo();
        let mut bytes = Vec::new();
        self.file
            .write_to(&mut bytes, write::Options::default())
            .map_err(failed("write the index"))?;
        Ok(bytes)
    }
}

/// What git remembers of a file to see later whether it changed; nothing makes git look again.
fn stat(tree: &WorkingTree, path: &RepoPath) -> Stat {
    gix::index::fs::Metadata::from_path_no_follow(&tree.absolute(path))
        .ok()
        .and_then(|metadata| Stat::from_fs(&metadata).ok())
        .unwrap_or_default()
}

/// Refuses a path whose entry is neither what `HEAD` has nor what the merge gives.
pub(super) fn staged_otherwise(index: &Index, step: &Step) -> Result<bool, Failure> {
    let entry = match index.known(&step.path) {
        Known::Nothing => None,
        Known::Entry(entry) => Some(entry),
        // Also one that goes there.
        Known::Outside(entry) if step.after == State::Absent => Some(entry),
        Known::Outside(_) => return Ok(true),
        Known::Special(why) => {
            return Err(Failure::new(
                FailureKind::WouldOverwrite,
                format!("{} cannot be changed: {why}", step.path),
            )
            .paths(vec![step.path.clone()]));
        }
    };
    Ok(entry != step.old && entry != step.new)
}
