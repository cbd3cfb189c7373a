//! Agents that are started again: what they are told, and whether they go on where they were.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::common::home::{TestHome, for_both};

/// Notes in its home how it was started, and keeps a conversation there once it was told something.
/// Where it is told to die it does so before that, the first time.
const AGENT: &str = r#"
    echo "$*" >>~/starts
    case "$*" in *die*) [ -e ~/died ] || { : >~/died; exit 1; };; esac
    case "$*" in --task=*) mkdir -p ~/.fake/talks; echo "$*" >>~/.fake/talks/1.talk;; esac
    exec sleep 1000
"#;

/// A profile for it, with what else is said of the profile.
fn configure(test: &TestHome, more: &str) {
    let script = AGENT.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let text = format!(
        "[agents.fake]\ncommand = [\"sh\", \"-c\", \"{script}\", \"fake\"]\n\
         task = [\"--task={{task}}\"]\n{more}\n"
    );
    std::fs::create_dir_all(&test.home).expect("made");
    std::fs::write(test.home.join("config.toml"), text).expect("written");
}

const RESUMES: &str = "resume = [\"--again\"]\nevidence = \".fake/talks/*.talk\"";

fn make(test: &TestHome, options: &[&str], task: &str) {
    let named = ["new", "fox", "--agent", "fake", "--task", task];
    test.agentdeck(&[&named[..], options].concat()).ok();
}

