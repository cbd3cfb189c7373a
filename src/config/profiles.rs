//! The agents that are known: how each is installed, started and spared its first-run dialogs.
//!
//! An agent's own sandbox cannot work inside a box and is switched off by a seeded file. Whether
//! the agent asks before it acts is another matter and stands in its command, where a user's
//! `[agents.NAME]` changes it without touching the first.

use super::file::{AgentSettings, Settings};
use crate::model::failure::{Failure, FailureKind};
use crate::model::profile::{AgentProfile, Seed};

/// Where people keep programs they installed for themselves, below their home. Native boxes show
/// these, whatever the agent; what lies beside them, as `.cargo/credentials.toml` does, they do not.
pub const TOOLS: [&str; 6] =
    [".bun/bin", ".cargo/bin", ".deno/bin", ".nvm/versions", ".pyenv", ".rustup"];

/// Brings npm where there is none; a native box shows the host's.
const NODE_INSTALL: &str = "command -v npm >/dev/null || { apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    nodejs npm ca-certificates git; }";

/// The names of all profiles: the built-in ones first, then the user's own.
pub fn names(settings: &Settings) -> Vec<String> {
    let mut names: Vec<String> = builtin().into_iter().map(|profile| profile.name).collect();
    let own = settings.agents.keys().filter(|name| !names.contains(name));
    let own: Vec<String> = own.cloned().collect();
    names.extend(own);
    names
}

/// The profile of a name, as the user's file changes it.
pub fn find(name: &str, settings: &Settings) -> Result<AgentProfile, Failure> {
    let known = builtin().into_iter().find(|profile| profile.name == name);
    match (known, settings.agents.get(name)) {
        (Some(profile), None) => Ok(profile),
        (known, Some(agent)) => Ok(changed(known.unwrap_or_else(|| bare(name)), agent)),
        (None, None) => {
            let known = names(settings).join(", ");
            Err(Failure::new(FailureKind::NotFound, format!("there is no agent {name}"))
                .hint(format!("use {known}, or give a command after --")))
        }
    }
}

/// The built-in profiles.
pub fn builtin() -> Vec<AgentProfile> {
    vec![shell(), codex(), claude()]
}

fn changed(mut profile: AgentProfile, agent: &AgentSettings) -> AgentProfile {
    if let Some(command) = &agent.command {
        profile.probe = command.first().cloned().unwrap_or_default();
        profile.command.clone_from(command);
    }
    if let Some(install) = &agent.install {
        profile.install = install.iter().map(|line| script(line)).collect();
    }
    if let Some(variables) = &agent.variables {
        profile.variables.clone_from(variables);
    }
    if let Some(tools) = &agent.tools {
        profile.tools.clone_from(tools);
    }
    profile
}

/// A profile that knows no more than a program's name.
fn bare(name: &str) -> AgentProfile {
    AgentProfile {
        name: name.to_owned(),
        command: vec![name.to_owned()],
        install: Vec::new(),
        probe: name.to_owned(),
        variables: Vec::new(),
        environment: Vec::new(),
        seeds: Vec::new(),
        tools: Vec::new(),
    }
}

fn from_npm(name: &str, package: &str) -> AgentProfile {
    let install = format!("npm install --global --no-audit --no-fund {package}");
    AgentProfile { install: vec![script(NODE_INSTALL), script(&install)], ..bare(name) }
}

fn shell() -> AgentProfile {
    // An image without bash still has a shell in most cases.
    let start = "exec \"$(command -v bash || command -v sh)\"";
    AgentProfile {
        command: words(&["/bin/sh", "-c", start]),
        probe: String::new(),
        ..bare("shell")
    }
}

/// Codex: with a key in its environment it uses that, else it offers to log in.
fn codex() -> AgentProfile {
    const CONFIG: &str = "# The box is the sandbox.\n\
        sandbox_mode = \"danger-full-access\"\n\
        check_for_update_on_startup = false\n";
    const TRUST: &str = "\n[projects.\"{workspace}\"]\ntrust_level = \"trusted\"\n";
    const KEY: &str = "model_provider = \"environment\"\n\
        \n\
        [model_providers.environment]\n\
        name = \"OpenAI\"\n\
        base_url = \"{value:OPENAI_BASE_URL|https://api.openai.com/v1}\"\n\
        env_key = \"OPENAI_API_KEY\"\n\
        wire_api = \"responses\"\n";
    let path = ".codex/config.toml";
    let with_key = seed(path, &format!("{CONFIG}{KEY}{TRUST}"));
    AgentProfile {
        command: words(&["codex", "--ask-for-approval", "never"]),
        variables: words(&["OPENAI_API_KEY", "OPENAI_BASE_URL"]),
        seeds: vec![
            Seed { needs: Some("OPENAI_API_KEY".to_owned()), ..with_key },
            seed(path, &format!("{CONFIG}{TRUST}")),
        ],
        ..from_npm("codex", "@openai/codex")
    }
}

