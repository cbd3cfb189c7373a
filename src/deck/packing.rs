//! Packs stores in the background and makes them whole, one thread for each that needs it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::shared::{Shared, blocking};
use super::state::Record;
use super::stores::Packing;
use crate::model::id::RepositoryId;
use crate::repo::pack;

/// Before stores are first looked at: a start has more urgent things to do.
const FIRST: Duration = Duration::from_mins(1);
/// Between two looks. Until a store is whole, its snapshots need what the user's git may prune: that
/// takes days, unless the user asks for it.
const PACE: Duration = Duration::from_mins(10);

/// Packs the store of an environment's repository if it is time to. What fails is not tried again
/// by this server: without git there is nothing to try, and loose objects work as well.
pub(super) fn consider(shared: &Arc<Shared>, record: &Record) {
    let id = &record.repository_id;
    if !shared.stores.packing().has_failed(id) && pack::is_due(&shared.layout.repository(id)) {
        begin(shared, id, pack_once);
    }
}

fn pack_once(packing: &Packing, id: &RepositoryId, directory: &Path) -> anyhow::Result<()> {
    // Until it comes to its end: one that panics is not tried again either.
    packing.fail(id);
    pack::run(directory)?;
    packing.succeed(id);
    Ok(())
}

/// Copies, when nobody waits for anything, what the stores need of the users' repositories: bases
/// are only pinned there, and a user may rewrite or remove what is pinned.
pub(super) async fn tend(shared: Arc<Shared>) {
    let mut pace = FIRST;
    loop {
        tokio::time::sleep(pace).await;
        pace = PACE;
        let task = shared.clone();
        let looked = blocking(move || {
            for id in task.layout.repository_ids().map_err(anyhow::Error::from)? {
                // One of which nothing is kept yet cannot be opened.
                if let Ok(false) = pack::is_whole(&task.layout.repository(&id)) {
                    begin(&task, &id, |_, _, directory| pack::complete(directory));
                }
            }
            Ok(())
        });
        if let Err(failure) = looked.await {
            tracing::warn!("stores were not looked at: {failure}");
        }
    }
}

type Work = fn(&Packing, &RepositoryId, &Path) -> anyhow::Result<()>;

fn begin(shared: &Arc<Shared>, id: &RepositoryId, work: Work) {
    let Some(claim) = shared.stores.packing().claim(id) else { return };
    let (packing, id) = (shared.stores.packing().clone(), id.clone());
    let directory = shared.layout.repository(&id);
    // A thread of its own: its priority is lowered and cannot be raised again.
    let thread = std::thread::Builder::new().name("pack".to_owned());
    let spawned = thread.spawn(move || {
        let _claim = claim;
        if let Err(error) = work(&packing, &id, &directory) {
            tracing::warn!("{}: {error:#}", directory.display());
        }
    });
    if let Err(error) = spawned {
        tracing::warn!("snapshots are not packed: {error}");
    }
}
