//! What an engine tells a shim about its box, as a file that the shim reads once at start.

use serde::{Deserialize, Serialize};

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
}

impl RelayConfig {
    /// The port every box uses; it is alone on its loopback.
    pub const PROXY_PORT: u16 = 3128;
    /// The gateway's socket, made by the server.
    pub const SOCKET: &'static str = "egress.sock";
}
