//! `agentdeck attach`: one session, full-screen, through our emulator.

use super::arguments::Attach;
use super::context::{Context, unexpected};
use super::deck::require_terminal;
use crate::model::failure::Failure;
use crate::model::id::SessionId;
use crate::model::screen::Size;
use crate::proto::{Reply, Request};
use crate::shim::turns;
use crate::tui;

pub(super) async fn run(context: &Context, options: &Attach) -> Result<(), Failure> {
    require_terminal("agentdeck exec runs a command without one")?;
    let (client, events) = context.connect_asking().await?;
    let environment = context.environment(&client, &options.name).await?;
    let session = if options.shell {
        let start =
            |target| Request::StartShell { target, size: Size::DEFAULT, variables: Vec::new() };
        match context.ask(&client, &options.name, start).await? {
            Reply::SessionStarted { session, .. } => session,
            other => return Err(unexpected(&other)),
        }
    } else {
        SessionId::AGENT
    };
    turns::of_deck();
    tui::attach(client, events, environment.id, session).await?;
    context.output.next(&format!("agentdeck diff {}", environment.name));
    Ok(())
}
