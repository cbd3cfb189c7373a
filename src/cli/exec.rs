//! `agentdeck exec`: a command in an environment, with this process's input, output and exit code.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use tokio::io::AsyncReadExt;

use super::arguments::Exec;
use super::context::{Context, variables};
use super::output::Sanitiser;
use crate::client::Client;
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{Event, ExecEvent, ExecStream, Request};

/// Bytes of standard input sent at once.
const CHUNK: usize = 32 << 10;

/// What shells answer for a command that does not exist.
const NOT_FOUND: u8 = 127;

pub(super) async fn run(context: &Context, options: Exec) -> Result<ExitCode, Failure> {
    let variables = variables(&options.env)?;
    let (client, mut events) = context.connect().await?;
    let start = |target| Request::StartExec {
        target,
        command: options.command.clone(),
        root: options.root,
        variables: variables.clone(),
    };
    context.ask(&client, &options.name, start).await?;
    let feeding = tokio::spawn(feed(client.clone()));
    let mut outputs = Outputs::new();
    let result = loop {
        match events.next().await {
            Some(Event::Exec(ExecEvent::Output { stream, bytes })) => outputs.write(stream, &bytes),
            Some(Event::Exec(ExecEvent::Exited { code })) => break Ok(code),
            Some(Event::Exec(ExecEvent::Failed(failure))) => {
                // Only the command itself can be what was not found: the environment answered.
                if failure.kind != FailureKind::NotFound {
                    break Err(failure);
                }
                context.output.failure(&failure);
                break Ok(NOT_FOUND.into());
            }
            Some(_) => {}
            None => {
                break Err(Failure::new(FailureKind::Unavailable, "the server has gone")
                    .hint("the command ended with it; run it again"));
            }
        }
    };
    feeding.abort();
    outputs.finish();
    // Exit codes are a byte; shells cut them the same way.
    result.map(|code| ExitCode::from((code & 0xff) as u8))
}

/// Hands standard input on until it ends or the command does.
async fn feed(client: Client) {
    let mut stdin = tokio::io::stdin();
    let mut buffer = vec![0; CHUNK];
    loop {
        // A closed or unreadable input is an ended one.
        let count = stdin.read(&mut buffer).await.unwrap_or(0);
        let bytes = buffer[..count].to_vec();
        if client.request(Request::SendExecInput { bytes }).await.is_err() || count == 0 {
            return;
        }
    }
}

/// Both output streams, raw into a pipe and made safe on a terminal.
struct Outputs {
    stdout: Option<Sanitiser>,
    stderr: Option<Sanitiser>,
}

impl Outputs {
    fn new() -> Self {
        let safe = |terminal: bool| terminal.then(Sanitiser::default);
        Self {
            stdout: safe(std::io::stdout().is_terminal()),
            stderr: safe(std::io::stderr().is_terminal()),
        }
    }

    fn write(&mut self, stream: ExecStream, bytes: &[u8]) {
        let sanitiser = match stream {
            ExecStream::Stdout => &mut self.stdout,
            ExecStream::Stderr => &mut self.stderr,
        };
        match sanitiser {
            Some(sanitiser) => print(stream, sanitiser.feed(bytes).as_bytes()),
            None => print(stream, bytes),
        }
    }

    fn finish(&mut self) {
        let streams =
            [(ExecStream::Stdout, &mut self.stdout), (ExecStream::Stderr, &mut self.stderr)];
        for (stream, sanitiser) in streams {
            if let Some(sanitiser) = sanitiser {
                print(stream, sanitiser.finish().as_bytes());
            }
        }
    }
}

/// A reader that has gone does not end the command, whose exit code still counts.
fn print(stream: ExecStream, bytes: &[u8]) {
    let write = |writer: &mut dyn Write| writer.write_all(bytes).and_then(|()| writer.flush());
    let _ = match stream {
        ExecStream::Stdout => write(&mut std::io::stdout().lock()),
        ExecStream::Stderr => write(&mut std::io::stderr().lock()),
    };
}
