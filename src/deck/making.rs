//! Makes environments and starts them: workspace, box, connection, agent.
//!
//! The record is on disk before anything else is, so that a half-made environment is known.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::actor;
use super::jobs::Snapshotter;
use super::link::Start;
use super::shared::{Shared, blocking, canonical, now};
use super::state::{RECORD_VERSION, Record, Report};
use crate::config::{file, profiles};
use crate::engine::{BoxRecord, Progress};
use crate::model::environment::{
    Environment, EnvironmentSpec, EnvironmentState, SessionKind, SessionState, Variable, Work,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName, RepositoryId, SessionId};
use crate::model::policy::{EngineKind, ImageSource, IsolationRequest, NetworkMode};
use crate::model::profile::AgentProfile;
use crate::model::repository::{Identity, RepositoryState};
use crate::model::screen::Size;
use crate::model::snapshot::Divergence;
use crate::repo::{self, Store, UserRepository};
use crate::shim::wire::{Program, Role};

/// How long a fresh box may take until its shim answers.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);
/// How long an install step may take; packages are large and networks slow.
const INSTALL_DEADLINE: Duration = Duration::from_mins(30);

/// A spec, checked against the repository it is for.
#[derive(Debug)]
pub(super) struct Prepared {
    pub spec: EnvironmentSpec,
    pub state: RepositoryState,
    pub repository_id: RepositoryId,
    pub base: CommitId,
    pub profile: AgentProfile,
    pub engine: EngineKind,
    pub image: Option<ImageSource>,
}

/// Reads what a spec refers to and refuses what cannot be.
pub(super) fn prepare(shared: &Shared, spec: EnvironmentSpec) -> Result<Prepared, Failure> {
    let user = UserRepository::discover(&spec.repository)?;
    let state = user.state()?;
    let base = match &spec.base {
        Some(revision) => user.resolve(revision)?,
        None => state.head.clone(),
    };
    let settings = file::read(shared.layout.home())?;
    let profile = match &spec.work {
        Work::Profile(name) => profiles::find(name, &settings)?,
        Work::Command(command) => plain(command)?,
    };
    let engine = spec.engine.or(settings.engine).unwrap_or(EngineKind::Native);
    if engine == EngineKind::Native
        && spec.network.mode == NetworkMode::Bridge
        && spec.isolation == IsolationRequest::Required
    {
        return Err(Failure::new(FailureKind::Refused, "the native engine has no bridge network")
            .hint("use --network open, or --engine docker"));
    }
    let image = image(engine, spec.image.as_ref(), settings.image)?;
    let repository_id = user.id().clone();
    Ok(Prepared { spec, state, repository_id, base, profile, engine, image })
}

/// The image a box of this engine is made from. The configured one is for the engine that runs
/// any; the native one runs archives, and only the one it is asked to.
fn image(
    engine: EngineKind,
    asked: Option<&ImageSource>,
    configured: Option<ImageSource>,
) -> Result<Option<ImageSource>, Failure> {
    let invalid =
        |message: &str, hint: &str| Err(Failure::new(FailureKind::Invalid, message).hint(hint));
    match (engine, asked) {
        (EngineKind::Native, None) => Ok(None),
        (EngineKind::Native, Some(ImageSource::Archive(_))) => Ok(asked.cloned()),
        (EngineKind::Native, Some(_)) => invalid(
            "the native engine runs an image from a file only",
            "name an archive, leave the image out, or add --engine docker",
        ),
        (EngineKind::Docker, _) => match asked.cloned().or(configured) {
            None => invalid(
                "the docker engine needs an image",
                "name one with --image, as in --image debian:12",
            ),
            Some(ImageSource::Name(name)) if name.is_empty() => {
                invalid("the image has no name", "name one with --image, as in --image debian:12")
            }
            image => Ok(image),
        },
    }
}

/// The profile of a bare command.
fn plain(command: &[String]) -> Result<AgentProfile, Failure> {
    let program = command.first().filter(|program| !program.is_empty()).ok_or_else(|| {
        Failure::new(FailureKind::Invalid, "the command is empty").hint("name a program after --")
    })?;
    let name = program.rsplit('/').next().unwrap_or(program).to_owned();
    Ok(AgentProfile {
        name,
        command: command.to_vec(),
        install: Vec::new(),
        probe: String::new(),
        variables: Vec::new(),
        environment: Vec::new(),
        seeds: Vec::new(),
        tools: Vec::new(),
    })
}

