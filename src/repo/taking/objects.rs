//! Commits we make for the user, and the way of their objects into the user's repository.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;

use anyhow::Context;
use gix::ObjectId;
use gix::objs::tree::EntryKind;
use gix::objs::{Commit, Kind, Write as _};

use super::super::object::failed;
use crate::model::failure::Failure;
use crate::model::id::Timestamp;
use crate::model::repository::Identity;

/// Objects that reach the user's repository, all of them made durable by `finish`.
pub(super) struct Transfer<'a> {
    from: &'a gix::Repository,
    to: gix::odb::loose::Store,
    written: BTreeSet<ObjectId>,
}

impl<'a> Transfer<'a> {
    /// `common` is the git directory of the user's repository.
    pub(super) fn new(from: &'a gix::Repository, common: &Path) -> Self {
        let to = gix::odb::loose::Store::at(common.join("objects"), from.object_hash());
        Self { from, to, written: BTreeSet::new() }
    }

    /// Copies one object, whether or not the user's repository has it somewhere: what nothing
    /// refers to there may be pruned while we work.
    pub(super) fn copy(&mut self, id: ObjectId) -> Result<(), Failure> {
        if !self.written.insert(id) {
            return Ok(());
        }
        let object = self.from.find_object(id).map_err(failed("read an object"))?;
        self.to.write_buf(object.kind, &object.data).map_err(failed("store an object"))?;
        Ok(())
    }

    /// Copies a tree with all below it, but for what stands at the same place in one of the trees
    /// that the user's commits hold.
    pub(super) fn copy_tree(&mut self, tree: ObjectId, held: &[ObjectId]) -> Result<(), Failure> {
        if held.contains(&tree) {
            return Ok(());
        }
        let read = |id: ObjectId| self.from.find_tree(id).map_err(failed("read a tree"));
        let held: Vec<gix::Tree<'_>> = held.iter().map(|id| read(*id)).collect::<Result<_, _>>()?;
        let entries: Vec<(EntryKind, ObjectId, Vec<ObjectId>)> = {
            let tree = read(tree)?;
            let mut entries = Vec::new();
            for entry in tree.iter() {
                let entry = entry.map_err(failed("read a tree"))?;
                let beside = held
                    .iter()
                    .filter_map(|tree| tree.find_entry(entry.filename().to_owned()))
                    .filter(|other| other.kind() == entry.kind())
                    .map(|other| other.object_id())
                    .collect();
                entries.push((entry.kind(), entry.object_id(), beside));
            }
            entries
        };
        for (kind, id, beside) in entries {
            match kind {
                EntryKind::Tree => self.copy_tree(id, &beside)?,
                EntryKind::Commit => {}
                _ if beside.contains(&id) => {}
                _ => self.copy(id)?,
            }
        }
        self.copy(tree)
    }

    /// Puts all of it on the disk.
    pub(super) fn finish(self) -> Result<(), Failure> {
        let sync = || -> std::io::Result<()> {
            let mut directories = BTreeSet::new();
            for id in &self.written {
                let path = self.to.object_path(id);
                File::open(&path)?.sync_all()?;
                directories.extend(path.parent().map(Path::to_owned));
            }
            for directory in directories {
                File::open(directory)?.sync_all()?;
            }
            File::open(self.to.path())?.sync_all()
        };
        Ok(sync().context("cannot store the commit's objects")?)
    }
}

/// Stores a commit by the user in `repository`.
pub(super) fn commit(
    repository: &gix::Repository,
    tree: ObjectId,
    parents: &[ObjectId],
    message: &str,
    who: &gix::actor::Signature,
) -> Result<ObjectId, Failure> {
    let commit = Commit {
        tree,
        parents: parents.iter().copied().collect(),
        author: who.clone(),
        committer: who.clone(),
        encoding: None,
        message: message.into(),
        extra_headers: Vec::new(),
    };
    let id = repository.write_object(&commit).map_err(failed("store a commit"))?;
    debug_assert!(repository.find_object(id).is_ok_and(|object| object.kind == Kind::Commit));
    Ok(id.detach())
}

/// The user at a moment, in the machine's time zone.
pub(super) fn signature(identity: &Identity, at: Timestamp) -> gix::actor::Signature {
    let seconds = (at.0 / 1000) as i64;
    let offset = jiff::Timestamp::from_second(seconds)
        .map_or(0, |moment| jiff::tz::TimeZone::system().to_offset(moment).seconds());
    // Git cannot hold these in a name.
    let clean = |text: &str| text.replace(['<', '>', '\n', '\0'], "").trim().to_owned();
    gix::actor::Signature {
        name: clean(&identity.name).into(),
        email: clean(&identity.email).into(),
        time: gix::date::Time { seconds, offset },
    }
}
