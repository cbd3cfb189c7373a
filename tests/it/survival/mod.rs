//! Kills of every kind, at seeded random moments: agents go on, and nothing is lost or doubled.
//!
//! `AGENTDECK_SOAK` says how many rounds instead of the few of an ordinary run, `AGENTDECK_SEED`
//! which moments.

mod bombs;
mod clients;
mod clock;
mod disk;
mod engines;
mod kills;
mod server;
mod strays;
mod terminal;
mod unheard;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use agentdeck::client::{Client, Events};
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::model::lines::Lines;
use agentdeck::model::screen::{Row, Screen, Size};
use agentdeck::proto::{Event, Reply, Request};
use rustix::process::{Pid, Signal};
use serde_json::Value;

use crate::common::ending;
use crate::common::processes::lives;
use crate::common::talk::PATIENCE;

/// Between two looks at something that has no event to wait for.
const PAUSE: Duration = Duration::from_millis(20);

/// Numbers from a seed, so that a failure can be had again.
struct Dice(u64);

impl Dice {
    fn new() -> Self {
        let seed = std::env::var("AGENTDECK_SEED").ok().and_then(|text| text.parse().ok());
        Self(seed.unwrap_or(0x9e37_79b9_7f4a_7c15))
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }

    /// Lets some time pass: the moment of a kill is the point, nothing waits for it.
    fn linger(&mut self, most: Duration) {
        std::thread::sleep(Duration::from_micros(self.below(most.as_micros() as u64)));
    }
}

fn rounds(usual: u32) -> u32 {
    std::env::var("AGENTDECK_SOAK").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// A home and a repository of its own; dropped, it ends every process it made.
struct Deck {
    root: tempfile::TempDir,
    home: PathBuf,
    repository: PathBuf,
}

impl Deck {
    fn new(files: usize) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let (home, repository) = (root.path().join("home"), root.path().join("shop"));
        let deck = Self { root, home, repository };
        for index in 0..files {
            let directory = deck.repository.join(format!("d{}", index / 100));
            std::fs::create_dir_all(&directory).expect("made");
            let text = format!("file {index}\n");
            std::fs::write(directory.join(format!("f{index}")), text).expect("written");
        }
        for arguments in [
            &["init", "-q", "-b", "main"][..],
            &["config", "user.name", "Ada"],
            &["config", "user.email", "ada@example.org"],
            &["add", "."],
            &["commit", "-q", "-m", "a shop"],
        ] {
            let mut git = Command::new("git");
            git.arg("-C").arg(&deck.repository).args(arguments);
            assert!(finished(&mut git).status.success(), "{arguments:?}");
        }
        deck
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
        command.args(arguments).current_dir(&self.repository);
        command.env("AGENTDECK_HOME", &self.home).env("HOME", self.root.path());
        command.stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        finished(&mut self.command(arguments))
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}\n{}", self.log());
        String::from_utf8(output.stdout).expect("text")
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.ok(&[arguments, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Makes an environment whose agent is a shell script.
    fn make(&self, name: &str, script: &str) -> Agent {
        self.ok(&["new", name, "--", "sh", "-c", script]);
        let inspection = self.json(&["inspect", name]);
        let id = inspection["environment"]["id"].as_str().expect("an id");
        Agent {
            name: name.to_owned(),
            id: EnvironmentId::parse(id).expect("an id"),
            workspace: inspection["workspace"].as_str().expect("a path").into(),
        }
    }

    /// The one process that serves this home.
    fn server(&self) -> u32 {
        self.json(&["server", "status"])["pid"].as_u64().expect("a process id") as u32
    }

    fn kill_server(&self) {
        kill(self.server());
    }

    fn environments(&self) -> Vec<Value> {
        self.json(&["ls"]).as_array().expect("a list").clone()
    }

    fn state(&self, name: &str) -> String {
        let inspection = self.json(&["inspect", name]);
        inspection["environment"]["state"]["state"].as_str().expect("a state").to_owned()
    }

    fn wait_for_state(&self, name: &str, wanted: &str) {
        wait_until(&format!("{name} is {wanted}"), || self.state(name) == wanted);
    }

    /// The process ids of a running environment's box and of its agent, as the box counts.
    fn processes(&self, agent: &Agent) -> (u64, String) {
        let box_pid = self.json(&["inspect", &agent.name])["init_pid"].as_u64().expect("a box");
        let own = std::fs::read_to_string(agent.workspace.join("pid")).expect("it wrote its id");
        self.ok(&["exec", &agent.name, "--", "sh", "-c", &format!("kill -0 {own}")]);
        (box_pid, own)
    }

    fn snapshots(&self, name: &str) -> Vec<String> {
        let log = self.json(&["log", name]);
        let ids = log.as_array().expect("a list").iter().map(|snapshot| snapshot["id"].as_str());
        ids.map(|id| id.expect("an id").to_owned()).collect()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.home.join("server.log")).unwrap_or_default()
    }

    /// Processes of boxes that show anything of this home; not of the one that waits for a name.
    fn boxes(&self) -> Vec<u32> {
        let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
        let home = self.home.to_str().expect("text");
        let ahead = format!("{home}/ahead/");
        let below = |pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|other| other != own)
                && std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))
                    .is_ok_and(|mounts| mounts.contains(home) && !mounts.contains(&ahead))
        };
        let entries = std::fs::read_dir("/proc").expect("listed").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(below).collect()
    }
}

