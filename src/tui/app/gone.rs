//! The time without a server: what is shown of it, what is refused, and how it ends.
//!
//! The screens stay as they were last. What is typed meanwhile is refused in the open: a key that
//! waited would arrive in a program that has moved on.

use crate::client;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::Timestamp;
use crate::model::input::Input;
use crate::proto::Request;

use super::super::action::{Action, Scope};
use super::super::keymap;
use super::super::panes::PaneKey;
use super::{App, Effect, Tag};

/// After an interruption keys are dropped until none was typed for this long, in milliseconds:
/// the middle of a word must not become a command of the deck, or half a command of a shell.
const QUIET: u64 = 400;

/// The server is gone, or stopped.
#[derive(Debug)]
pub(crate) struct Gone {
    pub(crate) since: Timestamp,
    /// Someone told it to end, so that it is waited for and not started.
    pub(crate) stopped: bool,
    /// One that runs is older than this program.
    pub(crate) older: bool,
    /// Keys typed meanwhile into the session whose keyboard was held.
    pub(crate) refused: u32,
    /// The session whose keyboard was held when it went.
    pub(crate) held: Option<PaneKey>,
}

impl App {
    pub(super) fn server_lost(&mut self) {
        self.end_interruption();
        let held = self.keyboard.take();
        self.gone = Some(Gone {
            since: self.now,
            stopped: std::mem::take(&mut self.stopping),
            older: false,
            refused: self.interrupted.take().unwrap_or_default(),
            held,
        });
        self.message.take_if(|message| !message.failed);
        self.opened = None;
        self.dirty = true;
    }

    /// Whether the server said that it ends, which is then meant.
    pub(crate) fn server_is_stopping(&self) -> bool {
        self.stopping
    }

    /// A server could not be had; it is tried again.
    pub(super) fn server_trouble(&mut self, failure: &Failure) {
        let Some(gone) = &mut self.gone else { return };
        let older = failure.kind == FailureKind::OlderServer;
        let new = !(older && gone.older);
        gone.older = older;
        if new {
            self.fail(failure);
        }
    }

    /// A server is there: everything is asked for anew, and the keyboard is nobody's.
    pub(super) fn server_back(&mut self) {
        let Some(gone) = self.gone.take() else { return };
        self.watched.clear();
        self.sent_size = None;
        self.wanted_size = None;
        self.dirty = true;
        let repository = self.settings.repository.clone().filter(|_| !self.settings.all);
        self.send(Request::FollowDeck { repository: repository.clone() }, Tag::Quiet);
        self.send(Request::ListEnvironments { repository }, Tag::Listed);
        self.read_repository();
        if let Some(attached) = &mut self.attached {
            attached.take_again();
        }
        self.interrupted = gone.held.is_some().then_some(gone.refused);
        if self.interrupted.is_some() {
            self.deaf_until = Timestamp(self.now.0 + QUIET);
        }
        self.say_back();
        if self.interrupted.is_none() {
            self.doubtful = 0;
        }
    }

    /// Forgets an interruption, if it is over, and with it the keys that were said to be lost.
    fn end_interruption(&mut self) {
        if self.gone.is_none() && self.interrupted.is_some() && self.now >= self.deaf_until {
            self.interrupted = None;
            self.doubtful = 0;
        }
    }

    fn say_back(&mut self) {
        let mut text = "the server is back".to_owned();
        let keys =
            |count: u32| if count == 1 { "1 key".to_owned() } else { format!("{count} keys") };
        if let Some(count @ 1..) = self.interrupted {
            text += &format!("; {} typed meanwhile went nowhere", keys(count));
        }
        if self.doubtful > 0 {
            text += &format!("; {} before that may not have arrived", keys(self.doubtful));
        }
        match self.interrupted {
            Some(_) if self.attached.is_none() => {
                self.say_with_hint(text, "Enter takes the keyboard again");
            }
            _ => self.say(text),
        }
    }

    /// Takes what is typed while there is no server, or right after, if it is for a session.
    pub(super) fn refuse_input(&mut self, input: &Input) -> bool {
        if self.overlay.is_some() {
            return false;
        }
        let Some(gone) = self.gone.as_mut().filter(|gone| gone.held.is_some()) else {
            return self.interrupted.is_some() && self.refuse_late(input);
        };
        match input {
            Input::Key(key)
                if keymap::lookup(Scope::Keyboard, *key) == Some(Action::GiveKeyboard) =>
            {
                gone.held = None;
                if self.attached.is_some() {
                    self.leave();
                }
            }
            Input::Key(_) => gone.refused += 1,
            Input::Paste(text) => gone.refused += text.chars().count() as u32,
            Input::Focus(_) => {}
            Input::Mouse(_) => return false,
        }
        self.dirty = true;
        true
    }

