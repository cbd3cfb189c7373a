//! What a box may reach, decided from values alone.
//!
//! A decision has two halves: one on what was asked for, before any name is resolved, and one on
//! each address a name led to. Whoever dials must have had both.

use std::net::IpAddr;

use crate::model::destination::{Host, HostPort, Named, RelayRules};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{NetworkMode, NetworkPolicy};

use super::address::{self, Range};

/// The way to a destination that the policy lets a box reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The service on this port of the host's loopback, which was named.
    HostLoopback,
    /// This address.
    Address(IpAddr),
    /// Whatever of this name's addresses passes `admit`.
    Name(String),
}

/// Why a box may not reach something, in words for the one who tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this is not a host name or address that can be read in one way only")]
    Unreadable,
    #[error("{0} is not reached: this environment's network is none")]
    Off(String),
    #[error("{0} is not among what this environment may reach")]
    NotAllowed(String),
    #[error("{0} is this machine's own; only a service named by --allow host:PORT can be reached")]
    OwnHost(String),
    #[error("{destination} is {range}")]
    Special { destination: String, range: Range },
    #[error("{destination} is a private address; --allow {entry} opens it")]
    Private { destination: String, entry: HostPort },
    #[error("{destination} was asked for, but {what} names {said}")]
    Disagrees { destination: String, what: &'static str, said: String },
    #[error("{destination} was asked for, but the beginning of TLS names no host")]
    Nameless { destination: String },
    #[error("what was sent to {destination} begins as none of TLS, HTTP/1 and SSH")]
    Unjudged { destination: String },
}

impl Refusal {
    /// The entry that would open what was refused; `None` for what no entry opens.
    pub(super) fn opens(&self, host: &Host, port: u16) -> Option<HostPort> {
        match self {
            Self::OwnHost(_) => match host {
                Host::Name(name) if name == HostPort::HOST_IN_BOX => {
                    Some(HostPort::this_machine(port))
                }
                _ => None,
            },
            Self::Off(_) | Self::NotAllowed(_) => Some(HostPort::exactly(host.clone(), port)),
            Self::Private { entry, .. } => Some(entry.clone()),
            Self::Unreadable
            | Self::Special { .. }
            | Self::Disagrees { .. }
            | Self::Nameless { .. }
            | Self::Unjudged { .. } => None,
        }
    }
}

/// Decides on what was asked for.
pub(super) fn decide(policy: &NetworkPolicy, host: &Host, port: u16) -> Result<Way, Refusal> {
    let named = policy.allow.iter().any(|entry| entry.names(host, port));
    let place = || format!("{host}:{port}");
    match host {
        Host::Name(name) if name == HostPort::HOST_IN_BOX => {
            if named && policy.mode != NetworkMode::None {
                Ok(Way::HostLoopback)
            } else {
                Err(Refusal::OwnHost(place()))
            }
        }
        Host::Name(name) if address::is_localhost(name) => Err(Refusal::OwnHost(name.clone())),
        Host::Name(name) if address::is_metadata_name(name) => {
            Err(Refusal::Special { destination: name.clone(), range: Range::Metadata })
        }
        Host::Address(address) if never(*address).is_some() => {
            admit(policy, *address, port).map(|()| Way::Address(*address))
        }
        _ if policy.mode == NetworkMode::None => Err(Refusal::Off(place())),
        _ if policy.mode != NetworkMode::Open && !named => Err(Refusal::NotAllowed(place())),
        Host::Name(name) => Ok(Way::Name(name.clone())),
        Host::Address(address) => {
            admit(policy, *address, port)?;
            Ok(Way::Address(*address))
        }
    }
}

