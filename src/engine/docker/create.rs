//! Making a box, and starting one again: image, container, comparison, mounts, start, shim.

use std::fs::Permissions;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, InspectContainerOptions, StartContainerOptions,
};

use super::accounts::Accounts;
use super::connect::{Connection, Dialect};
use super::inspect;
use super::lifecycle::{self, short};
use super::mapped::{self, BoxUser, MappedMounts, Writer};
use super::plan::{self, Bind, Image, Moment, SHIM_CONFIG};
use super::problem::{Problem, call};
use super::{
    CALL_DEADLINE, Docker, connect, copy, engines, flatten, image, kernel, pausing, podman, probe,
    strays,
};
use crate::engine::{BoxPlan, BoxRecord, Progress, ProgressSink};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::IsolationRequest;
use crate::shim::config::{self, ShimConfig, host_ca_bundle};

/// From the container's start to the shim's socket; a few milliseconds on an idle machine.
const SHIM_DEADLINE: Duration = Duration::from_secs(10);
/// Largest bundle of certificates that is copied, in bytes; those of distributions have 0.2 MiB.
const MAX_CERTIFICATES: usize = 4 << 20;
/// Between two tries for a name that the engine gives back: it needs a tenth of a second.
const NAME_PAUSE: Duration = Duration::from_millis(100);
/// Between two looks for the shim's socket: short against the third of a second a start takes.
const SHIM_POLL: Duration = Duration::from_millis(5);

/// Makes a box, in the place of a former one that is gone; on failure its container is removed.
pub(super) async fn create(
    docker: &Docker,
    plan: &BoxPlan,
    former: Option<&BoxRecord>,
    progress: &ProgressSink,
) -> Result<BoxRecord, Failure> {
    if plan.isolation == IsolationRequest::Unisolated {
        let message = "the docker engine has no unisolated boxes";
        return Err(Failure::new(FailureKind::Invalid, message).hint("use --engine native for one"));
    }
    plan::check(plan)?;
    let note = copy::note(plan);
    let connection = match &note {
        Some(note) => {
            docker.engines.at(connect::unix_endpoint("the fork", &note.endpoint)?).await?
        }
        None => match &plan.endpoint {
            Some(endpoint) => {
                docker.engines.at(connect::unix_endpoint("the environment", endpoint)?).await?
            }
            None => docker.engines.chosen(&engines::own_choice()).await?,
        },
    };
    let connection = &*connection;
    probe::suitable(&connection.info)?;
    probe::require_runtime(connection, plan.runtime.as_deref()).await?;
    require_root(plan.runtime.as_deref(), BoxUser::here())?;
    let image = match &note {
        Some(note) => copy::noted(connection, note).await?,
        None => image::ensure(connection, plan, progress).await?,
    };
    report(progress, "creating the container");
    let user = BoxUser::here();
    prepare_places(plan, user).await?;
    let id = create_container(connection, plan, former, &image, user).await?;
    let made = finish(docker, connection, plan, &image, user, &id, progress).await;
    if made.is_err() {
        // Found by the id that creating it returned, so it is ours whatever its labels say.
        let found =
            ContainerInspectResponse { id: Some(id), ..ContainerInspectResponse::default() };
        if let Err(failure) = lifecycle::remove_found(connection, &found).await {
            tracing::warn!("a container that was not finished stays: {failure}");
        }
    }
    made
}

async fn finish(
    docker: &Docker,
    connection: &Connection,
    plan: &BoxPlan,
    image: &Image,
    user: BoxUser,
    id: &str,
    progress: &ProgressSink,
) -> Result<BoxRecord, Failure> {
    let (accounts, found) =
        tokio::join!(accounts_of(docker, connection, image, id), inspect_by_id(connection, id));
    let accounts = accounts?;
    require_as_planned(connection, &found?, plan, image, user)?;
    report(progress, "starting the container");
    let users = accounts.with_agent(user.uid, user.gid);
    let users = config::Accounts { passwd: users.passwd, group: users.group };
    start(connection, plan, image, user, (&accounts.shell, Some(users)), id).await
}

