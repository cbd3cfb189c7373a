//! Questions that need git or an engine to be answered, and change nothing of the user's.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::deciding;
use super::jobs::Snapshotter;
use super::making::{self, FirstLook};
use super::moments;
use super::naming;
use super::ports;
use super::recover;
use super::shared::{Shared, blocking};
use super::standing;
use super::state::Record;
use super::taking;
use crate::engine::Asked;
use crate::model::caution::Caution;
use crate::model::comparison::{ATTEMPTS, Attempt, Comparison};
use crate::model::diff::{Detail, Diff, FileSide, Whitespace};
use crate::model::endpoint::EndpointChoice;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::path::RepoPath;
use crate::model::policy::{Capabilities, EngineKind, EngineReport};
use crate::model::repository::RepositoryState;
use crate::model::screen::Screen;
use crate::model::snapshot::{Skipped, Snapshot, SnapshotCause, hidden_note};
use crate::proto::{DiffSide, Freshness, Inspection, Reply, Request, ServerStatus, Target};
use crate::repo::{self, Store, UserRepository};

/// What a box uses is a courtesy that must not hold up the rest.
const USAGE_DEADLINE: Duration = Duration::from_secs(3);
/// Probing talks to a daemon that may be stalled.
const PROBE_DEADLINE: Duration = Duration::from_secs(15);

/// Reading back takes a tenth of a second; who looks must not wait for an engine that hangs.
const READ_BACK_DEADLINE: Duration = Duration::from_secs(3);
/// Bytes of a content in one answer. Each part has the whole content read, so they are few.
const PIECE: usize = 32 << 20;

pub(super) async fn repository_state(path: PathBuf) -> Result<RepositoryState, Failure> {
    blocking(move || UserRepository::discover(&path)?.state()).await
}

/// A page of snapshots, oldest first, with the names people gave them.
pub(super) async fn history(
    shared: &Arc<Shared>,
    target: Target,
    before: Option<CommitId>,
    limit: Option<u32>,
) -> Result<Vec<Snapshot>, Failure> {
    let record = shared.resolve(target).await?;
    let places = shared.layout.environment(&record.environment.id);
    with_store(shared, record, move |store, record| {
        let limit = limit.map_or(usize::MAX, |limit| limit as usize);
        let id = &record.environment.id;
        let mut page = repo::history::page(store, id, before.as_ref(), limit)?;
        naming::label(&places, &mut page)?;
        Ok(page)
    })
    .await
}

/// What a snapshot leaves out, or what is left out since it was looked at last; and what it has that
/// a take leaves out.
pub(super) async fn left_out(
    shared: &Arc<Shared>,
    target: Target,
    snapshot: Option<CommitId>,
) -> Result<Vec<Skipped>, Failure> {
    let record = shared.resolve(target).await?;
    with_store(shared, record, move |store, record| {
        let id = &record.environment.id;
        left_out_of(store, id, snapshot)
    })
    .await
}

fn left_out_of(
    store: &Store,
    id: &EnvironmentId,
    snapshot: Option<CommitId>,
) -> Result<Vec<Skipped>, Failure> {
    let now = if snapshot.is_none() { repo::left_out::now(store, id)? } else { None };
    let of = snapshot.map_or_else(|| repo::history::head(store, id), Ok)?;
    let mut left_out = match now {
        Some(now) => now,
        None => repo::history::one(store, &of)?.skipped,
    };
    left_out.extend(repo::left_out::hidden(store, id, &of)?);
    Ok(left_out)
}

/// The agent's screen as it was at a snapshot.
pub(super) async fn moment(
    shared: &Arc<Shared>,
    target: Target,
    snapshot: CommitId,
) -> Result<Option<Box<Screen>>, Failure> {
    let record = shared.resolve(target).await?;
    let directory = shared.layout.environment(&record.environment.id).moments();
    blocking(move || Ok(moments::read(&directory, &snapshot)?.map(Box::new))).await
}

