//! What people typed into an agent's session and did not enter yet: a prompt must not become part
//! of it, nor a person's keys part of a prompt.
//!
//! Whoever types holds the line meanwhile, so that nothing gets between a look at it and the keys.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::echo::{self, kept};
use crate::model::id::EnvironmentId;
use crate::model::input::{Input, KeyCode, Modifiers};
use crate::model::screen::Screen;

/// Characters of what was typed last that are looked for before the cursor.
const TAIL: usize = 12;

/// How long a key may take from here to the screen and back.
const SHOWN: Duration = Duration::from_secs(1);

/// The lines of all agents' sessions.
#[derive(Debug, Default)]
pub(in crate::deck) struct Lines(Mutex<HashMap<EnvironmentId, Arc<Mutex<Line>>>>);

/// The line that one agent's program has not been given yet.
#[derive(Debug, Default)]
pub(in crate::deck) struct Line {
    /// Inputs of people so far.
    pub keys: u64,
    /// Characters since the last Enter, as far as keys tell.
    length: usize,
    /// The last of them.
    tail: String,
    /// A prompt stands there, which was not entered, and nothing else.
    is_ours: bool,
    /// When a person typed last.
    typed: Option<Instant>,
}

impl Lines {
    pub fn of(&self, environment: &EnvironmentId) -> Arc<Mutex<Line>> {
        self.lines().entry(environment.clone()).or_default().clone()
    }

    /// Another program is in the session, or none.
    pub fn forget(&self, environment: &EnvironmentId) {
        self.lines().remove(environment);
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<EnvironmentId, Arc<Mutex<Line>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Takes note of a line of which an earlier server knew only that it is there.
    pub fn begun_before(&mut self) {
        self.length = self.length.max(1);
    }

    /// Takes note of what a person typed. While the program `asks`, keys answer it and stand in no
    /// line. A `framed` paste enters nothing, whatever it ends with.
    pub fn typed(&mut self, input: &Input, asks: bool, framed: bool) {
        self.typed = Some(Instant::now());
        let text = match input {
            Input::Key(key) => {
                self.keys += 1;
                if asks {
                    return;
                }
                let control = key.modifiers.has(Modifiers::CONTROL);
                match key.code {
                    KeyCode::Enter if key.modifiers == Modifiers(0) => return self.entered(),
                    KeyCode::Char('c' | 'd' | 'u') if control => return self.entered(),
                    KeyCode::Char(character) if !control => character.to_string(),
                    KeyCode::Backspace => return self.erased(),
                    // What was entered before comes back, or something else is filled in.
                    KeyCode::Up | KeyCode::Down | KeyCode::Tab => return self.filled_in(),
                    _ => return,
                }
            }
            Input::Paste(text) => {
                self.keys += 1;
                if asks || (!framed && text.ends_with(['\r', '\n'])) {
                    return self.entered();
                }
                text.clone()
            }
            Input::Mouse(_) | Input::Focus(_) => return,
        };
        self.is_ours = false;
        self.add(&text);
    }

    /// A prompt stands in the line.
    pub fn put(&mut self, text: &str) {
        self.is_ours = true;
        self.add(text);
    }

    fn add(&mut self, text: &str) {
        self.length += text.chars().count();
        self.tail.extend(text.chars().filter(|character| kept(*character)));
        let surplus = self.tail.chars().count().saturating_sub(TAIL);
        self.tail = self.tail.chars().skip(surplus).collect();
    }

    /// What stands there is not shown.
    pub fn hidden(&mut self) {
        self.tail.clear();
    }

    /// The line was entered or cleared.
    pub fn entered(&mut self) {
        (self.length, self.tail) = (0, String::new());
    }

    /// What is said of a line that is begun.
    pub fn words(&self) -> &'static str {
        if self.is_ours {
            "an earlier prompt stands there and was not entered"
        } else {
            "somebody's line is begun there"
        }
    }

