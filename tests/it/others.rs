//! What others do to boxes at their engine, behind the server's back: containers that are removed,
//! restarted or paused, and programs that the kernel ends for want of memory.
//!
//! Where no engine answers these tests pass without a word, unless `AGENTDECK_REQUIRE_DOCKER=1` is
//! set.

use serde_json::Value;

use crate::common::daemon::Daemon;
use crate::common::home::{TestHome, for_both, make};
use crate::common::proxy::{Fault, Proxied};
use crate::docker::{self, Image, busybox_root, docker, engine_answers, text};
use crate::other_engines::installed;

/// Says in its workspace which time it was started, and counts.
const COUNTER: &str = "n=$(cat starts 2>/dev/null || echo 0); echo $((n+1)) >starts; \
    while :; do i=$((i+1)); echo $i >count; sleep 0.2; done";

/// Uses more memory than it is given: `tail` keeps all of an unfinished line.
const BOMB: &str = "head -c 200000000 /dev/zero | tail -n 1 | wc -c";

fn inspect(test: &TestHome, name: &str) -> Value {
    test.agentdeck(&["inspect", name, "--json"]).json()
}

fn wait_for_state(test: &TestHome, name: &str, wanted: &str) -> Value {
    test.wait_for_json(&["inspect", name, "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == wanted
    })
}

fn read(test: &TestHome, name: &str, file: &str) -> String {
    let inspection = inspect(test, name);
    let workspace = inspection["workspace"].as_str().expect("a path").to_owned();
    let text = std::fs::read_to_string(std::path::Path::new(&workspace).join(file));
    text.unwrap_or_default().trim().to_owned()
}

/// Waits until the agent was started so many times, and works.
fn works(test: &TestHome, name: &str, starts: &str) {
    test.wait_for_json(&["inspect", name, "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == "running"
            && read(test, name, "starts") == starts
    });
    // Empty while it is written.
    let count = || read(test, name, "count").parse::<u64>().ok();
    let before = count();
    test.wait_for_json(&["inspect", name, "--json"], |_| {
        count().is_some_and(|now| Some(now) != before)
    });
}

/// The containers of an environment at the engine that `ask` asks.
fn containers(test: &TestHome, name: &str, ask: impl Fn(&[&str]) -> String) -> String {
    let id = inspect(test, name)["environment"]["id"].as_str().expect("an id").to_owned();
    ask(&["ps", "-aq", "--no-trunc", "--filter", &format!("label=agentdeck.environment={id}")])
}

/// A home with an environment that counts, at the engine of this machine.
fn counting(image: &Image) -> (TestHome, String) {
    let test = TestHome::new();
    make(&test, "ant", &["--engine", "docker", "--image", &image.0, "--network", "none"], COUNTER);
    works(&test, "ant", "1");
    let id = containers(&test, "ant", |arguments| text(&docker(arguments)));
    (test, id)
}

#[test]
fn a_box_whose_container_was_removed_is_made_anew_around_its_files() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let (test, id) = counting(&image);
    test.script("ant", "echo kept >kept; echo set >~/.setting");
    let tool = "mkdir -p /opt; echo tool >/opt/tool";
    test.agentdeck(&["exec", "--root", "ant", "--", "sh", "-ec", tool]).ok();
    test.agentdeck(&["stop", "ant"]).ok();
    docker(&["rm", &id]);

    let gone = "is gone, and with it what was installed outside the workspace and the home";
    test.agentdeck(&["save", "ant", "agentdeck-test-none:1"])
        .fails(1, &[gone, "agentdeck start ant"]);
    test.agentdeck(&["fork", "ant", "bee"]).ok();
    let forked = wait_for_state(&test, "bee", "running");
    let look = "cat kept ~/.setting; test ! -e /opt/tool";
    assert_eq!(test.script("bee", look), "kept\nset\n");
    assert!(forked["environment"]["notes"].to_string().contains("the container of ant is gone"));

    test.agentdeck(&["start", "ant"]).ok();
    works(&test, "ant", "2");
    assert_eq!(test.script("ant", look), "kept\nset\n");
    let notes = inspect(&test, "ant")["environment"]["notes"].to_string();
    assert!(notes.contains("made anew") && notes.contains("is lost"), "{notes}");
}

#[test]
fn a_box_is_not_made_anew_while_its_engine_is_of_no_use_or_has_lost_sight_of_it() {
    let Some(world) = Proxied::start() else { return };
    let test = &world.test;
    let options = ["--engine", "docker", "--image", &world.image, "--network", "none"];
    make(test, "ant", &options, COUNTER);
    works(test, "ant", "1");
    test.agentdeck(&["stop", "ant"]).ok();
    let before = world.engine.all();
    for fault in [Fault::Error, Fault::Blind] {
        world.proxy.behave(fault);
        test.agentdeck(&["start", "ant"]);
        wait_for_state(test, "ant", "failed");
        assert!(world.proxy.met() > 0, "{fault:?}");
        world.proxy.behave(Fault::None);
        assert_eq!(world.engine.all(), before, "{fault:?}");
    }
    test.agentdeck(&["start", "ant"]).ok();
    works(test, "ant", "2");
    assert_eq!(world.engine.all(), before, "the same container");
}

