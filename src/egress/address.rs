//! One reading of every spelling of a host, and the ranges that are never dialled.
//!
//! Whatever two programs could read differently is refused: what is judged must be what is dialled.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Longest name, in bytes (RFC 1035, 2.3.4, without the root).
const MAX_NAME: usize = 253;

/// Longest label of a name, in bytes (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// A host as the gateway understands it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Host {
    /// Lower case, without a trailing dot, never the spelling of an address.
    Name(String),
    /// Never an IPv4 address in IPv6 form.
    Address(IpAddr),
}

impl Host {
    /// Reads a host; an IPv6 address may stand in brackets. `None` for what is no host, or one that
    /// programs read differently: octal, hexadecimal and short addresses, zones, odd bytes.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
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
    pub(super) fn address(address: IpAddr) -> Self {
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

/// Why an address is not dialled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Unspecified,
    Loopback,
    LinkLocal,
    Multicast,
    Broadcast,
    Metadata,
    /// An address of a network of the user's; naming it exactly opens it.
    Private,
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "the unspecified address",
            Self::Loopback => "a loopback address",
            Self::LinkLocal => "a link-local address",
            Self::Multicast => "a multicast address",
            Self::Broadcast => "the broadcast address",
            Self::Metadata => "a cloud's metadata service",
            Self::Private => "a private address",
        })
    }
}

/// Services of clouds that hand out credentials, outside link-local: Azure's, Oracle's, Alibaba's.
const METADATA: [Ipv4Addr; 3] = [
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(100, 100, 100, 200),
];

/// Amazon's metadata service over IPv6, which lies among the unique local addresses.
const METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254);

/// Names of metadata services; some resolve only on the cloud they belong to.
const METADATA_NAMES: [&str; 5] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
];

/// The refused range an address lies in. Only what is special on the host or on the user's own
/// networks: test networks and reserved ranges are in use as real ones.
pub(super) fn range(address: IpAddr) -> Option<Range> {
    match address {
        IpAddr::V4(address) => range_v4(address),
        IpAddr::V6(address) => match embedded(address) {
            Some(inner) => range_v4(inner),
            None => range_v6(address),
        },
    }
}

fn range_v4(address: Ipv4Addr) -> Option<Range> {
    let [first, second, ..] = address.octets();
    if METADATA.contains(&address) || address == Ipv4Addr::new(169, 254, 169, 254) {
        Some(Range::Metadata)
    } else if first == 0 {
        Some(Range::Unspecified)
    } else if address.is_loopback() {
        Some(Range::Loopback)
    } else if address.is_link_local() {
        Some(Range::LinkLocal)
    } else if address.is_multicast() {
        Some(Range::Multicast)
    } else if address.is_broadcast() {
        Some(Range::Broadcast)
    } else if address.is_private() || (first == 100 && second & 0xc0 == 64) {
        Some(Range::Private)
    } else {
        None
    }
}

fn range_v6(address: Ipv6Addr) -> Option<Range> {
    let first = address.segments()[0];
    if address == METADATA_V6 {
        Some(Range::Metadata)
    } else if address.is_unspecified() {
        Some(Range::Unspecified)
    } else if address.is_loopback() {
        Some(Range::Loopback)
    } else if address.is_unicast_link_local() {
        Some(Range::LinkLocal)
    } else if address.is_multicast() {
        Some(Range::Multicast)
    } else if address.is_unique_local() || first & 0xffc0 == 0xfec0 || is_local_nat64(address) {
        Some(Range::Private)
    } else {
        None
    }
}

/// A network's own NAT64 prefix (RFC 8215): where in it the IPv4 address stands is not known.
fn is_local_nat64(address: Ipv6Addr) -> bool {
    address.segments()[..3] == [0x64, 0xff9b, 1]
}

/// The IPv4 address that a packet to an IPv6 address ends at: mapped, compatible, NAT64
/// (RFC 6052), 6to4 (RFC 3056) and Teredo (RFC 4380).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let halves = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some(halves(high, low)),
        [0x2001, 0, _, _, _, _, high, low] => Some(halves(!high, !low)),
        _ => None,
    }
}

/// Whether a name stands for a metadata service, whatever it resolves to.
pub(super) fn is_metadata_name(name: &str) -> bool {
    METADATA_NAMES.contains(&name)
}

