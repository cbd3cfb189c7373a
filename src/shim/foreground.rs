//! Whether a session's own program has its terminal, or one that it started: of a shell that tells
//! whether it stands at its prompt.
//!
//! Asked of the kernel a moment after anything was typed or printed, and never otherwise: a program
//! takes a terminal and gives it back beside its first and last output, and what stands still costs
//! nothing.

use std::cell::Cell;
use std::os::fd::AsFd;
use std::time::Duration;

use rustix::process::Pid;
use tokio::sync::Notify;

/// After output; a shell that was just told something has started it by then, and a flood is asked
/// about four times a second.
const PAUSE: Duration = Duration::from_millis(250);

#[derive(Default)]
pub(super) struct Foreground {
    stirred: Notify,
    own: Cell<Option<bool>>,
    over: Cell<bool>,
}

impl Foreground {
    /// Whether the session's own program had the terminal at the last look; `None` before one.
    pub(super) fn is_own(&self) -> Option<bool> {
        self.own.get()
    }

    /// Something was typed or printed.
    pub(super) fn stir(&self) {
        self.stirred.notify_one();
    }

    /// There is nothing to look at any more.
    pub(super) fn end(&self) {
        self.over.set(true);
        self.stirred.notify_one();
    }

    /// Looks whenever something stirred, and calls `changed` when it is otherwise than before.
    pub(super) async fn follow(&self, terminal: impl AsFd, program: Pid, changed: impl Fn()) {
        loop {
            self.stirred.notified().await;
            tokio::time::sleep(PAUSE).await;
            if self.over.get() {
                return;
            }
            // An emulated kernel may not tell; a group of another namespace has no number here.
            let Ok(group) = rustix::termios::tcgetpgrp(&terminal) else { continue };
            let own = Some(group == program);
            if self.own.replace(own) != own {
                changed();
            }
        }
    }
}
