//! The server's end of a shim's socket, as tests need it.

use std::time::Duration;

use agentdeck::engine::{BoxRecord, Engine};
use agentdeck::model::id::SessionId;
use agentdeck::model::screen::Size;
use agentdeck::shim::wire::{
    Frame, FrameError, Program, Role, SessionReport, ShimEvent, ShimRequest, VERSION, read_frame,
    write_frame,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Longest wait for anything a test waits for; only a defect takes so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const SIZE: Size = Size { columns: 80, rows: 24 };

pub struct Talk {
    pub stream: UnixStream,
    pub sessions: Vec<SessionReport>,
    /// Everything session output brought so far.
    pub output: Vec<u8>,
    pub events: Vec<ShimEvent>,
}

/// What a command left.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub code: i32,
    pub output: String,
    pub errors: String,
}

pub fn program(role: Role, command: &[&str]) -> Program {
    Program {
        command: command.iter().map(|word| (*word).to_owned()).collect(),
        environment: Vec::new(),
        directory: None,
        role,
    }
}

impl Talk {
    pub async fn with(engine: &dyn Engine, record: &BoxRecord) -> Self {
        Self::over(engine.open_channel(record).await.expect("a channel")).await
    }

    /// Says hello on a connected socket.
    pub async fn over(stream: UnixStream) -> Self {
        let mut talk =
            Self { stream, sessions: Vec::new(), output: Vec::new(), events: Vec::new() };
        talk.ask(&ShimRequest::Hello { version: VERSION }).await;
        match talk.next().await {
            Some(ShimEvent::Hello { version: VERSION, sessions, .. }) => talk.sessions = sessions,
            other => panic!("{other:?} in the place of a hello"),
        }
        talk
    }

    pub async fn ask(&mut self, request: &ShimRequest) {
        self.send(&Frame::control(request)).await;
    }

    pub async fn send(&mut self, frame: &Frame) {
        write_frame(&mut self.stream, frame).await.expect("written");
    }

    /// The next event; output before it is kept. `None` at the end of the connection.
    pub async fn next(&mut self) -> Option<ShimEvent> {
        loop {
            match self.frame().await? {
                Frame::Control(json) => return Some(serde_json::from_slice(&json).expect("event")),
                Frame::Output { bytes, .. } => self.output.extend(bytes),
                other => panic!("{other:?} was not asked for"),
            }
        }
    }

    pub async fn frame(&mut self) -> Option<Frame> {
        let read = tokio::time::timeout(PATIENCE, read_frame(&mut self.stream)).await;
        read.unwrap_or_else(|_| panic!("silence after {}", self.text())).ok().flatten()
    }

    /// Starts a session and follows it.
    pub async fn start(&mut self, session: SessionId, command: &[&str]) {
        let program = program(Role::Agent, command);
        self.ask(&ShimRequest::Start { session, program, size: SIZE }).await;
        assert_eq!(self.next().await, Some(ShimEvent::Started { session }));
        self.ask(&ShimRequest::Follow { session, from: 0 }).await;
    }

    pub async fn keys(&mut self, session: SessionId, text: &str) {
        self.send(&Frame::Input { session, bytes: text.as_bytes().to_vec() }).await;
    }

    /// Reads until the output holds `wanted`.
    pub async fn see(&mut self, wanted: &str) {
        while !self.text().contains(wanted) {
            match self.frame().await {
                Some(Frame::Output { bytes, .. }) => self.output.extend(bytes),
                Some(Frame::Control(json)) => {
                    self.events.push(serde_json::from_slice(&json).expect("event"));
                }
                other => panic!("{other:?} before {wanted:?} in {}", self.text()),
            }
        }
    }

    /// Sends bytes on a connection that became a stream, and reads what comes back to its end.
    pub async fn exchange(mut self, bytes: &[u8]) -> String {
        let exchanging = async {
            self.stream.write_all(bytes).await.expect("written");
            self.stream.shutdown().await.expect("ended");
            let mut answer = String::new();
            self.stream.read_to_string(&mut answer).await.expect("text");
            answer
        };
        tokio::time::timeout(PATIENCE, exchanging).await.expect("an answer")
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.output).into_owned()
    }
}

/// Runs a command with `input`; the message of a command that does not start is the error.
pub async fn run(
    engine: &dyn Engine,
    record: &BoxRecord,
    role: Role,
    command: &[&str],
    input: &[u8],
) -> Result<Outcome, String> {
    let request = ShimRequest::Exec { program: program(role, command) };
    let Copied { code, output, errors } = copied(engine, record, &request, input).await?;
    Ok(Outcome { code, output: String::from_utf8_lossy(&output).trim_end().to_owned(), errors })
}

/// Runs a command by way of a shim that is nobody's box.
pub async fn run_by(talk: Talk, command: &[&str]) -> Outcome {
    let request = ShimRequest::Exec { program: program(Role::Agent, command) };
    let Copied { code, output, errors } = carried(talk, &request, b"").await.expect("started");
    Outcome { code, output: String::from_utf8_lossy(&output).trim_end().to_owned(), errors }
}

/// What carrying files left.
#[derive(Debug, PartialEq, Eq)]
pub struct Copied {
    pub code: i32,
    pub output: Vec<u8>,
    pub errors: String,
}

/// Carries files in or out of a box.
pub async fn copy(
    engine: &dyn Engine,
    record: &BoxRecord,
    request: &ShimRequest,
    input: &[u8],
) -> Copied {
    copied(engine, record, request, input).await.expect("started")
}

async fn copied(
    engine: &dyn Engine,
    record: &BoxRecord,
    request: &ShimRequest,
    input: &[u8],
) -> Result<Copied, String> {
    carried(Talk::with(engine, record).await, request, input).await
}

async fn carried(mut talk: Talk, request: &ShimRequest, input: &[u8]) -> Result<Copied, String> {
    talk.ask(request).await;
    let mut sent = vec![Frame::control(&ShimRequest::ExecInputEnd)];
    if !input.is_empty() {
        sent.insert(0, Frame::ExecInput { bytes: input.to_vec() });
    }
    for frame in sent {
        match write_frame(&mut talk.stream, &frame).await {
            // It ended without reading; what it said is still there to be read.
            Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => break,
            written => written.expect("written"),
        }
    }
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let code = loop {
        match talk.frame().await.expect("a frame") {
            Frame::ExecOutput { stream: 1, bytes } => output.extend(bytes),
            Frame::ExecOutput { bytes, .. } => errors.extend(bytes),
            Frame::Control(json) => match serde_json::from_slice(&json).expect("an event") {
                ShimEvent::ExecExited { code } => break code,
                ShimEvent::ExecFailed { message } => return Err(message),
                other => panic!("{other:?} was not asked for"),
            },
            other => panic!("{other:?} was not asked for"),
        }
    };
    let errors = String::from_utf8_lossy(&errors).trim_end().to_owned();
    Ok(Copied { code, output, errors })
}

/// Runs a shell script and tells what it printed, whatever became of it.
pub async fn script(engine: &dyn Engine, record: &BoxRecord, role: Role, text: &str) -> String {
    let outcome = run(engine, record, role, &["sh", "-c", text], b"").await.expect("started");
    format!("{}{}", outcome.output, outcome.errors)
}
