//! Differences between trees as values, ready to be drawn or printed.

mod literal;
mod print;

pub use literal::{EMPTY, LINE, Literal, block, write_deflated};

use serde::{Deserialize, Serialize};

use super::caution::Caution;
use super::id::CommitId;
use super::path::RepoPath;

/// How much of a difference is wanted. The first screen of a large one must not wait for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Detail {
    /// Which files differ, and how; no content is read.
    Outline,
    /// Lines counted as well, and what has none named.
    Counted,
    /// And the lines themselves.
    Lines,
    /// And all else that git needs to apply it as a patch.
    Patch,
}

/// The difference between two trees, files sorted by path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    pub from: CommitId,
    pub to: CommitId,
    pub files: Vec<FileDiff>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDiff {
    pub path: RepoPath,
    /// The path before a rename.
    pub old_path: Option<RepoPath>,
    pub change: FileChange,
    /// Git's modes, as in 0o100644; `None` where the side does not exist.
    pub old_mode: Option<u32>,
    pub new_mode: Option<u32>,
    /// Full blob names; `None` where the side does not exist.
    pub old_blob: Option<CommitId>,
    pub new_blob: Option<CommitId>,
    pub added: u64,
    pub removed: u64,
    pub content: DiffContent,
    /// Why the file should be read before others; invisible characters only where lines were read.
    #[serde(default)]
    pub cautions: Vec<Caution>,
    #[serde(default)]
    pub review: Review,
    #[serde(default)]
    pub taken: Taken,
    /// Of lines that are told as UTF-8 and stand in another encoding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<TextEncoding>,
    /// What a patch has instead of lines.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub literal: Option<Literal>,
}

impl FileDiff {
    /// Whether git needs the file whole, since lines do not tell all of it.
    pub fn has_no_lines(&self) -> bool {
        let lines = matches!(self.content, DiffContent::Text(_)) && self.encoding.is_none();
        !lines && self.old_blob != self.new_blob
    }

    /// Whether it is to be whole in a patch, and its contents are not here.
    pub fn is_missing(&self) -> bool {
        self.has_no_lines() && self.literal.is_none()
    }

    /// Its contents before and after.
    pub fn sides(&self) -> [Option<FileSide>; 2] {
        let side = |mode: Option<u32>, blob: &Option<CommitId>| {
            Some(FileSide { mode: mode?, blob: blob.clone()? })
        };
        [side(self.old_mode, &self.old_blob), side(self.new_mode, &self.new_blob)]
    }
}

impl Diff {
    /// Files of a patch whose contents are not here, since one message could not hold them.
    pub fn missing(&self) -> impl Iterator<Item = &FileDiff> {
        self.files.iter().filter(|file| file.is_missing())
    }
}

/// An encoding that git takes for binary, of which lines are shown all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TextEncoding {
    #[serde(rename = "UTF-16LE")]
    Utf16Le,
    #[serde(rename = "UTF-16BE")]
    Utf16Be,
}

impl TextEncoding {
    pub fn name(self) -> &'static str {
        match self {
            Self::Utf16Le => "UTF-16LE",
            Self::Utf16Be => "UTF-16BE",
        }
    }
}

/// Lines of a file's diff that hold what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMatches {
    pub path: RepoPath,
    pub lines: u32,
}

/// The content of a file at one end of a diff.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileSide {
    pub mode: u32,
    pub blob: CommitId,
}

/// How the content stands to the user's mark on the file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Review {
    #[default]
    Unreviewed,
    /// This very content was marked.
    Reviewed,
    /// Another content was.
    Changed { since: FileSide },
}

/// How much of a file's change the user has taken by apply and merge, whatever they did with it since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Taken {
    #[default]
    Nothing,
    Part,
    All,
}

/// The user's word on one file, bound to its content; `None` is a file that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReviewMark {
    pub path: RepoPath,
    pub content: Option<FileSide>,
    /// Whether it is given or taken back.
    pub reviewed: bool,
}

/// Bytes of text that one diff may compare, both sides together; a message must hold its lines.
pub const LARGEST: u64 = 96 << 20;

/// How large a file may be to be compared line by line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reach {
    /// As large as a person reads; larger ones are named with their sizes.
    #[default]
    Usual,
    /// Up to [`LARGEST`], for one that was asked for by itself.
    Whole,
}

/// Whether blanks make lines differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whitespace {
    Exact,
    Ignored,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileChange {
    Added,
    Modified,
    Deleted,
    Renamed,
    /// Only the mode changed, or a file became a link or the other way round.
    Mode,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiffContent {
    /// Lines were not asked for.
    Unread,
    /// Three lines of context, as git has it.
    Text(Vec<Hunk>),
    /// Sizes in bytes before and after.
    Binary { old: u64, new: u64 },
    /// Text too large to compare line by line; sizes in bytes.
    TooLarge { old: u64, new: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hunk {
    /// One-based first line and number of lines, as in a unified diff's `@@` line.
    pub old_start: u32,
    pub old_lines: u32,
    pub new_start: u32,
    pub new_lines: u32,
    pub lines: Vec<DiffLine>,
    /// Whether the user has taken it.
    #[serde(default)]
    pub taken: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiffLine {
    pub kind: LineKind,
    /// The bytes of the line without its newline.
    #[serde(with = "line_text")]
    pub text: Vec<u8>,
    /// Whether the line ends the file without a newline.
    pub no_newline: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LineKind {
    Context,
    Added,
    Removed,
}

/// Lines are exact bytes on the wire and text in JSON.
pub(super) mod line_text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&String::from_utf8_lossy(bytes))
        } else {
            serde_bytes::serialize(bytes, serializer)
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        if deserializer.is_human_readable() {
            Ok(String::deserialize(deserializer)?.into_bytes())
        } else {
            serde_bytes::deserialize(deserializer)
        }
    }
}
