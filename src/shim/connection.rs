//! One connection from the server: requests in, events and followed output out.
//!
//! Output is a level here too: a connection keeps only a cursor into each ring, so that one that
//! does not read costs nothing and holds nothing up.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::Notify;

use super::ring::CAPACITY;
use super::server::{self, Shim};
use super::session::{Session, input_steps};
use super::wire::{Frame, FrameError, ShimEvent, ShimRequest, VERSION, read_frame};
use super::{dial, execution, tool};
use crate::model::id::SessionId;

/// Output of one session in one frame, in bytes, so that no session waits long for another.
const OUTPUT_CHUNK: usize = CAPACITY / 2;

/// Output of one session that is sent as it comes, in bytes: a screen painted anew. What follows
/// within `GATHERING` goes together, because each frame costs both sides a wake-up, and what has
/// scrolled away when it arrives costs the server nearly nothing.
const AT_ONCE: u64 = 16 << 10;

/// How long a flood is gathered: thirty frames a second of what nobody can read are enough.
const GATHERING: Duration = Duration::from_millis(33);

/// What is sent however soon, before the program has to wait.
const GATHERED: u64 = CAPACITY as u64 / 2;

/// Events that may wait for a peer; one that asks so much without reading is cut off.
const EVENT_BOUND: usize = 1024;

/// Serves one peer until it leaves or breaks the protocol.
pub(super) async fn serve(shim: Rc<Shim>, stream: UnixStream) {
    let (mut reader, mut writer) = stream.into_split();
    let Ok(Some(first)) = greet(&shim, &mut reader, &mut writer).await else { return };
    match &first {
        Request::Known(ShimRequest::Exec { program }) => {
            return execution::run(&shim, reader, writer, program).await;
        }
        Request::Known(ShimRequest::Dial { port }) => {
            return dial::run(reader, writer, *port).await;
        }
        Request::Known(request) => {
            if let Some(program) = tool::program_for(&shim.config, request) {
                return execution::run(&shim, reader, writer, &program).await;
            }
        }
        _ => {}
    }
    let connection = Connection {
        shim: Rc::clone(&shim),
        events: RefCell::default(),
        followed: RefCell::default(),
        told_ended: RefCell::new(ended_sessions(&shim)),
        told_taken: RefCell::default(),
        told_states: RefCell::default(),
        told_refused: Cell::default(),
        wake: Notify::new(),
    };
    connection.handle(first);
    // Either side's end is the connection's end; what the peer did wrong only it could be told.
    tokio::select! {
        _ = connection.read(&mut reader) => {}
        _ = connection.write(&mut writer) => {}
    }
}

enum Request {
    Known(ShimRequest),
    /// The request's name.
    Unsupported(String),
    Input(SessionId, Vec<u8>),
}

/// Answers the hello and waits for the request that tells what the connection is for.
async fn greet(
    shim: &Shim,
    reader: &mut OwnedReadHalf,
    writer: &mut OwnedWriteHalf,
) -> Result<Option<Request>, FrameError> {
    let answer = match read_request(reader).await? {
        Some(Request::Known(ShimRequest::Hello { .. })) => {
            let sessions =
                shim.sessions.borrow().values().map(|session| session.report()).collect();
            ShimEvent::Hello { version: VERSION, sessions, counts_input: true }
        }
        _ => return Ok(None),
    };
    super::wire::write_frame(writer, &Frame::control(&answer)).await?;
    read_request(reader).await
}

async fn read_request(reader: &mut OwnedReadHalf) -> Result<Option<Request>, FrameError> {
    Ok(read_frame(reader).await?.map(|frame| match frame {
        Frame::Control(json) => match serde_json::from_slice(&json) {
            Ok(ShimRequest::Unknown) | Err(_) => Request::Unsupported(name_of(&json)),
            Ok(request) => Request::Known(request),
        },
        Frame::Input { session, bytes } => Request::Input(session, bytes),
        _ => Request::Unsupported("frame".to_owned()),
    }))
}

fn name_of(json: &[u8]) -> String {
    let value: serde_json::Value = serde_json::from_slice(json).unwrap_or_default();
    value["request"].as_str().unwrap_or("unknown").chars().take(64).collect()
}

fn ended_sessions(shim: &Shim) -> BTreeSet<SessionId> {
    let sessions = shim.sessions.borrow();
    sessions.values().filter(|session| session.ended().is_some()).map(|it| it.id).collect()
}

/// How far a followed session's output was sent.
struct Cursor {
    /// The next offset to send.
    next: u64,
    /// Since when output counts towards `AT_ONCE`, and the offset at that time.
    since: Instant,
    from: u64,
}

impl Cursor {
    fn new(next: u64) -> Self {
        Self { next, since: Instant::now(), from: next }
    }

