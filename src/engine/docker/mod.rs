//! Boxes as containers of a Docker Engine, or of what speaks its API.
//!
//! The engine is asked over its unix socket for control only. Sessions go to the shim, the first
//! process of each container, through a socket in a directory that is bound into it. A container
//! is ours by its labels and its recorded id, never by its name.

mod accounts;
mod connect;
mod copy;
mod create;
mod engines;
mod events;
mod flatten;
mod image;
mod inspect;
mod isolation;
mod kernel;
mod kills;
mod layers;
mod lifecycle;
mod mapped;
mod owners;
mod pausing;
mod plan;
mod podman;
mod probe;
mod problem;
mod restarts;
mod saving;
mod strays;
mod transport;
mod usage;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

pub use self::plan::SHIM;

use self::accounts::Accounts;
use self::connect::Connection;
use self::engines::Engines;
use super::{
    Asked, Belongings, BoxEvent, BoxPlan, BoxRecord, BoxState, Ending, Engine, ProgressSink,
    SaveTarget,
};
use crate::model::endpoint::EndpointChoice;
use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;
use crate::model::policy::{EngineKind, EngineReport, Isolation, Limits, Usage};

/// How long the engine may take over one call. Creating and starting take a third of a second on
/// an idle machine; a hundred times that means that the engine hangs.
const CALL_DEADLINE: Duration = Duration::from_secs(40);

/// How long the engine may take over an image: several gigabytes over a slow line.
const LONG_DEADLINE: Duration = Duration::from_hours(1);

/// How long it may take to find out whether a box is paused; an engine answers in milliseconds.
const PAUSE_DEADLINE: Duration = Duration::from_secs(2);

/// Images whose accounts are remembered; a deck uses a handful.
const MAX_REMEMBERED: usize = 64;

/// The engine, or several: a box stays with the one it was made by, whichever is chosen for new
/// ones since. Cheap to make: nothing is asked before the first call.
pub struct Docker {
    home: PathBuf,
    engines: Arc<Engines>,
    /// What images say about users, by the image's id, which names its content.
    accounts: Mutex<HashMap<String, Arc<Accounts>>>,
    /// Held by whoever has a container change owners.
    handing_back: tokio::sync::Mutex<()>,
}

impl Docker {
    /// An engine for the deck whose state directory is `home`: the one the user's environment
    /// names.
    pub fn connect(home: &Path) -> Self {
        Self::with(home, Engines::new(None))
    }

    /// The engine that listens on `socket`, whatever the user's environment names.
    pub fn at(home: &Path, socket: &Path) -> Self {
        Self::with(home, Engines::new(Some(socket)))
    }

    fn with(home: &Path, engines: Engines) -> Self {
        Self {
            home: home.to_owned(),
            engines: Arc::new(engines),
            accounts: Mutex::default(),
            handing_back: tokio::sync::Mutex::default(),
        }
    }

    async fn of(&self, record: &BoxRecord) -> Result<Arc<Connection>, Failure> {
        self.engines.of(record).await
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
        self.probe_chosen(&engines::own_choice()).await
    }

    async fn probe_chosen(&self, choice: &EndpointChoice) -> EngineReport {
        probe::probe(self.engines.find(choice).await, &self.home).await
    }

    async fn endpoint(&self, choice: &EndpointChoice) -> Result<Option<String>, Failure> {
        Ok(Some(self.engines.chosen(choice).await?.candidate.endpoint()))
    }

    fn remember(&self, endpoints: &[String]) {
        self.engines.remember(endpoints);
    }

    async fn create(&self, plan: &BoxPlan, progress: &ProgressSink) -> Result<BoxRecord, Failure> {
        let made = create::create(self, plan, None, progress).await;
        made.inspect(|record| self.engines.kills.watch(record))
    }

    async fn create_anew(
        &self,
        plan: &BoxPlan,
        former: &BoxRecord,
        progress: &ProgressSink,
    ) -> Result<BoxRecord, Failure> {
        let made = create::create(self, plan, Some(former), progress).await;
        made.inspect(|record| self.engines.kills.watch(record))
    }

