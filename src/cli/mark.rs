//! `agentdeck mark`: what a snapshot is called.

use super::arguments::MarkSnapshot;
use super::context::{Context, unexpected};
use crate::client::Client;
use crate::model::failure::Failure;
use crate::model::snapshot::Snapshot;
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: &MarkSnapshot) -> Result<(), Failure> {
    let first = Some(options.first.clone());
    let (snapshot, text) = match &options.text {
        Some(text) => (first, Some(text.clone())),
        None if options.remove => (first, None),
        None => (None, first),
    };
    let client = context.client().await?;
    let request =
        |target| Request::MarkSnapshot { target, snapshot: snapshot.clone(), name: text.clone() };
    let marked = snapshot_of(context.ask(&client, &options.name, request).await?)?;
    let output = context.output;
    if output.json {
        return output.value(&marked);
    }
    output.line(marked.id.as_str())?;
    match &marked.name {
        Some(name) => output.say(&format!("{} is called {name}", marked.id.short())),
        None => output.say(&format!("{} has no name", marked.id.short())),
    }
    Ok(())
}

/// The snapshot that a person means.
pub(super) async fn find(
    context: &Context,
    client: &Client,
    name: &str,
    text: &str,
) -> Result<Snapshot, Failure> {
    let request = |target| Request::FindSnapshot { target, snapshot: text.to_owned() };
    snapshot_of(context.ask(client, name, request).await?)
}

fn snapshot_of(reply: Reply) -> Result<Snapshot, Failure> {
    match reply {
        Reply::Snapshot(snapshot) => Ok(*snapshot),
        other => Err(unexpected(&other)),
    }
}
