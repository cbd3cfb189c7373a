//! The main job through the binary: make, work, look, take, throw away, and take back.

use serde_json::Value;

use crate::common::home::TestHome;
use crate::docker::{Image, engine_answers};

/// An agent that waits for ever.
const WAIT: [&str; 4] = ["--", "sh", "-c", "exec sleep 1000000"];

/// What an agent does in these tests: a changed file, a removed one, a new one, one that git
/// ignores, and a mode.
const WORK: &str = "echo two and a half >>price; rm .gitignore; mkdir -p deep/er; \
                    printf 'no end of line' >deep/er/new; chmod +x price; echo noise >build.log";

fn new(test: &TestHome, name: &str) {
    let arguments = [&["new", name][..], &WAIT].concat();
    assert_eq!(test.agentdeck(&arguments).ok(), format!("{name}\n"));
}

/// An environment whose agent did its work, snapshot taken.
fn worked() -> TestHome {
    let test = TestHome::new();
    new(&test, "one");
    test.script("one", WORK);
    // `build.log` is no longer ignored once `.gitignore` is gone.
    test.wait_for_json(&["diff", "one", "--json"], |diff| files(diff).len() == 4);
    test
}

fn files(diff: &Value) -> Vec<&Value> {
    diff["files"].as_array().expect("files").iter().collect()
}

#[test]
fn a_change_becomes_a_snapshot_by_itself_and_a_patch_that_git_takes() {
    let test = TestHome::new();
    new(&test, "one");
    test.script("one", WORK);
    // Nothing asks for a snapshot here: `log` only reads.
    let log = test.wait_for_snapshots("one", 2);
    assert_eq!(log.as_array().expect("a list").last().expect("a base")["cause"], "base");
    // As the command ended, or a moment earlier: whichever was noticed first.
    let cause = log[0]["cause"].as_str().expect("a cause");
    assert!(["command", "change"].contains(&cause), "{cause}");
    let stat = test.agentdeck(&["diff", "one", "--stat"]).ok();
    for name in [".gitignore", "build.log", "deep/er/new", "price"] {
        assert!(stat.contains(name), "{name} in {stat}");
    }
    let patch = test.agentdeck(&["diff", "one"]).ok();
    let checked = test.git_output(&test.repository, &["apply", "--check", "-"], patch.as_bytes());
    assert!(checked.status.success(), "{checked:?} of {patch}");
    test.git_output(&test.repository, &["apply", "-"], patch.as_bytes());
    let deep = std::fs::read(test.repository.join("deep/er/new")).expect("there");
    assert_eq!(deep, b"no end of line");
}

#[test]
fn what_is_applied_is_in_the_working_tree_until_undo_takes_it_out() {
    let test = worked();
    let before = test.picture();
    test.agentdeck(&["apply", "one"]).ok();
    let status = test.git(&["status", "--porcelain", "-uall"]);
    assert_eq!(status, " D .gitignore\n M price\n?? build.log\n?? deep/er/new\n");
    assert_eq!(test.git(&["diff", "--summary"]).lines().count(), 2, "a deletion and a mode");
    test.agentdeck(&["undo"]).ok();
    TestHome::assert_same(&before, &test.picture());
    test.agentdeck(&["undo"]).fails(1, &["undo"]);
}

#[test]
fn uncommitted_work_in_the_way_is_named_and_stays() {
    let test = worked();
    std::fs::write(test.repository.join("price"), "mine\n").expect("written");
    let before = test.picture();
    test.agentdeck(&["apply", "one"]).fails(1, &["price"]);
    test.agentdeck(&["merge", "one"]).fails(1, &["price"]);
    TestHome::assert_same(&before, &test.picture());
}

#[test]
fn a_merge_is_a_commit_of_both_sides_until_undo_takes_it_back() {
    let test = worked();
    let opened = "#!/bin/sh\necho opened\n";
    std::fs::write(test.repository.join("till/open"), opened).expect("written");
    test.git(&["commit", "-qam", "said better"]);
    let before = test.picture();
    let merged = test.agentdeck(&["merge", "one", "-m", "take it", "--json"]).json();
    let commit = merged["commit"].as_str().expect("a commit").to_owned();
    assert_eq!(test.git(&["rev-parse", "main"]).trim(), commit);
    assert_eq!(test.git(&["rev-list", "--parents", "-n1", "main"]).split_whitespace().count(), 3);
    assert_eq!(test.git(&["log", "-1", "--format=%s %an"]), "Merge one: take it Ada\n");
    assert_eq!(test.git(&["log", "-1", "--format=%s", "main^2"]), "take it\n");
    assert_eq!(test.git(&["status", "--porcelain"]), "");
    assert_eq!(test.git(&["show", "main:deep/er/new"]), "no end of line");
    assert_eq!(test.git(&["show", "main:till/open"]), opened);
    test.agentdeck(&["undo"]).ok();
    let (mut after, mut before) = (test.picture(), before);
    // The index may be written anew; what it says is the same, as the status shows.
    after.remove(".git/index");
    before.remove(".git/index");
    TestHome::assert_same(&before, &after);
}

