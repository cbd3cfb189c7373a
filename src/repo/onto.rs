//! The user's branch on its way into a box, and what was brought there: from then on an
//! environment's work is compared with that commit, not with the base.

use std::collections::HashSet;
use std::io::Write as _;

use anyhow::Context;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryKind;
use serde::{Deserialize, Serialize};

use super::aside;
use super::base::BaseTree;
use super::diff::{self, Renames};
use super::history;
use super::object::{self, failed};
use super::origin;
use super::store::Store;
use super::user::UserRepository;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::packed;
use crate::model::snapshot::SnapshotCause;

const FILE: aside::Kind = aside::Kind("onto");

/// What is new on the branch is held in memory; more than this, in bytes, is for a new environment.
const MOST_BYTES: usize = 256 << 20;

/// What was brought into a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Onto {
    /// The user's commit.
    pub commit: CommitId,
    /// The snapshot from just before.
    pub snapshot: CommitId,
}

/// Keeps what is about to be brought.
pub fn remember(store: &Store, environment: &EnvironmentId, onto: &Onto) -> Result<(), Failure> {
    FILE.write(store, environment, &packed::pack(onto)?)?;
    Ok(FILE.sync(store, environment)?)
}

/// Has a fork of an environment know what was brought there. Only where the fork has the files that
/// stand there now: whether an older snapshot holds all of it is not known, and what is compared
/// with a commit that it does not hold would take that commit's work back.
pub fn carry(
    store: &Store,
    source: &EnvironmentId,
    environment: &EnvironmentId,
) -> Result<(), Failure> {
    let Some(bytes) = FILE.read(store, source)? else { return Ok(()) };
    FILE.write(store, environment, &bytes)?;
    Ok(FILE.sync(store, environment)?)
}

/// What was brought last and may still be in the workspace; only the box knows whether it is.
/// `None` once the workspace was taken back to a snapshot since: which of both that one holds is
/// not known.
pub fn read(store: &Store, environment: &EnvironmentId) -> Result<Option<Onto>, Failure> {
    let Some(bytes) = FILE.read(store, environment)? else { return Ok(None) };
    let onto: Onto = packed::unpack(&bytes).context("what was brought into the box")?;
    let mut restored = false;
    let found = history::find_newest(store, environment, |snapshot| {
        let there = snapshot.id == onto.snapshot;
        restored |= !there && snapshot.cause == SnapshotCause::Restore;
        there
    })?;
    Ok(Some(onto).filter(|_| found.is_some() && !restored))
}

/// Whether a snapshot lacks something of what the user changed from the base to another commit: a
/// path that is in it as it was at first. Then it does not stand on the later one, whatever the box
/// says, and comparing it with that would take the user's work back. A file that is checked out as
/// it was, and that git stores in another form now, is no such path: nothing came of it.
pub fn lacks(
    store: &Store,
    environment: &EnvironmentId,
    commit: &CommitId,
    snapshot: &CommitId,
) -> Result<bool, Failure> {
    let objects = store.reader();
    let known = origin::known(&objects, environment)?;
    let (_, origin) = known.context("an environment without a base")?;
    let (_, later) = origin::under(store, &objects, environment, commit)?;
    let snapshot = object::tree_of(&objects, snapshot)?;
    let mut first = BaseTree::new(&objects, origin);
    let mut now = BaseTree::new(&objects, snapshot);
    for change in diff::changes(&objects, origin, later, Renames::Ignore)? {
        let file = |tree: &mut BaseTree<'_>| {
            tree.entry(change.path.as_bytes()).filter(|(mode, _)| !mode.is_tree())
        };
        if file(&mut now) == file(&mut first) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What an environment's work is a change of: what was brought into its box and is in it, as long as
/// that can be read, else its base.
pub fn base(
    store: &Store,
    environment: &EnvironmentId,
    onto: Option<&CommitId>,
) -> Result<CommitId, Failure> {
    match onto {
        Some(onto) if object::tree_of(&store.reader(), onto).is_ok() => Ok(onto.clone()),
        _ => history::base(store, environment),
    }
}

/// The same as its files are checked out, which is what snapshots are compared with: a commit, or a
/// tree of the store.
pub fn origin(
    store: &Store,
    environment: &EnvironmentId,
    onto: Option<&CommitId>,
) -> Result<CommitId, Failure> {
    let base = base(store, environment, onto)?;
    if base == history::base(store, environment)? {
        return history::origin(store, environment);
    }
    let (tree, origin) = origin::under(store, &store.reader(), environment, &base)?;
    Ok(if tree == origin { base } else { object::name(origin) })
}

/// Forgets it.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    FILE.forget(store, environment);
}

/// Everything of `commit` that a repository with `base` lacks, as a pack that git takes.
pub fn pack(user: &UserRepository, base: &CommitId, commit: &CommitId) -> Result<Vec<u8>, Failure> {
    let repository = user.reader();
    let walk = repository
        .rev_walk([object::id(commit)])
        .with_hidden([object::id(base)])
        .all()
        .map_err(failed("read the branch's history"))?;
    let mut packing =
        Packing { repository: &repository, seen: HashSet::new(), bytes: Vec::new(), count: 0 };
    let held = object::tree_of(&repository, base)?;
    for found in walk {
        let id = found.map_err(failed("read the branch's history"))?.id;
        packing.add(id)?;
        packing.tree(object::tree_of(&repository, &object::name(id))?, Some(held))?;
    }
    packing.finish()
}

