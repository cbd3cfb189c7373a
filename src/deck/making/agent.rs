//! Starts the agent in a box that runs, installing it first where the box does not have it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::super::link::Start;
use super::super::shared::Shared;
use super::super::state::Report;
use crate::model::environment::{SessionKind, SessionState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::profile::AgentProfile;
use crate::model::screen::Size;
use crate::shim::wire::{Program, Role};

/// How long an install step may take; packages are large and networks slow.
const INSTALL_DEADLINE: Duration = Duration::from_mins(30);

/// Starts the agent, installing it first where the box does not have it.
pub(super) async fn start_agent(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    profile: &AgentProfile,
    size: Size,
) -> Result<(), Failure> {
    let link = shared.link(id)?;
    let agent = Start {
        kind: SessionKind::Agent,
        program: Program {
            command: profile.command.clone(),
            environment: shared.variables(id),
            directory: None,
            role: Role::Agent,
        },
        size,
        may_be_missing: !profile.install.is_empty(),
    };
    link.close(SessionId::AGENT).await;
    let Err(error) = link.start(SessionId::AGENT, agent.clone()).await else { return Ok(()) };
    if !error.not_found || profile.install.is_empty() {
        // The pane says so, and the environment stays for a shell.
        tracing::info!(environment = %id, "the agent did not start: {}", error.failure);
        return Ok(());
    }
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
            return Ok(());
        }
        if wait_for_exit(shared, id).await? != 0 {
            let note = format!("{} could not be installed; the pane shows why", profile.name);
            shared.report(id, Report::Note(note)).await;
            return Ok(());
        }
    }
    link.close(SessionId::AGENT).await;
    let _ = link.start(SessionId::AGENT, Start { may_be_missing: false, ..agent }).await;
    Ok(())
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
