//! A connection to the server that becomes a stream to a port of a box.

use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{HELLO_DEADLINE, lost, open, other_version};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::conn::{Sender, receive_one};
use crate::proto::{ClientMessage, Request, ServerMessage, Target, VERSION};

/// Longer than the server gives the box.
const DIAL_DEADLINE: Duration = Duration::from_secs(20);

/// Opens a stream to a port of an environment's loopback, through the server of a home.
pub async fn open_port(home: &Path, target: Target, port: u16) -> Result<UnixStream, Failure> {
    let mut stream = open(home).map_err(|error| {
        Failure::new(FailureKind::Unavailable, format!("the server does not answer: {error}"))
    })?;
    send(&mut stream, &ClientMessage::Hello { version: VERSION }).await?;
    match answer(&mut stream, HELLO_DEADLINE).await? {
        ServerMessage::Welcome { version: VERSION, .. } => {}
        ServerMessage::Welcome { version, .. } => return Err(other_version(version)),
        _ => return Err(lost()),
    }
    let request = Request::OpenPort { target, port };
    send(&mut stream, &ClientMessage::Request { id: 0, request }).await?;
    match answer(&mut stream, DIAL_DEADLINE).await? {
        ServerMessage::Reply { reply, .. } => reply.map(|_| stream),
        _ => Err(lost()),
    }
}

async fn send(stream: &mut UnixStream, message: &ClientMessage) -> Result<(), Failure> {
    Sender::new(stream).send(message).await.map_err(|_| lost())
}

async fn answer(stream: &mut UnixStream, deadline: Duration) -> Result<ServerMessage, Failure> {
    match timeout(deadline, receive_one(stream)).await {
        Ok(Ok(Some(message))) => Ok(message),
        Ok(_) => Err(lost()),
        Err(_) => Err(Failure::new(FailureKind::Timeout, "the server does not answer")),
    }
}
