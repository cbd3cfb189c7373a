//! Snapshots of one environment: one running, one waiting, whatever was touched meanwhile merged.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::exec;
use super::shared::{Shared, blocking, now};
use super::state::{Record, Report};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::snapshot::{Divergence, Snapshot, SnapshotCause};
use crate::repo::snapshot::Touched;
use crate::repo::{self, Store, UserRepository};

/// Counting commits starts git in the box; a box under load is slow, a wedged one is left alone.
const COUNT_DEADLINE: Duration = Duration::from_secs(20);
/// A count is a few digits.
const COUNT_BYTES: usize = 64;

/// A handle to the environment's snapshot job; the job ends with the last handle.
#[derive(Debug)]
pub(super) struct Snapshotter {
    pending: Mutex<Pending>,
    wake: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Pending {
    touched: Option<Touched>,
    /// The agent's repository moved.
    commits: bool,
    decisions: Vec<oneshot::Sender<Result<CommitId, Failure>>>,
}

impl Snapshotter {
    /// Starts the job; its first act is to take up what changed before it began.
    pub fn start(shared: Arc<Shared>, record: Record) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        let first =
            Pending { touched: Some(Touched::Everything), commits: true, ..Pending::default() };
        let handle = Arc::new(Self { pending: Mutex::new(first), wake: wake.clone() });
        wake.notify_one();
        let job =
            Job { shared, record, handle: Arc::downgrade(&handle), wake, ahead: 0, count: None };
        tokio::spawn(job.run());
        handle
    }

    /// Something in the workspace changed and is quiet.
    pub fn touched(&self, touched: Touched, commits: bool) {
        let mut pending = self.lock();
        pending.commits |= commits;
        pending.touched = Some(match (pending.touched.take(), touched) {
            (None, touched) => touched,
            (Some(Touched::Paths(mut paths)), Touched::Paths(more)) => {
                paths.extend(more);
                Touched::Paths(paths)
            }
            _ => Touched::Everything,
        });
        drop(pending);
        self.wake.notify_one();
    }

    /// Takes the workspace as it is now and returns the snapshot that holds it.
    pub async fn now(&self) -> Result<CommitId, Failure> {
        let (reply, answer) = oneshot::channel();
        self.ask(reply);
        answer.await.map_err(|_| Failure::new(FailureKind::Internal, "the snapshot job ended"))?
    }

    fn ask(&self, reply: oneshot::Sender<Result<CommitId, Failure>>) {
        let mut pending = self.lock();
        pending.decisions.push(reply);
        pending.touched = Some(Touched::Everything);
        drop(pending);
        self.wake.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Snapshotter {
    fn drop(&mut self) {
        self.wake.notify_one();
    }
}

struct Job {
    shared: Arc<Shared>,
    record: Record,
    handle: Weak<Snapshotter>,
    wake: Arc<Notify>,
    /// Commits the agent made, as last counted.
    ahead: u32,
    /// Snapshots kept, once they were counted.
    count: Option<u32>,
}

/// What one round of git work gave.
struct Taken {
    snapshot: Option<Snapshot>,
    head: CommitId,
    count: u32,
    divergence: Divergence,
}

impl Job {
    async fn run(mut self) {
        loop {
            self.wake.notified().await;
            let Some(handle) = self.handle.upgrade() else { return };
            let pending = std::mem::take(&mut *handle.lock());
            drop(handle);
            self.round(pending).await;
        }
    }

    async fn round(&mut self, pending: Pending) {
        let recount = pending.commits && self.count_commits().await;
        let Some(touched) = pending.touched else {
            if recount {
                self.touch_up().await;
            }
            return;
        };
        let cause = if pending.decisions.is_empty() {
            SnapshotCause::Change
        } else {
            SnapshotCause::Decision
        };
        let result = self.take(touched, cause).await;
        let answer = result.as_ref().map(|taken| taken.head.clone()).map_err(Clone::clone);
        self.tell(result, recount).await;
        for decision in pending.decisions {
            let _ = decision.send(answer.clone());
        }
    }

    /// Takes a snapshot and measures where the environment stands.
    async fn take(&self, touched: Touched, cause: SnapshotCause) -> Result<Taken, Failure> {
        let (shared, record) = (self.shared.clone(), self.record.clone());
        let (ahead, count) = (self.ahead, self.count);
        blocking(move || {
            let environment = &record.environment;
            let user = UserRepository::discover(&environment.repository)?;
            let store = Store::open(&shared.layout.repository(&record.repository_id), &user)?;
            let workspace = shared.layout.environment(&environment.id).workspace();
            let id = &environment.id;
            let snapshot = repo::snapshot::take(&store, id, &workspace, &touched, cause, now())?;
            let count = match count {
                Some(count) => count + u32::from(snapshot.is_some()),
                None => repo::history::read(&store, id)?.len() as u32,
            };
            let divergence = Divergence {
                change: repo::divergence::since_base(&store, id)?,
                ahead,
                behind: repo::divergence::behind(&user, &environment.base)?,
            };
            let head = repo::history::head(&store, id)?;
            Ok(Taken { snapshot, head, count, divergence })
        })
        .await
    }

    async fn tell(&mut self, result: Result<Taken, Failure>, recount: bool) {
        let id = &self.record.environment.id;
        match result {
            Ok(Taken { snapshot, count, divergence, .. }) => {
                let first = self.count.is_none();
                self.count = Some(count);
                if let Some(snapshot) = snapshot {
                    self.shared.hub.snapshot_taken(id, &snapshot);
                    let snapshot = Box::new(snapshot);
                    let report = Report::SnapshotTaken { snapshot, count, divergence };
                    self.shared.report(id, report).await;
                } else if first || recount {
                    self.shared.report(id, Report::Diverged(divergence)).await;
                }
            }
            Err(failure) => {
                tracing::warn!(environment = %id, "no snapshot: {failure}");
                let note = format!("a snapshot could not be taken: {failure}");
                self.shared.report(id, Report::Note(note)).await;
            }
        }
    }

    /// Tells a new count of commits when no snapshot goes with it.
    async fn touch_up(&self) {
        let id = &self.record.environment.id;
        if let Ok(record) = self.shared.record(id).await {
            let divergence = Divergence { ahead: self.ahead, ..record.environment.divergence };
            self.shared.report(id, Report::Diverged(divergence)).await;
        }
    }

    /// Counts the agent's commits in the box; whether the number changed.
    async fn count_commits(&mut self) -> bool {
        let id = &self.record.environment.id;
        let Ok(record) = self.shared.record(id).await else { return false };
        let range = format!("{}..HEAD", record.environment.base);
        let command = ["git", "rev-list", "--count", &range];
        let counted = exec::capture(&self.shared, &record, &command, COUNT_BYTES, COUNT_DEADLINE);
        let Ok(output) = counted.await else { return false };
        let count = String::from_utf8_lossy(&output).trim().parse().unwrap_or(self.ahead);
        std::mem::replace(&mut self.ahead, count) != count
    }
}
