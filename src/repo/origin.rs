//! The base of an environment as its files stand once they are checked out, which is what its
//! snapshots are compared with: they hold bytes. Where no file is converted it is the base itself.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::{Editor, EntryKind};

use super::convert::Rules;
use super::diff::{self, Renames, Side};
use super::object::{self, failed};
use super::populate::Populated;
use super::store::Store;
use super::stored::attributes;
use super::{refs, snapshot};
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId, Timestamp};
use crate::model::path::RepoPath;

/// The message of the commit that holds it.
const MESSAGE: &str = "The base as it is checked out\n";

/// A commit and its tree.
pub(super) type Commit = (ObjectId, ObjectId);

/// What becomes of one path of a tree; `None` where it goes.
type Edit = (RepoPath, Option<Side>);

/// Keeps a base with its files as they were just written.
pub(super) fn of_files(
    store: &Store,
    (base, tree): Commit,
    populated: &Populated,
) -> Result<Commit, Failure> {
    let Populated { index, converted } = populated;
    let edits = converted.iter().map(|(number, id)| {
        let entry = &index.entries()[*number];
        let executable = entry.mode == gix::index::entry::Mode::FILE_EXECUTABLE;
        let kind = if executable { EntryKind::BlobExecutable } else { EntryKind::Blob };
        (RepoPath::new(entry.path(index).to_vec()), Some(Side { mode: kind.into(), id: *id }))
    });
    let edits: Vec<Edit> = edits.collect();
    if edits.is_empty() {
        return Ok((base, tree));
    }
    commit(store, base, edited(store, tree, &edits)?)
}

/// The same, found from the attributes of the base by the rules that hold now.
pub(super) fn of_base(store: &Store, base: ObjectId) -> Result<Commit, Failure> {
    let repository = store.reader();
    let tree = object::tree_of(&repository, &object::name(base))?;
    let empty = repository.empty_tree().id;
    let origin = brought_on(store, (empty, empty), tree)?;
    if origin == tree { Ok((base, tree)) } else { commit(store, base, origin) }
}

/// One base that is checked out in one way is one commit: it has no date.
fn commit(store: &Store, base: ObjectId, tree: ObjectId) -> Result<Commit, Failure> {
    Ok((snapshot::own_commit(store, tree, Some(base), Timestamp(0), MESSAGE)?, tree))
}

/// The tree `origin`, as which `from` stands, brought on to what `to` is when git goes from one to
/// the other: only what differs between both is written anew.
pub(super) fn brought_on(
    store: &Store,
    (from, origin): (ObjectId, ObjectId),
    to: ObjectId,
) -> Result<ObjectId, Failure> {
    let repository = store.reader();
    let changes = diff::changes(&repository, from, to, Renames::Ignore)?;
    let paths = changes.iter().map(|change| &change.path);
    let mut rules = Rules::of_files(&store.rules, &attributes(&repository, to, paths)?);
    let mut differs = from != origin;
    let mut edits = Vec::with_capacity(changes.len());
    for change in changes {
        let new = match change.new {
            Some(side) => Some(checked_out(store, &repository, &mut rules, &change.path, side)?),
            None => None,
        };
        differs |= new.map(|side| side.id) != change.new.map(|side| side.id);
        edits.push((change.path, new));
    }
    if differs { edited(store, origin, &edits) } else { Ok(to) }
}

fn checked_out(
    store: &Store,
    repository: &gix::Repository,
    rules: &mut Rules,
    path: &RepoPath,
    side: Side,
) -> Result<Side, Failure> {
    let path = path.as_bytes();
    if !side.mode.is_blob() || side.mode.is_link() || !rules.may_convert(path) {
        return Ok(side);
    }
    let blob = diff::content(repository, Some(side))?;
    let bytes = rules.checked_out_form(path, &blob);
    if *bytes == *blob {
        return Ok(side);
    }
    Ok(Side { id: store.write_blob(&bytes)?, ..side })
}

/// A tree of the store with these paths changed. What goes makes room for what comes.
fn edited(store: &Store, tree: ObjectId, edits: &[Edit]) -> Result<ObjectId, Failure> {
    let repository = store.reader();
    let root = repository.find_tree(tree).map_err(failed("read a tree"))?;
    let root = root.decode().map_err(failed("read a tree"))?.into_owned();
    let mut editor = Editor::new(root, &repository.objects, store.hash_kind());
    for (path, _) in edits.iter().filter(|(_, new)| new.is_none()) {
        editor.remove(names(path)).map_err(failed("edit a tree"))?;
    }
    for (path, new) in edits {
        if let Some(side) = new {
            editor.upsert(names(path), side.mode.kind(), side.id).map_err(failed("edit a tree"))?;
        }
    }
    editor.write(|tree| store.write_tree(tree)).map_err(failed("store a tree"))
}

fn names(path: &RepoPath) -> impl Iterator<Item = &BStr> {
    path.as_bytes().split(|byte| *byte == b'/').map(BStr::new)
}

/// The tree of one of the user's commits and, beside it, the one that an environment's snapshots are
/// compared with where they are a change of it: the commit is what the environment was made from, or
/// another one that was merged in its box since.
pub(super) fn under(
    store: &Store,
    repository: &gix::Repository,
    environment: &EnvironmentId,
    commit: &CommitId,
) -> Result<(ObjectId, ObjectId), Failure> {
    let tree = object::tree_of(repository, commit)?;
    let origin = match known(repository, environment)? {
        None => tree,
        Some((first, origin)) if first == tree => origin,
        Some(first) => brought_on(store, first, tree)?,
    };
    Ok((tree, origin))
}

/// The tree that an environment's snapshots are compared with, beside that of the user's commit that
/// it was made from; `None` of what a store knows nothing of.
pub(super) fn known(
    repository: &gix::Repository,
    environment: &EnvironmentId,
) -> Result<Option<(ObjectId, ObjectId)>, Failure> {
    let Some(base) = refs::read(repository, &refs::base(environment))? else { return Ok(None) };
    let origin = refs::read(repository, &refs::origin(environment))?.unwrap_or(base);
    let tree = |commit| object::tree_of(repository, &object::name(commit));
    Ok(Some((tree(base)?, tree(origin)?)))
}

/// Where its name stands for files that were made ahead, beside what is known of them. It stays
/// there: a making that was cut short is made again.
fn beside(known: &Path) -> PathBuf {
    known.with_extension("origin")
}

/// Keeps the origin of files that were made ahead.
pub(super) fn keep_beside(known: &Path, origin: ObjectId) -> anyhow::Result<()> {
    let path = beside(known);
    let mut file =
        File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    file.write_all(origin.to_string().as_bytes())?;
    Ok(file.sync_all()?)
}

/// The origin of files that were made ahead; the base where none was kept.
pub(super) fn read_beside(store: &Store, known: &Path, base: Commit) -> anyhow::Result<Commit> {
    let path = beside(known);
    let name = match std::fs::read(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(base),
        name => name.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let origin =
        ObjectId::from_hex(&name).with_context(|| format!("{} names no commit", path.display()))?;
    Ok((origin, object::tree_of(&store.reader(), &object::name(origin))?))
}
