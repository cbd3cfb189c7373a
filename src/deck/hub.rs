//! Tells clients what changed. What they follow is a level: the newest view of each environment
//! that changed since they last looked, never a queue of every view there was.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::Notify;

use crate::model::decision::Decision;
use crate::model::environment::Environment;
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::snapshot::Snapshot;
use crate::proto::Event;

/// Decisions a client may be behind before the oldest are left out; they are made by people.
const MAX_DECISIONS: usize = 256;

/// The newest views, and who follows them.
#[derive(Debug, Default)]
pub struct Hub {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    views: BTreeMap<EnvironmentId, Arc<Environment>>,
    subscribers: Vec<Weak<Subscriber>>,
    stopping: bool,
}

/// One client's share of what it has not seen. Dropping the last handle ends the subscription.
#[derive(Debug)]
pub struct Subscriber {
    pending: Mutex<Pending>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    /// `None`: follows nothing; `Some(None)`: every repository.
    #[allow(clippy::option_option, reason = "nothing, all and one are three things")]
    scope: Option<Option<PathBuf>>,
    changed: BTreeSet<EnvironmentId>,
    removed: BTreeSet<EnvironmentId>,
    snapshots: BTreeMap<EnvironmentId, Snapshot>,
    marked: BTreeSet<EnvironmentId>,
    commented: BTreeSet<EnvironmentId>,
    bells: BTreeSet<(EnvironmentId, SessionId)>,
    /// How far long work is: step, done, total.
    working: BTreeMap<EnvironmentId, (String, u64, u64)>,
    decisions: Vec<Decision>,
    stopping: bool,
}

impl Hub {
    pub fn subscribe(&self) -> Arc<Subscriber> {
        let subscriber = Arc::new(Subscriber { pending: Mutex::default(), ready: Notify::new() });
        let mut inner = self.lock();
        subscriber.lock().stopping = inner.stopping;
        inner.subscribers.retain(|other| other.strong_count() > 0);
        inner.subscribers.push(Arc::downgrade(&subscriber));
        subscriber
    }

    /// Clients connected now.
    pub fn subscribers(&self) -> u32 {
        self.lock().subscribers.iter().filter(|other| other.strong_count() > 0).count() as u32
    }

    /// Whether any client wants to know what changes.
    pub fn is_followed(&self) -> bool {
        self.live().iter().any(|subscriber| subscriber.lock().scope.is_some())
    }

    /// The newest view of one environment.
    pub fn view(&self, id: &EnvironmentId) -> Option<Arc<Environment>> {
        self.lock().views.get(id).cloned()
    }

    /// The newest view of each environment.
    pub fn views(&self) -> Vec<Arc<Environment>> {
        self.lock().views.values().cloned().collect()
    }

    /// Begins telling `subscriber` of the repository that holds `repository`, or of all.
    pub fn follow(&self, subscriber: &Subscriber, repository: Option<PathBuf>) {
        let inner = self.lock();
        let mut pending = subscriber.lock();
        pending.changed = inner.views.keys().cloned().collect();
        pending.scope = Some(repository);
        subscriber.ready.notify_one();
    }

    pub fn publish(&self, environment: Environment) {
        let id = environment.id.clone();
        self.lock().views.insert(id.clone(), Arc::new(environment));
        self.tell(|pending| {
            pending.removed.remove(&id);
            pending.changed.insert(id.clone());
        });
    }

    pub fn remove(&self, environment: &EnvironmentId) {
        self.lock().views.remove(environment);
        self.tell(|pending| {
            pending.changed.remove(environment);
            pending.snapshots.remove(environment);
            pending.removed.insert(environment.clone());
        });
    }

    pub fn snapshot_taken(&self, environment: &EnvironmentId, snapshot: &Snapshot) {
        self.tell(|pending| {
            pending.snapshots.insert(environment.clone(), snapshot.clone());
        });
    }

    pub fn snapshot_marked(&self, environment: &EnvironmentId) {
        self.tell(|pending| {
            pending.marked.insert(environment.clone());
        });
    }

    pub fn commented(&self, environment: &EnvironmentId) {
        self.tell(|pending| {
            pending.commented.insert(environment.clone());
        });
    }

    pub fn working(&self, environment: &EnvironmentId, step: &str, done: u64, total: u64) {
        self.tell(|pending| {
            pending.working.insert(environment.clone(), (step.to_owned(), done, total));
        });
    }

    pub fn bell(&self, environment: &EnvironmentId, session: SessionId) {
        self.tell(|pending| {
            pending.bells.insert((environment.clone(), session));
        });
    }

    pub fn decided(&self, decision: &Decision) {
        self.tell(|pending| {
            if pending.decisions.len() == MAX_DECISIONS {
                pending.decisions.remove(0);
            }
            pending.decisions.push(decision.clone());
        });
    }

    pub fn stopping(&self) {
        self.lock().stopping = true;
        for subscriber in self.live() {
            subscriber.lock().stopping = true;
            subscriber.ready.notify_one();
        }
    }

    /// Changes what every follower has pending and wakes it.
    fn tell(&self, change: impl Fn(&mut Pending)) {
        for subscriber in self.live() {
            let mut pending = subscriber.lock();
            if pending.scope.is_some() {
                change(&mut pending);
                subscriber.ready.notify_one();
            }
        }
    }

    fn live(&self) -> Vec<Arc<Subscriber>> {
        self.lock().subscribers.iter().filter_map(Weak::upgrade).collect()
    }

    /// What `subscriber` has not seen, as events, oldest kind first. Empties its share.
    pub fn take(&self, subscriber: &Subscriber) -> Vec<Event> {
        let pending = {
            let mut held = subscriber.lock();
            let scope = held.scope.clone();
            std::mem::replace(&mut *held, Pending { scope, ..Pending::default() })
        };
        let mut events = Vec::new();
        let Some(scope) = pending.scope else {
            events.extend(pending.stopping.then_some(Event::ServerStopping));
            return events;
        };
        let inner = self.lock();
        let seen = |id: &EnvironmentId| {
            inner.views.get(id).filter(|view| in_scope(view, scope.as_deref()))
        };
        events.extend(
            pending
                .removed
                .into_iter()
                .map(|environment| Event::EnvironmentRemoved { environment }),
        );
        for id in &pending.changed {
            events
                .extend(seen(id).map(|view| Event::EnvironmentChanged(Box::new((**view).clone()))));
        }
        for (environment, snapshot) in pending.snapshots {
            if seen(&environment).is_some() {
                events.push(Event::SnapshotTaken { environment, snapshot: Box::new(snapshot) });
            }
        }
        for environment in pending.marked {
            if seen(&environment).is_some() {
                events.push(Event::SnapshotMarked { environment });
            }
        }
        for environment in pending.commented {
            if seen(&environment).is_some() {
                events.push(Event::CommentsChanged { environment });
            }
        }
        for (environment, session) in pending.bells {
            if seen(&environment).is_some() {
                events.push(Event::Bell { environment, session });
            }
        }
        for (environment, (step, done, total)) in pending.working {
            if seen(&environment).is_some() {
                events.push(Event::Working { environment, step, done, total });
            }
        }
        events.extend(pending.decisions.into_iter().map(|made| Event::Decided(Box::new(made))));
        events.extend(pending.stopping.then_some(Event::ServerStopping));
        events
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber {
    /// Waits until there is something to take.
    pub async fn ready(&self) {
        self.ready.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an environment belongs to the repository that holds `path`; no path means all.
pub fn in_scope(environment: &Environment, path: Option<&std::path::Path>) -> bool {
    path.is_none_or(|path| path.starts_with(&environment.repository))
}
