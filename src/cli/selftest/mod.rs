//! `agentdeck selftest`: attacks on this machine from boxes made for it, each with its control.
//!
//! A row is proven only by both sides: without a box the attack works (the control fires), in a
//! box it does not (the box holds). Where the control cannot fire, the row says why and proves
//! nothing. Everything happens in a directory, a home and boxes of its own.

mod attack;
mod bombs;
mod canaries;
mod cast;
mod disk;
mod emulated;
mod leak;
mod rows;
mod running;
mod special;
mod stage;
mod taking;
mod terminal;
mod verdict;

use std::process::ExitCode;

use crate::cli::arguments::Selftest;
use crate::cli::context::{Context, unexpected};
use crate::cli::output::Output;
use crate::config::endpoint;
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{EngineKind, LimitSupport};
use crate::proto::{Reply, Request};

pub(super) use attack::{VERB, run as box_attack};
use cast::Cast;
use rows::ROWS;
use running::Side;
use stage::{Choice, Stage};
use verdict::{Control, Shown, Verdict, broken, describe};

/// The port on which the sibling listens, in its own box.
const SIBLING_PORT: u16 = 47_110;
/// Bytes of output in a flood, and in one through the terminal of an emulated kernel, which passes
/// about one mebibyte in a second.
const FLOOD: u64 = 32 << 20;
const EMULATED_FLOOD: u64 = 8 << 20;

/// Runs the suite; fails when a row did not hold, or proved nothing although it should.
pub(super) async fn run(context: &Context, options: Selftest) -> Result<ExitCode, Failure> {
    let output = context.output;
    let names = names(&options.only)?;
    let choice = choice(context, &options)?;
    let stage = Stage::make(output, choice)?;
    let tested = tokio::select! {
        tested = test(&stage, &names) => tested,
        _ = tokio::signal::ctrl_c() => Err(Failure::new(FailureKind::Unavailable, "interrupted")),
    };
    output.progress("");
    let removed = stage.remove().await;
    let verdicts = tested?;
    report(output, stage.choice.engine, &verdicts)?;
    removed?;
    let bad = verdicts.iter().any(|verdict| verdict.status.is_bad());
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The rows that were named, in the table's order; all where none was.
fn names(only: &[String]) -> Result<Vec<&'static str>, Failure> {
    let known = || ROWS.iter().map(|(name, _)| *name);
    if let Some(unknown) = only.iter().find(|name| !known().any(|known| known == name.as_str())) {
        let all: Vec<&str> = known().collect();
        return Err(Failure::new(FailureKind::Invalid, format!("{unknown:?} is no attack"))
            .hint(format!("there are {}", all.join(", "))));
    }
    let wanted = |name: &&str| only.is_empty() || only.iter().any(|one| one == name);
    Ok(known().filter(wanted).collect())
}

/// What the user's own environments would be made of.
fn choice(context: &Context, options: &Selftest) -> Result<Choice, Failure> {
    let settings = context.settings()?;
    let engine = options.engine.or(settings.engine).unwrap_or(EngineKind::Native);
    let named = options.image.clone().map(|image| image.from_directory(&context.directory));
    // A native box needs no image, and the docker engine's would not fit it.
    let image = match engine {
        EngineKind::Native => named,
        EngineKind::Docker => named.or(settings.image),
    };
    let runtime = options.runtime.clone().or(settings.runtime);
    Ok(Choice { engine, image, runtime: runtime.filter(|_| engine == EngineKind::Docker) })
}

