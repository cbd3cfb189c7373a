//! Boxes that take all they can get, a few of eight kinds at a time: the host stays well, and a
//! sibling's program answers.

use std::io::Write;
use std::time::{Duration, Instant};

use agentdeck::client::Client;
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::proto::{Event, Request};
use serde_json::{Value, json};

use super::{Dice, rounds};
use crate::common::home::TestHome;
use crate::common::talk::PATIENCE;
use crate::docker::{Image, engine_answers};

/// What a box may have of everything that a bomb wants.
const LIMITS: [&str; 8] = ["--cpus", "0.5", "--memory", "256m", "--pids", "256", "--files", "1024"];

/// Shows each byte that is typed.
const ECHO: &str = "stty raw -echo; printf 'ready '; exec cat";

/// Keys typed while the bombs go off.
const KEYS: u64 = 40;

/// As many of everything as a person's next command may need.
const SPARE: usize = 32;

/// A bomb and the attack it is, as `box-attack` takes it.
fn bombs() -> [(&'static str, Value); 8] {
    const MIB: u64 = 1 << 20;
    [
        ("forks", json!({ "forks": { "count": 600 } })),
        ("memory", json!({ "memory": { "bytes": 512 * MIB } })),
        ("disk", json!({ "fill": { "path": "bomb", "bytes": 4 * MIB, "pace_ms": 250 } })),
        ("watchers", json!({ "watchers": { "count": 512, "hold_seconds": 2 } })),
        ("output", json!({ "print": { "bytes": 64 * MIB } })),
        ("files", json!({ "descriptors": { "count": 4096 } })),
        ("processor", json!({ "hog": { "programs": 4, "seconds": 2 } })),
        ("churn", json!({ "churn": { "seconds": 2 } })),
    ]
}

/// Starts an agent that is a bomb, going off again and again.
fn set(test: &TestHome, engine: &[&str], name: &str, attack: &Value) {
    let token = "0123456789abcdef0123456789abcdef";
    let attack = json!({ "repeat": { "seconds": 3600, "attack": attack } });
    let order = json!({ "token": token, "outside": false, "attack": attack });
    let variables =
        [format!("AGENTDECK_SELFTEST={token}"), format!("AGENTDECK_SELFTEST_ORDER={order}")];
    let docker = engine.contains(&"docker");
    let program = if docker { "/agentdeck-shim" } else { "/run/agentdeck-shim" };
    let given = ["-e", &variables[0], "-e", &variables[1], "--", program, "box-attack"];
    test.agentdeck(&[&["new", name], engine, &LIMITS, &given].concat()).ok();
}

/// What the host is short of.
fn short_of() -> Vec<String> {
    let mut short = Vec::new();
    let held: Vec<_> = (0..SPARE)
        .map_while(|_| rustix::fs::inotify::init(rustix::fs::inotify::CreateFlags::CLOEXEC).ok())
        .collect();
    if held.len() < SPARE / 2 {
        short.push(format!("{} inotify instances are left", held.len()));
    }
    for _ in 0..SPARE {
        let ended = std::process::Command::new("true").status();
        if let Err(error) = ended {
            short.push(format!("a process: {error}"));
        }
    }
    short
}

/// Types into a sibling and waits for each key to be shown.
async fn answers(test: &TestHome, sibling: &EnvironmentId) {
    let (client, mut events) = Client::connect(&test.home).await.expect("connected");
    let (environment, session) = (sibling.clone(), SessionId::AGENT);
    let watch = Request::WatchScreen { environment: environment.clone(), session };
    client.request(watch).await.expect("watched");
    let mut slowest = Duration::ZERO;
    for number in 0..KEYS {
        let code = KeyCode::Char(char::from(b'a' + (number % 26) as u8));
        let input = Input::Key(Key { code, modifiers: Modifiers::default() });
        let environment = environment.clone();
        let typed = Instant::now();
        client.request(Request::SendInput { environment, session, input }).await.expect("typed");
        let mut column = None;
        while column.is_none_or(|column| u64::from(column) < "ready ".len() as u64 + number + 1) {
            let event = tokio::time::timeout(PATIENCE, events.next()).await.expect("it answers");
            if let Some(Event::Screen { delta, .. }) = event {
                column = Some(delta.cursor.column);
            }
        }
        slowest = slowest.max(typed.elapsed());
    }
    let _ = writeln!(std::io::stderr(), "the slowest of {KEYS} keys took {slowest:?}");
}

async fn go_off(engine: &[&str], count: usize) {
    let test = TestHome::new();
    let mut dice = Dice::new();
    test.agentdeck(&[&["new", "quiet"], engine, &["--", "sh", "-c", ECHO]].concat()).ok();
    let found = test.agentdeck(&["inspect", "quiet", "--json"]).json();
    let sibling = found["environment"]["id"].as_str().and_then(EnvironmentId::parse);
    let mut left = bombs().to_vec();
    let mut names = Vec::new();
    for _ in 0..count {
        let (name, attack) = left.swap_remove(dice.below(left.len() as u64) as usize);
        set(&test, engine, name, &attack);
        names.push(name);
    }
    let _ = writeln!(std::io::stderr(), "bombs: {}", names.join(", "));
    answers(&test, &sibling.expect("an id")).await;
    assert_eq!(short_of(), Vec::<String>::new(), "beside {names:?}");
    let after = test.agentdeck(&["inspect", "quiet", "--json"]).json();
    assert_eq!(after["init_pid"], found["init_pid"], "beside {names:?}");
    assert_eq!(test.script("quiet", "cat price"), "one\ntwo\nthree\n", "beside {names:?}");
    for name in names {
        test.agentdeck(&["discard", name, "--yes"]).ok();
    }
}

/// Two of them in an ordinary run, all eight at once in a long one.
fn at_once() -> usize {
    if rounds(1) > 1 { bombs().len() } else { 2 }
}

#[tokio::test]
async fn boxes_that_take_all_they_can_get_hurt_nobody() {
    go_off(&[], at_once()).await;
}

#[tokio::test]
async fn containers_that_take_all_they_can_get_hurt_nobody() {
    if engine_answers() {
        let image = Image::busybox();
        go_off(&["--engine", "docker", "--image", &image.0], at_once()).await;
    }
}
