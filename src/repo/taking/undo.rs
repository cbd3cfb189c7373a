//! Taking the last decision back, unless what it touched has been touched since.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::checkout::Found;
use super::super::object;
use super::index::{Index, Known};
use super::journal::{Journal, Pending};
use super::lock::IndexLock;
use super::perform::{Direction, Site};
use super::record::{Move, Record, State, Step, digest};
use super::recover::{close, put_back, report, settle, worktree_of};
use crate::model::decision::{Decision, DecisionKind, MergeStyle};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, RepositoryId};
use crate::model::path::RepoPath;

/// A decision that no longer holds. For a discard the caller moves the environment back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    pub decision: Decision,
}

/// Undoes the newest decision that is not undone. Refuses, naming them, where paths or the branch
/// moved since; then nothing is changed. A discard whose environment is gone for good is said once,
/// by its name, and then passed over. What was taken into one worktree of the repository is taken
/// out of that one, whichever asks. `workspace` says where an environment's files are.
pub fn undo(
    repository: &RepositoryId,
    journal: &Journal,
    workspace: &dyn Fn(&EnvironmentId) -> PathBuf,
) -> Result<Undone, Failure> {
    journal.check_idle()?;
    let mut left = standing(journal)?;
    let mut decision = left.pop().ok_or_else(|| {
        Failure::new(FailureKind::NotFound, "there is nothing to undo in this repository")
    })?;
    if journal.dropped()?.contains(&decision.id) {
        journal.append_passed(decision.id)?;
        return Err(gone_for_good(&decision, standing(journal)?.last()));
    }
    if decision.kind == DecisionKind::Discard {
        journal.append_undone(decision.id)?;
    } else {
        let user = worktree_of(repository, &decision)?;
        let site = Site::of_decision(&user, journal, &decision, workspace)?;
        take_back(&site, &journal.record(decision.id)?)?;
    }
    decision.undone = true;
    Ok(Undone { decision })
}

/// Undoes a discard by the environment's name or id: of several the newest that can be had. No other
/// decision stands on it, so whatever was decided since stays as it is.
pub fn undo_discard(journal: &Journal, name: &str) -> Result<Undone, Failure> {
    journal.check_idle()?;
    let mut meant = super::discards(journal)?;
    meant
        .retain(|it| it.decision.name.as_str() == name || it.decision.environment.as_str() == name);
    let newest = meant.iter().rposition(|discard| !discard.dropped);
    let Some(newest) = newest else {
        if let Some(dropped) = meant.last() {
            return Err(gone_for_good(&dropped.decision, None));
        }
        let message = format!("{name} is not among what was discarded in this repository");
        return Err(
            Failure::new(FailureKind::NotFound, message).hint("list what is with agentdeck trash")
        );
    };
    let mut decision = meant.swap_remove(newest).decision;
    journal.append_undone(decision.id)?;
    decision.undone = true;
    Ok(Undone { decision })
}

/// The decisions that an undo would take back, oldest first: those that hold, without what was
/// passed over and without restores in workspaces that are gone for good.
pub(super) fn standing(journal: &Journal) -> Result<Vec<Decision>, Failure> {
    let (dropped, passed) = (journal.dropped()?, journal.passed()?);
    let mut decisions = journal.decisions()?;
    let is_dropped = |decision: &&Decision| dropped.contains(&decision.id);
    let gone: BTreeSet<EnvironmentId> =
        decisions.iter().filter(is_dropped).map(|it| it.environment.clone()).collect();
    decisions.retain(|decision| {
        let lost = decision.kind == DecisionKind::Restore && gone.contains(&decision.environment);
        !decision.undone && !lost && !passed.contains(&decision.id)
    });
    Ok(decisions)
}

fn gone_for_good(discard: &Decision, before: Option<&Decision>) -> Failure {
    let message = format!("{} was dropped from the trash; nothing brings it back", discard.name);
    let failure = Failure::new(FailureKind::NotFound, message);
    let Some(before) = before else { return failure };
    let kind = match before.kind {
        DecisionKind::Apply => "apply",
        DecisionKind::Merge => "merge",
        DecisionKind::Discard => "discard",
        DecisionKind::Restore => "restore",
    };
    failure
        .hint(format!("the next undo takes back what was before it: the {kind} of {}", before.name))
}

fn take_back(site: &Site<'_>, record: &Record) -> Result<(), Failure> {
    let lock = site.lock(record.decision.id);
    verify(site, record, &lock)?;
    site.journal.begin(Pending::Undoing(record.decision.id))?;
    let outcome = lock
        .take()
        .and_then(|()| site.journal.step())
        .and_then(|()| verify(site, record, &lock))
        .and_then(|()| match &record.branch {
            Some(branch) => site.move_branch(record, branch, Direction::Back),
            None => Ok(()),
        });
    if site.journal.stopped() {
        return outcome;
    }
    if let Err(failure) = outcome {
        // Nothing has moved yet.
        close(site, record)?;
        return Err(failure);
    }
    site.journal.step()?;
    match finish(site, record) {
        // Its branch has moved, so it is gone on with.
        Err(_) if !site.journal.stopped() && site.journal.pending()?.is_some() => settle(site),
        other => other,
    }
}