    /// Until when output up to `end` is gathered; `None` when it is to be sent.
    fn gathers(&mut self, end: u64, now: Instant) -> Option<Instant> {
        let until = self.since + GATHERING;
        if now >= until {
            (self.since, self.from) = (now, self.next);
            return None;
        }
        let much = self.next.saturating_sub(self.from) >= AT_ONCE;
        (much && end.saturating_sub(self.next) < GATHERED).then_some(until)
    }
}

struct Connection {
    shim: Rc<Shim>,
    events: RefCell<VecDeque<ShimEvent>>,
    followed: RefCell<BTreeMap<SessionId, Cursor>>,
    told_ended: RefCell<BTreeSet<SessionId>>,
    /// How much of each session's input was taken when it was told last.
    told_taken: RefCell<BTreeMap<SessionId, u64>>,
    /// Which message of each session was told last, and who had its terminal then.
    told_states: RefCell<BTreeMap<SessionId, (u64, Option<bool>)>>,
    told_refused: Cell<u64>,
    wake: Notify,
}

impl Connection {
    async fn read(&self, reader: &mut OwnedReadHalf) -> Result<(), FrameError> {
        while let Some(request) = read_request(reader).await? {
            self.handle(request);
            if self.events.borrow().len() > EVENT_BOUND {
                break;
            }
        }
        Ok(())
    }

    fn handle(&self, request: Request) {
        match request {
            Request::Known(request) => self.answer(request),
            Request::Unsupported(request) => self.tell(ShimEvent::Unsupported { request }),
            Request::Input(session, bytes) => {
                if let Some(session) = self.shim.session(session) {
                    session.input(&bytes);
                }
            }
        }
    }

    fn answer(&self, request: ShimRequest) {
        match request {
            ShimRequest::Start { session, program, size } => {
                self.tell(match self.shim.start(session, &program, size) {
                    Ok(()) => ShimEvent::Started { session },
                    Err(error) => ShimEvent::StartFailed {
                        session,
                        message: error.message,
                        not_found: error.not_found,
                    },
                });
            }
            ShimRequest::Resize { session, size } => {
                if let Some(session) = self.shim.session(session) {
                    session.resize(size);
                }
            }
            ShimRequest::Follow { session, from } => {
                self.followed.borrow_mut().insert(session, Cursor::new(from));
                self.told_ended.borrow_mut().remove(&session);
                self.wake.notify_one();
            }
            ShimRequest::Signal { session, signal } => {
                if let Some(session) = self.shim.session(session)
                    && let Some(signal) = server::signal_of(signal)
                {
                    session.signal(signal);
                }
            }
            ShimRequest::Close { session } => {
                self.shim.close(session);
                self.followed.borrow_mut().remove(&session);
                self.told_ended.borrow_mut().remove(&session);
                self.told_taken.borrow_mut().remove(&session);
                self.told_states.borrow_mut().remove(&session);
            }
            ShimRequest::Stop { grace_ms } => self.shim.stop(Duration::from_millis(grace_ms)),
            ShimRequest::Exec { .. }
            | ShimRequest::Pack { .. }
            | ShimRequest::Unpack { .. }
            | ShimRequest::Listeners
            | ShimRequest::HandBack { .. } => self.tell(ShimEvent::ExecFailed {
                message: "a command needs a connection of its own".to_owned(),
            }),
            ShimRequest::Dial { .. } => self.tell(ShimEvent::DialFailed {
                message: "a stream needs a connection of its own".to_owned(),
            }),
            ShimRequest::Hello { .. } | ShimRequest::ExecInputEnd | ShimRequest::Unknown => {}
        }
    }

    fn tell(&self, event: ShimEvent) {
        self.events.borrow_mut().push_back(event);
        self.wake.notify_one();
    }

    async fn write(&self, writer: &mut OwnedWriteHalf) -> Result<(), FrameError> {
        let mut changes = self.shim.changes();
        let mut buffer = Vec::new();
        loop {
            // Marked as seen before looking, so that nothing new is missed after looking.
            changes.borrow_and_update();
            buffer.clear();
            let gathers = self.collect(&mut buffer);
            if buffer.is_empty() {
                if gathers.is_none() {
                    // A flood's memory is not kept for the next one.
                    buffer.shrink_to(AT_ONCE as usize);
                }
                tokio::select! {
                    () = self.wake.notified() => {}
                    changed = changes.changed() => if changed.is_err() { return Ok(()) },
                    () = sleep_until(gathers) => {}
                }
            } else {
                writer.write_all(&buffer).await?;
            }
        }
    }

