//! What was taken from an environment before, so that a later take brings only what is new.

use std::collections::{BTreeMap, BTreeSet};

use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::{Editor, EntryKind};

use super::super::base::BaseTree;
use super::super::checkout::modes::Modes;
use super::super::checkout::{Found, WorkingTree};
use super::super::convert::ATTRIBUTES_FILE;
use super::super::diff::{self, Renames};
use super::super::forms::Forms;
use super::super::hidden;
use super::super::merge::{self, Sides};
use super::super::object::{self, failed};
use super::super::standing::Standing;
use super::super::store::Store;
use super::super::stored::Storing;
use super::super::{carry, history};
use super::journal::Journal;
use super::judged::{Judged, own_base};
use super::record::State;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::path::RepoPath;
use crate::model::snapshot::{Snapshot, SnapshotCause};

/// What applies and merges of one environment have brought to the user.
#[derive(Default)]
pub(super) struct Earlier {
    /// The snapshot of the newest merge that the branch holds, as a change of the base.
    merged: Option<CommitId>,
    /// The base with all that was taken, as a snapshot or a tree; `None` when nothing was.
    pub(super) taken: Option<CommitId>,
    /// What applies that no merge followed have left in the working tree.
    pub(super) states: BTreeMap<RepoPath, State>,
}

impl Earlier {
    /// All of it, with the user's own work that came along.
    pub(super) fn carrying(
        store: &Store,
        journal: &Journal,
        environment: &EnvironmentId,
        (base, head): (&CommitId, &CommitId),
    ) -> Result<Self, Failure> {
        let mut earlier = Self::of(store, journal, environment, (base, head))?;
        earlier.carry(store, environment, base)?;
        Ok(earlier)
    }

    /// A merge that `head` does not hold, because the user took it off the branch, does not count.
    /// Neither does what was taken until a merge that `base` holds: the work is a change of all that.
    /// What was taken as a change of another commit counts as the same change of `base`.
    fn of(
        store: &Store,
        journal: &Journal,
        environment: &EnvironmentId,
        (base, head): (&CommitId, &CommitId),
    ) -> Result<Self, Failure> {
        let objects = store.reader();
        let held_by = |holder: &CommitId, decision: &Decision| {
            let commit = decision.commit.as_ref();
            commit.is_some_and(|commit| holds(&objects, holder, commit).unwrap_or(false))
        };
        let own = own_base(&objects, environment)?.unwrap_or_else(|| base.clone());
        let judged = |tree: Option<CommitId>, by: Option<CommitId>| {
            tree.map(|tree| Judged { tree, by: by.unwrap_or_else(|| own.clone()) })
        };
        let (mut merged, mut taken): (Option<Judged>, Option<Judged>) = (None, None);
        let mut earlier = Self::default();
        for decision in journal.decisions()? {
            if decision.environment != *environment || decision.undone {
                continue;
            }
            match decision.kind {
                DecisionKind::Apply => {
                    let record = journal.record(decision.id)?;
                    for step in record.steps {
                        earlier.states.insert(step.path, step.after);
                    }
                    taken =
                        judged(taken_by(&objects, record.taken, decision.snapshot), record.judged);
                }
                DecisionKind::Merge if held_by(base, &decision) => {
                    earlier.states.clear();
                    (merged, taken) = (None, None);
                }
                DecisionKind::Merge if held_by(head, &decision) => {
                    earlier.states.clear();
                    let record = journal.record(decision.id)?;
                    taken =
                        judged(taken_by(&objects, record.taken, decision.snapshot), record.judged);
                    merged.clone_from(&taken);
                }
                DecisionKind::Merge | DecisionKind::Discard | DecisionKind::Restore => {}
            }
        }
        let onto_base = |taken: Option<Judged>| {
            taken.map_or(Ok(None), |taken| taken.onto(store, &objects, environment, base))
        };
        (earlier.merged, earlier.taken) = (onto_base(merged)?, onto_base(taken)?);
        Ok(earlier)
    }