#[test]
fn a_box_that_others_restarted_has_ended_and_starts_as_ours_again() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let (test, id) = counting(&image);
    for (server, starts) in [(true, "2"), (false, "3")] {
        if !server {
            test.end_server();
        }
        docker(&["restart", "-t", "0", &id]);
        let ended = wait_for_state(&test, "ant", "stopped");
        assert_eq!(ended["environment"]["trouble"], "its box was ended from outside", "{ended}");
        test.agentdeck(&["start", "ant"]).ok();
        works(&test, "ant", starts);
        assert_eq!(containers(&test, "ant", |arguments| text(&docker(arguments))), id);
    }
}

#[test]
fn a_pause_by_others_is_told_and_ends_as_ours_do() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let (test, id) = counting(&image);
    docker(&["pause", &id]);
    wait_for_state(&test, "ant", "paused");
    test.agentdeck(&["resume", "ant"]).ok();
    works(&test, "ant", "1");
    docker(&["pause", &id]);
    wait_for_state(&test, "ant", "paused");
    docker(&["unpause", &id]);
    works(&test, "ant", "1");
    // A pause that is not told yet is ended all the same.
    for _ in 0..5 {
        docker(&["pause", &id]);
        test.agentdeck(&["resume", "ant"]).ok();
        let paused = docker(&["inspect", "-f", "{{.State.Paused}}", &id]);
        assert_eq!(text(&paused), "false");
    }
    works(&test, "ant", "1");
}

/// Whether the memory of a box is bounded here, once it was read back.
fn bounds_memory(test: &TestHome, name: &str) -> bool {
    let read = test.wait_for_json(&["inspect", name, "--json"], |inspection| {
        inspection["environment"]["isolation"].is_object()
    });
    let facts = read["environment"]["isolation"]["facts"].as_array().expect("facts").clone();
    facts.iter().any(|fact| fact["name"] == "memory" && fact["enforcement"] == "enforced")
}

#[test]
fn what_helps_against_want_of_memory_depends_on_whether_the_agent_lives() {
    for_both(|test, engine| {
        let survives = format!("{BOMB}; touch survived; exec sleep 1000");
        let options = [engine, &["--memory", "60m"]].concat();
        make(test, "ant", &options, &survives);
        if !bounds_memory(test, "ant") {
            return;
        }
        test.wait_for_json(&["inspect", "ant", "--json"], |inspection| {
            inspection["environment"]["trouble"].is_string()
        });
        let shown = test.agentdeck(&["inspect", "ant"]).ok();
        assert!(shown.contains("a program in the box was ended"), "{shown}");
        assert!(shown.contains("agentdeck limits ant --memory"), "{shown}");
        assert!(!shown.contains("agentdeck start ant"), "{shown}");

        make(test, "bee", &options, &format!("{BOMB} | grep 200000000"));
        test.wait_for_json(&["inspect", "bee", "--json"], |inspection| {
            let environment = &inspection["environment"];
            environment["trouble"].is_string()
                && environment["sessions"][0]["state"].to_string().contains("exited")
        });
        let shown = test.agentdeck(&["inspect", "bee"]).ok();
        assert!(shown.contains("agentdeck start bee starts it again"), "{shown}");
    });
}

/// Podman tells nobody; the kernel's own count is read when a session ends.
#[test]
fn an_agent_that_podman_lets_die_for_want_of_memory_is_said_to_have() {
    if !docker::engine_answers() || !installed("podman") {
        return;
    }
    let daemon = Daemon::podman();
    let mut test = TestHome::new();
    test.also.push(("DOCKER_HOST", format!("unix://{}", daemon.socket.display())));
    let archive = test.path().join("root.tar");
    std::fs::write(&archive, busybox_root()).expect("written");
    daemon.import(&archive, "agentdeck-test:1");
    let options = ["--engine", "docker", "--image", "agentdeck-test:1", "--network", "none"];
    let bounded = [&options[..], &["--memory", "60m"]].concat();
    let agent = format!("{BOMB} | grep 200000000");
    let exited = |name: &str| {
        test.wait_for_json(&["inspect", name, "--json"], |inspection| {
            inspection["environment"]["sessions"][0]["state"].to_string().contains("exited")
        })
    };
    make(&test, "ant", &options, &agent);
    assert_eq!(exited("ant")["environment"]["trouble"], Value::Null, "the control has room");
    make(&test, "bee", &bounded, &agent);
    test.wait_for_json(&["inspect", "bee", "--json"], |inspection| {
        let trouble = inspection["environment"]["trouble"].as_str().unwrap_or_default();
        trouble.starts_with("out of memory")
    });
    exited("bee");
    for name in ["ant", "bee"] {
        test.agentdeck(&["discard", name, "--yes"]).ok();
    }
}
