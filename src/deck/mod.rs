//! The one brain: what environments there are and what happens to them.
//!
//! `state` decides and records, without I/O. `run` is the loop that owns the state and performs
//! effects. Everything that takes time is a task beside it that reports back: `making` builds and
//! starts environments, `forking` copies them, `saving` writes a box out as an image, `holding`
//! pauses boxes, `actor` speaks with one shim (`adopting` takes up its sessions), `jobs` does git
//! work one at a time for each environment, `deciding` sees to it that decisions come one after
//! another, `taking` carries them out and `restoring` those about a workspace, `sending` types prompts for people, `naming` knows what snapshots are called, `comments` what is said of
//! their lines, `hands` who is at work, and `moments` what was on the screen. `events`, `usage` and `disk` watch engines, what boxes use and the room that is left;
//! `trash` lets go of what was thrown away long ago, `programs` of versions of ours that no box needs. `keeping` brings records to the disk.
//! `recover` finds after a start what was there before, `halves` finishes what was left half done,
//! `unread` tells of what cannot be read and `giving_up` lets go of it. `owners` sees to it that files are the user's. `endpoints` remembers which engines boxes were ever at.

mod actor;
mod adopting;
mod ahead;
mod answering;
mod comments;
mod deciding;
mod disk;
mod endpoints;
mod events;
mod exec;
mod forking;
mod front;
mod giving_up;
mod halves;
mod hands;
mod holding;
mod hooking;
mod hub;
mod inputs;
mod jobs;
mod keeping;
mod link;
mod making;
mod meaning;
mod merging;
mod moments;
mod naming;
mod network;
mod owners;
mod packing;
mod ports;
mod predicting;
mod programs;
mod queries;
mod reading;
mod recover;
mod resolving;
mod restoring;
mod run;
mod saving;
mod sending;
mod shared;
mod shells;
mod standing;
mod state;
mod status;
mod step;
mod stores;
mod taking;
mod telling;
mod terminal;
mod trash;
mod unread;
mod usage;

use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

pub use exec::{Exec, ExecInput};
pub use hub::Subscriber;
pub use state::ClientId;
pub use step::{Operation, STEPS, Step};
pub use terminal::Terminal;

use crate::model::environment::{Environment, Variable};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::input::Input;
use crate::model::policy::NetworkPolicy;
use crate::proto::{Event, Reply, Request, Target};
use crate::shim::wire::{Role, ShimRequest};
use shared::Shared;

/// Requests under way before the next one waits at the door.
const MAX_WAITING: usize = 256;

/// A handle to the deck; clones are the same deck.
#[derive(Clone)]
pub struct Deck {
    messages: mpsc::Sender<Message>,
    shared: Arc<Shared>,
}

/// What the loop is told.
enum Message {
    Request {
        client: ClientId,
        request: Request,
        reply: Answer,
    },
    Prepared(Box<making::Prepared>, Answer),
    Fork(Box<forking::Forking>, Answer),
    /// Asks to start an environment; answered with it as it was, and from then on it is being made.
    Begin {
        environment: EnvironmentId,
        reply: oneshot::Sender<Result<state::Record, Failure>>,
    },
    Report {
        environment: EnvironmentId,
        report: state::Report,
    },
    Record {
        environment: EnvironmentId,
        reply: oneshot::Sender<Option<state::Record>>,
    },
    Resolve {
        target: Target,
        reply: oneshot::Sender<Result<state::Record, Failure>>,
    },
    /// Asks for an environment whose record cannot be read.
    ResolveUnread {
        target: Target,
        reply: oneshot::Sender<Result<Environment, Failure>>,
    },
    Discarded {
        environment: EnvironmentId,
    },
    Restored(Box<state::Record>),
    /// The disk did not take a network policy: it is again what it was before.
    NetworkUnkept {
        environment: EnvironmentId,
        network: NetworkPolicy,
        former: NetworkPolicy,
    },
    ClientGone(ClientId),
    Stop(oneshot::Sender<()>),
}