struct Packing<'r> {
    repository: &'r gix::Repository,
    seen: HashSet<ObjectId>,
    bytes: Vec<u8>,
    count: u32,
}

impl Packing<'_> {
    /// A tree with all below it, but for what stands at the same place in `held`.
    fn tree(&mut self, tree: ObjectId, held: Option<ObjectId>) -> Result<(), Failure> {
        if held == Some(tree) || self.seen.contains(&tree) {
            return Ok(());
        }
        let read = |id: ObjectId| self.repository.find_tree(id).map_err(failed("read a tree"));
        let held = held.map(read).transpose()?;
        let mut entries = Vec::new();
        for entry in read(tree)?.iter() {
            let entry = entry.map_err(failed("read a tree"))?;
            let beside =
                held.as_ref().and_then(|held| held.find_entry(entry.filename().to_owned()));
            let beside = beside.filter(|other| other.kind() == entry.kind());
            entries.push((entry.kind(), entry.object_id(), beside.map(|other| other.object_id())));
        }
        for (kind, id, beside) in entries {
            match kind {
                EntryKind::Tree => self.tree(id, beside)?,
                EntryKind::Commit => {}
                _ if beside == Some(id) => {}
                _ => self.add(id)?,
            }
        }
        self.add(tree)
    }

    fn add(&mut self, id: ObjectId) -> Result<(), Failure> {
        if !self.seen.insert(id) {
            return Ok(());
        }
        let object = self.repository.find_object(id).map_err(failed("read an object"))?;
        if self.bytes.len() + object.data.len() > MOST_BYTES {
            let message = "your branch has more that is new than fits into one message to the box";
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("make a new environment from your branch, and apply the patch there"));
        }
        self.count += 1;
        self.bytes.extend(header(object.kind, object.data.len()));
        let write = |bytes: &mut Vec<u8>, data: &[u8]| -> std::io::Result<()> {
            let mut encoder = ZlibEncoder::new(bytes, Compression::fast());
            encoder.write_all(data)?;
            encoder.finish().map(drop)
        };
        write(&mut self.bytes, &object.data).map_err(failed("pack an object"))
    }

    fn finish(self) -> Result<Vec<u8>, Failure> {
        let mut pack = b"PACK\0\0\0\x02".to_vec();
        pack.extend(self.count.to_be_bytes());
        pack.extend(self.bytes);
        let mut hasher = gix::hash::hasher(self.repository.object_hash());
        hasher.update(&pack);
        let sum = hasher.try_finalize().map_err(failed("sum up a pack"))?;
        pack.extend(sum.as_slice());
        Ok(pack)
    }
}

/// Kind and size as git's format for packs has them: four bits of the size, then seven each.
fn header(kind: Kind, size: usize) -> Vec<u8> {
    let kind: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    let mut bytes = vec![(kind << 4) | (size & 15) as u8];
    let mut rest = size >> 4;
    while rest > 0 {
        let last = bytes.len() - 1;
        bytes[last] |= 0x80;
        bytes.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::oracle::{Oracle, files};

    #[test]
    fn git_takes_the_pack_where_the_base_is_and_has_the_branch_whole() {
        let oracle = Oracle::new();
        let large = "line\n".repeat(5_000);
        let base = oracle.commit(&files(&[("a", "a\n"), ("d/kept", &large)]), &[]);
        let middle = files(&[("a", "A\n"), ("d/kept", &large), ("d/e/new", &large[5..])]);
        let middle = oracle.commit(&middle, &[&base]);
        let side = oracle.commit(&files(&[("side", "s\n")]), &[&base]);
        let tip = files(&[("a", "A\n"), ("d/kept", &large), ("side", "s\n"), ("empty", "")]);
        let tip = oracle.commit(&tip, &[&middle, &side]);
        oracle.git(["reset", "-q", "--hard", tip.as_str()]);
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        let pack = pack(&user, &base, &tip).expect("a pack");
        // Another repository, which has the base alone.
        oracle.git(["branch", "-f", "only", base.as_str()]);
        let root = oracle.root();
        let root = root.to_str().expect("a path");
        oracle.git(["clone", "-q", "--no-local", "--single-branch", "-b", "only", root, "../box"]);
        let without = oracle.command(["-C", "../box", "cat-file", "-e", tip.as_str()]).output();
        assert!(!without.expect("git runs").status.success(), "it is not there yet");
        let taken = oracle.feed(["-C", "../box", "unpack-objects", "-q", "--strict"], &pack);
        assert!(taken.status.success(), "{}", String::from_utf8_lossy(&taken.stderr));
        oracle.git(["-C", "../box", "fsck", "--strict", "--no-dangling", tip.as_str()]);
        assert!(pack.len() < 4_000, "what the base has is not sent: {}", pack.len());
    }
}
