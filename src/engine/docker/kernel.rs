//! What the kernel says about a box, read from the host's side of its first process.

use std::path::Path;

use crate::engine::BoxRecord;

/// The start time of a process in clock ticks since boot (`proc(5)`, stat, field 22).
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name in parentheses that may hold anything, parentheses included.
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(19)?.parse().ok()
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

    #[test]
    fn a_process_is_named_by_its_number_and_its_start() {
        let own = std::process::id();
        let record = BoxRecord {
            environment: crate::model::id::EnvironmentId::from_random([7; 8]),
            init_pid: own,
            init_start: start_time(own).expect("our own start time"),
            container: None,
            boot: boot_id(),
            endpoint: None,
            run: "/nowhere".into(),
        };
        assert!(is_alive(&record));
        assert!(!is_alive(&BoxRecord { init_start: record.init_start + 1, ..record.clone() }));
        assert!(!is_alive(&BoxRecord { boot: "another".into(), ..record }));
    }
}
