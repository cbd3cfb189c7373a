//! Floods of what a machine has little of. Each ends at a bound that a host without a box bears.

use std::ffi::c_long;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use super::processes::in_child;
use super::{Try, tell};

/// Memory taken at once.
const STEP: usize = 1 << 20;
const PAGE: usize = 4096;
/// Written to a file at once.
const CHUNK: usize = 1 << 20;
/// Instances that a control allows itself, in a user namespace of its own.
const OWN_QUOTA: u32 = 16;
/// Files that a churn has at a time.
const FILES: u32 = 200;

/// Starts children that wait, then ends them all.
pub(super) fn forks(count: u32) -> Vec<Try> {
    let mut children = Vec::new();
    let mut stopped = None;
    for _ in 0..count {
        // SAFETY: the child waits for its end and nothing else; it goes with its parent.
        let child = unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                libc::pause();
                libc::_exit(0);
            }
            child
        };
        if child < 0 {
            stopped = Some(io::Error::last_os_error());
            break;
        }
        children.push(child);
    }
    let got = children.len();
    for child in children {
        // SAFETY: children of this process that nobody has waited for.
        unsafe {
            libc::kill(child, libc::SIGKILL);
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
    vec![counted(&format!("{count} processes"), got, stopped)]
}

/// Fills memory in a child, so that this process can tell of its end.
pub(super) fn memory(bytes: u64) -> Vec<Try> {
    let what = format!("{} MiB", bytes >> 20);
    let filled = in_child(|| {
        let mut held: Vec<Vec<u8>> = Vec::new();
        for _ in 0..bytes as usize / STEP {
            let mut step = Vec::new();
            if step.try_reserve_exact(STEP).is_err() {
                return vec![0];
            }
            step.resize(STEP, 0u8);
            step.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
            held.push(std::hint::black_box(step));
        }
        vec![1]
    });
    vec![match filled.as_deref() {
        Ok([1]) => Try::reached(what, "all of it"),
        Ok([0]) => Try::refused(what, "no more was given"),
        Ok(_) => Try::refused(what, "ended by the kernel"),
        Err(error) => Try::refused(what, error.to_string()),
    }]
}

pub(super) fn descriptors(count: u32) -> Vec<Try> {
    let resource = rustix::process::Resource::Nofile;
    let limit = rustix::process::getrlimit(resource);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    let _ = rustix::process::setrlimit(resource, raised);
    let mut held = Vec::new();
    let mut stopped = None;
    for _ in 0..count {
        match std::fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => {
                stopped = Some(error);
                break;
            }
        }
    }
    vec![counted(&format!("{count} descriptors"), held.len(), stopped)]
}

/// Holds the instances for a while after telling, so that the host can look whether it still gets
/// some. The control has a small quota of its own to use up, and looks itself.
pub(super) fn watchers(count: u32, hold_seconds: u32, outside: bool) -> Vec<Try> {
    let what = "inotify instances";
    if outside {
        if let Err(error) = own_quota() {
            return vec![Try::absent(what, error.to_string())];
        }
        let held = instances(OWN_QUOTA * 2);
        return vec![match in_child(|| vec![u8::from(instances(1).is_empty())]).as_deref() {
            Ok([1]) => Try::reached(what, format!("{} used up a user's share", held.len())),
            _ => Try::refused(what, "the share could not be used up"),
        }];
    }
    let held = instances(count);
    tell(&[Try::refused(what, format!("{} made and held, for the host to look at", held.len()))]);
    std::thread::sleep(Duration::from_secs(hold_seconds.into()));
    Vec::new()
}

fn instances(count: u32) -> Vec<c_long> {
    let make = |_| {
        // SAFETY: numbers only; the descriptor ends with this process.
        let made = c_long::from(unsafe { libc::inotify_init1(libc::IN_CLOEXEC) });
        (made >= 0).then_some(made)
    };
    (0..count).map_while(make).collect()
}

fn own_quota() -> io::Result<()> {
    // SAFETY: this process has one thread.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER) } != 0 {
        return Err(io::Error::last_os_error());
    }
    std::fs::write("/proc/sys/user/max_inotify_instances", OWN_QUOTA.to_string())
}

