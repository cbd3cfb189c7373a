//! One command with pipes, on a connection of its own, with which it lives and dies.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Mutex;

use super::server::Shim;
use super::spawn::{self, Streams};
use super::wire::{Frame, Program, ShimEvent, ShimRequest, read_frame, write_frame};
use crate::socket::Departure;

/// Output taken from a pipe at once, in bytes: the kernel's own default size of a pipe.
const CHUNK: usize = 64 << 10;

/// How long a pipe may stay quiet after the command ended while a process it left behind still
/// holds it; such a process must not keep the caller waiting for ever.
const LAST_OUTPUT: Duration = Duration::from_millis(250);

/// How long a peer that was told the result may keep its connection open.
const FAREWELL: Duration = Duration::from_secs(2);

/// Runs `program` to its end, or until the peer leaves.
pub(super) async fn run(
    shim: &Shim,
    reader: OwnedReadHalf,
    mut writer: OwnedWriteHalf,
    program: &Program,
) {
    let mut child = match spawn::spawn(&shim.config, &shim.expendability, program, Streams::Pipes) {
        Ok(child) => child,
        Err(error) => {
            let failed = ShimEvent::ExecFailed { message: error.message };
            let _ = write_frame(&mut writer, &Frame::control(&failed)).await;
            return;
        }
    };
    let group = Group { leader: spawn::pid_of(&child), over: Cell::new(false) };
    let exit_code = shim.await_command(group.leader);
    let input = child.stdin.take().map(|pipe| pipe::Sender::from_owned_fd(pipe.into()));
    let output = child.stdout.take().map(OwnedFd::from);
    let errors = child.stderr.take().map(OwnedFd::from);
    let (Some(Ok(input)), Some(output), Some(errors)) = (input, output, errors) else { return };
    let writer = Mutex::new(writer);
    let ended = tokio::sync::watch::Sender::new(false);
    let work = async {
        let code = async {
            let code = exit_code.await.unwrap_or(-1);
            group.over.set(true);
            ended.send_replace(true);
            code
        };
        let output = forward(1, output, &writer, ended.subscribe());
        let errors = forward(2, errors, &writer, ended.subscribe());
        let (code, (), ()) = tokio::join!(code, output, errors);
        let exited = Frame::control(&ShimEvent::ExecExited { code });
        let _ = write_frame(&mut *writer.lock().await, &exited).await;
    };
    let mut fed = std::pin::pin!(feed(reader, input));
    tokio::select! {
        () = work => {}
        () = &mut fed => return,
    }
    // Closed from this side at once, a peer that is still sending input would see a broken pipe
    // in the place of the result.
    let _ = tokio::time::timeout(FAREWELL, fed).await;
}

/// The command's process group, killed when its connection goes first.
struct Group {
    leader: Pid,
    over: Cell<bool>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over.get() {
            let _ = rustix::process::kill_process_group(self.leader, Signal::KILL);
        }
    }
}

/// Sends a pipe's output until it ends, or stays quiet after the command ended.
async fn forward(
    stream: u8,
    pipe: OwnedFd,
    writer: &Mutex<OwnedWriteHalf>,
    mut ended: tokio::sync::watch::Receiver<bool>,
) {
    let Ok(mut pipe) = pipe::Receiver::from_owned_fd(pipe) else { return };
    let mut buffer = vec![0; CHUNK];
    loop {
        let quiet = async {
            let _ = ended.wait_for(|ended| *ended).await;
            tokio::time::sleep(LAST_OUTPUT).await;
        };
        let count = tokio::select! {
            count = pipe.read(&mut buffer) => count.unwrap_or(0),
            () = quiet => 0,
        };
        if count == 0 {
            return;
        }
        let frame = Frame::ExecOutput { stream, bytes: buffer[..count].to_vec() };
        if write_frame(&mut *writer.lock().await, &frame).await.is_err() {
            return;
        }
    }
}

/// Passes input to the command; returns when the peer left, also while the command takes nothing.
async fn feed(mut reader: OwnedReadHalf, input: pipe::Sender) {
    let Ok(departure) = Departure::of(reader.as_ref()) else { return };
    let mut input = Some(input);
    while let Ok(Some(frame)) = read_frame(&mut reader).await {
        match frame {
            Frame::ExecInput { bytes } => {
                let Some(pipe) = &mut input else { continue };
                let written = tokio::select! {
                    written = pipe.write_all(&bytes) => written,
                    () = departure.wait() => return,
                };
                if written.is_err() {
                    // The command reads no more; what else comes is dropped.
                    input = None;
                }
            }
            Frame::Control(json)
                if serde_json::from_slice(&json).ok() == Some(ShimRequest::ExecInputEnd) =>
            {
                input = None;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn a_command_that_reads_nothing_is_left_with_its_peer() {
        let (mut near, far) = UnixStream::pair().expect("a pair");
        let (input, _unread) = pipe::pipe().expect("a pipe");
        let (reader, _writer) = far.into_split();
        let feeding = tokio::spawn(feed(reader, input));
        // More than the pipe and both buffers of the connection hold.
        let chunk = Frame::ExecInput { bytes: vec![b'x'; CHUNK] };
        let full = Duration::from_millis(200);
        while tokio::time::timeout(full, write_frame(&mut near, &chunk)).await.is_ok() {}
        assert!(!feeding.is_finished(), "it waits for the command");
        drop(near);
        tokio::time::timeout(Duration::from_secs(20), feeding).await.expect("left").expect("ended");
    }
}
