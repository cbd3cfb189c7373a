//! What was taken while an environment's work was a change of another commit than it is now.
//!
//! A merge of the user's branch in the box gives the work another base, and a restore the first
//! one again. A tree that was taken before holds the user's files as the base of then has them.
//! Compared with the base of now these would look like the agent's work: a commit of the user's
//! would be taken off their branch, or one that they reverted would come back.

use std::collections::BTreeSet;

use gix::ObjectId;

use super::super::diff::{self, Renames};
use super::super::object;
use super::super::older;
use super::super::store::Store;
use super::super::{origin, refs};
use super::earlier::as_in;
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::path::RepoPath;

/// A snapshot or a tree of the store that was taken.
#[derive(Clone, Debug)]
pub(super) struct Judged {
    pub(super) tree: CommitId,
    /// The commit that it was a change of.
    pub(super) by: CommitId,
}

/// The commit that an environment was made from; `None` of what a store knows nothing of.
pub(super) fn own_base(
    objects: &gix::Repository,
    environment: &EnvironmentId,
) -> Result<Option<CommitId>, Failure> {
    Ok(refs::read(objects, &refs::base(environment))?.map(object::name))
}

impl Judged {
    /// The same as a change of `base`. A path that the two bases have differently is as `base` has
    /// it: there nothing counts as taken, which may conflict and takes nobody's work back. Nothing
    /// at all does, `None`, where one of them cannot be read any more.
    pub(super) fn onto(
        self,
        store: &Store,
        objects: &gix::Repository,
        environment: &EnvironmentId,
        base: &CommitId,
    ) -> Result<Option<CommitId>, Failure> {
        let held = older::exact(store, objects, environment, &self.tree)?;
        if self.by == *base {
            return Ok(Some(held));
        }
        let stood = |commit| origin::under(store, objects, environment, commit);
        let (Ok((_, then)), Ok((_, now))) = (stood(&self.by), stood(base)) else {
            return Ok(None);
        };
        if then == now {
            return Ok(Some(held));
        }
        let tree = object::tree_of(objects, &held)?;
        let moved = Moved::between(objects, then, now)?;
        let mut paths = changed(objects, then, tree)?;
        paths.retain(|path| !moved.meets(path));
        Ok(Some(object::name(as_in(store, now, tree, &paths)?)))
    }
}

fn changed(
    objects: &gix::Repository,
    from: ObjectId,
    to: ObjectId,
) -> Result<BTreeSet<RepoPath>, Failure> {
    let changes = diff::changes(objects, from, to, Renames::Ignore)?;
    Ok(changes.into_iter().map(|change| change.path).collect())
}

/// The paths that two bases have differently.
struct Moved {
    paths: BTreeSet<RepoPath>,
    /// The directories that they are in.
    directories: BTreeSet<RepoPath>,
}

impl Moved {
    fn between(objects: &gix::Repository, from: ObjectId, to: ObjectId) -> Result<Self, Failure> {
        let paths = changed(objects, from, to)?;
        let directories = paths.iter().flat_map(directories).collect();
        Ok(Self { paths, directories })
    }

    /// Whether a file at this path is among them, or has another file in its way.
    fn meets(&self, path: &RepoPath) -> bool {
        self.paths.contains(path)
            || self.directories.contains(path)
            || directories(path).any(|directory| self.paths.contains(&directory))
    }
}

/// The directories around a path.
fn directories(path: &RepoPath) -> impl Iterator<Item = RepoPath> {
    let bytes = path.as_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(move |(at, _)| RepoPath::new(&bytes[..at]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_meets_what_moved_at_it_below_it_and_in_its_way() {
        let paths = BTreeSet::from([RepoPath::new(*b"d/file"), RepoPath::new(*b"link")]);
        let directories = paths.iter().flat_map(directories).collect();
        let moved = Moved { paths, directories };
        for (path, expected) in [
            ("d/file", true),
            ("d", true),
            ("link/inside", true),
            ("d/other", false),
            ("links", false),
            ("other/d/file", false),
        ] {
            assert_eq!(moved.meets(&RepoPath::new(path)), expected, "{path}");
        }
    }
}