/// Waits until an agent was started so often, and tells how each time.
fn starts(test: &TestHome, name: &str, count: usize) -> Vec<String> {
    let read = || {
        let text = test.script(name, "cat ~/starts 2>/dev/null || :");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let begun = std::time::Instant::now();
    loop {
        let found = read();
        if found.len() >= count {
            return found;
        }
        let patience = super::common::talk::PATIENCE;
        assert!(begun.elapsed() < patience, "started {found:?}, not {count} times");
    }
}

fn inspect(test: &TestHome, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let found = test.wait_for_json(&["inspect", name, "--json"], |it| wanted(&it["environment"]));
    found["environment"].clone()
}

fn notes(environment: &Value) -> String {
    environment["notes"].to_string()
}

fn again(test: &TestHome) {
    test.agentdeck(&["stop", "fox"]).ok();
    test.agentdeck(&["start", "fox"]).ok();
}

#[test]
fn an_agent_goes_on_with_its_conversation_whatever_ended_it() {
    for_both(|test, options| {
        configure(test, RESUMES);
        make(test, options, "mend \"the till\"; $(rm) -f");
        let first = "--task=mend \"the till\"; $(rm) -f";
        assert_eq!(starts(test, "fox", 1), [first], "one word, whatever is in it");
        let new = inspect(test, "fox", |it| it["sessions"][0]["state"]["state"] == "running");
        assert_eq!(new["resumed"], false);
        assert_eq!(new["task"], "mend \"the till\"; $(rm) -f");

        again(test);
        assert_eq!(starts(test, "fox", 2), [first, "--again"], "and is not told twice");
        let told = test.agentdeck(&["inspect", "fox"]).ok();
        assert!(told.contains("resumed     its agent went on"), "{told}");
        assert!(told.contains("task        mend"), "{told}");

        let inspection = test.agentdeck(&["inspect", "fox", "--json"]).json();
        let init = inspection["init_pid"].as_i64().expect("a process");
        kill_process(Pid::from_raw(init as i32).expect("not zero"), Signal::KILL).expect("killed");
        inspect(test, "fox", |it| it["state"]["state"] == "stopped");
        test.end_server();
        test.agentdeck(&["start", "fox"]).ok();
        assert_eq!(starts(test, "fox", 3), [first, "--again", "--again"]);
        let resumed = inspect(test, "fox", |it| it["resumed"] == true);
        assert_eq!(notes(&resumed).matches("conversation").count(), 0, "{resumed:#}");
    });
}

#[test]
fn a_task_is_given_again_to_an_agent_that_died_before_it_began() {
    let test = TestHome::new();
    configure(&test, RESUMES);
    make(&test, &[], "die early");
    let task = "--task=die early";
    inspect(&test, "fox", |it| it["sessions"][0]["state"]["state"] == "exited");
    test.agentdeck(&["start", "fox"]).ok();
    assert_eq!(starts(&test, "fox", 2), [task, task]);
    assert_eq!(inspect(&test, "fox", |_| true)["resumed"], false);
    again(&test);
    assert_eq!(starts(&test, "fox", 3), [task, task, "--again"]);
}

#[test]
fn an_agent_that_began_and_left_no_conversation_is_started_without_its_task_and_it_is_said() {
    let test = TestHome::new();
    configure(&test, RESUMES);
    make(&test, &[], "mend");
    starts(&test, "fox", 1);
    test.script("fox", "echo mended >price; rm -r ~/.fake");
    test.wait_for_snapshots("fox", 2);
    again(&test);
    assert_eq!(starts(&test, "fox", 2), ["--task=mend", ""]);
    let told = inspect(&test, "fox", |it| notes(it).contains("started without its task"));
    assert_eq!(told["resumed"], false);

    // A conversation that is there again, it goes on with, and nothing is left to say.
    test.script("fox", "mkdir -p ~/.fake/talks; echo so >~/.fake/talks/2.talk");
    again(&test);
    assert_eq!(starts(&test, "fox", 3)[2], "--again");
    let resumed = inspect(&test, "fox", |it| it["resumed"] == true);
    assert!(!notes(&resumed).contains("conversation"), "{resumed:#}");
}

#[test]
fn a_link_out_of_the_box_tells_of_no_conversation() {
    let test = TestHome::new();
    configure(&test, RESUMES);
    make(&test, &[], "mend");
    starts(&test, "fox", 1);
    let outside = test.path().join("user");
    std::fs::write(outside.join("1.talk"), "the user's own").expect("written");
    let outside = outside.display();
    test.script("fox", &format!("rm -r ~/.fake/talks; ln -s {outside} ~/.fake/talks"));
    again(&test);
    assert_eq!(starts(&test, "fox", 2), ["--task=mend", "--task=mend"]);
}

#[test]
fn without_evidence_every_start_but_the_first_resumes_and_without_resuming_it_is_said() {
    let test = TestHome::new();
    configure(&test, "resume = [\"--again\"]");
    make(&test, &[], "mend");
    starts(&test, "fox", 1);
    again(&test);
    assert_eq!(starts(&test, "fox", 2), ["--task=mend", "--again"]);
    configure(&test, "");
    again(&test);
    assert_eq!(starts(&test, "fox", 3)[2], "");
    inspect(&test, "fox", |it| notes(it).contains("started without its task"));
}

#[test]
fn a_fork_of_now_goes_on_and_one_of_an_older_snapshot_begins_anew() {
    let test = TestHome::new();
    configure(&test, RESUMES);
    make(&test, &[], "mend");
    starts(&test, "fox", 1);
    test.script("fox", "echo mended >price");
    let log = test.wait_for_snapshots("fox", 2);
    let base = log[1]["id"].as_str().expect("an id");
    test.agentdeck(&["fork", "fox", "cub"]).ok();
    assert_eq!(starts(&test, "cub", 2), ["--task=mend", "--again"]);
    test.agentdeck(&["fork", "fox", "old", "--from", base]).ok();
    assert_eq!(starts(&test, "old", 2), ["--task=mend", ""], "its talk is of files to come");
    let old = inspect(&test, "old", |it| notes(it).contains("started without its task"));
    assert_eq!(old["resumed"], false);
    test.script("old", "echo new >~/.fake/talks/2.talk");
    test.agentdeck(&["stop", "old"]).ok();
    test.agentdeck(&["start", "old"]).ok();
    assert_eq!(starts(&test, "old", 3)[2], "--again", "this one is its own");
}

#[test]
fn a_task_that_cannot_be_given_is_refused_before_anything_is_made() {
    let test = TestHome::new();
    configure(&test, RESUMES);
    let new = |words: &[&str]| test.agentdeck(&[&["new", "fox"], words].concat());
    new(&["--task", "mend"]).fails(1, &["shell is not an agent that is given a task"]);
    new(&["--agent", "fake", "--task", " "]).fails(1, &["the task is no text"]);
    let long = "x".repeat(16 * 1024 + 1);
    new(&["--agent", "fake", "--task", &long]).fails(1, &["16385 bytes, more than 16384"]);
    new(&["--task", "mend", "--", "sleep", "1"]).fails(2, &["--task"]);
    assert_eq!(test.agentdeck(&["ls", "--json"]).json(), Value::Array(Vec::new()));
}

#[test]
fn a_new_conversation_is_begun_for_a_person_who_wants_one_and_only_then() {
    let test = TestHome::new();
    configure(&test, RESUMES);
    make(&test, &[], "mend");
    starts(&test, "fox", 1);
    // Refused, it is not kept for later.
    test.agentdeck(&["start", "fox", "--anew"]).fails(1, &["fox runs already"]);
    again(&test);
    assert_eq!(starts(&test, "fox", 2)[1], "--again");
    test.agentdeck(&["stop", "fox"]).ok();
    test.agentdeck(&["start", "fox", "--anew"]).ok();
    assert_eq!(starts(&test, "fox", 3)[2], "");
    let new = inspect(&test, "fox", |it| it["resumed"] == false);
    assert!(!notes(&new).contains("task"), "{new:#}");
    again(&test);
    assert_eq!(starts(&test, "fox", 4)[3], "--again");
}