    /// Encodes what the peer does not have yet: events, a chunk of each session, then ends. Until
    /// when output is gathered that is therefore left out.
    fn collect(&self, buffer: &mut Vec<u8>) -> Option<Instant> {
        for event in self.events.borrow_mut().drain(..) {
            Frame::control(&event).encode(buffer);
        }
        let now = Instant::now();
        let mut gathers = None;
        let mut followed = self.followed.borrow_mut();
        self.tell_refused(buffer);
        for session in self.shim.sessions.borrow().values() {
            self.tell_taken(session, buffer);
            self.tell_state(session, buffer);
            let mut whole = true;
            if let Some(cursor) = followed.get_mut(&session.id) {
                let end = session.ring.borrow().end();
                let until = cursor.gathers(end, now).filter(|_| !session.wants_hurry());
                if let Some(until) = until.filter(|_| cursor.next < end) {
                    gathers = gathers.into_iter().chain([until]).min();
                } else {
                    encode_output(session, cursor, buffer);
                }
                whole = cursor.next >= end;
            }
            if let Some(code) = session.ended()
                && whole
                && self.told_ended.borrow_mut().insert(session.id)
            {
                let exited = ShimEvent::Exited { session: session.id, code };
                Frame::control(&exited).encode(buffer);
            }
        }
        gathers
    }

    /// Encodes that a session's program took another step of its input.
    fn tell_taken(&self, session: &Session, buffer: &mut Vec<u8>) {
        let mut told_taken = self.told_taken.borrow_mut();
        let told = told_taken.entry(session.id).or_default();
        let total = session.taken();
        if input_steps(*told) != input_steps(total) {
            *told = total;
            Frame::control(&ShimEvent::InputTaken { session: session.id, total }).encode(buffer);
        }
    }

    /// Encodes what a session's program says of itself, and who has its terminal, where that changed.
    fn tell_state(&self, session: &Session, buffer: &mut Vec<u8>) {
        let mut told_states = self.told_states.borrow_mut();
        let (told, told_own) = told_states.entry(session.id).or_default();
        let (number, own) = (session.heard.borrow().number(), session.foreground.is_own());
        if number != *told {
            *told = number;
            let claim = session.heard.borrow().claim();
            let (state, says) = claim.map_or((None, None), |it| (Some(it.state), it.says));
            let event = ShimEvent::Told { session: session.id, number, state, says };
            Frame::control(&event).encode(buffer);
        }
        if let Some(own) = own.filter(|_| own != *told_own) {
            *told_own = Some(own);
            Frame::control(&ShimEvent::Foreground { session: session.id, own }).encode(buffer);
        }
    }

    /// Encodes how many messages were none, once it is twice as many as were told of.
    fn tell_refused(&self, buffer: &mut Vec<u8>) {
        let count = self.shim.refused.get();
        if count > 0 && count >= self.told_refused.get() * 2 {
            self.told_refused.set(count);
            Frame::control(&ShimEvent::Refused { count }).encode(buffer);
        }
    }
}

/// Encodes a chunk of a session's output from its cursor on, after what was lost of it.
fn encode_output(session: &Session, cursor: &mut Cursor, buffer: &mut Vec<u8>) {
    let ring = session.ring.borrow();
    let from = cursor.next.min(ring.end());
    if from < ring.start() {
        let gap = ShimEvent::Gap {
            session: session.id,
            from,
            to: ring.start(),
            modes: ring.modes().text(),
            unfinished: ring.modes().unfinished(),
        };
        Frame::control(&gap).encode(buffer);
    }
    let offset = from.max(ring.start());
    cursor.next = ring.end().min(offset + OUTPUT_CHUNK as u64);
    if cursor.next > offset {
        session.deliver(cursor.next);
        Frame::encode_output(session.id, offset, buffer, |buffer| {
            ring.read(offset, OUTPUT_CHUNK, buffer);
        });
    }
}

/// Waits until `at`; forever without one.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_gathered_for_a_frame_and_a_little_is_sent_at_once() {
        let start = Instant::now();
        let later = start + GATHERING;
        let mut cursor = Cursor { next: 0, since: start, from: 0 };
        assert_eq!(cursor.gathers(AT_ONCE * 2, start), None, "the first is never late");
        cursor.next = AT_ONCE - 1;
        assert_eq!(cursor.gathers(AT_ONCE * 2, start), None);
        cursor.next = AT_ONCE;
        assert_eq!(cursor.gathers(AT_ONCE * 2, start), Some(later));
        assert_eq!(cursor.gathers(AT_ONCE + GATHERED, start), None, "the program would wait");
        assert_eq!(cursor.gathers(AT_ONCE * 2, later), None);
        cursor.next = AT_ONCE * 2;
        assert_eq!(cursor.gathers(AT_ONCE * 3, later), Some(later + GATHERING));
    }
}