    async fn start(&self, plan: &BoxPlan, record: &BoxRecord) -> Result<BoxRecord, Failure> {
        let started = Box::pin(create::start_again(self, plan, record)).await;
        started.inspect(|record| self.engines.kills.watch(record))
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

    async fn ended_with_engine(&self, record: &BoxRecord) -> Result<bool, Failure> {
        restarts::ended_with_engine(&*self.of(record).await?, record).await
    }

    async fn isolation(&self, record: &BoxRecord, asked: &Asked) -> Result<Isolation, Failure> {
        isolation::read(&*self.of(record).await?, record, asked).await
    }

    async fn list(&self, deck: &str) -> Result<Vec<EnvironmentId>, Failure> {
        let mut environments = Vec::new();
        for connection in self.engines.every().await? {
            environments.extend(lifecycle::list(&connection, deck).await?);
            environments.extend(copy::environments(&connection, deck).await?);
        }
        environments.sort();
        environments.dedup();
        Ok(environments)
    }

    async fn remove_unrecorded(
        &self,
        deck: &str,
        environment: &EnvironmentId,
    ) -> Result<(), Failure> {
        for connection in self.engines.every().await? {
            lifecycle::remove_containers(&connection, deck, environment).await?;
        }
        Ok(())
    }

    async fn remove_orphan(&self, deck: &str, environment: &EnvironmentId) -> Result<(), Failure> {
        for connection in self.engines.every().await? {
            lifecycle::remove_orphan(&connection, deck, environment).await?;
        }
        Ok(())
    }

    async fn remove_unused(&self) -> Result<(), Failure> {
        saving::remove_left(&self.home).await
    }

    async fn programs(&self, deck: &str, boxes: &[BoxRecord]) -> Result<Vec<PathBuf>, Failure> {
        // Those that are known by nothing but their labels are removed, not started.
        let mut programs = Vec::new();
        for connection in self.engines.of_all(boxes).await? {
            programs.extend(lifecycle::programs(&connection, deck).await?);
        }
        Ok(programs)
    }

    async fn open_channel(&self, record: &BoxRecord) -> Result<UnixStream, Failure> {
        let (stream, server) = lifecycle::reach(record).await?;
        // A box that went on without a server is known from here.
        self.engines.kills.watch(record);
        // Where another process serves the shim's socket, the box has a kernel of its own, and
        // this machine's does not know that it stands still. An engine that is away pauses nothing.
        if server != record.init_pid {
            let state = tokio::time::timeout(PAUSE_DEADLINE, self.state(record)).await;
            if matches!(state, Ok(Ok(BoxState::Paused))) {
                return Err(lifecycle::paused(record));
            }
        }
        Ok(stream)
    }

    async fn kill(&self, record: &BoxRecord) -> Result<(), Failure> {
        lifecycle::kill(&*self.of(record).await?, record).await
    }

    async fn wait(&self, record: &BoxRecord) -> Result<Ending, Failure> {
        lifecycle::wait(&*self.of(record).await?, record).await
    }

    fn events(&self, deck: &str) -> mpsc::Receiver<BoxEvent> {
        events::follow(Arc::clone(&self.engines), deck)
    }

    async fn pause(&self, record: &BoxRecord) -> Result<(), Failure> {
        pausing::pause(&*self.of(record).await?, record).await
    }

    async fn resume(&self, record: &BoxRecord) -> Result<(), Failure> {
        pausing::resume(&*self.of(record).await?, record).await
    }

    async fn update_limits(&self, record: &BoxRecord, limits: &Limits) -> Result<(), Failure> {
        lifecycle::update_limits(&*self.of(record).await?, record, limits).await
    }

    async fn usage(&self, records: &[BoxRecord]) -> Vec<Option<Usage>> {
        let (count, records) = (records.len(), records.to_vec());
        let read = tokio::task::spawn_blocking(move || usage::read(&records)).await;
        read.unwrap_or_else(|_| vec![None; count])
    }

    async fn fork(
        &self,
        from: &BoxRecord,
        plan: &BoxPlan,
        progress: &ProgressSink,
    ) -> Result<(), Failure> {
        copy::fork(&*self.of(from).await?, from, plan, progress).await
    }

    fn layers(&self) -> Vec<(String, PathBuf)> {
        self.engines.layers()
    }

    async fn hand_back(&self, of: &Belongings) -> Result<(), Failure> {
        owners::hand_back(self, of).await
    }

    async fn save(
        &self,
        plan: &BoxPlan,
        record: &BoxRecord,
        to: &SaveTarget,
        progress: &ProgressSink,
    ) -> Result<(), Failure> {
        saving::save(&self.of(record).await?, plan, record, to, progress).await
    }
}
