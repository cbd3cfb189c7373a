//! Makes environments and starts them: workspace, box, connection, agent.
//!
//! The record is on disk before anything else is, so that a half-made environment is known.

mod agent;
mod beginning;
mod boxes;
mod evidence;
mod merging;
mod prepare;
mod require;
mod seeds;
mod workspace;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::ahead;
use super::forking;
use super::holding;
use super::recover;
use super::shared::Shared;
use super::state::{Matter, Record, Report};
use super::step::{Step, reached};
use crate::config::{file, profiles};
use crate::engine::BoxRecord;
use crate::model::environment::{EnvironmentState, SessionState, Variable, Work};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::profile::AgentProfile;
use crate::model::screen::Size;
use crate::proto::Target;
use crate::repo::snapshot::Touched;
use agent::{Begun, Tried, install_agent, start_agent, try_agent};
use boxes::{connect, make_box};
use workspace::make_files;

pub(super) use boxes::{is_gone, plan};
pub(super) use prepare::{Prepared, prepare, record, uncommitted_note};
pub(super) use workspace::{FirstLook, keep_snapshot, watch};

/// Makes an environment whole and starts its agent. What fails is the environment's state.
pub(super) async fn make(
    shared: Arc<Shared>,
    record: Record,
    profile: AgentProfile,
    variables: Vec<Variable>,
    size: Size,
) {
    let id = record.environment.id.clone();
    remember_variables(&shared, &id, &profile, variables).await;
    let made = async {
        let laying_out = workspace::lay_out(&shared, &record, &profile);
        let (laid_out, plan) = tokio::join!(laying_out, plan(&shared, &record, &profile));
        laid_out?;
        let plan = plan?;
        if record.files_made && !record.workspace_made && !record.with_changes {
            // The agent needs nothing more, and the first snapshot is the base whatever it does.
            let made = make_box(&shared, &record, &plan).await?;
            return set_to_work(&shared, &record, &profile, size, made, Files::There).await;
        }
        // Both take their time, and the agent needs both.
        let (made, files) =
            tokio::join!(make_box(&shared, &record, &plan), make_files(&shared, &record));
        let made = made?;
        let keeping = match files {
            Ok(keeping) => keeping,
            Err(failure) => {
                let engine = shared.engine(record.environment.engine);
                let _ = engine.stop(&made, Duration::ZERO).await;
                return Err(failure);
            }
        };
        let files = Files::Taken(keeping);
        set_to_work(&shared, &record, &profile, size, made, files).await
    };
    if let Err(failure) = made.await {
        tracing::info!(environment = %id, "not made: {failure}");
        shared.close_gate(&id);
        shared.report(&id, Report::Failed(failure)).await;
    }
}

/// Starts the agent in a box that was just made. What may come after that does not wait for an
/// agent that is to be installed first.
async fn set_to_work(
    shared: &Arc<Shared>,
    record: &Record,
    profile: &AgentProfile,
    size: Size,
    made: BoxRecord,
    files: Files,
) -> Result<(), Failure> {
    let id = &record.environment.id;
    let begun = async {
        let connected = connect(shared, record, made).await?;
        connected.require(shared).await?;
        reached(Step::Connected);
        Ok((connected, try_agent(shared, id, profile, size).await?))
    };
    let (connected, tried) = match begun.await {
        Ok(begun) => begun,
        Err(failure) => {
            // Why it failed must be told before its watcher tells that its box ended.
            let (shared, id) = (shared.clone(), id.clone());
            if let Files::Taken(keeping) = files {
                tokio::spawn(async move { settle_files(&shared, &id, keeping).await });
            }
            return Err(failure);
        }
    };
    let keeping = match files {
        Files::Taken(keeping) => keeping,
        Files::There => {
            reached(Step::AheadAtWork);
            match make_files(shared, record).await {
                Ok(keeping) => keeping,
                Err(failure) => {
                    connected.fail(shared, &failure).await;
                    return Err(failure);
                }
            }
        }
    };
    let starting = async {
        let begun = match tried {
            Tried::Begun(begun) => begun,
            Tried::Missing(agent) => {
                install_agent(shared, id, profile, *agent).await?;
                Begun::Now
            }
        };
        if begun == Begun::Now {
            reached(Step::AgentStarted);
            shared.report(id, Report::AgentDue { due: false }).await;
        }
        Ok(())
    };
    let settling = async {
        connected.note_isolation(shared).await;
        let fresh = keeping.is_some();
        settle_files(shared, id, keeping).await;
        if fresh {
            ahead::make_next(shared, record);
        }
    };
    tokio::join!(starting, settling).0
}

