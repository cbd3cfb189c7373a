//! What the deck knows and how it changes. Pure: requests and reports come in with the time,
//! effects go out; nothing here waits, reads a clock or touches a file.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::engine::BoxRecord;
use crate::model::destination::Denial;
use crate::model::environment::{
    Environment, EnvironmentState, Session, SessionKind, SessionState, Work,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, EnvironmentName, RepositoryId, SessionId, Timestamp};
use crate::model::policy::{Isolation, IsolationRequest, NetworkPolicy};
use crate::model::screen::Size;
use crate::model::snapshot::{Divergence, Snapshot};
use crate::proto::Target;

/// An output mark on screen steps this often, in milliseconds: idle must mean idle.
const OUTPUT_STEP: u64 = 10_000;

/// The layout of a record on disk.
pub const RECORD_VERSION: u32 = 1;

/// An environment as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub version: u32,
    pub environment: Environment,
    pub repository_id: RepositoryId,
    pub work: Work,
    pub isolation_request: IsolationRequest,
    /// The box, once there is one.
    #[allow(clippy::struct_field_names, reason = "the engine's record within the deck's")]
    pub record: Option<BoxRecord>,
    /// Whether the workspace was made whole.
    pub workspace_made: bool,
    /// Names of the variables that its programs were given; their values are never written.
    #[serde(default)]
    pub variable_names: Vec<String>,
    /// A start of the server went on with its making. A second one leaves that to a person, so
    /// that what ends servers cannot end every one of them.
    #[serde(default)]
    pub taken_up: bool,
}

/// Every environment, by id.
#[derive(Debug, Default)]
pub struct State {
    records: BTreeMap<EnvironmentId, Record>,
    /// Who holds a session's keyboard.
    keyboards: BTreeMap<(EnvironmentId, SessionId), ClientId>,
}

/// One connected client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

/// What happened to an environment, told by whoever saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Progress {
        step: String,
        done: u64,
        total: u64,
    },
    WorkspaceMade,
    BoxMade {
        record: BoxRecord,
    },
    /// The programs are given variables of these names.
    Variables(Vec<String>),
    /// A start of the server goes on with its making.
    TakenUp,
    Isolation(Isolation),
    /// The shim answers; sessions are what it has.
    Running,
    Stopped,
    Failed(Failure),
    Unreachable {
        message: String,
    },
    SessionOpened {
        session: SessionId,
        kind: SessionKind,
        command: Vec<String>,
        size: Size,
    },
    SessionExited {
        session: SessionId,
        code: i32,
    },
    /// It never ran; one report, so that nobody sees it running in between.
    SessionFailed {
        session: SessionId,
        kind: SessionKind,
        command: Vec<String>,
        size: Size,
        message: String,
    },
    SessionClosed {
        session: SessionId,
    },
    SessionResized {
        session: SessionId,
        size: Size,
    },
    Output {
        session: SessionId,
        title: String,
    },
    Note(String),
    SnapshotTaken {
        snapshot: Box<Snapshot>,
        count: u32,
        divergence: Divergence,
    },
    /// Recounted without a snapshot.
    Diverged(Divergence),
    /// What the gate refused, the newest first.
    Denied(Vec<Denial>),
    NetworkChanged(NetworkPolicy),
}

/// What must be done because the state changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Keep the record before anything else is done with it.
    Persist(EnvironmentId),
    /// Tell clients the new view.
    Publish(EnvironmentId),
    /// Forget everything about it and tell clients.
    Remove(EnvironmentId),
}

impl State {
    pub fn get(&self, id: &EnvironmentId) -> Option<&Record> {
        self.records.get(id)
    }

    pub fn records(&self) -> impl Iterator<Item = &Record> {
        self.records.values()
    }

    /// Takes in a record from disk or from the trash.
    pub fn insert(&mut self, record: Record) -> Vec<Effect> {
        let id = record.environment.id.clone();
        self.records.insert(id.clone(), record);
        vec![Effect::Persist(id.clone()), Effect::Publish(id)]
    }

    pub fn remove(&mut self, id: &EnvironmentId) -> Vec<Effect> {
        self.keyboards.retain(|(environment, _), _| environment != id);
        match self.records.remove(id) {
            Some(_) => vec![Effect::Remove(id.clone())],
            None => Vec::new(),
        }
    }