/// The record of a new environment, nothing of it made yet.
pub(super) fn record(prepared: &Prepared, id: EnvironmentId, name: EnvironmentName) -> Record {
    let at = now();
    let spec = &prepared.spec;
    let environment = Environment {
        id,
        name,
        repository: prepared.state.root.clone(),
        base: prepared.base.clone(),
        base_branch: prepared.state.branch.clone(),
        agent: prepared.profile.name.clone(),
        command: prepared.profile.command.clone(),
        engine: prepared.engine,
        image: prepared.image.clone(),
        network: spec.network.clone(),
        isolation: None,
        state: EnvironmentState::Creating { step: "preparing".to_owned(), done: 0, total: 0 },
        state_since: at,
        sessions: Vec::new(),
        divergence: Divergence::default(),
        snapshots: 0,
        last_snapshot: None,
        created: at,
        notes: uncommitted_note(&prepared.state).into_iter().collect(),
    };
    Record {
        version: RECORD_VERSION,
        environment,
        repository_id: prepared.repository_id.clone(),
        work: spec.work.clone(),
        isolation_request: spec.isolation,
        record: None,
        workspace_made: false,
    }
}

/// Says what of the user's working tree an environment does not have.
fn uncommitted_note(state: &RepositoryState) -> Option<String> {
    const NAMED: usize = 3;
    let count = state.uncommitted.len();
    let names: Vec<String> =
        state.uncommitted.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    (count > 0).then(|| format!("uncommitted work is not in it: {}{more}", names.join(", ")))
}

/// Makes an environment whole and starts its agent. What fails is the environment's state.
pub(super) async fn make(
    shared: Arc<Shared>,
    record: Record,
    profile: AgentProfile,
    variables: Vec<Variable>,
    size: Size,
) {
    let id = record.environment.id.clone();
    remember_variables(&shared, &id, &profile, variables);
    let made = async {
        let identity = make_workspace(&shared, &record, &profile).await?;
        let made = make_box(&shared, &record, identity, &profile).await?;
        connect(&shared, &record, made).await?;
        start_agent(&shared, &id, &profile, size).await
    };
    if let Err(failure) = made.await {
        tracing::info!(environment = %id, "not made: {failure}");
        shared.close_gate(&id);
        shared.report(&id, Report::Failed(failure)).await;
    }
}

/// Starts a stopped environment again, or goes on where its making failed.
pub(super) async fn start(
    shared: &Arc<Shared>,
    record: Record,
    variables: Vec<Variable>,
) -> Result<(), Failure> {
    let profile = profile_of(shared, &record)?;
    let record = shared.begin(&record.environment.id).await?;
    if matches!(
        record.environment.state,
        EnvironmentState::Running | EnvironmentState::EngineUnreachable { .. }
    ) {
        return restart_agent(shared, record, &profile, variables).await;
    }
    let size = record.environment.session(SessionId::AGENT).map_or(Size::DEFAULT, |open| open.size);
    let task = shared.clone();
    tokio::spawn(make(task, record, profile, variables, size));
    Ok(())
}

/// Starts the agent again in a box that runs; refused while it still runs.
async fn restart_agent(
    shared: &Arc<Shared>,
    record: Record,
    profile: &AgentProfile,
    variables: Vec<Variable>,
) -> Result<(), Failure> {
    let id = record.environment.id.clone();
    let agent = record.environment.session(SessionId::AGENT);
    if agent.is_some_and(|agent| agent.state == SessionState::Running) {
        let message = format!("{} runs already", record.environment.name);
        return Err(Failure::new(FailureKind::AlreadyExists, message));
    }
    let size = agent.map_or(Size::DEFAULT, |agent| agent.size);
    remember_variables(shared, &id, profile, variables);
    start_agent(shared, &id, profile, size).await
}

fn profile_of(shared: &Shared, record: &Record) -> Result<AgentProfile, Failure> {
    match &record.work {
        Work::Profile(name) => profiles::find(name, &file::read(shared.layout.home())?),
        Work::Command(command) => plain(command),
    }
}

/// Keeps the programs' variables in memory. None sent again means: those from before.
fn remember_variables(
    shared: &Shared,
    id: &EnvironmentId,
    profile: &AgentProfile,
    variables: Vec<Variable>,
) {
    let mut kept = profile.environment.clone();
    let known = shared.variables(id);
    if variables.is_empty() && !known.is_empty() {
        return;
    }
    kept.extend(variables.into_iter().map(|variable| (variable.name, variable.value)));
    shared.set_variables(id, kept);
}

