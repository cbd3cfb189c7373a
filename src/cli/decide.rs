//! `agentdeck apply`, `merge`, `restore` and `undo`: what can be taken back.

use super::arguments::{Merge, Named, Restore};
use super::context::{Context, unexpected};
use super::output::files;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::Failure;
use crate::proto::{Reply, Request};

pub(super) async fn apply(context: &Context, options: &Named) -> Result<(), Failure> {
    let client = context.client().await?;
    let decision =
        decided(context.ask(&client, &options.name, |target| Request::Apply { target }).await?)?;
    report(context, &decision)
}

pub(super) async fn merge(context: &Context, options: Merge) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = |target| Request::Merge { target, message: options.message.clone() };
    report(context, &decided(context.ask(&client, &options.name, request).await?)?)
}

pub(super) async fn restore(context: &Context, options: &Restore) -> Result<(), Failure> {
    let client = context.client().await?;
    let snapshot = &options.snapshot;
    let request = |target| Request::RestoreEnvironment { target, snapshot: snapshot.clone() };
    report(context, &decided(context.ask(&client, &options.name, request).await?)?)
}

pub(super) async fn undo(context: &Context) -> Result<(), Failure> {
    let client = context.client().await?;
    let repository = context.directory.clone();
    report(context, &decided(client.request(Request::Undo { repository }).await?)?)
}

pub(super) fn decided(reply: Reply) -> Result<Decision, Failure> {
    match reply {
        Reply::Decided(decision) => Ok(*decision),
        other => Err(unexpected(&other)),
    }
}

/// Prints what was decided: JSON, or the paths with a sentence for people.
pub(super) fn report(context: &Context, decision: &Decision) -> Result<(), Failure> {
    let output = context.output;
    if output.json {
        return output.value(decision);
    }
    for path in &decision.paths {
        output.line(&path.to_string())?;
    }
    let name = &decision.name;
    let count = files(decision.paths.len());
    let commit = decision.commit.as_ref().map_or("", |commit| commit.short());
    output.say(&match (decision.undone, decision.kind) {
        (true, DecisionKind::Apply) => format!("took the changes of {name} out again"),
        (true, DecisionKind::Merge) => format!("took the merge of {name} back"),
        (true, DecisionKind::Discard) => format!("{name} is back"),
        (true, DecisionKind::Restore) => format!("{name} is as before the restore: {count}"),
        (false, DecisionKind::Apply) => {
            format!("applied {name} to your working tree: {count}")
        }
        (false, DecisionKind::Merge) => format!("merged {name} as {commit}"),
        (false, DecisionKind::Discard) => format!("discarded {name}"),
        (false, DecisionKind::Restore) => {
            let snapshot = decision.snapshot.as_ref().map_or("", |snapshot| snapshot.short());
            format!("took {name} back to {snapshot}: {count}")
        }
    });
    if !decision.undone {
        output.next("agentdeck undo takes it back");
    }
    Ok(())
}
