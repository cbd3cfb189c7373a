//! One command in an environment, over a connection of its own to the shim; it dies with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::owners;
use super::shared::Shared;
use super::state::Record;
use crate::model::environment::Variable;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{ExecEvent, ExecStream};
use crate::shim::wire::{
    Frame, Program, Role, SessionReport, ShimEvent, ShimRequest, VERSION, read_frame, write_frame,
};

/// How long a shim may take to say hello: it only has to be scheduled.
pub(super) const HELLO_DEADLINE: Duration = Duration::from_secs(5);
/// Chunks under way in either direction; a reader that stalls stalls its own command.
const MAX_CHUNKS: usize = 16;

/// Bytes sent at once.
const CHUNK: usize = 32 << 10;
/// Bytes that a command which is given something may say to it.
const MOST_SAID: usize = 64 << 10;

/// A running command. Dropping it ends the command.
#[derive(Debug)]
pub struct Exec {
    pub events: mpsc::Receiver<ExecEvent>,
    pub input: ExecInput,
}

/// The command's standard input; an empty chunk ends it.
#[derive(Clone, Debug)]
pub struct ExecInput(mpsc::Sender<Vec<u8>>);

impl ExecInput {
    pub async fn send(&self, bytes: Vec<u8>) -> Result<(), Failure> {
        let ended = || Failure::new(FailureKind::Unavailable, "the command has ended");
        self.0.send(bytes).await.map_err(|_| ended())
    }
}

/// Starts a command with the box's variables, the environment's, and `variables`.
pub(super) async fn start(
    shared: &Arc<Shared>,
    record: &Record,
    command: Vec<String>,
    role: Role,
    variables: Vec<Variable>,
) -> Result<Exec, Failure> {
    let mut environment = shared.variables(&record.environment.id);
    environment.extend(variables.into_iter().map(|variable| (variable.name, variable.value)));
    let program = Program { command, environment, directory: None, role };
    begin(shared, record, &ShimRequest::Exec { program }).await
}

/// Begins something that a person asked for: what it changes is theirs, and done when it ends.
pub(super) async fn begin_for_person(
    shared: &Arc<Shared>,
    record: &Record,
    role: Role,
    exec: impl Future<Output = Result<Exec, Failure>>,
) -> Result<Exec, Failure> {
    let Exec { events: inner, input } = exec.await?;
    shared.hands.began(&record.environment.id);
    let (events, received) = mpsc::channel(MAX_CHUNKS);
    tokio::spawn(pass_on(shared.clone(), record.clone(), role, inner, events));
    Ok(Exec { events: received, input })
}

/// Passes on what a person's command says. Its end is told once its files are as they are to be.
async fn pass_on(
    shared: Arc<Shared>,
    record: Record,
    role: Role,
    mut inner: mpsc::Receiver<ExecEvent>,
    events: mpsc::Sender<ExecEvent>,
) {
    let last = loop {
        // A reader that has gone ends the command, which the box sees by its connection.
        let event = tokio::select! {
            event = inner.recv() => event,
            () = events.closed() => None,
        };
        match event {
            Some(event @ ExecEvent::Output { .. }) => {
                if events.send(event).await.is_err() {
                    break None;
                }
            }
            last => break last,
        }
    };
    drop(inner);
    shared.hands.ended(&record.environment.id);
    if role == Role::Root
        && let Err(failure) = owners::hand_back(&shared, &record).await
    {
        let bytes = format!("agentdeck: {failure}\n").into_bytes();
        let _ = events.send(ExecEvent::Output { stream: ExecStream::Stderr, bytes }).await;
    }
    let Some(last) = last else { return };
    if let Some(snapshotter) = shared.snapshotter(&record.environment.id) {
        snapshotter.command_ended();
    }
    // A reader that has gone need not be told.
    let _ = events.send(last).await;
}

/// Asks the shim for something that has input, output and an end, as a command does.
pub(super) async fn begin(
    shared: &Arc<Shared>,
    record: &Record,
    request: &ShimRequest,
) -> Result<Exec, Failure> {
    let mut stream = open(shared, record).await?;
    write_frame(&mut stream, &Frame::control(request)).await.map_err(lost)?;
    let (reader, writer) = stream.into_split();
    let (events, received) = mpsc::channel(MAX_CHUNKS);
    let (input, chunks) = mpsc::channel(MAX_CHUNKS);
    let feeding = tokio::spawn(feed(writer, chunks));
    tokio::spawn(async move {
        relay(reader, events).await;
        feeding.abort();
    });
    Ok(Exec { events: received, input: ExecInput(input) })
}

/// Runs a short command as the agent and returns what it prints, at most `limit` bytes.
pub(super) async fn capture(
    shared: &Arc<Shared>,
    record: &Record,
    command: &[&str],
    limit: usize,
    deadline: Duration,
) -> Result<Vec<u8>, Failure> {
    let command = command.iter().map(ToString::to_string).collect();
    let exec = start(shared, record, command, Role::Agent, Vec::new()).await?;
    collect(exec, limit, deadline).await
}

/// Runs a command as the agent that reads `bytes` to their end, and returns what it prints.
pub(super) async fn give(
    shared: &Arc<Shared>,
    record: &Record,
    command: Vec<String>,
    bytes: &[u8],
    deadline: Duration,
) -> Result<Vec<u8>, Failure> {
    let exec = start(shared, record, command, Role::Agent, Vec::new()).await?;
    let input = exec.input.clone();
    let feeding = async {
        for chunk in bytes.chunks(CHUNK) {
            // A command that has ended says why by its exit code.
            if input.send(chunk.to_vec()).await.is_err() {
                break;
            }
        }
        collect(exec, MOST_SAID, deadline).await
    };
    let late = |_| Failure::new(FailureKind::Timeout, "the box does not take what it is given");
    timeout(deadline, feeding).await.map_err(late)?
}

