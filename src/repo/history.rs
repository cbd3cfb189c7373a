//! The snapshots of an environment, read back from their commits.

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
    let repository = store.reader();
    let mut next = Some(find(&repository, &refs::snapshot(environment), environment)?);
    let mut snapshots = Vec::new();
    while let Some(id) = next {
        let read = read_one(&repository, id)?;
        next = match read.cause {
            SnapshotCause::Base => None,
            _ => read.parent.as_ref().map(object::id),
        };
        snapshots.push(read);
    }
    snapshots.reverse();
    Ok(snapshots)
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
