//! The agents that are built in. What each of them was seen to do stands in docs/agents.md.

use serde_json::{Value, json};

use super::hooks;
use crate::model::profile::{AgentProfile, Seed, TASK};

/// Brings npm where there is none; a native box shows the host's.
const NODE_INSTALL: &str = "command -v npm >/dev/null || { apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    nodejs npm ca-certificates git; }";

/// Brings Python with virtual environments where there is none.
const PYTHON_INSTALL: &str = "python3 -c 'import ensurepip' 2>/dev/null || { apt-get update -qq && \
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends \
    python3 python3-venv ca-certificates git; }";

fn from_npm(name: &str, package: &str) -> AgentProfile {
    let install = format!("npm install --global --no-audit --no-fund {package}");
    AgentProfile {
        install: vec![script(NODE_INSTALL), script(&install)],
        ..AgentProfile::bare(name)
    }
}

/// An agent in Python, whose packages lie apart from what else the box has.
fn from_pypi(name: &str, program: &str, packages: &str) -> AgentProfile {
    let place = format!("/opt/{name}");
    let install = format!(
        "python3 -m venv {place} && {place}/bin/pip install --quiet {packages} && \
         ln -sf {place}/bin/{program} /usr/local/bin/{program}"
    );
    AgentProfile {
        install: vec![script(PYTHON_INSTALL), script(&install)],
        probe: program.to_owned(),
        ..AgentProfile::bare(name)
    }
}

pub(super) fn shell() -> AgentProfile {
    // An image without bash still has a shell in most cases.
    let start = "exec \"$(command -v bash || command -v sh)\"";
    AgentProfile {
        command: words(&["/bin/sh", "-c", start]),
        probe: String::new(),
        ..AgentProfile::bare("shell")
    }
}

/// Codex: with a key in its environment it uses that, else it offers to log in. Its background
/// server, for several windows, would be a copy of the whole program in each box's home.
pub(super) fn codex() -> AgentProfile {
    const CONFIG: &str = "# The box is the sandbox.\n\
        sandbox_mode = \"danger-full-access\"\n\
        check_for_update_on_startup = false\n";
    const FEATURES: &str = "\n[features]\ndaemon_auto_start = false\n";
    const TRUST: &str = "\n[projects.\"{workspace}\"]\ntrust_level = \"trusted\"\n";
    const KEY: &str = "model_provider = \"environment\"\n\
        \n\
        [model_providers.environment]\n\
        name = \"OpenAI\"\n\
        base_url = \"{value:OPENAI_BASE_URL|https://api.openai.com/v1}\"\n\
        env_key = \"OPENAI_API_KEY\"\n\
        wire_api = \"responses\"\n";
    let path = ".codex/config.toml";
    let with_key = seed(path, &format!("{CONFIG}{KEY}{FEATURES}{TRUST}"));
    AgentProfile {
        command: words(&["codex", "--ask-for-approval", "never"]),
        variables: words(&["OPENAI_API_KEY", "OPENAI_BASE_URL"]),
        seeds: vec![
            Seed { needs: Some("OPENAI_API_KEY".to_owned()), ..with_key },
            seed(path, &format!("{CONFIG}{FEATURES}{TRUST}")),
        ],
        task: words(&["--", TASK]),
        resume: words(&["resume", "--last"]),
        evidence: Some(".codex/sessions/*/*/*/rollout-*.jsonl".to_owned()),
        logins: words(&[".codex/auth.json"]),
        ..from_npm("codex", "@openai/codex")
    }
}