impl Drop for Deck {
    fn drop(&mut self) {
        ending::end_all(self.root.path(), &self.home, None);
    }
}

/// An environment with a script for an agent.
struct Agent {
    name: String,
    id: EnvironmentId,
    workspace: PathBuf,
}

impl Agent {
    /// Makes a file that the script waits for. No server is needed for it.
    fn tell(&self, file: &str) {
        std::fs::write(self.workspace.join(file), "").expect("written");
    }

    fn wait_for(&self, file: &str) {
        wait_until(file, || self.workspace.join(file).exists());
    }
}

/// A connection to a server, and the screen of an agent as it comes.
struct Watching {
    client: Client,
    events: Events,
    agent: EnvironmentId,
    screen: Screen,
}

impl Watching {
    /// Connects to the server that runs and watches an agent.
    async fn new(deck: &Deck, agent: &Agent) -> Self {
        deck.ok(&["ls"]);
        let (client, events) = Client::connect(&deck.home).await.expect("connected");
        let session = SessionId::AGENT;
        let request = Request::WatchScreen { environment: agent.id.clone(), session };
        client.request(request).await.expect("watched");
        Self { client, events, agent: agent.id.clone(), screen: Screen::blank(Size::DEFAULT) }
    }

    /// Waits until the screen is as wanted.
    async fn see(&mut self, what: &str, wanted: impl Fn(&Screen) -> bool) {
        let waiting = async {
            while !wanted(&self.screen) {
                let event = self.events.next().await.expect("the server runs");
                if let Event::Screen { delta, .. } = event {
                    self.screen.apply(delta);
                }
            }
        };
        let seen = tokio::time::timeout(PATIENCE, waiting).await.is_ok();
        assert!(seen, "{what} is not on the screen:\n{}", self.lines().join("\n"));
    }

    async fn see_text(&mut self, text: &str) {
        self.see(text, |screen| screen.rows.iter().any(|row| row.text().contains(text))).await;
    }

    fn lines(&self) -> Vec<String> {
        self.screen.rows.iter().map(Row::text).collect()
    }

    /// The screen with everything above it.
    async fn history(&self) -> Vec<String> {
        let (environment, session) = (self.agent.clone(), SessionId::AGENT);
        let end = self.screen.first_line;
        let mut start = end - self.screen.scrollback;
        let mut lines = Vec::new();
        while start < end {
            let (environment, count) = (environment.clone(), end - start);
            let request = Request::ReadLines { environment, session, start, count };
            let Ok(Reply::Lines(Lines { rows, .. })) = self.client.request(request).await else {
                panic!("no scrollback")
            };
            assert!(!rows.is_empty(), "{count} more rows were told than are there");
            start += rows.len() as u32;
            lines.extend(rows.iter().map(Row::text));
        }
        lines.into_iter().chain(self.lines()).collect()
    }

    async fn press(&self, code: KeyCode) {
        let key = Input::Key(Key { code, modifiers: Modifiers::default() });
        let (environment, session) = (self.agent.clone(), SessionId::AGENT);
        let request = Request::SendInput { environment, session, input: key };
        self.client.request(request).await.expect("typed");
    }
}

fn finished(command: &mut Command) -> Output {
    command.output().expect("started")
}

/// Kills a process; one that stands still may end only when it goes on.
fn signal_kill(pid: u32) {
    let _ = rustix::process::kill_process(process(pid), Signal::KILL);
}

/// Kills a process and waits until it is gone or only waits to be reaped.
fn kill(pid: u32) {
    signal_kill(pid);
    wait_until("the process ends", || !lives(pid));
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).expect("not zero")
}

pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "{what}: not in time");
        std::thread::sleep(PAUSE);
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").file_name().display().to_string()).collect()
}