    /// Work of the user's that came along when the environment was made stands in their working
    /// tree as if it had been applied from it.
    fn carry(
        &mut self,
        store: &Store,
        environment: &EnvironmentId,
        base: &CommitId,
    ) -> Result<(), Failure> {
        let carried = carry::read(store, environment)?;
        if carried.is_empty() {
            return Ok(());
        }
        if self.taken.is_none() {
            let is_base = |known: &Snapshot| known.cause == SnapshotCause::Base;
            if let Some(first) = history::find_newest(store, environment, is_base)? {
                let objects = store.reader();
                let by = own_base(&objects, environment)?.unwrap_or_else(|| base.clone());
                let first = Judged { tree: first.id, by };
                self.taken = first.onto(store, &objects, environment, base)?;
            }
        }
        for (path, state) in carried {
            self.states.entry(path).or_insert(state);
        }
        Ok(())
    }

    /// A snapshot without what git would not add of it; but for what was taken of that by name.
    pub(super) fn offered(
        &self,
        storing: &Storing<'_>,
        snapshot: ObjectId,
    ) -> Result<ObjectId, Failure> {
        let Storing { store, objects, .. } = *storing;
        let mut kept = hidden::between(store, objects, storing.origin(), snapshot)?;
        if let Some(taken) = &self.taken {
            let taken = object::tree_of(objects, taken)?;
            let mut taken = BaseTree::new(objects, taken);
            kept.hidden.retain(|path| taken.entry(path.as_bytes()).is_none());
        }
        let kept = kept.paths();
        if kept.is_empty() {
            return Ok(snapshot);
        }
        let offered = as_in(store, snapshot, storing.origin(), &kept)?;
        store.sync()?;
        Ok(offered)
    }

    /// What applies wrote and the user has since changed or taken out again.
    fn changed_since(&self, tree: &WorkingTree) -> Result<BTreeSet<RepoPath>, Failure> {
        let mut changed = BTreeSet::new();
        for (path, state) in &self.states {
            let found = tree.find(path)?;
            let replaced = *state == State::Absent && found == Found::Directory;
            if !replaced && !state.shows(&found, tree.modes()) {
                changed.insert(path.clone());
            }
        }
        Ok(changed)
    }
}

/// What a take had taken in the end: a tree, or the snapshot where that is all of it, which says
/// itself in which form it holds files.
fn taken_by(
    objects: &gix::Repository,
    tree: Option<CommitId>,
    snapshot: Option<CommitId>,
) -> Option<CommitId> {
    let whole = snapshot.as_ref().and_then(|it| object::tree_of(objects, it).ok());
    let is_whole = |tree: &CommitId| whole == Some(object::id(tree));
    tree.filter(|tree| !is_whole(tree)).or(snapshot)
}

/// Whether a commit is in the history of another one.
pub(super) fn holds(
    objects: &gix::Repository,
    head: &CommitId,
    commit: &CommitId,
) -> Result<bool, Failure> {
    let (head, commit) = (object::id(head), object::id(commit));
    if !objects.has_object(commit) {
        return Ok(false);
    }
    let base = objects.merge_base(head, commit);
    Ok(base.map_err(failed("read the branch's history"))?.is_some_and(|base| base == commit))
}

/// What a take starts from: what the environment's work is compared with, as a snapshot has it, and
/// what the user has.
pub(super) struct Ground {
    pub(super) ancestor: ObjectId,
    pub(super) ours: ObjectId,
}

/// The user's side of an apply.
pub(super) struct Users<'a, 'f, 'r> {
    /// With objects that are kept in memory.
    pub(super) storing: &'a Storing<'a>,
    pub(super) forms: &'f mut Forms<'r>,
    pub(super) tree: &'a WorkingTree,
    /// The tree of `HEAD`.
    pub(super) head: ObjectId,
}

