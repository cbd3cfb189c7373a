//! Decides what an agent is doing from what is known of it. Pure: what was seen comes in with the
//! time; a status and when to look again come out.
//!
//! The program's own report is trusted first, then its hooks, its title and its screen; of a shell,
//! which of its processes has the terminal. A question that stands on the screen, or is gone from
//! it, overrules the others once it has for a while: nobody is told that an agent works while it
//! waits. Hooks can be lost, and none tells of an interruption, so what they said is over once the
//! screen has said otherwise for as long. That a program prints, or does not, says nothing alone,
//! since agents repaint while they wait; only work that was not reported is doubted when its screen
//! stands still.

mod agents;
mod follow;
mod prompts;

use std::time::{Duration, Instant};

pub(super) use agents::Agent;
use agents::Nature;
pub(super) use follow::Follower;
use prompts::{Ending, Shown};

use crate::model::environment::Environment;
use crate::model::screen::{Row, Screen};
use crate::model::status::{Claim, Doing, Need, Source};

/// How long the screen must say otherwise before it overrules what was told. Agents hold a question
/// back for about a second after a key, and leave it on the screen for a moment when it is answered.
const GRACE: Duration = Duration::from_secs(3);
/// How long a prompt must stand there without any sign of work before work that showed is over:
/// between two steps of a turn the sign is gone for a moment.
const REST: Duration = Duration::from_secs(1);
/// Agents whose work shows on their screens move something there several times a second.
const STILL: Duration = Duration::from_secs(30);

/// What is known of a program at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    /// What it told by the Program Status Protocol.
    pub reported: Option<Claim>,
    /// What its hooks told last.
    pub hooked: Option<Hooked>,
    /// Whether it has its terminal itself, and not a program that it started.
    pub has_terminal: Option<bool>,
    pub title: String,
    /// Its screen, from the top, without colours.
    pub rows: Vec<String>,
}

/// What a program's hooks tell, and the number of the message that told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hooked {
    pub number: u64,
    pub claim: Claim,
}

/// What was found, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub claim: Claim,
    pub source: Source,
}

/// Follows one session's program.
#[derive(Debug)]
pub(super) struct Judge {
    agent: Option<Agent>,
    nature: Nature,
    /// What it was doing when it was last looked at.
    last: Option<Doing>,
    printed: Instant,
    /// What the screen shows against what was told, and since when.
    dissent: Option<Dissent>,
    /// The message of its hooks that the screen has overruled.
    overruled: Option<u64>,
    /// Since when a prompt stands where work showed.
    rests: Option<Instant>,
    /// When it must be looked at although nothing happens.
    again: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Dissent {
    shown: Shown,
    /// The message that it is against; a newer one is to be refuted anew.
    number: Option<u64>,
    since: Instant,
}

impl Judge {
    /// Begins with a program that was doing `last` when it was seen before.
    pub fn new(agent: Option<Agent>, last: Option<Doing>, now: Instant) -> Self {
        Self {
            agent,
            nature: Nature::default(),
            last,
            printed: now,
            dissent: None,
            overruled: None,
            rests: None,
            again: None,
        }
    }

    pub fn with(self, nature: Nature) -> Self {
        Self { nature, ..self }
    }

    /// Whether its screen says anything about it.
    pub fn reads_screens(&self) -> bool {
        self.agent.is_some()
    }

    /// Takes note that the program printed.
    pub fn printed(&mut self, now: Instant) {
        self.printed = now;
    }

    /// When to judge again although nothing happens meanwhile.
    pub fn again(&self) -> Option<Instant> {
        self.again
    }

    /// What the program is doing; `None` for one of which no more can be known than that it runs.
    pub fn judge(&mut self, evidence: &Evidence, now: Instant) -> Option<Finding> {
        self.again = None;
        let shown = self.agent.and_then(|agent| prompts::read(agent, &evidence.rows));
        let found = self.told(evidence, shown);
        let found = match (found, shown) {
            (Some(told), Some(shown)) => Some(self.weigh(told, shown, evidence, now)),
            (Some(told), None) => Some(told),
            (None, Some(shown)) => Some(self.shown(shown, now)),
            (None, None) => self.of_processes(evidence),
        };
        let found = found.map(|found| self.doubt(found, now)).or_else(|| self.nothing());
        self.last = found.as_ref().map(|found| found.claim.state);
        found
    }

    /// What the program tells by itself.
    fn told(&self, evidence: &Evidence, shown: Option<Shown>) -> Option<Finding> {
        // A shell at its prompt has nothing under way: who told of it is gone.
        let is_over = self.nature.is_shell && evidence.has_terminal == Some(true);
        let holds = |claim: &Claim| !(is_over && is_under_way(claim.state));
        if let Some(claim) = evidence.reported.clone().filter(holds) {
            return Some(Finding { claim, source: Source::Report });
        }
        let hooked = evidence.hooked.clone().filter(|it| self.overruled != Some(it.number));
        if let Some(claim) = hooked.map(|hooked| hooked.claim).filter(holds) {
            return Some(Finding { claim, source: Source::Hook });
        }
        let title = agents::read_title(self.agent?, &evidence.title)?;
        let title = match (title, shown) {
            // Only the screen tells why it rests.
            (Shown::Rests(_), Some(Shown::Rests(ending))) => Shown::Rests(ending),
            (title, _) => title,
        };
        Some(self.seen(title, Source::Title))
    }

