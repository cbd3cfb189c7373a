//! What files looked like when they were last read, so that unchanged ones are not read again.
//!
//! Kept as a git index of ours per environment. An entry is trusted only while every field of the
//! file's status is the same, the inode's change time included, which a program cannot set.

use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use gix::ObjectId;
use gix::bstr::BStr;
use gix::index::entry::{Flags, Mode, Stat};
use gix::index::{File, State};

use crate::model::id::EnvironmentId;

use super::populate::Populated;
use super::store::Store;

/// A file changed this shortly before it was read may change again without its status telling: a
/// program that has it mapped writes into a page that is dirty already. The kernel cleans a page
/// after half a minute, and looks for such every five seconds.
const RACY: Duration = Duration::from_secs(40);

/// How the kernel names a file system that is in memory (statfs(2)).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Remembered files of one environment.
pub(super) struct StatCache {
    path: PathBuf,
    known: State,
    fresh: State,
    /// When this walk began, in nanoseconds since the epoch.
    started: u64,
    /// The files are on a file system that never cleans a page, so that a write through a mapping
    /// never shows.
    in_memory: bool,
}

impl StatCache {
    /// Opens what the last walk left; nothing is known when it cannot be read.
    pub fn open(store: &Store, environment: &EnvironmentId) -> Self {
        let path = path(store, environment);
        let known =
            File::at(&path, store.hash_kind(), true, gix::index::decode::Options::default())
                .map_or_else(|_| State::new(store.hash_kind()), |file| file.into_parts().0);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let started = since.as_nanos() as u64;
        Self { path, known, fresh: State::new(store.hash_kind()), started, in_memory: false }
    }

    /// The same, for files beneath an open directory.
    pub fn of(store: &Store, environment: &EnvironmentId, root: BorrowedFd<'_>) -> Self {
        let found = rustix::fs::fstatfs(root);
        let in_memory = found.is_ok_and(|found| found.f_type == TMPFS_MAGIC);
        Self { in_memory, ..Self::open(store, environment) }
    }

    /// The blob of a file whose status has not changed.
    pub fn unchanged(&self, path: &[u8], stat: &Stat) -> Option<ObjectId> {
        if self.in_memory {
            return None;
        }
        let entry = self.known.entry_by_path(BStr::new(path))?;
        (entry.stat == *stat).then_some(entry.id)
    }

    /// Every blob that is known.
    pub fn blobs(&self) -> impl Iterator<Item = ObjectId> {
        self.known.entries().iter().map(|entry| entry.id)
    }

    /// Keeps a file that was not read because it is unchanged.
    pub fn keep(&mut self, path: &[u8], stat: Stat, id: ObjectId) {
        let (flags, mode) = (Flags::empty(), Mode::FILE);
        self.fresh.dangerously_push_entry(stat, id, flags, mode, BStr::new(path));
    }

    /// Keeps a file that was just read, unless it changed so recently that it may change unseen.
    pub fn remember(&mut self, path: &[u8], stat: Stat, id: ObjectId) {
        let changed = u64::from(stat.ctime.secs) * 1_000_000_000 + u64::from(stat.ctime.nsecs);
        if changed + RACY.as_nanos() as u64 <= self.started {
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
pub(super) fn seed(
    store: &Store,
    environment: &EnvironmentId,
    populated: Populated,
) -> anyhow::Result<()> {
    write(as_files(populated), path(store, environment))
}

/// Keeps in a file of its own what `adopt` makes an environment's.
pub(super) fn keep_apart(populated: Populated, path: PathBuf) -> anyhow::Result<()> {
    write(as_files(populated), path)
}

/// The index by the blobs of the files as they are.
fn as_files(populated: Populated) -> State {
    let Populated { mut index, converted } = populated;
    for (number, id) in converted {
        index.entries_mut()[number].id = id;
    }
    index
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

#[cfg(test)]
mod tests {
    use gix::index::entry::stat::Time;

    use super::*;

    /// A cache that was begun now and is told of a file that changed so long before.
    fn remembers(ago: Duration) -> bool {
        let directory = tempfile::tempdir().expect("a directory");
        let (hash, started) = (gix::hash::Kind::Sha1, Duration::from_secs(1_700_000_000));
        let (known, fresh) = (State::new(hash), State::new(hash));
        let (path, in_memory) = (directory.path().join("stat"), false);
        let started_nanoseconds = started.as_nanos() as u64;
        let mut cache = StatCache { path, known, fresh, started: started_nanoseconds, in_memory };
        let changed = started.checked_sub(ago).expect("later than the epoch");
        let ctime = Time { secs: changed.as_secs() as u32, nsecs: changed.subsec_nanos() };
        let stat = Stat { ctime, size: 5, ..Stat::default() };
        cache.remember(b"mapped", stat, ObjectId::null(hash));
        cache.fresh.entry_by_path(BStr::new("mapped")).is_some()
    }

    #[test]
    fn what_changed_within_the_time_that_a_page_stays_dirty_is_read_again() {
        for (seconds, expected) in [(0, false), (1, false), (30, false), (41, true), (3600, true)] {
            assert_eq!(remembers(Duration::from_secs(seconds)), expected, "{seconds} s ago");
        }
    }
}
