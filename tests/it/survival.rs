//! Kills of every kind, at seeded random moments: agents go on, and nothing is lost or doubled.
//!
//! `AGENTDECK_SOAK` says how many rounds instead of the few of an ordinary run, `AGENTDECK_SEED`
//! which moments.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use agentdeck::client::{Client, Events};
use agentdeck::engine::Engine;
use agentdeck::engine::native::Native;
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::model::screen::{Row, Screen, Size};
use agentdeck::proto::{Event, Reply, Request};
use rustix::process::{Pid, Signal};
use serde_json::Value;

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

    /// Processes of boxes that show anything of this home.
    fn boxes(&self) -> Vec<u32> {
        let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
        let home = self.home.to_str().expect("text");
        let below = |pid: &u32| {
            std::fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok_and(|other| other != own)
                && std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))
                    .is_ok_and(|mounts| mounts.contains(home))
        };
        let entries = std::fs::read_dir("/proc").expect("listed").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(below).collect()
    }
}

impl Drop for Deck {
    fn drop(&mut self) {
        let status = self.run(&["server", "status", "--json"]);
        let status: Value = serde_json::from_slice(&status.stdout).unwrap_or_default();
        if let Some(pid) = status["pid"].as_u64() {
            kill(pid as u32);
        }
        let boxes = self.boxes();
        boxes.into_iter().for_each(kill);
        let _ = agentdeck::engine::remove_tree(&self.home);
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
        let count = self.screen.scrollback;
        let request = Request::ReadScrollback { environment, session, start: 0, count };
        let Ok(Reply::Scrollback { rows, .. }) = self.client.request(request).await else {
            panic!("no scrollback")
        };
        rows.iter().map(Row::text).chain(self.lines()).collect()
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

/// Kills a process and waits until it is gone or only waits to be reaped.
fn kill(pid: u32) {
    let _ = rustix::process::kill_process(process(pid), Signal::KILL);
    wait_until("the process ends", || !lives(pid));
}

fn process(pid: u32) -> Pid {
    Pid::from_raw(pid as i32).expect("not zero")
}

fn lives(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, fields)| !fields.starts_with(['Z', 'X']))
}

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
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

/// Prints numbered lines, some thousand a second, and changes a file, until it is told to stop.
const PRINTER: &str = "echo $$ >pid; i=0; while [ ! -e stop ]; do i=$((i+1)); echo \"line $i\"; \
    if [ $((i % 50)) = 0 ]; then echo $i >progress; sleep 0.02; fi; done; \
    echo \"end $i\"; exec sleep 1000";

#[tokio::test]
async fn four_agents_go_on_through_kills_of_the_server() {
    let mut dice = Dice::new();
    let deck = Deck::new(3);
    let agents = ["ant", "bee", "cat", "dog"].map(|name| deck.make(name, PRINTER));
    for agent in &agents {
        agent.wait_for("pid");
    }
    let before: Vec<_> = agents.iter().map(|agent| deck.processes(agent)).collect();
    let mut known = agents.each_ref().map(|_| Vec::new());
    for _ in 0..rounds(5) {
        dice.linger(Duration::from_millis(400));
        deck.kill_server();
        dice.linger(Duration::from_millis(300));
        for agent in &agents {
            deck.wait_for_state(&agent.name, "running");
        }
        for (agent, known) in agents.iter().zip(&mut known) {
            let now = deck.snapshots(&agent.name);
            let lost: Vec<_> = known.iter().filter(|id| !now.contains(id)).collect();
            assert!(lost.is_empty(), "{}: snapshots {lost:?} are lost", agent.name);
            *known = now;
        }
    }
    let after: Vec<_> = agents.iter().map(|agent| deck.processes(agent)).collect();
    assert_eq!(before, after);
    for agent in &agents {
        agent.tell("stop");
        let mut watching = Watching::new(&deck, agent).await;
        watching.see_text("end ").await;
        let lines = watching.history().await;
        assert_contiguous(&lines);
    }
}

/// Asserts that the lines count up one by one to the end.
fn assert_contiguous(lines: &[String]) {
    let number = |line: &String| line.strip_prefix("line ").and_then(|text| text.parse().ok());
    let numbers: Vec<u64> = lines.iter().filter_map(number).collect();
    assert!(numbers.len() > 500, "only {} lines", numbers.len());
    for pair in numbers.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "in {lines:#?}");
    }
    let end = format!("end {}", numbers.last().expect("lines"));
    let others: Vec<_> =
        lines.iter().filter(|line| number(line).is_none() && !line.is_empty()).collect();
    assert_eq!(others, [&end]);
}

#[tokio::test]
async fn a_flood_is_read_whole() {
    let deck = Deck::new(3);
    let flood = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); echo \"line $i\"; done; \
        echo \"end $i\"; exec sleep 1000";
    let agent = deck.make("ant", flood);
    let mut watching = Watching::new(&deck, &agent).await;
    watching.see_text("end ").await;
    assert_contiguous(&watching.history().await);
}

