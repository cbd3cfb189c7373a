//! `agentdeck discard`: asks a person, and needs `--yes` from a script.

use std::io::{BufRead, IsTerminal, Write};

use super::arguments::Discard;
use super::context::Context;
use super::decide::{decided, report};
use super::output::files;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::Request;

pub(super) async fn run(context: &Context, options: &Discard) -> Result<(), Failure> {
    let client = context.client().await?;
    if !options.yes {
        let environment = context.environment(&client, &options.name).await?;
        let change = environment.divergence.change;
        let question = format!(
            "discard {} (+{} −{} in {}, {} snapshots)? undo brings it back [y/N] ",
            environment.name,
            change.added,
            change.removed,
            files(change.files as usize),
            environment.snapshots
        );
        if !confirmed(context, "discard", &question)? {
            context.output.say("nothing was discarded");
            return Ok(());
        }
    }
    let request = |target| Request::Discard { target };
    report(context, &decided(context.ask(&client, &options.name, request).await?)?)
}

/// Asks a person at a terminal; anything but yes is a no.
pub(super) fn confirmed(context: &Context, verb: &str, question: &str) -> Result<bool, Failure> {
    if context.output.json || !std::io::stdin().is_terminal() {
        let message = format!("{verb} asks first, and nobody can answer");
        return Err(Failure::new(FailureKind::Invalid, message).hint("add --yes"));
    }
    let _ = write!(std::io::stderr(), "{question}");
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::internal(&error.into()))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
