//! What a kill of the server left half made: finished where that is possible, else said.

use std::sync::Arc;
use std::time::Duration;

use super::Message;
use super::making;
use super::shared::{Shared, blocking};
use super::state::{Record, Report};
use crate::model::environment::EnvironmentState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::screen::Size;
use crate::repo::{self, UserRepository};
use crate::store::{self, Layout};

/// Gives back the room of what was being removed when a server ended, and of what it had made
/// before anybody asked.
pub(super) fn sweep(layout: &Layout) -> std::io::Result<()> {
    let left = std::fs::read_dir(layout.removing())?.chain(std::fs::read_dir(layout.ahead())?);
    for entry in left {
        let path = entry?.path();
        if let Err(error) = crate::engine::remove_tree(&path) {
            tracing::warn!("{} could not be removed: {error}", path.display());
        }
    }
    Ok(())
}

/// Goes on with the making of an environment that was cut short.
pub(super) async fn take_up(shared: &Arc<Shared>, record: Record) {
    let id = record.environment.id.clone();
    let is_bare = record.fork.as_ref().is_some_and(|fork| !fork.copied);
    let ended =
        if is_bare { take_back(shared, &record).await } else { go_on(shared, record).await };
    if let Err(failure) = ended {
        shared.close_gate(&id);
        shared.report(&id, Report::Failed(failure)).await;
    }
}

async fn go_on(shared: &Arc<Shared>, record: Record) -> Result<(), Failure> {
    end_box(shared, &record).await?;
    let name = &record.environment.name;
    if record.taken_up {
        let message = "the server ended twice while it was being made";
        return Err(Failure::new(FailureKind::Unavailable, message)
            .hint(format!("agentdeck start {name} tries again")));
    }
    let profile = making::profile_of(shared, &record)?;
    making::check_variables(shared, &record, &profile, &[])?;
    shared.report(&record.environment.id, Report::TakenUp).await;
    let size = record.environment.session(SessionId::AGENT).map_or(Size::DEFAULT, |open| open.size);
    making::make(shared.clone(), record, profile, Vec::new(), size).await;
    Ok(())
}

/// Removes a fork that has nothing of its own yet.
async fn take_back(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    let id = record.environment.id.clone();
    shared.engine(record.environment.engine).remove_orphan(&shared.deck, &id).await?;
    let (task, record) = (shared.clone(), record.clone());
    let environment = id.clone();
    blocking(move || {
        let user = UserRepository::discover(&record.environment.repository)?;
        let store = task.store_of(&user)?;
        repo::workspace::unpin(&user, &store, &environment)?;
        let from = task.layout.environment(&environment).directory;
        store::rename_synced(&from, &task.layout.removing().join(environment.as_str()))?;
        Ok(sweep(&task.layout).map_err(anyhow::Error::from)?)
    })
    .await?;
    tracing::info!(%id, "took back a fork that was cut short");
    let _ = shared.messages.send(Message::Discarded { environment: id }).await;
    Ok(())
}

/// Ends the box of an environment whose making was cut short or failed: its agent was never
/// started, and starting the environment makes what is missing.
pub(super) async fn end_box(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    let engine = shared.engine(record.environment.engine);
    match &record.record {
        Some(made) => engine.stop(made, Duration::ZERO).await,
        None => engine.remove_unrecorded(&shared.deck, &record.environment.id).await,
    }
}

/// Whether the making of an environment was cut short.
pub(super) fn is_half_made(record: &Record) -> bool {
    matches!(record.environment.state, EnvironmentState::Creating { .. })
}
