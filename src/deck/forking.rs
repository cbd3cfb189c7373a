//! Forks: a new environment that begins where another one stands.
//!
//! Until everything of the source is in place, a fork has nothing of its own: what is cut short
//! before is taken back whole, what is cut short later is finished like any other making.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::deciding::repository_of;
use super::making;
use super::queries::{head, newest, with_store};
use super::recover;
use super::shared::{Shared, blocking, now};
use super::state::{ForkNote, Record, Report, State, being_made};
use super::step::{Step, reached};
use super::{Answer, Message, holding, owners};
use crate::engine::Progress;
use crate::model::attention::Attention;
use crate::model::environment::{EnvironmentState, Variable};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentName};
use crate::model::profile::AgentProfile;
use crate::model::screen::Size;
use crate::model::snapshot::Snapshot;
use crate::proto::Target;
use crate::repo;
use crate::store::Places;

/// What a fork is asked to be.
#[derive(Debug)]
pub(super) struct Forking {
    pub source: Record,
    pub name: Option<EnvironmentName>,
    pub snapshot: Option<CommitId>,
    pub profile: AgentProfile,
    pub variables: Vec<Variable>,
    pub size: Size,
}

/// Reads what a fork refers to, and has the loop list it.
pub(super) async fn ask(
    shared: &Arc<Shared>,
    target: Target,
    wanted: impl FnOnce(Record, AgentProfile) -> Forking,
    reply: Answer,
) {
    match prepare(shared, target).await {
        Ok((source, profile)) => {
            let forking = Box::new(wanted(source, profile));
            let _ = shared.messages.send(Message::Fork(forking, reply)).await;
        }
        Err(failure) => drop(reply.send(Err(failure))),
    }
}

async fn prepare(shared: &Arc<Shared>, target: Target) -> Result<(Record, AgentProfile), Failure> {
    let source = shared.resolve(target).await?;
    let environment = &source.environment;
    if let EnvironmentState::Creating { .. } = environment.state {
        return Err(being_made(environment));
    }
    if !source.workspace_made {
        let message = format!("{} has no workspace yet", environment.name);
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint(format!("agentdeck start {}", environment.name)));
    }
    let profile = making::profile_of(shared, &source)?;
    Ok((source, profile))
}

/// The record of a fork, nothing of it made yet.
pub(super) fn record(state: &State, forking: &Forking) -> Result<Record, Failure> {
    let source = &forking.source;
    let mut environment = source.environment.clone();
    environment.name = match &forking.name {
        Some(name) => {
            state.check_name(&environment.repository, name)?;
            name.clone()
        }
        None => state.free_name(&environment.repository, &environment.name),
    };
    environment.id = recover::new_id()?;
    environment.state =
        EnvironmentState::Creating { step: "copying".to_owned(), done: 0, total: 0 };
    environment.created = now();
    environment.state_since = environment.created;
    environment.sessions.clear();
    environment.isolation = None;
    environment.denied.clear();
    environment.load = None;
    environment.attention = Attention::default();
    environment.prompts.clear();
    environment.prediction = None;
    // The copy tells whether it holds what was merged in the source's box.
    environment.onto = None;
    environment.trouble = None;
    environment.notes = vec![format!("forked from {}", source.environment.name)];
    let fork = ForkNote {
        source: source.environment.id.clone(),
        snapshot: forking.snapshot.clone(),
        copied: false,
    };
    // The copy is where what it is a copy of is.
    let made_at = source.record.as_ref().and_then(|made| made.endpoint.as_ref());
    Ok(Record {
        environment,
        endpoint: made_at.or(source.endpoint.as_ref()).cloned(),
        record: None,
        workspace_made: false,
        files_made: false,
        taken_up: false,
        wanted: true,
        agent_due: true,
        anew: false,
        fork: Some(fork),
        standing: BTreeMap::new(),
        ..source.clone()
    })
}

/// Makes a fork whole and starts its agent. What fails is the fork's state.
pub(super) async fn make(shared: Arc<Shared>, record: Record, forking: Forking) {
    let id = record.environment.id.clone();
    let Forking { source, profile, variables, size, .. } = forking;
    shared.set_variables(&id, shared.variables(&source.environment.id));
    let copied = async {
        making::check_variables(&shared, &record, &profile, &variables)?;
        copy_from(&shared, &source, &record, &profile).await
    };
    match copied.await {
        Ok(record) => making::make(shared, record, profile, variables, size).await,
        Err(failure) => {
            tracing::info!(environment = %id, "not forked: {failure}");
            shared.report(&id, Report::Failed(failure)).await;
        }
    }
}

