//! How often titles and screens of recorded agents are understood.
//!
//! Labels are what the agents themselves reported by the Program Status Protocol, which the judge is
//! not shown, and where they report nothing, marks that a person set (`state: idle`). `LEARNT` are
//! the recordings that the rules were written from; no rule was written from those `HELD_OUT`.
//!
//! `HOOKED` have the input of each hook at the time it ran (`hook: …`), and are held out too. They are
//! played as they are, with hooks lost, and with all of them late: an `Esc` after a question and one
//! at work, of which no hook tells, are in them.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use super::follow::PACE;
use super::*;
use crate::model::screen::{Row, Size};
use crate::shim::rehearsal::Rehearsal;
use crate::term::Emulator;

const LEARNT: [(&str, Agent); 4] = [
    ("claude.cast", Agent::Claude),
    ("codex.cast", Agent::Codex),
    ("claude-2.1.197.cast", Agent::Claude),
    ("codex-first-run.cast", Agent::Codex),
];
const HELD_OUT: [(&str, Agent); 5] = [
    ("claude-84x30.cast", Agent::Claude),
    ("claude-60x18.cast", Agent::Claude),
    ("claude-2.1.197-100x30.cast", Agent::Claude),
    ("codex-84x30.cast", Agent::Codex),
    ("codex-132x43.cast", Agent::Codex),
];

const HOOKED: [(&str, Agent); 2] =
    [("claude-hooks-100x30.cast", Agent::Claude), ("claude-hooks-78x22.cast", Agent::Claude)];

/// What becomes of hooks on their way.
#[derive(Clone, Copy)]
struct Way {
    name: &'static str,
    /// Whether the hook of this number arrives.
    arrives: fn(usize) -> bool,
    late: Duration,
}

const WAYS: [Way; 4] = [
    Way { name: "hooks", arrives: |_| true, late: Duration::ZERO },
    Way { name: "hooks, each third lost", arrives: |number| number % 3 != 2, late: Duration::ZERO },
    Way { name: "hooks, lost after the first", arrives: |number| number < 2, late: Duration::ZERO },
    Way { name: "hooks, two seconds late", arrives: |_| true, late: Duration::from_secs(2) },
];

/// How long a label must have stood before it counts: Codex shows a question up to a second after
/// it reports that it asks.
const SETTLED: Duration = Duration::from_millis(1500);

/// What every score must reach, in per cent.
const LEAST: f64 = 99.0;

/// By label: looks that agreed, of how many; and what was found where they did not.
#[derive(Debug, Default)]
struct Score {
    right: u32,
    looks: u32,
    wrong: BTreeMap<String, u32>,
}

impl Score {
    fn count(&mut self, label: &str, found: Option<Doing>) {
        self.looks += 1;
        let found = found.map_or("nothing", Doing::as_str);
        if found == label {
            self.right += 1;
        } else {
            *self.wrong.entry(format!("{label} taken for {found}")).or_default() += 1;
        }
    }

    fn percent(&self) -> f64 {
        f64::from(self.right) * 100.0 / f64::from(self.looks.max(1))
    }
}

/// One recording, looked at as often as a live session is.
struct Player {
    way: Way,
    hooks: usize,
    /// When hooks are heard, and were said.
    on_their_way: VecDeque<(Duration, Duration, String)>,
    shim: Rehearsal,
    hooked: Option<Hooked>,
    settled: Duration,
    emulator: Emulator,
    judge: Judge,
    begun: Instant,
    evidence: Evidence,
    next: Duration,
    label: Option<String>,
    marked: Option<String>,
    since: Duration,
    with_title: bool,
}

