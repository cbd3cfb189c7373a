//! What holds a box, read back from the kernel.

use std::path::Path;

use anyhow::Context;

use super::channel;
use crate::engine::BoxRecord;
use crate::model::policy::{Aspect, Isolation, IsolationFact, IsolationLevel};

const NAMESPACES: [&str; 7] = ["cgroup", "ipc", "mnt", "net", "pid", "user", "uts"];

/// Reads everything from a process that was started as an agent's is.
pub(super) async fn read(record: &BoxRecord) -> anyhow::Result<Isolation> {
    if shares_namespaces(record.init_pid)? {
        return Ok(unisolated(record.init_pid));
    }
    let held = channel::hold(record).await.context("cannot look into the box")?;
    let facts = facts(held.pid)?;
    let level = if facts.iter().all(|fact| fact.holds()) {
        IsolationLevel::Enforced
    } else {
        IsolationLevel::Partial
    };
    Ok(Isolation { level, facts })
}

/// Whether a process is numbered in no more namespaces than this one is. Its links in `/proc`
/// would tell too, but those of a process that cannot be inspected are hidden from its own user.
fn shares_namespaces(pid: u32) -> anyhow::Result<bool> {
    let depth = |status: &str| field_of(status, "NSpid").split_ascii_whitespace().count();
    Ok(depth(&read_of(pid, "status")?) == depth(&read_of(std::process::id(), "status")?))
}

fn unisolated(pid: u32) -> Isolation {
    let evidence = format!("process {pid} is in the host's own namespaces");
    let fact = IsolationFact::read(Aspect::Processes, "a box", false, evidence);
    Isolation { level: IsolationLevel::Off, facts: vec![fact] }
}

fn facts(pid: u32) -> anyhow::Result<Vec<IsolationFact>> {
    let mut facts = namespaces(pid)?;
    let status = read_of(pid, "status")?;
    for (name, field, expected) in [
        ("no capabilities in reach", "CapBnd", "0000000000000000"),
        ("no capabilities", "CapEff", "0000000000000000"),
        ("no new privileges", "NoNewPrivs", "1"),
        ("system call filter", "Seccomp", "2"),
    ] {
        let value = field_of(&status, field);
        facts.push(IsolationFact::read(
            Aspect::Privileges,
            name,
            value == expected,
            format!("{field} {value}"),
        ));
    }
    let map = read_of(pid, "uid_map")?;
    let map = map.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
    facts.push(IsolationFact::read(
        Aspect::Privileges,
        "mapped user ids",
        !map.ends_with("4294967295"),
        format!("uid_map {map}"),
    ));
    let mounts = read_of(pid, "mountinfo")?;
    let root = root_file_system(&mounts);
    facts.push(IsolationFact::read(
        Aspect::Files,
        "private root",
        root == "tmpfs",
        format!("/ is {root}"),
    ));
    let devices = read_of(pid, "net/dev")?;
    let interfaces = interfaces(&devices);
    facts.push(IsolationFact::read(
        Aspect::Network,
        "no network interface",
        interfaces == ["lo"],
        interfaces.join(" "),
    ));
    Ok(facts)
}

fn namespaces(pid: u32) -> anyhow::Result<Vec<IsolationFact>> {
    NAMESPACES
        .iter()
        .map(|kind| {
            let aspect = match *kind {
                "mnt" => Aspect::Files,
                "net" => Aspect::Network,
                "user" => Aspect::Privileges,
                _ => Aspect::Processes,
            };
            let (theirs, ours) = (link(pid, kind)?, link(std::process::id(), kind)?);
            Ok(IsolationFact::read(
                aspect,
                &format!("own {kind} namespace"),
                theirs != ours,
                theirs,
            ))
        })
        .collect()
}

fn link(pid: u32, kind: &str) -> anyhow::Result<String> {
    let path = Path::new("/proc").join(pid.to_string()).join("ns").join(kind);
    let target =
        std::fs::read_link(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(target.to_string_lossy().into_owned())
}

fn read_of(pid: u32, file: &str) -> anyhow::Result<String> {
    let path = format!("/proc/{pid}/{file}");
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))
}

fn field_of<'a>(status: &'a str, name: &str) -> &'a str {
    let value = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.unwrap_or_default().trim()
}

/// The type of what is mounted at `/`: the field after the separator (`proc(5)`).
fn root_file_system(mountinfo: &str) -> &str {
    let line = mountinfo.lines().find(|line| line.split(' ').nth(4) == Some("/"));
    let after = line.and_then(|line| line.split_once(" - ")).map_or("", |(_, after)| after);
    after.split(' ').next().unwrap_or_default()
}

fn interfaces(devices: &str) -> Vec<&str> {
    devices.lines().filter_map(|line| Some(line.split_once(':')?.0.trim())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_tables_are_read() {
        let info =
            "9 1 0:2 /a /proc rw - proc proc rw\n8 1 0:9 / / rw shared:1 - tmpfs agentdeck rw";
        assert_eq!(root_file_system(info), "tmpfs");
        let devices = "Inter-|   Receive\n face |bytes\n    lo:   0 0\n  eth0: 1 2";
        assert_eq!(interfaces(devices), ["lo", "eth0"]);
        assert_eq!(field_of("CapBnd:\t0000\nSeccomp:\t2\n", "Seccomp"), "2");
    }
}
