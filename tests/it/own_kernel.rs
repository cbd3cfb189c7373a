//! Boxes with a kernel of their own: gVisor's runtime, in an engine of the tests' own.
//!
//! Where runsc is not installed these tests pass without a word, unless
//! `AGENTDECK_REQUIRE_DOCKER=1` is set; `tests/setup` installs it.

use agentdeck::engine::docker::Docker;
use agentdeck::engine::{Asked, Engine};
use agentdeck::model::policy::{Aspect, Enforcement};
use agentdeck::shim::wire::Role;

use crate::common::dockerd::{Dockerd, EMULATED};
use crate::common::place::Place;
use crate::common::talk::{run, script};
use crate::conformance;
use crate::docker::busybox_root;
use crate::other_engines::installed;

fn engine() -> Option<(Dockerd, Docker, Place)> {
    let dockerd = installed("runsc").then(Dockerd::with_emulated_kernel).flatten()?;
    let mut place = Place::new();
    place.plan.image = Some(dockerd.import(&busybox_root()).as_str().into());
    place.plan.runtime = Some(EMULATED.to_owned());
    let engine = Docker::at(place.home.path(), &dockerd.socket());
    Some((dockerd, engine, place))
}

#[tokio::test]
async fn a_box_with_an_emulated_kernel_lives_and_talks() {
    let Some((dockerd, engine, place)) = engine() else { return };
    conformance::a_box_lives_and_keeps_its_layer(&engine, &place).await;
    conformance::a_session_is_a_terminal(&engine, &place).await;
    conformance::a_command_has_pipes(&engine, &place).await;
    conformance::a_command_dies_with_its_connection(&engine, &place).await;
    conformance::the_workspace_is_the_users(&engine, &place).await;
    assert_eq!(dockerd.running(), Vec::<String>::new(), "nothing is left");
}

/// Such a kernel shows every peer of a socket as the asking process, so that the socket itself has
/// to be out of the agent's reach. The box's root shows that the question is a real one.
#[tokio::test]
async fn an_agent_does_not_reach_the_shim_that_cannot_see_who_asks() {
    let Some((_dockerd, engine, place)) = engine() else { return };
    let record = place.create(&engine).await;
    let socket = "/run/agentdeck/shim.sock";
    let ask = format!("test -S {socket} && echo there; test -w {socket} && echo open; echo asked");
    let root = script(&engine, &record, Role::Root, &ask).await;
    assert_eq!(root, "there\nopen\nasked");
    let agent = script(&engine, &record, Role::Agent, &ask).await;
    assert_eq!(agent, "there\nasked");
    let replace = format!("rm -f {socket}; : >/run/agentdeck/new");
    let replaced = run(&engine, &record, Role::Agent, &["sh", "-c", &replace], b"").await;
    assert_ne!(replaced.expect("started").code, 0);
    assert!(place.plan.run.join("shim.sock").exists() && !place.plan.run.join("new").exists());
    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("read back");
    let fact = |aspect, name| {
        let facts = &isolation.facts;
        facts.iter().find(|fact| fact.aspect == aspect && fact.name == name).expect("told")
    };
    let kernel = fact(Aspect::Privileges, "own kernel");
    assert!(kernel.enforcement == Enforcement::Enforced && kernel.evidence.contains(EMULATED));
    let processes = fact(Aspect::Limits, "processes");
    assert_eq!(processes.enforcement, Enforcement::Off, "no control group: {processes:?}");
    engine.remove(&record).await.expect("removed");
}