/// Starts a stopped box, after comparing it with its plan again.
pub(super) async fn start_again(
    docker: &Docker,
    plan: &BoxPlan,
    record: &BoxRecord,
) -> Result<BoxRecord, Failure> {
    plan::check(plan)?;
    let connection = &*docker.of(record).await?;
    let gone = || lifecycle::gone(record);
    let mut found = lifecycle::find(connection, record).await?.ok_or_else(gone)?;
    let id = found.id.clone().unwrap_or_default();
    if lifecycle::is_of_others(&found, record) {
        tracing::info!("container {} was started by others; it is ended first", short(&id));
        lifecycle::kill(connection, record).await?;
        found = inspect_by_id(connection, &id).await?;
    }
    // The image may have lost its tag since; the container still names it by content.
    let name = found.image.clone().unwrap_or_default();
    let image = match image::inspect(&connection.client, &name).await {
        Ok(image) => image,
        // Removed from under it; the container has all of it that the box needs.
        Err(problem) if problem.is_missing() => flatten::image_of(&found),
        Err(problem) => return Err(problem.during("looking for the container's image")),
    };
    let user = BoxUser::here();
    let plan = &BoxPlan { shim: inspect::shim_of(&found, plan), ..plan.clone() };
    let (found, limits_wait) = lifecycle::with_limits(connection, found, plan).await?;
    require_as_planned(connection, &found, plan, &image, user)?;
    if lifecycle::is_paused(&found) {
        pausing::resume(connection, record).await?;
    }
    if lifecycle::is_running(&found) {
        return running(connection, plan, user, &id).await;
    }
    let accounts = accounts_of(docker, connection, &image, &id).await?;
    let started = start(connection, plan, &image, user, (&accounts.shell, None), &id).await?;
    if limits_wait && let Err(failure) = lifecycle::update(connection, &id, &plan.limits).await {
        // It runs without what was asked for, which nobody would see: it must not go on.
        let _ = call(CALL_DEADLINE, connection.client.kill_container(&id, None)).await;
        return Err(failure);
    }
    Ok(started)
}

pub(super) fn report(progress: &ProgressSink, step: &str) {
    // A full channel means that the user sees a later report instead.
    let _ = progress.try_send(Progress { step: step.to_owned(), done: 0, total: 0 });
}

/// Runs file work that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Failure::new(FailureKind::Internal, error.to_string())))
}

/// The engine refuses binds whose source is missing, before the mounts stand.
async fn prepare_places(plan: &BoxPlan, user: BoxUser) -> Result<(), Failure> {
    let (binds, certificates) = (plan::binds(plan, user), plan::certificates(plan));
    blocking(move || {
        for bind in binds.iter().filter(|bind| bind.mapped_from.is_some()) {
            mapped::prepare_target(&bind.source)
                .map_err(|error| unavailable(&bind.source, &error))?;
        }
        copy_certificates(&certificates).map(drop)
    })
    .await
}

/// Brings the environment's copy of the trusted certificates up to date, and says whether there
/// are any. A new file takes the place of the old one, which a box may still have open.
fn copy_certificates(place: &Path) -> Result<bool, Failure> {
    let bundle = host_ca_bundle().and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
    let bundle = if bundle.len() > MAX_CERTIFICATES { Vec::new() } else { bundle };
    let directory = place.parent().expect("the copy is in a directory");
    let write = || {
        std::fs::create_dir_all(directory)?;
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(&bundle)?;
        file.as_file().set_permissions(Permissions::from_mode(0o644))?;
        file.persist(place).map_err(|error| error.error)
    };
    write().map_err(|error: std::io::Error| unavailable(place, &error))?;
    Ok(!bundle.is_empty())
}

fn unavailable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("{}: {error}", path.display()))
}

async fn create_container(
    connection: &Connection,
    plan: &BoxPlan,
    former: Option<&BoxRecord>,
    image: &Image,
    user: BoxUser,
) -> Result<String, Failure> {
    let name = format!("agentdeck-{}-{}", plan.name, plan.environment);
    let begun = tokio::time::Instant::now();
    loop {
        let options = CreateContainerOptionsBuilder::new().name(&name).build();
        let mut body = plan::container(plan, image, user);
        if connection.dialect == Dialect::Podman
            && let Some(host) = &mut body.host_config
        {
            podman::name_both_bounds(host);
        }
        let made = connection.client.create_container(Some(options), body);
        match call(CALL_DEADLINE, made).await {
            Ok(made) => {
                for warning in &made.warnings {
                    let warning = super::problem::brief(warning);
                    tracing::info!("creating container {name}: {warning}");
                }
                return Ok(made.id);
            }
            Err(problem) if problem.is_conflict() && begun.elapsed() < CALL_DEADLINE => {
                if !free_name(connection, plan, former, &name).await? {
                    return Err(problem.during(&format!("creating container {name}")));
                }
                tokio::time::sleep(NAME_PAUSE).await;
            }
            Err(problem) => return Err(problem.during(&format!("creating container {name}"))),
        }
    }
}