/// Claude Code: a key in its environment counts as approved. Without its flag it asks: the mode in
/// which it decides by itself is not its default here.
pub(super) fn claude() -> AgentProfile {
    let state = r#"{
  "hasCompletedOnboarding": true,
  "theme": "dark",
  "bypassPermissionsModeAccepted": true,
  "hasSeenAutoDefaultNudge": true,
  "customApiKeyResponses": { "approved": ["{last-20:ANTHROPIC_API_KEY}"], "rejected": [] },
  "projects": {
    "{workspace}": { "hasTrustDialogAccepted": true, "hasCompletedProjectOnboarding": true }
  }
}
"#;
    let settings = json!({
        "skipDangerousModePermissionPrompt": true,
        "permissions": { "defaultMode": "default" },
        "hooks": hooks::claude(),
    });
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
        environment: pairs(&environment),
        seeds: vec![seed(".claude.json", state), merged(".claude/settings.json", &settings)],
        task: words(&["--", TASK]),
        resume: words(&["--continue"]),
        evidence: Some(".claude/projects/*/*.jsonl".to_owned()),
        logins: words(&[".claude/.credentials.json"]),
        ..from_npm("claude", "@anthropic-ai/claude-code")
    }
}

/// Gemini CLI: with a key in its environment it uses that, else it offers to log in.
pub(super) fn gemini() -> AgentProfile {
    let mut settings = json!({
        "general": { "enableAutoUpdate": false, "enableAutoUpdateNotification": false },
        "ide": { "hasSeenNudge": true },
        "hooks": hooks::gemini(),
        // Else its status line would name each hook as it runs.
        "hooksConfig": { "notifications": false },
    });
    let path = ".gemini/settings.json";
    let plain = merged(path, &settings);
    settings["security"] = json!({ "auth": { "selectedType": "gemini-api-key" } });
    let with_key = merged(path, &settings);
    let trust = "{\n  \"{workspace}\": \"TRUST_FOLDER\"\n}\n";
    AgentProfile {
        command: words(&["gemini", "--yolo"]),
        variables: words(&["GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL", "GEMINI_MODEL"]),
        seeds: vec![
            Seed { needs: Some("GEMINI_API_KEY".to_owned()), ..with_key },
            plain,
            seed(".gemini/trustedFolders.json", trust),
        ],
        task: words(&["--prompt-interactive={task}"]),
        resume: words(&["--resume", "latest"]),
        // It begins a file for its conversation before it is asked anything; this one it does not.
        evidence: Some(".gemini/tmp/*/logs.json".to_owned()),
        logins: words(&[".gemini/oauth_creds.json"]),
        ..from_npm("gemini", "@google/gemini-cli")
    }
}

/// opencode: it finds its providers by their keys; a base URL is a matter of its configuration.
pub(super) fn opencode() -> AgentProfile {
    let path = ".config/opencode/opencode.json";
    let local = "{\n  \"autoupdate\": false,\n  \"provider\": {\n    \
        \"openai\": { \"options\": { \"baseURL\": \"{value:OPENAI_BASE_URL|}\" } }\n  }\n}\n";
    AgentProfile {
        command: words(&["opencode", "--auto"]),
        variables: words(&[
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
            "OPENROUTER_API_KEY",
            "OPENCODE_API_KEY",
        ]),
        seeds: vec![
            Seed { needs: Some("OPENAI_BASE_URL".to_owned()), ..seed(path, local) },
            seed(path, "{\n  \"autoupdate\": false\n}\n"),
            hooks::opencode(),
        ],
        task: words(&["--prompt={task}"]),
        resume: words(&["--continue"]),
        evidence: Some(".local/state/opencode/prompt-history.jsonl".to_owned()),
        logins: words(&[".local/share/opencode/auth.json"]),
        ..from_npm("opencode", "opencode-ai")
    }
}

/// Qwen Code: with a key in its environment it uses that, else it offers to log in.
pub(super) fn qwen() -> AgentProfile {
    AgentProfile {
        command: words(&["qwen", "--yolo"]),
        variables: words(&[
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "OPENAI_MODEL",
            "DASHSCOPE_API_KEY",
        ]),
        seeds: vec![merged(".qwen/settings.json", &json!({ "hooks": hooks::qwen() }))],
        task: words(&["--prompt-interactive={task}"]),
        resume: words(&["--continue"]),
        evidence: Some(".qwen/projects/*/chats/*.jsonl".to_owned()),
        logins: words(&[".qwen/oauth_creds.json"]),
        ..from_npm("qwen", "@qwen-code/qwen-code")
    }
}

