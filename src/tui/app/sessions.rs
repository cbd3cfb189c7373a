//! Which sessions are watched, who holds a keyboard, and which size the focused one gets.

use crate::model::environment::Environment;
use crate::model::id::{SessionId, Timestamp};
use crate::model::input::Input;
use crate::model::screen::Size;
use crate::proto::Request;

use super::super::layout::Tile;
use super::super::panes::PaneKey;
use super::{App, Tag};

/// A size is sent once it has been wanted for this long, in milliseconds: each one makes the
/// program repaint, and a window being dragged wants many.
const SIZE_SETTLES: u64 = 80;

/// How long keys are dropped when what they go to changed by itself, in milliseconds: about two
/// keystrokes.
const DEAF: u64 = 400;

/// The size the focused session should get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WantedSize {
    pub(super) pane: PaneKey,
    pub(super) size: Size,
    pub(super) due: Timestamp,
}

impl App {
    /// The session that an environment's tile shows.
    pub(crate) fn shown_session(&self, environment: &Environment) -> PaneKey {
        let chosen = self.shown.get(&environment.id).copied();
        let session = chosen
            .filter(|session| environment.session(*session).is_some())
            .unwrap_or(SessionId::AGENT);
        PaneKey { environment: environment.id.clone(), session }
    }

    pub(crate) fn selected_pane(&self) -> Option<PaneKey> {
        self.selected_environment().map(|environment| self.shown_session(environment))
    }

    /// The tile of the chosen environment, if it has one.
    pub(crate) fn selected_tile(&self) -> Option<Tile> {
        let index = self.selected_index();
        self.layout().tiles.into_iter().find(|tile| tile.index == index)
    }

    /// Brings what follows from the state in line with it: the watched sessions and the size.
    pub(super) fn settle(&mut self) {
        if self.environment_gone() {
            self.selected = self.environments.first().map(|environment| environment.id.clone());
        }
        self.settle_attached();
        self.settle_watched();
        self.settle_size();
        self.settle_copy();
    }

    /// Makes a session the one that its environment's tile shows.
    pub(in super::super) fn show_session(&mut self, pane: PaneKey) {
        self.shown.insert(pane.environment, pane.session);
    }

    fn environment_gone(&self) -> bool {
        self.selected.as_ref().is_none_or(|id| self.environment(id).is_none())
    }

    fn settle_watched(&mut self) {
        let tiles = if self.views.is_empty() { self.layout().tiles } else { Vec::new() };
        let wanted: std::collections::BTreeSet<PaneKey> = tiles
            .iter()
            .filter_map(|tile| self.environments.get(tile.index))
            .map(|environment| (environment, self.shown_session(environment)))
            .filter(|(environment, pane)| environment.session(pane.session).is_some())
            .map(|(_, pane)| pane)
            .collect();
        let gone: Vec<PaneKey> = self.watched.difference(&wanted).cloned().collect();
        for PaneKey { environment, session } in gone {
            self.send(Request::UnwatchScreen { environment, session }, Tag::Quiet);
        }
        let new: Vec<PaneKey> = wanted.difference(&self.watched).cloned().collect();
        for pane in new {
            let PaneKey { environment, session } = pane.clone();
            self.send(Request::WatchScreen { environment, session }, Tag::Watch(pane));
        }
        self.watched = wanted;
    }

    /// A session that started anew is watched anew.
    pub(super) fn watch_again(&mut self, pane: &PaneKey) {
        self.watched.remove(pane);
        self.sent_size.take_if(|(sent, _)| sent == pane);
    }

    fn settle_size(&mut self) {
        let focused = self.selected_pane();
        self.sent_size.take_if(|(sent, _)| Some(&*sent) != focused.as_ref());
        let Some((pane, size)) =
            self.wanted().filter(|wanted| self.sent_size.as_ref() != Some(wanted))
        else {
            self.wanted_size = None;
            return self.keep_size();
        };
        match &self.wanted_size {
            Some(known) if known.pane == pane && known.size == size => {
                if self.now >= known.due {
                    self.wanted_size = None;
                    self.sent_size = Some((pane.clone(), size));
                    self.had_size = false;
                    let PaneKey { environment, session } = pane;
                    let request = Request::ResizeSession { environment, session, size };
                    self.send(request, Tag::Quiet);
                }
            }
            _ => {
                let due = Timestamp(self.now.0 + SIZE_SETTLES);
                self.wanted_size = Some(WantedSize { pane, size, due });
            }
        }
    }

    /// The focused session has the size of its tile: another one later is somebody else's choice.
    fn keep_size(&mut self) {
        if let Some(fitting) = self.fitting().filter(|_| self.wanted().is_none()) {
            self.sent_size = Some(fitting);
            self.had_size = true;
        }
    }

    /// The focused session and the size its tile has for it.
    fn fitting(&self) -> Option<(PaneKey, Size)> {
        if !self.views.is_empty() {
            return None;
        }
        Some((self.selected_pane()?, self.selected_tile()?.session_size()))
    }

