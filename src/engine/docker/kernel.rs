//! What the kernel says about a box, read from the host's side of its first process.

use std::path::Path;

use crate::engine::BoxRecord;
use crate::model::policy::{Aspect, IsolationFact};

/// The capabilities of a container's root under Docker's defaults, as the kernel numbers them.
const DEFAULT_CAPABILITIES: u64 = 0xa804_25fb;
/// Namespaces a box must not share with us.
const NAMESPACES: [&str; 6] = ["pid", "mnt", "net", "ipc", "uts", "cgroup"];

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

/// One process as `/proc/PID/status` has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Status {
    uid: u32,
    effective: u64,
    bounding: u64,
    no_new_privileges: bool,
    filtered: bool,
}

impl Status {
    fn read(pid: u32) -> Option<Self> {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
            line.split_once(':')?.1.split_whitespace().next()
        };
        let mask = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
        Some(Self {
            uid: field("Uid")?.parse().ok()?,
            effective: mask("CapEff")?,
            bounding: mask("CapBnd")?,
            no_new_privileges: field("NoNewPrivs")? == "1",
            filtered: field("Seccomp")? == "2",
        })
    }
}

/// What the kernel says about the box whose first process is `pid`. `agent_pid` has the rights of
/// an agent, and `routed` tells whether the box was given a route.
pub(super) fn facts(pid: u32, agent_pid: u32, routed: bool) -> Vec<IsolationFact> {
    let Some(init) = Status::read(pid) else {
        return vec![IsolationFact::read(
            Aspect::Processes,
            "first process",
            false,
            format!("/proc/{pid}/status cannot be read"),
        )];
    };
    let mut facts = vec![namespaces(pid), network(pid, routed)];
    facts.push(IsolationFact::read(
        Aspect::Privileges,
        "box root's capabilities",
        init.bounding & !DEFAULT_CAPABILITIES == 0,
        format!("/proc/{pid}/status: CapBnd {:016x}", init.bounding),
    ));
    let evidence = format!("/proc/{pid}/status: NoNewPrivs {}", u8::from(init.no_new_privileges));
    facts.push(IsolationFact::read(
        Aspect::Privileges,
        "no new privileges",
        init.no_new_privileges,
        evidence,
    ));
    let evidence = format!("/proc/{pid}/status: Seccomp {}", if init.filtered { 2 } else { 0 });
    facts.push(IsolationFact::read(
        Aspect::Privileges,
        "system call filter",
        init.filtered,
        evidence,
    ));
    facts.push(agent(agent_pid));
    facts.push(process_limit(pid));
    facts
}

fn namespaces(pid: u32) -> IsolationFact {
    let mut shared = Vec::new();
    for name in NAMESPACES {
        let (ours, theirs) = (format!("/proc/self/ns/{name}"), format!("/proc/{pid}/ns/{name}"));
        match (std::fs::read_link(ours), std::fs::read_link(theirs)) {
            (Ok(ours), Ok(theirs)) if ours != theirs => {}
            (Ok(_), Ok(_)) => shared.push(name),
            _ => {
                let evidence = "the engine's inspect (/proc/PID/ns is root's to read)";
                return IsolationFact::read(Aspect::Processes, "own namespaces", true, evidence);
            }
        }
    }
    let evidence = if shared.is_empty() {
        format!("/proc/{pid}/ns: {} differ from the host's", NAMESPACES.join(", "))
    } else {
        format!("/proc/{pid}/ns: {} shared with the host", shared.join(", "))
    };
    IsolationFact::read(Aspect::Processes, "own namespaces", shared.is_empty(), evidence)
}

fn network(pid: u32, routed: bool) -> IsolationFact {
    if routed {
        return IsolationFact::read(
            Aspect::Network,
            "network",
            true,
            "network mode bridge: a real route and no gateway, as asked",
        );
    }
    let file = format!("/proc/{pid}/net/route");
    match std::fs::read_to_string(&file) {
        Ok(table) => {
            let routes = table.lines().skip(1).count();
            IsolationFact::read(
                Aspect::Network,
                "network",
                routes == 0,
                format!("{file}: {routes} routes"),
            )
        }
        Err(error) => {
            IsolationFact::read(Aspect::Network, "network", false, format!("{file}: {error}"))
        }
    }
}

/// The rights of a process that the shim started as it starts an agent.
fn agent(pid: u32) -> IsolationFact {
    let name = "agent without rights";
    let Some(status) = Status::read(pid) else {
        return IsolationFact::read(
            Aspect::Privileges,
            name,
            false,
            format!("/proc/{pid}/status cannot be read"),
        );
    };
    let holds = status.uid != 0
        && status.effective == 0
        && status.bounding == 0
        && status.no_new_privileges
        && status.filtered;
    let evidence = format!(
        "/proc/{pid}/status: Uid {}, CapEff {:x}, CapBnd {:x}, NoNewPrivs {}, Seccomp {}",
        status.uid,
        status.effective,
        status.bounding,
        u8::from(status.no_new_privileges),
        if status.filtered { 2 } else { 0 },
    );
    IsolationFact::read(Aspect::Privileges, name, holds, evidence)
}

/// The child of the box's first process that was started with this command.
pub(super) fn child_with(pid: u32, command: &[&str]) -> Option<u32> {
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let expected = command.join("\0") + "\0";
    children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child: &u32| {
        std::fs::read(format!("/proc/{child}/cmdline"))
            .is_ok_and(|line| line == expected.as_bytes())
    })
}

fn process_limit(pid: u32) -> IsolationFact {
    let name = "process limit";
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    // `hierarchy:controllers:path`; the unified hierarchy names no controller (cgroups(7)).
    let files = groups.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?);
        match controllers {
            "" => Some(format!("/sys/fs/cgroup{path}/pids.max")),
            _ if controllers.split(',').any(|controller| controller == "pids") => {
                Some(format!("/sys/fs/cgroup/pids{path}/pids.max"))
            }
            _ => None,
        }
    });
    for file in files {
        if let Ok(text) = std::fs::read_to_string(&file) {
            let value = text.trim();
            return IsolationFact::read(
                Aspect::Limits,
                name,
                value.parse::<u64>().is_ok(),
                format!("{file}: {value}"),
            );
        }
    }
    IsolationFact::read(Aspect::Limits, name, false, "no control group of the box has a pids.max")
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

    #[test]
    fn rights_are_read_as_the_kernel_writes_them() {
        let text = "Name:\tx: y\nUid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n\
                    CapBnd:\t00000000a80425fb\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        let expected = Status {
            uid: 1000,
            effective: 0,
            bounding: DEFAULT_CAPABILITIES,
            no_new_privileges: true,
            filtered: true,
        };
        assert_eq!(Status::parse(text), Some(expected));
        assert_eq!(Status::parse("Name:\tx\n"), None);
    }

    #[test]
    fn a_process_that_shares_our_namespaces_is_not_called_isolated() {
        let facts = facts(std::process::id(), std::process::id(), false);
        let own = facts.iter().find(|fact| fact.name == "own namespaces").expect("a fact");
        assert!(!own.holds(), "{own:?}");
    }
}
