//! Claude Code and Codex themselves, as npm has them, against a model that follows a script: each
//! gets its task, asks before it edits a file, is answered from the screen, is killed with its box,
//! and goes on with its conversation.
//!
//! Where they are not installed these tests say so and pass, unless `AGENTDECK_REQUIRE_AGENTS=1` is
//! set; `tests/setup` installs them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::common::home::TestHome;
use crate::common::programs::{Model, image_with, installed};
use crate::common::pty::Pty;
use crate::docker;

/// Longest wait for an agent: some ten seconds on an idle machine, several times that beside all the
/// other tests.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(100);
/// How long an agent may take to act on a key.
const ANSWERED: Duration = Duration::from_secs(10);

const KEY: &str = "sk-scripted-0123456789abcdef";

/// An agent that asks before it acts.
struct Agent {
    name: &'static str,
    /// The command of its profile, for somebody who wants to be asked.
    command: &'static str,
    key: &'static str,
    base: (&'static str, &'static str),
    /// What it asks, and the key that allows it.
    question: &'static str,
    allow: &'static str,
}

const CLAUDE: Agent = Agent {
    name: "claude",
    command: r#"["claude"]"#,
    key: "ANTHROPIC_API_KEY",
    base: ("ANTHROPIC_BASE_URL", ""),
    question: "Do you want to proceed?",
    allow: "1",
};

const CODEX: Agent = Agent {
    name: "codex",
    command: r#"["codex", "--sandbox", "read-only"]"#,
    key: "OPENAI_API_KEY",
    base: ("OPENAI_BASE_URL", "/v1"),
    question: "Would you like to run the following command?",
    allow: "y",
};

/// A home of a user who has an agent, and wants to be asked by it.
fn home_with(agent: &Agent, programs: &Path, model: &Model) -> TestHome {
    let mut test = TestHome::new();
    let (name, path) = agent.base;
    test.also = vec![
        (agent.key, KEY.to_owned()),
        (name, format!("http://host.agentdeck:{}{path}", model.port)),
    ];
    std::os::unix::fs::symlink(programs, test.path().join("user/agents")).expect("linked");
    let Agent { name, command, .. } = agent;
    let config = format!("[agents.{name}]\ncommand = {command}\ntools = [\"agents\"]\n");
    std::fs::create_dir_all(&test.home).expect("made");
    std::fs::write(test.home.join("config.toml"), config).expect("written");
    test
}

fn inspect(test: &TestHome, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let start = Instant::now();
    loop {
        let found = test.agentdeck(&["inspect", "fox", "--json"]).json();
        if wanted(&found["environment"]) {
            return found;
        }
        if start.elapsed() > PATIENCE {
            let mut pane = Pty::open(test, &["attach", "fox"], 110, 34);
            pane.settle_for(Duration::from_secs(2));
            panic!("not {what}: {:#}\n{}", found["environment"]["sessions"], pane.text());
        }
        std::thread::sleep(PAUSE);
    }
}

/// Waits until the agent is in this state, which it must have told by itself.
fn reported(test: &TestHome, state: &str) -> Value {
    let status = |it: &Value| it["sessions"][0]["status"].clone();
    let found = inspect(test, state, |it| status(it)["state"]["state"] == state);
    let found = status(&found["environment"]);
    assert_eq!(found["source"], "report", "{found:#}");
    found
}

fn asks_for_permission(test: &TestHome) {
    let asks = reported(test, "waiting");
    assert_eq!(asks["state"]["need"], "permission", "{asks:#}");
    let row = test.agentdeck(&["ls"]).ok();
    assert!(row.contains("waiting: permission"), "{row}");
}

/// Presses the key that allows what is asked, until that is answered: one that comes while an agent
/// lays out its screen anew may be lost.
fn allow(test: &TestHome, agent: &Agent, terminal: &mut Pty) {
    let waits = || {
        let status = &test.agentdeck(&["inspect", "fox", "--json"]).json()["environment"]["sessions"]
            [0]["status"];
        status["state"]["state"] == "waiting"
    };
    for _ in 0..3 {
        terminal.send(agent.allow);
        let pressed = Instant::now();
        while pressed.elapsed() < ANSWERED {
            if !waits() {
                return;
            }
            std::thread::sleep(PAUSE);
        }
    }
    panic!("nothing is allowed by {:?}:\n{}", agent.allow, terminal.text());
}

fn works_asks_and_goes_on(agent: &Agent, programs: &Path, engine: &[&str]) {
    let model = Model::start();
    let test = home_with(agent, programs, &model);
    let host = format!("host:{}", model.port);
    let new = ["new", "fox", "--agent", agent.name, "--allow", &host, "--task", "mend the till"];
    test.agentdeck(&[&new, engine].concat()).ok();
    asks_for_permission(&test);
    let workspace = test.agentdeck(&["inspect", "fox", "--json"]).json()["workspace"].clone();
    let made = PathBuf::from(workspace.as_str().expect("a path")).join("made.txt");
    assert!(!made.exists(), "it asks first");

    let mut pane = Pty::open(&test, &["attach", "fox"], 80, 24);
    pane.wait_for_text(agent.question);
    allow(&test, agent, &mut pane);
    reported(&test, "done");
    pane.wait_for_text("Asked 1 in all.");
    drop(pane);
    assert_eq!(std::fs::read_to_string(&made).expect("it is there"), "made by the agent\n");
    test.wait_for_snapshots("fox", 2);
    let diff = test.agentdeck(&["diff", "fox"]).ok();
    assert!(diff.contains("+made by the agent"), "{diff}");

    let init = test.agentdeck(&["inspect", "fox", "--json"]).json()["init_pid"].clone();
    let init = Pid::from_raw(init.as_i64().expect("a process") as i32).expect("not zero");
    kill_process(init, Signal::KILL).expect("killed");
    inspect(&test, "stopped", |it| it["state"]["state"] == "stopped");
    test.agentdeck(&["start", "fox"]).ok();
    inspect(&test, "resumed", |it| {
        it["resumed"] == true && it["sessions"][0]["state"]["state"] == "running"
    });
    let told = test.agentdeck(&["send", "fox", "and again", "--wait", "120"]).ok();
    assert!(told.starts_with("fox: taken"), "{told}");
    asks_for_permission(&test);

    let mut deck = Pty::open(&test, &[], 120, 40);
    deck.wait_for_text(agent.question);
    deck.send("!\r");
    deck.wait_for_text("give the keyboard back");
    allow(&test, agent, &mut deck);
    reported(&test, "done");
    deck.wait_for_text("Asked 2 in all.");
}

fn in_a_native_box(agent: &Agent) {
    let Some(programs) = installed(agent.name) else { return };
    works_asks_and_goes_on(agent, &programs, &[]);
}

fn in_a_container(agent: &Agent) {
    let Some(programs) = installed(agent.name) else { return };
    if docker::engine_answers() {
        let image = image_with(agent.name);
        works_asks_and_goes_on(agent, &programs, &["--engine", "docker", "--image", &image.0]);
    }
}

#[test]
fn claude_code_asks_is_answered_and_goes_on_in_a_native_box() {
    in_a_native_box(&CLAUDE);
}

#[test]
fn claude_code_asks_is_answered_and_goes_on_in_a_container() {
    in_a_container(&CLAUDE);
}

#[test]
fn codex_asks_is_answered_and_goes_on_in_a_native_box() {
    in_a_native_box(&CODEX);
}

#[test]
fn codex_asks_is_answered_and_goes_on_in_a_container() {
    in_a_container(&CODEX);
}
