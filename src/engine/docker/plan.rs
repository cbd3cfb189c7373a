//! A box's plan as a container's configuration. Pure: nothing here asks or changes anything.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigCgroupnsModeEnum, HostConfigLogConfig,
    Mount, MountBindOptions, MountBindOptionsPropagationEnum, MountType, ResourcesUlimits,
    RestartPolicy, RestartPolicyNameEnum,
};

use super::accounts;
use super::mapped::BoxUser;
use crate::engine::{BoxPlan, RUN_DIRECTORY};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{Limits, NetworkMode};
use crate::shim::config::{self, CA_BUNDLE, ProgramLimits, ShimConfig, box_environment, relay_for};

/// Labels by which our containers are found; nothing else makes a container ours.
pub(super) const DECK_LABEL: &str = "agentdeck.deck";
pub(super) const ENVIRONMENT_LABEL: &str = "agentdeck.environment";

/// Where the shim's binary stands in the box: outside every directory an image is likely to have.
pub const SHIM: &str = "/agentdeck-shim";
/// The shim's configuration, in the run directory.
pub(super) const SHIM_CONFIG: &str = "shim.json";

/// Processes of a box when the plan names no bound: more than any build uses, few enough that a
/// fork bomb does not take the host's process table.
pub(super) const DEFAULT_PROCESSES: u32 = 4096;

/// Docker's default set for a container's root. The shim starts with it, gives it to setup and to
/// `exec --root`, and takes all of it from agents and shells.
pub(super) const CAPABILITIES: [&str; 14] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "NET_RAW",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Programs are looked for here when the image names no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is known of the image a box is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Image {
    /// The digest of its content; a tag may move between looking and creating.
    pub(super) id: String,
    /// Its variables, `NAME=VALUE`.
    pub(super) environment: Vec<String>,
}

/// A directory of the host and where the box has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bind {
    pub(super) source: PathBuf,
    pub(super) target: PathBuf,
    pub(super) read_only: bool,
    /// The directory that `source`, a mount point, shows through an id-mapped mount.
    pub(super) mapped_from: Option<PathBuf>,
}

/// Everything of the host that the box sees.
pub(super) fn binds(plan: &BoxPlan, user: BoxUser) -> Vec<Bind> {
    let of_agent = |source: &Path, name: &str, target: PathBuf| {
        if user.mapped {
            let place = plan.directory.join("layer/mapped").join(name);
            Bind { source: place, target, read_only: false, mapped_from: Some(source.into()) }
        } else {
            Bind { source: source.into(), target, read_only: false, mapped_from: None }
        }
    };
    let ours = |source: &Path, target: &str, read_only| Bind {
        source: source.into(),
        target: target.into(),
        read_only,
        mapped_from: None,
    };
    vec![
        of_agent(&plan.workspace, "workspace", plan.mount.clone()),
        of_agent(&plan.git, "git", plan.mount.join(".git")),
        of_agent(&plan.home, "home", accounts::HOME.into()),
        ours(&plan.run, RUN_DIRECTORY, false),
        ours(&plan.shim, SHIM, true),
        ours(&certificates(plan), CA_BUNDLE, true),
    ]
}

/// The environment's copy of the host's trusted certificates; empty where the host has none.
pub(super) fn certificates(plan: &BoxPlan) -> PathBuf {
    plan.directory.join("layer/ca.pem")
}

/// Refuses a plan that would hide the box's own system, or could not be written down exactly.
pub(super) fn check(plan: &BoxPlan) -> Result<(), Failure> {
    const TAKEN: [&str; 12] = [
        "/",
        "/bin",
        "/dev",
        "/etc",
        "/lib",
        "/lib64",
        "/proc",
        "/run",
        "/sbin",
        "/sys",
        "/usr",
        accounts::HOME,
    ];
    const CLOSED: [&str; 4] = ["/dev", "/proc", "/sys", RUN_DIRECTORY];
    let mount = &plan.mount;
    let plain = mount.is_absolute()
        && mount.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    let refused = !plain
        || mount.to_str().is_none()
        || TAKEN.iter().any(|taken| mount == Path::new(taken))
        || CLOSED.iter().any(|closed| mount.starts_with(closed))
        || mount.starts_with(SHIM);
    if refused {
        let message = format!("a container cannot show the repository at {}", mount.display());
        return Err(Failure::new(FailureKind::Refused, message)
            .hint("move the repository to a directory of its own, as in /home or /srv"));
    }
    Ok(())
}

