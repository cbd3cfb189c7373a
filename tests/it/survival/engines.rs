//! Engines that are killed, restarted, stalled or lie: agents go on or are started again, nobody
//! waits for them, and what they do not know is said.

use std::io::Write;
use std::process::Stdio;
use std::time::Instant;

use serde_json::Value;

use crate::common::dockerd::Dockerd;
use crate::common::home::TestHome;
use crate::common::proxy::{Fault, Proxied};
use crate::common::pty::Pty;
use crate::docker::busybox_root;

/// Counts in its workspace, and says which time it was started.
const COUNTER: &str = "n=$(cat starts 2>/dev/null || echo 0); echo $((n+1)) >starts; \
    echo $$ >pid; while :; do i=$((i+1)); echo $i >count; sleep 0.2; done";

/// A home whose docker engine is the test's own, with environments that count.
fn home_with(engine: &Dockerd, names: &[&str]) -> TestHome {
    let mut test = TestHome::new();
    test.also.push(("DOCKER_HOST", engine.host()));
    let image = engine.import(&busybox_root());
    for name in names {
        let made = ["new", name, "--engine", "docker", "--image", &image, "--network", "none"];
        test.agentdeck(&[&made[..], &["--", "sh", "-c", COUNTER]].concat()).ok();
    }
    test
}

fn read(test: &TestHome, name: &str, file: &str) -> String {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    let workspace = inspection["workspace"].as_str().expect("a path").to_owned();
    std::fs::read_to_string(std::path::Path::new(&workspace).join(file)).unwrap_or_default()
}

/// Waits until an agent has counted on.
fn counts(test: &TestHome, name: &str) {
    // Empty while it is written.
    let count = || read(test, name, "count").trim().parse::<u64>().ok();
    let mut before = None;
    super::wait_until(&format!("{name} counts on"), || {
        let now = count();
        before = before.or(now);
        now.is_some() && now != before
    });
}

fn state(test: &TestHome, name: &str) -> Value {
    test.agentdeck(&["inspect", name, "--json"]).json()["environment"]["state"].clone()
}

#[test]
fn agents_go_on_through_a_kill_of_dockerd() {
    let Some(mut engine) = Dockerd::start(true) else { return };
    let test = home_with(&engine, &["ant", "bee"]);
    for name in ["ant", "bee"] {
        counts(&test, name);
    }
    engine.kill();
    for name in ["ant", "bee"] {
        counts(&test, name);
    }
    // A server that starts without the engine reaches the boxes all the same, or says so.
    test.end_server();
    test.agentdeck(&["ls"]).ok();
    engine.run();
    for name in ["ant", "bee"] {
        test.wait_for_json(&["inspect", name, "--json"], |inspection| {
            inspection["environment"]["state"]["state"] == "running"
        });
        counts(&test, name);
        assert_eq!(read(&test, name, "starts").trim(), "1", "{name} was never ended");
        assert_eq!(state(&test, name)["state"], "running");
    }
    for name in ["ant", "bee"] {
        test.agentdeck(&["discard", name, "--yes"]).ok();
    }
    assert_eq!(engine.running(), Vec::<String>::new());
}

/// Has the kernel hold a box or let it go, and its engine does not know: so one leaves it that is
/// killed while it pauses the box.
fn hold(init: u64, held: bool) {
    let groups = std::fs::read_to_string(format!("/proc/{init}/cgroup")).expect("read");
    let old = groups.lines().find_map(|line| line.split_once(":freezer:"));
    let (file, word) = if let Some((_, path)) = old {
        let word = if held { "FROZEN" } else { "THAWED" };
        (format!("/sys/fs/cgroup/freezer{path}/freezer.state"), word)
    } else {
        let path = groups.lines().find_map(|line| line.strip_prefix("0::")).expect("a group");
        (format!("/sys/fs/cgroup{path}/cgroup.freeze"), if held { "1" } else { "0" })
    };
    std::fs::write(file, word).expect("written");
}

#[test]
fn a_box_goes_on_of_which_its_engine_does_not_know_that_it_stands_still() {
    let Some(engine) = Dockerd::start(true) else { return };
    let test = home_with(&engine, &["ant"]);
    counts(&test, "ant");
    let inspection = test.agentdeck(&["inspect", "ant", "--json"]).json();
    hold(inspection["init_pid"].as_u64().expect("a box"), true);
    test.agentdeck(&["pause", "ant"]).ok();
    assert_eq!(state(&test, "ant")["state"], "paused");
    test.agentdeck(&["resume", "ant"]).ok();
    counts(&test, "ant");
    assert_eq!(read(&test, "ant", "starts").trim(), "1", "it was never ended");
}