/// Goes on after a kill: an undo whose branch has moved, or that has no branch, is completed.
pub(super) fn resume(site: &Site<'_>, record: &Record) -> Result<(), Failure> {
    let lock = site.lock(record.decision.id);
    if !lock.is_ours() && untouched(site, record)? {
        // It ended before it had the lock.
        return close(site, record);
    }
    if let Some(branch) = &record.branch
        && site.read_ref(&branch.name)? == object::id(&branch.new)
    {
        return close(site, record);
    }
    finish(site, record)
}

fn finish(site: &Site<'_>, record: &Record) -> Result<(), Failure> {
    let left = put_back(site, record)?;
    let lock = site.lock(record.decision.id);
    if record.branch.is_some() {
        put_index_back(site, record, &lock)?;
        site.journal.step()?;
    }
    site.journal.append_undone(record.decision.id)?;
    site.journal.step()?;
    close(site, record)?;
    report(site, record, left)
}

fn verify(site: &Site<'_>, record: &Record, lock: &IndexLock) -> Result<(), Failure> {
    let mut moved = Vec::new();
    for step in &record.steps {
        if !stands(site, record, step)? {
            moved.push(step.path.clone());
        }
    }
    if let Some(branch) = &record.branch {
        verify_branch(site, branch)?;
        let index = site.index(lock)?;
        for step in &record.steps {
            let known = step.new.clone().map_or(Known::Nothing, Known::Entry);
            if index.known(&step.path) != known && !moved.contains(&step.path) {
                moved.push(step.path.clone());
            }
        }
    }
    if moved.is_empty() { Ok(()) } else { Err(changed_since(record, moved)) }
}

fn verify_branch(site: &Site<'_>, branch: &Move) -> Result<(), Failure> {
    let short = branch.name.trim_start_matches("refs/heads/");
    if !site.is_on(&branch.name)? {
        let message = format!("the merge is on {short}, which is not checked out");
        return Err(Failure::new(FailureKind::WouldOverwrite, message)
            .hint(format!("switch to it first: git switch {short}")));
    }
    if site.read_ref(&branch.name)? != object::id(&branch.new) {
        let message = format!("{short} has moved since the merge {}", branch.new.short());
        let (old, new) = (branch.old.short(), branch.new.short());
        let revert = match branch.style {
            MergeStyle::Commit => format!("take the merge back by a commit: git revert -m 1 {new}"),
            MergeStyle::Squash => format!("take it back by a commit: git revert {new}"),
            MergeStyle::Rebase => format!("take it back by commits: git revert {old}..{new}"),
        };
        return Err(Failure::new(FailureKind::WouldOverwrite, message).hint(revert));
    }
    Ok(())
}

fn changed_since(record: &Record, paths: Vec<RepoPath>) -> Failure {
    let kind = match record.decision.kind {
        DecisionKind::Merge => "merge",
        DecisionKind::Restore => "restore",
        DecisionKind::Apply | DecisionKind::Discard => "apply",
    };
    Failure::new(
        FailureKind::WouldOverwrite,
        format!("the {kind} of {} is not undone: paths changed since", record.decision.name),
    )
    .hint("commit or move your changes to these paths, or undo by hand")
    .paths(paths)
}

/// Whether every path is as the take left it.
fn untouched(site: &Site<'_>, record: &Record) -> Result<bool, Failure> {
    for step in &record.steps {
        if !stands(site, record, step)? {
            return Ok(false);
        }
    }
    match &record.branch {
        Some(branch) => Ok(site.read_ref(&branch.name)? == object::id(&branch.new)),
        None => Ok(true),
    }
}

/// Whether a path is as the take left it; a directory it made may have a removed file's name.
fn stands(site: &Site<'_>, record: &Record, step: &Step) -> Result<bool, Failure> {
    let found = site.tree.find(&step.path)?;
    let replaced = found == Found::Directory && record.made.contains(&step.path);
    Ok(replaced && step.after == State::Absent || step.after.shows(&found, site.tree.modes()))
}

/// The index byte for byte when nobody wrote it since; otherwise the entries of the touched paths.
fn put_index_back(site: &Site<'_>, record: &Record, lock: &IndexLock) -> Result<(), Failure> {
    let id = record.decision.id;
    let Some(before) = site.journal.read_file(id, "index")? else { return Ok(()) };
    let now = lock.read()?;
    if now == before {
        return Ok(());
    }
    let installed = site.journal.read_file(id, "installed")?;
    if installed.as_deref() == Some(digest(&now).as_slice()) {
        return lock.install(&before);
    }
    let mut index = site.index(lock)?;
    let path = site.journal.file_path(id, "index");
    index.bring_back(&Index::read(&path, site.repository.object_hash())?, &record.steps);
    lock.install(&index.serialize()?)
}