/// Forks once more after a copy that failed.
pub(super) async fn again(
    shared: &Arc<Shared>,
    record: Record,
    profile: AgentProfile,
    variables: Vec<Variable>,
    size: Size,
) -> Result<(), Failure> {
    let note = record.fork.clone().expect("a fork's record says so");
    let cleared = async {
        let source = shared.record(&note.source).await.map_err(|_| {
            let message = "the environment it was forked from is gone";
            let name = &record.environment.name;
            Failure::new(FailureKind::NotFound, message).hint(format!("agentdeck discard {name}"))
        })?;
        let id = &record.environment.id;
        shared.engine(record.environment.engine).remove_orphan(&shared.deck, id).await?;
        let places = shared.layout.environment(id);
        blocking(move || Ok(clear(&places)?)).await?;
        Ok(source)
    };
    match cleared.await {
        Ok(source) => {
            let snapshot = note.snapshot;
            let forking = Forking { source, name: None, snapshot, profile, variables, size };
            tokio::spawn(make(shared.clone(), record, forking));
            Ok(())
        }
        Err(failure) => {
            let failure: Failure = failure;
            shared.report(&record.environment.id, Report::Failed(failure.clone())).await;
            Err(failure)
        }
    }
}

/// Removes what a copy left that did not come to its end.
fn clear(places: &Places) -> anyhow::Result<()> {
    let made = [places.workspace(), places.git(), places.agent_home(), places.moments()];
    for half_made in made.into_iter().chain([places.layer()]) {
        if half_made.exists() {
            crate::engine::remove_tree(&half_made)?;
        }
    }
    Ok(places.create()?)
}

/// Copies everything while the source stands still, and returns the fork's record as it is then.
async fn copy_from(
    shared: &Arc<Shared>,
    source: &Record,
    record: &Record,
    profile: &AgentProfile,
) -> Result<Record, Failure> {
    let turn = shared.turn(&source.environment.id);
    let turn = turn.lock().await;
    let source = shared.record(&source.environment.id).await?;
    let held = holding::hold(shared, &source, holding::FORKED).await?;
    reached(Step::SourceHeld);
    owners::hand_back_or_log(shared, &source).await;
    // The box's files are read by the kernel's side of another process: both at a time.
    let (files, layer) = tokio::join!(
        copy_files(shared, &source, record),
        copy_layer(shared, &source, record, profile)
    );
    let copied = files.and(layer);
    if copied.is_ok() {
        shared.report(&record.environment.id, Report::Copied).await;
        shared.settled(&record.environment.id).await;
        reached(Step::CopyRecorded);
    }
    holding::let_go(shared, &source, held).await;
    drop(turn);
    copied?;
    reached(Step::SourceReleased);
    shared.record(&record.environment.id).await
}

async fn copy_files(shared: &Arc<Shared>, source: &Record, record: &Record) -> Result<(), Failure> {
    let note = record.fork.as_ref().expect("a fork's record says so");
    let beginning = beginning(shared, source, note.snapshot.as_ref()).await?;
    let id = record.environment.id.clone();
    // The fork pins its base in the user's repository, which no power cut may leave unexplained.
    shared.keeper.durable(&id).await?;
    let (from, to) = (source.environment.id.clone(), beginning.clone());
    let newest = with_store(shared, record.clone(), move |store, record| {
        let (user, id) = (repository_of(record)?, &record.environment.id);
        let newest = repo::workspace::fork_history(&user, store, &from, id, &to.snapshot)?;
        if to.stands == Stands::WhereItsSource {
            repo::onto::carry(store, &from, id)?;
        }
        Ok(newest)
    })
    .await?;
    reached(Step::RefsCopied);
    let places = |record: &Record| shared.layout.environment(&record.environment.id);
    let (from, to) = (places(source), places(record));
    let older = note.snapshot.clone();
    let (reports, mut progress) = mpsc::channel::<(u64, u64)>(1);
    let (shared_too, task) = (shared.clone(), record.clone());
    let work = blocking(move || {
        let (store, _) = shared_too.store(&task)?;
        // A full channel means that a newer number is on its way anyway.
        let mut tell = |done, total| {
            let _ = reports.try_send((done, total));
        };
        match older {
            Some(snapshot) => {
                let id = &task.environment.id;
                repo::workspace::check_out(&store, id, &snapshot, &to.workspace(), &mut tell)?;
            }
            None => {
                repo::copy::tree(&from.workspace(), &to.workspace(), &mut |done| tell(done, 0))?;
            }
        }
        copy_beside(&from, &to, &mut |done| tell(done, 0))
    });
    let reporting = async {
        while let Some((done, total)) = progress.recv().await {
            let step = "copying files".to_owned();
            shared.report(&id, Report::Progress { step, done, total }).await;
        }
    };
    let (copied, ()) = tokio::join!(work, reporting);
    copied?;
    reached(Step::FilesCopied);
    tell_history(shared, (source, record), newest, beginning.stands).await
}

