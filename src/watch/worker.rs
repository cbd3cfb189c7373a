//! The thread that owns all watches and turns single events into batches.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use notify::event::{AccessKind, AccessMode, EventKind, ModifyKind, RenameMode};
use notify::{Config, Event, INotifyWatcher, RecursiveMode, Watcher as _};
use tokio::sync::mpsc;

use crate::model::id::EnvironmentId;

use super::poll::Poll;
use super::watched::{Laying, Watched};
use super::{Descriptions, Notice, Order, Orders};

/// The thread looks up this often when nothing is due, to see that nobody listens any more.
const IDLE: Duration = Duration::from_mins(1);

const TOO_MANY: &str = "polling: it has more directories than are watched of one environment";

const LIMIT_REACHED: &str =
    "polling: the system's limit of file watches is reached (raise fs.inotify.max_user_watches)";

/// How often directories are listed, until a listing brings nothing new: one that is made between
/// listing and watching gives no event. A box that goes on making them has to wait.
const ROUNDS: usize = 3;

/// Directories watched at a time, but for an environment's first: others have to be served.
const AT_A_TIME: usize = 4096;

/// Directories watched of one environment. One with more is polled, so that it leaves the others
/// what the system has of watches, and takes no more time than they.
const WATCHES_LIMIT: usize = 32_768;

/// When directories that are made faster than they are listed are looked at again.
const AGAIN: Duration = Duration::from_secs(1);

/// When watches are laid by new rules; who writes them writes more than one line.
const SETTLED: Duration = Duration::from_millis(50);

pub(super) enum Message {
    Event(notify::Result<Event>),
    /// There are orders.
    Wake,
}

pub(super) struct Worker {
    orders: Arc<Orders>,
    messages: Receiver<Message>,
    notices: mpsc::Sender<Notice>,
    descriptions: Descriptions,
    inotify: INotifyWatcher,
    /// Events were lost because a queue was full.
    lost: Arc<AtomicBool>,
    /// All is not looked at again before.
    rested: Instant,
    environments: HashMap<EnvironmentId, Watched>,
    /// Each directory watched, and whose it is; sorted, so that a subtree is a range.
    directories: BTreeMap<PathBuf, EnvironmentId>,
}

impl Worker {
    pub fn new(
        orders: Arc<Orders>,
        (events, messages): (SyncSender<Message>, Receiver<Message>),
        notices: mpsc::Sender<Notice>,
        descriptions: Descriptions,
    ) -> anyhow::Result<Self> {
        let lost = Arc::new(AtomicBool::new(false));
        let flag = lost.clone();
        let handler = move |event: notify::Result<Event>| {
            if event.as_ref().is_ok_and(|event| !changes(event.kind) && !event.need_rescan()) {
                return;
            }
            if let Err(TrySendError::Full(_)) = events.try_send(Message::Event(event)) {
                flag.store(true, Ordering::Relaxed);
            }
        };
        let inotify = INotifyWatcher::new(handler, Config::default())
            .context("cannot watch files (fs.inotify.max_user_instances may be used up)")?;
        let (environments, directories) = (HashMap::new(), BTreeMap::new());
        Ok(Self {
            orders,
            messages,
            notices,
            descriptions,
            inotify,
            lost,
            rested: Instant::now(),
            environments,
            directories,
        })
    }

    pub fn run(mut self) {
        loop {
            let now = Instant::now();
            let lost = self.lost.load(Ordering::Relaxed).then_some(self.rested);
            let next = self.environments.values().filter_map(Watched::next).chain(lost).min();
            let wait = next.map_or(IDLE, |next| next.saturating_duration_since(now)).min(IDLE);
            let message = match self.messages.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if self.orders.have_ended() || self.notices.is_closed() {
                return;
            }
            // Before what happened later.
            for (environment, order) in self.orders.take() {
                self.obey(&environment, order, Instant::now());
            }
            if let Some(Message::Event(event)) = message {
                self.handle(event, Instant::now());
            }
            self.tick(Instant::now());
        }
    }

