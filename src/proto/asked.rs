//! What requests speak of: which environment, which state of its workspace, where to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::comment::{CommentId, LinePlace};
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

/// What becomes of people's comments on lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CommentChange {
    /// On a line of a file as it was seen in a snapshot, or in the base.
    Add {
        seen: CommitId,
        place: LinePlace,
        text: String,
    },
    /// Only one that was not sent.
    Edit {
        comment: CommentId,
        text: String,
    },
    Remove {
        comment: CommentId,
    },
    /// Enters a message into the agent's session, which tells of these comments.
    Send {
        comments: Vec<CommentId>,
        message: String,
    },
}