#[test]
fn a_box_that_goes_on_is_not_shown_to_stand_still_because_its_engine_thinks_so() {
    let Some(engine) = Dockerd::start(true) else { return };
    let test = home_with(&engine, &["ant"]);
    counts(&test, "ant");
    let inspection = test.agentdeck(&["inspect", "ant", "--json"]).json();
    let init = inspection["init_pid"].as_u64().expect("a box");
    let [container] = &engine.running()[..] else { panic!("one container") };
    let thinks_paused = || {
        let format = ["inspect", "-f", "{{.State.Paused}}", container];
        String::from_utf8_lossy(&engine.docker(&format).stdout).trim() == "true"
    };
    assert!(engine.docker(&["pause", container]).status.success());
    test.wait_for_json(&["inspect", "ant", "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == "paused"
    });
    hold(init, false);
    assert!(thinks_paused(), "the engine does not know");
    test.end_server();
    test.wait_for_json(&["inspect", "ant", "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == "running"
    });
    super::wait_until("the engine knows too", || !thinks_paused());
    counts(&test, "ant");
    test.agentdeck(&["exec", "ant", "--", "true"]).ok();
    assert_eq!(read(&test, "ant", "starts").trim(), "1", "it was never ended");
    for word in ["pause", "resume"] {
        test.agentdeck(&[word, "ant"]).ok();
    }
    counts(&test, "ant");
}

#[test]
fn what_was_let_go_while_its_engine_was_away_goes_on_when_that_is_back() {
    const HELD: &str = "source-held";
    let Some(mut engine) = Dockerd::start(true) else { return };
    let mut test = home_with(&engine, &["ant"]);
    counts(&test, "ant");
    let holding = test.path().join("holding");
    std::fs::create_dir(&holding).expect("made");
    std::fs::write(holding.join(HELD), "").expect("written");
    test.also.push(("AGENTDECK_HOLD", holding.to_str().expect("text").to_owned()));
    test.end_server();
    test.wait_for_json(&["inspect", "ant", "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == "running"
    });
    let mut restore = test.command(&["restore", "ant", "base"]);
    restore.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut restore = restore.spawn().expect("started");
    let is_held = holding.join(format!("{HELD}.held"));
    super::wait_until("it stands still", || is_held.exists());
    engine.kill();
    std::fs::remove_file(holding.join(HELD)).expect("removed");
    restore.wait().expect("ended");
    assert_eq!(state(&test, "ant")["state"], "paused", "nobody could have it go on");
    engine.run();
    test.wait_for_json(&["inspect", "ant", "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == "running"
    });
    counts(&test, "ant");
}

/// Names of as many environments as an engine has when it restarts.
fn herd() -> Vec<&'static str> {
    const NAMES: &str = "ant bee cat dog eel fox gnu hen ibis jay koi lynx mole newt owl pig quail \
        rat seal toad";
    let count = super::rounds(3).max(3) as usize;
    NAMES.split_whitespace().take(count).collect()
}

#[test]
fn a_restart_with_live_restore_ends_no_agent() {
    let Some(mut engine) = Dockerd::start(true) else { return };
    let names = herd();
    let test = home_with(&engine, &names);
    let inspect = |name| test.agentdeck(&["inspect", name, "--json"]).json();
    for name in &names {
        counts(&test, name);
    }
    let before: Vec<_> = names.iter().map(|name| inspect(name)["init_pid"].clone()).collect();
    engine.restart();
    for (name, init_pid) in names.iter().zip(before) {
        let view = test.wait_for_json(&["inspect", name, "--json"], |view| {
            view["environment"]["state"]["state"] == "running" && view["init_pid"].is_u64()
        });
        assert_eq!(view["init_pid"], init_pid, "{name} is in the box it was in");
        let notes = view["environment"]["notes"].to_string();
        assert!(!notes.contains("started again"), "{notes}");
        counts(&test, name);
        assert_eq!(read(&test, name, "starts").trim(), "1", "{name} was never ended");
    }
}

