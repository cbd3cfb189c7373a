//! Follows the gateway's rules: which names are answered and which ports are taken. Without a
//! server the last rules hold.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::model::destination::{RELAY_FEED, RelayRules};

use super::eager::Eager;
use super::relay::Relay;

/// The first rest after the gateway was not there; a server that restarts needs as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest while there is no server: what a person allows after one came back is to count soon.
const ABSENT_PAUSE: Duration = Duration::from_secs(3);

/// The longest while there is one: a server that does not know this feed ends it each time.
const LAST_PAUSE: Duration = Duration::from_secs(30);

/// Longest rules, in bytes: thousands of entries.
const MAX_RULES: u64 = 1 << 20;

/// Follows for ever; names that were not answered are told on the way.
pub(super) async fn follow(relay: Relay, mut refused: mpsc::Receiver<String>) {
    let mut pause = FIRST_PAUSE;
    loop {
        let longest = match relay.gateway().await {
            Ok(stream) => {
                let _ = exchange(&relay, stream, &mut refused, &mut pause).await;
                LAST_PAUSE
            }
            Err(_) => ABSENT_PAUSE,
        };
        // Nobody is there to be told.
        while refused.try_recv().is_ok() {}
        sleep(pause).await;
        pause = (2 * pause).min(longest);
    }
}

/// Follows over one connection to its end.
async fn exchange(
    relay: &Relay,
    stream: Eager,
    refused: &mut mpsc::Receiver<String>,
    pause: &mut Duration,
) -> io::Result<()> {
    let (reader, mut writer) = tokio::io::split(stream);
    writer.write_all(&[RELAY_FEED]).await?;
    let hearing = async {
        let mut reader = BufReader::new(reader);
        let mut line = Vec::new();
        loop {
            line.clear();
            let mut bounded = (&mut reader).take(MAX_RULES);
            if bounded.read_until(b'\n', &mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let rules: RelayRules = serde_json::from_slice(&line)?;
            *pause = FIRST_PAUSE;
            relay.set_rules(rules);
        }
    };
    let telling = async {
        while let Some(name) = refused.recv().await {
            let mut line = serde_json::to_vec(&name)?;
            line.push(b'\n');
            writer.write_all(&line).await?;
        }
        Ok(())
    };
    tokio::select! {
        result = hearing => result,
        result = telling => result,
    }
}
