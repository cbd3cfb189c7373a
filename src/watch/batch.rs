//! When a batch of notices is due: a pure value, the clock is passed in.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::model::path::RepoPath;

use super::Touched;

/// A batch is due when nothing happened for this long: editors and tools write in bursts.
const QUIET: Duration = Duration::from_millis(75);

/// A batch is due at the latest this long after it began, so that a build does not hold it back.
const LONGEST: Duration = Duration::from_secs(1);

/// Above this many paths, looking at everything costs less.
const PATHS_LIMIT: usize = 5000;

/// What happened in one environment since its last notice.
#[derive(Default)]
pub(super) struct Batch {
    paths: BTreeSet<RepoPath>,
    everything: bool,
    commits: bool,
    began: Option<Instant>,
    last: Option<Instant>,
}

impl Batch {
    pub fn path(&mut self, path: Vec<u8>, now: Instant) {
        self.happened(now);
        if !self.everything {
            self.paths.insert(RepoPath::new(path));
            if self.paths.len() > PATHS_LIMIT {
                self.everything(now);
            }
        }
    }

    pub fn everything(&mut self, now: Instant) {
        self.happened(now);
        self.everything = true;
        self.paths.clear();
    }

    pub fn commits(&mut self, now: Instant) {
        self.happened(now);
        self.commits = true;
    }

    fn happened(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.last = Some(now);
    }

    /// When the batch is to be sent; `None` while there is nothing in it.
    pub fn due(&self) -> Option<Instant> {
        Some((self.last? + QUIET).min(self.began? + LONGEST))
    }

    /// The receiver had no room: try again after another quiet moment, with what came meanwhile.
    pub fn postpone(&mut self, now: Instant) {
        self.began = Some(now);
        self.last = Some(now);
    }

    /// What the batch holds, and whether commits are to be counted.
    pub fn content(&self) -> (Touched, bool) {
        let touched =
            if self.everything { Touched::Everything } else { Touched::Paths(self.paths.clone()) };
        (touched, self.commits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_due_after_quiet_but_at_most_a_second_after_it_began() {
        let start = Instant::now();
        let mut batch = Batch::default();
        assert_eq!(batch.due(), None);
        batch.path(b"a".to_vec(), start);
        assert_eq!(batch.due(), Some(start + QUIET));
        for step in 1..40 {
            batch.path(b"b".to_vec(), start + Duration::from_millis(50 * step));
        }
        assert_eq!(batch.due(), Some(start + LONGEST));
        let paths = [RepoPath::new(*b"a"), RepoPath::new(*b"b")].into();
        assert_eq!(batch.content(), (Touched::Paths(paths), false));
    }

    #[test]
    fn too_many_paths_become_everything() {
        let now = Instant::now();
        let mut batch = Batch::default();
        for number in 0..=PATHS_LIMIT {
            batch.path(number.to_string().into_bytes(), now);
        }
        batch.commits(now);
        assert_eq!(batch.content(), (Touched::Everything, true));
    }
}
