//! Starts a server that outlives its client.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use super::{Client, Events};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::HOME_TAKEN;

/// A log longer than this is put aside when a server is started; the one before goes.
const MAX_LOG: u64 = 8 << 20;
/// How long a new server may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(15);
/// Between two looks whether it listens: a fresh server needs about ten milliseconds.
const LOOK: Duration = Duration::from_millis(5);
/// Before a home that another server had is tried again: one that ends needs about as long.
const AGAIN: Duration = Duration::from_millis(100);

pub(super) async fn connect_or_start(home: &Path) -> Result<(Client, Events), Failure> {
    if let Some(connected) = attempt(home).await? {
        return Ok(connected);
    }
    let begun = Instant::now();
    let mut server = start(home)?;
    loop {
        if let Some(connected) = attempt(home).await? {
            return Ok(connected);
        }
        let ended = server.try_wait().ok().flatten();
        match ended.map(|status| status.code()) {
            Some(code) if code != Some(HOME_TAKEN.into()) => return Err(not_started(home)),
            _ if begun.elapsed() > START_DEADLINE => return Err(not_started(home)),
            // Another server has the home: it is about to listen, or about to end.
            Some(_) => {
                tokio::time::sleep(AGAIN).await;
                server = start(home)?;
            }
            None => tokio::time::sleep(LOOK).await,
        }
    }
}

/// Connects to whichever server listens; `None` when none does, or it has just ended.
async fn attempt(home: &Path) -> Result<Option<(Client, Events)>, Failure> {
    let stream = match super::open(home) {
        Ok(stream) => stream,
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let message = format!("the server in {} is not yours: {error}", home.display());
            return Err(Failure::new(FailureKind::Refused, message)
                .hint("set AGENTDECK_HOME to a directory of your own"));
        }
        Err(_) => return Ok(None),
    };
    match Client::from_stream(stream).await {
        Err(failure) if failure == super::lost() => Ok(None),
        other => other.map(Some),
    }
}

fn not_started(home: &Path) -> Failure {
    let log = home.join("server.log");
    let message = format!("the server did not start; {} says why", log.display());
    Failure::new(FailureKind::Unavailable, message).hint(last_line(&log))
}

/// Starts `agentdeck server run` in a session of its own, its words going into the home's log.
fn start(home: &Path) -> Result<std::process::Child, Failure> {
    let path = home.join("server.log");
    put_aside(&path);
    let spawn = || {
        let log = File::options().create(true).append(true).mode(0o600).open(&path)?;
        let mut command = Command::new("/proc/self/exe");
        command
            .args(["server", "run"])
            .env(crate::proto::HOME_VARIABLE, home)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        // SAFETY: setsid is async-signal-safe and touches nothing of the parent.
        unsafe {
            command.pre_exec(|| {
                rustix::process::setsid()?;
                Ok(())
            });
        }
        command.spawn()
    };
    spawn().map_err(|error: std::io::Error| {
        let message = format!("the server could not be started in {}: {error}", home.display());
        Failure::new(FailureKind::Unavailable, message)
    })
}

/// Keeps a log from growing for ever. That it cannot be put aside is no reason not to start.
fn put_aside(log: &Path) {
    if std::fs::metadata(log).is_ok_and(|log| log.len() > MAX_LOG) {
        let _ = std::fs::rename(log, log.with_extension("log.old"));
    }
}

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("the log is empty").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_log_is_put_aside_and_one_is_kept() {
        let home = tempfile::tempdir().expect("a directory");
        let (log, old) = (home.path().join("server.log"), home.path().join("server.log.old"));
        std::fs::write(&log, "short").expect("written");
        put_aside(&log);
        assert!(log.exists() && !old.exists());
        for _ in 0..2 {
            File::create(&log).and_then(|log| log.set_len(MAX_LOG + 1)).expect("grown");
            put_aside(&log);
            assert!(!log.exists() && old.exists());
        }
    }
}