/// A full-screen program: paints its size, also when asked to, and floods one row meanwhile.
const FULL_SCREEN: &str = "draw() { printf '\\033[H\\033[2Jsize %s' \"$(stty size)\"; }; \
    enter() { printf '\\033[?1049h\\033[?1h\\033[?2004h'; trap draw WINCH; draw; }; \
    until_told() { while [ ! -e $1 ]; do sleep 0.02; done; }; \
    stty -echo; echo before; [ $1 = early ] && enter; until_told flood; [ $1 = late ] && enter; \
    i=0; while [ $i -lt 90000 ]; do i=$((i+1)); printf '\\033[5;1Hnoise %s' $i; done; \
    >flooded; while :; do read -r line && echo \"$line\" | od -c >typed; done";

#[tokio::test]
async fn a_full_screen_program_is_whole_after_its_ring_lapped_without_a_server() {
    let deck = Deck::new(3);
    for moment in ["early", "late"] {
        deck.ok(&["new", moment, "--", "sh", "-c", FULL_SCREEN, "sh", moment]);
        let inspection = deck.json(&["inspect", moment]);
        let id = inspection["environment"]["id"].as_str().expect("an id");
        let agent = Agent {
            name: moment.to_owned(),
            id: EnvironmentId::parse(id).expect("an id"),
            workspace: inspection["workspace"].as_str().expect("a path").into(),
        };
        let mut watching = Watching::new(&deck, &agent).await;
        watching.see_text(if moment == "early" { "size 24 80" } else { "before" }).await;
        drop(watching);

        deck.kill_server();
        agent.tell("flood");
        agent.wait_for("flooded");

        let mut watching = Watching::new(&deck, &agent).await;
        watching.see("the program's own screen", |screen| screen.modes.alternate_screen).await;
        watching.see("nothing else", |screen| rest_is_empty(screen, "size 24 80")).await;
        assert!(watching.screen.modes.bracketed_paste);
        let notes = deck.json(&["inspect", moment])["environment"]["notes"].to_string();
        assert!(notes.contains("output was lost"), "{notes}");

        watching.press(KeyCode::Up).await;
        watching.press(KeyCode::Enter).await;
        agent.wait_for("typed");
        wait_until("the key is read", || {
            let typed = std::fs::read_to_string(agent.workspace.join("typed")).expect("read");
            typed.contains("033   O   A")
        });
    }
}

fn rest_is_empty(screen: &Screen, first: &str) -> bool {
    screen.rows[0].text() == first && screen.rows[1..].iter().all(|row| row.text().is_empty())
}

#[tokio::test]
async fn a_question_is_answered_once_over_a_kill_of_the_server() {
    let deck = Deck::new(3);
    let script = "stty raw -echo; printf 'asked\\033[c'; cat >answers";
    let agent = deck.make("ant", script);
    let answers = agent.workspace.join("answers");
    let read = || std::fs::read(&answers).unwrap_or_default();
    wait_until("an answer", || !read().is_empty());
    let answer = read();
    deck.kill_server();
    let mut watching = Watching::new(&deck, &agent).await;
    watching.see_text("asked").await;
    // Typed after everything that was replayed, so that a second answer would come before it.
    watching.press(KeyCode::Char('x')).await;
    wait_until("a key", || read().ends_with(b"x"));
    assert_eq!(read(), [answer.as_slice(), b"x"].concat());
}

#[tokio::test]
async fn an_update_that_never_ends_is_shown() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "printf '\\033[?2026hheld back'; exec sleep 1000");
    Watching::new(&deck, &agent).await.see_text("held back").await;
}

#[test]
fn an_environment_half_made_is_finished_by_starting_it() {
    let mut dice = Dice::new();
    let deck = Deck::new(3_000);
    deck.ok(&["ls"]);
    for round in 0..rounds(3) {
        let name = format!("n{round}");
        let server = deck.server();
        let mut making = deck.command(&["new", &name, "--", "sh", "-c", "exec sleep 1000"]);
        let mut making =
            making.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        dice.linger(Duration::from_millis(250));
        kill(server);
        let _ = making.wait();
        let listed = deck.environments();
        let Some(found) = listed.iter().find(|found| found["name"] == name.as_str()) else {
            continue;
        };
        if found["state"]["state"] == "failed" {
            let hint = found["state"]["hint"].as_str().expect("a hint");
            assert_eq!(hint, format!("agentdeck start {name}"));
            deck.ok(&["start", &name]);
        }
        deck.wait_for_state(&name, "running");
        let count = deck.ok(&["exec", &name, "--", "sh", "-c", "cat d*/* | wc -l; git status -s"]);
        assert_eq!(count.trim(), "3000");
        wait_until("one box", || init_processes(&deck).len() == 1);
        deck.ok(&["discard", &name, "--yes"]);
        assert_eq!(deck.boxes(), Vec::<u32>::new());
    }
    assert_eq!(names(&deck.home.join("environments")), Vec::<String>::new());
}

