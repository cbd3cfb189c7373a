//! Delivers prompts: waits until one can be typed, types it, waits until it stands on the screen,
//! enters it, and looks what comes of it.
//!
//! That a prompt is about to be typed is on the disk before its first key. A person who types
//! meanwhile keeps it from being entered.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::time::timeout;

use super::echo::{Echo, Seen};
use super::line::Line;
use super::queue::{Queue, Readers};
use super::ready::{Ready, Sight};
use super::would_run;
use crate::deck::front::Front;
use crate::deck::hands::Program;
use crate::deck::shared::{Shared, now};
use crate::deck::terminal::{Change, Terminal};
use crate::model::environment::{Environment, SessionState};
use crate::model::failure::Failure;
use crate::model::id::{EnvironmentId, SessionId, Timestamp};
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::prompt::{Delivery, PromptId, Sign};
use crate::model::screen::Screen;
use crate::model::status::{Doing, Status};

/// How long nothing must have been printed before a program that tells no state is typed into: a
/// prompt that stands between two lines of output is none.
const QUIET: Duration = Duration::from_millis(500);
/// How long a program that paints the whole screen and tells no state is left alone after its start:
/// it asks for pastes before there is a place for them.
const STARTS: Duration = Duration::from_secs(4);
/// Between two looks at a program that prints: it may do so sixty times a second.
const PACE: Duration = Duration::from_millis(200);
/// A look without any cause, should one have been missed.
const AT_LEAST: Duration = Duration::from_secs(15);
/// How long a text may take to be shown: programs that start up, or sort out a large paste.
const ECHO: Duration = Duration::from_secs(5);
/// Between the echo and Enter. Agents take an Enter right after text for a part of a paste.
const SETTLE: Duration = Duration::from_millis(150);
/// How long it may take until an agent shows that it took a prompt. One that has just started, or
/// resumed, takes it at once and begins with it when it is ready, on a busy machine a while later.
const CONFIRM: Duration = Duration::from_secs(20);
/// Between two prompts for one agent, so that the first shows in its status.
const APART: Duration = Duration::from_secs(1);

const AGENT: SessionId = SessionId::AGENT;

/// Delivers one prompt after another until none is left.
pub(super) async fn work(shared: Arc<Shared>, id: EnvironmentId, queue: Arc<Queue>) {
    while let Some((prompt, text)) = queue.next() {
        let (shared, changed) = (&shared, Instant::now());
        let echo = Echo::of(&text);
        let (id, queue) = (&id, &queue);
        let mut courier = Courier { shared, id, queue, prompt, text, echo, sequence: 0, changed };
        let Some(delivery) = courier.deliver().await else { continue };
        let typed = !matches!(delivery, Delivery::Failed { .. });
        queue.settle(prompt, delivery);
        if let Err(failure) = queue.save().await {
            tracing::warn!(environment = %id, "a receipt was not kept: {failure}");
        }
        super::publish(shared, id, queue).await;
        if typed {
            tokio::time::sleep(APART).await;
        }
    }
}

/// One prompt on its way.
struct Courier<'a> {
    shared: &'a Arc<Shared>,
    id: &'a EnvironmentId,
    queue: &'a Arc<Queue>,
    prompt: PromptId,
    text: String,
    echo: Echo,
    /// The screen's last change that was seen, and when.
    sequence: u64,
    changed: Instant,
}

/// What came of typing it.
enum Attempt {
    Settled(Delivery),
    /// Nothing of it was typed.
    NotNow(String),
}

/// How it was when the text was typed.
struct Typed {
    keys: u64,
    seen: Seen,
    terminal: Arc<Terminal>,
}

/// How it was when the text was entered.
struct Entered {
    status: Option<Status>,
    was_at_cursor: bool,
}

