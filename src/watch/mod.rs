//! File notices to quiet batches: what changed in which workspace, once it is quiet again.
//!
//! One inotify instance serves all environments, with one watch for each directory that is not
//! ignored. Where the system has no watches left, an environment is polled instead, and
//! [`Watcher::describe`] says so. What a notice names is a hint; whoever acts on it looks again.

mod batch;
mod poll;
mod watched;
mod worker;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as threads};

use anyhow::Context;
use tokio::sync::mpsc;

use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;
use crate::model::path::RepoPath;

use worker::{Message, Worker};

/// Notices waiting for the worker. One that does not fit makes every environment be looked at.
const QUEUE_LIMIT: usize = 8192;

/// What may have changed in a workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Touched {
    /// Files, links and directories; all beneath a directory may have changed with it.
    Paths(BTreeSet<RepoPath>),
    Everything,
}

/// An environment's files changed and were then quiet for a moment, or have not been quiet for a
/// second.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub environment: EnvironmentId,
    pub touched: Touched,
    /// The private git directory moved too: its commits are to be counted again.
    pub commits: bool,
}

/// Tells whether a directory of a workspace, by its path in it, is not worth watching.
pub type Ignored = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Watches the workspaces of all environments. Dropping it ends the watching.
pub struct Watcher {
    orders: Arc<Orders>,
    messages: threads::SyncSender<Message>,
    descriptions: Descriptions,
}

type Descriptions = Arc<Mutex<HashMap<EnvironmentId, String>>>;

/// What the worker is told, one word for each environment, the last: nobody ever waits for the
/// worker, whatever it is busy with, and no event takes an order's place.
#[derive(Default)]
struct Orders {
    waiting: Mutex<HashMap<EnvironmentId, Order>>,
    ended: AtomicBool,
}

enum Order {
    Watch { workspace: PathBuf, git: PathBuf, ignored: Ignored },
    Unwatch,
}

impl Orders {
    /// What there is to do, which is then no longer there.
    fn take(&self) -> HashMap<EnvironmentId, Order> {
        std::mem::take(&mut self.waiting())
    }

    fn have_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Order>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watcher {
    /// Starts watching nothing yet. Batches go to `notices`; while it is full they are merged.
    pub fn new(notices: mpsc::Sender<Notice>) -> Result<Self, Failure> {
        let (messages, received) = threads::sync_channel(QUEUE_LIMIT);
        let (descriptions, orders) = (Descriptions::default(), Arc::new(Orders::default()));
        let events = (messages.clone(), received);
        let worker = Worker::new(orders.clone(), events, notices, descriptions.clone())?;
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || worker.run())
            .context("cannot start a thread")?;
        Ok(Self { orders, messages, descriptions })
    }

    /// Watches a workspace and the private git directory beside it; the first notice, of
    /// everything, follows at once.
    pub fn watch(&self, environment: &EnvironmentId, workspace: &Path, git: &Path) {
        self.watch_except(environment, workspace, git, Arc::new(|_: &[u8]| false));
    }

    /// As [`Watcher::watch`], but for directories that are ignored.
    pub fn watch_except(
        &self,
        environment: &EnvironmentId,
        workspace: &Path,
        git: &Path,
        ignored: Ignored,
    ) {
        let (workspace, git) = (workspace.to_owned(), git.to_owned());
        self.order(environment, Order::Watch { workspace, git, ignored });
    }

    pub fn unwatch(&self, environment: &EnvironmentId) {
        self.order(environment, Order::Unwatch);
    }

    /// How an environment is watched, for people: `watching`, or why it is polled.
    pub fn describe(&self, environment: &EnvironmentId) -> String {
        let descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        descriptions.get(environment).cloned().unwrap_or_else(|| "not watched".to_owned())
    }

    /// Leaves word for the worker without waiting for it.
    fn order(&self, environment: &EnvironmentId, order: Order) {
        self.orders.waiting().insert(environment.clone(), order);
        self.wake();
    }

    fn wake(&self) {
        // Where the queue is full, the worker is awake and looks for orders at each message.
        let _ = self.messages.try_send(Message::Wake);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.orders.ended.store(true, Ordering::Release);
        self.wake();
    }
}

#[cfg(test)]
mod tests;
