//! What was thrown away and can still be taken back, or given up and is kept.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::id::{EnvironmentId, EnvironmentName, Timestamp};

/// A discarded environment in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Discarded {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    pub repository: PathBuf,
    /// When it was discarded.
    pub at: Timestamp,
    /// What it takes on the disk of the state directory, in bytes.
    pub bytes: u64,
    /// When it is dropped at the latest; earlier where the trash takes more room than it may.
    pub kept_until: Timestamp,
    /// It was dropped, which is not finished yet: nothing brings it back.
    pub dropped: bool,
}

/// An environment whose record could not be read, and what was kept of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    /// The directory of all that it had: workspace, home, box layer and the record itself.
    pub files: PathBuf,
    /// The bare repository with its snapshots and the ref of the newest, where it has any.
    pub snapshots: Option<(PathBuf, String)>,
    /// Why its box may run until its engine answers.
    pub trouble: Option<String>,
}
