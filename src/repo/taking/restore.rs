//! Taking an environment's workspace back to a snapshot, with the same care as the user's tree: the
//! journal first, the one safe writer, and every byte that is needed to go back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::checkout::{EXECUTABLE, Found, PLAIN, WorkingTree, check_name};
use super::super::diff::{self, Change, Renames, Side};
use super::super::object;
use super::super::older;
use super::super::store::Store;
use super::super::user::UserRepository;
use super::TakeRequest;
use super::journal::Journal;
use super::perform::Site;
use super::record::{Entry, Record, State, Step, digest};
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// Makes the workspace what `request.head` holds. `request.base` is the snapshot that holds it now:
/// nobody may be writing there. What neither of the two holds, as ignored files, stays.
pub fn restore(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
    workspace: &Path,
) -> Result<Decision, Failure> {
    journal.check_next(request.id)?;
    let site = Site::of_workspace(user, journal, workspace, store.caps.any)?;
    let objects = store.reader();
    let from = object::tree_of(&objects, &request.base)?;
    let to = older::tree(store, &objects, &request.environment, &request.head)?;
    let (steps, made) = Planner { tree: &site.tree, objects: &objects }.plan(from, to)?;
    if steps.is_empty() {
        let short = request.head.short();
        let message = format!("{} is as snapshot {short} has it", request.name);
        return Err(Failure::new(FailureKind::Invalid, message));
    }
    let mut decision = request.decision(DecisionKind::Restore, user);
    decision.paths = steps.iter().map(|step| step.path.clone()).collect();
    let record = Record { decision, steps, made, branch: None, taken: None, judged: None };
    site.carry_out(&record, &objects, &mut |_, blob| Ok(blob))
}

struct Planner<'a> {
    tree: &'a WorkingTree,
    objects: &'a gix::Repository,
}

impl Planner<'_> {
    /// The steps, and the directories they will make. Fails with every path where something stands
    /// that the last snapshot does not hold.
    fn plan(
        &self,
        from: gix::ObjectId,
        to: gix::ObjectId,
    ) -> Result<(Vec<Step>, Vec<RepoPath>), Failure> {
        let is_commit = |side: Option<Side>| side.is_some_and(|side| side.mode.is_commit());
        // Of a submodule only its place is ours; its files stay what they are.
        let changes: BTreeMap<RepoPath, Change> =
            diff::changes(self.objects, from, to, Renames::Ignore)?
                .into_iter()
                .filter(|change| !is_commit(change.old) && !is_commit(change.new))
                .map(|change| (change.path.clone(), change))
                .collect();
        let mut steps = Vec::with_capacity(changes.len());
        let (mut blocked, mut made) = (BTreeSet::new(), BTreeSet::new());
        for change in changes.values() {
            for side in [change.old, change.new].into_iter().flatten() {
                check_name(&change.path, side.mode)?;
            }
            let found = self.tree.find(&change.path)?;
            let after = self.wanted(change)?;
            let Some(before) = self.known(change, &found, &after)? else {
                blocked.insert(change.path.clone());
                continue;
            };
            let in_the_way = self.in_the_way(&changes, change, &found)?;
            if !in_the_way.is_empty() {
                blocked.extend(in_the_way);
                continue;
            }
            if after != State::Absent {
                made.extend(self.tree.missing_parents(&change.path)?);
            }
            let entry = |side: Option<Side>| {
                side.map(|side| Entry {
                    mode: u32::from(side.mode.value()),
                    id: object::name(side.id),
                })
            };
            let (old, new) = (entry(change.old), entry(change.new));
            steps.push(Step { path: change.path.clone(), before, after, old, new });
        }
        if blocked.is_empty() {
            return Ok((steps, made.into_iter().collect()));
        }
        let message = "files that no snapshot holds are in the way; nothing was changed";
        Err(Failure::new(FailureKind::WouldOverwrite, message)
            .hint("move them in the environment, and try again")
            .paths(blocked.into_iter().collect()))
    }

    /// What stands at a path; `None` when it would be lost, because the last snapshot left it out.
    fn known(
        &self,
        change: &Change,
        found: &Found,
        after: &State,
    ) -> Result<Option<State>, Failure> {
        let before = match found {
            // What is left of it once its files are gone is empty.
            Found::Directory => State::Absent,
            found => match State::of(found) {
                Some(before) => before,
                None => return Ok(None),
            },
        };
        let held = before == State::Absent || before == *after || self.shows(change, found)?;
        Ok(held.then_some(before))
    }

    /// Whether a file or link is what the last snapshot holds.
    fn shows(&self, change: &Change, found: &Found) -> Result<bool, Failure> {
        let Some(side) = change.old else { return Ok(false) };
        let stored = diff::content(self.objects, Some(side))?;
        match found {
            Found::Link { target } => Ok(side.mode.is_link() && *target == stored),
            Found::File { permissions, content } => {
                let executable = permissions & 0o100 != 0;
                let kind = !side.mode.is_link() && is_executable(side) == executable;
                Ok(kind && *content == stored)
            }
            Found::Absent | Found::Directory | Found::Other => Ok(false),
        }
    }

    /// What stands where a file is to come, and goes with none of the changes.
    fn in_the_way(
        &self,
        changes: &BTreeMap<RepoPath, Change>,
        change: &Change,
        found: &Found,
    ) -> Result<Vec<RepoPath>, Failure> {
        let goes = |path: &RepoPath| changes.get(path).is_some_and(|other| other.new.is_none());
        if change.new.is_none() {
            return Ok(Vec::new());
        }
        if let Some((path, _)) = self.tree.blocker(&change.path)?
            && !goes(&path)
        {
            return Ok(vec![path]);
        }
        if *found != Found::Directory {
            return Ok(Vec::new());
        }
        let mut below = self.tree.files_below(&change.path)?;
        below.retain(|path| !goes(path));
        Ok(below)
    }

    fn wanted(&self, change: &Change) -> Result<State, Failure> {
        let Some(side) = change.new else { return Ok(State::Absent) };
        let content = diff::content(self.objects, Some(side))?;
        if side.mode.is_link() {
            return Ok(State::Link { target: serde_bytes::ByteBuf::from(content) });
        }
        let permissions = if is_executable(side) { EXECUTABLE } else { PLAIN };
        Ok(State::File { permissions, digest: digest(&content) })
    }
}

fn is_executable(side: Side) -> bool {
    side.mode.kind() == gix::objs::tree::EntryKind::BlobExecutable
}
