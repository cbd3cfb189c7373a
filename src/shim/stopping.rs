//! The end of a box: a word to every process, a time to leave, then force.

use std::time::Duration;

use rustix::process::{Pid, Signal};
use tokio::time::Instant;

use super::server::{self, Shim};

/// How long killed processes may take to be gone; they need only be scheduled once.
const KILL_PATIENCE: Duration = Duration::from_secs(2);

/// How often children are counted while they leave, besides each time one ends.
const RECOUNT: Duration = Duration::from_millis(20);

/// Ends every process of the box but this one.
pub(super) async fn end_everything(
    shim: &Shim,
    grace: Duration,
    child_ended: &mut tokio::signal::unix::Signal,
) {
    for session in shim.sessions.borrow().values() {
        session.hang_up();
    }
    signal_all(Signal::TERM);
    signal_all(Signal::CONT);
    if wait_until_alone(shim, grace, child_ended).await {
        return;
    }
    signal_all(Signal::KILL);
    wait_until_alone(shim, KILL_PATIENCE, child_ended).await;
}

async fn wait_until_alone(
    shim: &Shim,
    patience: Duration,
    child_ended: &mut tokio::signal::unix::Signal,
) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        shim.reap();
        if children(rustix::process::getpid()).is_empty() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        let _ = tokio::time::timeout(RECOUNT, child_ended.recv()).await;
    }
}

/// Signals everything in the box. Outside a process namespace of its own the shim signals only
/// its descendants, which as their subreaper it has all of.
fn signal_all(signal: Signal) {
    if server::is_first() {
        // Fails only when nobody is left.
        // SAFETY: sends a signal; no memory is involved.
        let _ = unsafe { libc::kill(-1, signal.as_raw()) };
        return;
    }
    let mut waiting = children(rustix::process::getpid());
    while let Some(process) = waiting.pop() {
        waiting.extend(children(process));
        let _ = rustix::process::kill_process(process, signal);
    }
}

fn children(process: Pid) -> Vec<Pid> {
    let process = process.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
