//! The loop around the app: waits for keys, replies, events and deadlines, hands them over, performs
//! the effects, and draws when something changed, at most once a frame.

use std::ffi::OsString;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_util::stream::{self, FuturesUnordered, Stream};
use futures_util::{FutureExt, StreamExt};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use crate::client::{Client, Events};
use crate::model::diff::Diff;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, Timestamp};
use crate::model::input::Input;
use crate::model::screen::Size;
use crate::proto::{Event, Reply};

use super::app::{App, Effect, Happening, Notice, Settings, Tag};
use super::clipboard;
use super::clock::Clock;
use super::export;
use super::input;
use super::notify;
use super::opener::{self, Way};
use super::reconnect::{self, Connecting};
use super::terminal::Guard;
use super::view;

/// Sixty frames a second; more cannot be seen.
const FRAME: Duration = Duration::from_millis(16);
/// What is drawn this soon after a key is likely its echo and is drawn at once.
const ECHO: Duration = Duration::from_millis(100);
/// Requests not yet answered, above which no more keys are read: a server that hangs must not
/// fill our memory.
const MOST_IN_FLIGHT: usize = 1024;
/// Happenings taken before a frame is drawn, so that a flood cannot keep the screen still.
const MOST_DRAINED: usize = 512;

type Answered = (Tag, Result<Reply, Failure>);
/// A request on its way. They are first polled, and so sent, in the order they are pushed.
type Asked = Pin<Box<dyn Future<Output = Answered>>>;
type Told = Pin<Box<dyn Stream<Item = Event>>>;

/// What woke the loop.
enum Woken {
    Typed(Option<io::Result<TerminalEvent>>),
    Answered(Answered),
    Told(Option<Event>),
    Connected(Box<Result<(Client, Events), Failure>>),
    Tick,
    Frame,
    Ended,
}

struct Loop {
    app: App,
    guard: Guard,
    typed: EventStream,
    client: Client,
    in_flight: FuturesUnordered<Asked>,
    told: Told,
    /// Ends with a connection, while there is none.
    connecting: Option<Connecting>,
    clock: Clock,
    signals: [Signal; 3],
    last_frame: Instant,
    last_key: Option<Instant>,
    leaving: bool,
}

/// Shows the app until the user leaves or the server goes.
pub(crate) async fn run(
    make: impl FnOnce(Settings, Size, Timestamp) -> App,
    settings: Settings,
    client: Client,
    events: Events,
) -> Result<(), Failure> {
    let (columns, rows) = crossterm::terminal::size().map_err(no_terminal)?;
    let clock = Clock::new();
    let app = make(settings, Size { columns, rows }, clock.now());
    let signals = [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()];
    let [terminate, hangup, interrupt] = signals.map(signal);
    let signals = [
        terminate.map_err(no_terminal)?,
        hangup.map_err(no_terminal)?,
        interrupt.map_err(no_terminal)?,
    ];
    let guard = Guard::enter().map_err(no_terminal)?;
    let mut driver = Loop {
        app,
        guard,
        typed: EventStream::new(),
        client,
        in_flight: FuturesUnordered::new(),
        told: told(events),
        connecting: None,
        clock,
        signals,
        last_frame: Instant::now(),
        last_key: None,
        leaving: false,
    };
    let ended = driver.run().await;
    // The terminal is given back before anyone prints why.
    drop(driver);
    ended
}

#[allow(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn no_terminal(error: io::Error) -> Failure {
    Failure::new(FailureKind::Unavailable, format!("the terminal cannot be used: {error}"))
        .hint("agentdeck needs a terminal; in scripts use its verbs with --json")
}

/// The events of a connection. Its end may be met more than once, by whoever takes what is ready
/// and by whoever waits for it.
fn told(events: Events) -> Told {
    let events = stream::unfold(events, async |mut events| {
        let event = events.next().await?;
        Some((event, events))
    });
    Box::pin(events.fuse())
}

impl Loop {
    async fn run(&mut self) -> Result<(), Failure> {
        let effects = self.app.start();
        self.perform(effects);
        self.draw()?;
        while !self.leaving {
            let woken = self.wait().await;
            self.take(woken)?;
            self.drain().await?;
            if self.app.dirty && self.frame_is_due() {
                self.draw()?;
            }
        }
        // The keyboard's return is on its way; it need not be waited for.
        self.drain().await
    }

    async fn wait(&mut self) -> Woken {
        let frame = self.app.dirty.then(|| self.last_frame + FRAME);
        let tick = self.app.deadline().map(|at| {
            Instant::now() + Duration::from_millis(at.0.saturating_sub(self.clock.now().0))
        });
        let reads = self.in_flight.len() < MOST_IN_FLIGHT;
        let [terminate, hangup, interrupt] = &mut self.signals;
        let far = Instant::now() + Duration::from_hours(1);
        tokio::select! {
            biased;
            typed = self.typed.next(), if reads => Woken::Typed(typed),
            Some(answered) = self.in_flight.next() => Woken::Answered(answered),
            told = self.told.next() => Woken::Told(told),
            connected = connected(&mut self.connecting) => Woken::Connected(Box::new(connected)),
            () = sleep_until(frame.unwrap_or(far)), if frame.is_some() => Woken::Frame,
            () = sleep_until(tick.unwrap_or(far)), if tick.is_some() => Woken::Tick,
            _ = terminate.recv() => Woken::Ended,
            _ = hangup.recv() => Woken::Ended,
            _ = interrupt.recv() => Woken::Ended,
        }
    }

