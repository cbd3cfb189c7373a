//! The lines of one file of a commit, as a diff shows them.

use super::compare::lookup;
use super::diff;
use super::readable;
use super::store::Store;
use crate::model::failure::Failure;
use crate::model::id::CommitId;
use crate::model::path::RepoPath;

/// A file's lines without their newlines; `None` where it is not there, not text, or too large to be
/// compared line by line.
pub fn lines(
    store: &Store,
    commit: &CommitId,
    path: &RepoPath,
) -> Result<Option<Vec<Vec<u8>>>, Failure> {
    let repository = store.reader();
    let Some(side) = lookup(&repository, commit, path)? else { return Ok(None) };
    let Some(content) = diff::within_reach(&repository, Some(side))? else { return Ok(None) };
    let mut texts = [content];
    if readable::read(&mut texts).is_err() {
        return Ok(None);
    }
    let [text] = texts;
    let text = text.strip_suffix(b"\n").unwrap_or(&text);
    Ok(Some(text.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()))
}
