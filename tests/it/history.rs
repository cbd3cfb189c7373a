//! Snapshots as a person meets them: why each was taken and by whom, what they are called, taking a
//! workspace back to one, and beginning anew from one.

use std::process::Stdio;
use std::time::{Duration, Instant};

use agentdeck::client::Client;
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::proto::Request;
use serde_json::Value;

use super::common::home::{TestHome, for_both, make};
use super::survival::wait_until;

/// Waits until the newest snapshot is one of this kind, and returns it.
fn newest(test: &TestHome, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let log = test.wait_for_json(&["log", name, "--json"], |log| wanted(&log[0]));
    log[0].clone()
}

fn id(snapshot: &Value) -> String {
    snapshot["id"].as_str().expect("an id").to_owned()
}

#[test]
fn a_snapshot_knows_why_it_was_taken_by_whom_and_after_how_much_output() {
    let test = TestHome::new();
    // The agent says something, works in silence, and ends with a last change.
    let agent = "echo told; while [ ! -e begin.log ]; do sleep 0.05; done; echo one >agent; \
                 while [ ! -e go ]; do sleep 0.05; done; echo two >>agent; exit 3";
    make(&test, "fox", &[], agent);
    test.wait_for_json(&["inspect", "fox", "--json"], |inspection| {
        inspection["environment"]["sessions"][0]["last_output"].is_u64()
    });
    std::fs::write(workspace(&test, "fox").join("begin.log"), "").expect("a file");
    let first = newest(&test, "fox", |it| it["change"]["files"] == 1);
    assert_eq!((&first["cause"], &first["by"]), (&"change".into(), &"agent".into()));
    assert_eq!(first["number"], 2);
    assert!(first["output"]["started"].as_u64() > Some(0), "{first:#}");
    let told = test.wait_for_json(&["inspect", "fox", "--json"], |inspection| {
        inspection["environment"]["sessions"][0]["last_output"].is_u64()
    });
    assert_eq!(first["output"]["started"], told["environment"]["sessions"][0]["started"]);

    test.script("fox", "echo mine >mine");
    let mine = newest(&test, "fox", |it| it["number"] == 3);
    assert_eq!(mine["cause"], "command");
    assert_eq!(mine["by"], "human", "the agent only waited: {mine:#}");

    std::fs::write(workspace(&test, "fox").join("go"), "").expect("a file");
    let last = newest(&test, "fox", |it| {
        it["parent"] != mine["parent"] && {
            test.agentdeck(&["diff", "fox"]).stdout.contains("+two")
        }
    });
    assert_eq!(last["by"], "agent", "{last:#}");
}

#[test]
fn what_is_typed_into_a_shell_is_a_humans_and_what_is_left_running_beside_it_is_not() {
    let test = TestHome::new();
    for (name, command) in [("fox", &["--", "sh"][..]), ("elk", &["--agent", "shell"])] {
        let id = shell(&test, name, command);
        type_line(&test, &id, "echo mine >mine");
        let mine = newest(&test, name, |it| it["change"]["files"] == 1);
        assert_eq!(mine["by"], "human", "its echo is not another's work: {mine:#}");
    }

    // A program that goes on by itself, beside what a person does in a command of their own.
    make(&test, "owl", &[], "i=0; while :; do i=$((i+1)); echo $i; echo $i >n; sleep 0.1; done");
    newest(&test, "owl", |it| it["by"] == "agent");
    test.script("owl", "echo mine >mine");
    test.wait_for_json(&["log", "owl", "--json"], |log| {
        log.as_array().expect("a list").iter().any(|it| it["by"] == "both")
    });
    newest(&test, "owl", |it| it["by"] == "agent" && it["cause"] == "change");
}

/// An environment with a shell in its agent's place.
fn shell(test: &TestHome, name: &str, command: &[&str]) -> EnvironmentId {
    test.agentdeck(&[&["new", name, "--json"], command].concat()).ok();
    let found = test.wait_for_json(&["inspect", name, "--json"], |it| {
        it["environment"]["sessions"][0]["state"]["state"] == "running"
    });
    found["environment"]["id"].as_str().and_then(EnvironmentId::parse).expect("an id")
}

