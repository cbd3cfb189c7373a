//! Bounds that a program takes on between fork and exec, and hands on to what it starts.

use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};

use super::config::ShimConfig;
use super::turns;

/// Added to how gladly the kernel ends a program of a box when the memory of the machine, or of
/// the box, runs out: before the shim, and before what the user runs outside.
const EXPENDABLE: &[u8] = b"300";

/// The bounds of a box's programs.
pub(super) struct Bounds {
    processes: Option<u64>,
    files: Option<u64>,
    boxed: bool,
}

impl Bounds {
    pub(super) fn of(config: &ShimConfig) -> Self {
        let limits = &config.limits;
        Self { processes: limits.processes, files: limits.files, boxed: config.drop_privileges }
    }

    /// Takes the bounds on for the calling process. Only system calls: safe between fork and exec.
    pub(super) fn take(&self) -> io::Result<()> {
        if self.boxed {
            // An image of a program's memory would go to the host's collector.
            bound(Resource::Core, 0)?;
            become_expendable();
        }
        turns::of_programs();
        if let Some(processes) = self.processes {
            bound(Resource::Nproc, processes)?;
        }
        self.files.map_or(Ok(()), |files| bound(Resource::Nofile, files))
    }
}

/// Sets a bound, or the tighter one that holds already.
fn bound(resource: Resource, value: u64) -> io::Result<()> {
    let value = rustix::process::getrlimit(resource).maximum.map_or(value, |now| now.min(value));
    let limit = Rlimit { current: Some(value), maximum: Some(value) };
    Ok(rustix::process::setrlimit(resource, limit)?)
}

/// Best effort: without it the kernel chooses as it likes.
fn become_expendable() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(&file, EXPENDABLE);
    }
}
