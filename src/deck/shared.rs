//! What the loop and the tasks beside it share. Each lock is held for a look-up, never across a wait.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::ahead::Ahead;
use super::deciding::Deciding;
use super::hands::Hands;
use super::holding::Waiting;
use super::hub::Hub;
use super::jobs::Snapshotter;
use super::keeping::Keeper;
use super::link::{Link, does_not_run, unlinked};
use super::network::Gates;
use super::sending::Prompts;
use super::state::{Record, Report};
use super::step;
use super::stores::Stores;
use super::terminal::Terminal;
use super::{Message, stopping};
use crate::egress::Gateway;
use crate::engine::{BoxPlan, Engine};
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId, Timestamp};
use crate::model::policy::EngineKind;
use crate::model::repository::Identity;
use crate::proto::Target;
use crate::repo::diff::Counts;
use crate::shim::config::RelayConfig;
use crate::shim::turns;
use crate::store::Layout;
use crate::watch::Watcher;

/// Variables of an environment's programs, in memory only.
type Variables = Vec<(String, String)>;

pub(super) struct Shared {
    pub layout: Layout,
    pub keeper: Arc<Keeper>,
    /// Files of environments that nobody has asked for yet.
    pub ahead: Ahead,
    /// Tells this home's boxes from another's.
    pub deck: String,
    pub started: Timestamp,
    pub hub: Hub,
    pub native: Arc<dyn Engine>,
    pub docker: Arc<dyn Engine>,
    pub gateway: Arc<Gateway>,
    pub gates: Gates,
    pub watcher: Watcher,
    pub messages: mpsc::Sender<Message>,
    pub prompts: Prompts,
    pub deciding: Deciding,
    /// Held while what snapshots are called, or what is said of their lines, is changed.
    pub marks: Mutex<()>,
    pub hands: Hands,
    pub stores: Stores,
    /// Told when any environment's newest snapshot is another, or is gone.
    pub snapshots_moved: Notify,
    /// Lines between contents that were compared before.
    pub counts: Counts,
    /// Boxes that stood still when their agent was to be started.
    pub waiting: Waiting,
    /// Told when something was discarded.
    pub trashed: Notify,
    /// Told when any box is connected to.
    linked: Notify,
    tables: Mutex<Tables>,
    /// This program where boxes are started from, once it was placed there.
    binary: Mutex<Option<PathBuf>>,
}

#[derive(Default)]
struct Tables {
    links: HashMap<EnvironmentId, Link>,
    terminals: HashMap<(EnvironmentId, SessionId), Arc<Terminal>>,
    snapshotters: HashMap<EnvironmentId, Arc<Snapshotter>>,
    /// The tasks that keep environments connected, one for each.
    supervisors: HashMap<EnvironmentId, JoinHandle<()>>,
    /// The highest session id given out.
    sessions: HashMap<EnvironmentId, u32>,
    variables: HashMap<EnvironmentId, Variables>,
    /// Held by whoever changes how a box runs: one at a time on each.
    turns: HashMap<EnvironmentId, Weak<tokio::sync::Mutex<()>>>,
    /// Wakes whoever waits to look at a box again.
    nudges: HashMap<EnvironmentId, Arc<Notify>>,
    /// Boxes that this server has spoken with.
    connected: HashSet<EnvironmentId>,
}

/// The parts of `Shared` that come from outside.
pub(super) struct Parts {
    pub layout: Layout,
    pub keeper: Arc<Keeper>,
    pub deck: String,
    pub native: Arc<dyn Engine>,
    pub docker: Arc<dyn Engine>,
    pub gateway: Arc<Gateway>,
    pub watcher: Watcher,
    pub messages: mpsc::Sender<Message>,
}

impl Shared {
    pub fn new(parts: Parts) -> Self {
        let Parts { layout, keeper, deck, native, docker, gateway, watcher, messages } = parts;
        Self {
            deciding: Deciding::new(layout.clone()),
            layout,
            keeper,
            ahead: Ahead::default(),
            deck,
            started: now(),
            hub: Hub::default(),
            native,
            docker,
            gateway,
            gates: Gates::default(),
            watcher,
            messages,
            prompts: Prompts::default(),
            marks: Mutex::default(),
            hands: Hands::default(),
            stores: Stores::default(),
            snapshots_moved: Notify::new(),
            counts: Counts::default(),
            waiting: Waiting::default(),
            trashed: Notify::new(),
            linked: Notify::new(),
            tables: Mutex::default(),
            binary: Mutex::default(),
        }
    }

