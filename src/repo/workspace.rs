//! Making an environment's workspace: the base's files in a plain directory, and beside it the
//! private git directory that is mounted over the workspace's empty `.git` inside the box.

use std::path::Path;

use anyhow::Context;
use gix::ObjectId;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId, Timestamp};
use crate::model::path::RepoPath;
use crate::model::repository::Identity;
use crate::model::snapshot::{ChangeCount, Snapshot, SnapshotCause};

use super::diff::Counts;
use super::message::Message;
use super::populate::{Form, Populated};
use super::private::Private;
use super::store::Store;
use super::user::UserRepository;
use super::{
    carry, heads, history, left_out, object, older, onto, origin, pin, populate, private, refs,
    snapshot, stat,
};

/// Where the two directories of an environment are made. Neither may hold anything yet.
#[derive(Clone, Copy, Debug)]
pub struct Places<'a> {
    pub workspace: &'a Path,
    /// The private git directory; the host never opens it as a repository.
    pub git: &'a Path,
}

/// What becomes of the user's uncommitted work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// The workspace is the base.
    Leave,
    /// It comes along: the first snapshot is the base with it.
    Bring,
}

/// What is asked and told while a workspace is made.
pub struct Making<'a> {
    /// Is told files written and files in all.
    pub progress: &'a mut dyn FnMut(u64, u64),
    /// What is remembered of files that `fill` made, where it did.
    pub ahead: Option<&'a Path>,
    /// Called before the user's repository is touched, which no power cut may leave unexplained.
    pub may_pin: &'a mut dyn FnMut() -> Result<(), Failure>,
    /// Is told how far uncommitted work has come along.
    pub bringing: &'a mut dyn FnMut(Bringing),
}

/// How far uncommitted work has come along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bringing {
    /// What will come is on the disk.
    Noted,
    /// The files are there.
    Done,
}

/// Makes the two directories, which hold nothing yet: a box can be shown them before `create`.
pub fn lay_out(places: &Places<'_>) -> Result<(), Failure> {
    for directory in [places.workspace, places.git] {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
    }
    match std::fs::create_dir(places.workspace.join(".git")) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(anyhow::Error::from(error).context("cannot make .git").into())
        }
        _ => Ok(()),
    }
}

/// Tells by a digest what `fill` would make: two that are the same hold the same files, and the
/// same repository in the box.
pub fn origin(user: &UserRepository, base: &CommitId) -> Result<String, Failure> {
    let (_, branch) = user.head()?;
    let (base, identity) = (object::id(base), user.identity());
    let (branch, directory) = (branch.as_deref(), Path::new(""));
    Ok(Private { user, base, branch, identity: &identity, directory }.origin()?)
}

/// Makes the files of an environment that is not there yet, and writes to `known` what is
/// remembered of them. Returns the bytes that they take, the git directory left out.
pub fn fill(
    user: &UserRepository,
    store: &Store,
    base: &CommitId,
    places: &Places<'_>,
    known: &Path,
) -> Result<u64, Failure> {
    let (base, identity) = (object::id(base), user.identity());
    let populated = files(user, store, base, places, &identity, &mut |_, _| {})?;
    let entries = populated.index.entries().iter();
    let bytes = entries.map(|entry| u64::from(entry.stat.size)).sum();
    let tree = object::tree_of(&store.reader(), &object::name(base))?;
    let (origin, _) = origin::of_files(store, (base, tree), &populated)?;
    if origin != base {
        store.sync_written()?;
        origin::keep_beside(known, origin)?;
    }
    stat::keep_apart(populated, known.to_owned())?;
    Ok(bytes)
}

/// What `fill` would write at least: how many files, and the bytes of the objects that are copied.
pub fn weight(
    user: &UserRepository,
    store: &Store,
    base: &CommitId,
) -> Result<(usize, u64), Failure> {
    let repository = store.reader();
    let tree = object::tree_of(&repository, base)?;
    let index = repository.index_from_tree(&tree).context("cannot read the base")?;
    let (base, identity, directory) = (object::id(base), user.identity(), Path::new(""));
    let private = Private { user, base, branch: None, identity: &identity, directory };
    Ok((index.entries().len(), private.weight()?))
}

