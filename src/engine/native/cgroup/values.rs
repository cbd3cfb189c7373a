//! The files of one group: bounds written, numbers read. Each is a line or a list of named numbers.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use super::{Controller, Version};

/// What the processor quota is a part of, in microseconds: the kernel's own default.
const PERIOD: u64 = 100_000;

/// Least quota the kernel takes, in microseconds.
const LEAST_QUOTA: u64 = 1_000;

/// How much a box weighs where processors are short: an eighth of a process of the host's, in
/// each version's measure. Each box is weighed against the server and the screen by itself, so
/// that a quiet one does not wait for what busy ones owe.
const SHARES: &str = "128";
const WEIGHT: &str = "12";

/// Writes to a file of a group; one that the kernel does not have is not made.
pub(super) fn set(group: &Path, file: &str, value: &str) -> io::Result<()> {
    OpenOptions::new().write(true).open(group.join(file))?.write_all(value.as_bytes())
}

/// The same, fine where this kernel has no such file.
fn set_if_there(group: &Path, file: &str, value: &str) -> io::Result<()> {
    match set(group, file, value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

pub(super) fn limit_processes(group: &Path, bound: u64) -> io::Result<()> {
    set(group, "pids.max", &bound.to_string())
}

/// Bounds memory, and swap to nothing beyond it.
pub(super) fn limit_memory(group: &Path, version: Version, bytes: u64) -> io::Result<()> {
    let value = bytes.to_string();
    if version == Version::Two {
        set_if_there(group, "memory.swap.max", "0")?;
        return set(group, "memory.max", &value);
    }
    let memory = || set(group, "memory.limit_in_bytes", &value);
    // The sum with swap; kernels that were told not to count it have no such file.
    let both = || match set(group, "memory.memsw.limit_in_bytes", &value) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            set(group, "memory.swappiness", "0")
        }
        result => result,
    };
    // At no time may the first be above the second, so raising goes the other way round.
    match memory() {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
            both()?;
            memory()
        }
        result => result.and_then(|()| both()),
    }
}

/// Bounds processor time to thousandths of one processor.
pub(super) fn limit_cpu(group: &Path, version: Version, millis: u32) -> io::Result<()> {
    let quota = (u64::from(millis) * PERIOD / 1000).max(LEAST_QUOTA);
    match version {
        Version::Two => set(group, "cpu.max", &format!("{quota} {PERIOD}")),
        Version::One => {
            set(group, "cpu.cfs_period_us", &PERIOD.to_string())?;
            set(group, "cpu.cfs_quota_us", &quota.to_string())
        }
    }
}

/// Gives the box its weight where processors are short.
pub(super) fn weigh(group: &Path, version: Version) -> io::Result<()> {
    match version {
        Version::Two => set_if_there(group, "cpu.weight", WEIGHT),
        Version::One => set_if_there(group, "cpu.shares", SHARES),
    }
}

/// Processor time of everything that ever ran in the group.
pub(super) fn cpu(group: &Path, version: Version, controllers: &[Controller]) -> Option<Duration> {
    match version {
        Version::Two => field(group, "cpu.stat", "usage_usec").map(Duration::from_micros),
        Version::One if controllers.contains(&Controller::Cpuacct) => {
            number(group, "cpuacct.usage").map(Duration::from_nanos)
        }
        Version::One => None,
    }
}

/// Memory in use, without file contents that the kernel can drop at any time.
pub(super) fn memory(group: &Path, version: Version) -> Option<u64> {
    let (used, droppable) = match version {
        Version::Two => ("memory.current", "inactive_file"),
        Version::One => ("memory.usage_in_bytes", "total_inactive_file"),
    };
    let droppable = field(group, "memory.stat", droppable).unwrap_or_default();
    Some(number(group, used)?.saturating_sub(droppable))
}

pub(super) fn processes(group: &Path) -> Option<u32> {
    u32::try_from(number(group, "pids.current")?).ok()
}

/// How often a process was killed because the memory was used up.
pub(super) fn memory_kills(group: &Path, version: Version) -> Option<u64> {
    let file = match version {
        Version::Two => "memory.events",
        Version::One => "memory.oom_control",
    };
    field(group, file, "oom_kill")
}

