//! What git would store of a snapshot: its files as `git add` converts them.
//!
//! A snapshot holds the bytes of files. Only where they meet the user's commits – to be judged, or
//! taken – do git's own rules apply: line endings, `$Id$` and encodings by the snapshot's
//! attributes, as for anyone who adds files, and pointers to large files by the base's, which no
//! agent wrote. No driver is run.

use std::collections::{BTreeSet, HashMap};

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};

use super::base::BaseTree;
use super::convert::{ATTRIBUTES_FILE, Rules, join};
use super::diff::{self, Change, Renames, Side};
use super::forms;
use super::object::failed;
use super::origin;
use super::scan::RULES_LIMIT;
use super::store::Store;
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::path::RepoPath;

/// Large files by the text of the pointer that stands for each in a tree.
pub(super) type Large = HashMap<Vec<u8>, ObjectId>;

/// A tree as git would store it.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) tree: ObjectId,
    pub(super) large: Large,
}

/// How the snapshots of an environment become what git would store of them.
#[derive(Clone, Copy)]
pub(super) struct Storing<'a> {
    pub(super) store: &'a Store,
    /// Keeps new objects in memory.
    pub(super) objects: &'a gix::Repository,
    /// What they are a change of, as git stores it,
    base: ObjectId,
    /// and as it stood in the workspace.
    origin: ObjectId,
}

impl<'a> Storing<'a> {
    /// `base` is the user's commit that the environment was made from, or another one that was
    /// merged in its box since.
    pub(super) fn new(
        store: &'a Store,
        objects: &'a gix::Repository,
        environment: &EnvironmentId,
        base: &CommitId,
    ) -> Result<Self, Failure> {
        let (base, origin) = origin::under(store, objects, environment, base)?;
        Ok(Self { store, objects, base, origin })
    }

    /// The tree that snapshots are compared with.
    pub(super) fn origin(&self) -> ObjectId {
        self.origin
    }

    /// Converts what the tree of a snapshot changes in that.
    pub(super) fn stored(&self, snapshot: ObjectId) -> Result<Stored, Failure> {
        let Self { store, objects, base, origin } = *self;
        let changes = diff::changes(objects, origin, snapshot, Renames::Ignore)?;
        let rules = |tree| -> Result<Rules, Failure> {
            let paths = changes.iter().map(|change| &change.path);
            Ok(Rules::of_files(&store.rules, &attributes(objects, tree, paths)?))
        };
        let (own, bases) = (rules(snapshot)?, rules(base)?);
        let tree = BaseTree::new(objects, base);
        let mut adding = Adding { objects, own, bases, base: tree, large: Large::new() };
        let mut converted = Vec::with_capacity(changes.len());
        let mut differs = base != origin;
        for change in changes {
            let new = match change.new {
                Some(side) => Some(adding.stored(&change, side)?),
                None => None,
            };
            differs |= new.map(|side| side.id) != change.new.map(|side| side.id);
            converted.push((change.path, new));
        }
        let tree = if differs { edited(objects, base, &converted)? } else { snapshot };
        Ok(Stored { tree, large: adding.large })
    }

    /// A tree that git in the box stored, with pointers where it had no driver to make them.
    pub(super) fn pointed(&self, tree: ObjectId) -> Result<Stored, Failure> {
        let Self { store, objects, base, .. } = *self;
        let changes = diff::changes(objects, base, tree, Renames::Ignore)?;
        let paths = changes.iter().map(|change| &change.path);
        let rules = Rules::of_files(&store.rules, &attributes(objects, base, paths)?);
        let (mut large, mut edits) = (Large::new(), Vec::new());
        for Change { path, new, .. } in changes {
            let Some(side) = new.filter(|side| is_file(*side)) else { continue };
            if rules.is_large(path.as_bytes()) {
                let new = point_to(objects, side, &mut large)?;
                edits.extend((new != side).then_some((path, Some(new))));
            }
        }
        let tree = if edits.is_empty() { tree } else { edited(objects, tree, &edits)? };
        Ok(Stored { tree, large })
    }
}

