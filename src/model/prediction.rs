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
    /// Into what the user has checked out; `None` where that cannot be found out.
    pub branch: Option<Fit>,
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
    /// `None` where it cannot be found out.
    pub fit: Option<Fit>,
}

impl Prediction {
    /// Whether it is known that it can be merged, whatever siblings are merged before it.
    pub fn is_clean(&self) -> bool {
        self.branch.as_ref().is_some_and(Fit::is_clean)
            && self.siblings.iter().all(|sibling| sibling.fit.as_ref().is_some_and(Fit::is_clean))
    }

    /// Siblings whose work does not fit with it.
    pub fn conflicting(&self) -> impl Iterator<Item = &Sibling> {
        let conflicts = |sibling: &&Sibling| sibling.fit.as_ref().is_some_and(Fit::conflicts);
        self.siblings.iter().filter(conflicts)
    }

    /// Siblings of which nobody knows whether they fit.
    pub fn unknown(&self) -> impl Iterator<Item = &Sibling> {
        self.siblings.iter().filter(|sibling| sibling.fit.is_none())
    }
}

impl Fit {
    pub fn is_clean(&self) -> bool {
        self.conflicts == 0
    }

    pub fn conflicts(&self) -> bool {
        self.conflicts > 0
    }
}
