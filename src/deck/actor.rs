//! One environment's connection to its shim: output to screens, input and orders to programs.
//!
//! The connection is made again while the box lives; what was missed is asked for by offset.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::BufReader;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::adopting::{adopt, forget_missing};
use super::exec::{HELLO_DEADLINE, lost};
use super::inputs::Inputs;
use super::link::{Link, Order, Start, StartError, stuck};
use super::shared::Shared;
use super::state::{Record, Report};
use super::status::Follower;
use super::telling::Telling;
use super::terminal::{Fed, Gap, Terminal};
use crate::engine::BoxState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, SessionId};
use crate::model::screen::Size;
use crate::shim::wire::{
    Frame, SessionReport, ShimEvent, ShimRequest, VERSION, read_frame, write_frame,
};

/// Frames under way to the shim. Past that a program is not reading its input, which is said.
const MAX_OUTGOING: usize = 1024;
/// Frames read ahead from the shim, at most 1 MiB each: bounds memory, keeps the reader busy.
const MAX_INCOMING: usize = 2;
/// Output parsed at a time, in bytes: bounds how long a key or a frame waits.
const TURN: usize = 64 << 10;
/// Bytes taken from the shim's socket at once where frames are small.
const READ_AHEAD: usize = 16 << 10;
/// Output since the last checkpoint that makes a new one worth its cost: a quarter of the ring.
const CHECKPOINT_BYTES: u64 = 256 << 10;
/// Least time between two checkpoints of an environment; a flood must not become a flood of syncs.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(1);
/// Waits between attempts to reach a box again.
const RETRY: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(15),
];

/// For so long a box that was never connected to is tried every quarter of a second: it is new, or
/// the server is, and somebody waits for it.
const EAGER: Duration = Duration::from_secs(10);

/// Between two looks at a box that stands still; whoever resumes it here says so.
const PAUSED_LOOK: Duration = Duration::from_secs(10);

/// How long a box that answers may wait for its engine to say whether it is paused: what it prints
/// must not wait for an engine that hangs.
const STANDING_DEADLINE: Duration = Duration::from_secs(1);

/// Keeps an environment connected until its box is gone, and says how it stands. `ready` is told
/// once the first connection stands; `known` is how the box stands then, where that need not be
/// asked.
pub(super) async fn supervise(
    shared: Arc<Shared>,
    record: Record,
    ready: oneshot::Sender<()>,
    mut known: Option<BoxState>,
) {
    let environment = record.environment.id.clone();
    let Some(made) = record.record.clone() else { return };
    let engine = shared.engine(record.environment.engine).clone();
    let nudge = shared.nudge(&environment);
    let (mut ready, begun) = (Some(ready), Instant::now());
    let mut failures = 0;
    loop {
        match connect(&shared, &record).await {
            Ok((actor, frames)) => {
                failures = 0;
                // A shim may answer although the programs of its box stand still.
                let asked = match known.take() {
                    Some(known) => Ok(Ok(known)),
                    None => timeout(STANDING_DEADLINE, engine.state(&made)).await,
                };
                let paused = matches!(asked, Ok(Ok(BoxState::Paused)));
                let standing =
                    if paused { Report::Paused { reason: None } } else { Report::Running };
                shared.report(&environment, standing).await;
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
                actor.run(frames).await;
                shared.set_link(&environment, None);
            }
            Err(failure) => tracing::debug!(%environment, "not connected: {failure}"),
        }
        match engine.state(&made).await {
            // A shim that stands still with its box answers again when it is resumed.
            Ok(BoxState::Paused) => {
                shared.report(&environment, Report::Paused { reason: None }).await;
                failures = 0;
                let _ = timeout(PAUSED_LOOK, nudge.notified()).await;
                continue;
            }
            Ok(BoxState::Running) if failures < RETRY.len() => {}
            Ok(BoxState::Running) => {
                let message = "the box runs, but its shim does not answer".to_owned();
                shared.report(&environment, Report::Unreachable { message }).await;
            }
            Ok(BoxState::Stopped | BoxState::Gone) => {
                let shared = shared.clone();
                let id = environment.clone();
                let saving = tokio::task::spawn_blocking(move || shared.save_screens(&id));
                let _ = saving.await;
                break;
            }
            Err(failure) => {
                let message = failure.to_string();
                shared.report(&environment, Report::Unreachable { message }).await;
            }
        }
        let pause = RETRY[failures.min(RETRY.len() - 1)];
        let is_awaited = ready.is_some() && begun.elapsed() < EAGER;
        failures = (failures + 1).min(if is_awaited { 1 } else { RETRY.len() });
        let _ = timeout(pause, nudge.notified()).await;
    }
    shared.close_gate(&environment);
    shared.report(&environment, Report::EndedUnasked).await;
    shared.report(&environment, Report::Stopped).await;
}

