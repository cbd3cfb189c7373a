//! One client's session: its requests go to the deck, and what it follows and watches comes back.
//! A connection whose first request is for a stream becomes that stream.
//!
//! One task reads, one writes. Keys are handled by the reader, in order, before anything else.

use std::sync::Arc;

use tokio::io::AsyncWrite;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, watch};

use super::screens::Screens;
use super::tunnel;
use crate::deck::{ClientId, Deck, Exec, ExecInput, Subscriber, Terminal};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::proto::conn::{self, Receiver, Sender};
use crate::proto::wire::WireError;
use crate::proto::{ClientMessage, Event, ExecEvent, Reply, Request, ServerMessage, VERSION};
use crate::socket::Departure;

/// Requests of one client under way; the next one is read when one is answered.
const MAX_REQUESTS: usize = 64;
/// Messages for the writer; whoever has more waits.
const MAX_OUTGOING: usize = 64;

/// What the writer is told besides what it follows by itself.
enum Outgoing {
    Message(ServerMessage),
    Watch { id: u64, environment: EnvironmentId, session: SessionId, terminal: Arc<Terminal> },
    Unwatch { id: u64, environment: EnvironmentId, session: SessionId },
    Typed { environment: EnvironmentId, session: SessionId },
}

/// Serves a client until it leaves.
pub(super) async fn run(
    mut stream: UnixStream,
    client: ClientId,
    deck: Deck,
    stop: Arc<watch::Sender<bool>>,
) {
    let (id, request) = match greet(&mut stream).await {
        Ok(Some(first)) => first,
        Ok(None) => return,
        Err(error) => return tracing::debug!("client {}: {error:#}", client.0),
    };
    if let Request::OpenPort { target, port } = request {
        return tunnel::run(stream, &deck, id, target, port).await;
    }
    let departure = match Departure::of(&stream) {
        Ok(departure) => departure,
        Err(error) => return tracing::warn!("client {}: {error}", client.0),
    };
    let (reader, writer) = stream.into_split();
    let subscriber = deck.subscribe();
    let (outgoing, to_write) = mpsc::channel(MAX_OUTGOING);
    let writing = write(Sender::new(writer), to_write, deck.clone(), subscriber.clone());
    let session = Session {
        client,
        deck: deck.clone(),
        stop,
        subscriber,
        departure,
        outgoing,
        running: Arc::new(Semaphore::new(MAX_REQUESTS)),
        exec: None,
    };
    let ended = tokio::select! {
        ended = session.read(id, request, Receiver::new(reader)) => ended,
        ended = writing => ended,
    };
    if let Err(error) = ended {
        tracing::debug!("client {}: {error:#}", client.0);
    }
    deck.client_gone(client).await;
}

/// Says hello and waits for the request that tells what the connection is for.
async fn greet(stream: &mut UnixStream) -> anyhow::Result<Option<(u64, Request)>> {
    let theirs = match conn::receive_one(stream).await? {
        Some(ClientMessage::Hello { version }) => version,
        Some(ClientMessage::Request { .. }) => anyhow::bail!("the client did not say hello"),
        None => return Ok(None),
    };
    let welcome = ServerMessage::Welcome { version: VERSION, pid: std::process::id() };
    Sender::new(&mut *stream).send(&welcome).await?;
    // The client tells its user; what it would ask might be read as something else.
    anyhow::ensure!(theirs == VERSION, "it speaks version {theirs}");
    match conn::receive_one(stream).await? {
        Some(ClientMessage::Request { id, request }) => Ok(Some((id, request))),
        Some(ClientMessage::Hello { .. }) => anyhow::bail!("the client said hello twice"),
        None => Ok(None),
    }
}

struct Session {
    client: ClientId,
    deck: Deck,
    stop: Arc<watch::Sender<bool>>,
    subscriber: Arc<Subscriber>,
    departure: Departure,
    outgoing: mpsc::Sender<Outgoing>,
    running: Arc<Semaphore>,
    exec: Option<ExecInput>,
}

