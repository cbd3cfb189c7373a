//! Taking a snapshot: a workspace becomes a commit under a ref of ours, or nothing when nothing
//! changed.
//!
//! What a snapshot holds depends on the base and the workspace alone, not on how it was taken:
//! tracked is what the base has; everything else is left out where both the base and the workspace
//! ignore it, or the workspace alone and it is much.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use gix::ObjectId;
use gix::bstr::BString;
use gix::objs::Commit;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, Timestamp};
use crate::model::path::RepoPath;
use crate::model::snapshot::{Author, ChangeCount, OutputMark, Skipped, Snapshot, SnapshotCause};

use super::convert::IGNORE_FILE;
use super::diff::{self, Counts, Renames};
use super::edit;
use super::heads;
use super::left_out;
use super::message::Message;
use super::scan::Scan;
use super::stat::StatCache;
use super::store::Store;
use super::{object, refs, walk};

/// What may have changed in a workspace since the last snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// These files, links and directories, and no others.
    Paths(BTreeSet<RepoPath>),
    Everything,
}

impl Touched {
    /// Whether the paths alone cannot tell what changes: rules decide about other files.
    fn needs_everything(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Paths(paths) => paths.iter().any(|path| {
                let name = path.file_name();
                name.is_empty() || name == IGNORE_FILE
            }),
        }
    }
}

/// What is known of the moment a snapshot is taken at.
#[derive(Clone, Copy, Debug)]
pub struct Occasion {
    pub cause: SnapshotCause,
    pub at: Timestamp,
    pub by: Option<Author>,
    pub output: Option<OutputMark>,
}

impl Occasion {
    /// An occasion of which only cause and time are known.
    pub fn new(cause: SnapshotCause, at: Timestamp) -> Self {
        Self { cause, at, by: None, output: None }
    }
}

/// Takes the workspace as it is now; `None` when it is as the last snapshot has it.
///
/// One caller at a time for each environment: a second one fails to move the ref.
pub fn take(
    store: &Store,
    environment: &EnvironmentId,
    workspace: &Path,
    touched: &Touched,
    occasion: &Occasion,
) -> Result<Option<Snapshot>, Failure> {
    // Something of the last one may be what cannot be read: whoever opens the store next looks.
    take_inner(store, environment, workspace, touched, occasion)
        .inspect_err(|_| store.upkeep().doubt())
}

fn take_inner(
    store: &Store,
    environment: &EnvironmentId,
    workspace: &Path,
    touched: &Touched,
    occasion: &Occasion,
) -> Result<Option<Snapshot>, Failure> {
    let repository = store.reader();
    let previous = previous(store, &repository, environment)?;
    let place = (workspace, occasion.cause);
    let mut taken = match touched {
        Touched::Paths(paths) if !touched.needs_everything() => {
            let paths = with_waiting(paths, &previous.skipped);
            edit::paths(store, &repository, &previous, place, &paths)?
        }
        _ => everything(store, &repository, environment, &previous, place)?,
    };
    // However it was found: the same list is not written twice.
    taken.skipped.sort_unstable_by(|one, other| one.path.cmp(&other.path));
    left_out::keep(store, environment, &previous.skipped, &taken.skipped)?;
    if taken.tree == previous.tree {
        if occasion.cause.is_milestone() {
            keep(store, environment)?;
        }
        return Ok(None);
    }
    let change = count(&repository, previous.tree, taken.tree, &Counts::default())?;
    let Occasion { cause, at, by, output } = *occasion;
    let number = previous.number + 1;
    let message = Message { cause, at, change, skipped: taken.skipped, number, by, output };
    let parent = Some(previous.commit);
    let id = commit(store, &repository, environment, taken.tree, parent, parent, &message)?;
    Ok(Some(snapshot(id, taken.tree, parent, message)))
}

/// The paths, and those of large files that were being written when the last snapshot was taken.
fn with_waiting<'p>(
    paths: &'p BTreeSet<RepoPath>,
    skipped: &[Skipped],
) -> Cow<'p, BTreeSet<RepoPath>> {
    let mut waiting = skipped.iter().filter(|it| it.reason == Skipped::WRITTEN).peekable();
    if waiting.peek().is_none() {
        return Cow::Borrowed(paths);
    }
    Cow::Owned(paths.iter().chain(waiting.map(|it| &it.path)).cloned().collect())
}

/// The newest snapshot, as far as the next one needs it.
pub(super) struct Previous {
    pub commit: ObjectId,
    pub tree: ObjectId,
    pub base_tree: ObjectId,
    pub skipped: Vec<Skipped>,
    pub number: u32,
}

/// What a workspace holds.
pub(super) struct Taken {
    pub tree: ObjectId,
    pub skipped: Vec<Skipped>,
}

