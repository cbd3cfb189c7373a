//! Making a merge commit of an environment's work on the user's branch.

use gix::ObjectId;

use super::super::forms::Forms;
use super::super::merge::{self, Sides};
use super::super::object::{self, failed};
use super::super::store::Store;
use super::super::user::UserRepository;
use super::TakeRequest;
use super::apply::nothing_to_take;
use super::earlier::{Earlier, holds};
use super::index::staged_otherwise;
use super::journal::Journal;
use super::objects::{Transfer, commit, signature};
use super::perform::Site;
use super::plan::{Planner, would_overwrite};
use super::record::{Move, Record, Step, digest};
use super::sound::check_tree;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;
use crate::model::repository::Identity;

/// Merges `head` into the branch that is checked out: its parents are the user's `HEAD` and one
/// commit, with the message, that stands for the environment's work. That commit's parent is the
/// base, or the commit of an earlier merge of the same environment that the branch still holds.
pub fn merge(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
    message: &str,
    identity: &Identity,
) -> Result<Decision, Failure> {
    journal.check_next(request.id)?;
    let site = Site::open(user, journal)?;
    refuse_in_progress(&site)?;
    let objects = store.reader().with_object_memory();
    let (head, _) = user.head()?;
    let head_tree = object::tree_of(&objects, &head)?;
    let parent = work_parent(&objects, journal, request, &head)?;
    let ancestor = common_ancestor(&objects, &head, &parent)?;
    let theirs = object::tree_of(&objects, &request.head)?;
    check_tree(&objects, theirs, Some(object::tree_of(&objects, &parent)?))?;
    let mut forms = Forms::new(user, &site.repository, head_tree)?;
    let sides = Sides { ancestor: ancestor.1, ours: head_tree, theirs };
    let result = merge::trees(&objects, &mut forms, sides)?;
    if result == head_tree {
        return Err(nothing_to_take(request));
    }
    let earlier = Earlier::of(&objects, journal, &request.environment, &head)?;
    let mut planner = Planner {
        tree: &site.tree,
        objects: &objects,
        forms: &mut forms,
        earlier: &earlier.states,
    };
    let plan = planner.plan(head_tree, result)?;
    let index = check_index(&site, request, &plan.steps)?;

    let who = signature(identity, request.at);
    let (message, subject) = messages(message, request);
    let work = commit(&objects, theirs, &[object::id(&parent)], &message, &who)?;
    let merged = commit(&objects, result, &[object::id(&head), work], &subject, &who)?;
    let mut transfer = Transfer::new(&objects, user.git_dir());
    let held = [head_tree, object::tree_of(&objects, &parent)?];
    transfer.copy_tree(theirs, &held)?;
    transfer.copy_tree(result, &held)?;
    transfer.copy(work)?;
    transfer.copy(merged)?;
    transfer.finish()?;

    let mut decision = request.decision(DecisionKind::Merge, user);
    decision.commit = Some(object::name(merged));
    let written = plan.steps.iter().filter(|step| step.before != step.after);
    decision.paths = written.map(|step| step.path.clone()).collect();
    let branch = Move {
        name: site.branch_name()?,
        old: head,
        new: object::name(merged),
        work: object::name(work),
        index,
    };
    let record =
        Record { decision, steps: plan.steps, made: plan.made, branch: Some(branch), taken: None };
    site.carry_out(&record, &objects, &mut |path, blob| forms.worktree_form(path, blob))
}

/// The message of the work's commit and that of the merge.
fn messages(draft: &str, request: &TakeRequest) -> (String, String) {
    let draft = draft.trim();
    let work =
        if draft.is_empty() { format!("Work of {}", request.name) } else { draft.to_owned() };
    let subject = work.lines().next().unwrap_or_default();
    let merge = format!("Merge {}: {subject}\n", request.name);
    (work + "\n", merge)
}

fn refuse_in_progress(site: &Site<'_>) -> Result<(), Failure> {
    use gix::state::InProgress;
    let what = match site.repository.state() {
        None | Some(InProgress::Bisect) => return Ok(()),
        Some(InProgress::Merge) => "a merge",
        Some(InProgress::Rebase | InProgress::RebaseInteractive) => "a rebase",
        Some(InProgress::CherryPick | InProgress::CherryPickSequence) => "a cherry-pick",
        Some(InProgress::Revert | InProgress::RevertSequence) => "a revert",
        Some(InProgress::ApplyMailbox | InProgress::ApplyMailboxRebase) => "a series of patches",
    };
    let message = format!("{what} is in progress in {}", site.user.root().display());
    Err(Failure::new(FailureKind::Refused, message)
        .hint("finish or abort it first: see git status"))
}

/// What the environment's work stands on: the base, or the work that was merged before.
fn work_parent(
    objects: &gix::Repository,
    journal: &Journal,
    request: &TakeRequest,
    head: &CommitId,
) -> Result<CommitId, Failure> {
    for decision in journal.decisions()?.into_iter().rev() {
        let same = decision.environment == request.environment && !decision.undone;
        if !same || decision.kind != DecisionKind::Merge {
            continue;
        }
        let Some(branch) = journal.record(decision.id)?.branch else { continue };
        if holds(objects, head, &branch.work)? {
            return Ok(branch.work);
        }
    }
    Ok(request.base.clone())
}

/// Where the branch and the work parted, and its tree.
fn common_ancestor(
    objects: &gix::Repository,
    head: &CommitId,
    parent: &CommitId,
) -> Result<(CommitId, ObjectId), Failure> {
    let found = objects
        .merge_base(object::id(head), object::id(parent))
        .map_err(failed("read the branch's history"))?;
    let Some(base) = found else {
        return Err(Failure::new(
            FailureKind::Refused,
            format!("your branch has no commit in common with the base {}", parent.short()),
        )
        .hint("switch to the branch the environment was made from, or apply instead"));
    };
    let base = object::name(base.detach());
    let tree = object::tree_of(objects, &base)?;
    Ok((base, tree))
}

/// Refuses where something else is staged; gives the digest of the index that was looked at.
fn check_index(
    site: &Site<'_>,
    request: &TakeRequest,
    steps: &[Step],
) -> Result<[u8; 32], Failure> {
    let lock = site.lock(request.id);
    let bytes = lock.read()?;
    let index = site.index(&lock)?;
    let mut staged: Vec<RepoPath> = Vec::new();
    for step in steps {
        if staged_otherwise(&index, step)? {
            staged.push(step.path.clone());
        }
    }
    if staged.is_empty() { Ok(digest(&bytes)) } else { Err(would_overwrite(staged)) }
}