/// Decides on an address that is about to be dialled. Naming an address, or a private network it is
/// in, opens a private one and nothing else: the host's loopback has a spelling of its own.
pub(super) fn admit(policy: &NetworkPolicy, address: IpAddr, port: u16) -> Result<(), Refusal> {
    let host = Host::address(address);
    let destination = host.to_string();
    if let Some(range) = never(address) {
        return Err(match range {
            Range::Loopback | Range::Unspecified => Refusal::OwnHost(destination),
            range => Refusal::Special { destination, range },
        });
    }
    let opens = |entry: &HostPort| match &entry.host {
        Named::Exactly(_) => entry.names(&host, port),
        Named::Network { address, prefix } => {
            address::is_private_network(*address, *prefix) && entry.names(&host, port)
        }
        Named::ThisMachine | Named::Below(_) => false,
    };
    match address::range(address) {
        Some(Range::Private) if !policy.allow.iter().any(opens) => {
            Err(Refusal::Private { destination, entry: HostPort::exactly(host, port) })
        }
        _ => Ok(()),
    }
}

/// Whether a policy reaches what an entry of one host names.
pub(super) fn reaches(policy: &NetworkPolicy, entry: &HostPort) -> bool {
    let in_box = Host::Name(HostPort::HOST_IN_BOX.to_owned());
    let host = match &entry.host {
        Named::Exactly(host) => host,
        Named::ThisMachine => &in_box,
        Named::Below(_) | Named::Network { .. } => return policy.allow.contains(entry),
    };
    match (entry.port, host) {
        (Some(port), host) => decide(policy, host, port).is_ok(),
        (None, Host::Name(name)) => RelayRules::of(policy).answers(name),
        (None, Host::Address(_)) => policy.allow.contains(entry),
    }
}

/// The range of an address that no entry opens.
fn never(address: IpAddr) -> Option<Range> {
    address::range(address).filter(|range| *range != Range::Private)
}

