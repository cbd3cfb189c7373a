//! Boxes as containers of a Docker Engine, or of what speaks its API.
//!
//! The engine is asked over its unix socket for control only. Sessions go to the shim, the first
//! process of each container, through a socket in a directory that is bound into it. A container
//! is ours by its labels and its recorded id, never by its name.

mod accounts;
mod connect;
mod create;
mod image;
mod inspect;
mod isolation;
mod kernel;
mod lifecycle;
mod mapped;
mod plan;
mod probe;
mod problem;
mod transport;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;

pub use self::plan::SHIM;

use self::accounts::Accounts;
use self::connect::{Candidate, Connection};
use super::{Asked, BoxPlan, BoxRecord, BoxState, Engine, ProgressSink};
use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;
use crate::model::policy::{EngineKind, EngineReport, Isolation};

/// How long the engine may take over one call. Creating and starting take a third of a second on
/// an idle machine; a hundred times that means that the engine hangs.
const CALL_DEADLINE: Duration = Duration::from_secs(40);

/// How long the engine may take over an image: several gigabytes over a slow line.
const LONG_DEADLINE: Duration = Duration::from_hours(1);

/// Images whose accounts are remembered; a deck uses a handful.
const MAX_REMEMBERED: usize = 64;

/// The engine, or several: a box stays with the one it was made by, whichever is chosen for new
/// ones since. Cheap to make: nothing is asked before the first call.
pub struct Docker {
    home: PathBuf,
    /// The only socket, where one was given.
    given: Option<PathBuf>,
    connections: Mutex<Connections>,
    /// What images say about users, by the image's id, which names its content.
    accounts: Mutex<HashMap<String, Arc<Accounts>>>,
}

/// The engines that have answered.
#[derive(Default)]
struct Connections {
    /// The one for new boxes.
    chosen: Option<Arc<Connection>>,
    by_socket: HashMap<PathBuf, Arc<Connection>>,
}

impl Docker {
    /// An engine for the deck whose state directory is `home`: the one the user's environment
    /// names.
    pub fn connect(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            given: None,
            connections: Mutex::default(),
            accounts: Mutex::default(),
        }
    }

    /// The engine that listens on `socket`, whatever the user's environment names.
    pub fn at(home: &Path, socket: &Path) -> Self {
        Self { given: Some(socket.to_owned()), ..Self::connect(home) }
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection for new boxes, made at first use. An engine that does not answer is asked
    /// again next time.
    async fn connection(&self) -> Result<Arc<Connection>, Failure> {
        if let Some(known) = &self.connections().chosen {
            return Ok(Arc::clone(known));
        }
        let candidates = match &self.given {
            Some(socket) => {
                vec![Candidate { origin: "as given".to_owned(), socket: socket.clone() }]
            }
            None => connect::candidates(&|name| std::env::var(name).ok())?,
        };
        let made = Arc::new(connect::connect(candidates).await?);
        let mut connections = self.connections();
        let socket = made.candidate.socket.clone();
        let made = Arc::clone(connections.by_socket.entry(socket).or_insert(made));
        connections.chosen = Some(Arc::clone(&made));
        Ok(made)
    }

    /// The connection to the engine that a box was made by.
    async fn of(&self, record: &BoxRecord) -> Result<Arc<Connection>, Failure> {
        let Some(endpoint) = &record.endpoint else { return self.connection().await };
        let candidate = connect::unix_endpoint("the box's record", endpoint)?;
        if let Some(known) = self.connections().by_socket.get(&candidate.socket) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(connect::connect(vec![candidate]).await?);
        let socket = made.candidate.socket.clone();
        Ok(Arc::clone(self.connections().by_socket.entry(socket).or_insert(made)))
    }

    /// The engine for new boxes and every other that has a box of this deck, as far as is known.
    async fn every(&self) -> Result<Vec<Arc<Connection>>, Failure> {
        let chosen = self.connection().await?;
        let known = self.connections();
        let others = known.by_socket.values().filter(|other| !Arc::ptr_eq(other, &chosen)).cloned();
        Ok(others.chain([Arc::clone(&chosen)]).collect())
    }

    fn remembered(&self, image: &str) -> Option<Arc<Accounts>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner).get(image).cloned()
    }

    fn remember(&self, image: &str, accounts: &Arc<Accounts>) {
        let mut known = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        known.insert(image.to_owned(), Arc::clone(accounts));
    }
}

#[async_trait]
impl Engine for Docker {
    fn kind(&self) -> EngineKind {
        EngineKind::Docker
    }

    async fn probe(&self) -> EngineReport {
        probe::probe(self.connection().await, &self.home).await
    }

    async fn create(&self, plan: &BoxPlan, progress: &ProgressSink) -> Result<BoxRecord, Failure> {
        create::create(self, plan, progress).await
    }

    async fn start(&self, plan: &BoxPlan, record: &BoxRecord) -> Result<BoxRecord, Failure> {
        create::start_again(self, plan, record).await
    }

    async fn stop(&self, record: &BoxRecord, grace: Duration) -> Result<(), Failure> {
        lifecycle::stop(&*self.of(record).await?, record, grace).await
    }

    async fn remove(&self, record: &BoxRecord) -> Result<(), Failure> {
        lifecycle::remove(&*self.of(record).await?, record).await
    }

    async fn state(&self, record: &BoxRecord) -> Result<BoxState, Failure> {
        lifecycle::state(&*self.of(record).await?, record).await
    }

    async fn isolation(&self, record: &BoxRecord, asked: &Asked) -> Result<Isolation, Failure> {
        isolation::read(&*self.of(record).await?, record, asked).await
    }

    async fn list(&self, deck: &str) -> Result<Vec<EnvironmentId>, Failure> {
        let mut environments = Vec::new();
        for connection in self.every().await? {
            environments.extend(lifecycle::list(&connection, deck).await?);
        }
        environments.sort();
        environments.dedup();
        Ok(environments)
    }

    async fn remove_orphan(&self, deck: &str, environment: &EnvironmentId) -> Result<(), Failure> {
        for connection in self.every().await? {
            lifecycle::remove_orphan(&connection, deck, environment).await?;
        }
        Ok(())
    }

    async fn open_channel(&self, record: &BoxRecord) -> Result<UnixStream, Failure> {
        lifecycle::open_channel(record).await
    }
}