    /// A state as it shows. One that rests after work is done, unless it was interrupted.
    fn seen(&self, shown: Shown, source: Source) -> Finding {
        let worked = matches!(self.last, Some(Doing::Working | Doing::Done));
        let state = match shown {
            Shown::Asks(need) => Doing::Waiting { need },
            Shown::Works => Doing::Working,
            Shown::Rests(Ending::Finished) => Doing::Done,
            Shown::Rests(Ending::Open) if worked => Doing::Done,
            Shown::Rests(_) => Doing::Idle,
        };
        Finding { claim: state.into(), source }
    }

    /// What the screen shows where nothing is told.
    fn shown(&mut self, shown: Shown, now: Instant) -> Finding {
        let pauses = shown == Shown::Rests(Ending::Open) && self.last == Some(Doing::Working);
        if !pauses {
            self.rests = None;
            return self.seen(shown, Source::Screen);
        }
        let since = *self.rests.get_or_insert(now);
        if now.duration_since(since) >= REST {
            return self.seen(shown, Source::Screen);
        }
        self.look_again(since + REST);
        self.seen(Shown::Works, Source::Screen)
    }

    /// What was told, unless the screen has said otherwise for long enough.
    fn weigh(&mut self, told: Finding, shown: Shown, evidence: &Evidence, now: Instant) -> Finding {
        let by_hook = told.source == Source::Hook;
        let refutes = by_hook && self.refutes(shown, told.claim.state, &evidence.title);
        if !refutes && !contradicts(shown, told.claim.state) {
            self.dissent = None;
            return told;
        }
        let number = evidence.hooked.as_ref().filter(|_| by_hook).map(|hooked| hooked.number);
        let same = |it: &Dissent| it.shown == shown && it.number == number;
        let since = self.dissent.filter(same).map_or(now, |dissent| dissent.since);
        self.dissent = Some(Dissent { shown, number, since });
        if now.duration_since(since) >= GRACE {
            // What is not true any more must not become true again with the next menu.
            self.overruled = number.or(self.overruled);
            return self.seen(shown, Source::Screen);
        }
        self.look_again(since + GRACE);
        told
    }

    /// Whether a screen speaks against what hooks told, which a report would be believed: hooks
    /// tell of no interruption, and can be lost.
    fn refutes(&self, shown: Shown, told: Doing, title: &str) -> bool {
        let spins = || {
            let read = self.agent.and_then(|agent| agents::read_title(agent, title));
            read == Some(Shown::Works)
        };
        match (shown, told) {
            (Shown::Rests(_), Doing::Working) => !spins(),
            (Shown::Works, Doing::Idle | Doing::Done | Doing::Failed) => true,
            _ => false,
        }
    }

    /// Of a shell, whether it runs something.
    fn of_processes(&self, evidence: &Evidence) -> Option<Finding> {
        let has_terminal = evidence.has_terminal.filter(|_| self.nature.is_shell)?;
        let state = if has_terminal { Doing::Idle } else { Doing::Working };
        Some(Finding { claim: state.into(), source: Source::Processes })
    }

    /// Work that was seen, or that nobody would tell the end of, is not known to go on when nothing
    /// moves any more.
    fn doubt(&mut self, found: Finding, now: Instant) -> Finding {
        let is_doubtful = match found.source {
            Source::Report | Source::Processes => false,
            Source::Hook => self.nature.is_animated,
            _ => true,
        };
        if found.claim.state != Doing::Working || !is_doubtful {
            return found;
        }
        if now.duration_since(self.printed) >= STILL {
            return Finding { claim: Doing::Unknown.into(), source: Source::Output };
        }
        self.look_again(self.printed + STILL);
        found
    }

    /// What is said where nothing is known.
    fn nothing(&self) -> Option<Finding> {
        let expected = self.agent.is_some() || self.last.is_some();
        expected.then(|| Finding { claim: Doing::Unknown.into(), source: Source::Nothing })
    }

    fn look_again(&mut self, at: Instant) {
        self.again = self.again.into_iter().chain([at]).min();
    }
}

/// Whether an environment's agent is one whose titles and screens are understood.
pub(super) fn is_known(environment: &Environment) -> bool {
    Agent::of(&environment.agent, &environment.command).is_some()
}

/// What such an agent's screen asks for.
pub(super) fn question(environment: &Environment, screen: &Screen) -> Option<Need> {
    let agent = Agent::of(&environment.agent, &environment.command)?;
    let rows: Vec<String> = screen.rows.iter().map(Row::text).collect();
    match prompts::read(agent, &rows)? {
        Shown::Asks(need) => Some(need),
        Shown::Works | Shown::Rests(_) => None,
    }
}

fn is_under_way(state: Doing) -> bool {
    matches!(state, Doing::Working | Doing::Waiting { .. })
}

/// Whether what a screen shows cannot be while the program is in this state. That a prompt is there
/// says nothing against work, and a menu that the user opened nothing against rest.
fn contradicts(shown: Shown, told: Doing) -> bool {
    match (shown, told) {
        (Shown::Works | Shown::Rests(_), Doing::Waiting { .. })
        | (Shown::Asks(_), Doing::Working) => true,
        (Shown::Asks(need), Doing::Idle | Doing::Done | Doing::Failed) => need != Need::Answer,
        _ => false,
    }
}

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;
