//! Shells that people open beside the agent.

use std::sync::Arc;

use super::link::Start;
use super::shared::Shared;
use super::state::{Record, Report};
use crate::model::environment::{SessionKind, Variable};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::screen::Size;
use crate::proto::{Reply, Target};
use crate::shim::wire::{Program, Role};

/// Opens a shell beside the agent.
pub(super) async fn start(
    shared: &Arc<Shared>,
    target: Target,
    size: Size,
    variables: Vec<Variable>,
) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    run(shared, &record, size, variables, None).await
}

/// The same, with a script and its arguments that the shell runs; the script's name is the shell's.
pub(super) async fn run(
    shared: &Arc<Shared>,
    record: &Record,
    size: Size,
    variables: Vec<Variable>,
    script: Option<(&str, &[String])>,
) -> Result<Reply, Failure> {
    let id = record.environment.id.clone();
    let link = shared.wait_for_link(&record.environment).await?;
    let highest = record.environment.sessions.iter().map(|session| session.id.0).max();
    let session = shared.claim_session(&id, highest.unwrap_or_default());
    let mut environment = shared.variables(&id);
    environment.extend(variables.into_iter().map(|variable| (variable.name, variable.value)));
    // The image decides which shells there are; the best one that starts is taken.
    const SHELLS: [&str; 3] = ["/bin/bash", "/bin/sh", "/bin/busybox"];
    let mut failure = None;
    for shell in SHELLS {
        let mut command = vec![shell.to_owned()];
        command.extend(shell.ends_with("busybox").then(|| "sh".to_owned()));
        if let Some((script, arguments)) = script {
            command.extend(["-c", script, shell].map(str::to_owned));
            command.extend(arguments.iter().cloned());
        }
        let program = Program {
            command,
            environment: environment.clone(),
            directory: None,
            role: Role::Agent,
        };
        let may_be_missing = Some(&shell) != SHELLS.last();
        let kind = SessionKind::Shell;
        let start = Start { kind, program, size: size.clamped(), may_be_missing };
        match link.start(session, start).await {
            Ok(()) => return Ok(Reply::SessionStarted { environment: id, session }),
            Err(error) => failure = Some(error.failure),
        }
    }
    close(shared, &id, session).await?;
    let message = failure.map_or_else(String::new, |failure| failure.message);
    Err(Failure::new(FailureKind::NotFound, format!("no shell starts in this box: {message}"))
        .hint("run a program of the image with agentdeck exec"))
}

/// Ends a session's program and forgets the session.
pub(super) async fn close(
    shared: &Arc<Shared>,
    environment: &EnvironmentId,
    session: SessionId,
) -> Result<Reply, Failure> {
    if session == SessionId::AGENT {
        return Err(Failure::new(FailureKind::Invalid, "the agent's session cannot be closed")
            .hint("stop the environment with agentdeck stop"));
    }
    shared.link(environment)?.close(session).await;
    shared.drop_terminal(environment, session);
    shared.report(environment, Report::SessionClosed { session }).await;
    Ok(Reply::Done)
}
