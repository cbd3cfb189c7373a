//! What programs ask of people: shown with their session until somebody looked, and done by nobody
//! else.

use crate::model::asked::Asked;
use crate::proto::Request;

use super::super::panes::PaneKey;
use super::{App, Tag};

impl App {
    /// What a session's program asks that its reader has not yet answered or put away.
    pub(crate) fn asked_by(&self, pane: &PaneKey) -> Option<&Asked> {
        let asked = &self.panes.get(pane)?.screen.asked;
        (*asked != Asked::default() && self.heard.get(pane) != Some(&asked.count)).then_some(asked)
    }

    /// What was asked so far is known; `false` when nothing was.
    pub(super) fn hear(&mut self, pane: &PaneKey) -> bool {
        let Some(count) = self.asked_by(pane).map(|asked| asked.count) else { return false };
        self.heard.insert(pane.clone(), count);
        self.dirty = true;
        true
    }

    /// Asks what the chosen session's program wants in the clipboard.
    pub(super) fn ask_clipboard(&mut self) {
        let Some(pane) = self.selected_pane() else {
            return self.say("there is no session here");
        };
        if self.panes.get(&pane).is_none_or(|shown| shown.screen.asked.copies.is_none()) {
            return self.say("no program here wants anything in your clipboard");
        }
        self.hear(&pane);
        let PaneKey { environment, session } = pane;
        let request = Request::ReadClipboard { environment, session };
        self.send(request, Tag::Offer { presses: self.presses });
    }
}
