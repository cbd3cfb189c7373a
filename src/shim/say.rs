//! Says the state of a program to the shim of its box: what agents' hooks run.
//!
//! Started by an agent with its hook's JSON as input, it must never get in the agent's way: it prints
//! nothing, since some agents read that, ends well whatever happens, and waits for nobody long.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::ear::{self, ADDRESS_VARIABLE};
use super::hooks::Message;
use crate::model::status::MAX_SAYS;

/// How long the shim is waited for: one that is flooded by others of the box.
const PATIENCE: Duration = Duration::from_secs(1);

/// Bytes of a hook's input that are read at most: the output of a tool may be in it.
const MAX_INPUT: u64 = 8 << 20;

/// What the input of a hook says.
type Scheme = fn(&Value) -> Option<Value>;

/// How an agent tells its hooks what happened.
const SCHEMES: [(&str, Scheme); 2] = [("claude", claude), ("gemini", gemini)];

/// Runs with the words behind the verb: none for a message as input, the name of an agent for the
/// input of one of its hooks, or a state and, for one that waits, its need.
pub fn run(words: &[&str]) -> ExitCode {
    let said = match words {
        [] => input().and_then(say),
        [agent] if SCHEMES.iter().any(|scheme| scheme.0 == *agent) => {
            input().and_then(|hook| message_of(agent, &hook).map_or(Ok(()), say))
        }
        words => return by_hand(words),
    };
    // An agent would show its person what only a developer can mend.
    drop(said);
    ExitCode::SUCCESS
}

/// What the input of an agent's hook says; `None` where that is nothing.
pub(super) fn message_of(agent: &str, hook: &Value) -> Option<Value> {
    SCHEMES.iter().find(|scheme| scheme.0 == agent).and_then(|scheme| scheme.1(hook))
}

