//! Large files whose pointers a merge commits, put where the user's git-lfs looks for them: as it
//! does itself when such a file is added.

use std::io::Write as _;

use anyhow::Context;

use super::super::forms;
use super::super::object::failed;
use super::super::stored::Large;
use super::super::user::UserRepository;
use super::journal::sync_directory;
use crate::model::failure::Failure;

/// Stores each content under the name that its pointer gives it; one that is there stays.
pub(super) fn keep(
    user: &UserRepository,
    objects: &gix::Repository,
    large: &Large,
) -> Result<(), Failure> {
    if large.is_empty() {
        return Ok(());
    }
    let storage = forms::large_storage(user);
    for (pointer, id) in large {
        let place = forms::large_place(&storage, pointer).expect("we wrote the pointer");
        let directory = place.parent().expect("it has a directory of its own");
        if place.exists() {
            continue;
        }
        let content = objects.find_blob(*id).map_err(failed("read a large file"))?;
        let write = || -> std::io::Result<()> {
            std::fs::create_dir_all(directory)?;
            let mut file = tempfile::NamedTempFile::new_in(directory)?;
            file.write_all(&content.data)?;
            file.as_file().sync_all()?;
            file.persist(&place)?;
            sync_directory(directory)
        };
        write().with_context(|| format!("cannot keep a large file in {}", place.display()))?;
    }
    Ok(())
}