/// Connects, says hello, and follows every session from where its screen is.
async fn connect(
    shared: &Arc<Shared>,
    record: &Record,
) -> Result<(Actor, mpsc::Receiver<Frame>), Failure> {
    let environment = &record.environment;
    let made = record.record.as_ref().ok_or_else(|| lost("there is no box"))?;
    let stream = shared.engine(environment.engine).open_channel(made).await?;
    let (mut stream, sessions, counts_input) = hello(stream).await?;
    let inputs = Arc::new(Inputs::of(counts_input, &sessions));
    for report in &sessions {
        let terminal = adopt(shared, &environment.id, report).await;
        terminal.answered_until(report.delivered.unwrap_or(report.ring_end));
        let follow = ShimRequest::Follow { session: report.session, from: terminal.offset() };
        write_frame(&mut stream, &Frame::control(&follow)).await.map_err(lost)?;
    }
    forget_missing(shared, environment, &sessions).await;
    let known = shared.record(&environment.id).await?;
    let agent = sessions.iter().find(|report| report.session == SessionId::AGENT);
    let awaited = agent.map_or(0, |report| report.ring_end);
    let (reader, writer) = stream.into_split();
    let (incoming, frames) = mpsc::channel(MAX_INCOMING);
    let (outgoing, to_write) = mpsc::channel(MAX_OUTGOING);
    let (orders, received) = mpsc::channel(MAX_OUTGOING);
    tokio::spawn(read(reader, incoming));
    tokio::spawn(write(writer, to_write));
    let link = Link::new(orders, outgoing.clone(), inputs.clone());
    shared.set_link(&environment.id, Some(link));
    let actor = Actor {
        shared: shared.clone(),
        environment: environment.id.clone(),
        orders: received,
        outgoing,
        inputs,
        starting: HashMap::new(),
        telling: Telling::default(),
        saved: Instant::now(),
        look: None,
        repaints: BTreeMap::new(),
        follower: Follower::new(&known.environment, awaited, Instant::now()),
    };
    Ok((actor, frames))
}

/// Says hello; what the shim has, and whether it tells what is read of input.
async fn hello(mut stream: UnixStream) -> Result<(UnixStream, Vec<SessionReport>, bool), Failure> {
    let hello = Frame::control(&ShimRequest::Hello { version: VERSION });
    write_frame(&mut stream, &hello).await.map_err(lost)?;
    let answer = timeout(HELLO_DEADLINE, read_frame(&mut stream));
    match answer.await.map_err(|_| lost("no hello in time"))?.map_err(lost)? {
        Some(Frame::Control(json)) => match serde_json::from_slice(&json).map_err(lost)? {
            ShimEvent::Hello { sessions, counts_input, .. } => Ok((stream, sessions, counts_input)),
            _ => Err(lost("something else than a hello came first")),
        },
        _ => Err(lost("no hello came")),
    }
}

async fn read(reader: OwnedReadHalf, incoming: mpsc::Sender<Frame>) {
    let mut reader = BufReader::with_capacity(READ_AHEAD, reader);
    while let Ok(Some(frame)) = read_frame(&mut reader).await {
        if incoming.send(frame).await.is_err() {
            return;
        }
    }
}

async fn write(mut writer: OwnedWriteHalf, mut frames: mpsc::Receiver<Frame>) {
    while let Some(frame) = frames.recv().await {
        if write_frame(&mut writer, &frame).await.is_err() {
            return;
        }
    }
}

struct Actor {
    shared: Arc<Shared>,
    environment: EnvironmentId,
    orders: mpsc::Receiver<Order>,
    outgoing: mpsc::Sender<Frame>,
    inputs: Arc<Inputs>,
    starting: HashMap<SessionId, (Start, oneshot::Sender<Result<(), StartError>>)>,
    telling: Telling,
    saved: Instant,
    /// When a screen must be looked at again, because an update that hides output may be overdue.
    look: Option<Instant>,
    /// Sessions that were made narrower to have them painted anew, and when they get their size back.
    repaints: BTreeMap<SessionId, Instant>,
    follower: Follower,
}

impl Actor {
    async fn run(mut self, mut frames: mpsc::Receiver<Frame>) {
        loop {
            let deadline = self.deadline();
            tokio::select! {
                biased;
                Some(order) = self.orders.recv() => self.obey(order),
                frame = frames.recv() => match frame {
                    Some(frame) => self.take(frame).await,
                    None => return,
                },
                () = sleep_until(deadline) => self.tick().await,
            }
        }
    }

