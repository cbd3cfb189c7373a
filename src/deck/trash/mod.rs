//! What was thrown away: listed with what it costs, and dropped for good.
//!
//! The journal of its repository says first that an environment is dropped: from then on nothing
//! brings it back, and whatever a kill or a silent engine cuts short is gone on with later.

mod dropping;
mod pins;
mod policy;
mod size;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use super::deciding::repository_of;
use super::hub::in_scope;
use super::meaning::Known;
use super::recover;
use super::shared::{Shared, blocking, canonical, now};
use super::state::Record;
use super::taking::{journal_directory, undo_discard};
use crate::config::file;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{DecisionId, EnvironmentId, RepositoryId, Timestamp};
use crate::model::trash::Discarded;
use crate::proto::{Reply, Request};
use crate::repo::taking::{self, Discard, Journal};
use crate::store;
use dropping::drop_for_good;
use policy::{Clock, Kept, Watch};

pub(super) use size::forget as forget_size;

/// Between two looks at what was kept for long enough.
const PACE: Duration = Duration::from_hours(1);
/// Before the first of them, and before any age counts: a machine that has just started may not
/// know the time yet.
const FIRST: Duration = Duration::from_mins(10);

/// One discarded environment.
struct Entry {
    record: Record,
    at: Timestamp,
    /// The decision that put it here; `None` where its journal was lost.
    decision: Option<DecisionId>,
    dropped: bool,
}

/// Answers what is asked about the trash, after everything else was looked at.
pub(super) async fn answer(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    match request {
        Request::ListTrash { repository } => {
            list(shared, repository.as_deref().map(canonical)).await.map(Reply::Trash)
        }
        Request::DropDiscarded { environment } => {
            drop_for_good(shared, &environment).await.map(|()| Reply::Done)
        }
        Request::BringBack { repository, name } => {
            let back = undo_discard(shared, canonical(&repository), name).await;
            back.map(|decision| Reply::Decided(Box::new(decision)))
        }
        other => Err(Failure::new(
            FailureKind::Internal,
            format!("a connection must handle this itself: {other:?}"),
        )),
    }
}

/// What was discarded in the repository around a path, or anywhere, oldest first.
async fn list(shared: &Arc<Shared>, path: Option<PathBuf>) -> Result<Vec<Discarded>, Failure> {
    let task = shared.clone();
    blocking(move || {
        let keep = file::read(task.layout.home()).unwrap_or_default().trash;
        let days = u64::from(keep.keep_days) * policy::DAY;
        let entries = entries(&task)?.into_iter();
        let here = entries.filter(|entry| in_scope(&entry.record.environment, path.as_deref()));
        let discarded = |entry: Entry| {
            let environment = entry.record.environment;
            Discarded {
                bytes: size::of(&task.layout.trash(&environment.id)),
                environment: environment.id,
                name: environment.name,
                repository: environment.repository,
                at: entry.at,
                kept_until: Timestamp(entry.at.0.saturating_add(days)),
                dropped: entry.dropped,
            }
        };
        Ok(here.map(discarded).collect())
    })
    .await
}

/// Writes down that an environment in the trash is gone for good, and returns its record.
async fn note(shared: &Arc<Shared>, id: &EnvironmentId) -> Result<Record, Failure> {
    let (task, id) = (shared.clone(), id.clone());
    blocking(move || {
        let gone = || {
            let message = format!("nothing with the id {id} is in the trash");
            Failure::new(FailureKind::NotFound, message).hint("list it with agentdeck trash")
        };
        let record = read(&task, &id).ok_or_else(gone)?;
        let lock = task.deciding.lock(&record.repository_id);
        // Whoever undoes the discard has it until the environment is out of the trash.
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        if !task.layout.trash(&id).exists() {
            return Err(gone());
        }
        let journal = journal(&task, &record.repository_id)?;
        if task.layout.environment(&id).directory.exists() || is_taken_back(&journal, &id)? {
            let message = format!("{} is no longer discarded", record.environment.name);
            return Err(Failure::new(FailureKind::Unavailable, message)
                .hint("the next start of the server brings it back"));
        }
        if let Some(discard) = newest(&taking::discards(&journal)?, &id) {
            taking::record_drop(&journal, discard.decision.id)?;
        }
        Ok(record)
    })
    .await
}

/// The repositories that something in the trash is of. Blocking.
pub(super) fn known(shared: &Shared) -> Vec<Known> {
    let known = |Entry { record, .. }: Entry| Known {
        root: record.environment.repository,
        id: record.repository_id,
        discarded: true,
    };
    entries(shared).unwrap_or_default().into_iter().map(known).collect()
}

/// How to take a discard back whose repository is not where it was; `None` where there is none.
pub(super) fn hint_away(shared: &Shared) -> Option<String> {
    let mut away = entries(shared).ok()?;
    away.retain(|entry| repository_of(&entry.record).is_err());
    let Environment { name, repository, .. } = away.pop()?.record.environment;
    let path = repository.display();
    Some(format!("{name} was discarded where nothing is now: agentdeck undo --repository {path}"))
}