/// Claude Code: a key in its environment counts as approved.
fn claude() -> AgentProfile {
    let state = r#"{
  "hasCompletedOnboarding": true,
  "theme": "dark",
  "bypassPermissionsModeAccepted": true,
  "customApiKeyResponses": { "approved": ["{last-20:ANTHROPIC_API_KEY}"], "rejected": [] },
  "projects": {
    "{workspace}": { "hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true }
  }
}
"#;
    let settings = "{\n  \"skipDangerousModePermissionPrompt\": true\n}\n";
    let variables = [
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "ANTHROPIC_BASE_URL",
        "CLAUDE_CODE_OAUTH_TOKEN",
    ];
    // The box's user may have id 0 and no rights; the first tells the agent that it is in a box.
    let environment = [("IS_SANDBOX", "1"), ("DISABLE_AUTOUPDATER", "1")];
    AgentProfile {
        command: words(&["claude", "--dangerously-skip-permissions"]),
        variables: words(&variables),
        environment: environment.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
        seeds: vec![seed(".claude.json", state), seed(".claude/settings.json", settings)],
        ..from_npm("claude", "@anthropic-ai/claude-code")
    }
}

fn seed(path: &str, content: &str) -> Seed {
    Seed { path: path.to_owned(), content: content.to_owned(), needs: None }
}

fn script(line: &str) -> Vec<String> {
    words(&["sh", "-ec", line])
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

    #[test]
    fn a_users_file_changes_a_profile_and_adds_others() {
        let claude = AgentSettings { command: Some(words(&["claude"])), ..Default::default() };
        let aider =
            AgentSettings { install: Some(words(&["pip install x"])), ..Default::default() };
        let agents = [("claude".to_owned(), claude), ("aider".to_owned(), aider)].into();
        let settings = Settings { agents, ..Settings::default() };
        assert_eq!(names(&settings), ["shell", "codex", "claude", "aider"]);
        let claude = find("claude", &settings).expect("known");
        assert_eq!(claude.command, ["claude"], "it asks again");
        assert_eq!(claude.seeds.len(), 2, "and is still spared its first-run dialogs");
        let aider = find("aider", &settings).expect("known");
        assert_eq!(aider.command, ["aider"]);
        assert_eq!(aider.install, [["sh", "-ec", "pip install x"]]);
    }

    fn filled(variables: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<(String, String)> = variables.iter().map(own).collect();
        let seeds = builtin().into_iter().flat_map(|profile| profile.seeds);
        let fit = seeds.filter(|seed| seed.fits(&variables));
        fit.map(|seed| (seed.path.clone(), seed.fill("/home/me/a \"b\" \\ü", &variables))).collect()
    }

    #[test]
    fn seeds_are_valid_files_for_any_workspace_and_key() {
        let key = "sk-\"ant-0123456789abcdefghij";
        for (path, content) in filled(&[("ANTHROPIC_API_KEY", key), ("OPENAI_API_KEY", key)]) {
            let workspace = "/home/me/a \"b\" \\ü";
            if path == ".codex/config.toml" {
                let table: toml::Table = content.parse().expect("toml");
                assert!(table["projects"].get(workspace).is_some(), "{content}");
                assert!(!content.contains("sk-"), "a key is never written");
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(&content).expect("json");
            if let Some(projects) = value.get("projects") {
                assert!(projects.get(workspace).is_some(), "{content}");
                let approved = &value["customApiKeyResponses"]["approved"];
                assert_eq!(approved[0], "0123456789abcdefghij");
            }
        }
    }

    #[test]
    fn codex_uses_a_key_only_where_there_is_one() {
        let config = |variables| filled(variables).into_iter().next().expect("the first").1;
        assert!(!config(&[]).contains("model_provider"));
        let plain = config(&[("OPENAI_API_KEY", "x")]);
        assert!(plain.contains("base_url = \"https://api.openai.com/v1\""), "{plain}");
        let local = config(&[("OPENAI_API_KEY", "x"), ("OPENAI_BASE_URL", "http://host:1")]);
        assert!(local.contains("base_url = \"http://host:1\""), "{local}");
    }
}
