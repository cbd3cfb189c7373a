//! Terminals that go, that are signalled, and that change their size ten thousand times.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::{Dice, lives, rounds, wait_until};
use crate::common::home::TestHome;
use crate::common::pty::Pty;

/// Prints without end, on request a word at its end.
const FLOOD: &str = "i=0; while [ ! -e stop ]; do i=$((i+1)); echo \"flood $i \
    0123456789012345678901234567890123456789012345678901234567890123456789\"; done; \
    echo all is said; exec sleep 1000";

#[test]
fn every_signal_that_ends_the_screen_gives_the_terminal_back() {
    let test = TestHome::new();
    let script = "echo ready; exec sleep 1000";
    test.agentdeck(&["new", "ant", "--", "sh", "-c", script]).ok();
    for arguments in [&[][..], &["attach", "ant"]] {
        for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
            let mut screen = Pty::open(&test, arguments, 80, 24);
            screen.wait_for_text("ready");
            screen.signal(signal);
            screen.wait_for_end();
            screen.assert_restored();
        }
    }
}

#[test]
fn a_terminal_that_goes_ends_its_screen_and_nothing_else() {
    let test = TestHome::new();
    let script = "echo ready; while read -r line; do echo \"got <$line>\"; done";
    test.agentdeck(&["new", "ant", "--", "sh", "-c", script]).ok();
    let held = |listed: &serde_json::Value| listed[0]["sessions"][0]["taken"] == true;
    // A terminal emulator without a window; killed, it takes its terminal with it.
    let place = test.path().join("pid");
    let inner = format!("echo $$ >{}; exec {}", place.display(), env!("CARGO_BIN_EXE_agentdeck"));
    let mut emulator = Command::new("script");
    emulator.args(["-qfc", &inner, "/dev/null"]).current_dir(&test.repository);
    emulator.env_clear().envs(test.variables());
    emulator.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let Ok(mut emulator) = emulator.spawn() else { return };
    let read = || std::fs::read_to_string(&place).ok()?.trim().parse::<u32>().ok();
    wait_until("the screen opens", || read().is_some());
    let pid = read().expect("a process id");
    let mut keys = emulator.stdin.take().expect("a pipe");
    wait_until("the keyboard is taken", || {
        keys.write_all(b"\r").expect("typed");
        held(&test.agentdeck(&["ls", "--json"]).json())
    });
    emulator.kill().expect("killed");
    emulator.wait().expect("ended");
    wait_until("the screen ends with its terminal", || !lives(pid));
    // The keyboard is nobody's, so that the next one may have it.
    test.wait_for_json(&["ls", "--json"], |listed| !held(listed));
    let mut next = Pty::open(&test, &[], 80, 24);
    next.wait_for_text("ready");
    next.send("\r");
    next.wait_for_text("Ctrl+Q");
    next.send("hello\r");
    next.wait_for_text("got <hello>");
}

#[test]
fn a_storm_of_resizes_under_a_flood_leaves_a_whole_screen() {
    let mut dice = Dice::new();
    let test = TestHome::new();
    test.agentdeck(&["new", "ant", "--", "sh", "-c", FLOOD]).ok();
    let found = test.agentdeck(&["inspect", "ant", "--json"]).json();
    let workspace = std::path::PathBuf::from(found["workspace"].as_str().expect("a path"));
    let mut screen = Pty::open(&test, &[], 100, 30);
    screen.wait_for_text("flood ");
    let columns =
        |found: &serde_json::Value| found["environment"]["sessions"][0]["size"]["columns"].as_u64();
    let inspect = ["inspect", "ant", "--json"];
    let first = columns(&found);
    let before = test.wait_for_json(&inspect, |found| columns(found) != first);
    let storm = if rounds(1) > 1 { 10_000 } else { 500 };
    for number in 0..storm {
        let (columns, rows) = (1 + dice.below(300) as u16, 1 + dice.below(100) as u16);
        screen.resize(columns, rows);
        screen.settle_for(Duration::from_millis(1 + dice.below(3)));
        if number % 1_000 == 999 {
            let _ = writeln!(std::io::stderr(), "{} resizes", number + 1);
        }
    }
    screen.resize(100, 30);
    std::fs::write(workspace.join("stop"), "").expect("written");
    let shown = screen.wait_for_text("all is said");
    assert!(shown.contains("agentdeck") && shown.contains("ant"), "{shown}");
    // What the program was told last is the size that is shown.
    let after = test.wait_for_json(&inspect, |found| columns(found) == columns(&before));
    assert_eq!(after["init_pid"], found["init_pid"]);
    screen.send("q");
    assert_eq!(screen.wait_for_end(), 0);
    screen.assert_restored();
}
