//! What a box may reach, decided from values alone.
//!
//! A decision has two halves: one on what was asked for, before any name is resolved, and one on
//! each address a name led to. Whoever dials must have had both.

use std::net::IpAddr;

use crate::model::policy::{HostPort, NetworkMode, NetworkPolicy};

use super::address::{self, Host, Range};

/// The way to a destination that the policy lets a box reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// The service on this port of the host's loopback, which was named.
    HostLoopback,
    /// This address. `named` tells that the policy names it exactly.
    Address { address: IpAddr, named: bool },
    /// Whatever of this name's addresses passes `admit`.
    Name(String),
}

/// Why a box may not reach something, in words for the one who tried.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("this is not a host name or address that can be read in one way only")]
    Unreadable,
    #[error("this environment's network is off, and {0} is not among what it may reach")]
    NotAllowed(String),
    #[error("{0} is the host's own; only a service named by --allow host:PORT can be reached")]
    OwnHost(String),
    #[error("{destination} is {range}")]
    Special { destination: String, range: Range },
    #[error("{destination} is a private address; --allow {entry} opens it")]
    Private { destination: String, entry: String },
}

/// Decides on what was asked for.
pub(super) fn decide(policy: &NetworkPolicy, host: &Host, port: u16) -> Result<Way, Refusal> {
    let named = policy.allow.iter().any(|entry| names(entry, host, port));
    match host {
        Host::Name(name) if name == HostPort::HOST_IN_BOX => {
            let allowed = |entry: &HostPort| entry.host == HostPort::HOST && entry.port == port;
            if policy.allow.iter().any(allowed) {
                Ok(Way::HostLoopback)
            } else {
                Err(Refusal::OwnHost(format!("{name}:{port}")))
            }
        }
        Host::Name(name) if address::is_localhost(name) => Err(Refusal::OwnHost(name.clone())),
        Host::Name(name) if address::is_metadata_name(name) => {
            Err(Refusal::Special { destination: name.clone(), range: Range::Metadata })
        }
        _ if policy.mode != NetworkMode::Open && !named => {
            Err(Refusal::NotAllowed(format!("{host}:{port}")))
        }
        Host::Name(name) => Ok(Way::Name(name.clone())),
        Host::Address(address) => {
            admit(*address, port, named)?;
            Ok(Way::Address { address: *address, named })
        }
    }
}

/// Decides on an address that is about to be dialled. Naming an address exactly opens a private
/// one and nothing else: the host's loopback has a spelling of its own.
pub(super) fn admit(address: IpAddr, port: u16, named: bool) -> Result<(), Refusal> {
    let destination = || Host::address(address).to_string();
    match address::range(address) {
        None => Ok(()),
        Some(Range::Private) if named => Ok(()),
        Some(Range::Private) => {
            let entry = format!("{}:{port}", destination());
            Err(Refusal::Private { destination: destination(), entry })
        }
        Some(Range::Loopback | Range::Unspecified) => Err(Refusal::OwnHost(destination())),
        Some(range) => Err(Refusal::Special { destination: destination(), range }),
    }
}

fn names(entry: &HostPort, host: &Host, port: u16) -> bool {
    entry.port == port
        && entry.host != HostPort::HOST
        && Host::parse(entry.host.as_bytes()).as_ref() == Some(host)
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
        let address = |text: &str, named| {
            Ok(Way::Address { address: text.parse().expect("an address"), named })
        };
        for (spelling, way) in [
            ("example.org:443", name("example.org")),
            ("Example.ORG.:443", name("example.org")),
            ("xn--bcher-kva.example:80", name("xn--bcher-kva.example")),
            ("localhost.example.org:80", name("localhost.example.org")),
            ("203.0.113.7:443", address("203.0.113.7", false)),
            ("192.0.2.7:443", address("192.0.2.7", false)),
            ("[2001:db8::1]:443", address("2001:db8::1", false)),
            ("10.1.2.3:5432", address("10.1.2.3", true)),
            ("[::ffff:10.1.2.3]:5432", address("10.1.2.3", true)),
            ("[FD12:0::1]:80", address("fd12::1", true)),
            ("host.agentdeck:8080", Ok(Way::HostLoopback)),
            ("HOST.agentdeck.:8080", Ok(Way::HostLoopback)),
        ] {
            assert_eq!(judge(&open, spelling), way, "{spelling:?}");
        }
    }

    #[test]
    fn a_network_that_is_off_reaches_only_what_is_named() {
        let off = policy(NetworkMode::None, &["host:8080", "pypi.example:443"]);
        assert_eq!(judge(&off, "host.agentdeck:8080"), Ok(Way::HostLoopback));
        assert_eq!(judge(&off, "PyPI.example.:443"), Ok(Way::Name("pypi.example".to_owned())));
        for spelling in [
            "pypi.example:80",
            "a.pypi.example:443",
            "pypi.example.evil:443",
            "203.0.113.7:443",
            "example.org:443",
            "host:8080",
            "host.agentdeck:8081",
            "127.0.0.1:8080",
        ] {
            assert!(judge(&off, spelling).is_err(), "{spelling:?}");
        }
    }

    #[test]
    fn naming_a_host_does_not_open_a_private_address_behind_it() {
        let private = "10.0.0.7".parse().expect("an address");
        let refusal = admit(private, 5432, false).expect_err("refused").to_string();
        assert_eq!(refusal, "10.0.0.7 is a private address; --allow 10.0.0.7:5432 opens it");
        assert_eq!(admit(private, 5432, true), Ok(()));
        let metadata = "169.254.169.254".parse().expect("an address");
        assert!(admit(metadata, 80, true).is_err());
    }
}