/// Waits for a command's end and returns what it printed, at most `limit` bytes.
pub(super) async fn collect(
    mut exec: Exec,
    limit: usize,
    deadline: Duration,
) -> Result<Vec<u8>, Failure> {
    let mut output = Vec::new();
    let collecting = async {
        exec.input.send(Vec::new()).await?;
        while let Some(event) = exec.events.recv().await {
            match event {
                ExecEvent::Output { stream: ExecStream::Stdout, bytes } => {
                    let room = limit.saturating_sub(output.len()).min(bytes.len());
                    output.extend_from_slice(&bytes[..room]);
                }
                ExecEvent::Output { .. } => {}
                ExecEvent::Exited { code: 0 } => return Ok(()),
                ExecEvent::Exited { code } => {
                    let message = format!("the command ended with code {code}");
                    return Err(Failure::new(FailureKind::Unavailable, message));
                }
                ExecEvent::Failed(failure) => return Err(failure),
            }
        }
        Err(Failure::new(FailureKind::Unavailable, "the box closed the connection"))
    };
    let late = |_| Failure::new(FailureKind::Timeout, "the command in the box took too long");
    timeout(deadline, collecting).await.map_err(late)??;
    Ok(output)
}

/// Connects to a box's shim and exchanges hellos.
pub(super) async fn open(shared: &Arc<Shared>, record: &Record) -> Result<UnixStream, Failure> {
    Ok(greet(shared, record).await?.0)
}

/// The same, with the sessions that the shim told of.
pub(super) async fn greet(
    shared: &Arc<Shared>,
    record: &Record,
) -> Result<(UnixStream, Vec<SessionReport>), Failure> {
    let environment = &record.environment;
    let made = record.record.as_ref().ok_or_else(|| {
        Failure::new(FailureKind::Unavailable, format!("{} has no box yet", environment.name))
    })?;
    shared.wait_for_link(environment).await?;
    let mut stream = shared.engine(environment.engine).open_channel(made).await?;
    let hello = Frame::control(&ShimRequest::Hello { version: VERSION });
    write_frame(&mut stream, &hello).await.map_err(lost)?;
    match timeout(HELLO_DEADLINE, read_frame(&mut stream)).await {
        Ok(Ok(Some(Frame::Control(json)))) => match serde_json::from_slice(&json) {
            Ok(ShimEvent::Hello { sessions, .. }) => Ok((stream, sessions)),
            _ => Err(lost("no hello from the shim")),
        },
        Ok(Err(error)) => Err(lost(error)),
        Ok(Ok(_)) => Err(lost("no hello from the shim")),
        Err(_) => Err(Failure::new(FailureKind::Timeout, "the box does not answer")),
    }
}

async fn feed(mut writer: OwnedWriteHalf, mut chunks: mpsc::Receiver<Vec<u8>>) {
    while let Some(bytes) = chunks.recv().await {
        let frame = if bytes.is_empty() {
            Frame::control(&ShimRequest::ExecInputEnd)
        } else {
            Frame::ExecInput { bytes }
        };
        if write_frame(&mut writer, &frame).await.is_err() {
            return;
        }
    }
    // The write half stays open until here: closing it would end the command.
    std::future::pending::<()>().await;
}

async fn relay(mut reader: OwnedReadHalf, events: mpsc::Sender<ExecEvent>) {
    loop {
        let frame = tokio::select! {
            frame = read_frame(&mut reader) => frame,
            () = events.closed() => return,
        };
        let event = match frame {
            Ok(Some(Frame::ExecOutput { stream, bytes })) => {
                let stream = if stream == 2 { ExecStream::Stderr } else { ExecStream::Stdout };
                ExecEvent::Output { stream, bytes }
            }
            Ok(Some(Frame::Control(json))) => match serde_json::from_slice(&json) {
                Ok(ShimEvent::ExecExited { code }) => ExecEvent::Exited { code },
                Ok(ShimEvent::ExecFailed { message }) => {
                    ExecEvent::Failed(Failure::new(FailureKind::NotFound, message))
                }
                Ok(ShimEvent::Unsupported { .. }) => ExecEvent::Failed(too_old()),
                _ => continue,
            },
            Ok(Some(_)) => continue,
            Ok(None) => ExecEvent::Failed(lost("it closed the connection")),
            Err(error) => ExecEvent::Failed(lost(error)),
        };
        let last = !matches!(event, ExecEvent::Output { .. });
        if events.send(event).await.is_err() || last {
            return;
        }
    }
}

/// A box keeps the shim it was started with.
pub(super) fn too_old() -> Failure {
    let message = "this box was started by an older agentdeck, which could not do that";
    Failure::new(FailureKind::Unavailable, message).hint("stop the environment and start it again")
}

pub(super) fn lost(error: impl std::fmt::Display) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("the connection to the box failed: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_an_older_shim_cannot_do_is_said_with_the_remedy() {
        let (near, mut far) = UnixStream::pair().expect("a pair");
        let (events, mut received) = mpsc::channel(MAX_CHUNKS);
        let (reader, _writer) = near.into_split();
        let relaying = tokio::spawn(relay(reader, events));
        let unsupported = ShimEvent::Unsupported { request: "pack".to_owned() };
        write_frame(&mut far, &Frame::control(&unsupported)).await.expect("written");
        let Some(ExecEvent::Failed(failure)) = received.recv().await else { panic!("a failure") };
        assert!(failure.message.contains("an older agentdeck"), "{failure}");
        assert_eq!(failure.hint.as_deref(), Some("stop the environment and start it again"));
        relaying.await.expect("ended");
    }
}