/// Goes on with what was begun, then drops by itself what is due, until the server ends.
pub(super) async fn tend(shared: Arc<Shared>) {
    let mut watch = Watch::new(now(), up(), FIRST);
    finish(&shared).await;
    let mut pace = FIRST;
    loop {
        // A discard may have filled the trash.
        let _ = tokio::time::timeout(pace, shared.trashed.notified()).await;
        pace = PACE;
        let clock = watch.look(now(), up());
        finish(&shared).await;
        for id in due(&shared, clock).await {
            attempt(&shared, &id).await;
        }
    }
}

/// Goes on with what was dropped and is still there, or has left a pin or files behind.
async fn finish(shared: &Arc<Shared>) {
    dropping::finish_removing(shared).await;
    let task = shared.clone();
    let entries = blocking(move || {
        pins::remove_late(&task, &recover::repositories_of(&task.layout));
        entries(&task)
    });
    let Ok(entries) = entries.await else { return };
    for entry in entries.iter().filter(|entry| entry.dropped) {
        attempt(shared, &entry.record.environment.id).await;
    }
}

async fn attempt(shared: &Arc<Shared>, id: &EnvironmentId) {
    if let Err(failure) = drop_for_good(shared, id).await {
        tracing::warn!(%id, "not dropped from the trash: {failure}");
    }
}

/// The time since the machine started, with that in which it slept.
fn up() -> Duration {
    let since = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(since.tv_sec as u64, since.tv_nsec as u32)
}

async fn due(shared: &Arc<Shared>, clock: Clock) -> Vec<EnvironmentId> {
    let task = shared.clone();
    let due = blocking(move || {
        // What cannot be read may say that everything is to be kept.
        let keep = file::read(task.layout.home())?.trash;
        let kept = |entry: Entry| {
            // No journal that says so, no going by itself.
            let decision = entry.decision?;
            Some(Kept {
                bytes: size::of(&task.layout.trash(&entry.record.environment.id)),
                id: entry.record.environment.id,
                repository: entry.record.repository_id,
                decision,
                at: entry.at,
            })
        };
        let entries: Vec<Kept> = entries(&task)?.into_iter().filter_map(kept).collect();
        Ok(policy::due(&entries, keep, now(), clock))
    });
    due.await.unwrap_or_else(|failure: Failure| {
        tracing::warn!("the trash is not looked through: {failure}");
        Vec::new()
    })
}

/// Everything in the trash, oldest first. What cannot be read stays and is not ours to judge.
fn entries(shared: &Shared) -> Result<Vec<Entry>, Failure> {
    let ids = shared.layout.trash_ids().map_err(|error| {
        Failure::new(FailureKind::Unavailable, format!("the trash cannot be read: {error}"))
    })?;
    let mut journals: HashMap<RepositoryId, Option<Vec<Discard>>> = HashMap::new();
    let mut entries = Vec::new();
    for id in ids {
        let Some(record) = read(shared, &id) else { continue };
        let repository = &record.repository_id;
        if !journals.contains_key(repository) {
            let read = journal(shared, repository).and_then(|it| taking::discards(&it));
            let read = read.inspect_err(|failure| tracing::warn!(%id, "in the trash: {failure}"));
            journals.insert(repository.clone(), read.ok());
        }
        let Some(discards) = &journals[repository] else { continue };
        let discard = newest(discards, &id);
        entries.push(Entry {
            at: discard.map_or(record.environment.state_since, |it| it.decision.at),
            decision: discard.map(|it| it.decision.id),
            dropped: discard.is_some_and(|it| it.dropped),
            record,
        });
    }
    entries.sort_by_key(|entry| (entry.at, entry.decision));
    Ok(entries)
}

fn read(shared: &Shared, id: &EnvironmentId) -> Option<Record> {
    let path = shared.layout.trash(id).join("record.json");
    match store::read_json::<Record>(&path) {
        Ok(record) => record.filter(|record| record.environment.id == *id),
        Err(error) => {
            tracing::warn!(%id, "in the trash and not read: {error:#}");
            None
        }
    }
}

fn journal(shared: &Shared, repository: &RepositoryId) -> Result<Journal, Failure> {
    Journal::open(&journal_directory(&shared.layout.repository(repository)))
}

/// Whether an undo was written down, whose rename is still to come.
fn is_taken_back(journal: &Journal, id: &EnvironmentId) -> Result<bool, Failure> {
    let decisions = taking::decisions(journal)?;
    let is_its = |it: &&Decision| it.kind == DecisionKind::Discard && it.environment == *id;
    Ok(decisions.iter().rev().find(is_its).is_some_and(|discard| discard.undone))
}

/// The discard that an environment lies in the trash for.
fn newest<'a>(discards: &'a [Discard], id: &EnvironmentId) -> Option<&'a Discard> {
    discards.iter().rev().find(|discard| discard.decision.environment == *id)
}