fn previous(
    store: &Store,
    repository: &gix::Repository,
    environment: &EnvironmentId,
) -> Result<Previous, Failure> {
    let missing = || {
        let text = format!("environment {environment} has no snapshots");
        Failure::new(FailureKind::NotFound, text)
    };
    let commit = refs::read(repository, &refs::snapshot(environment))?.ok_or_else(missing)?;
    let origin = super::history::origin(store, environment)?;
    let found = repository.find_commit(commit).context("cannot read the last snapshot")?;
    let decoded = found.decode().context("cannot read the last snapshot")?;
    let message = Message::read(decoded.message);
    let number = match message.as_ref().map_or(0, |message| message.number) {
        0 => super::history::number_of(repository, commit)?,
        known => known,
    };
    Ok(Previous {
        commit,
        tree: decoded.tree(),
        base_tree: object::tree_of(repository, &origin)?,
        skipped: left_out::now(store, environment)?
            .or(message.map(|message| message.skipped))
            .unwrap_or_default(),
        number,
    })
}

/// Takes all of a workspace that was made from the base and has no snapshot yet.
pub(super) fn whole(
    store: &Store,
    environment: &EnvironmentId,
    base: ObjectId,
    tree: ObjectId,
    workspace: &Path,
) -> anyhow::Result<Taken> {
    let previous = Previous { commit: base, tree, base_tree: tree, skipped: Vec::new(), number: 0 };
    let place = (workspace, SnapshotCause::Base);
    everything(store, &store.reader(), environment, &previous, place)
}

/// Walks the whole workspace; files whose status is as last seen are not read.
fn everything(
    store: &Store,
    repository: &gix::Repository,
    environment: &EnvironmentId,
    previous: &Previous,
    (workspace, cause): (&Path, SnapshotCause),
) -> anyhow::Result<Taken> {
    let root = walk::open_root(workspace)
        .with_context(|| format!("cannot open the workspace {}", workspace.display()))?;
    let cache = Some(StatCache::of(store, environment, root.as_fd()));
    let mut scan =
        Scan::new(store, repository, (previous.base_tree, previous.tree), (cause, cache));
    let found = scan.root(&root)?;
    let tree = match found {
        Some((_, id)) => id,
        None => store.write_tree(&gix::objs::Tree::empty())?,
    };
    let (cache, skipped) = scan.into_cache();
    if let Some(cache) = cache {
        cache.save()?;
    }
    Ok(Taken { tree, skipped })
}

/// Lines and files that differ between two trees, renamed files counted as such.
pub(super) fn count(
    repository: &gix::Repository,
    from: ObjectId,
    to: ObjectId,
    counts: &Counts,
) -> Result<ChangeCount, Failure> {
    let mut total = ChangeCount::default();
    for change in diff::changes(repository, from, to, Renames::Find)? {
        // A file that was lost with an earlier snapshot must not end the taking of new ones.
        let (added, removed) = counts.of(repository, &change).unwrap_or_default();
        total.added += added;
        total.removed += removed;
        total.files += 1;
    }
    Ok(total)
}

/// Writes a snapshot's commit and moves the environment's ref to it from `expected`.
pub(super) fn commit(
    store: &Store,
    repository: &gix::Repository,
    environment: &EnvironmentId,
    tree: ObjectId,
    parent: Option<ObjectId>,
    expected: Option<ObjectId>,
    message: &Message,
) -> anyhow::Result<ObjectId> {
    let id = own_commit(store, tree, parent, message.at, &message.write())?;
    // The first one is brought to the disk with the rest of its environment.
    let milestone = message.cause != SnapshotCause::Base && message.cause.is_milestone();
    if milestone {
        store.sync()?;
    }
    refs::set(repository, refs::snapshot(environment), id, expected)?;
    heads::add(store, environment, expected, id);
    if milestone {
        keep(store, environment)?;
    }
    Ok(id)
}

/// Makes the newest snapshot survive a power loss, with all that it refers to.
pub(super) fn keep(store: &Store, environment: &EnvironmentId) -> anyhow::Result<()> {
    store.sync()?;
    store.sync_refs(&[refs::snapshot(environment)])?;
    heads::sync(store, environment)
}

/// Writes a commit of ours.
pub(super) fn own_commit(
    store: &Store,
    tree: ObjectId,
    parent: Option<ObjectId>,
    at: Timestamp,
    message: &str,
) -> anyhow::Result<ObjectId> {
    let signature = gix::actor::Signature {
        name: BString::from("agentdeck"),
        email: BString::from("agentdeck@localhost"),
        time: gix::date::Time::new((at.0 / 1000) as i64, 0),
    };
    store.write_commit(&Commit {
        tree,
        parents: parent.into_iter().collect(),
        author: signature.clone(),
        committer: signature,
        encoding: None,
        message: message.into(),
        extra_headers: Vec::new(),
    })
}

pub(super) fn snapshot(
    id: ObjectId,
    tree: ObjectId,
    parent: Option<ObjectId>,
    message: Message,
) -> Snapshot {
    Snapshot {
        id: object::name(id),
        tree: object::name(tree),
        parent: parent.map(object::name),
        at: message.at,
        cause: message.cause,
        change: message.change,
        skipped: message.skipped,
        number: message.number,
        by: message.by,
        output: message.output,
        name: None,
    }
}
