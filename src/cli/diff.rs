//! `agentdeck diff`: what an environment changed, as a patch that git can apply.

use super::arguments::Diff as Options;
use super::context::{Context, unexpected};
use super::output::{Output, Sanitiser};
use super::{lacking, mark};
use crate::client::{Client, patch};
use crate::model::diff::{Detail, Diff, FileSide};
use crate::model::failure::Failure;
use crate::model::snapshot::Skipped;
use crate::proto::{DiffSide, Reply, Request};

/// The width of `--stat` in a pipe, as git has it.
const STAT_WIDTH: usize = 80;

pub(super) async fn run(context: &Context, options: &Options) -> Result<(), Failure> {
    let output = context.output;
    let client = context.client().await?;
    let from = side(context, &client, &options.name, &options.from).await?;
    let to = side(context, &client, &options.name, &options.to).await?;
    let for_git = !options.stat && (options.patch || !output.terminal);
    let read = |target| Request::ReadDiff {
        target,
        from: from.clone(),
        to: to.clone(),
        detail: if for_git && !output.json { Detail::Patch } else { Detail::Lines },
    };
    let diff = match context.ask(&client, &options.name, read).await? {
        Reply::Diff(diff) => diff,
        other => return Err(unexpected(&other)),
    };
    let left_out = left_out(context, &client, &options.name, &to).await?;
    if output.json {
        return output.value(&WithLeftOut { diff, left_out });
    }
    let mut bytes = Vec::new();
    if for_git {
        write_patch(context, &client, &options.name, &diff).await?;
    } else if options.stat {
        let width = crossterm::terminal::size().map_or(STAT_WIDTH, |(columns, _)| columns.into());
        diff.write_stat(if output.terminal { width } else { STAT_WIDTH }, &mut bytes);
    } else {
        diff.write_lines(&mut bytes);
    }
    let mut printer = Printer::new(output);
    printer.print(&bytes)?;
    printer.finish()?;
    if output.person {
        for file in diff.files.iter().filter(|file| !file.cautions.is_empty()) {
            let why: Vec<String> = file.cautions.iter().map(ToString::to_string).collect();
            output.say(&format!("! {}: {}", file.path, why.join(" · ")));
        }
    }
    lacking::name_all(output, &left_out);
    if diff.files.is_empty() {
        output.say("no changes");
    } else {
        output.next(&what_next(options, &from, diff.to.short()));
    }
    Ok(())
}

/// Prints bytes as they come, made safe where a person sees them.
struct Printer {
    output: Output,
    sanitiser: Sanitiser,
}

impl Printer {
    fn new(output: Output) -> Self {
        Self { output, sanitiser: Sanitiser::default() }
    }

    fn print(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        if !self.output.terminal {
            return self.output.bytes(bytes);
        }
        let text = self.sanitiser.feed(bytes);
        self.output.bytes(text.as_bytes())
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.output.bytes(self.sanitiser.finish().as_bytes())
    }
}

/// Prints a patch, asking for what of it is not here.
async fn write_patch(
    context: &Context,
    client: &Client,
    name: &str,
    diff: &Diff,
) -> Result<(), Failure> {
    let ask = async |side: FileSide, offset: u64| {
        let read = |target| Request::ReadContent { target, side: side.clone(), offset };
        context.ask(client, name, read).await
    };
    let mut printer = Printer::new(context.output);
    let written = patch::write(diff, ask, &mut |bytes| printer.print(bytes)).await?;
    printer.finish()?;
    if written > patch::MOST_APPLIED {
        context.output.say("the patch is larger than git applies, which is 1023 MiB");
    }
    Ok(())
}

/// How to take what was shown, and not what is written meanwhile. A diff between two snapshots does
/// not show all that would be taken.
fn what_next(options: &Options, from: &DiffSide, to: &str) -> String {
    let name = &options.name;
    match from {
        DiffSide::Base | DiffSide::Taken => {
            format!("agentdeck apply {name} --snapshot {to}, or agentdeck merge {name}")
        }
        _ => format!("agentdeck diff {name} --to {to} shows all that apply takes of it"),
    }
}

/// A diff, and what it says nothing about.
#[derive(serde::Serialize)]
struct WithLeftOut {
    #[serde(flatten)]
    diff: Diff,
    left_out: Vec<Skipped>,
}

/// Files that are in the environment and in no snapshot.
async fn left_out(
    context: &Context,
    client: &Client,
    name: &str,
    side: &DiffSide,
) -> Result<Vec<Skipped>, Failure> {
    let snapshot = match side {
        DiffSide::Base | DiffSide::Taken => return Ok(Vec::new()),
        DiffSide::Head | DiffSide::Newest => None,
        DiffSide::Snapshot(id) => Some(id.clone()),
    };
    let request = |target| Request::ReadLeftOut { target, snapshot: snapshot.clone() };
    match context.ask(client, name, request).await? {
        Reply::LeftOut(skipped) => Ok(skipped),
        other => Err(unexpected(&other)),
    }
}

/// A side by name: what is there now, the base, alone or with what was taken, or a snapshot however
/// it is named.
async fn side(
    context: &Context,
    client: &Client,
    name: &str,
    text: &str,
) -> Result<DiffSide, Failure> {
    match text {
        "base" => Ok(DiffSide::Base),
        "taken" => Ok(DiffSide::Taken),
        "head" => Ok(DiffSide::Head),
        _ => Ok(DiffSide::Snapshot(mark::find(context, client, name, text).await?.id)),
    }
}