/// Removes the container that has the name of an environment's next one: the engine was still
/// making it when whoever had asked for it ended, and had nothing to show to who looked for it.
/// `false` where the name is somebody else's, or is that of a former box which is not gone at all.
async fn free_name(
    connection: &Connection,
    plan: &BoxPlan,
    former: Option<&BoxRecord>,
    name: &str,
) -> Result<bool, Failure> {
    let request = connection.client.inspect_container(name, None::<InspectContainerOptions>);
    let kept = former.and_then(|former| former.container.as_deref());
    match call(CALL_DEADLINE, request).await {
        Ok(found) if kept.is_some() && found.id.as_deref() == kept => Ok(false),
        Ok(found) if inspect::is_of(&found, &plan.deck, &plan.environment) => {
            tracing::info!("container {name} was made for a server that ended; it is removed");
            lifecycle::remove_found(connection, &found).await?;
            Ok(true)
        }
        Ok(_) => Ok(false),
        // A name is taken some time before its container is there.
        Err(problem) if problem.is_missing() => Ok(true),
        Err(problem) => Err(problem.during(&format!("looking for container {name}"))),
    }
}

async fn accounts_of(
    docker: &Docker,
    connection: &Connection,
    image: &Image,
    container: &str,
) -> Result<Arc<Accounts>, Failure> {
    if let Some(known) = docker.remembered(&image.id) {
        return Ok(known);
    }
    let read = image::accounts(&connection.client, container).await;
    let read = read.map_err(|problem| problem.during("reading the image's users"))?;
    let read = Arc::new(read);
    docker.remember(&image.id, &read);
    Ok(read)
}

async fn inspect_by_id(
    connection: &Connection,
    id: &str,
) -> Result<ContainerInspectResponse, Failure> {
    let request = connection.client.inspect_container(id, None::<InspectContainerOptions>);
    let found = call(CALL_DEADLINE, request).await;
    found.map_err(|problem| problem.during(&format!("looking at container {}", short(id))))
}

fn require_as_planned(
    connection: &Connection,
    found: &ContainerInspectResponse,
    plan: &BoxPlan,
    image: &Image,
    user: BoxUser,
) -> Result<(), Failure> {
    let differences = inspect::differences(found, plan, image, user, connection.dialect);
    if differences.is_empty() {
        return Ok(());
    }
    let message =
        format!("the engine's container is not what was planned: {}", differences.join("; "));
    Err(Failure::new(FailureKind::Refused, message)
        .hint("look for defaults in the engine's configuration, or lift the limit it cannot keep"))
}

/// Starts the container with its mounts standing, and waits for its shim.
async fn start(
    connection: &Connection,
    plan: &BoxPlan,
    image: &Image,
    user: BoxUser,
    (shell, accounts): (&str, Option<config::Accounts>),
    id: &str,
) -> Result<BoxRecord, Failure> {
    strays::end(Some(id), Some(&plan.run)).await?;
    let (planned, image, shell) = (plan.clone(), image.clone(), shell.to_owned());
    let mounts = blocking(move || {
        let certificates = copy_certificates(&plan::certificates(&planned))?;
        let moment = Moment { shell, certificates, accounts };
        write_config(&planned.run, &plan::shim_config(&planned, &image, user, &moment))?;
        let writer = Writer::under(planned.runtime.as_deref());
        make_mounts(user, writer, &plan::binds(&planned, user))
    })
    .await?;
    let started = start_container(connection, id).await;
    // The container has its own copy of the mounts now; ours would only be in the way.
    blocking(move || {
        drop(mounts);
        Ok(())
    })
    .await?;
    started.map_err(|problem| problem.during(&format!("starting container {}", short(id))))?;
    let record = running(connection, plan, user, id).await;
    if record.is_err() {
        // It runs, but not as planned or without its shim: it must not go on.
        let _ = call(CALL_DEADLINE, connection.client.kill_container(id, None)).await;
    }
    record
}

/// Starts a container. What its runtime still has of the last start, after an engine was killed
/// that ended it, goes a moment later or with the try.
async fn start_container(connection: &Connection, id: &str) -> Result<(), Problem> {
    const PAUSES: [Duration; 3] =
        [Duration::from_millis(200), Duration::from_millis(600), Duration::from_secs(2)];
    let mut pauses = PAUSES.iter();
    loop {
        let request = connection.client.start_container(id, None::<StartContainerOptions>);
        let started = call(CALL_DEADLINE, request).await;
        let left = started.as_ref().is_err_and(Problem::is_left_over);
        let Some(pause) = pauses.next().filter(|_| left) else { return started };
        tokio::time::sleep(*pause).await;
    }
}

/// Writes the shim's configuration, through a new file: what lies in the directory was reachable
/// from the box.
fn write_config(run: &Path, config: &ShimConfig) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| unavailable(run, error);
    let json = serde_json::to_vec(config).expect("a configuration has no failing parts");
    let mut file = tempfile::NamedTempFile::new_in(run).map_err(|error| failed(&error))?;
    file.write_all(&json).map_err(|error| failed(&error))?;
    file.persist(run.join(SHIM_CONFIG)).map_err(|error| failed(&error.error))?;
    Ok(())
}