/// The container for a plan.
pub(super) fn container(plan: &BoxPlan, image: &Image, user: BoxUser) -> ContainerCreateBody {
    let labels = HashMap::from([
        (DECK_LABEL.to_owned(), plan.deck.clone()),
        (ENVIRONMENT_LABEL.to_owned(), plan.environment.to_string()),
    ]);
    ContainerCreateBody {
        image: Some(image.id.clone()),
        hostname: Some(plan.name.to_string()),
        user: Some("0:0".to_owned()),
        entrypoint: Some(vec![
            SHIM.to_owned(),
            "shim".to_owned(),
            format!("{RUN_DIRECTORY}/{SHIM_CONFIG}"),
        ]),
        cmd: Some(Vec::new()),
        working_dir: Some("/".to_owned()),
        labels: Some(labels),
        // An image's own check would run a program of the image as root, again and again.
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..HealthConfig::default()
        }),
        host_config: Some(host_config(plan, user)),
        ..ContainerCreateBody::default()
    }
}

fn host_config(plan: &BoxPlan, user: BoxUser) -> HostConfig {
    let relayed = plan.network.mode != NetworkMode::Bridge;
    let bounds = bounds(&plan.limits);
    let files = plan.limits.files.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    let processes = plan.limits.processes.unwrap_or(DEFAULT_PROCESSES);
    let capabilities = CAPABILITIES.iter().map(|&name| name.to_owned()).collect();
    let low_ports = ("net.ipv4.ip_unprivileged_port_start".to_owned(), "0".to_owned());
    HostConfig {
        mounts: Some(binds(plan, user).iter().map(mount).collect()),
        network_mode: Some(if relayed { "none" } else { "bridge" }.to_owned()),
        // The shim answers names; on a bridge, the engine does.
        dns: relayed.then(|| vec!["127.0.0.1".to_owned()]),
        // A server that an agent starts on port 80 needs no rights for it.
        sysctls: Some(HashMap::from([low_ports])),
        cap_drop: Some(vec!["ALL".to_owned()]),
        cap_add: Some(capabilities),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        privileged: Some(false),
        pids_limit: Some(i64::from(processes)),
        memory: bounds.memory,
        // Equal to `memory`: no swap on top of it.
        memory_swap: bounds.memory,
        nano_cpus: bounds.nano_cpus,
        ulimits: files.map(|count| {
            let name = Some("nofile".to_owned());
            vec![ResourcesUlimits { name, soft: Some(count), hard: Some(count) }]
        }),
        runtime: plan.runtime.clone(),
        // What a session prints goes through the shim; the engine would only double the work.
        log_config: Some(HostConfigLogConfig { typ: Some("none".to_owned()), config: None }),
        // Only the deck starts a box: its mounts must stand first.
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ipc_mode: Some("private".to_owned()),
        cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
        ..HostConfig::default()
    }
}

/// Limits in an engine's units.
pub(super) struct Bounds {
    pub(super) memory: Option<i64>,
    pub(super) nano_cpus: Option<i64>,
}

pub(super) fn bounds(limits: &Limits) -> Bounds {
    Bounds {
        memory: limits.memory.map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        nano_cpus: limits.cpu_millis.map(|millis| i64::from(millis) * 1_000_000),
    }
}

pub(super) fn mount(bind: &Bind) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(bind.source.to_string_lossy().into_owned()),
        target: Some(bind.target.to_string_lossy().into_owned()),
        read_only: Some(bind.read_only),
        bind_options: Some(MountBindOptions {
            propagation: Some(MountBindOptionsPropagationEnum::RPRIVATE),
            // What the user mounted below a directory is not the box's.
            non_recursive: Some(true),
            ..MountBindOptions::default()
        }),
        ..Mount::default()
    }
}

