//! Which contents of an environment's files the user has marked as reviewed.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::diff::{FileDiff, FileSide, Review, ReviewMark};
use crate::model::path::RepoPath;

/// Marks by the digest of a path, which keeps paths of any bytes apart. A mark is of one content:
/// a file that changes again is not reviewed any more.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Reviewed(BTreeMap<String, Option<FileSide>>);

impl Reviewed {
    pub(super) fn mark(&mut self, mark: ReviewMark) {
        let key = key(&mark.path);
        if mark.reviewed {
            self.0.insert(key, mark.content);
        } else {
            self.0.remove(&key);
        }
    }

    /// How a file of a diff stands to its mark.
    pub fn of(&self, file: &FileDiff) -> Review {
        let Some(marked) = self.0.get(&key(&file.path)) else { return Review::Unreviewed };
        let now = match (file.new_mode, &file.new_blob) {
            (Some(mode), Some(blob)) => Some(FileSide { mode, blob: blob.clone() }),
            _ => None,
        };
        match marked {
            marked if *marked == now => Review::Reviewed,
            Some(since) => Review::Changed { since: since.clone() },
            None => Review::Unreviewed,
        }
    }
}

fn key(path: &RepoPath) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(path.as_bytes()) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::diff::{DiffContent, FileChange, Taken};
    use crate::model::id::CommitId;

    fn side(byte: u8) -> FileSide {
        let blob = CommitId::parse(&format!("{byte:02x}").repeat(20)).expect("a name");
        FileSide { mode: 0o100_644, blob }
    }

    fn file(path: &str, content: Option<FileSide>) -> FileDiff {
        FileDiff {
            path: RepoPath::new(path),
            old_path: None,
            change: FileChange::Modified,
            old_mode: None,
            new_mode: content.as_ref().map(|side| side.mode),
            old_blob: None,
            new_blob: content.map(|side| side.blob),
            added: 0,
            removed: 0,
            content: DiffContent::Unread,
            cautions: Vec::new(),
            literal: None,
            review: Review::Unreviewed,
            taken: Taken::Nothing,
            encoding: None,
        }
    }

    #[test]
    fn a_mark_is_of_one_content_and_survives_being_written_down() {
        let mut reviewed = Reviewed::default();
        let mark = |content, reviewed| ReviewMark { path: RepoPath::new("a"), content, reviewed };
        reviewed.mark(mark(Some(side(1)), true));
        let text = serde_json::to_string(&reviewed).expect("json");
        let mut reviewed: Reviewed = serde_json::from_str(&text).expect("json");
        assert_eq!(reviewed.of(&file("a", Some(side(1)))), Review::Reviewed);
        assert_eq!(reviewed.of(&file("a", Some(side(2)))), Review::Changed { since: side(1) });
        assert_eq!(reviewed.of(&file("a", None)), Review::Changed { since: side(1) });
        assert_eq!(reviewed.of(&file("b", Some(side(1)))), Review::Unreviewed);
        reviewed.mark(mark(Some(side(1)), false));
        assert_eq!(reviewed.of(&file("a", Some(side(1)))), Review::Unreviewed);
        reviewed.mark(mark(None, true));
        assert_eq!(reviewed.of(&file("a", None)), Review::Reviewed);
    }

    #[test]
    fn paths_that_print_alike_have_marks_of_their_own() {
        let mut reviewed = Reviewed::default();
        let path = RepoPath::new("a\u{202e}b");
        reviewed.mark(ReviewMark { path: path.clone(), content: Some(side(1)), reviewed: true });
        let other = path.to_string();
        assert_eq!(reviewed.of(&file(&other, Some(side(1)))), Review::Unreviewed);
    }
}
