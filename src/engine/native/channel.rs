//! The engine's own words with a shim: making sure that it is the shim, stopping it, and holding
//! a process in the box still to read what the kernel says of it.

use std::io;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use anyhow::Context;
use tokio::net::UnixStream;

use super::{process, root};
use crate::engine::BoxRecord;
use crate::shim::config::HOLD;
use crate::shim::wire::{
    Frame, Program, Role, SOCKET, ShimEvent, ShimRequest, VERSION, read_frame, write_frame,
};

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

/// A process under the agent's rights that does nothing until this is dropped.
pub(super) struct Held {
    _stream: UnixStream,
    pub(super) pid: u32,
}

/// Starts such a process and finds it from outside.
pub(super) async fn hold(record: &BoxRecord) -> anyhow::Result<Held> {
    let mut stream = greet(record).await?;
    let program = Program {
        command: vec![root::SHIM.to_owned(), HOLD.to_owned()],
        environment: Vec::new(),
        directory: Some("/".to_owned()),
        role: Role::Agent,
    };
    write_frame(&mut stream, &Frame::control(&ShimRequest::Exec { program })).await?;
    match read_frame(&mut stream).await?.context("the shim left")? {
        Frame::ExecOutput { .. } => {}
        Frame::Control(json) => match serde_json::from_slice(&json)? {
            ShimEvent::ExecFailed { message } => anyhow::bail!(message),
            event => anyhow::bail!("the shim answered {event:?}"),
        },
        frame => anyhow::bail!("the shim answered {frame:?}"),
    }
    let pid = find_held(record.init_pid).context("the held process is not there")?;
    Ok(Held { _stream: stream, pid })
}

/// The first process's child that was started to be held.
fn find_held(init: u32) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
    let expected = format!("{}\0{HOLD}\0", root::SHIM);
    children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).find(|pid: &u32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line == expected.as_bytes())
    })
}
