//! What an engine can do here.

use std::path::Path;
use std::sync::Arc;

use bollard::models::{SystemInfo, SystemVersion};

use super::connect::{Candidate, Connection, Dialect};
use super::mapped::BoxUser;
use super::problem::{brief, call};
use super::{CALL_DEADLINE, podman};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{Capabilities, EngineKind, EngineReport, LimitSupport};

/// Refuses engines whose containers cannot own their files as the user does.
pub(super) fn suitable(info: &SystemInfo) -> Result<(), Failure> {
    let refuse = |what: &str| {
        Err(Failure::new(FailureKind::Unavailable, format!("{what} is not supported yet"))
            .hint("use --engine native, or an engine run by root without user remapping"))
    };
    let has = |name: &str| {
        let options = info.security_options.iter().flatten();
        options
            .into_iter()
            .any(|option| option.split(',').any(|part| part == format!("name={name}")))
    };
    if info.os_type.as_deref().is_some_and(|system| system != "linux") {
        return refuse("an engine for other containers than Linux ones");
    }
    if has("rootless") {
        return refuse("a rootless engine");
    }
    if has("userns") {
        return refuse("an engine that remaps users (userns-remap)");
    }
    Ok(())
}

/// Asks the engine what it is.
pub(super) async fn probe(
    found: Result<(Candidate, Arc<Connection>), Failure>,
    home: &Path,
) -> EngineReport {
    let asked = async {
        let (candidate, connection) = found?;
        let version = call(CALL_DEADLINE, connection.client.version()).await;
        let version = version.map_err(|problem| problem.during("asking for the version"))?;
        let info = call(CALL_DEADLINE, connection.client.info()).await;
        let info = info.map_err(|problem| problem.during("asking about the engine"))?;
        suitable(&info)?;
        Ok::<_, Failure>((candidate, connection, version, info))
    };
    match asked.await {
        Err(failure) => EngineReport {
            engine: EngineKind::Docker,
            usable: false,
            summary: failure.message,
            hint: failure.hint,
            details: Vec::new(),
            capabilities: Capabilities::default(),
        },
        Ok((candidate, connection, version, info)) => {
            let dialect = Dialect::of(&version);
            let said = |text: Option<String>| brief(&text.unwrap_or_else(|| "unknown".to_owned()));
            let mut details = details(&info, home);
            let place = format!("{} ({})", candidate.socket.display(), candidate.origin);
            details.insert(0, ("endpoint".to_owned(), place));
            details.extend(parts(&version));
            let told = match dialect {
                Dialect::Docker => "told by the engine",
                Dialect::Podman => "not told by the engine; read from the kernel's count",
            };
            details.push(("want of memory".to_owned(), told.to_owned()));
            EngineReport {
                engine: EngineKind::Docker,
                usable: true,
                capabilities: capabilities(&info, dialect, version.version.as_deref()),
                summary: format!(
                    "version {}, API {}",
                    said(version.version),
                    connection.client.client_version()
                ),
                hint: None,
                details,
            }
        }
    }
}

fn capabilities(info: &SystemInfo, dialect: Dialect, version: Option<&str>) -> Capabilities {
    let limited = info.memory_limit != Some(false) && info.pids_limit != Some(false);
    Capabilities {
        limits: if limited { LimitSupport::Cgroup } else { LimitSupport::None },
        pause: true,
        update_limits: podman::changes_limits(dialect, version),
        fork: true,
        save: true,
        images: true,
        build: true,
        bridge: true,
        runtimes: runtimes(info),
    }
}

fn runtimes(info: &SystemInfo) -> Vec<String> {
    let mut names: Vec<String> =
        info.runtimes.iter().flatten().map(|(name, _)| brief(name)).collect();
    names.sort();
    names
}

/// Refuses a runtime that the engine does not have, and names those it has.
pub(super) async fn require_runtime(
    connection: &Connection,
    runtime: Option<&str>,
) -> Result<(), Failure> {
    let Some(runtime) = runtime else { return Ok(()) };
    let has =
        |info: &SystemInfo| info.runtimes.as_ref().is_some_and(|all| all.contains_key(runtime));
    if has(&connection.info) {
        return Ok(());
    }
    // One that was installed since the engine was connected to counts too.
    let info = call(CALL_DEADLINE, connection.client.info()).await;
    let info = info.map_err(|problem| problem.during("asking about the engine"))?;
    if has(&info) {
        return Ok(());
    }
    let message =
        format!("the engine has no runtime {runtime:?}; it has {}", runtimes(&info).join(", "));
    Err(Failure::new(FailureKind::Refused, message)
        .hint("install it and name it under runtimes in the engine's daemon.json"))
}

/// Versions of the engine's parts, by the names that the doctor knows.
fn parts(version: &SystemVersion) -> Vec<(String, String)> {
    let parts = version.components.iter().flatten();
    parts
        .map(|part| (part.name.to_lowercase(), brief(&part.version)))
        .filter(|(name, _)| ["engine", "containerd", "runc"].contains(&name.as_str()))
        .map(|(name, version)| (format!("{name} version"), version))
        .collect()
}

/// Who makes the engine's control groups, and in which hierarchy.
fn control_groups(info: &SystemInfo) -> String {
    let driver = info.cgroup_driver.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    let version = info.cgroup_version.map_or_else(|| "unknown".to_owned(), |it| it.to_string());
    format!("made by {}, version {}", brief(&driver), brief(&version))
}

fn details(info: &SystemInfo, home: &Path) -> Vec<(String, String)> {
    let said = |text: &Option<String>| brief(text.as_deref().unwrap_or("unknown"));
    let live_restore = if info.live_restore_enabled == Some(true) {
        "on: boxes live through a restart of the engine"
    } else {
        "off: a restart of the engine stops every box; agentdeck starts them again"
    };
    let security: Vec<String> = info.security_options.iter().flatten().map(|o| brief(o)).collect();
    let process_limit = if info.pids_limit == Some(true) { "yes" } else { "no" };
    let agent = BoxUser::here();
    let runs_as = if agent.mapped {
        format!("{} in the box; its files are stored as root's in {}", agent.uid, home.display())
    } else {
        format!("{}, as you", agent.uid)
    };
    [
        ("storage driver", said(&info.driver)),
        ("root directory", said(&info.docker_root_dir)),
        ("live restore", live_restore.to_owned()),
        ("runtimes", runtimes(info).join(", ")),
        ("default runtime", said(&info.default_runtime)),
        ("security options", security.join(" ")),
        ("control groups", control_groups(info)),
        ("rootless", "no".to_owned()),
        ("process limit", process_limit.to_owned()),
        ("agent's user", runs_as),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_that_change_users_are_refused_by_name() {
        let with = |options: &[&str]| SystemInfo {
            security_options: Some(options.iter().map(|&option| option.to_owned()).collect()),
            ..SystemInfo::default()
        };
        assert!(suitable(&with(&["name=seccomp,profile=default"])).is_ok());
        for (option, word) in [("name=rootless", "rootless"), ("name=userns", "remaps users")] {
            let failure =
                suitable(&with(&["name=seccomp,profile=default", option])).expect_err("refused");
            assert!(failure.message.contains(word), "{failure:?}");
        }
    }
}
