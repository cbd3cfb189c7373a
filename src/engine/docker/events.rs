//! What engines tell of this deck's boxes, over connections that come back when they are lost.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, EventMessage};
use bollard::query_parameters::{EventsOptionsBuilder, InspectContainerOptions};
use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use super::CALL_DEADLINE;
use super::connect::{Candidate, Connection, Dialect};
use super::engines::Engines;
use super::plan::{DECK_LABEL, ENVIRONMENT_LABEL};
use super::problem::{Problem, call};
use crate::engine::{BoxEvent, Ending};
use crate::model::id::EnvironmentId;

/// Events that wait for the deck; one that is slower than this has the engine's stream wait.
const WAITING: usize = 64;
/// Between two looks at an engine that says nothing: a daemon that is stopped keeps its
/// connections open.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// What a look may take; an engine answers in milliseconds, or is of no use just now.
const LOOK_DEADLINE: Duration = Duration::from_secs(3);
/// Between two attempts to reach an engine again: short against the second a daemon takes to start.
const AGAIN: Duration = Duration::from_millis(500);
/// The same of an engine that was away from the first: it may be gone for good.
const AGAIN_UNSEEN: Duration = Duration::from_secs(5);
/// The code of a process ended by SIGKILL.
const KILLED: i32 = 137;

/// Follows every engine that a box of the deck is at, also those that become known later. It ends
/// with the receiver.
pub(super) fn follow(engines: Arc<Engines>, deck: &str) -> mpsc::Receiver<BoxEvent> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::spawn(follow_all(engines, deck.to_owned(), sender));
    receiver
}

async fn follow_all(engines: Arc<Engines>, deck: String, sender: mpsc::Sender<BoxEvent>) {
    let mut changes = engines.changes();
    let mut followed = HashSet::new();
    // Its tasks end with it.
    let mut followers = JoinSet::new();
    loop {
        for socket in engines.sockets() {
            if followed.insert(socket.clone()) {
                let follower = Follower {
                    engines: Arc::clone(&engines),
                    socket,
                    deck: deck.clone(),
                    sender: sender.clone(),
                    lost: false,
                    seen: false,
                };
                followers.spawn(follower.run());
            }
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

/// Follows one engine.
struct Follower {
    engines: Arc<Engines>,
    socket: PathBuf,
    deck: String,
    sender: mpsc::Sender<BoxEvent>,
    /// The loss was told, and the return was not.
    lost: bool,
    /// It has answered.
    seen: bool,
}

impl Follower {
    async fn run(mut self) {
        loop {
            let origin = "an earlier box".to_owned();
            let candidate = Candidate { origin, socket: self.socket.clone() };
            let endpoint = candidate.endpoint();
            let message = match self.engines.at(candidate).await {
                Ok(connection) => self.listen(&connection, &endpoint).await.to_string(),
                Err(failure) => failure.message,
            };
            if !self.lost {
                self.lost = true;
                self.tell(BoxEvent::Lost { endpoint, message }).await;
            }
            sleep(if self.seen { AGAIN } else { AGAIN_UNSEEN }).await;
        }
    }

    async fn tell(&self, event: BoxEvent) {
        // The receiver is gone only when all of this is about to end.
        let _ = self.sender.send(event).await;
    }

    /// Passes events on until the connection is lost; the answer is why.
    async fn listen(&mut self, connection: &Connection, endpoint: &str) -> Problem {
        let label = format!("{DECK_LABEL}={}", self.deck);
        let filters =
            HashMap::from([("type", vec!["container".to_owned()]), ("label", vec![label])]);
        let options = EventsOptionsBuilder::new().filters(&filters).build();
        let mut events = std::pin::pin!(connection.client.events(Some(options)));
        let mut looks = interval(LOOK_EVERY);
        loop {
            tokio::select! {
                event = events.next() => match event {
                    Some(Ok(event)) => self.take(connection, event).await,
                    Some(Err(error)) => return error.into(),
                    None => return Problem::Unreachable("it ended the connection".to_owned()),
                },
                _ = looks.tick() => match call(LOOK_DEADLINE, connection.client.ping()).await {
                    Ok(_) => {
                        self.seen = true;
                        if std::mem::take(&mut self.lost) {
                            let endpoint = endpoint.to_owned();
                            self.tell(BoxEvent::Back { endpoint }).await;
                        } else if connection.dialect == Dialect::Podman {
                            self.tell_kills(connection).await;
                        }
                    }
                    Err(problem) => return problem,
                },
            }
        }
    }

    /// Tells what this engine does not: programs that ended for want of memory.
    async fn tell_kills(&self, connection: &Connection) {
        let (engines, endpoint) = (Arc::clone(&self.engines), connection.candidate.endpoint());
        let looking = tokio::task::spawn_blocking(move || engines.kills.news(&endpoint));
        for environment in looking.await.unwrap_or_default() {
            self.tell(BoxEvent::OutOfMemory { environment }).await;
        }
    }

    async fn take(&self, connection: &Connection, event: EventMessage) {
        let actor = event.actor.unwrap_or_default();
        let attributes = actor.attributes.unwrap_or_default();
        let named = attributes.get(ENVIRONMENT_LABEL).and_then(|id| EnvironmentId::parse(id));
        let Some(environment) = named else { return };
        match event.action.as_deref() {
            Some("oom") => self.tell(BoxEvent::OutOfMemory { environment }).await,
            Some("start" | "pause" | "unpause") => {
                self.tell(BoxEvent::Moved { environment }).await;
            }
            Some("die" | "died") => {
                let told = attributes.get("exitCode").and_then(|code| code.parse().ok());
                let ending = match actor.id {
                    Some(id) => found_ending(connection, &id).await,
                    None => None,
                };
                let ending = ending.unwrap_or(Ending { code: told, out_of_memory: false });
                self.tell(BoxEvent::Ended { environment, ending }).await;
            }
            _ => {}
        }
    }
}

/// How a container ended, if it is still there to be asked.
async fn found_ending(connection: &Connection, id: &str) -> Option<Ending> {
    let request = connection.client.inspect_container(id, None::<InspectContainerOptions>);
    timeout(CALL_DEADLINE, request).await.ok()?.ok().map(|found| ending(&found))
}

/// How a container that does not run ended.
pub(super) fn ending(found: &ContainerInspectResponse) -> Ending {
    let state = found.state.clone().unwrap_or_default();
    let code = state.exit_code.and_then(|code| i32::try_from(code).ok());
    // An engine also says so of a container that lost one of its programs earlier.
    let out_of_memory = state.oom_killed == Some(true) && code == Some(KILLED);
    Ending { code, out_of_memory }
}
