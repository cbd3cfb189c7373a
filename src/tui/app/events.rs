//! What the server tells of its own accord.

use crate::model::attention::Reason;
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::id::{EnvironmentId, SessionId};
use crate::proto::Event;

use super::super::panes::PaneKey;
use super::super::status::{self, Status};
use super::{App, View};

impl App {
    pub(super) fn take_event(&mut self, event: Event) {
        match event {
            Event::EnvironmentChanged(environment) => {
                self.environment_changed(*environment);
                self.enter_opened();
            }
            Event::EnvironmentRemoved { environment } => self.environment_removed(&environment),
            Event::SnapshotTaken { environment, snapshot } => {
                self.refresh_views(&environment);
                if let Some(View::History(view)) = self.history_of(&environment) {
                    let follows = view.add(*snapshot);
                    self.dirty = true;
                    if !follows {
                        self.read_history_again(&environment);
                    }
                    self.read_chosen();
                }
            }
            Event::Decided(decision) => {
                self.mark_taken(&decision.environment);
                self.read_repository();
            }
            Event::Screen { environment, session, delta } => {
                let pane = PaneKey { environment, session };
                self.panes.apply(&pane, delta);
                self.dirty |= self.watched.contains(&pane);
            }
            Event::ScreenClosed { environment, session } => {
                self.screen_closed(&PaneKey { environment, session });
            }
            Event::Bell { environment, session } => {
                let pane = PaneKey { environment, session };
                if self.keyboard.as_ref() != Some(&pane) {
                    self.attention.insert(pane.environment);
                    self.dirty = true;
                }
            }
            Event::SnapshotMarked { environment } => self.read_history_again(&environment),
            Event::CommentsChanged { environment } => self.comments_changed(&environment),
            Event::Exec(_) | Event::Working { .. } => {}
            Event::ServerStopping => {
                self.stopping = true;
                self.say_with_hint("the server is stopping", "the agents go on; q leaves");
            }
        }
    }

    fn environment_changed(&mut self, changed: Environment) {
        self.dirty = true;
        self.announce(&changed);
        let Some(known) = self.environments.iter_mut().find(|known| known.id == changed.id) else {
            self.environment_added(changed);
            return;
        };
        let before = std::mem::replace(known, changed);
        let now = known.clone();
        if before.onto != now.onto {
            // What stands on another commit is another change, though no file of it moved.
            self.refresh_views(&now.id);
        }
        for session in &now.sessions {
            let restarted = before.session(session.id).is_some_and(|old| {
                old.started != session.started || (!runs(&old.state) && runs(&session.state))
            });
            if restarted {
                let environment = now.id.clone();
                self.watch_again(&PaneKey { environment, session: session.id });
            }
        }
        self.notice_end(&before, &now);
        self.notice_call(&now);
        if before.attention.seen != now.attention.seen && now.calls(self.now).is_none() {
            // The user looked by another client.
            self.attention.remove(&now.id);
        }
        self.follow_prompts(&now);
        let held = self.keyboard.as_ref().filter(|pane| pane.environment == now.id);
        if let Some(pane) = held.cloned()
            && !now.session(pane.session).is_some_and(|session| runs(&session.state))
        {
            self.lose_keyboard(&pane);
        }
    }

    fn environment_added(&mut self, added: Environment) {
        self.notice_call(&added);
        let unseen = added.call().filter(|call| call.reason != Reason::Waits);
        if unseen.is_some_and(|call| call.since > added.attention.seen) {
            self.attention.insert(added.id.clone());
        }
        self.environments.push(added);
        self.arrange();
        // A deck is told of its environments in any order; keys are for the one that stays chosen.
        // Who came for one session looks at no other.
        if self.selected.is_none() || (self.presses == 0 && self.attached.is_none()) {
            self.select(0);
        }
    }

    /// An environment that was asked for here is made: its notes are said once.
    fn announce(&mut self, environment: &Environment) {
        let made = !matches!(environment.state, EnvironmentState::Creating { .. });
        if !made || self.announced.take_if(|id| *id == environment.id).is_none() {
            return;
        }
        let foreign = super::super::widget::foreign;
        let notes: Vec<String> = environment.notes.iter().map(|note| foreign(note)).collect();
        let name = &environment.name;
        match (&environment.state, notes.is_empty()) {
            (EnvironmentState::Failed { .. }, _) => {
                self.message.take_if(|message| !message.failed);
            }
            (_, true) => self.say(format!("made {name}")),
            (_, false) => {
                let text = format!("made {name}: {}", notes.join(" · "));
                self.say_with_hint(text, "i shows the notes again");
            }
        }
    }

    /// An agent's end, and that of what it was asked to do, call for attention, unless the user is
    /// there.
    fn notice_end(&mut self, before: &Environment, now: &Environment) {
        let (old, new) = (status::known(before), status::known(now));
        let ended = matches!(new, Status::Done | Status::Failed | Status::Unreachable);
        let there = self.keyboard.as_ref().is_some_and(|pane| pane.environment == now.id);
        let goes_on = matches!(new, Status::Running | Status::Working | Status::Idle);
        if ended && old != new && !there {
            self.attention.insert(now.id.clone());
        } else if goes_on && old != new {
            // What ended was a step before the agent, or a person had it go on.
            self.attention.remove(&now.id);
        }
    }

    pub(super) fn environment_removed(&mut self, id: &EnvironmentId) {
        let index = self.selected_index();
        let was_selected = self.selected.as_ref() == Some(id);
        self.environments.retain(|environment| environment.id != *id);
        self.marked.retain(|marked| marked != id);
        self.attention.remove(id);
        self.shown.remove(id);
        self.panes.forget(id);
        self.heard.retain(|pane, _| pane.environment != *id);
        self.watched.retain(|pane| pane.environment != *id);
        if let Some(pane) = self.keyboard.clone().filter(|pane| pane.environment == *id) {
            self.lose_keyboard(&pane);
        }
        if was_selected {
            self.select(index);
            self.selection_moved();
        }
        if self.overlay.is_none()
            && matches!(self.views.last(), Some(View::Map(view)) if view.is_at(id))
        {
            self.drop_keys();
        }
        self.zoomed &= !was_selected;
        self.dirty = true;
    }

    /// A shell that ended makes room for the agent again.
    fn screen_closed(&mut self, pane: &PaneKey) {
        self.watched.remove(pane);
        self.lose_keyboard(pane);
        if pane.session != SessionId::AGENT {
            self.shown.remove(&pane.environment);
            if let Some(environment) =
                self.environments.iter_mut().find(|found| found.id == pane.environment)
            {
                environment.sessions.retain(|session| session.id != pane.session);
            }
        }
        self.dirty = true;
    }

    pub(super) fn history_of(&mut self, environment: &EnvironmentId) -> Option<&mut View> {
        self.views
            .iter_mut()
            .find(|view| matches!(view, View::History(view) if view.environment == *environment))
    }
}

fn runs(state: &SessionState) -> bool {
    matches!(state, SessionState::Running)
}