#[test]
fn a_merge_with_conflicts_changes_nothing_and_names_them() {
    let test = worked();
    std::fs::write(test.repository.join("price"), "one\ntwo\nthree\nfour\n").expect("written");
    test.git(&["commit", "-qam", "another end"]);
    let before = test.picture();
    test.agentdeck(&["merge", "one"]).fails(1, &["price"]);
    TestHome::assert_same(&before, &test.picture());
}

#[test]
fn a_discarded_environment_comes_back_whole_and_starts_again() {
    let test = TestHome::new();
    new(&test, "one");
    test.script("one", "echo kept >made; echo ignored >build.log; echo home >~/note");
    test.agentdeck(&["discard", "one"]).fails(1, &["--yes"]);
    test.agentdeck(&["discard", "--yes", "one"]).ok();
    assert_eq!(test.agentdeck(&["ls", "--json"]).json(), Value::Array(Vec::new()));
    test.agentdeck(&["inspect", "one"]).fails(1, &["one"]);
    test.agentdeck(&["undo"]).ok();
    test.agentdeck(&["start", "one"]).ok();
    let found = test.script("one", "cat made build.log ~/note");
    assert_eq!(found, "kept\nignored\nhome\n");
}

#[test]
fn a_stopped_environment_starts_with_its_files() {
    let test = TestHome::new();
    new(&test, "one");
    test.script("one", "echo kept >made");
    test.agentdeck(&["stop", "one"]).ok();
    test.agentdeck(&["exec", "one", "--", "true"]).fails(1, &["one"]);
    assert!(test.agentdeck(&["diff", "one"]).ok().contains("+kept"), "readable while stopped");
    test.agentdeck(&["start", "one"]).ok();
    assert_eq!(test.script("one", "cat made"), "kept\n");
}

#[test]
fn two_attempts_are_compared_file_by_file_and_line_by_line() {
    let test = TestHome::new();
    new(&test, "one");
    new(&test, "two");
    test.script("one", "echo four >>price; echo same >both");
    test.script("two", "echo five >>price; echo same >both; echo only >lone");
    let table = test.agentdeck(&["compare", "one", "two"]).ok();
    let row = |name: &str| {
        let line = table.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} in {table}")).split_whitespace().collect::<Vec<_>>()
    };
    assert_eq!(row("both"), ["both", "same", "added", "+1", "−0", "=", "A"]);
    assert_eq!(row("lone"), ["lone", "only", "B", "–", "added", "+1", "−0"]);
    let price = ["price", "A", "≠", "B", "changed", "+1", "−0", "changed", "+1", "−0"];
    assert_eq!(row("price"), price);
    let order: Vec<&str> =
        table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(order, ["FILE", "price", "lone", "both", "3"], "the most disagreement first");
    let patch = test.agentdeck(&["compare", "one", "two", "--patch"]).ok();
    assert!(patch.contains("-four\n+five") && patch.contains("+only"), "{patch}");
    let lines = test.agentdeck(&["compare", "one", "two", "--file", "price"]).ok();
    assert!(lines.contains("4*four") && lines.contains("4*five"), "{lines}");
}

#[test]
fn what_a_merge_would_come_to_is_told_without_being_asked() {
    let test = TestHome::new();
    new(&test, "one");
    new(&test, "two");
    test.script("one", "echo four >>price");
    test.script("two", "echo five >>price; echo more >lone");
    let of = |all: &Value, name: &str| -> Value {
        let all = all.as_array().cloned().unwrap_or_default();
        let found = all.into_iter().find(|view| view["name"] == name);
        found.map(|view| view["prediction"].clone()).unwrap_or_default()
    };
    test.wait_for_json(&["ls", "--json"], |all| {
        let fit = &of(all, "one")["siblings"][0]["fit"];
        fit["conflicts"] == 1 && fit["paths"][0] == "price"
    });
    assert!(test.agentdeck(&["ls"]).ok().contains("clean, not after two"));
    // The user commits what the first does not fit with.
    let price = test.repository.join("price");
    let text = std::fs::read_to_string(&price).expect("a file");
    std::fs::write(&price, format!("{text}six\n")).expect("it is written");
    test.git(&["commit", "-qam", "six"]);
    test.wait_for_json(&["ls", "--json"], |all| {
        of(all, "one")["branch"]["conflicts"] == 1 && of(all, "two")["branch"]["conflicts"] == 1
    });
}

