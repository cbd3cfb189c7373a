//! Agents as the test knows them: who they are, what was typed to them, and what they printed.

use std::path::PathBuf;

use agentdeck::client::{Client, Events};
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::model::lines::Lines;
use agentdeck::model::screen::Row;
use agentdeck::proto::{Event, Reply, Request};
use serde_json::Value;

use crate::common::home::TestHome;
use crate::survival::{lives, wait_until};

/// Prints numbered lines, twenty a second, and writes down every byte that is typed. What it keeps
/// lies in its home, where no restore comes.
pub const SCRIPT: &str = "stty raw -echo; : >~/typed; echo $$ >~/pid; (i=0; while :; do \
    for k in 1 2 3 4 5; do i=$((i+1)); printf 'line %s\\r\\n' $i; done; \
    [ $((i % 50)) = 0 ] && echo $i >progress; sleep 0.25; done) & exec cat >~/typed";

/// Letters typed at once; two bursts are fewer than half the alphabet, so that a loss is told from
/// a repetition.
pub const BURST: usize = 4;

/// Rows that are kept above a screen.
const FULL_HISTORY: u32 = 10_000;

/// What a box that was killed says of itself.
const ENDED: &str = "its box was ended from outside";

/// One agent as the test knows it.
pub struct Typed {
    pub name: String,
    pub id: EnvironmentId,
    pub workspace: PathBuf,
    home: PathBuf,
    pub init: u64,
    /// Letters given to it since it was started.
    pub sent: u64,
    /// Letters of those that may be lost: they were under way when what carried them died.
    pub at_risk: u64,
    /// The last line that was seen in its place.
    seen: u64,
    /// Lines that left the kept history before they were read.
    pub unseen: u64,
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

impl Typed {
    /// The agent of an environment that runs.
    pub fn of(test: &TestHome, name: &str) -> Self {
        let found = test.agentdeck(&["inspect", name, "--json"]).json();
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let id = text(&found["environment"]["id"]);
        Self {
            name: name.to_owned(),
            id: EnvironmentId::parse(&id).expect("an id"),
            workspace: text(&found["workspace"]).into(),
            home: PathBuf::from(text(&found["state_directory"])).join("home"),
            init: found["init_pid"].as_u64().expect("a box"),
            sent: 0,
            at_risk: 0,
            seen: 0,
            unseen: 0,
        }
    }

    pub async fn type_letters(&mut self, client: &Client) {
        for _ in 0..BURST {
            let code = KeyCode::Char(letter(self.sent));
            let input = Input::Key(Key { code, modifiers: Modifiers::default() });
            let (environment, session) = (self.id.clone(), SessionId::AGENT);
            let request = Request::SendInput { environment, session, input };
            client.request(request).await.expect("typed");
            self.sent += 1;
        }
    }

    /// Letters that were refused may not arrive: the next one typed is the same.
    pub async fn try_letters(&mut self, client: &Client) {
        for _ in 0..BURST {
            let code = KeyCode::Char(letter(self.sent));
            let input = Input::Key(Key { code, modifiers: Modifiers::default() });
            let (environment, session) = (self.id.clone(), SessionId::AGENT);
            let request = Request::SendInput { environment, session, input };
            if client.request(request).await.is_err() {
                return;
            }
            self.sent += 1;
        }
    }

    /// The environment whose box was killed says so, and is started again.
    pub fn restart(&mut self, test: &TestHome) {
        let inspect = ["inspect", self.name.as_str(), "--json"];
        let ended = test
            .wait_for_json(&inspect, |found| found["environment"]["state"]["state"] == "stopped");
        assert_eq!(ended["init_pid"], Value::Null, "it claims no box: {ended}");
        assert_eq!(ended["environment"]["trouble"], ENDED);
        let _ = std::fs::remove_file(self.home.join("pid"));
        test.agentdeck(&["start", &self.name]).ok();
        let found = test.wait_for_json(&inspect, |found| found["init_pid"].is_u64());
        self.init = found["init_pid"].as_u64().expect("a box");
        let pid = self.home.join("pid");
        wait_until("the agent is there again", || pid.exists());
        (self.sent, self.at_risk, self.seen) = (0, 0, 0);
    }

    /// It lives where it lived.
    pub fn check_alive(&self, test: &TestHome, said: &str) {
        let inspect = ["inspect", self.name.as_str(), "--json"];
        // A server that has just started says what it wrote last until the shim answers.
        let found = test.wait_for_json(&inspect, |found| {
            found["environment"]["state"]["state"] == "running" && found["init_pid"].is_u64()
        });
        assert_eq!(found["init_pid"].as_u64(), Some(self.init), "{said}: {}", self.name);
        assert!(lives(self.init as u32), "{said}: {}", self.name);
    }

    fn typed(&self) -> String {
        std::fs::read_to_string(self.home.join("typed")).unwrap_or_default()
    }

    pub fn lost(&self) -> u64 {
        missing(&self.typed(), &self.name)
    }

    /// All that was typed has arrived, but for what may be lost.
    pub fn check_typed(&self, said: &str) {
        let last = letter(self.sent - 1);
        let all = |typed: &str| typed.len() as u64 + missing(typed, &self.name) == self.sent;
        let what = format!("{said}: {last:?} arrives in {} ({} sent)", self.name, self.sent);
        wait_until(&what, || self.typed().ends_with(last) && all(&self.typed()));
        let (lost, risk) = (self.lost(), self.at_risk);
        assert!(lost <= risk, "{said}: {} lost {lost} letters, {risk} were at risk", self.name);
    }

    /// Reads everything that is kept of its output: every line once, none missing.
    pub async fn check_lines(&mut self, said: &str, client: &Client, events: &mut Events) {
        let (environment, session) = (self.id.clone(), SessionId::AGENT);
        let request = Request::WatchScreen { environment: environment.clone(), session };
        client.request(request).await.expect("watched");
        let (oldest, count) = loop {
            // Of another agent one may still be on its way.
            match events.next().await.expect("the server runs") {
                Event::Screen { delta, environment, .. } if environment == self.id => {
                    break (delta.first_line - delta.scrollback, delta.scrollback);
                }
                _ => {}
            }
        };
        let mut lines: Vec<String> = Vec::new();
        while (lines.len() as u32) < count {
            let (environment, read) = (environment.clone(), lines.len() as u32);
            let (start, count) = (oldest + read, count - read);
            let request = Request::ReadLines { environment, session, start, count };
            let Ok(Reply::Lines(Lines { rows, .. })) = client.request(request).await else {
                panic!("no scrollback")
            };
            assert!(!rows.is_empty(), "{count} more rows were told than are there");
            lines.extend(rows.iter().map(Row::text));
        }
        let request = Request::UnwatchScreen { environment, session };
        client.request(request).await.expect("left");
        let numbers: Vec<u64> = lines
            .iter()
            .filter(|line| !line.is_empty())
            .map(|line| match line.strip_prefix("line ").map(str::parse) {
                Some(Ok(number)) => number,
                _ => panic!("{said}: {line:?} in {}", self.name),
            })
            .collect();
        for pair in numbers.windows(2) {
            assert_eq!(pair[0] + 1, pair[1], "{said}: lines of {}", self.name);
        }
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            // What left a history that is full was there, but nobody looked in time.
            let (seen, full) = (self.seen, count >= FULL_HISTORY);
            assert!(
                *first <= seen + 1 || full,
                "{said}: {} begins at {first} after {seen}",
                self.name
            );
            self.unseen += (first - 1).saturating_sub(seen);
            assert!(*last >= seen, "{said}: {} ends at {last}", self.name);
            self.seen = *last;
        }
    }
}