/// A person, or a script of theirs, says it, and is told when it was not heard.
fn by_hand(words: &[&str]) -> ExitCode {
    let said = match words {
        [state] => say(json!({ "state": state })),
        [state, need] => say(json!({ "state": state, "need": need })),
        _ => Err(anyhow::anyhow!("say a state, and for one that waits what it needs")),
    };
    match said {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "not said: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn input() -> anyhow::Result<Value> {
    let mut text = Vec::new();
    std::io::stdin().take(MAX_INPUT).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Sends a message that lacks nothing but its session and time.
fn say(mut message: Value) -> anyhow::Result<()> {
    let place = std::env::var(ADDRESS_VARIABLE).context("no shim hears this program")?;
    let (session, address) = place.split_once(':').context("no address of a shim")?;
    message["session"] = session.parse::<u32>()?.into();
    if message.get("at").is_none() {
        message["at"] = ear::now().into();
    }
    let text = serde_json::to_vec(&message)?;
    Message::read(&text).context("no such state")?;
    Ok(ear::speak(address, &text, PATIENCE)?)
}

/// Claude Code, and Qwen Code, which has the same hooks.
fn claude(hook: &Value) -> Option<Value> {
    let is_helper = hook["agent_id"].is_string();
    let part = part(hook);
    let message = match (hook["hook_event_name"].as_str()?, is_helper) {
        // The conversation goes on in fewer words.
        ("SessionStart", _) if hook["source"] == "compact" => return None,
        ("SessionStart", false) => json!({ "state": "idle" }),
        ("UserPromptSubmit", false) => json!({ "state": "begun" }),
        ("PreToolUse", false) => json!({ "state": "working", "in_tool": true }),
        ("PermissionRequest", _) => {
            let says = words(hook["tool_name"].as_str(), &hook["tool_input"]);
            json!({ "state": "waiting", "need": "permission", "part": part, "says": says })
        }
        ("PostToolUse" | "PostToolUseFailure" | "PermissionDenied", true) => {
            json!({ "state": "answered", "part": part })
        }
        ("PostToolUse" | "PostToolUseFailure" | "PermissionDenied", false) => {
            json!({ "state": "working", "part": part })
        }
        ("Notification", false) if hook["notification_type"] == "idle_prompt" => {
            json!({ "state": "resting" })
        }
        ("Stop", false) => json!({ "state": "done" }),
        ("StopFailure", false) => json!({ "state": "failed" }),
        ("SessionEnd", false) => json!({ "state": "ended" }),
        _ => return None,
    };
    Some(of_conversation(message, hook))
}

/// Gemini CLI.
fn gemini(hook: &Value) -> Option<Value> {
    let message = match hook["hook_event_name"].as_str()? {
        "SessionStart" => json!({ "state": "idle" }),
        "BeforeAgent" => json!({ "state": "begun" }),
        "BeforeTool" => json!({ "state": "working", "in_tool": true }),
        "AfterTool" => json!({ "state": "working" }),
        "Notification" if hook["notification_type"] == "ToolPermission" => {
            let says = words(hook["details"]["title"].as_str(), &hook["details"]);
            json!({ "state": "waiting", "need": "permission", "says": says })
        }
        "AfterAgent" => json!({ "state": "done" }),
        "SessionEnd" => json!({ "state": "ended" }),
        _ => return None,
    };
    Some(of_conversation(message, hook))
}

fn of_conversation(mut message: Value, hook: &Value) -> Value {
    if let Some(id) = hook["session_id"].as_str() {
        message["conversation"] = id.into();
    }
    message
}

/// What tells one use of a tool from another: the question for it names no id.
fn part(hook: &Value) -> String {
    let mut hasher = DefaultHasher::new();
    hook["tool_name"].to_string().hash(&mut hasher);
    hook["tool_input"].to_string().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// What a tool is to do, in a line.
fn words(tool: Option<&str>, input: &Value) -> String {
    let what = ["command", "file_path", "url", "description"]
        .into_iter()
        .find_map(|name| input[name].as_str())
        .unwrap_or_default();
    let line = format!("{}: {what}", tool.unwrap_or("a tool"));
    line.trim_end_matches(": ").chars().take(MAX_SAYS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shim::hooks::State;

    /// What a hook's input says, as the shim reads it.
    fn said(scheme: Scheme, hook: &Value) -> Option<Message> {
        let mut message = scheme(hook)?;
        message["session"] = 1.into();
        Some(Message::read(&serde_json::to_vec(&message).expect("text")).expect("a message"))
    }

    fn state(scheme: Scheme, hook: &Value) -> Option<State> {
        said(scheme, hook).map(|message| message.state)
    }

    #[test]
    fn hooks_of_claude_code_say_what_it_does() {
        for (event, expected) in [
            ("SessionStart", Some(State::Idle)),
            ("UserPromptSubmit", Some(State::Begun)),
            ("PreToolUse", Some(State::Working)),
            ("PermissionRequest", Some(State::Waiting)),
            ("PostToolUse", Some(State::Working)),
            ("Stop", Some(State::Done)),
            ("StopFailure", Some(State::Failed)),
            ("SessionEnd", Some(State::Ended)),
            ("SubagentStop", None),
            ("Notification", None),
            ("PreCompact", None),
        ] {
            let hook = json!({ "hook_event_name": event, "session_id": "s" });
            assert_eq!(state(claude, &hook), expected, "{event}");
        }
        let compact = json!({ "hook_event_name": "SessionStart", "source": "compact" });
        assert_eq!(state(claude, &compact), None);
        assert_eq!(state(claude, &json!({})), None);
        assert_eq!(state(claude, &json!([])), None);
    }

    #[test]
    fn a_question_is_answered_by_the_tool_that_it_was_for() {
        let hook = |event: &str, command: &str| {
            json!({ "hook_event_name": event, "session_id": "s", "tool_name": "Bash",
                    "tool_input": { "command": command } })
        };
        let asks = said(claude, &hook("PermissionRequest", "rm x")).expect("said");
        assert_eq!(asks.says.as_deref(), Some("Bash: rm x"));
        assert_eq!(asks.conversation.as_deref(), Some("s"));
        let done = said(claude, &hook("PostToolUse", "rm x")).expect("said");
        assert_eq!(done.part, asks.part);
        let other = said(claude, &hook("PostToolUse", "rm y")).expect("said");
        assert_ne!(other.part, asks.part);
    }

    #[test]
    fn what_a_helper_does_is_not_said_of_the_agent() {
        let hook = |event: &str| json!({ "hook_event_name": event, "agent_id": "a" });
        for event in ["SessionStart", "UserPromptSubmit", "PreToolUse", "Stop", "SessionEnd"] {
            assert_eq!(state(claude, &hook(event)), None, "{event}");
        }
        assert_eq!(state(claude, &hook("PermissionRequest")), Some(State::Waiting));
        assert_eq!(state(claude, &hook("PostToolUse")), Some(State::Answered));
    }

    #[test]
    fn hooks_of_gemini_say_what_it_does() {
        for (event, expected) in [
            ("SessionStart", Some(State::Idle)),
            ("BeforeAgent", Some(State::Begun)),
            ("BeforeTool", Some(State::Working)),
            ("AfterTool", Some(State::Working)),
            ("AfterAgent", Some(State::Done)),
            ("SessionEnd", Some(State::Ended)),
            ("Notification", None),
        ] {
            assert_eq!(state(gemini, &json!({ "hook_event_name": event })), expected, "{event}");
        }
        let asks = json!({ "hook_event_name": "Notification", "notification_type": "ToolPermission",
                           "details": { "title": "Confirm Shell Command", "command": "ls" } });
        let asks = said(gemini, &asks).expect("said");
        assert_eq!(asks.state, State::Waiting);
        assert_eq!(asks.says.as_deref(), Some("Confirm Shell Command: ls"));
    }
}
