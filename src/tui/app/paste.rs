//! A paste into the session whose keyboard is held. Several lines for a program that did not ask
//! to be told pastes from keys are asked about first: it would carry out each.

use crate::model::input::Input;

use super::super::panes::PaneKey;
use super::{App, Overlay};

/// A paste that waits for a word. Leaving it is what Enter does first.
#[derive(Debug)]
pub(crate) struct PasteQuestion {
    pub(super) pane: PaneKey,
    pub(super) text: String,
    /// Whether the button that acts is chosen.
    pub(crate) act: bool,
}

impl PasteQuestion {
    /// The lines as the program would take them.
    pub(crate) fn lines(&self) -> Vec<String> {
        // Terminals give the end of a pasted line as a carriage return.
        let text = self.text.replace("\r\n", "\n").replace('\r', "\n");
        text.lines().map(str::to_owned).collect()
    }
}

impl App {
    pub(super) fn paste(&mut self, pane: &PaneKey, text: String) {
        let told = self.panes.get(pane).is_some_and(|it| it.screen.modes.bracketed_paste);
        if told || !text.contains(['\r', '\n']) {
            return self.type_into(pane, Input::Paste(text));
        }
        let question = PasteQuestion { pane: pane.clone(), text, act: false };
        self.overlay = Some(Overlay::Paste(question));
        // A key that is typed on must not answer.
        self.drop_keys();
        self.dirty = true;
    }

    /// The question was answered with yes. The keyboard may have been lost meanwhile.
    pub(super) fn paste_after_all(&mut self, pane: &PaneKey, text: String) {
        if self.keyboard.as_ref() == Some(pane) {
            self.type_into(pane, Input::Paste(text));
        } else {
            self.say("nothing was pasted: the keyboard is not yours any more");
        }
    }
}