    /// Takes all that is waiting, so that one frame shows it together.
    async fn drain(&mut self) -> Result<(), Failure> {
        for _ in 0..MOST_DRAINED {
            let reads = self.in_flight.len() < MOST_IN_FLIGHT;
            if reads && let Some(typed) = ready(&mut self.typed).await {
                self.take(Woken::Typed(typed))?;
            } else if let Some(Some(answered)) = ready(&mut self.in_flight).await {
                self.take(Woken::Answered(answered))?;
            } else if let Some(Some(told)) = ready(&mut self.told).await {
                self.take(Woken::Told(Some(told)))?;
            } else {
                break;
            }
            if self.leaving {
                break;
            }
        }
        Ok(())
    }

    fn take(&mut self, woken: Woken) -> Result<(), Failure> {
        let happening = match woken {
            Woken::Typed(Some(Ok(event))) => match self.typed(event) {
                Some(happening) => happening,
                None => return Ok(()),
            },
            // The terminal is gone, or someone wants us gone.
            Woken::Typed(_) | Woken::Ended => {
                self.leaving = true;
                return Ok(());
            }
            Woken::Answered((tag, reply)) => Happening::Reply(tag, reply),
            Woken::Told(Some(event)) => Happening::Event(event),
            Woken::Told(None) => self.lost()?,
            Woken::Connected(connected) => self.connected(*connected)?,
            Woken::Tick => Happening::Tick,
            Woken::Frame => return Ok(()),
        };
        if self.clock.jumped() {
            self.app.clock_jumped(self.clock.now());
        }
        let effects = self.app.happen(happening, self.clock.now());
        self.perform(effects);
        Ok(())
    }

    /// The connection ended: another is looked for, and the last screens stay meanwhile.
    fn lost(&mut self) -> Result<Happening, Failure> {
        // A stream that has ended must not be asked again.
        self.told = Box::pin(stream::pending());
        let Some(home) = self.client.home() else {
            return Err(Failure::new(FailureKind::Unavailable, "the server ended")
                .hint("the agents go on; agentdeck opens the deck again"));
        };
        self.connecting = Some(reconnect::begin(home, self.app.server_is_stopping()));
        Ok(Happening::ServerLost)
    }

    fn connected(
        &mut self,
        connected: Result<(Client, Events), Failure>,
    ) -> Result<Happening, Failure> {
        match connected {
            Ok((client, events)) => {
                self.connecting = None;
                self.client = client;
                self.told = told(events);
                Ok(Happening::ServerBack)
            }
            // This program is of the past; what it shows could be wrong.
            Err(failure) if failure.kind == FailureKind::NewerServer => Err(failure),
            Err(failure) => {
                self.connecting = self.client.home().map(reconnect::again);
                Ok(Happening::ServerTrouble(failure))
            }
        }
    }

