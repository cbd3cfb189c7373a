//! Decisions: apply, merge, discard, undo. Each begins with a snapshot and is one at a time in a
//! repository; `repo::taking` makes them all-or-nothing.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::Message;
use super::deciding::{repository_of, settled, takeable};
use super::keeping;
use super::making::FirstLook;
use super::meaning::repository_at;
use super::queries::{head, with_store};
use super::shared::{Shared, blocking, now};
use super::state::{Matter, Record, Report, being_made};
use super::step::{Step, reached};
use super::trash;
use super::{resolving, restoring};
use crate::model::decision::{Decision, DecisionKind, Portion};
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName, RepositoryId, Timestamp};
use crate::model::snapshot::Skipped;
use crate::proto::{Reply, Target};
use crate::repo::taking::{self, Discard, Journal, TakeRequest};
use crate::repo::{Store, UserRepository, history, left_out};
use crate::store;

/// What programs get to end by themselves before a box is killed.
pub(super) const STOP_GRACE: Duration = Duration::from_secs(3);

/// How long the end of a box may go unnoticed; its connection ends with it.
const NOTICE_DEADLINE: Duration = Duration::from_secs(2);

/// The repository, its snapshots and its journal, opened for one decision.
pub(super) struct Opened {
    pub user: UserRepository,
    pub store: Store,
    pub journal: Journal,
}

/// Applies a portion of a snapshot, or of the workspace as it is now. Where that lacks something
/// which is not `known` to whoever asks, it is told and nothing is done.
pub(super) async fn apply(
    shared: &Arc<Shared>,
    target: Target,
    portion: Portion,
    (snapshot, known): (Option<CommitId>, Option<Vec<Skipped>>),
) -> Result<Reply, Failure> {
    let record = takeable(shared, target).await?;
    let head = match snapshot {
        Some(snapshot) => snapshot,
        None => head(shared, &record).await?,
    };
    let left_out = left_out(shared, &record, &head, &portion).await?;
    if is_news(&left_out, known.as_deref()) {
        return Ok(Reply::LeftOut(left_out));
    }
    let base = resolving::base(shared, &record, &head).await?;
    let hinted = resolving::hinted(&record);
    let decided = decide(shared.clone(), record, move |opened, record| {
        // Only what is a snapshot: a client may name anything.
        history::one(&opened.store, &head)?;
        let request =
            TakeRequest { base, portion, left_out, ..request(&opened.journal, record, head)? };
        taking::apply(&opened.user, &opened.store, &opened.journal, &request)
    });
    Ok(Reply::Decided(Box::new(publish(shared, decided.await.map_err(hinted)?))))
}

/// What a take of a portion of a snapshot lacks of what is in the environment.
pub(super) async fn left_out(
    shared: &Arc<Shared>,
    record: &Record,
    snapshot: &CommitId,
    portion: &Portion,
) -> Result<Vec<Skipped>, Failure> {
    let (snapshot, portion) = (snapshot.clone(), portion.clone());
    with_store(shared, record.clone(), move |store, record| {
        left_out::of_portion(store, &record.environment.id, &snapshot, &portion)
    })
    .await
}

/// Whether something is left out that somebody who wants to know does not know of. What the work's
/// own rules leave out is told with the decision and holds nobody up: every build leaves such files.
pub(super) fn is_news(left_out: &[Skipped], known: Option<&[Skipped]>) -> bool {
    let is_new = |known: &[Skipped], it: &Skipped| it.is_lacking() && !known.contains(it);
    known.is_some_and(|known| left_out.iter().any(|skipped| is_new(known, skipped)))
}