/// Checks the base out, makes the private git directory and records the first snapshot, which
/// `keep` makes survive a power loss.
///
/// What a failure leaves in the two directories is the caller's to remove; refs are taken back
/// here.
#[expect(clippy::too_many_arguments, reason = "one call site; a struct would only rename them")]
pub fn create(
    user: &UserRepository,
    store: &Store,
    environment: &EnvironmentId,
    base: &CommitId,
    changes: Changes,
    places: &Places<'_>,
    identity: &Identity,
    at: Timestamp,
    making: &mut Making<'_>,
) -> Result<Snapshot, Failure> {
    let base_id = object::id(base);
    let created =
        create_inner(user, store, environment, base_id, changes, places, identity, at, making);
    if created.is_err() {
        // The failure that is reported is the first one.
        let _ = unpin(user, store, environment);
    }
    Ok(created?)
}

#[expect(clippy::too_many_arguments, reason = "the body of `create`")]
fn create_inner(
    user: &UserRepository,
    store: &Store,
    environment: &EnvironmentId,
    base: ObjectId,
    changes: Changes,
    places: &Places<'_>,
    identity: &Identity,
    at: Timestamp,
    making: &mut Making<'_>,
) -> anyhow::Result<Snapshot> {
    let repository = store.reader();
    // Files that were there before stay as an attempt left them that was killed.
    let mut known = match making.ahead {
        Some(_) => carry::read(store, environment)?,
        None => carry::Carried::new(),
    };
    // What an earlier attempt left when it was killed; an id is never used twice otherwise.
    forget(store, environment)?;
    let tree = object::tree_of(&repository, &object::name(base))?;
    let origin = if let Some(known) = making.ahead {
        stat::adopt(store, environment, known)?;
        origin::read_beside(store, known, (base, tree))?
    } else {
        let populated = files(user, store, base, places, identity, making.progress)?;
        let origin = origin::of_files(store, (base, tree), &populated)?;
        stat::seed(store, environment, populated)?;
        origin
    };
    (making.may_pin)()?;
    pin::set(user, environment, base)?;
    refs::set(&repository, refs::base(environment), base, None)?;
    let (origin, tree) = origin;
    if origin != base {
        refs::set(&repository, refs::origin(environment), origin, None)?;
    }
    let mut message = Message {
        cause: SnapshotCause::Base,
        at,
        change: ChangeCount::default(),
        skipped: Vec::new(),
        number: 1,
        by: None,
        output: None,
    };
    let mut first = tree;
    if changes == Changes::Bring {
        carry::bring(user, places.workspace, &mut |coming| {
            known.extend(coming.clone());
            carry::remember(store, environment, &known)?;
            (making.bringing)(Bringing::Noted);
            Ok(())
        })?;
        (making.bringing)(Bringing::Done);
        let taken = snapshot::whole(store, environment, base, tree, places.workspace)?;
        message.change = snapshot::count(&repository, tree, taken.tree, &Counts::default())?;
        (first, message.skipped) = (taken.tree, taken.skipped);
    }
    let id = snapshot::commit(store, &repository, environment, first, Some(base), None, &message)?;
    Ok(snapshot::snapshot(id, first, None, message))
}

/// Checks the base out and makes the private git directory.
fn files(
    user: &UserRepository,
    store: &Store,
    base: ObjectId,
    places: &Places<'_>,
    identity: &Identity,
    progress: &mut dyn FnMut(u64, u64),
) -> anyhow::Result<Populated> {
    let repository = store.reader();
    let tree = object::tree_of(&repository, &object::name(base))?;
    let (_, branch) = user.head()?;
    let private =
        Private { user, base, branch: branch.as_deref(), identity, directory: places.git };
    // Copying the objects is input and output, writing the files is system calls: side by side.
    let populated = std::thread::scope(|scope| {
        let objects = scope.spawn(|| private.create(&store.reader()));
        let what = (tree, Form::CheckedOut);
        let populated = populate::populate(store, &repository, what, places.workspace, progress);
        let objects = objects.join().expect("copying objects does not panic");
        populated.and_then(|populated| objects.map(|()| populated))
    })?;
    private::write_index(places.git, populated.index.clone())?;
    Ok(populated)
}

/// Makes the first snapshot of an environment survive a power loss. `store` is what it was made
/// with: all that the snapshot refers to was written through it, or is the user's.
pub fn keep(store: &Store, environment: &EnvironmentId) -> Result<(), Failure> {
    store.sync_written()?;
    keep_refs(store, environment)
}