pub(super) async fn diff(
    shared: &Arc<Shared>,
    target: Target,
    (from, to): (DiffSide, DiffSide),
    detail: Detail,
) -> Result<Diff, Failure> {
    let record = shared.resolve(target).await?;
    let from = side(shared, &record, from).await?;
    let to = side(shared, &record, to).await?;
    let task = shared.clone();
    with_store(shared, record, move |store, record| {
        let mut diff = repo::diff::known_between(store, (&from, &to), detail, &task.counts)?;
        if let Some(taken) = taking::taken(&task, record)? {
            repo::taking::mark(store, &taken, &mut diff.files)?;
        }
        let hidden = repo::hidden::of(store, &record.environment.id, &to)?.hidden;
        for file in &mut diff.files {
            file.review = record.reviewed.of(file);
            file.cautions.extend(hidden.contains(&file.path).then_some(Caution::Hidden));
        }
        Ok(diff)
    })
    .await
}

/// Files of a diff that hold a text.
pub(super) async fn search_diff(
    shared: &Arc<Shared>,
    target: Target,
    [from, to]: [DiffSide; 2],
    text: String,
    whitespace: Whitespace,
) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    let from = side(shared, &record, from).await?;
    let to = side(shared, &record, to).await?;
    let found = with_store(shared, record, move |store, _| {
        repo::diff::find(store, (&from, &to), &text, whitespace)
    });
    Ok(Reply::Matches(found.await?))
}

/// One file between two contents that a diff named.
pub(super) async fn file_diff(shared: &Arc<Shared>, request: Request) -> Result<Reply, Failure> {
    let Request::ReadFileDiff { target, path, old_path, old, new, whitespace, reach } = request
    else {
        return Err(Failure::new(FailureKind::Internal, "this is no question about a file"));
    };
    let record = shared.resolve(target).await?;
    let task = shared.clone();
    let read = with_store(shared, record, move |store, record| {
        let sides = (old.as_ref(), new.as_ref());
        let mut file = repo::diff::file(store, (path, old_path), sides, whitespace, reach)?;
        if let Some(taken) = taking::taken(&task, record)? {
            repo::taking::mark_hunks(store, &taken, &mut file)?;
        }
        Ok(file)
    });
    Ok(Reply::FileDiff(Box::new(read.await?)))
}

/// A part of one content that a diff named.
pub(super) async fn content(
    shared: &Arc<Shared>,
    target: Target,
    side: FileSide,
    offset: u64,
) -> Result<Reply, Failure> {
    let record = shared.resolve(target).await?;
    let read = with_store(shared, record, move |store, _| {
        repo::literal::part(store, &side, offset, PIECE)
    });
    let (bytes, size) = read.await?;
    Ok(Reply::Content { bytes, size })
}

pub(super) async fn side(
    shared: &Arc<Shared>,
    record: &Record,
    side: DiffSide,
) -> Result<CommitId, Failure> {
    match side {
        DiffSide::Base => standing::base(shared, record).await,
        DiffSide::Taken => {
            let task = shared.clone();
            with_store(shared, record.clone(), move |store, record| {
                if let Some(taken) = taking::taken(&task, record)? {
                    return Ok(taken);
                }
                let environment = &record.environment;
                repo::onto::origin(store, &environment.id, environment.onto.as_ref())
            })
            .await
        }
        DiffSide::Newest => newest(shared, record).await,
        DiffSide::Head => head(shared, record).await,
        DiffSide::Snapshot(id) => Ok(id),
    }
}

/// The snapshot that holds the workspace as it is now.
pub(super) async fn head(shared: &Arc<Shared>, record: &Record) -> Result<CommitId, Failure> {
    match snapshotter(shared, record).await {
        Some(snapshotter) => snapshotter.now(SnapshotCause::Decision).await,
        None => newest(shared, record).await,
    }
}

/// Who takes an environment's snapshots; `None` where there is no workspace yet.
///
/// A server that has just started may not have come to the environment. What the last one knew is
/// not what is there now: the agent went on.
pub(super) async fn snapshotter(shared: &Arc<Shared>, record: &Record) -> Option<Arc<Snapshotter>> {
    let id = &record.environment.id;
    if shared.snapshotter(id).is_none() && record.workspace_made {
        // A snapshot of what is half restored would be of nothing that ever was. What cannot be
        // ended is told by whoever takes the environment up.
        let _ = deciding::settle(shared, &record.repository_id).await;
        // That changes are not noticed is told by whoever takes the environment up.
        let _ = making::watch(shared, record, FirstLook::Later).await;
    }
    shared.snapshotter(id)
}

