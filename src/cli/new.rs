//! `agentdeck new`: makes an environment and waits until it runs.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use super::arguments::New;
use super::context::{Context, unexpected, variables, with_profile};
use super::output::{lines, part};
use crate::client::{Client, Events};
use crate::config::file::Settings;
use crate::config::{endpoint, profiles};
use crate::model::environment::{
    Environment, EnvironmentSpec, EnvironmentState, SessionState, Work,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentName, SessionId};
use crate::model::policy::{
    HostPort, ImageSource, IsolationRequest, Limits, NetworkMode, NetworkPolicy,
};
use crate::model::profile::MAX_TASK;
use crate::model::screen::Size;
use crate::proto::{Event, Reply, Request};

/// The profile when neither a profile nor a command is named.
const DEFAULT_AGENT: &str = "shell";

/// How long a program may take to start in a box that runs.
const AGENT_DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn run(context: &Context, options: New) -> Result<(), Failure> {
    let output = context.output;
    let detach = options.detach;
    let spec = spec(context, options)?;
    let (client, mut events) = context.connect().await?;
    if !detach {
        let repository = Some(context.directory.clone());
        client.request(Request::FollowDeck { repository }).await?;
    }
    let environment = create(&client, spec).await?;
    let environment =
        if detach { environment } else { wait(context, &mut events, environment).await? };
    let environment =
        if detach { environment } else { agent_started(&mut events, environment).await? };
    for note in &environment.notes {
        output.say(&format!("note: {}", lines(note)));
    }
    if output.json {
        return output.value(&environment);
    }
    output.line(environment.name.as_str())?;
    output.next(&format!("agentdeck attach {}", environment.name));
    Ok(())
}

fn spec(context: &Context, options: New) -> Result<EnvironmentSpec, Failure> {
    let settings = context.settings()?;
    let given = variables(&options.env)?;
    let image = image(context, options.image, options.dockerfile)?;
    let name = options.name.as_deref().map(EnvironmentName::parse).transpose()?;
    let (work, variables) = if options.command.is_empty() {
        let agent = options.agent.as_deref().unwrap_or(DEFAULT_AGENT);
        let profile = profiles::find(agent, &settings)?;
        (Work::Profile(agent.to_owned()), with_profile(&profile, given))
    } else {
        (Work::Command(options.command), given)
    };
    let isolation =
        if options.unisolated { IsolationRequest::Unisolated } else { IsolationRequest::Required };
    Ok(EnvironmentSpec {
        repository: context.directory.clone(),
        name,
        base: options.base,
        with_changes: options.with_changes,
        work,
        engine: options.engine,
        endpoint: endpoint::choice(),
        image,
        runtime: options.runtime,
        isolation,
        require: options.require,
        limits: Limits {
            cpu_millis: options.cpus,
            memory: options.memory,
            processes: options.pids,
            files: options.files,
        },
        network: network(&settings, options.network, options.allow),
        task: task(options.task)?,
        variables,
        size: size(),
    })
}

/// The text of a task; `-` is what standard input has.
fn task(given: Option<String>) -> Result<Option<String>, Failure> {
    if given.as_deref() != Some("-") {
        return Ok(given);
    }
    let mut text = String::new();
    // One byte more than is taken tells that there is too much.
    let most = MAX_TASK as u64 + 1;
    std::io::stdin().lock().take(most).read_to_string(&mut text).map_err(|error| {
        Failure::new(FailureKind::Invalid, format!("the task could not be read: {error}"))
            .hint("give it as text, or as a file: agentdeck new --task - <FILE")
    })?;
    Ok(Some(text.trim_end().to_owned()))
}

/// The image that was named, its path, if it has one, taken from this directory. A word without a
/// `/` is a file's where there is a file of that name.
fn image(
    context: &Context,
    image: Option<ImageSource>,
    dockerfile: Option<PathBuf>,
) -> Result<Option<ImageSource>, Failure> {
    let source = match (image, dockerfile) {
        (_, Some(path)) => ImageSource::Dockerfile(path),
        (Some(ImageSource::Name(name)), None) if context.directory.join(&name).is_file() => {
            ImageSource::Archive(name.into())
        }
        (Some(source), None) => source,
        (None, None) => return Ok(None),
    };
    let source = source.from_directory(&context.directory);
    match source.path() {
        Some(path) if path.to_str().is_none() || !path.is_file() => {
            let message = format!("there is no file {}", path.display());
            Err(Failure::new(FailureKind::NotFound, message)
                .hint("the path is taken from the directory you are in"))
        }
        _ => Ok(Some(source)),
    }
}

