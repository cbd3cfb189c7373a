//! Snapshots, and how a workspace stands to its base.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, Timestamp};
use super::path::RepoPath;

/// The workspace at one moment, kept as a commit under a ref of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    pub id: CommitId,
    /// The name of its git tree.
    pub tree: CommitId,
    pub parent: Option<CommitId>,
    pub at: Timestamp,
    pub cause: SnapshotCause,
    /// Lines and files that changed since the parent.
    pub change: ChangeCount,
    /// What could not be taken, and why. Never silently empty.
    pub skipped: Vec<Skipped>,
    /// Which one it is of its environment, the base being 1; 0 where nobody counted.
    #[serde(default)]
    pub number: u32,
    /// Who worked since the parent; `None` where that is not known.
    #[serde(default)]
    pub by: Option<Author>,
    /// How far the agent's output was.
    #[serde(default)]
    pub output: Option<OutputMark>,
    /// What a person called it.
    #[serde(default)]
    pub name: Option<String>,
}

/// Why a snapshot was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SnapshotCause {
    /// The workspace as it was made from the base.
    Base,
    /// Files changed and then were quiet.
    Change,
    /// A command in the environment ended, or the program of a session.
    Command,
    /// A person took a keyboard or gave it back.
    Takeover,
    /// Taken because a decision was about to be made.
    Decision,
    /// A person asked for it.
    Manual,
    /// The workspace before the user's branch was merged there.
    BeforeMerge,
    /// The workspace before it was taken back to an earlier snapshot.
    BeforeRestore,
    /// The workspace after that, or after it was undone.
    Restore,
}

impl SnapshotCause {
    pub const ALL: [Self; 9] = [
        Self::Base,
        Self::Change,
        Self::Command,
        Self::Takeover,
        Self::Decision,
        Self::Manual,
        Self::BeforeMerge,
        Self::BeforeRestore,
        Self::Restore,
    ];

    /// One word or two, for people and for the record.
    pub fn word(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Change => "change",
            Self::Command => "command",
            Self::Takeover => "takeover",
            Self::Decision => "decision",
            Self::Manual => "manual",
            Self::BeforeMerge => "before-merge",
            Self::BeforeRestore => "before-restore",
            Self::Restore => "restore",
        }
    }

    /// Whether it must survive a power cut from the moment it is taken.
    pub fn is_milestone(self) -> bool {
        !matches!(self, Self::Change | Self::Command | Self::Takeover)
    }
}

/// Who was at the keyboards of an environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Author {
    Agent,
    Human,
    Both,
}

impl Author {
    pub const ALL: [Self; 3] = [Self::Agent, Self::Human, Self::Both];

    pub fn word(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Human => "human",
            Self::Both => "both",
        }
    }
}

/// A place in the output of the agent's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputMark {
    /// When the agent was started: its output is counted from there.
    pub started: Timestamp,
    /// Bytes it had printed.
    pub offset: u64,
}

/// A file that a snapshot leaves out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    pub path: RepoPath,
    pub reason: String,
}

impl Skipped {
    /// The reason of what the base's rules leave out, which surprises nobody.
    pub const IGNORED: &str = "ignored";

    /// The reason of a file that is in the snapshot, and that a take leaves out because rules ignore
    /// it which came with the work.
    pub const HIDDEN: &str = "ignored by the work's own rules";

    /// Of one that is not in the snapshot either, as there are many such beside it.
    pub const HIDDEN_MANY: &str = "ignored by the work's own rules, as many beside it";

    /// Of a directory that is not, as it holds much.
    pub const HIDDEN_MUCH: &str = "ignored by the work's own rules, and holds much";

    /// The reason of a directory with files where the base has a submodule, which no take brings.
    pub const SUBMODULE: &str = "the base has a submodule there, so its files are not taken";

    /// The reason of a large file that was being written; it is as the last snapshot has it.
    pub const WRITTEN: &str = "large and being written, taken once it rests or somebody looks";

    /// How the reason of a file begins that cannot be read.
    pub const UNREAD: &str = "cannot be read";

    pub fn is_ignored(&self) -> bool {
        self.reason == Self::IGNORED
    }

    /// Whether rules that came with the work leave it out: everybody is told, nobody is asked.
    pub fn is_hidden(&self) -> bool {
        self.reason.starts_with(Self::HIDDEN)
    }

    /// Whether whoever takes the work would look for it.
    pub fn is_lacking(&self) -> bool {
        !self.is_ignored() && !self.is_hidden()
    }
}

/// Paths named in a note; there may be very many.
const NAMED: usize = 3;

/// Says in one line what rules that came with the work leave out of a take.
pub fn hidden_note(left_out: &[Skipped]) -> Option<String> {
    let hidden: Vec<_> = left_out.iter().filter(|skipped| skipped.is_hidden()).collect();
    let named: Vec<_> = hidden.iter().take(NAMED).map(|it| it.path.to_string()).collect();
    let more = match hidden.len().saturating_sub(NAMED) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let (count, verb) = match hidden.len() {
        0 => return None,
        1 => ("1 path".to_owned(), "is"),
        count => (format!("{count} paths"), "are"),
    };
    let named = named.join(", ");
    Some(format!(
        "{count} {verb} hidden by the work's own ignore rules, and not taken: {named}{more}"
    ))
}

/// Sizes in bytes above which a file is left out of snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileCaps {
    /// Of one that the base does not track.
    pub new: u64,
    /// Of any.
    pub any: u64,
}

impl FileCaps {
    /// Neither is more: a file is read into memory whole.
    pub const MOST: u64 = 1 << 30;
}

impl Default for FileCaps {
    fn default() -> Self {
        Self { new: 256 << 20, any: 256 << 20 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeCount {
    pub added: u64,
    pub removed: u64,
    pub files: u32,
}

impl ChangeCount {
    /// Files and lines in one sentence, as `git diff --shortstat` says it.
    pub fn summary(self) -> String {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let Self { added, removed, files } = self;
        let mut text = format!("{files} file{} changed", plural(files.into()));
        if added > 0 {
            let _ = write!(text, ", {added} insertion{}(+)", plural(added));
        }
        if removed > 0 {
            let _ = write!(text, ", {removed} deletion{}(-)", plural(removed));
        }
        text
    }
}

/// How an environment's head stands to its base and to the user's branch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Divergence {
    /// Since the base.
    pub change: ChangeCount,
    /// Commits the agent made in the box's own repository.
    pub ahead: u32,
    /// Commits on the user's branch since the base.
    pub behind: u32,
}
