//! Giving up environments whose records cannot be read: the box ends, and all that there was of
//! the agent's work is kept, where a person finds it and no server looks again.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::shared::{Shared, blocking};
use super::{Message, owners, stopping, unread};
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::EngineKind;
use crate::model::trash::GivenUp;
use crate::proto::Target;
use crate::{repo, store};

/// Gives up what a client means, if its record cannot be read.
pub(super) async fn give_up(shared: &Arc<Shared>, target: Target) -> Result<GivenUp, Failure> {
    let id = resolve(shared, target.clone()).await?.id;
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    // Another may have given it up meanwhile.
    let Environment { name, .. } = resolve(shared, target).await?;
    let places = shared.layout.environment(&id);
    let known = blocking({
        let places = places.clone();
        move || Ok(unread::engine(&places))
    });
    let trouble = end_box(shared, &id, known.await?).await?;
    if let Err(failure) = owners::hand_back_left(shared, id.clone(), places.directory.clone()).await
    {
        tracing::warn!(%id, "{failure}");
    }
    let files = shared.layout.given_up(&id);
    let (task, environment, to) = (shared.clone(), id.clone(), files.clone());
    let snapshots = blocking(move || {
        if to.exists() {
            let message = format!("{} is there already", to.display());
            return Err(Failure::new(FailureKind::AlreadyExists, message).hint("move it elsewhere"));
        }
        let parent = to.parent().expect("it is below the home");
        store::create_private(parent).map_err(anyhow::Error::from)?;
        store::rename_synced(&places.directory, &to)?;
        let stores = task.layout.repository_ids().unwrap_or_default();
        let stores = stores.iter().map(|repository| task.layout.repository(repository));
        Ok(repo::kept::snapshots(stores, &environment))
    })
    .await?;
    tracing::info!(%id, "given up; its files are in {}", files.display());
    let _ = shared.messages.send(Message::Discarded { environment: id.clone() }).await;
    Ok(GivenUp { environment: id, name, files, snapshots, trouble })
}

async fn resolve(shared: &Shared, target: Target) -> Result<Environment, Failure> {
    let (reply, answer) = oneshot::channel();
    let message = Message::ResolveUnread { target, reply };
    shared.messages.send(message).await.map_err(|_| stopping())?;
    answer.await.map_err(|_| stopping())?
}

/// Ends the box, by what engines know of it. One whose engine is away ends when that is back, since
/// nothing stands for it any more; the answer is why.
async fn end_box(
    shared: &Shared,
    id: &crate::model::id::EnvironmentId,
    known: Option<EngineKind>,
) -> Result<Option<String>, Failure> {
    if known != Some(EngineKind::Docker) {
        shared.native.remove_orphan(&shared.deck, id).await?;
    }
    if known == Some(EngineKind::Native) {
        return Ok(None);
    }
    let removed = shared.docker.remove_orphan(&shared.deck, id).await;
    // Who knows of no engine has none that could have it.
    Ok(removed.err().filter(|_| known.is_some()).map(|failure| failure.to_string()))
}