/// Where a fork begins in the history of its source.
#[derive(Clone, Debug)]
struct Beginning {
    snapshot: CommitId,
    stands: Stands,
}

/// What a fork's work is a change of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stands {
    /// Where the source's is: on its base, or on what was merged in its box.
    WhereItsSource,
    OnTheBase,
}

/// The snapshot that was asked for, or the source as it is now. One that was asked for may be that.
async fn beginning(
    shared: &Arc<Shared>,
    source: &Record,
    wanted: Option<&CommitId>,
) -> Result<Beginning, Failure> {
    let Some(wanted) = wanted else {
        let snapshot = head(shared, source).await?;
        return Ok(Beginning { snapshot, stands: Stands::WhereItsSource });
    };
    // Where no snapshot can be taken, one that was is the way on.
    let is_now = newest(shared, source).await? == *wanted
        && head(shared, source).await.is_ok_and(|now| now == *wanted);
    let stands = if is_now { Stands::WhereItsSource } else { Stands::OnTheBase };
    Ok(Beginning { snapshot: wanted.clone(), stands })
}

/// Copies the box's repository and the agent's home.
fn copy_beside(from: &Places, to: &Places, progress: &mut dyn FnMut(u64)) -> Result<(), Failure> {
    repo::copy::tree(&from.git(), &to.git(), progress)?;
    // What git was doing when it was stopped, it will not go on with in the copy.
    for lock in ["index.lock", "HEAD.lock", "config.lock"] {
        let _ = std::fs::remove_file(to.git().join(lock));
    }
    super::naming::copy(from, to)?;
    if from.moments().exists() {
        repo::copy::tree(&from.moments(), &to.moments(), progress)?;
    }
    Ok(repo::copy::tree(&from.agent_home(), &to.agent_home(), progress)?)
}

/// Tells the snapshots that a fork begins with, and what it stands on.
async fn tell_history(
    shared: &Arc<Shared>,
    (source, record): (&Record, &Record),
    newest: Snapshot,
    stands: Stands,
) -> Result<(), Failure> {
    let id = &record.environment.id;
    // The snapshot just taken may have told where it stands.
    let source = shared.record(&source.environment.id).await?;
    if stands == Stands::WhereItsSource {
        shared.report(id, Report::StandsOn(source.environment.onto)).await;
    }
    let report = Report::SnapshotTaken {
        count: newest.number,
        snapshot: Box::new(newest),
        divergence: source.environment.divergence,
    };
    shared.report(id, report).await;
    Ok(())
}

/// Copies what was installed outside the workspace, where there is a box.
async fn copy_layer(
    shared: &Arc<Shared>,
    source: &Record,
    record: &Record,
    profile: &AgentProfile,
) -> Result<(), Failure> {
    let Some(from) = &source.record else { return Ok(()) };
    let plan = making::plan(shared, record, profile).await?;
    let engine = shared.engine(record.environment.engine);
    let (sink, mut progress) = mpsc::channel::<Progress>(16);
    let copying = async {
        // The sink ends with this block, and with it the reporting.
        let sink = sink;
        engine.fork(from, &plan, &sink).await
    };
    let reporting = async {
        while let Some(Progress { step, done, total }) = progress.recv().await {
            shared.report(&record.environment.id, Report::Progress { step, done, total }).await;
        }
    };
    let (copied, ()) = tokio::join!(copying, reporting);
    if let Err(failure) = copied {
        if !making::is_gone(engine, from, &failure).await {
            return Err(failure);
        }
        let note = format!(
            "the container of {} is gone: what was installed there outside the workspace and the \
             home is not in this fork",
            source.environment.name
        );
        shared.report(&record.environment.id, Report::Note(note)).await;
    }
    reached(Step::LayerCopied);
    Ok(())
}
