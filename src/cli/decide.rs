//! `agentdeck apply`, `merge`, `restore` and `undo`: what can be taken back.

use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use super::arguments::{Apply, Merge, Restore, Undo};
use super::context::{Context, unexpected};
use super::output::{age, files};
use super::{lacking, mark, worktree};
use crate::client::Client;
use crate::model::decision::{Decision, DecisionKind, MergeStyle, Portion};
use crate::model::diff::{Detail, DiffContent, Hunk};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;
use crate::proto::{DiffSide, Reply, Request};

pub(super) async fn apply(context: &Context, options: &Apply) -> Result<(), Failure> {
    let client = context.client().await?;
    let snapshot = match &options.snapshot {
        Some(text) => Some(mark::find(context, &client, &options.name, text).await?.id),
        None => None,
    };
    let portion = portion(context, &client, options, snapshot.as_ref()).await?;
    let request = |target, known| {
        let (portion, snapshot) = (portion.clone(), snapshot.clone());
        Request::Apply { target, portion, snapshot, known }
    };
    lacking::take(context, &client, &options.name, request).await
}

/// What of the environment is named; paths are told from this directory, as git has it.
async fn portion(
    context: &Context,
    client: &Client,
    options: &Apply,
    snapshot: Option<&CommitId>,
) -> Result<Portion, Failure> {
    if options.paths.is_empty() {
        return Ok(Portion::All);
    }
    let root = context.environment(client, &options.name).await?.repository;
    let mut paths = Vec::with_capacity(options.paths.len());
    for path in &options.paths {
        paths.push(inside(&root, &context.directory.join(path))?);
    }
    let (Some((line, lines)), Some(snapshot)) = (options.hunk, snapshot) else {
        return Ok(Portion::Paths(paths));
    };
    let [path] = paths.as_slice() else {
        let failure = Failure::new(FailureKind::Invalid, "a hunk is of one file");
        return Err(failure.hint("name one path with --hunk"));
    };
    let path = path.clone();
    if let Some(lines) = lines {
        return Ok(Portion::Hunk { path, start: line, lines });
    }
    let (from, to) = (DiffSide::Taken, DiffSide::Snapshot(snapshot.clone()));
    let read = |target| {
        let (from, to) = (from.clone(), to.clone());
        Request::ReadDiff { target, from, to, detail: Detail::Lines }
    };
    let diff = match context.ask(client, &options.name, read).await? {
        Reply::Diff(diff) => diff,
        other => return Err(unexpected(&other)),
    };
    let file = diff.files.iter().find(|file| file.path == path);
    let hunks = match file.map(|file| &file.content) {
        Some(DiffContent::Text(hunks)) => hunks.as_slice(),
        _ => &[],
    };
    let (start, lines) = hunk_at(hunks, &path, line)?;
    Ok(Portion::Hunk { path, start, lines })
}

