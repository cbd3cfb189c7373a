//! Gives an ordinary user what the root of a box made in the environment's directories.
//!
//! That root is this machine's, so what it makes there is root's on the host as well: the agent
//! cannot change it, and the user neither copy nor remove it. The shim of a box that runs gives it
//! back. Where none can, a container does that runs nothing but the shim's program, from an image
//! without any file, sees those directories alone, and may do nothing but change owners.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bollard::body_full;
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, RestartPolicy,
    RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptions, CreateImageOptionsBuilder, KillContainerOptions,
    ListContainersOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptions,
    StartContainerOptions, WaitContainerOptionsBuilder,
};
use futures_util::StreamExt;

use super::connect::Connection;
use super::create::blocking;
use super::image::{self, IMAGE_LABEL};
use super::mapped::BoxUser;
use super::plan::{self, Bind, SHIM};
use super::problem::{Problem, call};
use super::{CALL_DEADLINE, Docker, accounts, lifecycle};
use crate::engine::belongings::{Belonging, Belongings, of_others};
use crate::engine::{BoxRecord, place_binary};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::shim::config::{TOOL, hand_back_words};
use crate::shim::wire::{self, Frame, Place, ShimEvent, ShimRequest};

/// How long owners may be changed: a million files take some ten seconds.
const DEADLINE: Duration = Duration::from_mins(2);
/// How long a shim may take to greet; it only has to be scheduled.
const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// On the container, and whose directories it sees. It has none of a box's labels.
const LABEL: &str = "agentdeck.hand-back";
/// The image that has no file, there while it is needed.
const EMPTY: (&str, &str) = ("agentdeck/empty", "1");
/// An archive without entries: two empty blocks (POSIX, pax).
const NO_FILES: [u8; 1024] = [0; 1024];
/// Where the container has the directories.
const PLACES: &str = "/agentdeck";
/// All that it may do.
const CAPABILITIES: [&str; 2] = ["CHOWN", "DAC_READ_SEARCH"];
/// It is one process.
const PROCESSES: i64 = 16;

/// Makes the user the owner of what others own in an environment's directories. Where the user is
/// root nobody else ever does.
pub(super) async fn hand_back(docker: &Docker, of: &Belongings) -> Result<(), Failure> {
    let user = BoxUser::here();
    let belongings = of.all(accounts::HOME);
    if user.mapped || look(&belongings).await?.is_none() {
        return Ok(());
    }
    if let Some(record) = &of.record {
        match tokio::time::timeout(DEADLINE, by_shim(record, &belongings)).await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => tracing::debug!("its shim hands nothing back: {failure}"),
            Err(_) => tracing::debug!("its shim takes too long to hand everything back"),
        }
        if look(&belongings).await?.is_none() {
            return Ok(());
        }
    }
    by_container(docker, of, &belongings, user).await?;
    match look(&belongings).await? {
        None => Ok(()),
        Some(path) => {
            let message = format!("{} stays another user's", path.display());
            Err(Failure::new(FailureKind::Unavailable, message)
                .hint("it may have another name elsewhere, or may not be changed at all: lsattr"))
        }
    }
}

async fn look(belongings: &[Belonging]) -> Result<Option<PathBuf>, Failure> {
    let belongings = belongings.to_vec();
    blocking(move || of_others(&belongings)).await
}

/// Has the box's own shim do it. One that stands still, or is older, cannot.
async fn by_shim(record: &BoxRecord, belongings: &[Belonging]) -> Result<(), Failure> {
    let mut channel = lifecycle::open_channel(record).await?;
    let lost = |error: wire::FrameError| Failure::new(FailureKind::Unavailable, error.to_string());
    let hello = Frame::control(&ShimRequest::Hello { version: wire::VERSION });
    wire::write_frame(&mut channel, &hello).await.map_err(lost)?;
    let greeted = tokio::time::timeout(HELLO_DEADLINE, wire::read_frame(&mut channel)).await;
    let late = |_| Failure::new(FailureKind::Timeout, "it does not answer");
    greeted.map_err(late)?.map_err(lost)?;
    let places: Vec<Place> = belongings.iter().map(|it| it.place.clone()).collect();
    let request = Frame::control(&ShimRequest::HandBack { places });
    wire::write_frame(&mut channel, &request).await.map_err(lost)?;
    while let Some(frame) = wire::read_frame(&mut channel).await.map_err(lost)? {
        let Frame::Control(json) = frame else { continue };
        match serde_json::from_slice(&json) {
            Ok(ShimEvent::ExecExited { code: 0 }) => return Ok(()),
            Ok(event @ (ShimEvent::ExecExited { .. } | ShimEvent::ExecFailed { .. })) => {
                return Err(Failure::new(FailureKind::Unavailable, format!("{event:?}")));
            }
            Ok(ShimEvent::Unsupported { .. }) => break,
            _ => {}
        }
    }
    Err(Failure::new(FailureKind::Unavailable, "it is of an older version"))
}

