//! `agentdeck send` and `agentdeck prompts`: texts for agents, and a receipt for each.
//!
//! Exit codes of `send`: 0 when every prompt was taken, 1 when one failed, 4 when nobody knows of
//! one whether it was taken, 3 when one waits. Where several apply, the first of these.

use std::io::Read;
use std::process::ExitCode;

use futures_util::future::join_all;
use serde::Serialize;

use super::arguments::{Cancel, Prompts, PromptsVerb, Send};
use super::context::{Context, unexpected};
use super::output::{age, lines, table};
use crate::client::Client;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::printable;
use crate::model::prompt::{Delivery, Prompt};
use crate::proto::{Reply, Request};

/// One is not delivered yet.
const QUEUED: u8 = 3;
/// Of one nobody knows whether it was taken.
const UNSURE: u8 = 4;
/// More than any prompt may have; the server says how much that is.
const MOST_READ: u64 = 1 << 20;

/// What became of the text in one environment.
#[derive(Debug, Serialize)]
struct Receipt {
    environment: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt: Option<Prompt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure>,
}

pub(super) async fn run(context: &Context, options: Send) -> Result<ExitCode, Failure> {
    let Send { mut words, all, wait } = options;
    let text = words.pop().unwrap_or_default();
    if words.is_empty() != all {
        let message = if all { "names were given beside --all" } else { "nobody is named" };
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint("agentdeck send NAME… TEXT, or agentdeck send --all TEXT"));
    }
    let text = if text == "-" { read_text()? } else { text };
    let client = context.client().await?;
    let names = if all { running(context, &client).await? } else { words };
    let ask = |name: String| {
        let (client, text) = (client.clone(), text.clone());
        async move {
            let patience = Some(wait * 1000);
            let request = |target| Request::SendPrompt { target, text: text.clone(), patience };
            match context.ask(&client, &name, request).await {
                Ok(Reply::Receipt(prompt)) => {
                    Receipt { environment: name, prompt: Some(*prompt), error: None }
                }
                Ok(other) => {
                    Receipt { environment: name, prompt: None, error: Some(unexpected(&other)) }
                }
                Err(failure) => Receipt { environment: name, prompt: None, error: Some(failure) },
            }
        }
    };
    let receipts = join_all(names.into_iter().map(ask)).await;
    print(context, &receipts)?;
    Ok(ExitCode::from(
        receipts.iter().map(Receipt::code).min_by_key(|code| rank(*code)).unwrap_or(0),
    ))
}

/// Exit codes by what is told first.
fn rank(code: u8) -> usize {
    [1, UNSURE, QUEUED, 0].iter().position(|it| *it == code).unwrap_or(0)
}

impl Receipt {
    fn code(&self) -> u8 {
        match self.prompt.as_ref().map(|prompt| &prompt.delivery) {
            Some(Delivery::Taken { .. }) => 0,
            Some(Delivery::Queued { .. } | Delivery::Typing) => QUEUED,
            Some(Delivery::Unsure { .. }) => UNSURE,
            Some(Delivery::Failed { .. } | Delivery::Cancelled) | None => 1,
        }
    }
}

fn print(context: &Context, receipts: &[Receipt]) -> Result<(), Failure> {
    let output = context.output;
    if output.json {
        return output.value(&receipts);
    }
    for receipt in receipts {
        let (told, hint) = match (&receipt.prompt, &receipt.error) {
            (Some(prompt), _) => (prompt.delivery.to_string(), hint(prompt)),
            (None, Some(failure)) => (format!("failed: {}", failure.message), failure.hint.clone()),
            (None, None) => continue,
        };
        output.line(&format!("{}: {}", receipt.environment, lines(&told)))?;
        if let Some(hint) = hint {
            output.say(&format!("hint: {}", lines(&hint)));
        }
        if let Some(Prompt { id, delivery: Delivery::Queued { .. }, .. }) = &receipt.prompt {
            output.next(&format!(
                "agentdeck prompts cancel {} {id} takes it back",
                receipt.environment
            ));
        }
    }
    Ok(())
}

