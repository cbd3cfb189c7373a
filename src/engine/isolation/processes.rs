//! Processes: what of the host's processes and of each other a box sees and reaches.

use super::reading::Reading;
use super::unread;
use crate::model::policy::{Aspect, Enforcement, IsolationFact};

pub(super) fn facts(reading: &Reading) -> Vec<IsolationFact> {
    let mut facts = vec![table(reading), shared_memory(reading), names(reading)];
    facts.extend(first_process(reading));
    facts
}

fn fact(name: &str, enforcement: Enforcement, evidence: impl Into<String>) -> IsolationFact {
    IsolationFact::new(Aspect::Processes, name, enforcement, evidence)
}

fn shares(name: &str, what: &str) -> IsolationFact {
    fact(name, Enforcement::Off, format!("{what} is the host's own"))
        .remedy("discard it and make it again; nothing of agentdeck shares it")
}

fn link(reading: &Reading, kind: &str) -> String {
    reading.namespaces.get(kind).map(|found| found.theirs.clone()).unwrap_or_default()
}

fn table(reading: &Reading) -> IsolationFact {
    let name = "own process table";
    match reading.is_own("pid") {
        Some(true) => {
            let seen = reading.claims.as_ref().map(|claims| claims.processes);
            let seen =
                seen.map_or(String::new(), |count| format!("; from inside, {count} are seen"));
            let evidence = format!("/proc/{}/ns: {}{seen}", reading.pid, link(reading, "pid"));
            fact(name, Enforcement::Enforced, evidence)
        }
        Some(false) => shares(name, "the process table"),
        None => unread(Aspect::Processes, name, &format!("/proc/{}/ns/pid", reading.pid)),
    }
}

fn shared_memory(reading: &Reading) -> IsolationFact {
    let name = "own shared memory";
    match reading.is_own("ipc") {
        Some(true) => {
            let evidence = format!("/proc/{}/ns: {}", reading.pid, link(reading, "ipc"));
            fact(name, Enforcement::Enforced, evidence)
        }
        Some(false) => shares(name, "System V and POSIX shared memory"),
        None => unread(Aspect::Processes, name, &format!("/proc/{}/ns/ipc", reading.pid)),
    }
}

/// Host name and control groups: they tell of the host rather than reach it.
fn names(reading: &Reading) -> IsolationFact {
    let name = "own host name and groups";
    match (reading.is_own("uts"), reading.is_own("cgroup")) {
        (Some(true), Some(true)) => {
            let (uts, cgroup) = (link(reading, "uts"), link(reading, "cgroup"));
            let evidence = format!("/proc/{}/ns: {uts}, {cgroup}", reading.pid);
            fact(name, Enforcement::Enforced, evidence)
        }
        (None, _) | (_, None) => {
            unread(Aspect::Processes, name, &format!("/proc/{}/ns", reading.pid))
        }
        (uts, _) => {
            let what = if uts == Some(true) { "control groups" } else { "host name" };
            fact(name, Enforcement::Partial, format!("the {what} of the host are seen"))
                .remedy("discard it and make it again; nothing of agentdeck shares it")
        }
    }
}

/// The box's first process has more rights than an agent, and must be out of its reach.
fn first_process(reading: &Reading) -> Option<IsolationFact> {
    let name = "first process out of reach";
    let tried = &reading.claims.as_ref()?.first_process;
    let reached: Vec<&str> =
        tried.iter().filter(|tried| !tried.refused()).map(|tried| tried.name.as_str()).collect();
    Some(if reached.is_empty() {
        let evidence =
            format!("tried from inside: {} ways to trace or read it, all refused", tried.len());
        fact(name, Enforcement::Enforced, evidence)
    } else {
        let evidence = format!("from inside this was not refused: {}", reached.join(", "));
        fact(name, Enforcement::Off, evidence).remedy("stop the environment and report it as a bug")
    })
}