impl Session {
    async fn read(
        mut self,
        id: u64,
        request: Request,
        mut receiver: Receiver<OwnedReadHalf, ClientMessage>,
    ) -> anyhow::Result<()> {
        self.take(id, request).await?;
        while let Some(message) = receiver.receive().await? {
            let ClientMessage::Request { id, request } = message else {
                anyhow::bail!("the client said hello twice");
            };
            self.take(id, request).await?;
        }
        Ok(())
    }

    async fn take(&mut self, id: u64, request: Request) -> anyhow::Result<()> {
        let done = |result: Result<(), Failure>| result.map(|()| Reply::Done);
        match request {
            Request::SendInput { environment, session, input } => {
                let sent = self.deck.input(&environment, session, &input);
                self.send(Outgoing::Typed { environment, session }).await?;
                self.reply(id, done(sent)).await
            }
            Request::FollowDeck { repository } => {
                self.deck.follow(&self.subscriber, repository);
                self.reply(id, Ok(Reply::Done)).await
            }
            Request::WatchScreen { environment, session } => {
                match self.deck.terminal(&environment, session) {
                    Ok(terminal) => {
                        self.send(Outgoing::Watch { id, environment, session, terminal }).await
                    }
                    Err(failure) => self.reply(id, Err(failure)).await,
                }
            }
            Request::UnwatchScreen { environment, session } => {
                self.send(Outgoing::Unwatch { id, environment, session }).await
            }
            Request::StartExec { target, command, root, variables } => {
                let exec = self.deck.exec(target, command, root, variables).await;
                self.relay_exec(id, exec).await
            }
            Request::ReadFiles { target, path } => {
                let exec = self.deck.read_files(target, path).await;
                self.relay_exec(id, exec).await
            }
            Request::WriteFiles { target, path, into } => {
                let exec = self.deck.write_files(target, path, into).await;
                self.relay_exec(id, exec).await
            }
            Request::OpenPort { .. } => {
                let message = "a stream needs a connection of its own";
                self.reply(id, Err(Failure::new(FailureKind::Invalid, message))).await
            }
            Request::SendExecInput { bytes } => {
                let sent = match &self.exec {
                    // A command that takes nothing is not waited for without its client.
                    Some(input) => tokio::select! {
                        sent = input.send(bytes) => sent,
                        () = self.departure.wait() => anyhow::bail!("the client left"),
                    },
                    None => Err(Failure::new(FailureKind::Invalid, "no command runs")),
                };
                self.reply(id, done(sent)).await
            }
            Request::StopServer => {
                self.reply(id, Ok(Reply::Done)).await?;
                self.stop.send_replace(true);
                Ok(())
            }
            other => self.ask(id, other).await,
        }
    }

    /// Hands a request to the deck and reads on.
    async fn ask(&self, id: u64, request: Request) -> anyhow::Result<()> {
        let permit = self.running.clone().acquire_owned().await?;
        let (deck, client, outgoing) = (self.deck.clone(), self.client, self.outgoing.clone());
        // Everything else is done whether or not the client waits for it.
        let is_for_its_client = matches!(request, Request::SaveEnvironment { .. });
        tokio::spawn(async move {
            let reply = tokio::select! {
                reply = deck.request(client, request) => reply,
                () = outgoing.closed(), if is_for_its_client => return,
            };
            let message = ServerMessage::Reply { id, reply };
            let _ = outgoing.send(Outgoing::Message(message)).await;
            drop(permit);
        });
        Ok(())
    }

    /// Answers that a command runs, and sends what it prints until it ends or the client leaves.
    async fn relay_exec(&mut self, id: u64, exec: Result<Exec, Failure>) -> anyhow::Result<()> {
        let mut exec = match exec {
            Ok(exec) => exec,
            Err(failure) => return self.reply(id, Err(failure)).await,
        };
        self.exec = Some(exec.input.clone());
        self.reply(id, Ok(Reply::ExecStarted)).await?;
        let outgoing = self.outgoing.clone();
        tokio::spawn(async move {
            loop {
                let event = tokio::select! {
                    event = exec.events.recv() => event,
                    // The client left; a command that prints nothing ends with it as well.
                    () = outgoing.closed() => None,
                };
                let Some(event) = event else { return };
                let last = !matches!(event, ExecEvent::Output { .. });
                let message = ServerMessage::Event(Event::Exec(event));
                if outgoing.send(Outgoing::Message(message)).await.is_err() || last {
                    return;
                }
            }
        });
        Ok(())
    }