#[test]
fn an_agent_that_a_person_starts_in_a_shell_does_its_own_work() {
    for_both(|test, engine| {
        let id = shell(test, "fox", &[engine, &["--", "sh"][..]].concat());
        let works = "while :; do sleep 0.2; date >>work; done";
        for (name, by) in [("helper", "human"), ("claude", "agent")] {
            type_line(test, &id, &format!("echo '{works}' >~/{name}; sh ~/{name}"));
            // What was typed before it began may have been the shell's.
            newest(test, "fox", |it| it["by"] != "human" || name == "helper");
            let later = newest(test, "fox", |it| it["by"] == by && it["cause"] == "change");
            let number = later["number"].as_u64().expect("a number");
            let next = newest(test, "fox", |it| it["number"].as_u64() > Some(number));
            assert_eq!(next["by"], by, "{name}: {next:#}");
            press(
                test,
                &id,
                Key { code: KeyCode::Char('c'), modifiers: Modifiers(Modifiers::CONTROL) },
            );
        }
        test.agentdeck(&["discard", "fox", "--yes"]).ok();
    });
}

/// Types a line into an agent's session as a person at the screen does.
fn type_line(test: &TestHome, agent: &EnvironmentId, line: &str) {
    enter(test, agent, Input::Paste(line.to_owned()));
    press(test, agent, Key { code: KeyCode::Enter, modifiers: Modifiers::default() });
}

fn press(test: &TestHome, agent: &EnvironmentId, key: Key) {
    enter(test, agent, Input::Key(key));
}

fn enter(test: &TestHome, agent: &EnvironmentId, input: Input) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, _events) = Client::connect(&test.home).await.expect("connected");
        let (environment, session) = (agent.clone(), SessionId::AGENT);
        let request = Request::SendInput { environment, session, input };
        client.request(request).await.expect("typed");
    });
}

fn workspace(test: &TestHome, name: &str) -> std::path::PathBuf {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    inspection["workspace"].as_str().expect("a path").into()
}

#[test]
fn a_snapshot_is_found_by_what_it_is_called_and_by_what_is_near_it() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    test.script("fox", "echo 1 >n");
    let first = newest(&test, "fox", |it| it["number"] == 2);
    // Without a snapshot, the workspace as it is now, whether or not anybody noticed yet.
    std::fs::write(workspace(&test, "fox").join("n"), "2\n").expect("a file");
    let marked = test.agentdeck(&["mark", "fox", "tests pass", "--json"]).json();
    assert_eq!((&marked["name"], &marked["parent"]), (&"tests pass".into(), &first["id"]));
    test.script("fox", "echo 3 >n");
    newest(&test, "fox", |it| it["number"] == 4);

    let content = |snapshot: &str| {
        let diff = test.agentdeck(&["diff", "fox", "--to", snapshot]).ok();
        diff.lines().find_map(|line| line.strip_prefix('+').map(str::to_owned)).unwrap_or_default()
    };
    let n = |snapshot: &str| {
        let diff = test.agentdeck(&["diff", "fox", "--to", snapshot]).ok();
        diff.lines().last().unwrap_or_default().to_owned()
    };
    assert!(content("tests pass").contains('n'), "a patch");
    for (snapshot, expected) in [
        ("tests pass", "+2"),
        ("tests pass~1", "+1"),
        ("tests pass~", "+1"),
        ("fox", "+3"),
        ("fox~2", "+1"),
        ("head~1", "+2"),
        (&id(&first)[..8], "+1"),
        ("base", ""),
    ] {
        assert_eq!(n(snapshot), expected, "{snapshot}");
    }
    let failed =
        |arguments: &[&str], named: &[&str]| drop(test.agentdeck(arguments).fails(1, named));
    failed(&["diff", "fox", "--to", "base~1"], &["before the base"]);
    failed(&["diff", "fox", "--to", "no such"], &["no such", "agentdeck log fox"]);
    failed(&["mark", "fox", "base~0", "tests pass"], &["is called", "--remove"]);
    failed(&["mark", "fox", "base"], &["not a name"]);
    let log = test.agentdeck(&["log", "fox"]).ok();
    assert!(log.contains("tests pass"), "{log}");
    test.agentdeck(&["mark", "fox", "tests pass", "--remove"]).ok();
    failed(&["diff", "fox", "--to", "tests pass"], &["tests pass"]);
    assert_eq!(
        test.agentdeck(&["log", "fox", "-n", "2", "--json"]).json().as_array().map(Vec::len),
        Some(2)
    );
}

