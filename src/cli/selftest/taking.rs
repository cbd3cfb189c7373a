//! What the host does with a workspace: snapshots, diff, apply, merge. None of it runs what an
//! agent wrote, and none of it follows a link out.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use super::attack::Attack;
use super::cast::Cast;
use super::running::Side;
use super::verdict::{Control, Shown};
use crate::cli::sample;
use crate::model::decision::{MergeStyle, Portion};
use crate::model::diff::Detail;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{DiffSide, Reply, Request, Target};

/// A file of the sample that is changed.
const CHANGED: &str = "price.sh";
/// How long the user's own git may take for a status of a small repository.
const GIT_DEADLINE: Duration = Duration::from_secs(20);

/// Programs named where git would run them, each of which leaves a file behind.
pub(super) async fn git_programs(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let stage = cast.stage;
    let (fired, fired_outside) = (stage.outside().join("ran"), stage.control().join("ran"));
    for directory in [&fired, &fired_outside] {
        std::fs::create_dir_all(directory).map_err(|error| Failure::internal(&error.into()))?;
    }
    let copy = sample::write(&stage.control())?;
    stage.outside_of_boxes(hostile(&copy, &fired_outside)).await?;
    let control = match status(&copy).await {
        Err(why) => Control::CannotHere(why),
        Ok(()) => match names(&fired_outside).as_slice() {
            [] => Control::Silent("git status ran none of them".to_owned()),
            ran => Control::Fired(format!("git ran {}", ran.join(", "))),
        },
    };
    let repository = stage.context.directory.clone();
    stage.inside(&cast.attacker, Side::Agent, hostile(&repository, &fired)).await?;
    verbs(cast).await?;
    // Whatever was taken must not run later either.
    let _ = status(&repository).await;
    // The box's own git directory stays as it was made: what comes next has to bear it too.
    clear(cast, &[".gitattributes", "nested"]).await?;
    let ran = names(&fired);
    Ok((control, Ok(ran.iter().map(|name| format!("{name} ran on the host")).collect())))
}

/// A repository whose every program is a canary, and another one in it.
fn hostile(root: &Path, fired: &Path) -> Attack {
    let ran = |name: &str| format!("touch {}", fired.join(name).display());
    let config = format!(
        "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = \"{}; false\"\n\
         \tsshCommand = {}\n\teditor = {}\n\tpager = {}\n[filter \"canary\"]\n\
         \tclean = \"{}; cat\"\n\tsmudge = \"{}; cat\"\n\trequired = true\n[diff]\n\
         \texternal = {}\n[diff \"canary\"]\n\ttextconv = \"{}; cat\"\n[merge \"canary\"]\n\
         \tdriver = {}\n",
        ran("fsmonitor"),
        ran("ssh"),
        ran("editor"),
        ran("pager"),
        ran("clean"),
        ran("smudge"),
        ran("external"),
        ran("textconv"),
        ran("driver"),
    );
    let hook = |name: &str| format!("#!/bin/sh\n{}\n", ran(name));
    let attributes = "* filter=canary diff=canary merge=canary\n".to_owned();
    // Of the same size, or git would not read it to find the change.
    let changed = std::fs::read_to_string(root.join(CHANGED)).unwrap_or_default().to_uppercase();
    let mut files = vec![(root.join(CHANGED), changed)];
    for place in [root.to_owned(), root.join("nested")] {
        files.push((place.join(".git/config"), config.clone()));
        files.push((place.join(".gitattributes"), attributes.clone()));
        for name in ["pre-commit", "post-checkout", "post-merge", "reference-transaction"] {
            files.push((place.join(".git/hooks").join(name), hook(name)));
        }
    }
    files.push((root.join("nested/file"), "new\n".to_owned()));
    files.push((root.join("nested/.git/HEAD"), "ref: refs/heads/main\n".to_owned()));
    Attack::Plant { files, links: Vec::new() }
}