/// Whether a name stands for the machine that resolves it (RFC 6761, 6.3).
pub(super) fn is_localhost(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost") || name == "localhost.localdomain"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_host_is_read_one_way_or_not_at_all() {
        let read = |text: &str| Host::parse(text.as_bytes()).map(|host| host.to_string());
        for (spelling, host) in [
            ("Example.ORG", "example.org"),
            ("example.org.", "example.org"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
            ("_dmarc.example.org", "_dmarc.example.org"),
            ("3com.example", "3com.example"),
            ("1.2.3.4.", "1.2.3.4"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("2001:db8::1", "[2001:db8::1]"),
            ("[::ffff:1.2.3.4]", "1.2.3.4"),
            ("::ffff:0102:0304", "1.2.3.4"),
        ] {
            assert_eq!(read(spelling).as_deref(), Some(host), "{spelling:?}");
        }
        let long = format!("{}.example", "a".repeat(64));
        for spelling in [
            "",
            ".",
            "..",
            "a..b",
            "example.org..",
            ".example.org",
            "a b",
            "a\0.example.org",
            "example.org\0.evil",
            "bücher.example",
            "127。0。0。1",
            "①②⑦.0.0.1",
            "a%2eb",
            "a/b",
            "a@b",
            "a\\b",
            "a:80",
            "[::1",
            "::1]",
            "[1.2.3.4]",
            "fe80::1%eth0",
            "[fe80::1%25eth0]",
            "0177.0.0.1",
            "0x7f.0.0.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "127.1",
            "127.0.1",
            "1.2.3.4.5",
            "1.2.3.256",
            "01.02.03.04",
            "example.0x7f",
            "a.123",
            "0x",
            &long,
        ] {
            assert_eq!(read(spelling), None, "{spelling:?}");
        }
    }

    #[test]
    fn special_addresses_are_known_in_every_form_and_odd_ones_are_not_special() {
        for (address, expected) in [
            ("127.0.0.1", Some(Range::Loopback)),
            ("127.255.255.254", Some(Range::Loopback)),
            ("::ffff:127.0.0.1", Some(Range::Loopback)),
            ("::127.0.0.1", Some(Range::Loopback)),
            ("::ffff:0:127.0.0.1", Some(Range::Loopback)),
            ("64:ff9b::7f00:1", Some(Range::Loopback)),
            ("2002:7f00:1::", Some(Range::Loopback)),
            ("2001:0:1:2:3:4:80ff:fffe", Some(Range::Loopback)),
            ("::1", Some(Range::Loopback)),
            ("0.0.0.0", Some(Range::Unspecified)),
            ("0.1.2.3", Some(Range::Unspecified)),
            ("::", Some(Range::Unspecified)),
            ("169.254.1.1", Some(Range::LinkLocal)),
            ("fe80::1", Some(Range::LinkLocal)),
            ("169.254.169.254", Some(Range::Metadata)),
            ("64:ff9b::a9fe:a9fe", Some(Range::Metadata)),
            ("fd00:ec2::254", Some(Range::Metadata)),
            ("168.63.129.16", Some(Range::Metadata)),
            ("100.100.100.200", Some(Range::Metadata)),
            ("10.0.0.1", Some(Range::Private)),
            ("172.16.0.1", Some(Range::Private)),
            ("172.31.255.255", Some(Range::Private)),
            ("192.168.1.1", Some(Range::Private)),
            ("100.64.0.1", Some(Range::Private)),
            ("100.127.255.255", Some(Range::Private)),
            ("fc00::1", Some(Range::Private)),
            ("fd12:3456::1", Some(Range::Private)),
            ("fec0::1", Some(Range::Private)),
            ("64:ff9b:1::a00:1", Some(Range::Private)),
            ("2002:c0a8:101::1", Some(Range::Private)),
            ("224.0.0.1", Some(Range::Multicast)),
            ("ff02::1", Some(Range::Multicast)),
            ("255.255.255.255", Some(Range::Broadcast)),
            ("172.32.0.1", None),
            ("100.128.0.1", None),
            ("192.0.2.1", None),
            ("198.18.0.1", None),
            ("198.51.100.7", None),
            ("203.0.113.7", None),
            ("240.0.0.1", None),
            ("93.184.216.34", None),
            ("2001:db8::1", None),
            ("64:ff9b::808:808", None),
            ("2606:4700::1111", None),
        ] {
            assert_eq!(range(address.parse().expect("an address")), expected, "{address}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_the_same_again(text in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(host) = Host::parse(&text) {
                prop_assert_eq!(Host::parse(host.to_string().as_bytes()), Some(host));
            }
        }

        #[test]
        fn a_name_is_never_what_the_standard_library_reads_as_an_address(
            text in "[0-9a-fxA-FX.:\\[\\]]{1,20}"
        ) {
            if let Some(Host::Name(name)) = Host::parse(text.as_bytes()) {
                prop_assert!(name.parse::<IpAddr>().is_err());
            }
        }
    }
}
