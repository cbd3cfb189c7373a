//! Privileges: what an agent may ask of the kernel.

use super::files::list;
use super::reading::Reading;
use super::{Design, unread};
use crate::model::policy::{Aspect, Enforcement, IsolationFact};

/// Capabilities by number, for those that a wide set is told by (`capabilities(7)`).
const TELLING: [(u32, &str); 8] = [
    (1, "DAC_OVERRIDE"),
    (7, "SETUID"),
    (12, "NET_ADMIN"),
    (16, "SYS_MODULE"),
    (17, "SYS_RAWIO"),
    (19, "SYS_PTRACE"),
    (21, "SYS_ADMIN"),
    (24, "SYS_RESOURCE"),
];

/// How the map of a user namespace begins that is not a namespace of its own: all ids as they are.
const ALL_IDS: &str = "4294967295";

pub(super) fn facts(reading: &Reading, design: &Design) -> Vec<IsolationFact> {
    let Some(agent) = &reading.agent else {
        return vec![unread(Aspect::Privileges, "no capabilities", &status(reading))];
    };
    let mut facts = rights(reading);
    facts.push(user(reading, agent.user));
    facts.extend(design.root_capabilities.map(|most| root(reading, most)));
    facts
}

/// What the agent's own process may do.
pub(super) fn rights(reading: &Reading) -> Vec<IsolationFact> {
    let mut facts = Vec::new();
    if let Some(agent) = &reading.agent {
        facts.push(capabilities(reading, &agent.capabilities));
        facts.push(new_privileges(reading, agent.no_new_privileges));
        facts.push(filter(reading));
    }
    facts.extend(calls(reading));
    facts
}

fn fact(name: &str, enforcement: Enforcement, evidence: impl Into<String>) -> IsolationFact {
    IsolationFact::new(Aspect::Privileges, name, enforcement, evidence)
}

fn status(reading: &Reading) -> String {
    format!("/proc/{}/status", reading.pid)
}

fn named(set: u64) -> String {
    let names = TELLING.iter().filter(|(number, _)| set & (1 << number) != 0);
    let names: Vec<&str> = names.map(|(_, name)| *name).collect();
    if names.is_empty() { String::new() } else { format!(" ({} …)", names.join(", ")) }
}

fn capabilities(reading: &Reading, sets: &[(&'static str, u64)]) -> IsolationFact {
    let name = "no capabilities";
    let kept: Vec<String> = sets
        .iter()
        .filter(|(_, value)| *value != 0)
        .map(|(set, value)| format!("{set} {value:x}{}", named(*value)))
        .collect();
    if kept.is_empty() {
        let names: Vec<&str> = sets.iter().map(|(set, _)| *set).collect();
        let evidence = format!("{}: {} are 0", status(reading), names.join(", "));
        return fact(name, Enforcement::Enforced, evidence);
    }
    fact(name, Enforcement::Off, format!("{}: {}", status(reading), kept.join(", ")))
        .remedy("stop the environment and start it again; an agent's are dropped by its shim")
}

fn new_privileges(reading: &Reading, on: bool) -> IsolationFact {
    let name = "no new privileges";
    let evidence = format!("{}: NoNewPrivs {}", status(reading), u8::from(on));
    if on {
        let evidence = evidence + "; set-user-id programs give nothing";
        return fact(name, Enforcement::Enforced, evidence);
    }
    fact(name, Enforcement::Off, evidence)
        .remedy("run the engine with no-new-privileges, as agentdeck asks it to")
}

fn filter(reading: &Reading) -> IsolationFact {
    let name = "system call filter";
    let agent = reading.agent.as_ref();
    let count = agent.and_then(|agent| agent.filters);
    let count = count.map_or(String::new(), |count| format!(", {count} filters"));
    if agent.is_some_and(|agent| agent.filtered) {
        let evidence = format!("{}: Seccomp 2{count}", status(reading));
        return fact(name, Enforcement::Enforced, evidence);
    }
    fact(name, Enforcement::Off, format!("{}: no Seccomp", status(reading)))
        .remedy("use a kernel with CONFIG_SECCOMP_FILTER")
}

/// What the filter does, found by trying.
fn calls(reading: &Reading) -> Option<IsolationFact> {
    let name = "forbidden system calls";
    let tried = &reading.claims.as_ref()?.calls;
    let reached: Vec<String> =
        tried.iter().filter(|tried| !tried.refused()).map(|tried| tried.name.clone()).collect();
    Some(if reached.is_empty() {
        let evidence = format!("tried from inside: {} of {} refused", tried.len(), tried.len());
        fact(name, Enforcement::Enforced, evidence)
    } else {
        let evidence = format!("tried from inside, the kernel took up: {}", list(&reached));
        let all = reached.len() == tried.len();
        let enforcement = if all { Enforcement::Off } else { Enforcement::Partial };
        fact(name, enforcement, evidence)
            .remedy("discard it and make it again: a shim of this version filters them")
    })
}

/// Whose numbers the users of the box have on the host.
fn user(reading: &Reading, user: u32) -> IsolationFact {
    let name = "users of its own";
    let map = reading.user_map.clone().unwrap_or_default();
    let remedy = "run agentdeck as an ordinary user with the native engine";
    match reading.is_own("user") {
        None => unread(Aspect::Privileges, name, &format!("/proc/{}/ns/user", reading.pid)),
        Some(true) if maps_root(&map) => {
            let evidence = format!(
                "uid_map {map}: a user namespace of its own, in which the box's root has the \
                 number of this machine's, without its rights"
            );
            fact(name, Enforcement::Partial, evidence).remedy(remedy).aside()
        }
        Some(true) => {
            let evidence = format!("uid_map {map}: a user namespace of its own");
            fact(name, Enforcement::Enforced, evidence)
        }
        Some(false) if user == 0 => {
            let evidence = format!("{}: the agent is this machine's root", status(reading));
            fact(name, Enforcement::Off, evidence).remedy(remedy)
        }
        Some(false) => {
            let evidence = format!(
                "{}: the agent is user {user}; the box's root, for setup only, is this machine's, \
                 with a container's capabilities",
                status(reading)
            );
            fact(name, Enforcement::Partial, evidence).remedy(remedy).aside()
        }
    }
}

/// Whether a map gives some id of the box the number 0 of the host.
fn maps_root(map: &str) -> bool {
    map.ends_with(ALL_IDS)
        || map.split(", ").any(|line| line.split(' ').nth(1).is_some_and(|outside| outside == "0"))
}

fn root(reading: &Reading, most: u64) -> IsolationFact {
    let name = "rights of the box's root";
    let Some(first) = &reading.first else {
        return unread(Aspect::Privileges, name, "the status of the box's first process");
    };
    let set = first.set("CapBnd");
    let beyond = set & !most;
    if beyond == 0 && first.no_new_privileges && first.filtered {
        let evidence = format!("first process: CapBnd {set:x}, NoNewPrivs 1, Seccomp 2");
        return fact(name, Enforcement::Enforced, evidence);
    }
    let evidence = format!(
        "first process: CapBnd {set:x}{}, NoNewPrivs {}, Seccomp {}",
        named(beyond),
        u8::from(first.no_new_privileges),
        if first.filtered { 2 } else { 0 }
    );
    fact(name, Enforcement::Off, evidence)
        .remedy("discard it and make it again; agentdeck asks for a container's usual rights")
}
