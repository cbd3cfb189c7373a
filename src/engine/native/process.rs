//! Processes by identity: a process id together with a start time names one process for good.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};

use crate::engine::BoxRecord;

/// The running boot.
pub(super) fn boot_id() -> io::Result<String> {
    Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

/// The start time of a living process, in clock ticks since boot; `None` for one that is gone or
/// only waits to be reaped.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, so fields are counted from its end.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is field 3, the start time field 22.
    fields.nth(22 - 3 - 1)?.parse().ok()
}

/// Whether the box's first process lives.
pub(super) fn lives(record: &BoxRecord) -> bool {
    boot_id().is_ok_and(|boot| boot == record.boot)
        && start_time(record.init_pid) == Some(record.init_start)
}

/// A handle to the box's first process; `None` when it is gone.
pub(super) fn open(record: &BoxRecord) -> Option<OwnedFd> {
    let pid = Pid::from_raw(record.init_pid as i32)?;
    let handle = rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()?;
    // Looked at after opening: what the handle means can no longer change.
    lives(record).then_some(handle)
}

/// Kills the process of a handle, and with a box's first process the whole box.
pub(super) fn kill(handle: &OwnedFd) {
    // Fails only when it ended already.
    let _ = rustix::process::pidfd_send_signal(handle, Signal::KILL);
}

/// Waits until the process of a handle ended; `false` when it did not within `patience`. Blocking.
pub(super) fn wait(handle: &OwnedFd, patience: Duration) -> bool {
    let timeout = Timespec::try_from(patience).ok();
    let mut polled = [PollFd::new(handle, PollFlags::IN)];
    matches!(rustix::event::poll(&mut polled, timeout.as_ref()), Ok(count) if count > 0)
}