    fn typed(&mut self, event: TerminalEvent) -> Option<Happening> {
        match event {
            TerminalEvent::Key(key) => {
                self.last_key = Some(Instant::now());
                input::key(key).map(|key| Happening::Input(Input::Key(key)))
            }
            TerminalEvent::Mouse(mouse) => {
                input::mouse(mouse).map(|mouse| Happening::Input(Input::Mouse(mouse)))
            }
            TerminalEvent::Paste(text) => Some(Happening::Input(Input::Paste(text))),
            TerminalEvent::FocusGained => Some(Happening::Input(Input::Focus(true))),
            TerminalEvent::FocusLost => Some(Happening::Input(Input::Focus(false))),
            TerminalEvent::Resize(columns, rows) => {
                Some(Happening::Resized(Size { columns, rows }))
            }
        }
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Leave => self.leaving = true,
                Effect::RestartServer => {
                    self.connecting = self.client.home().map(reconnect::restart);
                }
                Effect::Copy(text) => self.copy(text),
                Effect::Open(address) => self.open(address),
                Effect::Notify(notice) => self.notify(notice),
                Effect::Export { environment, name, diff } => {
                    let client = self.client.clone();
                    self.in_flight.push(exported(client, environment, name, diff));
                }
                Effect::Send(request, tag) => {
                    let client = self.client.clone();
                    let asked = async move { (tag, client.request(request).await) };
                    self.in_flight.push(asked.boxed_local());
                }
            }
        }
    }

    /// Hands text to the clipboard. A terminal that is gone is met by the next frame.
    fn copy(&self, text: String) {
        if let Err(error) = self.guard.write(&clipboard::sequence(&text)) {
            tracing::debug!("nothing was copied: {error}");
        }
        if std::env::var_os("TMUX").is_some() {
            let copied = async move {
                clipboard::through_tmux(&text).await;
                (Tag::Quiet, Ok(Reply::Done))
            };
            self.in_flight.push(copied.boxed_local());
        }
    }

    /// Has a page opened, or copied where its browser is at the other end of the terminal.
    fn open(&self, address: String) {
        let opened = match opener::way(&address, |name| std::env::var_os(name)) {
            Some(Way::Run(program, arguments)) => opened(program, arguments).boxed_local(),
            Some(Way::Copy) => {
                self.copy(address);
                let words = "copied: over ssh, your browser is at the other end".to_owned();
                async move { (Tag::Say(words), Ok(Reply::Done)) }.boxed_local()
            }
            None => return,
        };
        self.in_flight.push(opened);
    }

    /// Tells the human by the terminal and by their command.
    fn notify(&self, notice: Notice) {
        let settings = &self.app.settings.notify;
        let in_tmux = std::env::var_os("TMUX").is_some();
        if let Err(error) = self.guard.write(&notify::sequence(&notice, settings, in_tmux)) {
            tracing::debug!("nobody was notified: {error}");
        }
        if settings.command.is_empty() {
            return;
        }
        let command = settings.command.clone();
        let told = async move {
            let failed = |why| Failure::new(FailureKind::Unavailable, why);
            let ran = notify::run(command, notice).await.map_err(failed);
            (Tag::Quiet, ran.map(|()| Reply::Done))
        };
        self.in_flight.push(told.boxed_local());
    }

    fn frame_is_due(&self) -> bool {
        let echo = self.last_key.is_some_and(|key| key.elapsed() < ECHO);
        echo || self.last_frame.elapsed() >= FRAME
    }

    fn draw(&mut self) -> Result<(), Failure> {
        let app = &self.app;
        self.guard.draw(|area, buffer| view::draw(app, area, buffer)).map_err(no_terminal)?;
        self.app.dirty = false;
        self.last_frame = Instant::now();
        Ok(())
    }
}

/// Writes a patch beside the loop; its answer is said like that of a request.
fn exported(client: Client, environment: EnvironmentId, name: String, diff: Box<Diff>) -> Asked {
    async move {
        let runtime = tokio::runtime::Handle::current();
        // Packing takes a processor for seconds, and the screen goes on.
        let writing = move || runtime.block_on(export::write(&client, &environment, &name, &diff));
        let written = tokio::task::spawn_blocking(writing).await;
        let written = written.unwrap_or_else(|error| Err(Failure::internal(&error.into())));
        match written {
            Ok(path) => (Tag::Say(format!("wrote {}", path.display())), Ok(Reply::Done)),
            Err(failure) => (Tag::Quiet, Err(failure)),
        }
    }
    .boxed_local()
}

/// Starts a browser beside the loop.
async fn opened(program: OsString, arguments: Vec<OsString>) -> Answered {
    let words = format!("opened with {}", program.to_string_lossy());
    match opener::run(&program, arguments).await {
        Ok(()) => (Tag::Say(words), Ok(Reply::Done)),
        Err(why) => {
            let failure = Failure::new(FailureKind::Unavailable, why)
                .hint("set BROWSER to a program that opens pages, or copy the address");
            (Tag::Quiet, Err(failure))
        }
    }
}

/// Waits for a connection that is being made; forever when none is.
async fn connected(connecting: &mut Option<Connecting>) -> Result<(Client, Events), Failure> {
    match connecting {
        Some(connecting) => connecting.await,
        None => std::future::pending().await,
    }
}

/// What a stream has ready now: `None` when nothing, `Some(None)` when it ended. The task's own
/// waker is used, so that a stream that keeps only its first one still wakes the loop.
async fn ready<Items: Stream + Unpin>(stream: &mut Items) -> Option<Option<Items::Item>> {
    poll_fn(|context| match stream.poll_next_unpin(context) {
        Poll::Ready(item) => Poll::Ready(Some(item)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::conn::{Receiver, Sender};
    use crate::proto::{ClientMessage, ServerMessage, VERSION};

    #[tokio::test]
    async fn the_end_of_a_connection_can_be_met_twice() {
        let (near, far) = tokio::io::duplex(4096);
        let server = async {
            let (reader, writer) = tokio::io::split(far);
            let hello: Option<ClientMessage> = Receiver::new(reader).receive().await.expect("read");
            assert!(hello.is_some());
            let welcome = ServerMessage::Welcome { version: VERSION, pid: 1 };
            Sender::new(writer).send(&welcome).await.expect("sent");
        };
        let (connected, ()) = tokio::join!(Client::from_stream(near), server);
        let (_client, events) = connected.expect("connected");
        let mut told = told(events);
        assert_eq!(told.next().await, None);
        assert_eq!(ready(&mut told).await, Some(None));
    }
}
