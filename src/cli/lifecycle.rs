//! `agentdeck stop`, `start`, `pause` and `resume`.

use super::arguments::{Named, Start};
use super::context::{Context, unexpected, variables, with_profile};
use super::new;
use crate::config::profiles;
use crate::model::environment::Environment;
use crate::model::failure::Failure;
use crate::proto::{Reply, Request, Target};

pub(super) async fn stop(context: &Context, options: &Named) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    context.ask(&client, &options.name, |target| Request::StopEnvironment { target }).await?;
    let environment = context.environment(&client, &options.name).await?;
    if output.json {
        return output.value(&environment);
    }
    output.say(&format!("{} is stopped", environment.name));
    output.next(&format!("agentdeck start {}", environment.name));
    Ok(())
}

pub(super) async fn pause(context: &Context, options: &Named) -> Result<(), Failure> {
    let request = |target| Request::PauseEnvironment { target };
    let environment = changed(context, options, request).await?;
    if context.output.json {
        return context.output.value(&environment);
    }
    context.output.say(&format!("{} is paused", environment.name));
    context.output.next(&format!("agentdeck resume {}", environment.name));
    Ok(())
}

pub(super) async fn resume(context: &Context, options: &Named) -> Result<(), Failure> {
    let request = |target| Request::ResumeEnvironment { target };
    let environment = changed(context, options, request).await?;
    if context.output.json {
        return context.output.value(&environment);
    }
    context.output.say(&format!("{} goes on", environment.name));
    Ok(())
}

async fn changed(
    context: &Context,
    options: &Named,
    request: impl Fn(Target) -> Request,
) -> Result<Environment, Failure> {
    let client = context.client().await?;
    match context.ask(&client, &options.name, request).await? {
        Reply::Environment(environment) => Ok(*environment),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn start(context: &Context, options: &Start) -> Result<(), Failure> {
    let output = context.output;
    let given = variables(&options.env)?;
    let (client, mut events) = context.connect().await?;
    let environment = context.environment(&client, &options.name).await?;
    // The profile may have gone from the settings; then there is nothing to add.
    let variables = match profiles::find(&environment.agent, &context.settings()?) {
        Ok(profile) => with_profile(&profile, given),
        Err(_) => given,
    };
    let anew = options.anew;
    let request = |target| {
        let variables = variables.clone();
        Request::StartEnvironment { target, variables, anew }
    };
    context.ask(&client, &options.name, request).await?;
    let environment = context.environment(&client, &options.name).await?;
    // Followed only now: the first view told must not be that of the stopped environment.
    client.request(Request::FollowDeck { repository: None }).await?;
    let environment = new::wait(context, &mut events, environment).await?;
    if output.json {
        return output.value(&environment);
    }
    output.say(&format!("{} runs", environment.name));
    output.next(&format!("agentdeck attach {}", environment.name));
    Ok(())
}
