//! The newest snapshots of each environment, a line for each in the order they were taken: the way
//! back when the newest cannot be read, and with it which came before.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::path::PathBuf;

use gix::ObjectId;

use crate::model::id::EnvironmentId;

use super::store::Store;

const DIRECTORY: &str = "heads";

/// Adds a snapshot, and where nothing is known yet the one before it. It was taken, whether or not
/// this can be written down.
pub(super) fn add(
    store: &Store,
    environment: &EnvironmentId,
    parent: Option<ObjectId>,
    id: ObjectId,
) {
    let path = path(store, environment);
    let append = |text: &str| -> io::Result<()> {
        OpenOptions::new().append(true).open(&path)?.write_all(text.as_bytes())
    };
    let added = match append(&format!("{id}\n")) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let before = parent.map(|parent| format!("{parent}\n")).unwrap_or_default();
            fs::create_dir_all(store.directory().join(DIRECTORY))
                .and_then(|()| File::create(&path))
                .and_then(|mut file| file.write_all(format!("{before}{id}\n").as_bytes()))
        }
        appended => appended,
    };
    if let Err(error) = added {
        tracing::warn!("cannot write {}: {error}", path.display());
    }
}

/// The snapshots that are known, newest first. What is no id is passed over: a power cut leaves
/// lines half written.
pub(super) fn read(store: &Store, environment: &EnvironmentId) -> Vec<ObjectId> {
    let text = fs::read(path(store, environment)).unwrap_or_default();
    let mut ids: Vec<_> = text
        .split(|byte| *byte == b'\n')
        .filter_map(|line| ObjectId::from_hex(line).ok())
        .collect();
    ids.retain(|id| id.kind() == store.hash_kind() && !id.is_null());
    ids.reverse();
    ids
}

/// Makes what is known survive a power loss.
pub(super) fn sync(store: &Store, environment: &EnvironmentId) -> anyhow::Result<()> {
    let path = path(store, environment);
    match File::open(&path) {
        // Only the first snapshot of an earlier version has none.
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?.sync_all()?,
    }
    for directory in path.ancestors().skip(1).take(2) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

/// Forgets an environment's snapshots.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    let _ = fs::remove_file(path(store, environment));
}

fn path(store: &Store, environment: &EnvironmentId) -> PathBuf {
    store.directory().join(DIRECTORY).join(environment.as_str())
}
