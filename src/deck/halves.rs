//! What a kill of the server left half made: finished where that is possible, else said.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Message;
use super::making;
use super::shared::{Shared, blocking};
use super::state::{Record, Report};
use crate::model::environment::EnvironmentState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::screen::Size;
use crate::repo::{self, UserRepository};
use crate::store::{self, Layout};

/// Gives back the room of what was being removed when a server ended, and of what it had made
/// before anybody asked. Only before the deck serves: from then on both are in use.
pub(super) fn sweep(layout: &Layout) -> std::io::Result<()> {
    let left = std::fs::read_dir(layout.removing())?.chain(std::fs::read_dir(layout.ahead())?);
    for entry in left {
        remove(&entry?.path());
    }
    Ok(())
}

/// Removes a directory; what of it cannot be removed, the next start tries again.
fn remove(directory: &Path) {
    if let Err(error) = crate::engine::remove_tree(directory) {
        tracing::warn!("{} could not be removed: {error}", directory.display());
    }
}

/// Removes an environment's directory and nothing else: what is made ahead is somebody's soon.
fn remove_environment(layout: &Layout, id: &EnvironmentId) -> anyhow::Result<()> {
    let gone = layout.removing().join(id.as_str());
    store::rename_synced(&layout.environment(id).directory, &gone)?;
    remove(&gone);
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
        Ok(remove_environment(&task.layout, &environment)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_start_sweeps_and_a_fork_that_is_taken_back_goes_alone() {
        let home = tempfile::tempdir().expect("a home");
        let layout = Layout::new(home.path());
        layout.create().expect("made");
        let id = EnvironmentId::from_random([1; 8]);
        let [fork, ahead, removing] = [
            layout.environment(&id).directory,
            layout.ahead().join("x"),
            layout.removing().join("y"),
        ];
        for directory in [&fork, &ahead, &removing] {
            std::fs::create_dir_all(directory.join("workspace")).expect("made");
        }
        remove_environment(&layout, &id).expect("removed");
        assert!(!fork.exists() && !layout.removing().join(id.as_str()).exists());
        assert!(ahead.join("workspace").exists(), "it is somebody's soon");
        assert!(removing.join("workspace").exists(), "whoever moved it there removes it");
        sweep(&layout).expect("swept");
        assert!(!ahead.exists() && !removing.exists());
    }
}