/// A kernel that shows its programs no peers leaves only a file's owner to keep the agent from the
/// shim, and an ordinary user's agent is that owner.
fn require_root(runtime: Option<&str>, user: BoxUser) -> Result<(), Failure> {
    if user.mapped || Writer::under(runtime) == Writer::Agent {
        return Ok(());
    }
    let message = "under this runtime only a server that is root keeps the agent from its shim";
    Err(Failure::new(FailureKind::Refused, message)
        .hint("run agentdeck as root, or leave the runtime out"))
}

fn make_mounts(user: BoxUser, writer: Writer, binds: &[Bind]) -> Result<MappedMounts, Failure> {
    let pairs: Vec<(&Path, &Path)> = binds
        .iter()
        .filter_map(|bind| Some((bind.mapped_from.as_deref()?, bind.source.as_path())))
        .collect();
    if pairs.is_empty() {
        return Ok(MappedMounts::default());
    }
    MappedMounts::make(user, writer, &pairs).map_err(|error| {
        let message = format!("root's files cannot be shown to the agent as its own: {error}");
        Failure::new(FailureKind::Unavailable, message).hint(
            "id-mapped mounts need Linux 5.12 and ext4, xfs or btrfs; set AGENTDECK_HOME to such a \
             file system, or run agentdeck as an ordinary user",
        )
    })
}

/// The record of a container that runs, once its mounts are proven and its shim listens.
async fn running(
    connection: &Connection,
    plan: &BoxPlan,
    user: BoxUser,
    id: &str,
) -> Result<BoxRecord, Failure> {
    let found = inspect_by_id(connection, id).await?;
    let pid = found.state.as_ref().and_then(|state| state.pid).unwrap_or(0);
    let pid = u32::try_from(pid).unwrap_or(0);
    let Some(init_start) = kernel::start_time(pid).filter(|_| pid != 0) else {
        return Err(ended(&found));
    };
    let record = BoxRecord {
        environment: plan.environment.clone(),
        init_pid: pid,
        init_start,
        container: Some(id.to_owned()),
        boot: kernel::boot_id(),
        run: plan.run.clone(),
        endpoint: Some(connection.candidate.endpoint()),
    };
    let server = wait_for_shim(connection, &record).await?;
    if connection.dialect == Dialect::Podman {
        // Its description leaves out what the kernel knows.
        kernel::require_rights(pid)?;
    }
    for bind in plan::binds(plan, user).iter().filter(|bind| bind.mapped_from.is_some()) {
        if !kernel::is_mapped(server, &bind.target) {
            let message = format!("{} is not the agent's in the box", bind.target.display());
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("the engine must share the mounts of this process: see findmnt / on both"));
        }
    }
    Ok(record)
}

/// Waits until the shim listens; the answer is the process that serves its files.
async fn wait_for_shim(connection: &Connection, record: &BoxRecord) -> Result<u32, Failure> {
    let listening = async {
        loop {
            match lifecycle::reach(record).await {
                Ok((_, server)) => return Ok(server),
                Err(failure) if failure.kind == FailureKind::Refused => return Err(failure),
                Err(_) if !kernel::is_alive(record) => {
                    let id = record.container.as_deref().unwrap_or_default();
                    return Err(ended(&inspect_by_id(connection, id).await?));
                }
                Err(_) => tokio::time::sleep(SHIM_POLL).await,
            }
        }
    };
    let waited = tokio::time::timeout(SHIM_DEADLINE, listening).await;
    waited.unwrap_or_else(|_| {
        let message = format!("the shim did not listen within {} s", SHIM_DEADLINE.as_secs());
        Err(Failure::new(FailureKind::Timeout, message))
    })
}

/// Why a container that was started does not run, in the engine's words.
fn ended(found: &ContainerInspectResponse) -> Failure {
    let state = found.state.clone().unwrap_or_default();
    let code = state.exit_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
    let said = super::problem::brief(&state.error.unwrap_or_default());
    let message = format!("the box ended as soon as it was started, with status {code} {said}");
    let message = message.trim_end().to_owned();
    Failure::new(FailureKind::Unavailable, message)
        .hint("an engine in a virtual machine is not usable; otherwise see the engine's log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulated_kernel_is_for_servers_that_are_root() {
        let (root, me) = (BoxUser::of(0, 0), BoxUser::of(501, 20));
        assert!(require_root(Some("runsc"), root).is_ok());
        assert!(require_root(Some("runc"), me).is_ok() && require_root(None, me).is_ok());
        let failure = require_root(Some("runsc"), me).expect_err("refused");
        assert_eq!(failure.kind, FailureKind::Refused);
    }
}
