//! What an engine tells a shim about its box, as a file that the shim reads once at start, and
//! what of it follows from the network policy.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::wire::Place;
use crate::model::destination::{HostPort, RelayRules};
use crate::model::id::EnvironmentId;
use crate::model::policy::{NetworkMode, NetworkPolicy};

/// The configuration file's content, JSON. Unknown fields are ignored, so that an older shim
/// binary can be started by a newer server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShimConfig {
    /// The directory, as the box sees it, in which the shim's socket is made.
    pub run_directory: String,
    /// Absolute path of the workspace in the box; sessions start there.
    pub workspace: String,
    /// Variables of every program: `HOME`, `PATH`, `TERM`, proxies and the like.
    pub environment: Vec<(String, String)>,
    /// User and group of the agent's programs, numeric.
    pub agent_user: u32,
    pub agent_group: u32,
    /// The process runs as root of its box and gives up rights for each program. `false` in an
    /// unisolated environment, where programs simply run as the user.
    pub drop_privileges: bool,
    /// Start the loopback relay to the gateway, and the name server.
    pub relay: Option<RelayConfig>,
    /// What each program is bound to by itself.
    #[serde(default)]
    pub limits: ProgramLimits,
    /// The users of a new box, to be written before it serves.
    #[serde(default)]
    pub accounts: Option<Accounts>,
    /// What the box's programs may open, beyond what its mounts show; `None` leaves it to them.
    #[serde(default)]
    pub confinement: Option<Confinement>,
    /// The number of the user as whose its programs' file notices count, where they have the numbers
    /// of somebody on this machine; `None` leaves them their own.
    #[serde(default)]
    pub notices: Option<u32>,
}

/// Numbers of users that no system, directory service or container hands out: 2^26 from here on,
/// above those of accounts and of containers, below those that systemd keeps for foreign images.
/// Source: systemd, "Users, Groups, UIDs and GIDs on systemd Systems".
const FIRST_NUMBER: u32 = 0x7800_0000;

/// The number that nobody but one environment has, the same for all of its life.
pub fn number_of(environment: &EnvironmentId) -> u32 {
    // FNV-1a, spread over the bits that are left.
    let spread = |sum: u32, byte: u8| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let sum = environment.as_str().bytes().fold(0x811c_9dc5, spread);
    FIRST_NUMBER | (sum & (u32::MAX >> 6))
}

/// The files that name a box's users and groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accounts {
    pub passwd: String,
    pub group: String,
}

/// What is kept by the kernel's Landlock, where it has it. Devices, `/proc` and `/sys` of a box
/// are as every box has them; the rest is named here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confinement {
    /// Directories of the box in which its programs may do everything but make or steer devices,
    /// with all below them. What is not there is passed over.
    pub places: Vec<PathBuf>,
}

/// Bounds that the kernel keeps for each process or user; `None` leaves one as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramLimits {
    /// Processes and threads of the program's user in the box.
    pub processes: Option<u64>,
    /// Open descriptors of one process.
    pub files: Option<u64>,
}

/// The argument that makes the shim's binary wait under an agent's rights, to be looked at.
pub const HOLD: &str = "shim-hold";

/// The argument by which the shim's binary knows that it is a tool.
pub const TOOL: &str = "shim-tool";

/// The tool that changes owners.
pub const HAND_BACK: &str = "hand-back";

/// What follows [`TOOL`] where directories are to be all a user's.
pub fn hand_back_words(user: u32, group: u32, places: &[Place]) -> Vec<String> {
    let places = places
        .iter()
        .flat_map(|place| [place.path.clone(), place.device.to_string(), place.inode.to_string()]);
    [HAND_BACK.to_owned(), user.to_string(), group.to_string()].into_iter().chain(places).collect()
}

/// The way out of the box: a gateway behind a unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelayConfig {
    /// The gateway's socket in the run directory.
    pub socket: String,
    /// Loopback port on which the relay takes HTTP proxy and SOCKS5 connections.
    pub proxy_port: u16,
    /// Answer names on port 53 of 127.0.0.1 and take connections to the answers.
    pub names: bool,
    /// Names and ports that are taken besides the usual ones, until the gateway says otherwise.
    #[serde(default)]
    pub destinations: Vec<HostPort>,
    /// Whether every name is answered, until the gateway says otherwise.
    #[serde(default = "every_name")]
    pub every_name: bool,
}

/// What servers meant before they could say it.
fn every_name() -> bool {
    true
}

impl RelayConfig {
    /// The port every box uses; it is alone on its loopback.
    pub const PROXY_PORT: u16 = 3128;
    /// The gateway's socket, made by the server.
    pub const SOCKET: &'static str = "egress.sock";
}

/// Where every box has the certificates it trusts, when the host has any.
pub const CA_BUNDLE: &str = "/etc/agentdeck/ca.pem";

/// Where distributions keep the bundle of trusted certificates, the most common first.
const HOST_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What programs read to learn which certificates to trust.
const BUNDLE_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "NODE_EXTRA_CA_CERTS",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
];

