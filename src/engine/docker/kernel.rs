//! What the kernel says about a box, read from the host's side of its first process.

use std::path::Path;

use super::plan::SHIM;
use crate::engine::BoxRecord;
use crate::model::failure::{Failure, FailureKind};

/// The capabilities of a container's root under Docker's defaults, as the kernel numbers them.
pub(super) const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;

/// The start time of a process in clock ticks since boot (`proc(5)`, stat, field 22).
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything, parentheses included.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
}

/// Whether a process has ended, and at most waits to be reaped (`proc(5)`, stat, field 3).
pub(super) fn has_ended(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, fields)| fields.starts_with(['Z', 'X']))
}

/// The threads of a shim besides its first (`proc(5)`, stat, fields 2 and 20); none of anything else
/// that is a box's first process.
pub(super) fn helpers(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let Some((name, fields)) = stat.rsplit_once(") ") else { return 0 };
    let threads = fields.split(' ').nth(17).and_then(|count| count.parse().ok());
    let is_shim = name.ends_with(&format!("({}", SHIM.trim_start_matches('/')));
    threads.filter(|_| is_shim).map_or(0, |threads: u64| threads.saturating_sub(1))
}

/// The boot that process ids belong to.
pub(super) fn boot_id() -> String {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    text.map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Whether the recorded first process is still the one that runs under its number.
pub(super) fn is_alive(record: &BoxRecord) -> bool {
    record.boot == boot_id() && start_time(record.init_pid) == Some(record.init_start)
}

/// Whether a process is the box's first, or stands beside it under the supervisor that the engine
/// started for this one box: a runtime that emulates a kernel serves files, and with them sockets,
/// from a process of its own.
pub(super) fn serves(record: &BoxRecord, peer: u32) -> bool {
    let beside = || parent(peer).filter(|&parent| parent > 1) == parent(record.init_pid);
    peer == record.init_pid || beside()
}

/// The parent of a process (`proc(5)`, stat, field 4).
fn parent(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Refuses a first process with more rights than a container's root has under Docker's defaults,
/// as `proc(5)`, status, has them.
pub(super) fn require_rights(pid: u32) -> Result<(), Failure> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find(|line| line.split(':').next() == Some(name));
        line.and_then(|line| line.split_once(':')).map(|pair| pair.1.trim().to_owned())
    };
    let bounding = field("CapBnd").and_then(|mask| u64::from_str_radix(&mask, 16).ok());
    let bounded = bounding.is_some_and(|mask| mask & !DEFAULT_CAPABILITIES == 0);
    let settled = field("NoNewPrivs").as_deref() == Some("1");
    let filtered = field("Seccomp").as_deref() == Some("2");
    if bounded && settled && filtered {
        return Ok(());
    }
    let message = format!(
        "the box's first process has other rights than planned: CapBnd {}, NoNewPrivs {settled}, \
         system call filter {filtered}",
        field("CapBnd").unwrap_or_default()
    );
    Err(Failure::new(FailureKind::Refused, message)
        .hint("look for defaults in the engine's configuration"))
}

/// Whether `target` is an id-mapped mount in the mount table of a process (`proc(5)`, mountinfo).
pub(super) fn is_mapped(pid: u32, target: &Path) -> bool {
    let Ok(table) = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")) else {
        return false;
    };
    let wanted = escaped(target);
    // A later line covers an earlier one at the same place.
    let line = table.lines().rev().find(|line| line.split(' ').nth(4) == Some(&wanted));
    let options = line.and_then(|line| line.split(' ').nth(5)).unwrap_or_default();
    options.split(',').any(|option| option == "idmapped")
}

/// A path as the kernel writes it into mount tables.
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        match c {
            ' ' => text.push_str("\\040"),
            '\t' => text.push_str("\\011"),
            '\n' => text.push_str("\\012"),
            '\\' => text.push_str("\\134"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_record() -> BoxRecord {
        let own = std::process::id();
        BoxRecord {
            environment: crate::model::id::EnvironmentId::from_random([7; 8]),
            init_pid: own,
            init_start: start_time(own).expect("our own start time"),
            container: None,
            boot: boot_id(),
            endpoint: None,
            run: "/nowhere".into(),
        }
    }

    #[test]
    fn a_box_is_served_by_its_first_process_and_those_beside_it() {
        let start = || {
            let mut sleep = std::process::Command::new("sleep");
            sleep.arg("60").spawn().expect("started")
        };
        let (mut first, mut beside) = (start(), start());
        let record = BoxRecord { init_pid: first.id(), ..own_record() };
        let seen = [first.id(), beside.id(), std::process::id(), 1].map(|pid| serves(&record, pid));
        for child in [&mut first, &mut beside] {
            child.kill().expect("killed");
            child.wait().expect("reaped");
        }
        assert_eq!(seen, [true, true, false, false]);
    }

    #[test]
    fn a_process_is_named_by_its_number_and_its_start() {
        let record = own_record();
        assert!(is_alive(&record));
        assert!(!is_alive(&BoxRecord { init_start: record.init_start + 1, ..record.clone() }));
        assert!(!is_alive(&BoxRecord { boot: "another".into(), ..record }));
    }
}
