//! What files looked like when they were last read, so that unchanged ones are not read again.
//!
//! Kept as a git index of ours per environment. An entry is trusted only while every field of the
//! file's status is the same, the inode's change time included, which a program cannot set.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gix::ObjectId;
use gix::bstr::BStr;
use gix::index::entry::{Flags, Mode, Stat};
use gix::index::{File, State};

use crate::model::id::EnvironmentId;

use super::store::Store;

/// Clocks of file systems tick up to this coarsely; a file changed this shortly before it was read
/// may change again without its status telling.
const RACY_NANOSECONDS: u64 = 50_000_000;

/// Remembered files of one environment.
pub(super) struct StatCache {
    path: PathBuf,
    known: State,
    fresh: State,
    /// When this walk began, in nanoseconds since the epoch.
    started: u64,
}

impl StatCache {
    /// Opens what the last walk left; nothing is known when it cannot be read.
    pub fn open(store: &Store, environment: &EnvironmentId) -> Self {
        let path = path(store, environment);
        let known =
            File::at(&path, store.hash_kind(), true, gix::index::decode::Options::default())
                .map_or_else(|_| State::new(store.hash_kind()), |file| file.into_parts().0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { path, known, fresh: State::new(store.hash_kind()), started: since.as_nanos() as u64 }
    }

    /// The blob of a file whose status has not changed.
    pub fn unchanged(&self, path: &[u8], stat: &Stat) -> Option<ObjectId> {
        let entry = self.known.entry_by_path(BStr::new(path))?;
        (entry.stat == *stat).then_some(entry.id)
    }

    /// The blob a path had when it was last read.
    pub fn last_blob(&self, path: &[u8]) -> Option<ObjectId> {
        self.known.entry_by_path(BStr::new(path)).map(|entry| entry.id)
    }

    /// Keeps a file that was not read because it is unchanged.
    pub fn keep(&mut self, path: &[u8], stat: Stat, id: ObjectId) {
        let (flags, mode) = (Flags::empty(), Mode::FILE);
        self.fresh.dangerously_push_entry(stat, id, flags, mode, BStr::new(path));
    }

    /// Keeps a file that was just read, unless it changed so recently that it may change unseen.
    pub fn remember(&mut self, path: &[u8], stat: Stat, id: ObjectId) {
        let changed = u64::from(stat.ctime.secs) * 1_000_000_000 + u64::from(stat.ctime.nsecs);
        if changed + RACY_NANOSECONDS < self.started {
            self.keep(path, stat, id);
        }
    }

    /// Replaces what is known by what this walk saw.
    pub fn save(mut self) -> anyhow::Result<()> {
        self.fresh.sort_entries();
        write(self.fresh, self.path)
    }
}

/// Seeds the cache from the index of a workspace that was just checked out.
pub(super) fn seed(store: &Store, environment: &EnvironmentId, state: State) -> anyhow::Result<()> {
    write(state, path(store, environment))
}

/// Keeps in a file of its own what `adopt` makes an environment's.
pub(super) fn keep_apart(state: State, path: PathBuf) -> anyhow::Result<()> {
    write(state, path)
}

/// Takes for an environment's what was kept apart.
pub(super) fn adopt(store: &Store, environment: &EnvironmentId, kept: &Path) -> anyhow::Result<()> {
    let path = path(store, environment);
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::rename(kept, path) {
        // A kill came after it was taken; every file is read once more.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        taken => taken.context("cannot take up files that were made ahead"),
    }
}

/// Forgets an environment's files.
pub(super) fn forget(store: &Store, environment: &EnvironmentId) {
    // Nothing was ever remembered when it is not there.
    let _ = std::fs::remove_file(path(store, environment));
}

fn path(store: &Store, environment: &EnvironmentId) -> PathBuf {
    store.directory().join("stat").join(environment.as_str())
}

fn write(state: State, path: PathBuf) -> anyhow::Result<()> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let options = gix::index::write::Options { skip_hash: true, ..Default::default() };
    File::from_state(state, path).write(options).context("cannot keep the state of files")
}