fn network(settings: &Settings, mode: Option<NetworkMode>, named: Vec<HostPort>) -> NetworkPolicy {
    let mode = mode.or(settings.network).unwrap_or_default();
    // Nothing is nothing; what is named beside it on the command line is refused, not forgotten.
    let mut allow = if mode == NetworkMode::None { Vec::new() } else { settings.allow.clone() };
    allow.extend(named);
    NetworkPolicy { mode, allow }
}

/// This terminal's size, so that the agent's first screen fits.
pub(super) fn size() -> Size {
    // Asked of the kernel alone: a library that asks other programs as well takes longer for that
    // than everything else that a client does.
    let streams = [rustix::stdio::stdout(), rustix::stdio::stdin(), rustix::stdio::stderr()];
    let sizes = streams.into_iter().filter_map(|it| rustix::termios::tcgetwinsize(it).ok());
    let found = sizes.map(|size| Size { columns: size.ws_col, rows: size.ws_row });
    found.into_iter().find(|it| it.columns > 0 && it.rows > 0).unwrap_or(Size::DEFAULT)
}

async fn create(client: &Client, spec: EnvironmentSpec) -> Result<Environment, Failure> {
    match client.request(Request::CreateEnvironment { spec: Box::new(spec) }).await? {
        Reply::Environment(environment) => Ok(*environment),
        other => Err(unexpected(&other)),
    }
}

/// Follows the making until it is done, and shows how far it is.
pub(super) async fn wait(
    context: &Context,
    events: &mut Events,
    mut environment: Environment,
) -> Result<Environment, Failure> {
    loop {
        match &environment.state {
            EnvironmentState::Creating { step, done, total } => {
                let part = part(*done, *total);
                let step = lines(step);
                context.output.progress(&format!("{}: {step}{part}", environment.name));
            }
            EnvironmentState::Failed { message, hint } => {
                context.output.progress("");
                let name = &environment.name;
                let next = format!(
                    "agentdeck start {name} tries again, agentdeck discard {name} removes it"
                );
                let hint =
                    hint.as_ref().map_or_else(|| next.clone(), |hint| format!("{hint}; {next}"));
                return Err(Failure::new(FailureKind::Unavailable, message.clone()).hint(hint));
            }
            EnvironmentState::EngineUnreachable { message, .. } => {
                context.output.progress("");
                return Err(Failure::new(FailureKind::Unavailable, message.clone()));
            }
            // Whether it may run is known when its box was read back.
            EnvironmentState::Running
                if environment.isolation.is_none() && !environment.require.is_empty() => {}
            EnvironmentState::Running
            | EnvironmentState::Paused { .. }
            | EnvironmentState::Stopped => {
                context.output.progress("");
                return Ok(environment);
            }
        }
        environment = changed(events, environment).await?;
    }
}

/// Waits until the agent's program runs, or says why it does not.
async fn agent_started(
    events: &mut Events,
    mut environment: Environment,
) -> Result<Environment, Failure> {
    let known = async {
        let failed = |it: &Environment| matches!(it.state, EnvironmentState::Failed { .. });
        let begun = |it: &Environment| it.session(SessionId::AGENT).is_some() && it.snapshots > 0;
        while !begun(&environment) && !failed(&environment) {
            environment = changed(events, environment).await?;
        }
        Ok::<_, Failure>(environment)
    };
    // The environment runs all the same, so that a late agent loses nothing.
    let late = |_| Failure::new(FailureKind::Timeout, "the agent has not started yet");
    let environment = tokio::time::timeout(AGENT_DEADLINE, known).await.map_err(late)??;
    match environment.session(SessionId::AGENT).map(|agent| &agent.state) {
        Some(SessionState::Failed { message }) => {
            let name = &environment.name;
            let message = format!("the agent of {name} did not start: {message}");
            Err(Failure::new(FailureKind::NotFound, message).hint(format!(
                "the environment stays: look with agentdeck exec {name} -- COMMAND, or throw it \
                 away with agentdeck discard {name}"
            )))
        }
        _ => Ok(environment),
    }
}

async fn changed(events: &mut Events, former: Environment) -> Result<Environment, Failure> {
    loop {
        match events.next().await {
            Some(Event::EnvironmentChanged(environment)) if environment.id == former.id => {
                return Ok(*environment);
            }
            Some(Event::EnvironmentRemoved { environment }) if environment == former.id => {
                let message = format!("{} was discarded meanwhile", former.name);
                return Err(Failure::new(FailureKind::NotFound, message));
            }
            Some(_) => {}
            None => {
                let message = "the server has gone while the environment was made";
                return Err(Failure::new(FailureKind::Unavailable, message)
                    .hint("agentdeck ls shows how far it came"));
            }
        }
    }
}
