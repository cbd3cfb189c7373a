//! Pins that are still to be taken out of a repository that was away when its environment was
//! dropped: written down until it is back.

use std::fs;
use std::path::{Path, PathBuf};

use crate::deck::shared::Shared;
use crate::deck::state::Record;
use crate::model::failure::Failure;
use crate::model::id::{EnvironmentId, RepositoryId};
use crate::repo::{self, UserRepository};
use crate::store;

/// The directory beside a repository's store with a file for each pin, which says where the
/// repository was.
fn directory(shared: &Shared, repository: &RepositoryId) -> PathBuf {
    shared.layout.repository(repository).join("unpin")
}

/// Removes what keeps an environment's base and snapshots: at once, or the pin later, where the
/// repository is away. Blocking.
pub(super) fn remove(shared: &Shared, record: &Record) -> Result<(), Failure> {
    let id = &record.environment.id;
    if !shared.layout.repository(&record.repository_id).exists() {
        return Ok(());
    }
    let (opened, user) = shared.store(record)?;
    if let Some(user) = user {
        return repo::workspace::unpin(&user, &opened, id);
    }
    let path = &record.environment.repository;
    tracing::info!(%id, "its pin is taken out of {} when that is back", path.display());
    let directory = directory(shared, &record.repository_id);
    fs::create_dir_all(&directory).map_err(|error| Failure::internal(&error.into()))?;
    store::write_json(&directory.join(id.as_str()), path)?;
    Ok(repo::workspace::forget(&opened, id)?)
}

/// Takes out every such pin whose repository is back. Blocking.
pub(super) fn remove_late(shared: &Shared, repositories: &[RepositoryId]) {
    for repository in repositories {
        let entries = fs::read_dir(directory(shared, repository)).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().into_string().ok();
            let Some(id) = name.as_deref().and_then(EnvironmentId::parse) else { continue };
            if let Err(failure) = remove_one(shared, repository, &id, &entry.path()) {
                tracing::debug!(%id, "its pin stays for now: {failure}");
            }
        }
    }
}

fn remove_one(
    shared: &Shared,
    repository: &RepositoryId,
    id: &EnvironmentId,
    note: &Path,
) -> Result<(), Failure> {
    let Some(path) = store::read_json::<PathBuf>(note)? else { return Ok(()) };
    let user = UserRepository::discover(&path)?;
    if user.id() == repository {
        repo::workspace::unpin(&user, &shared.store_of(&user)?, id)?;
        tracing::info!(%id, "its pin is gone");
        fs::remove_file(note).map_err(|error| Failure::internal(&error.into()))?;
    }
    Ok(())
}