impl Earlier {
    /// Where what was taken stands in the working tree or is in `HEAD`, only what is new since is
    /// to come, into what stands there. Where the user took it out, it comes again.
    pub(super) fn ground(
        &self,
        user: &mut Users<'_, '_, '_>,
        base: ObjectId,
    ) -> Result<Ground, Failure> {
        let changed = self.changed_since(user.tree)?;
        let standing = self.states.keys().filter(|path| !changed.contains(*path));
        let standing: BTreeSet<RepoPath> = standing.cloned().collect();
        let ancestor = self.without_gone(user, base, &standing)?;
        Ok(Ground { ancestor, ours: user.overlay(&standing, ancestor)? })
    }

    /// The base with all that was taken and `HEAD` holds, which is what a merge starts from.
    pub(super) fn committed(
        &self,
        user: &mut Users<'_, '_, '_>,
        base: ObjectId,
    ) -> Result<ObjectId, Failure> {
        self.without_gone(user, base, &BTreeSet::new())
    }

    /// What was taken, but for paths that neither stand in the working tree nor are in `HEAD`.
    fn without_gone(
        &self,
        user: &mut Users<'_, '_, '_>,
        base: ObjectId,
        standing: &BTreeSet<RepoPath>,
    ) -> Result<ObjectId, Failure> {
        let Storing { store, objects, .. } = *user.storing;
        let tree = |commit: &CommitId| object::tree_of(objects, commit);
        // A merge is on the branch for good, whatever was made of it there since.
        let base = self.merged.as_ref().map_or(Ok(base), tree)?;
        let taken = self.taken.as_ref().map_or(Ok(base), tree)?;
        let mut paths: BTreeSet<RepoPath> = self.states.keys().cloned().collect();
        let changes = diff::changes(objects, base, taken, Renames::Ignore)?;
        paths.extend(changes.into_iter().map(|change| change.path));
        paths.retain(|path| !standing.contains(path));
        let gone = user.without_held(base, taken, &paths)?;
        as_in(store, taken, base, &gone)
    }
}

/// A tree of the store with these paths as another one has them.
pub(super) fn as_in(
    store: &Store,
    tree: ObjectId,
    other: ObjectId,
    paths: &BTreeSet<RepoPath>,
) -> Result<ObjectId, Failure> {
    if paths.is_empty() {
        return Ok(tree);
    }
    let objects = store.reader();
    let other = objects.find_tree(other).map_err(failed("read a tree"))?;
    let tree = objects.find_tree(tree).map_err(failed("read a tree"))?;
    let tree = tree.decode().map_err(failed("read a tree"))?.into_owned();
    let mut editor = Editor::new(tree, &objects.objects, store.hash_kind());
    for path in paths {
        editor.remove(names(path)).map_err(failed("edit a tree"))?;
    }
    let mut submodules: Vec<&RepoPath> = Vec::new();
    for path in paths {
        // Nothing of the other tree is in a submodule of it.
        if submodules.iter().any(|submodule| path.is_within(submodule)) {
            continue;
        }
        if let Some((kind, id)) = file_at(&other, path)? {
            submodules.extend((kind == EntryKind::Commit).then_some(path));
            editor.upsert(names(path), kind, id).map_err(failed("edit a tree"))?;
        }
    }
    editor.write(|tree| store.write_tree(tree)).map_err(failed("store a tree"))
}

/// The names a path consists of, as a tree's editor takes them.
pub(super) fn names(path: &RepoPath) -> impl Iterator<Item = &BStr> {
    path.as_bytes().split(|byte| *byte == b'/').map(BStr::new)
}

fn file_at(
    tree: &gix::Tree<'_>,
    path: &RepoPath,
) -> Result<Option<(EntryKind, ObjectId)>, Failure> {
    let names = path.as_bytes().split(|byte| *byte == b'/');
    let entry = tree.lookup_entry(names).map_err(failed("read a tree"))?;
    let entry = entry.filter(|entry| !entry.mode().is_tree());
    Ok(entry.map(|entry| (entry.mode().kind(), entry.object_id())))
}

