//! The ports of a box: who listens there, and a stream to one.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::exec::{self, lost, too_old};
use super::shared::Shared;
use super::state::Record;
use crate::model::failure::{Failure, FailureKind};
use crate::model::listener::Listener;
use crate::shim::wire::{Frame, ShimEvent, ShimRequest, read_frame, write_frame};

/// Listing looks into each process of the box once.
const LIST_DEADLINE: Duration = Duration::from_secs(5);
/// More than the shim tells at most.
const LIST_BYTES: usize = 256 << 10;
/// Longer than the shim gives a loopback to answer.
const DIAL_DEADLINE: Duration = Duration::from_secs(12);

/// The ports that the box's programs listen on.
pub(super) async fn listeners(
    shared: &Arc<Shared>,
    record: &Record,
) -> Result<Vec<Listener>, Failure> {
    let listing = exec::begin(shared, record, &ShimRequest::Listeners).await?;
    let output = exec::collect(listing, LIST_BYTES, LIST_DEADLINE).await?;
    let lines = output.split(|byte| *byte == b'\n');
    // A line cut off or of a kind that is not known yet says nothing.
    Ok(lines.filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

/// A stream to a port of the box's loopback.
pub(super) async fn dial(
    shared: &Arc<Shared>,
    record: &Record,
    port: u16,
) -> Result<UnixStream, Failure> {
    let mut stream = exec::open(shared, record).await?;
    let dialling = async {
        let request = Frame::control(&ShimRequest::Dial { port });
        write_frame(&mut stream, &request).await.map_err(lost)?;
        read_frame(&mut stream).await.map_err(lost)
    };
    let late = |_| Failure::new(FailureKind::Timeout, format!("port {port} does not answer"));
    let Some(Frame::Control(json)) = timeout(DIAL_DEADLINE, dialling).await.map_err(late)?? else {
        return Err(lost("it closed the connection"));
    };
    match serde_json::from_slice(&json) {
        Ok(ShimEvent::Dialled) => Ok(stream),
        Ok(ShimEvent::DialFailed { message }) => {
            let name = &record.environment.name;
            Err(Failure::new(FailureKind::Unavailable, message)
                .hint(format!("see what listens there: agentdeck ports {name}")))
        }
        Ok(ShimEvent::Unsupported { .. }) => Err(too_old()),
        _ => Err(lost("an answer that was not asked for")),
    }
}
