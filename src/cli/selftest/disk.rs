//! Filling the disk: the server keeps a reserve free by pausing those who write.

use std::path::Path;
use std::time::{Duration, Instant};

use super::attack::Attack;
use super::cast::Cast;
use super::running::Side;
use super::verdict::{Control, Needs, Shown};
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};

/// What the bomb writes at most. The reserve is set so that it is reached long before.
const BYTES: u64 = 256 << 20;
/// What may be written until the reserve is reached.
const ROOM: u64 = 16 << 20;
/// Between two mebibytes: the bomb takes eight seconds, in which the server looks several times.
const PACE_MS: u64 = 30;
/// What the control writes, to show that nothing else stops it.
const CONTROL_BYTES: u64 = 32 << 20;
/// How long the boxes may take to be stopped, and to go on.
const DEADLINE: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(100);

const NAME: &str = "disk-fill";

/// A reserve just below what is free now stands for a disk that is almost full.
pub(super) async fn fill(cast: &Cast<'_>) -> Result<(Control, Shown), Failure> {
    let stage = cast.stage;
    let attack =
        |root: &Path, bytes| Attack::Fill { path: root.join(NAME), bytes, pace_ms: PACE_MS };
    let tries = stage.outside_of_boxes(attack(&stage.control(), CONTROL_BYTES)).await?;
    // The file is ours; were it left, the directory's removal would take it.
    let _ = std::fs::remove_file(stage.control().join(NAME));
    let control = Control::of(&tries, Needs::Nothing);
    let config = stage.context.home.join("config.toml");
    let unavailable = |error: std::io::Error| {
        Failure::new(FailureKind::Unavailable, format!("{}: {error}", config.display()))
    };
    let reserve = free(&stage.context.home).map_err(unavailable)?.saturating_sub(ROOM);
    std::fs::write(&config, format!("[limits]\ndisk_reserve = \"{reserve}\"\n"))
        .map_err(unavailable)?;
    let bomb = attack(&stage.context.directory, BYTES);
    let going = stage.start(&cast.bomber, Side::Agent, bomb).await;
    let stopped = until(cast, is_paused).await;
    let written = stage.inspect(&cast.bomber).await.map_or(0, |found| {
        std::fs::symlink_metadata(found.workspace.join(NAME)).map_or(0, |file| file.len())
    });
    std::fs::remove_file(&config).map_err(unavailable)?;
    drop(going);
    let goes_on = until(cast, |environment| environment.state == EnvironmentState::Running).await;
    let clear = Attack::RemoveFiles { paths: vec![stage.context.directory.join(NAME)] };
    if goes_on? {
        stage.inside(&cast.bomber, Side::Agent, clear).await?;
    }
    let broken = if !stopped? {
        Some(format!("{} MiB were written and nothing stopped it", written >> 20))
    } else if written >= BYTES {
        Some("it was stopped too late".to_owned())
    } else {
        None
    };
    Ok((control, Ok(broken.into_iter().collect())))
}

fn is_paused(environment: &Environment) -> bool {
    matches!(environment.state, EnvironmentState::Paused { .. })
}

async fn until(cast: &Cast<'_>, done: impl Fn(&Environment) -> bool) -> Result<bool, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if done(&cast.stage.inspect(&cast.bomber).await?.environment) {
            return Ok(true);
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(false)
}

fn free(directory: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}
