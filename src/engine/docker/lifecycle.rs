//! What happens to a box after its creation. Every step starts from the recorded id and the label.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary, ContainerUpdateBody};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;
use tokio::net::UnixStream;

use super::CALL_DEADLINE;
use super::connect::{Connection, Dialect};
use super::inspect::{belongs_to, shims};
use super::kernel;
use super::mapped;
use super::plan::{self, DECK_LABEL, ENVIRONMENT_LABEL};
use super::problem::{Problem, call};
use super::{copy, events, isolation, pausing, podman, strays, usage};
use crate::engine::{BoxPlan, BoxRecord, BoxState, Ending};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::policy::Limits;
use crate::shim::wire::{self, Frame, ShimRequest};

/// What the shim may take, beyond the grace it was given, to end a box.
const STOP_SLACK: Duration = Duration::from_secs(2);
/// Connecting to a listening unix socket is immediate, unless its owner is stopped or overrun.
const CHANNEL_DEADLINE: Duration = Duration::from_secs(5);
/// Between two calls that wait for a box's end, when the first ended without telling it.
const WAIT_AGAIN: Duration = Duration::from_millis(200);

/// The container of a record, if the engine has it and it is ours.
pub(super) async fn find(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<Option<ContainerInspectResponse>, Failure> {
    let Some(id) = record.container.as_deref() else { return Ok(None) };
    let request = connection.client.inspect_container(id, None::<InspectContainerOptions>);
    match call(CALL_DEADLINE, request).await {
        Ok(found) => Ok(Some(found).filter(|found| belongs_to(found, &record.environment))),
        Err(problem) if problem.is_missing() => Ok(None),
        Err(problem) => Err(problem.during(&format!("looking for container {}", short(id)))),
    }
}

/// The part of a container's id that people know it by.
pub(super) fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// Whether its processes live; engines differ in whether a paused one runs.
pub(super) fn is_running(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().and_then(|state| state.running) == Some(true) || is_paused(found)
}

pub(super) fn is_paused(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().and_then(|state| state.paused) == Some(true)
}

/// Whether others started the container since: its first process is not the one on record. Ours has
/// ended then, and what runs has neither the mounts nor the configuration of a box.
pub(super) fn is_of_others(found: &ContainerInspectResponse, record: &BoxRecord) -> bool {
    let pid = found.state.as_ref().and_then(|state| state.pid).unwrap_or(0);
    let pid = u32::try_from(pid).unwrap_or(0);
    let differs = || {
        pid != record.init_pid
            || kernel::start_time(pid).is_some_and(|start| start != record.init_start)
    };
    is_running(found) && pid != 0 && differs()
}

pub(super) async fn state(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<BoxState, Failure> {
    Ok(match find(connection, record).await? {
        None => BoxState::Gone,
        Some(found) if is_of_others(&found, record) => BoxState::Stopped,
        Some(_) if pausing::is_corrected(record) => BoxState::Running,
        Some(found) if pausing::goes_on(&found, record) => {
            pausing::correct(connection, &found, record).await;
            BoxState::Running
        }
        Some(found) if is_paused(&found) || pausing::is_held(&found, record) => BoxState::Paused,
        Some(found) if is_running(&found) => BoxState::Running,
        Some(_) => BoxState::Stopped,
    })
}

pub(super) async fn stop(
    connection: &Connection,
    record: &BoxRecord,
    grace: Duration,
) -> Result<(), Failure> {
    let Some(found) = running(connection, record).await? else { return Ok(()) };
    // What stands still can neither hang up nor be heard.
    if is_paused(&found) {
        pausing::resume(connection, record).await?;
    } else if pausing::is_held(&found, record) {
        // It is killed where this is refused.
        let _ = usage::hold(record.init_pid, false);
    }
    let id = found.id.unwrap_or_default();
    // The shim hangs sessions up as a terminal would; a shim that cannot be asked is killed.
    let asked = tokio::time::timeout(CHANNEL_DEADLINE, ask_to_stop(record, grace)).await;
    if matches!(asked, Ok(Ok(()))) {
        let waited = connection.client.wait_container(&id, None::<WaitContainerOptions>);
        // Every end is an end: a status other than 0 comes as an error.
        let _ = tokio::time::timeout(grace + STOP_SLACK, std::pin::pin!(waited).next()).await;
    }
    kill_by_id(connection, record, &id).await
}

/// Ends every process of a box at once.
pub(super) async fn kill(connection: &Connection, record: &BoxRecord) -> Result<(), Failure> {
    let Some(found) = running(connection, record).await? else { return Ok(()) };
    wake(connection, &found).await;
    kill_by_id(connection, record, &found.id.unwrap_or_default()).await
}

/// The container of a record, if it runs. Else what its engine does not know to run is ended.
async fn running(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<Option<ContainerInspectResponse>, Failure> {
    let found = find(connection, record).await?;
    if let Some(found) = found.as_ref().filter(|found| !is_running(found)) {
        strays::end_of(found).await?;
    }
    Ok(found.filter(is_running))
}

/// Has a box go on that stands still and has a kernel of its own: such a kernel, killed while it is
/// paused, ends so late that the engine gives its removal up.
async fn wake(connection: &Connection, found: &ContainerInspectResponse) {
    if is_paused(found) && isolation::own_kernel(found).is_some() {
        let id = found.id.as_deref().unwrap_or_default();
        // Where this fails, what follows fails too, and says so.
        let _ = call(CALL_DEADLINE, connection.client.unpause_container(id)).await;
    }
}

async fn kill_by_id(connection: &Connection, record: &BoxRecord, id: &str) -> Result<(), Failure> {
    let kill = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    match call(CALL_DEADLINE, connection.client.kill_container(id, Some(kill))).await {
        Ok(()) => wait_until_stopped(connection, record, id).await,
        // It is not running, which is what was wanted.
        Err(problem) if problem.is_missing() || problem.is_conflict() => Ok(()),
        // Engines differ in how they say so.
        Err(problem) => match find(connection, record).await? {
            Some(found) if is_running(&found) => {
                Err(problem.during(&format!("stopping container {}", short(id))))
            }
            _ => Ok(()),
        },
    }
}

/// Waits for a box's end, as often as the engine lets go of the call before it.
pub(super) async fn wait(connection: &Connection, record: &BoxRecord) -> Result<Ending, Failure> {
    loop {
        let found = find(connection, record).await?.ok_or_else(|| gone(record))?;
        if is_of_others(&found, record) {
            return Ok(Ending::default());
        }
        if !is_running(&found) {
            return Ok(events::ending(&found));
        }
        let id = found.id.unwrap_or_default();
        let waited = connection.patient.wait_container(&id, None::<WaitContainerOptions>);
        if std::pin::pin!(waited).next().await.is_none() {
            // The engine ended the call without a word; it may be about to end itself.
            tokio::time::sleep(WAIT_AGAIN).await;
        }
    }
}

/// What it means that the engine does not have a box any more.
pub(super) fn gone(record: &BoxRecord) -> Failure {
    let message = format!(
        "the container of environment {} is gone, and with it what was installed outside the \
         workspace and the home",
        record.environment
    );
    Failure::new(FailureKind::NotFound, message)
        .hint("start the environment: its box is made anew around its files")
}

pub(super) async fn update_limits(
    connection: &Connection,
    record: &BoxRecord,
    limits: &Limits,
) -> Result<(), Failure> {
    if limits.files.is_some() {
        let message = "the docker engine sets the limit of open files when a box is made";
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("give it to a new environment, or to a fork of this one"));
    }
    let found = find(connection, record).await?.ok_or_else(|| gone(record))?;
    let updated = update(connection, found.id.as_deref().unwrap_or_default(), limits).await;
    updated.map_err(|failure| match isolation::own_kernel(&found) {
        Some(runtime) if is_running(&found) => {
            let message =
                format!("boxes of the runtime {runtime} keep their limits for as long as they run");
            Failure::new(FailureKind::Refused, message)
                .hint("stop the environment, change its limits, and start it again")
        }
        _ => failure,
    })
}

pub(super) async fn update(
    connection: &Connection,
    id: &str,
    limits: &Limits,
) -> Result<(), Failure> {
    let bounds = plan::bounds(limits);
    let body = ContainerUpdateBody {
        memory: bounds.memory,
        memory_swap: bounds.memory,
        nano_cpus: bounds.nano_cpus,
        pids_limit: limits.processes.map(i64::from),
        ..ContainerUpdateBody::default()
    };
    let updated = match connection.dialect {
        Dialect::Docker => call(CALL_DEADLINE, connection.client.update_container(id, body)).await,
        Dialect::Podman => podman::update(connection, id, limits).await,
    };
    updated.map_err(|problem| {
        let failure = problem.during(&format!("changing the limits of container {}", short(id)));
        if problem.is_missing() {
            return failure.hint("this engine cannot change them; Podman before 4.3 does not");
        }
        failure
    })
}

/// Brings the limits of a stopped container up to those of its plan, which may have changed since
/// it was made. Whether that has to wait until it runs is told with what it is by then.
pub(super) async fn with_limits(
    connection: &Connection,
    mut found: ContainerInspectResponse,
    plan: &BoxPlan,
) -> Result<(ContainerInspectResponse, bool), Failure> {
    let host = found.host_config.clone().unwrap_or_default();
    let bounds = plan::bounds(&plan.limits);
    let set = |value: Option<i64>| value.filter(|value| *value > 0);
    let same = |wanted: Option<i64>, found: Option<i64>| wanted.is_none() || wanted == set(found);
    if same(bounds.memory, host.memory)
        && same(bounds.nano_cpus, host.nano_cpus)
        && same(plan.limits.processes.map(i64::from), host.pids_limit)
    {
        return Ok((found, false));
    }
    let id = found.id.clone().unwrap_or_default();
    if connection.dialect == Dialect::Podman {
        let host = found.host_config.get_or_insert_default();
        host.memory = bounds.memory.or(host.memory);
        host.nano_cpus = bounds.nano_cpus.or(host.nano_cpus);
        host.pids_limit = plan.limits.processes.map(i64::from).or(host.pids_limit);
        return Ok((found, true));
    }
    update(connection, &id, &plan.limits).await?;
    let request = connection.client.inspect_container(&id, None::<InspectContainerOptions>);
    let found = call(CALL_DEADLINE, request).await;
    let found =
        found.map_err(|problem| problem.during(&format!("looking at container {}", short(&id))))?;
    Ok((found, false))
}

async fn wait_until_stopped(
    connection: &Connection,
    record: &BoxRecord,
    id: &str,
) -> Result<(), Failure> {
    let waited = connection.client.wait_container(id, None::<WaitContainerOptions>);
    let _ = tokio::time::timeout(CALL_DEADLINE, std::pin::pin!(waited).next()).await;
    match find(connection, record).await? {
        Some(found) if is_running(&found) => {
            Err(Problem::Deadline(CALL_DEADLINE)
                .during(&format!("stopping container {}", short(id))))
        }
        _ => Ok(()),
    }
}

async fn ask_to_stop(record: &BoxRecord, grace: Duration) -> Result<(), Failure> {
    stop_by(open_channel(record).await?, grace).await
}

/// Asks the shim at the other end to end its box.
pub(super) async fn stop_by(mut channel: UnixStream, grace: Duration) -> Result<(), Failure> {
    let grace_ms = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
    let hello = Frame::control(&ShimRequest::Hello { version: wire::VERSION });
    let stop = Frame::control(&ShimRequest::Stop { grace_ms });
    for frame in [hello, stop] {
        wire::write_frame(&mut channel, &frame)
            .await
            .map_err(|error| Failure::new(FailureKind::Unavailable, error.to_string()))?;
    }
    // The shim's end of the channel closes when it has taken the request, at the latest with it.
    while let Ok(Some(_)) = wire::read_frame(&mut channel).await {}
    Ok(())
}

pub(super) async fn remove(connection: &Connection, record: &BoxRecord) -> Result<(), Failure> {
    if let Some(found) = find(connection, record).await? {
        remove_found(connection, &found).await?;
    }
    copy::remove_image_of(connection, record).await
}

/// Removes a container that was proven to be ours, its anonymous volumes, and mounts that a killed
/// server may have left.
pub(super) async fn remove_found(
    connection: &Connection,
    found: &ContainerInspectResponse,
) -> Result<(), Failure> {
    let id = found.id.as_deref().unwrap_or_default();
    wake(connection, found).await;
    // Once it is removed nobody could tell whose they are.
    strays::end_of(found).await?;
    let options = RemoveContainerOptionsBuilder::new().v(true).force(true).build();
    let removed = call(CALL_DEADLINE, connection.client.remove_container(id, Some(options))).await;
    match removed {
        Ok(()) => {}
        Err(problem) if problem.is_missing() => {}
        // Someone else's removal is under way; it is waited for below.
        Err(problem) if problem.is_conflict() => {}
        Err(problem) => return Err(problem.during(&format!("removing container {}", short(id)))),
    }
    let mounts = found.mounts.iter().flatten();
    for source in mounts.filter_map(|mount| mount.source.as_deref().map(Path::new)) {
        if source.parent().is_some_and(|parent| parent.ends_with("layer/mapped")) {
            let _ = mapped::unmount(source);
        }
    }
    Ok(())
}

async fn labelled(
    connection: &Connection,
    labels: Vec<String>,
) -> Result<Vec<ContainerSummary>, Failure> {
    let filters = HashMap::from([("label", labels)]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let listed = call(CALL_DEADLINE, connection.client.list_containers(Some(options))).await;
    listed.map_err(|problem| problem.during("listing containers"))
}

pub(super) async fn list(
    connection: &Connection,
    deck: &str,
) -> Result<Vec<EnvironmentId>, Failure> {
    let found = labelled(connection, vec![format!("{DECK_LABEL}={deck}")]).await?;
    let labels = found.iter().filter_map(|container| container.labels.as_ref());
    let named = labels.filter_map(|labels| labels.get(ENVIRONMENT_LABEL));
    Ok(named.filter_map(|text| EnvironmentId::parse(text)).collect())
}

/// The copies of this program that a deck's containers were made with. Each is mounted for the
/// container's life, and one that is not there keeps it from starting again.
pub(super) async fn programs(connection: &Connection, deck: &str) -> Result<Vec<PathBuf>, Failure> {
    let mut programs = Vec::new();
    for container in labelled(connection, vec![format!("{DECK_LABEL}={deck}")]).await? {
        let Some(id) = container.id else { continue };
        let request = connection.client.inspect_container(&id, None::<InspectContainerOptions>);
        match call(CALL_DEADLINE, request).await {
            Ok(found) => programs.extend(shims(&found)),
            Err(problem) if problem.is_missing() => {}
            Err(problem) => return Err(problem.during(&format!("looking at {}", short(&id)))),
        }
    }
    Ok(programs)
}

pub(super) async fn remove_orphan(
    connection: &Connection,
    deck: &str,
    environment: &EnvironmentId,
) -> Result<(), Failure> {
    remove_containers(connection, deck, environment).await?;
    copy::remove_images(connection, &copy::Ours { environment, deck, image: None }).await
}

/// Removes the containers of an environment.
pub(super) async fn remove_containers(
    connection: &Connection,
    deck: &str,
    environment: &EnvironmentId,
) -> Result<(), Failure> {
    let labels = vec![format!("{DECK_LABEL}={deck}"), format!("{ENVIRONMENT_LABEL}={environment}")];
    for container in labelled(connection, labels).await? {
        let Some(id) = container.id else { continue };
        let request = connection.client.inspect_container(&id, None::<InspectContainerOptions>);
        match call(CALL_DEADLINE, request).await {
            Ok(found) if belongs_to(&found, environment) => {
                remove_found(connection, &found).await?;
            }
            Ok(_) => {}
            Err(problem) if problem.is_missing() => {}
            Err(problem) => return Err(problem.during("looking at an orphaned container")),
        }
    }
    Ok(())
}

/// Connects to the shim and checks that the listener belongs to the recorded box.
pub(super) async fn open_channel(record: &BoxRecord) -> Result<UnixStream, Failure> {
    reach(record).await.map(|(stream, _)| stream)
}

fn unreached(record: &BoxRecord, reason: &str) -> Failure {
    let message =
        format!("the shim of environment {} is not reached: {reason}", record.environment);
    Failure::new(FailureKind::Unavailable, message)
}

/// What stands still cannot answer.
pub(super) fn paused(record: &BoxRecord) -> Failure {
    unreached(record, "the box is paused").hint("resume the environment")
}

/// The shim's end of a channel, and the process that listened for it.
pub(super) async fn reach(record: &BoxRecord) -> Result<(UnixStream, u32), Failure> {
    let unavailable = |reason: String| unreached(record, &reason);
    if !kernel::is_alive(record) {
        return Err(
            unavailable("its box does not run".to_owned()).hint("start the environment again")
        );
    }
    if usage::is_frozen(record.init_pid) && !pausing::is_corrected(record) {
        return Err(paused(record));
    }
    let run = record.run.clone();
    let connecting =
        tokio::task::spawn_blocking(move || crate::socket::connect(&run, wire::SOCKET));
    let stream = tokio::time::timeout(CHANNEL_DEADLINE, connecting)
        .await
        .map_err(|_| unavailable("it does not take connections".to_owned()))?
        .map_err(|error| unavailable(error.to_string()))?
        .map_err(|error| unavailable(error.to_string()))?;
    let (peer, _) = crate::socket::peer(&stream).map_err(|error| unavailable(error.to_string()))?;
    // Checked after connecting too: a number may pass to another process in between.
    let listener = u32::try_from(peer).unwrap_or(0);
    if !kernel::serves(record, listener) || !kernel::is_alive(record) {
        let message = format!(
            "process {peer} answers in place of the shim of environment {} ({})",
            record.environment, record.init_pid
        );
        return Err(Failure::new(FailureKind::Refused, message).hint(
            "stop the environment; if the engine runs in a virtual machine, it is not usable",
        ));
    }
    stream.set_nonblocking(true).map_err(|error| unavailable(error.to_string()))?;
    let stream = UnixStream::from_std(stream).map_err(|error| unavailable(error.to_string()))?;
    Ok((stream, listener))
}

#[cfg(test)]
mod tests {
    use bollard::models::ContainerState;

    use super::*;

    #[test]
    fn a_container_with_another_first_process_was_started_by_others() {
        let own = std::process::id();
        let record = BoxRecord {
            environment: EnvironmentId::from_random([7; 8]),
            init_pid: own,
            init_start: kernel::start_time(own).expect("our own start time"),
            container: None,
            boot: kernel::boot_id(),
            endpoint: None,
            run: "/nowhere".into(),
        };
        let found = |running: bool, pid: u32| ContainerInspectResponse {
            state: Some(ContainerState {
                running: Some(running),
                pid: Some(i64::from(pid)),
                ..ContainerState::default()
            }),
            ..ContainerInspectResponse::default()
        };
        assert!(!is_of_others(&found(true, own), &record));
        assert!(is_of_others(&found(true, 1), &record));
        let earlier = BoxRecord { init_start: record.init_start - 1, ..record.clone() };
        assert!(is_of_others(&found(true, own), &earlier), "the number passed on");
        assert!(!is_of_others(&found(true, 0), &record), "an engine that does not say");
        assert!(!is_of_others(&found(false, 1), &record), "it runs for nobody");
    }
}