    /// Keys that follow each other still belong to what was interrupted.
    fn refuse_late(&mut self, input: &Input) -> bool {
        let count = match input {
            Input::Key(_) => 1,
            Input::Paste(text) => text.chars().count() as u32,
            Input::Mouse(_) | Input::Focus(_) => return false,
        };
        self.end_interruption();
        if self.interrupted.is_none() {
            return false;
        }
        self.interrupted = self.interrupted.map(|refused| refused + count);
        self.deaf_until = Timestamp(self.now.0 + QUIET);
        self.say_back();
        true
    }

    /// Whether a session may be typed into again after an interruption.
    pub(in super::super) fn is_quiet(&self) -> bool {
        self.interrupted.is_none() || self.now >= self.deaf_until
    }

    /// Answers, while there is no server, what would be asked of it.
    pub(super) fn refuse_requests(&mut self) {
        if self.gone.is_none() {
            return;
        }
        for effect in std::mem::take(&mut self.outbox) {
            match effect {
                Effect::Send(_, tag) if tag.is_courtesy() => {}
                Effect::Send(_, tag) => {
                    let failure =
                        Failure::new(FailureKind::Unavailable, "not done: the server is gone")
                            .hint("the agents go on; try again when it is back");
                    self.take_failure(tag, &failure);
                }
                other => self.outbox.push(other),
            }
        }
    }

    /// The server went before it answered. Returns whether nothing more need be said.
    pub(super) fn take_loss(&mut self, tag: &Tag) -> bool {
        if *tag == Tag::Typed {
            // Losses may be heard of before the server is known to be gone.
            self.end_interruption();
            self.doubtful += 1;
        }
        tag.is_courtesy() || matches!(tag, Tag::Typed | Tag::Keyboard(_))
    }

    /// Whether a keyboard was held when the server went, and not given back since.
    pub(super) fn gone_held(&self) -> bool {
        self.gone.as_ref().is_some_and(|gone| gone.held.is_some())
    }

    /// Starts a server that was stopped, or replaces an older one.
    pub(super) fn restart_server(&mut self) {
        match &mut self.gone {
            Some(gone) => {
                (gone.stopped, gone.older) = (false, false);
                self.outbox.push(Effect::RestartServer);
            }
            None => self.say_with_hint("the server runs", "agentdeck server restart restarts it"),
        }
        self.dirty = true;
    }

    /// Drops the environments that a new server does not list.
    pub(super) fn keep_listed(&mut self, listed: &[crate::model::environment::Environment]) {
        let known = self.environments.iter().map(|environment| environment.id.clone());
        let gone: Vec<_> =
            known.filter(|id| !listed.iter().any(|environment| environment.id == *id)).collect();
        for id in gone {
            self.environment_removed(&id);
        }
    }

    /// When the words about the server that is gone change next, or a keyboard may be taken again.
    pub(super) fn gone_changes(&self) -> Option<Timestamp> {
        let second =
            |gone: &Gone| Timestamp(self.now.0 + 1000 - (self.now.0 - gone.since.0) % 1000);
        let quiet = self.interrupted.is_some() && self.attached.is_some();
        self.gone.as_ref().map(second).or(quiet.then_some(self.deaf_until))
    }

    /// The wall clock was set: what was to happen at a time happens soon.
    pub(crate) fn clock_jumped(&mut self, now: Timestamp) {
        self.now = now;
        self.deaf_until = Timestamp::default();
        self.wanted_size = None;
        self.released = None;
        if let Some(message) = &mut self.message {
            message.at = now;
        }
        if let Some(gone) = &mut self.gone {
            gone.since = now;
        }
        self.settle();
        self.dirty = true;
    }
}

impl Tag {
    /// Asked for by the client itself: its failure is no news to a person.
    fn is_courtesy(&self) -> bool {
        matches!(
            self,
            Self::Quiet
                | Self::Watch(_)
                | Self::Repository
                | Self::Scrollback(_)
                | Self::Listed
                | Self::Notice(_)
        )
    }
}

pub(super) fn is_loss(failure: &Failure) -> bool {
    client::is_lost(failure)
}
