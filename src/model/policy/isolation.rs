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

impl Isolation {
    /// What facts come to: the worst of those that count. A way out to the network and a missing
    /// limit make a box partial, never none: it is still a box.
    pub fn of(facts: Vec<IsolationFact>) -> Self {
        let level = Self::level(&facts);
        Self { level, facts }
    }

    fn level(facts: &[IsolationFact]) -> IsolationLevel {
        let counted = || facts.iter().filter(|fact| fact.counts);
        let is_wall = |aspect| !matches!(aspect, Aspect::Network | Aspect::Limits);
        let off = |fact: &IsolationFact| fact.enforcement == Enforcement::Off;
        if counted().all(off) || counted().any(|fact| is_wall(fact.aspect) && off(fact)) {
            IsolationLevel::Off
        } else if counted().all(IsolationFact::holds) {
            IsolationLevel::Enforced
        } else {
            IsolationLevel::Partial
        }
    }

    /// The parts of isolation in which something that counts does not hold.
    pub fn lacking(&self) -> Vec<Aspect> {
        let lacks = |aspect: &Aspect| {
            self.facts.iter().any(|fact| fact.aspect == *aspect && fact.counts && !fact.holds())
        };
        Aspect::ALL.into_iter().filter(lacks).collect()
    }

    /// The first fact for which what is required is not there; `None` when all of it is.
    pub fn unmet(&self, required: &[Aspect]) -> Option<&IsolationFact> {
        let named = |fact: &&IsolationFact| required.contains(&fact.aspect);
        self.facts.iter().filter(named).find(|fact| fact.counts && !fact.holds())
    }
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

impl fmt::Display for IsolationLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforced => "enforced",
            Self::Partial => "partial",
            Self::Off => "off",
        })
    }
}

/// How far one property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Enforcement {
    Enforced,
    Partial,
    Off,
}

impl fmt::Display for Enforcement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Enforced => "enforced",
            Self::Partial => "partial",
            Self::Off => "off",
        })
    }
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
    /// It was planned or asked for, so it decides the level. What an engine cannot give by its
    /// nature, and what nobody asked for, is told and does not.
    #[serde(default = "counts")]
    pub counts: bool,
}

fn counts() -> bool {
    true
}

impl IsolationFact {
    pub fn new(
        aspect: Aspect,
        name: &str,
        enforcement: Enforcement,
        evidence: impl Into<String>,
    ) -> Self {
        let (name, evidence) = (name.to_owned(), evidence.into());
        Self { aspect, name, enforcement, evidence, remedy: None, counts: true }
    }

    /// The same with what would make it hold.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// The same, told without deciding the level.
    #[must_use]
    pub fn aside(mut self) -> Self {
        self.counts = false;
        self
    }

    pub fn holds(&self) -> bool {
        self.enforcement == Enforcement::Enforced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fact(aspect: Aspect, enforcement: Enforcement) -> IsolationFact {
        IsolationFact::new(aspect, "something", enforcement, "somewhere")
    }

    #[test]
    fn the_level_is_the_worst_of_what_counts() {
        use Aspect::{Files, Limits, Network, Privileges};
        use Enforcement::{Enforced, Off, Partial};
        let level = |facts: &[IsolationFact]| Isolation::of(facts.to_vec()).level;
        let walls = [fact(Files, Enforced), fact(Privileges, Enforced)];
        let with = |fact| [walls.as_slice(), &[fact]].concat();
        assert_eq!(level(&walls), IsolationLevel::Enforced);
        assert_eq!(level(&with(fact(Limits, Off).aside())), IsolationLevel::Enforced);
        assert_eq!(level(&with(fact(Limits, Off))), IsolationLevel::Partial);
        assert_eq!(level(&with(fact(Network, Off))), IsolationLevel::Partial);
        assert_eq!(level(&with(fact(Files, Partial))), IsolationLevel::Partial);
        assert_eq!(level(&with(fact(Files, Off))), IsolationLevel::Off);
        assert_eq!(level(&[]), IsolationLevel::Off, "nothing known is nothing held");
    }

    #[test]
    fn what_is_required_must_hold_where_it_counts() {
        use Aspect::{Limits, Network, Privileges};
        let isolation = Isolation::of(vec![
            fact(Privileges, Enforcement::Partial).aside(),
            fact(Network, Enforcement::Off),
            fact(Limits, Enforcement::Enforced),
        ]);
        assert_eq!(isolation.lacking(), [Network]);
        assert_eq!(isolation.unmet(&[Limits, Privileges]), None);
        assert_eq!(isolation.unmet(&[Limits, Network]), Some(&isolation.facts[1]));
    }
}
