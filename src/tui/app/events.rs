//! What the server tells of its own accord.

use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::id::{EnvironmentId, SessionId};
use crate::proto::Event;

use super::super::panes::PaneKey;
use super::super::status::{self, Status};
use super::{App, View};

impl App {
    pub(super) fn take_event(&mut self, event: Event) {
        match event {
            Event::EnvironmentChanged(environment) => self.environment_changed(*environment),
            Event::EnvironmentRemoved { environment } => self.environment_removed(&environment),
            Event::SnapshotTaken { environment, snapshot } => {
                if let Some(View::History(view)) = self.history_of(&environment) {
                    view.add(*snapshot);
                    self.dirty = true;
                }
            }
            Event::Decided(_) => self.read_repository(),
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
            Event::Exec(_) => {}
            Event::ServerStopping => {
                self.say_with_hint("the server is stopping", "the agents go on; q leaves");
            }
        }
    }

    fn environment_changed(&mut self, changed: Environment) {
        self.dirty = true;
        let Some(known) = self.environments.iter_mut().find(|known| known.id == changed.id) else {
            self.environment_added(changed);
            return;
        };
        let before = std::mem::replace(known, changed);
        let now = known.clone();
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
        let held = self.keyboard.as_ref().filter(|pane| pane.environment == now.id);
        if held.is_some_and(|pane| now.session(pane.session).is_none()) {
            self.keyboard = None;
        }
    }

    fn environment_added(&mut self, added: Environment) {
        self.selected.get_or_insert_with(|| added.id.clone());
        self.environments.push(added);
        self.environments.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    }

    /// Notes for a new environment are said once, when it is there; an end calls for attention.
    fn notice_end(&mut self, before: &Environment, now: &Environment) {
        let (old, new) = (status::read(before).status, status::read(now).status);
        let ended = matches!(new, Status::Done | Status::Failed | Status::Unreachable);
        if ended && old != new && self.keyboard.is_none() {
            self.attention.insert(now.id.clone());
        }
        if matches!(before.state, EnvironmentState::Creating { .. })
            && matches!(now.state, EnvironmentState::Running)
            && let Some(note) = now.notes.first()
        {
            let note = super::super::widget::foreign(note);
            self.say_with_hint(format!("{}: {note}", now.name), "i shows every note");
        }
    }

    fn environment_removed(&mut self, id: &EnvironmentId) {
        let index = self.selected_index();
        let was_selected = self.selected.as_ref() == Some(id);
        self.environments.retain(|environment| environment.id != *id);
        self.marked.retain(|marked| marked != id);
        self.attention.remove(id);
        self.shown.remove(id);
        self.panes.forget(id);
        self.watched.retain(|pane| pane.environment != *id);
        self.keyboard.take_if(|pane| pane.environment == *id);
        if was_selected {
            self.select(index);
        }
        self.zoomed &= !was_selected;
        self.dirty = true;
    }

    /// A shell that ended makes room for the agent again.
    fn screen_closed(&mut self, pane: &PaneKey) {
        self.watched.remove(pane);
        self.keyboard.take_if(|held| held == pane);
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

    fn history_of(&mut self, environment: &EnvironmentId) -> Option<&mut View> {
        self.views
            .iter_mut()
            .find(|view| matches!(view, View::History(view) if view.environment == *environment))
    }
}

fn runs(state: &SessionState) -> bool {
    matches!(state, SessionState::Running)
}