    /// The environment a client means.
    pub fn resolve(&self, target: &Target) -> Result<&Record, Failure> {
        match target {
            Target::Id(id) => self.records.get(id).ok_or_else(|| unknown(id.as_str())),
            Target::Name { repository, name } => self.resolve_name(repository.as_deref(), name),
        }
    }

    fn resolve_name(&self, path: Option<&Path>, name: &str) -> Result<&Record, Failure> {
        let named = |record: &&Record| {
            record.environment.name.as_str() == name || record.environment.id.as_str() == name
        };
        let here = |record: &&Record| super::hub::in_scope(&record.environment, path);
        // A name within the repository at hand wins; elsewhere it must be the only one.
        let mut found: Vec<&Record> = self.records.values().filter(named).filter(here).collect();
        if found.is_empty() && path.is_some() {
            found = self.records.values().filter(named).collect();
        }
        match found.as_slice() {
            [] => Err(unknown(name)),
            [record] => Ok(record),
            several => {
                let places: Vec<String> = several
                    .iter()
                    .map(|record| {
                        let environment = &record.environment;
                        format!("{} in {}", environment.id, environment.repository.display())
                    })
                    .collect();
                Err(Failure::new(
                    FailureKind::Invalid,
                    format!("{name} names several environments: {}", places.join(", ")),
                )
                .hint("use the id, or run the command in the repository it belongs to"))
            }
        }
    }

    /// `name`, or with a number behind it where the repository has an environment of that name.
    pub fn free_name(&self, repository: &Path, name: &EnvironmentName) -> EnvironmentName {
        let numbered = |number: u32| {
            let end = format!("-{number}");
            let room = EnvironmentName::MAX_LENGTH.saturating_sub(end.len());
            let kept: String = name.as_str().chars().take(room).collect();
            EnvironmentName::parse(&format!("{}{end}", kept.trim_end_matches('-'))).ok()
        };
        let candidates = std::iter::once(name.clone()).chain((2..).filter_map(numbered));
        let free = |name: &EnvironmentName| self.check_name(repository, name).is_ok();
        candidates.into_iter().find(free).unwrap_or_else(|| name.clone())
    }

    /// Whether a new environment of a repository may have this name.
    pub fn check_name(&self, repository: &Path, name: &EnvironmentName) -> Result<(), Failure> {
        let taken = self.records.values().any(|record| {
            record.environment.repository == repository && record.environment.name == *name
        });
        if !taken {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::AlreadyExists,
            format!("an environment {name} exists already"),
        )
        .hint(format!("choose another name, or discard it: agentdeck discard {name}")))
    }

    /// Claims an environment for being started: returns it as it was, and has it being made from
    /// now on unless it runs. One at a time.
    pub fn begin(
        &mut self,
        id: &EnvironmentId,
        now: Timestamp,
    ) -> (Result<Record, Failure>, Vec<Effect>) {
        let Some(record) = self.records.get(id).cloned() else {
            return (Err(unknown(id.as_str())), Vec::new());
        };
        match &record.environment.state {
            EnvironmentState::Creating { .. } => (Err(being_made(&record.environment)), Vec::new()),
            EnvironmentState::Running
            | EnvironmentState::Paused { .. }
            | EnvironmentState::EngineUnreachable { .. } => (Ok(record), Vec::new()),
            EnvironmentState::Stopped | EnvironmentState::Failed { .. } => {
                let report = Report::Progress { step: "starting".to_owned(), done: 0, total: 0 };
                let effects = self.apply(id, report, now);
                (Ok(record), effects)
            }
        }
    }

    /// Records what happened. A report about an environment that is gone changes nothing.
    pub fn apply(&mut self, id: &EnvironmentId, report: Report, now: Timestamp) -> Vec<Effect> {
        let Some(record) = self.records.get_mut(id) else { return Vec::new() };
        let before = record.clone();
        match report {
            Report::WorkspaceMade => record.workspace_made = true,
            Report::BoxMade { record: made } => record.record = Some(made),
            Report::Variables(names) => record.variable_names = names,
            Report::TakenUp => record.taken_up = true,
            Report::Running => {
                record.taken_up = false;
                enter(&mut record.environment, EnvironmentState::Running, now);
            }
            other => apply_to_view(&mut record.environment, other, now),
        }
        if *record == before {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if durable(record) != durable(&before) {
            effects.push(Effect::Persist(id.clone()));
        }
        if record.environment != before.environment {
            effects.push(Effect::Publish(id.clone()));
        }
        effects
    }

    /// Gives a session's keyboard to a client. The newest taker has it.
    pub fn take_keyboard(
        &mut self,
        id: &EnvironmentId,
        session: SessionId,
        client: ClientId,
    ) -> Result<Vec<Effect>, Failure> {
        let record = self.records.get_mut(id).ok_or_else(|| unknown(id.as_str()))?;
        let held = record.environment.sessions.iter_mut().find(|held| held.id == session);
        let held = held.ok_or_else(|| no_session(session))?;
        held.taken = true;
        self.keyboards.insert((id.clone(), session), client);
        Ok(vec![Effect::Publish(id.clone())])
    }

    /// Takes back what `client` holds: one session's keyboard, or all when none is named.
    pub fn give_keyboards(
        &mut self,
        client: ClientId,
        only: Option<(&EnvironmentId, SessionId)>,
    ) -> Vec<Effect> {
        let given: Vec<_> = self
            .keyboards
            .iter()
            .filter(|(place, holder)| {
                **holder == client
                    && only.is_none_or(|(id, session)| place.0 == *id && place.1 == session)
            })
            .map(|(place, _)| place.clone())
            .collect();
        let mut effects = Vec::new();
        for place in given {
            self.keyboards.remove(&place);
            let environment = self.records.get_mut(&place.0).map(|record| &mut record.environment);
            let sessions = environment.into_iter().flat_map(|view| view.sessions.iter_mut());
            for session in sessions.filter(|session| session.id == place.1) {
                session.taken = false;
            }
            effects.push(Effect::Publish(place.0));
        }
        effects
    }
}

