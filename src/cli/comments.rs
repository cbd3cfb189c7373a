//! `agentdeck comments`: what people said of lines of an environment's change.

use super::arguments::Comments;
use super::context::{Context, unexpected};
use super::output::lines;
use crate::client::Client;
use crate::model::comment::{Comment, CommentId, message};
use crate::model::failure::Failure;
use crate::model::path::printable;
use crate::proto::{CommentChange, DiffSide, Reply, Request};

pub(super) async fn run(context: &Context, options: &Comments) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    if let Some(number) = options.remove {
        let change = CommentChange::Remove { comment: CommentId(number) };
        tell(context, &client, &options.name, change).await?;
        output.say(&format!("removed comment {number}"));
    }
    let comments = read(context, &client, &options.name).await?;
    let pending: Vec<&Comment> = comments.iter().filter(|comment| comment.sent.is_none()).collect();
    if options.send {
        if pending.is_empty() {
            output.say("the agent was told of every comment");
            return Ok(());
        }
        let ids = pending.iter().map(|comment| comment.id).collect();
        let message = message(pending.iter().copied());
        let change = CommentChange::Send { comments: ids, message };
        tell(context, &client, &options.name, change).await?;
        let count = pending.len();
        let noun = if count == 1 { "comment" } else { "comments" };
        output.say(&format!("sent {count} {noun} to {}", options.name));
        return Ok(());
    }
    if output.json {
        return output.value(&comments);
    }
    if comments.is_empty() {
        output.say("there is no comment; c in the diff comments on a line");
        return Ok(());
    }
    let text: String = comments.iter().map(describe).collect();
    output.bytes(text.as_bytes())?;
    if !pending.is_empty() {
        output.next(&format!("agentdeck comments {} --send", options.name));
    }
    Ok(())
}

/// The comments, with the numbers of their lines as the files are now.
async fn read(context: &Context, client: &Client, name: &str) -> Result<Vec<Comment>, Failure> {
    let (from, to) = (DiffSide::Base, DiffSide::Head);
    let request = |target| Request::ReadComments { target, from: from.clone(), to: to.clone() };
    match context.ask(client, name, request).await? {
        Reply::Comments(comments) => Ok(comments),
        other => Err(unexpected(&other)),
    }
}

async fn tell(
    context: &Context,
    client: &Client,
    name: &str,
    change: CommentChange,
) -> Result<(), Failure> {
    let request = |target| Request::ChangeComments { target, change: change.clone() };
    match context.ask(client, name, request).await? {
        Reply::Done | Reply::Receipt(_) => Ok(()),
        other => Err(unexpected(&other)),
    }
}

fn describe(comment: &Comment) -> String {
    let outdated = if comment.line.is_none() { " · outdated" } else { "" };
    let sent = if comment.sent.is_some() { "sent" } else { "not sent" };
    let line = comment.line.unwrap_or(comment.place.line);
    let quote = printable(&comment.quote.0);
    format!(
        "{:>3}  {}:{line}  {sent}{outdated}\n     > {}\n     {}\n",
        comment.id.0,
        comment.place.path,
        quote.trim(),
        lines(&comment.text)
    )
}