/// Checks the base out and takes the first snapshot, unless that was done before.
async fn make_workspace(
    shared: &Arc<Shared>,
    record: &Record,
    profile: &AgentProfile,
) -> Result<Identity, Failure> {
    let id = record.environment.id.clone();
    let places = shared.layout.environment(&id);
    let (reports, mut progress) = mpsc::channel::<(u64, u64)>(1);
    let task = shared.clone();
    let task_record = record.clone();
    let seeds = profile.seeds.clone();
    let variables = shared.variables(&id);
    let work = blocking(move || {
        let user = UserRepository::discover(&task_record.environment.repository)?;
        let identity = user.identity();
        places.create().map_err(|error| disk(&places.directory, &error))?;
        seed(&places.agent_home(), &seeds, &task_record, &variables)?;
        if task_record.workspace_made {
            return Ok((identity, None));
        }
        let store = Store::open(&task.layout.repository(user.id()), &user)?;
        let (workspace, git) = (places.workspace(), places.git());
        for half_made in [&workspace, &git] {
            remove_half_made(half_made)?;
        }
        let target = repo::workspace::Places { workspace: &workspace, git: &git };
        let environment = &task_record.environment;
        let created = repo::workspace::create(
            &user,
            &store,
            &environment.id,
            &environment.base,
            &target,
            &identity,
            now(),
            &mut |done, total| {
                // A full channel means that a newer number is on its way anyway.
                let _ = reports.try_send((done, total));
            },
        );
        match created {
            Ok(snapshot) => Ok((identity, Some(snapshot))),
            Err(mut failure) => {
                for half_made in [&workspace, &git] {
                    // What failed is told; this only gives the room back.
                    let _ = remove_half_made(half_made);
                }
                failure.message = format!("{}: {}", workspace.display(), failure.message);
                Err(failure)
            }
        }
    });
    let reporting = async {
        while let Some((done, total)) = progress.recv().await {
            let step = "checking out".to_owned();
            shared.report(&id, Report::Progress { step, done, total }).await;
        }
    };
    let (made, ()) = tokio::join!(work, reporting);
    let (identity, snapshot) = made?;
    if let Some(snapshot) = snapshot {
        shared.report(&id, Report::WorkspaceMade).await;
        let divergence = Divergence::default();
        let snapshot = Box::new(snapshot);
        shared.report(&id, Report::SnapshotTaken { snapshot, count: 1, divergence }).await;
    }
    watch(shared, record).await?;
    Ok(identity)
}

/// Removes what an interrupted checkout left; no program has seen it yet.
fn remove_half_made(directory: &std::path::Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(directory, &error)),
        _ => Ok(()),
    }
}

/// Writes the profile's files into the box's home, leaving those that are there.
fn seed(
    home: &std::path::Path,
    seeds: &[crate::model::profile::Seed],
    record: &Record,
    variables: &[(String, String)],
) -> Result<(), Failure> {
    let workspace = record.environment.repository.display().to_string();
    for seed in seeds {
        let path = home.join(&seed.path);
        if path.exists() || !seed.fits(variables) {
            continue;
        }
        let write = || -> anyhow::Result<()> {
            if let Some(parent) = path.parent() {
                crate::store::create_private(parent)?;
            }
            crate::store::write_file(&path, seed.fill(&workspace, variables).as_bytes())
        };
        write()?;
    }
    Ok(())
}

/// Begins to notice changes of the workspace, and takes up what changed while nobody looked.
pub(super) async fn watch(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    let id = &record.environment.id;
    if shared.snapshotter(id).is_none() {
        shared.set_snapshotter(id, Snapshotter::start(shared.clone(), record.clone()));
    }
    let (task, record) = (shared.clone(), record.clone());
    blocking(move || {
        let id = &record.environment.id;
        let places = task.layout.environment(id);
        let user = UserRepository::discover(&record.environment.repository)?;
        let store = Store::open(&task.layout.repository(&record.repository_id), &user)?;
        let workspace = places.workspace();
        let ignored = repo::ignored::directories(&store, id, &workspace)?;
        task.watcher.watch_except(id, &workspace, &places.git(), Arc::new(ignored));
        Ok(())
    })
    .await
}

