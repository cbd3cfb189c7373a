//! What clients and the server say to each other. `wire` alone knows how it looks as bytes.

mod answer;
mod asked;
pub mod conn;
mod event;
mod exec;
mod message;
mod reply;
pub mod wire;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::attention::Attend;
use crate::model::decision::{MergeStyle, Portion};
use crate::model::destination::HostPort;
use crate::model::diff::{Detail, FileSide, Reach, ReviewMark, Whitespace};
use crate::model::endpoint::EndpointChoice;
use crate::model::environment::{EnvironmentSpec, Variable};
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName, SessionId};
use crate::model::input::Input;
use crate::model::lines::{Direction, Spot};
use crate::model::link::LinkId;
use crate::model::path::RepoPath;
use crate::model::policy::Limits;
use crate::model::prompt::PromptId;
use crate::model::screen::Size;
use crate::model::snapshot::Skipped;

pub use answer::{Inspection, Resolution, ServerStatus};
pub use asked::{CommentChange, DiffSide, Freshness, SaveTo, Target};
pub use event::Event;
pub use exec::{ExecEvent, ExecStream};
pub use message::{ClientMessage, ServerMessage};
pub use reply::Reply;

/// Raised when a message changes so that an older peer would misread it.
pub const VERSION: u32 = 9;

/// The name of the server's socket in its home.
pub const SOCKET: &str = "server.sock";

/// What a server exits with when another one has the home.
pub const HOME_TAKEN: u8 = 75;

/// The variable that names the home, for a server that is started.
pub const HOME_VARIABLE: &str = "AGENTDECK_HOME";

