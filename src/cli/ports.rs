//! `agentdeck ports`: what listens in an environment.

use super::arguments::Named;
use super::context::{Context, unexpected};
use super::output::table;
use crate::model::failure::Failure;
use crate::model::listener::Listener;
use crate::model::path::printable;
use crate::proto::{Reply, Request};

const TITLES: [&str; 4] = ["PORT", "ADDRESS", "PROGRAM", "PID"];

pub(super) async fn run(context: &Context, options: &Named) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = |target| Request::ListListeners { target };
    let listeners = match context.ask(&client, &options.name, request).await? {
        Reply::Listeners(listeners) => listeners,
        other => return Err(unexpected(&other)),
    };
    if context.output.json {
        return context.output.value(&listeners);
    }
    let Some(first) = listeners.first() else {
        context.output.say("no program listens on a port");
        return Ok(());
    };
    let rows: Vec<Vec<String>> = listeners.iter().map(row).collect();
    context.output.bytes(table(&TITLES, &rows).as_bytes())?;
    context.output.next(&format!("agentdeck forward {} {}", options.name, first.port));
    Ok(())
}

fn row(listener: &Listener) -> Vec<String> {
    vec![
        listener.port.to_string(),
        listener.address.to_string(),
        program(listener),
        listener.process.map_or("–".to_owned(), |process| process.to_string()),
    ]
}

/// The program's name, which it gave itself.
pub(super) fn program(listener: &Listener) -> String {
    listener.program.as_ref().map_or("–".to_owned(), |name| printable(name.as_bytes()))
}
