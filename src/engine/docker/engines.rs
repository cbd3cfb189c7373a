//! The engines that boxes are at: those for new boxes, and those that made earlier ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::UnixStream;
use tokio::sync::watch;

use super::connect::{self, Candidate, Connection};
use super::kills::Kills;
use crate::engine::BoxRecord;
use crate::model::endpoint::EndpointChoice;
use crate::model::failure::Failure;

/// Engines by their sockets. A box stays with the one it was made by, whichever the user's
/// environment names since.
pub(super) struct Engines {
    /// The only socket for new boxes, where one was given.
    given: Option<PathBuf>,
    by_socket: Mutex<BySocket>,
    /// How many sockets are known; changes tell those who follow events.
    count: watch::Sender<usize>,
    /// Boxes whose lost programs are counted here.
    pub(super) kills: Kills,
}

/// Every engine that a box is at, was at or is to be at; `None` until it has answered.
type BySocket = HashMap<PathBuf, Option<Arc<Connection>>>;

/// The engine that the environment of this process names.
pub(super) fn own_choice() -> EndpointChoice {
    EndpointChoice::read(|name| std::env::var(name).ok())
}

impl Engines {
    pub(super) fn new(given: Option<&Path>) -> Self {
        let given = given.map(Path::to_owned);
        Self {
            given,
            by_socket: Mutex::default(),
            count: watch::Sender::new(0),
            kills: Kills::default(),
        }
    }

    fn by_socket(&self) -> MutexGuard<'_, BySocket> {
        self.by_socket.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The engine that a user's environment names now, without keeping it. It may name another
    /// each time, also where its variables are the same: docker's own files change.
    pub(super) async fn find(
        &self,
        choice: &EndpointChoice,
    ) -> Result<(Candidate, Arc<Connection>), Failure> {
        let candidates = match &self.given {
            Some(socket) => {
                vec![Candidate { origin: "as given".to_owned(), socket: socket.clone() }]
            }
            None => connect::candidates(&|name| {
                choice.variable(name, |other| std::env::var(other).ok())
            })?,
        };
        self.connect(candidates).await
    }

    async fn connect(
        &self,
        candidates: Vec<Candidate>,
    ) -> Result<(Candidate, Arc<Connection>), Failure> {
        let known = |socket: &Path| self.by_socket().get(socket).cloned().flatten();
        connect::connect(candidates, &known).await
    }

    /// The engine for a new box, by what its user's environment names. One that does not answer is
    /// asked again next time.
    pub(super) async fn chosen(&self, choice: &EndpointChoice) -> Result<Arc<Connection>, Failure> {
        Ok(self.keep(self.find(choice).await?.1))
    }

    /// The engine that a box was made by.
    pub(super) async fn of(&self, record: &BoxRecord) -> Result<Arc<Connection>, Failure> {
        match &record.endpoint {
            Some(endpoint) => self.at(connect::unix_endpoint("the box's record", endpoint)?).await,
            None => self.chosen(&own_choice()).await,
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
        let known = self.by_socket().get(&candidate.socket).cloned();
        if let Some(Some(connection)) = known {
            return Ok(connection);
        }
        self.expect(candidate.socket.clone());
        Ok(self.keep(self.connect(vec![candidate]).await?.1))
    }

    /// Takes note of engines that boxes were at.
    pub(super) fn remember(&self, endpoints: &[String]) {
        for endpoint in endpoints {
            match connect::unix_endpoint("an earlier box", endpoint) {
                Ok(candidate) => self.expect(candidate.socket),
                Err(failure) => tracing::warn!("{failure}"),
            }
        }
    }

    fn expect(&self, socket: PathBuf) {
        self.by_socket().entry(socket).or_default();
        self.tell();
    }

    fn keep(&self, made: Arc<Connection>) -> Arc<Connection> {
        let socket = made.candidate.socket.clone();
        let kept = Arc::clone(self.by_socket().entry(socket).or_default().get_or_insert(made));
        self.tell();
        kept
    }

    fn tell(&self) {
        let count = self.by_socket().len();
        self.count.send_if_modified(|known| std::mem::replace(known, count) != count);
    }

    /// Every engine that may have one of our boxes and can be reached now: those known to have or
    /// to have had one, and the one that this process's own environment names. Fails where there
    /// is none.
    pub(super) async fn every(&self) -> Result<Vec<Arc<Connection>>, Failure> {
        let own = self.chosen(&own_choice()).await;
        let mut found = Vec::new();
        for socket in self.sockets() {
            // One that is connected to may have gone since.
            if UnixStream::connect(&socket).await.is_ok()
                && let Ok(connection) =
                    self.at(Candidate { origin: "an earlier box".to_owned(), socket }).await
            {
                found.push(connection);
            }
        }
        if found.is_empty() { own.map(|own| vec![own]) } else { Ok(found) }
    }

    /// The sockets of engines that boxes are at, or were.
    pub(super) fn sockets(&self) -> Vec<PathBuf> {
        self.by_socket().keys().cloned().collect()
    }

    /// Where each engine that has answered keeps its containers, each place by its endpoint.
    pub(super) fn layers(&self) -> Vec<(String, PathBuf)> {
        let by_socket = self.by_socket();
        let answered = by_socket.values().flatten();
        let kept = answered.flat_map(|connection| {
            let endpoint = connection.candidate.endpoint();
            connection.layers.iter().map(move |place| (endpoint.clone(), place.clone()))
        });
        kept.collect()
    }

    /// Changes when there is another socket.
    pub(super) fn changes(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }
}
