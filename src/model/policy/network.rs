//! What a box may reach.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use crate::model::destination::HostPort;
use crate::model::failure::{Failure, FailureKind};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// No route; everything public is reached through the gateway.
    #[default]
    Open,
    /// No route; only what is named is reached, through the gateway.
    Allow,
    /// Nothing is reached.
    None,
    /// The engine's own network: a real route, no gateway.
    Bridge,
}

impl FromStr for NetworkMode {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "open" => Ok(Self::Open),
            "allow" => Ok(Self::Allow),
            "none" => Ok(Self::None),
            "bridge" => Ok(Self::Bridge),
            other => {
                Err(Failure::new(FailureKind::Invalid, format!("{other:?} is not a network mode"))
                    .hint("use open, allow, none or bridge"))
            }
        }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Allow => "allow",
            Self::None => "none",
            Self::Bridge => "bridge",
        })
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkPolicy {
    pub mode: NetworkMode,
    /// Reachable besides what the mode gives. `host:PORT` (the literal name `host`) is the
    /// service on that port of the host's loopback; the box reaches it as `host.agentdeck:PORT`.
    pub allow: Vec<HostPort>,
}
