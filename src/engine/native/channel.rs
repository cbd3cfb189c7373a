//! The engine's own words with a shim: making sure that it is the shim, and stopping it.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixStream;

use super::process;
use crate::engine::BoxRecord;
use crate::shim::wire::{Frame, SOCKET, ShimRequest, VERSION, read_frame, write_frame};

/// Connects to the shim of `record`. A listener that is not the box's first process is refused:
/// the socket's directory is shared with the box.
pub(super) fn open(record: &BoxRecord) -> io::Result<StdStream> {
    let stream = crate::socket::connect(&record.run, SOCKET)?;
    let (listener, _) = crate::socket::peer(&stream)?;
    if listener as u32 != record.init_pid || !process::lives(record) {
        let message = format!("process {listener} answers in the place of the shim");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(stream)
}

async fn greet(record: &BoxRecord) -> anyhow::Result<UnixStream> {
    let stream = open(record)?;
    stream.set_nonblocking(true)?;
    let mut stream = UnixStream::from_std(stream)?;
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
