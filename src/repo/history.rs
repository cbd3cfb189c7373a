//! The snapshots of an environment, read back from their commits, a page at a time.

use anyhow::Context;
use gix::ObjectId;
use gix::refs::FullName;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::snapshot::{Snapshot, SnapshotCause};

use super::message::Message;
use super::store::Store;
use super::{object, refs, snapshot};

/// All snapshots of an environment, oldest first.
pub fn read(store: &Store, environment: &EnvironmentId) -> Result<Vec<Snapshot>, Failure> {
    page(store, environment, None, usize::MAX)
}

/// At most `limit` snapshots up to the newest, or up to the one before `before`; oldest first.
pub fn page(
    store: &Store,
    environment: &EnvironmentId,
    before: Option<&CommitId>,
    limit: usize,
) -> Result<Vec<Snapshot>, Failure> {
    let repository = store.reader();
    let start = match before {
        Some(before) => read_one(&repository, object::id(before))?.parent.as_ref().map(object::id),
        None => Some(find(&repository, &refs::snapshot(environment), environment)?),
    };
    let mut snapshots = Vec::new();
    let walk = Walk { repository: &repository, next: start };
    for read in walk.take(limit) {
        snapshots.push(read?);
    }
    snapshots.reverse();
    Ok(snapshots)
}

/// The newest snapshot of an environment that `wanted` accepts.
pub fn find_newest(
    store: &Store,
    environment: &EnvironmentId,
    mut wanted: impl FnMut(&Snapshot) -> bool,
) -> Result<Option<Snapshot>, Failure> {
    let repository = store.reader();
    let next = Some(find(&repository, &refs::snapshot(environment), environment)?);
    let walk = Walk { repository: &repository, next };
    for read in walk {
        let read = read?;
        if wanted(&read) {
            return Ok(Some(read));
        }
    }
    Ok(None)
}

/// One snapshot by its id, which must be in the store.
pub fn one(store: &Store, id: &CommitId) -> Result<Snapshot, Failure> {
    Ok(read_one(&store.reader(), object::id(id))?)
}

/// How many snapshots an environment has.
pub fn count(store: &Store, environment: &EnvironmentId) -> Result<u32, Failure> {
    let repository = store.reader();
    let head = find(&repository, &refs::snapshot(environment), environment)?;
    Ok(number_of(&repository, head)?)
}

/// Which of its environment's snapshots one is: it says so itself, or is counted from the last one
/// that does.
pub(super) fn number_of(repository: &gix::Repository, id: ObjectId) -> anyhow::Result<u32> {
    let mut after = 0;
    let walk = Walk { repository, next: Some(id) };
    for read in walk {
        let read = read?;
        if read.number > 0 {
            return Ok(read.number + after);
        }
        after += 1;
    }
    Ok(after)
}

/// Whether one snapshot is another one or in the history before it. What cannot be read, or is none,
/// is not.
pub(super) fn comes_before(repository: &gix::Repository, one: ObjectId, other: ObjectId) -> bool {
    let Ok(wanted) = read_one(repository, one) else { return false };
    let before = |known: &Snapshot| known.number > 0 && known.number < wanted.number;
    let walk = Walk { repository, next: Some(other) };
    let mut read = walk.map_while(Result::ok).take_while(|known| !before(known));
    read.any(|known| known.id == wanted.id)
}

/// From a snapshot to its base.
struct Walk<'r> {
    repository: &'r gix::Repository,
    next: Option<ObjectId>,
}

impl Iterator for Walk<'_> {
    type Item = anyhow::Result<Snapshot>;

    fn next(&mut self) -> Option<Self::Item> {
        let read = read_one(self.repository, self.next.take()?);
        if let Ok(read) = &read {
            self.next = read.parent.as_ref().map(object::id);
        }
        Some(read)
    }
}

fn read_one(repository: &gix::Repository, id: ObjectId) -> anyhow::Result<Snapshot> {
    let commit =
        repository.find_commit(id).with_context(|| format!("cannot read snapshot {id}"))?;
    let decoded = commit.decode()?;
    let message = Message::read(decoded.message)
        .with_context(|| format!("commit {id} does not read as a snapshot"))?;
    // The base's parent is the user's commit, which is no snapshot.
    let parent = decoded.parents().next().filter(|_| message.cause != SnapshotCause::Base);
    Ok(snapshot::snapshot(id, decoded.tree(), parent, message))
}

/// The newest snapshot of an environment.
pub fn head(store: &Store, environment: &EnvironmentId) -> Result<CommitId, Failure> {
    find(&store.reader(), &refs::snapshot(environment), environment).map(object::name)
}

/// The user's commit an environment started from.
pub fn base(store: &Store, environment: &EnvironmentId) -> Result<CommitId, Failure> {
    find(&store.reader(), &refs::base(environment), environment).map(object::name)
}

/// The commit that snapshots are compared with: the base, with its files as they are checked out.
pub fn origin(store: &Store, environment: &EnvironmentId) -> Result<CommitId, Failure> {
    match refs::read(&store.reader(), &refs::origin(environment))? {
        Some(origin) => Ok(object::name(origin)),
        None => base(store, environment),
    }
}

fn find(
    repository: &gix::Repository,
    name: &FullName,
    environment: &EnvironmentId,
) -> Result<ObjectId, Failure> {
    refs::read(repository, name)?.ok_or_else(|| {
        let text = format!("environment {environment} has no snapshots");
        Failure::new(FailureKind::NotFound, text)
    })
}