/// What of a record is worth writing to disk: everything but what changes with each output.
fn durable(record: &Record) -> Record {
    let mut record = record.clone();
    for session in &mut record.environment.sessions {
        session.last_output = None;
        session.taken = false;
        session.title.clear();
    }
    record.environment.denied.clear();
    if let EnvironmentState::Creating { step, done, total } = &mut record.environment.state {
        step.clear();
        (*done, *total) = (0, 0);
    }
    record
}

fn apply_to_view(view: &mut Environment, report: Report, now: Timestamp) {
    match report {
        Report::Progress { step, done, total } => {
            if matches!(view.state, EnvironmentState::Creating { .. }) {
                view.state = EnvironmentState::Creating { step, done, total };
            } else {
                enter(view, EnvironmentState::Creating { step, done, total }, now);
            }
        }
        Report::Isolation(isolation) => view.isolation = Some(isolation),
        Report::Stopped => {
            // Why it failed says more than that it does not run.
            if !matches!(view.state, EnvironmentState::Failed { .. }) {
                enter(view, EnvironmentState::Stopped, now);
            }
            end_sessions(view, now);
        }
        Report::Failed(failure) => {
            let state =
                EnvironmentState::Failed { message: failure.to_string(), hint: failure.hint };
            enter(view, state, now);
            end_sessions(view, now);
        }
        Report::Unreachable { message } => {
            if !matches!(view.state, EnvironmentState::EngineUnreachable { .. }) {
                enter(view, EnvironmentState::EngineUnreachable { since: now, message }, now);
            }
        }
        Report::Note(note) => {
            if !view.notes.contains(&note) {
                view.notes.push(note);
            }
        }
        Report::SnapshotTaken { snapshot, count, divergence } => {
            view.last_snapshot = Some(snapshot.at);
            view.snapshots = count;
            view.divergence = divergence;
        }
        Report::Diverged(divergence) => view.divergence = divergence,
        Report::Denied(denied) => view.denied = denied,
        Report::NetworkChanged(policy) => view.network = policy,
        Report::SessionClosed { session } => view.sessions.retain(|open| open.id != session),
        Report::SessionOpened { session, kind, command, size } => {
            open_session(view, session, kind, command, size, now);
        }
        Report::SessionExited { session, code } => {
            with_session(view, session, |open| {
                if open.state == SessionState::Running {
                    open.state = SessionState::Exited { code, at: now };
                    // Nobody types into a program that has ended.
                    open.taken = false;
                }
            });
        }
        Report::SessionFailed { session, kind, command, size, message } => {
            open_session(view, session, kind, command, size, now);
            with_session(view, session, |open| open.state = SessionState::Failed { message });
        }
        Report::SessionResized { session, size } => {
            with_session(view, session, |open| open.size = size);
        }
        Report::Output { session, title } => with_session(view, session, |open| {
            let shown = open.last_output.map_or(0, |at| at.0);
            if now.0.saturating_sub(shown) >= OUTPUT_STEP {
                open.last_output = Some(now);
            }
            open.title = title;
        }),
        Report::WorkspaceMade
        | Report::BoxMade { .. }
        | Report::Variables(_)
        | Report::TakenUp
        | Report::Running => {}
    }
}

