//! Follows the agent's session of one environment: when its status is looked at, and whether there
//! is anything to tell.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::agents::{Agent, Nature};
use super::{Hooked, Judge};
use crate::deck::state::Report;
use crate::deck::terminal::Terminal;
use crate::model::environment::Environment;
use crate::model::id::SessionId;
use crate::model::status::{Claim, Doing, MAX_SAYS};
use crate::shim::wire::ShimEvent;
use crate::term::printable;

/// Between output and the look that follows it: soon enough for people, and a bound on what a
/// program that changes its mind all the time can have told of it.
pub(super) const PACE: Duration = Duration::from_millis(200);

/// How long a shim may take to tell what hooks told an earlier server, before it is said of a state
/// that is known that nothing is.
const HEARSAY: Duration = Duration::from_millis(500);

/// So many changes of state are told at once; more only as the oldest of them grows older than
/// `WHILE`. Each is written to the record and sent to every client, and no agent that works has so
/// many turns.
const AT_ONCE: usize = 10;
const WHILE: Duration = Duration::from_secs(20);

/// Which state was told last, and when to look again.
#[derive(Debug)]
pub(in crate::deck) struct Follower {
    agent: Option<Agent>,
    nature: Nature,
    judge: Judge,
    /// What the program's hooks tell.
    hooked: Option<Hooked>,
    /// Whether it has its terminal itself.
    has_terminal: Option<bool>,
    due: Option<Instant>,
    /// Output up to this offset was printed before: what it says is known only when all is read.
    awaited: u64,
    /// `None` until something was told of this program on this connection.
    told: Option<Report>,
    /// When states were told, the oldest first.
    changes: VecDeque<Instant>,
}

impl Follower {
    /// Begins with what is known of the agent, and a look once its output up to the offset
    /// `awaited` was read.
    pub fn new(environment: &Environment, awaited: u64, now: Instant) -> Self {
        let agent = Agent::of(&environment.agent, &environment.command);
        let known = environment.session(SessionId::AGENT).and_then(|agent| agent.status.as_ref());
        let nature = Nature::of(environment);
        let judge = Judge::new(agent, known.map(|status| status.state), now).with(nature);
        Self {
            agent,
            nature,
            judge,
            hooked: None,
            has_terminal: None,
            due: Some(if known.is_some() { now + HEARSAY } else { now }),
            awaited,
            told: None,
            changes: VecDeque::new(),
        }
    }

    /// Another program runs in the session.
    pub fn begin_anew(&mut self, now: Instant) {
        self.judge = Judge::new(self.agent, None, now).with(self.nature);
        self.hooked = None;
        self.has_terminal = None;
        self.due = Some(now + PACE);
        self.awaited = 0;
        self.told = None;
    }

    /// Takes what the shim tells of programs, as far as it is about the agent's state.
    pub fn hear(&mut self, event: ShimEvent, now: Instant) {
        match event {
            ShimEvent::Told { session: SessionId::AGENT, number, state, says } => {
                // The words may be anything.
                let says = says.map(|says| printable(&says, MAX_SAYS));
                let says = says.filter(|says| !says.is_empty());
                self.hooked = state.map(|state| Hooked { number, claim: Claim { state, says } });
            }
            ShimEvent::Foreground { session: SessionId::AGENT, own } if self.nature.is_shell => {
                self.has_terminal = Some(own);
            }
            ShimEvent::Refused { count } => {
                tracing::warn!("{count} messages of a box's programs were dropped as malformed");
                return;
            }
            _ => return,
        }
        self.due.get_or_insert(now + PACE);
    }

    pub fn printed(&mut self, now: Instant) {
        self.judge.printed(now);
        self.due.get_or_insert(now + PACE);
    }

    /// The program ended; its end says all.
    pub fn stop(&mut self) {
        self.due = None;
        self.hooked = None;
        self.judge = Judge::new(self.agent, None, Instant::now()).with(self.nature);
    }

    pub fn deadline(&self) -> Option<Instant> {
        let due = self.due.into_iter().chain(self.judge.again()).min()?;
        Some(self.held_until().map_or(due, |until| due.max(until)))
    }

    /// Until then nothing more is told, because too much was.
    fn held_until(&self) -> Option<Instant> {
        let oldest = self.changes.front().filter(|_| self.changes.len() == AT_ONCE)?;
        Some(*oldest + WHILE)
    }

    pub fn is_due(&self, now: Instant) -> bool {
        self.deadline().is_some_and(|at| at <= now)
    }

    /// Looks at the session's terminal; returns what has not been told yet.
    pub fn look(&mut self, terminal: Option<&Terminal>, now: Instant) -> Option<Report> {
        self.due = None;
        let Some(terminal) = terminal else {
            self.stop();
            return None;
        };
        if terminal.offset() < self.awaited {
            self.due = Some(now + PACE);
            return None;
        }
        let mut evidence = terminal.evidence(self.judge.reads_screens());
        (evidence.hooked, evidence.has_terminal) = (self.hooked.clone(), self.has_terminal);
        let found = self.judge.judge(&evidence, now);
        let report = Report::Judged { session: SessionId::AGENT, found };
        if self.told.as_ref() == Some(&report) {
            return None;
        }
        if state_of(self.told.as_ref()) != state_of(Some(&report)) {
            if self.changes.len() == AT_ONCE {
                self.changes.pop_front();
            }
            self.changes.push_back(now);
        }
        self.told = Some(report.clone());
        Some(report)
    }
}

/// The state that a report tells, without its words.
fn state_of(report: Option<&Report>) -> Option<Doing> {
    match report? {
        Report::Judged { found, .. } => found.as_ref().map(|found| found.claim.state),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deck::state::tests::record;
    use crate::model::screen::Size;

    #[test]
    fn a_program_that_changes_its_mind_all_the_time_is_told_now_and_then_and_at_last() {
        let environment = record(1, "fox", "/shop").environment;
        let begun = Instant::now();
        let terminal = Terminal::new(Size::DEFAULT);
        let mut follower = Follower::new(&environment, 0, begun);
        let mut told = 0;
        let minute = Duration::from_mins(1);
        let mut now = begun;
        let mut offset = 0;
        let mut works = false;
        for step in 0_u32.. {
            if now >= begun + minute {
                break;
            }
            // As fast as it is looked at.
            works = step % 4 < 2;
            let state = if works { "working" } else { "idle" };
            let report = format!("\x1b]7501;state={state}\x1b\\");
            terminal.feed(offset, report.as_bytes());
            offset += report.len() as u64;
            follower.printed(now);
            if follower.is_due(now) {
                told += usize::from(follower.look(Some(&terminal), now).is_some());
            }
            now += PACE;
        }
        assert!((AT_ONCE..=AT_ONCE * 4).contains(&told), "{told}");
        // What it settles on is told, if late.
        let due = follower.deadline().expect("a look is due");
        assert!(due <= now + WHILE);
        follower.look(Some(&terminal), due);
        let last = state_of(follower.told.as_ref());
        assert_eq!(last, Some(if works { Doing::Working } else { Doing::Idle }));
    }
}
