//! The agents that are known without configuration.

use super::file::Settings;
use crate::model::failure::{Failure, FailureKind};
use crate::model::profile::{AgentProfile, Seed};

/// Where people keep programs they installed for themselves, below their home. Native boxes show
/// these, whatever the agent; what lies beside them, as `.cargo/credentials.toml` does, they do not.
pub const TOOLS: [&str; 6] =
    [".bun/bin", ".cargo/bin", ".deno/bin", ".nvm/versions", ".pyenv", ".rustup"];

/// The names of all profiles: the user's own first, then the built-in ones.
pub fn names(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = settings.agents.keys().cloned().collect();
    for profile in builtin() {
        if !names.contains(&profile.name) {
            names.push(profile.name);
        }
    }
    names
}

/// The profile of a name.
pub fn find(name: &str, settings: &Settings) -> Result<AgentProfile, Failure> {
    let own = settings.agents.get(name).cloned();
    own.or_else(|| builtin().into_iter().find(|profile| profile.name == name)).ok_or_else(|| {
        let known = names(settings).join(", ");
        Failure::new(FailureKind::NotFound, format!("there is no agent {name}"))
            .hint(format!("use {known}, or give a command after --"))
    })
}

/// The built-in profiles.
pub fn builtin() -> Vec<AgentProfile> {
    vec![shell(), codex(), claude()]
}

fn shell() -> AgentProfile {
    AgentProfile {
        name: "shell".to_owned(),
        command: words(&["/bin/sh", "-c", "exec \"$(command -v bash || command -v sh)\""]),
        install: Vec::new(),
        probe: String::new(),
        variables: Vec::new(),
        environment: Vec::new(),
        seeds: Vec::new(),
        tools: Vec::new(),
    }
}

/// Codex: the box is its sandbox, so its own is off, because bubblewrap cannot nest in a box; its
/// approval prompts stay as they are.
fn codex() -> AgentProfile {
    let config = "sandbox_mode = \"danger-full-access\"\napproval_policy = \"on-request\"\n\
                  check_for_update_on_startup = false\n\n\
                  [projects.\"{workspace}\"]\ntrust_level = \"trusted\"\n";
    AgentProfile {
        name: "codex".to_owned(),
        command: words(&["codex"]),
        install: vec![npm_install("@openai/codex")],
        probe: "codex".to_owned(),
        variables: words(&["OPENAI_API_KEY", "OPENAI_BASE_URL", "CODEX_API_KEY"]),
        environment: Vec::new(),
        seeds: vec![Seed { path: ".codex/config.toml".to_owned(), content: config.to_owned() }],
        tools: Vec::new(),
    }
}

/// Claude Code: unattended in its box, first-run dialogs answered.
fn claude() -> AgentProfile {
    let state = r#"{
  "hasCompletedOnboarding": true,
  "theme": "dark",
  "bypassPermissionsModeAccepted": true,
  "projects": {
    "{workspace}": { "hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true }
  }
}
"#;
    let settings = "{\n  \"skipDangerousModePermissionPrompt\": true\n}\n";
    AgentProfile {
        name: "claude".to_owned(),
        command: words(&["claude", "--dangerously-skip-permissions"]),
        install: vec![npm_install("@anthropic-ai/claude-code")],
        probe: "claude".to_owned(),
        variables: words(&[
            "ANTHROPIC_API_KEY",
            "ANTHROPIC_AUTH_TOKEN",
            "ANTHROPIC_BASE_URL",
            "CLAUDE_CODE_OAUTH_TOKEN",
        ]),
        // The box's user has id 0 and no rights; this tells the agent that it is in a box.
        environment: vec![
            ("IS_SANDBOX".to_owned(), "1".to_owned()),
            ("DISABLE_AUTOUPDATER".to_owned(), "1".to_owned()),
        ],
        seeds: vec![
            Seed { path: ".claude.json".to_owned(), content: state.to_owned() },
            Seed { path: ".claude/settings.json".to_owned(), content: settings.to_owned() },
        ],
        tools: Vec::new(),
    }
}

fn npm_install(package: &str) -> Vec<String> {
    words(&["npm", "install", "--global", "--no-fund", "--no-audit", package])
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_agent_is_refused_with_the_known_ones() {
        let failure = find("cluade", &Settings::default()).expect_err("unknown");
        assert!(failure.message.contains("cluade"));
        assert!(failure.hint.expect("a hint").contains("shell, codex, claude"));
    }

    #[test]
    fn no_seed_leaves_the_home() {
        for seed in builtin().into_iter().flat_map(|profile| profile.seeds) {
            assert!(!seed.path.starts_with('/'));
            assert!(seed.path.split('/').all(|part| part != ".." && !part.is_empty()));
        }
    }
}