#[test]
fn a_restart_without_live_restore_starts_agents_again_that_ended_with_the_engine() {
    let Some(mut engine) = Dockerd::start(false) else { return };
    let names = herd();
    let test = home_with(&engine, &names);
    for name in &names {
        counts(&test, name);
    }
    // What the user ended stays ended, and what was paused is not to go on.
    let (stopped, running) = names.split_last().expect("some");
    test.agentdeck(&["stop", stopped]).ok();
    let (paused, running) = running.split_last().expect("some");
    test.agentdeck(&["pause", paused]).ok();
    engine.restart();
    for name in running {
        super::wait_until(&format!("{name} is started again"), || {
            read(&test, name, "starts").trim() == "2"
        });
        counts(&test, name);
        let view = test.wait_for_json(&["inspect", name, "--json"], |view| {
            let notes = view["environment"]["notes"].to_string();
            view["environment"]["state"]["state"] == "running" && notes.contains("started again")
        });
        assert!(view["init_pid"].is_u64(), "{view}");
    }
    for name in running {
        assert_eq!(read(&test, name, "starts").trim(), "2", "{name} was started again once");
    }
    for name in [stopped, paused] {
        test.wait_for_json(&["inspect", name, "--json"], |view| {
            view["environment"]["state"]["state"] == "stopped"
        });
        assert_eq!(read(&test, name, "starts").trim(), "1");
    }
}

/// The container of an environment.
fn container(test: &TestHome, engine: &Dockerd, name: &str) -> String {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    let id = inspection["environment"]["id"].as_str().expect("an id").to_owned();
    let filter = format!("label=agentdeck.environment={id}");
    let found = engine.docker(&["ps", "-q", "--no-trunc", "--filter", &filter]).stdout;
    String::from_utf8(found).expect("text").trim().to_owned()
}

/// Has an environment's record name another run of the machine, as it would after a reboot.
fn as_after_a_reboot(test: &TestHome, name: &str) {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    let id = inspection["environment"]["id"].as_str().expect("an id").to_owned();
    test.end_server();
    let place = test.home.join("environments").join(id).join("record.json");
    let unsynced = place.with_file_name("record.unsynced.json");
    // What was not yet synced is the newer one.
    let mut record: Value = if let Ok(text) = std::fs::read(&unsynced) {
        std::fs::remove_file(&unsynced).expect("removed");
        serde_json::from_slice::<Value>(&text).expect("json")["record"].take()
    } else {
        serde_json::from_slice(&std::fs::read(&place).expect("a record")).expect("json")
    };
    record["record"]["boot"] = "00000000-0000-0000-0000-000000000000".into();
    std::fs::write(&place, record.to_string()).expect("written");
}

#[test]
fn a_server_starts_again_what_ended_with_its_engine_while_none_ran_and_nothing_else() {
    let Some(mut engine) = Dockerd::start(false) else { return };
    let test = home_with(&engine, &["ant", "bee", "cat", "dog", "eel", "fox"]);
    for name in ["ant", "bee", "cat", "dog", "eel", "fox"] {
        counts(&test, name);
    }
    test.agentdeck(&["stop", "bee"]).ok();
    test.agentdeck(&["pause", "eel"]).ok();
    // Its agent ends by itself, and its box stays.
    test.agentdeck(&["exec", "fox", "--", "sh", "-c", "kill $(cat pid)"]);
    test.wait_for_json(&["inspect", "fox", "--json"], |view| {
        view["environment"]["sessions"][0]["state"]["state"] == "exited"
    });
    // Ended by a person, under the engine that still runs: no server starts it unasked.
    let dog = container(&test, &engine, "dog");
    test.end_server();
    assert!(engine.docker(&["kill", &dog]).status.success());
    test.wait_for_json(&["ls", "--json"], |listed| {
        let dog = listed.as_array().and_then(|all| all.iter().find(|it| it["name"] == "dog"));
        dog.is_some_and(|dog| dog["state"]["state"] == "stopped")
    });
    assert_eq!(state(&test, "ant")["state"], "running");
    as_after_a_reboot(&test, "cat");
    engine.restart();
    let view = test.wait_for_json(&["inspect", "ant", "--json"], |view| {
        let notes = view["environment"]["notes"].to_string();
        view["environment"]["state"]["state"] == "running" && notes.contains("started again")
    });
    assert_eq!(view["environment"]["trouble"], Value::Null, "{view}");
    counts(&test, "ant");
    assert_eq!(read(&test, "ant", "starts").trim(), "2", "started again once");
    for name in ["bee", "cat", "dog", "eel", "fox"] {
        assert_eq!(state(&test, name)["state"], "stopped", "{name}");
        assert_eq!(read(&test, name, "starts").trim(), "1", "{name}");
    }
}

