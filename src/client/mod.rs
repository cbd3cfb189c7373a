//! A connection to the server: requests by number, events in order.

pub mod patch;
mod spawn;
mod tunnel;

pub use tunnel::open_port;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::model::failure::{Failure, FailureKind};
use crate::proto::conn::{Receiver, Sender};
use crate::proto::{ClientMessage, Event, Reply, Request, SOCKET, ServerMessage, VERSION};

/// How long a server may take to say hello. A fresh one reads its records first.
const HELLO_DEADLINE: Duration = Duration::from_secs(10);
/// Requests written ahead of the socket before the next one waits. More than a client has under
/// way at a time: those that wait may overtake each other, which keys must not.
const MAX_REQUESTS: usize = 2048;
/// Events read ahead of whoever shows them; then the server sends fewer, larger ones.
const MAX_EVENTS: usize = 256;

/// A handle for requests; clones share the connection.
#[derive(Clone, Debug)]
pub struct Client {
    requests: mpsc::Sender<ClientMessage>,
    waiting: Arc<Waiting>,
    server_pid: u32,
    /// Where the connection can be made again; a stream that was handed in has no such place.
    home: Option<PathBuf>,
}

/// What the server tells by itself.
#[derive(Debug)]
pub struct Events {
    events: mpsc::Receiver<Event>,
}

/// Requests that have no answer yet.
#[derive(Debug, Default)]
struct Waiting {
    next: AtomicU64,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    closed: bool,
    by_id: HashMap<u64, oneshot::Sender<Result<Reply, Failure>>>,
}

impl Client {
    /// Connects to the server of a home, starting one when there is none.
    pub async fn connect_or_start(home: &Path) -> Result<(Self, Events), Failure> {
        let (client, events) = spawn::connect_or_start(home).await?;
        Ok((Self { home: Some(home.to_owned()), ..client }, events))
    }

    /// Connects to a server that runs.
    pub async fn connect(home: &Path) -> Result<(Self, Events), Failure> {
        let stream = open(home).map_err(|error| {
            let message = format!("no server answers in {}: {error}", home.display());
            Failure::new(FailureKind::Unavailable, message)
                .hint("start one with agentdeck server start")
        })?;
        let (client, events) = Self::from_stream(stream).await?;
        Ok((Self { home: Some(home.to_owned()), ..client }, events))
    }

    /// Has the server of a home end, whatever version it speaks. Returns as soon as it is told.
    pub fn terminate_server(home: &Path) -> Result<(), Failure> {
        let told = (|| {
            let stream = crate::socket::connect(home, SOCKET)?;
            let (pid, user) = crate::socket::peer(&stream)?;
            let own = rustix::process::geteuid().as_raw();
            let pid = rustix::process::Pid::from_raw(pid).filter(|_| user == own);
            let pid = pid.ok_or_else(|| std::io::Error::other("another user's process listens"))?;
            // The connection is open, so the number is still that of the listener.
            Ok(rustix::process::kill_process(pid, rustix::process::Signal::TERM)?)
        })();
        told.map_err(|error: std::io::Error| {
            let message = format!("the server in {} was not told: {error}", home.display());
            Failure::new(FailureKind::Unavailable, message)
        })
    }

