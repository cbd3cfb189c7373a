//! A process in a box that was started exactly as an agent's is, told what it found, and stands
//! still, so that the kernel can be asked about it.

use std::io::Read;
use std::time::Duration;

use tokio::net::UnixStream;

use crate::engine::BoxRecord;
use crate::model::failure::{Failure, FailureKind};
use crate::shim::claims::{Claims, PROBE};
use crate::shim::config::HOLD;
use crate::shim::wire::{
    Frame, FrameError, Program, Role, ShimEvent, ShimRequest, VERSION, read_frame, write_frame,
};

/// Longest time for the process to start and tell; on a busy machine it takes tens of
/// milliseconds.
const DEADLINE: Duration = Duration::from_secs(10);

/// Largest answer that is read; a whole one is a tenth of it.
const MAX_ANSWER: usize = 64 << 10;

/// The process ends when this is dropped.
pub(super) struct Held {
    _channel: UnixStream,
    /// Its number on the host; `None` where the box has a kernel of its own.
    pub(super) pid: Option<u32>,
    pub(super) claims: Option<Claims>,
}

/// Starts such a process in the box and finds it from outside. A shim that knows no probe has the
/// process that only stands still.
pub(super) async fn hold<F: Future<Output = Result<UnixStream, Failure>>>(
    record: &BoxRecord,
    open: impl Fn() -> F,
    shim: &str,
) -> Result<Held, Failure> {
    let word = word().map_err(|error| failed(record, &error.to_string()))?;
    let probe = [shim.to_owned(), PROBE.to_owned(), word];
    let work = async {
        if let Some(held) = start(record, open().await?, &probe).await? {
            return Ok(held);
        }
        let plain = [shim.to_owned(), HOLD.to_owned()];
        let held = start(record, open().await?, &plain).await?;
        held.ok_or_else(|| failed(record, "the process started for it ended at once"))
    };
    let waited = tokio::time::timeout(DEADLINE, work).await;
    waited.unwrap_or_else(|_| Err(failed(record, "its shim does not answer")))
}

/// Tells one probe's process from another's, and from one that an agent made beforehand to be
/// taken for it.
fn word() -> std::io::Result<String> {
    let mut bytes = [0; 16];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}

fn failed(record: &BoxRecord, reason: &str) -> Failure {
    let message = format!("cannot look into the box of {}: {reason}", record.environment);
    Failure::new(FailureKind::Unavailable, message)
}

/// Starts one process; `None` when it ended without a word.
async fn start(
    record: &BoxRecord,
    mut channel: UnixStream,
    command: &[String],
) -> Result<Option<Held>, Failure> {
    let Some(line) =
        ask(&mut channel, command).await.map_err(|error| failed(record, &error.to_string()))?
    else {
        return Ok(None);
    };
    let claims = serde_json::from_slice(&line).ok();
    let pid = match started_with(&children(record.init_pid), command)[..] {
        [] => None,
        [pid] => Some(pid),
        // Which of them was started for this cannot be told.
        _ => return Err(failed(record, "another process passes for the one started for it")),
    };
    Ok(Some(Held { _channel: channel, pid, claims }))
}

/// Has the shim start the process and takes its first line; it has its rights when it says one.
async fn ask(channel: &mut UnixStream, command: &[String]) -> Result<Option<Vec<u8>>, FrameError> {
    let program = Program {
        command: command.to_vec(),
        environment: Vec::new(),
        directory: Some("/".to_owned()),
        role: Role::Agent,
    };
    for request in [ShimRequest::Hello { version: VERSION }, ShimRequest::Exec { program }] {
        write_frame(channel, &Frame::control(&request)).await?;
    }
    let strange = |what: String| Err(std::io::Error::other(format!("the shim sent {what}")).into());
    let mut line = Vec::new();
    loop {
        match read_frame(channel).await? {
            Some(Frame::ExecOutput { stream: 1, bytes }) => line.extend(bytes),
            Some(Frame::ExecOutput { .. }) => {}
            Some(Frame::Control(json)) => match serde_json::from_slice(&json) {
                Ok(ShimEvent::Hello { .. }) => {}
                Ok(ShimEvent::ExecExited { .. }) => return Ok(None),
                other => return strange(format!("{other:?}")),
            },
            other => return strange(format!("{other:?}")),
        }
        if line.ends_with(b"\n") {
            return Ok(Some(line));
        }
        if line.len() > MAX_ANSWER {
            return strange("more than an answer".to_owned());
        }
    }
}

/// The children of the box's first process.
fn children(first: u32) -> Vec<u32> {
    let children = std::fs::read_to_string(format!("/proc/{first}/task/{first}/children"));
    let children = children.unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Those that were started with this command, or say so.
fn started_with(processes: &[u32], command: &[String]) -> Vec<u32> {
    let expected = command.join("\0") + "\0";
    let fits = |process: &u32| {
        std::fs::read(format!("/proc/{process}/cmdline"))
            .is_ok_and(|line| line == expected.as_bytes())
    };
    processes.iter().copied().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_passes_for_the_process_is_found_beside_it() {
        let word = word().expect("random");
        assert_ne!(word, super::word().expect("random"));
        // The shell waits for its input, and its last argument is only a name.
        let command = ["sh", "-c", "read line; exit", &word].map(str::to_owned);
        let start = || {
            let mut shell = std::process::Command::new(&command[0]);
            shell.args(&command[1..]).stdin(std::process::Stdio::piped()).spawn().expect("a shell")
        };
        let mut shells = [start(), start()];
        let pids = [shells[0].id(), shells[1].id(), std::process::id()];
        // The kernel shows a program's words a moment after it began.
        let begun = std::time::Instant::now();
        while started_with(&pids, &command).len() < 2 && begun.elapsed() < DEADLINE {
            std::thread::yield_now();
        }
        assert_eq!(started_with(&pids[1..], &command), pids[1..2]);
        assert_eq!(started_with(&pids, &command), pids[..2]);
        for shell in &mut shells {
            shell.kill().and_then(|()| shell.wait()).expect("ended");
        }
    }
}
