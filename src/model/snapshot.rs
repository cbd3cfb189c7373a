//! Snapshots, and how a workspace stands to its base.

use serde::{Deserialize, Serialize};

use super::id::{CommitId, Timestamp};
use super::path::RepoPath;

/// The workspace at one moment, kept as a commit under a ref of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: CommitId,
    /// The name of its git tree.
    pub tree: CommitId,
    pub parent: Option<CommitId>,
    pub at: Timestamp,
    pub cause: SnapshotCause,
    /// Lines and files that changed since the parent.
    pub change: ChangeCount,
    /// What could not be taken, and why. Never silently empty.
    pub skipped: Vec<Skipped>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotCause {
    /// The workspace as it was made from the base.
    Base,
    /// Files changed and then were quiet.
    Change,
    /// Taken because a decision was about to be made.
    Decision,
}

/// A file that a snapshot leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub path: RepoPath,
    pub reason: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCount {
    pub added: u64,
    pub removed: u64,
    pub files: u32,
}

/// How an environment's head stands to its base and to the user's branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Since the base.
    pub change: ChangeCount,
    /// Commits the agent made in the box's own repository.
    pub ahead: u32,
    /// Commits on the user's branch since the base.
    pub behind: u32,
}
