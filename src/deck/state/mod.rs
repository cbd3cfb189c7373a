//! What the deck knows and how it changes. Pure: requests and reports come in with the time,
//! effects go out; nothing here waits, reads a clock or touches a file.

mod notes;
mod report;
mod reviewed;
mod unheard;
mod unread;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::engine::BoxRecord;
use crate::model::environment::{Environment, EnvironmentState, Work};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{
    CommitId, EnvironmentId, EnvironmentName, RepositoryId, SessionId, Timestamp,
};
use crate::model::policy::IsolationRequest;
use crate::model::status::Source;
use crate::proto::Target;

pub use notes::Matter;
pub use report::Report;
pub use reviewed::Reviewed;
pub use unheard::Unheard;

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
    /// The engine that its box is made by, for kinds of which there may be several: the one that
    /// the environment of whoever asked for it named.
    #[serde(default)]
    pub endpoint: Option<String>,
    /// The box, once there is one.
    #[allow(clippy::struct_field_names, reason = "the engine's record within the deck's")]
    pub record: Option<BoxRecord>,
    /// Whether the workspace was made whole and its first snapshot taken.
    pub workspace_made: bool,
    /// Its files were there before the environment was: they are never made anew, and its agent
    /// may be at work before the first snapshot, which is the base.
    #[serde(default)]
    pub files_made: bool,
    /// Names of the variables that its programs were given; their values are never written.
    #[serde(default)]
    pub variable_names: Vec<String>,
    /// A start of the server went on with its making. A second one leaves that to a person, so
    /// that what ends servers cannot end every one of them.
    #[serde(default)]
    pub taken_up: bool,
    /// The user wants it to run. An engine that ends it by its own restart starts it again.
    #[serde(default)]
    pub wanted: bool,
    /// Its agent is still to be started in the box that runs, or will run.
    #[serde(default)]
    pub agent_due: bool,
    /// Its agent was started at least once.
    #[serde(default)]
    pub agent_started: bool,
    /// A person wants its agent's next start to begin a new conversation.
    #[serde(default)]
    pub anew: bool,
    /// Its agent was seen at work.
    #[serde(default)]
    pub agent_worked: bool,
    /// The user's uncommitted work comes along into its workspace.
    #[serde(default)]
    pub with_changes: bool,
    /// Where it was forked from.
    #[serde(default)]
    pub fork: Option<ForkNote>,
    /// What the user has reviewed of it.
    #[serde(default)]
    pub reviewed: Reviewed,
    /// What is noted of matters that pass.
    #[serde(default)]
    pub standing: BTreeMap<Matter, String>,
    /// The server began and has not heard yet whether it is still as it was.
    #[serde(skip)]
    pub unheard: Option<Unheard>,
}

/// What a fork is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkNote {
    pub source: EnvironmentId,
    /// Left out, the newest at that moment.
    pub snapshot: Option<CommitId>,
    /// Everything that is taken from the source is in place. Until then the fork has nothing of its
    /// own that could be lost.
    pub copied: bool,
}

/// Every environment, by id.
#[derive(Debug, Default)]
pub struct State {
    records: BTreeMap<EnvironmentId, Record>,
    /// What is listed and has no record here.
    unread: BTreeMap<EnvironmentId, Environment>,
    /// Who holds a session's keyboard.
    keyboards: BTreeMap<(EnvironmentId, SessionId), ClientId>,
}

/// One connected client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(pub u64);

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

    /// Takes in what came back from the trash, under another name where its own has gone to another.
    pub fn restore(&mut self, mut record: Record) -> Vec<Effect> {
        let environment = &mut record.environment;
        let name = self.free_name(&environment.repository, &environment.name);
        if name != environment.name {
            let note = format!("it was called {}, as another environment is now", environment.name);
            environment.notes.push(note);
            environment.name = name;
        }
        self.insert(record)
    }

    pub fn remove(&mut self, id: &EnvironmentId) -> Vec<Effect> {
        self.keyboards.retain(|(environment, _), _| environment != id);
        let was_there = self.records.remove(id).is_some() | self.unread.remove(id).is_some();
        if was_there { vec![Effect::Remove(id.clone())] } else { Vec::new() }
    }

    /// The environment a client means.
    pub fn resolve(&self, target: &Target) -> Result<&Record, Failure> {
        match target {
            Target::Id(id) => self
                .records
                .get(id)
                .ok_or_else(|| self.refused(target, true).unwrap_or_else(|| unknown(id.as_str()))),
            Target::Name { repository, name } => {
                self.resolve_name(target, repository.as_deref(), name)
            }
        }
    }

    fn resolve_name(
        &self,
        target: &Target,
        path: Option<&Path>,
        name: &str,
    ) -> Result<&Record, Failure> {
        let named = |record: &&Record| {
            record.environment.name.as_str() == name || record.environment.id.as_str() == name
        };
        let here = |record: &&Record| super::hub::in_scope(&record.environment, path);
        // A name within the repository at hand wins; elsewhere it must be the only one.
        let mut found: Vec<&Record> = self.records.values().filter(named).filter(here).collect();
        if found.is_empty() && path.is_some() {
            self.refused(target, false).map_or(Ok(()), Err)?;
            found = self.records.values().filter(named).collect();
        }
        match found.as_slice() {
            [] => Err(self.refused(target, true).unwrap_or_else(|| unknown(name))),
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
        let has_it = |it: &Environment| it.repository == repository && it.name == *name;
        let exists = |hint: String| {
            let message = format!("an environment {name} exists already");
            Err(Failure::new(FailureKind::AlreadyExists, message).hint(hint))
        };
        if self.records.values().any(|record| has_it(&record.environment)) {
            return exists(format!("choose another name, or discard it: agentdeck discard {name}"));
        }
        if self.unread().any(has_it) {
            return exists(format!("choose another name; agentdeck inspect {name} says more"));
        }
        Ok(())
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
                let mut effects = self.apply(id, Report::Wanted { running: true }, now);
                effects.extend(self.apply(id, Report::AgentDue { due: true }, now));
                effects.extend(self.apply(id, report, now));
                (Ok(record), effects)
            }
        }
    }

    /// Records what happened. A report about an environment that is gone changes nothing.
    pub fn apply(&mut self, id: &EnvironmentId, report: Report, now: Timestamp) -> Vec<Effect> {
        let Some(record) = self.records.get_mut(id) else { return Vec::new() };
        let before = record.clone();
        report::apply(record, report, now);
        if *record == before {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if durable(record) != durable(&before) {
            effects.push(Effect::Persist(id.clone()));
        }
        if record.environment != before.environment || record.unheard != before.unheard {
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

    /// The client that holds a session's keyboard.
    pub fn holder(&self, id: &EnvironmentId, session: SessionId) -> Option<ClientId> {
        self.keyboards.get(&(id.clone(), session)).copied()
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
    record.unheard = None;
    record.environment.denied.clear();
    record.environment.load = None;
    // They have a file of their own.
    record.environment.prompts.clear();
    record.environment.prediction = None;
    for session in &mut record.environment.sessions {
        session.last_output = None;
        session.taken = false;
        session.title.clear();
        // Since when it waits is to outlive the server; its words are not.
        if let Some(status) = &mut session.status {
            status.source = Source::Nothing;
            status.says = None;
        }
    }
    if let EnvironmentState::Creating { step, done, total } = &mut record.environment.state {
        step.clear();
        (*done, *total) = (0, 0);
    }
    record
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
pub(super) mod tests;