/// Stops the box, takes a last snapshot, and moves everything of the environment into the trash.
/// Nothing of the user's repository is needed, which may be away.
pub(super) async fn discard(shared: &Arc<Shared>, target: Target) -> Result<Decision, Failure> {
    let record = settled(shared, target).await?;
    let id = record.environment.id.clone();
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let record = shared.record(&id).await?;
    stop(shared, &record).await?;
    reached(Step::BoxStopped);
    let (head, as_of) = last_snapshot(shared, &record).await?;
    reached(Step::LastSnapshotTaken);
    shared.save_screens(&id);
    // What is moved away is brought to the disk by nobody. On a full disk it goes as it is.
    let _ = shared.keeper.durable(&id).await;
    shared.forget(&id);
    let (from, to) = (shared.layout.environment(&id).directory, shared.layout.trash(&id));
    let kept = record.clone();
    let task = shared.clone();
    let decided = blocking(move || {
        task.deciding.alone(&record.repository_id, |journal| {
            let request = request(journal, &record, head)?;
            let root = &record.environment.repository;
            let decision = taking::record_discard(root, journal, &request)?;
            reached(Step::DiscardRecorded);
            store::rename_synced(&from, &to)?;
            reached(Step::DiscardMoved);
            Ok(Decision { as_of, ..decision })
        })
    })
    .await;
    if decided.is_ok() {
        shared.trashed.notify_one();
    }
    if decided.is_ok() || !shared.layout.environment(&id).directory.exists() {
        let _ = shared.messages.send(Message::Discarded { environment: id }).await;
    } else if kept.workspace_made {
        // It stays, so its changes must be noticed again.
        let _ = super::making::watch(shared, &kept, FirstLook::AtOnce).await;
    }
    Ok(publish(shared, decided?))
}

/// The last snapshot before a discard. Where it cannot be taken because the user's repository is
/// away, the one before it serves, and the time it was taken is told: the files themselves are kept.
async fn last_snapshot(
    shared: &Arc<Shared>,
    record: &Record,
) -> Result<(CommitId, Option<Timestamp>), Failure> {
    if !record.workspace_made {
        // Nothing was ever made in it; its base is all there is.
        return Ok((record.environment.base.clone(), None));
    }
    let failure = match head(shared, record).await {
        Err(failure) if repository_of(record).is_err() => failure,
        taken => return taken.map(|taken| (taken, None)),
    };
    tracing::warn!(id = %record.environment.id, "discarded without a last snapshot: {failure}");
    with_store(shared, record.clone(), |store, record| {
        let head = history::head(store, &record.environment.id)?;
        let at = history::one(store, &head)?.at;
        Ok((head, Some(at)))
    })
    .await
}

/// Takes back the last decision in a repository that is not undone. Where that one cannot be, the
/// failure names what can be had without it.
pub(super) async fn undo(shared: &Arc<Shared>, path: PathBuf) -> Result<Decision, Failure> {
    let task = shared.clone();
    let (repository, newest, discards) = blocking(move || {
        let id = repository_at(&task, &path)?;
        let (newest, discards) = task.deciding.alone(&id, |journal| {
            Ok((taking::standing(journal)?.pop(), taking::discards(journal)?))
        })?;
        let Some(newest) = newest else {
            let message = "there is nothing to undo in this repository";
            let hint = trash::hint_away(&task);
            return Err(Failure { hint, ..Failure::new(FailureKind::NotFound, message) });
        };
        Ok((id, newest, discards))
    })
    .await?;
    let undone = match newest.kind {
        DecisionKind::Restore => restoring::undo(shared, repository, &newest).await,
        DecisionKind::Apply | DecisionKind::Merge | DecisionKind::Discard => {
            let other = |newest: &Decision| newest.kind != DecisionKind::Restore;
            undo_if(shared.clone(), repository, other).await
        }
    };
    let mut decision = undone.map_err(|failure| match newest.kind {
        DecisionKind::Discard => failure,
        _ => offering(failure, &discards),
    })?;
    if decision.kind == DecisionKind::Discard {
        decision.name = bring_back(shared, &decision).await?;
    }
    Ok(publish(shared, decision))
}

/// Says with a decision that cannot be undone how to get at the newest discard before it.
fn offering(mut failure: Failure, discards: &[Discard]) -> Failure {
    let Some(discard) = discards.iter().rfind(|discard| !discard.dropped) else { return failure };
    let name = &discard.decision.name;
    let offer = format!("agentdeck undo {name} brings back what was discarded before");
    failure.hint = Some(match failure.hint {
        Some(hint) => format!("{hint}; {offer}"),
        None => offer,
    });
    failure
}

