//! Indexes in which git folds a directory outside a sparse checkout into one entry with its tree.

use gix::ObjectId;
use gix::bstr::{BString, ByteSlice};
use gix::index::State;
use gix::index::entry::{Flags, Mode};

/// What an entry outside a sparse checkout has; the first flag says that there is the second.
pub(super) const OUTSIDE: Flags = Flags::EXTENDED.union(Flags::SKIP_WORKTREE);

/// Puts the files of each folded directory in its place, as git does for commands that need all. One
/// whose trees are not there, as in a clone without them, stays as it is.
pub(super) fn unfold(index: &mut State, objects: &gix::Repository) {
    if !index.is_sparse() {
        return;
    }
    let folded = index.entries().iter().filter(|entry| entry.mode == Mode::DIR);
    let folded: Vec<(BString, ObjectId)> =
        folded.map(|entry| (entry.path(index).to_owned(), entry.id)).collect();
    for (directory, tree) in folded {
        let Ok(inner) = objects.index_from_tree(&tree) else { continue };
        index.remove_entries(|_, path, entry| entry.mode == Mode::DIR && path == directory);
        for entry in inner.entries() {
            let path = [directory.as_slice(), entry.path(&inner).as_bytes()].concat();
            let (stat, mode) = (entry.stat, entry.mode);
            index.dangerously_push_entry(stat, entry.id, OUTSIDE, mode, path.as_bstr());
        }
    }
    index.sort_entries();
}