/// The relay a box needs under a policy; `None` where it has a route of its own. A box that may
/// reach nothing has one too, so that its programs are told so.
pub fn relay_for(policy: &NetworkPolicy) -> Option<RelayConfig> {
    if policy.mode == NetworkMode::Bridge {
        return None;
    }
    let rules = RelayRules::of(policy);
    Some(RelayConfig {
        socket: RelayConfig::SOCKET.to_owned(),
        proxy_port: RelayConfig::PROXY_PORT,
        names: true,
        destinations: rules.allow,
        every_name: rules.every_name,
    })
}

/// The variables by which programs in a box find their way out. `ca` is the path, as the box sees
/// it, of the certificates to trust; `None` leaves programs to those of the image.
pub fn box_environment(policy: &NetworkPolicy, ca: Option<&str>) -> Vec<(String, String)> {
    let mut variables = Vec::new();
    if let Some(relay) = relay_for(policy) {
        let proxy = format!("http://127.0.0.1:{}", relay.proxy_port);
        let proxies = ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"].map(|name| (name, proxy.as_str()));
        // Programs disagree about the case; curl reads `http_proxy` in lower case only.
        for (name, value) in proxies.into_iter().chain([("NO_PROXY", "localhost,127.0.0.1,::1")]) {
            variables.push((name.to_owned(), value.to_owned()));
            variables.push((name.to_ascii_lowercase(), value.to_owned()));
        }
    }
    if let Some(ca) = ca {
        variables.extend(BUNDLE_VARIABLES.map(|name| (name.to_owned(), ca.to_owned())));
    }
    variables
}

/// The host's bundle of trusted certificates: what `SSL_CERT_FILE` names, else the usual places.
/// Engines copy it into the box, so that a company's own authority is trusted there too.
pub fn host_ca_bundle() -> Option<PathBuf> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    first_bundle(named.into_iter().chain(HOST_BUNDLES.iter().map(PathBuf::from)))
}

fn first_bundle(candidates: impl Iterator<Item = PathBuf>) -> Option<PathBuf> {
    let is_bundle =
        |path: &Path| path.metadata().is_ok_and(|found| found.is_file() && found.len() > 0);
    candidates.into_iter().find(|path| path.is_absolute() && is_bundle(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: NetworkMode, allow: &[&str]) -> NetworkPolicy {
        let allow = allow.iter().map(|entry| entry.parse().expect("a host and a port")).collect();
        NetworkPolicy { mode, allow }
    }

    #[test]
    fn only_a_box_with_a_gateway_is_given_a_relay_and_proxies() {
        let bridged = policy(NetworkMode::Bridge, &["host:80"]);
        assert_eq!(relay_for(&bridged), None);
        assert_eq!(box_environment(&bridged, None), []);
        assert!(relay_for(&policy(NetworkMode::None, &[])).is_some());
        let relay = relay_for(&policy(NetworkMode::Allow, &["host:8080", "*.example:5432"]));
        let relay = relay.expect("a relay");
        let said: Vec<String> = relay.destinations.iter().map(ToString::to_string).collect();
        assert_eq!(
            (said, relay.every_name),
            (vec!["host:8080".into(), "*.example:5432".into()], false)
        );
    }

    #[test]
    fn proxies_are_given_in_both_cases_and_certificates_to_every_program() {
        let variables = box_environment(&policy(NetworkMode::Open, &[]), Some(CA_BUNDLE));
        let value = |name: &str| {
            variables.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
        };
        for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "all_proxy"] {
            assert_eq!(value(name), Some("http://127.0.0.1:3128"), "{name}");
        }
        assert_eq!(value("no_proxy"), Some("localhost,127.0.0.1,::1"));
        for name in BUNDLE_VARIABLES {
            assert_eq!(value(name), Some(CA_BUNDLE), "{name}");
        }
    }

    #[test]
    fn the_first_bundle_with_something_in_it_is_taken() {
        let root = tempfile::tempdir().expect("a directory");
        let [absent, empty, good] = ["absent", "empty", "good"].map(|name| root.path().join(name));
        std::fs::write(&empty, "").expect("written");
        std::fs::write(&good, "-----BEGIN CERTIFICATE-----").expect("written");
        let found =
            first_bundle([PathBuf::from("relative"), absent, empty, good.clone()].into_iter());
        assert_eq!(found, Some(good));
    }

    #[test]
    fn a_relay_without_destinations_is_read_as_an_older_server_wrote_it() {
        let read: RelayConfig =
            serde_json::from_str(r#"{"socket":"egress.sock","proxy_port":3128,"names":true}"#)
                .expect("read");
        assert_eq!(read, relay_for(&policy(NetworkMode::Open, &[])).expect("a relay"));
    }

    #[test]
    fn an_environments_number_is_its_own_and_no_users() {
        let [one, other] = [1, 2].map(|seed| number_of(&EnvironmentId::from_random([seed; 8])));
        assert_ne!(one, other);
        assert_eq!(one, number_of(&EnvironmentId::from_random([1; 8])), "for all of its life");
        for number in [one, other] {
            assert!((FIRST_NUMBER..0x7c00_0000).contains(&number), "{number:#x}");
        }
    }
}
