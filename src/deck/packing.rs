//! Packs stores in the background, one thread for each that needs it.

use std::sync::Arc;

use super::shared::Shared;
use super::state::Record;
use crate::repo;

/// Packs the store of an environment's repository if it is time to. What fails is not tried again
/// by this server: without git there is nothing to try, and loose objects work as well.
pub(super) fn consider(shared: &Arc<Shared>, record: &Record) {
    let id = record.repository_id.clone();
    let directory = shared.layout.repository(&id);
    if !repo::pack::is_due(&directory) || !shared.begin_packing(&id) {
        return;
    }
    let shared = shared.clone();
    // A thread of its own: its priority is lowered and cannot be raised again.
    let packing = std::thread::Builder::new().name("pack".to_owned());
    let spawned = packing.spawn(move || match repo::pack::run(&directory) {
        Ok(()) => shared.end_packing(&id),
        Err(error) => tracing::warn!("{}: {error:#}", directory.display()),
    });
    if let Err(error) = spawned {
        tracing::warn!("snapshots are not packed: {error}");
    }
}
