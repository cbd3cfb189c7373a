//! What the newest snapshot leaves out, as it is now: files that are ignored, special or too large
//! come and go without a new tree, and a snapshot's own list is of its moment.

use crate::model::id::EnvironmentId;
use crate::model::packed;
use crate::model::snapshot::Skipped;

use super::aside::Kind;
use super::store::Store;

const FILE: Kind = Kind("left-out");

/// What is left out now; `None` where it is what the newest snapshot says.
pub fn now(store: &Store, environment: &EnvironmentId) -> anyhow::Result<Option<Vec<Skipped>>> {
    let bytes = FILE.read(store, environment)?;
    // It is written again by the next snapshot that differs; half a file is as none.
    Ok(bytes.and_then(|bytes| packed::unpack(&bytes).ok()))
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
    FILE.write(store, environment, &packed::pack(now)?)
}

/// Forgets what was left out.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    FILE.forget(store, environment);
}
