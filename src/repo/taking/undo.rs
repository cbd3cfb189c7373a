//! Taking the last decision back, unless what it touched has been touched since.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::super::checkout::Found;
use super::super::object;
use super::earlier::holds;
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
            Some(branch) if !has_gone_back(site, branch)? => {
                site.move_branch(record, branch, Direction::Back)
            }
            Some(_) | None => Ok(()),
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
        if !stands(site, record, step)? && !is_back(site, step)? {
            moved.push(step.path.clone());
        }
    }
    if let Some(branch) = &record.branch {
        verify_branch(site, branch)?;
        let (index, before) = (site.index(lock)?, index_before(site, record)?);
        for step in &record.steps {
            let known = index.known(&step.path);
            let known_as = if step.is_outside() { Known::Outside } else { Known::Entry };
            let after = step.new.clone().map_or(Known::Nothing, known_as);
            let is_back = before.as_ref().is_some_and(|before| before.known(&step.path) == known);
            if known != after && !is_back && !moved.contains(&step.path) {
                moved.push(step.path.clone());
            }
        }
    }
    if moved.is_empty() { Ok(()) } else { Err(changed_since(record, moved)) }
}

/// The branch is where the merge left it, or was taken back to where it was before.
fn verify_branch(site: &Site<'_>, branch: &Move) -> Result<(), Failure> {
    let (old, new) = (branch.old.short(), branch.new.short());
    let refused = |message: String, hint: String| {
        Err(Failure::new(FailureKind::WouldOverwrite, message).hint(hint))
    };
    let short = branch.name.trim_start_matches("refs/heads/");
    let now = if site.is_on(&branch.name)? {
        Some(object::name(site.read_ref(&branch.name)?))
    } else {
        None
    };
    if now.as_ref().is_some_and(|now| *now == branch.new || *now == branch.old) {
        return Ok(());
    }
    let goes_on = match &now {
        Some(now) => holds(&site.repository, now, &branch.new)?,
        None => false,
    };
    if branch.name == "HEAD" && !goes_on {
        let message = format!("the merge {new} is on no branch, and HEAD is elsewhere now");
        let hint = format!(
            "go back to it first: git checkout --detach {new}; what was decided before it waits, \
             because undo takes back the newest first"
        );
        return refused(message, hint);
    }
    if now.is_none() {
        let message = format!("the merge is on {short}, which is not checked out");
        let hint = if site.has_ref(&branch.name)? {
            format!("switch to it first: git switch {short}")
        } else {
            format!("make it again first: git switch -c {short} {new}")
        };
        return refused(message, hint);
    }
    let message = format!("{short} has moved since the merge {new}");
    refused(
        message,
        match branch.style {
            MergeStyle::Commit => format!("take the merge back by a commit: git revert -m 1 {new}"),
            MergeStyle::Squash => format!("take it back by a commit: git revert {new}"),
            MergeStyle::Rebase => format!("take it back by commits: git revert {old}..{new}"),
        },
    )
}

/// Whether somebody took the branch back to the commit before the merge.
fn has_gone_back(site: &Site<'_>, branch: &Move) -> Result<bool, Failure> {
    Ok(site.read_ref(&branch.name)? == object::id(&branch.old))
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

/// Whether a path is as it was before the take, to the byte: there is nothing of it to undo.
fn is_back(site: &Site<'_>, step: &Step) -> Result<bool, Failure> {
    let found = site.tree.find(&step.path)?;
    Ok(step.before.shows(&found, site.tree.modes()))
}

/// The index as it was before a merge.
fn index_before(site: &Site<'_>, record: &Record) -> Result<Option<Index>, Failure> {
    let path = site.journal.file_path(record.decision.id, "index");
    if !path.exists() {
        return Ok(None);
    }
    Index::read(&path, &site.repository).map(Some)
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
    if let Some(before) = index_before(site, record)? {
        index.bring_back(&before, &record.steps);
    }
    lock.install(&index.serialize()?)
}
