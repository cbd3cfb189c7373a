//! Restores: the workspace taken back to a snapshot, or forth again by an undo, while the agent
//! stands still. Each is between two snapshots, so that nothing there was is ever lost.

use std::sync::Arc;

use super::deciding;
use super::holding;
use super::naming;
use super::owners;
use super::queries;
use super::shared::Shared;
use super::state::Record;
use super::step::{Step, reached, wait_at};
use super::taking::{self, Opened};
use crate::model::decision::Decision;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId, RepositoryId};
use crate::model::snapshot::SnapshotCause;
use crate::proto::Target;
use crate::repo::taking as journalled;

/// Takes the workspace back to a snapshot.
pub(super) async fn restore(
    shared: &Arc<Shared>,
    target: Target,
    snapshot: &str,
) -> Result<Decision, Failure> {
    let record = shared.resolve(target).await?;
    let wanted = naming::find(shared, &record, snapshot).await?.id;
    let task = shared.clone();
    let restored = standing_still(shared, &record.environment.id, move |record, current| {
        let workspace = task.layout.environment(&record.environment.id).workspace();
        taking::decide(task, record, move |opened, record| {
            let mut request = taking::request(&opened.journal, record, wanted)?;
            request.base = current;
            let Opened { user, store, journal } = opened;
            journalled::restore(user, store, journal, &request, &workspace)
        })
    });
    Ok(taking::publish(shared, restored.await?))
}

/// Takes the restore back that is the newest decision of a repository.
pub(super) async fn undo(
    shared: &Arc<Shared>,
    repository: RepositoryId,
    restored: &Decision,
) -> Result<Decision, Failure> {
    let task = shared.clone();
    let expected = restored.id;
    standing_still(shared, &restored.environment, move |_, _| {
        taking::undo_if(task, repository, move |newest| newest.id == expected)
    })
    .await
}

/// Does work on the files of a workspace while nobody else does, between two snapshots.
async fn standing_still<Work>(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    work: impl FnOnce(Record, CommitId) -> Work,
) -> Result<Decision, Failure>
where
    Work: Future<Output = Result<Decision, Failure>>,
{
    let turn = shared.turn(id);
    let turn = turn.lock().await;
    let record = shared.record(id).await?;
    // A snapshot of what is half restored would be of nothing that ever was.
    deciding::settle(shared, &record.repository_id).await?;
    let held = holding::hold(shared, &record, holding::RESTORED).await?;
    reached(Step::SourceHeld);
    wait_at(Step::SourceHeld.name()).await;
    owners::hand_back_or_log(shared, &record).await;
    let done = between_snapshots(shared, &record, work).await;
    holding::let_go(shared, &record, held).await;
    reached(Step::SourceReleased);
    drop(turn);
    done
}

async fn between_snapshots<Work>(
    shared: &Arc<Shared>,
    record: &Record,
    work: impl FnOnce(Record, CommitId) -> Work,
) -> Result<Decision, Failure>
where
    Work: Future<Output = Result<Decision, Failure>>,
{
    let environment = &record.environment;
    let snapshotter = queries::snapshotter(shared, record).await.ok_or_else(|| {
        let message = format!("{} has no workspace yet", environment.name);
        Failure::new(FailureKind::Invalid, message)
            .hint(format!("agentdeck start {}", environment.name))
    })?;
    let current = snapshotter.now(SnapshotCause::BeforeRestore).await?;
    reached(Step::LastSnapshotTaken);
    let still = snapshotter.stand_still().await;
    let decided = work(record.clone(), current).await;
    if decided.is_ok() {
        reached(Step::FilesRestored);
    }
    // Asked for before any other snapshot can be taken.
    let after = snapshotter.ask(SnapshotCause::Restore);
    drop(still);
    let decision = decided?;
    // What fails here is said of the environment by whoever takes snapshots.
    let _ = after.await;
    reached(Step::RestoreTaken);
    Ok(decision)
}