    /// Whether anything stands there, as far as keys tell.
    pub fn is_begun(&self) -> bool {
        self.length > 0
    }

    /// The same by the screen of a program whose cursor stands where it reads: a key that it took
    /// at once, as pagers do, is not there any more.
    pub fn is_seen(&self, screen: &Screen, now: Instant) -> bool {
        if !self.is_begun() || self.tail.is_empty() || self.settles(now).is_some() {
            return self.is_begun();
        }
        let before = echo::before_cursor(screen);
        before.ends_with(&self.tail) || self.tail.ends_with(&before) && !before.is_empty()
    }

    /// How long what was typed may yet take to be shown.
    pub fn settles(&self, now: Instant) -> Option<Duration> {
        let left = SHOWN.checked_sub(now.saturating_duration_since(self.typed?))?;
        (!left.is_zero()).then_some(left)
    }

    fn erased(&mut self) {
        self.length = self.length.saturating_sub(1);
        self.tail.pop();
    }

    fn filled_in(&mut self) {
        self.length = self.length.max(1);
        self.tail.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::input::Key;
    use crate::model::screen::Size;

    fn key(code: KeyCode, modifiers: u8) -> Input {
        Input::Key(Key { code, modifiers: Modifiers(modifiers) })
    }

    fn typed(keys: &[Input]) -> Line {
        let mut line = Line::default();
        for input in keys {
            line.typed(input, false, true);
        }
        line
    }

    #[test]
    fn a_line_is_there_from_its_first_key_until_it_is_entered_or_cleared() {
        let word = [key(KeyCode::Char('g'), 0), key(KeyCode::Char('o'), 0)];
        for (last, begun) in [
            (key(KeyCode::Left, 0), true),
            (key(KeyCode::Enter, Modifiers::SHIFT), true),
            (key(KeyCode::Backspace, 0), true),
            (Input::Paste("more\n".to_owned()), true),
            (Input::Focus(true), true),
            (key(KeyCode::Enter, 0), false),
            (key(KeyCode::Char('c'), Modifiers::CONTROL), false),
            (key(KeyCode::Char('u'), Modifiers::CONTROL), false),
        ] {
            let keys = [word.as_slice(), std::slice::from_ref(&last)].concat();
            assert_eq!(typed(&keys).is_begun(), begun, "{last:?}");
        }
        let erased = [word.as_slice(), &[key(KeyCode::Backspace, 0), key(KeyCode::Backspace, 0)]];
        assert!(!typed(&erased.concat()).is_begun());
        assert!(typed(&[key(KeyCode::Up, 0)]).is_begun(), "an older line may stand there");
        let mut line = Line::default();
        line.typed(&Input::Paste("go\n".to_owned()), false, false);
        assert!(!line.is_begun(), "its end was an Enter");
    }

    #[test]
    fn an_answer_to_a_question_is_no_line() {
        let mut line = Line::default();
        line.typed(&key(KeyCode::Char('1'), 0), true, false);
        assert!(!line.is_begun());
        assert_eq!(line.keys, 1, "and yet somebody typed");
    }

    #[test]
    fn what_a_program_took_at_once_is_not_taken_for_a_line() {
        let screen = |printed: &str| {
            let mut emulator = crate::term::Emulator::new(Size { columns: 30, rows: 3 });
            emulator.feed(printed.as_bytes());
            emulator.screen()
        };
        let line = typed(&[key(KeyCode::Char('q'), 0)]);
        let now = Instant::now();
        let later = now + SHOWN;
        assert!(line.is_seen(&screen("$ q"), later));
        assert!(!line.is_seen(&screen("$ "), later));
        assert!(line.is_seen(&screen("$ "), now), "it may not be shown yet");
        let long = typed(&[Input::Paste("a b c and what is longer than a tail".to_owned())]);
        assert!(long.is_seen(&screen("$ longer than a tail"), Instant::now() + SHOWN));
    }
}