/// Refuses an entry that would open nothing, so that nobody believes that it did.
pub fn check_entry(entry: &HostPort) -> Result<(), Failure> {
    let refused = |why: String| Failure::new(FailureKind::Refused, format!("{entry}: {why}"));
    let own = "a service of this machine is opened by its port, as in host:8080";
    match &entry.host {
        Named::Exactly(Host::Name(name)) if address::is_metadata_name(name) => {
            Err(refused(format!("this is {}, which is never reached", Range::Metadata)))
        }
        Named::Exactly(Host::Name(name)) if address::is_localhost(name) => {
            Err(refused("this is the box itself".to_owned()).hint(own))
        }
        Named::Exactly(Host::Address(address)) | Named::Network { address, .. } => {
            match never(*address) {
                Some(range @ (Range::Loopback | Range::Unspecified)) => {
                    Err(refused(format!("this is {range}")).hint(own))
                }
                Some(range) => Err(refused(format!("this is {range}, which is never reached"))),
                None => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// Refuses a policy whose parts contradict each other or that names what cannot be opened.
pub fn check(policy: &NetworkPolicy) -> Result<(), Failure> {
    if policy.mode == NetworkMode::None && !policy.allow.is_empty() {
        let message = "with the network none nothing is reached, and yet entries are allowed";
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("use --network allow to reach only what is named, or leave --allow out"));
    }
    policy.allow.iter().try_for_each(check_entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: NetworkMode, allow: &[&str]) -> NetworkPolicy {
        let allow = allow.iter().map(|entry| entry.parse().expect("a host and a port")).collect();
        NetworkPolicy { mode, allow }
    }

    /// The decision on a destination as a client spells it; an unreadable host is refused.
    fn judge(policy: &NetworkPolicy, spelling: &str) -> Result<Way, Refusal> {
        let (host, port) = spelling.rsplit_once(':').expect("a port");
        let host = Host::parse(host.as_bytes()).ok_or(Refusal::Unreadable)?;
        decide(policy, &host, port.parse().expect("a port"))
    }

    #[test]
    fn an_open_network_has_no_spelling_of_what_is_special() {
        let open = policy(NetworkMode::Open, &["host:8080", "10.1.2.3:5432", "127.0.0.1:9"]);
        for spelling in [
            // The host itself.
            "localhost:80",
            "LOCALHOST:80",
            "localhost.:80",
            "a.localhost:80",
            "localhost.localdomain:80",
            "127.0.0.1:80",
            "127.0.0.1.:80",
            "127.1:80",
            "127.0.1:80",
            "127.255.255.254:80",
            "0177.0.0.1:80",
            "0x7f.0.0.1:80",
            "0x7F.1:80",
            "0x7f000001:80",
            "2130706433:80",
            "017700000001:80",
            "0.0.0.0:80",
            "0:80",
            "00:80",
            "0.1.2.3:80",
            "127.0.0.1:9",
            "[::1]:80",
            "::1:80",
            "[::]:80",
            "[0:0:0:0:0:0:0:1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::FFFF:7f00:1]:80",
            "[::127.0.0.1]:80",
            "[::ffff:0:127.0.0.1]:80",
            "[64:ff9b::127.0.0.1]:80",
            "[2002:7f00:1::]:80",
            "[2001:0:1:2:3:4:80ff:fffe]:80",
            "[::ffff:0.0.0.0]:80",
            "host.agentdeck:80",
            "HOST.AgentDeck.:8081",
            "[::1%lo]:80",
            "127.0.0.1\0.example.org:80",
            "example.org\0:80",
            "127。0。0。1:80",
            "127.0.0.1 :80",
            // The user's networks and the clouds' services.
            "10.0.0.1:80",
            "10.1.2.3:5433",
            "012.0.0.1:80",
            "167772161:80",
            "172.16.9.9:443",
            "192.168.0.1:80",
            "0xc0a80001:80",
            "100.64.0.1:80",
            "[fd12::1]:80",
            "[fec0::1]:80",
            "[::ffff:192.168.0.1]:80",
            "[64:ff9b::a00:1]:80",
            "[64:ff9b:1::a00:1]:80",
            "[2002:a00:1::]:80",
            "169.254.1.1:80",
            "[fe80::1]:80",
            "[fe80::1%eth0]:80",
            "169.254.169.254:80",
            "2852039166:80",
            "0xa9.0xfe.0xa9.0xfe:80",
            "0251.0376.0251.0376:80",
            "[::ffff:a9fe:a9fe]:80",
            "[fd00:ec2::254]:80",
            "metadata.google.internal:80",
            "Metadata.Google.Internal.:80",
            "metadata:80",
            "instance-data:80",
            "168.63.129.16:80",
            "100.100.100.200:80",
            "192.0.0.192:80",
            "224.0.0.251:5353",
            "[ff02::fb]:5353",
            "255.255.255.255:80",
        ] {
            let verdict = judge(&open, spelling);
            assert!(verdict.is_err(), "{spelling:?} leads to {verdict:?}");
        }
    }

    #[test]
    fn an_open_network_reaches_everything_else() {
        let open = policy(NetworkMode::Open, &["host:8080", "10.1.2.3:5432", "[fd12::1]:80"]);
        let name = |name: &str| Ok(Way::Name(name.to_owned()));
        let address = |text: &str| Ok(Way::Address(text.parse().expect("an address")));
        for (spelling, way) in [
            ("example.org:443", name("example.org")),
            ("Example.ORG.:443", name("example.org")),
            ("xn--bcher-kva.example:80", name("xn--bcher-kva.example")),
            ("localhost.example.org:80", name("localhost.example.org")),
            ("203.0.113.7:443", address("203.0.113.7")),
            ("192.0.2.7:443", address("192.0.2.7")),
            ("[2001:db8::1]:443", address("2001:db8::1")),
            ("10.1.2.3:5432", address("10.1.2.3")),
            ("[::ffff:10.1.2.3]:5432", address("10.1.2.3")),
            ("[FD12:0::1]:80", address("fd12::1")),
            ("host.agentdeck:8080", Ok(Way::HostLoopback)),
            ("HOST.agentdeck.:8080", Ok(Way::HostLoopback)),
        ] {
            assert_eq!(judge(&open, spelling), way, "{spelling:?}");
        }
    }

    #[test]
    fn only_what_is_named_is_reached_and_with_the_network_off_nothing() {
        let entries = ["host:8080", "pypi.example:443", "*.crates.example", "10.1.0.0/16:5432"];
        let named = policy(NetworkMode::Allow, &entries);
        let name = |name: &str| Ok(Way::Name(name.to_owned()));
        for (spelling, way) in [
            ("host.agentdeck:8080", Ok(Way::HostLoopback)),
            ("PyPI.example.:443", name("pypi.example")),
            ("static.crates.example:443", name("static.crates.example")),
            ("10.1.2.3:5432", Ok(Way::Address("10.1.2.3".parse().expect("an address")))),
        ] {
            assert_eq!(judge(&named, spelling), way, "{spelling:?}");
            let off = policy(NetworkMode::None, &entries);
            assert!(judge(&off, spelling).is_err(), "{spelling:?}");
        }
        for spelling in [
            "pypi.example:80",
            "a.pypi.example:443",
            "pypi.example.evil:443",
            "crates.example:443",
            "static.crates.example:22",
            "203.0.113.7:443",
            "10.2.0.1:5432",
            "10.1.2.3:5433",
            "example.org:443",
            "host:8080",
            "host.agentdeck:8081",
            "127.0.0.1:8080",
        ] {
            assert!(judge(&named, spelling).is_err(), "{spelling:?}");
        }
    }

    #[test]
    fn a_private_address_is_opened_by_its_own_entry_and_by_no_name() {
        let private = "10.0.0.7".parse().expect("an address");
        let admits = |entries: &[&str]| {
            let named = policy(NetworkMode::Allow, entries);
            admit(&named, private, 5432).map_err(|refusal| refusal.to_string())
        };
        let refusal = Err("10.0.0.7 is a private address; --allow 10.0.0.7:5432 opens it".into());
        assert_eq!(admits(&["db.example:5432"]), refusal);
        assert_eq!(admits(&["0.0.0.0/8:5432", "8.0.0.0/8:5432", "10.0.0.7:5433"]), refusal);
        assert_eq!(admits(&["10.0.0.7:5432"]), Ok(()));
        assert_eq!(admits(&["10.0.0.0/8:5432"]), Ok(()));
        let metadata = policy(NetworkMode::Allow, &["169.254.169.254:80", "169.254.0.0/16:80"]);
        assert!(admit(&metadata, "169.254.169.254".parse().expect("an address"), 80).is_err());
    }

    #[test]
    fn entries_that_open_nothing_are_refused_by_name() {
        for entry in [
            "localhost:80",
            "127.0.0.1:80",
            "[::1]:80",
            "0.0.0.0:80",
            "169.254.169.254",
            "[fe80::1]:80",
            "metadata.google.internal",
            "[64:ff9b::a9fe:a9fe]:80",
            "127.0.0.0/8:80",
            "224.0.0.0/8:80",
        ] {
            assert!(check(&policy(NetworkMode::Allow, &[entry])).is_err(), "{entry}");
        }
        for entry in ["host:80", "*.example.org", "192.168.1.1:80", "[fd12::1]:80", "8.8.8.8"] {
            assert_eq!(check(&policy(NetworkMode::Open, &[entry])), Ok(()), "{entry}");
        }
        assert!(check(&policy(NetworkMode::None, &["example.org"])).is_err());
        assert_eq!(check(&policy(NetworkMode::None, &[])), Ok(()));
    }

    #[test]
    fn a_refusal_knows_the_entry_that_opens_it_and_when_there_is_none() {
        let opens = |mode, place: &str| {
            let (host, port) = place.rsplit_once(':').expect("a port");
            let (host, port) = (Host::parse(host.as_bytes()).expect("a host"), port.parse());
            let port = port.expect("a port");
            let refusal = decide(&policy(mode, &[]), &host, port).expect_err("refused");
            refusal.opens(&host, port).map(|entry| entry.to_string())
        };
        for (place, entry) in [
            ("example.org:443", Some("example.org:443")),
            ("host.agentdeck:8080", Some("host:8080")),
            ("10.0.0.7:5432", Some("10.0.0.7:5432")),
            ("127.0.0.1:8080", None),
            ("localhost:8080", None),
            ("169.254.169.254:80", None),
            ("metadata.google.internal:80", None),
        ] {
            assert_eq!(opens(NetworkMode::Allow, place).as_deref(), entry, "{place}");
            assert_eq!(opens(NetworkMode::None, place).as_deref(), entry, "{place}");
        }
    }
}
