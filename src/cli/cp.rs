//! `agentdeck cp`: files into an environment or out of it, as a tar stream.
//!
//! The side that has the files packs them and the other side unpacks them; what comes out of a box
//! is written below the destination or not at all.

use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io::{self, BufReader, BufWriter, IsTerminal, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use tokio::sync::mpsc;

use super::arguments::Copy;
use super::context::Context;
use crate::client::{Client, Events};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{Event, ExecEvent, ExecStream, Request};
use crate::shim::archive;

/// Bytes of a stream in one message.
const CHUNK: usize = 64 << 10;
/// Chunks between the connection and the disk, in either direction; whoever is faster waits.
const MAX_CHUNKS: usize = 16;
/// Chunks sent before the first of them is answered, so that no round trip is waited for.
const AHEAD: usize = 8;
/// What the other side may say of what went wrong, in bytes.
const MAX_WORDS: usize = 16 << 10;

/// One side of a copy.
#[derive(Debug, PartialEq, Eq)]
enum Side {
    Here(PathBuf),
    Box {
        name: String,
        path: Vec<u8>,
    },
    /// A tar stream on standard input or output.
    Stream,
}

pub(super) async fn run(context: &Context, options: &Copy) -> Result<(), Failure> {
    match (side(&options.source), side(&options.destination)) {
        (Side::Box { name, path }, to @ (Side::Here(_) | Side::Stream)) => {
            if to == Side::Stream && io::stdout().is_terminal() {
                return Err(Failure::new(FailureKind::Invalid, "standard output is a terminal")
                    .hint("send the tar stream to a file or to tar -x"));
            }
            let request = |target| Request::ReadFiles { target, path: path.clone() };
            let (client, events) = context.connect().await?;
            context.ask(&client, &name, request).await?;
            take(events, path, to).await
        }
        (from @ (Side::Here(_) | Side::Stream), Side::Box { name, path }) => {
            let into = from == Side::Stream;
            let request = |target| Request::WriteFiles { target, path: path.clone(), into };
            let (client, events) = context.connect().await?;
            context.ask(&client, &name, request).await?;
            give(client, events, from).await
        }
        _ => Err(Failure::new(
            FailureKind::Invalid,
            "one side, and only one, must be in an environment",
        )
        .hint("write it as NAME:PATH; a path here that has a colon, as ./a:b")),
    }
}

/// A path here may have a colon too, but then it begins with a slash or a dot.
fn side(text: &OsStr) -> Side {
    let bytes = text.as_bytes();
    let here = || Side::Here(PathBuf::from(text));
    if bytes == b"-" {
        return Side::Stream;
    }
    let Some(colon) = bytes.iter().position(|byte| *byte == b':') else { return here() };
    let (name, path) = (&bytes[..colon], &bytes[colon + 1..]);
    let starts_path = bytes.starts_with(b".") || name.contains(&b'/') || name.is_empty();
    match std::str::from_utf8(name) {
        Ok(name) if !starts_path => {
            let path = if path.is_empty() { b"." } else { path };
            Side::Box { name: name.to_owned(), path: path.to_vec() }
        }
        _ => here(),
    }
}

/// Writes what a box sends as the copy of `asked`, a path in it.
async fn take(mut events: Events, asked: Vec<u8>, to: Side) -> Result<(), Failure> {
    let (chunks, received) = mpsc::channel(MAX_CHUNKS);
    let writing = tokio::task::spawn_blocking(move || {
        let mut input = Chunks { chunks: received, current: io::Cursor::default() };
        if let Side::Here(path) = to {
            archive::unpack_outside(BufReader::with_capacity(CHUNK, input), &path, &asked)
        } else {
            io::copy(&mut input, &mut io::stdout())?;
            Ok(archive::Skipped::default())
        }
    });
    let ended = relay(&mut events, Some(chunks)).await;
    let written = writing.await.map_err(|error| Failure::internal(&error.into()))?;
    match (ended, written) {
        // Refused here, the rest was not waited for.
        (Ended::Unread | Ended::Well, Ok(skipped)) if skipped.is_empty() => Ok(()),
        (Ended::Unread | Ended::Well, Ok(skipped)) => Err(told(&skipped.to_string())),
        (Ended::Unread | Ended::Well, Err(error)) => Err(refused(&error)),
        (Ended::Failed(failure), _) => Err(failure),
    }
}

/// Sends files to a box.
async fn give(client: Client, mut events: Events, from: Side) -> Result<(), Failure> {
    let (chunks, to_send) = mpsc::channel(MAX_CHUNKS);
    let packing = tokio::task::spawn_blocking(move || {
        let mut output = BufWriter::with_capacity(CHUNK, ChunkWriter(chunks));
        let skipped = match from {
            Side::Here(path) => archive::pack(&path, &mut output)?,
            _ => io::copy(&mut io::stdin(), &mut output).map(|_| archive::Skipped::default())?,
        };
        output.flush()?;
        anyhow::Ok(skipped)
    });
    // The connection stays until the other side has said how it ended.
    let feeding = tokio::spawn(feed(client.clone(), to_send, packing));
    let ended = relay(&mut events, None).await;
    match ended {
        Ended::Well => {}
        Ended::Unread => unreachable!("nothing is handed on"),
        Ended::Failed(failure) if feeding.is_finished() => {
            // Files that cannot be read here leave the box with half a stream, which says less.
            let own = feeding.await.map_err(|error| Failure::internal(&error.into()))?;
            own?;
            return Err(failure);
        }
        Ended::Failed(failure) => {
            feeding.abort();
            return Err(failure);
        }
    }
    let skipped = feeding.await.map_err(|error| Failure::internal(&error.into()))??;
    if skipped.is_empty() { Ok(()) } else { Err(told(&skipped.to_string())) }
}

type Packing = tokio::task::JoinHandle<anyhow::Result<archive::Skipped>>;

/// Sends chunks in order, and the end only where all was packed.
async fn feed(
    client: Client,
    mut chunks: mpsc::Receiver<Vec<u8>>,
    packing: Packing,
) -> Result<archive::Skipped, Failure> {
    let mut waiting = VecDeque::new();
    while let Some(bytes) = chunks.recv().await {
        waiting.push_back(client.request(Request::SendExecInput { bytes }));
        if waiting.len() > AHEAD
            && let Some(answer) = waiting.pop_front()
            && answer.await.is_err()
        {
            // The other side has ended and says why.
            break;
        }
    }
    drop(chunks);
    let packed = packing.await.map_err(|error| Failure::internal(&error.into()))?;
    // Without its end the stream is refused at the other side, as it should be after a failure.
    let _ = client.request(Request::SendExecInput { bytes: Vec::new() }).await;
    packed.map_err(|error| Failure::new(FailureKind::NotFound, format!("{error:#}")))
}

enum Ended {
    Well,
    /// Nobody takes the output any more.
    Unread,
    Failed(Failure),
}

/// Hands output on until the other side ends.
async fn relay(events: &mut Events, output: Option<mpsc::Sender<Vec<u8>>>) -> Ended {
    let mut words = Vec::new();
    loop {
        match events.next().await {
            Some(Event::Exec(ExecEvent::Output { stream: ExecStream::Stdout, bytes })) => {
                if let Some(output) = &output
                    && output.send(bytes).await.is_err()
                {
                    return Ended::Unread;
                }
            }
            Some(Event::Exec(ExecEvent::Output { bytes, .. })) => {
                let room = MAX_WORDS.saturating_sub(words.len()).min(bytes.len());
                words.extend_from_slice(&bytes[..room]);
            }
            Some(Event::Exec(ExecEvent::Exited { code: 0 })) => return Ended::Well,
            Some(Event::Exec(ExecEvent::Exited { code })) if words.is_empty() => {
                return Ended::Failed(told(&format!("the copy ended in the box with code {code}")));
            }
            Some(Event::Exec(ExecEvent::Exited { .. })) => {
                return Ended::Failed(told(String::from_utf8_lossy(&words).trim_end()));
            }
            Some(Event::Exec(ExecEvent::Failed(failure))) => return Ended::Failed(failure),
            Some(_) => {}
            None => {
                return Ended::Failed(
                    Failure::new(FailureKind::Unavailable, "the server has gone")
                        .hint("the copy ended with it; run it again"),
                );
            }
        }
    }
}

fn told(words: &str) -> Failure {
    Failure::new(FailureKind::Unavailable, words)
}

fn refused(error: &anyhow::Error) -> Failure {
    Failure::new(FailureKind::Refused, format!("{error:#}"))
}

/// Chunks from the connection, for a blocking reader.
struct Chunks {
    chunks: mpsc::Receiver<Vec<u8>>,
    current: io::Cursor<Vec<u8>>,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.current.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            match self.chunks.blocking_recv() {
                Some(chunk) => self.current = io::Cursor::new(chunk),
                None => return Ok(0),
            }
        }
    }
}

/// Chunks for the connection, from a blocking writer.
struct ChunkWriter(mpsc::Sender<Vec<u8>>);

impl Write for ChunkWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = &bytes[..bytes.len().min(CHUNK)];
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0.blocking_send(chunk.to_vec()).map_err(gone)?;
        Ok(chunk.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_and_a_colon_lead_into_a_box() {
        let in_box = |name: &str, path: &str| Side::Box { name: name.into(), path: path.into() };
        let cases = [
            ("fox:/etc/hosts", in_box("fox", "/etc/hosts")),
            ("fox:a:b", in_box("fox", "a:b")),
            ("fox:", in_box("fox", ".")),
            ("./fox:a", Side::Here("./fox:a".into())),
            ("/tmp/fox:a", Side::Here("/tmp/fox:a".into())),
            ("a/b:c", Side::Here("a/b:c".into())),
            ("fox", Side::Here("fox".into())),
            ("-", Side::Stream),
        ];
        for (text, wanted) in cases {
            assert_eq!(side(OsStr::new(text)), wanted, "{text}");
        }
    }
}