impl Courier<'_> {
    /// Waits and types; `None` when the prompt waits no more.
    async fn deliver(&mut self) -> Option<Delivery> {
        loop {
            // Listened to before the look, so that no change falls between both.
            let changes = self.shared.terminal(self.id, AGENT).map(|terminal| terminal.changes());
            let line = self.shared.prompts.lines.of(self.id);
            let found = self.look(&lock(&line));
            let why = match found {
                Ready::Never(failure) => return Some(failed(&failure)),
                Ready::Wait(why) => why,
                Ready::Now if self.meets_shell().await => {
                    return Some(failed(&would_run(&self.name())));
                }
                Ready::Now => match self.attempt().await? {
                    Attempt::Settled(delivery) => return Some(delivery),
                    Attempt::NotNow(why) => why,
                },
            };
            if self.queue.put_off(self.prompt, why)? {
                super::publish(self.shared, self.id, self.queue).await;
            }
            self.pause(changes).await;
        }
    }

    /// Whether it can be typed now.
    fn look(&mut self, line: &Line) -> Ready {
        let Some(view) = self.shared.hub.view(self.id) else {
            return Ready::Wait("it is not listed yet".to_owned());
        };
        let Some(terminal) = self.shared.terminal(self.id, AGENT) else {
            let screen = Screen::blank(crate::model::screen::Size::DEFAULT);
            return self.sight(&view, &screen, None, line).ready_for(&self.text);
        };
        let screen = terminal.moment().1;
        if screen.sequence != self.sequence {
            (self.sequence, self.changed) = (screen.sequence, Instant::now());
        }
        let reported = terminal.evidence(false).reported.map(|claim| claim.state);
        self.sight(&view, &screen, reported, line).ready_for(&self.text)
    }

    /// Whether a shell would run what is meant for an agent.
    async fn meets_shell(&self) -> bool {
        if self.queue.readers(self.prompt) == Readers::All {
            return false;
        }
        let Ok(record) = self.shared.record(self.id).await else { return false };
        let front = Front::look(self.shared, &record).await;
        front.program(&record.environment) == Program::Shell
    }

    fn name(&self) -> String {
        self.shared.hub.view(self.id).map_or_else(String::new, |view| view.name.to_string())
    }

    fn sight<'a>(
        &self,
        environment: &'a Environment,
        screen: &'a Screen,
        reported: Option<Doing>,
        line: &Line,
    ) -> Sight<'a> {
        let is_quiet = self.changed.elapsed() >= QUIET;
        let is_linked = self.shared.link(self.id).is_ok();
        // Agents draw their cursor themselves: what stands before the terminal's says nothing.
        let is_drawn = screen.modes.alternate_screen || crate::deck::status::is_known(environment);
        let is_begun =
            if is_drawn { line.is_begun() } else { line.is_seen(screen, Instant::now()) };
        let begun = is_begun.then(|| line.words());
        let is_starting = screen.modes.alternate_screen && !self.starts().is_zero();
        Sight { environment, reported, screen, is_quiet, is_linked, begun, is_starting }
    }

    /// How long its program still counts as one that was just started.
    fn starts(&self) -> Duration {
        let view = self.shared.hub.view(self.id);
        let started = view.as_ref().and_then(|view| view.session(AGENT)).map(|agent| agent.started);
        let age = started.map_or(0, |started| now().0.saturating_sub(started.0));
        STARTS.saturating_sub(Duration::from_millis(age))
    }

    /// Waits until it may be another.
    async fn pause(&self, changes: Option<watch::Receiver<Change>>) {
        let quiet = QUIET.saturating_sub(self.changed.elapsed());
        let line = self.shared.prompts.lines.of(self.id);
        let settles = lock(&line).settles(Instant::now());
        let given = |time: Duration| (!time.is_zero()).then_some(time);
        let soon = [given(quiet), given(self.starts()), settles];
        let wait = soon.into_iter().flatten().min().unwrap_or(AT_LEAST);
        let changed = async {
            match changes {
                Some(mut changes) => {
                    let _ = changes.changed().await;
                    tokio::time::sleep(PACE).await;
                }
                None => tokio::time::sleep(PACE).await,
            }
        };
        tokio::select! {
            () = self.queue.moved.notified() => {}
            () = changed => {}
            () = tokio::time::sleep(wait) => {}
        }
    }

    /// Types it, enters it, and looks what comes of it.
    async fn attempt(&mut self) -> Option<Attempt> {
        if !self.queue.claim(self.prompt) {
            return None;
        }
        if let Err(failure) = self.queue.save().await {
            // What is not on the disk would be typed a second time after a kill.
            return Some(Attempt::Settled(failed(&failure)));
        }
        super::publish(self.shared, self.id, self.queue).await;
        let typed = match self.type_text() {
            Ok(typed) => typed,
            Err(Ready::Never(failure)) => return Some(Attempt::Settled(failed(&failure))),
            Err(other) => {
                let why = match other {
                    Ready::Wait(why) => why,
                    _ => String::new(),
                };
                self.queue.give_back(self.prompt, why.clone());
                super::publish(self.shared, self.id, self.queue).await;
                if let Err(failure) = self.queue.save().await {
                    tracing::warn!(environment = %self.id, "a prompt is not kept: {failure}");
                }
                return Some(Attempt::NotNow(why));
            }
        };
        Some(Attempt::Settled(match self.see_it(&typed).await {
            Ok(()) => match self.enter(&typed) {
                Ok(entered) => self.see_it_taken(&typed, &entered).await,
                Err(why) => left_standing(&why),
            },
            Err(delivery) => delivery,
        }))
    }

    /// Types the text, unless somebody began to meanwhile. Keys of people wait.
    fn type_text(&mut self) -> Result<Typed, Ready> {
        let line = self.shared.prompts.lines.of(self.id);
        let mut line = lock(&line);
        match self.look(&line) {
            Ready::Now => {}
            other => return Err(other),
        }
        let wait = |failure: Failure| Ready::Wait(failure.message);
        let link = self.shared.link(self.id).map_err(wait)?;
        let terminal = self.shared.terminal(self.id, AGENT);
        let terminal = terminal.ok_or_else(|| Ready::Wait("it has no screen yet".to_owned()))?;
        let seen = self.echo.look(&terminal.moment().1);
        let bytes = terminal.encode(&Input::Paste(self.text.clone()));
        link.input(AGENT, &bytes).map_err(wait)?;
        line.put(&self.text);
        Ok(Typed { keys: line.keys, seen, terminal })
    }

    /// Waits until the text stands on the screen.
    async fn see_it(&self, typed: &Typed) -> Result<(), Delivery> {
        let echo = &self.echo;
        let shown = until(&typed.terminal, ECHO, || {
            if echo.look(&typed.terminal.moment().1).is_more_than(typed.seen) {
                return Some(true);
            }
            (!self.runs()).then_some(false)
        });
        match shown.await {
            Some(true) => {
                tokio::time::sleep(SETTLE).await;
                Ok(())
            }
            Some(false) => Err(Delivery::Failed {
                why: "its program ended before it showed the text".to_owned(),
                hint: None,
            }),
            None => {
                let line = self.shared.prompts.lines.of(self.id);
                lock(&line).hidden();
                Err(left_standing("its program does not show what was typed"))
            }
        }
    }

    /// Presses Enter, unless a person is there or the agent asks by now.
    fn enter(&self, typed: &Typed) -> Result<Entered, String> {
        let line = self.shared.prompts.lines.of(self.id);
        let mut line = lock(&line);
        if line.keys != typed.keys {
            return Err("somebody typed meanwhile".to_owned());
        }
        let view = self.shared.hub.view(self.id).ok_or("it is gone")?;
        let session = view.session(AGENT).ok_or("its session is gone")?;
        if session.taken {
            return Err("somebody took its keyboard meanwhile".to_owned());
        }
        let screen = typed.terminal.moment().1;
        let reported = typed.terminal.evidence(false).reported.map(|claim| claim.state);
        if self.sight(&view, &screen, reported, &line).asks().is_some() {
            return Err("it began to ask something meanwhile".to_owned());
        }
        let key = Input::Key(Key { code: KeyCode::Enter, modifiers: Modifiers(0) });
        let link = self.shared.link(self.id).map_err(|failure| failure.message)?;
        link.input(AGENT, &typed.terminal.encode(&key)).map_err(|failure| failure.message)?;
        line.entered();
        self.shared.hands.sent(self.id);
        let was_at_cursor = self.echo.is_at_cursor(&screen);
        Ok(Entered { status: told(session.status.clone()), was_at_cursor })
    }

    /// Looks until something tells that the program took it.
    async fn see_it_taken(&self, typed: &Typed, entered: &Entered) -> Delivery {
        let by_screen = || {
            let screen = typed.terminal.moment().1;
            let left = entered.was_at_cursor && !self.echo.is_at_cursor(&screen);
            left || !self.echo.look(&screen).is_more_than(typed.seen)
        };
        let has_status = entered.status.is_some();
        let found = until(&typed.terminal, CONFIRM, || {
            let status = self.status();
            if has_status && began(entered.status.as_ref(), status.as_ref()) {
                return Some(Delivery::Taken { sign: Sign::Status });
            }
            if !self.runs() {
                let why = "its program ended right after it was entered".to_owned();
                return Some(Delivery::Unsure { why });
            }
            // An agent's screen may move for any reason: its status is waited for.
            (!has_status && by_screen()).then_some(Delivery::Taken { sign: Sign::Screen })
        });
        if let Some(delivery) = found.await {
            return delivery;
        }
        if has_status && !self.echo.look(&typed.terminal.moment().1).is_more_than(typed.seen) {
            return Delivery::Taken { sign: Sign::Screen };
        }
        let why = "it was typed and entered, and nothing tells that it was taken".to_owned();
        Delivery::Unsure { why }
    }

    fn status(&self) -> Option<Status> {
        told(self.shared.hub.view(self.id)?.session(AGENT)?.status.clone())
    }

    fn runs(&self) -> bool {
        let view = self.shared.hub.view(self.id);
        let session = view.as_ref().and_then(|view| view.session(AGENT));
        session.is_some_and(|session| session.state == SessionState::Running)
    }
}

