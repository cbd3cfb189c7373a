//! `agentdeck doctor`: what works on this machine, found out by trying.

use std::process::ExitCode;

use super::context::{Context, unexpected};
use super::output::{age, lines};
use crate::config::file;
use crate::model::failure::Failure;
use crate::model::policy::EngineReport;
use crate::proto::{Reply, Request, ServerStatus};

/// Fails when no engine can be used.
pub(super) async fn run(context: &Context) -> Result<ExitCode, Failure> {
    let output = context.output;
    let client = context.client().await?;
    let status = match client.request(Request::ServerStatus).await? {
        Reply::ServerStatus(status) => status,
        other => return Err(unexpected(&other)),
    };
    let engines = match client.request(Request::ProbeEngines).await? {
        Reply::Engines(engines) => engines,
        other => return Err(unexpected(&other)),
    };
    let usable = engines.iter().any(|engine| engine.usable);
    let settings = file::path(&context.home);
    if output.json {
        output.value(&serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "home": context.home,
            "config": settings,
            "server": status,
            "engines": engines,
        }))?;
    } else {
        let mut text = format!("agentdeck   {}\n", env!("CARGO_PKG_VERSION"));
        text.push_str(&format!("home        {}\n", context.home.display()));
        let found = if settings.is_file() { "" } else { " (not there)" };
        text.push_str(&format!("config      {}{found}\n", settings.display()));
        text.push_str(&server(&status));
        text.extend(engines.iter().map(engine));
        output.bytes(text.as_bytes())?;
    }
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn server(status: &ServerStatus) -> String {
    format!(
        "server      {}, process {}, for {}, {} environments\n",
        status.version,
        status.pid,
        age(status.started),
        status.environments
    )
}

fn engine(report: &EngineReport) -> String {
    let usable = if report.usable { "usable" } else { "NOT USABLE" };
    let mut text =
        format!("{:<12}{usable}: {}\n", report.engine.to_string(), lines(&report.summary));
    for (name, value) in &report.details {
        text.push_str(&format!("            {}: {}\n", lines(name), lines(value)));
    }
    if let Some(hint) = &report.hint {
        text.push_str(&format!("            hint: {}\n", lines(hint)));
    }
    text
}
