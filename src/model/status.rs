//! What an agent is doing, who says so, and since when.
//!
//! A status is a claim: it comes from the agent's own words or from what its screen shows. It
//! decides nothing but what people are shown and in which order.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Timestamp;

/// The status of one session's program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    pub state: Doing,
    pub source: Source,
    /// When the state began, as far as was seen; another source or other words do not change it.
    pub since: Timestamp,
    /// What the program says about it: printable and short. Its own words, not ours.
    pub says: Option<String>,
}

/// What a program is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Doing {
    Working,
    /// It goes on only when a person has answered.
    Waiting {
        need: Need,
    },
    /// It finished what it was asked to do.
    Done,
    Failed,
    /// It was not asked to do anything, or was interrupted.
    Idle,
    /// It is one of which more could be known, and nothing is.
    Unknown,
}

/// What a program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    Permission,
    /// An answer, or something that it did not name.
    Answer,
    Login,
}

/// Where a status comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// The program told the terminal, by the Program Status Protocol.
    Report,
    /// The program's own hooks told the first process of its box.
    Hook,
    /// The title it set.
    Title,
    /// What its screen shows.
    Screen,
    /// Which of its processes has the terminal.
    Processes,
    /// It ended.
    Exit,
    /// That it prints, or has stopped to.
    Output,
    /// Nothing that is understood.
    Nothing,
}

/// What is told of a program's state by one source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    pub state: Doing,
    pub says: Option<String>,
}

/// Longest text a program can have shown of its state, in characters.
pub const MAX_SAYS: usize = 160;

impl Status {
    /// The status of a program that ended.
    pub fn exited(code: i32, at: Timestamp) -> Self {
        let state = if code == 0 { Doing::Done } else { Doing::Failed };
        Self { state, source: Source::Exit, since: at, says: None }
    }

    /// Whether it is of a program that has turns. Of a shell it is only known whether it stands at
    /// its prompt; what it runs may well read a line.
    pub fn tells_of_turns(&self) -> bool {
        self.source != Source::Processes
    }

    /// Whether a person must act before it goes on.
    pub fn waits(&self) -> bool {
        matches!(self.state, Doing::Waiting { .. })
    }
}

impl From<Doing> for Claim {
    fn from(state: Doing) -> Self {
        Self { state, says: None }
    }
}

impl Doing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Waiting { need: Need::Permission } => "waiting: permission",
            Self::Waiting { need: Need::Answer } => "waiting: answer",
            Self::Waiting { need: Need::Login } => "waiting: login",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Idle => "idle",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Report => "its own report",
            Self::Hook => "its hooks",
            Self::Title => "its title",
            Self::Screen => "its screen",
            Self::Processes => "its processes",
            Self::Exit => "its exit",
            Self::Output => "its output",
            Self::Nothing => "nothing that is understood",
        })
    }
}
