//! Limits of a process as control groups (`cgroups(7)`) and the process itself have them.

use std::path::{Path, PathBuf};

use super::mounts::Mount;

/// A bound that was read, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) value: u64,
    pub(super) place: String,
}

/// The bounds that hold a process, each the lowest on the way to the root of its hierarchy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bounds {
    /// Bytes.
    pub(super) memory: Option<Bound>,
    /// Thousandths of a processor.
    pub(super) processors: Option<Bound>,
    pub(super) processes: Option<Bound>,
}

/// Limits of one process and what it starts (`getrlimit(2)`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OwnLimits {
    pub(super) processes: Option<u64>,
    pub(super) files: Option<u64>,
    pub(super) address_space: Option<u64>,
}

/// Larger values are how the first version writes that there is no limit: the largest number of
/// whole pages.
const UNLIMITED: u64 = 1 << 62;

/// Reads the bounds of a process from its `/proc/PID/cgroup` and the host's own mounts.
pub(super) fn read(membership: &str, host: &[Mount]) -> Bounds {
    let memory = [("memory", "memory.limit_in_bytes"), ("", "memory.max")];
    let processes = [("pids", "pids.max"), ("", "pids.max")];
    let processors = [("cpu", "cpu.cfs_quota_us"), ("", "cpu.max")];
    let lowest = |files: [(&str, &str); 2], value: fn(&Path) -> Option<u64>| {
        let files = files.iter().filter_map(|(controller, file)| {
            Some((directory(membership, host, controller)?, *file))
        });
        files
            .filter_map(|((group, top), file)| lowest(&group, &top, file, value))
            .min_by_key(|bound| bound.value)
    };
    Bounds {
        memory: lowest(memory, number),
        processors: lowest(processors, share),
        processes: lowest(processes, number),
    }
}

/// The directory of the group that a process is in, and the top of its hierarchy. The unified
/// hierarchy names no controller.
fn directory(membership: &str, host: &[Mount], controller: &str) -> Option<(PathBuf, PathBuf)> {
    let mount = host.iter().find(|mount| match controller {
        "" => mount.kind == "cgroup2",
        _ => mount.kind == "cgroup" && mount.system.split(',').any(|option| option == controller),
    })?;
    let path = membership.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        controllers.split(',').any(|name| name == controller).then_some(path)
    })?;
    let below = Path::new(path).strip_prefix(&mount.root).ok()?;
    // A path that leads upwards belongs to a hierarchy that is not seen from here.
    let seen = !path.contains("..");
    seen.then(|| (mount.target.join(below), mount.target.clone()))
}

fn lowest(group: &Path, top: &Path, file: &str, value: fn(&Path) -> Option<u64>) -> Option<Bound> {
    let groups = group.ancestors().take_while(|place| place.starts_with(top));
    let bounds = groups.filter_map(|place| {
        let file = place.join(file);
        Some(Bound { value: value(&file)?, place: short(&file) })
    });
    bounds.min_by_key(|bound| bound.value)
}

/// A path for people: long names, as ids are, by their beginnings.
fn short(path: &Path) -> String {
    /// Longer names are ids.
    const LONG: usize = 24;
    let part = |name: &str| match name.char_indices().nth(LONG) {
        Some(_) => name.chars().take(LONG / 2).chain(['…']).collect(),
        None => name.to_owned(),
    };
    path.to_string_lossy().split('/').map(part).collect::<Vec<String>>().join("/")
}

fn number(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.trim().parse().ok().filter(|value| *value < UNLIMITED)
}

/// Thousandths of a processor: `cpu.max` holds quota and period, the older form has two files.
fn share(file: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let mut fields = text.split_whitespace();
    let quota: u64 = fields.next()?.parse().ok()?;
    let period: u64 = match fields.next() {
        Some(period) => period.parse().ok()?,
        None => number(&file.with_file_name("cpu.cfs_period_us"))?,
    };
    (quota * 1000).checked_div(period)
}

/// Reads `/proc/PID/limits`; the second column is the soft limit, the third the hard one, which
/// is what a program cannot raise.
pub(super) fn own_limits(table: &str) -> OwnLimits {
    let hard = |name: &str| {
        let line = table.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    OwnLimits {
        processes: hard("Max processes"),
        files: hard("Max open files"),
        address_space: hard("Max address space"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::mounts;
    use super::*;

    /// Hierarchies of both kinds under `top`, as a table of mounts.
    fn table(top: &Path) -> Vec<Mount> {
        let top = top.display();
        mounts::parse(&format!(
            "1 1 0:1 / {top}/memory rw - cgroup cgroup rw,memory\n\
             2 1 0:2 / {top}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
             3 1 0:3 /user {top}/unified rw - cgroup2 cgroup2 rw\n"
        ))
    }

    #[test]
    fn the_lowest_bound_on_the_way_up_is_the_one_that_holds() {
        let top = tempfile::tempdir().expect("a directory");
        let write = |path: &str, text: &str| {
            let path = top.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            std::fs::write(path, text).expect("written");
        };
        write("memory/a/b/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/a/memory.limit_in_bytes", "4096\n");
        write("memory/memory.limit_in_bytes", "8192\n");
        write("cpu/a/cpu.cfs_quota_us", "150000\n");
        write("cpu/a/cpu.cfs_period_us", "100000\n");
        write("unified/c/pids.max", "max\n");
        write("unified/pids.max", "77\n");
        let membership = "5:memory:/a/b\n4:cpu,cpuacct:/a\n0::/user/c\n";
        let bounds = read(membership, &table(top.path()));
        let value = |bound: &Option<Bound>| bound.as_ref().map(|bound| bound.value);
        assert_eq!(value(&bounds.memory), Some(4096));
        assert_eq!(value(&bounds.processors), Some(1500));
        assert_eq!(value(&bounds.processes), Some(77));
        let elsewhere = read("5:memory:/../x\n0::/other\n", &table(top.path()));
        assert_eq!(elsewhere, Bounds::default(), "what is not seen from here is not a bound");
    }

    #[test]
    fn a_share_is_read_in_both_forms() {
        let top = tempfile::tempdir().expect("a directory");
        let file = top.path().join("cpu.max");
        std::fs::write(&file, "50000 100000\n").expect("written");
        assert_eq!(share(&file), Some(500));
        std::fs::write(&file, "max 100000\n").expect("written");
        assert_eq!(share(&file), None);
        let older = top.path().join("cpu.cfs_quota_us");
        std::fs::write(&older, "-1\n").expect("written");
        assert_eq!(share(&older), None);
    }

    #[test]
    fn limits_of_a_process_are_the_hard_ones() {
        let table = "Limit                     Soft Limit           Hard Limit           Units\n\
                     Max address space         unlimited            unlimited            bytes\n\
                     Max processes             64                   128                  processes\n\
                     Max open files            1024                 4096                 files\n";
        let expected = OwnLimits { processes: Some(128), files: Some(4096), address_space: None };
        assert_eq!(own_limits(table), expected);
    }
}