async fn test(stage: &Stage, names: &[&'static str]) -> Result<Vec<Verdict>, Failure> {
    let output = stage.context.output;
    output.progress("starting a server");
    let limits = require_engine(stage).await?;
    output.progress("making boxes");
    let cast = Cast::gather(stage, limits).await?;
    let mut verdicts = Vec::new();
    for (number, name) in names.iter().enumerate() {
        output.progress(&format!("{}/{} {name}", number + 1, names.len()));
        let meaning = ROWS.iter().find(|(known, _)| known == name).map_or("", |(_, words)| words);
        let mut verdict = match judge(name, &cast).await {
            Ok((control, shown)) => Verdict::new(name, meaning, control, shown),
            Err(failure) => Verdict::not_run(name, meaning, &failure),
        };
        if cast.own_kernel {
            emulated::settle(&mut verdict);
        }
        verdict.tried = stage.tried.take();
        verdict.tried.dedup();
        verdicts.push(verdict);
    }
    Ok(verdicts)
}

/// Says what is wrong with an engine before anything is made with it, and what keeps its limits.
async fn require_engine(stage: &Stage) -> Result<LimitSupport, Failure> {
    let (client, _events) = stage.context.connect().await?;
    let reports =
        match client.request(Request::ProbeEngines { endpoint: endpoint::choice() }).await? {
            Reply::Engines(reports) => reports,
            other => return Err(unexpected(&other)),
        };
    let engine = stage.choice.engine;
    let report = reports.into_iter().find(|report| report.engine == engine);
    match report {
        Some(report) if report.usable => Ok(report.capabilities.limits),
        Some(report) => {
            let message = format!("the {engine} engine cannot be used: {}", report.summary);
            let failure = Failure::new(FailureKind::Unavailable, message);
            Err(Failure { hint: report.hint, ..failure })
        }
        None => {
            let message = format!("the {engine} engine is not known to the server");
            Err(Failure::new(FailureKind::Unavailable, message))
        }
    }
}

async fn judge(name: &str, cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    if let Some(plan) = rows::plan(name, cast) {
        return compare(cast, plan).await;
    }
    match name {
        "signals" => special::signals(cast).await,
        "setuid" => special::setuid(cast).await,
        "leaked-descriptor" => leak::descriptor(cast).await,
        "git-directory" => special::git_directory(cast).await,
        "git-programs" => taking::git_programs(cast).await,
        "workspace-links" => taking::workspace_links(cast).await,
        "terminal-escapes" => terminal::escapes(cast).await,
        _ => bombs::judge(name, cast).await,
    }
}

/// Runs the same attacks as the control and in the box.
async fn compare(cast: &Cast<'_>, plan: rows::Plan) -> Result<(Control, Shown), Failure> {
    let mut fired = Vec::new();
    for attack in &plan.attacks {
        fired.extend(if plan.at_home {
            cast.stage.inside(&cast.sibling, Side::Agent, attack.clone()).await?
        } else {
            cast.stage.outside_of_boxes(attack.clone()).await?
        });
    }
    let mut came_through = Vec::new();
    for side in plan.sides {
        for attack in &plan.attacks {
            let tries = cast.stage.inside(&cast.attacker, *side, attack.clone()).await?;
            let words = broken(&tries).into_iter();
            let by = if *side == Side::Root { emulated::AS_ROOT } else { "" };
            came_through.extend(words.map(|words| format!("{by}{words}")));
        }
    }
    Ok((Control::of(&fired, plan.needs), Ok(came_through)))
}

fn report(output: Output, engine: EngineKind, verdicts: &[Verdict]) -> Result<(), Failure> {
    let bad = verdicts.iter().filter(|verdict| verdict.status.is_bad()).count();
    if output.json {
        return output.value(&serde_json::json!({
            "engine": engine,
            "passed": bad == 0,
            "attacks": verdicts,
        }));
    }
    output.bytes(describe(verdicts).as_bytes())?;
    let count = |status| verdicts.iter().filter(|one| one.status == status).count();
    let (held, gaps) = (count(verdict::Status::Held), count(verdict::Status::KnownGap));
    let known = if gaps > 0 { format!(", {gaps} known gaps") } else { String::new() };
    let rest = verdicts.len() - held - gaps;
    output.say(&match bad {
        0 => format!("{engine}: {held} attacks held{known}, {rest} not applicable"),
        bad => format!("{engine}: {bad} of {} attacks are not shown to be held", verdicts.len()),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attacks_are_named_once_and_chosen_by_name() {
        let all = names(&[]).expect("all");
        let unique: std::collections::BTreeSet<&str> = all.iter().copied().collect();
        assert_eq!(all.len(), unique.len());
        let some = ["setuid".to_owned(), "host-files".to_owned()];
        assert_eq!(names(&some), Ok(vec!["host-files", "setuid"]));
        assert!(names(&["nothing".to_owned()]).is_err());
    }
}
