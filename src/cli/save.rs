//! `agentdeck save`: writes what is installed in an environment's box as an image.

use super::arguments::Save;
use super::context::Context;
use super::output::{lines, part};
use crate::client::Events;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::proto::{Event, Request, SaveTo};

pub(super) async fn run(context: &Context, options: Save) -> Result<(), Failure> {
    let output = context.output;
    let (to, words) = match (options.image, options.output) {
        (Some(image), None) => (SaveTo::Image(image.clone()), image),
        (None, Some(path)) => {
            let path = context.directory.join(path);
            let words = path.display().to_string();
            (SaveTo::Archive(path), words)
        }
        _ => {
            let message = "there is nothing to save to";
            return Err(Failure::new(FailureKind::Invalid, message)
                .hint("name an image, or a file with --output FILE.tar"));
        }
    };
    let (client, mut events) = context.connect().await?;
    let environment = context.environment(&client, &options.name).await?;
    client.request(Request::FollowDeck { repository: None }).await?;
    let request = |target| Request::SaveEnvironment { target, to: to.clone() };
    let saving = context.ask(&client, &options.name, request);
    let showing = show(context, &mut events, &environment.id);
    let saved = tokio::select! {
        saved = saving => saved,
        never = showing => match never {},
    };
    output.progress("");
    saved?;
    if output.json {
        return output.value(&serde_json::json!({ "saved": words }));
    }
    output.line(&lines(&words))?;
    output.next(&format!("agentdeck new NAME --image {}", lines(&words)));
    Ok(())
}

/// Shows how far it is, for as long as it is waited for.
async fn show(
    context: &Context,
    events: &mut Events,
    saved: &EnvironmentId,
) -> std::convert::Infallible {
    loop {
        match events.next().await {
            Some(Event::Working { environment, step, done, total }) if environment == *saved => {
                context.output.progress(&format!("{}{}", lines(&step), part(done, total)));
            }
            Some(_) => {}
            // The request fails with the connection, and says so.
            None => std::future::pending().await,
        }
    }
}
