//! What this client asked for, to tell answers apart.

use crate::model::id::EnvironmentId;
use crate::model::lines::Passage;
use crate::proto::Request;

use super::PaneKey;

/// What a reply is for. Views carry a ticket, so that an answer to a closed one is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tag {
    /// Only its failure matters.
    Quiet,
    /// Something a person typed into a session.
    Typed,
    /// Which environments there still are.
    Listed,
    /// Its success is said in these words.
    Say(String),
    Repository,
    /// With the presses there had been when it was asked for.
    Created {
        presses: u64,
    },
    Shell(EnvironmentId),
    Watch(PaneKey),
    Keyboard(PaneKey),
    Scrollback(PaneKey),
    /// Lines for copy mode, to be shown or, of a passage, to be copied.
    Lines {
        ticket: u64,
        copied: Option<Passage>,
    },
    /// Where copy mode finds what is searched for.
    Found {
        ticket: u64,
    },
    /// What a program offers, with the presses there had been when it was asked for.
    Offer {
        presses: u64,
    },
    Decide,
    /// A take, to be asked for again once it is known what it lacks.
    Take(Box<Request>),
    Undo,
    MergeDraft(EnvironmentId),
    /// The message of a merge, for hooks that are run without one.
    HooksDraft(EnvironmentId),
    Resolve(EnvironmentId),
    View(u64),
    /// What an environment's diff says nothing about.
    LeftOut(u64),
    /// A part of a history: the chosen snapshot's, or older ones.
    Timeline(u64),
    /// A view that is shown already asks again; only an answer matters.
    Refresh(u64),
    /// One file's lines for a diff.
    FileDiff {
        ticket: u64,
        reading: u64,
    },
    /// A whole diff to be written to a file, by the environment's name.
    Export {
        environment: EnvironmentId,
        name: String,
    },
    /// A change was announced, to be told if nobody was told of it before.
    Notice(EnvironmentId),
    /// A comment to be kept.
    Commented,
    /// The comments that a diff shows.
    Comments(u64),
    /// Which files of a diff hold a text.
    Matches {
        ticket: u64,
        text: String,
    },
    /// A text for an agent is kept by the server.
    Prompted {
        environment: EnvironmentId,
    },
}
