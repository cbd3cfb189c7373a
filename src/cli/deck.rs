//! `agentdeck` without a verb: the full screen.

use std::io::IsTerminal;

use super::agents;
use super::context::Context;
use super::ls;
use crate::client::{Client, Events};
use crate::config::profiles;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::proto::Request;
use crate::shim::turns;
use crate::tui;

pub(super) async fn run(context: &Context, all: bool) -> Result<(), Failure> {
    require_terminal("agentdeck ls prints the list")?;
    let (client, events) = context.connect_asking().await?;
    open(context, client, events, all, Vec::new()).await
}

/// Opens the deck, with a comparison over it where environments are to be compared.
pub(super) async fn open(
    context: &Context,
    client: Client,
    events: Events,
    all: bool,
    compared: Vec<EnvironmentId>,
) -> Result<(), Failure> {
    let repository = if all { None } else { Some(context.directory.clone()) };
    if let Some(path) = repository.clone() {
        let known = client.request(Request::ReadRepository { path }).await;
        known.map_err(|failure| match failure.kind {
            FailureKind::NotFound => {
                failure.hint("go to a git repository, or show every environment: agentdeck --all")
            }
            _ => failure,
        })?;
    }
    let elsewhere = if all { None } else { ls::in_other_worktrees(context, &client).await };
    let settings = context.settings()?;
    let names = profiles::names(&settings);
    let found = names.iter().map(|name| profiles::find(name, &settings));
    let mut profiles = found.collect::<Result<Vec<_>, _>>()?;
    // What this machine has is offered first.
    profiles.sort_by_cached_key(|profile| !agents::is_here(profile));
    let notify = settings.notify;
    let options = tui::Options { repository, all, profiles, notify, compared, elsewhere };
    turns::of_deck();
    tui::run(client, events, options).await
}

pub(super) fn require_terminal(instead: &str) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        return Ok(());
    }
    Err(Failure::new(FailureKind::Invalid, "this needs a terminal").hint(instead))
}
