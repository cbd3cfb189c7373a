//! What happens to a box after its creation. Every step starts from the recorded id and the label.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerSummary};
use bollard::query_parameters::{
    InspectContainerOptions, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder, WaitContainerOptions,
};
use futures_util::StreamExt;
use tokio::net::UnixStream;

use super::CALL_DEADLINE;
use super::connect::Connection;
use super::inspect::belongs_to;
use super::kernel;
use super::mapped;
use super::plan::{DECK_LABEL, ENVIRONMENT_LABEL};
use super::problem::{Problem, call};
use crate::engine::{BoxRecord, BoxState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::shim::wire::{self, Frame, ShimRequest};

/// What the shim may take, beyond the grace it was given, to end a box.
const STOP_SLACK: Duration = Duration::from_secs(2);
/// Connecting to a listening unix socket is immediate, unless its owner is stopped or overrun.
const CHANNEL_DEADLINE: Duration = Duration::from_secs(5);

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

pub(super) fn is_running(found: &ContainerInspectResponse) -> bool {
    found.state.as_ref().and_then(|state| state.running) == Some(true)
}

pub(super) async fn state(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<BoxState, Failure> {
    Ok(match find(connection, record).await? {
        None => BoxState::Gone,
        Some(found) if is_running(&found) => BoxState::Running,
        Some(_) => BoxState::Stopped,
    })
}

pub(super) async fn stop(
    connection: &Connection,
    record: &BoxRecord,
    grace: Duration,
) -> Result<(), Failure> {
    let Some(found) = find(connection, record).await?.filter(is_running) else { return Ok(()) };
    let id = found.id.unwrap_or_default();
    // The shim hangs sessions up as a terminal would; a shim that cannot be asked is killed.
    let asked = tokio::time::timeout(CHANNEL_DEADLINE, ask_to_stop(record, grace)).await;
    if matches!(asked, Ok(Ok(()))) {
        let waited = connection.client.wait_container(&id, None::<WaitContainerOptions>);
        // Every end is an end: a status other than 0 comes as an error.
        let _ = tokio::time::timeout(grace + STOP_SLACK, std::pin::pin!(waited).next()).await;
    }
    let kill = KillContainerOptionsBuilder::new().signal("SIGKILL").build();
    match call(CALL_DEADLINE, connection.client.kill_container(&id, Some(kill))).await {
        Ok(()) => wait_until_stopped(connection, record, &id).await,
        // It is not running, which is what was wanted.
        Err(problem) if problem.is_missing() || problem.is_conflict() => Ok(()),
        Err(problem) => Err(problem.during(&format!("stopping container {}", short(&id)))),
    }
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
    let mut channel = open_channel(record).await?;
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
    match find(connection, record).await? {
        None => Ok(()),
        Some(found) => remove_found(connection, &found).await,
    }
}

/// Removes a container that was proven to be ours, its anonymous volumes, and mounts that a killed
/// server may have left.
pub(super) async fn remove_found(
    connection: &Connection,
    found: &ContainerInspectResponse,
) -> Result<(), Failure> {
    let id = found.id.as_deref().unwrap_or_default();
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

pub(super) async fn remove_orphan(
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

/// Connects to the shim and checks that the listener is the recorded first process of the box.
pub(super) async fn open_channel(record: &BoxRecord) -> Result<UnixStream, Failure> {
    let unavailable = |reason: String| {
        let message =
            format!("the shim of environment {} is not reached: {reason}", record.environment);
        Failure::new(FailureKind::Unavailable, message)
    };
    if !kernel::is_alive(record) {
        return Err(
            unavailable("its box does not run".to_owned()).hint("start the environment again")
        );
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
    if u32::try_from(peer) != Ok(record.init_pid) || !kernel::is_alive(record) {
        let message = format!(
            "process {peer} answers in place of the shim of environment {} ({})",
            record.environment, record.init_pid
        );
        return Err(Failure::new(FailureKind::Refused, message).hint(
            "stop the environment; if the engine runs in a virtual machine, it is not usable",
        ));
    }
    stream.set_nonblocking(true).map_err(|error| unavailable(error.to_string()))?;
    UnixStream::from_std(stream).map_err(|error| unavailable(error.to_string()))
}