/// Pi: it asks nobody before it acts; a base URL is a matter of its list of models.
pub(super) fn pi() -> AgentProfile {
    let local = "{\n  \"providers\": {\n    \"openai\": { \"baseUrl\": \"{value:OPENAI_BASE_URL|}\" }\n  }\n}\n";
    let models = seed(".pi/agent/models.json", local);
    AgentProfile {
        variables: words(&[
            "OPENAI_API_KEY",
            "OPENAI_BASE_URL",
            "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
            "OPENROUTER_API_KEY",
        ]),
        environment: pairs(&[("PI_SKIP_VERSION_CHECK", "1")]),
        seeds: vec![Seed { needs: Some("OPENAI_BASE_URL".to_owned()), ..models }, hooks::pi()],
        // Without the blank a text that begins with - or @ would be a flag or a file.
        task: words(&[" {task}"]),
        resume: words(&["--continue"]),
        evidence: Some(".pi/agent/sessions/*/*.jsonl".to_owned()),
        logins: words(&[".pi/agent/auth.json"]),
        ..from_npm("pi", "@mariozechner/pi-coding-agent")
    }
}

/// aider: given a task it ends when it has done it. Its conversation is a file of the workspace,
/// which is no harm to read where there is none.
pub(super) fn aider() -> AgentProfile {
    AgentProfile {
        command: words(&["aider", "--yes-always"]),
        variables: words(&[
            "OPENAI_API_KEY",
            "OPENAI_API_BASE",
            "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
            "DEEPSEEK_API_KEY",
            "OPENROUTER_API_KEY",
            "AIDER_MODEL",
        ]),
        environment: pairs(&[
            ("AIDER_ANALYTICS", "false"),
            ("AIDER_CHECK_UPDATE", "false"),
            ("AIDER_SHOW_RELEASE_NOTES", "false"),
        ]),
        task: words(&["--message={task}"]),
        resume: words(&["--restore-chat-history"]),
        ..from_pypi("aider", "aider", "aider-chat")
    }
}

/// mini-swe-agent: it has no conversations to go on with, and asks for a model unless one is named.
pub(super) fn mini() -> AgentProfile {
    let configured = seed(".config/mini-swe-agent/.env", "MSWEA_CONFIGURED='true'\n");
    AgentProfile {
        command: words(&["mini", "--yolo"]),
        variables: words(&[
            "MSWEA_MODEL_NAME",
            "MSWEA_COST_TRACKING",
            "OPENAI_API_KEY",
            "OPENAI_API_BASE",
            "ANTHROPIC_API_KEY",
            "GEMINI_API_KEY",
        ]),
        seeds: vec![Seed { needs: Some("MSWEA_MODEL_NAME".to_owned()), ..configured }],
        task: words(&["--task={task}"]),
        evidence: Some(".config/mini-swe-agent/last_mini_run.traj.json".to_owned()),
        ..from_pypi("mini-swe-agent", "mini", "mini-swe-agent mcp")
    }
}

/// goose: the program has to be in the image, or in a directory that `tools` names.
pub(super) fn goose() -> AgentProfile {
    AgentProfile {
        command: words(&["goose", "session"]),
        variables: words(&["GOOSE_PROVIDER", "GOOSE_MODEL", "OPENAI_API_KEY", "ANTHROPIC_API_KEY"]),
        environment: pairs(&[("GOOSE_MODE", "auto"), ("GOOSE_DISABLE_KEYRING", "1")]),
        ..AgentProfile::bare("goose")
    }
}

/// Amp: it works through its own servers, and offers to log in where there is no key of theirs.
pub(super) fn amp() -> AgentProfile {
    AgentProfile {
        variables: words(&["AMP_API_KEY", "AMP_URL"]),
        ..from_npm("amp", "@sourcegraph/amp")
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn seed(path: &str, content: &str) -> Seed {
    Seed { path: path.to_owned(), content: content.to_owned(), needs: None, merged: false }
}

/// Settings that are added to those that are there.
fn merged(path: &str, settings: &Value) -> Seed {
    Seed { merged: true, ..seed(path, &format!("{settings:#}\n")) }
}

pub(super) fn script(line: &str) -> Vec<String> {
    words(&["sh", "-ec", line])
}

pub(super) fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(ToString::to_string).collect()
}