/// Writes random-looking bytes, which no file system folds, and keeps the file.
pub(super) fn fill(path: &Path, bytes: u64, pace_ms: u64) -> Vec<Try> {
    let what = format!("{} MiB in {}", bytes >> 20, path.display());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut chunk = vec![0u8; CHUNK];
    for word in chunk.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_ne_bytes());
    }
    let mut write = || {
        let mut file = std::fs::File::create(path)?;
        for number in 0..bytes / CHUNK as u64 {
            chunk[..8].copy_from_slice(&number.to_ne_bytes());
            file.write_all(&chunk)?;
            std::thread::sleep(Duration::from_millis(pace_ms));
        }
        file.sync_all()
    };
    vec![match write() {
        Ok(()) => Try::reached(what, "all of it"),
        Err(error) => Try::refused(what, error.to_string()),
    }]
}

/// Keeps whoever watches this directory busy.
pub(super) fn churn(seconds: u32) -> Vec<Try> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut number = 0u64;
    while Instant::now() < end {
        let name = format!("churn-{}", number % u64::from(FILES));
        let moved = format!("{name}-moved");
        let _ = std::fs::write(&name, number.to_string());
        let _ = std::fs::rename(&name, &moved);
        if number.is_multiple_of(2) {
            let _ = std::fs::remove_file(&moved);
        }
        number += 1;
    }
    vec![Try::reached("changes of files", number.to_string())]
}

/// What came of the last time.
pub(super) fn repeat(seconds: u32, attack: impl Fn() -> Vec<Try>) -> Vec<Try> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut last = Vec::new();
    while Instant::now() < end {
        last = attack();
    }
    last
}

pub(super) fn print(bytes: u64) -> Vec<Try> {
    let chunk = b"0123456789abcdefghijklmnopqrstuvwxyz\n".repeat(1024);
    let mut output = io::stdout().lock();
    for _ in 0..bytes / chunk.len() as u64 {
        if output.write_all(&chunk).is_err() {
            break;
        }
    }
    Vec::new()
}

/// What a reader does that takes all it is given.
pub(super) fn keep(bytes: u64) -> Vec<Try> {
    let what = format!("{} MiB", bytes >> 20);
    vec![match in_child(|| vec![b'x'; bytes as usize]) {
        Ok(kept) if kept.len() as u64 == bytes => Try::reached(what, "kept by its reader"),
        Ok(_) => Try::refused(what, "not all of it came"),
        Err(error) => Try::refused(what, error.to_string()),
    }]
}

pub(super) fn hog(programs: u32, seconds: u32) -> Vec<Try> {
    let end = Instant::now() + Duration::from_secs(seconds.into());
    let mut children = Vec::new();
    for _ in 0..programs {
        // SAFETY: the child counts until its time is over and ends.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let mut turns = 0u64;
            while Instant::now() < end {
                turns = std::hint::black_box(turns + 1);
            }
            // SAFETY: nothing of the parent is left to be done.
            unsafe { libc::_exit(0) }
        }
        children.push(child);
    }
    let mut used = 0;
    for child in children.into_iter().filter(|child| *child > 0) {
        // SAFETY: a child of this process, and room for what the kernel tells of it.
        unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::wait4(child, std::ptr::null_mut(), 0, &raw mut usage);
            for time in [usage.ru_utime, usage.ru_stime] {
                used += time.tv_sec * 1_000_000 + time.tv_usec;
            }
        }
    }
    vec![Try::refused(used.to_string(), "microseconds of processors")]
}

/// Success is a machine that is short of something.
pub(super) fn health(limited: bool, processes: u32) -> Vec<Try> {
    if limited {
        let few = rustix::process::Rlimit { current: Some(8), maximum: Some(8) };
        let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, few);
    }
    let held: Vec<_> =
        (0..processes).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
    let got = held.len();
    drop(held);
    let forked = match forks(processes).pop() {
        Some(Try { got: super::Got::Reached(_), what }) => Try::refused(what, "to be had"),
        Some(Try { what, got }) => Try::reached(what, format!("{got:?}")),
        None => Try::absent("processes", "not tried"),
    };
    let what = format!("{processes} open files");
    let opened = if got == processes as usize {
        Try::refused(what, "to be had")
    } else {
        Try::reached(what, format!("{got} only"))
    };
    vec![forked, opened]
}

fn counted(what: &str, got: usize, stopped: Option<io::Error>) -> Try {
    match stopped {
        None => Try::reached(what, "all of them"),
        Some(error) => Try::refused(what, format!("{got}, then {error}")),
    }
}
