//! What the newest snapshot leaves out, as it is now: files that are ignored, special or too large
//! come and go without a new tree, and a snapshot's own list is of its moment.

use crate::model::decision::Portion;
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::packed;
use crate::model::snapshot::Skipped;

use super::aside::Kind;
use super::hidden;
use super::history;
use super::store::Store;

const FILE: Kind = Kind("left-out");

/// What is left out now; `None` where it is what the newest snapshot says.
pub fn now(store: &Store, environment: &EnvironmentId) -> anyhow::Result<Option<Vec<Skipped>>> {
    let bytes = FILE.read(store, environment)?;
    // It is written again by the next snapshot that differs; half a file is as none.
    Ok(bytes.and_then(|bytes| packed::unpack(&bytes).ok()))
}

/// What the newest snapshot leaves out, as it is now.
pub fn of_newest(store: &Store, environment: &EnvironmentId) -> Result<Vec<Skipped>, Failure> {
    match now(store, environment)? {
        Some(now) => Ok(now),
        None => Ok(history::one(store, &history::head(store, environment)?)?.skipped),
    }
}

/// What whoever takes a portion of a snapshot does not get: what the base ignores is not of it. Of
/// the newest snapshot, as it is now.
pub fn of_portion(
    store: &Store,
    environment: &EnvironmentId,
    snapshot: &CommitId,
    portion: &Portion,
) -> Result<Vec<Skipped>, Failure> {
    let newest = history::head(store, environment)? == *snapshot;
    let now = if newest { now(store, environment)? } else { None };
    let mut left_out = match now {
        Some(now) => now,
        None => history::one(store, snapshot)?.skipped,
    };
    left_out.retain(|skipped| !skipped.is_ignored() && portion.covers(&skipped.path));
    if *portion == Portion::All {
        left_out.extend(hidden(store, environment, snapshot)?);
    }
    Ok(left_out)
}

/// What a snapshot has that a take of all leaves out.
pub fn hidden(
    store: &Store,
    environment: &EnvironmentId,
    snapshot: &CommitId,
) -> Result<Vec<Skipped>, Failure> {
    let kept = hidden::of(store, environment, snapshot)?;
    let named = |reason: &'static str| move |path| Skipped { path, reason: reason.to_owned() };
    let submodules = kept.submodules.into_iter().map(named(Skipped::SUBMODULE));
    Ok(submodules.chain(kept.hidden.into_iter().map(named(Skipped::HIDDEN))).collect())
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
