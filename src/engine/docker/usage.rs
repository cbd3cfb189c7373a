//! What boxes use, read from the kernel's files; a hundred times cheaper than asking the engine.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kernel;
use crate::engine::BoxRecord;
use crate::model::policy::Usage;

/// Where control groups are mounted on every distribution.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// What each box uses; `None` for one that does not run, or whose files are not to be seen here.
/// Blocking.
pub(super) fn read(records: &[BoxRecord]) -> Vec<Option<Usage>> {
    records.iter().map(|record| of(record).filter(|_| kernel::is_alive(record))).collect()
}

fn of(record: &BoxRecord) -> Option<Usage> {
    let groups = groups(record.init_pid)?;
    let cpu = if let Some(Group { path, unified: false }) = groups.find("cpuacct") {
        Duration::from_nanos(number(&path.join("cpuacct.usage"))?)
    } else {
        let path = &groups.find("")?.path;
        Duration::from_micros(field(&path.join("cpu.stat"), "usage_usec")?)
    };
    let memory = groups.find("memory")?;
    let (used, droppable) = if memory.unified {
        ("memory.current", "inactive_file")
    } else {
        ("memory.usage_in_bytes", "total_inactive_file")
    };
    // File contents that the kernel drops as soon as it needs the room are not counted.
    let droppable = field(&memory.path.join("memory.stat"), droppable).unwrap_or(0);
    let memory = number(&memory.path.join(used))?.saturating_sub(droppable);
    // Its threads answer for file notices; nobody has started them.
    let own = kernel::helpers(record.init_pid);
    let processes = number(&groups.find("pids")?.path.join("pids.current"))?.saturating_sub(own);
    Some(Usage { cpu, memory, processes: u32::try_from(processes).ok()? })
}

/// How often the kernel ended a process of the box for want of memory; `None` for a box that does
/// not run, or whose files are not to be seen here.
pub(super) fn memory_kills(record: &BoxRecord) -> Option<u64> {
    let memory = groups(record.init_pid)?.find("memory").filter(|_| kernel::is_alive(record))?;
    // Linux 4.13 and later count in both versions.
    let file = if memory.unified { "memory.events" } else { "memory.oom_control" };
    field(&memory.path.join(file), "oom_kill")
}

/// Whether the kernel holds every process of the box.
pub(super) fn is_frozen(pid: u32) -> bool {
    frozen(pid) == Some(true)
}

/// Whether the kernel holds a process; `None` where that cannot be read.
pub(super) fn frozen(pid: u32) -> Option<bool> {
    let Group { path, unified } = groups(pid)?.find("freezer")?;
    if unified {
        return field(&path.join("cgroup.events"), "frozen").map(|frozen| frozen == 1);
    }
    let state = std::fs::read_to_string(path.join("freezer.state")).ok()?;
    Some(state.trim() != "THAWED")
}

/// Has the kernel hold every process of the box, or let it go; only the machine's root may.
pub(super) fn hold(pid: u32, held: bool) -> std::io::Result<()> {
    let group = groups(pid).and_then(|groups| groups.find("freezer"));
    let Group { path, unified } = group.ok_or(std::io::ErrorKind::NotFound)?;
    let (file, word) = match (unified, held) {
        (true, true) => ("cgroup.freeze", "1"),
        (true, false) => ("cgroup.freeze", "0"),
        (false, true) => ("freezer.state", "FROZEN"),
        (false, false) => ("freezer.state", "THAWED"),
    };
    std::fs::write(path.join(file), word)
}

/// A process's place in one hierarchy.
struct Group {
    path: PathBuf,
    /// All controllers are in one hierarchy (version 2).
    unified: bool,
}

/// A process's places, as `/proc/PID/cgroup` has them: `hierarchy:controllers:path` on each line;
/// the unified hierarchy names no controller (`cgroups(7)`).
struct Groups(Vec<(String, String)>);

fn groups(pid: u32) -> Option<Groups> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let parse = |line: &str| {
        let mut parts = line.splitn(3, ':').skip(1);
        Some((parts.next()?.to_owned(), parts.next()?.to_owned()))
    };
    Some(Groups(text.lines().filter_map(parse).collect()))
}

impl Groups {
    /// Where a controller is; the unified hierarchy, named "", has those that no other has.
    fn find(&self, controller: &str) -> Option<Group> {
        let has = |pair: &&(String, String)| pair.0.split(',').any(|name| name == controller);
        let own = self.0.iter().find(has).filter(|_| !controller.is_empty());
        let (controllers, path) = match own {
            Some(found) => found,
            None => self.0.iter().find(|pair| pair.0.is_empty())?,
        };
        let below = path.trim_start_matches('/');
        if below.is_empty() {
            // The group of the whole machine: a runtime may place its boxes in none of their own.
            return None;
        }
        let place = Path::new(CONTROL_GROUPS);
        if controllers.is_empty() {
            let whole = place.join(below);
            // Beside old hierarchies the unified one has a directory of its own.
            let beside = place.join("unified").join(below);
            let path = if beside.exists() { beside } else { whole };
            return Some(Group { path, unified: true });
        }
        let named = [controllers.as_str(), controller].map(|name| place.join(name).join(below));
        let path = named.into_iter().find(|path| path.exists())?;
        Some(Group { path, unified: false })
    }
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The value behind a name, one pair on each line.
fn field(file: &Path, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.find(|pair| pair.0 == name)?.1.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_controller_without_a_hierarchy_of_its_own_is_in_the_unified_one() {
        let groups = Groups(vec![
            ("no-such-controller".to_owned(), "/x".to_owned()),
            (String::new(), "/docker/y".to_owned()),
        ]);
        let found = groups.find("memory").expect("found");
        assert!(found.unified && found.path.ends_with("docker/y"), "{}", found.path.display());
        assert!(groups.find("no-such-controller").is_none(), "named, and nowhere to be seen");
    }

    #[test]
    fn a_process_that_runs_is_not_held() {
        assert!(!is_frozen(std::process::id()));
    }
}