/// The newest snapshot there is.
pub(super) async fn newest(shared: &Arc<Shared>, record: &Record) -> Result<CommitId, Failure> {
    with_store(shared, record.clone(), |store, record| {
        repo::history::head(store, &record.environment.id)
    })
    .await
}

/// The attempts a client means, their base, and the record whose repository they share.
async fn attempts(
    shared: &Arc<Shared>,
    targets: Vec<Target>,
    freshness: Freshness,
) -> Result<(Record, CommitId, Vec<Attempt>, Vec<String>), Failure> {
    if !ATTEMPTS.contains(&targets.len()) {
        let message = format!("{} environments were named to compare", targets.len());
        return Err(Failure::new(FailureKind::Invalid, message).hint("name two to four"));
    }
    let mut records: Vec<Record> = Vec::new();
    for target in targets {
        let record = shared.resolve(target).await?;
        let same = |other: &Record| other.environment.id == record.environment.id;
        if records.iter().any(same) {
            let message = format!("{} is named twice", record.environment.name);
            return Err(Failure::new(FailureKind::Invalid, message)
                .hint("name two to four environments, each once"));
        }
        records.push(record);
    }
    let first = records[0].clone();
    for record in &records {
        if record.repository_id != first.repository_id {
            let names = (&record.environment.name, &first.environment.name);
            let message = format!("{} and {} belong to different repositories", names.0, names.1);
            return Err(Failure::new(FailureKind::Invalid, message));
        }
    }
    let mut heads = Vec::new();
    for record in &mut records {
        heads.push(match freshness {
            Freshness::Now => head(shared, record).await?,
            Freshness::Newest => newest(shared, record).await?,
        });
        // The snapshot may have told where it stands.
        *record = shared.record(&record.environment.id).await?;
    }
    let (base, notes) = common_base(shared, &records).await?;
    let attempt = |(record, head): (&Record, CommitId)| Attempt {
        environment: record.environment.id.clone(),
        name: record.environment.name.clone(),
        head,
    };
    let attempts = records.iter().zip(heads).map(attempt).collect();
    Ok((first, base, attempts, notes))
}

/// What the first of several attempts stands on now, as its files are checked out, and which of the
/// others stand elsewhere.
async fn common_base(
    shared: &Arc<Shared>,
    records: &[Record],
) -> Result<(CommitId, Vec<String>), Failure> {
    let [first, others @ ..] = records else {
        return Err(Failure::new(FailureKind::Invalid, "nothing was named to compare"));
    };
    let stands_on = |record: &Record| {
        with_store(shared, record.clone(), |store, record| {
            let Environment { id, onto, .. } = &record.environment;
            let origin = repo::onto::origin(store, id, onto.as_ref())?;
            Ok((repo::onto::base(store, id, onto.as_ref())?, origin))
        })
    };
    let (commit, base) = stands_on(first).await?;
    let mut notes = Vec::new();
    for record in others {
        let name = &record.environment.name;
        let (own_commit, own_base) = stands_on(record).await?;
        if own_commit != commit {
            notes.push(format!("{name} stands on another commit, which counts as its change"));
        } else if own_base != base {
            notes.push(format!("{name} was checked out by other rules, which count as its change"));
        }
    }
    Ok((base, notes))
}

pub(super) async fn compare(
    shared: &Arc<Shared>,
    targets: Vec<Target>,
    freshness: Freshness,
    detail: Detail,
) -> Result<Comparison, Failure> {
    let (record, base, attempts, mut notes) = attempts(shared, targets, freshness).await?;
    let known = shared.clone();
    let (compared, hidden) = with_store(shared, record, move |store, _| {
        let hidden = attempts.iter().map(|it| hidden_of(store, it)).collect::<Result<Vec<_>, _>>();
        let counts = (detail != Detail::Outline).then_some(&known.counts);
        Ok((repo::compare::attempts(store, &base, attempts, counts), hidden?))
    })
    .await?;
    notes.extend(hidden.into_iter().flatten());
    Ok(Comparison { notes, ..compared? })
}

