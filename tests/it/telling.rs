//! What agents' hooks tell the first process of their box, and what a shell's processes tell; and
//! that a box which floods it, breaks it or lies changes nothing but what is said of itself.

use serde_json::Value;

use super::common::home::{TestHome, for_both, make};

/// Says by its hooks what it does, step by step as it is told.
const AGENT: &str = "say() { \"$AGENTDECK_SHIM\" shim-say \"$@\"; }; step() { while [ ! -e \"$1\" ]; \
    do sleep 0.05; done; }; say waiting permission; step go; \
    echo '{\"hook_event_name\":\"UserPromptSubmit\",\"session_id\":\"a\"}' | say claude; \
    step end; say done; step on; say ended; exec sleep 1000";

/// Sends what a hostile program might, faster than anybody reads, and at last what it wants people
/// to see.
const HOSTILE: &str = r#"
import os, socket, json
session, address = os.environ["AGENTDECK_STATUS"].split(":", 1)
place = "\0" + address[1:]
near = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
near.connect(place)
near.setblocking(False)
states = ["working", "idle", "done", "waiting", "failed", "asleep"]
broken = [b"\xff" * 4000, b"{" * 100000, b"", b"[" * 3000]
for number in range(5000):
    message = {"session": int(session), "state": states[number % 6], "part": str(number), "at": 2 ** 63}
    text = broken[number % 5] if number % 5 < 4 else json.dumps(message).encode()
    try:
        near.send(text)
    except OSError:
        pass
near.setblocking(True)
for other in (1, 7, 2 ** 32 - 1):
    near.send(json.dumps({"session": other, "state": "failed"}).encode())
near.send(json.dumps({"session": int(session), "state": "begun"}).encode())
near.send(json.dumps({"session": int(session), "state": "waiting", "need": "login",
                      "says": "\x1b]0;owned\x07\x9b31mlog in \u202ehere" + "x" * 500}).encode())
open("told", "w")
"#;

fn status(test: &TestHome, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let status = |inspection: &Value| inspection["environment"]["sessions"][0]["status"].clone();
    let found = test.wait_for_json(&["inspect", name, "--json"], |it| wanted(&status(it)));
    status(&found)
}

fn is(state: &'static str, source: &'static str) -> impl Fn(&Value) -> bool {
    move |status| status["state"]["state"] == state && status["source"] == source
}

fn workspace(test: &TestHome, name: &str) -> std::path::PathBuf {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    inspection["workspace"].as_str().expect("a path").into()
}

fn tell(test: &TestHome, name: &str, file: &str) {
    std::fs::write(workspace(test, name).join(file), "").expect("a file");
}

#[test]
fn what_hooks_tell_is_shown_with_its_source_and_outlives_the_server() {
    for_both(|test, options| {
        make(test, "fox", options, AGENT);
        let asks = status(test, "fox", is("waiting", "hook"));
        assert_eq!(asks["state"]["need"], "permission", "{asks:#}");
        let told = test.agentdeck(&["inspect", "fox"]).ok();
        assert!(told.contains("by its hooks"), "{told}");
        test.end_server();
        assert_eq!(status(test, "fox", is("waiting", "hook"))["since"], asks["since"]);
        tell(test, "fox", "go");
        status(test, "fox", is("working", "hook"));
        tell(test, "fox", "end");
        status(test, "fox", is("done", "hook"));
        tell(test, "fox", "on");
        status(test, "fox", is("unknown", "nothing"));
    });
}

#[test]
fn an_unisolated_environment_is_heard_too() {
    let test = TestHome::new();
    make(&test, "fox", &["--unisolated"], AGENT);
    status(&test, "fox", is("waiting", "hook"));
}

#[test]
fn a_box_that_floods_breaks_and_lies_changes_only_what_is_said_of_itself() {
    let test = TestHome::new();
    make(&test, "owl", &[], "exec sleep 1000");
    let script = format!("python3 -c '{HOSTILE}'; exec sleep 1000");
    make(&test, "fox", &[], &script);
    let server = test.server();
    let asks = status(&test, "fox", |status| status["state"]["need"] == "login");
    let says = asks["says"].as_str().expect("words");
    assert!(says.starts_with("]0;owned31mlog in herexxx"), "{says:?}");
    assert!(says.chars().count() <= 160, "{says:?}");
    assert!(workspace(&test, "fox").join("told").exists(), "all of it was sent");
    assert_eq!(test.server(), server, "the server did not end");
    assert_eq!(status(&test, "owl", |_| true), Value::Null, "the sibling said nothing");
    let sessions = test.agentdeck(&["inspect", "fox", "--json"]).json();
    let sessions = sessions["environment"]["sessions"].as_array().map(Vec::len);
    assert_eq!(sessions, Some(1), "no session was made up");
    let log = std::fs::read_to_string(test.home.join("server.log")).expect("a log");
    assert!(log.contains("were dropped as malformed"), "{log}");
    // The control: the same words reach their own status when the other box says them.
    test.script("owl", "AGENTDECK_STATUS=0:@agentdeck-status /run/agentdeck-shim shim-say failed");
    status(&test, "owl", is("failed", "hook"));
}

#[test]
fn a_shell_works_while_something_has_its_terminal_and_nobody_it_ran_outlives_its_prompt() {
    let test = TestHome::new();
    test.agentdeck(&["new", "fox", "--agent", "shell"]).ok();
    status(&test, "fox", is("idle", "processes"));
    test.agentdeck(&["send", "fox", "sleep 1000"]).ok();
    status(&test, "fox", is("working", "processes"));
    test.script("fox", "kill $(pidof sleep)");
    status(&test, "fox", is("idle", "processes"));
    let agent = "sh -c '\"$AGENTDECK_SHIM\" shim-say waiting permission; sleep 1000; :'";
    test.agentdeck(&["send", "fox", agent]).ok();
    status(&test, "fox", is("waiting", "hook"));
    test.script("fox", "kill -9 $(pidof sleep)");
    status(&test, "fox", is("idle", "processes"));
}
