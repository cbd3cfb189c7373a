//! The engine's own words with a shim: making sure that it is the shim, and stopping it.

use std::io;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixStream;

use super::process;
use crate::engine::BoxRecord;
use crate::shim::wire::{Frame, SOCKET, ShimRequest, VERSION, read_frame, write_frame};

/// How long a shim may leave connections waiting: it only has to be scheduled.
const ANSWER_DEADLINE: Duration = Duration::from_secs(5);

/// Between two tries; a shim that runs takes all that wait within one.
const ANSWER_RETRY: Duration = Duration::from_millis(20);

/// Connects to the shim of `record`. A listener that is not the box's first process is refused:
/// the socket's directory is shared with the box.
pub(super) async fn open(record: &BoxRecord) -> io::Result<UnixStream> {
    let stream = connect(record).await?;
    let (listener, _) = crate::socket::peer(&stream)?;
    if listener as u32 != record.init_pid || !process::lives(record) {
        let message = format!("process {listener} answers in the place of the shim");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(stream)
}

/// Connects without ever holding a thread: a listener that takes nobody lets its queue fill up.
async fn connect(record: &BoxRecord) -> io::Result<UnixStream> {
    let connecting = async {
        loop {
            match crate::socket::connect_now(&record.run, SOCKET).await {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                connected => return connected,
            }
            tokio::time::sleep(ANSWER_RETRY).await;
        }
    };
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the shim does not answer");
    tokio::time::timeout(ANSWER_DEADLINE, connecting).await.map_err(late)?
}

async fn greet(record: &BoxRecord) -> anyhow::Result<UnixStream> {
    let mut stream = open(record).await?;
    write_frame(&mut stream, &Frame::control(&ShimRequest::Hello { version: VERSION })).await?;
    read_frame(&mut stream).await?.context("the shim said nothing")?;
    Ok(stream)
}

/// Tells the shim to end the box.
pub(super) async fn stop(record: &BoxRecord, grace: Duration) -> anyhow::Result<()> {
    let mut stream = greet(record).await?;
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    write_frame(&mut stream, &Frame::control(&ShimRequest::Stop { grace_ms })).await?;
    // The shim closes when it is done; what it says until then is for others.
    while read_frame(&mut stream).await?.is_some() {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::EnvironmentId;

    #[tokio::test(start_paused = true)]
    async fn a_shim_that_takes_no_connection_does_not_answer_and_holds_nobody() {
        let run = tempfile::tempdir().expect("a directory");
        let _listener = crate::socket::bind(run.path(), SOCKET).expect("bound");
        let mut waiting = Vec::new();
        while let Ok(stream) = crate::socket::connect_now(run.path(), SOCKET).await {
            waiting.push(stream);
        }
        let record = BoxRecord {
            environment: EnvironmentId::from_random([1; 8]),
            init_pid: std::process::id(),
            init_start: 0,
            container: None,
            boot: String::new(),
            endpoint: None,
            run: run.path().to_owned(),
        };
        let error = open(&record).await.expect_err("nobody answers");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
