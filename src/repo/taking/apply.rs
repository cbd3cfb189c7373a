//! Bringing an environment's changes into the working tree, without a commit.

use std::collections::BTreeMap;

use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::EntryKind;

use super::super::checkout::{Found, WorkingTree};
use super::super::forms::Forms;
use super::super::merge::{self, Sides};
use super::super::object::{self, failed};
use super::super::store::Store;
use super::super::user::UserRepository;
use super::super::{carry, history};
use super::TakeRequest;
use super::index::Known;
use super::journal::Journal;
use super::perform::Site;
use super::plan::{Planner, would_overwrite};
use super::record::{Record, State, Step};
use super::sound::check_tree;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::path::RepoPath;
use crate::model::snapshot::{Snapshot, SnapshotCause};

/// Brings what changed from `base` to `head` into the working tree: three-way with the user's
/// `HEAD` where that has changed too. New files stay untracked; index and branches stay as they are.
///
/// While all that earlier applies from the same environment wrote is still in the working tree,
/// only what is new since the last of them is brought in.
pub fn apply(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
) -> Result<Decision, Failure> {
    journal.check_number(request.id)?;
    let site = Site::open(user, journal)?;
    let objects = store.reader().with_object_memory();
    let (head, _) = user.head()?;
    let head = object::tree_of(&objects, &head)?;
    let mut forms = Forms::new(user, &site.repository, head)?;
    let mut earlier = Earlier::of(journal, &request.environment)?;
    earlier.carry(store, request)?;
    let theirs = object::tree_of(&objects, &request.head)?;
    let base = object::tree_of(&objects, &request.base)?;
    check_tree(&objects, theirs, Some(base))?;
    let sides = match &earlier.head {
        Some(applied) if earlier.stands(&site.tree)? => Sides {
            ancestor: object::tree_of(&objects, applied)?,
            ours: overlay(&objects, &mut forms, &site.tree, head, &earlier.states)?,
            theirs,
        },
        _ => Sides { ancestor: base, ours: head, theirs },
    };
    let result = merge::trees(&objects, &mut forms, sides)?;
    let mut planner = Planner {
        tree: &site.tree,
        objects: &objects,
        forms: &mut forms,
        earlier: &earlier.states,
    };
    let mut plan = planner.plan(sides.ours, result)?;
    plan.steps.retain(|step| step.before != step.after);
    if plan.steps.is_empty() {
        return Err(nothing_to_take(request));
    }
    refuse_special(&site, request, &plan.steps)?;
    let mut decision = request.decision(DecisionKind::Apply, user);
    decision.paths = plan.steps.iter().map(|step| step.path.clone()).collect();
    let record = Record { decision, steps: plan.steps, made: plan.made, branch: None };
    site.carry_out(&record, &objects, &mut |path, blob| forms.worktree_form(path, blob))
}

pub(super) fn nothing_to_take(request: &TakeRequest) -> Failure {
    let message = format!("{} has nothing that is not there already", request.name);
    Failure::new(FailureKind::Invalid, message)
        .hint(format!("see what it changed: agentdeck diff {}", request.name))
}

/// A path in conflict is the user's to resolve, also when its file looks untouched.
fn refuse_special(site: &Site<'_>, request: &TakeRequest, steps: &[Step]) -> Result<(), Failure> {
    let index = site.index(&site.lock(request.id))?;
    let special: Vec<RepoPath> = steps
        .iter()
        .filter(|step| matches!(index.known(&step.path), Known::Special(_)))
        .map(|step| step.path.clone())
        .collect();
    if special.is_empty() { Ok(()) } else { Err(would_overwrite(special)) }
}

/// What applies from one environment have left in the working tree.
#[derive(Default)]
pub(super) struct Earlier {
    /// The snapshot applied last.
    head: Option<CommitId>,
    pub(super) states: BTreeMap<RepoPath, State>,
}

impl Earlier {
    pub(super) fn of(journal: &Journal, environment: &EnvironmentId) -> Result<Self, Failure> {
        let mut earlier = Self::default();
        for decision in journal.decisions()? {
            let ours = decision.environment == *environment && !decision.undone;
            if !ours || decision.kind != DecisionKind::Apply {
                continue;
            }
            for step in journal.record(decision.id)?.steps {
                earlier.states.insert(step.path, step.after);
            }
            earlier.head = decision.snapshot;
        }
        Ok(earlier)
    }

    /// Work of the user's that came along when the environment was made stands in their working
    /// tree as if it had been applied from it.
    fn carry(&mut self, store: &Store, request: &TakeRequest) -> Result<(), Failure> {
        let carried = carry::read(store, &request.environment)?;
        if carried.is_empty() {
            return Ok(());
        }
        if self.head.is_none() {
            let is_base = |known: &Snapshot| known.cause == SnapshotCause::Base;
            let first = history::find_newest(store, &request.environment, is_base)?;
            self.head = first.map(|first| first.id);
        }
        for (path, state) in carried {
            self.states.entry(path).or_insert(state);
        }
        Ok(())
    }

    /// Whether all of it is still there, committed or not.
    fn stands(&self, tree: &WorkingTree) -> Result<bool, Failure> {
        for (path, state) in &self.states {
            let found = tree.find(path)?;
            let replaced = *state == State::Absent && found == Found::Directory;
            if !replaced && State::of(&found).as_ref() != Some(state) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The user's tree with what stands at these paths of the working tree.
fn overlay(
    objects: &gix::Repository,
    forms: &mut Forms<'_>,
    tree: &WorkingTree,
    head: ObjectId,
    states: &BTreeMap<RepoPath, State>,
) -> Result<ObjectId, Failure> {
    let mut editor = objects.edit_tree(head).map_err(failed("edit a tree"))?;
    for path in states.keys() {
        let place = BStr::new(path.as_bytes());
        let (kind, content) = match tree.find(path)? {
            Found::File { permissions, content } if permissions & 0o100 != 0 => {
                (EntryKind::BlobExecutable, forms.git_form(path, &content)?)
            }
            Found::File { content, .. } => (EntryKind::Blob, forms.git_form(path, &content)?),
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