/// Brings back what was discarded under a name, whatever was decided since.
pub(super) async fn undo_discard(
    shared: &Arc<Shared>,
    path: PathBuf,
    name: String,
) -> Result<Decision, Failure> {
    let task = shared.clone();
    let mut undone = blocking(move || {
        let id = repository_at(&task, &path)?;
        task.deciding.alone(&id, |journal| {
            let undone = taking::undo_discard(journal, &name)?.decision;
            move_back(&task, &undone)?;
            Ok(undone)
        })
    })
    .await?;
    undone.name = bring_back(shared, &undone).await?;
    Ok(publish(shared, undone))
}

/// Takes back the last decision in a repository, if it is the one that was prepared for.
pub(super) async fn undo_if(
    shared: Arc<Shared>,
    repository: RepositoryId,
    expected: impl FnOnce(&Decision) -> bool + Send + 'static,
) -> Result<Decision, Failure> {
    blocking(move || {
        let undo = |journal: &Journal| undo_alone(&shared, &repository, journal, expected);
        shared.deciding.alone(&repository, undo)
    })
    .await
}

fn undo_alone(
    shared: &Shared,
    repository: &RepositoryId,
    journal: &Journal,
    expected: impl FnOnce(&Decision) -> bool,
) -> Result<Decision, Failure> {
    if taking::standing(journal)?.last().is_some_and(|newest| !expected(newest)) {
        let message = "another decision was made meanwhile; nothing was undone";
        return Err(Failure::new(FailureKind::Unavailable, message).hint("try again"));
    }
    let workspace = |id: &EnvironmentId| shared.layout.environment(id).workspace();
    let undone = taking::undo(repository, journal, &workspace)?.decision;
    if undone.kind == DecisionKind::Discard {
        move_back(shared, &undone)?;
    }
    Ok(undone)
}

/// Moves an environment whose discard no longer holds out of the trash.
fn move_back(shared: &Shared, undone: &Decision) -> Result<(), Failure> {
    let id = &undone.environment;
    let (from, to) = (shared.layout.trash(id), shared.layout.environment(id).directory);
    reached(Step::UndoRecorded);
    trash::forget_size(&from);
    store::rename_synced(&from, &to)?;
    reached(Step::UndoMoved);
    Ok(())
}

/// Lists an environment that came back from the trash, and tells the name it has now.
async fn bring_back(shared: &Arc<Shared>, decision: &Decision) -> Result<EnvironmentName, Failure> {
    let places = shared.layout.environment(&decision.environment);
    let record = blocking(move || Ok(keeping::read(&places)?)).await?;
    let record = record.ok_or_else(|| {
        let message = format!("the record of {} is missing", decision.name);
        Failure::new(FailureKind::Internal, message)
    })?;
    let _ = shared.messages.send(Message::Restored(Box::new(record.clone()))).await;
    // Its box was stopped before it was discarded, whatever the record had time to say.
    shared.report(&decision.environment, Report::Stopped).await;
    if record.workspace_made
        && let Err(failure) = super::making::watch(shared, &record, FirstLook::AtOnce).await
    {
        let note = Some(format!("changes are not noticed: {failure}"));
        let unwatched = Report::Matter { matter: Matter::Watching, note };
        shared.report(&decision.environment, unwatched).await;
    }
    Ok(shared.record(&decision.environment).await?.environment.name)
}

pub(super) async fn decisions(
    shared: &Arc<Shared>,
    path: PathBuf,
) -> Result<Vec<Decision>, Failure> {
    with_journal(shared, path, taking::decisions).await
}

async fn with_journal<T: Send + 'static>(
    shared: &Arc<Shared>,
    path: PathBuf,
    read: impl FnOnce(&Journal) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let task = shared.clone();
    blocking(move || {
        let id = repository_at(&task, &path)?;
        read(&Journal::open(&journal_directory(&task.layout.repository(&id)))?)
    })
    .await
}

