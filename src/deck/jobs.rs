//! Snapshots of one environment: one running, one waiting, whatever was touched meanwhile merged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedMutexGuard, mpsc, oneshot};
use tokio::time::timeout;

use super::hands::{self, Trace};
use super::moments::{self, Sight};
use super::owners;
use super::packing;
use super::shared::{Shared, blocking};
use super::standing::{self, Commits, Standing};
use super::state::{Matter, Record, Report};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::snapshot::{Snapshot, SnapshotCause};
use crate::repo;
use crate::repo::snapshot::{Occasion, Touched};
use crate::watch::{self, Notice};

/// A snapshot that could not be taken is tried again after this, and after twice as long each time
/// that it fails again: a lock goes in seconds, a full disk in minutes.
const RETRY: Duration = Duration::from_secs(5);
/// At most this long, for a repository that is away for the day.
const RETRY_LIMIT: Duration = Duration::from_mins(5);

/// A batch of notices this long after a command ended still holds what it changed: it waits at most
/// a second, and the job a little.
const COMMAND_SPAN: Duration = Duration::from_millis(1_500);

/// Between two times that files of a box's root are made the user's because a snapshot could not
/// read them: it looks at all files, and a service of that root may go on making some.
const HAND_BACK_PAUSE: Duration = Duration::from_secs(10);

/// Hands each quiet batch to its environment's snapshot job.
pub(super) async fn dispatch(shared: Arc<Shared>, mut notices: mpsc::Receiver<Notice>) {
    while let Some(notice) = notices.recv().await {
        let Some(snapshotter) = shared.snapshotter(&notice.environment) else { continue };
        let touched = match notice.touched {
            watch::Touched::Paths(paths) => Touched::Paths(paths),
            watch::Touched::Everything => Touched::Everything,
        };
        snapshotter.touched(touched, notice.commits);
    }
}

/// A handle to the environment's snapshot job; the job ends with the last handle.
#[derive(Debug)]
pub(super) struct Snapshotter {
    pending: Mutex<Pending>,
    wake: Arc<Notify>,
    /// Held while a snapshot is taken, or while none may be.
    still: Arc<tokio::sync::Mutex<()>>,
}

/// What is told of a snapshot that was asked for: the one that holds the workspace.
type Answer = oneshot::Sender<Result<CommitId, Failure>>;

#[derive(Debug, Default)]
struct Pending {
    touched: Option<Touched>,
    /// The agent's repository moved.
    commits: bool,
    asked: Vec<(SnapshotCause, Answer)>,
    /// A person took a keyboard or gave it back.
    takeover: bool,
    /// When a command ended last.
    command: Option<Instant>,
}

impl Pending {
    /// Why the next snapshot is taken: the strongest reason there is.
    fn cause(&self) -> SnapshotCause {
        let asked = self.asked.iter().map(|(cause, _)| *cause);
        let takeover = self.takeover.then_some(SnapshotCause::Takeover);
        let command = self.command.filter(|at| at.elapsed() < COMMAND_SPAN);
        let command = command.map(|_| SnapshotCause::Command);
        asked.chain(takeover).chain(command).max().unwrap_or(SnapshotCause::Change)
    }
}

impl Snapshotter {
    /// Starts the job, which waits to be told of something.
    pub fn start(shared: Arc<Shared>, record: Record) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        let still = Arc::default();
        let handle = Arc::new(Self { pending: Mutex::default(), wake: wake.clone(), still });
        let job = Job {
            behind: record.environment.divergence.behind,
            commits: Commits::of(&record.environment),
            onto: record.environment.onto.clone(),
            shared,
            record,
            handle: Arc::downgrade(&handle),
            wake,
            count: None,
            seen: Trace::default(),
            sequence: None,
            retry: None,
            handed_back: None,
            is_shut: false,
        };
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

    /// A person took a keyboard or gave it back: what the other did is a snapshot of its own.
    pub fn takeover(&self) {
        let mut pending = self.lock();
        pending.takeover = true;
        pending.touched = Some(Touched::Everything);
        drop(pending);
        self.wake.notify_one();
    }

    /// A command ended: what it changed is about to be noticed.
    pub fn command_ended(&self) {
        self.lock().command = Some(Instant::now());
    }

    /// Takes the workspace as it is now and returns the snapshot that holds it.
    pub async fn now(&self, cause: SnapshotCause) -> Result<CommitId, Failure> {
        let answer = self.ask(cause);
        answer.await.map_err(|_| Failure::new(FailureKind::Internal, "the snapshot job ended"))?
    }

    /// The same, without waiting for it.
    pub fn ask(&self, cause: SnapshotCause) -> oneshot::Receiver<Result<CommitId, Failure>> {
        let (reply, answer) = oneshot::channel();
        let mut pending = self.lock();
        pending.asked.push((cause, reply));
        pending.touched = Some(Touched::Everything);
        drop(pending);
        self.wake.notify_one();
        answer
    }