    fn obey(&mut self, environment: &EnvironmentId, order: Order, now: Instant) {
        self.unwatch(environment);
        match order {
            Order::Watch { workspace, git, ignored } => {
                let watched = Watched::new(workspace, git, ignored, now);
                self.environments.insert(environment.clone(), watched);
                self.lay(environment, 1, now);
            }
            Order::Unwatch => {
                self.environments.remove(environment);
                self.describe(environment, None);
            }
        }
    }

    fn handle(&mut self, event: notify::Result<Event>, now: Instant) {
        match event {
            Ok(event) if !event.need_rescan() => {
                for path in &event.paths {
                    self.changed(path, event.kind, now);
                }
            }
            _ => self.lost.store(true, Ordering::Relaxed),
        }
    }

    /// Lays the watches of an environment that lack, and returns how many did.
    fn lay(&mut self, environment: &EnvironmentId, rounds: usize, now: Instant) -> usize {
        self.describe(environment, Some("watching".to_owned()));
        self.cover(environment, rounds, now, |watched| {
            let mut directories = watched.git_directories();
            directories.extend(watched.directories_in(&watched.workspace));
            directories
        })
    }

    /// Watches the directories that a listing brings, up to `rounds` times until it brings no more,
    /// and returns how many they are.
    /// What takes its time has the environment wait for the next time, so that others have theirs.
    fn cover(
        &mut self,
        environment: &EnvironmentId,
        rounds: usize,
        now: Instant,
        list: impl Fn(&Watched) -> Vec<PathBuf>,
    ) -> usize {
        let began = Instant::now();
        let most = if rounds == 1 { usize::MAX } else { AT_A_TIME };
        let (mut added, mut last) = (0, 0);
        for _ in 0..rounds {
            let Some(watched) = self.environments.get(environment) else { return added };
            let found = list(watched);
            last = self.add(environment, found, most, now);
            added += last;
            if last == 0 || last == most {
                break;
            }
        }
        let Some(watched) = self.environments.get_mut(environment) else { return added };
        watched.rest(began);
        if last > 0 && watched.poll.is_none() {
            // A single listing may have missed what was made meanwhile, too.
            watched.lay_later(now + AGAIN, Laying::Missing);
            if rounds > 1 {
                watched.batch.everything(now);
            }
        }
        added
    }

