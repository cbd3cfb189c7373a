//! Whether a box ended because its engine did: an engine that is restarted without live-restore
//! takes its boxes along, and nobody is there to be told when no server runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::connect::{Connection, Dialect};
use super::create::blocking;
use super::{kernel, lifecycle};
use crate::engine::BoxRecord;
use crate::model::failure::Failure;

/// An engine that was killed ends what it finds running when it starts, within this time of its
/// own first moment: its container runtime has to be started before.
const STARTS_WITHIN: Duration = Duration::from_mins(1);

/// An engine that is told to end ends its boxes first, and is back within this time: what its
/// upgrade takes. What ended longer before may have been ended by anybody.
const BACK_WITHIN: Duration = Duration::from_mins(1);

/// What a daemon that a service manager listens for writes its process id to.
const PID_FILE: &str = "/run/docker.pid";
const PROGRAM: &str = "dockerd";

/// Whether the engine was started after the box was, and the box ended shortly before that start or
/// by it.
/// What cannot be told is no reason to start anything: the answer is no then.
pub(super) async fn ended_with_engine(
    connection: &Connection,
    record: &BoxRecord,
) -> Result<bool, Failure> {
    if connection.dialect == Dialect::Podman {
        // What answers for it comes and goes, and its containers stay.
        return Ok(false);
    }
    let Some(found) = lifecycle::find(connection, record).await? else { return Ok(false) };
    let state = found.state.clone().unwrap_or_default();
    if lifecycle::is_running(&found) || state.oom_killed == Some(true) {
        return Ok(false);
    }
    let ended = state.finished_at.and_then(|at| at.parse::<jiff::Timestamp>().ok());
    let socket = connection.candidate.socket.clone();
    let started = blocking(move || Ok(start_of(&socket))).await?;
    let (Some(ended), Some(started)) = (ended, started) else { return Ok(false) };
    Ok(record.boot == kernel::boot_id() && is_of_restart(record.init_start, ended, started))
}

/// When a process was started, on both of the machine's clocks.
#[derive(Clone, Copy, Debug)]
struct Start {
    /// Clock ticks since boot, which no change of the clock moves.
    ticks: u64,
    at: jiff::Timestamp,
}

fn is_of_restart(box_ticks: u64, ended: jiff::Timestamp, engine: Start) -> bool {
    let by_then = engine.at.saturating_add(STARTS_WITHIN).is_ok_and(|latest| ended <= latest);
    let not_before = engine.at.saturating_sub(BACK_WITHIN).is_ok_and(|first| ended >= first);
    engine.ticks > box_ticks && not_before && by_then
}

/// When the engine behind a socket was started; `None` where it is no process of this machine.
fn start_of(socket: &Path) -> Option<Start> {
    let directory = socket.parent()?;
    let stream = crate::socket::connect(directory, socket.file_name()?.to_str()?).ok()?;
    let listener = u32::try_from(crate::socket::peer(&stream).ok()?.0).ok()?;
    let pid = match listener {
        0 => return None,
        // A service manager made the socket before it started the engine.
        1 => daemon_of(PathBuf::from(PID_FILE))?,
        engine => engine,
    };
    let ticks = kernel::start_time(pid)?;
    let since_boot =
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64);
    let at = jiff::Timestamp::from_second(boot_time()?).ok()?.saturating_add(since_boot).ok()?;
    Some(Start { ticks, at })
}

fn daemon_of(file: PathBuf) -> Option<u32> {
    let pid: u32 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    (name.trim() == PROGRAM).then_some(pid)
}

/// When the machine was started, in seconds since 1970 (`proc(5)`, stat, `btime`).
fn boot_time() -> Option<i64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_box_ended_with_its_engine_where_a_later_one_found_it_ended_or_ended_it() {
        let at = |second| jiff::Timestamp::from_second(second).expect("a moment");
        let engine = Start { ticks: 500, at: at(10_000) };
        assert!(is_of_restart(400, at(9_970), engine), "it was stopped before the engine was");
        assert!(!is_of_restart(400, at(9_000), engine), "anybody may have ended it, long before");
        assert!(is_of_restart(400, at(10_003), engine), "the new engine found it and ended it");
        assert!(!is_of_restart(400, at(10_600), engine), "it ended by itself, under this engine");
        assert!(!is_of_restart(600, at(10_003), engine), "it is this engine's");
    }

    #[test]
    fn the_start_of_whoever_listens_is_known() {
        let root = tempfile::tempdir().expect("a directory");
        let _listener = crate::socket::bind(root.path(), "engine.sock").expect("bound");
        let start = start_of(&root.path().join("engine.sock")).expect("known");
        assert_eq!(Some(start.ticks), kernel::start_time(std::process::id()));
        let age = jiff::Timestamp::now().duration_since(start.at).as_secs();
        assert!((-2..3600).contains(&age), "{age}");
        assert!(start_of(&root.path().join("missing.sock")).is_none());
    }
}
