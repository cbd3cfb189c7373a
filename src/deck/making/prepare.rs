//! Reads what a new environment is asked to be, and refuses what cannot be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::ahead::Source;
use super::super::endpoints;
use super::super::shared::{Shared, blocking, now};
use super::super::state::{RECORD_VERSION, Record, Reviewed};
use super::require;
use crate::config::{file, profiles};
use crate::model::attention::Attention;
use crate::model::environment::{Environment, EnvironmentSpec, EnvironmentState, Work};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName, RepositoryId};
use crate::model::path::RepoPath;
use crate::model::policy::{
    Aspect, EngineKind, ImageSource, IsolationRequest, Limits, NetworkMode,
};
use crate::model::profile::{AgentProfile, MAX_TASK};
use crate::model::snapshot::Divergence;
use crate::repo::{self, UserRepository};

/// A spec, checked against the repository it is for.
#[derive(Debug)]
pub(in crate::deck) struct Prepared {
    pub spec: EnvironmentSpec,
    /// The root of the working tree it is for, and the branch that is checked out there.
    pub root: PathBuf,
    pub branch: Option<String>,
    pub repository_id: RepositoryId,
    pub base: CommitId,
    /// What its files are made from.
    pub origin: String,
    pub profile: AgentProfile,
    pub engine: EngineKind,
    /// Which engine of the kind, once it was found.
    pub endpoint: Option<String>,
    pub image: Option<ImageSource>,
    pub runtime: Option<String>,
    pub limits: Limits,
    pub require: Vec<Aspect>,
}

/// Reads what a spec refers to and refuses what cannot be, or cannot be at the engine that it
/// names.
pub(in crate::deck) async fn prepare(
    shared: &Arc<Shared>,
    spec: EnvironmentSpec,
) -> Result<Prepared, Failure> {
    let task = shared.clone();
    let mut prepared = blocking(move || read(&task, spec)).await?;
    require::check(shared, &prepared).await?;
    let engine = shared.engine(prepared.engine);
    prepared.endpoint = engine.endpoint(&prepared.spec.endpoint).await?;
    if let Some(endpoint) = prepared.endpoint.clone() {
        let layout = shared.layout.clone();
        blocking(move || Ok(endpoints::remember(&layout, &endpoint)?)).await?;
    }
    Ok(prepared)
}

fn read(shared: &Shared, spec: EnvironmentSpec) -> Result<Prepared, Failure> {
    let user = UserRepository::discover(&spec.repository)?;
    let (head, branch) = user.head()?;
    if spec.with_changes && spec.base.is_some() {
        let message = "uncommitted work belongs to HEAD and to no other base";
        return Err(Failure::new(FailureKind::Invalid, message).hint("leave --base out"));
    }
    let base = match &spec.base {
        Some(revision) => user.resolve(revision)?,
        None => head,
    };
    let settings = file::read(shared.layout.home())?;
    let profile = match &spec.work {
        Work::Profile(name) => profiles::find(name, &settings)?,
        Work::Command(command) => plain(command)?,
    };
    if let Some(task) = &spec.task {
        check_task(task, &profile)?;
    }
    let engine = spec.engine.or(settings.engine).unwrap_or(EngineKind::Native);
    if engine == EngineKind::Native
        && spec.network.mode == NetworkMode::Bridge
        && spec.isolation == IsolationRequest::Required
    {
        return Err(Failure::new(FailureKind::Refused, "the native engine has no bridge network")
            .hint("use --network open, or --engine docker"));
    }
    crate::egress::check(&spec.network)?;
    let image = image(engine, spec.image.as_ref(), settings.image)?;
    let repository_id = user.id().clone();
    let origin = repo::workspace::origin(&user, &base)?;
    let runtime = spec.runtime.clone().or(settings.runtime);
    let limits = spec.limits.clone().or(&settings.limits);
    limits.check()?;
    // What the user's file requires cannot be given up on the command line.
    let mut require = settings.require;
    require.extend(&spec.require);
    require.sort_unstable();
    require.dedup();
    Ok(Prepared {
        spec,
        root: user.root().to_owned(),
        branch,
        repository_id,
        base,
        origin,
        profile,
        engine,
        endpoint: None,
        image,
        runtime,
        limits,
        require,
    })
}

