//! Whether a tree is one that git itself would write.

use std::collections::BTreeSet;

use gix::ObjectId;

use super::super::object::failed;
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::printable;

/// Trees within trees; a snapshot's walk ends long before.
const DEPTH_LIMIT: usize = 512;

/// Refuses a tree with an entry whose name is no single name, or that has a name twice. Such a tree
/// reads differently for every reader. What stands at the same place in `held` is not looked at.
pub(super) fn check_tree(
    objects: &gix::Repository,
    tree: ObjectId,
    held: Option<ObjectId>,
) -> Result<(), Failure> {
    check_below(objects, tree, held, DEPTH_LIMIT)
}

fn check_below(
    objects: &gix::Repository,
    tree: ObjectId,
    held: Option<ObjectId>,
    depth: usize,
) -> Result<(), Failure> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(Failure::new(
            FailureKind::Refused,
            "directories of the snapshot are nested too deeply",
        ));
    };
    if held == Some(tree) {
        return Ok(());
    }
    let read = |id: ObjectId| objects.find_tree(id).map_err(failed("read a tree"));
    let (tree, held) = (read(tree)?, held.map(read).transpose()?);
    let mut names: BTreeSet<Vec<u8>> = BTreeSet::new();
    let mut below = Vec::new();
    for entry in tree.iter() {
        let entry = entry.map_err(failed("read a tree"))?;
        let name = entry.filename().to_vec();
        let single = !name.is_empty() && !name.contains(&b'/') && name != b"." && name != b"..";
        if !single || !names.insert(name.clone()) {
            return Err(Failure::new(
                FailureKind::Refused,
                format!("a tree of the snapshot is damaged at {:?}", printable(&name)),
            ));
        }
        if entry.kind() == gix::objs::tree::EntryKind::Tree {
            let beside =
                held.as_ref().and_then(|tree| tree.find_entry(entry.filename().to_owned()));
            let beside = beside.filter(|other| other.mode().is_tree());
            below.push((entry.object_id(), beside.map(|other| other.object_id())));
        }
    }
    below.into_iter().try_for_each(|(tree, held)| check_below(objects, tree, held, depth))
}
