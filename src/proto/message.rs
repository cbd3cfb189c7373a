//! The messages of both peers, around what is asked and told.

use serde::{Deserialize, Serialize};

use super::{Event, Reply, Request};
use crate::model::failure::Failure;

/// From a client. The first message is `Hello`; the server answers with `Welcome`, and closes when
/// the versions differ: which of both is the older is for the client to tell its user. The shape
/// of these two messages is the same in every version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "nearly all messages are requests")]
pub enum ClientMessage {
    Hello { version: u32 },
    Request { id: u64, request: Request },
}

/// From the server. Replies carry the request's id; events come in the order they happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ServerMessage {
    Welcome { version: u32, pid: u32 },
    Reply { id: u64, reply: Result<Reply, Failure> },
    Event(Event),
}
