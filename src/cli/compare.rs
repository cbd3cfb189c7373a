//! `agentdeck compare`: which files several attempts changed, one file line by line, or patches
//! from one attempt to the others. On a terminal, the view of the deck.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::arguments::Compare;
use super::context::{Context, unexpected};
use super::deck;
use super::output::{Output, Sanitiser, files, table};
use crate::client::Client;
use crate::model::comparison::{
    Agreement, AlignedFile, Comparison, ComparisonCell, ComparisonRow, Stretch, agreeing, letter,
    letters,
};
use crate::model::diff::{Detail, FileChange};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::{RepoPath, printable};
use crate::proto::{DiffSide, Freshness, Reply, Request, Target};

pub(super) async fn run(context: &Context, options: &Compare) -> Result<(), Failure> {
    let output = context.output;
    let (client, events) = context.connect_asking().await?;
    let mut attempts = Vec::new();
    for name in &options.names {
        let found = context.environment(&client, name).await?;
        if attempts.contains(&found.id) {
            let message = format!("{} is named twice", found.name);
            return Err(Failure::new(FailureKind::Invalid, message)
                .hint("name two to four environments, each once"));
        }
        attempts.push(found.id);
    }
    let printed = options.stat || options.patch || output.json || options.file.is_some();
    if !printed && output.terminal && std::io::stdin().is_terminal() {
        return deck::open(context, client, events, false, attempts).await;
    }
    let targets: Vec<Target> = attempts.into_iter().map(Target::Id).collect();
    if let Some(path) = &options.file {
        return file(context, &client, targets, path).await;
    }
    let request = Request::Compare {
        targets: targets.clone(),
        freshness: Freshness::Now,
        detail: Detail::Counted,
    };
    let comparison = match client.request(request).await? {
        Reply::Comparison(comparison) => comparison,
        other => return Err(unexpected(&other)),
    };
    for note in &comparison.notes {
        output.say(&format!("note: {note}"));
    }
    if options.patch {
        return patch(output, &client, &targets, &comparison).await;
    }
    if output.json {
        return output.value(&comparison);
    }
    output.bytes(overview(&comparison).as_bytes())?;
    let names = options.names.join(" ");
    output.next(&format!("agentdeck compare {names} --file PATH"));
    Ok(())
}