/// Has a container do it that is there for nothing else, at the engine that has made the box.
async fn by_container(
    docker: &Docker,
    of: &Belongings,
    belongings: &[Belonging],
    user: BoxUser,
) -> Result<(), Failure> {
    let connection = match &of.record {
        Some(record) => docker.of(record).await?,
        // Any engine of this machine can.
        None => docker.engines.every().await?.swap_remove(0),
    };
    let failed = |problem: Problem| problem.during("giving the user what root made in a box");
    let home = docker.home.clone();
    let shim = blocking(move || place_binary(&home)).await?;
    // One at a time: whoever is done removes the image.
    let _turn = docker.handing_back.lock().await;
    remove_left(&connection, &of.environment).await.map_err(failed)?;
    let attempt = async || {
        let image = empty_image(&connection).await?;
        run(&connection, container(of, belongings, user, (&shim, image))).await
    };
    let ended = match attempt().await {
        // Another server was done at that moment.
        Err(problem) if problem.is_missing() => attempt().await,
        ended => ended,
    };
    let name = format!("{}:{}", EMPTY.0, EMPTY.1);
    let removed = connection.client.remove_image(&name, None::<RemoveImageOptions>, None);
    if let Err(problem) = call(CALL_DEADLINE, removed).await {
        tracing::debug!("image {name} stays: {problem}");
    }
    ended.map_err(failed)
}

/// Removes what a server that was killed has left between making a container and starting it.
async fn remove_left(connection: &Connection, of: &EnvironmentId) -> Result<(), Problem> {
    let filters = HashMap::from([("label", vec![format!("{LABEL}={of}")])]);
    let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
    let left = call(CALL_DEADLINE, connection.client.list_containers(Some(options))).await?;
    for id in left.into_iter().filter_map(|container| container.id) {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let removed = connection.client.remove_container(&id, Some(options));
        match call(CALL_DEADLINE, removed).await {
            Err(problem) if !problem.is_missing() && !problem.is_conflict() => return Err(problem),
            _ => {}
        }
    }
    Ok(())
}

/// The id of an image without files.
async fn empty_image(connection: &Connection) -> Result<String, Problem> {
    let (repository, tag) = EMPTY;
    let name = format!("{repository}:{tag}");
    match image::inspect(&connection.client, &name).await {
        Ok(found) => return Ok(found.id),
        Err(problem) if problem.is_missing() => {}
        Err(problem) => return Err(problem),
    }
    let options = CreateImageOptionsBuilder::new()
        .from_src("-")
        .repo(repository)
        .tag(tag)
        .changes(vec![format!("LABEL {IMAGE_LABEL}=empty")])
        .build();
    let body = body_full(NO_FILES.to_vec().into());
    let mut reports =
        std::pin::pin!(connection.client.create_image(Some(options), Some(body), None));
    let taking = async {
        while let Some(report) = reports.next().await {
            report?;
        }
        Ok(())
    };
    call(CALL_DEADLINE, taking).await?;
    Ok(image::inspect(&connection.client, &name).await?.id)
}

fn container(
    of: &Belongings,
    belongings: &[Belonging],
    user: BoxUser,
    (shim, image): (&Path, String),
) -> ContainerCreateBody {
    let bind = |source: &Path, target: PathBuf, read_only| Bind {
        source: source.into(),
        target,
        read_only,
        mapped_from: None,
    };
    let mut binds = vec![bind(shim, SHIM.into(), true)];
    let mut places = Vec::new();
    for (number, Belonging { path, place }) in belongings.iter().enumerate() {
        let inside = format!("{PLACES}/{number}");
        binds.push(bind(path, inside.clone().into(), false));
        places.push(Place { path: inside, ..place.clone() });
    }
    let words = hand_back_words(user.uid, user.gid, &places);
    let command = [SHIM, TOOL].into_iter().map(str::to_owned).chain(words);
    ContainerCreateBody {
        image: Some(image),
        user: Some("0:0".to_owned()),
        entrypoint: Some(command.collect()),
        cmd: Some(Vec::new()),
        working_dir: Some("/".to_owned()),
        labels: Some(HashMap::from([(LABEL.to_owned(), of.environment.to_string())])),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(HostConfig {
            mounts: Some(binds.iter().map(plan::mount).collect()),
            network_mode: Some("none".to_owned()),
            cap_drop: Some(vec!["ALL".to_owned()]),
            cap_add: Some(CAPABILITIES.map(str::to_owned).to_vec()),
            security_opt: Some(vec!["no-new-privileges".to_owned()]),
            privileged: Some(false),
            readonly_rootfs: Some(true),
            pids_limit: Some(PROCESSES),
            // It goes by itself, whatever becomes of this server.
            auto_remove: Some(true),
            log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::NO),
                maximum_retry_count: None,
            }),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    }
}

/// Runs a container that removes itself to its end. What came of it is seen by who looks.
async fn run(connection: &Arc<Connection>, body: ContainerCreateBody) -> Result<(), Problem> {
    let made = connection.client.create_container(None::<CreateContainerOptions>, body);
    let id = call(CALL_DEADLINE, made).await?.id;
    let started = connection.client.start_container(&id, None::<StartContainerOptions>);
    if let Err(problem) = call(CALL_DEADLINE, started).await {
        let options = RemoveContainerOptionsBuilder::new().force(true).build();
        let removed = connection.client.remove_container(&id, Some(options));
        let _ = call(CALL_DEADLINE, removed).await;
        return Err(problem);
    }
    let options = WaitContainerOptionsBuilder::new().condition("removed").build();
    let mut waited = std::pin::pin!(connection.patient.wait_container(&id, Some(options)));
    // However it ended, and gone by now or not: the files tell what came of it.
    if tokio::time::timeout(DEADLINE, waited.next()).await.is_err() {
        let killed = connection.client.kill_container(&id, None::<KillContainerOptions>);
        let _ = call(CALL_DEADLINE, killed).await;
        return Err(Problem::Deadline(DEADLINE));
    }
    Ok(())
}