    /// Says hello over any stream and goes on from there.
    pub async fn from_stream<S>(stream: S) -> Result<(Self, Events), Failure>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (reader, writer) = tokio::io::split(stream);
        let mut receiver = Receiver::<_, ServerMessage>::new(reader);
        let mut sender = Sender::new(writer);
        sender.send(&ClientMessage::Hello { version: VERSION }).await.map_err(|_| lost())?;
        let server_pid = match timeout(HELLO_DEADLINE, receiver.receive()).await {
            Ok(Ok(Some(ServerMessage::Welcome { version: VERSION, pid }))) => pid,
            Ok(Ok(Some(ServerMessage::Welcome { version, .. }))) => {
                return Err(other_version(version));
            }
            // It ended meanwhile: nothing was asked yet.
            Ok(_) => return Err(lost()),
            Err(_) => {
                let message = "the server does not answer";
                return Err(Failure::new(FailureKind::Timeout, message)
                    .hint("its log, server.log in the state directory, may say why"));
            }
        };
        let (requests, mut to_send) = mpsc::channel(MAX_REQUESTS);
        let (events, received) = mpsc::channel(MAX_EVENTS);
        let waiting = Arc::new(Waiting::default());
        let answers = waiting.clone();
        tokio::spawn(async move {
            let writing = async {
                while let Some(message) = to_send.recv().await {
                    if sender.send(&message).await.is_err() {
                        return;
                    }
                }
            };
            tokio::select! {
                () = writing => {}
                () = read(receiver, &answers, events) => {}
            }
            answers.close();
        });
        Ok((Self { requests, waiting, server_pid, home: None }, Events { events: received }))
    }

    /// Asks, and waits for the answer. Requests reach the server in the order of these calls,
    /// whatever the order in which their answers are waited for.
    pub fn request(
        &self,
        request: Request,
    ) -> impl Future<Output = Result<Reply, Failure>> + Send + use<> {
        let requests = self.requests.clone();
        let expected = self.waiting.expect_answer();
        let queued = expected.map(|(id, answer)| {
            (requests.try_send(ClientMessage::Request { id, request }), answer)
        });
        async move {
            let (sent, answer) = queued?;
            match sent {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(message)) => {
                    requests.send(message).await.map_err(|_| lost())?;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => return Err(lost()),
            }
            answer.await.map_err(|_| lost())?
        }
    }

    /// The process id that the server told.
    pub fn server_pid(&self) -> u32 {
        self.server_pid
    }

    /// The home whose server this is connected to, when it was found by its home.
    pub fn home(&self) -> Option<&Path> {
        self.home.as_deref()
    }
}

impl Events {
    /// The next event; `None` when the connection ended.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        self.events.try_recv().ok()
    }
}

impl Waiting {
    fn expect_answer(&self) -> Result<(u64, oneshot::Receiver<Result<Reply, Failure>>), Failure> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.closed {
            return Err(lost());
        }
        answers.by_id.insert(id, sender);
        Ok((id, receiver))
    }

    fn answer(&self, id: u64, reply: Result<Reply, Failure>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = answers.by_id.remove(&id) {
            // Whoever asked may have gone on without the answer.
            let _ = waiting.send(reply);
        }
    }

    /// Fails everything that still waits.
    fn close(&self) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.closed = true;
        answers.by_id.clear();
    }
}

/// Reaches the socket of a home's server.
fn open(home: &Path) -> std::io::Result<UnixStream> {
    let stream = crate::socket::connect(home, SOCKET)?;
    let (_, user) = crate::socket::peer(&stream)?;
    if user != rustix::process::geteuid().as_raw() {
        let message = format!("user {user} listens there");
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, message));
    }
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

async fn read<R: AsyncRead + Unpin>(
    mut receiver: Receiver<R, ServerMessage>,
    waiting: &Waiting,
    events: mpsc::Sender<Event>,
) {
    loop {
        match receiver.receive().await {
            Ok(Some(ServerMessage::Reply { id, reply })) => waiting.answer(id, reply),
            // Nobody may listen for events; the answers still count.
            Ok(Some(ServerMessage::Event(event))) => {
                let _ = events.send(event).await;
            }
            Ok(Some(ServerMessage::Welcome { .. })) => {}
            Ok(None) | Err(_) => return,
        }
    }
}

fn lost() -> Failure {
    Failure::new(FailureKind::Unavailable, "the connection to the server was lost")
        .hint("run the command again; agents are not affected")
}

/// Whether a failure says that the server went away before it answered.
pub fn is_lost(failure: &Failure) -> bool {
    *failure == lost()
}

fn other_version(version: u32) -> Failure {
    let speaks = format!("it speaks version {version}, this program version {VERSION}");
    if version < VERSION {
        let message = format!("the server that runs is older than this program: {speaks}");
        return Failure::new(FailureKind::OlderServer, message)
            .hint("the agents go on when you restart it: agentdeck server restart");
    }
    let message = format!("the server that runs is newer than this program: {speaks}");
    Failure::new(FailureKind::NewerServer, message)
        .hint("run the newer agentdeck; type -a agentdeck lists those on your PATH")
}
