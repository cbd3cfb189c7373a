//! Copy mode: a session's lines stand still to be searched, gone through and copied.
//!
//! What is shown is what was here when the mode began, or what came with an answer since; the
//! program goes on meanwhile. Lines that are not here are asked for by range.

mod mode;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::Timestamp;
use crate::model::input::Input;
use crate::model::lines::{Direction, Found, Lines, Passage, Spot};
use crate::proto::Request;

use super::super::action::Action;
use super::super::panes::PaneKey;
use super::search::Typed;
use super::{App, Effect, Search, Tag};

pub(crate) use mode::{CopyMode, Hand, Matches, Unit};

/// Lines that can be copied at once, which is what one answer carries.
const MOST_COPIED_LINES: u32 = 2_000;
/// Bytes that can be copied at once. As Base64 they come to 100,000, which terminals take.
pub(super) const MOST_COPIED: usize = 74_994;
/// How long it is said that something was copied, in milliseconds.
const COPIED_STAYS: u64 = 2_000;

/// What was copied, said for a moment in the frame of its pane.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) pane: PaneKey,
    pub(crate) words: String,
    at: Timestamp,
}

impl App {
    /// Stops the chosen session for its reader, where it is scrolled to.
    pub(super) fn enter_copy(&mut self, hand: Hand) {
        let (Some(pane), Some(tile)) = (self.selected_pane(), self.selected_tile()) else {
            return self.say("there is no session to read here");
        };
        let held = self.keyboard.as_ref() == Some(&pane);
        let Some(shown) = self.panes.get_mut(&pane) else {
            return self.say("this session shows nothing yet");
        };
        let (left, row) = super::super::view::crop(&shown.screen, tile.inner, held);
        let (top, left) = match &shown.scroll {
            Some(scroll) => (scroll.top, 0),
            None => (shown.screen.first_line + u32::from(row), left),
        };
        let mut copy = CopyMode::new(pane, shown, hand, top, left);
        shown.scroll = None;
        let last = top + u32::from(tile.inner.height.max(1)) - 1;
        if copy.cursor.line < top || copy.cursor.line > last {
            copy.go_to(Spot { line: last, column: left });
        }
        self.copied = None;
        self.copy = Some(copy);
        self.dirty = true;
    }

    /// Searches the chosen session: copy mode with its first key pressed.
    pub(super) fn enter_search(&mut self) {
        self.enter_copy(Hand::Keys);
        if let Some(copy) = &mut self.copy {
            copy.search = Search::begin();
            copy.only_search = true;
        }
    }

    /// The session goes on before the reader's eyes.
    pub(super) fn leave_copy(&mut self) {
        self.dirty |= self.copy.take().is_some();
    }

    /// Copy mode ends with what it is about: the session, its place, its size.
    pub(super) fn settle_copy(&mut self) {
        let Some(copy) = &self.copy else { return };
        let same = self.views.is_empty()
            && self.selected_pane().as_ref() == Some(&copy.pane)
            && self.panes.get(&copy.pane).is_some_and(|it| it.screen.size.columns == copy.columns);
        let Some(tile) = self.selected_tile().filter(|_| same) else { return self.leave_copy() };
        let Some(copy) = &mut self.copy else { return };
        if copy.hand == Hand::Keys {
            copy.show(tile.inner.width, tile.inner.height);
        }
        if copy.asked.is_some() {
            return;
        }
        if let Some((start, count)) = copy.missing(tile.inner.height) {
            let PaneKey { environment, session } = copy.pane.clone();
            let request = Request::ReadLines { environment, session, start, count };
            self.ask_copy(|ticket| Tag::Lines { ticket, copied: None }, request);
        }
    }

    fn ask_copy(&mut self, tag: impl FnOnce(u64) -> Tag, request: Request) {
        let ticket = self.ticket();
        if let Some(copy) = &mut self.copy {
            copy.asked = Some(ticket);
        }
        self.send(request, tag(ticket));
    }

    pub(super) fn act_on_copy(&mut self, action: Action) {
        let height = self.selected_tile().map_or(1, |tile| tile.inner.height);
        let Some(copy) = &mut self.copy else { return };
        match action {
            Action::Search => copy.search = Search::begin(),
            Action::Next => self.find(Direction::Older),
            Action::Previous => self.find(Direction::Newer),
            Action::Copy => self.copy_selected(),
            Action::Link => self.go_to_link(),
            Action::OpenLink => self.ask_link(),
            action => copy.step(action, height),
        }
    }

    /// One level back: what is selected, then the mode. `false` when there is none.
    pub(super) fn back_in_copy(&mut self) -> bool {
        let Some(copy) = &mut self.copy else { return false };
        if copy.selection.take().is_none() {
            self.leave_copy();
        }
        true
    }