    /// When there is something to do by itself.
    fn deadline(&self) -> Option<Instant> {
        let repaints = self.repaints.values().copied();
        let told = self.telling.deadline();
        repaints.chain(self.look).chain(told).chain(self.follower.deadline()).min()
    }

    async fn tick(&mut self) {
        let now = Instant::now();
        let due = self.repaints.extract_if(.., |_, at| *at <= now);
        for session in due.map(|(session, _)| session).collect::<Vec<_>>() {
            if let Some(terminal) = self.shared.terminal(&self.environment, session) {
                self.send(&ShimRequest::Resize { session, size: terminal.size() });
            }
        }
        if self.look.take_if(|at| *at <= now).is_some() {
            for (session, terminal) in self.shared.terminals(&self.environment) {
                let fed = terminal.look();
                self.pass_on(session, &terminal, fed);
            }
        }
        for session in self.telling.overdue(now) {
            match self.shared.terminal(&self.environment, session) {
                Some(terminal) => self.tell_output(session, &terminal).await,
                None => self.telling.forget(session),
            }
        }
        if self.follower.is_due(now) {
            let agent = self.shared.terminal(&self.environment, SessionId::AGENT);
            if let Some(report) = self.follower.look(agent.as_deref(), now) {
                self.shared.report(&self.environment, report).await;
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Start { session, start, reply } => {
                let request = ShimRequest::Start {
                    session,
                    program: start.program.clone(),
                    size: start.size,
                };
                if self.starting.contains_key(&session) {
                    let message = format!("session {session} is being started already");
                    let failure = Failure::new(FailureKind::AlreadyExists, message);
                    let _ = reply.send(Err(StartError { failure, not_found: false }));
                    return;
                }
                let terminal = Arc::new(Terminal::new(start.size));
                self.shared.drop_terminal(&self.environment, session);
                self.shared.set_terminal(&self.environment, session, terminal);
                self.inputs.asked_anew(session);
                self.starting.insert(session, (start, reply));
                if !self.send(&request)
                    && let Some((_, reply)) = self.starting.remove(&session)
                {
                    let _ = reply.send(Err(StartError { failure: stuck(), not_found: false }));
                }
            }
            Order::Close { session } => {
                self.send(&ShimRequest::Close { session });
            }
            Order::Resize { session, size } => {
                if let Some(terminal) = self.shared.terminal(&self.environment, session) {
                    terminal.resize(size);
                    // What is replayed over a file of another size comes out wrong.
                    self.checkpoint(&terminal, 1);
                }
                self.repaints.remove(&session);
                self.send(&ShimRequest::Resize { session, size });
                let (shared, environment) = (self.shared.clone(), self.environment.clone());
                tokio::spawn(async move {
                    shared.report(&environment, Report::SessionResized { session, size }).await;
                });
            }
        }
    }

    /// Queues a request; `false` when the shim has stopped reading.
    fn send(&self, request: &ShimRequest) -> bool {
        let sent = self.outgoing.try_send(Frame::control(request)).is_ok();
        if !sent {
            // Never the request itself: it may hold an agent's key.
            tracing::warn!(environment = %self.environment, "the shim does not read");
        }
        sent
    }

    async fn take(&mut self, frame: Frame) {
        match frame {
            Frame::Output { session, offset, bytes } => self.output(session, offset, &bytes).await,
            Frame::Control(json) => match serde_json::from_slice(&json) {
                Ok(event) => self.event(event).await,
                Err(error) => tracing::warn!("an event of the shim was not understood: {error}"),
            },
            Frame::Input { .. } | Frame::ExecOutput { .. } | Frame::ExecInput { .. } => {}
        }
    }

    async fn output(&mut self, session: SessionId, offset: u64, bytes: &[u8]) {
        if self.starting.contains_key(&session) {
            // The last words of the session whose place a new one takes.
            return;
        }
        let Some(terminal) = self.shared.terminal(&self.environment, session) else { return };
        let (mut offset, rest) = terminal.skim(offset, bytes);
        for (turn, chunk) in rest.chunks(TURN).enumerate() {
            if turn > 0 {
                tokio::task::yield_now().await;
            }
            let fed = terminal.feed(offset, chunk);
            offset += chunk.len() as u64;
            self.pass_on(session, &terminal, fed);
        }
        if session == SessionId::AGENT {
            self.follower.printed(Instant::now());
        }
        self.tell_output(session, &terminal).await;
        self.checkpoint(&terminal, CHECKPOINT_BYTES);
    }

    /// Hands on what output brought besides its screen.
    fn pass_on(&mut self, session: SessionId, terminal: &Terminal, fed: Fed) {
        if !fed.replies.is_empty() {
            // A program that asks without reading the answers loses them, as with any terminal.
            let _ = self.inputs.answer(session, fed.replies.len(), || {
                self.outgoing.try_send(Frame::Input { session, bytes: fed.replies }).ok()
            });
        }
        if fed.bell {
            self.shared.hub.bell(&self.environment, session);
        }
        self.look = self.look.into_iter().chain(terminal.update_deadline()).min();
    }

    /// Writes the screens down when one has moved by `bytes` and the last time is long enough ago.
    fn checkpoint(&mut self, terminal: &Terminal, bytes: u64) {
        if terminal.unsaved() >= bytes && self.saved.elapsed() >= CHECKPOINT_PAUSE {
            self.saved = Instant::now();
            let (shared, environment) = (self.shared.clone(), self.environment.clone());
            tokio::task::spawn_blocking(move || shared.save_screens(&environment));
        }
    }

    /// Tells the deck that a session printed, when a person would see a difference.
    async fn tell_output(&mut self, session: SessionId, terminal: &Terminal) {
        let title = terminal.title();
        if self.telling.printed(session, &title, Instant::now()) {
            self.shared.report(&self.environment, Report::Output { session, title }).await;
        }
    }

    async fn event(&mut self, event: ShimEvent) {
        match event {
            ShimEvent::Started { session } => self.started(session).await,
            ShimEvent::StartFailed { session, message, not_found } => {
                self.start_failed(session, message, not_found).await;
            }
            ShimEvent::Exited { session, code } => {
                if session == SessionId::AGENT {
                    self.follower.stop();
                }
                if let Some(snapshotter) = self.shared.snapshotter(&self.environment) {
                    snapshotter.command_ended();
                }
                let (shared, environment) = (self.shared.clone(), self.environment.clone());
                tokio::task::spawn_blocking(move || shared.save_screens(&environment));
                self.shared
                    .report(&self.environment, Report::SessionExited { session, code })
                    .await;
            }
            ShimEvent::Gap { session, from, to, modes, unfinished } => {
                let gap = Gap { from, to, modes: &modes, unfinished: &unfinished };
                self.gap(session, &gap).await;
            }
            ShimEvent::InputTaken { session, total } => self.inputs.taken(session, total),
            ShimEvent::Unsupported { request } => {
                tracing::warn!(environment = %self.environment, "the shim is too old for {request}");
            }
            other => self.follower.hear(other, Instant::now()),
        }
    }

    async fn started(&mut self, session: SessionId) {
        let Some((start, reply)) = self.starting.remove(&session) else { return };
        self.inputs.begun(session);
        if session == SessionId::AGENT {
            self.shared.prompts.lines.forget(&self.environment);
        }
        let report = Report::SessionOpened {
            session,
            kind: start.kind,
            command: start.program.command,
            size: start.size,
        };
        self.shared.report(&self.environment, report).await;
        if session == SessionId::AGENT {
            self.follower.begin_anew(Instant::now());
        }
        self.send(&ShimRequest::Follow { session, from: 0 });
        let _ = reply.send(Ok(()));
    }

    async fn start_failed(&mut self, session: SessionId, message: String, not_found: bool) {
        let Some((start, reply)) = self.starting.remove(&session) else { return };
        let failure = Failure::new(FailureKind::NotFound, message.clone());
        if not_found && start.may_be_missing {
            let _ = reply.send(Err(StartError { failure, not_found }));
            return;
        }
        if let Some(terminal) = self.shared.terminal(&self.environment, session) {
            terminal.feed(0, format!("{message}\r\n").as_bytes());
        }
        let failed = Report::SessionFailed {
            session,
            kind: start.kind,
            command: start.program.command,
            size: start.size,
            message,
        };
        self.shared.report(&self.environment, failed).await;
        let _ = reply.send(Err(StartError { failure, not_found }));
    }

    /// Output was lost while nobody read it: says so, and has the program paint itself again.
    async fn gap(&mut self, session: SessionId, gap: &Gap<'_>) {
        let Some(terminal) = self.shared.terminal(&self.environment, session) else { return };
        if !terminal.skip(gap) {
            let note = "output was lost while no server ran; the program was asked to paint anew";
            self.shared.report(&self.environment, Report::Note(note.to_owned())).await;
        }
        if self.repaints.contains_key(&session) {
            return;
        }
        // The program must see two sizes, and have the time to look at the first.
        const REPAINT_PAUSE: Duration = Duration::from_millis(100);
        let size = terminal.size();
        let narrower = Size { columns: size.columns.saturating_sub(1).max(1), ..size };
        self.send(&ShimRequest::Resize { session, size: narrower });
        self.repaints.insert(session, Instant::now() + REPAINT_PAUSE);
    }
}

/// Waits until `at`; forever without one.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
