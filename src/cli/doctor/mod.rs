//! `agentdeck doctor`: what works on this machine, found out by trying, and what to do about the
//! rest. Fails only when nothing can run.

mod engines;
mod finding;
mod machine;
mod places;
mod versions;

use std::process::ExitCode;

use super::context::{Context, unexpected};
use super::output::{age, lines};
use crate::config::{endpoint, file};
use crate::model::failure::Failure;
use crate::model::policy::EngineReport;
use crate::proto::{Reply, Request, ServerStatus};
use finding::{Finding, Verdict};

/// Columns of a verdict and of a name.
const VERDICT: usize = 11;
const NAME: usize = 24;

pub(super) async fn run(context: &Context) -> Result<ExitCode, Failure> {
    let mut findings = machine::Machine::here().findings();
    let moves = "set AGENTDECK_HOME to a directory elsewhere";
    findings.extend(places::disk("state", &context.home, moves));
    findings.push(places::clock());
    findings.push(places::terminal(|name| std::env::var(name).ok()));
    let (status, reports) = match ask(context).await {
        Ok((status, reports)) => (Some(status), reports),
        Err(failure) => {
            let finding = Finding::problem("agentdeck", "server", failure.message.clone());
            findings.push(match &failure.hint {
                Some(hint) => finding.remedy(hint.clone()),
                None => finding,
            });
            (None, Vec::new())
        }
    };
    findings.extend(engines::findings(&reports));
    let usable = reports.iter().any(|report| report.usable);
    tell(context, status.as_ref(), &reports, &findings)?;
    Ok(if usable { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn ask(context: &Context) -> Result<(ServerStatus, Vec<EngineReport>), Failure> {
    let client = context.client().await?;
    let status = match client.request(Request::ServerStatus).await? {
        Reply::ServerStatus(status) => status,
        other => return Err(unexpected(&other)),
    };
    match client.request(Request::ProbeEngines { endpoint: endpoint::choice() }).await? {
        Reply::Engines(reports) => Ok((status, reports)),
        other => Err(unexpected(&other)),
    }
}

fn tell(
    context: &Context,
    status: Option<&ServerStatus>,
    reports: &[EngineReport],
    findings: &[Finding],
) -> Result<(), Failure> {
    let settings = file::path(&context.home);
    if context.output.json {
        return context.output.value(&serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"),
            "home": context.home,
            "config": settings,
            "server": status,
            "engines": reports,
            "findings": findings,
        }));
    }
    let mut text = format!("agentdeck   {}\n", env!("CARGO_PKG_VERSION"));
    text.push_str(&format!("home        {}\n", context.home.display()));
    let found = if settings.is_file() { "" } else { " (not there)" };
    text.push_str(&format!("config      {}{found}\n", settings.display()));
    text.extend(status.map(server));
    text.push_str(&listed(findings));
    for report in reports {
        text.push_str(&format!("\n{} says\n", report.engine));
        text.extend(
            report
                .details
                .iter()
                .map(|(name, value)| format!("  {:<NAME$} {}\n", lines(name), lines(value))),
        );
    }
    text.push_str(&sum(findings));
    context.output.bytes(text.as_bytes())
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

/// The findings by area, in the order in which the areas first come.
fn listed(findings: &[Finding]) -> String {
    let mut areas: Vec<&str> = Vec::new();
    for finding in findings {
        if !areas.contains(&finding.area) {
            areas.push(finding.area);
        }
    }
    let mut text = String::new();
    for area in areas {
        text.push_str(&format!("\n{area}\n"));
        for finding in findings.iter().filter(|finding| finding.area == area) {
            let (verdict, name) = (finding.verdict.word(), lines(&finding.name));
            let found = lines(&finding.found);
            text.push_str(&format!("  {verdict:<VERDICT$}{name:<NAME$} {found}\n"));
            if let Some(remedy) = finding.remedy.as_ref().filter(|_| finding.verdict != Verdict::Ok)
            {
                let indent = VERDICT + 2;
                text.push_str(&format!("{:indent$}→ {}\n", "", lines(remedy)));
            }
        }
    }
    text
}

fn sum(findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|finding| finding.verdict == verdict).count();
    match (count(Verdict::Problem), count(Verdict::Attention)) {
        (0, 0) => "\nall is well\n".to_owned(),
        (0, attention) => format!("\n{attention} worth a look, no problem\n"),
        (problems, attention) => format!("\n{problems} problems, {attention} worth a look\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_listed_by_area_with_what_to_do() {
        let findings = [
            Finding::ok("kernel", "release", "6.1"),
            Finding::attention("disk", "state", "room for 1 GiB").remedy("make room"),
            Finding::problem("kernel", "user namespaces", "none").remedy("sudo sysctl x=1"),
        ];
        let expected = "\nkernel\n  \
                        ok         release                  6.1\n  \
                        problem    user namespaces          none\n             \
                        → sudo sysctl x=1\n\
                        \ndisk\n  \
                        attention  state                    room for 1 GiB\n             \
                        → make room\n";
        assert_eq!(listed(&findings), expected);
        assert_eq!(sum(&findings), "\n1 problems, 1 worth a look\n");
        assert_eq!(sum(&findings[..1]), "\nall is well\n");
    }
}
