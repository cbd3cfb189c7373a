//! `agentdeck ls`: environments, one a line.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::arguments::Ls;
use super::context::{Context, unexpected};
use super::output::{age, files, now, table};
use super::worktree;
use crate::client::Client;
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::failure::Failure;
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::path::printable;
use crate::model::policy::{Aspect, Isolation, IsolationLevel, Load, Usage, show_bytes};
use crate::model::prediction::Sibling;
use crate::model::status::Doing;
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

/// What each box uses, by its environment.
type Used = BTreeMap<EnvironmentId, Usage>;

pub(super) async fn run(context: &Context, options: &Ls) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let repository = if options.all { None } else { context.repository() };
    // What was made in another worktree is this repository's too.
    let several = repository.as_deref().and_then(worktree::several);
    let asked = if several.is_some() { None } else { repository };
    let request = Request::ListEnvironments { repository: asked.clone() };
    let mut environments = match client.request(request).await? {
        Reply::Environments(environments) => environments,
        other => return Err(unexpected(&other)),
    };
    if let Some(shared) = several {
        environments.retain(|it| {
            context.directory.starts_with(&it.repository) || is_of(&shared, &it.repository)
        });
    }
    if options.attention {
        environments.retain(|it| it.calls(now()).is_some());
        environments.sort_by_key(|it| it.calls(now()).map(|call| (call.reason, call.since)));
    }
    let used = usage(&client, asked).await?;
    if output.json {
        return output.value(&listed(&environments, &used));
    }
    if environments.is_empty() {
        if options.attention {
            output.say("no environment needs you");
            return Ok(());
        }
        output.say("no environments here");
        output.next("agentdeck new NAME");
        return Ok(());
    }
    let row = |environment| row(environment, used.get(&environment.id));
    let rows: Vec<Vec<String>> = environments.iter().map(row).collect();
    output.bytes(table(&TITLES, &rows).as_bytes())?;
    if !options.all
        && let Some(root) = worktree::root(&context.directory)
    {
        for (path, names) in elsewhere(root, &environments) {
            output.say(&format!("{names}: made in the worktree {}", path.display()));
        }
    }
    Ok(())
}

/// Whether a worktree is one of the repository that has this git directory.
fn is_of(shared: &Path, worktree: &Path) -> bool {
    worktree::shared(worktree).as_deref() == Some(shared)
}

/// The names of the repository's environments that were made in other worktrees than the one at
/// hand, where there are any.
pub(super) async fn in_other_worktrees(context: &Context, client: &Client) -> Option<String> {
    let shared = worktree::several(&context.directory)?;
    let request = Request::ListEnvironments { repository: None };
    let Ok(Reply::Environments(listed)) = client.request(request).await else { return None };
    let root = worktree::root(&context.directory)?;
    let other = |it: &&Environment| it.repository != root && is_of(&shared, &it.repository);
    let names: Vec<&str> = listed.iter().filter(other).map(|it| it.name.as_str()).collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// The names of environments by the worktree that they were made in, where that is another one.
fn elsewhere<'a>(root: &Path, environments: &'a [Environment]) -> BTreeMap<&'a Path, String> {
    let mut names: BTreeMap<&Path, String> = BTreeMap::new();
    for environment in environments.iter().filter(|it| it.repository != root) {
        let listed = names.entry(&environment.repository).or_default();
        let comma = if listed.is_empty() { "" } else { ", " };
        listed.push_str(&format!("{comma}{}", environment.name));
    }
    names
}

/// What the boxes that run use at this moment.
async fn usage(client: &Client, repository: Option<PathBuf>) -> Result<Used, Failure> {
    match client.request(Request::ReadUsage { repository }).await? {
        Reply::Usage(used) => Ok(used.into_iter().collect()),
        other => Err(unexpected(&other)),
    }
}

/// An environment with what its box uses.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    environment: &'a Environment,
    usage: Option<&'a Usage>,
}

fn listed<'a>(environments: &'a [Environment], used: &'a Used) -> Vec<Listed<'a>> {
    let listed =
        |environment: &'a Environment| Listed { environment, usage: used.get(&environment.id) };
    environments.iter().map(listed).collect()
}

fn row(environment: &Environment, usage: Option<&Usage>) -> Vec<String> {
    let divergence = environment.divergence;
    let change = divergence.change;
    vec![
        environment.name.to_string(),
        state(environment),
        printable(environment.agent.as_bytes()),
        environment.engine.to_string(),
        uses(environment.load, usage),
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
    match &prediction.branch {
        None => return "unknown".to_owned(),
        Some(fit) if fit.conflicts() => return "conflicts with your branch".to_owned(),
        Some(_) => {}
    }
    let names = |siblings: Vec<&Sibling>| {
        siblings.iter().map(|sibling| sibling.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    let mut words = "clean".to_owned();
    match names(prediction.conflicting().collect()) {
        names if names.is_empty() => {}
        names => words.push_str(&format!(", not after {names}")),
    }
    match names(prediction.unknown().collect()) {
        names if names.is_empty() => {}
        names => words.push_str(&format!(", unknown after {names}")),
    }
    words
}

/// How busy it is where somebody has looked for a while, else what it has now.
fn uses(load: Option<Load>, usage: Option<&Usage>) -> String {
    match (load, usage) {
        (Some(load), _) => load.to_string(),
        (None, Some(usage)) => show_bytes(usage.memory),
        (None, None) => "–".to_owned(),
    }
}

/// The state in a word, and what should not be overlooked.
pub(super) fn state(environment: &Environment) -> String {
    let word = match &environment.last_known {
        Some(last) => format!("checking (was {})", word(environment, last)),
        None => word(environment, &environment.state).to_owned(),
    };
    match &environment.isolation {
        Some(isolation) if isolation.level == IsolationLevel::Off => {
            format!("{word}, UNISOLATED")
        }
        Some(isolation) if isolation.level == IsolationLevel::Partial => {
            format!("{word}, {}", level(isolation))
        }
        _ => word,
    }
}

/// The word for an environment, were it in this state.
fn word<'a>(environment: &'a Environment, state: &EnvironmentState) -> &'a str {
    let agent = environment.session(SessionId::AGENT);
    let running = agent.and_then(|session| session.status.as_ref()).map(|status| status.state);
    let agent = agent.map(|session| &session.state);
    match (state, agent) {
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
        (EnvironmentState::Running, _) => match running {
            None => "running",
            Some(Doing::Unknown) => "running, status unknown",
            Some(doing) => doing.as_str(),
        },
        (EnvironmentState::Paused { .. }, _) => "paused",
        (EnvironmentState::Stopped, _) => "stopped",
        (EnvironmentState::Failed { .. }, _) => "failed",
        (EnvironmentState::EngineUnreachable { .. }, _) => "unreachable",
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
