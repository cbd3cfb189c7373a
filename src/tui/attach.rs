//! One session on the whole terminal, its keyboard held from the start: the deck's app, zoomed,
//! which leaves when the keyboard is given back.

use super::app::App;
use super::panes::PaneKey;

impl App {
    /// Makes this client show one session only.
    pub(crate) fn attached_to(mut self, pane: PaneKey) -> Self {
        self.zoomed = true;
        self.selected = Some(pane.environment.clone());
        self.show_session(pane.clone());
        self.attached = Some(Attached { pane, taken: false });
        self
    }

    /// Takes the keyboard as soon as the session is known; leaves once it is given back or lost.
    pub(super) fn settle_attached(&mut self) {
        let Some(Attached { pane, taken }) = self.attached.clone() else { return };
        if self.gone.is_some() {
            return;
        }
        if taken && self.keyboard.is_none() && self.overlay.is_none() {
            self.leave();
            return;
        }
        let known = self
            .environment(&pane.environment)
            .is_some_and(|environment| environment.session(pane.session).is_some());
        if known && !taken && self.is_quiet() {
            self.selected = Some(pane.environment.clone());
            self.show_session(pane.clone());
            self.attached = Some(Attached { pane, taken: true });
            self.take_keyboard();
        }
    }
}

impl Attached {
    /// Has the keyboard taken again, which a server that is gone took with it.
    pub(super) fn take_again(&mut self) {
        self.taken = false;
    }
}

/// The one session that is shown, and whether its keyboard was taken already.
#[derive(Clone, Debug)]
pub(crate) struct Attached {
    pane: PaneKey,
    taken: bool,
}
