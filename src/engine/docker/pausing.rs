//! Boxes that stand still: by their engine, or by the kernel without their engine's knowing.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;

use super::connect::Connection;
use super::lifecycle::{find, gone, is_paused, is_running, short};
use super::problem::call;
use super::{CALL_DEADLINE, isolation, usage};
use crate::engine::BoxRecord;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;

/// Whether the kernel holds a box of which the engine says that it runs: an engine that was killed
/// between pausing it and writing that down never comes to know.
pub(super) fn is_held(found: &ContainerInspectResponse, record: &BoxRecord) -> bool {
    is_running(found) && !is_paused(found) && usage::is_frozen(record.init_pid)
}

/// Whether a box goes on of which its engine says that it stands still: one that was killed while it
/// paused the box hears of that from below when it is back, and not of the end that we put to it
/// meanwhile. The kernel that freezes the box knows; of a kernel of the box's own only the engine
/// knows.
pub(super) fn goes_on(found: &ContainerInspectResponse, record: &BoxRecord) -> bool {
    is_paused(found)
        && isolation::own_kernel(found).is_none()
        && usage::frozen(record.init_pid) == Some(false)
}

/// How long a box may stand still while its engine is told that it goes on: it needs milliseconds.
const CORRECTION: Duration = Duration::from_secs(1);

/// Boxes that stand still for a moment for nobody but their engine.
static CORRECTED: Mutex<BTreeSet<EnvironmentId>> = Mutex::new(BTreeSet::new());

fn corrected() -> MutexGuard<'static, BTreeSet<EnvironmentId>> {
    CORRECTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a box stands still only until its engine knows that it goes on.
pub(super) fn is_corrected(record: &BoxRecord) -> bool {
    corrected().contains(&record.environment)
}

/// A box that is corrected, until this is dropped.
struct Correction<'a>(&'a EnvironmentId);

impl Drop for Correction<'_> {
    fn drop(&mut self) {
        corrected().remove(self.0);
    }
}

/// Tells an engine that a box goes on which it takes to stand still: it would refuse commands in
/// it. An engine resumes only what the kernel holds, so the box stands still for a moment.
pub(super) async fn correct(
    connection: &Connection,
    found: &ContainerInspectResponse,
    record: &BoxRecord,
) {
    if !corrected().insert(record.environment.clone()) {
        return;
    }
    let _correction = Correction(&record.environment);
    if let Err(error) = usage::hold(record.init_pid, true) {
        return tracing::info!("the engine takes {} to be paused: {error}", record.environment);
    }
    let id = found.id.as_deref().unwrap_or_default();
    if let Err(problem) = call(CORRECTION, connection.client.unpause_container(id)).await {
        tracing::info!("container {} is not resumed: {problem}", short(id));
        // Where this fails, the box stands still, and the next look at it says so.
        let _ = usage::hold(record.init_pid, false);
    }
}

/// How a box stands, once nobody corrects its engine.
async fn find_at_rest(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<ContainerInspectResponse, Failure> {
    const PAUSE: Duration = Duration::from_millis(5);
    while is_corrected(record) {
        tokio::time::sleep(PAUSE).await;
    }
    find(connection, record).await?.ok_or_else(|| gone(record))
}

/// Has every process of the box stand still, its shim too: nothing answers until it goes on.
pub(super) async fn pause(connection: &Connection, record: &BoxRecord) -> Result<(), Failure> {
    let found = find_at_rest(connection, record).await?;
    if goes_on(&found, record) {
        correct(connection, &found, record).await;
    } else if is_paused(&found) || is_held(&found, record) {
        return Ok(());
    }
    let id = found.id.unwrap_or_default();
    let paused = call(CALL_DEADLINE, connection.client.pause_container(&id)).await;
    paused.map_err(|problem| problem.during(&format!("pausing container {}", short(&id))))
}

pub(super) async fn resume(connection: &Connection, record: &BoxRecord) -> Result<(), Failure> {
    let found = find_at_rest(connection, record).await?;
    if is_held(&found, record) {
        return release(record);
    }
    if goes_on(&found, record) {
        correct(connection, &found, record).await;
        return Ok(());
    }
    if !is_paused(&found) {
        return Ok(());
    }
    let id = found.id.unwrap_or_default();
    let resumed = call(CALL_DEADLINE, connection.client.unpause_container(&id)).await;
    resumed.map_err(|problem| problem.during(&format!("resuming container {}", short(&id))))
}

/// Has a box go on that its engine holds without knowing, and so refuses to resume.
fn release(record: &BoxRecord) -> Result<(), Failure> {
    usage::hold(record.init_pid, false).map_err(|error| {
        let message = format!(
            "the box of environment {} stands still and its engine, which was ended while it \
             paused it, does not know: {error}",
            record.environment
        );
        Failure::new(FailureKind::Unavailable, message)
            .hint("stop the environment and start it again, or have root resume it")
    })
}