/// What of an attempt a take would leave out because of its own rules, in a sentence.
fn hidden_of(store: &Store, attempt: &Attempt) -> Result<Option<String>, Failure> {
    let Attempt { environment, name, head } = attempt;
    let note = hidden_note(&left_out_of(store, environment, Some(head.clone()))?);
    Ok(note.map(|note| format!("{name}: {note}")))
}

pub(super) async fn compare_file(
    shared: &Arc<Shared>,
    targets: Vec<Target>,
    freshness: Freshness,
    path: RepoPath,
) -> Result<Reply, Failure> {
    let (record, base, attempts, _) = attempts(shared, targets, freshness).await?;
    let aligned = with_store(shared, record, move |store, _| {
        repo::compare::file(store, &base, &attempts, &path)
    });
    Ok(Reply::AlignedFile(aligned.await?))
}

pub(super) async fn inspect(shared: &Arc<Shared>, target: Target) -> Result<Inspection, Failure> {
    let id = shared.resolve(target).await?.environment.id;
    let places = shared.layout.environment(&id);
    // A server that has just started is about to reach it.
    let mut record = recover::hear(shared, &id).await?;
    let link = record.unheard.is_none() && shared.wait_for_link(&record.environment).await.is_ok();
    let (mut usage, mut listeners) = (None, Vec::new());
    // What stands still cannot be asked; what held it when it did not holds it still.
    let paused = matches!(record.environment.state, EnvironmentState::Paused { .. });
    if let (Some(made), true, false) = (&record.record, link, paused) {
        let engine = shared.engine(record.environment.engine);
        // Read back at the moment of asking, so that it is never a memory of what once held.
        let asked = Asked::from(&record.environment);
        let read = tokio::time::timeout(READ_BACK_DEADLINE, engine.isolation(made, &asked)).await;
        let late = |_| Err(Failure::new(FailureKind::Timeout, "its engine does not answer"));
        match read.unwrap_or_else(late) {
            Ok(isolation) => record.environment.isolation = Some(isolation),
            Err(failure) => {
                record.environment.isolation = None;
                let note = format!("what holds the box cannot be read back now: {failure}");
                record.environment.notes.push(note);
            }
        }
        let asked = engine.usage(std::slice::from_ref(made));
        let asked = tokio::time::timeout(USAGE_DEADLINE, asked).await;
        usage = asked.ok().and_then(|found| found.into_iter().next().flatten());
        // A box of an older agentdeck cannot tell; `agentdeck ports` says so.
        listeners = ports::listeners(shared, &record).await.unwrap_or_default();
    }
    Ok(Inspection {
        workspace: places.workspace(),
        state_directory: places.directory,
        init_pid: record.record.as_ref().filter(|_| link).map(|made| made.init_pid),
        shim_version: link.then_some(crate::shim::wire::VERSION),
        usage,
        listeners,
        watch: shared.watcher.describe(&id),
        environment: record.view(),
    })
}

pub(super) async fn probe_engines(
    shared: &Arc<Shared>,
    endpoint: &EndpointChoice,
) -> Vec<EngineReport> {
    let mut reports = Vec::new();
    for kind in [EngineKind::Native, EngineKind::Docker] {
        let engine = shared.engine(kind);
        let report = tokio::time::timeout(PROBE_DEADLINE, engine.probe_chosen(endpoint)).await;
        reports.push(report.unwrap_or_else(|_| EngineReport {
            engine: kind,
            usable: false,
            summary: "it did not answer in time".to_owned(),
            hint: Some("look whether its daemon is stalled".to_owned()),
            details: Vec::new(),
            capabilities: Capabilities::default(),
        }));
    }
    reports
}

pub(super) fn status(shared: &Arc<Shared>, environments: u32) -> ServerStatus {
    ServerStatus {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        home: shared.layout.home().to_owned(),
        started: shared.started,
        environments,
        clients: shared.hub.subscribers(),
    }
}

/// Runs git work on an environment's snapshot store.
pub(super) async fn with_store<T: Send + 'static>(
    shared: &Arc<Shared>,
    record: Record,
    work: impl FnOnce(&Store, &Record) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let task = shared.clone();
    blocking(move || {
        let (store, _) = task.store(&record)?;
        work(&store, &record)
    })
    .await
}
