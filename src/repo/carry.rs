//! Bringing the user's uncommitted work along into a new workspace. The user's side is only read:
//! the index as it is, the files through no link.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::packed;
use crate::model::path::RepoPath;

use super::aside::Kind;
use super::checkout::modes::Modes;
use super::checkout::{EXECUTABLE, Expected, Found, PLAIN, WorkingTree, check_name};
use super::status;
use super::store::Store;
use super::taking::record::State;
use super::user::UserRepository;

const FILE: Kind = Kind("carried");

/// What a file is called in the workspace until it is whole.
const TEMPORARY: &str = ".agentdeck-carried.tmp";

/// What was brought along: each path as it stood in the user's working tree.
pub(super) type Carried = BTreeMap<RepoPath, State>;

/// Makes the workspace, which holds the base, what the user's working tree is: files that are
/// tracked and changed, new ones that are not ignored, and what was removed. Nested repositories,
/// special files and what is too large to be read are left out.
///
/// `note` is told of all that comes before any of it is there, so that a kill leaves nothing of
/// which nobody knows that it is the user's.
pub(super) fn bring(
    user: &UserRepository,
    workspace: &Path,
    note: &mut dyn FnMut(&Carried) -> anyhow::Result<()>,
) -> Result<(), Failure> {
    let (from, to) = (WorkingTree::open(user.root())?, WorkingTree::open(workspace)?);
    let modes = Modes::of(&user.reader());
    let coming = look(user, &from)?;
    let state = |there: &Found| State::of(there).unwrap_or(State::Absent);
    note(&coming.iter().map(|(path, there)| (path.clone(), state(there))).collect())?;
    // What goes makes room for what comes.
    let (gone, there): (Vec<_>, Vec<_>) =
        coming.into_iter().partition(|(_, there)| *there == Found::Absent);
    for (path, _) in gone {
        clear(&to, &path)?;
    }
    for (path, there) in there {
        put(&to, &path, there, modes).map_err(|mut failure| {
            failure.message = format!("your uncommitted work cannot come along: {failure}");
            failure
        })?;
    }
    Ok(())
}

/// What comes along, as it stands in the user's working tree.
fn look(user: &UserRepository, from: &WorkingTree) -> Result<BTreeMap<RepoPath, Found>, Failure> {
    let paths = status::all_uncommitted(user)
        .with_context(|| format!("cannot look for changes in {}", user.root().display()))?;
    let mut coming = BTreeMap::new();
    for path in paths {
        match from.find(&path)? {
            Found::Directory => {
                // A directory came where a file was, or it is a repository of its own.
                if from.find(&join(&path, b".git"))? == Found::Absent {
                    for inner in from.files_below(&path)? {
                        let there = from.find(&inner)?;
                        coming.insert(inner, there);
                    }
                    coming.insert(path, Found::Absent);
                }
            }
            Found::Other => {}
            there => drop(coming.insert(path, there)),
        }
    }
    coming.retain(|path, there| {
        let may_be = check_name(path, gix::objs::tree::EntryKind::Blob.into()).is_ok();
        *there == Found::Absent || may_be && State::of(there).is_some()
    });
    Ok(coming)
}

/// Nobody else is in a workspace that is being made.
fn clear(to: &WorkingTree, path: &RepoPath) -> Result<(), Failure> {
    to.remove(path, TEMPORARY, &Expected::Anything).map(drop)
}

fn put(to: &WorkingTree, path: &RepoPath, there: Found, modes: Modes) -> Result<(), Failure> {
    let put = match there {
        Found::File { mut permissions, content } => {
            // A bit that says nothing is as the base has it.
            if modes == Modes::Ignored {
                permissions = match to.find(path)? {
                    Found::File { permissions, .. } => permissions,
                    _ => PLAIN,
                };
            }
            let permissions = if permissions & 0o100 != 0 { EXECUTABLE } else { PLAIN };
            to.put_file(path, &content, permissions, TEMPORARY, &Expected::Anything)
        }
        Found::Link { target } => to.put_link(path, &target, TEMPORARY, &Expected::Anything),
        Found::Absent | Found::Directory | Found::Other => {
            Err(Failure::new(FailureKind::Internal, format!("{path} is no file")))
        }
    };
    put.map(drop)
}

fn join(path: &RepoPath, name: &[u8]) -> RepoPath {
    RepoPath::new([path.as_bytes(), b"/", name].concat())
}

/// Keeps what was brought along: as long as it still stands in the user's working tree, an apply
/// brings only what is new.
pub(super) fn remember(
    store: &Store,
    environment: &EnvironmentId,
    carried: &Carried,
) -> anyhow::Result<()> {
    if carried.is_empty() {
        return Ok(());
    }
    let steps: Vec<(&RepoPath, &State)> = carried.iter().collect();
    FILE.write(store, environment, &packed::pack(&steps)?)?;
    FILE.sync(store, environment)
}

/// What was brought along into an environment, if anything.
pub(super) fn read(store: &Store, environment: &EnvironmentId) -> anyhow::Result<Carried> {
    let Some(bytes) = FILE.read(store, environment)? else { return Ok(Carried::new()) };
    let steps: Vec<(RepoPath, State)> =
        packed::unpack(&bytes).context("the list of what came along")?;
    Ok(steps.into_iter().collect())
}

/// Forgets what was brought along.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    FILE.forget(store, environment);
}
