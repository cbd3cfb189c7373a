//! The agents whose titles and screens are understood.

use std::path::Path;

use super::prompts::{Ending, Shown};
use crate::deck::front;
use crate::deck::hands::Program;
use crate::model::environment::Environment;
use crate::model::status::Need;

/// Agents that move something on their screens several times a second while they work.
const ANIMATED: [&str; 6] = ["claude", "codex", "gemini", "opencode", "pi", "qwen"];

/// What is known of a program besides what its screen means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::deck) struct Nature {
    /// It stands at its prompt whenever it has its terminal itself.
    pub is_shell: bool,
    pub is_animated: bool,
}

impl Nature {
    pub fn of(environment: &Environment) -> Self {
        let names = names(&environment.agent, &environment.command);
        Self {
            is_shell: front::usual(environment) == Program::Shell,
            is_animated: names.iter().any(|name| ANIMATED.contains(name)),
        }
    }
}

/// What a program goes by: its profile and its own name.
fn names<'a>(profile: &'a str, command: &'a [String]) -> [&'a str; 2] {
    let program = command.first().and_then(|program| Path::new(program).file_name());
    [profile, program.and_then(|name| name.to_str()).unwrap_or_default()]
}

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
        names(profile, command).into_iter().find_map(|name| match name {
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
