//! The user's repository as the deck reads it.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::id::CommitId;
use super::path::RepoPath;

/// Branch, commit and uncommitted work of the user's repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryState {
    /// The working tree's root.
    pub root: PathBuf,
    pub head: CommitId,
    /// The current branch without `refs/heads/`; `None` for a detached `HEAD`.
    pub branch: Option<String>,
    /// Commits of the branch that its upstream lacks, when it has one.
    pub unpushed: Option<u32>,
    /// Paths that differ from `HEAD` in the working tree, untracked ones included and ignored
    /// ones left out, at most 1,000.
    pub uncommitted: Vec<RepoPath>,
}

/// Who makes commits: the user's git name and e-mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub name: String,
    pub email: String,
}
