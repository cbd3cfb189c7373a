//! The engines that boxes are at: the one for new boxes, and those that made earlier ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::connect::{self, Candidate, Connection};
use super::kills::Kills;
use crate::engine::BoxRecord;
use crate::model::failure::Failure;

/// Engines by their sockets. A box stays with the one it was made by, whichever the user's
/// environment names since.
pub(super) struct Engines {
    /// The only socket for new boxes, where one was given.
    given: Option<PathBuf>,
    known: Mutex<Known>,
    /// How many sockets are known; changes tell those who follow events.
    count: watch::Sender<usize>,
    /// Boxes whose lost programs are counted here.
    pub(super) kills: Kills,
}

#[derive(Default)]
struct Known {
    /// The engine for new boxes.
    chosen: Option<PathBuf>,
    /// Every engine that a box is at or was to be at; `None` until it has answered.
    by_socket: HashMap<PathBuf, Option<Arc<Connection>>>,
}

impl Engines {
    pub(super) fn new(given: Option<&Path>) -> Self {
        let given = given.map(Path::to_owned);
        Self {
            given,
            known: Mutex::default(),
            count: watch::Sender::new(0),
            kills: Kills::default(),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine for new boxes, found at first use. One that does not answer is asked again next
    /// time.
    pub(super) async fn chosen(&self) -> Result<Arc<Connection>, Failure> {
        let chosen = self.known().chosen.clone();
        if let Some(socket) = chosen {
            return self.at(Candidate { origin: "chosen before".to_owned(), socket }).await;
        }
        let candidates = match &self.given {
            Some(socket) => {
                vec![Candidate { origin: "as given".to_owned(), socket: socket.clone() }]
            }
            None => connect::candidates(&|name| std::env::var(name).ok())?,
        };
        let made = Arc::new(connect::connect(candidates).await?);
        self.known().chosen = Some(made.candidate.socket.clone());
        Ok(self.keep(made))
    }

    /// The engine that a box was made by.
    pub(super) async fn of(&self, record: &BoxRecord) -> Result<Arc<Connection>, Failure> {
        match &record.endpoint {
            Some(endpoint) => self.at(connect::unix_endpoint("the box's record", endpoint)?).await,
            None => self.chosen().await,
        }
    }

    /// The engines that boxes were made by, each once. Fails where one of them does not answer.
    pub(super) async fn of_all(
        &self,
        boxes: &[BoxRecord],
    ) -> Result<Vec<Arc<Connection>>, Failure> {
        let mut found: Vec<Arc<Connection>> = Vec::new();
        for record in boxes.iter().filter(|record| record.container.is_some()) {
            let connection = self.of(record).await?;
            if !found.iter().any(|other| other.candidate.socket == connection.candidate.socket) {
                found.push(connection);
            }
        }
        Ok(found)
    }

    /// The engine behind a socket.
    pub(super) async fn at(&self, candidate: Candidate) -> Result<Arc<Connection>, Failure> {
        let known = self.known().by_socket.get(&candidate.socket).cloned();
        if let Some(Some(connection)) = known {
            return Ok(connection);
        }
        if known.is_none() {
            self.known().by_socket.insert(candidate.socket.clone(), None);
            self.tell();
        }
        let made = Arc::new(connect::connect(vec![candidate]).await?);
        Ok(self.keep(made))
    }

    fn keep(&self, made: Arc<Connection>) -> Arc<Connection> {
        let socket = made.candidate.socket.clone();
        let kept = Arc::clone(self.known().by_socket.entry(socket).or_default().insert(made));
        self.tell();
        kept
    }

    fn tell(&self) {
        let count = self.known().by_socket.len();
        self.count.send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    /// The engine for new boxes and every other known to have one of ours.
    pub(super) async fn every(&self) -> Result<Vec<Arc<Connection>>, Failure> {
        self.chosen().await?;
        Ok(self.known().by_socket.values().flatten().cloned().collect())
    }

    /// The sockets of engines that boxes are at.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        self.known().by_socket.keys().cloned().collect()
    }

    /// Changes when there is another socket.
    pub(super) fn changes(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}
