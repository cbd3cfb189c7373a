//! Removing what was dropped from the trash, and saying what of it stays.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{note, pins};
use crate::deck::owners;
use crate::deck::shared::{Shared, blocking};
use crate::deck::step::{Step, reached};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::store;

/// Removes a discarded environment with all that is kept for it: its box, its pin, its files. What
/// stays of them is a failure, and gone on with later.
pub(super) async fn drop_for_good(shared: &Arc<Shared>, id: &EnvironmentId) -> Result<(), Failure> {
    let turn = shared.turn(id);
    let _turn = turn.lock().await;
    let record = note(shared, id).await?;
    let name = record.environment.name.clone();
    reached(Step::DropRecorded);
    let engine = shared.engine(record.environment.engine);
    if let Some(made) = &record.record {
        engine.remove(made).await?;
    }
    engine.remove_orphan(&shared.deck, id).await?;
    reached(Step::DroppedBoxRemoved);
    if let Err(failure) = owners::hand_back_in(shared, &record, shared.layout.trash(id)).await {
        tracing::warn!(%id, "{failure}");
    }
    let (task, environment) = (shared.clone(), id.clone());
    blocking(move || {
        pins::remove(&task, &record)?;
        reached(Step::DroppedUnpinned);
        let (from, to) = (task.layout.trash(&environment), task.layout.removing());
        let to = to.join(environment.as_str());
        store::rename_synced(&from, &to)?;
        reached(Step::DropMoved);
        crate::engine::remove_tree(&to).map_err(|error| {
            let message = format!(
                "nothing brings {name} back, and its files are still in {}: {error}",
                to.display()
            );
            Failure::new(FailureKind::Unavailable, message).hint(format!(
                "they are removed by the next start of the server that can; or by you: \
                 sudo rm -rf {}",
                to.display()
            ))
        })
    })
    .await?;
    tracing::info!(%id, "dropped from the trash");
    Ok(())
}

/// Removes what could not be before: with the engine's help, which a start does without at first.
pub(super) async fn finish_removing(shared: &Arc<Shared>) {
    let left = std::fs::read_dir(shared.layout.removing()).into_iter().flatten().flatten();
    for directory in left.map(|entry| entry.path()) {
        let Some(id) = id_of(&directory) else { continue };
        let turn = shared.turn(&id);
        // Whoever has it is about to remove it.
        let Ok(_turn) = turn.try_lock() else { continue };
        if let Err(failure) = remove(shared, id, directory.clone()).await {
            tracing::warn!("{} could not be removed: {failure}", directory.display());
        }
    }
}

async fn remove(
    shared: &Arc<Shared>,
    id: EnvironmentId,
    directory: PathBuf,
) -> Result<(), Failure> {
    owners::hand_back_left(shared, id, directory.clone()).await?;
    blocking(move || Ok(crate::engine::remove_tree(&directory).map_err(anyhow::Error::from)?)).await
}

fn id_of(directory: &Path) -> Option<EnvironmentId> {
    EnvironmentId::parse(directory.file_name()?.to_str()?)
}
