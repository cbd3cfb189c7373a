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
use super::watched::Watched;
use super::{Descriptions, Ignored, Notice};

/// The thread looks up this often when nothing is due, to see that nobody listens any more.
const IDLE: Duration = Duration::from_mins(1);

const LIMIT_REACHED: &str =
    "polling: the system's limit of file watches is reached (raise fs.inotify.max_user_watches)";

pub(super) enum Message {
    Watch { environment: EnvironmentId, workspace: PathBuf, git: PathBuf, ignored: Ignored },
    Unwatch(EnvironmentId),
    Event(notify::Result<Event>),
    Stop,
}

pub(super) struct Worker {
    messages: Receiver<Message>,
    notices: mpsc::Sender<Notice>,
    descriptions: Descriptions,
    inotify: INotifyWatcher,
    /// Events were lost because the queue was full.
    lost: Arc<AtomicBool>,
    environments: HashMap<EnvironmentId, Watched>,
    /// Each directory watched, and whose it is; sorted, so that a subtree is a range.
    directories: BTreeMap<PathBuf, EnvironmentId>,
}

impl Worker {
    pub fn new(
        messages: Receiver<Message>,
        events: SyncSender<Message>,
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
        Ok(Self { messages, notices, descriptions, inotify, lost, environments, directories })
    }

    pub fn run(mut self) {
        loop {
            let now = Instant::now();
            let next = self.environments.values().filter_map(Watched::next).min();
            let wait = next.map_or(IDLE, |next| next.saturating_duration_since(now)).min(IDLE);
            match self.messages.recv_timeout(wait) {
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => self.handle(message, Instant::now()),
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.notices.is_closed() {
                return;
            }
            self.tick(Instant::now());
        }
    }

    fn handle(&mut self, message: Message, now: Instant) {
        match message {
            Message::Watch { environment, workspace, git, ignored } => {
                self.unwatch(&environment);
                let watched = Watched::new(workspace, git, ignored, now);
                self.environments.insert(environment.clone(), watched);
                self.lay(&environment, now);
            }
            Message::Unwatch(environment) => {
                self.unwatch(&environment);
                self.environments.remove(&environment);
                self.describe(&environment, None);
            }
            Message::Event(Ok(event)) if event.need_rescan() => self.everything(now),
            Message::Event(Ok(event)) => {
                for path in &event.paths {
                    self.changed(path, event.kind, now);
                }
            }
            Message::Event(Err(_)) => self.everything(now),
            Message::Stop => {}
        }
    }

    /// Lays the watches of an environment, each directory before its contents are listed again.
    fn lay(&mut self, environment: &EnvironmentId, now: Instant) {
        let Some(watched) = self.environments.get(environment) else { return };
        let mut directories = watched.git_directories();
        directories.extend(watched.directories_in(&watched.workspace));
        self.describe(environment, Some("watching".to_owned()));
        self.add(environment, directories, now);
    }

    fn add(&mut self, environment: &EnvironmentId, directories: Vec<PathBuf>, now: Instant) {
        for directory in directories {
            if self.directories.contains_key(&directory) {
                continue;
            }
            match self.inotify.watch(&directory, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.directories.insert(directory, environment.clone());
                }
                Err(error) if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) => {
                    self.unwatch(environment);
                    if let Some(watched) = self.environments.get_mut(environment) {
                        watched.poll = Some(Poll::new(now));
                    }
                    self.describe(environment, Some(LIMIT_REACHED.to_owned()));
                    return;
                }
                // It went meanwhile, which its parent tells.
                Err(_) => {}
            }
        }
    }

    fn changed(&mut self, path: &Path, kind: EventKind, now: Instant) {
        let owner = path.parent().and_then(|parent| self.directories.get(parent));
        let Some(environment) = owner.or_else(|| self.directories.get(path)).cloned() else {
            return;
        };
        let Some(watched) = self.environments.get_mut(&environment) else { return };
        let rules = watched.changed(path, now);
        if rules {
            self.unwatch(&environment);
            self.lay(&environment, now);
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
        let Some(watched) = self.environments.get(environment) else { return };
        let directories = if path.starts_with(&watched.git) {
            watched.git_directories()
        } else {
            let mut found = vec![];
            // Until a listing brings nothing new: a directory made between listing and watching
            // gave no event.
            let mut known = usize::MAX;
            while found.len() != known {
                known = found.len();
                found = watched.directories_in(path);
                for directory in &found {
                    if !self.directories.contains_key(directory)
                        && self.inotify.watch(directory, RecursiveMode::NonRecursive).is_ok()
                    {
                        self.directories.insert(directory.clone(), environment.clone());
                    }
                }
            }
            found
        };
        self.add(environment, directories, now);
    }

    fn remove_subtree(&mut self, path: &Path) {
        let gone: Vec<PathBuf> = self
            .directories
            .range(path.to_owned()..)
            .take_while(|(directory, _)| directory.starts_with(path))
            .map(|(directory, _)| directory.clone())
            .collect();
        for directory in gone {
            self.directories.remove(&directory);
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
        let environments: Vec<EnvironmentId> = self.environments.keys().cloned().collect();
        for environment in environments {
            if let Some(watched) = self.environments.get_mut(&environment)
                && watched.poll.is_none()
            {
                watched.batch.everything(now);
                watched.batch.commits(now);
                self.unwatch(&environment);
                self.lay(&environment, now);
            }
        }
    }

    fn tick(&mut self, now: Instant) {
        if self.lost.swap(false, Ordering::Relaxed) {
            self.everything(now);
        }
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
