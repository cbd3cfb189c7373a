//! What the engine says a container is, compared with what was asked for.
//!
//! An engine may drop what it does not support, and a daemon's configuration may add to what is
//! asked; a container that is not what the plan says is never started.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bollard::models::{
    ContainerInspectResponse, HostConfig, HostConfigCgroupnsModeEnum, MountPoint, ResourcesUlimits,
    RestartPolicyNameEnum,
};

use super::connect::Dialect;
use super::mapped::BoxUser;
use super::plan::{self, CAPABILITIES, DECK_LABEL, ENVIRONMENT_LABEL, Image};
use crate::engine::BoxPlan;
use crate::model::id::EnvironmentId;

/// Whether the container carries the label of the environment: only then is it ours.
pub(super) fn belongs_to(found: &ContainerInspectResponse, environment: &EnvironmentId) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    labels.and_then(|labels| labels.get(ENVIRONMENT_LABEL)).map(String::as_str)
        == Some(environment.as_str())
}

/// Whether it was also made by this deck.
pub(super) fn is_of(
    found: &ContainerInspectResponse,
    deck: &str,
    environment: &EnvironmentId,
) -> bool {
    let labels = found.config.as_ref().and_then(|config| config.labels.as_ref());
    let of_deck = labels.and_then(|labels| labels.get(DECK_LABEL)).is_some_and(|own| own == deck);
    of_deck && belongs_to(found, environment)
}

/// The shim's binary that a container was made with. It keeps it over upgrades, because mounts are
/// for a container's life; only one that the deck has placed itself is taken for one.
pub(super) fn shim_of(found: &ContainerInspectResponse, plan: &BoxPlan) -> PathBuf {
    let placed = |source: &PathBuf| source.parent() == plan.shim.parent() && source.is_file();
    shims(found).filter(placed).last().unwrap_or_else(|| plan.shim.clone())
}

/// What a container shows at the shim's place.
pub(super) fn shims(found: &ContainerInspectResponse) -> impl Iterator<Item = PathBuf> {
    let mounts = found.mounts.iter().flatten();
    let of_shim = mounts.filter(|mount| mount.destination.as_deref() == Some(plan::SHIM));
    of_shim.filter_map(|mount| mount.source.as_ref().map(PathBuf::from))
}

/// Everything in which a container is not what the plan says; empty when it is.
pub(super) fn differences(
    found: &ContainerInspectResponse,
    plan: &BoxPlan,
    image: &Image,
    user: BoxUser,
    dialect: Dialect,
) -> Vec<String> {
    let mut list = Differences(Vec::new());
    let wanted = plan::container(plan, image, user);
    let config = found.config.clone().unwrap_or_default();
    list.same("image", &bare_digest(found.image.as_deref()), &bare_digest(Some(&image.id)));
    list.same("user", &config.user, &wanted.user);
    list.same("entry point", &config.entrypoint, &wanted.entrypoint);
    list.require("the environment's label", belongs_to(found, &plan.environment));
    let wanted = wanted.host_config.unwrap_or_default();
    match &found.host_config {
        None => list.0.push("the engine says nothing about the container's rights".to_owned()),
        Some(host) => {
            rights(&mut list, host, dialect);
            places(&mut list, host, &wanted);
            spaces(&mut list, host, plan, user, dialect);
            limits(&mut list, host, &wanted, plan);
        }
    }
    mounts(&mut list, found.mounts.as_deref().unwrap_or_default(), plan, user);
    list.0
}

/// Collects what differs.
struct Differences(Vec<String>);

impl Differences {
    fn same<T: PartialEq + std::fmt::Debug>(&mut self, name: &str, found: &T, wanted: &T) {
        if found != wanted {
            self.0.push(format!("{name} is {found:?} instead of {wanted:?}"));
        }
    }

    fn require(&mut self, name: &str, holds: bool) {
        if !holds {
            self.0.push(format!("{name} does not hold"));
        }
    }
}

fn bare_digest(id: Option<&str>) -> String {
    id.unwrap_or_default().trim_start_matches("sha256:").to_owned()
}

fn capability_names(list: Option<&Vec<String>>) -> BTreeSet<String> {
    let names = list.into_iter().flatten();
    names.map(|name| name.to_uppercase().trim_start_matches("CAP_").to_owned()).collect()
}

fn is_empty<T>(list: Option<&Vec<T>>) -> bool {
    list.is_none_or(Vec::is_empty)
}

