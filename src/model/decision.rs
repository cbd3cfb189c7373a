//! What a person decides about an environment's work, and the record that lets it be undone.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, DecisionId, EnvironmentId, EnvironmentName, Timestamp};
use super::path::RepoPath;

/// A decision that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    pub id: DecisionId,
    pub kind: DecisionKind,
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    pub repository: PathBuf,
    pub at: Timestamp,
    /// The snapshot whose content was taken, that was the last before a discard, or that the
    /// workspace was taken back to.
    pub snapshot: Option<CommitId>,
    /// The merge commit on the user's branch.
    pub commit: Option<CommitId>,
    /// Paths written or removed in the user's working tree, or in the workspace by a restore.
    pub paths: Vec<RepoPath>,
    pub undone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionKind {
    Apply,
    Merge,
    Discard,
    Restore,
}
