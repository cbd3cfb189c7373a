//! `agentdeck ls`: environments, one a line.

use super::arguments::Ls;
use super::context::{Context, unexpected};
use super::output::{age, files, table};
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::failure::Failure;
use crate::model::id::SessionId;
use crate::model::path::printable;
use crate::model::policy::{Aspect, Isolation, IsolationLevel};
use crate::proto::{Reply, Request};

const TITLES: [&str; 10] = [
    "NAME",
    "STATE",
    "AGENT",
    "ENGINE",
    "USES",
    "CHANGES",
    "AHEAD/BEHIND",
    "MERGE",
    "SNAPSHOTS",
    "AGE",
];

pub(super) async fn run(context: &Context, options: &Ls) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let repository = if options.all { None } else { context.repository() };
    let environments = match client.request(Request::ListEnvironments { repository }).await? {
        Reply::Environments(environments) => environments,
        other => return Err(unexpected(&other)),
    };
    if output.json {
        return output.value(&environments);
    }
    if environments.is_empty() {
        output.say("no environments here");
        output.next("agentdeck new NAME");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = environments.iter().map(row).collect();
    output.bytes(table(&TITLES, &rows).as_bytes())
}

fn row(environment: &Environment) -> Vec<String> {
    let divergence = environment.divergence;
    let change = divergence.change;
    vec![
        environment.name.to_string(),
        state(environment),
        printable(environment.agent.as_bytes()),
        environment.engine.to_string(),
        environment.load.map_or_else(|| "–".to_owned(), |load| load.to_string()),
        format!("+{} −{} · {}", change.added, change.removed, files(change.files as usize)),
        format!("{}/{}", divergence.ahead, divergence.behind),
        merge(environment),
        environment.snapshots.to_string(),
        age(environment.created),
    ]
}

/// What a merge would come to: with the user's branch first, then with siblings.
fn merge(environment: &Environment) -> String {
    let Some(prediction) = &environment.prediction else { return "–".to_owned() };
    if environment.divergence.change.files == 0 {
        return "–".to_owned();
    }
    if prediction.branch.conflicts > 0 {
        return "conflicts with your branch".to_owned();
    }
    match prediction.conflicting().map(|sibling| sibling.name.as_str()).collect::<Vec<_>>() {
        names if names.is_empty() => "clean".to_owned(),
        names => format!("clean, not after {}", names.join(", ")),
    }
}

/// The state in a word, and what should not be overlooked.
pub(super) fn state(environment: &Environment) -> String {
    let agent = environment.session(SessionId::AGENT).map(|session| &session.state);
    let word = match (&environment.state, agent) {
        (
            EnvironmentState::Stopped | EnvironmentState::Running,
            Some(SessionState::Exited { code: 1.., .. }),
        ) if environment.trouble.is_some() => environment.trouble.as_deref().unwrap_or_default(),
        (EnvironmentState::Creating { .. }, _) => "creating",
        (EnvironmentState::Running, Some(SessionState::Exited { code: 0, .. })) => "done",
        (
            EnvironmentState::Running,
            Some(SessionState::Exited { .. } | SessionState::Failed { .. }),
        ) => "agent failed",
        (EnvironmentState::Running, _) => "running",
        (EnvironmentState::Paused { .. }, _) => "paused",
        (EnvironmentState::Stopped, _) => "stopped",
        (EnvironmentState::Failed { .. }, _) => "failed",
        (EnvironmentState::EngineUnreachable { .. }, _) => "unreachable",
    };
    match &environment.isolation {
        Some(isolation) if isolation.level == IsolationLevel::Off => {
            format!("{word}, UNISOLATED")
        }
        Some(isolation) if isolation.level == IsolationLevel::Partial => {
            format!("{word}, {}", level(isolation))
        }
        _ => word.to_owned(),
    }
}

/// The level in a word, and the parts that lack something.
pub(super) fn level(isolation: &Isolation) -> String {
    let lacking: Vec<&str> = isolation.lacking().into_iter().map(Aspect::as_str).collect();
    match isolation.level {
        IsolationLevel::Partial => format!("partial: {}", lacking.join(", ")),
        level => level.to_string(),
    }
}