fn rights(list: &mut Differences, host: &HostConfig, dialect: Dialect) {
    list.require("not privileged", host.privileged != Some(true));
    let wanted = CAPABILITIES.iter().map(|&name| name.to_owned()).collect();
    let added = capability_names(host.cap_add.as_ref());
    match dialect {
        Dialect::Docker => {
            list.same("capabilities added", &added, &wanted);
            let dropped = capability_names(host.cap_drop.as_ref());
            list.same("capabilities dropped", &dropped, &BTreeSet::from(["ALL".to_owned()]));
            list.require("masked paths of /proc", !is_empty(host.masked_paths.as_ref()));
            list.require("read-only paths of /proc", !is_empty(host.readonly_paths.as_ref()));
        }
        // What it has in the end is read from the kernel when it runs.
        Dialect::Podman => list.require("no further capability", added.is_subset(&wanted)),
    }
    let options = host.security_opt.clone().unwrap_or_default();
    let strict = options.iter().any(|option| option.starts_with("no-new-privileges"))
        && options.len() == 1
        && !options[0].ends_with("false");
    list.require("no new privileges, and no other security option", strict);
    list.require("no device", is_empty(host.devices.as_ref()));
    list.require("no device rule", is_empty(host.device_cgroup_rules.as_ref()));
    list.require("no device request", is_empty(host.device_requests.as_ref()));
    list.require("no further group", is_empty(host.group_add.as_ref()));
    list.require("no other control group", host.cgroup_parent.as_deref().unwrap_or("").is_empty());
    list.require("an end when memory is used up", host.oom_kill_disable != Some(true));
}

fn places(list: &mut Differences, host: &HostConfig, wanted: &HostConfig) {
    list.same("network", &host.network_mode, &wanted.network_mode);
    list.same("name servers", &host.dns.clone().filter(|dns| !dns.is_empty()), &wanted.dns);
    let own = |mode: Option<&String>| mode.is_none_or(|mode| mode.is_empty() || mode == "private");
    list.require("a process table of its own", own(host.pid_mode.as_ref()));
    list.require("a host name of its own", own(host.uts_mode.as_ref()));
    list.require("the engine's own user namespace", own(host.userns_mode.as_ref()));
    list.require(
        "no published port",
        host.port_bindings.as_ref().is_none_or(std::collections::HashMap::is_empty),
    );
    list.require("no port published unasked", host.publish_all_ports != Some(true));
    list.require("no volume of another container", is_empty(host.volumes_from.as_ref()));
    list.require("no other host's name", is_empty(host.extra_hosts.as_ref()));
    list.require("no removal but the deck's", host.auto_remove != Some(true));
    let restart = host.restart_policy.as_ref().and_then(|policy| policy.name);
    let never =
        matches!(restart, None | Some(RestartPolicyNameEnum::NO | RestartPolicyNameEnum::EMPTY));
    list.require("no restart but the deck's", never);
}

/// What the two kinds of engine describe in different words.
fn spaces(
    list: &mut Differences,
    host: &HostConfig,
    plan: &BoxPlan,
    user: BoxUser,
    dialect: Dialect,
) {
    let memory = host.ipc_mode.as_deref();
    let binds = host.binds.as_deref().unwrap_or_default();
    match dialect {
        Dialect::Docker => {
            list.require("shared memory of its own", memory == Some("private"));
            let cgroup = host.cgroupns_mode == Some(HostConfigCgroupnsModeEnum::PRIVATE);
            list.require("a control group namespace of its own", cgroup);
            list.require("no bind besides the plan's", binds.is_empty());
        }
        // The mounts that were planned are told twice; a namespace of control groups is not told,
        // and is read with what else holds the box.
        Dialect::Podman => {
            let own = matches!(memory, Some("private" | "shareable"));
            list.require("shared memory of its own", own);
            let planned: Vec<String> = plan::binds(plan, user)
                .iter()
                .map(|bind| format!("{}:{}:", bind.source.display(), bind.target.display()))
                .collect();
            let known = |bind: &String| planned.iter().any(|known| bind.starts_with(known));
            list.require("no bind besides the plan's", binds.iter().all(known));
        }
    }
}

