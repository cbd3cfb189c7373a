//! Bounds that a program takes on between fork and exec, and hands on to what it starts.

use std::io;

use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit};

use super::config::ShimConfig;

/// Bytes of the first version of `struct sched_attr`.
const ATTRIBUTES: u32 = 48;

/// Added to how gladly the kernel ends a program of a box when the memory of the machine, or of
/// the box, runs out: before the shim, and before what the user runs outside.
const EXPENDABLE: &[u8] = b"300";

/// How long the shim may have a processor before another's turn, in nanoseconds: the least that
/// the kernel takes. It needs less, and with a short turn to come it is chosen sooner.
pub(super) const SHIM_TURN: u64 = 100_000;
/// The same for programs of a box: a quarter of the kernel's own, so that where many boxes are
/// busy a key is not kept waiting for a full turn of each.
const PROGRAM_TURN: u64 = 700_000;

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
            take_short_turns(PROGRAM_TURN);
        }
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

/// Asks for shorter turns at the processor. Best effort: kernels before 6.12 have one length for
/// all, and take no notice.
pub(super) fn take_short_turns(nanoseconds: u64) {
    // SAFETY: numbers only; then a pointer to attributes of the size they tell.
    unsafe {
        let niceness = libc::getpriority(libc::PRIO_PROCESS, 0);
        // `struct sched_attr` (sched_setattr(2)): its size and the ordinary policy, no flags, the
        // niceness as it is and no priority; then the turn, no deadline and no period.
        let attributes: [u64; 6] =
            [u64::from(ATTRIBUTES), 0, u64::from(niceness.cast_unsigned()), nanoseconds, 0, 0];
        libc::syscall(libc::SYS_sched_setattr, 0, attributes.as_ptr(), 0);
    }
}

/// Best effort: without it the kernel chooses as it likes.
fn become_expendable() {
    let flags = OFlags::WRONLY | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = rustix::io::write(&file, EXPENDABLE);
    }
}