fn enter(view: &mut Environment, state: EnvironmentState, now: Timestamp) {
    if view.state != state {
        view.state = state;
        view.state_since = now;
    }
}

/// Programs do not outlive their box, nor does what held them. How they ended is not known, so the code says "killed".
fn end_sessions(view: &mut Environment, now: Timestamp) {
    const KILLED: i32 = 128 + 9;
    view.isolation = None;
    view.sessions.retain(|session| session.kind == SessionKind::Agent);
    for session in &mut view.sessions {
        session.taken = false;
        if session.state == SessionState::Running {
            session.state = SessionState::Exited { code: KILLED, at: now };
        }
    }
}

fn open_session(
    view: &mut Environment,
    id: SessionId,
    kind: SessionKind,
    command: Vec<String>,
    size: Size,
    now: Timestamp,
) {
    let session = Session {
        id,
        kind,
        command,
        state: SessionState::Running,
        size,
        started: now,
        last_output: None,
        taken: false,
        title: String::new(),
    };
    match view.sessions.iter_mut().find(|open| open.id == id) {
        Some(open) => *open = session,
        None => view.sessions.push(session),
    }
    view.sessions.sort_by_key(|open| open.id);
}

fn with_session(view: &mut Environment, id: SessionId, change: impl FnOnce(&mut Session)) {
    if let Some(session) = view.sessions.iter_mut().find(|session| session.id == id) {
        change(session);
    }
}

fn unknown(name: &str) -> Failure {
    Failure::new(FailureKind::NotFound, format!("there is no environment {name}"))
        .hint("list them with agentdeck ls")
}

/// The failure for what must wait until an environment is made.
pub fn being_made(environment: &Environment) -> Failure {
    let message = format!("{} is still being made", environment.name);
    Failure::new(FailureKind::Invalid, message).hint("wait until it runs")
}

