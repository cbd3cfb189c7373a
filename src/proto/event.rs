//! What the server tells of its own accord.

use serde::{Deserialize, Serialize};

use super::ExecEvent;
use crate::model::decision::Decision;
use crate::model::environment::Environment;
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::screen::ScreenDelta;
use crate::model::snapshot::Snapshot;

/// What happened, told to every client that follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    EnvironmentChanged(Box<Environment>),
    EnvironmentRemoved {
        environment: EnvironmentId,
    },
    /// A snapshot was taken.
    SnapshotTaken {
        environment: EnvironmentId,
        snapshot: Box<Snapshot>,
    },
    /// What snapshots are called changed.
    SnapshotMarked {
        environment: EnvironmentId,
    },
    /// A comment on it is new, another or gone.
    CommentsChanged {
        environment: EnvironmentId,
    },
    /// How far long work on an environment is that it does not show itself; `total` 0 when unknown.
    Working {
        environment: EnvironmentId,
        step: String,
        done: u64,
        total: u64,
    },
    Decided(Box<Decision>),
    Screen {
        environment: EnvironmentId,
        session: SessionId,
        delta: ScreenDelta,
    },
    /// The session is gone; no more `Screen` events.
    ScreenClosed {
        environment: EnvironmentId,
        session: SessionId,
    },
    /// The program rang the bell.
    Bell {
        environment: EnvironmentId,
        session: SessionId,
    },
    Exec(ExecEvent),
    /// The server ends; clients may leave or wait for the next one.
    ServerStopping,
}