#[test]
fn a_box_whose_engine_is_away_says_since_when_and_recovers_by_itself() {
    let Some(mut engine) = Dockerd::start(true) else { return };
    let test = home_with(&engine, &["ant"]);
    counts(&test, "ant");
    engine.kill();
    let away = test.wait_for_json(&["ls", "--json"], |listed| {
        listed[0]["state"]["state"] == "engine-unreachable"
    });
    assert!(away[0]["state"]["since"].as_u64().is_some_and(|since| since > 0), "{away}");
    counts(&test, "ant");
    engine.run();
    test.wait_for_json(&["ls", "--json"], |listed| listed[0]["state"]["state"] == "running");
    assert_eq!(read(&test, "ant", "starts").trim(), "1");
}

/// Answers within this long are not waiting for an engine that hangs.
const AT_ONCE: std::time::Duration = std::time::Duration::from_secs(2);

#[test]
fn nobody_waits_for_an_engine_that_fails_and_all_is_well_when_it_is_well() {
    let Some(world) = Proxied::start() else { return };
    let Proxied { test, proxy, image, .. } = &world;
    let echo = "echo ready; while read -r line; do echo \"got <$line>\"; done";
    let made = ["new", "box", "--engine", "docker", "--image", image, "--network", "none"];
    test.agentdeck(&[&made[..], &["--", "sh", "-c", echo]].concat()).ok();
    test.agentdeck(&["new", "own", "--", "sh", "-c", echo]).ok();
    let faults: &[Fault] =
        if super::rounds(1) > 1 { &Fault::ALL } else { &[Fault::Silent, Fault::Error, Fault::Lie] };
    for fault in faults {
        proxy.behave(*fault);
        let mut screen = Pty::open(test, &[], 100, 30);
        // What it said first has gone out of sight when much was said since.
        screen.wait_for("the agent's words", |it| {
            it.contents().contains("ready") || it.contents().contains("got <")
        });
        let began = Instant::now();
        let mut slowest = std::time::Duration::ZERO;
        for round in 0..5 {
            let asked = Instant::now();
            let listed = test.agentdeck(&["ls", "--json"]).json();
            assert_eq!(listed.as_array().map(Vec::len), Some(2));
            test.agentdeck(&["exec", "own", "--", "true"]).ok();
            slowest = slowest.max(asked.elapsed());
            if round == 0 {
                screen.send("\r");
                screen.wait_for_text("Ctrl+Q");
            }
            let typed = Instant::now();
            screen.send(&format!("{fault:?}{round}\r"));
            screen.wait_for_text(&format!("got <{fault:?}{round}>"));
            slowest = slowest.max(typed.elapsed());
        }
        assert!(slowest < AT_ONCE, "{fault:?}: {slowest:?}");
        let _ = writeln!(std::io::stderr(), "{fault:?}: slowest answer {slowest:?}");
        // Keys of the box itself do not go through its engine either.
        let request = ["inspect", "box", "--json"];
        let view = test.agentdeck(&request).json();
        assert_eq!(view["environment"]["isolation"], Value::Null, "nothing is claimed");
        assert!(proxy.met() > 0, "the engine was asked, and failed");
        assert!(began.elapsed() < AT_ONCE * 10, "{:?}", began.elapsed());
        screen.send("\x11");
        screen.wait_for("the deck's own keys", |it| !it.contents().contains("Ctrl+Q"));
        screen.send("q");
        screen.wait_for_end();
        proxy.behave(Fault::None);
        test.wait_for_json(&request, |view| {
            view["environment"]["state"]["state"] == "running"
                && !view["environment"]["isolation"].is_null()
        });
    }
}

#[test]
fn a_container_that_was_made_after_its_server_ended_does_not_keep_its_name() {
    let Some(world) = Proxied::start() else { return };
    let Proxied { test, proxy, engine, image, .. } = &world;
    test.agentdeck(&["server", "start"]).ok();
    proxy.behave(Fault::Withholding);
    let new = ["new", "late", "--engine", "docker", "--image", image, "--network", "none"];
    let mut new = test.command(&[&new[..], &["--", "sh", "-c", "exec sleep 1000"]].concat());
    let mut new = new.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
    super::wait_until("the engine has made it", || proxy.met() > 0);
    test.end_server();
    let _ = new.wait();
    // To the next server, which looks for what there is, it is not there yet.
    proxy.behave(Fault::Behind);
    test.wait_for_json(&["ls", "--json"], |listed| listed[0]["state"]["state"] == "running");
    assert!(proxy.met() > 0, "the engine was asked what it has, and had nothing to show");
    assert_eq!(engine.all().len(), 1, "one container is the environment's");
    test.agentdeck(&["exec", "late", "--", "true"]).ok();
    test.agentdeck(&["discard", "late", "--yes"]).ok();
}
