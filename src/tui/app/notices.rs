//! Tells the user once that an environment needs them: what began a moment ago, still holds, is not
//! on the screen, and was told by no other client.
//!
//! Which that is, the server knows: each notice is announced to it, and only the first announcement
//! of a change is told. So nothing is told again after a restart or by a second client.

use std::collections::BTreeMap;

use crate::model::attention::{Attend, Call, Reason};
use crate::model::environment::Environment;
use crate::model::id::{EnvironmentId, SessionId, Timestamp};
use crate::proto::{Request, Target};

use super::super::widget::{fit, foreign};
use super::{App, Effect, Tag};

/// How long a change must hold before it is told, in milliseconds: agents go through states.
const HOLDS: u64 = 1_000;
/// Changes of so many milliseconds are told together: a fleet that stops is one message.
const TOGETHER: u64 = 400;
/// Names in one message; more are counted.
const MOST_NAMED: usize = 4;
/// Columns of what an agent says.
const WORDS: usize = 120;
/// How long a snoozed environment is silent, in milliseconds.
const SNOOZE: u64 = 15 * 60 * 1000;

/// One message for the user: words of ours, and an agent's own made printable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice {
    pub(crate) names: Vec<String>,
    pub(crate) title: String,
    pub(crate) body: String,
}

/// What is to be told, and what is told together.
#[derive(Debug)]
pub(crate) struct Notices {
    /// Changes that must hold, and until when.
    held: BTreeMap<EnvironmentId, (Call, Timestamp)>,
    /// What the server lets this client tell.
    granted: Vec<EnvironmentId>,
    told_at: Option<Timestamp>,
    /// The user wants to hear nothing.
    pub(crate) quiet: bool,
    /// The terminal has the focus, as far as it tells.
    pub(crate) focused: bool,
}

impl Default for Notices {
    fn default() -> Self {
        let (held, granted) = (BTreeMap::new(), Vec::new());
        Self { held, granted, told_at: None, quiet: false, focused: true }
    }
}

impl Notices {
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        self.held.values().map(|(_, due)| *due).chain(self.told_at).min()
    }
}

impl App {
    /// Takes note of what an environment calls for by now.
    pub(super) fn notice_call(&mut self, environment: &Environment) {
        let id = &environment.id;
        if self.attached.is_some() {
            // Who sits at one session is told of the others where they are shown.
            return;
        }
        let call = environment.call().filter(|call| call.since > environment.attention.noticed);
        let Some(call) = call else {
            self.notices.held.remove(id);
            return;
        };
        if self.notices.held.get(id).is_none_or(|(held, _)| *held != call) {
            let due = Timestamp(self.now.0 + HOLDS);
            self.notices.held.insert(id.clone(), (call, due));
        }
    }

    /// Announces what has held for long enough, and tells what was granted.
    pub(super) fn settle_notices(&mut self) {
        let now = self.now;
        let due = self.notices.held.extract_if(.., |_, (_, due)| *due <= now);
        for (id, (call, _)) in due.collect::<Vec<_>>() {
            let Some(environment) = self.environment(&id) else { continue };
            if environment.call() != Some(call) {
                continue;
            }
            let snoozed = environment.attention.snoozed;
            if snoozed > now {
                // It is told when that is over, if it still holds.
                self.notices.held.insert(id, (call, snoozed));
                continue;
            }
            let silent = self.notices.quiet || self.is_on_screen(environment);
            let attend = Attend::Notice { since: call.since };
            let tag = if silent { Tag::Quiet } else { Tag::Notice(id.clone()) };
            self.send(Request::Attend { target: Target::Id(id), attend }, tag);
        }
        if self.notices.told_at.is_some_and(|at| at <= now) {
            self.tell_notices();
        }
    }

    /// The server lets this client tell it.
    pub(super) fn notice_granted(&mut self, id: EnvironmentId) {
        self.notices.granted.push(id);
        self.notices.told_at.get_or_insert(Timestamp(self.now.0 + TOGETHER));
    }