    /// Waits for a snapshot that is being taken; none is taken while the guard lives.
    pub async fn stand_still(&self) -> OwnedMutexGuard<()> {
        self.still.clone().lock_owned().await
    }

    /// Everything that waits. The end of a command stays known until the files are looked at: what
    /// it changed is in the first batch of notices after it, and what comes later is not its own.
    fn take(&self) -> Pending {
        let mut pending = self.lock();
        let command = pending.command.filter(|_| pending.touched.is_none());
        std::mem::replace(&mut *pending, Pending { command, ..Pending::default() })
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
    commits: Commits,
    /// The user's commit that the work stands on, as it was told last.
    onto: Option<CommitId>,
    /// Snapshots kept, once they were counted.
    count: Option<u32>,
    /// What was seen of whose hands are at work when the last snapshot was taken.
    seen: Trace,
    /// The change of the agent's screen that was kept last.
    sequence: Option<u64>,
    /// Commits on the user's branch since the base, as last counted.
    behind: u32,
    /// When to try again, where the last snapshot could not be taken.
    retry: Option<Duration>,
    /// When files of the box's root were made the user's last.
    handed_back: Option<Instant>,
    /// The last snapshot could not read some of them, and they are not the user's yet.
    is_shut: bool,
}

/// What one round of git work gave.
struct Taken {
    snapshot: Option<Snapshot>,
    head: CommitId,
    count: u32,
    /// Where it stands now, unless nothing is new.
    standing: Option<Standing>,
    /// Something could not be read that the box's root has made.
    is_shut: bool,
}

impl Job {
    async fn run(mut self) {
        loop {
            let again = self.is_shut.then_some(HAND_BACK_PAUSE);
            match self.retry.or(again) {
                Some(pause) => drop(timeout(pause, self.wake.notified()).await),
                None => self.wake.notified().await,
            }
            let Some(handle) = self.handle.upgrade() else { return };
            let still = handle.stand_still().await;
            let mut pending = handle.take();
            drop(handle);
            if self.retry.is_some() {
                // What the failed one was told of is no longer known.
                pending.touched = Some(Touched::Everything);
            }
            if self.is_shut && self.hand_back().await {
                pending.touched = Some(Touched::Everything);
            }
            self.round(pending).await;
            drop(still);
        }
    }

    async fn round(&mut self, pending: Pending) {
        let recount = pending.commits && self.count_commits().await;
        let cause = pending.cause();
        if cause == SnapshotCause::Restore {
            self.commits.restored();
        }
        let nothing = || Touched::Paths(BTreeSet::new());
        let Some(mut touched) = pending.touched.or(recount.then(nothing)) else { return };
        let answer = loop {
            let (answer, is_shut) = self.look(touched, cause, recount).await;
            self.is_shut = is_shut;
            // Whoever asked is answered with what holds all of it.
            if !is_shut || !self.hand_back().await {
                break answer;
            }
            touched = Touched::Everything;
        };
        for (_, asked) in pending.asked {
            let _ = asked.send(answer.clone());
        }
    }

    /// Takes a snapshot and tells of it; which one holds the workspace, and whether some of that
    /// could not be read because the box's root has it.
    async fn look(
        &mut self,
        touched: Touched,
        cause: SnapshotCause,
        recount: bool,
    ) -> (Result<CommitId, Failure>, bool) {
        let sight = moments::look(&self.shared, &self.record.environment.id).await;
        let occasion = self.occasion(cause, &sight.trace);
        self.seen.runs = sight.trace.runs;
        let result = self.take(touched, occasion, &sight, recount).await;
        if result.is_ok() && self.retry.is_some() {
            // Also where nothing is new, of which nothing else is told.
            let well = Report::Matter { matter: Matter::Snapshot, note: None };
            self.shared.report(&self.record.environment.id, well).await;
        }
        self.retry = match (&result, self.retry) {
            (Ok(_), _) => None,
            (Err(_), None) => Some(RETRY),
            (Err(_), Some(pause)) => Some((pause * 2).min(RETRY_LIMIT)),
        };
        if let Ok(Taken { standing: Some(standing), .. }) = &result {
            self.behind = standing.divergence.behind;
        }
        if let Ok(Taken { snapshot: Some(_), .. }) = &result {
            self.seen = sight.trace;
            self.sequence = sight.screen.as_ref().map(|screen| screen.sequence);
        }
        let answer = result.as_ref().map(|taken| taken.head.clone()).map_err(Clone::clone);
        let is_shut = result.as_ref().is_ok_and(|taken| taken.is_shut);
        self.tell(result).await;
        (answer, is_shut)
    }

