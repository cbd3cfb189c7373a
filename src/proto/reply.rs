//! What the server answers. Each request says which of these it is answered with.

use serde::{Deserialize, Serialize};

use super::answer::{Inspection, Resolution, ServerStatus};
use crate::model::comment::Comment;
use crate::model::comparison::{AlignedFile, Comparison};
use crate::model::decision::{Decision, MergeDraft};
use crate::model::diff::{Diff, FileDiff, FileMatches};
use crate::model::environment::Environment;
use crate::model::id::{CommitId, EnvironmentId, SessionId};
use crate::model::lines::{Found, Lines};
use crate::model::listener::Listener;
use crate::model::policy::{EngineReport, Usage};
use crate::model::prompt::Prompt;
use crate::model::repository::RepositoryState;
use crate::model::screen::Screen;
use crate::model::snapshot::{Skipped, Snapshot};
use crate::model::trash::{Discarded, GivenUp};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Environments(Vec<Environment>),
    Environment(Box<Environment>),
    Inspection(Box<Inspection>),
    SessionStarted {
        environment: EnvironmentId,
        session: SessionId,
    },
    Lines(Lines),
    /// Whether nobody was told of it before.
    Attended {
        first: bool,
    },
    Receipt(Box<Prompt>),
    Receipts(Vec<Prompt>),
    /// The match that was come to, if there is any, and the lines around it.
    Found {
        found: Option<Found>,
        lines: Lines,
    },
    /// The address of a link; `None` where it is not kept any more.
    Link {
        address: Option<String>,
    },
    /// What a program wants in the clipboard, if it wants anything.
    Clipboard {
        text: Option<String>,
    },
    ExecStarted,
    Listeners(Vec<Listener>),
    PortOpened,
    History(Vec<Snapshot>),
    Snapshot(Box<Snapshot>),
    LeftOut(Vec<Skipped>),
    /// `None` where the screen is not kept.
    Moment(Option<Box<Screen>>),
    Diff(Diff),
    FileDiff(Box<FileDiff>),
    Content {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        /// Bytes of all of it.
        size: u64,
    },
    Matches(Vec<FileMatches>),
    Comments(Vec<Comment>),
    Comparison(Comparison),
    AlignedFile(AlignedFile),
    Decided(Box<Decision>),
    Decisions(Vec<Decision>),
    Trash(Vec<Discarded>),
    GivenUp(Box<GivenUp>),
    Usage(Vec<(EnvironmentId, Usage)>),
    MergeDraft(Box<MergeDraft>),
    Resolution(Box<Resolution>),
    Offered {
        commit: CommitId,
        message: String,
        /// What the commits lack.
        #[serde(default)]
        left_out: Vec<Skipped>,
    },
    RepositoryState(RepositoryState),
    Engines(Vec<EngineReport>),
    ServerStatus(ServerStatus),
}