    /// Watches directories, at most so many, and returns how many are watched that were not before.
    fn add(
        &mut self,
        environment: &EnvironmentId,
        directories: Vec<PathBuf>,
        most: usize,
        now: Instant,
    ) -> usize {
        let mut added = 0;
        for directory in directories {
            if self.directories.contains_key(&directory) {
                continue;
            }
            if added == most {
                break;
            }
            if self.environments.get(environment).is_none_or(|it| it.watches == WATCHES_LIMIT) {
                self.poll(environment, TOO_MANY, now);
                return 0;
            }
            match self.inotify.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.directories.insert(directory, environment.clone());
                    if let Some(watched) = self.environments.get_mut(environment) {
                        watched.watches += 1;
                    }
                    added += 1;
                }
                Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
                    self.poll(environment, LIMIT_REACHED, now);
                    return 0;
                }
                // It went meanwhile, which its parent tells.
                Err(_) => {}
            }
        }
        added
    }

    /// Looks at an environment from time to time from now on, for the reason that is given.
    fn poll(&mut self, environment: &EnvironmentId, reason: &str, now: Instant) {
        self.unwatch(environment);
        if let Some(watched) = self.environments.get_mut(environment) {
            watched.batch.everything(now);
            watched.poll = Some(Poll::new(now));
            watched.laying = None;
        }
        self.describe(environment, Some(reason.to_owned()));
    }

    fn changed(&mut self, path: &Path, kind: EventKind, now: Instant) {
        let owner = path.parent().and_then(|parent| self.directories.get(parent));
        let Some(environment) = owner.or_else(|| self.directories.get(path)).cloned() else {
            return;
        };
        let Some(watched) = self.environments.get_mut(&environment) else { return };
        let rules = watched.changed(path, now);
        if rules {
            watched.lay_later(now + SETTLED, Laying::Anew);
            return;
        }
        let appeared = matches!(
            kind,
            EventKind::Create(_)
                | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both))
        );
        let real = path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir());
        if self.directories.contains_key(path) && (appeared || !real) {
            self.remove_subtree(path);
        }
        if real && !self.directories.contains_key(path) {
            self.appeared(&environment, path, now);
        }
    }

    /// Watches a directory that is new. What was written into it before is found by whoever takes
    /// the notice, because the directory itself is named in it.
    fn appeared(&mut self, environment: &EnvironmentId, path: &Path, now: Instant) {
        let Some(watched) = self.environments.get_mut(environment) else { return };
        if watched.rests(now) {
            watched.lay_later(now, Laying::Missing);
            return;
        }
        self.cover(environment, ROUNDS, now, |watched| {
            if path.starts_with(&watched.git) {
                watched.git_directories()
            } else {
                watched.directories_in(path)
            }
        });
    }

    fn remove_subtree(&mut self, path: &Path) {
        let gone: Vec<PathBuf> = self
            .directories
            .range(path.to_owned()..)
            .take_while(|(directory, _)| directory.starts_with(path))
            .map(|(directory, _)| directory.clone())
            .collect();
        for directory in gone {
            let owner = self.directories.remove(&directory);
            if let Some(watched) = owner.and_then(|owner| self.environments.get_mut(&owner)) {
                watched.watches -= 1;
            }
            // A directory that was removed took its watch with it.
            let _ = self.inotify.unwatch(&directory);
        }
    }

    fn unwatch(&mut self, environment: &EnvironmentId) {
        let Some(watched) = self.environments.get(environment) else { return };
        let roots = [watched.workspace.clone(), watched.git.clone()];
        for root in roots {
            self.remove_subtree(&root);
        }
    }

    /// Events were lost: nothing that is known about any environment can be relied on.
    fn everything(&mut self, now: Instant) {
        let began = Instant::now();
        for watched in self.environments.values_mut().filter(|watched| watched.poll.is_none()) {
            watched.batch.everything(now);
            watched.batch.commits(now);
            watched.lay_later(now, Laying::Anew);
        }
        self.lay_due(now);
        // A box that fills the queue at once again must not take all of the thread.
        self.rested = Instant::now() + super::watched::rest_after(began.elapsed()).max(AGAIN);
    }

    /// Lays the watches that are due to be.
    fn lay_due(&mut self, now: Instant) {
        let due = self.environments.iter_mut().filter_map(|(environment, watched)| {
            Some((environment.clone(), watched.take_laying(now)?))
        });
        for (environment, laying) in due.collect::<Vec<_>>() {
            if laying == Laying::Anew {
                self.unwatch(&environment);
                if let Some(watched) = self.environments.get_mut(&environment) {
                    watched.batch.everything(now);
                }
            }
            let added = self.lay(&environment, ROUNDS, now);
            // Nothing told what was written where no watch was.
            if let Some(watched) = self.environments.get_mut(&environment).filter(|_| added > 0) {
                watched.batch.everything(now);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.rested <= now && self.lost.swap(false, Ordering::Relaxed) {
            self.everything(now);
        }
        self.lay_due(now);
        for (environment, watched) in &mut self.environments {
            watched.tick(now);
            if watched.batch.due().is_none_or(|due| due > now) {
                continue;
            }
            let (touched, commits) = watched.batch.content();
            let notice = Notice { environment: environment.clone(), touched, commits };
            match self.notices.try_send(notice) {
                Err(mpsc::error::TrySendError::Full(_)) => watched.batch.postpone(now),
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {
                    watched.batch = super::batch::Batch::default();
                }
            }
        }
    }

    fn describe(&self, environment: &EnvironmentId, text: Option<String>) {
        let mut descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        match text {
            Some(text) => descriptions.insert(environment.clone(), text),
            None => descriptions.remove(environment),
        };
    }
}

/// Whether an event may mean other content; opening and reading do not.
fn changes(kind: EventKind) -> bool {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => true,
        EventKind::Access(_) => false,
        _ => true,
    }
}
