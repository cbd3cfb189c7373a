//! What a take lacks of what is in an environment: a person is told before it, a script after it.

use std::io::IsTerminal;

use super::context::Context;
use super::decide::{decided, report};
use super::output::{Output, lines};
use crate::client::Client;
use crate::model::failure::Failure;
use crate::model::snapshot::{Skipped, hidden_note};
use crate::proto::{Reply, Request, Target};

/// Files named; `--json` has them all.
const NAMED: usize = 10;

/// Has something taken. `request` is given what the user knows to be lacking, where somebody is
/// there to know.
pub(super) async fn take(
    context: &Context,
    client: &Client,
    name: &str,
    request: impl Fn(Target, Option<Vec<Skipped>>) -> Request,
) -> Result<(), Failure> {
    let mut known = can_ask(context).then(Vec::new);
    loop {
        let asked = |target| request(target, known.clone());
        match context.ask(client, name, asked).await? {
            Reply::LeftOut(left_out) if known.is_some() => {
                if !agreed(context, name, &left_out).await {
                    context.output.say("nothing was taken");
                    return Ok(());
                }
                known = Some(left_out);
            }
            reply => {
                let decision = decided(reply)?;
                match known {
                    None => name_all(context.output, &decision.left_out),
                    // The rest was told before.
                    Some(_) => note_hidden(context.output, &decision.left_out),
                }
                return report(context, &decision);
            }
        }
    }
}

/// Whether somebody is there who can be asked.
fn can_ask(context: &Context) -> bool {
    context.output.person && std::io::stdin().is_terminal()
}

/// Tells what is lacking; whether the rest is wanted. Without anybody to ask, it is.
pub(super) async fn agreed(context: &Context, name: &str, left_out: &[Skipped]) -> bool {
    name_all(context.output, left_out);
    let question = format!("take the rest of {name}? [Y/n] ");
    !left_out.iter().any(Skipped::is_lacking)
        || !can_ask(context)
        || context.output.asked(&question).await
}

/// Names what no snapshot holds as it is, unless the base ignores it, and says what rules of the
/// work's own leave out.
pub(super) fn name_all(output: Output, left_out: &[Skipped]) {
    let mut lacking = left_out.iter().filter(|skipped| skipped.is_lacking());
    for skipped in lacking.by_ref().take(NAMED) {
        output.say(&format!("left out {}: {}", skipped.path, lines(&skipped.reason)));
    }
    match lacking.count() {
        0 => {}
        more => output.say(&format!("left out {more} more; --json names them")),
    }
    note_hidden(output, left_out);
}

/// Says what rules of the work's own leave out.
pub(super) fn note_hidden(output: Output, left_out: &[Skipped]) {
    if let Some(note) = hidden_note(left_out) {
        output.say(&note);
    }
}
