//! Tells a box's relay which names and ports there are, as long as it listens, and hears from it
//! which names it did not answer.

use std::io;
use std::time::Duration;

use tokio::io::{
    AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, split,
};
use tokio::time::sleep;

use crate::model::destination::{Host, RelayRules};

use super::Session;

/// Longest line from a relay, in bytes: a name in quotes.
const MAX_LINE: u64 = 512;

/// Rest after each name: what is denied faster than it can be read need not be counted exactly.
const NAME_PAUSE: Duration = Duration::from_millis(5);

/// Serves one relay until it leaves.
pub(super) async fn serve<S>(stream: S, session: &Session) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (reader, writer) = split(stream);
    tokio::select! {
        result = tell(writer, session) => result,
        result = hear(reader, session) => result,
    }
}

async fn tell<W: AsyncWrite + Unpin>(mut writer: W, session: &Session) -> io::Result<()> {
    let mut policies = session.gate.policies();
    let mut told = None;
    loop {
        let rules = RelayRules::of(&policies.borrow_and_update().clone());
        if told.as_ref() != Some(&rules) {
            let mut line = serde_json::to_vec(&rules)?;
            line.push(b'\n');
            writer.write_all(&line).await?;
            told = Some(rules);
        }
        if policies.changed().await.is_err() {
            return Ok(());
        }
    }
}

async fn hear<R: AsyncRead + Unpin>(mut reader: R, session: &Session) -> io::Result<()> {
    // The byte that told what this connection is.
    reader.read_u8().await?;
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut bounded = (&mut reader).take(MAX_LINE);
        if bounded.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let name: String = serde_json::from_slice(&line)?;
        // Whoever is in the box could say anything here.
        if let Some(Host::Name(name)) = Host::parse(name.as_bytes()) {
            session.gate.refuse_name(&name);
        }
        sleep(NAME_PAUSE).await;
    }
}
