//! What holds a box of this engine: the engine's own word on it, and the kernel's.

use std::path::PathBuf;

use bollard::models::ContainerInspectResponse;

use super::connect::{Connection, Dialect};
use super::plan::{DEFAULT_PROCESSES, SHIM};
use super::{kernel, lifecycle};
use crate::engine::isolation::{Design, own_directory, read as read_box};
use crate::engine::{Asked, BoxRecord};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{Aspect, Enforcement, EngineKind, Isolation, IsolationFact};

/// Files that an engine writes for each container and mounts into it.
const FILLED: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
/// What Podman keeps in the container's own directory besides, one of them in memory.
const FILLED_BY_PODMAN: [&str; 2] = ["/run/.containerenv", "/dev/shm"];

/// Reads back what holds a box.
pub(super) async fn read(
    connection: &Connection,
    record: &BoxRecord,
    asked: &Asked,
) -> Result<Isolation, Failure> {
    let found = lifecycle::find(connection, record).await?.ok_or_else(|| {
        let message = format!("the container of environment {} is gone", record.environment);
        Failure::new(FailureKind::NotFound, message)
    })?;
    if !lifecycle::is_running(&found) || !kernel::is_alive(record) {
        let message = format!("the box of environment {} does not run", record.environment);
        return Err(Failure::new(FailureKind::Unavailable, message).hint("start it first"));
    }
    let design = Design {
        engine: EngineKind::Docker,
        own: own_directory(record),
        filled: filled(&found, connection.dialect),
        shown: vec![PathBuf::from(SHIM)],
        system: Vec::new(),
        laid: Vec::new(),
        root_capabilities: Some(kernel::DEFAULT_CAPABILITIES),
        own_kernel: own_kernel(&found),
        second_layer: None,
        told: told(&found),
    };
    let open = || lifecycle::open_channel(record);
    let mut isolation = read_box(record, open, SHIM, design, &planned(asked)).await?;
    if connection.dialect == Dialect::Podman {
        isolation.facts.iter_mut().for_each(remedy_by_podman);
    }
    Ok(isolation)
}

/// Through the socket that it shares with Docker, Podman gives a box no namespace of old control
/// groups, whatever is asked for; under the newer ones every box has one.
fn remedy_by_podman(fact: &mut IsolationFact) {
    let seen = fact.aspect == Aspect::Processes && fact.evidence.starts_with("the control groups");
    if seen && !fact.holds() {
        let words = "Podman hides them only under control groups version 2; with version 1, use \
                     the Docker Engine or the native engine";
        fact.remedy = Some(words.to_owned());
    }
}

/// What was asked for, with what this engine's boxes are given unasked.
fn planned(asked: &Asked) -> Asked {
    let mut asked = asked.clone();
    asked.limits.processes.get_or_insert(DEFAULT_PROCESSES);
    asked
}

/// The container's runtime, unless it is one that runs boxes on this machine's kernel.
pub(super) fn own_kernel(found: &ContainerInspectResponse) -> Option<String> {
    const SHARED: [&str; 3] = ["runc", "crun", "youki"];
    let runtime = found.host_config.as_ref()?.runtime.clone()?;
    let shared = runtime.is_empty()
        || SHARED.iter().any(|name| runtime.split(['.', '/']).any(|part| part == *name));
    (!shared).then_some(runtime)
}

/// Places that the engine itself fills: its own files, and volumes that the image declares.
fn filled(found: &ContainerInspectResponse, dialect: Dialect) -> Vec<PathBuf> {
    let volumes = found.mounts.iter().flatten();
    let volumes = volumes.filter(|mount| mount.typ.as_deref() == Some("volume"));
    let volumes = volumes.filter_map(|mount| mount.destination.as_ref().map(PathBuf::from));
    let more = (dialect == Dialect::Podman).then_some(FILLED_BY_PODMAN);
    FILLED.into_iter().chain(more.into_iter().flatten()).map(PathBuf::from).chain(volumes).collect()
}

/// What the engine says that no file of the kernel does.
fn told(found: &ContainerInspectResponse) -> Vec<IsolationFact> {
    let host = found.host_config.clone().unwrap_or_default();
    let devices = host.devices.unwrap_or_default().len();
    let privileged = host.privileged == Some(true);
    let evidence = format!("docker inspect: Privileged {privileged}, {devices} devices");
    let enforcement =
        if privileged || devices > 0 { Enforcement::Off } else { Enforcement::Enforced };
    let fact = IsolationFact::new(Aspect::Privileges, "not privileged", enforcement, evidence);
    vec![if fact.holds() { fact } else { fact.remedy("discard it and make it again") }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use bollard::models::HostConfig;

    #[test]
    fn a_runtime_with_a_kernel_of_its_own_is_told_from_the_usual_ones() {
        let of = |runtime: &str| {
            let host = HostConfig { runtime: Some(runtime.to_owned()), ..HostConfig::default() };
            let found = ContainerInspectResponse { host_config: Some(host), ..Default::default() };
            own_kernel(&found)
        };
        for shared in ["", "runc", "crun", "io.containerd.runc.v2", "/usr/bin/crun"] {
            assert_eq!(of(shared), None, "{shared}");
        }
        assert_eq!(of("runsc"), Some("runsc".to_owned()));
        assert_eq!(of("io.containerd.kata.v2"), Some("io.containerd.kata.v2".to_owned()));
    }
}
