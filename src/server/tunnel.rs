//! A client's connection as a stream to a port of a box.

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::UnixStream;

use crate::deck::Deck;
use crate::proto::conn::Sender;
use crate::proto::{Reply, ServerMessage, Target};

/// Bytes under way in either direction of one stream; whoever sends more waits.
const BUFFER: usize = 32 << 10;

/// Answers the request and carries bytes until both sides have ended theirs.
pub(super) async fn run(mut client: UnixStream, deck: &Deck, id: u64, target: Target, port: u16) {
    let dialled = deck.dial(target, port).await;
    let (reply, service) = match dialled {
        Ok(service) => (Ok(Reply::PortOpened), Some(service)),
        Err(failure) => (Err(failure), None),
    };
    let answered = Sender::new(&mut client).send(&ServerMessage::Reply { id, reply }).await;
    if let (Ok(()), Some(mut service)) = (answered, service) {
        // Either side's error ends the stream; both see that by themselves.
        let _ = copy_bidirectional_with_sizes(&mut client, &mut service, BUFFER, BUFFER).await;
    }
}
