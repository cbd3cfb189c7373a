//! `agentdeck demo`: the whole loop in a throw-away repository, with scripted agents in real boxes.
//!
//! Everything lies in one directory of its own, the deck's home too unless the user named one, so
//! that removing that directory removes the demo.

use std::io::{BufRead, IsTerminal, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::arguments::Demo;
use super::context::{Context, unexpected};
use super::{sample, server};
use crate::client::{Client, Events};
use crate::config::home;
use crate::config::profiles;
use crate::engine;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{Reply, Request, Target};
use crate::shim::turns;
use crate::tui;

/// How the names of demo directories begin; nothing else is ever removed.
const PREFIX: &str = "agentdeck-demo-";
/// The home's name in the directory.
const HOME: &str = "home";

/// The home and the repository of a new demo, or of the one that is to be removed.
pub(super) fn context(output: super::output::Output, options: &Demo) -> Result<Context, Failure> {
    let named = std::env::var_os(home::VARIABLE).is_some_and(|value| !value.is_empty());
    let named = named.then(home::find).transpose()?;
    let directory = match &options.remove {
        Some(directory) => kept(directory)?,
        None => make(named.is_none())?,
    };
    let own = directory.join(HOME);
    let home = if own.is_dir() { own } else { named.unwrap_or(own) };
    Ok(Context { home, output, directory: directory.join(sample::ROOT) })
}

/// Makes the directory and the sample repository in it.
fn make(with_home: bool) -> Result<PathBuf, Failure> {
    let cannot = |error: std::io::Error| {
        let message = format!("no directory could be made for the demo: {error}");
        Failure::new(FailureKind::Unavailable, message).hint("set TMPDIR to one you can write")
    };
    let private = std::fs::Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().prefix(PREFIX).permissions(private).tempdir();
    let made = made.map_err(cannot)?;
    sample::write(made.path())?;
    if with_home {
        std::fs::DirBuilder::new().mode(0o700).create(made.path().join(HOME)).map_err(cannot)?;
    }
    made.keep().canonicalize().map_err(cannot)
}

/// A directory that an earlier demo made.
fn kept(directory: &Path) -> Result<PathBuf, Failure> {
    let found = directory.canonicalize().map_err(|error| {
        Failure::new(FailureKind::NotFound, format!("{}: {error}", directory.display()))
    })?;
    let name = found.file_name().unwrap_or_default().to_string_lossy();
    let own = found
        .metadata()
        .is_ok_and(|found| found.is_dir() && found.uid() == rustix::process::geteuid().as_raw());
    if own && name.starts_with(PREFIX) && found.join(sample::ROOT).join("agents").is_dir() {
        return Ok(found);
    }
    let message = format!("{} is not a demo of yours", found.display());
    Err(Failure::new(FailureKind::Refused, message).hint("give the directory that demo named"))
}

pub(super) async fn run(context: &Context, options: &Demo) -> Result<(), Failure> {
    if options.remove.is_some() {
        return remove(context).await;
    }
    let terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let shows = terminal && !options.no_tui && !context.output.json;
    let shown = tokio::select! {
        shown = show(context, shows) => shown,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(FailureKind::Unavailable, "interrupted")),
    };
    match shown {
        Ok(()) if !shows || keeps(context).await => Ok(()),
        shown => {
            let removed = remove(context).await;
            shown.and(removed)
        }
    }
}

async fn show(context: &Context, shows: bool) -> Result<(), Failure> {
    let environments = create(context).await?;
    if !shows {
        return report(context, &environments);
    }
    let (client, events) = context.connect().await?;
    let repository = Some(context.directory.clone());
    let options =
        tui::Options { repository, profiles: profiles::builtin(), ..tui::Options::default() };
    turns::of_deck();
    tui::run(client, events, options).await
}

/// Makes an environment for each scripted agent and waits until all of them run.
async fn create(context: &Context) -> Result<Vec<Environment>, Failure> {
    let (client, mut events) = context.connect().await?;
    let repository = Some(context.directory.clone());
    client.request(Request::FollowDeck { repository }).await?;
    for agent in sample::AGENTS {
        let spec = sample::spec(&context.directory, agent)?;
        client.request(Request::CreateEnvironment { spec: Box::new(spec) }).await?;
    }
    settle(context, &client, &mut events).await
}

