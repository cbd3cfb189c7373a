//! The handle to an environment's connection: what the rest of the deck asks of a box.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::exec::lost;
use crate::model::environment::{Environment, EnvironmentState, SessionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::screen::Size;
use crate::shim::wire::{Frame, Program};

/// How long starting a program may take: the shim only forks, but a loaded machine is slow.
const START_DEADLINE: Duration = Duration::from_secs(20);
/// A handle to the connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    orders: mpsc::Sender<Order>,
    frames: mpsc::Sender<Frame>,
}

/// What the connection is told to do.
#[derive(Debug)]
pub(super) enum Order {
    Start { session: SessionId, start: Start, reply: oneshot::Sender<Result<(), StartError>> },
    Close { session: SessionId },
    Resize { session: SessionId, size: Size },
}

/// A program to start in a new session.
#[derive(Clone, Debug)]
pub(super) struct Start {
    pub kind: SessionKind,
    pub program: Program,
    pub size: Size,
    /// There is something else to do when the box lacks the program, so that nobody is told.
    pub may_be_missing: bool,
}

/// Why a program did not start.
#[derive(Clone, Debug)]
pub(super) struct StartError {
    pub failure: Failure,
    /// The box has no such program.
    pub not_found: bool,
}

impl Link {
    pub fn new(orders: mpsc::Sender<Order>, frames: mpsc::Sender<Frame>) -> Self {
        Self { orders, frames }
    }

    pub async fn start(&self, session: SessionId, start: Start) -> Result<(), StartError> {
        let (reply, answer) = oneshot::channel();
        let gone = || StartError { failure: lost("it was closed"), not_found: false };
        let order = Order::Start { session, start, reply };
        self.orders.send(order).await.map_err(|_| gone())?;
        match timeout(START_DEADLINE, answer).await {
            Ok(answer) => answer.map_err(|_| gone())?,
            Err(_) => Err(StartError {
                failure: Failure::new(FailureKind::Timeout, "the program did not start in time"),
                not_found: false,
            }),
        }
    }

    pub async fn close(&self, session: SessionId) {
        let _ = self.orders.send(Order::Close { session }).await;
    }

    pub fn resize(&self, session: SessionId, size: Size) -> Result<(), Failure> {
        self.orders.try_send(Order::Resize { session, size }).map_err(|_| stuck())
    }

    pub fn input(&self, session: SessionId, bytes: Vec<u8>) -> Result<(), Failure> {
        self.frames.try_send(Frame::Input { session, bytes }).map_err(|_| stuck())
    }
}

pub(super) fn stuck() -> Failure {
    Failure::new(FailureKind::Unavailable, "the program does not read what is typed")
        .hint("wait, or stop the environment")
}

/// Why there is no connection to an environment's box.
pub(super) fn unlinked(environment: &Environment) -> Failure {
    let name = &environment.name;
    match &environment.state {
        EnvironmentState::Paused { .. } => {
            Failure::new(FailureKind::Unavailable, format!("{name} is paused"))
                .hint(format!("agentdeck resume {name}"))
        }
        EnvironmentState::EngineUnreachable { message, .. } => {
            Failure::new(FailureKind::Unavailable, format!("{name} is not reached: {message}"))
        }
        _ => does_not_run(name.as_str()),
    }
}

pub(super) fn does_not_run(environment: &str) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("{environment} does not run"))
        .hint(format!("agentdeck start {environment}"))
}
