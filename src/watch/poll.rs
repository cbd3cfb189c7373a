//! Looking at a workspace from time to time, where it cannot be watched.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

use super::Ignored;
use super::watched::{DEPTH_LIMIT, relative, rest_after};

/// Time between two looks while files change, and the longest while they do not.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(30);

/// The state of polling one environment.
pub(super) struct Poll {
    fingerprint: u64,
    interval: Duration,
    next: Instant,
}

impl Poll {
    pub fn new(now: Instant) -> Self {
        Self { fingerprint: 0, interval: SHORTEST, next: now + SHORTEST }
    }

    pub fn next(&self) -> Instant {
        self.next
    }

    /// Looks; whether anything is different from the last time.
    pub fn look(&mut self, directories: [&Path; 2], ignored: &Ignored, now: Instant) -> bool {
        let (began, mut hasher) = (Instant::now(), DefaultHasher::new());
        let [workspace, git] = directories;
        fingerprint(workspace, workspace, ignored, DEPTH_LIMIT, &mut hasher);
        let heads: Ignored = std::sync::Arc::new(|path: &[u8]| !b"refs/heads".starts_with(path));
        fingerprint(git, git, &heads, DEPTH_LIMIT, &mut hasher);
        let changed = std::mem::replace(&mut self.fingerprint, hasher.finish()) != self.fingerprint;
        self.interval = if changed { SHORTEST } else { (self.interval * 2).min(LONGEST) };
        let spent = began.elapsed();
        self.next = now + spent + self.interval.max(rest_after(spent));
        changed
    }
}

/// Hashes names and times of everything in a directory; contents are not read.
fn fingerprint(
    root: &Path,
    directory: &Path,
    ignored: &Ignored,
    depth: usize,
    hasher: &mut DefaultHasher,
) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let mut entries: Vec<_> = entries.flatten().collect();
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        // Of the entry itself: links are not followed.
        let Ok(found) = entry.metadata() else { continue };
        let path = entry.path();
        path.as_os_str().as_bytes().hash(hasher);
        if found.is_dir() {
            if depth > 0 && relative(root, &path).is_some_and(|path| !ignored(&path)) {
                fingerprint(root, &path, ignored, depth - 1, hasher);
            }
        } else {
            (found.ino(), found.size(), found.mtime(), found.mtime_nsec()).hash(hasher);
            (found.ctime(), found.ctime_nsec(), found.mode()).hash(hasher);
        }
    }
}
