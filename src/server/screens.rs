//! The screens one client watches. Each is a level: when the client's socket can take more, it
//! gets what changed since its last delta, however much that was; nothing queues.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::deck::Terminal;
use crate::model::id::{EnvironmentId, SessionId};
use crate::proto::Event;

/// Least time between two deltas of a screen: 60 a second.
const FRAME: Duration = Duration::from_millis(16);
/// After a key the echo goes out at once, for this long.
const AFTER_KEY: Duration = Duration::from_millis(100);
/// Wake-ups under way; each stands for one screen, and a screen wakes once until it is read.
const MAX_WAKES: usize = 256;

type Place = (EnvironmentId, SessionId);

/// What a client watches.
#[derive(Debug)]
pub(super) struct Screens {
    watched: HashMap<Place, Watched>,
    wakes: mpsc::Receiver<Wake>,
    waker: mpsc::Sender<Wake>,
}

#[derive(Debug)]
struct Watched {
    terminal: Arc<Terminal>,
    /// The sequence number the client has.
    sent: u64,
    /// Told when the client has read, so that the next change may wake it.
    read: Arc<Notify>,
    key: watch::Sender<Option<Instant>>,
    waiter: JoinHandle<()>,
}

#[derive(Debug)]
struct Wake {
    place: Place,
    closed: bool,
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.waiter.abort();
    }
}

impl Screens {
    pub fn new() -> Self {
        let (waker, wakes) = mpsc::channel(MAX_WAKES);
        Self { watched: HashMap::new(), wakes, waker }
    }

    /// Begins to watch a screen, from nothing: the first delta is full.
    pub fn watch(
        &mut self,
        environment: EnvironmentId,
        session: SessionId,
        terminal: Arc<Terminal>,
    ) {
        let place = (environment, session);
        let read = Arc::new(Notify::new());
        read.notify_one();
        let (key, keyed) = watch::channel(None);
        let waiting =
            wait(place.clone(), terminal.clone(), read.clone(), keyed, self.waker.clone());
        let waiter = tokio::spawn(waiting);
        self.watched.insert(place, Watched { terminal, sent: 0, read, key, waiter });
    }

    pub fn unwatch(&mut self, environment: &EnvironmentId, session: SessionId) {
        self.watched.remove(&(environment.clone(), session));
    }

    /// Notes that the client typed into a session, so that the echo does not wait for its frame.
    pub fn typed(&self, environment: &EnvironmentId, session: SessionId) {
        if let Some(watched) = self.watched.get(&(environment.clone(), session)) {
            watched.key.send_replace(Some(Instant::now()));
        }
    }

    /// Waits until a watched screen changed and says how. Safe to cancel.
    pub async fn next(&mut self) -> Event {
        loop {
            let Some(wake) = self.wakes.recv().await else {
                // We hold a sender, so the channel never ends.
                return std::future::pending().await;
            };
            let (environment, session) = wake.place.clone();
            if wake.closed {
                if self.watched.remove(&wake.place).is_some() {
                    return Event::ScreenClosed { environment, session };
                }
                continue;
            }
            let Some(watched) = self.watched.get_mut(&wake.place) else { continue };
            let delta = watched.terminal.delta_since(watched.sent);
            watched.read.notify_one();
            if let Some(delta) = delta {
                watched.sent = delta.sequence;
                return Event::Screen { environment, session, delta };
            }
        }
    }
}

/// Wakes the client for one screen: at once the first time, then when it changed, at most once a
/// frame, and not again before the client has read.
async fn wait(
    place: Place,
    terminal: Arc<Terminal>,
    read: Arc<Notify>,
    mut keyed: watch::Receiver<Option<Instant>>,
    waker: mpsc::Sender<Wake>,
) {
    let mut changes = terminal.changes();
    drop(terminal);
    loop {
        read.notified().await;
        let woken = Instant::now();
        if waker.send(Wake { place: place.clone(), closed: false }).await.is_err() {
            return;
        }
        let ended = changes.changed().await.is_err() || changes.borrow_and_update().closed;
        if ended {
            let _ = waker.send(Wake { place, closed: true }).await;
            return;
        }
        tokio::select! {
            () = tokio::time::sleep_until(woken + FRAME) => {}
            () = recent_key(&mut keyed) => {}
        }
    }
}

/// Ends at once when a key was typed a moment ago, else when the next one is.
async fn recent_key(keyed: &mut watch::Receiver<Option<Instant>>) {
    let recent = |at: &Option<Instant>| at.is_some_and(|at| at.elapsed() < AFTER_KEY);
    if keyed.wait_for(recent).await.is_err() {
        std::future::pending::<()>().await;
    }
}
