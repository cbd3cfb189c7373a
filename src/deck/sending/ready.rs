//! Whether a program can be given a prompt now. Pure: what is seen of it comes in.
//!
//! An agent that asks would take a prompt for the answer, and one that works might take it for
//! another's; so both are waited for, by the agent's status where there is one. Of other programs
//! their own sign counts: that they ask to be told of pastes, as line editors do while they read a
//! line, or that a prompt stands before the cursor while nothing moves.

use super::echo::left_of;
use crate::deck::status;
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::screen::Screen;
use crate::model::status::{Doing, Need};

/// Bytes of a line that a terminal hands to a program which leaves the editing to it; what is
/// beyond is lost there (`N_TTY_BUF_SIZE` of the kernel, less what ends the line).
const TERMINAL_LINE: usize = 4_000;

/// Words at the end of a prompt that asks for a decision.
const DECISIONS: [&str; 4] = ["y/n", "yes/no", "(y)es", "(y)"];
/// Words in a prompt that asks for a secret.
const SECRETS: [&str; 5] = ["password", "passphrase", "passcode", "pin", "token"];

/// What comes of a look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Now,
    /// Not yet, and why.
    Wait(String),
    /// It will not be.
    Never(Failure),
}

/// What is seen at one moment.
pub(super) struct Sight<'a> {
    pub environment: &'a Environment,
    /// What the program reports of itself right now, which its status may be behind of.
    pub reported: Option<Doing>,
    pub screen: &'a Screen,
    /// Nothing was printed for a moment.
    pub is_quiet: bool,
    /// There is a connection to the box.
    pub is_linked: bool,
    /// What is said of a line that is begun there.
    pub begun: Option<&'static str>,
    /// A program that paints the whole screen was started a moment ago.
    pub is_starting: bool,
}

impl Sight<'_> {
    /// Whether `text` can be typed now.
    pub fn ready_for(&self, text: &str) -> Ready {
        match self.stands().unwrap_or_else(|| self.takes()) {
            Ready::Now => self.fits(text),
            other => other,
        }
    }

    /// What the box, the session and people say against it.
    fn stands(&self) -> Option<Ready> {
        let wait = |why: &str| Some(Ready::Wait(why.to_owned()));
        let Environment { name, state, state_since, .. } = self.environment;
        match state {
            EnvironmentState::Running => {}
            EnvironmentState::Creating { .. } => return wait("it is being made"),
            EnvironmentState::Paused { .. } => return wait("it is paused"),
            EnvironmentState::EngineUnreachable { .. } => return wait("it is not reached"),
            EnvironmentState::Stopped | EnvironmentState::Failed { .. } => {
                let failure = Failure::new(FailureKind::Unavailable, "it does not run");
                return Some(Ready::Never(failure.hint(format!("agentdeck start {name}"))));
            }
        }
        let Some(session) = self.environment.session(SessionId::AGENT) else {
            return wait("its agent was not started yet");
        };
        match session.state {
            SessionState::Running if !self.is_linked => wait("it is not reached"),
            SessionState::Running if session.taken => wait("somebody holds its keyboard"),
            SessionState::Running => self.begun.and_then(wait),
            // It ended before its box was started: the next one is on its way.
            SessionState::Exited { at, .. } if at < *state_since => {
                wait("its agent was not started again yet")
            }
            SessionState::Exited { .. } | SessionState::Failed { .. } => {
                let failure = Failure::new(FailureKind::Unavailable, "its program has ended");
                Some(Ready::Never(failure.hint(format!("agentdeck start {name}"))))
            }
        }
    }

    /// What the program says for or against it.
    fn takes(&self) -> Ready {
        let wait = |why: &str| Ready::Wait(why.to_owned());
        if let Some(need) = self.asks() {
            return wait(match need {
                Need::Permission => "it asks for permission, which a prompt would answer",
                Need::Answer => "it asks something, which a prompt would answer",
                Need::Login => "it waits for a login",
            });
        }
        let session = self.environment.session(SessionId::AGENT);
        let status = session.and_then(|session| session.status.as_ref());
        match status.filter(|status| status.tells_of_turns()).map(|status| status.state) {
            Some(Doing::Idle | Doing::Done | Doing::Failed) => {}
            Some(Doing::Unknown) => return wait("what it does is not known"),
            Some(Doing::Working | Doing::Waiting { .. }) => return wait("it works"),
            None if status::is_known(self.environment) => return wait("what it does is not known"),
            None => return self.shows_a_sign(),
        }
        Ready::Now
    }

    /// What the program asks for, by any of its signs.
    pub fn asks(&self) -> Option<Need> {
        let session = self.environment.session(SessionId::AGENT);
        let status = session.and_then(|session| session.status.as_ref());
        let told = [self.reported, status.map(|status| status.state)];
        let told = told.into_iter().flatten().find_map(|doing| match doing {
            Doing::Waiting { need } => Some(need),
            _ => None,
        });
        told.or_else(|| status::question(self.environment, self.screen))
    }

    /// A program that tells nothing of its state.
    fn shows_a_sign(&self) -> Ready {
        let screen = self.screen;
        let row = screen.rows.get(usize::from(screen.cursor.row));
        let before = row.map_or_else(String::new, |row| left_of(row, screen.cursor.column));
        let prompt = before.trim_end().to_lowercase();
        if asks_at_its_end(&prompt) {
            return Ready::Wait(
                "it seems to ask something, which a prompt would answer".to_owned(),
            );
        }
        let stands = screen.cursor.visible && !prompt.is_empty() && !screen.modes.alternate_screen;
        if !screen.modes.bracketed_paste && !stands {
            return Ready::Wait("nothing tells that it reads a line".to_owned());
        }
        if self.is_starting {
            return Ready::Wait("it was started a moment ago".to_owned());
        }
        if self.is_quiet { Ready::Now } else { Ready::Wait("it is printing".to_owned()) }
    }

    /// Whether what is typed arrives as one text.
    fn fits(&self, text: &str) -> Ready {
        if self.screen.modes.bracketed_paste {
            return Ready::Now;
        }
        let lines = text.lines().count();
        let (message, hint) = if lines > 1 {
            let message = format!(
                "it takes one line at a time, as it did not ask to be told pastes from keys, and \
                 the text has {lines}"
            );
            (message, "send one line, or put the text into a file and send its name")
        } else if text.len() > TERMINAL_LINE {
            let message = format!("a line of {} bytes is more than its terminal keeps", text.len());
            (message, "put the text into a file and send its name")
        } else {
            return Ready::Now;
        };
        Ready::Never(Failure::new(FailureKind::Refused, message).hint(hint))
    }
}

