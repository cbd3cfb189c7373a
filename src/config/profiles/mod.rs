//! The agents that are known: how each is installed, started and spared its first-run dialogs.
//!
//! An agent's own sandbox cannot work inside a box and is switched off by a seeded file. Whether
//! the agent asks before it acts is another matter and stands in its command, where a user's
//! `[agents.NAME]` changes it without touching the first.

mod builtin;
mod hooks;

use super::file::{AgentSettings, Settings};
use crate::model::failure::{Failure, FailureKind};
use crate::model::profile::AgentProfile;
use builtin::script;

/// Where people keep programs they installed for themselves, below their home. Native boxes show
/// these, whatever the agent; what lies beside them, as `.cargo/credentials.toml` does, they do not.
pub const TOOLS: [&str; 6] =
    [".bun/bin", ".cargo/bin", ".deno/bin", ".nvm/versions", ".pyenv", ".rustup"];

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
        (known, Some(agent)) => {
            Ok(changed(known.unwrap_or_else(|| AgentProfile::bare(name)), agent))
        }
        (None, None) => {
            let known = names(settings).join(", ");
            Err(Failure::new(FailureKind::NotFound, format!("there is no agent {name}"))
                .hint(format!("use {known}, or give a command after --")))
        }
    }
}

/// The built-in profiles.
pub fn builtin() -> Vec<AgentProfile> {
    use builtin::{aider, amp, claude, codex, gemini, goose, mini, opencode, pi, qwen, shell};
    let known = [shell, codex, claude, gemini, opencode, qwen, pi, aider, mini, goose, amp];
    known.into_iter().map(|profile| profile()).collect()
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
    if let Some(task) = &agent.task {
        profile.task.clone_from(task);
    }
    if let Some(resume) = &agent.resume {
        profile.resume.clone_from(resume);
    }
    if let Some(evidence) = &agent.evidence {
        profile.evidence = Some(evidence.clone());
    }
    profile
}

#[cfg(test)]
mod tests {
    use super::builtin::words;
    use super::*;
    use crate::model::profile::TASK;

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
        let mine = AgentSettings { install: Some(words(&["pip install x"])), ..Default::default() };
        let agents = [("claude".to_owned(), claude), ("mine".to_owned(), mine)].into();
        let settings = Settings { agents, ..Settings::default() };
        let names = names(&settings);
        assert_eq!(names[..3], ["shell", "codex", "claude"]);
        assert_eq!(names.last().map(String::as_str), Some("mine"), "built in come first");
        let claude = find("claude", &settings).expect("known");
        assert_eq!(claude.command, ["claude"], "it asks again");
        assert_eq!(claude.seeds.len(), 2, "and is still spared its first-run dialogs");
        let mine = find("mine", &settings).expect("known");
        assert_eq!(mine.command, ["mine"]);
        assert_eq!(mine.install, [["sh", "-ec", "pip install x"]]);
    }

    /// Whether a file has to be of a format.
    fn is_json(path: &str) -> bool {
        std::path::Path::new(path).extension().is_some_and(|ending| ending == "json")
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
        let keys = ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY"];
        let mut keys = keys.map(|name| (name, key)).to_vec();
        keys.push(("OPENAI_BASE_URL", "http://host:1/\"v1\""));
        for (path, content) in filled(&[]).into_iter().chain(filled(&keys)) {
            let workspace = "/home/me/a \"b\" \\ü";
            if path == ".codex/config.toml" {
                let table: toml::Table = content.parse().expect("toml");
                assert!(table["projects"].get(workspace).is_some(), "{content}");
                assert!(!content.contains("sk-"), "a key is never written");
                assert_eq!(table["features"]["daemon_auto_start"].as_bool(), Some(false));
                continue;
            }
            if !is_json(&path) {
                continue;
            }
            let value: serde_json::Value = serde_json::from_str(&content).expect("json");
            if path == ".gemini/trustedFolders.json" {
                assert_eq!(value[workspace], "TRUST_FOLDER", "{content}");
            }
            if let Some(projects) = value.get("projects") {
                assert!(projects.get(workspace).is_some(), "{content}");
                let approved = &value["customApiKeyResponses"]["approved"];
                assert!(approved[0] == "0123456789abcdefghij" || approved[0] == "");
            }
        }
    }

    #[test]
    fn every_agent_is_given_a_task_as_one_word_and_goes_on_without_it() {
        for profile in builtin() {
            let begun = profile.begun_with(Some("$(rm) -rf \"x y\""));
            assert!(begun.starts_with(&profile.command), "{begun:?}");
            let told = begun.iter().filter(|word| word.contains("$(rm) -rf \"x y\"")).count();
            assert_eq!(told, usize::from(!profile.task.is_empty()), "{begun:?}");
            assert!(!profile.resumed().iter().any(|word| word.contains(TASK)));
            let within = |path: &String| path.split('/').all(|name| !matches!(name, "" | ".."));
            assert!(profile.evidence.as_ref().is_none_or(within), "{}", profile.name);
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
