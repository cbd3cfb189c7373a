//! The agents whose titles and screens are understood.

use std::path::Path;

use super::prompts::{Ending, Shown};
use crate::model::status::Need;

/// An agent of which it is known how its state shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deck) enum Agent {
    Claude,
    Codex,
    Gemini,
}

impl Agent {
    /// The agent by the name of its profile or of its program.
    pub fn of(profile: &str, command: &[String]) -> Option<Self> {
        let program = command.first().and_then(|program| Path::new(program).file_name());
        let program = program.and_then(|name| name.to_str()).unwrap_or_default();
        [profile, program].into_iter().find_map(|name| match name {
            "claude" => Some(Self::Claude),
            "codex" => Some(Self::Codex),
            "gemini" => Some(Self::Gemini),
            _ => None,
        })
    }
}

/// What a title tells; most tell nothing. That Claude Code's stands still is no rest: before it
/// reported its state it did so while it asked, too.
pub(super) fn read_title(agent: Agent, title: &str) -> Option<Shown> {
    let first = title.chars().next()?;
    match agent {
        Agent::Claude | Agent::Codex if is_spinner(first) => Some(Shown::Works),
        // The mark in the brackets blinks.
        Agent::Codex if first == '[' && title.contains("] Action Required") => {
            Some(Shown::Asks(Need::Permission))
        }
        Agent::Gemini => match first {
            '◇' => Some(Shown::Rests(Ending::Open)),
            '✦' => Some(Shown::Works),
            '✋' => Some(Shown::Asks(Need::Permission)),
            _ => None,
        },
        _ => None,
    }
}

/// Braille patterns and turning circles, as programs animate them.
fn is_spinner(character: char) -> bool {
    matches!(character, '\u{2801}'..='\u{28ff}' | '◐' | '◑' | '◒' | '◓')
}