fn limits(list: &mut Differences, host: &HostConfig, wanted: &HostConfig, plan: &BoxPlan) {
    let set = |value: Option<i64>| value.filter(|value| *value > 0);
    list.same("memory limit", &set(host.memory), &set(wanted.memory));
    list.same("processor limit", &set(host.nano_cpus), &set(wanted.nano_cpus));
    if wanted.runtime.is_some() {
        list.same("runtime", &host.runtime, &wanted.runtime);
    }
    let found = host.ulimits.clone().unwrap_or_default();
    for bound in wanted.ulimits.iter().flatten() {
        let same = |found: &ResourcesUlimits| {
            // `nofile`, or `RLIMIT_NOFILE`.
            let name = found.name.as_deref().unwrap_or_default().to_lowercase();
            bound.name.as_deref() == Some(name.trim_start_matches("rlimit_"))
                && (found.soft, found.hard) == (bound.soft, bound.hard)
        };
        list.require("the limit of open files", found.iter().any(same));
    }
    // Our own default bound is reported as not holding where the kernel has none; a bound that
    // was asked for is not given up.
    if plan.limits.processes.is_some() || set(host.pids_limit).is_some() {
        list.same("process limit", &set(host.pids_limit), &set(wanted.pids_limit));
    }
}

fn mounts(list: &mut Differences, found: &[MountPoint], plan: &BoxPlan, user: BoxUser) {
    // A volume that the image declares is empty, the box's own, and removed with it.
    let mut rest: Vec<&MountPoint> =
        found.iter().filter(|mount| mount.typ.as_deref() != Some("volume")).collect();
    for bind in plan::binds(plan, user) {
        let (source, target) = (bind.source.to_str(), bind.target.to_str());
        let place = rest.iter().position(|mount| {
            mount.typ.as_deref() == Some("bind")
                && mount.source.as_deref() == source
                && mount.destination.as_deref() == target
                && mount.rw == Some(!bind.read_only)
                && mount.propagation.as_deref() == Some("rprivate")
        });
        match place {
            Some(place) => drop(rest.swap_remove(place)),
            None => list.0.push(format!("{} is not mounted as planned", bind.target.display())),
        }
    }
    for mount in rest {
        let (source, target) = (mount.source.as_deref(), mount.destination.as_deref());
        list.0.push(format!("{source:?} is mounted at {target:?}, which nobody planned"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::docker::plan::tests::{image, plan};
    use bollard::models::{ContainerConfig, DeviceMapping};

    fn user() -> BoxUser {
        BoxUser::of(0, 0)
    }

    /// What an engine that does exactly as it is told says.
    fn honest() -> ContainerInspectResponse {
        let body = plan::container(&plan(), &image(), user());
        let mut host = body.host_config.expect("a host part");
        host.masked_paths = Some(vec!["/proc/kcore".to_owned()]);
        host.readonly_paths = Some(vec!["/proc/sys".to_owned()]);
        let mounts = plan::binds(&plan(), user()).into_iter().map(|bind| MountPoint {
            typ: Some("bind".to_owned()),
            source: bind.source.to_str().map(str::to_owned),
            destination: bind.target.to_str().map(str::to_owned),
            rw: Some(!bind.read_only),
            propagation: Some("rprivate".to_owned()),
            ..MountPoint::default()
        });
        ContainerInspectResponse {
            image: body.image,
            mounts: Some(mounts.collect()),
            host_config: Some(host),
            config: Some(ContainerConfig {
                user: body.user,
                entrypoint: body.entrypoint,
                labels: body.labels,
                ..ContainerConfig::default()
            }),
            ..ContainerInspectResponse::default()
        }
    }

    fn found(change: impl FnOnce(&mut ContainerInspectResponse)) -> Vec<String> {
        let mut response = honest();
        change(&mut response);
        differences(&response, &plan(), &image(), user(), Dialect::Docker)
    }

    fn host(change: impl FnOnce(&mut HostConfig)) -> Vec<String> {
        found(|response| change(response.host_config.as_mut().expect("a host part")))
    }

    #[test]
    fn a_container_as_planned_has_no_difference() {
        assert_eq!(found(|_| {}), Vec::<String>::new());
        let volume = MountPoint { typ: Some("volume".to_owned()), ..MountPoint::default() };
        assert_eq!(
            found(|response| response.mounts.as_mut().expect("mounts").push(volume)),
            Vec::<String>::new(),
            "a volume of the image is its own business"
        );
        assert_eq!(
            host(|host| host.cap_add = host
                .cap_add
                .take()
                .map(|names| { names.iter().map(|name| format!("CAP_{name}")).collect() })),
            Vec::<String>::new(),
            "engines spell capabilities in two ways"
        );
    }

    #[test]
    fn every_widening_of_a_boxs_rights_is_a_difference() {
        let text = |value: &str| Some(value.to_owned());
        let list = |value: &str| Some(vec![value.to_owned()]);
        let widened = [
            host(|host| host.privileged = Some(true)),
            host(|host| host.cap_add.as_mut().expect("a list").push("SYS_ADMIN".to_owned())),
            host(|host| host.cap_drop = None),
            host(|host| host.security_opt = None),
            host(|host| host.security_opt = list("no-new-privileges=false")),
            host(|host| {
                host.security_opt.as_mut().expect("a list").push("seccomp=unconfined".to_owned());
            }),
            host(|host| host.network_mode = text("host")),
            host(|host| host.pid_mode = text("host")),
            host(|host| host.ipc_mode = text("host")),
            host(|host| host.uts_mode = text("host")),
            host(|host| host.userns_mode = text("host")),
            host(|host| host.cgroupns_mode = Some(HostConfigCgroupnsModeEnum::HOST)),
            host(|host| host.devices = Some(vec![DeviceMapping::default()])),
            host(|host| host.device_cgroup_rules = list("a *:* rwm")),
            host(|host| host.binds = list("/:/host")),
            host(|host| host.volumes_from = list("other")),
            host(|host| host.masked_paths = Some(Vec::new())),
            host(|host| host.readonly_paths = None),
            host(|host| host.publish_all_ports = Some(true)),
            host(|host| {
                host.restart_policy = Some(bollard::models::RestartPolicy {
                    name: Some(RestartPolicyNameEnum::ALWAYS),
                    maximum_retry_count: None,
                });
            }),
            host(|host| host.pids_limit = None),
            host(|host| host.oom_kill_disable = Some(true)),
            host(|host| host.cgroup_parent = text("/")),
            host(|host| host.auto_remove = Some(true)),
            host(|host| host.extra_hosts = list("sibling:10.0.0.1")),
            host(|host| host.memory = None),
            found(|response| response.host_config = None),
            found(|response| response.image = text("sha256:2")),
            found(|response| response.mounts.as_mut().expect("mounts")[4].rw = Some(true)),
            found(|response| drop(response.mounts.as_mut().expect("mounts").pop())),
            found(|response| {
                response.mounts.as_mut().expect("mounts").push(MountPoint {
                    typ: text("bind"),
                    source: text("/var/run/docker.sock"),
                    destination: text("/var/run/docker.sock"),
                    ..MountPoint::default()
                });
            }),
            found(|response| response.config = None),
        ];
        for (index, differences) in widened.iter().enumerate() {
            assert!(!differences.is_empty(), "change {index} went unnoticed");
        }
    }

    #[test]
    fn podman_is_understood_and_no_more_is_let_through() {
        let described = |change: &dyn Fn(&mut HostConfig)| {
            let mut response = honest();
            let host = response.host_config.as_mut().expect("a host part");
            (host.cap_add, host.cap_drop) = (Some(Vec::new()), Some(Vec::new()));
            (host.masked_paths, host.readonly_paths) = (None, None);
            (host.ipc_mode, host.cgroupns_mode) = (Some("shareable".to_owned()), None);
            let bind = &plan::binds(&plan(), user())[0];
            let told = format!("{}:{}:rprivate", bind.source.display(), bind.target.display());
            host.binds = Some(vec![told]);
            change(host);
            differences(&response, &plan(), &image(), user(), Dialect::Podman)
        };
        assert_eq!(described(&|_| {}), Vec::<String>::new());
        let list = |value: &str| Some(vec![value.to_owned()]);
        assert!(!described(&|host| host.cap_add = list("CAP_SYS_ADMIN")).is_empty());
        assert!(!described(&|host| host.ipc_mode = Some("host".to_owned())).is_empty());
        assert!(!described(&|host| host.binds = list("/:/host:rw")).is_empty());
        assert!(!described(&|host| host.privileged = Some(true)).is_empty());
    }

    #[test]
    fn a_limit_that_was_not_asked_for_may_be_missing() {
        let mut plan = plan();
        plan.limits.processes = None;
        let mut response = honest();
        response.host_config.as_mut().expect("a host part").pids_limit = None;
        assert_eq!(
            differences(&response, &plan, &image(), user(), Dialect::Docker),
            Vec::<String>::new()
        );
    }
}
