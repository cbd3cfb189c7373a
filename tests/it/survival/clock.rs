//! A clock that is set while the deck runs: nothing expires, ends or is shown as negative, and what
//! came later is still later.
//!
//! No namespace gives a process a time of day of its own, and a static binary takes no library
//! before it: builds with debug assertions add to the clock what a file says. Timers go by the
//! monotonic clock, which nothing sets.

use serde_json::Value;

use super::{Dice, rounds};
use crate::common::home::TestHome;

const DAY: i64 = 24 * 60 * 60 * 1000;

/// Sets the server's clock so many milliseconds off.
fn set(test: &TestHome, millis: i64) {
    std::fs::write(test.path().join("clock"), millis.to_string()).expect("written");
}

fn home() -> TestHome {
    let mut test = TestHome::new();
    let file = test.path().join("clock");
    test.also.push(("AGENTDECK_CLOCK", file.display().to_string()));
    test
}

fn ids(log: &Value) -> Vec<&str> {
    log.as_array().expect("a list").iter().map(|one| one["id"].as_str().expect("an id")).collect()
}

/// What a server does may not depend on which way the clock goes, nor how far.
#[test]
fn a_clock_that_jumps_ends_nothing_and_disorders_nothing() {
    let test = home();
    test.agentdeck(&["new", "fox", "--", "sh", "-c", "exec sleep 1000"]).ok();
    let before = test.agentdeck(&["inspect", "fox", "--json"]).json();
    let mut dice = Dice::new();
    let mut snapshots = 1;
    for round in 0..rounds(6) {
        let days = dice.below(800) as i64 - 400;
        set(&test, days * DAY);
        test.script("fox", &format!("echo {round} >>work"));
        snapshots += 1;
        let log = test.wait_for_snapshots("fox", snapshots);
        // By what each came from, whatever their times say.
        for pair in log.as_array().expect("a list").windows(2) {
            assert_eq!(pair[0]["parent"], pair[1]["id"], "{days} days: {log:#}");
        }
        let now = test.agentdeck(&["inspect", "fox", "--json"]).json();
        assert_eq!(now["init_pid"], before["init_pid"], "{days} days");
        assert_eq!(now["environment"]["state"]["state"], "running", "{days} days");
        let shown = test.agentdeck(&["ls"]).ok();
        assert!(!shown.contains(" -"), "an age is negative, {days} days off: {shown}");
    }
    let log = test.agentdeck(&["log", "fox", "--json"]).json();
    assert_eq!(ids(&log).len(), snapshots);
}

#[test]
fn the_last_decision_is_the_one_that_was_made_last() {
    let test = home();
    set(&test, 0);
    for name in ["ant", "bee"] {
        test.agentdeck(&["new", name, "--", "sh", "-c", "exec sleep 1000"]).ok();
    }
    set(&test, 300 * DAY);
    test.agentdeck(&["discard", "ant", "--yes"]).ok();
    set(&test, -300 * DAY);
    test.agentdeck(&["discard", "bee", "--yes"]).ok();
    // A year ahead nothing is old for a moment's jump alone.
    set(&test, 400 * DAY);
    let trash = test.agentdeck(&["trash", "--json"]).json();
    assert_eq!(trash.as_array().map(Vec::len), Some(2), "{trash:#}");
    assert!(test.agentdeck(&["undo"]).stderr.contains("bee is back"));
    assert!(test.agentdeck(&["undo"]).stderr.contains("ant is back"));
}