    /// The same, when it has another size.
    fn wanted(&self) -> Option<(PaneKey, Size)> {
        let (pane, size) = self.fitting()?;
        let session = self.environment(&pane.environment)?.session(pane.session)?;
        let has = self.panes.get(&pane).map_or(session.size, |pane| pane.screen.size);
        (has != size).then_some((pane, size))
    }

    /// The size that a session has for another client, where it is not that of its tile here.
    pub(crate) fn sized_elsewhere(&self, pane: &PaneKey) -> Option<Size> {
        let wanted = self.wanted().filter(|(focused, _)| focused == pane)?;
        let session = self.environment(&pane.environment)?.session(pane.session)?;
        let held = session.taken && self.keyboard.as_ref() != Some(pane);
        let lost = self.had_size && self.sent_size.as_ref() == Some(&wanted);
        (held || lost).then(|| self.panes.get(pane).map_or(session.size, |pane| pane.screen.size))
    }

    /// Takes the keyboard of the shown session.
    pub(in super::super) fn take_keyboard(&mut self) {
        let Some(environment) = self.selected_environment() else { return };
        let pane = self.shown_session(environment);
        if environment.session(pane.session).is_none() {
            let name = environment.name.clone();
            self.say(format!("{name} has no session yet"));
            return;
        }
        if self.layout().tiles.is_empty() {
            self.zoomed = true;
        }
        self.leave_copy();
        if let Some(shown) = self.panes.get_mut(&pane) {
            shown.scroll = None;
        }
        // Who types has the size.
        self.sent_size = None;
        self.see(&pane.environment);
        self.hear(&pane);
        self.keyboard = Some(pane.clone());
        let PaneKey { environment, session } = pane.clone();
        self.send(Request::TakeKeyboard { environment, session }, Tag::Keyboard(pane));
        self.dirty = true;
    }

    /// Takes the keyboard of a shell that was opened, once it is listed: who opens a shell wants to
    /// type into it. Not when the user has gone elsewhere meanwhile.
    pub(super) fn enter_opened(&mut self) {
        let listed = self.opened.as_ref().is_some_and(|pane| {
            let environment = self.environment(&pane.environment);
            environment.is_some_and(|environment| environment.session(pane.session).is_some())
        });
        if !listed {
            return;
        }
        let opened = self.opened.take();
        if self.is_on_deck() && self.selected_pane() == opened {
            self.take_keyboard();
        }
    }

    /// A shell was opened. It is shown, unless the user types into another session of its box.
    pub(super) fn shell_started(&mut self, pane: PaneKey) {
        self.dirty = true;
        let held = self.keyboard.as_ref().is_some_and(|held| held.environment == pane.environment);
        if held {
            return self.say_with_hint("the shell is open", "Tab shows it, on the deck");
        }
        self.shown.insert(pane.environment.clone(), pane.session);
        self.opened = Some(pane);
        self.enter_opened();
    }

    /// Whether keys go to the deck.
    pub(super) fn is_on_deck(&self) -> bool {
        self.views.is_empty()
            && self.overlay.is_none()
            && self.keyboard.is_none()
            && self.copy.is_none()
    }

    /// Drops keys for a moment: those on their way are not for what is there now.
    pub(super) fn drop_keys(&mut self) {
        self.deaf_until = Timestamp(self.now.0 + DEAF);
    }

    /// Another environment is chosen on the deck than the user chose.
    pub(super) fn selection_moved(&mut self) {
        if self.is_on_deck() {
            self.drop_keys();
        }
        self.dirty = true;
    }

    /// Gives the keyboard back, if it is held.
    pub(in super::super) fn give_keyboard(&mut self) {
        if let Some(PaneKey { environment, session }) = self.keyboard.take() {
            self.send(Request::GiveKeyboard { environment, session }, Tag::Quiet);
            self.dirty = true;
        }
    }

    /// The session whose keyboard is held is gone. Keys already on their way are not for the deck.
    pub(super) fn lose_keyboard(&mut self, pane: &PaneKey) {
        if self.keyboard.take_if(|held| held == pane).is_some() {
            self.drop_keys();
            self.dirty = true;
        }
    }

    /// Sends an input to a session, whose screen is then live again.
    pub(super) fn type_into(&mut self, pane: &PaneKey, input: Input) {
        if let Some(shown) = self.panes.get_mut(pane)
            && shown.scroll.take().is_some()
        {
            self.dirty = true;
        }
        let PaneKey { environment, session } = pane.clone();
        self.send(Request::SendInput { environment, session, input }, Tag::Typed);
    }

    /// Moves the shown session's view by lines, asking for rows that are not here.
    pub(super) fn scroll_session(&mut self, pane: &PaneKey, lines: i64, height: u16) {
        self.dirty = true;
        if let Some(copy) = self.copy.as_mut().filter(|copy| copy.pane == *pane) {
            return copy.scroll_by(lines, height);
        }
        let Some(shown) = self.panes.get_mut(pane) else { return };
        let missing = shown.scroll_by(lines, height);
        if let Some((start, count)) = missing {
            let PaneKey { environment, session } = pane.clone();
            let request = Request::ReadLines { environment, session, start, count };
            self.send(request, Tag::Scrollback(pane.clone()));
        }
    }
}
