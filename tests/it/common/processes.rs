//! Processes as the kernel has them, looked at from outside.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, PidfdFlags, Signal};

/// Every process id there is.
pub fn all() -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").expect("listed").flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Whether a process is there and does not only wait to be reaped.
pub fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

pub fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
}

/// Its words, with spaces between them.
pub fn command(pid: u32) -> String {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&line).replace('\0', " ").trim().to_owned()
}

/// What other processes than this one have open below a directory.
pub fn holding(directory: &Path) -> Vec<(u32, PathBuf)> {
    let mut found = Vec::new();
    for pid in all().into_iter().filter(|pid| *pid != std::process::id()) {
        let open = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let places = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
        found.extend(places.filter(|place| place.starts_with(directory)).map(|place| (pid, place)));
    }
    found
}

/// Whether a process shows, names or has as its own anything below a directory, whose path is like
/// no other: boxes by what is mounted in them, others by their words and variables.
pub fn belongs_to(pid: u32, directory: &Path) -> bool {
    let name = directory.as_os_str().as_bytes();
    let own = std::fs::read_link("/proc/self/ns/mnt").ok();
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let holds = |text: &[u8]| text.windows(name.len()).any(|part| part == name);
    let elsewhere =
        std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|it| Some(it) != own);
    // A box that is just being made still has all mounts of the host, and so those that other tests
    // have in directories of theirs: what counts is a mount from there to somewhere else.
    let shows = |line: &[u8]| {
        let place = line.split(|byte| *byte == b' ').nth(4).unwrap_or_default();
        holds(line) && !holds(place)
    };
    elsewhere && read("mountinfo").split(|byte| *byte == b'\n').any(shows)
        || holds(&read("cmdline"))
        || holds(&read("environ"))
}

/// Ends a process that is still one of a directory's.
pub fn end(pid: u32, directory: &Path) {
    let number = Pid::from_raw(pid as i32).expect("not zero");
    let Ok(handle) = rustix::process::pidfd_open(number, PidfdFlags::empty()) else { return };
    // Looked at after opening: what the handle means can no longer change.
    if belongs_to(pid, directory) {
        let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
    }
}

pub fn signal(pid: u32, signal: Signal) {
    let number = Pid::from_raw(pid as i32).expect("not zero");
    rustix::process::kill_process(number, signal).expect("signalled");
}
