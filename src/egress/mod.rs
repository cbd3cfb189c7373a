//! The gateway: what a box may reach, and the only way it gets there.
//!
//! A box has no route. Its relay carries bytes to a unix socket of its own; behind it this module
//! speaks HTTP proxy and SOCKS5, decides by the environment's policy and dials. It trusts nothing
//! that arrives there. Each socket serves one environment, so a policy needs no identification.

mod activity;
mod address;
mod dial;
mod feed;
mod gate;
mod hello;
mod http;
mod policy;
mod resolve;
mod slots;
mod socks;
#[cfg(test)]
mod tests;
mod tunnel;
mod upstream;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::RecvFlags;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use crate::model::destination::{Host, RELAY_FEED};
use crate::model::failure::{Failure, FailureKind};

use activity::Activity;
use dial::{DialError, Dialer, Opened};
pub use gate::Gate;
use policy::Refusal;
pub use policy::{check, check_entry};
use slots::{Pool, Slots, Turns};

/// How long a client may take to send its first byte.
const FIRST_BYTE_DEADLINE: Duration = Duration::from_secs(30);

/// How long a connection may carry nothing. A model may think for many minutes before it answers.
const IDLE_DEADLINE: Duration = Duration::from_hours(1);

/// How long accepting rests after an error: without descriptors, the next try fails at once too.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The way out for every environment of a server.
pub struct Gateway {
    dialer: Arc<Dialer>,
    pool: Pool,
    /// What serves every box.
    server: Handle,
    /// Set when that is the gateway's own.
    own: Option<Runtime>,
}

/// What is behind one environment's socket.
#[derive(Clone)]
struct Session {
    dialer: Arc<Dialer>,
    gate: Arc<Gate>,
    turns: Arc<Turns>,
}

impl Session {
    /// Connects to a destination as a box spelled it, and notes when that is refused.
    async fn open(&self, host: &[u8], port: u16) -> Result<Opened, DialError> {
        let host = self.read(host, port)?;
        let opened = self.dialer.open(&self.gate.policy(), &host, port).await;
        if let Err(DialError::Refused(refusal)) = &opened {
            self.gate.refuse(&host, port, refusal);
        }
        opened
    }

    /// The one reading of a host that a box spelled.
    fn read(&self, host: &[u8], port: u16) -> Result<Host, Refusal> {
        let read = Host::parse(host).filter(|_| port != 0);
        if read.is_none() {
            self.gate.refuse_unreadable(host, port);
        }
        read.ok_or(Refusal::Unreadable)
    }

    /// Whether a connection to one host may say that it is for another. To an address it may name
    /// what the policy reaches by name.
    fn agree(
        &self,
        host: &Host,
        port: u16,
        what: &'static str,
        said: &Host,
    ) -> Result<(), Refusal> {
        let by_address = || {
            matches!((host, said), (Host::Address(_), Host::Name(_)))
                && policy::decide(&self.gate.policy(), said, port).is_ok()
        };
        if said == host || by_address() {
            return Ok(());
        }
        let (destination, said) = (format!("{host}:{port}"), said.to_string());
        Err(Refusal::Disagrees { destination, what, said })
    }

    /// Notes a refusal of a connection that was open already.
    fn refuse(&self, host: &Host, port: u16, refusal: &Refusal) {
        self.gate.refuse(host, port, refusal);
    }
}

impl Gateway {
    /// A gateway on the current runtime. Fails when the host's own proxy, as the server's
    /// environment names it, cannot be used.
    pub fn new() -> Result<Arc<Self>, Failure> {
        Ok(Self::with(Dialer::of_this_host()?))
    }

    /// A gateway on a thread of its own: however much boxes carry, keys and screens do not wait for
    /// it. Fails as `new` does, and when there is no thread to be had.
    pub fn apart() -> Result<Arc<Self>, Failure> {
        let dialer = Dialer::of_this_host()?;
        let mut builder = Builder::new_multi_thread();
        let builder = builder.worker_threads(1).thread_name("gateway").enable_all();
        let runtime = builder.build().map_err(|error| {
            Failure::new(FailureKind::Unavailable, format!("the gateway cannot start: {error}"))
        })?;
        Ok(Self::on(dialer, runtime.handle().clone(), Some(runtime)))
    }

    fn with(dialer: Dialer) -> Arc<Self> {
        Self::on(dialer, Handle::current(), None)
    }

    fn on(dialer: Dialer, server: Handle, own: Option<Runtime>) -> Arc<Self> {
        let (dialer, pool) = (Arc::new(dialer), Pool::of_this_process());
        Arc::new(Self { dialer, pool, server, own })
    }

    /// Serves one environment until the task is aborted, which ends its connections too.
    pub fn serve(self: &Arc<Self>, listener: UnixListener, gate: Arc<Gate>) -> JoinHandle<()> {
        let (dialer, turns) = (Arc::clone(&self.dialer), Arc::new(Turns::new()));
        let session = Session { dialer, gate, turns };
        self.server.spawn(accept(listener, self.pool.slots(), session))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(own) = self.own.take() {
            // It may be dropped where nothing may block.
            own.shutdown_background();
        }
    }
}

/// Takes connections for ever; those beyond a box's slots and turns wait.
async fn accept(listener: UnixListener, slots: Slots, session: Session) {
    let mut connections = JoinSet::new();
    loop {
        let slot = slots.take().await;
        session.turns.next().await;
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let session = session.clone();
                connections.spawn(async move {
                    if let Err(error) = serve_connection(stream, &session).await {
                        tracing::debug!(%error, "a box's connection ended");
                    }
                    drop(slot);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "the gateway cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(stream: UnixStream, session: &Session) -> io::Result<()> {
    let late = |_| io::Error::from(io::ErrorKind::TimedOut);
    let first = timeout(FIRST_BYTE_DEADLINE, first_byte(&stream)).await.map_err(late)??;
    let activity = Activity::default();
    let stream = activity.watch(stream);
    let served = async {
        match first {
            None => Ok(()),
            Some(socks::VERSION) => socks::serve(stream, session).await,
            Some(RELAY_FEED) => feed::serve(stream, session).await,
            Some(_) => http::serve(stream, session).await,
        }
    };
    tokio::select! {
        result = served => result,
        () = activity.ceased(IDLE_DEADLINE) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// The byte a client begins with, left where it is; `None` when it sends none.
async fn first_byte(stream: &UnixStream) -> io::Result<Option<u8>> {
    let mut byte = [0];
    let peek = || {
        let (read, _) = rustix::net::recv(stream.as_fd(), &mut byte[..], RecvFlags::PEEK)?;
        Ok(read)
    };
    let read = stream.async_io(Interest::READABLE, peek).await?;
    Ok((read > 0).then_some(byte[0]))
}
