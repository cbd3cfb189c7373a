//! What programs report of their state, as it is listed: by whom, since when, and after a kill of
//! the server; and that a box reports for itself alone.

use serde_json::Value;

use super::common::home::{TestHome, for_both, make};

/// Says that it waits, until it is told to go on; then that it works, until it is told to end.
const AGENT: &str = "report() { printf '\\033]7501;state=%s\\033\\\\' \"$1\"; }; \
    report blocked:kind=permission:msg=YXBwcm92ZSBhLnR4dA==; \
    while [ ! -e go ]; do sleep 0.05; done; report working; \
    while [ ! -e end ]; do sleep 0.05; done; exit 3";

/// The status of an environment's agent, once it is as wanted.
fn status(test: &TestHome, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let status = |inspection: &Value| inspection["environment"]["sessions"][0]["status"].clone();
    let found = test.wait_for_json(&["inspect", name, "--json"], |it| wanted(&status(it)));
    status(&found)
}

fn tell(test: &TestHome, name: &str, file: &str) {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    let workspace = inspection["workspace"].as_str().expect("a path");
    std::fs::write(std::path::Path::new(workspace).join(file), "").expect("a file");
}

/// The line of an environment in a listing.
fn row(test: &TestHome, name: &str) -> String {
    let table = test.agentdeck(&["ls"]).ok();
    table.lines().find(|line| line.starts_with(name)).expect("a row").to_owned()
}

#[test]
fn an_agent_that_waits_is_listed_with_its_words_and_keeps_its_age_through_a_kill() {
    for_both(|test, options| {
        make(test, "fox", options, AGENT);
        let waiting = |status: &Value| status["state"]["state"] == "waiting";
        let asks = status(test, "fox", waiting);
        assert_eq!(asks["state"]["need"], "permission", "{asks:#}");
        assert_eq!(asks["source"], "report", "{asks:#}");
        assert_eq!(asks["says"], "approve a.txt", "{asks:#}");
        assert!(row(test, "fox").contains("waiting: permission"), "{}", row(test, "fox"));
        let told = test.agentdeck(&["inspect", "fox"]).ok();
        assert!(told.contains("by its own report: approve a.txt"), "{told}");

        test.end_server();
        assert_eq!(status(test, "fox", waiting)["since"], asks["since"]);

        tell(test, "fox", "go");
        let works = status(test, "fox", |status| status["state"]["state"] == "working");
        assert!(works["since"].as_u64() >= asks["since"].as_u64(), "{works:#}");
        assert_eq!(works["says"], Value::Null);
        tell(test, "fox", "end");
        let ended = status(test, "fox", |status| status["source"] == "exit");
        assert_eq!(ended["state"]["state"], "failed", "{ended:#}");
    });
}

#[test]
fn a_program_reports_for_itself_alone_and_one_that_does_not_only_runs() {
    let test = TestHome::new();
    make(&test, "owl", &[], "exec sleep 1000");
    make(&test, "fox", &[], AGENT);
    status(&test, "fox", |status| status["state"]["state"] == "waiting");
    assert_eq!(status(&test, "owl", |_| true), Value::Null);
    assert!(row(&test, "owl").contains("running"), "{}", row(&test, "owl"));
    // A shell's reports are its own: it is not the agent.
    test.script("owl", "printf '\\033]7501;state=working\\033\\\\'");
    assert_eq!(status(&test, "owl", |_| true), Value::Null);
}
