//! Bounds that a program takes on between fork and exec, and hands on to what it starts.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use rustix::process::{Resource, Rlimit};

use super::config::ShimConfig;
use super::turns;

/// Added to how gladly the kernel ends a program of a box when the memory of the machine, or of
/// the box, runs out: before the shim, and before what the user runs outside.
const EXPENDABLE: &[u8] = b"300";

/// Where a process has that.
const WILLINGNESS: &str = "/proc/self/oom_score_adj";

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

/// Has programs be born expendable. A program cannot say so itself: once the shim is confined,
/// nothing it starts opens a file of `/proc` to write.
pub(super) struct Expendability {
    /// The shim's own file, and what stood in it.
    own: Option<(File, Vec<u8>)>,
}

impl Expendability {
    /// For the programs of a box. Best effort: without it the kernel chooses as it likes.
    pub(super) fn of(config: &ShimConfig) -> Self {
        let open = || {
            let mut file = OpenOptions::new().read(true).write(true).open(WILLINGNESS).ok()?;
            let mut text = Vec::new();
            file.read_to_end(&mut text).ok()?;
            Some((file, text))
        };
        Self { own: if config.drop_privileges { open() } else { None } }
    }

    /// Calls `start`, which forks. What is born has its parent's value, so the shim takes that of
    /// programs for as long.
    pub(super) fn give<T>(&self, start: impl FnOnce() -> T) -> T {
        let Some((file, before)) = &self.own else { return start() };
        let _ = file.write_at(EXPENDABLE, 0);
        let started = start();
        let _ = file.write_at(before, 0);
        started
    }
}
