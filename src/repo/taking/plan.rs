//! What a take would change in the working tree, and whether it may.

use std::collections::{BTreeMap, BTreeSet};

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use super::super::checkout::modes::Modes;
use super::super::checkout::{Found, WorkingTree, check_name, check_target};
use super::super::diff::{self, Change, Renames, Side};
use super::super::forms::Forms;
use super::super::object::{self, failed};
use super::super::standing::Standing;
use super::super::stored::Storing;
use super::record::{Entry, State, Step, digest};
use super::sparse::Sparse;
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// What planning looks at.
pub(super) struct Planner<'a, 'f, 'r> {
    pub(super) tree: &'a WorkingTree,
    /// Its objects are those of the trees that are compared.
    pub(super) storing: &'a Storing<'a>,
    pub(super) forms: &'f mut Forms<'r>,
    /// What earlier applies from the same environment left at each path.
    pub(super) earlier: &'a BTreeMap<RepoPath, State>,
    pub(super) sparse: &'a Sparse,
}

/// The steps, in the order of their paths, and the directories they will make.
pub(super) struct Plan<'a> {
    pub(super) steps: Vec<Step>,
    pub(super) made: Vec<RepoPath>,
    /// Paths of steps that are outside a sparse checkout, where nothing is written.
    pub(super) outside: Vec<RepoPath>,
    /// The forms of the files that come.
    pub(super) standing: Standing<'a>,
}

/// The forms of files before and after.
struct Forth<'a> {
    old: Standing<'a>,
    new: Standing<'a>,
}