/// Whether a prompt, in small letters, is one for a decision or a secret.
fn asks_at_its_end(prompt: &str) -> bool {
    let secret = prompt.ends_with(':') && SECRETS.iter().any(|word| prompt.contains(word));
    secret || prompt.ends_with('?') || DECISIONS.iter().any(|words| ends_near(prompt, words))
}

/// Whether a line ends with words, but for a few signs and a default answer behind them.
fn ends_near(line: &str, words: &str) -> bool {
    /// As in `[y/N]: ` or `(yes/no) [no]: `.
    const BEHIND: usize = 12;
    line.rfind(words).is_some_and(|at| line.len() - at - words.len() <= BEHIND)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deck::state::tests::record;
    use crate::model::environment::{Session, SessionKind};
    use crate::model::id::Timestamp;
    use crate::model::screen::Size;
    use crate::model::status::{Source, Status};
    use crate::term::Emulator;

    const NOW: Timestamp = Timestamp(5);

    fn environment(agent: &str, state: Option<Doing>) -> Environment {
        let mut environment = record(1, "fox", "/shop").environment;
        agent.clone_into(&mut environment.agent);
        environment.state = EnvironmentState::Running;
        environment.state_since = NOW;
        let status = |state| Status { state, source: Source::Report, since: NOW, says: None };
        environment.sessions = vec![Session {
            id: SessionId::AGENT,
            kind: SessionKind::Agent,
            command: vec![agent.to_owned()],
            state: SessionState::Running,
            size: Size::DEFAULT,
            started: NOW,
            last_output: None,
            taken: false,
            draft: false,
            title: String::new(),
            status: state.map(status),
        }];
        environment
    }

    fn screen(printed: &str) -> Screen {
        let mut emulator = Emulator::new(Size { columns: 60, rows: 10 });
        emulator.feed(printed.as_bytes());
        emulator.screen()
    }

    fn ready(environment: &Environment, screen: &Screen) -> Ready {
        sight(environment, screen).ready_for("go on")
    }

    fn sight<'a>(environment: &'a Environment, screen: &'a Screen) -> Sight<'a> {
        let (is_quiet, is_linked, begun, is_starting) = (true, true, None, false);
        Sight { environment, reported: None, screen, is_quiet, is_linked, begun, is_starting }
    }

    fn waits(ready: &Ready, word: &str) -> bool {
        matches!(ready, Ready::Wait(why) if why.contains(word))
    }

    #[test]
    fn an_agent_that_rests_takes_a_prompt_and_no_other_does() {
        let screen = screen("");
        for (state, word) in [
            (Doing::Working, "works"),
            (Doing::Unknown, "not known"),
            (Doing::Waiting { need: Need::Permission }, "permission"),
            (Doing::Waiting { need: Need::Answer }, "asks"),
            (Doing::Waiting { need: Need::Login }, "login"),
        ] {
            let found = ready(&environment("claude", Some(state)), &screen);
            assert!(waits(&found, word), "{state}: {found:?}");
        }
        for state in [Doing::Idle, Doing::Done, Doing::Failed] {
            assert_eq!(ready(&environment("claude", Some(state)), &screen), Ready::Now, "{state}");
        }
        assert!(waits(&ready(&environment("claude", None), &screen), "not known"));
    }

    #[test]
    fn a_question_holds_a_prompt_back_whoever_tells_of_it() {
        let claude = environment("claude", Some(Doing::Idle));
        let asks = " Do you want to proceed?\r\n ❯ 1. Yes\r\n   2. No\r\n\r\n Esc to cancel";
        assert!(waits(&ready(&claude, &screen(asks)), "permission"));
        let empty = screen("");
        let reported = Some(Doing::Waiting { need: Need::Permission });
        let told = Sight { reported, ..sight(&claude, &empty) };
        assert!(waits(&told.ready_for("go on"), "permission"));
    }

    #[test]
    fn a_program_without_a_status_shows_that_it_reads_a_line() {
        let shell = environment("shell", None);
        for printed in ["$ ", "\x1b[?2004h", ">>> "] {
            assert_eq!(ready(&shell, &screen(printed)), Ready::Now, "{printed:?}");
        }
        for printed in ["", "compiling\r\n", "\x1b[?1049h:", "\x1b[?25l$ "] {
            assert!(waits(&ready(&shell, &screen(printed)), "nothing tells"), "{printed:?}");
        }
        for printed in [
            "Overwrite? ",
            "\x1b[?2004hApply? [y/N] ",
            "Run it? (Y)es/(N)o [Yes]: ",
            "Password: ",
            "Enter passphrase for key 'a': ",
        ] {
            assert!(waits(&ready(&shell, &screen(printed)), "seems to ask"), "{printed:?}");
        }
        let prompt = screen("$ ");
        let moving = Sight { is_quiet: false, ..sight(&shell, &prompt) };
        assert!(waits(&moving.ready_for("go on"), "printing"));
        let starting = Sight { is_starting: true, ..sight(&shell, &prompt) };
        assert!(waits(&starting.ready_for("go on"), "a moment ago"));
    }

    #[test]
    fn people_come_first_and_a_box_that_may_go_on_is_waited_for() {
        let prompt = screen("$ ");
        let mut held = environment("shell", None);
        held.sessions[0].taken = true;
        assert!(waits(&ready(&held, &prompt), "keyboard"));
        let shell = environment("shell", None);
        let begun = Some("somebody's line is begun there");
        let begun = Sight { begun, ..sight(&shell, &prompt) };
        assert!(waits(&begun.ready_for("go on"), "line is begun"));
        let lost = Sight { is_linked: false, ..sight(&shell, &prompt) };
        assert!(waits(&lost.ready_for("go on"), "not reached"));
        let paused = EnvironmentState::Paused { reason: None };
        let paused = Environment { state: paused, ..shell.clone() };
        assert!(waits(&ready(&paused, &prompt), "paused"));
        let stopped = Environment { state: EnvironmentState::Stopped, ..shell.clone() };
        assert!(matches!(ready(&stopped, &prompt), Ready::Never(_)));
        let mut ended = shell;
        ended.sessions[0].state = SessionState::Exited { code: 0, at: NOW };
        assert!(matches!(ready(&ended, &prompt), Ready::Never(_)));
        ended.state_since = Timestamp(NOW.0 + 1);
        assert!(waits(&ready(&ended, &prompt), "not started again"), "its box was");
    }

    #[test]
    fn what_would_arrive_in_parts_is_refused() {
        let shell = environment("shell", None);
        let long = "x".repeat(TERMINAL_LINE + 1);
        for text in ["one\ntwo", &long] {
            let plain = screen("$ ");
            assert!(matches!(sight(&shell, &plain).ready_for(text), Ready::Never(_)));
            let framed = screen("\x1b[?2004h$ ");
            assert_eq!(sight(&shell, &framed).ready_for(text), Ready::Now);
        }
    }
}
