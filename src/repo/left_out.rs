//! What the newest snapshot leaves out, as it is now: files that are ignored, special or too large
//! come and go without a new tree, and a snapshot's own list is of its moment.

use anyhow::Context;

use crate::model::id::EnvironmentId;
use crate::model::snapshot::Skipped;

use super::store::Store;

/// What is left out now; `None` where it is what the newest snapshot says.
pub fn now(store: &Store, environment: &EnvironmentId) -> anyhow::Result<Option<Vec<Skipped>>> {
    match std::fs::read(place(store, environment)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        // It is written again by the next snapshot that differs; half a file is as none.
        bytes => Ok(rmp_serde::from_slice(&bytes?).ok()),
    }
}

/// Keeps what is left out, where it is not what was known before.
pub(super) fn keep(
    store: &Store,
    environment: &EnvironmentId,
    before: &[Skipped],
    now: &[Skipped],
) -> anyhow::Result<()> {
    if before == now {
        return Ok(());
    }
    let path = place(store, environment);
    std::fs::create_dir_all(path.parent().expect("a directory of the store"))?;
    std::fs::write(&path, rmp_serde::to_vec_named(now)?)
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Forgets what was left out.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    let _ = std::fs::remove_file(place(store, environment));
}

fn place(store: &Store, environment: &EnvironmentId) -> std::path::PathBuf {
    store.directory().join("left-out").join(environment.as_str())
}
