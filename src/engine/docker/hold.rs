//! A process with an agent's rights that stands still, so that the kernel can be asked about it.

use tokio::net::UnixStream;

use super::plan::SHIM;
use super::{kernel, lifecycle};
use crate::engine::BoxRecord;
use crate::model::failure::{Failure, FailureKind};
use crate::shim::config::HOLD;
use crate::shim::wire::{
    Frame, FrameError, Program, Role, ShimEvent, ShimRequest, VERSION, read_frame, write_frame,
};

/// The process ends when this is dropped.
pub(super) struct Held {
    _channel: UnixStream,
    /// Its number on the host.
    pub(super) pid: u32,
}

/// Starts such a process in the box and finds it from outside.
pub(super) async fn hold(record: &BoxRecord) -> Result<Held, Failure> {
    let failed = |reason: String| {
        let message = format!("cannot look into the box of {}: {reason}", record.environment);
        Failure::new(FailureKind::Unavailable, message)
    };
    let mut channel = lifecycle::open_channel(record).await?;
    let waited = tokio::time::timeout(super::CALL_DEADLINE, start(&mut channel)).await;
    waited
        .map_err(|_| failed("its shim does not answer".to_owned()))?
        .map_err(|error| failed(error.to_string()))?;
    let pid = kernel::child_with(record.init_pid, &[SHIM, HOLD]);
    let pid = pid.ok_or_else(|| failed("the process started for it is not there".to_owned()))?;
    Ok(Held { _channel: channel, pid })
}

/// Starts the process; it has its rights when it has said something.
async fn start(channel: &mut UnixStream) -> Result<(), FrameError> {
    let program = Program {
        command: vec![SHIM.to_owned(), HOLD.to_owned()],
        environment: Vec::new(),
        directory: Some("/".to_owned()),
        role: Role::Agent,
    };
    for request in [ShimRequest::Hello { version: VERSION }, ShimRequest::Exec { program }] {
        write_frame(channel, &Frame::control(&request)).await?;
    }
    loop {
        match read_frame(channel).await? {
            Some(Frame::ExecOutput { .. }) => return Ok(()),
            Some(Frame::Control(json)) => match serde_json::from_slice(&json) {
                Ok(ShimEvent::Hello { .. }) => {}
                other => {
                    return Err(std::io::Error::other(format!("the shim said {other:?}")).into());
                }
            },
            other => return Err(std::io::Error::other(format!("the shim sent {other:?}")).into()),
        }
    }
}