/// How far the files of an environment are when its box is there.
enum Files {
    /// Their first snapshot was taken; it may be on its way to the disk.
    Taken(Option<workspace::Keeping>),
    /// Only they themselves are there.
    There,
}

/// Does for an environment whose agent was at work when a kill came what it has yet to have.
pub(super) async fn finish_files(shared: Arc<Shared>, record: Record) {
    let id = &record.environment.id;
    match make_files(&shared, &record).await {
        Ok(keeping) => settle_files(&shared, id, keeping).await,
        Err(failure) => {
            let note = Some(format!("it has no snapshot, and changes are not noticed: {failure}"));
            shared.report(id, Report::Matter { matter: Matter::Watching, note }).await;
        }
    }
}

/// Does for new files what may come after the agent's start: the first snapshot survives a power
/// cut, and where the environment stands is measured.
async fn settle_files(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    keeping: Option<workspace::Keeping>,
) {
    let Some(keeping) = keeping else { return };
    if let Some(snapshotter) = shared.snapshotter(id) {
        snapshotter.touched(Touched::Everything, true);
    }
    note_unkept(shared.clone(), id.clone(), keeping).await;
}

/// Says of an environment whose first snapshot does not get to the disk that it does not.
pub(super) async fn note_unkept(
    shared: Arc<Shared>,
    id: EnvironmentId,
    keeping: workspace::Keeping,
) {
    let kept = keeping.await.map_err(|error| error.to_string());
    let problem = match kept {
        Ok(Ok(())) => return,
        Ok(Err(failure)) => failure.to_string(),
        Err(error) => error,
    };
    let note = format!("its first snapshot may not survive a power cut: {problem}");
    shared.report(&id, Report::Note(note)).await;
}

/// What becomes of the conversation of an agent that is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Talk {
    /// It goes on with it, where there is one.
    GoesOn,
    /// It begins a new one.
    Anew,
}

/// Starts a stopped environment again, or goes on where its making failed.
pub(super) async fn start(
    shared: &Arc<Shared>,
    record: Record,
    variables: Vec<Variable>,
    talk: Talk,
) -> Result<(), Failure> {
    let profile = profile_of(shared, &record)?;
    check_variables(shared, &record, &profile, &variables)?;
    heard(shared, &record.environment.id).await?;
    let record = begin(shared, &record.environment.id).await?;
    if let EnvironmentState::Paused { .. } = record.environment.state {
        holding::resume(shared, Target::Id(record.environment.id.clone())).await?;
        return Ok(());
    }
    if matches!(
        record.environment.state,
        EnvironmentState::Running | EnvironmentState::EngineUnreachable { .. }
    ) {
        return restart_agent(shared, record, &profile, variables, talk).await;
    }
    shared.report(&record.environment.id, Report::Anew { anew: talk == Talk::Anew }).await;
    let size = record.environment.session(SessionId::AGENT).map_or(Size::DEFAULT, |open| open.size);
    if record.fork.as_ref().is_some_and(|fork| !fork.copied) {
        return forking::again(shared, record, profile, variables, size).await;
    }
    let task = shared.clone();
    tokio::spawn(make(task, record, profile, variables, size));
    Ok(())
}

/// Refuses to start what may run: nobody knows yet, so shortly after the server began.
async fn heard(shared: &Shared, id: &EnvironmentId) -> Result<(), Failure> {
    let record = recover::hear(shared, id).await?;
    if record.unheard.is_none() {
        return Ok(());
    }
    let message = format!("how {} stands is not known yet", record.environment.name);
    Err(Failure::new(FailureKind::Unavailable, message)
        .hint("its engine has not answered the server that just began; try again in a moment"))
}

/// Has an environment be made from now on, unless it runs. Where it does not run, its turn is all
/// that keeps its files still for whoever works on them.
async fn begin(shared: &Shared, id: &EnvironmentId) -> Result<Record, Failure> {
    let turn = shared.turn(id);
    let _turn = turn.lock().await;
    shared.begin(id).await
}

/// Starts the agent again in a box that runs; refused while it still runs.
async fn restart_agent(
    shared: &Arc<Shared>,
    record: Record,
    profile: &AgentProfile,
    variables: Vec<Variable>,
    talk: Talk,
) -> Result<(), Failure> {
    let id = record.environment.id.clone();
    let agent = record.environment.session(SessionId::AGENT);
    if agent.is_some_and(|agent| agent.state == SessionState::Running) {
        let message = format!("{} runs already", record.environment.name);
        return Err(Failure::new(FailureKind::AlreadyExists, message));
    }
    let size = agent.map_or(Size::DEFAULT, |agent| agent.size);
    shared.report(&id, Report::Anew { anew: talk == Talk::Anew }).await;
    remember_variables(shared, &id, profile, variables).await;
    require_again(shared, &record).await?;
    if start_agent(shared, &id, profile, size).await? == Begun::Later {
        shared.report(&id, Report::AgentDue { due: true }).await;
    }
    Ok(())
}

