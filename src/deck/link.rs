//! The handle to an environment's connection: what the rest of the deck asks of a box.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::exec::lost;
use super::inputs::Inputs;
use crate::model::environment::{Environment, EnvironmentState, SessionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::screen::Size;
use crate::shim::wire::{Frame, INPUT_CHUNK, Program};

/// How long starting a program may take: the shim only forks, but a loaded machine is slow.
const START_DEADLINE: Duration = Duration::from_secs(20);

/// A handle to the connection.
#[derive(Clone, Debug)]
pub(super) struct Link {
    orders: mpsc::Sender<Order>,
    frames: mpsc::Sender<Frame>,
    inputs: Arc<Inputs>,
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
    pub fn new(
        orders: mpsc::Sender<Order>,
        frames: mpsc::Sender<Frame>,
        inputs: Arc<Inputs>,
    ) -> Self {
        Self { orders, frames, inputs }
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

    /// Sends input whole or not at all.
    pub fn input(&self, session: SessionId, bytes: &[u8]) -> Result<(), Failure> {
        self.inputs.send(session, bytes.len(), || {
            let chunks = bytes.chunks(INPUT_CHUNK);
            let room = self.frames.try_reserve_many(chunks.len()).ok()?;
            for (place, chunk) in room.zip(chunks) {
                place.send(Frame::Input { session, bytes: chunk.to_vec() });
            }
            Some(())
        })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::wire::INPUT_BOUND;

    /// What a shim is told of `bytes`, and of the key after it.
    fn told(bytes: &[u8]) -> (Result<(), Failure>, Vec<Frame>) {
        let (orders, _orders) = mpsc::channel(1);
        let (frames, mut received) = mpsc::channel(1024);
        let link = Link::new(orders, frames, Arc::new(Inputs::of(true, &[])));
        let sent = link.input(SessionId::AGENT, bytes);
        link.input(SessionId::AGENT, b"\r").expect("sent");
        (sent, std::iter::from_fn(|| received.try_recv().ok()).collect())
    }

    #[tokio::test]
    async fn a_large_paste_arrives_whole_in_frames_that_a_shim_takes() {
        let paste: Vec<u8> = (0..INPUT_BOUND).map(|number| number as u8).collect();
        let (sent, frames) = told(&paste);
        sent.expect("sent");
        let mut arrived = Vec::new();
        for frame in frames {
            let mut wire = Vec::new();
            frame.encode(&mut wire);
            let read = crate::shim::wire::read_frame(&mut wire.as_slice()).await;
            let Ok(Some(Frame::Input { bytes, .. })) = read else { panic!("it is refused") };
            arrived.extend(bytes);
        }
        assert_eq!(arrived.pop(), Some(b'\r'));
        assert!(arrived == paste);
    }

    #[test]
    fn a_paste_beyond_the_bound_is_refused_and_the_next_key_is_not() {
        let (sent, frames) = told(&vec![b'x'; INPUT_BOUND + 1]);
        assert_eq!(sent.expect_err("refused").kind, FailureKind::Refused);
        assert_eq!(frames, [Frame::Input { session: SessionId::AGENT, bytes: b"\r".to_vec() }]);
    }

    #[test]
    fn input_without_room_for_all_of_it_is_not_sent_in_part() {
        let (orders, _orders) = mpsc::channel(1);
        let (frames, mut received) = mpsc::channel(2);
        let link = Link::new(orders, frames, Arc::new(Inputs::of(true, &[])));
        link.input(SessionId::AGENT, &vec![b'x'; INPUT_CHUNK * 2 + 1]).expect_err("no room");
        assert!(received.try_recv().is_err());
        link.input(SessionId::AGENT, &vec![b'x'; INPUT_CHUNK * 2]).expect("room");
    }
}
