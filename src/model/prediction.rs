//! What would happen if an environment's work were merged: into the user's branch, and with each
//! sibling's. Found by merging in memory, never guessed from names.

use serde::{Deserialize, Serialize};

use super::id::{EnvironmentId, EnvironmentName};
use super::path::RepoPath;

/// Conflicting paths that are named; the number counts all.
pub const NAMED: usize = 8;

/// How an environment's newest snapshot fits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prediction {
    /// Into what the user has checked out.
    pub branch: Fit,
    /// With every other environment of the repository that changed something, in their order.
    pub siblings: Vec<Sibling>,
}

/// How two sides fit that started from the same commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// Files that both changed.
    pub overlap: u32,
    /// Paths that do not fit together.
    pub conflicts: u32,
    /// The first of them.
    pub paths: Vec<RepoPath>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sibling {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    pub fit: Fit,
}

impl Prediction {
    /// Whether it can be merged, whatever siblings are merged before it.
    pub fn is_clean(&self) -> bool {
        self.branch.conflicts == 0 && self.conflicting().next().is_none()
    }

    /// Siblings whose work does not fit with it.
    pub fn conflicting(&self) -> impl Iterator<Item = &Sibling> {
        self.siblings.iter().filter(|sibling| sibling.fit.conflicts > 0)
    }
}