/// Asks for every process in the group to be held, or let go.
pub(super) fn freeze(group: &Path, version: Version, held: bool) -> io::Result<()> {
    match (version, held) {
        (Version::Two, true) => set(group, "cgroup.freeze", "1"),
        (Version::Two, false) => set(group, "cgroup.freeze", "0"),
        (Version::One, true) => set(group, "freezer.state", "FROZEN"),
        (Version::One, false) => set(group, "freezer.state", "THAWED"),
    }
}

/// Whether every process in the group is held, as the kernel has it.
pub(super) fn is_frozen(group: &Path, version: Version) -> bool {
    match version {
        Version::Two => field(group, "cgroup.events", "frozen") == Some(1),
        Version::One => read(group, "freezer.state").is_some_and(|state| state == "FROZEN\n"),
    }
}

/// The processes of the group itself, as this process numbers them.
pub(super) fn members(group: &Path) -> Vec<u32> {
    let text = read(group, "cgroup.procs").unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

fn read(group: &Path, file: &str) -> Option<String> {
    std::fs::read_to_string(group.join(file)).ok()
}

fn number(group: &Path, file: &str) -> Option<u64> {
    read(group, file)?.trim().parse().ok()
}

fn field(group: &Path, file: &str, name: &str) -> Option<u64> {
    let text = read(group, file)?;
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().expect("a directory");
        for (name, content) in files {
            std::fs::write(directory.path().join(name), content).expect("written");
        }
        directory
    }

    fn content(group: &tempfile::TempDir, name: &str) -> String {
        std::fs::read_to_string(group.path().join(name)).expect("read")
    }

    #[test]
    fn numbers_are_read_in_both_versions() {
        let two = group(&[
            ("cpu.stat", "usage_usec 2500\nuser_usec 1\n"),
            ("memory.current", "9000\n"),
            ("memory.stat", "anon 5\ninactive_file 1000\n"),
            ("memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n"),
            ("pids.current", "7\n"),
            ("cgroup.events", "populated 1\nfrozen 1\n"),
        ]);
        let two = two.path();
        assert_eq!(cpu(two, Version::Two, &[]), Some(Duration::from_micros(2500)));
        assert_eq!(memory(two, Version::Two), Some(8000));
        assert_eq!(memory_kills(two, Version::Two), Some(2));
        assert_eq!(processes(two), Some(7));
        assert!(is_frozen(two, Version::Two));
        let one = group(&[
            ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"),
            ("freezer.state", "FREEZING\n"),
        ]);
        assert_eq!(memory_kills(one.path(), Version::One), Some(1));
        assert!(!is_frozen(one.path(), Version::One));
    }

    #[test]
    fn swap_is_bounded_with_memory() {
        let two = group(&[("memory.max", ""), ("memory.swap.max", "")]);
        limit_memory(two.path(), Version::Two, 5).expect("bounded");
        assert_eq!(
            (content(&two, "memory.max"), content(&two, "memory.swap.max")),
            ("5".into(), "0".into())
        );
        let one = group(&[("memory.limit_in_bytes", ""), ("memory.swappiness", "")]);
        limit_memory(one.path(), Version::One, 5).expect("bounded");
        assert_eq!(
            content(&one, "memory.swappiness"),
            "0",
            "without a count of swap, none is used"
        );
    }

    #[test]
    fn a_box_weighs_less_than_a_process_in_both_versions() {
        let two = group(&[("cpu.weight", "")]);
        weigh(two.path(), Version::Two).expect("weighed");
        assert_eq!(content(&two, "cpu.weight"), "12", "of 100");
        let one = group(&[("cpu.shares", "")]);
        weigh(one.path(), Version::One).expect("weighed");
        assert_eq!(content(&one, "cpu.shares"), "128", "of 1024");
        weigh(group(&[]).path(), Version::Two).expect("fine in a kernel without weights");
    }

    #[test]
    fn a_part_of_a_processor_is_a_quota_of_its_period() {
        let two = group(&[("cpu.max", "")]);
        limit_cpu(two.path(), Version::Two, 1500).expect("bounded");
        assert_eq!(content(&two, "cpu.max"), "150000 100000");
        assert!(limit_cpu(two.path(), Version::One, 1500).is_err(), "nothing is made up");
    }
}
