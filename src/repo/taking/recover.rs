//! After a kill, or a step that failed: on to the end, or back to the start.

use std::path::PathBuf;

use super::super::checkout::{Found, Outcome, parents};
use super::super::object;
use super::super::user::UserRepository;
use super::journal::{Journal, Pending};
use super::perform::{Site, before, temporary};
use super::record::{Record, State, Step};
use super::undo;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, RepositoryId};
use crate::model::path::RepoPath;

/// Finishes or rolls back what was interrupted in a repository, in the working tree where it was
/// begun. Harmless when nothing was. `workspace` says where an environment's files are.
pub fn recover(
    repository: &RepositoryId,
    journal: &Journal,
    workspace: &dyn Fn(&EnvironmentId) -> PathBuf,
) -> Result<(), Failure> {
    let Some(pending) = journal.pending()? else { return Ok(()) };
    let settled = journal.record(pending.id()).and_then(|Record { decision, .. }| {
        let user = worktree_of(repository, &decision)?;
        settle(&Site::of_decision(&user, journal, &decision, workspace)?)
    });
    settled.map_err(|failure| match journal.pending() {
        Ok(None) => failure,
        Ok(Some(_)) | Err(_) => unfinished(journal, failure),
    })
}

/// The working tree that a decision is about. Others of the same repository have files, an index
/// and a `HEAD` of their own.
pub(super) fn worktree_of(
    repository: &RepositoryId,
    decision: &Decision,
) -> Result<UserRepository, Failure> {
    let user = UserRepository::discover(&decision.repository)?;
    // The files of a restore are elsewhere.
    let is_there = decision.kind == DecisionKind::Restore || *user.root() == *decision.repository;
    if is_there && user.id() == repository {
        return Ok(user);
    }
    let message = format!(
        "{}, where {} was taken, is no working tree of its repository any more",
        decision.repository.display(),
        decision.name
    );
    Err(Failure::new(FailureKind::NotFound, message).hint("bring it back to where it was"))
}

/// Says that nothing else can be decided, and the way out for whom it will never be finished.
fn unfinished(journal: &Journal, failure: Failure) -> Failure {
    let message = format!("what was cut short cannot be finished yet: {}", failure.message);
    let hint = failure.hint.map_or_else(String::new, |hint| format!("{hint}; "));
    let pending = journal.pending_path();
    Failure::new(failure.kind, message)
        .hint(format!(
            "{hint}if it never can be, take it back by hand and remove {}",
            pending.display()
        ))
        .paths(failure.paths)
}

/// Puts back what a take that failed has written; gives why it failed, and what could not be put
/// back yet.
pub(super) fn give_up(site: &Site<'_>, mut failure: Failure) -> Failure {
    let theirs: &[RepoPath] =
        if failure.kind == FailureKind::WouldOverwrite { &failure.paths } else { &[] };
    match settle_but(site, theirs) {
        Ok(()) => failure,
        Err(trouble) => {
            failure.message = format!("{}; {}", failure.message, trouble.message);
            failure.hint = trouble.hint;
            failure.paths.extend(trouble.paths);
            failure
        }
    }
}

pub(super) fn settle(site: &Site<'_>) -> Result<(), Failure> {
    settle_but(site, &[])
}

/// The same, where some paths are known to be others' work, which nothing of ours was put over.
fn settle_but(site: &Site<'_>, theirs: &[RepoPath]) -> Result<(), Failure> {
    let Some(pending) = site.journal.pending()? else { return Ok(()) };
    let record = site.journal.record(pending.id())?;
    let mut beside = Vec::new();
    let modes = site.tree.modes();
    for (number, step) in record.steps.iter().enumerate() {
        let temporary = temporary(record.decision.id, number);
        beside.extend(site.tree.tidy(&step.path, &temporary, &|found| step.knows(found, modes))?);
    }
    let decisions = site.journal.decisions()?;
    let entry = decisions.iter().find(|decision| decision.id == record.decision.id);
    let settled = match pending {
        Pending::Doing(_) if entry.is_some() => close(site, &record),
        Pending::Doing(_) if has_moved(site, &record)? => {
            site.conclude(&record, &site.lock(record.decision.id))
        }
        Pending::Doing(_) => {
            let mut left = put_back(site, &record)?;
            left.retain(|path| !theirs.contains(path));
            left.append(&mut beside);
            close(site, &record)?;
            if left.is_empty() {
                site.journal.remove_entry(record.decision.id);
            }
            report(site, &record, left)
        }
        Pending::Undoing(_) if entry.is_some_and(|decision| decision.undone) => {
            close(site, &record)
        }
        Pending::Undoing(_) => undo::resume(site, &record),
    };
    settled.and_then(|()| report(site, &record, beside))
}

