//! What holds a box: what it is made of, and how far each part was found to hold.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::failure::{Failure, FailureKind};

/// How much isolation is asked for. Less is never given silently.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IsolationRequest {
    /// All that the engine has; creation fails where the kernel cannot.
    #[default]
    Required,
    /// None: the agent runs as a plain process of the user. Only ever by name.
    Unisolated,
}

/// What isolation is made of; rails name the parts without which nothing may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Aspect {
    /// What of the host's files is seen and written.
    Files,
    /// What of the host's processes is seen and signalled.
    Processes,
    /// What the agent may ask of the kernel.
    Privileges,
    /// What is reached over a network.
    Network,
    /// How much of the machine can be used up.
    Limits,
}

impl Aspect {
    pub const ALL: [Self; 5] =
        [Self::Files, Self::Processes, Self::Privileges, Self::Network, Self::Limits];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Files => "files",
            Self::Processes => "processes",
            Self::Privileges => "privileges",
            Self::Network => "network",
            Self::Limits => "limits",
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Aspect {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        Self::ALL.into_iter().find(|aspect| aspect.as_str() == text).ok_or_else(|| {
            let names = Self::ALL.map(Self::as_str).join(", ");
            let message = format!("{text:?} is not a part of isolation");
            Failure::new(FailureKind::Invalid, message).hint(format!("use some of {names}"))
        })
    }
}

/// What holds a box, as read back from the kernel or the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    pub level: IsolationLevel,
    pub facts: Vec<IsolationFact>,
}

/// A box's isolation in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IsolationLevel {
    Enforced,
    /// Some of what was planned does not hold; the facts say which.
    Partial,
    Off,
}

/// How far one property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    Enforced,
    Partial,
    Off,
}

/// One property of a box: what it is, how far it holds, where that was read, and what would make
/// it hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationFact {
    pub aspect: Aspect,
    pub name: String,
    pub enforcement: Enforcement,
    pub evidence: String,
    pub remedy: Option<String>,
}

impl IsolationFact {
    /// A property that was found to hold or not to hold at all.
    pub fn read(aspect: Aspect, name: &str, holds: bool, evidence: impl Into<String>) -> Self {
        let enforcement = if holds { Enforcement::Enforced } else { Enforcement::Off };
        let (name, evidence) = (name.to_owned(), evidence.into());
        Self { aspect, name, enforcement, evidence, remedy: None }
    }

    pub fn holds(&self) -> bool {
        self.enforcement == Enforcement::Enforced
    }
}