    async fn reply(&self, id: u64, reply: Result<Reply, Failure>) -> anyhow::Result<()> {
        self.send(Outgoing::Message(ServerMessage::Reply { id, reply })).await
    }

    async fn send(&self, outgoing: Outgoing) -> anyhow::Result<()> {
        self.outgoing.send(outgoing).await.map_err(|_| anyhow::anyhow!("the writer has ended"))
    }
}

/// Writes replies first, then what the client follows, then screens.
async fn write(
    mut sender: Sender<OwnedWriteHalf, ServerMessage>,
    mut outgoing: mpsc::Receiver<Outgoing>,
    deck: Deck,
    subscriber: Arc<Subscriber>,
) -> anyhow::Result<()> {
    let mut screens = Screens::new();
    loop {
        tokio::select! {
            biased;
            next = outgoing.recv() => {
                let Some(next) = next else { return Ok(()) };
                if let Some(message) = prepare(next, &mut screens) {
                    send(&mut sender, message).await?;
                }
            }
            () = subscriber.ready() => {
                for event in deck.events(&subscriber) {
                    sender.send(&ServerMessage::Event(event)).await?;
                }
            }
            event = screens.next() => sender.send(&ServerMessage::Event(event)).await?,
        }
    }
}

/// Sends a message. An answer that no message holds becomes a failure: whoever asked for too much
/// keeps the connection.
async fn send<W: AsyncWrite + Unpin>(
    sender: &mut Sender<W, ServerMessage>,
    message: ServerMessage,
) -> anyhow::Result<()> {
    match (sender.send(&message).await, message) {
        (Err(error), ServerMessage::Reply { id, .. }) if error.is::<WireError>() => {
            let message = format!("the answer cannot be sent: {error}");
            let failure = Failure::new(FailureKind::Invalid, message)
                .hint("ask for less at once, as for one file of a diff");
            sender.send(&ServerMessage::Reply { id, reply: Err(failure) }).await
        }
        (sent, _) => sent,
    }
}

/// Does what concerns the watched screens, and says what goes out.
fn prepare(outgoing: Outgoing, screens: &mut Screens) -> Option<ServerMessage> {
    let done = |id| Some(ServerMessage::Reply { id, reply: Ok(Reply::Done) });
    match outgoing {
        Outgoing::Message(message) => Some(message),
        Outgoing::Watch { id, environment, session, terminal } => {
            screens.watch(environment, session, terminal);
            done(id)
        }
        Outgoing::Unwatch { id, environment, session } => {
            screens.unwatch(&environment, session);
            done(id)
        }
        Outgoing::Typed { environment, session } => {
            screens.typed(&environment, session);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::CommitId;
    use crate::proto::wire::MAX_MESSAGE;

    #[tokio::test]
    async fn an_answer_that_no_message_holds_is_a_failure_and_the_next_one_arrives() {
        let (near, far) = tokio::io::duplex(1 << 16);
        let commit = CommitId::parse(&"1".repeat(40)).expect("an id");
        let (message, left_out) = ("x".repeat(MAX_MESSAGE), Vec::new());
        let huge = Reply::Offered { commit, message, left_out };
        let writer = tokio::spawn(async move {
            let mut sender = Sender::new(near);
            for (id, reply) in [(1, huge), (2, Reply::Done)] {
                let message = ServerMessage::Reply { id, reply: Ok(reply) };
                send(&mut sender, message).await.expect("sent");
            }
        });
        let mut receiver = Receiver::<_, ServerMessage>::new(far);
        let mut answers = Vec::new();
        while let Some(ServerMessage::Reply { id, reply }) =
            receiver.receive().await.expect("received")
        {
            answers.push((id, reply.map_err(|failure| failure.message)));
        }
        writer.await.expect("the writer ends");
        let [(1, Err(message)), (2, Ok(Reply::Done))] = answers.as_slice() else {
            panic!("{answers:?}");
        };
        assert!(message.contains("larger than"), "{message}");
    }
}
