//! What a box may reach.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::failure::{Failure, FailureKind};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// No route; everything public is reached through the gateway.
    #[default]
    Open,
    /// No route; what is named is reached through the gateway.
    Allow,
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
