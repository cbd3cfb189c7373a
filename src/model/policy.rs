//! Rails as values: engines, isolation, network, limits. Reading files into them is `config`'s.

mod isolation;
mod limits;
mod network;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, FailureKind};
pub use super::image::ImageSource;

pub use isolation::{
    Aspect, Enforcement, Isolation, IsolationFact, IsolationLevel, IsolationRequest,
};
pub use limits::{LimitSupport, Limits, Load, Usage, parse_bytes, parse_processors, show_bytes};
pub use network::{HostPort, NetworkMode, NetworkPolicy};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// Namespaces of this kernel, without a daemon.
    Native,
    /// A Docker Engine, or what speaks its API.
    Docker,
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Docker => "docker",
        })
    }
}

impl FromStr for EngineKind {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "native" => Ok(Self::Native),
            "docker" => Ok(Self::Docker),
            other => Err(Failure::new(FailureKind::Invalid, format!("{other:?} is not an engine"))
                .hint("use native or docker")),
        }
    }
}

/// What an engine can do here, or why it cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineReport {
    pub engine: EngineKind,
    pub usable: bool,
    /// One line: a version, or what was tried and failed.
    pub summary: String,
    /// What to do when it is not usable.
    pub hint: Option<String>,
    /// Name and value of each capability and finding.
    pub details: Vec<(String, String)>,
    pub capabilities: Capabilities,
}

/// What an engine can do beyond making and ending boxes. The default is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::struct_excessive_bools, reason = "each is a capability of its own")]
pub struct Capabilities {
    pub limits: LimitSupport,
    pub pause: bool,
    pub update_limits: bool,
    /// Copies a box's own layer for another one.
    pub fork: bool,
    /// Writes a box's system as an image.
    pub save: bool,
    /// Runs images.
    pub images: bool,
    /// Builds images from a Dockerfile.
    pub build: bool,
    /// Gives a box a network of the engine.
    pub bridge: bool,
    /// Runtimes that can be named; empty where there is no choice.
    pub runtimes: Vec<String>,
}
