//! Finding a server again after the one that was shown went: waits for the next, starts one, or
//! replaces one of an earlier version.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::client::{Client, Events};
use crate::model::failure::{Failure, FailureKind};

/// Before a server that could not be had is tried again; the attempts must not become a load.
const PAUSE: Duration = Duration::from_secs(1);
/// Between two looks for a server that someone else starts.
const LOOK: Duration = Duration::from_millis(250);
/// How long a server that was told to end may take; it finishes git work that is under way.
const END_DEADLINE: Duration = Duration::from_secs(30);

/// A connection that is being made.
pub(super) type Connecting = Pin<Box<dyn Future<Output = Result<(Client, Events), Failure>>>>;

/// Begins at once. A server that was `stopped` is waited for: whoever ended it had a reason.
pub(super) fn begin(home: &Path, stopped: bool) -> Connecting {
    let home = home.to_owned();
    if stopped { Box::pin(wait(home)) } else { Box::pin(start(home)) }
}

/// Tries again after a while.
pub(super) fn again(home: &Path) -> Connecting {
    let home = home.to_owned();
    Box::pin(async move {
        sleep(PAUSE).await;
        start(home).await
    })
}

/// Ends a server of an earlier version, if one runs, and starts this program's.
pub(super) fn restart(home: &Path) -> Connecting {
    let home = home.to_owned();
    Box::pin(async move {
        let begun = Instant::now();
        let mut told = false;
        loop {
            match Client::connect(&home).await {
                Err(failure) if failure.kind == FailureKind::OlderServer => {
                    if !told {
                        Client::terminate_server(&home)?;
                        told = true;
                    } else if begun.elapsed() > END_DEADLINE {
                        return Err(failure);
                    }
                    sleep(LOOK).await;
                }
                Err(_) => return start(home).await,
                connected => return connected,
            }
        }
    })
}

async fn start(home: PathBuf) -> Result<(Client, Events), Failure> {
    Client::connect_or_start(&home).await
}

async fn wait(home: PathBuf) -> Result<(Client, Events), Failure> {
    loop {
        match Client::connect(&home).await {
            Err(failure)
                if !matches!(failure.kind, FailureKind::OlderServer | FailureKind::NewerServer) =>
            {
                sleep(LOOK).await;
            }
            found => return found,
        }
    }
}
