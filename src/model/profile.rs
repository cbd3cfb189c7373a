//! Agent profiles: how a known agent is installed, started and spared its first-run dialogs.

use serde::{Deserialize, Serialize};

/// How one kind of agent is run in a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    pub name: String,
    /// Program and arguments, the unattended flag included.
    pub command: Vec<String>,
    /// Commands run as the box's root, in order, when `probe` is not found on the box's `PATH`.
    pub install: Vec<Vec<String>>,
    /// The program whose presence makes `install` unnecessary.
    pub probe: String,
    /// Names of variables passed from the client's environment when they are set there.
    pub variables: Vec<String>,
    /// Fixed variables.
    pub environment: Vec<(String, String)>,
    /// Files written into the box's home before the first start, unless they exist there.
    pub seeds: Vec<Seed>,
    /// Directories of the user's home that the agent's program needs, shown in a native box
    /// besides the usual ones.
    pub tools: Vec<String>,
}

/// A file for the box's home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Relative to the home, `/`-separated, without `..`.
    pub path: String,
    /// `{workspace}` stands for the workspace's path in the box.
    pub content: String,
}