/// The same where somebody else may have made it.
pub fn keep_again(store: &Store, environment: &EnvironmentId) -> Result<(), Failure> {
    store.sync()?;
    keep_refs(store, environment)
}

fn keep_refs(store: &Store, environment: &EnvironmentId) -> Result<(), Failure> {
    let mut names = vec![refs::base(environment), refs::snapshot(environment)];
    let origin = refs::origin(environment);
    if refs::read(&store.reader(), &origin)?.is_some() {
        names.push(origin);
    }
    Ok(store.sync_refs(&names)?)
}

/// Gives a new environment the history of another up to `snapshot`: both have one base, and the
/// next snapshot's parent is the other's. The caller copies the files, or has `populate` make them.
/// Returns that snapshot, with its number.
///
/// Fails when `snapshot` is none of the source's.
pub fn fork_history(
    user: &UserRepository,
    store: &Store,
    source: &EnvironmentId,
    environment: &EnvironmentId,
    snapshot: &CommitId,
) -> Result<Snapshot, Failure> {
    let found = history::find_newest(store, source, |known| known.id == *snapshot)?;
    let mut end = found.ok_or_else(|| {
        let message = format!("snapshot {} is none of this environment's", snapshot.short());
        Failure::new(FailureKind::NotFound, message).hint("list them with agentdeck log")
    })?;
    let base = object::id(&history::base(store, source)?);
    pin::set(user, environment, base)?;
    forget(store, environment)?;
    let repository = store.reader();
    refs::set(&repository, refs::base(environment), base, None)?;
    if let Some(origin) = refs::read(&repository, &refs::origin(source))? {
        refs::set(&repository, refs::origin(environment), origin, None)?;
    }
    // Snapshots of the source that were taken between milestones.
    store.sync()?;
    refs::set(&repository, refs::snapshot(environment), object::id(snapshot), None)?;
    heads::add(store, environment, None, object::id(snapshot));
    keep_again(store, environment)?;
    carry::remember(store, environment, &carry::read(store, source)?)?;
    older::hand_on(store, source, environment, snapshot)?;
    end.number = history::number_of(&repository, object::id(snapshot))?;
    Ok(end)
}

/// The user's uncommitted work that came along when an environment was made.
pub fn carried(store: &Store, environment: &EnvironmentId) -> Result<Vec<RepoPath>, Failure> {
    Ok(carry::read(store, environment)?.into_keys().collect())
}

/// Checks the files of a snapshot out into a new workspace.
pub fn check_out(
    store: &Store,
    environment: &EnvironmentId,
    snapshot: &CommitId,
    workspace: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<(), Failure> {
    let repository = store.reader();
    let tree = older::tree(store, &repository, environment, snapshot)?;
    let what = (tree, Form::Exact);
    let populated = populate::populate(store, &repository, what, workspace, progress)?;
    Ok(stat::seed(store, environment, populated)?)
}

/// Forgets an environment for good: its pin in the user's repository, its refs in the store and
/// what is remembered of its files. What is gone already is no failure.
pub fn unpin(
    user: &UserRepository,
    store: &Store,
    environment: &EnvironmentId,
) -> Result<(), Failure> {
    pin::remove(user, environment)?;
    Ok(forget(store, environment)?)
}

/// Pins an environment's base again where the user's git moved or removed the pin.
///
/// Fails where the base itself is gone, from the user's repository and from the store.
pub fn pin_again(
    user: &UserRepository,
    store: &Store,
    environment: &EnvironmentId,
) -> Result<(), Failure> {
    let base = history::base(store, environment)?;
    if pin::set_again(user, environment, object::id(&base))? {
        return Ok(());
    }
    // A whole store has a copy.
    object::tree_of(&store.reader(), &base).map(drop)
}

/// Removes everything the store knows under an environment's name.
pub fn forget(store: &Store, environment: &EnvironmentId) -> anyhow::Result<()> {
    let repository = store.reader();
    let (base, origin) = (refs::base(environment), refs::origin(environment));
    for name in [refs::snapshot(environment), origin, base] {
        if let Some(id) = refs::read(&repository, &name)? {
            refs::remove(&repository, name, id)?;
        }
    }
    stat::forget(store, environment);
    carry::forget(store, environment);
    onto::forget(store, environment);
    older::forget(store, environment);
    left_out::forget(store, environment);
    heads::forget(store, environment);
    Ok(())
}
