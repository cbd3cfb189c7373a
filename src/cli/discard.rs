//! `agentdeck discard`: asks a person, and needs `--yes` from a script. What cannot be read can only
//! be given up.

use std::io::{BufRead, IsTerminal, Write};

use super::arguments::Discard;
use super::context::{Context, unexpected};
use super::decide::{decided, report};
use super::output::files;
use crate::client::Client;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: &Discard) -> Result<(), Failure> {
    let client = context.client().await?;
    if options.give_up {
        return give_up(context, &client, options).await;
    }
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

/// Gives up an environment whose record cannot be read, and says what is kept of it.
async fn give_up(context: &Context, client: &Client, options: &Discard) -> Result<(), Failure> {
    let output = context.output;
    let name = &options.name;
    let question = format!("give up {name}? its box ends, its files and snapshots are kept [y/N] ");
    if !options.yes && !confirmed(context, "discard", &question)? {
        output.say("nothing was given up");
        return Ok(());
    }
    let reply = context.ask(client, name, |target| Request::GiveUp { target }).await?;
    let Reply::GivenUp(given_up) = reply else { return Err(unexpected(&reply)) };
    if output.json {
        return output.value(&given_up);
    }
    output.say(&format!("gave up {}", given_up.name));
    output.say(&format!("its files are kept in {}", given_up.files.display()));
    if let Some((store, name)) = &given_up.snapshots {
        output
            .say(&format!("its snapshots are kept: git --git-dir={} log {name}", store.display()));
    }
    if let Some(trouble) = &given_up.trouble {
        output.say(&format!("its box ends once its engine answers: {trouble}"));
    }
    Ok(())
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
