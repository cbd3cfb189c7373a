//! What came of a deed that a kill met: all of it or nothing, and all of it where whoever asked was
//! told so.

use std::time::{Duration, Instant};

use serde_json::Value;

use super::deeds::{COMMAND, Deed, Ended, Extra};
use super::piles::{self, Pile};
use super::{Hit, Session, Victim};
use crate::common::processes;
use crate::survival::wait_until;

/// How long nothing changes once all that was asked for is done: each step takes a small part.
const QUIET: Duration = Duration::from_millis(700);

/// What a kill may excuse.
#[derive(Clone, Copy, Debug)]
pub struct Harm {
    /// The deed need not have come to its end.
    pub cut: bool,
    /// The box that comes or goes may have ended.
    pub ended: bool,
}

impl Session {
    /// What a kill that came while a deed was under way may have done to it.
    pub fn harm(&self, deed: &Deed, victim: Victim, hit: Option<Hit>) -> Harm {
        let engine = victim == Victim::Engine && deed.needs_engine(self);
        Harm {
            cut: engine || hit.is_some() || matches!(victim, Victim::Server | Victim::Command),
            ended: engine || hit.is_some(),
        }
    }

    /// Waits for the end of what a killed command asked for, of which nobody is told any more.
    pub fn wait_for_quiet(&self) {
        let look = || {
            let listed = self.test.agentdeck(&["ls", "--json"]).json();
            let states: Vec<String> = listed
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| format!("{} {}", one["name"], one["state"]["state"]))
                .collect();
            let trash = self.test.agentdeck(&["trash", "--json"]).json().to_string();
            (states, trash, piles::standing(&self.test, &self.head))
        };
        let (mut before, mut since) = (look(), Instant::now());
        while since.elapsed() < QUIET {
            let now = look();
            if now != before {
                (before, since) = (now, Instant::now());
            }
        }
    }

    /// Waits until all is at rest again, and looks at what came of a deed.
    pub fn settle(&mut self, said: &str, deed: Deed, ended: &Ended, harm: Harm) {
        assert!(ended.told || harm.cut, "{said}: {}", ended.said);
        let done = ended.told;
        match deed {
            Deed::Create { name, docker } => {
                self.settle_new(said, &name, docker, Pile::none(), done, harm);
            }
            Deed::Fork { source, name } => {
                let (docker, pile) = (self.is_container(source), self.found[source].clone());
                self.settle_new(said, &name, docker, pile, done, harm);
            }
            Deed::Restore { agent, from, to } => self.settle_restore(said, agent, &from, &to, done),
            Deed::Pause { agent } => self.settle_pause(said, agent, done.then_some("paused")),
            Deed::Resume { agent } => self.settle_pause(said, agent, done.then_some("running")),
            Deed::Discard { extra } => self.settle_discard(said, extra, done.then_some(true), harm),
            Deed::Return { extra } => self.settle_discard(said, extra, done.then_some(false), harm),
            Deed::Drop { extra } => self.settle_drop(said, &extra, done),
            Deed::Apply { pile, .. } | Deed::Merge { pile, .. } => {
                self.settle_repository(said, &pile, done.then_some(true));
            }
            Deed::TakeBack { pile } => self.settle_repository(said, &pile, done.then_some(false)),
        }
    }

    /// The state of an environment once it is at rest; `None` where there is none.
    fn rest(&self, said: &str, name: &str) -> Option<String> {
        let start = Instant::now();
        loop {
            let listed = self.test.agentdeck(&["ls", "--json"]).json();
            let list = listed.as_array().expect("a list");
            let one = list.iter().find(|one| one["name"] == name)?;
            let state = one["state"]["state"].as_str().expect("a state");
            let heard = one.get("last_known").is_none_or(Value::is_null);
            if heard && !["creating", "engine-unreachable"].contains(&state) {
                return Some(state.to_owned());
            }
            assert!(start.elapsed() < COMMAND, "{said}: {name} never rests: {one:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// An environment that was being made: it runs and is whole, or never was.
    fn settle_new(
        &mut self,
        said: &str,
        name: &str,
        docker: bool,
        pile: Pile,
        done: bool,
        harm: Harm,
    ) {
        if self.rest(said, name).is_none() {
            assert!(!done, "{said}: {name} was told to be there");
            return;
        }
        let (id, init) = self.runs_again(said, name, harm);
        let extra = Extra { name: name.to_owned(), id, init, pile, docker };
        self.check_whole(said, &extra);
        self.extras.push(extra);
    }

    /// Waits until an environment runs, and starts it where its box may have ended; its id and the
    /// first process of its box.
    fn runs_again(&self, said: &str, name: &str, harm: Harm) -> (String, u64) {
        let start = Instant::now();
        let mut asked = false;
        loop {
            let found = self.test.agentdeck(&["inspect", name, "--json"]).json();
            let one = &found["environment"];
            let init = found["init_pid"].as_u64();
            let lives = init.filter(|init| processes::lives(*init as u32));
            match (one["state"]["state"].as_str().expect("a state"), lives) {
                ("running", Some(init)) if one["sessions"][0]["state"]["state"] == "running" => {
                    return (one["id"].as_str().expect("an id").to_owned(), init);
                }
                ("stopped" | "failed", _) if harm.ended && !asked => {
                    asked = true;
                    self.test.agentdeck(&["start", name]).ok();
                }
                ("running" | "creating", _) if start.elapsed() < COMMAND => {}
                (state, _) => panic!("{said}: {name} is {state}: {found:#}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// It has the files it must have, its box answers, and it has one box.
    fn check_whole(&self, said: &str, extra: &Extra) {
        let workspace = self.test.home.join("environments").join(&extra.id).join("workspace");
        let held = Pile::of(&workspace);
        assert_eq!(held.as_ref(), Ok(&extra.pile), "{said}: the files of {}", extra.name);
        let price = self.test.script(&extra.name, "cat price");
        assert_eq!(price, extra.pile.price(), "{said}: {}", extra.name);
    }

    fn settle_restore(&mut self, said: &str, agent: usize, from: &Pile, to: &Pile, done: bool) {
        let workspace = self.agents[agent].workspace.clone();
        // What a killed server had begun, the next one ends after it answers.
        self.rest(said, &self.agents[agent].name);
        let whole = |pile: &Pile| pile == to || (!done && pile == from);
        wait_until(
            &format!("{said}: all is restored or nothing: {:?}", Pile::of(&workspace)),
            || Pile::of(&workspace).is_ok_and(|pile| whole(&pile)),
        );
        self.found[agent] = Pile::of(&workspace).expect("whole");
    }

    /// A user's pause stands until it is ended by the user.
    fn settle_pause(&mut self, said: &str, agent: usize, expected: Option<&str>) {
        let name = &self.agents[agent].name;
        let state = self.rest(said, name).expect("listed");
        if state == "stopped" {
            // Its box was killed; whoever looks at the agents sees whether it was.
            return;
        }
        let fits = expected.map_or(["running", "paused"].contains(&&*state), |it| it == state);
        assert!(fits, "{said}: {name} is {state}, not {expected:?}");
        if state == "paused" {
            let resumed = self.test.agentdeck(&["resume", name]);
            let alive = processes::lives(self.agents[agent].init as u32);
            assert!(resumed.code == 0 || !alive, "{said}: {resumed:?}");
        }
    }

    /// An environment is listed or in the trash, and never both.
    fn settle_discard(&mut self, said: &str, mut extra: Extra, away: Option<bool>, harm: Harm) {
        let state = self.rest(said, &extra.name);
        let trash = self.test.agentdeck(&["trash", "--json"]).json();
        let trashed = trash.to_string().contains(&extra.id);
        let place = |name: &str| self.test.home.join(name).join(&extra.id);
        assert_eq!(trashed, state.is_none(), "{said}: {} is {state:?}", extra.name);
        assert_eq!(place("trash").exists(), trashed, "{said}");
        assert_eq!(place("environments").exists(), !trashed, "{said}");
        let fits = away.is_none_or(|away| away == trashed);
        assert!(fits, "{said}: {} is in the trash: {trashed}", extra.name);
        if trashed {
            self.discarded = Some(extra);
            return;
        }
        // A discard begins with a stop, and what comes back does not run.
        let harm = Harm { ended: true, ..harm };
        (_, extra.init) = self.runs_again(said, &extra.name, harm);
        self.check_whole(said, &extra);
        self.extras.push(extra);
    }

    fn settle_drop(&mut self, said: &str, extra: &Extra, done: bool) {
        let there = || {
            let trash = self.test.agentdeck(&["trash", "--json"]).json();
            trash.to_string().contains(&extra.id)
        };
        if done {
            assert!(!there(), "{said}: {} was told to be gone", extra.name);
        }
        if there() {
            // Where it was begun, the next server may be at the end of it before this one.
            self.test.agentdeck(&["trash", "empty", &extra.id, "--yes"]);
        }
        let gone = || !self.test.home.join("trash").join(&extra.id).exists();
        wait_until(&format!("{said}: {} is gone", extra.name), gone);
    }

    /// The user's repository is as before or as after, and never between.
    fn settle_repository(&mut self, said: &str, pile: &Pile, taken: Option<bool>) {
        if taken.is_none() {
            // All of it may be written and not decided: the next server takes that back.
            self.wait_for_quiet();
        }
        let look = || piles::standing(&self.test, &self.head);
        wait_until(&format!("{said}: the repository is whole: {:?}", look()), || look().is_ok());
        let found = look().expect("whole");
        assert!(
            found == *pile || found == Pile::none(),
            "{said}: {found:?} and not {pile:?} in the repository"
        );
        let is_taken = found == *pile;
        assert!(taken.is_none_or(|taken| taken == is_taken), "{said}: taken: {is_taken}");
        self.taken = is_taken.then(|| pile.clone());
    }

    /// Environments that nobody touched live on in their boxes, and each has one.
    pub fn check_extras(&self, said: &str) {
        for extra in &self.extras {
            let lives = || processes::lives(extra.init as u32);
            assert!(lives(), "{said}: {} ended", extra.name);
            let inspect = ["inspect", extra.name.as_str(), "--json"];
            let found = self.test.wait_for_json(&inspect, |found| {
                found["environment"]["state"]["state"] == "running" && found["init_pid"].is_u64()
            });
            assert_eq!(found["init_pid"].as_u64(), Some(extra.init), "{said}: {}", extra.name);
        }
    }
}