/// Reads back a box that runs before an agent is started in it, where something is required.
async fn require_again(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    let id = &record.environment.id;
    let (Some(made), false) = (&record.record, record.environment.require.is_empty()) else {
        return Ok(());
    };
    let turn = shared.turn(id);
    let _turn = turn.lock().await;
    // Paused meanwhile, it could not be read back.
    shared.link_of(&shared.record(id).await?.environment)?;
    let read = require::read_back(shared, record, made).await;
    if read.is_err() {
        require::end(shared, record, made).await;
    }
    read
}

pub(super) fn profile_of(shared: &Shared, record: &Record) -> Result<AgentProfile, Failure> {
    match &record.work {
        Work::Profile(name) => profiles::find(name, &file::read(shared.layout.home())?),
        Work::Command(command) => prepare::plain(command),
    }
}

/// Starts the agent of a box that runs, where that is still to be done: the server that made the
/// box ended before it did, or the box stood still.
pub(super) async fn finish_agent(shared: &Arc<Shared>, id: &EnvironmentId) {
    let Ok(record) = shared.record(id).await else { return };
    if !record.agent_due {
        return;
    }
    let agent = record.environment.session(SessionId::AGENT);
    let runs = agent.is_some_and(|agent| {
        agent.state == SessionState::Running && agent.command == record.environment.command
    });
    let started = async {
        if runs {
            return Ok(Begun::Now);
        }
        let profile = profile_of(shared, &record)?;
        check_variables(shared, &record, &profile, &[])?;
        let size = agent.map_or(Size::DEFAULT, |agent| agent.size);
        remember_variables(shared, id, &profile, Vec::new()).await;
        // Nobody knows whether the server that made the box came to read it back. One that stands
        // still cannot be, and gets its agent later.
        if !matches!(record.environment.state, EnvironmentState::Paused { .. }) {
            require_again(shared, &record).await?;
        }
        start_agent(shared, id, &profile, size).await
    };
    match started.await {
        Ok(Begun::Now) => shared.report(id, Report::AgentDue { due: false }).await,
        Ok(Begun::Later) => {}
        Err(failure) => {
            let hint = failure.hint.as_deref().map(|hint| format!("; {hint}")).unwrap_or_default();
            let note = Some(format!("its agent was not started: {failure}{hint}"));
            shared.report(id, Report::Matter { matter: Matter::Agent, note }).await;
        }
    }
}

/// Keeps the programs' variables in memory, newer ones over those from before, and their names in
/// the record.
async fn remember_variables(
    shared: &Shared,
    id: &EnvironmentId,
    profile: &AgentProfile,
    variables: Vec<Variable>,
) {
    let mut kept: BTreeMap<String, String> = profile.environment.iter().cloned().collect();
    kept.extend(shared.variables(id));
    kept.extend(variables.into_iter().map(|variable| (variable.name, variable.value)));
    let own = |name: &String| !profile.environment.iter().any(|(given, _)| given == name);
    let names = kept.keys().filter(|name| own(name)).cloned().collect();
    shared.set_variables(id, kept.into_iter().collect());
    shared.report(id, Report::Variables(names)).await;
}

/// Refuses a start without variables that the programs were given before: their values went with
/// the server that was told them.
pub(super) fn check_variables(
    shared: &Shared,
    record: &Record,
    profile: &AgentProfile,
    given: &[Variable],
) -> Result<(), Failure> {
    let known = shared.variables(&record.environment.id);
    let has = |name: &&String| {
        given.iter().any(|variable| variable.name == **name)
            || known.iter().chain(&profile.environment).any(|(known, _)| known == *name)
    };
    let missing: Vec<&str> =
        record.variable_names.iter().filter(|name| !has(name)).map(String::as_str).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let name = &record.environment.name;
    let message = format!(
        "{name} was given {}, and values are kept in memory only, which a restart cleared",
        missing.join(", ")
    );
    let again: Vec<String> = missing.iter().map(|name| format!(" -e {name}")).collect();
    Err(Failure::new(FailureKind::Invalid, message)
        .hint(format!("agentdeck start {name}{}", again.concat())))
}

pub(super) fn disk(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("could not write {}: {error}", path.display()))
        .hint("make room on that disk or set AGENTDECK_HOME to a directory elsewhere")
}