/// What a user would do with the environment. That some of it is refused is fine.
async fn verbs(cast: &Cast<'_>) -> Result<String, Failure> {
    let client = cast.stage.client().await?;
    let target = || Target::Id(cast.attacker.id.clone());
    let repository = cast.stage.context.directory.clone();
    let (from, to) = (DiffSide::Base, DiffSide::Head);
    let read = client
        .request(Request::ReadDiff { target: target(), from, to, detail: Detail::Lines })
        .await?;
    let Reply::Diff(diff) = read else { return Err(super::unexpected(&read)) };
    let undo = || Request::Undo { repository: repository.clone() };
    let mut patch = Vec::new();
    diff.write_unified(&mut patch);
    let mut told = String::from_utf8_lossy(&patch).into_owned();
    let (portion, snapshot, known) = (Portion::All, None, None);
    let apply = Request::Apply { target: target(), portion, snapshot, known };
    for request in [
        apply,
        Request::Merge { target: target(), style: MergeStyle::Commit, message: None, known: None },
    ] {
        match client.request(request).await {
            Ok(Reply::Decided(decision)) => {
                told.push_str(&format!("{decision:?}"));
                client.request(undo()).await?;
            }
            Ok(other) => return Err(super::unexpected(&other)),
            Err(failure) if failure.kind == FailureKind::Internal => return Err(failure),
            Err(_) => {}
        }
    }
    Ok(told)
}

/// Runs the user's git there; says why where it cannot.
async fn status(repository: &Path) -> Result<(), String> {
    let running = tokio::process::Command::new("git")
        .args(["status", "--porcelain"])
        .current_dir(repository)
        .env("HOME", repository)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .status();
    match tokio::time::timeout(GIT_DEADLINE, running).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("there is no git on the host: {error}")),
        Err(_) => Err("git did not end".to_owned()),
    }
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Links to a secret and to a directory of the host; then a file where the second one stood.
pub(super) async fn workspace_links(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let stage = cast.stage;
    let outside = stage.outside();
    let links = |root: &Path| Attack::Plant {
        files: Vec::new(),
        links: vec![
            (root.join("leak"), cast.canaries.file.clone()),
            (root.join("way"), outside.clone()),
        ],
    };
    let place = stage.control().join("links");
    stage.outside_of_boxes(links(&place)).await?;
    let leaked = std::fs::read_to_string(place.join("leak")).is_ok_and(|it| it == stage.secret);
    let through = std::fs::write(place.join("way/control"), "through").is_ok()
        && outside.join("control").exists();
    let control = if leaked && through {
        Control::Fired("read and written".to_owned())
    } else {
        Control::Silent("the links lead nowhere".to_owned())
    };
    let repository = stage.context.directory.clone();
    stage.inside(&cast.attacker, Side::Agent, links(&repository)).await?;
    let mut came = Vec::new();
    if verbs(cast).await?.contains(&stage.secret) {
        came.push("the diff tells what the link leads to".to_owned());
    }
    // In two steps: the user takes the link, then a file below it.
    let client = stage.client().await?;
    let apply = || Request::Apply {
        target: Target::Id(cast.attacker.id.clone()),
        portion: Portion::All,
        snapshot: None,
        known: None,
    };
    let first = client.request(apply()).await.is_ok();
    clear(cast, &["way"]).await?;
    let planted = vec![(repository.join("way/planted"), "planted\n".to_owned())];
    let plant = Attack::Plant { files: planted, links: Vec::new() };
    stage.inside(&cast.attacker, Side::Agent, plant).await?;
    let second = client.request(apply()).await.is_ok();
    if outside.join("planted").exists() {
        came.push("apply wrote through a link".to_owned());
    }
    for _ in [first, second].into_iter().filter(|taken| *taken) {
        client.request(Request::Undo { repository: repository.clone() }).await?;
    }
    clear(cast, &["way", "leak"]).await?;
    Ok((control, Ok(came)))
}

async fn clear(cast: &Cast<'_>, names: &[&str]) -> Result<(), Failure> {
    let root = &cast.stage.context.directory;
    let paths: Vec<PathBuf> = names.iter().map(|name| root.join(name)).collect();
    cast.stage.inside(&cast.attacker, Side::Agent, Attack::RemoveFiles { paths }).await?;
    Ok(())
}