type Answer = oneshot::Sender<Result<Reply, Failure>>;

impl Deck {
    /// Opens the deck of a home: finds what is there and goes on with it.
    pub fn open(home: &Path) -> anyhow::Result<Self> {
        run::open(home)
    }

    /// Asks something; answered when it is done.
    pub async fn request(&self, client: ClientId, request: Request) -> Result<Reply, Failure> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Request { client, request, reply };
        self.messages.send(message).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    pub fn subscribe(&self) -> Arc<Subscriber> {
        self.shared.hub.subscribe()
    }

    pub fn follow(&self, subscriber: &Subscriber, repository: Option<std::path::PathBuf>) {
        self.shared.hub.follow(subscriber, repository.map(|path| shared::canonical(&path)));
    }

    /// What the subscriber has not seen.
    pub fn events(&self, subscriber: &Subscriber) -> Vec<Event> {
        self.shared.hub.take(subscriber)
    }

    /// The screen of a session, live or the last one of a stopped environment.
    pub fn terminal(
        &self,
        environment: &EnvironmentId,
        session: SessionId,
    ) -> Result<Arc<Terminal>, Failure> {
        self.shared.terminal(environment, session).ok_or_else(|| state::no_session(session))
    }

    /// Sends what a person typed, encoded for the session's modes.
    pub fn input(
        &self,
        environment: &EnvironmentId,
        session: SessionId,
        input: &Input,
    ) -> Result<(), Failure> {
        let terminal = self.terminal(environment, session)?;
        if session == SessionId::AGENT {
            return sending::type_for_person(&self.shared, environment, &terminal, input);
        }
        let bytes = terminal.encode(input);
        if bytes.is_empty() {
            return Ok(());
        }
        if input.is_typed() {
            self.shared.hands.typed(environment, session);
        }
        self.shared.link(environment)?.input(session, &bytes)
    }

    /// Runs one command in an environment.
    pub async fn exec(
        &self,
        target: Target,
        command: Vec<String>,
        root: bool,
        variables: Vec<Variable>,
    ) -> Result<Exec, Failure> {
        let record = self.shared.resolve(target).await?;
        let role = if root { Role::Root } else { Role::Agent };
        let exec = exec::start(&self.shared, &record, command, role, variables);
        exec::begin_for_person(&self.shared, &record, role, exec).await
    }

    /// Takes files out of an environment: a tar stream of what is at `path`, as output.
    pub async fn read_files(&self, target: Target, path: Vec<u8>) -> Result<Exec, Failure> {
        let record = self.shared.resolve(target).await?;
        exec::begin(&self.shared, &record, &ShimRequest::Pack { path }).await
    }

    /// Puts files into an environment: a tar stream as input, written at `path`.
    pub async fn write_files(
        &self,
        target: Target,
        path: Vec<u8>,
        into: bool,
    ) -> Result<Exec, Failure> {
        let record = self.shared.resolve(target).await?;
        let request = ShimRequest::Unpack { path, into };
        let exec = exec::begin(&self.shared, &record, &request);
        exec::begin_for_person(&self.shared, &record, Role::Agent, exec).await
    }

    /// Opens a stream to a port of an environment's loopback.
    pub async fn dial(&self, target: Target, port: u16) -> Result<UnixStream, Failure> {
        let record = self.shared.resolve(target).await?;
        ports::dial(&self.shared, &record, port).await
    }

    pub async fn client_gone(&self, client: ClientId) {
        let _ = self.messages.send(Message::ClientGone(client)).await;
    }

    /// Writes down what is worth keeping and ends; boxes go on.
    pub async fn stop(&self) {
        let (done, ended) = oneshot::channel();
        if self.messages.send(Message::Stop(done)).await.is_ok() {
            let _ = ended.await;
        }
    }
}

fn stopping() -> Failure {
    Failure::new(FailureKind::Unavailable, "the server is stopping")
        .hint("run the command again; a new server starts by itself")
}