impl<'a> Planner<'a, '_, '_> {
    /// Plans the way from one tree, which the working tree should show, to another. Fails with
    /// every path on which the user has work of their own.
    pub(super) fn plan(&mut self, from: ObjectId, to: ObjectId) -> Result<Plan<'a>, Failure> {
        let mut changes = diff::changes(self.storing.objects, from, to, Renames::Ignore)?;
        changes.sort_by(|a, b| a.path.cmp(&b.path));
        let storing = self.storing;
        let standing = |tree| {
            let paths = changes.iter().map(|change| &change.path);
            Standing::new(storing, tree, &paths)
        };
        let mut forth = Forth { old: standing(from)?, new: standing(to)? };
        let gone: BTreeSet<RepoPath> = changes
            .iter()
            .filter(|change| change.new.is_none())
            .map(|change| change.path.clone())
            .collect();
        let mut steps = Vec::with_capacity(changes.len());
        let mut theirs = BTreeSet::new();
        let mut made = BTreeSet::new();
        let mut outside = Vec::new();
        for change in changes {
            self.check(&change)?;
            if self.sparse.is_outside(&change.path)
                && self.tree.find(&change.path)? == Found::Absent
            {
                outside.push(change.path.clone());
                steps.push(aside(change));
                continue;
            }
            theirs.extend(self.in_the_way(&change, &gone)?);
            match self.step(&change, &mut forth)? {
                Some(step) => {
                    if step.after != State::Absent && step.after != step.before {
                        made.extend(self.tree.missing_parents(&step.path)?);
                    }
                    steps.push(step);
                }
                None => drop(theirs.insert(change.path)),
            }
        }
        if theirs.is_empty() {
            let made = made.into_iter().collect();
            return Ok(Plan { steps, made, outside, standing: forth.new });
        }
        Err(would_overwrite(theirs.into_iter().collect()))
    }

    /// Refuses names, links and content that never reach a working tree.
    fn check(&mut self, change: &Change) -> Result<(), Failure> {
        for side in [change.old, change.new].into_iter().flatten() {
            check_name(&change.path, side.mode)?;
        }
        if let Some(side) = change.new.filter(|side| side.mode.is_link()) {
            check_target(&change.path, &diff::content(self.storing.objects, Some(side))?)?;
        }
        self.forms.check_filter(&change.path)
    }

    /// Files and links of the user where a directory or a file of the new tree should be.
    fn in_the_way(
        &self,
        change: &Change,
        gone: &BTreeSet<RepoPath>,
    ) -> Result<Vec<RepoPath>, Failure> {
        if change.new.is_none() {
            return Ok(Vec::new());
        }
        match self.tree.blocker(&change.path)? {
            Some((path, _)) if gone.contains(&path) => return Ok(Vec::new()),
            Some((path, Found::Link { .. })) => {
                let message = format!("{} is not written through the link {path}", change.path);
                return Err(Failure::new(FailureKind::Refused, message)
                    .hint("replace the link by a directory, or take the patch by hand")
                    .paths(vec![change.path.clone()]));
            }
            Some((path, _)) => return Ok(vec![path]),
            None => {}
        }
        if self.tree.find(&change.path)? != Found::Directory {
            return Ok(Vec::new());
        }
        let mut below = self.tree.files_below(&change.path)?;
        below.retain(|path| !gone.contains(path));
        Ok(below)
    }

    /// The step for one change; `None` when the user has work of their own there.
    fn step(&mut self, change: &Change, forth: &mut Forth<'_>) -> Result<Option<Step>, Failure> {
        let found = match self.tree.find(&change.path)? {
            // Files in it were found to be in the way already; an empty one gives way.
            Found::Directory if change.new.is_some() => Found::Absent,
            other => other,
        };
        let Some(before) = State::of(&found) else { return Ok(None) };
        let wanted = self.wanted(change, &mut forth.new)?;
        let modes = self.tree.modes();
        let there = same(&before, &wanted, modes);
        let earlier = self.earlier.get(&change.path);
        let untouched = there
            || earlier.is_some_and(|earlier| earlier.is(&before, modes))
            || self.shows(change, &found, &mut forth.old)?;
        let after = if there { before.clone() } else { wanted };
        Ok(untouched.then(|| Step {
            path: change.path.clone(),
            before,
            after,
            old: entry(change.old),
            new: entry(change.new),
        }))
    }

    fn wanted(&mut self, change: &Change, new: &mut Standing<'_>) -> Result<State, Failure> {
        let Some(side) = change.new else { return Ok(State::Absent) };
        let content = diff::content(self.storing.objects, Some(side))?;
        if side.mode.is_link() {
            return Ok(State::Link { target: serde_bytes::ByteBuf::from(content) });
        }
        let content = new.worktree_form(self.forms, &change.path, content)?;
        let permissions = self.tree.permissions(side.mode.kind() == EntryKind::BlobExecutable);
        Ok(State::File { permissions, digest: digest(&content) })
    }

    /// Whether the working tree shows the old side of a change, in either form.
    fn shows(
        &mut self,
        change: &Change,
        found: &Found,
        old: &mut Standing<'_>,
    ) -> Result<bool, Failure> {
        let Some(side) = change.old else { return Ok(*found == Found::Absent) };
        match found {
            Found::Link { target } => {
                Ok(side.mode.is_link()
                    && *target == diff::content(self.storing.objects, Some(side))?)
            }
            Found::File { permissions, content } => {
                let executable = side.mode.kind() == EntryKind::BlobExecutable;
                let heeded = self.tree.modes() == Modes::Heeded;
                if side.mode.is_link() || heeded && executable != (permissions & 0o100 != 0) {
                    return Ok(false);
                }
                let blob = diff::content(self.storing.objects, Some(side))?;
                if old.worktree_form(self.forms, &change.path, blob)? == *content {
                    return Ok(true);
                }
                let stored = old.git_form(&change.path, content);
                let hash = self.storing.objects.object_hash();
                let id = gix::objs::compute_hash(hash, gix::objs::Kind::Blob, &stored)
                    .map_err(failed("name a file's content"))?;
                Ok(id == side.id)
            }
            Found::Absent | Found::Directory | Found::Other => Ok(false),
        }
    }
}

fn entry(side: Option<Side>) -> Option<Entry> {
    side.map(|side| Entry { mode: u32::from(side.mode.value()), id: object::name(side.id) })
}

/// A change of the index alone.
fn aside(change: Change) -> Step {
    let (before, after) = (State::Absent, State::Absent);
    let (old, new) = (entry(change.old), entry(change.new));
    Step { path: change.path, before, after, old, new }
}

/// Whether git would see no difference.
fn same(found: &State, wanted: &State, modes: Modes) -> bool {
    match (found, wanted) {
        (State::File { permissions, .. }, State::File { permissions: wanted_permissions, .. }) => {
            let bit = |permissions: &u32| permissions & 0o100 != 0;
            let bits = modes == Modes::Ignored || bit(permissions) == bit(wanted_permissions);
            bits && found.is(wanted, Modes::Ignored)
        }
        _ => found == wanted,
    }
}

pub(super) fn would_overwrite(paths: Vec<RepoPath>) -> Failure {
    let files =
        if paths.len() == 1 { "1 path".to_owned() } else { format!("{} paths", paths.len()) };
    Failure::new(
        FailureKind::WouldOverwrite,
        format!("uncommitted work of yours on {files} would be overwritten; nothing was changed"),
    )
    .hint("commit, stash or move it, and try again")
    .paths(paths)
}
