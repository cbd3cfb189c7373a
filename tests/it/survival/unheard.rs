//! What a server that just began says of boxes whose engines have not answered it: that nobody
//! knows, and how they stood before.

use std::path::Path;

use serde_json::Value;

use super::wait_until;
use crate::common::home::{TestHome, make};
use crate::common::processes::lives;
use crate::common::proxy::{Fault, Proxied};

const AGENT: &str = "exec sleep 1000";

/// The environment of a name, as it is listed.
fn listed(test: &TestHome, name: &str) -> Value {
    let all = test.agentdeck(&["ls", "--json"]).json();
    let found = all.as_array().expect("a list").iter().find(|one| one["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {all}")).clone()
}

/// The first process of its box.
fn first_process(test: &TestHome, name: &str) -> u32 {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    inspection["init_pid"].as_u64().expect("a box") as u32
}

/// Asserts that a listing says that nobody knows, and what was known last.
fn is_not_known(test: &TestHome, name: &str, before: &str) {
    let view = listed(test, name);
    assert_eq!(view["state"]["state"], "engine-unreachable", "{view:#}");
    assert!(view["state"]["since"].as_u64().is_some_and(|since| since > 0), "{view:#}");
    assert_eq!(view["last_known"]["state"], before, "{view:#}");
    assert_eq!(view["isolation"], Value::Null, "nothing is claimed of what holds it");
    let table = test.agentdeck(&["ls"]).ok();
    let row = table.lines().find(|line| line.starts_with(name)).expect("a row").to_owned();
    assert!(row.contains(&format!("checking (was {before})")), "{row}");
}

fn stands(test: &TestHome, name: &str, state: &str) {
    let view = test.wait_for_json(&["inspect", name, "--json"], |view| {
        view["environment"]["state"]["state"] == state
    });
    assert_eq!(view["environment"]["last_known"], Value::Null, "{view:#}");
}

/// Has the next server wait before it asks any engine how a box stands.
fn hold_back(test: &mut TestHome, directory: &Path) -> std::path::PathBuf {
    test.also.push(("AGENTDECK_HOLD", directory.to_str().expect("text").to_owned()));
    let moment = directory.join("engine-asked");
    std::fs::write(&moment, "").expect("written");
    moment
}

#[test]
fn what_may_have_ended_without_a_server_is_not_called_running() {
    let mut test = TestHome::new();
    for name in ["ant", "bee", "cat"] {
        make(&test, name, &[], AGENT);
    }
    test.agentdeck(&["pause", "cat"]).ok();
    let ant = first_process(&test, "ant");
    test.end_server();
    super::kill(ant);
    let directory = tempfile::tempdir().expect("a directory");
    let moment = hold_back(&mut test, directory.path());
    for (name, before) in [("ant", "running"), ("bee", "running"), ("cat", "paused")] {
        is_not_known(&test, name, before);
    }
    // Whether there is something to start is not known either.
    test.agentdeck(&["start", "bee"]).fails(1, &["bee", "not known yet"]);
    std::fs::remove_file(&moment).expect("removed");
    for (name, state) in [("ant", "stopped"), ("bee", "running"), ("cat", "paused")] {
        stands(&test, name, state);
    }
    let table = test.agentdeck(&["ls"]).ok();
    assert!(!table.contains("checking"), "{table}");
    test.agentdeck(&["start", "ant"]).ok();
    stands(&test, "ant", "running");
}

#[test]
fn what_is_started_before_an_engine_has_answered_runs() {
    let mut test = TestHome::new();
    for name in ["ant", "bee"] {
        make(&test, name, &[], AGENT);
    }
    test.agentdeck(&["stop", "ant"]).ok();
    let bee = first_process(&test, "bee");
    test.end_server();
    super::kill(bee);
    let directory = tempfile::tempdir().expect("a directory");
    let moment = hold_back(&mut test, directory.path());
    // That it does not run was known without asking anybody.
    test.agentdeck(&["start", "ant"]).ok();
    stands(&test, "ant", "running");
    std::fs::remove_file(&moment).expect("removed");
    stands(&test, "bee", "stopped");
    assert_eq!(listed(&test, "ant")["state"]["state"], "running");
    test.agentdeck(&["exec", "ant", "--", "true"]).ok();
}

#[test]
fn a_second_kill_before_an_answer_loses_nothing_of_what_was_known() {
    let mut test = TestHome::new();
    make(&test, "ant", &[], AGENT);
    test.agentdeck(&["pause", "ant"]).ok();
    test.end_server();
    let directory = tempfile::tempdir().expect("a directory");
    let moment = hold_back(&mut test, directory.path());
    for _ in 0..2 {
        is_not_known(&test, "ant", "paused");
        test.end_server();
    }
    std::fs::remove_file(&moment).expect("removed");
    stands(&test, "ant", "paused");
    test.agentdeck(&["resume", "ant"]).ok();
    stands(&test, "ant", "running");
}

#[test]
fn a_container_of_a_silent_engine_is_not_called_running_when_it_has_ended() {
    let Some(world) = Proxied::start() else { return };
    let Proxied { test, proxy, engine, image, .. } = &world;
    let options = ["--engine", "docker", "--image", image, "--network", "none"];
    for name in ["ant", "bee"] {
        make(test, name, &options, AGENT);
    }
    let ant = first_process(test, "ant");
    test.end_server();
    super::kill(ant);
    wait_until("the container has ended", || !lives(ant) && engine.running().len() == 1);
    proxy.behave(Fault::Silent);
    // Its own box answers for one that lives; nobody answers for the other.
    test.wait_for_json(&["ls", "--json"], |all| {
        let state = |name: &str| {
            let found = all.as_array()?.iter().find(|one| one["name"] == name)?;
            Some((found["state"]["state"].clone(), found["last_known"].clone()))
        };
        let (ant, last) = state("ant").expect("listed");
        assert_eq!(ant, "engine-unreachable", "{all:#}");
        let (bee, _) = state("bee").expect("listed");
        bee == "running" && last.is_null()
    });
    let refused = test.agentdeck(&["exec", "ant", "--", "true"]);
    assert!(refused.code != 0 && refused.stderr.contains("ant is not reached"), "{refused:#?}");
    proxy.behave(Fault::None);
    stands(test, "ant", "stopped");
    stands(test, "bee", "running");
}
