//! Boxes that stand still: by their engine, or by the kernel without their engine's knowing.

use bollard::models::ContainerInspectResponse;

use super::connect::Connection;
use super::lifecycle::{find, gone, is_paused, is_running, short};
use super::problem::call;
use super::{CALL_DEADLINE, usage};
use crate::engine::BoxRecord;
use crate::model::failure::{Failure, FailureKind};

/// Whether the kernel holds a box of which the engine says that it runs: an engine that was killed
/// between pausing it and writing that down never comes to know.
pub(super) fn is_held(found: &ContainerInspectResponse, record: &BoxRecord) -> bool {
    is_running(found) && !is_paused(found) && usage::is_frozen(record.init_pid)
}

/// Has every process of the box stand still, its shim too: nothing answers until it goes on.
pub(super) async fn pause(connection: &Connection, record: &BoxRecord) -> Result<(), Failure> {
    let found = find(connection, record).await?.ok_or_else(|| gone(record))?;
    if is_paused(&found) || is_held(&found, record) {
        return Ok(());
    }
    let id = found.id.unwrap_or_default();
    let paused = call(CALL_DEADLINE, connection.client.pause_container(&id)).await;
    paused.map_err(|problem| problem.during(&format!("pausing container {}", short(&id))))
}

pub(super) async fn resume(connection: &Connection, record: &BoxRecord) -> Result<(), Failure> {
    let found = find(connection, record).await?.ok_or_else(|| gone(record))?;
    if is_held(&found, record) {
        return release(record);
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
    usage::thaw(record.init_pid).map_err(|error| {
        let message = format!(
            "the box of environment {} stands still and its engine, which was ended while it \
             paused it, does not know: {error}",
            record.environment
        );
        Failure::new(FailureKind::Unavailable, message)
            .hint("stop the environment and start it again, or have root resume it")
    })
}
