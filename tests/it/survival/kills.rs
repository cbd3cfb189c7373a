//! Kills of everything, at random points of a session with many agents: nobody else dies, every
//! line of output comes once, every key typed comes at most once, and nothing is left over.
//!
//! What may be lost is what was on its way: keys given to a process that was killed before it
//! passed them on. They may be lost and never come twice; keys of every other round all arrive.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use agentdeck::client::{Client, Events};
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::model::screen::Row;
use agentdeck::proto::{Event, Reply, Request};

use super::{Dice, kill, lives, rounds, wait_until};
use crate::common::dockerd::Dockerd;
use crate::common::home::TestHome;
use crate::common::pty::Pty;
use crate::common::traces::Traces;
use crate::docker::busybox_root;

/// Prints numbered lines, twenty a second, and writes down every byte that is typed.
const AGENT: &str = "stty raw -echo; echo $$ >pid; : >typed; (i=0; while [ ! -e stop ]; do \
    for k in 1 2 3 4 5; do i=$((i+1)); printf 'line %s\\r\\n' $i; done; \
    [ $((i % 50)) = 0 ] && echo $i >progress; sleep 0.25; done; printf 'end %s\\r\\n' $i) & \
    exec cat >typed";

/// Letters typed at once; fewer than half the alphabet, so that a loss is told from a repetition.
const BURST: usize = 4;

/// Rows that are kept above a screen.
const FULL_HISTORY: u32 = 1_000;

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Screen,
    Server,
    Shim,
    Engine,
}

/// One agent as the test knows it.
struct Typed {
    name: String,
    id: EnvironmentId,
    workspace: PathBuf,
    init: u64,
    /// Letters given to it since it was started.
    sent: u64,
    /// Letters of those that may be lost: they were under way when what carried them died.
    at_risk: u64,
    /// The last line that was seen in its place.
    seen: u64,
}

struct Session {
    test: TestHome,
    engine: Option<Dockerd>,
    agents: Vec<Typed>,
    screen: Option<Pty>,
    dice: Dice,
    /// Environments that are made and discarded while others are killed.
    extras: u32,
    /// Lines that left the kept history before they were read.
    unseen: u64,
}

fn letter(number: u64) -> char {
    char::from(b'a' + (number % 26) as u8)
}

/// How many letters are missing in what arrived. Panics when one came twice or out of order.
fn missing(arrived: &str, name: &str) -> u64 {
    let mut lost = 0;
    let mut expected = 0_u64;
    for (at, byte) in arrived.bytes().enumerate() {
        let ahead = (u64::from(byte - b'a') + 26 - expected % 26) % 26;
        let around: String = arrived.chars().skip(at.saturating_sub(20)).take(40).collect();
        assert!(ahead < 13, "{name}: {:?} came again, at {at} in …{around}…", byte as char);
        lost += ahead;
        expected += ahead + 1;
    }
    lost
}

impl Session {
    fn new(natives: usize, containers: usize) -> Self {
        let mut test = TestHome::new();
        let engine = if containers > 0 { Dockerd::start(true) } else { None };
        let mut session = {
            if let Some(engine) = &engine {
                test.also.push(("DOCKER_HOST", engine.host()));
            }
            let (agents, dice) = (Vec::new(), Dice::new());
            Self { test, engine, agents, screen: None, dice, extras: 0, unseen: 0 }
        };
        for number in 0..natives {
            session.make(&format!("n{number}"), &[]);
        }
        if let Some(engine) = &session.engine {
            let image = engine.import(&busybox_root());
            for number in 0..containers {
                let engine = ["--engine", "docker", "--network", "none", "--image", &image];
                session.make(&format!("d{number}"), &engine);
            }
        }
        session.open_screen();
        session
    }

    fn make(&mut self, name: &str, options: &[&str]) {
        let agent = ["--", "sh", "-c", AGENT];
        self.test.agentdeck(&[&["new", name], options, &agent].concat()).ok();
        let found = self.test.agentdeck(&["inspect", name, "--json"]).json();
        let text = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
        let id = text(&found["environment"]["id"]);
        self.agents.push(Typed {
            name: name.to_owned(),
            id: EnvironmentId::parse(&id).expect("an id"),
            workspace: text(&found["workspace"]).into(),
            init: found["init_pid"].as_u64().expect("a box"),
            sent: 0,
            at_risk: 0,
            seen: 0,
        });
    }

    fn open_screen(&mut self) {
        let mut screen = Pty::open(&self.test, &[], 120, 40);
        // Which of many it shows first is not known; that it knows them all is.
        screen.wait_for_text("environments");
        self.screen = Some(screen);
    }

