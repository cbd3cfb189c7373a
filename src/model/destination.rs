//! Where programs of a box want to go, and what is said of where they may.
//!
//! One reading of every spelling of a host, for the gateway, the box's name server and the user's
//! own entries alike. Whatever two programs could read differently is refused: what is judged must
//! be what is dialled.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::failure::{Failure, FailureKind};
use super::id::Timestamp;
use super::policy::{NetworkMode, NetworkPolicy};

/// Longest name, in bytes (RFC 1035, 2.3.4, without the root).
const MAX_NAME: usize = 253;

/// Longest label of a name, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// The ports of an entry that names none.
const WEB_PORTS: [u16; 2] = [80, 443];

/// A host in the one form it is judged and dialled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Host {
    /// Lower case, without a trailing dot, never the spelling of an address.
    Name(String),
    /// Never an IPv4 address in IPv6 form.
    Address(IpAddr),
}

impl Host {
    /// Reads a host; an IPv6 address may stand in brackets. `None` for what is no host, or one that
    /// programs read differently: octal, hexadecimal and short addresses, zones, odd bytes.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(inner) = text.strip_prefix('[') {
            let address: Ipv6Addr = inner.strip_suffix(']')?.parse().ok()?;
            return Some(Self::address(address.into()));
        }
        if text.contains(':') {
            let address: Ipv6Addr = text.parse().ok()?;
            return Some(Self::address(address.into()));
        }
        let text = text.strip_suffix('.').unwrap_or(text);
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Some(Self::address(address.into()));
        }
        let last = text.rsplit('.').next()?;
        let sound = text.len() <= MAX_NAME && text.split('.').all(is_label) && !is_number(last);
        sound.then(|| Self::Name(text.to_ascii_lowercase()))
    }

    /// The host of an address in any of its forms.
    pub fn address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

fn is_label(label: &str) -> bool {
    (1..=MAX_LABEL).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// Whether some program reads a name that ends in this label as an IPv4 address, as the C library
/// and browsers do (WHATWG URL, "ends in a number").
fn is_number(label: &str) -> bool {
    let hexadecimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    label.bytes().all(|byte| byte.is_ascii_digit())
        || label.strip_prefix("0x").or_else(|| label.strip_prefix("0X")).is_some_and(hexadecimal)
}

/// An entry of what an environment may reach: `example.org:443`, `*.example.org`, `10.0.0.7:5432`,
/// `10.1.0.0/16:443`, `host:8080`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostPort {
    pub host: Named,
    /// Left out, the ports of the web: 80 and 443.
    pub port: Option<u16>,
}

/// Which hosts an entry names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Named {
    /// `host`: the loopback of the machine the server runs on; boxes say `host.agentdeck`.
    ThisMachine,
    /// One name or address.
    Exactly(Host),
    /// `*.example.org`: every name below this one, and not itself.
    Below(String),
    /// Every address that begins with the first `prefix` bits of `address`.
    Network { address: IpAddr, prefix: u8 },
}

impl HostPort {
    /// The name that stands for the host's own loopback in `--allow host:PORT`.
    pub const HOST: &'static str = "host";
    /// The name by which a box reaches what `--allow host:PORT` named.
    pub const HOST_IN_BOX: &'static str = "host.agentdeck";

    /// One port of one host.
    pub fn exactly(host: Host, port: u16) -> Self {
        Self { host: Named::Exactly(host), port: Some(port) }
    }

    /// A service of the host's own loopback.
    pub fn this_machine(port: u16) -> Self {
        Self { host: Named::ThisMachine, port: Some(port) }
    }

    pub fn has_port(&self, port: u16) -> bool {
        self.port.map_or_else(|| WEB_PORTS.contains(&port), |named| named == port)
    }

    /// Whether it names this port of this host. The host's own loopback goes by no other name.
    pub fn names(&self, host: &Host, port: u16) -> bool {
        let named = match (&self.host, host) {
            (Named::ThisMachine, Host::Name(name)) => name == Self::HOST_IN_BOX,
            (Named::Exactly(named), host) => named == host,
            (Named::Below(parent), Host::Name(name)) => is_below(name, parent),
            (Named::Network { address, prefix }, Host::Address(other)) => {
                is_within(*other, *address, *prefix)
            }
            _ => false,
        };
        named && self.has_port(port)
    }

    /// Whether it names some port of this name.
    pub fn names_some(&self, name: &str) -> bool {
        match &self.host {
            Named::ThisMachine => name == Self::HOST_IN_BOX,
            Named::Exactly(Host::Name(named)) => named == name,
            Named::Below(parent) => is_below(name, parent),
            Named::Exactly(Host::Address(_)) | Named::Network { .. } => false,
        }
    }
}