async fn settle(
    context: &Context,
    client: &Client,
    events: &mut Events,
) -> Result<Vec<Environment>, Failure> {
    loop {
        let environments = list(context, client).await?;
        let states = || environments.iter().map(|environment| &environment.state);
        if let Some(failure) = states().find_map(failure) {
            return Err(failure);
        }
        if !states().any(|state| matches!(state, EnvironmentState::Creating { .. })) {
            return Ok(environments);
        }
        if events.next().await.is_none() {
            return Err(Failure::new(FailureKind::Unavailable, "the server has gone"));
        }
    }
}

/// Why an environment cannot be used.
fn failure(state: &EnvironmentState) -> Option<Failure> {
    let unavailable = |message: &String| Failure::new(FailureKind::Unavailable, message.clone());
    match state {
        EnvironmentState::Failed { message, hint } => {
            Some(Failure { hint: hint.clone(), ..unavailable(message) })
        }
        EnvironmentState::EngineUnreachable { message, .. } => Some(unavailable(message)),
        _ => None,
    }
}

async fn list(context: &Context, client: &Client) -> Result<Vec<Environment>, Failure> {
    let repository = Some(context.directory.clone());
    match client.request(Request::ListEnvironments { repository }).await? {
        Reply::Environments(environments) => Ok(environments),
        other => Err(unexpected(&other)),
    }
}

fn report(context: &Context, environments: &[Environment]) -> Result<(), Failure> {
    if context.output.json {
        return context.output.value(&serde_json::json!({
            "directory": directory(context),
            "home": context.home,
            "repository": context.directory,
            "environments": environments,
        }));
    }
    for environment in environments {
        context.output.line(environment.name.as_str())?;
    }
    explain(context);
    Ok(())
}

/// Says where a demo that stays is, how to come back, and how to be rid of it.
fn explain(context: &Context) {
    let (directory, repository) = (directory(context), &context.directory);
    let home = if own_home(context) {
        format!("{}={} ", home::VARIABLE, context.home.display())
    } else {
        String::new()
    };
    context.output.say(&format!("the demo stays in {}", directory.display()));
    context.output.say(&format!("  cd {} && {home}agentdeck", repository.display()));
    context.output.say("remove it with all that is in it:");
    context.output.say(&format!("  agentdeck demo --remove {}", directory.display()));
}

/// Asks whether the demo stays. No answer, and being interrupted, are a no.
async fn keeps(context: &Context) -> bool {
    let _ = write!(std::io::stderr(), "keep the demo? [y/N] ");
    let reading = tokio::task::spawn_blocking(|| {
        let mut answer = String::new();
        let _ = std::io::stdin().lock().read_line(&mut answer);
        matches!(answer.trim(), "y" | "Y" | "yes")
    });
    let keeps = tokio::select! {
        answer = reading => answer.unwrap_or(false),
        _ = tokio::signal::ctrl_c() => {
            context.output.say("");
            false
        }
    };
    if keeps {
        explain(context);
    }
    keeps
}

/// Ends the demo's boxes and its server, and removes its directory.
async fn remove(context: &Context) -> Result<(), Failure> {
    let (client, _events) = context.connect().await?;
    for environment in list(context, &client).await? {
        client.request(Request::Discard { target: Target::Id(environment.id) }).await?;
    }
    drop(client);
    if own_home(context) {
        server::end(&context.home).await?;
    }
    let directory = directory(context);
    engine::remove_tree(directory).map_err(|error| {
        let message = format!("{} could not be removed: {error}", directory.display());
        Failure::new(FailureKind::Unavailable, message)
    })?;
    context.output.say(&format!("removed {}", directory.display()));
    Ok(())
}

fn directory(context: &Context) -> &Path {
    context.directory.parent().unwrap_or(&context.directory)
}

/// Whether the home is the demo's, and not one that the user named.
fn own_home(context: &Context) -> bool {
    context.home.starts_with(directory(context))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_directory_that_a_demo_made_is_removed() {
        let place = tempfile::tempdir().expect("a directory");
        let demo = place.path().join("agentdeck-demo-x");
        std::fs::create_dir(&demo).expect("made");
        assert!(kept(&demo).is_err(), "nothing in it is the sample's");
        sample::write(&demo).expect("written");
        assert!(kept(&demo).is_ok());
        let other = place.path().join("other");
        std::fs::rename(&demo, &other).expect("renamed");
        assert!(kept(&other).is_err(), "another name");
        let link = place.path().join("agentdeck-demo-y");
        std::os::unix::fs::symlink(&other, &link).expect("linked");
        assert!(kept(&link).is_err(), "a link to another name");
    }
}
