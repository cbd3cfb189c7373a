//! `agentdeck log`: an environment's snapshots, newest first.

use super::arguments::Log;
use super::context::{Context, unexpected};
use super::output::{age, files, lines};
use crate::client::Client;
use crate::model::failure::Failure;
use crate::model::snapshot::{Author, Snapshot};
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: &Log) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let mut snapshots = read(context, &client, options).await?;
    snapshots.reverse();
    if output.json {
        return output.value(&snapshots);
    }
    let text: String = snapshots.iter().map(describe).collect();
    output.bytes(text.as_bytes())?;
    output.next(&format!("agentdeck diff {} --from SNAPSHOT", options.name));
    Ok(())
}

/// Snapshots of an environment, oldest first.
async fn read(context: &Context, client: &Client, options: &Log) -> Result<Vec<Snapshot>, Failure> {
    let limit = options.limit;
    let request = |target| Request::ReadHistory { target, before: None, limit };
    match context.ask(client, &options.name, request).await? {
        Reply::History(snapshots) => Ok(snapshots),
        other => Err(unexpected(&other)),
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let change = snapshot.change;
    let mut text = format!(
        "{}  {:>6} ago  {:<14}  {:<5}  +{} −{} · {}",
        snapshot.id.short(),
        age(snapshot.at),
        snapshot.cause.word(),
        snapshot.by.map_or("", Author::word),
        change.added,
        change.removed,
        files(change.files as usize),
    );
    if let Some(name) = &snapshot.name {
        text.push_str(&format!(" · {}", lines(name)));
    }
    text.push('\n');
    for skipped in snapshot.skipped.iter().filter(|skipped| !skipped.is_ignored()) {
        text.push_str(&format!(
            "          left out {}: {}\n",
            skipped.path,
            lines(&skipped.reason)
        ));
    }
    text
}
