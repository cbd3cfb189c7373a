//! Processes of the host: seeing them, reading what they have, signals and tracing.

use std::io::{self, Read};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};

use super::files::holds;
use super::{Prey, Try};

/// Bytes of a process's variables that are searched.
const MAX_READ: u64 = 1 << 20;
/// Bytes of another's memory that are read.
const MEMORY: usize = 64;

/// Runs a few system calls in a child and returns what they found. The child ends without running
/// anything of this process's own.
pub(super) fn in_child(work: impl FnOnce() -> Vec<u8>) -> io::Result<Vec<u8>> {
    let mut ends = [0; 2];
    // SAFETY: this process has one thread, so that a child of it may do what it may.
    let child = unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::fork()
    };
    match child {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let found = work();
            // SAFETY: the buffer lives through the call; nothing is left to do afterwards.
            unsafe {
                libc::write(ends[1], found.as_ptr().cast(), found.len());
                libc::_exit(0)
            }
        }
        child => {
            // SAFETY: both descriptors were just made and belong to nobody else.
            let mut reader = unsafe {
                libc::close(ends[1]);
                std::fs::File::from_raw_fd(ends[0])
            };
            let mut found = Vec::new();
            let read = reader.read_to_end(&mut found);
            // SAFETY: only the child's end is waited for.
            unsafe { libc::waitpid(child, std::ptr::null_mut(), 0) };
            read.map(|_| found)
        }
    }
}

pub(super) fn search(path: &Path, secret: &str) -> Vec<Try> {
    let mut tries = Vec::new();
    let inside = path.strip_prefix("/").unwrap_or(path);
    let (mut seen, mut found) = (0, Vec::new());
    for process in processes() {
        seen += 1;
        for name in ["environ", "cmdline"] {
            if holds(&beginning(&process.join(name)), secret) {
                found.push(format!("{}/{name}", process.display()));
            }
        }
        for name in ["root", "cwd"] {
            let up = if name == "cwd" { "../".repeat(40) } else { String::new() };
            if holds(&beginning(&process.join(name).join(up).join(inside)), secret) {
                found.push(format!("{}/{name}", process.display()));
            }
        }
    }
    let what = format!("{seen} processes");
    tries.push(match found.first() {
        Some(first) => Try::reached(what, format!("{first} and {} more", found.len() - 1)),
        None => Try::refused(what, "nothing of the host's in them"),
    });
    tries
}

fn processes() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.bytes().all(|byte| byte.is_ascii_digit()) && *name != std::process::id().to_string()
    };
    entries.map(|entry| entry.path()).filter(is_process).collect()
}

fn beginning(path: &Path) -> Vec<u8> {
    let mut text = Vec::new();
    // A pipe or a device would hold the reader up; these are files.
    if path.metadata().is_ok_and(|found| found.is_file()) {
        let _ = std::fs::File::open(path).map(|file| file.take(MAX_READ).read_to_end(&mut text));
    }
    text
}

/// A window change: what gets it by mistake ignores it.
pub(super) fn signal(prey: Prey) -> Vec<Try> {
    let pid = prey.pid;
    // SAFETY: calls on numbers only.
    let results = unsafe {
        let handle = libc::syscall(libc::SYS_pidfd_open, pid, 0);
        [
            ("kill", libc::c_long::from(libc::kill(pid, libc::SIGWINCH))),
            ("tgkill", libc::syscall(libc::SYS_tgkill, pid, pid, libc::SIGWINCH)),
            (
                "pidfd_send_signal",
                libc::syscall(libc::SYS_pidfd_send_signal, handle, libc::SIGWINCH, 0, 0),
            ),
        ]
    };
    // The process itself says what came through: a box may have one of the same number.
    results
        .map(|(what, result)| {
            Try::refused(
                what,
                if result == 0 { "sent, to whom the host tells" } else { "not sent" },
            )
        })
        .to_vec()
}

pub(super) fn trace(prey: Prey, secret: &str) -> Vec<Try> {
    vec![read_memory(prey, secret), read_file(prey, secret), seize(prey, secret)]
}

fn read_memory(prey: Prey, secret: &str) -> Try {
    let mut text = [0u8; MEMORY];
    let local = libc::iovec { iov_base: text.as_mut_ptr().cast(), iov_len: MEMORY };
    let remote = libc::iovec { iov_base: prey.address as *mut libc::c_void, iov_len: secret.len() };
    // SAFETY: `local` describes `text`; what `remote` names is in another process.
    let count =
        unsafe { libc::process_vm_readv(prey.pid, &raw const local, 1, &raw const remote, 1, 0) };
    told("process_vm_readv", count > 0 && holds(&text, secret))
}

fn read_file(prey: Prey, secret: &str) -> Try {
    use std::os::unix::fs::FileExt;
    let mut text = [0u8; MEMORY];
    let read = std::fs::File::open(format!("/proc/{}/mem", prey.pid))
        .and_then(|file| file.read_at(&mut text[..secret.len().min(MEMORY)], prey.address));
    told("/proc/PID/mem", read.is_ok() && holds(&text, secret))
}

/// Traces without stopping, reads one word, and lets go.
fn seize(prey: Prey, secret: &str) -> Try {
    let nothing = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: numbers only; nothing of this process is written to.
    let seized = unsafe {
        let seized = libc::ptrace(libc::PTRACE_SEIZE, prey.pid, nothing, nothing) == 0;
        if seized {
            libc::ptrace(libc::PTRACE_INTERRUPT, prey.pid, nothing, nothing);
            libc::waitpid(prey.pid, std::ptr::null_mut(), libc::__WALL);
            *libc::__errno_location() = 0;
            let word =
                libc::ptrace(libc::PTRACE_PEEKDATA, prey.pid, prey.address as *mut (), nothing);
            libc::ptrace(libc::PTRACE_DETACH, prey.pid, nothing, nothing);
            word.to_ne_bytes() == secret.as_bytes()[..8]
        } else {
            false
        }
    };
    told("ptrace", seized)
}

fn told(what: &str, reached: bool) -> Try {
    if reached {
        Try::reached(what, "its memory was read")
    } else {
        Try::refused(what, "not reached")
    }
}
