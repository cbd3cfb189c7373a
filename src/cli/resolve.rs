//! `agentdeck resolve`: the user's branch merged in an environment's box, and a shell there.

use super::arguments::{Attach, Resolve};
use super::attach;
use super::context::{Context, unexpected};
use crate::model::failure::Failure;
use crate::proto::{Reply, Request};

pub(super) async fn run(context: &Context, options: Resolve) -> Result<(), Failure> {
    let client = context.client().await?;
    let request = |target| Request::Resolve { target };
    let resolution = match context.ask(&client, &options.name, request).await? {
        Reply::Resolution(resolution) => resolution,
        other => return Err(unexpected(&other)),
    };
    let output = context.output;
    if output.json {
        return output.value(&*resolution);
    }
    for path in &resolution.conflicts {
        output.line(&path.to_string())?;
    }
    let name = &options.name;
    let snapshot = resolution.snapshot.short();
    let merged = format!("{} is merged in {name}'s box", resolution.branch);
    if resolution.conflicts.is_empty() {
        output.say(&merged);
        output.next(&format!("agentdeck merge {name}"));
        return Ok(());
    }
    let count = resolution.conflicts.len();
    let conflicts = if count == 1 { "1 conflict".to_owned() } else { format!("{count} conflicts") };
    output.say(&format!("{merged}, but for {conflicts}; git commit there when they are resolved"));
    output.next(&format!("agentdeck merge {name}; agentdeck restore {name} {snapshot} goes back"));
    if output.person && output.terminal && !options.no_shell {
        return attach::run(context, &Attach { name: options.name, shell: true }).await;
    }
    Ok(())
}
