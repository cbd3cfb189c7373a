//! `agentdeck log`: an environment's snapshots, newest first.

use super::arguments::Named;
use super::context::{Context, unexpected};
use super::output::{age, files, lines};
use crate::client::Client;
use crate::model::failure::Failure;
use crate::model::snapshot::{Snapshot, SnapshotCause};
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: &Named) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let mut snapshots = read(context, &client, &options.name).await?;
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
pub(super) async fn read(
    context: &Context,
    client: &Client,
    name: &str,
) -> Result<Vec<Snapshot>, Failure> {
    match context.ask(client, name, |target| Request::ReadHistory { target }).await? {
        Reply::History(snapshots) => Ok(snapshots),
        other => Err(unexpected(&other)),
    }
}

fn describe(snapshot: &Snapshot) -> String {
    let cause = match snapshot.cause {
        SnapshotCause::Base => "base",
        SnapshotCause::Change => "change",
        SnapshotCause::Decision => "decision",
    };
    let change = snapshot.change;
    let mut text = format!(
        "{}  {:>6} ago  {cause:<8}  +{} −{} · {}\n",
        snapshot.id.short(),
        age(snapshot.at),
        change.added,
        change.removed,
        files(change.files as usize),
    );
    for skipped in &snapshot.skipped {
        text.push_str(&format!(
            "          left out {}: {}\n",
            skipped.path,
            lines(&skipped.reason)
        ));
    }
    text
}