#[test]
fn a_workspace_goes_back_to_a_snapshot_and_forth_again_and_the_agent_goes_on() {
    for_both(|test, engine| {
        let count = "i=0; while :; do i=$((i+1)); echo $i >ticks.log; sleep 0.05; done";
        make(test, "fox", engine, &format!("echo started; {count}"));
        test.script("fox", "echo good >work; mkdir -p d; echo x >d/x; ln -s work link");
        test.agentdeck(&["mark", "fox", "good"]).ok();
        let good = newest(test, "fox", |it| it["name"] == "good");
        test.script("fox", "echo bad >work; rm -r d; echo d >d; rm link; chmod +x work");
        test.agentdeck(&["mark", "fox", "bad"]).ok();
        let look = "cat work; cat d 2>/dev/null || cat d/x; test -x work && echo executable; \
                    readlink link || true";
        let bad = "bad\nd\nexecutable\n";
        assert_eq!(test.script("fox", look), bad);
        let pictured = test.picture_without_pins();

        let short = &id(&good)[..10];
        let decision = test.agentdeck(&["restore", "fox", short, "--json"]).json();
        assert_eq!((&decision["kind"], &decision["snapshot"]), (&"restore".into(), &good["id"]));
        assert_eq!(test.script("fox", look), "good\nx\nwork\n");
        let after = newest(test, "fox", |it| it["cause"] == "restore");
        assert_eq!(after["tree"], good["tree"], "exactly that snapshot");
        let tick = |test: &TestHome| test.script("fox", "cat ticks.log");
        let before = tick(test);
        test.wait_for_json(&["inspect", "fox", "--json"], |_| tick(test) != before);
        test.agentdeck(&["restore", "fox", short]).fails(1, &["as snapshot"]);

        test.agentdeck(&["undo"]).ok();
        assert_eq!(test.script("fox", look), bad);
        TestHome::assert_same(&pictured, &test.picture_without_pins());
        let log = test.agentdeck(&["log", "fox", "--json"]).json();
        let trees: Vec<&Value> =
            log.as_array().expect("a list").iter().map(|it| &it["tree"]).collect();
        assert_eq!(trees[0], trees[2], "byte for byte, as the snapshot before it");

        // Work on the same paths since is not thrown away by an undo.
        test.agentdeck(&["restore", "fox", short]).ok();
        test.script("fox", "echo newer >work");
        test.agentdeck(&["undo"]).fails(1, &["work", "changed since"]);
        assert_eq!(test.script("fox", "cat work"), "newer\n");
        test.agentdeck(&["discard", "fox", "--yes"]).ok();
    });
}

#[test]
fn a_stopped_environment_is_restored_and_a_fork_begins_where_it_is_told() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    test.script("fox", "echo 1 >n; echo kept >cache.log");
    newest(&test, "fox", |it| it["number"] == 2);
    test.agentdeck(&["mark", "fox", "first"]).ok();
    test.script("fox", "echo 2 >n");
    newest(&test, "fox", |it| it["number"] == 3);
    test.agentdeck(&["fork", "fox", "cub", "--from", "first"]).ok();
    assert_eq!(test.script("cub", "cat n"), "1\n");
    let log = test.agentdeck(&["log", "cub", "--json"]).json();
    assert_eq!((&log[0]["name"], &log[0]["number"]), (&"first".into(), &2.into()));
    let listed = test.agentdeck(&["ls", "--json"]).json();
    let cub = listed.as_array().expect("a list").iter().find(|it| it["name"] == "cub");
    assert_eq!(cub.expect("there")["snapshots"], 2);
    test.script("cub", "echo 3 >n");
    assert_eq!(newest(&test, "cub", |it| it["number"] == 3)["parent"], log[0]["id"]);

    test.agentdeck(&["stop", "fox"]).ok();
    test.agentdeck(&["restore", "fox", "first"]).ok();
    test.agentdeck(&["start", "fox"]).ok();
    test.wait_for_json(&["inspect", "fox", "--json"], |it| {
        it["environment"]["state"]["state"] == "running"
    });
    assert_eq!(test.script("fox", "cat n cache.log"), "1\nkept\n", "what is ignored stays");
}

