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
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, mpsc as threads};

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
    messages: threads::SyncSender<Message>,
    descriptions: Descriptions,
}

type Descriptions = Arc<Mutex<HashMap<EnvironmentId, String>>>;

impl Watcher {
    /// Starts watching nothing yet. Batches go to `notices`; while it is full they are merged.
    pub fn new(notices: mpsc::Sender<Notice>) -> Result<Self, Failure> {
        let (messages, received) = threads::sync_channel(QUEUE_LIMIT);
        let descriptions = Descriptions::default();
        let worker = Worker::new(received, messages.clone(), notices, descriptions.clone())?;
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || worker.run())
            .context("cannot start a thread")?;
        Ok(Self { messages, descriptions })
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
        let environment = environment.clone();
        let (workspace, git) = (workspace.to_owned(), git.to_owned());
        self.send(Message::Watch { environment, workspace, git, ignored });
    }

    pub fn unwatch(&self, environment: &EnvironmentId) {
        self.send(Message::Unwatch(environment.clone()));
    }

    /// How an environment is watched, for people: `watching`, or why it is polled.
    pub fn describe(&self, environment: &EnvironmentId) -> String {
        let descriptions = self.descriptions.lock().unwrap_or_else(PoisonError::into_inner);
        descriptions.get(environment).cloned().unwrap_or_else(|| "not watched".to_owned())
    }

    fn send(&self, message: Message) {
        // The worker ends only with the receiver of notices, at shutdown.
        let _ = self.messages.send(message);
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.send(Message::Stop);
    }
}

#[cfg(test)]
mod tests;
