//! What is said to the user in a line: words that pass, and failures that stay.

use crate::model::failure::Failure;
use crate::model::id::Timestamp;

use super::App;

/// Failures stay until they are dismissed, and a dismissing key counts only after this long, in
/// milliseconds: a key meant for something else must not take away what was not yet read.
const FAILURE_STAYS: u64 = 1_500;

/// A line for the user above the footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) text: String,
    pub(crate) hint: Option<String>,
    pub(crate) paths: Vec<String>,
    pub(crate) failed: bool,
    pub(crate) at: Timestamp,
}

impl App {
    /// Says that something went well, or goes on.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        let text = text.into();
        let message = Message { text, hint: None, paths: Vec::new(), failed: false, at: self.now };
        self.message = Some(message);
        self.dirty = true;
    }

    pub(super) fn say_with_hint(&mut self, text: impl Into<String>, hint: impl Into<String>) {
        self.say(text);
        if let Some(message) = &mut self.message {
            message.hint = Some(hint.into());
        }
    }

    /// Says which environments of the repository belong to other worktrees: what is taken is written
    /// where its environment was made, so each worktree has a deck of its own.
    pub(crate) fn say_elsewhere(&mut self, names: &str) {
        let text = format!("made in other worktrees of this repository: {names}");
        self.say_with_hint(text, "agentdeck --all shows them too");
    }

    /// Shows a failure until it is dismissed.
    pub(super) fn fail(&mut self, failure: &Failure) {
        let foreign = super::super::widget::foreign;
        self.message = Some(Message {
            text: foreign(&failure.message),
            hint: failure.hint.as_deref().map(foreign),
            paths: failure.paths.iter().map(ToString::to_string).collect(),
            failed: true,
            at: self.now,
        });
        self.dirty = true;
    }

    /// Takes a message away, unless it is a failure that cannot have been read yet.
    pub(super) fn dismiss(&mut self) -> bool {
        let young = |message: &Message| message.failed && self.now.0 < message.at.0 + FAILURE_STAYS;
        let dismissed = self.message.take_if(|message| !young(message)).is_some();
        self.dirty |= dismissed;
        dismissed
    }
}