/// Stops an environment's box. Stopping a stopped one is fine; one that is being made is refused,
/// because what makes it would go on.
pub(super) async fn stop(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    if let EnvironmentState::Creating { .. } = record.environment.state {
        return Err(being_made(&record.environment));
    }
    let id = &record.environment.id;
    shared.report(id, Report::Wanted { running: false }).await;
    let Some(made) = &record.record else { return Ok(()) };
    let engine = shared.engine(record.environment.engine);
    if let EnvironmentState::Paused { .. } = record.environment.state {
        // What stands still cannot end by itself. Where this fails, the next step says why.
        if engine.resume(made).await.is_ok() {
            shared.report(id, Report::Resumed).await;
        }
    }
    engine.stop(made, STOP_GRACE).await?;
    if timeout(NOTICE_DEADLINE, until_ended(shared, id)).await.is_err() {
        // What it noticed later would be said of the next box.
        shared.unsupervise(id).await;
        shared.save_screens(id);
        shared.report(id, Report::Stopped).await;
    }
    shared.close_gate(id);
    Ok(())
}

/// Waits until whoever watches the box has seen its end, so that a start may follow at once.
async fn until_ended(shared: &Arc<Shared>, id: &EnvironmentId) {
    let subscriber = shared.hub.subscribe();
    shared.hub.follow(&subscriber, None);
    while let Ok(record) = shared.record(id).await {
        match record.environment.state {
            EnvironmentState::Running
            | EnvironmentState::Paused { .. }
            | EnvironmentState::EngineUnreachable { .. } => {}
            _ => return,
        }
        subscriber.ready().await;
        let _ = shared.hub.take(&subscriber);
    }
}

/// Moves what a kill left between a decision and its rename: the journal says where it belongs.
pub(super) fn settle_discards(shared: &Shared, repository: &Path) -> Result<(), Failure> {
    let mut belongs = HashMap::new();
    for decision in taking::decisions(&Journal::open(&journal_directory(repository))?)? {
        if decision.kind == DecisionKind::Discard {
            belongs.insert(decision.environment, decision.undone);
        }
    }
    for (id, in_deck) in belongs {
        let (deck, trash) = (shared.layout.environment(&id).directory, shared.layout.trash(&id));
        let (from, to) = if in_deck { (trash, deck) } else { (deck, trash) };
        if from.exists() && !to.exists() {
            trash::forget_size(&from);
            store::rename_synced(&from, &to)?;
        }
    }
    Ok(())
}

pub(super) fn request(
    journal: &Journal,
    record: &Record,
    head: CommitId,
) -> Result<TakeRequest, Failure> {
    let environment = &record.environment;
    Ok(TakeRequest {
        id: taking::next(journal)?,
        environment: environment.id.clone(),
        name: environment.name.clone(),
        base: environment.base.clone(),
        head,
        at: now(),
        portion: Portion::All,
        left_out: Vec::new(),
    })
}

/// The base with all that the user has taken from an environment; `None` when nothing was.
pub(super) fn taken(shared: &Shared, record: &Record) -> Result<Option<CommitId>, Failure> {
    let user = repository_of(record).and_then(|user| user.head().map(|_| user));
    // What was taken is not to be seen where the repository is away or its branch is unborn.
    let Ok(user) = user else { return Ok(None) };
    let opened = open(shared, user)?;
    let Environment { id, base, onto, .. } = &record.environment;
    let base = onto.as_ref().unwrap_or(base);
    taking::taken(&opened.user, &opened.store, &opened.journal, id, base)
}

/// Carries a decision out while no other is made in the same repository.
pub(super) async fn decide(
    shared: Arc<Shared>,
    record: Record,
    work: impl FnOnce(&Opened, &Record) -> Result<Decision, Failure> + Send + 'static,
) -> Result<Decision, Failure> {
    blocking(move || {
        shared.deciding.alone(&record.repository_id, |_| {
            work(&open(&shared, repository_of(&record)?)?, &record)
        })
    })
    .await
}

pub(super) fn open(shared: &Shared, user: UserRepository) -> Result<Opened, Failure> {
    let directory = shared.layout.repository(user.id());
    let store = shared.store_of(&user)?;
    let journal = Journal::open(&journal_directory(&directory))?;
    Ok(Opened { user, store, journal })
}

pub(super) fn publish(shared: &Shared, decision: Decision) -> Decision {
    shared.hub.decided(&decision);
    decision
}

/// The journal lies beside the snapshot store.
pub(super) fn journal_directory(repository: &Path) -> PathBuf {
    repository.join("journal")
}
