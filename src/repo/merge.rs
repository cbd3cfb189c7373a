//! Three-way merges in memory, by git's rules: nothing of the user's is touched, no driver is
//! started. Where git would not merge cleanly, neither is it done here.

mod paths;
mod renames;
pub(super) mod text;

use std::collections::BTreeSet;

use gix::ObjectId;
use gix::bstr::BStr;

use super::forms::Forms;
use super::object::failed;
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// The three trees of a merge.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sides {
    pub(super) ancestor: ObjectId,
    pub(super) ours: ObjectId,
    pub(super) theirs: ObjectId,
}

/// Merges into a tree that `repository`, which should keep new objects in memory, can read.
///
/// A conflict is a failure that names the paths.
pub(super) fn trees(
    repository: &gix::Repository,
    forms: &mut Forms<'_>,
    sides: Sides,
) -> Result<ObjectId, Failure> {
    if sides.ours == sides.ancestor || sides.ours == sides.theirs {
        return Ok(sides.theirs);
    }
    let merged = paths::merge(repository, forms, sides)?;
    refuse(merged.conflicts)?;
    for path in &merged.contents {
        forms.check_merge(path)?;
    }
    let mut editor = repository.edit_tree(sides.ancestor).map_err(failed("edit a tree"))?;
    // What goes makes room for what comes.
    for (path, _) in merged.edits.iter().filter(|(_, new)| new.is_none()) {
        editor.remove(BStr::new(path.as_bytes())).map_err(failed("edit a tree"))?;
    }
    for (path, new) in &merged.edits {
        if let Some(side) = new {
            let (path, kind) = (BStr::new(path.as_bytes()), side.mode.kind());
            editor.upsert(path, kind, side.id).map_err(failed("edit a tree"))?;
        }
    }
    Ok(editor.write().map_err(failed("store a merged tree"))?.detach())
}

/// Paths that do not fit together.
pub(super) fn conflicts(
    repository: &gix::Repository,
    forms: &mut Forms<'_>,
    sides: Sides,
) -> Result<BTreeSet<RepoPath>, Failure> {
    Ok(paths::merge(repository, forms, sides)?.conflicts)
}

fn refuse(paths: BTreeSet<RepoPath>) -> Result<(), Failure> {
    if paths.is_empty() {
        return Ok(());
    }
    let files =
        if paths.len() == 1 { "1 path".to_owned() } else { format!("{} paths", paths.len()) };
    Err(Failure::new(
        FailureKind::Conflict,
        format!("both sides changed {files} in ways that do not fit together; nothing was changed"),
    )
    .hint("let the agent bring its work up to date with your branch, or take the patch by hand")
    .paths(paths.into_iter().collect()))
}

#[cfg(test)]
mod tests;
