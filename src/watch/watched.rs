//! One environment under watch: its directories, its batch, and whether it is polled instead.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Ignored;
use super::batch::Batch;
use super::poll::Poll;

/// An environment whose files changed is looked at as a whole this often, in case a notice was lost.
const RECONCILE_EVERY: Duration = Duration::from_mins(5);

/// Nested deeper than this, directories are not watched; snapshots do not take them either.
pub(super) const DEPTH_LIMIT: usize = 128;

pub(super) struct Watched {
    pub workspace: PathBuf,
    pub git: PathBuf,
    pub ignored: Ignored,
    pub batch: Batch,
    pub poll: Option<Poll>,
    /// When everything is to be looked at again; `None` while nothing changed since the last time.
    pub reconcile: Option<Instant>,
}

impl Watched {
    pub fn new(workspace: PathBuf, git: PathBuf, ignored: Ignored, now: Instant) -> Self {
        let mut batch = Batch::default();
        batch.everything(now);
        Self { workspace, git, ignored, batch, poll: None, reconcile: None }
    }

    /// A path changed; whether it decides about others, so that the watches are to be laid anew.
    pub fn changed(&mut self, path: &Path, now: Instant) -> bool {
        if let Some(inside) = relative(&self.git, path) {
            let moves = inside == b"HEAD" || inside == b"logs/HEAD" || inside.starts_with(b"refs/");
            if moves && !inside.ends_with(b".lock") {
                self.batch.commits(now);
            }
            return false;
        }
        let Some(inside) = relative(&self.workspace, path) else { return false };
        let in_git = inside.split(|byte| *byte == b'/').any(|name| name == b".git");
        if inside.is_empty() || in_git {
            return false;
        }
        let rules = path.file_name().is_some_and(|name| name == ".gitignore");
        self.batch.path(inside, now);
        self.reconcile.get_or_insert(now + RECONCILE_EVERY);
        rules
    }

    /// The earliest moment at which something is to be done.
    pub fn next(&self) -> Option<Instant> {
        let poll = self.poll.as_ref().map(Poll::next);
        [self.batch.due(), poll, self.reconcile].into_iter().flatten().min()
    }

    /// Does what is due but for sending the batch.
    pub fn tick(&mut self, now: Instant) {
        if self.reconcile.is_some_and(|due| due <= now) {
            self.reconcile = None;
            self.batch.everything(now);
        }
        if let Some(poll) = &mut self.poll
            && poll.next() <= now
            && poll.look([&self.workspace, &self.git], &self.ignored, now)
        {
            self.batch.everything(now);
            self.batch.commits(now);
        }
    }

    /// The directories of the private git directory in which branches and `HEAD` move.
    pub fn git_directories(&self) -> Vec<PathBuf> {
        let mut found = vec![self.git.clone(), self.git.join("logs")];
        collect(&self.git.join("refs/heads"), &mut |_| true, &mut found, 0);
        found
    }

    /// A directory of the workspace and all in it that are to be watched.
    pub fn directories_in(&self, directory: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut wanted = |path: &Path| {
            let Some(inside) = relative(&self.workspace, path) else { return false };
            inside.is_empty()
                || path.file_name().is_none_or(|name| name != ".git") && !(self.ignored)(&inside)
        };
        collect(directory, &mut wanted, &mut found, 0);
        found
    }
}

/// Collects a directory and those in it, parents first; links are not followed.
fn collect(
    directory: &Path,
    wanted: &mut dyn FnMut(&Path) -> bool,
    found: &mut Vec<PathBuf>,
    depth: usize,
) {
    let real = directory.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
    if !real || depth > DEPTH_LIMIT || !wanted(directory) {
        return;
    }
    found.push(directory.to_owned());
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), wanted, found, depth + 1);
        }
    }
}

/// A path beneath a directory, as bytes.
pub(super) fn relative(root: &Path, path: &Path) -> Option<Vec<u8>> {
    Some(path.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
}
