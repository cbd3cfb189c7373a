//! Forks, pauses, limits, a full disk, a reboot: what holds an environment together besides its
//! workspace.

use std::path::Path;

use agentdeck::client::Client;
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::screen::{Row, Screen, Size};
use agentdeck::proto::{Event, Request};
use serde_json::Value;

use super::common::home::{TestHome, for_both, make};
use super::common::talk::PATIENCE;
use super::common::traces::Traces;
use super::docker;

fn state(test: &TestHome, name: &str) -> Value {
    test.agentdeck(&["inspect", name, "--json"]).json()["environment"]["state"].clone()
}

fn wait_for_state(test: &TestHome, name: &str, wanted: &str) -> Value {
    test.wait_for_json(&["inspect", name, "--json"], |inspection| {
        inspection["environment"]["state"]["state"] == wanted
    })
}

fn root(test: &TestHome, name: &str, script: &str) -> String {
    test.agentdeck(&["exec", "--root", name, "--", "sh", "-ec", script]).ok()
}

fn kill_server(test: &TestHome) {
    let pid = test.server().expect("a server");
    let pid = rustix::process::Pid::from_raw(pid as i32).expect("not zero");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    while test.server().is_some() {
        std::thread::yield_now();
    }
}

#[test]
fn a_fork_begins_where_its_source_stands_and_goes_its_own_way() {
    for_both(|test, engine| {
        make(test, "fox", engine, "exec sleep 1000");
        let work = "echo four >>price; echo new >new; echo object >cache.log; echo set >~/.setting";
        test.script("fox", work);
        test.wait_for_snapshots("fox", 2);
        root(test, "fox", "mkdir -p /opt; echo tool >/opt/tool");
        test.agentdeck(&["fork", "fox", "cub"]).ok();
        let look = "cat price new cache.log ~/.setting /opt/tool";
        let expected = "one\ntwo\nthree\nfour\nnew\nobject\nset\ntool\n";
        assert_eq!(test.script("cub", look), expected);
        assert_eq!(state(test, "fox")["state"], "running", "the source goes on");
        let log = |name: &str| test.agentdeck(&["log", name, "--json"]).json();
        assert_eq!(log("fox"), log("cub"), "one history");
        let diff = |name: &str| test.agentdeck(&["diff", name]).ok();
        assert_eq!(diff("fox"), diff("cub"), "to one base");

        test.script("cub", "echo cub >new");
        test.script("fox", "echo fox >new; echo gone >~/.setting");
        root(test, "cub", "echo sharper >/opt/tool");
        test.wait_for_json(&["log", "cub", "--json"], |log| {
            let ids = |log: &Value| log.as_array().expect("a list").len();
            ids(log) == 3 && log[0]["parent"] == log[1]["id"]
        });
        assert_eq!(test.script("cub", "cat new ~/.setting /opt/tool"), "cub\nset\nsharper\n");
        assert_eq!(test.script("fox", "cat new ~/.setting /opt/tool"), "fox\ngone\ntool\n");

        test.agentdeck(&["discard", "fox", "--yes"]).ok();
        test.agentdeck(&["stop", "cub"]).ok();
        test.agentdeck(&["start", "cub"]).ok();
        assert_eq!(test.script("cub", "cat new /opt/tool"), "cub\nsharper\n", "it needs no source");
        test.agentdeck(&["merge", "cub", "-m", "the cub's"]).ok();
        assert_eq!(test.git(&["show", "HEAD:new"]), "cub\n");
    });
}

#[test]
fn a_fork_may_begin_at_an_older_snapshot_and_from_a_stopped_environment() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    test.script("fox", "echo one >new");
    test.wait_for_snapshots("fox", 2);
    test.script("fox", "echo two >new");
    let log = test.wait_for_snapshots("fox", 3);
    test.agentdeck(&["stop", "fox"]).ok();
    let older = log[1]["id"].as_str().expect("an id");
    test.agentdeck(&["fork", "fox", "--at", &older[..12]]).ok();
    assert_eq!(test.script("fox-2", "cat new; git status --short"), "one\n?? new\n");
    assert_eq!(
        test.agentdeck(&["log", "fox-2", "--json"]).json().as_array().map(Vec::len),
        Some(2)
    );
    assert_eq!(state(&test, "fox")["state"], "stopped");
    test.agentdeck(&["fork", "fox", "--at", "ffff"]).fails(1, &["ffff", "agentdeck log fox"]);
    test.agentdeck(&["fork", "fox", "fox-2"]).fails(1, &["fox-2"]);
}

