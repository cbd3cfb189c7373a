//! What a take lacks of what is in an environment: a person is told before it, a script after it.

use std::io::IsTerminal;

use super::context::Context;
use super::decide::{decided, report};
use super::output::{Output, lines};
use crate::client::Client;
use crate::model::failure::Failure;
use crate::model::snapshot::Skipped;
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
                if known.is_none() {
                    name_all(context.output, &decision.left_out);
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
    left_out.is_empty() || !can_ask(context) || context.output.asked(&question).await
}

/// Names what no snapshot holds as it is, unless it is ignored.
pub(super) fn name_all(output: Output, left_out: &[Skipped]) {
    let mut surprising = left_out.iter().filter(|skipped| !skipped.is_ignored());
    for skipped in surprising.by_ref().take(NAMED) {
        output.say(&format!("left out {}: {}", skipped.path, lines(&skipped.reason)));
    }
    match surprising.count() {
        0 => {}
        more => output.say(&format!("left out {more} more; --json names them")),
    }
}
