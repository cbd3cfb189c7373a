//! Everything the kernel says of a box's processes, read once from the host's side.

use std::collections::BTreeMap;

use super::groups::{self, Bounds, OwnLimits};
use super::mounts::{self, Mount};
use crate::shim::claims::Claims;

/// Namespaces, as `/proc/PID/ns` names them.
const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// One process as `/proc/PID/status` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    pub(super) user: u32,
    /// The five sets of capabilities by the names of their fields.
    pub(super) capabilities: Vec<(&'static str, u64)>,
    pub(super) no_new_privileges: bool,
    pub(super) filtered: bool,
    /// How many filters stand on each other; `None` where the kernel does not tell.
    pub(super) filters: Option<u32>,
    /// The process's numbers, the host's own first.
    pub(super) numbers: Vec<u32>,
}

const SETS: [&str; 5] = ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"];

impl Status {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            value.map(str::trim)
        };
        let first = |name: &str| field(name)?.split_whitespace().next();
        let set = |name: &'static str| Some((name, u64::from_str_radix(first(name)?, 16).ok()?));
        let numbers = field("NSpid").unwrap_or_default().split_whitespace();
        Some(Self {
            user: first("Uid")?.parse().ok()?,
            capabilities: SETS.into_iter().map(set).collect::<Option<_>>()?,
            no_new_privileges: first("NoNewPrivs")? == "1",
            filtered: first("Seccomp")? == "2",
            filters: first("Seccomp_filters").and_then(|count| count.parse().ok()),
            numbers: numbers.filter_map(|number| number.parse().ok()).collect(),
        })
    }

    pub(super) fn set(&self, name: &str) -> u64 {
        let found = self.capabilities.iter().find(|(set, _)| *set == name);
        found.map_or(u64::MAX, |(_, value)| *value)
    }
}

/// A namespace of the box beside the one this process is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Namespace {
    pub(super) theirs: String,
    pub(super) ours: String,
}

impl Namespace {
    pub(super) fn is_own(&self) -> bool {
        self.theirs != self.ours
    }
}

/// What was read. A part that could not be is `None`, and never taken as good.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    /// The host's number of the process that was looked at, which has an agent's rights.
    pub(super) pid: u32,
    pub(super) agent: Option<Status>,
    /// The box's first process.
    pub(super) first: Option<Status>,
    pub(super) namespaces: BTreeMap<&'static str, Namespace>,
    pub(super) user_map: Option<String>,
    pub(super) mounts: Option<Vec<Mount>>,
    pub(super) host_mounts: Vec<Mount>,
    /// Routes of both families, as the interfaces they lead through.
    pub(super) routes: Option<Vec<String>>,
    pub(super) interfaces: Vec<String>,
    /// Names of the device nodes in the box's `/dev`.
    pub(super) devices: Option<Vec<String>>,
    pub(super) bounds: Bounds,
    pub(super) own_limits: OwnLimits,
    /// What a process inside says; `None` where the box's shim knows no such process.
    pub(super) claims: Option<Claims>,
}

impl Reading {
    /// Reads what is to be read of the process `pid` in the box of `first`.
    pub(super) fn of(first: u32, pid: u32, claims: Option<Claims>) -> Self {
        let text =
            |pid: u32, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let own = std::process::id();
        let host_mounts = mounts::parse(&text(own, "mountinfo").unwrap_or_default());
        let membership = text(pid, "cgroup").unwrap_or_default();
        Self {
            pid,
            agent: text(pid, "status").and_then(|text| Status::parse(&text)),
            first: text(first, "status").and_then(|text| Status::parse(&text)),
            namespaces: namespaces(own, pid),
            user_map: text(pid, "uid_map").map(|map| one_line(&map)),
            mounts: text(pid, "mountinfo").map(|table| mounts::parse(&table)),
            routes: text(pid, "net/route").map(|table| {
                let later = text(pid, "net/ipv6_route").unwrap_or_default();
                routes(&table, &later)
            }),
            interfaces: interfaces(&text(pid, "net/dev").unwrap_or_default()),
            devices: devices(pid),
            bounds: groups::read(&membership, &host_mounts),
            own_limits: groups::own_limits(&text(pid, "limits").unwrap_or_default()),
            host_mounts,
            claims,
        }
    }