fn is_file(side: Side) -> bool {
    side.mode.is_blob() && !side.mode.is_link()
}

/// A tree with these paths changed; what goes makes room for what comes.
fn edited(
    repository: &gix::Repository,
    tree: ObjectId,
    changes: &[(RepoPath, Option<Side>)],
) -> Result<ObjectId, Failure> {
    let mut editor = repository.edit_tree(tree).map_err(failed("edit a tree"))?;
    for (path, _) in changes.iter().filter(|(_, new)| new.is_none()) {
        editor.remove(BStr::new(path.as_bytes())).map_err(failed("edit a tree"))?;
    }
    for (path, new) in changes {
        if let Some(side) = new {
            let path = BStr::new(path.as_bytes());
            editor.upsert(path, side.mode.kind(), side.id).map_err(failed("edit a tree"))?;
        }
    }
    Ok(editor.write().map_err(failed("store a tree"))?.detach())
}

/// A directory and the content of its attribute file.
type Attributes = (Vec<u8>, Vec<u8>);

/// The attribute files of a tree that concern some paths, parents before children.
pub(super) fn attributes<'p>(
    repository: &gix::Repository,
    tree: ObjectId,
    paths: impl Iterator<Item = &'p RepoPath>,
) -> Result<Vec<Attributes>, Failure> {
    let mut directories = BTreeSet::from([Vec::new()]);
    for path in paths {
        let path = path.as_bytes();
        directories.extend(path.find_iter(b"/").map(|slash| path[..slash].to_vec()));
    }
    let mut tree = BaseTree::new(repository, tree);
    let mut files = Vec::new();
    for directory in directories {
        let entry = tree.entry(&join(&directory, ATTRIBUTES_FILE));
        let side = entry.map(|(mode, id)| Side { mode, id }).filter(|side| is_file(*side));
        if let Some(side) = side {
            files.push((directory, diff::content(repository, Some(side))?));
        }
    }
    files.retain(|(_, content)| content.len() as u64 <= RULES_LIMIT);
    // A parent's path is shorter than its children's.
    files.sort_by_key(|(directory, _)| directory.len());
    Ok(files)
}

/// Files on their way into git's store.
struct Adding<'r> {
    objects: &'r gix::Repository,
    own: Rules,
    bases: Rules,
    base: BaseTree<'r>,
    large: Large,
}

impl Adding<'_> {
    /// What git stores for the new side of a change.
    fn stored(&mut self, change: &Change, new: Side) -> Result<Side, Failure> {
        let path = change.path.as_bytes();
        if !is_file(new) {
            return Ok(new);
        }
        let there = self.base.entry(path).map(|(mode, id)| Side { mode, id });
        let there = there.filter(|side| is_file(*side));
        if let (Some(there), Some(old)) = (there, change.old)
            && old.id == new.id
        {
            // Its bytes are those of the base: only its mode changed.
            return Ok(Side { id: there.id, ..new });
        }
        if self.bases.is_large(path) {
            return point_to(self.objects, new, &mut self.large);
        }
        if !self.own.may_convert(path) {
            return Ok(new);
        }
        let bytes = diff::content(self.objects, Some(new))?;
        let objects = self.objects;
        let mut before = || Some(objects.find_blob(there?.id).ok()?.detach().data);
        let stored = self.own.stored_form(path, &bytes, &mut before);
        if *stored == *bytes {
            return Ok(new);
        }
        let id = self.objects.write_blob(&*stored).map_err(failed("store a file"))?.detach();
        Ok(Side { id, ..new })
    }
}

/// The pointer to a large file, which is noted; a pointer stands for itself.
fn point_to(objects: &gix::Repository, side: Side, large: &mut Large) -> Result<Side, Failure> {
    let bytes = diff::content(objects, Some(side))?;
    let pointer = forms::pointer(&bytes);
    if pointer == bytes {
        return Ok(side);
    }
    let id = objects.write_blob(&pointer).map_err(failed("store a file"))?.detach();
    large.insert(pointer, side.id);
    Ok(Side { id, ..side })
}
