//! What Podman does only in words of its own: changing the limits of a box that runs. It keeps them
//! for as long as the box runs and no longer, so that they are given anew at each start.

use bollard::models::{HostConfig, ResourcesUlimits};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::connect::{Connection, Dialect};
use super::problem::{Problem, brief};
use super::{CALL_DEADLINE, plan, transport};
use crate::model::policy::Limits;

/// How many processes the kernel has numbers for (`proc(5)`), and what every kernel has.
const PROCESS_NUMBERS: &str = "/proc/sys/kernel/pid_max";
const LEAST_NUMBERS: u64 = 32_768;
/// The first version that can.
const SINCE: (u64, u64) = (4, 3);
/// The period in which processor time is counted, in microseconds; that of Docker.
const PERIOD: i64 = 100_000;

/// Whether an engine of this kind and version changes limits at all.
pub(super) fn changes_limits(dialect: Dialect, version: Option<&str>) -> bool {
    let mut numbers =
        version.unwrap_or_default().split('.').map_while(|part| part.parse::<u64>().ok());
    let found = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    dialect == Dialect::Docker || found >= SINCE
}

/// Says beside the bound of open files how many processes a user may have: as soon as one bound is
/// named, Podman takes a number of its own for the other, which a machine may refuse.
pub(super) fn name_both_bounds(host: &mut HostConfig) {
    if let Some(bounds) = &mut host.ulimits {
        // No user has more processes than the machine has numbers for, and Podman bounds itself so.
        let numbers = std::fs::read_to_string(PROCESS_NUMBERS).unwrap_or_default();
        let numbers = numbers.trim().parse().unwrap_or(LEAST_NUMBERS);
        let own = getrlimit(Resource::Nproc).maximum.unwrap_or(numbers);
        let most = i64::try_from(own.min(numbers)).unwrap_or(i64::MAX);
        let name = Some("nproc".to_owned());
        bounds.push(ResourcesUlimits { name, soft: Some(most), hard: Some(most) });
    }
}

/// Changes the limits of a container that runs; what is `None` stays as it is.
pub(super) async fn update(
    connection: &Connection,
    id: &str,
    limits: &Limits,
) -> Result<(), Problem> {
    let path = format!("/v4.0.0/libpod/containers/{id}/update");
    let body = resources(limits).to_string();
    let posting = transport::post(&connection.candidate.socket, &path, body);
    let posted = tokio::time::timeout(CALL_DEADLINE, posting).await;
    let (status, answer) = posted.map_err(|_| Problem::Deadline(CALL_DEADLINE))??;
    if (200..300).contains(&status) {
        return Ok(());
    }
    let said: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let message = brief(said["message"].as_str().unwrap_or_default());
    Err(Problem::Answer { status, message })
}

/// Limits as the runtime specification has them (opencontainers/runtime-spec, `linux.resources`).
fn resources(limits: &Limits) -> Value {
    let bounds = plan::bounds(limits);
    let mut resources = json!({});
    if let Some(memory) = bounds.memory {
        resources["memory"] = json!({"limit": memory, "swap": memory});
    }
    if let Some(nano) = bounds.nano_cpus {
        resources["cpu"] = json!({"quota": nano / 10_000, "period": PERIOD});
    }
    if let Some(processes) = limits.processes {
        resources["pids"] = json!({"limit": processes});
    }
    resources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_for_is_changed() {
        assert_eq!(resources(&Limits::default()), json!({}));
        let limits = Limits {
            cpu_millis: Some(1500),
            memory: Some(1 << 30),
            processes: Some(99),
            files: None,
        };
        let all = json!({
            "memory": {"limit": 1 << 30, "swap": 1 << 30},
            "cpu": {"quota": 150_000, "period": 100_000},
            "pids": {"limit": 99},
        });
        assert_eq!(resources(&limits), all);
    }

    #[test]
    fn what_cannot_change_limits_is_known_by_its_version() {
        assert!(changes_limits(Dialect::Docker, None));
        for (version, can) in [("4.3.1", true), ("5.0.0-rc1", true), ("4.2.0", false), ("x", false)]
        {
            assert_eq!(changes_limits(Dialect::Podman, Some(version)), can, "{version}");
        }
    }
}