/// Boxes by their first processes.
fn init_processes(deck: &Deck) -> Vec<u32> {
    let first = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or_default();
        line.ends_with("\t1")
    };
    deck.boxes().into_iter().filter(first).collect()
}

#[test]
fn a_discard_and_its_undoing_are_whole_through_kills() {
    let mut dice = Dice::new();
    let deck = Deck::new(3);
    let agent = deck.make("ant", "echo work >done; exec sleep 1000");
    agent.wait_for("done");
    let directory = deck.home.join("environments").join(agent.id.as_str());
    let trash = deck.home.join("trash").join(agent.id.as_str());
    for round in 0..rounds(6) {
        let arguments: &[&str] =
            if directory.exists() { &["discard", "ant", "--yes"] } else { &["undo"] };
        let server = deck.server();
        let mut command = deck.command(arguments);
        let mut deciding =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        dice.linger(Duration::from_millis(120));
        kill(server);
        let _ = deciding.wait();
        let listed = !deck.environments().is_empty();
        assert_eq!((directory.exists(), trash.exists()), (listed, !listed), "round {round}");
        let place = if listed { &directory } else { &trash };
        assert!(place.join("workspace/done").exists(), "round {round}");
    }
    if !directory.exists() {
        deck.ok(&["undo"]);
    }
    if deck.state("ant") != "running" {
        deck.ok(&["start", "ant"]);
    }
    assert_eq!(deck.ok(&["exec", "ant", "--", "cat", "done"]), "work\n");
}

#[test]
fn a_key_comes_from_the_shell_that_asks_and_lies_in_no_file() {
    const KEY: &str = "sk-7f3a-a-key-of-nobody";
    let deck = Deck::new(3);
    deck.ok(&["server", "start"]);
    let script = "[ \"$ANTHROPIC_API_KEY\" ] && printf %s \"$ANTHROPIC_API_KEY\" | cksum >sum; \
        exec sleep 1000";
    let mut command =
        deck.command(&["new", "ant", "-e", "ANTHROPIC_API_KEY", "--", "sh", "-c", script]);
    let output = finished(command.env("ANTHROPIC_API_KEY", KEY));
    assert!(output.status.success(), "{output:?}");
    let sum = deck.json(&["inspect", "ant"])["workspace"].as_str().expect("a path").to_owned();
    let sum = Path::new(&sum).join("sum");
    let expected = Command::new("sh").args(["-c", &format!("printf %s {KEY} | cksum")]).output();
    wait_until("the key arrives", || {
        std::fs::read(&sum).is_ok_and(|sum| sum == expected.as_ref().expect("summed").stdout)
    });
    deck.ok(&["server", "stop"]);
    let found = Command::new("grep").args(["-rlaF", KEY]).arg(&deck.home).output();
    assert_eq!(String::from_utf8_lossy(&found.expect("searched").stdout), "");
}

#[test]
fn clients_that_start_at_once_meet_at_one_server() {
    let deck = Deck::new(3);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut command = deck.command(&["ls", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let second = deck.run(&["server", "run"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another server has"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_told_to_end_writes_its_screens() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "echo kept; exec sleep 1000");
    Watching::new(&deck, &agent).await.see_text("kept").await;
    let server = deck.server();
    rustix::process::kill_process(process(server), Signal::TERM).expect("told");
    wait_until("the server ends", || !lives(server));
    let place = deck.home.join("environments").join(agent.id.as_str());
    let screen = std::fs::read_to_string(place.join("screens/0.json")).expect("written");
    let screen: Value = serde_json::from_str(&screen).expect("a value");
    assert_eq!(screen["offset"], 6);
}

#[tokio::test]
async fn a_stopped_environment_shows_its_last_screen_and_claims_nothing() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "echo last words; exec sleep 1000");
    Watching::new(&deck, &agent).await.see_text("last words").await;
    deck.ok(&["stop", "ant"]);
    deck.kill_server();
    assert_eq!(deck.json(&["inspect", "ant"])["environment"]["isolation"], Value::Null);
    Watching::new(&deck, &agent).await.see_text("last words").await;
    let refused = deck.run(&["exec", "ant", "--", "true"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("ant does not run") && said.contains("agentdeck start ant"), "{said}");
}

/// The engine finds a box that a killed server never took note of.
#[tokio::test]
async fn a_box_is_marked_before_it_begins() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "exec sleep 1000");
    let tag = std::fs::read_to_string(deck.home.join("deck")).expect("a tag");
    let engine = Native::new(&deck.home);
    assert_eq!(engine.list(&tag).await.expect("listed"), [agent.id]);
}
