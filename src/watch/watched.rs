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

/// What lasts no longer than this is done at once, however often it comes.
const SHORT: Duration = Duration::from_millis(10);

/// After longer work on one environment the thread is the others' for so many times as long.
const REST: u32 = 10;

/// No rest is longer: what an environment's own tools make is to be noticed.
const LONGEST_REST: Duration = Duration::from_secs(5);

/// How watches are laid again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Laying {
    /// Those that lack.
    Missing,
    /// All of them: what is ignored or where directories are is another.
    Anew,
}

/// How long is waited after work that took so long.
pub(super) fn rest_after(spent: Duration) -> Duration {
    if spent > SHORT { (spent * REST).min(LONGEST_REST) } else { Duration::ZERO }
}

pub(super) struct Watched {
    pub workspace: PathBuf,
    pub git: PathBuf,
    pub ignored: Ignored,
    pub batch: Batch,
    /// Directories that are watched.
    pub watches: usize,
    pub poll: Option<Poll>,
    /// When everything is to be looked at again; `None` while nothing changed since the last time.
    pub reconcile: Option<Instant>,
    /// When watches are laid again, and how.
    pub laying: Option<(Instant, Laying)>,
    /// Watches are not laid before.
    rested: Instant,
}

impl Watched {
    pub fn new(workspace: PathBuf, git: PathBuf, ignored: Ignored, now: Instant) -> Self {
        let mut batch = Batch::default();
        batch.everything(now);
        let (poll, reconcile, laying) = (None, None, None);
        Self { workspace, git, ignored, batch, watches: 0, poll, reconcile, laying, rested: now }
    }

    /// Has watches be laid at `at`, or when it has rested; what was asked before is not later.
    pub fn lay_later(&mut self, at: Instant, laying: Laying) {
        let at = at.max(self.rested);
        let (before, other) = self.laying.unwrap_or((at, laying));
        self.laying = Some((before.min(at), other.max(laying)));
    }

    /// How watches are to be laid now, if they are.
    pub fn take_laying(&mut self, now: Instant) -> Option<Laying> {
        let (_, laying) = self.laying.take_if(|(at, _)| *at <= now)?;
        self.poll.is_none().then_some(laying)
    }

    /// Whether watches were laid a moment ago, with so much work that others come first.
    pub fn rests(&self, now: Instant) -> bool {
        now < self.rested
    }

    /// Notes work that was begun then.
    pub fn rest(&mut self, began: Instant) {
        self.rested = Instant::now() + rest_after(began.elapsed());
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
        let laying = self.laying.map(|(at, _)| at);
        [self.batch.due(), poll, self.reconcile, laying].into_iter().flatten().min()
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
        let mut found = vec![self.git.clone()];
        // What lies elsewhere, where a link of the agent leads, is nothing of its own.
        found.extend(Some(self.git.join("logs")).filter(|logs| is_directory(logs)));
        let references = self.git.join("refs");
        if is_directory(&references) {
            collect(&references.join("heads"), &mut |_| true, &mut found, 0);
        }
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
    if !is_directory(directory) || depth > DEPTH_LIMIT || !wanted(directory) {
        return;
    }
    found.push(directory.to_owned());
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    // Listed to the end at once: entries that come while each is looked into would have no end.
    let entries: Vec<_> = entries.flatten().collect();
    for entry in entries {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            collect(&entry.path(), wanted, found, depth + 1);
        }
    }
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// A path beneath a directory, as bytes.
pub(super) fn relative(root: &Path, path: &Path) -> Option<Vec<u8>> {
    Some(path.strip_prefix(root).ok()?.as_os_str().as_bytes().to_vec())
}