impl Player {
    fn play(name: &str, agent: Agent, with_title: bool, way: Option<Way>, score: &mut Score) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings").join(name);
        let text = std::fs::read_to_string(path).expect("a recording");
        let mut lines = text.lines();
        let header = lines.next().expect("a header");
        let header: serde_json::Value = serde_json::from_str(header).expect("a header");
        let side = |side: &str| header[side].as_u64().expect("a number") as u16;
        let begun = Instant::now();
        // Where hooks are believed, the screen has to refute them first.
        let settled = SETTLED + way.map_or(Duration::ZERO, |way| way.late + GRACE);
        let no_hooks = Way { name: "", arrives: |_| false, late: Duration::ZERO };
        let mut player = Self {
            way: way.unwrap_or(no_hooks),
            hooks: 0,
            on_their_way: VecDeque::new(),
            shim: Rehearsal::default(),
            hooked: None,
            settled,
            emulator: Emulator::new(Size { columns: side("width"), rows: side("height") }),
            judge: Judge::new(Some(agent), None, begun),
            begun,
            evidence: Evidence::default(),
            next: Duration::ZERO,
            label: None,
            marked: None,
            since: Duration::ZERO,
            with_title,
        };
        for line in lines {
            let (at, kind, data): (f64, String, String) =
                serde_json::from_str(line).expect("an event");
            let at = Duration::from_secs_f64(at);
            player.look_until(at, score);
            player.happen(at, &kind, &data);
        }
    }

    fn happen(&mut self, at: Duration, kind: &str, data: &str) {
        match kind {
            "o" => self.emulator.feed(data.as_bytes()),
            "r" => {
                let (columns, rows) = data.split_once('x').expect("a size");
                let side = |text: &str| text.parse().expect("a number");
                self.emulator.resize(Size { columns: side(columns), rows: side(rows) });
            }
            "m" if data.starts_with("hook: ") => {
                if (self.way.arrives)(self.hooks) {
                    let input = data["hook: ".len()..].to_owned();
                    self.on_their_way.push_back((at + self.way.late, at, input));
                }
                self.hooks += 1;
                return;
            }
            "m" => {
                if let Some(label) = data.strip_prefix("state: ") {
                    self.marked = Some(label.to_owned());
                }
            }
            _ => return,
        }
        self.judge.printed(self.begun + at);
        let reported = self.emulator.reported().map(|claim| claim.state.to_string());
        let label = reported.or_else(|| self.marked.clone());
        if label != self.label {
            (self.label, self.since) = (label, at);
        }
        let title = if self.with_title { self.emulator.title().to_owned() } else { String::new() };
        let rows = self.emulator.screen().rows.iter().map(Row::text).collect();
        self.evidence = Evidence { title, rows, ..Evidence::default() };
    }

    /// Takes the hooks that arrived by then.
    fn hear_until(&mut self, at: Duration) {
        let milliseconds = |at: Duration| at.as_millis() as u64;
        while let Some((heard, said, input)) = self.on_their_way.pop_front_if(|it| it.0 <= at) {
            let (said, heard) = (milliseconds(said), milliseconds(heard));
            let (number, claim) = self.shim.hear("claude", &input, said, heard);
            self.hooked = claim.map(|claim| Hooked { number, claim });
        }
        self.evidence.hooked.clone_from(&self.hooked);
    }

    fn look_until(&mut self, at: Duration, score: &mut Score) {
        while self.next < at {
            self.hear_until(self.next);
            let found = self.judge.judge(&self.evidence, self.begun + self.next);
            let found = found.map(|found| found.claim.state);
            if let Some(label) = &self.label
                && self.next >= self.since + self.settled
            {
                score.count(label, found);
            }
            self.next += PACE;
        }
    }
}

fn scored(recordings: &[(&str, Agent)], with_title: bool, way: Option<Way>) -> Score {
    let mut score = Score::default();
    for (name, agent) in recordings {
        Player::play(name, *agent, with_title, way, &mut score);
    }
    score
}

#[test]
#[allow(clippy::print_stdout, reason = "the score is what it is run for")]
fn titles_and_screens_say_what_agents_report() {
    let mut least: f64 = 100.0;
    let mut tell = |what: &str, score: &Score| {
        let (percent, looks, wrong) = (score.percent(), score.looks, &score.wrong);
        println!("{what}: {percent:.2} % of {looks} looks; {wrong:?}");
        least = least.min(percent);
    };
    for (what, recordings) in [("learnt", &LEARNT[..]), ("held out", &HELD_OUT[..])] {
        for (sources, with_title) in [("screen", false), ("title and screen", true)] {
            let score = scored(recordings, with_title, None);
            tell(&format!("{what}, {sources}"), &score);
        }
    }
    for way in WAYS {
        for (sources, with_title) in [("screen", false), ("title and screen", true)] {
            let score = scored(&HOOKED, with_title, Some(way));
            tell(&format!("held out, {}, {sources}", way.name), &score);
        }
    }
    assert!(least >= LEAST, "{least:.2} %");
}