    /// This program, where boxes are started from. Reading and digesting it takes longer than
    /// making a box, and a running program never changes.
    pub fn binary(&self) -> Result<PathBuf, Failure> {
        let mut placed = self.binary.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = placed.as_ref().filter(|path| path.is_file()) {
            return Ok(path.clone());
        }
        let path = crate::engine::place_binary(self.layout.home())?;
        Ok(placed.insert(path).clone())
    }

    pub fn engine(&self, kind: EngineKind) -> &Arc<dyn Engine> {
        match kind {
            EngineKind::Native => &self.native,
            EngineKind::Docker => &self.docker,
        }
    }

    /// Tells the loop what happened to an environment.
    pub async fn report(&self, environment: &EnvironmentId, report: Report) {
        let message = Message::Report { environment: environment.clone(), report };
        // The loop ends only when the server does; then nobody is left to tell.
        let _ = self.messages.send(message).await;
    }

    /// Waits until what was reported of an environment is recorded.
    pub async fn settled(&self, environment: &EnvironmentId) {
        // The loop takes messages in their order, so an answer means that all before is done.
        let _ = self.record(environment).await;
    }

    /// The newest record of an environment.
    pub async fn record(&self, environment: &EnvironmentId) -> Result<Record, Failure> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Record { environment: environment.clone(), reply };
        self.messages.send(message).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?.ok_or_else(|| {
            Failure::new(FailureKind::NotFound, format!("environment {environment} is gone"))
        })
    }

    /// Claims an environment for being started, and returns it as it was.
    pub async fn begin(&self, environment: &EnvironmentId) -> Result<Record, Failure> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Begin { environment: environment.clone(), reply };
        self.messages.send(message).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// Runs the task that keeps an environment connected, in the place of an earlier one.
    pub fn supervise(
        &self,
        environment: &EnvironmentId,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let task = tokio::spawn(task);
        if let Some(former) = self.tables().supervisors.insert(environment.clone(), task) {
            former.abort();
        }
    }

    /// Ends the task that keeps an environment connected, and waits until it says nothing more;
    /// whether there was one.
    pub async fn unsupervise(&self, environment: &EnvironmentId) -> bool {
        let former = self.tables().supervisors.remove(environment);
        if let Some(task) = &former {
            task.abort();
        }
        let was_there = former.is_some();
        if let Some(task) = former {
            // It ends at its next wait; a cancelled task is what is asked for.
            let _ = task.await;
        }
        self.set_link(environment, None);
        was_there
    }

    /// The record of the environment that a client means.
    pub async fn resolve(&self, target: Target) -> Result<Record, Failure> {
        let (reply, answer) = oneshot::channel();
        let message = Message::Resolve { target, reply };
        self.messages.send(message).await.map_err(|_| stopping())?;
        answer.await.map_err(|_| stopping())?
    }

    /// What an engine is told about an environment's box.
    pub fn plan(
        &self,
        record: &Record,
        identity: Identity,
        tools: Vec<PathBuf>,
    ) -> Result<BoxPlan, Failure> {
        let environment = &record.environment;
        let places = self.layout.environment(&environment.id);
        Ok(BoxPlan {
            environment: environment.id.clone(),
            name: environment.name.clone(),
            deck: self.deck.clone(),
            workspace: places.workspace(),
            git: places.git(),
            home: places.agent_home(),
            run: places.run(),
            directory: places.directory,
            mount: environment.repository.clone(),
            shim: self.binary()?,
            endpoint: record.endpoint.clone(),
            image: environment.image.clone(),
            runtime: environment.runtime.clone(),
            isolation: record.isolation_request,
            network: environment.network.clone(),
            limits: environment.limits.clone(),
            identity,
            tools,
        })
    }

    /// Listens for the box's gateway connections in its run directory, with its own policy.
    pub fn open_gate(&self, record: &Record) -> Result<(), Failure> {
        let environment = &record.environment;
        let run = self.layout.environment(&environment.id).run();
        let open = || {
            let listener = crate::socket::bind(&run, RelayConfig::SOCKET)?;
            listener.set_nonblocking(true)?;
            tokio::net::UnixListener::from_std(listener)
        };
        let listener = open().map_err(|error| {
            let place = run.join(RelayConfig::SOCKET);
            Failure::new(
                FailureKind::Unavailable,
                format!("the gateway could not listen on {}: {error}", place.display()),
            )
        })?;
        self.gates.open(environment, &self.gateway, listener, &self.messages);
        Ok(())
    }

    pub fn close_gate(&self, environment: &EnvironmentId) {
        self.gates.close(environment);
    }

    /// The connection to an environment's box.
    pub fn link(&self, environment: &EnvironmentId) -> Result<Link, Failure> {
        self.find_link(environment).ok_or_else(|| does_not_run(environment.as_str()))
    }

    /// The same, where the failure can say the environment's name.
    pub fn link_of(&self, environment: &Environment) -> Result<Link, Failure> {
        let paused = matches!(environment.state, EnvironmentState::Paused { .. });
        let link = self.find_link(&environment.id).filter(|_| !paused);
        link.ok_or_else(|| unlinked(environment))
    }

    /// The same, waiting a moment for a box that is known to run and is just being connected to.
    pub async fn wait_for_link(&self, environment: &Environment) -> Result<Link, Failure> {
        /// As long as a person would wait before asking again.
        const PATIENCE: Duration = Duration::from_secs(5);
        let waiting = async {
            loop {
                let changed = self.linked.notified();
                if let Ok(link) = self.link_of(environment) {
                    return link;
                }
                changed.await;
            }
        };
        if environment.state == EnvironmentState::Running
            && let Ok(link) = tokio::time::timeout(PATIENCE, waiting).await
        {
            return Ok(link);
        }
        // What is known by now is what to say.
        self.link_of(&self.record(&environment.id).await?.view())
    }

    fn find_link(&self, environment: &EnvironmentId) -> Option<Link> {
        self.tables().links.get(environment).cloned()
    }

    pub fn set_link(&self, environment: &EnvironmentId, link: Option<Link>) {
        let mut tables = self.tables();
        match link {
            Some(link) => {
                self.linked.notify_waiters();
                tables.connected.insert(environment.clone());
                tables.links.insert(environment.clone(), link)
            }
            None => tables.links.remove(environment),
        };
    }

    /// A session's screen, from memory or from its file.
    pub fn terminal(
        &self,
        environment: &EnvironmentId,
        session: SessionId,
    ) -> Option<Arc<Terminal>> {
        let key = (environment.clone(), session);
        if let Some(found) = self.tables().terminals.get(&key) {
            return Some(found.clone());
        }
        let restored = Arc::new(Terminal::restore(&self.screen_path(environment, session))?);
        Some(self.tables().terminals.entry(key).or_insert(restored).clone())
    }

    pub fn set_terminal(
        &self,
        environment: &EnvironmentId,
        session: SessionId,
        terminal: Arc<Terminal>,
    ) {
        self.tables().terminals.insert((environment.clone(), session), terminal);
    }

    /// Forgets a session's screen, in memory and on disk.
    pub fn drop_terminal(&self, environment: &EnvironmentId, session: SessionId) {
        let dropped = self.tables().terminals.remove(&(environment.clone(), session));
        if let Some(terminal) = dropped {
            terminal.close();
        }
        let _ = std::fs::remove_file(self.screen_path(environment, session));
    }

    pub fn terminals(&self, environment: &EnvironmentId) -> Vec<(SessionId, Arc<Terminal>)> {
        let tables = self.tables();
        let own = tables.terminals.iter().filter(|((id, _), _)| id == environment);
        own.map(|((_, session), terminal)| (*session, terminal.clone())).collect()
    }

    pub fn screen_path(&self, environment: &EnvironmentId, session: SessionId) -> PathBuf {
        self.layout.environment(environment).screens().join(format!("{session}.json"))
    }

    /// Writes every screen of an environment that has moved since it was last written.
    pub fn save_screens(&self, environment: &EnvironmentId) {
        for (session, terminal) in self.terminals(environment) {
            if terminal.unsaved() == 0 {
                continue;
            }
            if let Err(error) = terminal.save(&self.screen_path(environment, session)) {
                tracing::warn!(%environment, %session, "the screen was not saved: {error:#}");
            }
        }
    }

    pub fn snapshotter(&self, environment: &EnvironmentId) -> Option<Arc<Snapshotter>> {
        self.tables().snapshotters.get(environment).cloned()
    }

    /// Puts the job in that takes an environment's snapshots; `false` where it has one.
    pub fn set_snapshotter(&self, environment: &EnvironmentId, job: &Arc<Snapshotter>) -> bool {
        let mut tables = self.tables();
        let is_first = !tables.snapshotters.contains_key(environment);
        tables.snapshotters.entry(environment.clone()).or_insert_with(|| job.clone());
        is_first
    }

    /// An id for a new session, higher than `highest` and every one given out before.
    pub fn claim_session(&self, environment: &EnvironmentId, highest: u32) -> SessionId {
        let mut tables = self.tables();
        let last = tables.sessions.entry(environment.clone()).or_default();
        *last = (*last).max(highest) + 1;
        SessionId(*last)
    }

    /// The turn to change how an environment's box runs.
    pub fn turn(&self, environment: &EnvironmentId) -> Arc<tokio::sync::Mutex<()>> {
        let mut tables = self.tables();
        if let Some(turn) = tables.turns.get(environment).and_then(Weak::upgrade) {
            return turn;
        }
        // One that nobody has or waits for is as good as a new one.
        tables.turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        tables.turns.insert(environment.clone(), Arc::downgrade(&turn));
        turn
    }

    /// Wakes whoever waits to look at an environment's box again.
    pub fn nudge(&self, environment: &EnvironmentId) -> Arc<Notify> {
        self.tables().nudges.entry(environment.clone()).or_default().clone()
    }

    /// Whether this server has spoken with the environment's box.
    pub fn has_connected(&self, environment: &EnvironmentId) -> bool {
        self.tables().connected.contains(environment)
    }

    pub fn variables(&self, environment: &EnvironmentId) -> Variables {
        self.tables().variables.get(environment).cloned().unwrap_or_default()
    }

    pub fn set_variables(&self, environment: &EnvironmentId, variables: Variables) {
        self.tables().variables.insert(environment.clone(), variables);
    }

    /// Forgets everything about an environment that is only in memory.
    pub fn forget(&self, environment: &EnvironmentId) {
        self.gates.forget(environment);
        self.hands.forget(environment);
        self.waiting.set(environment, false);
        self.keeper.forget(environment);
        self.prompts.forget(environment);
        self.watcher.unwatch(environment);
        self.snapshots_moved.notify_one();
        let mut tables = self.tables();
        tables.links.remove(environment);
        if let Some(supervisor) = tables.supervisors.remove(environment) {
            supervisor.abort();
        }
        tables.snapshotters.remove(environment);
        tables.variables.remove(environment);
        tables.sessions.remove(environment);
        tables.nudges.remove(environment);
        tables.connected.remove(environment);
        let own = tables.terminals.extract_if(|(id, _), _| id == environment);
        let terminals: Vec<_> = own.map(|(_, terminal)| terminal).collect();
        drop(tables);
        for terminal in terminals {
            terminal.close();
        }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn now() -> Timestamp {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = since.map_or(0, |since| since.as_millis() as u64);
    Timestamp(millis.saturating_add_signed(step::jump()))
}

/// The path with links resolved, or as it is when that cannot be done.
pub(super) fn canonical(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

/// Runs git or file work beside the loop. A panic in it is this work's failure, not the server's.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let patient = || {
        turns::of_work();
        work()
    };
    match tokio::task::spawn_blocking(patient).await {
        Ok(result) => result,
        Err(error) => Err(Failure::new(FailureKind::Internal, format!("a task failed: {error}"))
            .hint("the server's log says more: server.log in the state directory")),
    }
}