/// The failure for a session that an environment does not have.
pub fn no_session(session: SessionId) -> Failure {
    Failure::new(FailureKind::NotFound, format!("there is no session {session}"))
        .hint("list sessions with agentdeck inspect")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::CommitId;
    use crate::model::policy::{EngineKind, Limits, NetworkPolicy};

    const START: Timestamp = Timestamp(1_000_000);

    fn record(digit: u8, name: &str, repository: &str) -> Record {
        let environment = Environment {
            id: EnvironmentId::from_random([digit; 8]),
            name: EnvironmentName::parse(name).expect("a name"),
            repository: repository.into(),
            base: CommitId::parse(&"0".repeat(40)).expect("a commit"),
            base_branch: None,
            agent: "shell".to_owned(),
            command: vec!["sh".to_owned()],
            engine: EngineKind::Native,
            image: None,
            runtime: None,
            require: Vec::new(),
            network: NetworkPolicy::default(),
            denied: Vec::new(),
            limits: Limits::default(),
            isolation: None,
            state: EnvironmentState::Creating { step: String::new(), done: 0, total: 0 },
            state_since: START,
            sessions: Vec::new(),
            divergence: Divergence::default(),
            snapshots: 0,
            last_snapshot: None,
            created: START,
            notes: Vec::new(),
        };
        Record {
            version: RECORD_VERSION,
            environment,
            repository_id: RepositoryId("r".to_owned()),
            work: Work::Profile("shell".to_owned()),
            isolation_request: IsolationRequest::Required,
            record: None,
            workspace_made: false,
            variable_names: Vec::new(),
            taken_up: false,
        }
    }

    fn deck(records: impl IntoIterator<Item = Record>) -> State {
        let mut state = State::default();
        for record in records {
            state.insert(record);
        }
        state
    }

    fn by_name(repository: &str, name: &str) -> Target {
        Target::Name { repository: Some(repository.into()), name: name.to_owned() }
    }

    fn opened(session: u32) -> Report {
        let kind = if session == 0 { SessionKind::Agent } else { SessionKind::Shell };
        let session = SessionId(session);
        Report::SessionOpened { session, kind, command: Vec::new(), size: Size::DEFAULT }
    }

    #[test]
    fn a_name_means_the_environment_of_the_repository_at_hand() {
        let (here, there) = (record(1, "otter", "/a"), record(2, "otter", "/b"));
        let ids = (here.environment.id.clone(), there.environment.id.clone());
        let state = deck([here, there, record(3, "heron", "/b")]);
        let found = |target| state.resolve(&target).map(|record| record.environment.id.clone());
        assert_eq!(found(by_name("/a/src", "otter")), Ok(ids.0));
        assert_eq!(found(by_name("/b", "otter")), Ok(ids.1));
        // From elsewhere, a name that is the only one will do; an ambiguous one will not.
        assert!(found(by_name("/a", "heron")).is_ok());
        let failure = found(by_name("/c", "otter")).expect_err("ambiguous");
        assert_eq!(failure.kind, FailureKind::Invalid);
        let failure = found(by_name("/a", "lynx")).expect_err("unknown");
        assert_eq!(failure.kind, FailureKind::NotFound);
    }

    #[test]
    fn output_is_told_in_steps_and_never_written() {
        let one = record(1, "otter", "/a");
        let id = one.environment.id.clone();
        let mut state = deck([one]);
        state.apply(&id, opened(0), START);
        let mut print = |at: u64| {
            let report = Report::Output { session: SessionId::AGENT, title: String::new() };
            state.apply(&id, report, Timestamp(START.0 + at))
        };
        assert_eq!(print(1), [Effect::Publish(id.clone())]);
        assert_eq!(print(5_000), []);
        assert_eq!(print(10_002), [Effect::Publish(id.clone())]);
    }

    #[test]
    fn a_keyboard_is_given_back_when_its_holder_leaves() {
        let one = record(1, "otter", "/a");
        let id = one.environment.id.clone();
        let mut state = deck([one]);
        state.apply(&id, opened(0), START);
        let taken = |state: &State| state.get(&id).expect("listed").environment.sessions[0].taken;
        state.take_keyboard(&id, SessionId::AGENT, ClientId(1)).expect("taken");
        assert!(taken(&state));
        assert_eq!(state.give_keyboards(ClientId(2), None), []);
        assert!(taken(&state));
        state.give_keyboards(ClientId(1), None);
        assert!(!taken(&state));
        state.take_keyboard(&id, SessionId::AGENT, ClientId(1)).expect("taken");
        state.apply(&id, Report::SessionExited { session: SessionId::AGENT, code: 0 }, START);
        assert!(!taken(&state), "nor does anybody hold that of a program which ended");
    }

    #[test]
    fn a_stopped_box_has_no_running_programs() {
        let one = record(1, "otter", "/a");
        let id = one.environment.id.clone();
        let mut state = deck([one]);
        state.apply(&id, opened(0), START);
        state.apply(&id, opened(1), START);
        state.apply(&id, Report::Stopped, START);
        let view = &state.get(&id).expect("listed").environment;
        assert_eq!(view.state, EnvironmentState::Stopped);
        let states: Vec<_> = view.sessions.iter().map(|open| (open.id.0, &open.state)).collect();
        assert_eq!(states, [(0, &SessionState::Exited { code: 137, at: START })]);
    }

    #[test]
    fn progress_is_shown_but_not_written() {
        let one = record(1, "otter", "/a");
        let id = one.environment.id.clone();
        let mut state = deck([one]);
        let report = Report::Progress { step: "checking out".to_owned(), done: 1, total: 2 };
        assert_eq!(state.apply(&id, report.clone(), START), [Effect::Publish(id.clone())]);
        assert_eq!(state.apply(&id, report, START), []);
        let effects = state.apply(&id, Report::WorkspaceMade, START);
        assert_eq!(effects, [Effect::Persist(id)]);
    }
}