async fn file(
    context: &Context,
    client: &Client,
    targets: Vec<Target>,
    path: &Path,
) -> Result<(), Failure> {
    let path = RepoPath::new(path.as_os_str().as_bytes());
    let request = Request::CompareFile { targets, freshness: Freshness::Now, path };
    let aligned = match client.request(request).await? {
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

/// Prints, or with `--json` lists, the differences from the first attempt to each other one.
async fn patch(
    output: Output,
    client: &Client,
    targets: &[Target],
    comparison: &Comparison,
) -> Result<(), Failure> {
    let (Some(target), Some((first, others))) =
        (targets.first(), comparison.attempts.split_first())
    else {
        return Ok(());
    };
    let mut diffs = Vec::new();
    for other in others {
        let request = Request::ReadDiff {
            target: target.clone(),
            from: DiffSide::Snapshot(first.head.clone()),
            to: DiffSide::Snapshot(other.head.clone()),
            detail: if output.terminal || output.json { Detail::Lines } else { Detail::Patch },
        };
        match client.request(request).await? {
            Reply::Diff(diff) => diffs.push(diff),
            other => return Err(unexpected(&other)),
        }
    }
    if output.json {
        return output.value(&diffs);
    }
    let mut bytes = Vec::new();
    for (other, diff) in others.iter().zip(&diffs) {
        if others.len() > 1 {
            bytes.extend(format!("{} -> {}\n", first.name, other.name).into_bytes());
        }
        diff.write_unified(&mut bytes);
    }
    if output.terminal {
        let mut sanitiser = Sanitiser::default();
        let mut text = sanitiser.feed(&bytes);
        text.push_str(&sanitiser.finish());
        bytes = text.into_bytes();
    }
    output.bytes(&bytes)
}

/// Files and attempts, the most disagreement first; equal letters in a row mean equal content.
fn overview(comparison: &Comparison) -> String {
    let heads: Vec<String> = comparison
        .attempts
        .iter()
        .enumerate()
        .map(|(index, attempt)| format!("{} {}", letter(index), attempt.name))
        .collect();
    let mut titles = vec!["FILE", "AGREEMENT"];
    titles.extend(heads.iter().map(String::as_str));
    let order = comparison.by_disagreement();
    let mut rows: Vec<Vec<String>> = order
        .into_iter()
        .map(|index| {
            let row = &comparison.rows[index];
            let cells = row.cells.iter().enumerate();
            let cells = cells.map(|(attempt, cell)| {
                cell.as_ref().map_or("–".to_owned(), |cell| describe(row, attempt, cell))
            });
            [row.path.to_string(), agreement(row)].into_iter().chain(cells).collect()
        })
        .collect();
    let totals = comparison.totals().into_iter().map(|total| {
        format!("{} +{} −{}", files(total.files as usize), total.added, total.removed)
    });
    rows.push([files(comparison.rows.len()), String::new()].into_iter().chain(totals).collect());
    let mut text = table(&titles, &rows);
    for row in comparison.by_disagreement().into_iter().map(|index| &comparison.rows[index]) {
        for (attempts, remark) in row.remarks() {
            text.push_str(&format!("{}: {}: {remark}\n", row.path, letters(&attempts)));
        }
    }
    text
}

fn agreement(row: &ComparisonRow) -> String {
    let groups = row.groups();
    match row.agreement() {
        Agreement::Same => "same".to_owned(),
        Agreement::Alone => format!("only {}", letters(&groups.concat())),
        Agreement::Shared | Agreement::Different => {
            let group = |group: &Vec<usize>| {
                group.iter().map(|index| letter(*index).to_string()).collect::<Vec<_>>().join("=")
            };
            groups.iter().map(group).collect::<Vec<_>>().join(" ≠ ")
        }
    }
}

fn describe(row: &ComparisonRow, attempt: usize, cell: &ComparisonCell) -> String {
    let first = row.cells[..attempt]
        .iter()
        .position(|other| other.as_ref().is_some_and(|other| other.group == cell.group));
    if let Some(first) = first {
        return format!("= {}", letter(first));
    }
    let change = match cell.change {
        FileChange::Added => "added",
        FileChange::Modified => "changed",
        FileChange::Deleted => "deleted",
        FileChange::Renamed => "renamed",
        FileChange::Mode => "mode",
    };
    let change = if cell.moved.is_some() { "moved" } else { change };
    let mode = cell.mode_word().map_or_else(String::new, |word| format!(" {word}"));
    let caution = if cell.cautions.is_empty() { "" } else { " !" };
    format!("{change} +{} −{}{mode}{caution}", cell.added, cell.removed)
}

/// Every line of the file, those that differ marked, and above them who agrees.
fn side_by_side(aligned: &AlignedFile) -> String {
    let titles: Vec<String> =
        aligned.columns.iter().map(|name| printable(name.as_bytes())).collect();
    let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for stretch in &aligned.stretches {
        match stretch {
            Stretch::Common { starts, lines } => {
                for (index, line) in (0_u32..).zip(lines) {
                    let cell = |start: &u32| format!("{:>4} {}", start + index, printable(&line.0));
                    rows.push(starts.iter().map(cell).collect());
                }
            }
            Stretch::Changed { groups, rows: own } => {
                let agreeing = agreeing(groups);
                let agreeing = agreeing.iter().filter(|group| group.len() > 1);
                rows.extend(agreeing.map(|group| vec![format!("{} agree:", letters(group))]));
                for row in own {
                    let cells = row.cells.iter().map(|cell| match cell {
                        Some(cell) => {
                            let base = row.cells[0].as_ref().map(|base| &base.text);
                            let mark = if base == Some(&cell.text) { ' ' } else { '*' };
                            format!("{:>4}{mark}{}", cell.number, printable(&cell.text.0))
                        }
                        None => String::new(),
                    });
                    rows.push(cells.collect());
                }
            }
        }
    }
    table(&titles, &rows)
}