    /// Makes the user the owner of what a snapshot could not read of the box's root; whether that
    /// was done. While a person's command runs it may be that root, whose files wait for its end.
    async fn hand_back(&mut self) -> bool {
        let id = &self.record.environment.id;
        let rests = self.handed_back.is_some_and(|at| at.elapsed() < HAND_BACK_PAUSE);
        if rests || self.shared.hands.deeds(id).running > 0 {
            return false;
        }
        self.handed_back = Some(Instant::now());
        let Ok(record) = self.shared.record(id).await else { return false };
        let done = owners::hand_back(&self.shared, &record).await;
        if let Err(failure) = &done {
            tracing::warn!(environment = %id, "{failure}");
        }
        self.is_shut = false;
        done.is_ok()
    }

    /// Why a snapshot is taken, and who worked since the last one. A restore is nobody's work.
    fn occasion(&self, cause: SnapshotCause, now: &Trace) -> Occasion {
        let by = hands::author(&self.seen, now).filter(|_| cause != SnapshotCause::Restore);
        Occasion { cause, at: now.at, by, output: now.output }
    }

    /// Takes a snapshot and measures where the environment stands, if that may be elsewhere.
    async fn take(
        &self,
        touched: Touched,
        occasion: Occasion,
        sight: &Sight,
        recount: bool,
    ) -> Result<Taken, Failure> {
        let (shared, record) = (self.shared.clone(), self.record.clone());
        let (commits, behind, count) = (self.commits.clone(), self.behind, self.count);
        let first = count.is_none();
        let screen = sight.screen.clone();
        let same = screen.as_ref().is_some_and(|screen| Some(screen.sequence) == self.sequence);
        blocking(move || {
            let environment = &record.environment;
            let (store, user) = shared.store(&record)?;
            let places = shared.layout.environment(&environment.id);
            let (id, workspace) = (&environment.id, places.workspace());
            let snapshot = repo::snapshot::take(&store, id, &workspace, &touched, &occasion)?;
            if let (Some(snapshot), Some(screen)) = (&snapshot, &screen)
                && let Err(error) = moments::keep(&places.moments(), &snapshot.id, screen, same)
            {
                tracing::warn!(environment = %id, "a screen was not kept: {error:#}");
            }
            let count = match (&snapshot, count) {
                (Some(snapshot), _) => snapshot.number,
                (None, Some(count)) => count,
                (None, None) => repo::history::count(&store, id)?,
            };
            let standing = if first || recount || snapshot.is_some() {
                let opened = (&store, user.as_ref());
                Some(commits.measure(opened, environment, &shared.counts, behind)?)
            } else {
                None
            };
            let head = repo::history::head(&store, id)?;
            let is_shut = owners::may_differ(environment)
                && owners::is_shut_by_root(&workspace, &repo::left_out::of_newest(&store, id)?);
            Ok(Taken { snapshot, head, count, standing, is_shut })
        })
        .await
    }

    async fn tell(&mut self, result: Result<Taken, Failure>) {
        let id = &self.record.environment.id;
        match result {
            Ok(Taken { snapshot, count, standing, .. }) => {
                self.count = Some(count);
                let Some(Standing { onto, divergence }) = standing else { return };
                if self.onto != onto {
                    self.onto.clone_from(&onto);
                    self.shared.report(id, Report::StandsOn(onto)).await;
                }
                if let Some(snapshot) = snapshot {
                    self.shared.hub.snapshot_taken(id, &snapshot);
                    let snapshot = Box::new(snapshot);
                    let report = Report::SnapshotTaken { snapshot, count, divergence };
                    self.shared.report(id, report).await;
                    packing::consider(&self.shared, &self.record);
                } else {
                    self.shared.report(id, Report::Diverged(divergence)).await;
                }
                // Whoever judges looks at what is recorded.
                self.shared.settled(id).await;
                self.shared.snapshots_moved.notify_one();
            }
            Err(failure) => {
                tracing::warn!(environment = %id, "no snapshot: {failure}");
                let note = Some(format!("a snapshot could not be taken: {failure}"));
                self.shared.report(id, Report::Matter { matter: Matter::Snapshot, note }).await;
            }
        }
    }

    /// Counts the agent's commits in the box; whether anything of it changed.
    async fn count_commits(&mut self) -> bool {
        let Ok(record) = self.shared.record(&self.record.environment.id).await else {
            return false;
        };
        let Some(counted) = standing::count(&self.shared, &record).await else { return false };
        let changed = self.commits != counted;
        self.commits = counted;
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_the_cause_of_what_is_noticed_first_after_it_and_of_nothing_more() {
        let snapshotter =
            Snapshotter { pending: Mutex::default(), wake: Arc::default(), still: Arc::default() };
        let change = || snapshotter.touched(Touched::Everything, false);
        change();
        assert_eq!(snapshotter.take().cause(), SnapshotCause::Change);
        snapshotter.command_ended();
        // Commits alone are no look at the files.
        snapshotter.take();
        change();
        assert_eq!(snapshotter.take().cause(), SnapshotCause::Command);
        change();
        assert_eq!(snapshotter.take().cause(), SnapshotCause::Change, "it is another's");
    }
}