async fn make_box(
    shared: &Arc<Shared>,
    record: &Record,
    identity: Identity,
    profile: &AgentProfile,
) -> Result<BoxRecord, Failure> {
    let id = &record.environment.id;
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let named = profiles::TOOLS.into_iter().chain(profile.tools.iter().map(String::as_str));
    let found = named.map(|tool| home.join(tool)).filter(|tool| tool.is_dir());
    let tools = found.map(|tool| canonical(&tool)).collect();
    let plan = shared.plan(record, identity, tools)?;
    shared.open_gate(record)?;
    let engine = shared.engine(record.environment.engine).clone();
    let (sink, mut progress) = mpsc::channel::<Progress>(16);
    let making = async {
        // The sink ends with this block, and with it the reporting.
        let sink = sink;
        match &record.record {
            Some(former) => engine.start(&plan, former).await,
            None => engine.create(&plan, &sink).await,
        }
    };
    let reporting = async {
        while let Some(Progress { step, done, total }) = progress.recv().await {
            shared.report(id, Report::Progress { step, done, total }).await;
        }
    };
    let (made, ()) = tokio::join!(making, reporting);
    let made = made?;
    shared.report(id, Report::BoxMade { record: made.clone() }).await;
    Ok(made)
}

/// Connects to a box that was just made, and reads back what holds it.
async fn connect(shared: &Arc<Shared>, record: &Record, made: BoxRecord) -> Result<(), Failure> {
    let (ready, connected) = oneshot::channel();
    let record = Record { record: Some(made.clone()), ..record.clone() };
    let engine = shared.engine(record.environment.engine).clone();
    let id = record.environment.id.clone();
    shared.drop_terminal(&id, SessionId::AGENT);
    shared.supervise(&id, actor::supervise(shared.clone(), record, ready));
    if !matches!(timeout(CONNECT_DEADLINE, connected).await, Ok(Ok(()))) {
        let _ = engine.stop(&made, Duration::ZERO).await;
        return Err(Failure::new(
            FailureKind::Unavailable,
            "the box started but its shim did not answer",
        )
        .hint("agentdeck doctor tells what the engine can do here"));
    }
    match engine.isolation(&made).await {
        Ok(isolation) => {
            shared.report(&id, Report::Isolation(isolation)).await;
            Ok(())
        }
        Err(failure) => {
            // Nothing may run in a box of which nobody knows what holds it.
            let _ = engine.stop(&made, Duration::ZERO).await;
            Err(failure)
        }
    }
}

/// Starts the agent, installing it first where the box does not have it.
async fn start_agent(
    shared: &Arc<Shared>,
    id: &EnvironmentId,
    profile: &AgentProfile,
    size: Size,
) -> Result<(), Failure> {
    let link = shared.link(id)?;
    let agent = Start {
        kind: SessionKind::Agent,
        program: Program {
            command: profile.command.clone(),
            environment: shared.variables(id),
            directory: None,
            role: Role::Agent,
        },
        size,
        may_be_missing: !profile.install.is_empty(),
    };
    link.close(SessionId::AGENT).await;
    let Err(error) = link.start(SessionId::AGENT, agent.clone()).await else { return Ok(()) };
    if !error.not_found || profile.install.is_empty() {
        // The pane says so, and the environment stays for a shell.
        tracing::info!(environment = %id, "the agent did not start: {}", error.failure);
        return Ok(());
    }
    for step in &profile.install {
        let program = Program {
            command: step.clone(),
            environment: shared.variables(id),
            directory: Some("/".to_owned()),
            role: Role::Root,
        };
        link.close(SessionId::AGENT).await;
        let install = Start { kind: SessionKind::Agent, program, size, may_be_missing: false };
        if link.start(SessionId::AGENT, install).await.is_err() {
            return Ok(());
        }
        if wait_for_exit(shared, id).await? != 0 {
            let note = format!("{} could not be installed; the pane shows why", profile.name);
            shared.report(id, Report::Note(note)).await;
            return Ok(());
        }
    }
    link.close(SessionId::AGENT).await;
    let _ = link.start(SessionId::AGENT, Start { may_be_missing: false, ..agent }).await;
    Ok(())
}

/// Waits until the agent's session has ended and returns its exit code.
async fn wait_for_exit(shared: &Arc<Shared>, id: &EnvironmentId) -> Result<i32, Failure> {
    let subscriber = shared.hub.subscribe();
    shared.hub.follow(&subscriber, None);
    let waiting = async {
        loop {
            let record = shared.record(id).await?;
            match record.environment.session(SessionId::AGENT).map(|session| &session.state) {
                Some(SessionState::Exited { code, .. }) => return Ok(*code),
                Some(SessionState::Running) => {}
                _ => return Ok(1),
            }
            subscriber.ready().await;
            let _ = shared.hub.take(&subscriber);
        }
    };
    let late =
        |_| Failure::new(FailureKind::Timeout, "an install step took more than half an hour");
    timeout(INSTALL_DEADLINE, waiting).await.map_err(late)?
}

pub(super) fn disk(path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("could not write {}: {error}", path.display()))
        .hint("make room on that disk or set AGENTDECK_HOME to a directory elsewhere")
}
