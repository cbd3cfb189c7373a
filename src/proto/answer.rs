//! Answers that are values of several parts.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::environment::Environment;
use crate::model::id::{CommitId, Timestamp};
use crate::model::listener::Listener;
use crate::model::path::RepoPath;
use crate::model::policy::Usage;

/// How far a merge of the user's branch in a box came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    pub branch: String,
    pub commit: CommitId,
    /// The workspace as it was before.
    pub snapshot: CommitId,
    /// What is to be resolved there; empty when all of it fits.
    pub conflicts: Vec<RepoPath>,
}

/// Everything the deck knows of one environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inspection {
    pub environment: Environment,
    pub workspace: PathBuf,
    pub state_directory: PathBuf,
    /// The host's process id of the box's first process.
    pub init_pid: Option<u32>,
    /// What the box uses at this moment.
    pub usage: Option<Usage>,
    pub shim_version: Option<u32>,
    /// The ports that its programs listen on.
    #[serde(default)]
    pub listeners: Vec<Listener>,
    /// How changes are noticed: `watching` or why it is polling.
    pub watch: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerStatus {
    pub pid: u32,
    pub version: String,
    pub home: PathBuf,
    pub started: Timestamp,
    pub environments: u32,
    pub clients: u32,
}