    fn tell_notices(&mut self) {
        self.notices.told_at = None;
        let granted = std::mem::take(&mut self.notices.granted);
        let calling: Vec<&Environment> = granted
            .iter()
            .filter_map(|id| self.environment(id))
            .filter(|environment| environment.call().is_some())
            .collect();
        let Some(notice) = notice(&calling) else { return };
        let words = match notice.body.as_str() {
            "" => notice.title.clone(),
            body => format!("{}: {body}", notice.title),
        };
        if self.message.as_ref().is_none_or(|message| !message.failed) {
            self.say_with_hint(words, "! goes there");
        }
        self.outbox.push(Effect::Notify(notice));
    }

    /// Whether the user sees the agent's session right now.
    fn is_on_screen(&self, environment: &Environment) -> bool {
        let shown = self.layout().tiles.iter().any(|tile| {
            self.environments.get(tile.index).is_some_and(|it| it.id == environment.id)
        });
        self.notices.focused
            && self.views.is_empty()
            && shown
            && self.shown_session(environment).session == SessionId::AGENT
    }

    /// Has the chosen environment call for nobody for a while, or again.
    pub(super) fn snooze(&mut self, id: EnvironmentId) {
        let Some(environment) = self.environment(&id) else { return };
        let name = environment.name.clone();
        let (until, words) = if environment.attention.snoozed > self.now {
            (Timestamp::default(), format!("{name} calls again"))
        } else {
            let until = Timestamp(self.now.0 + SNOOZE);
            (until, format!("{name} calls for nobody for 15 minutes"))
        };
        let attend = Attend::Snooze { until };
        self.send(Request::Attend { target: Target::Id(id), attend }, Tag::Say(words));
    }

    /// Turns notices off, or on again.
    pub(super) fn toggle_quiet(&mut self) {
        self.notices.quiet = !self.notices.quiet;
        let words = if self.notices.quiet { "nothing is announced" } else { "notices are back" };
        self.say_with_hint(words, "Z changes it");
    }

    /// The user looks at an environment: what it called for is seen.
    pub(super) fn see(&mut self, id: &EnvironmentId) {
        self.attention.remove(id);
        let Some(environment) = self.environment(id) else { return };
        let Some(call) = environment.call() else { return };
        if call.reason != Reason::Waits && call.since > environment.attention.seen {
            let (target, attend) = (Target::Id(id.clone()), Attend::See { since: call.since });
            self.send(Request::Attend { target, attend }, Tag::Quiet);
        }
    }

    /// When the first snoozed environment calls again.
    pub(super) fn wakes(&self) -> Option<Timestamp> {
        let snoozed = self.environments.iter().map(|it| it.attention.snoozed);
        snoozed.filter(|until| *until > self.now).min()
    }
}

/// One message for all who call.
fn notice(calling: &[&Environment]) -> Option<Notice> {
    let names: Vec<String> = calling.iter().map(|it| it.name.to_string()).collect();
    if let [only] = calling {
        let title = format!("{} {}", only.name, only.call_words()?);
        let agent = only.session(SessionId::AGENT).and_then(|agent| agent.status.as_ref());
        let says = agent.and_then(|status| status.says.as_deref()).unwrap_or_default();
        return Some(Notice { names, title, body: fit(&foreign(says), WORDS) });
    }
    let words = |environment: &&Environment| {
        let words = environment.call_words().unwrap_or_default();
        format!("{} {words}", environment.name)
    };
    let mut told: Vec<String> = calling.iter().take(MOST_NAMED).map(words).collect();
    if calling.len() > MOST_NAMED {
        told.push(format!("{} more", calling.len() - MOST_NAMED));
    }
    let title = format!("{} environments need you", calling.len());
    (!calling.is_empty()).then(|| Notice { names, title, body: told.join(", ") })
}
