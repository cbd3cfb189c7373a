//! `agentdeck diff`: what an environment changed, as a patch that git can apply.

use super::arguments::Diff;
use super::context::{Context, unexpected};
use super::log;
use super::output::Sanitiser;
use crate::client::Client;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{DiffSide, Reply, Request};

/// The width of `--stat` in a pipe, as git has it.
const STAT_WIDTH: usize = 80;

pub(super) async fn run(context: &Context, options: &Diff) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let from = side(context, &client, &options.name, &options.from).await?;
    let to = side(context, &client, &options.name, &options.to).await?;
    let read = |target| Request::ReadDiff { target, from: from.clone(), to: to.clone() };
    let diff = match context.ask(&client, &options.name, read).await? {
        Reply::Diff(diff) => diff,
        other => return Err(unexpected(&other)),
    };
    if output.json {
        return output.value(&diff);
    }
    let mut bytes = Vec::new();
    if options.stat {
        let width = crossterm::terminal::size().map_or(STAT_WIDTH, |(columns, _)| columns.into());
        diff.write_stat(if output.terminal { width } else { STAT_WIDTH }, &mut bytes);
    } else {
        diff.write_unified(&mut bytes);
    }
    if output.terminal {
        let mut sanitiser = Sanitiser::default();
        let mut text = sanitiser.feed(&bytes);
        text.push_str(&sanitiser.finish());
        output.bytes(text.as_bytes())?;
    } else {
        output.bytes(&bytes)?;
    }
    if diff.files.is_empty() {
        output.say("no changes");
    } else {
        output.next(&format!("agentdeck apply {0}, or agentdeck merge {0}", options.name));
    }
    Ok(())
}

/// A side by name: `base`, `head`, or the beginning of a snapshot's id.
async fn side(
    context: &Context,
    client: &Client,
    name: &str,
    text: &str,
) -> Result<DiffSide, Failure> {
    match text {
        "base" => return Ok(DiffSide::Base),
        "head" => return Ok(DiffSide::Head),
        _ => {}
    }
    let snapshots = log::read(context, client, name).await?;
    let mut found = snapshots.iter().filter(|snapshot| snapshot.id.as_str().starts_with(text));
    match (found.next(), found.next()) {
        (Some(one), None) if !text.is_empty() => Ok(DiffSide::Snapshot(one.id.clone())),
        (Some(_), _) => Err(Failure::new(
            FailureKind::Invalid,
            format!("{text:?} begins more than one snapshot's id"),
        )
        .hint("give more of the id")),
        (None, _) => Err(Failure::new(
            FailureKind::NotFound,
            format!("no snapshot's id begins with {text:?}"),
        )
        .hint(format!("agentdeck log {name} lists them"))),
    }
}
