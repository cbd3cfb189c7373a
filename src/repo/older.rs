//! Snapshots of a store's earlier version, which held files as git stores them.
//!
//! What takes one, or goes back to it, wants the bytes of files, as of any other: those that a
//! checkout of what it holds gives, in the way in which the base's files stand in the workspace.

use anyhow::Context;
use gix::ObjectId;

use super::aside;
use super::history;
use super::object;
use super::origin;
use super::store::Store;
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};

/// Names the newest such snapshot of an environment: those before it are of the same kind.
const FILE: aside::Kind = aside::Kind("older");

/// Notes that an environment's snapshots up to this one are of that kind, once and for all.
pub(super) fn note(
    store: &Store,
    environment: &EnvironmentId,
    newest: ObjectId,
) -> anyhow::Result<()> {
    if FILE.read(store, environment)?.is_some() {
        return Ok(());
    }
    FILE.write(store, environment, newest.to_string().as_bytes())?;
    FILE.sync(store, environment)
}

/// Has another environment, which begins with one of the first's snapshots, know of it.
pub(super) fn hand_on(
    store: &Store,
    from: &EnvironmentId,
    to: &EnvironmentId,
    snapshot: &CommitId,
) -> anyhow::Result<()> {
    if is_older(store, &store.reader(), from, snapshot)? {
        return note(store, to, object::id(snapshot));
    }
    if let Some(newest) = FILE.read(store, from)? {
        FILE.write(store, to, &newest)?;
    }
    FILE.sync(store, to)
}

/// The tree of a snapshot with its files as they stand in a workspace; of a tree, that tree.
pub(super) fn tree(
    store: &Store,
    objects: &gix::Repository,
    environment: &EnvironmentId,
    snapshot: &CommitId,
) -> Result<ObjectId, Failure> {
    object::tree_of(objects, &exact(store, objects, environment, snapshot)?)
}

/// What has the files of a snapshot, or of a tree, as they stand in a workspace: itself, or a tree.
pub(super) fn exact(
    store: &Store,
    objects: &gix::Repository,
    environment: &EnvironmentId,
    snapshot: &CommitId,
) -> Result<CommitId, Failure> {
    if !is_older(store, objects, environment, snapshot)? {
        return Ok(snapshot.clone());
    }
    let tree = object::tree_of(objects, snapshot)?;
    Ok(match origin::known(objects, environment)? {
        Some(known) => object::name(origin::brought_on(store, known, tree)?),
        None => snapshot.clone(),
    })
}

fn is_older(
    store: &Store,
    objects: &gix::Repository,
    environment: &EnvironmentId,
    snapshot: &CommitId,
) -> anyhow::Result<bool> {
    let Some(newest) = FILE.read(store, environment)? else { return Ok(false) };
    let newest =
        ObjectId::from_hex(&newest).context("the newest snapshot of an earlier version")?;
    Ok(history::comes_before(objects, object::id(snapshot), newest))
}

/// Forgets it.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    FILE.forget(store, environment);
}
