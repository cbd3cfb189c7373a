//! Boxes with a kernel of their own: gVisor's runtime, in an engine of the tests' own.
//!
//! Where runsc is not installed these tests pass without a word, unless
//! `AGENTDECK_REQUIRE_DOCKER=1` is set; `tests/setup` installs it.

use agentdeck::engine::docker::Docker;
use agentdeck::engine::{Asked, BoxRecord, BoxState, Engine};
use agentdeck::model::failure::FailureKind;
use agentdeck::model::policy::{Aspect, Enforcement, IsolationFact, IsolationLevel, Limits};
use agentdeck::shim::wire::Role;

use crate::common::dockerd::{Dockerd, EMULATED, UNBOUNDED};
use crate::common::place::Place;
use crate::common::talk::{run, script};
use crate::conformance;
use crate::docker::busybox_root;
use crate::other_engines::installed;
use crate::{network, network_bypass};

/// Cases that such a box does not pass, and why. Tests of this file show what holds instead.
const GAPS: [(&str, &str); 4] = [
    ("rights_follow_the_role", "the box's kernel does not say all of a process's rights"),
    ("processes_are_bounded", "the bound counts the kernel's own tasks, and ends it with the box"),
    ("memory_is_bounded", "what uses up the memory ends the box's kernel, and with it the box"),
    ("what_a_box_uses_is_counted", "tasks of the box's kernel are counted, not its programs"),
];

fn engine() -> Option<(Dockerd, Docker, Place)> {
    let dockerd = installed("runsc").then(Dockerd::with_emulated_kernel).flatten()?;
    let mut place = Place::new();
    place.plan.image = Some(dockerd.import(&busybox_root()).as_str().into());
    place.plan.runtime = Some(EMULATED.to_owned());
    let engine = Docker::at(place.home.path(), &dockerd.socket());
    Some((dockerd, engine, place))
}

macro_rules! all_but_the_gaps {
    ($($name:ident),* $(,)?) => {
        async fn every_case_but_the_gaps(engine: &Docker, place: &mut Place) -> usize {
            let mut passed = 0;
            $(if !GAPS.iter().any(|(gap, _)| *gap == stringify!($name)) {
                conformance::$name(engine, place).await;
                passed += 1;
            })*
            passed
        }
    };
}

conformance::every_case!(all_but_the_gaps);

#[tokio::test]
async fn a_box_with_an_emulated_kernel_does_what_every_box_must() {
    let Some((dockerd, engine, mut place)) = engine() else { return };
    assert_eq!(every_case_but_the_gaps(&engine, &mut place).await, 11);
    assert_eq!(dockerd.running(), Vec::<String>::new(), "nothing is left");
}

/// The way out goes over a socket of the host that the box connects to.
#[tokio::test]
async fn the_network_wall_stands_around_an_emulated_kernel() {
    let Some((dockerd, engine, mut place)) = engine() else { return };
    network::only_the_named_service_of_the_host_is_reached(&engine, &mut place).await;
    network::nothing_of_the_host_is_reached(&engine, &mut place).await;
    network::a_refusal_says_why(&engine, &mut place).await;
    network::a_network_that_is_off_answers_for_itself(&engine, &mut place).await;
    network::a_box_without_server_says_so(&engine, &mut place).await;
    assert_eq!(dockerd.running(), Vec::<String>::new(), "nothing is left");
}

#[tokio::test]
async fn no_way_leads_around_the_wall_of_an_emulated_kernel() {
    let Some((_dockerd, engine, mut place)) = engine() else { return };
    network_bypass::no_way_leads_around(&engine, &mut place).await;
    network_bypass::a_redirect_leads_nowhere_else(&engine, &mut place).await;
    network_bypass::no_datagram_leaves(&engine, &mut place).await;
    network_bypass::no_name_leaves_that_is_not_allowed(&engine, &mut place).await;
    network_bypass::a_port_allowed_later_is_reached_without_a_restart(&engine, &mut place).await;
}

async fn facts(engine: &Docker, record: &BoxRecord, place: &Place) -> Vec<IsolationFact> {
    let isolation = engine.isolation(record, &Asked::from(&place.plan)).await.expect("read back");
    isolation.facts
}

fn fact(facts: &[IsolationFact], aspect: Aspect, name: &str) -> IsolationFact {
    let found = facts.iter().find(|fact| fact.aspect == aspect && fact.name == name);
    found.unwrap_or_else(|| panic!("{name} is told: {facts:#?}")).clone()
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
    let facts = facts(&engine, &record, &place).await;
    let kernel = fact(&facts, Aspect::Privileges, "own kernel");
    assert!(kernel.enforcement == Enforcement::Enforced && kernel.evidence.contains(EMULATED));
    engine.remove(&record).await.expect("removed");
}

/// The machine's own control groups hold the box as a whole: what is too much ends all of it.
#[tokio::test]
async fn limits_hold_an_emulated_kernel_with_all_that_runs_on_it() {
    let Some((_dockerd, engine, mut place)) = engine() else { return };
    let bomb = "dd if=/dev/zero of=/dev/null bs=300000000 count=1 2>/dev/null; echo all";
    let record = place.create(&engine).await;
    assert_eq!(script(&engine, &record, Role::Agent, bomb).await, "all", "the control runs");
    let limits = Limits { memory: Some(1 << 30), ..Limits::default() };
    let failure = engine.update_limits(&record, &limits).await.expect_err("not while it runs");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains(EMULATED), "{failure:?}");
    engine.stop(&record, std::time::Duration::ZERO).await.expect("stopped");
    place.plan.limits = Limits { memory: Some(200 << 20), ..Limits::default() };
    let record = engine.start(&place.plan, &record).await.expect("started with other limits");
    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("read back");
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    let usage = engine.usage(std::slice::from_ref(&record)).await[0].expect("counted");
    assert!(usage.memory > 0 && usage.processes > 0, "{usage:?}");
    // It may end before the command's connection does, or after.
    let (ending, ()) = tokio::join!(engine.wait(&record), async {
        let mut talk = crate::common::talk::Talk::with(&engine, &record).await;
        let program = crate::common::talk::program(Role::Agent, &["sh", "-c", bomb]);
        talk.ask(&agentdeck::shim::wire::ShimRequest::Exec { program }).await;
        while talk.frame().await.is_some() {}
    });
    assert!(ending.expect("it ended").out_of_memory, "why is told");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Stopped));
    engine.remove(&record).await.expect("removed");
}

/// A runtime that makes no control groups bounds nothing, and that is told.
#[tokio::test]
async fn a_runtime_without_control_groups_is_told_to_bound_nothing() {
    let Some((_dockerd, engine, mut place)) = engine() else { return };
    place.plan.runtime = Some(UNBOUNDED.to_owned());
    let record = place.create(&engine).await;
    let facts = facts(&engine, &record, &place).await;
    let processes = fact(&facts, Aspect::Limits, "processes");
    assert_eq!(processes.enforcement, Enforcement::Off, "no control group: {processes:?}");
    assert_eq!(engine.usage(std::slice::from_ref(&record)).await, [None]);
    engine.remove(&record).await.expect("removed");
}
