//! Differences between trees as values, ready to be drawn or printed.

mod print;

use serde::{Deserialize, Serialize};

use super::id::{CommitId, EnvironmentId, EnvironmentName};
use super::path::RepoPath;

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

/// Attempts side by side: which files each changed, and by how much.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Comparison {
    pub base: CommitId,
    pub attempts: Vec<Attempt>,
    /// One row a file that any attempt changed, sorted by path.
    pub rows: Vec<ComparisonRow>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    /// The snapshot that was compared.
    pub head: CommitId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonRow {
    pub path: RepoPath,
    /// One cell an attempt, in their order; `None` where the attempt left the file alone.
    pub cells: Vec<Option<ComparisonCell>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonCell {
    pub change: FileChange,
    pub added: u64,
    pub removed: u64,
    /// Attempts with the same number in a row have the same content.
    pub group: u32,
}

/// One file in several versions, lines that belong together in one row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedFile {
    pub path: RepoPath,
    /// Column titles; the first is the base.
    pub columns: Vec<String>,
    pub rows: Vec<AlignedRow>,
    /// Why there are no rows, for a binary or very large file.
    pub note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedRow {
    /// One cell a column; `None` where the column has no line here.
    pub cells: Vec<Option<AlignedCell>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlignedCell {
    /// One-based line number in that version.
    pub number: u32,
    #[serde(with = "line_text")]
    pub text: Vec<u8>,
    /// Whether the line differs from the base (in the base's own column: whether any attempt changed it).
    pub changed: bool,
}

/// Lines are exact bytes on the wire and text in JSON.
mod line_text {
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
