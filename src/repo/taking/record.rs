//! What a journal entry says: each path before and after, the branch, the index.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::checkout::modes::Modes;
use super::super::checkout::{Expected, Found};
use crate::model::decision::{Decision, MergeStyle};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;

/// One apply or merge, with what is needed to go on with it or to go back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) decision: Decision,
    pub(super) steps: Vec<Step>,
    /// Directories that did not exist before, outermost first.
    pub(super) made: Vec<RepoPath>,
    /// For a merge: the branch and the index move too.
    pub(super) branch: Option<Move>,
    /// For an apply: the base with all that has been taken so far, as a tree of the store.
    #[serde(default)]
    pub(super) taken: Option<CommitId>,
    /// The user's commit that the work was a change of; the environment's base where none is named.
    #[serde(default)]
    pub(super) judged: Option<CommitId>,
}

/// One path of the working tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Step {
    pub(super) path: RepoPath,
    pub(super) before: State,
    pub(super) after: State,
    /// Mode and blob in git's terms before and after; `None` where there is none.
    pub(super) old: Option<Entry>,
    pub(super) new: Option<Entry>,
}

/// A file or link as trees and the index name it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) mode: u32,
    pub(super) id: CommitId,
}

/// What stands at a path, known by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::repo) enum State {
    Absent,
    File { permissions: u32, digest: [u8; 32] },
    Link { target: serde_bytes::ByteBuf },
}

impl State {
    /// `None` for what git does not track: directories and special files.
    pub(in crate::repo) fn of(found: &Found) -> Option<Self> {
        match found {
            Found::Absent => Some(Self::Absent),
            Found::File { permissions, content } => {
                Some(Self::File { permissions: *permissions, digest: digest(content) })
            }
            Found::Link { target } => {
                Some(Self::Link { target: serde_bytes::ByteBuf::from(target.clone()) })
            }
            Found::Directory | Found::Other => None,
        }
    }

    /// What alone may give way where this was seen.
    pub(super) fn expected(&self, modes: Modes) -> Expected<'_> {
        match self {
            Self::Absent => Expected::Nothing,
            Self::File { .. } | Self::Link { .. } => {
                Expected::Known(Box::new(move |found| self.shows(found, modes)))
            }
        }
    }

    /// Whether this is what was found.
    pub(super) fn shows(&self, found: &Found, modes: Modes) -> bool {
        Self::of(found).is_some_and(|found| self.is(&found, modes))
    }

    /// Whether both are the same. Where no permissions are kept, others may be found than were given.
    pub(super) fn is(&self, other: &Self, modes: Modes) -> bool {
        match (self, other) {
            (Self::File { digest, .. }, Self::File { digest: other, .. })
                if modes == Modes::Ignored =>
            {
                digest == other
            }
            _ => self == other,
        }
    }
}

impl Step {
    /// Whether the path is in the index alone, outside a sparse checkout.
    pub(super) fn is_outside(&self) -> bool {
        self.after == State::Absent && self.new.is_some()
    }

    /// Whether a take or its undoing leaves this at the path, or finds it there.
    pub(super) fn knows(&self, found: &Found, modes: Modes) -> bool {
        self.before.shows(found, modes) || self.after.shows(found, modes)
    }
}

/// A branch, or `HEAD` itself when it is detached, from one commit to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Move {
    /// The full name of the ref.
    pub(super) name: String,
    pub(super) old: CommitId,
    pub(super) new: CommitId,
    /// The commit that stands for the environment's work, the second parent of `new`; without such a
    /// one, `new` itself.
    pub(super) work: CommitId,
    #[serde(default)]
    pub(super) style: MergeStyle,
    /// The newest of the agent's own commits that a rebase brought over.
    #[serde(default)]
    pub(super) agents: Option<CommitId>,
    /// Digest of the index file before.
    pub(super) index: [u8; 32],
}

pub(super) fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}
