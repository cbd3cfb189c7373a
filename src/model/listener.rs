//! A port that a program in a box listens on.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// As the box's kernel tells it; the program's name is whatever the program says it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Listener {
    pub port: u16,
    pub address: IpAddr,
    /// The process id inside the box. `None`: the process is not the agent's.
    pub process: Option<u32>,
    pub program: Option<String>,
}
