//! Boxes as containers of a Docker Engine, or of what speaks its API.
//!
//! The engine is asked over its unix socket for control only. Sessions go to the shim, the first
//! process of each container, through a socket in a directory that is bound into it. A container
//! is ours by its labels and its recorded id, never by its name.

mod accounts;
mod connect;
mod create;
mod hold;
mod image;
mod inspect;
mod kernel;
mod lifecycle;
mod mapped;
mod plan;
mod probe;
mod problem;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::sync::OnceCell;

use self::accounts::Accounts;
use self::connect::Connection;
use super::{BoxPlan, BoxRecord, BoxState, Engine, ProgressSink};
use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;
use crate::model::policy::{EngineKind, EngineReport, Isolation};

/// How long the engine may take over one call. Creating and starting take a third of a second on
/// an idle machine; a hundred times that means that the engine hangs.
const CALL_DEADLINE: Duration = Duration::from_secs(40);

/// Images whose accounts are remembered; a deck uses a handful.
const MAX_REMEMBERED: usize = 64;

/// The engine. Cheap to make: nothing is asked before the first call.
pub struct Docker {
    home: PathBuf,
    connection: OnceCell<Connection>,
    /// What images say about users, by the image's id, which names its content.
    accounts: Mutex<HashMap<String, Arc<Accounts>>>,
}

impl Docker {
    /// An engine for the deck whose state directory is `home`.
    pub fn connect(home: &Path) -> Self {
        Self {
            home: home.to_owned(),
            connection: OnceCell::new(),
            accounts: Mutex::new(HashMap::new()),
        }
    }

    /// The connection, made at first use. An engine that does not answer is asked again next time.
    async fn connection(&self) -> Result<&Connection, Failure> {
        let connect = || async {
            let found = connect::candidates(&|name| std::env::var(name).ok())?;
            connect::connect(found).await
        };
        self.connection.get_or_try_init(connect).await
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
        lifecycle::stop(self.connection().await?, record, grace).await
    }

    async fn remove(&self, record: &BoxRecord) -> Result<(), Failure> {
        lifecycle::remove(self.connection().await?, record).await
    }

    async fn state(&self, record: &BoxRecord) -> Result<BoxState, Failure> {
        lifecycle::state(self.connection().await?, record).await
    }

    async fn isolation(&self, record: &BoxRecord) -> Result<Isolation, Failure> {
        probe::isolation(self.connection().await?, record).await
    }

    async fn list(&self, deck: &str) -> Result<Vec<EnvironmentId>, Failure> {
        lifecycle::list(self.connection().await?, deck).await
    }

    async fn remove_orphan(&self, deck: &str, environment: &EnvironmentId) -> Result<(), Failure> {
        lifecycle::remove_orphan(self.connection().await?, deck, environment).await
    }

    async fn open_channel(&self, record: &BoxRecord) -> Result<UnixStream, Failure> {
        lifecycle::open_channel(record).await
    }
}