#[test]
fn a_pause_holds_through_a_kill_of_the_server_until_it_is_ended() {
    for_both(|test, engine| {
        make(test, "fox", engine, "i=0; while :; do i=$((i+1)); echo $i >count; sleep 0.02; done");
        let inspection = test.agentdeck(&["inspect", "fox", "--json"]).json();
        let count = Path::new(inspection["workspace"].as_str().expect("a path")).join("count");
        let grows = |since: &str| {
            let start = std::time::Instant::now();
            while start.elapsed().as_millis() < 400 {
                let now = std::fs::read_to_string(&count).unwrap_or_default();
                if !now.is_empty() && now != since {
                    return true;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            false
        };
        assert!(grows(""), "it counts");
        test.agentdeck(&["pause", "fox"]).ok();
        assert_eq!(state(test, "fox")["state"], "paused");
        let stood = std::fs::read_to_string(&count).expect("counted");
        assert!(!grows(&stood), "and stands still");
        let refused = ["fox is paused", "agentdeck resume fox"];
        test.agentdeck(&["exec", "fox", "--", "true"]).fails(1, &refused);
        kill_server(test);
        assert_eq!(wait_for_state(test, "fox", "paused")["environment"]["name"], "fox");
        assert!(!grows(&stood));
        test.agentdeck(&["resume", "fox"]).ok();
        assert!(grows(&stood), "it goes on");
        wait_for_state(test, "fox", "running");
        test.agentdeck(&["pause", "fox"]).ok();
        test.agentdeck(&["stop", "fox"]).ok();
        wait_for_state(test, "fox", "stopped");
        test.agentdeck(&["pause", "fox"]).fails(1, &["does not run"]);
    });
}

#[test]
fn little_room_pauses_what_writes_until_there_is_more() {
    let test = TestHome::new();
    let reserve = |amount: &str| {
        let text = format!("[limits]\ndisk_reserve = \"{amount}\"\n");
        std::fs::write(test.home.join("config.toml"), text).expect("written");
    };
    make(&test, "fox", &[], "exec sleep 1000");
    reserve("8000t");
    let paused = wait_for_state(&test, "fox", "paused");
    let reason = paused["environment"]["state"]["reason"].as_str().expect("a reason");
    let named = format!("the disk is nearly full: {} has room for ", test.home.display());
    assert!(reason.starts_with(&named), "{reason}");
    // The user's word stands until there is room and it becomes scarce again.
    test.agentdeck(&["resume", "fox"]).ok();
    make(&test, "owl", &[], "exec sleep 1000");
    wait_for_state(&test, "owl", "paused");
    assert_eq!(state(&test, "fox")["state"], "running");
    kill_server(&test);
    wait_for_state(&test, "owl", "paused");
    reserve("0");
    wait_for_state(&test, "owl", "running");
    wait_for_state(&test, "fox", "running");
    // What the user wants paused too waits for the user.
    reserve("8000t");
    wait_for_state(&test, "owl", "paused");
    wait_for_state(&test, "fox", "paused");
    test.agentdeck(&["pause", "owl"]).ok();
    assert!(state(&test, "owl")["reason"].is_null());
    reserve("0");
    wait_for_state(&test, "fox", "running");
    assert_eq!(state(&test, "owl")["state"], "paused");
}

#[test]
fn a_list_tells_what_each_box_uses_at_that_moment() {
    for_both(|test, engine| {
        make(test, "fox", engine, "exec sleep 1000");
        make(test, "owl", engine, "exec sleep 1000");
        test.agentdeck(&["stop", "owl"]).ok();
        let listed = test.agentdeck(&["ls", "--json"]).json();
        assert!(listed[0]["usage"]["memory"].as_u64().is_some_and(|bytes| bytes > 0), "{listed:#}");
        assert!(listed[0]["usage"]["processes"].as_u64().is_some_and(|count| count > 0));
        assert!(listed[1]["usage"].is_null(), "what does not run uses nothing");
        let shown = test.agentdeck(&["ls"]).ok();
        let row = shown.lines().find(|line| line.starts_with("fox")).expect("a row");
        assert!(row.contains("iB"), "{shown}");
    });
}

#[test]
fn limits_are_shown_and_changed() {
    let test = TestHome::new();
    make(&test, "fox", &["--memory", "2g"], "exec sleep 1000");
    let shown = test.agentdeck(&["limits", "fox"]).ok();
    assert!(shown.contains("memory      2 GiB\n"), "{shown}");
    assert!(shown.contains("pids        the engine's own\n"), "{shown}");
    test.agentdeck(&["stop", "fox"]).ok();
    test.agentdeck(&["limits", "fox", "--pids", "300", "--cpus", "1.5"]).ok();
    let limits = test.agentdeck(&["limits", "fox", "--json"]).json();
    assert_eq!((&limits["processes"], &limits["cpu_millis"]), (&300.into(), &1500.into()));
    assert_eq!(limits["memory"], 2_u64 << 30, "what is not named stays");
    test.agentdeck(&["start", "fox"]).ok();
    test.agentdeck(&["limits", "fox", "--memory", "many"]).fails(2, &["many"]);
    test.agentdeck(&["limits", "fox", "--memory", "1m"]).fails(1, &["1 MiB", "8 MiB"]);
    test.agentdeck(&["new", "ox", "--memory", "1m"]).fails(1, &["1 MiB", "8 MiB"]);
}

#[test]
fn what_was_discarded_comes_back_beside_one_that_has_its_name() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    test.script("fox", "echo first >mark");
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    make(&test, "fox", &[], "exec sleep 1000");
    let undone = test.agentdeck(&["undo"]);
    assert!(undone.stderr.contains("fox-2 is back"), "{undone:#?}");
    test.agentdeck(&["start", "fox-2"]).ok();
    assert_eq!(test.script("fox-2", "cat mark"), "first\n");
    let back = test.agentdeck(&["inspect", "fox-2"]).ok();
    assert!(back.contains("it was called fox"), "{back}");
}

#[test]
fn a_start_says_which_variables_it_was_not_given() {
    let test = TestHome::new();
    let script = "echo \"$KEY-$OTHER\" >said; exec sleep 1000";
    let given = ["new", "fox", "-e", "KEY=secret", "-e", "OTHER=2", "--", "sh", "-c", script];
    test.agentdeck(&given).ok();
    test.agentdeck(&["stop", "fox"]).ok();
    // While the server lives, it knows.
    test.agentdeck(&["start", "fox"]).ok();
    test.agentdeck(&["stop", "fox"]).ok();
    kill_server(&test);
    let hint = ["KEY, OTHER", "agentdeck start fox -e KEY -e OTHER"];
    test.agentdeck(&["start", "fox"]).fails(1, &hint);
    test.agentdeck(&["start", "fox", "-e", "KEY=k"]).fails(1, &["agentdeck start fox -e OTHER"]);
    test.agentdeck(&["fork", "fox", "cub"]).fails(1, &["KEY, OTHER"]);
    test.agentdeck(&["start", "fox", "-e", "KEY=k", "-e", "OTHER="]).ok();
    test.wait_for_json(&["diff", "fox", "--json"], |_| true);
    assert_eq!(test.script("fox", "until grep -q k- said; do :; done; cat said"), "k-\n");
}

#[test]
fn after_a_reboot_environments_are_stopped_with_their_screens_and_start_again() {
    for_both(|test, engine| {
        make(test, "fox", engine, "echo last words; exec sleep 1000");
        test.script("fox", "echo work >work");
        test.wait_for_snapshots("fox", 2);
        root(test, "fox", "mkdir -p /opt; echo tool >/opt/tool");
        let inspection = test.agentdeck(&["inspect", "fox", "--json"]).json();
        let directory = inspection["state_directory"].as_str().expect("a path").to_owned();
        test.agentdeck(&["server", "stop"]).ok();
        reboot(&directory, &inspection);
        wait_for_state(test, "fox", "stopped");
        let log = test.agentdeck(&["log", "fox", "--json"]).json();
        assert_eq!(log.as_array().map(Vec::len), Some(2));
        let screen = last_screen(test, inspection["environment"]["id"].as_str().expect("an id"));
        assert!(screen.contains("last words"), "{screen}");
        test.agentdeck(&["start", "fox"]).ok();
        assert_eq!(test.script("fox", "cat work /opt/tool"), "work\ntool\n");
    });
}

/// The agent's screen as a client is first shown it.
fn last_screen(test: &TestHome, id: &str) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let (client, mut events) = Client::connect_or_start(&test.home).await.expect("connected");
        let environment = EnvironmentId::parse(id).expect("an id");
        let request = Request::WatchScreen { environment, session: SessionId::AGENT };
        client.request(request).await.expect("watched");
        let mut screen = Screen::blank(Size::DEFAULT);
        while let Ok(Some(event)) = tokio::time::timeout(PATIENCE, events.next()).await {
            if let Event::Screen { delta, .. } = event {
                screen.apply(delta);
                break;
            }
        }
        screen.rows.iter().map(Row::text).collect::<Vec<_>>().join("\n")
    })
}

