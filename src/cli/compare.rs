//! `agentdeck compare`: which files several attempts changed, or one file line by line.

use std::path::Path;

use std::os::unix::ffi::OsStrExt;

use super::arguments::Compare;
use super::context::{Context, unexpected};
use super::output::table;
use crate::model::diff::{AlignedFile, Comparison, ComparisonCell, FileChange};
use crate::model::failure::Failure;
use crate::model::path::{RepoPath, printable};
use crate::proto::{Reply, Request, Target};

pub(super) async fn run(context: &Context, options: &Compare) -> Result<(), Failure> {
    let client = context.client().await?;
    let mut targets = Vec::new();
    for name in &options.names {
        targets.push(Target::Id(context.environment(&client, name).await?.id));
    }
    if let Some(path) = &options.file {
        return file(context, &client, targets, path).await;
    }
    let comparison = match client.request(Request::Compare { targets }).await? {
        Reply::Comparison(comparison) => comparison,
        other => return Err(unexpected(&other)),
    };
    if context.output.json {
        return context.output.value(&comparison);
    }
    context.output.bytes(overview(&comparison).as_bytes())?;
    let names = options.names.join(" ");
    context.output.next(&format!("agentdeck compare {names} --file PATH"));
    Ok(())
}

async fn file(
    context: &Context,
    client: &crate::client::Client,
    targets: Vec<Target>,
    path: &Path,
) -> Result<(), Failure> {
    let path = RepoPath::new(path.as_os_str().as_bytes());
    let aligned = match client.request(Request::CompareFile { targets, path }).await? {
        Reply::AlignedFile(aligned) => aligned,
        other => return Err(unexpected(&other)),
    };
    if context.output.json {
        return context.output.value(&aligned);
    }
    if let Some(note) = &aligned.note {
        context.output.say(note);
    }
    context.output.bytes(side_by_side(&aligned).as_bytes())
}

/// Files and attempts; equal letters in a row mean equal content.
fn overview(comparison: &Comparison) -> String {
    let mut titles = vec!["FILE"];
    titles.extend(comparison.attempts.iter().map(|attempt| attempt.name.as_str()));
    let rows: Vec<Vec<String>> = comparison
        .rows
        .iter()
        .map(|row| {
            let cells = row.cells.iter().map(|cell| cell.as_ref().map_or("–".to_owned(), describe));
            std::iter::once(row.path.to_string()).chain(cells).collect()
        })
        .collect();
    table(&titles, &rows)
}

fn describe(cell: &ComparisonCell) -> String {
    let change = match cell.change {
        FileChange::Added => "added",
        FileChange::Modified => "changed",
        FileChange::Deleted => "deleted",
        FileChange::Renamed => "renamed",
        FileChange::Mode => "mode",
    };
    let letter = char::from(b'A' + (cell.group % 26) as u8);
    format!("{letter} {change} +{} −{}", cell.added, cell.removed)
}

fn side_by_side(aligned: &AlignedFile) -> String {
    let titles: Vec<String> =
        aligned.columns.iter().map(|name| printable(name.as_bytes())).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let rows: Vec<Vec<String>> = aligned
        .rows
        .iter()
        .map(|row| {
            let cells = row.cells.iter().map(|cell| match cell {
                Some(cell) => {
                    let mark = if cell.changed { '*' } else { ' ' };
                    format!("{:>4}{mark}{}", cell.number, printable(&cell.text))
                }
                None => String::new(),
            });
            cells.collect()
        })
        .collect();
    table(&titles, &rows)
}