/// What of a box is known only when it starts.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    /// The best shell of the image.
    pub(super) shell: String,
    /// The host has trusted certificates, and the box a copy of them.
    pub(super) certificates: bool,
    /// The users of a box that starts for the first time; afterwards they are its own.
    pub(super) accounts: Option<config::Accounts>,
}

/// What the shim of the box is told.
pub(super) fn shim_config(
    plan: &BoxPlan,
    image: &Image,
    user: BoxUser,
    moment: &Moment,
) -> ShimConfig {
    let fixed = [
        ("HOME", accounts::HOME),
        ("USER", accounts::NAME),
        ("LOGNAME", accounts::NAME),
        ("SHELL", moment.shell.as_str()),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("LANG", "C.UTF-8"),
    ];
    let own = |name: &str| fixed.iter().any(|pair| pair.0 == name);
    let mut environment: Vec<(String, String)> = image
        .environment
        .iter()
        .filter_map(|entry| entry.split_once('='))
        .filter(|(name, _)| !own(name))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let path = environment.iter().position(|(name, _)| name == "PATH");
    let path = path.map_or_else(|| DEFAULT_PATH.to_owned(), |place| environment.remove(place).1);
    // Where agents that install themselves put their programs.
    environment.push(("PATH".to_owned(), format!("{}/.local/bin:{path}", accounts::HOME)));
    environment.extend(box_environment(&plan.network, moment.certificates.then_some(CA_BUNDLE)));
    environment.extend(fixed.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())));
    let relay = relay_for(&plan.network);
    ShimConfig {
        run_directory: RUN_DIRECTORY.to_owned(),
        workspace: plan.mount.to_string_lossy().into_owned(),
        environment,
        agent_user: user.uid,
        agent_group: user.gid,
        drop_privileges: true,
        relay,
        // Processes are counted by the engine, for the container as a whole.
        limits: ProgramLimits { processes: None, files: plan.limits.files },
        accounts: moment.accounts.clone(),
        confinement: None,
        notices: Some(config::number_of(&plan.environment)),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::id::{EnvironmentId, EnvironmentName};
    use crate::model::policy::{IsolationRequest, Limits, NetworkPolicy};
    use crate::model::repository::Identity;

    pub(in crate::engine::docker) fn plan() -> BoxPlan {
        let directory = PathBuf::from("/state/environments/e");
        BoxPlan {
            environment: EnvironmentId::from_random([1; 8]),
            name: EnvironmentName::parse("brave-otter").expect("a name"),
            deck: "0123456789abcdef".to_owned(),
            workspace: directory.join("workspace"),
            git: directory.join("git"),
            home: directory.join("home"),
            run: directory.join("run"),
            directory,
            mount: "/home/me/project".into(),
            shim: "/state/bin/agentdeck-1".into(),
            endpoint: None,
            image: Some("debian:12".into()),
            runtime: None,
            isolation: IsolationRequest::Required,
            network: NetworkPolicy::default(),
            limits: Limits {
                cpu_millis: Some(1500),
                memory: Some(1 << 30),
                processes: Some(99),
                files: None,
            },
            identity: Identity { name: "Me".into(), email: "me@example.org".into() },
            tools: Vec::new(),
        }
    }

    pub(in crate::engine::docker) fn image() -> Image {
        let environment = vec!["PATH=/opt/bin:/bin".to_owned(), "HOME=/elsewhere".to_owned()];
        Image { id: "sha256:1".to_owned(), environment }
    }

    fn moment() -> Moment {
        Moment { shell: "/bin/bash".to_owned(), certificates: true, accounts: None }
    }

    #[test]
    fn an_ordinary_user_s_directories_are_bound_as_they_are() {
        let binds = binds(&plan(), BoxUser::of(501, 20));
        let pairs: Vec<(String, String, bool)> = binds
            .iter()
            .map(|bind| {
                let text = |path: &Path| path.to_string_lossy().into_owned();
                (text(&bind.source), text(&bind.target), bind.read_only)
            })
            .collect();
        let expected = [
            ("/state/environments/e/workspace", "/home/me/project", false),
            ("/state/environments/e/git", "/home/me/project/.git", false),
            ("/state/environments/e/home", "/home/agent", false),
            ("/state/environments/e/run", "/run/agentdeck", false),
            ("/state/bin/agentdeck-1", "/agentdeck-shim", true),
            ("/state/environments/e/layer/ca.pem", "/etc/agentdeck/ca.pem", true),
        ]
        .map(|(source, target, read_only)| (source.to_owned(), target.to_owned(), read_only));
        assert_eq!(pairs, expected);
        assert!(binds.iter().all(|bind| bind.mapped_from.is_none()));
    }

    #[test]
    fn root_s_directories_are_bound_through_mapped_mounts() {
        let plan = plan();
        let mapped: Vec<Bind> = binds(&plan, BoxUser::of(0, 0))
            .into_iter()
            .filter(|bind| bind.mapped_from.is_some())
            .collect();
        let sources: Vec<_> = mapped.iter().filter_map(|bind| bind.mapped_from.clone()).collect();
        assert_eq!(sources, [plan.workspace.clone(), plan.git.clone(), plan.home.clone()]);
        assert!(mapped.iter().all(|bind| bind.source.starts_with(plan.directory.join("layer"))));
    }

    #[test]
    fn only_a_bridge_gives_a_box_a_route_of_its_own() {
        for (mode, network, relayed) in [
            (NetworkMode::Open, "none", true),
            (NetworkMode::None, "none", true),
            (NetworkMode::Bridge, "bridge", false),
        ] {
            let mut plan = plan();
            plan.network.mode = mode;
            let user = BoxUser::of(501, 20);
            let host = container(&plan, &image(), user).host_config.expect("a host part");
            assert_eq!(host.network_mode.as_deref(), Some(network));
            assert_eq!(host.dns.is_some(), network == "none");
            assert_eq!(shim_config(&plan, &image(), user, &moment()).relay.is_some(), relayed);
        }
    }

    #[test]
    fn limits_are_passed_on_in_the_engine_s_units() {
        let body = container(&plan(), &image(), BoxUser::of(501, 20));
        let host = body.host_config.expect("a host part");
        assert_eq!(host.nano_cpus, Some(1_500_000_000));
        assert_eq!((host.memory, host.memory_swap), (Some(1 << 30), Some(1 << 30)));
        assert_eq!(host.pids_limit, Some(99));
    }

    #[test]
    fn the_image_s_variables_reach_programs_and_the_box_s_own_win() {
        let config = shim_config(&plan(), &image(), BoxUser::of(501, 20), &moment());
        let get = |name: &str| {
            let found: Vec<_> = config.environment.iter().filter(|pair| pair.0 == name).collect();
            assert_eq!(found.len(), 1, "{name}");
            found[0].1.clone()
        };
        assert_eq!(get("PATH"), "/home/agent/.local/bin:/opt/bin:/bin");
        assert_eq!(get("HOME"), "/home/agent");
        assert_eq!(get("SHELL"), "/bin/bash");
        assert_eq!(get("SSL_CERT_FILE"), CA_BUNDLE);
        assert_eq!((config.agent_user, config.agent_group), (501, 20));
        assert!(config.drop_privileges);
    }

    #[test]
    fn a_repository_in_the_place_of_the_system_is_refused() {
        for place in ["/", "/etc", "/usr", "/proc/x", "/run/agentdeck/x", "relative", "/a/../etc"] {
            let failure = check(&BoxPlan { mount: place.into(), ..plan() }).expect_err(place);
            assert_eq!(failure.kind, FailureKind::Refused);
        }
        for place in ["/root/project", "/home/agent/project", "/work/a b:c"] {
            assert!(check(&BoxPlan { mount: place.into(), ..plan() }).is_ok(), "{place}");
        }
    }
}
