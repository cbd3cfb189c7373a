//! The durable steps of making, forking, restoring, discarding and dropping an environment, each
//! with a name.
//!
//! After each of them something lies on disk or in an engine that was not there before. A build
//! with debug assertions ends itself, as by `kill -9`, where `AGENTDECK_END_AT` says so; tests do
//! that at every step and look at what the next start makes of it. Other builds do not even look.

/// What takes several steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    /// Of an environment whose files were there before.
    CreateFromAhead,
    /// Of an environment into which the user's uncommitted work comes along.
    CreateWithChanges,
    Fork,
    Discard,
    Undo,
    /// Of a workspace, and its undoing.
    Restore,
    Drop,
}

/// One durable step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    DirectoryMade,
    RecordWritten,
    AheadBegun,
    AheadMade,
    AheadRecorded,
    AheadTaken,
    /// The agent is at work, and its environment has no snapshot yet.
    AheadAtWork,
    HomeSeeded,
    CheckoutBegun,
    ChangesNoted,
    ChangesBrought,
    WorkspaceMade,
    WorkspaceRecorded,
    GateOpened,
    BoxMade,
    BoxRecorded,
    /// Where something is required of its isolation, which is read back next.
    BoxAnswers,
    Connected,
    AgentStarted,
    SourceNoted,
    SourceHeld,
    RefsCopied,
    FilesCopied,
    LayerCopied,
    CopyRecorded,
    SourceReleased,
    BoxStopped,
    LastSnapshotTaken,
    DiscardRecorded,
    DiscardMoved,
    UndoRecorded,
    UndoMoved,
    FilesRestored,
    RestoreTaken,
    DropRecorded,
    DroppedBoxRemoved,
    DroppedUnpinned,
    DropMoved,
}

impl Step {
    pub fn name(self) -> &'static str {
        match self {
            Self::DirectoryMade => "directory-made",
            Self::RecordWritten => "record-written",
            Self::AheadBegun => "ahead-begun",
            Self::AheadMade => "ahead-made",
            Self::AheadRecorded => "ahead-recorded",
            Self::AheadTaken => "ahead-taken",
            Self::AheadAtWork => "ahead-at-work",
            Self::HomeSeeded => "home-seeded",
            Self::CheckoutBegun => "checkout-begun",
            Self::ChangesNoted => "changes-noted",
            Self::ChangesBrought => "changes-brought",
            Self::WorkspaceMade => "workspace-made",
            Self::WorkspaceRecorded => "workspace-recorded",
            Self::GateOpened => "gate-opened",
            Self::BoxMade => "box-made",
            Self::BoxRecorded => "box-recorded",
            Self::BoxAnswers => "box-answers",
            Self::Connected => "connected",
            Self::AgentStarted => "agent-started",
            Self::SourceNoted => "source-noted",
            Self::SourceHeld => "source-held",
            Self::RefsCopied => "refs-copied",
            Self::FilesCopied => "files-copied",
            Self::LayerCopied => "layer-copied",
            Self::CopyRecorded => "copy-recorded",
            Self::SourceReleased => "source-released",
            Self::BoxStopped => "box-stopped",
            Self::LastSnapshotTaken => "last-snapshot-taken",
            Self::DiscardRecorded => "discard-recorded",
            Self::DiscardMoved => "discard-moved",
            Self::UndoRecorded => "undo-recorded",
            Self::UndoMoved => "undo-moved",
            Self::FilesRestored => "files-restored",
            Self::RestoreTaken => "restore-taken",
            Self::DropRecorded => "drop-recorded",
            Self::DroppedBoxRemoved => "dropped-box-removed",
            Self::DroppedUnpinned => "dropped-unpinned",
            Self::DropMoved => "drop-moved",
        }
    }
}

/// Which operation passes which steps, in the order they come.
pub const STEPS: [(Operation, &[Step]); 8] = [
    (
        Operation::Create,
        &[
            Step::DirectoryMade,
            Step::RecordWritten,
            Step::HomeSeeded,
            Step::CheckoutBegun,
            Step::WorkspaceMade,
            Step::WorkspaceRecorded,
            Step::GateOpened,
            Step::BoxMade,
            Step::BoxRecorded,
            Step::BoxAnswers,
            Step::Connected,
            Step::AgentStarted,
        ],
    ),
    (
        Operation::CreateFromAhead,
        &[
            Step::AheadBegun,
            Step::AheadMade,
            Step::AheadRecorded,
            Step::AheadTaken,
            Step::AheadAtWork,
        ],
    ),
    (
        Operation::CreateWithChanges,
        &[
            Step::CheckoutBegun,
            Step::ChangesNoted,
            Step::ChangesBrought,
            Step::WorkspaceMade,
            Step::WorkspaceRecorded,
        ],
    ),
    (
        Operation::Fork,
        &[
            Step::DirectoryMade,
            Step::RecordWritten,
            Step::SourceNoted,
            Step::SourceHeld,
            Step::RefsCopied,
            Step::FilesCopied,
            Step::LayerCopied,
            Step::CopyRecorded,
            Step::SourceReleased,
            Step::GateOpened,
            Step::BoxMade,
            Step::BoxRecorded,
            Step::Connected,
            Step::AgentStarted,
        ],
    ),
    (
        Operation::Discard,
        &[Step::BoxStopped, Step::LastSnapshotTaken, Step::DiscardRecorded, Step::DiscardMoved],
    ),
    (Operation::Undo, &[Step::UndoRecorded, Step::UndoMoved]),
    (
        Operation::Restore,
        &[
            Step::SourceNoted,
            Step::SourceHeld,
            Step::LastSnapshotTaken,
            Step::FilesRestored,
            Step::RestoreTaken,
            Step::SourceReleased,
        ],
    ),
    (
        Operation::Drop,
        &[Step::DropRecorded, Step::DroppedBoxRemoved, Step::DroppedUnpinned, Step::DropMoved],
    ),
];

/// Says that a step is done; a test may have asked that the server ends here.
#[cfg(debug_assertions)]
pub(super) fn reached(step: Step) {
    use rustix::process::{Signal, getpid, kill_process};
    if std::env::var_os("AGENTDECK_END_AT").is_some_and(|name| name == step.name()) {
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal may find another thread first; this one must not go on.
        loop {
            std::thread::park();
        }
    }
}

#[cfg(not(debug_assertions))]
#[inline]
pub(super) fn reached(_: Step) {}

/// The moment before an engine is first asked how a box stands.
pub(super) const ENGINE_ASKED: &str = "engine-asked";

/// Waits at a moment for as long as a test's file of its name lies in the directory that
/// `AGENTDECK_HOLD` names; another one tells the test that it is waited for. Other builds do not
/// even look.
#[cfg(debug_assertions)]
pub(super) async fn wait_at(moment: &str) {
    const PAUSE: std::time::Duration = std::time::Duration::from_millis(10);
    let Some(directory) = std::env::var_os("AGENTDECK_HOLD").map(std::path::PathBuf::from) else {
        return;
    };
    while directory.join(moment).exists() {
        let _ = std::fs::write(directory.join(format!("{moment}.held")), "");
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(not(debug_assertions))]
#[inline]
pub(super) async fn wait_at(_: &str) {}

/// How far a test has set the clock, in milliseconds: no namespace gives a process a time of day
/// of its own. Other builds do not even look.
#[cfg(debug_assertions)]
pub(super) fn jump() -> i64 {
    let file = std::env::var_os("AGENTDECK_CLOCK");
    let text = file.and_then(|file| std::fs::read_to_string(file).ok());
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(not(debug_assertions))]
#[inline]
pub(super) fn jump() -> i64 {
    0
}