    fn victim(&mut self) -> Victim {
        match self.dice.below(10) {
            0..=2 => Victim::Screen,
            3..=6 => Victim::Server,
            7..=8 => Victim::Shim,
            _ if self.engine.is_some() => Victim::Engine,
            _ => Victim::Server,
        }
    }

    /// Something that is going on when the kill comes.
    fn begin_something(&mut self) -> Child {
        let extra = format!("x{}", self.extras);
        let name = self.agents[self.dice.below(self.agents.len() as u64) as usize].name.clone();
        let listed = self.test.agentdeck(&["ls", "--json"]).json();
        let there = |name: &str| {
            listed.as_array().is_some_and(|list| list.iter().any(|one| one["name"] == name))
        };
        let arguments: Vec<&str> = match self.dice.below(6) {
            0..=2 if there(&extra) => vec!["discard", &extra, "--yes"],
            0..=2 => vec!["new", &extra, "--", "sh", "-c", "exec sleep 1000"],
            3 => vec!["exec", &name, "--", "sh", "-c", "echo more >>more"],
            4 => vec!["diff", &name],
            _ => vec!["log", &name],
        };
        let mut command = self.test.command(&arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("started")
    }

    async fn round(&mut self, number: u32) {
        let victim = self.victim();
        let target = self.dice.below(self.agents.len() as u64) as usize;
        let mut busy = self.begin_something();
        let (client, _events) = self.connect().await;
        for index in 0..self.agents.len() {
            self.type_letters(&client, index).await;
        }
        self.dice.linger(Duration::from_millis(300));
        let server = self.test.server().expect("a server");
        match victim {
            Victim::Screen => drop(self.screen.take()),
            Victim::Server => kill(server),
            Victim::Shim => kill(self.agents[target].init as u32),
            Victim::Engine => {
                let engine = self.engine.as_mut().expect("an engine");
                engine.kill();
                engine.run();
            }
        }
        let _ = busy.wait();
        let said = format!("round {number}: {victim:?}");
        match victim {
            Victim::Screen => {
                assert_eq!(self.test.server(), Some(server), "{said}");
                self.open_screen();
            }
            Victim::Server => {
                self.agents.iter_mut().for_each(|agent| agent.at_risk += BURST as u64);
            }
            Victim::Shim => self.restart(target),
            Victim::Engine => {}
        }
        self.check(&said, target).await;
    }

    async fn connect(&self) -> (Client, Events) {
        self.test.agentdeck(&["ls"]).ok();
        Client::connect(&self.test.home).await.expect("connected")
    }

    async fn type_letters(&mut self, client: &Client, index: usize) {
        let agent = &mut self.agents[index];
        for _ in 0..BURST {
            let code = KeyCode::Char(letter(agent.sent));
            let input = Input::Key(Key { code, modifiers: Modifiers::default() });
            let (environment, session) = (agent.id.clone(), SessionId::AGENT);
            let request = Request::SendInput { environment, session, input };
            agent.sent += 1;
            client.request(request).await.expect("typed");
        }
    }

    /// The environment whose box was killed says so, and is started again.
    fn restart(&mut self, target: usize) {
        let agent = &mut self.agents[target];
        let inspect = ["inspect", agent.name.as_str(), "--json"];
        let ended = self
            .test
            .wait_for_json(&inspect, |found| found["environment"]["state"]["state"] == "stopped");
        assert_eq!(ended["init_pid"], serde_json::Value::Null, "it claims no box: {ended}");
        assert_eq!(ended["environment"]["trouble"], "its box was ended from outside");
        let _ = std::fs::remove_file(agent.workspace.join("pid"));
        self.test.agentdeck(&["start", &agent.name]).ok();
        let found = self.test.wait_for_json(&inspect, |found| found["init_pid"].is_u64());
        agent.init = found["init_pid"].as_u64().expect("a box");
        let pid = agent.workspace.join("pid");
        wait_until("the agent is there again", || pid.exists());
        (agent.sent, agent.at_risk, agent.seen) = (0, 0, 0);
    }

    /// Every agent lives as before, has what was typed, and its lines follow each other.
    async fn check(&mut self, said: &str, target: usize) {
        let (client, mut events) = self.connect().await;
        for index in 0..self.agents.len() {
            let agent = &self.agents[index];
            let inspect = ["inspect", agent.name.as_str(), "--json"];
            // A server that has just started says what it wrote last until the shim answers.
            let found = self.test.wait_for_json(&inspect, |found| {
                found["environment"]["state"]["state"] == "running" && found["init_pid"].is_u64()
            });
            assert_eq!(found["init_pid"].as_u64(), Some(agent.init), "{said}: {}", agent.name);
            assert!(lives(agent.init as u32), "{said}: {}", agent.name);
            self.type_letters(&client, index).await;
            self.check_typed(said, index);
        }
        self.check_lines(said, target, &client, &mut events).await;
    }

    fn check_typed(&mut self, said: &str, index: usize) {
        let agent = &mut self.agents[index];
        let file = agent.workspace.join("typed");
        let read = || std::fs::read_to_string(&file).unwrap_or_default();
        let last = letter(agent.sent - 1);
        let all = |typed: &str| typed.len() as u64 + missing(typed, &agent.name) == agent.sent;
        let what = format!("{said}: {last:?} arrives in {} ({} sent)", agent.name, agent.sent);
        wait_until(&what, || read().ends_with(last) && all(&read()));
        let lost = missing(&read(), &agent.name);
        assert!(
            lost <= agent.at_risk,
            "{said}: {} lost {lost} letters, {} were at risk",
            agent.name,
            agent.at_risk
        );
    }

    /// Reads everything that is kept of an agent's output.
    async fn check_lines(
        &mut self,
        said: &str,
        index: usize,
        client: &Client,
        events: &mut Events,
    ) {
        let agent = &mut self.agents[index];
        let (environment, session) = (agent.id.clone(), SessionId::AGENT);
        let request = Request::WatchScreen { environment: environment.clone(), session };
        client.request(request).await.expect("watched");
        let count = loop {
            // Of another agent one may still be on its way.
            match events.next().await.expect("the server runs") {
                Event::Screen { delta, environment, .. } if environment == agent.id => {
                    break delta.scrollback;
                }
                _ => {}
            }
        };
        let mut lines: Vec<String> = Vec::new();
        while (lines.len() as u32) < count {
            let (environment, start) = (environment.clone(), lines.len() as u32);
            let request =
                Request::ReadScrollback { environment, session, start, count: count - start };
            let Ok(Reply::Scrollback { rows, .. }) = client.request(request).await else {
                panic!("no scrollback")
            };
            assert!(!rows.is_empty(), "{count} rows were told, {start} are there");
            lines.extend(rows.iter().map(Row::text));
        }
        let request = Request::UnwatchScreen { environment, session };
        client.request(request).await.expect("left");
        let numbers: Vec<u64> = lines
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| match line.strip_prefix("line ").map(str::parse) {
                Some(Ok(number)) => number,
                _ => panic!("{said}: {line:?} in {}", agent.name),
            })
            .collect();
        for pair in numbers.windows(2) {
            assert_eq!(pair[0] + 1, pair[1], "{said}: lines of {}", agent.name);
        }
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            // What left a history that is full was there, but nobody looked in time.
            let full = count >= FULL_HISTORY;
            assert!(
                *first <= agent.seen + 1 || full,
                "{said}: {} begins at {first} after {}",
                agent.name,
                agent.seen
            );
            self.unseen += (first - 1).saturating_sub(agent.seen);
            assert!(*last >= agent.seen, "{said}: {} ends at {last}", agent.name);
            agent.seen = *last;
        }
    }

    /// Discards everything and looks for what is left.
    fn finish(mut self) {
        drop(self.screen.take());
        let listed = self.test.agentdeck(&["ls", "--json"]).json();
        for one in listed.as_array().expect("a list") {
            let name = one["name"].as_str().expect("a name");
            self.test.agentdeck(&["discard", name, "--yes"]).ok();
        }
        let engine = self.engine.as_ref();
        let containers = || engine.map(Dockerd::running).unwrap_or_default();
        let stray = || Traces::stray(&self.test.home, &self.test.repository);
        wait_until(&format!("nothing is left: {:?}", stray()), || {
            stray().is_empty() && containers().is_empty()
        });
        for agent in &self.agents {
            assert!(!lives(agent.init as u32), "{} goes on", agent.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_is_killed_dies_at_any_point_of_a_session() {
    let points = rounds(6);
    let (natives, containers) = if points > 6 { (7, 3) } else { (4, 1) };
    let mut session = Session::new(natives, containers);
    for number in 0..points {
        session.round(number).await;
        // Every so often all of them are read, and the extra environment gets another name.
        if number % 5 == 4 {
            let (client, mut events) = session.connect().await;
            for index in 0..session.agents.len() {
                session.check_lines("all", index, &client, &mut events).await;
            }
            let _ = writeln!(std::io::stderr(), "{} kills", number + 1);
            session.extras = (number + 1) / 10;
        }
    }
    let lost: u64 = session
        .agents
        .iter()
        .map(|agent| {
            let typed = std::fs::read_to_string(agent.workspace.join("typed")).unwrap_or_default();
            missing(&typed, &agent.name)
        })
        .sum();
    let sent: u64 = session.agents.iter().map(|agent| agent.sent).sum();
    let unseen = session.unseen;
    let _ = writeln!(
        std::io::stderr(),
        "{points} kills; of the last {sent} letters {lost} were lost on their way; {unseen} lines \
         left the history unread"
    );
    session.finish();
}
