//! Three-way merges in memory: nothing of the user's is touched, no driver is started.

use std::collections::BTreeSet;

use gix::ObjectId;
use gix::merge::plumbing as merging;
use merging::blob::builtin_driver::text::Labels;
use merging::tree::{Resolution, TreatAsUnresolved};

use super::forms::Forms;
use super::object::failed;
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// Files above this, in bytes, are merged as binary ones, as git has it.
const MAX_MERGED: u64 = 512 << 20;

/// The three trees of a merge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) ancestor: ObjectId,
    pub(super) ours: ObjectId,
    pub(super) theirs: ObjectId,
}

/// Merges into a tree that `repository`, which should keep new objects in memory, can read.
///
/// A conflict is a failure that names the paths. A change that would follow a renamed directory is
/// one too: git asks about it, so it is not decided here.
pub(super) fn trees(
    repository: &gix::Repository,
    forms: &mut Forms<'_>,
    sides: Sides,
) -> Result<ObjectId, Failure> {
    if sides.ours == sides.ancestor || sides.ours == sides.theirs {
        return Ok(sides.theirs);
    }
    let mut merged = Merger::new(repository, forms)?.merge(sides)?;
    refuse(merged.conflicted())?;
    for path in merged.content_merges() {
        forms.check_merge(&path)?;
    }
    merged
        .outcome
        .tree
        .write(|tree| repository.write_object(tree).map(gix::Id::detach))
        .map_err(failed("store a merged tree"))
}

/// Merges one pair after the other; what is costly to prepare is prepared once.
pub(super) struct Merger<'r> {
    repository: &'r gix::Repository,
    blobs: merging::blob::Platform,
    renames: gix::diff::blob::Platform,
}

/// What a merge came to.
pub(super) struct Merged<'r> {
    outcome: merging::tree::Outcome<'r>,
}

impl<'r> Merger<'r> {
    pub(super) fn new(repository: &'r gix::Repository, forms: &Forms<'_>) -> Result<Self, Failure> {
        let renames =
            repository.diff_resource_cache_for_tree_diff().map_err(failed("prepare to merge"))?;
        Ok(Self { repository, blobs: platform(repository, forms)?, renames })
    }

    pub(super) fn merge(&mut self, sides: Sides) -> Result<Merged<'r>, Failure> {
        let repository = self.repository;
        let options = merging::tree::Options {
            rewrites: Some(gix::diff::Rewrites::default()),
            ..merging::tree::Options::default()
        };
        let outcome = merging::tree(
            &sides.ancestor,
            &sides.ours,
            &sides.theirs,
            Labels::default(),
            repository,
            |bytes| Ok(repository.write_blob(bytes)?.detach()),
            &mut gix::diff::tree::State::default(),
            &mut self.renames,
            &mut self.blobs,
            options,
        )
        .map_err(failed("merge two trees"))?;
        Ok(Merged { outcome })
    }
}

impl Merged<'_> {
    /// Paths that do not fit together. A change that would follow a renamed directory is one: git
    /// asks about it.
    pub(super) fn conflicted(&self) -> BTreeSet<RepoPath> {
        let mut paths = BTreeSet::new();
        for conflict in &self.outcome.conflicts {
            let moved = matches!(
                conflict.resolution,
                Ok(Resolution::SourceLocationAffectedByRename { .. })
            );
            if moved || conflict.is_unresolved(TreatAsUnresolved::git()) {
                paths.insert(location(&conflict.ours));
                paths.insert(location(&conflict.theirs));
            }
        }
        paths
    }

    fn content_merges(&self) -> Vec<RepoPath> {
        let merged = self.outcome.conflicts.iter();
        let merged = merged.filter(|conflict| conflict.content_merge().is_some());
        merged.map(|conflict| location(&conflict.theirs)).collect()
    }
}

fn platform(
    repository: &gix::Repository,
    forms: &Forms<'_>,
) -> Result<merging::blob::Platform, Failure> {
    let filter = gix::filter::plumbing::Pipeline::new(
        gix::command::Context::default(),
        repository.object_hash(),
        gix::filter::plumbing::pipeline::Options::default(),
    );
    let options = merging::blob::pipeline::Options { large_file_threshold_bytes: MAX_MERGED };
    let roots = merging::blob::pipeline::WorktreeRoots::default();
    Ok(merging::blob::Platform::new(
        merging::blob::Pipeline::new(roots, filter, options),
        merging::blob::pipeline::Mode::ToGit,
        forms.stack()?,
        Vec::new(),
        merging::blob::platform::Options { default_driver: None },
    ))
}

fn refuse(paths: BTreeSet<RepoPath>) -> Result<(), Failure> {
    if paths.is_empty() {
        return Ok(());
    }
    let files =
        if paths.len() == 1 { "1 path".to_owned() } else { format!("{} paths", paths.len()) };
    Err(Failure::new(
        FailureKind::Conflict,
        format!("both sides changed {files} in ways that do not fit together; nothing was changed"),
    )
    .hint("let the agent bring its work up to date with your branch, or take the patch by hand")
    .paths(paths.into_iter().collect()))
}

fn location(change: &gix::diff::tree_with_rewrites::Change) -> RepoPath {
    RepoPath::new(change.location().to_vec())
}