#[test]
fn every_report_is_json_on_request() {
    let test = worked();
    let all = test.agentdeck(&["ls", "--json"]).json();
    assert_eq!(all[0]["name"], "one");
    let inspected = test.agentdeck(&["inspect", "one", "--json"]).json();
    assert_eq!(inspected["environment"]["isolation"]["level"], "enforced");
    let doctor = test.agentdeck(&["doctor", "--json"]).json();
    assert_eq!(doctor["engines"][0]["usable"], true, "{doctor:#}");
    let findings = doctor["findings"].as_array().expect("findings");
    assert!(findings.iter().any(|finding| finding["area"] == "kernel"), "{doctor:#}");
    let status = test.agentdeck(&["server", "status", "--json"]).json();
    assert_eq!(status["pid"], test.server().expect("a server"));
    assert_eq!(test.agentdeck(&["apply", "one", "--json"]).json()["kind"], "apply");
    assert_eq!(test.agentdeck(&["undo", "--json"]).json()["undone"], true);
    let failed = test.agentdeck(&["inspect", "nobody", "--json"]).fails(1, &[]);
    let failed: Value = serde_json::from_str(&failed.stderr).expect("JSON on standard error");
    assert_eq!(failed["error"]["kind"], "not-found");
    assert_eq!(test.agentdeck(&["server", "stop", "--json"]).json()["stopped"], true);
    test.agentdeck(&["server", "status", "--json"]).fails(1, &["error"]);
}

#[test]
fn the_users_repository_is_touched_by_nothing_but_our_pin() {
    let test = TestHome::new();
    std::fs::write(test.repository.join("price"), "uncommitted\n").expect("written");
    std::fs::write(test.repository.join("build.log"), "ignored\n").expect("written");
    let before = test.picture_without_pins();
    new(&test, "one");
    let pins = test.git(&["for-each-ref", "--format=%(refname) %(objectname)", "refs/agentdeck"]);
    let head = test.git(&["rev-parse", "HEAD"]);
    assert_eq!(pins.lines().count(), 1);
    assert!(pins.starts_with("refs/agentdeck/pin/") && pins.ends_with(&head), "{pins}");
    test.script("one", &format!("{WORK}; git commit -qam 'by the agent'"));
    test.wait_for_snapshots("one", 2);
    TestHome::assert_same(&before, &test.picture_without_pins());
    test.agentdeck(&["discard", "--yes", "one"]).ok();
    TestHome::assert_same(&before, &test.picture_without_pins());
}

#[test]
fn exit_codes_say_what_happened() {
    let test = TestHome::new();
    new(&test, "one");
    let exec = |script: &str| test.agentdeck(&["exec", "one", "--", "sh", "-c", script]).code;
    assert_eq!((exec("exit 0"), exec("exit 7"), exec("kill -9 $$")), (0, 7, 137));
    test.agentdeck(&["frobnicate"]).fails(2, &["frobnicate"]);
    test.agentdeck(&["diff"]).fails(2, &["<NAME>"]);
    test.agentdeck(&["diff", "nobody"]).fails(1, &["nobody"]);
    assert_eq!(
        test.agentdeck(&["--version"]).ok(),
        concat!("agentdeck ", env!("CARGO_PKG_VERSION"), "\n")
    );
}

#[test]
fn a_variable_reaches_the_agent_from_the_client_that_asks() {
    let test = TestHome::new();
    test.agentdeck(&["server", "start"]).ok();
    let script = "echo $TOKEN $GIVEN >seen; exec sleep 1000000";
    let arguments = ["new", "one", "-e", "TOKEN", "-e", "GIVEN=b=c", "--", "sh", "-c", script];
    let made = test.command(&arguments).env("TOKEN", "secret").output().expect("started");
    assert!(made.status.success(), "{made:?}");
    test.wait_for_snapshots("one", 2);
    assert_eq!(test.script("one", "cat seen"), "secret b=c\n");
}

#[test]
fn the_docker_engine_does_the_same_job() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let test = TestHome::new();
    let arguments =
        [&["new", "one", "--engine", "docker", "--image", &image.0][..], &WAIT].concat();
    test.agentdeck(&arguments).ok();
    let inspected = test.agentdeck(&["inspect", "one", "--json"]).json();
    assert_eq!(inspected["environment"]["isolation"]["level"], "enforced", "{inspected:#}");
    test.script("one", "echo four >>price");
    test.wait_for_snapshots("one", 2);
    assert!(test.agentdeck(&["diff", "one"]).ok().contains("+four"));
    let before = test.picture();
    test.agentdeck(&["apply", "one"]).ok();
    assert_eq!(test.git(&["status", "--porcelain"]), " M price\n");
    test.agentdeck(&["undo"]).ok();
    TestHome::assert_same(&before, &test.picture());
    test.agentdeck(&["discard", "--yes", "one"]).ok();
    test.agentdeck(&["undo"]).ok();
    test.agentdeck(&["start", "one"]).ok();
    assert_eq!(test.script("one", "tail -n1 price"), "four\n");
}
