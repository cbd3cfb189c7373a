//! `agentdeck server`: the process behind everything, by hand.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::arguments::ServerVerb;
use super::context::{Context, unexpected};
use super::output::age;
use crate::client::Client;
use crate::config::home;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{HOME_TAKEN, Reply, Request, ServerStatus};
use crate::shim::turns;

/// How long a server may take to end; it finishes git work that is under way.
const STOP_DEADLINE: Duration = Duration::from_secs(30);
/// Between two looks whether it has ended, which takes it a quarter of a second.
const LOOK: Duration = Duration::from_millis(10);

/// Runs the server in this process, its words on standard error.
pub(super) fn run() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("AGENTDECK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("agentdeck=info,warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(std::io::stderr)
        .init();
    turns::of_deck();
    let result =
        home::find().map_err(anyhow::Error::from).and_then(|home| crate::server::run(&home));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is the log; there is nowhere else to say it.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            let taken = error
                .downcast_ref::<Failure>()
                .is_some_and(|failure| failure.kind == FailureKind::AlreadyExists);
            if taken { ExitCode::from(HOME_TAKEN) } else { ExitCode::FAILURE }
        }
    }
}

pub(super) async fn perform(context: &Context, verb: &ServerVerb) -> Result<(), Failure> {
    match verb {
        ServerVerb::Start => {
            let client = context.client().await?;
            show(context, &client).await
        }
        ServerVerb::Status => {
            let (client, _) = Client::connect(&context.home).await?;
            show(context, &client).await
        }
        ServerVerb::Stop => stop(context).await,
        ServerVerb::Restart => {
            end(&context.home).await?;
            let client = context.client().await?;
            show(context, &client).await
        }
    }
}

async fn show(context: &Context, client: &Client) -> Result<(), Failure> {
    let status = match client.request(Request::ServerStatus).await? {
        Reply::ServerStatus(status) => status,
        other => return Err(unexpected(&other)),
    };
    if context.output.json {
        return context.output.value(&status);
    }
    context.output.bytes(describe(&status).as_bytes())
}

fn describe(status: &ServerStatus) -> String {
    format!(
        "process {} runs for {}: version {}, {} environments, {} clients\nhome {}\n",
        status.pid,
        age(status.started),
        status.version,
        status.environments,
        status.clients,
        status.home.display()
    )
}

async fn stop(context: &Context) -> Result<(), Failure> {
    let stopped = end(&context.home).await?;
    if context.output.json {
        return context.output.value(&serde_json::json!({ "stopped": stopped }));
    }
    context.output.say(if stopped {
        "the server has ended; agents go on"
    } else {
        "no server runs"
    });
    Ok(())
}

/// Ends a home's server and waits until its process has let go of the home. Returns whether there
/// was one.
pub(super) async fn end(home: &Path) -> Result<bool, Failure> {
    match Client::connect(home).await {
        Ok((client, _)) => {
            client.request(Request::StopServer).await?;
        }
        // What it would make of a request is not known; what a signal means is.
        Err(failure)
            if matches!(failure.kind, FailureKind::OlderServer | FailureKind::NewerServer) =>
        {
            Client::terminate_server(home)?;
        }
        Err(failure) if crate::server::runs(home) => return Err(failure),
        Err(_) => return Ok(false),
    }
    let gone = async {
        while crate::server::runs(home) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let late = |_| Failure::new(FailureKind::Timeout, "the server does not end");
    tokio::time::timeout(STOP_DEADLINE, gone).await.map_err(late)?;
    Ok(true)
}
