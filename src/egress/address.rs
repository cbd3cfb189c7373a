//! The ranges of addresses that are never dialled by themselves, and the names that stand for them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Why an address is not dialled by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Range {
    Unspecified,
    Loopback,
    LinkLocal,
    Multicast,
    Broadcast,
    Metadata,
    /// An address of a network of the user's; naming it opens it.
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

/// The same over IPv6, among the unique local addresses: Amazon's two, Google's, Oracle's and
/// Scaleway's.
const METADATA_V6: [Ipv6Addr; 5] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
];

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
            // The rest of such an address may lead somewhere too.
            Some(inner) => range_v4(inner).or_else(|| range_v6(address)),
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
    if METADATA_V6.contains(&address) {
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
/// (RFC 6052), 6to4 (RFC 3056), Teredo (RFC 4380) and ISATAP (RFC 5214).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let halves = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0x2001, 0, _, _, _, _, high, low] => Some(halves(!high, !low)),
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..]
        | [_, _, _, _, 0 | 0x200, 0x5efe, high, low] => Some(halves(high, low)),
        _ => None,
    }
}

/// Whether every address of a network is one that naming opens, so that naming the network opens
/// them: a wide network around a private one does not.
pub(super) fn is_private_network(address: IpAddr, prefix: u8) -> bool {
    let least = match address {
        IpAddr::V4(address) => match address.octets() {
            [10, ..] => 8,
            [172, second, ..] if second & 0xf0 == 16 => 12,
            [192, 168, ..] => 16,
            [100, second, ..] if second & 0xc0 == 64 => 10,
            _ => return false,
        },
        IpAddr::V6(address) if address.is_unique_local() => 7,
        IpAddr::V6(_) => return false,
    };
    prefix >= least
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
            ("fd00:ec2::23", Some(Range::Metadata)),
            ("fd20:ce::254", Some(Range::Metadata)),
            ("fd00:c1::a9fe:a9fe", Some(Range::Metadata)),
            ("fd00:42::42", Some(Range::Metadata)),
            ("2001:db8::5efe:a9fe:a9fe", Some(Range::Metadata)),
            ("2001:db8::200:5efe:a00:1", Some(Range::Private)),
            ("2001:db8::5efe:808:808", None),
            ("fe80::5efe:808:808", Some(Range::LinkLocal)),
            ("fd12::5efe:808:808", Some(Range::Private)),
            ("ff02::5efe:808:808", Some(Range::Multicast)),
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
}