/// Refuses a task that its agent cannot be given.
fn check_task(task: &str, profile: &AgentProfile) -> Result<(), Failure> {
    let invalid = |message: String, hint: &str| {
        Err(Failure::new(FailureKind::Invalid, message).hint(hint.to_owned()))
    };
    if profile.task.is_empty() {
        let message = format!("{} is not an agent that is given a task", profile.name);
        return invalid(
            message,
            "leave --task out, or name an agent that is, as in --agent claude",
        );
    }
    if task.trim().is_empty() || task.contains('\0') {
        return invalid("the task is no text".to_owned(), "leave --task out to tell it later");
    }
    if task.len() > MAX_TASK {
        let message = format!("the task has {} bytes, more than {MAX_TASK}", task.len());
        return invalid(message, "put it into a file of the repository, and name the file");
    }
    Ok(())
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
pub(super) fn plain(command: &[String]) -> Result<AgentProfile, Failure> {
    let program = command.first().filter(|program| !program.is_empty()).ok_or_else(|| {
        Failure::new(FailureKind::Invalid, "the command is empty").hint("name a program after --")
    })?;
    let name = program.rsplit('/').next().unwrap_or(program).to_owned();
    let (command, probe) = (command.to_vec(), String::new());
    Ok(AgentProfile { command, probe, ..AgentProfile::bare(&name) })
}

/// The record of a new environment, nothing of it made yet.
pub(in crate::deck) fn record(
    prepared: &Prepared,
    id: EnvironmentId,
    name: EnvironmentName,
    source: Source,
) -> Record {
    let at = now();
    let spec = &prepared.spec;
    let environment = Environment {
        id,
        name,
        repository: prepared.root.clone(),
        base: prepared.base.clone(),
        base_branch: prepared.branch.clone(),
        agent: prepared.profile.name.clone(),
        command: prepared.profile.begun_with(spec.task.as_deref()),
        task: spec.task.clone(),
        resumed: false,
        engine: prepared.engine,
        image: prepared.image.clone(),
        runtime: prepared.runtime.clone(),
        require: prepared.require.clone(),
        network: spec.network.clone(),
        denied: Vec::new(),
        limits: prepared.limits.clone(),
        isolation: None,
        state: EnvironmentState::Creating { step: "preparing".to_owned(), done: 0, total: 0 },
        last_known: None,
        state_since: at,
        sessions: Vec::new(),
        divergence: Divergence::default(),
        onto: None,
        prediction: None,
        snapshots: 0,
        last_snapshot: None,
        created: at,
        load: None,
        attention: Attention::default(),
        prompts: Vec::new(),
        trouble: None,
        notes: Vec::new(),
    };
    Record {
        version: RECORD_VERSION,
        environment,
        repository_id: prepared.repository_id.clone(),
        work: spec.work.clone(),
        isolation_request: spec.isolation,
        endpoint: prepared.endpoint.clone(),
        record: None,
        workspace_made: false,
        files_made: source == Source::Ahead,
        variable_names: spec.variables.iter().map(|variable| variable.name.clone()).collect(),
        taken_up: false,
        wanted: true,
        agent_due: true,
        agent_started: false,
        agent_worked: false,
        anew: false,
        with_changes: spec.with_changes,
        fork: None,
        reviewed: Reviewed::default(),
        standing: BTreeMap::new(),
        unheard: None,
    }
}

/// Says what of the user's working tree an environment does not have, or will have besides its base.
/// It is looked for beside the making of a box: it takes the longer, the more files there are.
pub(in crate::deck) fn uncommitted_note(root: &Path, comes_along: bool) -> Option<String> {
    match UserRepository::discover(root).and_then(|user| user.uncommitted()) {
        Ok(paths) => note_of(&paths, comes_along),
        Err(failure) => Some(format!("nobody knows if work is uncommitted: {failure}")),
    }
}

/// Says of uncommitted work whether an environment has it.
pub(in crate::deck) fn note_of(paths: &[RepoPath], comes_along: bool) -> Option<String> {
    const NAMED: usize = 3;
    let count = paths.len();
    let names: Vec<String> = paths.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    let what =
        if comes_along { "uncommitted work came along" } else { "uncommitted work is not in it" };
    (count > 0).then(|| format!("{what}: {}{more}", names.join(", ")))
}
