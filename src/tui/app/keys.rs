//! From what is typed to what is done: first the session whose keyboard is held, then what lies
//! over the view, then the table of actions.

use crate::model::diff::FileMatches;
use crate::model::input::{Input, Key, KeyCode, Modifiers, MouseKind};

use super::super::action::{Action, Scope};
use super::super::keymap;
use super::{App, Hand, Message, Overlay, Tag, View};

/// A second press of the way out within this long goes to the session, in milliseconds.
const TWICE: u64 = 500;

impl App {
    pub(super) fn take_input(&mut self, input: Input) {
        if self.refuse_input(&input) {
            return;
        }
        match input {
            Input::Mouse(mouse) => self.take_mouse(mouse),
            Input::Focus(focused) => self.take_focus(focused),
            _ if self.overlay.is_some() && self.now < self.deaf_until => {}
            input if self.overlay.is_some() => self.take_overlay_input(&input),
            Input::Key(key) if self.keyboard.is_some() => self.take_held_key(key),
            Input::Key(key) => self.take_key(key),
            Input::Paste(text) => {
                if let Some(pane) = self.keyboard.clone() {
                    self.paste(&pane, text);
                } else {
                    self.search_input(&Input::Paste(text));
                }
            }
        }
    }

    /// The outer terminal got or lost the focus: the held session is told, and the branch may
    /// have changed meanwhile.
    fn take_focus(&mut self, focused: bool) {
        self.notices.focused = focused;
        if let Some(pane) = self.keyboard.clone() {
            self.type_into(&pane, Input::Focus(focused));
        }
        if focused {
            self.read_repository();
        }
    }

    fn take_held_key(&mut self, key: Key) {
        let Some(pane) = self.keyboard.clone() else { return };
        self.leave_copy();
        match keymap::lookup(Scope::Keyboard, key) {
            Some(Action::GiveKeyboard) => {
                self.released = Some((self.now, key, pane));
                self.give_keyboard();
            }
            Some(action) => self.act(action),
            None => self.type_into(&pane, Input::Key(key)),
        }
    }

    fn take_key(&mut self, key: Key) {
        if self.now < self.deaf_until {
            return;
        }
        if let Some((at, released, pane)) = self.released.take()
            && released == key
            && self.now.0 <= at.0 + TWICE
            && self.selected_pane().as_ref() == Some(&pane)
        {
            self.take_keyboard();
            self.type_into(&pane, Input::Key(key));
            return;
        }
        if self.copy.take_if(|copy| copy.hand == Hand::Mouse).is_some() {
            self.dirty = true;
            if key.code == KeyCode::Escape {
                return;
            }
        }
        if self.search_input(&Input::Key(key)) {
            return;
        }
        if let Some(action) = keymap::lookup(self.scope(), key) {
            self.act(action);
        } else if key.code == KeyCode::Char('c') && key.modifiers.has(Modifiers::CONTROL) {
            self.say("q leaves agentdeck; the agents go on");
        }
    }

    /// Gives an input to what is being searched for in the view on top; `false` when nothing is.
    fn search_input(&mut self, input: &Input) -> bool {
        let size = self.size;
        let taken = match self.views.last_mut() {
            None => self.copy_input(input),
            Some(View::Diff(view)) => view.search_input(input, size),
            Some(View::Compare(view)) => view.typed(input),
            Some(View::File(view)) => view.typed(input, size),
            _ => false,
        };
        if taken
            && let Some(View::Diff(view)) = self.views.last()
            && view.everywhere.is_none()
        {
            let ticket = view.ticket;
            self.search_all_files(ticket);
        }
        self.dirty |= taken;
        taken
    }

    /// Asks in which files of a diff there is what is searched for.
    pub(super) fn search_all_files(&mut self, ticket: u64) {
        let Some(View::Diff(view)) = self.view(ticket) else { return };
        if let Some((request, text)) = view.search_request() {
            self.send(request, Tag::Matches { ticket, text });
        }
    }

    pub(super) fn take_matches(
        &mut self,
        ticket: u64,
        text: &str,
        found: Option<Vec<FileMatches>>,
    ) {
        let Some(View::Diff(view)) = self.view(ticket) else { return };
        if !view.fill_matches(text, found) {
            self.search_all_files(ticket);
        }
        self.dirty = true;
    }

    /// Carries an action out and returns what follows from it.
    #[cfg(test)]
    pub(crate) fn update(&mut self, action: Action) -> Vec<super::Effect> {
        self.act(action);
        self.settle();
        self.settle_diff();
        self.paint();
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn act(&mut self, action: Action) {
        self.dirty = true;
        if action == Action::Back && self.message.is_some() {
            // One level at a time: what is below a message is not meant.
            self.dismiss();
            return;
        }
        // What was said in passing is over with the next action; failures stay.
        self.message.take_if(|message: &mut Message| !message.failed);
        match action {
            Action::Help => self.overlay = Some(Overlay::help(self.scope())),
            Action::Palette => self.overlay = Some(Overlay::palette(self.scope())),
            Action::Back | Action::Close => self.back(),
            Action::Leave => self.leave(),
            Action::RestartServer => self.restart_server(),
            action => match self.views.last_mut() {
                None if self.copy.is_some() => self.act_on_copy(action),
                None => self.act_on_deck(action),
                Some(View::Diff(_)) => self.act_on_diff(action),
                Some(View::File(_)) => self.act_on_compared_file(action),
                Some(View::Compare(_)) => self.act_on_comparison(action),
                Some(View::History(_)) => self.act_on_history(action),
                Some(View::Inspect(view)) => view.act(action, self.size),
                Some(View::Denied(_)) => self.act_on_denied(action),
                Some(View::Map(_)) => self.act_on_map(action),
                Some(View::Prompts(_)) => self.act_on_prompts(action),
            },
        }
    }

    /// One level at a time: message, search, view, selection, copy mode, scrollback, what
    /// was asked, zoom, marks.
    fn back(&mut self) {
        if self.dismiss() {
            return;
        }
        let ended = match self.views.last_mut() {
            Some(View::Diff(view)) => view.end_search() || view.end_listing(),
            Some(View::Compare(view)) => view.end_filter(),
            Some(View::File(view)) => view.search.end(),
            _ => false,
        };
        if ended {
            return;
        }
        if self.views.pop().is_some() || self.back_in_copy() {
            return;
        }
        let pane = self.selected_pane();
        let scrolled = pane.as_ref().and_then(|pane| self.panes.get_mut(pane));
        if scrolled.is_some_and(|pane| pane.scroll.take().is_some())
            || pane.is_some_and(|pane| self.hear(&pane))
        {
            return;
        }
        if self.zoomed {
            self.zoomed = false;
        } else {
            self.marked.clear();
        }
    }
}

impl super::InspectView {
    fn act(&mut self, action: Action, size: crate::model::screen::Size) {
        let page = usize::from(size.rows.saturating_sub(4)).max(1);
        self.top = super::scrolled(self.top, action, page, usize::MAX / 2);
    }
}

/// Whether a person did something, and not only the window or the mouse above it.
pub(super) fn is_press(input: &Input) -> bool {
    match input {
        Input::Key(_) | Input::Paste(_) => true,
        Input::Mouse(mouse) => mouse.kind == MouseKind::Press,
        Input::Focus(_) => false,
    }
}