/// Looks after each change of a screen, and now and then besides, until something is found.
async fn until<T>(
    terminal: &Terminal,
    patience: Duration,
    mut find: impl FnMut() -> Option<T>,
) -> Option<T> {
    /// Statuses change a moment after screens do.
    const BESIDES: Duration = Duration::from_millis(100);
    let deadline = Instant::now() + patience;
    let mut changes = terminal.changes();
    loop {
        changes.mark_unchanged();
        if let Some(found) = find() {
            return Some(found);
        }
        if Instant::now() >= deadline {
            return None;
        }
        let _ = timeout(BESIDES, changes.changed()).await;
        // A program that paints all the time is looked at as often as people can see.
        tokio::time::sleep(Duration::from_millis(16)).await;
    }
}

/// Whether an agent that rested does something now, or did since.
fn began(before: Option<&Status>, now: Option<&Status>) -> bool {
    let at = |status: Option<&Status>| status.map(|status| (status.state, status.since));
    let rests = |state: Doing| matches!(state, Doing::Idle | Doing::Unknown);
    match (at(before), at(now)) {
        (Some(before), Some((state, since))) => {
            before != (state, since) && !rests(state) && since > Timestamp::default()
        }
        _ => false,
    }
}

/// A status by which it shows that a prompt was taken.
fn told(status: Option<Status>) -> Option<Status> {
    status.filter(Status::tells_of_turns)
}

fn failed(failure: &Failure) -> Delivery {
    let why = format!("{}; nothing was typed", failure.message);
    Delivery::Failed { why, hint: failure.hint.clone() }
}

/// The text is there and nobody pressed Enter.
fn left_standing(why: &str) -> Delivery {
    Delivery::Unsure { why: format!("{why}: it was typed, and not entered") }
}

fn lock(line: &std::sync::Mutex<Line>) -> MutexGuard<'_, Line> {
    line.lock().unwrap_or_else(PoisonError::into_inner)
}