/// Whether a wildcard covers a name. This machine's has an entry of its own.
fn is_below(name: &str, parent: &str) -> bool {
    let above = name.strip_suffix(parent);
    name != HostPort::HOST_IN_BOX && above.is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
}

fn is_within(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let differs = u32::from(address) ^ u32::from(network);
            differs.checked_shr(32 - u32::from(prefix)).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let differs = u128::from(address) ^ u128::from(network);
            differs.checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Named::ThisMachine => f.write_str(Self::HOST)?,
            Named::Exactly(host) => host.fmt(f)?,
            Named::Below(parent) => write!(f, "*.{parent}")?,
            Named::Network { address: IpAddr::V6(address), prefix } => {
                write!(f, "[{address}/{prefix}]")?;
            }
            Named::Network { address, prefix } => write!(f, "{address}/{prefix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl FromStr for HostPort {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let bad = |hint: &str| {
            Failure::new(FailureKind::Invalid, format!("{text:?} is not HOST or HOST:PORT"))
                .hint(hint)
        };
        let usual = "name a host, and a port unless it is the web's, as in example.org, \
                     *.example.org:443, 10.0.0.7:5432 or host:8080";
        let (host, port) = split(text).ok_or_else(|| bad(usual))?;
        let port = match port {
            Some(port) => Some(read_port(port).ok_or_else(|| bad("a port is 1 to 65535"))?),
            None => None,
        };
        let host = match Named::parse(host) {
            Some(Named::ThisMachine) if port.is_none() => {
                return Err(bad("name the service's port, as in host:8080"));
            }
            Some(host) => host,
            None if host == "*" => return Err(bad("every host is --network open")),
            None => return Err(bad(usual)),
        };
        Ok(Self { host, port })
    }
}

/// Takes an entry apart at the colon before its port. An IPv6 address needs brackets.
fn split(text: &str) -> Option<(&str, Option<&str>)> {
    let end = if text.starts_with('[') {
        text.find(']')? + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    let (host, rest) = text.split_at(end);
    match rest {
        "" => Some((host, None)),
        rest => Some((host, Some(rest.strip_prefix(':')?))),
    }
}

fn read_port(text: &str) -> Option<u16> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| digits && *port != 0)
}

impl Named {
    fn parse(text: &str) -> Option<Self> {
        if let Some(parent) = text.strip_prefix("*.") {
            return match Host::parse(parent.as_bytes())? {
                Host::Name(parent) => Some(Self::Below(parent)),
                Host::Address(_) => None,
            };
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        if let Some((address, prefix)) = bare.split_once('/') {
            let address = match Host::parse(address.as_bytes())? {
                Host::Address(address) => address,
                Host::Name(_) => return None,
            };
            let prefix = prefix.parse().ok()?;
            let (width, least) = if address.is_ipv4() { (32, 8) } else { (128, 7) };
            // Wider than any network somebody owns is every host by another name.
            let sound = (least..=width).contains(&prefix);
            return sound.then_some(Self::Network { address, prefix });
        }
        match Host::parse(text.as_bytes())? {
            Host::Name(name) if name == HostPort::HOST || name == HostPort::HOST_IN_BOX => {
                Some(Self::ThisMachine)
            }
            host => Some(Self::Exactly(host)),
        }
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

/// The first byte of a relay's connection over which it follows the rules: no other protocol that
/// the gateway speaks begins so. Then come lines of JSON: `RelayRules` from the gateway whenever
/// they change, names as strings from the relay that it was asked for and did not answer.
pub const RELAY_FEED: u8 = 1;

/// Which names a box's name server answers, and which ports its relay takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayRules {
    /// Every name has an answer, and the web's and ssh's ports of it are taken.
    pub every_name: bool,
    /// Names and ports besides.
    pub allow: Vec<HostPort>,
}

impl RelayRules {
    pub fn of(policy: &NetworkPolicy) -> Self {
        let allow = match policy.mode {
            NetworkMode::None | NetworkMode::Bridge => Vec::new(),
            NetworkMode::Open | NetworkMode::Allow => policy.allow.clone(),
        };
        Self { every_name: policy.mode == NetworkMode::Open, allow }
    }

    pub fn answers(&self, name: &str) -> bool {
        self.every_name || self.allow.iter().any(|entry| entry.names_some(name))
    }

    /// The ports that entries name for a name.
    pub fn ports_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = u16> + 'a {
        self.allow.iter().filter(|entry| entry.names_some(name)).filter_map(|entry| entry.port)
    }
}

/// Requests of an environment that were refused for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// What was asked for, made safe to show: `HOST:PORT`, or a name that was only looked up.
    pub place: String,
    /// Why, in words.
    pub reason: String,
    pub count: u64,
    /// The last time.
    pub last: Timestamp,
    /// The entry that would open it; `None` for what no entry opens.
    pub opens: Option<HostPort>,
}

#[cfg(test)]
mod tests;