impl Users<'_, '_, '_> {
    /// Those of the paths on which `HEAD` does not hold all that was taken: bringing it there would
    /// change something.
    fn without_held(
        &mut self,
        base: ObjectId,
        taken: ObjectId,
        paths: &BTreeSet<RepoPath>,
    ) -> Result<BTreeSet<RepoPath>, Failure> {
        if paths.is_empty() {
            return Ok(BTreeSet::new());
        }
        let Storing { store, objects, .. } = *self.storing;
        let theirs = self.storing.stored(as_in(store, base, taken, paths)?)?.tree;
        let ancestor = self.storing.stored(base)?.tree;
        let sides = Sides { ancestor, ours: self.head, theirs };
        let Ok(merged) = merge::trees(objects, self.forms, sides) else {
            return Ok(paths.clone());
        };
        let read = |id| objects.find_tree(id).map_err(failed("read a tree"));
        let (merged, head) = (read(merged)?, read(self.head)?);
        let mut left = BTreeSet::new();
        for path in paths {
            if file_at(&merged, path)? != file_at(&head, path)? {
                left.insert(path.clone());
            }
        }
        Ok(left)
    }

    /// The user's tree with what stands at these paths of the working tree.
    /// Where executable bits say nothing, `taken` has them.
    fn overlay(
        &mut self,
        paths: &BTreeSet<RepoPath>,
        taken: ObjectId,
    ) -> Result<ObjectId, Failure> {
        let by_rules = |path: &&RepoPath| path.file_name() == ATTRIBUTES_FILE;
        // What stands there says of itself in which form it does.
        let rules: BTreeSet<&RepoPath> = paths.iter().filter(by_rules).collect();
        let files = paths.iter().filter(|path| !by_rules(path)).collect();
        let ruled = self.overlay_by(self.head, &rules, taken)?;
        self.overlay_by(ruled, &files, taken)
    }

    /// A tree with what stands at these paths, by its own attributes.
    fn overlay_by(
        &mut self,
        tree: ObjectId,
        paths: &BTreeSet<&RepoPath>,
        taken: ObjectId,
    ) -> Result<ObjectId, Failure> {
        if paths.is_empty() {
            return Ok(tree);
        }
        let objects = self.storing.objects;
        let mut standing = Standing::new(self.storing, tree, &paths.iter().copied())?;
        let taken = objects.find_tree(taken).map_err(failed("read a tree"))?;
        let heeded = self.tree.modes() == Modes::Heeded;
        let mut editor = objects.edit_tree(tree).map_err(failed("edit a tree"))?;
        for path in paths.iter().copied() {
            let place = BStr::new(path.as_bytes());
            let (kind, content) = match self.tree.find(path)? {
                Found::File { permissions, content } => {
                    let known = if heeded { None } else { file_at(&taken, path)? };
                    let executable = match known {
                        Some((kind, _)) => kind == EntryKind::BlobExecutable,
                        None => permissions & 0o100 != 0,
                    };
                    let kind = if executable { EntryKind::BlobExecutable } else { EntryKind::Blob };
                    (kind, standing.git_form(path, &content))
                }
                Found::Link { target } => (EntryKind::Link, target),
                // Removing a name whose directory came in its place would remove that.
                Found::Directory => continue,
                Found::Absent | Found::Other => {
                    editor.remove(place).map_err(failed("edit a tree"))?;
                    continue;
                }
            };
            let blob = objects.write_blob(content).map_err(failed("store a file"))?;
            editor.upsert(place, kind, blob).map_err(failed("edit a tree"))?;
        }
        Ok(editor.write().map_err(failed("store a tree"))?.detach())
    }
}
