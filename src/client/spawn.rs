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

/// How long a new server may take until it listens.
const START_DEADLINE: Duration = Duration::from_secs(15);
/// Between two looks whether it listens: a fresh server needs about ten milliseconds.
const LOOK: Duration = Duration::from_millis(5);

pub(super) async fn connect_or_start(home: &Path) -> Result<(Client, Events), Failure> {
    if let Ok(stream) = super::open(home) {
        return Client::from_stream(stream).await;
    }
    let mut server = start(home)?;
    let begun = Instant::now();
    loop {
        // Another client's server may have won the home; whichever listens is ours.
        if let Ok(connected) = Client::connect(home).await {
            return Ok(connected);
        }
        let ended = server.try_wait().ok().flatten().is_some_and(|status| !status.success());
        if begun.elapsed() > START_DEADLINE || (ended && begun.elapsed() > START_DEADLINE / 10) {
            let log = home.join("server.log");
            let message = format!("the server did not start; {} says why", log.display());
            return Err(Failure::new(FailureKind::Unavailable, message).hint(last_line(&log)));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Starts `agentdeck server run` in a session of its own, its words going into the home's log.
fn start(home: &Path) -> Result<std::process::Child, Failure> {
    let path = home.join("server.log");
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

fn last_line(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("the log is empty").to_owned()
}
