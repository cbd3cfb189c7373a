//! Starts the agent in a box that runs, installing it first where the box does not have it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::super::link::Start;
use super::super::owners;
use super::super::shared::Shared;
use super::super::state::{Matter, Report};
use super::beginning;
use crate::model::environment::{EnvironmentState, SessionKind, SessionState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::profile::AgentProfile;
use crate::model::screen::Size;
use crate::shim::wire::{Program, Role};

/// How long an install step may take; packages are large and networks slow.
const INSTALL_DEADLINE: Duration = Duration::from_mins(30);

/// What came of a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// It was started, or the pane says why not.
    Now,
    /// The box stands still; whoever has it go on starts the agent.
    Later,
}

/// Starts the agent, installing it first where the box does not have it.
pub(super) async fn start_agent(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    profile: &AgentProfile,
    size: Size,
) -> Result<Begun, Failure> {
    match try_agent(shared, id, profile, size).await? {
        Tried::Begun(begun) => Ok(begun),
        Tried::Missing(agent) => {
            install_agent(shared, id, profile, *agent).await?;
            Ok(Begun::Now)
        }
    }
}

/// What came of a start that installs nothing.
pub(super) enum Tried {
    Begun(Begun),
    /// It is to be installed, and then this is to be started.
    Missing(Box<Start>),
}

/// Starts the agent, or gives back what is to be started once it is installed.
pub(super) async fn try_agent(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    profile: &AgentProfile,
    size: Size,
) -> Result<Tried, Failure> {
    // Nobody pauses the box between the look at it and the start.
    let turn = shared.turn(id);
    let _turn = turn.lock().await;
    let record = shared.record(id).await?;
    let paused = matches!(record.environment.state, EnvironmentState::Paused { .. });
    shared.waiting.set(id, paused);
    if paused {
        return Ok(Tried::Begun(Begun::Later));
    }
    let link = shared.link(id)?;
    let agent = Start {
        kind: SessionKind::Agent,
        program: Program {
            command: beginning::command(shared, &record, profile).await?,
            environment: shared.variables(id),
            directory: None,
            role: Role::Agent,
        },
        size,
        may_be_missing: !profile.install.is_empty(),
    };
    link.close(SessionId::AGENT).await;
    let started = link.start(SessionId::AGENT, agent.clone()).await;
    let Err(error) = started else { return Ok(Tried::Begun(Begun::Now)) };
    if !error.not_found || profile.install.is_empty() {
        // The pane says so, and the environment stays for a shell.
        tracing::info!(environment = %id, "the agent did not start: {}", error.failure);
        return Ok(Tried::Begun(Begun::Now));
    }
    Ok(Tried::Missing(Box::new(agent)))
}

/// Installs the agent, step by step in its own pane, and starts it.
pub(super) async fn install_agent(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    profile: &AgentProfile,
    agent: Start,
) -> Result<(), Failure> {
    let (link, size) = (shared.link(id)?, agent.size);
    let installed = run_steps(shared, id, profile, size).await;
    // What they made of the agent's files is the agent's, also where one failed.
    owners::hand_back_or_log(shared, &shared.record(id).await?).await;
    if installed? {
        link.close(SessionId::AGENT).await;
        let _ = link.start(SessionId::AGENT, Start { may_be_missing: false, ..agent }).await;
    }
    Ok(())
}

/// Runs the steps of an installation in the agent's pane; whether each did its work.
async fn run_steps(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    profile: &AgentProfile,
    size: Size,
) -> Result<bool, Failure> {
    let link = shared.link(id)?;
    for step in &profile.install {
        let program = Program {
            command: step.clone(),
            environment: shared.variables(id),
            directory: Some("/".to_owned()),
            role: Role::Root,
        };
        link.close(SessionId::AGENT).await;
        let install = Start { kind: SessionKind::Agent, program, size, may_be_missing: false };
        if link.start(SessionId::AGENT, install).await.is_err() {
            return Ok(false);
        }
        if wait_for_exit(shared, id).await? != 0 {
            let note = Some(format!("{} could not be installed; the pane shows why", profile.name));
            shared.report(id, Report::Matter { matter: Matter::Agent, note }).await;
            return Ok(false);
        }
    }
    Ok(true)
}

/// Waits until the agent's session has ended and returns its exit code.
async fn wait_for_exit(shared: &Arc<Shared>, id: &EnvironmentId) -> Result<i32, Failure> {
    let subscriber = shared.hub.subscribe();
    shared.hub.follow(&subscriber, None);
    let waiting = async {
        loop {
            let record = shared.record(id).await?;
            match record.environment.session(SessionId::AGENT).map(|session| &session.state) {
                Some(SessionState::Exited { code, .. }) => return Ok(*code),
                Some(SessionState::Running) => {}
                _ => return Ok(1),
            }
            subscriber.ready().await;
            let _ = shared.hub.take(&subscriber);
        }
    };
    let late =
        |_| Failure::new(FailureKind::Timeout, "an install step took more than half an hour");
    timeout(INSTALL_DEADLINE, waiting).await.map_err(late)?
}