    /// Gives an input to the search that is being typed; `false` when there is none.
    pub(super) fn copy_input(&mut self, input: &Input) -> bool {
        let Some(copy) = &mut self.copy else { return false };
        let typed = copy.search.take(input);
        if typed == Typed::Other {
            return false;
        }
        self.dirty = true;
        let given_up = copy.search.needle().is_none() && !copy.search.is_typed();
        match typed {
            _ if given_up && copy.only_search => self.leave_copy(),
            Typed::Entered if !given_up => self.find(Direction::Older),
            _ => {
                if let Some(copy) = &mut self.copy {
                    copy.matches = Matches::Unknown;
                }
            }
        }
        true
    }

    /// Has the next match looked for where all lines are.
    fn find(&mut self, direction: Direction) {
        let height = self.selected_tile().map_or(1, |tile| tile.inner.height);
        let Some(copy) = &mut self.copy else { return };
        let Some(text) = copy.search.needle().map(str::to_owned) else {
            return self.say("nothing is searched for; / does");
        };
        // The first search goes up from what is shown last.
        let below = Spot { line: copy.top + u32::from(height), column: 0 };
        let from = if copy.only_search { below } else { copy.cursor };
        copy.only_search = false;
        let PaneKey { environment, session } = copy.pane.clone();
        let request = Request::FindText { environment, session, text, from, direction };
        self.ask_copy(|ticket| Tag::Found { ticket }, request);
    }

    pub(super) fn found(&mut self, ticket: u64, found: Option<Found>, lines: Lines) {
        let height = self.selected_tile().map_or(1, |tile| u32::from(tile.inner.height));
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.asked == Some(ticket)) else {
            return;
        };
        copy.asked = None;
        self.dirty = true;
        let Some(found) = found else {
            copy.matches = Matches::None;
            return;
        };
        copy.matches = Matches::Some(found);
        copy.lines = lines;
        copy.cursor = found.passage.from;
        // A match out of sight is shown with what stands around it.
        let line = copy.cursor.line;
        if !(copy.top..copy.top.saturating_add(height)).contains(&line) {
            copy.top = line.saturating_sub(height / 2);
        }
    }

    pub(super) fn take_copy_lines(&mut self, ticket: u64, lines: Lines, copied: Option<Passage>) {
        let Some(copy) = self.copy.as_mut().filter(|copy| copy.asked == Some(ticket)) else {
            return;
        };
        copy.asked = None;
        self.dirty = true;
        match copied.map(|passage| lines.text(passage)) {
            None if !lines.rows.is_empty() => copy.take_lines(lines),
            Some(Some(text)) => self.copy_text(text),
            None | Some(None) => {
                self.leave_copy();
                self.say(
                    "these lines are gone: more than is kept was printed, or they were cleared",
                );
            }
        }
    }

    /// What cannot be read any more is not shown as if it could.
    pub(super) fn copy_question_failed(&mut self, ticket: u64) {
        if self.copy.as_ref().is_some_and(|copy| copy.asked == Some(ticket)) {
            self.leave_copy();
        }
    }

    /// Copies what is selected and ends the mode.
    pub(super) fn copy_selected(&mut self) {
        let Some(copy) = &self.copy else { return };
        let Some(passage) = copy.selected() else {
            return self.say("nothing is selected; v begins a selection");
        };
        if let Some(text) = copy.lines.text(passage) {
            return self.copy_text(text);
        }
        let start = passage.from.line;
        let count = passage.to.line - start + 1;
        if count > MOST_COPIED_LINES {
            let message = format!("{count} lines are too many to copy at once");
            let failure = Failure::new(FailureKind::Invalid, message)
                .hint(format!("select at most {MOST_COPIED_LINES} lines"));
            return self.fail(&failure);
        }
        let PaneKey { environment, session } = copy.pane.clone();
        let request = Request::ReadLines { environment, session, start, count };
        self.ask_copy(|ticket| Tag::Lines { ticket, copied: Some(passage) }, request);
    }

    /// Hands text to the human's clipboard, and says so where it was.
    fn copy_text(&mut self, text: String) {
        let Some(copy) = self.copy.take() else { return };
        self.dirty = true;
        if text.len() > MOST_COPIED {
            let size = text.len() / 1024;
            let message = format!("{size} KiB are more than terminals take for their clipboard");
            let failure = Failure::new(FailureKind::Invalid, message)
                .hint(format!("select at most {} KiB", MOST_COPIED / 1024));
            self.fail(&failure);
            self.copy = Some(copy);
            return;
        }
        if text.is_empty() {
            return;
        }
        let lines = text.lines().count();
        let words = match text.chars().count() {
            1 => "copied 1 character".to_owned(),
            count if lines < 2 => format!("copied {count} characters"),
            _ => format!("copied {lines} lines"),
        };
        self.copied = Some(Copied { pane: copy.pane, words, at: self.now });
        self.outbox.push(Effect::Copy(text));
    }

    /// When it has been said long enough that something was copied.
    pub(super) fn copied_until(&self) -> Option<Timestamp> {
        self.copied.as_ref().map(|copied| Timestamp(copied.at.0 + COPIED_STAYS))
    }
}
