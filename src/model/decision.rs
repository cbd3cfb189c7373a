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
    /// How much of it was taken by an apply.
    #[serde(default)]
    pub portion: Portion,
}

/// How much of an environment's work is taken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Portion {
    #[default]
    All,
    /// These files, and all beneath these directories; a renamed file by either name.
    Paths(Vec<RepoPath>),
    /// One hunk of a file, by the one-based line it begins at in the snapshot and the number of
    /// lines it has there, as in a unified diff's `@@` line.
    Hunk { path: RepoPath, start: u32, lines: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecisionKind {
    Apply,
    Merge,
    Discard,
    Restore,
}
