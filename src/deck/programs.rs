//! Copies of this program that boxes were made with: those of other versions are removed when no
//! box needs them any more.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::keeping;
use super::shared::{Shared, blocking};
use crate::engine::{BoxRecord, other_binaries};
use crate::model::failure::Failure;
use crate::model::policy::EngineKind;
use crate::store::{Layout, Places};

/// Removes copies that no box needs. Where it cannot be told which those are, all stay.
pub(super) async fn remove_unused(shared: &Arc<Shared>) -> Result<(), Failure> {
    let task = shared.clone();
    let (others, boxes) = blocking(move || Ok(look(&task)?)).await?;
    if others.is_empty() {
        return Ok(());
    }
    let mut needed = Vec::new();
    for kind in [EngineKind::Native, EngineKind::Docker] {
        needed.extend(shared.engine(kind).programs(&shared.deck, &boxes).await?);
    }
    let remove = move || -> anyhow::Result<()> {
        for other in others.iter().filter(|other| !needed.contains(other)) {
            std::fs::remove_file(other)?;
            tracing::info!("removed {}, which no box needs", other.display());
        }
        Ok(())
    };
    blocking(move || Ok(remove()?)).await
}

/// The copies beside this version's own, and all boxes.
fn look(shared: &Shared) -> anyhow::Result<(Vec<PathBuf>, Vec<BoxRecord>)> {
    let home = shared.layout.home();
    // One alone is this version's, or no other has followed it yet.
    if other_binaries(home, Path::new(""))?.len() < 2 {
        return Ok((Vec::new(), Vec::new()));
    }
    Ok((other_binaries(home, &shared.binary()?)?, boxes(&shared.layout)?))
}

/// The boxes of all environments, also of discarded ones, which may come back.
fn boxes(layout: &Layout) -> anyhow::Result<Vec<BoxRecord>> {
    let listed = layout.environment_ids()?.into_iter().map(|id| layout.environment(&id));
    let discarded =
        layout.trash_ids()?.into_iter().map(|id| Places { directory: layout.trash(&id) });
    let mut boxes = Vec::new();
    for places in listed.chain(discarded) {
        boxes.extend(keeping::read(&places)?.and_then(|record| record.record));
    }
    Ok(boxes)
}