    /// Whether the namespace `kind` is the box's own; `None` where that cannot be read.
    pub(super) fn is_own(&self, kind: &str) -> Option<bool> {
        self.namespaces.get(kind).map(Namespace::is_own)
    }
}

fn namespaces(own: u32, pid: u32) -> BTreeMap<&'static str, Namespace> {
    let link = |pid: u32, kind: &str| {
        let target = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).ok()?;
        Some(target.to_string_lossy().into_owned())
    };
    let both = |kind: &'static str| {
        Some((kind, Namespace { theirs: link(pid, kind)?, ours: link(own, kind)? }))
    };
    NAMESPACES.into_iter().filter_map(both).collect()
}

/// Names of the device nodes in a process's `/dev`, which is a mount and so never a link.
fn devices(pid: u32) -> Option<Vec<String>> {
    use rustix::fs::{AtFlags, FileType, Mode, OFlags};
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty()).ok()?;
    let read = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&root, "dev", read, Mode::empty()).ok()?;
    let mut nodes = Vec::new();
    for entry in rustix::fs::Dir::read_from(&directory).ok()? {
        let entry = entry.ok()?;
        let found =
            rustix::fs::statat(&directory, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
            nodes.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    nodes.sort();
    Some(nodes)
}

fn one_line(text: &str) -> String {
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.collect::<Vec<_>>().join(", ")
}

/// The interfaces that routes lead through. The kernel's own of the loopback are in no table of
/// the first family, and in the second's by the name `lo`.
fn routes(first: &str, later: &str) -> Vec<String> {
    let first = first.lines().skip(1).filter_map(|line| line.split_whitespace().next());
    let later = later.lines().filter_map(|line| line.split_whitespace().last());
    first.chain(later).filter(|name| *name != "lo").map(str::to_owned).collect()
}

fn interfaces(devices: &str) -> Vec<String> {
    let names = devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim()));
    names.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_read_as_the_kernel_writes_them() {
        let text = "Name:\tx: y\nUid:\t1000\t1000\t1000\t1000\nNSpid:\t812\t7\n\
                    CapInh:\t0000000000000000\nCapPrm:\t0000000000000000\n\
                    CapEff:\t0000000000000000\nCapBnd:\t00000000a80425fb\n\
                    CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
        let status = Status::parse(text).expect("a status");
        assert_eq!((status.user, status.numbers.clone()), (1000, vec![812, 7]));
        assert_eq!((status.set("CapBnd"), status.set("CapEff")), (0xa804_25fb, 0));
        assert!(status.no_new_privileges && status.filtered);
        assert_eq!(status.filters, Some(3));
        assert_eq!(Status::parse("Name:\tx\n"), None);
    }

    #[test]
    fn only_routes_that_lead_away_are_routes() {
        let first = "Iface\tDestination\neth0\t00000000\n";
        let later = "00000000000000000000000000000001 80 00 lo\nfe80 40 00 eth1\n";
        assert_eq!(routes(first, later), ["eth0", "eth1"]);
        assert_eq!(routes("Iface\n", "0 0 lo\n"), Vec::<String>::new());
        assert_eq!(interfaces("Inter-|\n face |bytes\n    lo:   0 0\n  eth0: 1"), ["lo", "eth0"]);
    }

    #[test]
    fn this_process_shares_every_namespace_with_itself() {
        let own = std::process::id();
        let reading = Reading::of(own, own, None);
        assert_eq!(reading.namespaces.len(), NAMESPACES.len());
        assert!(NAMESPACES.iter().all(|kind| reading.is_own(kind) == Some(false)));
        assert!(reading.agent.is_some() && reading.mounts.is_some());
    }
}
