//! Disks, clock and terminal.

use std::path::Path;

use super::finding::Finding;
use crate::model::policy::show_bytes;

/// Less room than this does not hold a handful of environments.
const LITTLE: u64 = 5 << 30;
/// Less than this and snapshots will fail soon.
const NEARLY_NONE: u64 = 512 << 20;
/// A checkout of a large repository takes tens of thousands.
const FEW_INODES: u64 = 100_000;

/// File systems on which a state directory has trouble (linux/magic.h), and which.
const TROUBLE: [(u64, &str, &str); 7] = [
    (0x6969, "NFS", "locks and sockets are not sure there"),
    (0x517b, "SMB", "locks and sockets are not sure there"),
    (0xff53_4d42, "CIFS", "locks and sockets are not sure there"),
    (0xfe53_4d42, "SMB", "locks and sockets are not sure there"),
    (0x6573_5546, "FUSE", "native boxes may not lay their layers there"),
    (0x794c_7630, "overlay", "native boxes cannot lay their layers there"),
    (0x0102_1994, "tmpfs", "a restart of the machine forgets it"),
];

/// What is known of a disk.
struct Disk {
    free: u64,
    /// `None` where a file system makes them as they are needed.
    inodes: Option<u64>,
    kind: u64,
}

/// Judges the disk that holds `path`.
pub(super) fn disk(name: &str, path: &Path, moves: &str) -> Vec<Finding> {
    let (Ok(room), Ok(system)) = (rustix::fs::statvfs(path), rustix::fs::statfs(path)) else {
        // What another user's directory holds is not for this one to see.
        return Vec::new();
    };
    let disk = Disk {
        free: room.f_bavail * room.f_frsize,
        inodes: (room.f_files > 0).then_some(room.f_favail),
        kind: system.f_type as u64,
    };
    judge(name, path, &disk, moves)
}

fn judge(name: &str, path: &Path, disk: &Disk, moves: &str) -> Vec<Finding> {
    const AREA: &str = "disk";
    let place = path.display();
    let files = disk.inodes.map_or(String::new(), |count| format!(" and {count} files"));
    let found = format!("room for {}{files} at {place}", show_bytes(disk.free));
    let short = disk.free < LITTLE || disk.inodes.is_some_and(|count| count < FEW_INODES);
    let remedy = format!("make room, or {moves}");
    let room = if disk.free < NEARLY_NONE || disk.inodes == Some(0) {
        Finding::problem(AREA, name, found).remedy(remedy)
    } else if short {
        Finding::attention(AREA, name, found).remedy(remedy)
    } else {
        Finding::ok(AREA, name, found)
    };
    let trouble = TROUBLE.iter().find(|(kind, ..)| *kind == disk.kind);
    let system = trouble.map(|(_, kind, why)| {
        let name = format!("{name}'s file system");
        Finding::attention(AREA, &name, format!("{kind} at {place}: {why}"))
            .remedy(moves.to_owned())
    });
    std::iter::once(room).chain(system).collect()
}

/// Whether the clock is right as far as the kernel knows.
pub(super) fn clock() -> Finding {
    /// Snapshots are named by time; this program is not older.
    const OLDEST: i64 = 1_735_689_600;
    let name = "clock";
    // SAFETY: zeroes are a valid value of this plain structure, and ask for nothing to be changed.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the structure lives through the call.
    let answer = unsafe { libc::adjtimex(&raw mut state) };
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
    if now < OLDEST {
        return Finding::problem("machine", name, "it is years behind")
            .remedy("sudo timedatectl set-ntp true, or set it with date -s");
    }
    if answer < 0 || answer == libc::TIME_ERROR {
        return Finding::attention("machine", name, "nothing keeps it in time")
            .remedy("sudo timedatectl set-ntp true");
    }
    Finding::ok("machine", name, "kept in time")
}

/// Whether this terminal can show the deck.
pub(super) fn terminal(variable: impl Fn(&str) -> Option<String>) -> Finding {
    let name = "terminal";
    let kind = variable("TERM").filter(|kind| !kind.is_empty());
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| variable(name).filter(|value| !value.is_empty()));
    let wide = locale.as_ref().is_some_and(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    let Some(kind) = kind.filter(|kind| kind != "dumb") else {
        return Finding::attention("machine", name, "TERM names none that can show the deck")
            .remedy("open the deck in a terminal, or export TERM=xterm-256color");
    };
    let inside = if variable("TMUX").is_some() { ", in tmux" } else { "" };
    if !wide {
        let locale = locale.unwrap_or_else(|| "unset".to_owned());
        let found = format!("{kind}{inside}; the locale is {locale}: frames may look broken");
        return Finding::attention("machine", name, found).remedy("export LANG=C.UTF-8");
    }
    Finding::ok("machine", name, format!("{kind}{inside}, UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_room_files_and_kind() {
        const EXT: u64 = 0xef53;
        let verdicts = |free, inodes, kind| {
            let disk = Disk { free, inodes, kind };
            let findings = judge("state", Path::new("/state"), &disk, "set AGENTDECK_HOME");
            findings.iter().map(|finding| finding.verdict).collect::<Vec<_>>()
        };
        assert_eq!(verdicts(100 << 30, Some(1 << 20), EXT), [Verdict::Ok]);
        assert_eq!(verdicts(100 << 30, None, EXT), [Verdict::Ok], "btrfs makes them as needed");
        assert_eq!(verdicts(1 << 30, Some(1 << 20), EXT), [Verdict::Attention]);
        assert_eq!(verdicts(100 << 30, Some(9), EXT), [Verdict::Attention]);
        assert_eq!(verdicts(1 << 20, Some(1 << 20), EXT), [Verdict::Problem]);
        assert_eq!(verdicts(100 << 30, Some(0), EXT), [Verdict::Problem]);
        for (kind, ..) in TROUBLE {
            assert_eq!(verdicts(100 << 30, None, kind), [Verdict::Ok, Verdict::Attention]);
        }
    }

    #[test]
    fn a_terminal_is_judged_by_what_it_says_of_itself() {
        let judge = |pairs: &[(&str, &str)]| {
            let value =
                |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.to_owned());
            terminal(value).verdict
        };
        assert_eq!(judge(&[("TERM", "xterm"), ("LANG", "en_GB.UTF-8")]), Verdict::Ok);
        assert_eq!(judge(&[("TERM", "xterm"), ("LANG", "C")]), Verdict::Attention);
        assert_eq!(judge(&[("TERM", "dumb"), ("LANG", "C.utf8")]), Verdict::Attention);
        assert_eq!(judge(&[]), Verdict::Attention);
    }
}