fn hint(prompt: &Prompt) -> Option<String> {
    match &prompt.delivery {
        Delivery::Failed { hint, .. } => hint.clone(),
        Delivery::Unsure { .. } => Some("look at its session before you send it again".to_owned()),
        _ => None,
    }
}

fn read_text() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().take(MOST_READ).read_to_string(&mut text).map_err(|error| {
        Failure::new(FailureKind::Invalid, format!("standard input: {error}"))
            .hint("a prompt is text in UTF-8")
    })?;
    Ok(text)
}

async fn environments(
    context: &Context,
    client: &Client,
    all: bool,
) -> Result<Vec<Environment>, Failure> {
    let repository = if all { None } else { context.repository() };
    match client.request(Request::ListEnvironments { repository }).await? {
        Reply::Environments(environments) => Ok(environments),
        other => Err(unexpected(&other)),
    }
}

/// The ids of the environments of this repository that a text can be meant for.
async fn running(context: &Context, client: &Client) -> Result<Vec<String>, Failure> {
    if context.repository().is_none() {
        let message = "there is no repository here whose environments are meant";
        return Err(Failure::new(FailureKind::Invalid, message).hint("name them"));
    }
    let runs = |environment: &Environment| {
        !matches!(environment.state, EnvironmentState::Stopped | EnvironmentState::Failed { .. })
    };
    let found = environments(context, client, false).await?;
    let names: Vec<String> =
        found.iter().filter(|it| runs(it)).map(|it| it.name.to_string()).collect();
    if names.is_empty() {
        return Err(Failure::new(FailureKind::NotFound, "no environment runs here"));
    }
    Ok(names)
}

pub(super) async fn prompts(context: &Context, options: Prompts) -> Result<(), Failure> {
    let client = context.client().await?;
    match options.verb {
        Some(PromptsVerb::Cancel(cancel)) => take_back(context, &client, &cancel).await,
        None => list(context, &client, &options).await,
    }
}

/// A receipt with the environment that it is of.
#[derive(Serialize)]
struct Listed<'a> {
    environment: &'a str,
    #[serde(flatten)]
    prompt: &'a Prompt,
}

async fn list(context: &Context, client: &Client, options: &Prompts) -> Result<(), Failure> {
    let mut found = Vec::new();
    for name in &options.names {
        found.push(context.environment(client, name).await?);
    }
    if options.names.is_empty() {
        found = environments(context, client, options.all).await?;
    }
    let listed = found.iter().flat_map(|it| {
        let environment = it.name.as_str();
        it.prompts.iter().map(move |prompt| Listed { environment, prompt })
    });
    let listed: Vec<Listed<'_>> = listed.collect();
    let output = context.output;
    if output.json {
        return output.value(&listed);
    }
    if listed.is_empty() {
        output.say("nothing was sent");
        output.next("agentdeck send NAME TEXT");
        return Ok(());
    }
    let row = |it: &Listed<'_>| {
        vec![
            it.environment.to_owned(),
            it.prompt.id.to_string(),
            age(it.prompt.since),
            printable(it.prompt.delivery.to_string().as_bytes()),
            printable(it.prompt.begin.as_bytes()),
        ]
    };
    let rows: Vec<Vec<String>> = listed.iter().map(row).collect();
    output.bytes(table(&["NAME", "NUMBER", "SINCE", "DELIVERY", "TEXT"], &rows).as_bytes())
}

async fn take_back(context: &Context, client: &Client, options: &Cancel) -> Result<(), Failure> {
    let request = |target| Request::CancelPrompts { target, only: options.number };
    let cancelled = match context.ask(client, &options.name, request).await? {
        Reply::Receipts(cancelled) => cancelled,
        other => return Err(unexpected(&other)),
    };
    let output = context.output;
    if output.json {
        return output.value(&cancelled);
    }
    for prompt in &cancelled {
        output.line(&format!("{} {}", prompt.id, printable(prompt.begin.as_bytes())))?;
    }
    let count = cancelled.len();
    let noun = if count == 1 { "prompt" } else { "prompts" };
    output.say(&format!("took back {count} {noun}"));
    Ok(())
}
