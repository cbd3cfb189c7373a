//! The server process: one for each home, found through its lock and its socket.
//!
//! It listens, and keeps one session for each client. What there is to decide, `deck` decides.

mod files;
mod lock;
mod memory;
mod screens;
mod session;
mod tunnel;

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use tokio::net::{UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::deck::{ClientId, Deck};
use crate::model::failure::{Failure, FailureKind};

/// Threads that parse output and answer clients; git work has threads of its own.
const WORKERS: usize = 2;

/// The lock's name in the home.
const LOCK: &str = "server.lock";

/// Between two looks whether the home is still there: one system call.
const LOOK: Duration = Duration::from_secs(2);

/// How long clients get to read the last words.
const FAREWELL: Duration = Duration::from_millis(200);

/// Runs the server of a home until it is told to stop.
///
/// Fails when another server has the home, or when the home cannot be written.
pub fn run(home: &Path) -> anyhow::Result<()> {
    let Some(_held) = lock::acquire(&home.join(LOCK))? else {
        return Err(Failure::new(
            FailureKind::AlreadyExists,
            format!("another server has {}", home.display()),
        )
        .hint("use it, or stop it with agentdeck server stop")
        .into());
    };
    memory::give_back();
    files::raise();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(serve(home))?;
    // Blocking work that is stuck in a system call must not hold the exit.
    runtime.shutdown_timeout(Duration::from_secs(2));
    Ok(())
}

/// Whether a home has a server, even one that no longer answers because it is ending.
pub fn runs(home: &Path) -> bool {
    lock::is_held(&home.join(LOCK))
}

async fn serve(home: &Path) -> anyhow::Result<()> {
    let deck = Deck::open(home)?;
    let place = Place::of(home)?;
    let listener = crate::socket::bind(home, crate::proto::SOCKET)
        .with_context(|| format!("could not listen in {}", home.display()))?;
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, mut stopped) = watch::channel(false);
    let stop = Arc::new(stop);
    let clients = AtomicU64::new(1);
    let mut lost = std::pin::pin!(place.lost());
    tracing::info!(pid = std::process::id(), "the server listens in {}", home.display());
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let client = ClientId(clients.fetch_add(1, Ordering::Relaxed));
                    welcome(stream, client, &deck, &stop);
                }
                Err(error) => {
                    // Out of descriptors, most likely: others must end before this can go on.
                    tracing::warn!("a client could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = stopped.changed() => break,
            () = &mut lost => {
                // Whatever lies at that path now is another's; nothing more is written there.
                tracing::error!("{} is gone; the server ends, boxes go on", home.display());
                return Ok(());
            }
        }
    }
    deck.stop().await;
    tokio::time::sleep(FAREWELL).await;
    let _ = std::fs::remove_file(home.join(crate::proto::SOCKET));
    tracing::info!("the server ends; boxes go on");
    Ok(())
}

/// The directory that is the home, whatever its path names later.
struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl Place {
    fn of(path: &Path) -> anyhow::Result<Self> {
        let found = std::fs::metadata(path)
            .with_context(|| format!("could not look at {}", path.display()))?;
        Ok(Self { path: path.to_owned(), device: found.dev(), inode: found.ino() })
    }

    /// Waits until the path names something else, or nothing.
    async fn lost(&self) {
        let here =
            |found: &std::fs::Metadata| (found.dev(), found.ino()) == (self.device, self.inode);
        loop {
            tokio::time::sleep(LOOK).await;
            match std::fs::metadata(&self.path) {
                Ok(found) if here(&found) => {}
                Ok(_) => return,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
                // A disk that fails for a moment is no reason to end.
                Err(error) => tracing::warn!("{}: {error}", self.path.display()),
            }
        }
    }
}

/// Starts a session for a client of the same user; anyone else is turned away.
fn welcome(stream: UnixStream, client: ClientId, deck: &Deck, stop: &Arc<watch::Sender<bool>>) {
    let own = rustix::process::geteuid().as_raw();
    match stream.peer_cred() {
        Ok(peer) if peer.uid() == own => {
            tokio::spawn(session::run(stream, client, deck.clone(), stop.clone()));
        }
        Ok(peer) => tracing::warn!("user {} was turned away", peer.uid()),
        Err(error) => tracing::warn!("a client without credentials: {error}"),
    }
}
