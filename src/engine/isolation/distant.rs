//! Boxes with a kernel of their own: the host sees the runtime's process and nothing of what runs
//! in it, so that the inside is all there is to ask, and every fact says so.

use super::files::list;
use super::reading::{Reading, Status};
use super::{Design, limits, network, privileges};
use crate::engine::Asked;
use crate::model::policy::{Aspect, Enforcement, IsolationFact};

pub(super) fn facts(
    reading: &Reading,
    runtime: &str,
    design: &Design,
    asked: &Asked,
) -> Vec<IsolationFact> {
    let evidence = format!(
        "the engine says: runtime {runtime}; no process of the box is one of this machine's"
    );
    let own = |aspect| IsolationFact::new(aspect, "own kernel", Enforcement::Enforced, &*evidence);
    let claims = reading.claims.clone().unwrap_or_default();
    let mut facts: Vec<IsolationFact> =
        [Aspect::Files, Aspect::Processes, Aspect::Privileges].map(own).to_vec();
    let inside = Reading { agent: Status::parse(&claims.status), ..reading.clone() };
    facts.extend(privileges::rights(&inside).into_iter().map(claimed));
    facts.push(network::routes(&inside, asked.network));
    facts.extend(sockets(&claims.sockets));
    facts.extend(limits::of_groups(reading, design, asked));
    facts.extend(design.told.iter().cloned());
    facts.sort_by_key(|fact| fact.aspect);
    facts
}

/// What the box's own kernel says of itself is no wall of this machine's.
fn claimed(mut fact: IsolationFact) -> IsolationFact {
    fact.evidence = format!("claimed from inside: {}", fact.evidence);
    fact.aside()
}

fn sockets(found: &[String]) -> Option<IsolationFact> {
    let evidence = format!("claimed from inside: {}", list(found));
    (!found.is_empty()).then(|| {
        IsolationFact::new(Aspect::Files, "sockets of the host", Enforcement::Partial, evidence)
            .remedy("discard it and make it again; nothing of agentdeck mounts a socket")
    })
}
