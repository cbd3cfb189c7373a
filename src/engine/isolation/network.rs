//! Network: whether there is a way out beside the gateway.

use super::files::list;
use super::reading::Reading;
use super::unread;
use crate::engine::Asked;
use crate::model::policy::{Aspect, Enforcement, IsolationFact, NetworkMode};

pub(super) fn facts(reading: &Reading, asked: &Asked) -> Vec<IsolationFact> {
    let mut facts = vec![own(reading), routes(reading, asked.network)];
    facts.extend(names(reading, asked.network));
    facts
}

fn fact(name: &str, enforcement: Enforcement, evidence: impl Into<String>) -> IsolationFact {
    IsolationFact::new(Aspect::Network, name, enforcement, evidence)
}

fn own(reading: &Reading) -> IsolationFact {
    let name = "own network";
    match reading.namespaces.get("net") {
        Some(namespace) if namespace.is_own() => {
            let interfaces = reading.interfaces.join(" ");
            let evidence =
                format!("/proc/{}/ns: {}, with {interfaces}", reading.pid, namespace.theirs);
            fact(name, Enforcement::Enforced, evidence)
        }
        Some(_) => {
            let evidence = "the box is in this machine's own network, its loopback included";
            fact(name, Enforcement::Off, evidence).remedy("discard it and make it again")
        }
        None => unread(Aspect::Network, name, &format!("/proc/{}/ns/net", reading.pid)),
    }
}

pub(super) fn routes(reading: &Reading, mode: NetworkMode) -> IsolationFact {
    let name = "no way past the gateway";
    if mode == NetworkMode::Bridge {
        let evidence = "network mode bridge, as asked: a real route, no gateway and no refusals";
        return fact(name, Enforcement::Off, evidence)
            .remedy("make it with --network open, allow or none");
    }
    let Some(routes) = &reading.routes else {
        return unread(Aspect::Network, name, &format!("/proc/{}/net/route", reading.pid));
    };
    let tried = reading.claims.iter().flat_map(|claims| &claims.addresses);
    let reached: Vec<String> =
        tried.filter(|tried| tried.error == 0).map(|tried| tried.name.clone()).collect();
    if !routes.is_empty() {
        let evidence = format!("/proc/{}/net: routes by {}", reading.pid, list(routes));
        return fact(name, Enforcement::Off, evidence)
            .remedy("discard it and make it again; agentdeck asks for no route");
    }
    if !reached.is_empty() {
        let evidence =
            format!("no route is listed, but from inside one was found to {}", list(&reached));
        return fact(name, Enforcement::Partial, evidence).remedy("report it as a bug");
    }
    let tried = reading.claims.as_ref().map_or(0, |claims| claims.addresses.len());
    let evidence = format!(
        "/proc/{}/net: no route; {tried} addresses tried from inside, none reached",
        reading.pid
    );
    fact(name, Enforcement::Enforced, evidence)
}

/// Who answers names in the box; a claim, as the file is the box's own.
fn names(reading: &Reading, mode: NetworkMode) -> Option<IsolationFact> {
    let servers = &reading.claims.as_ref()?.name_servers;
    let shown = if servers.is_empty() { "no server".to_owned() } else { list(servers) };
    let local = servers.iter().all(|server| server.starts_with("127.") || server == "::1");
    let name = "names";
    Some(if local || mode == NetworkMode::Bridge {
        let evidence = format!("claimed from inside: {shown} is asked");
        fact(name, if local { Enforcement::Enforced } else { Enforcement::Off }, evidence).aside()
    } else {
        let evidence = format!("claimed from inside: {shown} is asked, which no route leads to");
        fact(name, Enforcement::Enforced, evidence).aside()
    })
}
