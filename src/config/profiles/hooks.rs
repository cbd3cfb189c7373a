//! The files by which agents tell what they are doing: hooks in their settings, or a plugin.
//!
//! Each runs the program that the shim names to every session, and nothing where there is none, as
//! in a box of an earlier version. What agents were seen to tell stands in docs/agents.md.

use serde_json::{Map, Value, json};

use crate::model::profile::Seed;

const OPENCODE: &str = concat!(include_str!("hooks/say.js"), include_str!("hooks/opencode.js"));
const PI: &str = concat!(include_str!("hooks/say.js"), include_str!("hooks/pi.js"));

/// Events of Claude Code. Nothing is told of helpers, which end while the agent goes on.
const CLAUDE: [&str; 9] = [
    "SessionStart",
    "SessionEnd",
    "UserPromptSubmit",
    "PreToolUse",
    "PostToolUse",
    "PostToolUseFailure",
    "PermissionRequest",
    "Stop",
    "StopFailure",
];

/// Qwen Code tells by this one, too, that it stands at its prompt again after an interruption.
const QWEN: &str = "Notification";

const GEMINI: [&str; 7] = [
    "SessionStart",
    "SessionEnd",
    "BeforeAgent",
    "AfterAgent",
    "BeforeTool",
    "AfterTool",
    "Notification",
];

/// Hooks for a file of Claude Code's settings.
pub(super) fn claude() -> Value {
    of(&CLAUDE, "claude")
}

/// Hooks for a file of Qwen Code's settings.
pub(super) fn qwen() -> Value {
    of(&[&CLAUDE[..], &[QWEN]].concat(), "claude")
}

/// Hooks for a file of Gemini CLI's settings.
pub(super) fn gemini() -> Value {
    of(&GEMINI, "gemini")
}

fn of(events: &[&str], scheme: &str) -> Value {
    // What it ends with decides in some agents whether they go on.
    let command =
        format!("[ -z \"$AGENTDECK_SHIM\" ] || \"$AGENTDECK_SHIM\" shim-say {scheme}; exit 0");
    let hook = json!([{ "matcher": "*", "hooks": [{ "type": "command", "command": command }] }]);
    let hooks = events.iter().map(|event| ((*event).to_owned(), hook.clone()));
    Value::Object(hooks.collect::<Map<_, _>>())
}

/// opencode's plugin.
pub(super) fn opencode() -> Seed {
    plugin(".config/opencode/plugin/agentdeck.js", OPENCODE)
}

/// Pi's extension.
pub(super) fn pi() -> Seed {
    plugin(".pi/agent/extensions/agentdeck.js", PI)
}

fn plugin(path: &str, content: &str) -> Seed {
    Seed { path: path.to_owned(), content: content.to_owned(), needs: None, merged: false }
}