#[test]
fn uncommitted_work_comes_along_and_stays_the_users() {
    for_both(|test, engine| {
        test.agentdeck(&["server", "start"]).ok();
        std::fs::write(test.repository.join("price"), "one\ntwo\nfour\n").expect("written");
        std::fs::write(test.repository.join("idea"), "half of one\n").expect("written");
        std::fs::write(test.repository.join("x.log"), "ignored\n").expect("written");
        std::fs::remove_file(test.repository.join("till/open")).expect("removed");
        let before = test.picture_without_pins();
        let command = ["--with-changes", "--", "sh", "-c", "exec sleep 1000"];
        let made = test.agentdeck(&[&["new", "fox", "--json"], engine, &command].concat()).json();
        assert!(made["notes"][0].as_str().expect("a note").contains("came along"), "{made:#}");
        let look = "cat price idea; test ! -e x.log; test ! -e till/open; echo whole";
        assert_eq!(test.script("fox", look), "one\ntwo\nfour\nhalf of one\nwhole\n");
        let log = test.agentdeck(&["log", "fox", "--json"]).json();
        let first = &log.as_array().expect("a list").last().expect("the base").clone();
        assert_eq!((&first["cause"], &first["change"]["files"]), (&"base".into(), &3.into()));
        TestHome::assert_same(&before, &test.picture_without_pins());

        test.script("fox", "echo five >>price");
        let decision = test.agentdeck(&["apply", "fox", "--json"]).json();
        assert_eq!(decision["paths"], serde_json::json!(["price"]), "only what is new");
        test.agentdeck(&["undo"]).ok();
        TestHome::assert_same(&before, &test.picture_without_pins());
        test.agentdeck(&["discard", "fox", "--yes"]).ok();
        test.agentdeck(&["new", "cub", "--with-changes", "--base", "HEAD"]).fails(2, &["--base"]);
    });
}

#[test]
fn a_diff_says_what_no_snapshot_holds() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    test.script("fox", "echo x >cache.log; mkfifo pipe; echo 1 >n");
    newest(&test, "fox", |it| it["number"] == 2);
    let left_out = test.agentdeck(&["diff", "fox", "--json"]).json()["left_out"].clone();
    let mut names: Vec<&str> = left_out
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| it["path"].as_str().expect("a path"))
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["cache.log", "pipe"], "{left_out:#}");
    let said = test.agentdeck(&["diff", "fox"]);
    assert!(said.stderr.contains("left out pipe"), "{said:#?}");
    assert!(!said.stderr.contains("cache.log"), "what is ignored is only in the list");
}

#[test]
fn a_start_beside_a_restore_waits_for_the_files() {
    let mut test = TestHome::new();
    let holds = tempfile::tempdir().expect("a directory");
    test.also.push(("AGENTDECK_HOLD", holds.path().to_str().expect("text").to_owned()));
    make(&test, "fox", &[], "cat work >>~/seen; echo begun >~/begun; exec sleep 1000");
    let begun = || test.script("fox", "cat ~/begun 2>/dev/null || true");
    wait_until("the agent has looked at nothing", || !begun().is_empty());
    for word in ["old", "new"] {
        test.script("fox", &format!("echo {word} >work"));
        test.agentdeck(&["mark", "fox", word]).ok();
    }
    test.agentdeck(&["stop", "fox"]).ok();
    let moment = holds.path().join("source-held");
    std::fs::write(&moment, "").expect("written");
    let spawn = |words: &[&str]| {
        let mut command = test.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started")
    };
    let mut restoring = spawn(&["restore", "fox", "old"]);
    let held = moment.with_extension("held");
    wait_until("the restore has begun", || held.exists());
    let mut starting = spawn(&["start", "fox"]);
    // Nothing tells that it waits; with nothing to wait for it is over in a tenth of this.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(1_500)
        && starting.try_wait().expect("asked").is_none()
    {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::fs::remove_file(&moment).expect("removed");
    assert!(restoring.wait().expect("ended").success());
    assert!(starting.wait().expect("ended").success());
    let seen = || test.script("fox", "cat ~/seen");
    wait_until("the agent has looked", || !seen().is_empty());
    assert_eq!(seen(), "old\n");
}