/// Nothing is under way any more.
pub(super) fn close(site: &Site<'_>, record: &Record) -> Result<(), Failure> {
    site.lock(record.decision.id).release()?;
    site.journal.end()
}

/// Whether the branch is at the merge commit or beyond it.
fn has_moved(site: &Site<'_>, record: &Record) -> Result<bool, Failure> {
    let Some(branch) = &record.branch else { return Ok(false) };
    let now = site.read_ref(&branch.name)?;
    let new = object::id(&branch.new);
    if now == new || now == object::id(&branch.old) {
        return Ok(now == new);
    }
    let base = site.repository.merge_base(now, new).map_err(object::failed("read the branch"))?;
    Ok(base.is_some_and(|base| base == new))
}

/// Puts every path back that still is as we left it, and names the others.
pub(super) fn put_back(site: &Site<'_>, record: &Record) -> Result<Vec<RepoPath>, Failure> {
    let (mut left, modes) = (Vec::new(), site.tree.modes());
    let mut waiting: Vec<(usize, &Step)> = Vec::new();
    for (number, step) in record.steps.iter().enumerate() {
        if step.before == step.after {
            continue;
        }
        match State::of(&site.tree.find(&step.path)?) {
            Some(now) if now.is(&step.before, modes) => {}
            Some(now) if now.is(&step.after, modes) && step.before == State::Absent => {
                if restore(site, record, number, step)? == Outcome::Kept {
                    left.push(step.path.clone());
                    continue;
                }
                make_missing(site, record, &step.path)?;
                site.journal.step()?;
            }
            // An empty directory gave way, or has not yet.
            None if step.before == State::Absent => {}
            // A directory may stand there until what was put into it is gone again.
            Some(_) | None => waiting.push((number, step)),
        }
    }
    for directory in record.made.iter().rev() {
        if site.tree.find(directory)? == Found::Directory {
            site.tree.remove_directory(directory)?;
        }
    }
    for (number, step) in waiting {
        // A write that a kill cut off leaves the path either as it was or as it should become.
        if !step.after.shows(&site.tree.find(&step.path)?, modes) {
            left.push(step.path.clone());
            continue;
        }
        if restore(site, record, number, step)? == Outcome::Kept {
            left.push(step.path.clone());
            continue;
        }
        site.journal.step()?;
    }
    Ok(left)
}

/// Directories that were there before and that removing a file left empty come back.
fn make_missing(site: &Site<'_>, record: &Record, path: &RepoPath) -> Result<(), Failure> {
    for parent in parents(path) {
        if !record.made.contains(&parent) {
            site.tree.make_directory(&parent)?;
        }
    }
    Ok(())
}

/// Puts one path back that is as we left it; what somebody saved there meanwhile stays.
fn restore(
    site: &Site<'_>,
    record: &Record,
    number: usize,
    step: &Step,
) -> Result<Outcome, Failure> {
    let id = record.decision.id;
    let (temporary, expected) = (temporary(id, number), step.after.expected(site.tree.modes()));
    match &step.before {
        State::Absent => site.tree.remove(&step.path, &temporary, &expected),
        State::Link { target } => site.tree.put_link(&step.path, target, &temporary, &expected),
        State::File { permissions, .. } => {
            let content = site.journal.read_file(id, &before(number))?.ok_or_else(|| {
                let message = format!("the journal has lost what {} held before", step.path);
                Failure::new(FailureKind::Internal, message).paths(vec![step.path.clone()])
            })?;
            site.tree.put_file(&step.path, &content, *permissions, &temporary, &expected)
        }
    }
}

/// Says which paths somebody else changed before we could put them back.
pub(super) fn report(site: &Site<'_>, record: &Record, left: Vec<RepoPath>) -> Result<(), Failure> {
    if left.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::WouldOverwrite,
        "an interrupted take was rolled back, but for paths that were changed since",
    )
    .hint(format!(
        "look at these paths; what they held before is kept in {}",
        site.journal.place(record.decision.id).display()
    ))
    .paths(left))
}
