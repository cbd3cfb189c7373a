//! An environment's state as people read it: one word, one shape, one tone, and since when.

use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::id::{SessionId, Timestamp};
use crate::model::policy::{Aspect, Enforcement, IsolationLevel, show_bytes};
use crate::model::status::{Doing, Status as AgentStatus};

use super::widget::foreign;

/// The kinds of state, each with a shape of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    /// It runs, and no more can be known.
    Running,
    Working,
    /// It goes on only when a person has answered.
    Waiting,
    Idle,
    /// More could be known of it, and nothing is.
    Unknown,
    Done,
    Failed,
    Paused,
    Stopped,
    Unreachable,
    /// The server just began and has not heard how it stands.
    Checking,
}

impl Status {
    pub(crate) fn glyph(self) -> &'static str {
        match self {
            Self::Creating => "◌",
            Self::Running | Self::Working => "●",
            Self::Waiting => "▲",
            Self::Idle => "○",
            Self::Done => "✓",
            Self::Failed => "✗",
            Self::Paused => "Ⅱ",
            Self::Stopped => "■",
            Self::Unreachable | Self::Unknown => "?",
            Self::Checking => "…",
        }
    }
}

/// A status, its word and since when it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) status: Status,
    pub(crate) word: String,
    pub(crate) since: Timestamp,
}

pub(crate) fn read(environment: &Environment) -> Reading {
    let since = environment.state_since;
    match &environment.last_known {
        Some(last) => {
            let word = format!("checking, was {}", read_state(environment, last).word);
            Reading { status: Status::Checking, word, since }
        }
        None => read_state(environment, &environment.state),
    }
}

/// The status that was known last.
pub(crate) fn known(environment: &Environment) -> Status {
    let state = environment.last_known.as_deref().unwrap_or(&environment.state);
    read_state(environment, state).status
}

/// As it is, were it in this state.
fn read_state(environment: &Environment, state: &EnvironmentState) -> Reading {
    let since = environment.state_since;
    let (status, word, since) = match state {
        EnvironmentState::Creating { step, done, total } => {
            (Status::Creating, progress(step, *done, *total), since)
        }
        EnvironmentState::Running => return read_agent(environment),
        EnvironmentState::Paused { reason } => {
            let reason = reason.as_ref().map(|reason| format!(": {}", foreign(reason)));
            (Status::Paused, format!("paused{}", reason.unwrap_or_default()), since)
        }
        EnvironmentState::Stopped if environment.trouble.is_some() => {
            (Status::Failed, trouble(environment), since)
        }
        EnvironmentState::Stopped => (Status::Stopped, "stopped".to_owned(), since),
        EnvironmentState::Failed { .. } => (Status::Failed, "failed".to_owned(), since),
        EnvironmentState::EngineUnreachable { since, .. } => {
            (Status::Unreachable, "engine unreachable".to_owned(), *since)
        }
    };
    Reading { status, word, since }
}

/// In a running box the agent's own end is what matters.
fn read_agent(environment: &Environment) -> Reading {
    let agent = environment.session(SessionId::AGENT);
    let (status, word, since) = match agent.map(|session| &session.state) {
        Some(SessionState::Exited { code: 0, at }) => (Status::Done, "done".to_owned(), *at),
        Some(SessionState::Exited { at, .. }) if environment.trouble.is_some() => {
            (Status::Failed, trouble(environment), *at)
        }
        Some(SessionState::Exited { code, at }) => (Status::Failed, format!("exit {code}"), *at),
        Some(SessionState::Failed { .. }) => {
            (Status::Failed, "not started".to_owned(), environment.state_since)
        }
        Some(SessionState::Running) | None => return read_running(environment),
    };
    Reading { status, word, since }
}

/// What an agent that runs is doing.
fn read_running(environment: &Environment) -> Reading {
    let agent = environment.session(SessionId::AGENT);
    let Some(told) = agent.and_then(|agent| agent.status.as_ref()) else {
        let (word, since) = ("running".to_owned(), environment.state_since);
        return Reading { status: Status::Running, word, since };
    };
    let status = match told.state {
        Doing::Working => Status::Working,
        Doing::Waiting { .. } => Status::Waiting,
        Doing::Done => Status::Done,
        Doing::Failed => Status::Failed,
        Doing::Idle => Status::Idle,
        Doing::Unknown => Status::Unknown,
    };
    let word = match told.state {
        Doing::Unknown => "running, status unknown".to_owned(),
        state => state.to_string(),
    };
    Reading { status, word, since: told.since }
}

/// Whether it goes on only when a person has answered.
pub(crate) fn waits(environment: &Environment) -> bool {
    read(environment).status == Status::Waiting
}

/// What is said of a status beside its word: who says so, and the program's own words.
pub(crate) fn evidence(told: &AgentStatus) -> String {
    match &told.says {
        Some(says) => format!("by {}: {}", told.source, foreign(says)),
        None => format!("by {}", told.source),
    }
}

/// What it died of.
fn trouble(environment: &Environment) -> String {
    foreign(environment.trouble.as_deref().unwrap_or_default())
}

fn progress(step: &str, done: u64, total: u64) -> String {
    let step = foreign(step);
    match (done * 100).checked_div(total) {
        Some(percent) => format!("{step} {} %", percent.min(100)),
        None if done > 0 => format!("{step} {}", show_bytes(done)),
        None => step,
    }
}

/// A box's isolation as it is shown: a shape, and words where not all of it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) level: IsolationLevel,
    /// The parts that lack something.
    pub(crate) lacking: Vec<Aspect>,
}

impl Badge {
    /// One word or two; nothing where all holds.
    pub(crate) fn word(&self) -> &'static str {
        match self.level {
            IsolationLevel::Enforced => "",
            IsolationLevel::Partial => " partial",
            IsolationLevel::Off => " not isolated",
        }
    }

    /// The same with the parts that lack something.
    pub(crate) fn words(&self) -> String {
        let parts: Vec<&str> = self.lacking.iter().map(|aspect| aspect.as_str()).collect();
        match self.level {
            IsolationLevel::Partial => format!("{}: {}", self.word(), parts.join(", ")),
            _ => self.word().to_owned(),
        }
    }

    pub(crate) fn glyph(&self) -> &'static str {
        enforcement_glyph(match self.level {
            IsolationLevel::Enforced => Enforcement::Enforced,
            IsolationLevel::Partial => Enforcement::Partial,
            IsolationLevel::Off => Enforcement::Off,
        })
    }
}

/// A full, a half and an empty shape, which tell without colour.
pub(crate) fn enforcement_glyph(enforcement: Enforcement) -> &'static str {
    match enforcement {
        Enforcement::Enforced => "▣",
        Enforcement::Partial => "◧",
        Enforcement::Off => "□",
    }
}

/// What is said of a box's isolation; `None` until it was read.
pub(crate) fn badge(environment: &Environment) -> Option<Badge> {
    let isolation = environment.isolation.as_ref()?;
    Some(Badge { level: isolation.level, lacking: isolation.lacking() })
}