/// What a client asks. Each is answered by exactly one `Reply` or `Failure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Answered with `Environments`; all repositories when `None`.
    ListEnvironments {
        repository: Option<PathBuf>,
    },
    /// From now on this client gets `EnvironmentChanged` and `EnvironmentRemoved`, and first one
    /// `EnvironmentChanged` for each that exists.
    FollowDeck {
        repository: Option<PathBuf>,
    },
    /// Answered with `Environment` as soon as it is listed; its making goes on as events.
    CreateEnvironment {
        spec: Box<EnvironmentSpec>,
    },
    /// Starts a stopped environment's box and its agent again.
    StartEnvironment {
        target: Target,
        variables: Vec<Variable>,
        /// The agent begins a new conversation.
        #[serde(default)]
        anew: bool,
    },
    StopEnvironment {
        target: Target,
    },
    /// Makes an environment that begins as a copy of another: its snapshots, the files outside the
    /// workspace, what was installed. Answered with `Environment` as soon as it is listed.
    ForkEnvironment {
        target: Target,
        /// Left out, the source's with a number.
        name: Option<EnvironmentName>,
        /// Left out, one that is taken now, with what it does not hold: ignored files.
        snapshot: Option<CommitId>,
        variables: Vec<Variable>,
        size: Size,
    },
    /// Writes the box's system as an image; `Working` events tell how far it is.
    SaveEnvironment {
        target: Target,
        to: SaveTo,
    },
    /// Has every program stand still; answered with `Environment`.
    PauseEnvironment {
        target: Target,
    },
    ResumeEnvironment {
        target: Target,
    },
    /// Changes the limits that are given; answered with `Environment`.
    SetLimits {
        target: Target,
        limits: Limits,
    },
    InspectEnvironment {
        target: Target,
    },
    /// Opens a shell beside the agent; answered with `SessionStarted`.
    StartShell {
        target: Target,
        size: Size,
        variables: Vec<Variable>,
    },
    /// Ends a session's program and forgets the session; never the agent's.
    CloseSession {
        environment: EnvironmentId,
        session: SessionId,
    },
    /// From now on this client gets `Screen` events of the session, first a full one.
    WatchScreen {
        environment: EnvironmentId,
        session: SessionId,
    },
    UnwatchScreen {
        environment: EnvironmentId,
        session: SessionId,
    },
    /// Rows of the scrollback and the screen below it, from a line's number or the oldest kept on;
    /// answered with `Lines`.
    ReadLines {
        environment: EnvironmentId,
        session: SessionId,
        start: u32,
        count: u32,
    },
    /// Looks for a text through the same lines, from a spot on and around the ends; answered with
    /// `Found`.
    FindText {
        environment: EnvironmentId,
        session: SessionId,
        text: String,
        from: Spot,
        direction: Direction,
    },
    /// Where a link that a row has leads; answered with `Link`.
    ReadLink {
        environment: EnvironmentId,
        session: SessionId,
        link: LinkId,
    },
    /// What the session's program wants in the clipboard; answered with `Clipboard`.
    ReadClipboard {
        environment: EnvironmentId,
        session: SessionId,
    },
    /// Marks this client as the holder of the session's keyboard until it gives it back or leaves.
    TakeKeyboard {
        environment: EnvironmentId,
        session: SessionId,
    },
    GiveKeyboard {
        environment: EnvironmentId,
        session: SessionId,
    },
    SendInput {
        environment: EnvironmentId,
        session: SessionId,
        input: Input,
    },
    /// Has a text typed and entered for the agent once its program can take it; answered with
    /// `Receipt`, after at most so many milliseconds in which it could not, or without any as soon
    /// as the text is kept. How it goes on is told by `EnvironmentChanged`.
    SendPrompt {
        target: Target,
        text: String,
        patience: Option<u64>,
    },
    /// Takes back what waits for the agent: one prompt, or all; answered with `Receipts`.
    CancelPrompts {
        target: Target,
        only: Option<PromptId>,
    },
    ResizeSession {
        environment: EnvironmentId,
        session: SessionId,
        size: Size,
    },
    /// Runs one command without a terminal; answered with `ExecStarted`, then `Exec` events.
    /// One at a time on a connection.
    StartExec {
        target: Target,
        command: Vec<String>,
        root: bool,
        variables: Vec<Variable>,
    },
    /// A tar stream of what is at `path` in the box; answered as `StartExec` is, with the stream as
    /// standard output.
    ReadFiles {
        target: Target,
        #[serde(with = "serde_bytes")]
        path: Vec<u8>,
    },
    /// Writes a tar stream at `path` in the box; answered as `StartExec` is, with the stream as
    /// standard input. `into`: the entries go under their own names into a directory.
    WriteFiles {
        target: Target,
        #[serde(with = "serde_bytes")]
        path: Vec<u8>,
        into: bool,
    },
    /// The ports that the box's programs listen on; answered with `Listeners`.
    ListListeners {
        target: Target,
    },
    /// A stream to a port of the box's loopback; only as the first request of a connection.
    /// After the answer `PortOpened` the connection has no more messages: it is the stream.
    OpenPort {
        target: Target,
        port: u16,
    },
    /// Standard input of the running exec; an empty chunk ends it.
    SendExecInput {
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// Takes note of what people know of an environment; answered with `Attended`.
    Attend {
        target: Target,
        attend: Attend,
    },
    /// Lets an environment reach one thing more, from now on; answered with `Environment`.
    AllowDestination {
        target: Target,
        entry: HostPort,
    },
    /// Takes an entry back; connections to what it opened end. Answered with `Environment`.
    DisallowDestination {
        target: Target,
        entry: HostPort,
    },
    /// Snapshots up to the newest, or up to the one before `before`; answered with `History`,
    /// oldest first.
    ReadHistory {
        target: Target,
        before: Option<CommitId>,
        /// Left out, all of them.
        limit: Option<u32>,
    },
    /// The snapshot a person means: what it was called, the beginning of its id, `base`, `head` or
    /// the environment's name, and any of these with `~N` behind it. Answered with `Snapshot`.
    FindSnapshot {
        target: Target,
        snapshot: String,
    },
    /// Calls a snapshot something, or nothing any more. Without one, the workspace as it is now.
    /// Answered with `Snapshot`.
    MarkSnapshot {
        target: Target,
        snapshot: Option<String>,
        name: Option<String>,
    },
    /// What the agent's session showed at a snapshot; answered with `Moment`.
    ReadMoment {
        target: Target,
        snapshot: CommitId,
    },
    /// What a snapshot leaves out of the workspace, or without one, what is left out as of the last
    /// look at it; answered with `LeftOut`.
    ReadLeftOut {
        target: Target,
        snapshot: Option<CommitId>,
    },
    /// Takes the workspace back to a snapshot; answered with `Decided`.
    RestoreEnvironment {
        target: Target,
        snapshot: String,
    },
    /// Answered with `Diff`.
    ReadDiff {
        target: Target,
        from: DiffSide,
        to: DiffSide,
        detail: Detail,
    },
    /// One file between two contents; answered with `FileDiff`.
    ReadFileDiff {
        target: Target,
        path: RepoPath,
        old_path: Option<RepoPath>,
        old: Option<FileSide>,
        new: Option<FileSide>,
        whitespace: Whitespace,
        #[serde(default)]
        reach: Reach,
    },
    /// A part of one content that a diff named, from a place on; answered with `Content`.
    ReadContent {
        target: Target,
        side: FileSide,
        offset: u64,
    },
    /// Which files of a diff hold a text in their lines; answered with `Matches`.
    SearchDiff {
        target: Target,
        ends: [DiffSide; 2],
        text: String,
        whitespace: Whitespace,
    },
    /// What people said of lines, with the number that each line has in such a diff; answered with
    /// `Comments`.
    ReadComments {
        target: Target,
        from: DiffSide,
        to: DiffSide,
    },
    ChangeComments {
        target: Target,
        change: CommentChange,
    },
    /// Keeps the user's word on a file as it is now.
    MarkReviewed {
        target: Target,
        mark: ReviewMark,
    },
    /// Answered with `Comparison`; two to four environments with one base repository.
    Compare {
        targets: Vec<Target>,
        freshness: Freshness,
        detail: Detail,
    },
    CompareFile {
        targets: Vec<Target>,
        freshness: Freshness,
        path: RepoPath,
    },
    /// Writes the environment's changes into the user's working tree; answered with `Decided`, or
    /// with `LeftOut`.
    Apply {
        target: Target,
        portion: Portion,
        /// Left out, the workspace as it is now; for what was seen, the one that was seen.
        snapshot: Option<CommitId>,
        /// What a person knows to be lacking. Where something else is, nothing is done, and the
        /// answer is `LeftOut` with all of it. Without a person, the decision tells.
        #[serde(default)]
        known: Option<Vec<Skipped>>,
    },
    /// Brings the environment's work onto the user's current branch; answered as `Apply` is.
    Merge {
        target: Target,
        style: MergeStyle,
        message: Option<String>,
        #[serde(default)]
        known: Option<Vec<Skipped>>,
    },
    /// Runs in the box the hooks that a merge does not run, in a shell that stays; answered with
    /// `SessionStarted`.
    RunHooks {
        target: Target,
        style: MergeStyle,
        /// What the commit is to say, for hooks that judge it.
        message: String,
        size: Size,
        variables: Vec<Variable>,
    },
    /// What a merge would say if nothing is given, made from the agent's own commits; answered with
    /// `MergeDraft`.
    DraftMerge {
        target: Target,
    },
    /// Merges the user's branch in the environment's box; answered with `Resolution`.
    Resolve {
        target: Target,
    },
    /// Puts the environment's work into the user's repository as commits on its base that nothing
    /// refers to, to be pushed; answered with `Offered`.
    Offer {
        target: Target,
        /// `Rebase` keeps the agent's own commits, `Squash` makes one.
        style: MergeStyle,
        message: Option<String>,
    },
    Discard {
        target: Target,
    },
    /// Gives up an environment whose record cannot be read: ends its box and puts its files aside;
    /// answered with `GivenUp`.
    GiveUp {
        target: Target,
    },
    /// Takes back the last decision in the repository that is not yet undone; answered with `Decided`.
    Undo {
        repository: PathBuf,
    },
    /// Takes back the newest discard of a name or an id, whatever was decided since; answered with
    /// `Decided`.
    BringBack {
        repository: PathBuf,
        name: String,
    },
    /// What was discarded and can be taken back; answered with `Trash`. All repositories when `None`.
    ListTrash {
        repository: Option<PathBuf>,
    },
    /// Removes a discarded environment for good.
    DropDiscarded {
        environment: EnvironmentId,
    },
    /// What each box that runs uses at this moment; answered with `Usage`.
    ReadUsage {
        repository: Option<PathBuf>,
    },
    /// Decisions in the repository, oldest first.
    ListDecisions {
        repository: PathBuf,
    },
    /// Branch and commit of the user's repository; answered with `RepositoryState`.
    ReadRepository {
        path: PathBuf,
    },
    /// What the engines can do, each the one that a new environment would get; answered with
    /// `Engines`.
    ProbeEngines {
        endpoint: EndpointChoice,
    },
    ServerStatus,
    StopServer,
}
