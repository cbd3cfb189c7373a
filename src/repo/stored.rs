//! What git would store of a snapshot: its files as `git add` converts them.
//!
//! A snapshot holds the bytes of files. Only where they meet the user's commits – to be judged, or
//! taken – do git's own rules apply: line endings, `$Id$` and encodings by the snapshot's
//! attributes, as for anyone who adds files, and pointers to large files by those of the place that
//! takes them. No driver is run.

use std::collections::{BTreeSet, HashMap};

use gix::ObjectId;
use gix::bstr::{BStr, ByteSlice as _};

use super::base::BaseTree;
use super::convert::{ATTRIBUTES_FILE, Rules, join};
use super::diff::{self, Change, Renames, Side};
use super::forms;
use super::hidden;
use super::large::{self, LargeFiles};
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
    /// The user's tree that takes them.
    onto: ObjectId,
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
        Ok(Self { store, objects, base, origin, onto: base })
    }

    /// The same for a tree of the user's other than what the work is a change of.
    pub(super) fn onto(self, tree: ObjectId) -> Self {
        Self { onto: tree, ..self }
    }

    /// The tree that snapshots are compared with.
    pub(super) fn origin(&self) -> ObjectId {
        self.origin
    }

    /// A snapshot without what git would not add of it.
    pub(super) fn offered(&self, snapshot: ObjectId) -> Result<ObjectId, Failure> {
        let kept = hidden::between(self.store, self.objects, self.origin, snapshot)?.paths();
        if kept.is_empty() {
            return Ok(snapshot);
        }
        let mut origin = BaseTree::new(self.objects, self.origin);
        let mut as_before = |path: RepoPath| {
            let side = origin.entry(path.as_bytes()).map(|(mode, id)| Side { mode, id });
            (path, side)
        };
        let changes: Vec<_> = kept.into_iter().map(&mut as_before).collect();
        edited(self.objects, snapshot, &changes)
    }

    /// Converts what the tree of a snapshot changes in that.
    pub(super) fn stored(&self, snapshot: ObjectId) -> Result<Stored, Failure> {
        let Self { store, objects, base, origin, .. } = *self;
        let changes = diff::changes(objects, origin, snapshot, Renames::Ignore)?;
        let files = attributes(objects, snapshot, paths(&changes))?;
        let mut own = Rules::of_files(&store.rules, &files);
        let files = self.attributes_stored(&mut own, files, &changes)?;
        let kept = self.kept_after(&files, &changes)?;
        let tree = BaseTree::new(objects, base);
        let mut adding = Adding { objects, own, kept, base: tree, large: Large::new() };
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
        let changes = diff::changes(self.objects, self.base, tree, Renames::Ignore)?;
        let files = attributes(self.objects, tree, paths(&changes))?;
        let kept = self.kept_after(&files, &changes)?;
        self.pointing(tree, &changes, &kept, &Large::new())
    }

    /// A tree that a merge made of `from`, with pointers where its own attributes want them, and
    /// content of `large` where they do not: a rename may have brought either to another place.
    pub(super) fn settled(
        &self,
        from: ObjectId,
        tree: ObjectId,
        large: &Large,
    ) -> Result<Stored, Failure> {
        let changes = diff::changes(self.objects, from, tree, Renames::Ignore)?;
        let kept = self.kept_in(tree, &paths(&changes))?;
        self.pointing(tree, &changes, &kept, large)
    }

    fn pointing(
        &self,
        tree: ObjectId,
        changes: &[Change],
        kept: &LargeFiles,
        known: &Large,
    ) -> Result<Stored, Failure> {
        let known = by_name(self.objects, known)?;
        let (mut large, mut edits) = (Large::new(), Vec::new());
        for Change { path, new, .. } in changes {
            let Some(side) = new.filter(|side| is_file(*side)) else { continue };
            let new = if kept.has(path.as_bytes()) {
                point_to(self.objects, side, &mut large)?
            } else {
                Side { id: known.get(&side.id).copied().unwrap_or(side.id), ..side }
            };
            edits.extend((new != side).then(|| (path.clone(), Some(new))));
        }
        let tree = if edits.is_empty() { tree } else { edited(self.objects, tree, &edits)? };
        Ok(Stored { tree, large })
    }

    /// Which files are large ones by a tree's own attributes.
    pub(super) fn kept_in<'p>(
        &self,
        tree: ObjectId,
        paths: &(impl Iterator<Item = &'p RepoPath> + Clone),
    ) -> Result<LargeFiles, Failure> {
        let of = |tree| attributes(self.objects, tree, paths.clone());
        Ok(LargeFiles::new(&self.store.rules, &of(tree)?, &of(self.base)?))
    }

    /// Which are once a tree with these attribute files, as git stores them, is taken.
    fn kept_after(&self, own: &[Attributes], changes: &[Change]) -> Result<LargeFiles, Failure> {
        let of = |tree| attributes(self.objects, tree, paths(changes));
        let base = of(self.base)?;
        let onto = if self.onto == self.base { base.clone() } else { of(self.onto)? };
        let after = large::brought(&base, &onto, own);
        Ok(LargeFiles::new(&self.store.rules, &after, &base))
    }

    /// A snapshot's attribute files as git would store them.
    fn attributes_stored(
        &self,
        own: &mut Rules,
        files: Vec<Attributes>,
        changes: &[Change],
    ) -> Result<Vec<Attributes>, Failure> {
        let of = |tree| -> Result<HashMap<Vec<u8>, Vec<u8>>, Failure> {
            Ok(attributes(self.objects, tree, paths(changes))?.into_iter().collect())
        };
        let base = of(self.base)?;
        let origin = if self.origin == self.base { base.clone() } else { of(self.origin)? };
        let mut stored = Vec::with_capacity(files.len());
        for (directory, content) in files {
            let there = base.get(&directory);
            let content = if origin.get(&directory) == Some(&content) {
                there.cloned().unwrap_or(content)
            } else {
                let path = join(&directory, ATTRIBUTES_FILE);
                own.stored_form(&path, &content, &mut || there.cloned()).into_owned()
            };
            stored.push((directory, content));
        }
        Ok(stored)
    }
}

fn paths(changes: &[Change]) -> impl Iterator<Item = &RepoPath> + Clone {
    changes.iter().map(|change| &change.path)
}

/// The contents of large files by the names of their pointers' blobs.
fn by_name(
    objects: &gix::Repository,
    large: &Large,
) -> Result<HashMap<ObjectId, ObjectId>, Failure> {
    let name = |pointer: &[u8]| {
        gix::objs::compute_hash(objects.object_hash(), gix::objs::Kind::Blob, pointer)
            .map_err(failed("name a pointer"))
    };
    large.iter().map(|(pointer, content)| Ok((name(pointer)?, *content))).collect()
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
pub(super) type Attributes = (Vec<u8>, Vec<u8>);

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
    kept: LargeFiles,
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
        if self.kept.has(path) {
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
