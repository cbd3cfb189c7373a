//! Follows the agent's session of one environment: when its status is looked at, and whether there
//! is anything to tell.

use std::time::{Duration, Instant};

use super::Judge;
use super::agents::Agent;
use crate::deck::state::Report;
use crate::deck::terminal::Terminal;
use crate::model::environment::Environment;
use crate::model::id::SessionId;

/// Between output and the look that follows it: soon enough for people, and a bound on what a
/// program that changes its mind all the time can have told of it.
pub(super) const PACE: Duration = Duration::from_millis(200);

/// Which state was told last, and when to look again.
#[derive(Debug)]
pub(in crate::deck) struct Follower {
    agent: Option<Agent>,
    judge: Judge,
    due: Option<Instant>,
    /// Output up to this offset was printed before: what it says is known only when all is read.
    awaited: u64,
    /// `None` until something was told of this program on this connection.
    told: Option<Report>,
}

impl Follower {
    /// Begins with what is known of the agent, and a look once its output up to the offset
    /// `awaited` was read.
    pub fn new(environment: &Environment, awaited: u64, now: Instant) -> Self {
        let agent = Agent::of(&environment.agent, &environment.command);
        let known = environment.session(SessionId::AGENT).and_then(|agent| agent.status.as_ref());
        let judge = Judge::new(agent, known.map(|status| status.state), now);
        Self { agent, judge, due: Some(now), awaited, told: None }
    }

    /// Another program runs in the session.
    pub fn begin_anew(&mut self, now: Instant) {
        self.judge = Judge::new(self.agent, None, now);
        self.due = Some(now + PACE);
        self.awaited = 0;
        self.told = None;
    }

    pub fn printed(&mut self, now: Instant) {
        self.judge.printed(now);
        self.due.get_or_insert(now + PACE);
    }

    /// The program ended; its end says all.
    pub fn stop(&mut self) {
        self.due = None;
        self.judge = Judge::new(self.agent, None, Instant::now());
    }

    pub fn deadline(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.judge.again()).min()
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
        let evidence = terminal.evidence(self.judge.reads_screens());
        let found = self.judge.judge(&evidence, now);
        let report = Report::Judged { session: SessionId::AGENT, found };
        if self.told.as_ref() == Some(&report) {
            return None;
        }
        self.told = Some(report.clone());
        Some(report)
    }
}
