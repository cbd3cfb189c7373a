//! What requests speak of: which environment, which state of its workspace, where to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::id::{CommitId, EnvironmentId};

/// How a client names an environment: its name within a repository, or its id anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    Id(EnvironmentId),
    /// `repository` is any path inside the user's repository; without it the name must be unique.
    Name {
        repository: Option<PathBuf>,
        name: String,
    },
}

/// Where a box's system is written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaveTo {
    /// An image of the engine's own, by name.
    Image(String),
    /// A file, by its absolute path.
    Archive(PathBuf),
}

/// Which state of a workspace is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Freshness {
    /// The newest snapshot there is, at once.
    Newest,
    /// As it is now: a snapshot is taken first if something changed.
    Now,
}

/// One end of a diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DiffSide {
    Base,
    /// The base with all that the user has taken.
    Taken,
    /// The newest snapshot there is, at once.
    Newest,
    /// The workspace now: a snapshot is taken first if it changed.
    Head,
    Snapshot(CommitId),
}
