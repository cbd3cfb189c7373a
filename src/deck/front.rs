//! What runs in front of a terminal: the program that gets what is typed there.
//!
//! A shim names the leader of each terminal's foreground process group with its hello. It is what
//! that process says of itself, so nothing but names and a word of warning hangs by it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::exec;
use super::hands::Program;
use super::shared::Shared;
use super::state::Record;
use super::status::Agent;
use crate::config::profiles;
use crate::model::environment::Environment;
use crate::model::id::SessionId;
use crate::model::profile::AgentProfile;

/// Nobody waits longer for a name: a box that is busy is asked again at the next occasion.
const DEADLINE: Duration = Duration::from_millis(500);

/// Programs that are called by the name of what they run.
const RUNTIMES: [&str; 5] = ["bun", "deno", "node", "python", "python3"];

/// The name of the profile without an agent.
const SHELL: &str = "shell";

const SHELLS: [&str; 15] = [
    "ash", "bash", "csh", "dash", "elvish", "fish", "ksh", "mksh", "nu", "pwsh", "rbash", "sh",
    "tcsh", "xonsh", "zsh",
];

/// Options of a shell whose next word is their value.
const WITH_VALUE: [&str; 6] = ["--init-file", "--rcfile", "+O", "+o", "-O", "-o"];

/// What stands in front of the terminals of an environment, where that can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Front(BTreeMap<SessionId, Vec<String>>);

impl Front {
    /// Asks the box.
    pub async fn look(shared: &Arc<Shared>, record: &Record) -> Self {
        if shared.link(&record.environment.id).is_err() {
            return Self::default();
        }
        let greeted = timeout(DEADLINE, exec::greet(shared, record)).await;
        let Ok(Ok((_, sessions))) = greeted else { return Self::default() };
        let of = |it: crate::shim::wire::SessionReport| (it.session, it.foreground);
        Self(sessions.into_iter().map(of).filter(|(_, command)| !command.is_empty()).collect())
    }

    /// What gets the keys of the agent's session.
    pub fn program(&self, environment: &Environment) -> Program {
        let usual = usual(environment);
        match self.0.get(&SessionId::AGENT) {
            Some(command) if is_shell(command) => Program::Shell,
            Some(command) if is_agent(command) => Program::Agent,
            _ => usual,
        }
    }

    /// Whether an agent runs in a shell that a person opened.
    pub fn has_agent_beside(&self) -> bool {
        let beside = self.0.iter().filter(|(session, _)| **session != SessionId::AGENT);
        beside.into_iter().any(|(_, command)| is_agent(command))
    }
}

/// What an environment was made to run.
pub(super) fn usual(environment: &Environment) -> Program {
    let command = &environment.command;
    if is_shell(command) || *command == shell().command {
        return Program::Shell;
    }
    let agent = &environment.agent;
    if Agent::of(agent, command).is_some() || is_profile(agent) {
        return Program::Agent;
    }
    Program::Other
}

/// The profile without an agent: whichever shell there is.
fn shell() -> AgentProfile {
    let found = profiles::builtin().into_iter().find(|known| known.name == SHELL);
    found.expect("the shell is built in")
}

fn is_profile(name: &str) -> bool {
    name != SHELL && profiles::builtin().iter().any(|known| known.name == name)
}

/// Whether a command is an agent's, by itself or by a runtime.
fn is_agent(command: &[String]) -> bool {
    let Some((first, rest)) = command.split_first() else { return false };
    let program = name(first);
    let known = |name: &str| {
        let is = |profile: &AgentProfile| profile.command.first().is_some_and(|it| it == name);
        is_profile(name) || profiles::builtin().iter().any(is)
    };
    if !RUNTIMES.contains(&program) && !SHELLS.contains(&program) {
        return known(program);
    }
    let mut options = rest.iter().take_while(|word| word.starts_with('-'));
    // What is given as text is no program's name.
    if options.any(|word| !word.starts_with("--") && word.contains(['c', 'e'])) {
        return false;
    }
    let script = rest.iter().find(|word| !word.starts_with('-'));
    script.is_some_and(|script| {
        let name = name(script);
        known(name.split_once('.').map_or(name, |(stem, _)| stem))
    })
}

/// Whether a command is a shell without anything to run: one that runs what is typed.
pub(super) fn is_shell(command: &[String]) -> bool {
    let Some((program, arguments)) = command.split_first() else { return false };
    let program = name(program);
    if program == "busybox" {
        return is_shell(arguments);
    }
    SHELLS.contains(&program.trim_start_matches('-')) && asks_for_words(arguments)
}

fn asks_for_words(arguments: &[String]) -> bool {
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(word) = rest.next() {
        if WITH_VALUE.contains(&word) {
            rest.next();
            continue;
        }
        let is_long = word.starts_with("--");
        let is_option = word.starts_with(['-', '+']);
        if !is_option || (!is_long && word.contains('c')) || word == "--command" {
            return false;
        }
    }
    true
}

fn name(path: &str) -> &str {
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deck::state::tests::record;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_shell_with_something_to_run_is_a_program() {
        for line in ["bash", "/bin/sh -l", "zsh -i", "-bash", "bash --rcfile /x -i", "busybox sh"] {
            assert!(is_shell(&words(line)), "{line}");
        }
        for line in ["sh -c x", "bash -lc x", "bash build.sh", "vim", "", "busybox vi", "nu x.nu"] {
            assert!(!is_shell(&words(line)), "{line}");
        }
        assert!(!is_shell(&[]));
    }

    #[test]
    fn an_agent_is_known_by_its_own_name_and_by_what_a_runtime_runs() {
        for line in [
            "claude",
            "/usr/bin/codex --yolo",
            "node --max-old-space-size=8192 /usr/bin/gemini",
            "node /usr/lib/node_modules/@openai/codex/bin/codex.js exec x",
            "/bin/sh /usr/local/bin/claude",
        ] {
            assert!(is_agent(&words(line)), "{line}");
        }
        for line in
            ["node", "node server.js", "bash", "vim claude", "cat codex", "sh -c claude", ""]
        {
            assert!(!is_agent(&words(line)), "{line}");
        }
    }

    #[test]
    fn who_is_in_front_counts_before_what_was_started() {
        let mut environment = record(1, "fox", "/shop").environment;
        let front = |line: &str| Front([(SessionId::AGENT, words(line))].into());
        environment.agent = SHELL.to_owned();
        environment.command = shell().command;
        assert_eq!(usual(&environment), Program::Shell);
        environment.command = words("bash");
        assert_eq!(front("claude").program(&environment), Program::Agent);
        assert_eq!(front("vim x").program(&environment), Program::Shell, "it comes back");
        assert_eq!(Front::default().program(&environment), Program::Shell);
        environment.command = words("sh -c claude;bash");
        assert_eq!(front("bash").program(&environment), Program::Shell);
        assert_eq!(front("claude").program(&environment), Program::Agent);
        assert_eq!(front("make").program(&environment), Program::Other);
        let beside = Front([(SessionId(2), words("claude"))].into());
        assert!(beside.has_agent_beside() && !front("claude").has_agent_beside());
    }
}
