//! Rails as values: engines, isolation, network, limits. Reading files into them is `config`'s.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, FailureKind};
pub use super::image::ImageSource;

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

/// What holds a box, as read back from the kernel or the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Isolation {
    pub level: IsolationLevel,
    pub facts: Vec<IsolationFact>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IsolationLevel {
    Isolated,
    /// Some of what was planned does not hold; the facts say which.
    Partial,
    Unisolated,
}

/// One property of a box: what it is, whether it holds, and where that was read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IsolationFact {
    pub name: String,
    pub holds: bool,
    pub evidence: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// No route; everything public is reached through the gateway.
    #[default]
    Open,
    /// No route and no gateway, but for the hosts named.
    None,
    /// The engine's own network: a real route, no gateway.
    Bridge,
}

impl FromStr for NetworkMode {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        match text {
            "open" => Ok(Self::Open),
            "none" => Ok(Self::None),
            "bridge" => Ok(Self::Bridge),
            other => {
                Err(Failure::new(FailureKind::Invalid, format!("{other:?} is not a network mode"))
                    .hint("use open, none or bridge"))
            }
        }
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
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

/// A host name or address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    /// Lower case, without brackets or a trailing dot.
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// The name that stands for the host's own loopback in `--allow host:PORT`.
    pub const HOST: &'static str = "host";
    /// The name by which a box reaches what `--allow host:PORT` named.
    pub const HOST_IN_BOX: &'static str = "host.agentdeck";
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for HostPort {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let bad = || {
            Failure::new(FailureKind::Invalid, format!("{text:?} is not HOST:PORT"))
                .hint("name a host and a port, as in example.org:443 or host:8080")
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let port = port.parse().ok().filter(|port| *port != 0).ok_or_else(bad)?;
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
        let shape = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte));
        if !shape {
            return Err(bad());
        }
        Ok(Self { host: host.to_ascii_lowercase(), port })
    }
}

impl TryFrom<String> for HostPort {
    type Error = Failure;

    fn try_from(text: String) -> Result<Self, Failure> {
        text.parse()
    }
}

impl From<HostPort> for String {
    fn from(value: HostPort) -> Self {
        value.to_string()
    }
}

/// Bounds on what a box may use; `None` leaves a bound to the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Processors, in thousandths.
    pub cpu_millis: Option<u32>,
    /// Bytes.
    pub memory: Option<u64>,
    pub processes: Option<u32>,
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_and_port_are_read_in_every_usual_spelling() {
        let read = |text: &str| text.parse::<HostPort>().map(|value| value.to_string());
        assert_eq!(read("Example.ORG.:443"), Ok("example.org:443".to_owned()));
        assert_eq!(read("[::1]:80"), Ok("[::1]:80".to_owned()));
        for bad in ["example.org", "example.org:0", "example.org:99999", ":80", "a b:80", "a\0b:80"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