/// Ends a box behind the server's back and has its record tell of another boot.
fn reboot(directory: &str, inspection: &Value) {
    let path = Path::new(directory).join("record.json");
    let mut record: Value =
        serde_json::from_slice(&std::fs::read(&path).expect("a record")).expect("JSON");
    if let Some(container) = record["record"]["container"].as_str() {
        docker::docker(&["kill", container]);
    } else {
        let pid = inspection["init_pid"].as_i64().expect("a box") as i32;
        let pid = rustix::process::Pid::from_raw(pid).expect("not zero");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
    }
    record["record"]["boot"] = "11111111-2222-3333-4444-555555555555".into();
    std::fs::write(&path, record.to_string()).expect("written");
}

#[test]
fn an_environment_whose_image_cannot_be_had_is_discarded_and_started_like_any_other() {
    if !docker::engine_answers() {
        return;
    }
    let test = TestHome::new();
    let image = "agentdeck-nobody.invalid/nothing:at-all";
    let new = ["new", "fox", "--engine", "docker", "--image", image, "--", "true"];
    test.agentdeck(&new).fails(1, &["agentdeck start fox", "agentdeck discard fox"]);
    let before = Traces::of(&test.home, &test.repository);
    assert_eq!(state(&test, "fox")["state"], "failed");
    test.agentdeck(&["start", "fox"]).fails(1, &[image]);
    assert_eq!(Traces::of(&test.home, &test.repository).since(&before), Vec::<String>::new());
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    assert_eq!(Traces::of(&test.home, &test.repository), Traces::default());
    test.agentdeck(&["undo"]).ok();
    assert_ne!(state(&test, "fox")["state"], "running");
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
}
