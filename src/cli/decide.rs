//! `agentdeck apply`, `merge`, `restore` and `undo`: what can be taken back.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::arguments::{Apply, Merge, Restore, Undo};
use super::context::{Context, unexpected};
use super::output::{age, files};
use super::{lacking, mark};
use crate::client::Client;
use crate::model::decision::{Decision, DecisionKind, MergeStyle, Portion};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;
use crate::proto::{Reply, Request};

pub(super) async fn apply(context: &Context, options: &Apply) -> Result<(), Failure> {
    let client = context.client().await?;
    let portion = portion(context, &client, options).await?;
    let snapshot = match &options.snapshot {
        Some(text) => Some(mark::find(context, &client, &options.name, text).await?.id),
        None => None,
    };
    let request = |target, known| {
        let (portion, snapshot) = (portion.clone(), snapshot.clone());
        Request::Apply { target, portion, snapshot, known }
    };
    lacking::take(context, &client, &options.name, request).await
}

/// What of the environment is named; paths are told from this directory, as git has it.
async fn portion(context: &Context, client: &Client, options: &Apply) -> Result<Portion, Failure> {
    if options.paths.is_empty() {
        return Ok(Portion::All);
    }
    let root = context.environment(client, &options.name).await?.repository;
    let mut paths = Vec::with_capacity(options.paths.len());
    for path in &options.paths {
        paths.push(inside(&root, &context.directory.join(path))?);
    }
    match (options.hunk, paths.as_slice()) {
        (None, _) => Ok(Portion::Paths(paths)),
        (Some((start, lines)), [path]) => Ok(Portion::Hunk { path: path.clone(), start, lines }),
        (Some(_), _) => {
            let failure = Failure::new(FailureKind::Invalid, "a hunk is of one file");
            Err(failure.hint("name one path with --hunk"))
        }
    }
}

/// A path as the repository has it. It need not be there, so no link is followed.
fn inside(root: &Path, path: &Path) -> Result<RepoPath, Failure> {
    let plain = plain(path);
    let relative = plain.strip_prefix(root).map_err(|_| {
        let message = format!("{} is outside the repository {}", path.display(), root.display());
        Failure::new(FailureKind::Invalid, message)
    })?;
    Ok(RepoPath::new(relative.as_os_str().as_bytes()))
}

/// A path without `.` and `..`, of whatever may not be there.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

pub(super) async fn merge(context: &Context, options: Merge) -> Result<(), Failure> {
    let client = context.client().await?;
    let style = match (options.squash, options.rebase) {
        (true, _) => MergeStyle::Squash,
        (_, true) => MergeStyle::Rebase,
        _ => MergeStyle::Commit,
    };
    let mut message = options.message.clone();
    if options.edit {
        let draft = match message {
            Some(message) => message,
            None => draft(context, &client, &options.name, style).await?,
        };
        message = Some(super::edit::message(&options.name, style, &draft).await?);
    }
    let request = |target, known| {
        let message = message.clone();
        Request::Merge { target, style, message, known }
    };
    lacking::take(context, &client, &options.name, request).await
}

pub(super) async fn draft(
    context: &Context,
    client: &Client,
    name: &str,
    style: MergeStyle,
) -> Result<String, Failure> {
    match context.ask(client, name, |target| Request::DraftMerge { target }).await? {
        Reply::MergeDraft(draft) if style == MergeStyle::Rebase => Ok(draft.rest),
        Reply::MergeDraft(draft) => Ok(draft.message),
        other => Err(unexpected(&other)),
    }
}

pub(super) async fn restore(context: &Context, options: &Restore) -> Result<(), Failure> {
    let client = context.client().await?;
    let snapshot = &options.snapshot;
    let request = |target| Request::RestoreEnvironment { target, snapshot: snapshot.clone() };
    report(context, &decided(context.ask(&client, &options.name, request).await?)?)
}

pub(super) async fn undo(context: &Context, options: Undo) -> Result<(), Failure> {
    let client = context.client().await?;
    // Joined, a whole path is itself.
    let named = options.repository.as_deref().unwrap_or(Path::new(""));
    let repository = plain(&context.directory.join(named));
    let request = match options.name {
        Some(name) => Request::BringBack { repository, name },
        None => Request::Undo { repository },
    };
    report(context, &decided(client.request(request).await?)?)
}

pub(super) fn decided(reply: Reply) -> Result<Decision, Failure> {
    match reply {
        Reply::Decided(decision) => Ok(*decision),
        other => Err(unexpected(&other)),
    }
}

/// Says where, when another worktree of the repository was written than the one we are in.
fn elsewhere(context: &Context, decision: &Decision) -> String {
    if context.directory.starts_with(&decision.repository) {
        return String::new();
    }
    format!(" in {}", decision.repository.display())
}

/// What of an environment went into the trash, and how new it is.
fn discarded(decision: &Decision) -> String {
    let Decision { name, repository, as_of, .. } = decision;
    let Some(as_of) = as_of else { return format!("discarded {name}") };
    format!(
        "discarded {name} without a last snapshot, because {} is away: its files are in the trash \
         as they are now, its snapshots as of {} ago",
        repository.display(),
        age(*as_of)
    )
}

/// Prints what was decided: JSON, or the paths with a sentence for people.
pub(super) fn report(context: &Context, decision: &Decision) -> Result<(), Failure> {
    let output = context.output;
    if output.json {
        return output.value(decision);
    }
    for path in &decision.paths {
        output.line(&path.to_string())?;
    }
    let name = &decision.name;
    let count = files(decision.paths.len());
    let commit = decision.commit.as_ref().map_or("", |commit| commit.short());
    let place = elsewhere(context, decision);
    output.say(&match (decision.undone, decision.kind) {
        (true, DecisionKind::Apply) => format!("took the changes of {name} out again{place}"),
        (true, DecisionKind::Merge) => format!("took the merge of {name} back{place}"),
        (true, DecisionKind::Discard) => format!("{name} is back"),
        (true, DecisionKind::Restore) => format!("{name} is as before the restore: {count}"),
        (false, DecisionKind::Apply) => match &decision.portion {
            Portion::Hunk { path, .. } => {
                format!("applied a hunk of {name} to your working tree, in {path}")
            }
            _ => format!("applied {name} to your working tree: {count}"),
        },
        (false, DecisionKind::Merge) => match decision.style {
            MergeStyle::Commit => format!("merged {name} as {commit}"),
            MergeStyle::Squash => format!("merged {name} as one commit, {commit}"),
            MergeStyle::Rebase => format!("rebased {name} onto your branch, now at {commit}"),
        },
        (false, DecisionKind::Discard) => discarded(decision),
        (false, DecisionKind::Restore) => {
            let snapshot = decision.snapshot.as_ref().map_or("", |snapshot| snapshot.short());
            format!("took {name} back to {snapshot}: {count}")
        }
    });
    if !decision.undone {
        if let (Some(words), Some(first)) = (decision.skipped_hooks(), decision.hooks.first()) {
            output.say(&words);
            output.next(&format!("{} runs it in the box", decision.run_in_box(first)));
        }
        output.next("agentdeck undo takes it back");
    }
    Ok(())
}