/// The hunk of what is new that a line alone names: the one that begins there, or that it is in.
fn hunk_at(hunks: &[Hunk], path: &RepoPath, line: u32) -> Result<(u32, u32), Failure> {
    let known: Vec<(u32, u32)> = hunks.iter().map(|it| (it.new_start, it.new_lines)).collect();
    let begins = known.iter().find(|(start, _)| *start == line);
    let holds = |(start, lines): &&(u32, u32)| (*start..start + lines).contains(&line);
    if let Some(found) = begins.or_else(|| known.iter().find(holds)) {
        return Ok(*found);
    }
    let message = format!("no hunk of what is new in {path} is at line {line}");
    let named: Vec<String> = known.iter().map(|(at, lines)| format!("{at},{lines}")).collect();
    let hint = if named.is_empty() {
        "take the file whole, without --hunk".to_owned()
    } else {
        format!("name one as its @@ line has it behind the plus: --hunk {}", named.join(" or "))
    };
    Err(Failure::new(FailureKind::Invalid, message).hint(hint).paths(vec![path.clone()]))
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

/// The worktree that was written, where that is another one than the one around a directory.
fn elsewhere<'a>(directory: &Path, decision: &'a Decision) -> Option<&'a Path> {
    let written = decision.repository.as_path();
    let is_here = match worktree::root(directory) {
        Some(root) => root == written,
        None => directory.starts_with(written),
    };
    (!is_here).then_some(written)
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
    let elsewhere = elsewhere(&context.directory, decision);
    let place = elsewhere.map_or_else(String::new, |path| format!(" in {}", path.display()));
    let tree = if elsewhere.is_some() { "another working tree" } else { "your working tree" };
    output.say(&match (decision.undone, decision.kind) {
        (true, DecisionKind::Apply) => format!("took the changes of {name} out again{place}"),
        (true, DecisionKind::Merge) => format!("took the merge of {name} back{place}"),
        (true, DecisionKind::Discard) => format!("{name} is back"),
        (true, DecisionKind::Restore) => format!("{name} is as before the restore: {count}"),
        (false, DecisionKind::Apply) => match &decision.portion {
            Portion::Hunk { path, .. } => {
                format!("applied a hunk of {name} to {tree}, of {path}{place}")
            }
            _ => format!("applied {name} to {tree}: {count}{place}"),
        },
        (false, DecisionKind::Merge) => match decision.style {
            MergeStyle::Commit => format!("merged {name} as {commit}{place}"),
            MergeStyle::Squash => format!("merged {name} as one commit, {commit}{place}"),
            MergeStyle::Rebase => {
                format!("rebased {name} onto your branch, now at {commit}{place}")
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{DecisionId, EnvironmentId, EnvironmentName, Timestamp};

    #[test]
    fn a_line_alone_names_the_hunk_that_begins_there_or_that_it_is_in() {
        let hunk = |new_start, new_lines| Hunk {
            old_start: 1,
            old_lines: 0,
            new_start,
            new_lines,
            lines: Vec::new(),
            taken: false,
        };
        // The second takes lines out, behind the 20th.
        let hunks = [hunk(14, 7), hunk(20, 0), hunk(30, 1)];
        let path = RepoPath::new(*b"f");
        let at = |line| hunk_at(&hunks, &path, line).ok();
        assert_eq!((at(14), at(17), at(20)), (Some((14, 7)), Some((14, 7)), Some((20, 0))));
        assert_eq!((at(30), at(13), at(21)), (Some((30, 1)), None, None));
        let failure = hunk_at(&hunks, &path, 13).expect_err("none is there");
        assert!(failure.hint.is_some_and(|hint| hint.ends_with("--hunk 14,7 or 20,0 or 30,1")));
        assert!(hunk_at(&[], &path, 1).expect_err("none").hint.is_some());
    }

    #[test]
    fn a_worktree_that_is_not_the_one_around_us_is_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let top = directory.path();
        let (main, linked) = (top.join("main"), top.join("main/linked"));
        std::fs::create_dir_all(main.join(".git")).expect("made");
        std::fs::create_dir_all(linked.join("deep")).expect("made");
        std::fs::write(linked.join(".git"), "gitdir: elsewhere\n").expect("written");
        let decision = |repository: &Path| Decision {
            id: DecisionId(1),
            kind: DecisionKind::Apply,
            environment: EnvironmentId::from_random([7; 8]),
            name: EnvironmentName::parse("fox").expect("a name"),
            repository: repository.to_owned(),
            at: Timestamp(1),
            snapshot: None,
            commit: None,
            paths: Vec::new(),
            undone: false,
            portion: Portion::All,
            style: MergeStyle::Commit,
            hooks: Vec::new(),
            left_out: Vec::new(),
            as_of: None,
        };
        let (in_main, in_linked) = (decision(&main), decision(&linked));
        assert_eq!(elsewhere(&main, &in_main), None);
        assert_eq!(elsewhere(&main.join("src"), &in_main), None);
        assert_eq!(elsewhere(&linked.join("deep"), &in_main), Some(main.as_path()));
        assert_eq!(elsewhere(&linked.join("deep"), &in_linked), None);
        assert_eq!(elsewhere(top, &in_linked), Some(linked.as_path()));
    }
}
