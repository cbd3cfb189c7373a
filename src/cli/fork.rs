//! `agentdeck fork`: makes an environment that begins where another one stands.

use super::arguments::Fork;
use super::context::{Context, unexpected, variables, with_profile};
use super::mark;
use super::new;
use super::output::lines;
use crate::config::profiles;
use crate::model::failure::Failure;
use crate::model::id::EnvironmentName;
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: Fork) -> Result<(), Failure> {
    let output = context.output;
    let name = options.new_name.as_deref().map(EnvironmentName::parse).transpose()?;
    let given = variables(&options.env)?;
    let (client, mut events) = context.connect().await?;
    let source = context.environment(&client, &options.name).await?;
    // The profile may have gone from the settings; then there is nothing to add.
    let variables = match profiles::find(&source.agent, &context.settings()?) {
        Ok(profile) => with_profile(&profile, given),
        Err(_) => given,
    };
    let snapshot = match &options.from {
        Some(text) => Some(mark::find(context, &client, &options.name, text).await?.id),
        None => None,
    };
    client.request(Request::FollowDeck { repository: None }).await?;
    let request = |target| Request::ForkEnvironment {
        target,
        name: name.clone(),
        snapshot: snapshot.clone(),
        variables: variables.clone(),
        size: new::size(),
    };
    let environment = match context.ask(&client, &options.name, request).await? {
        Reply::Environment(environment) => *environment,
        other => return Err(unexpected(&other)),
    };
    let environment = new::wait(context, &mut events, environment).await?;
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
