//! Agent profiles: how a known agent is installed, started, spared its first-run dialogs, given a
//! task and had go on with its conversation.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What stands for the text of a task in the words that give it.
pub const TASK: &str = "{task}";

/// Longest text of a task, in bytes: it is one word of a command, and every client is told of it.
pub const MAX_TASK: usize = 16 << 10;

/// How one kind of agent is run in a box.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgentProfile {
    pub name: String,
    /// Program and arguments, the unattended flag included.
    pub command: Vec<String>,
    /// Commands run as the box's root, in order, when `probe` is not found on the box's `PATH`.
    pub install: Vec<Vec<String>>,
    /// The program whose presence makes `install` unnecessary.
    pub probe: String,
    /// Names of variables passed from the client's environment when they are set there.
    pub variables: Vec<String>,
    /// Fixed variables.
    pub environment: Vec<(String, String)>,
    /// Files written into the box's home before the first start, unless they exist there.
    pub seeds: Vec<Seed>,
    /// Directories of the user's home that the agent's program needs, shown in a native box
    /// besides the usual ones.
    pub tools: Vec<String>,
    /// Words behind the command that give the agent its first task, whose text stands for `{task}`
    /// in them. Without any it takes none.
    #[serde(default)]
    pub task: Vec<String>,
    /// Words behind the command with which it goes on with its latest conversation in the workspace.
    #[serde(default)]
    pub resume: Vec<String>,
    /// What there is in the box's home once it has begun a conversation: a path as in seeds, in
    /// whose names each `*` stands for any letters.
    #[serde(default)]
    pub evidence: Option<String>,
    /// Files in which the agent keeps a login, below the user's home and below that of a box.
    #[serde(default)]
    pub logins: Vec<String>,
}

/// A file for the box's home. Of several for one path the first that fits is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seed {
    /// Relative to the home, `/`-separated, without `..`.
    pub path: String,
    /// `{workspace}` stands for the workspace's path in the box, `{value:NAME|DEFAULT}` for a
    /// variable's value, and `{last-20:NAME}` for its last twenty characters. What is filled in is
    /// escaped as in JSON and TOML strings.
    pub content: String,
    /// The variable without which this file is not written.
    pub needs: Option<String>,
    /// It is a JSON object whose parts are added to those of a file that is there.
    #[serde(default)]
    pub merged: bool,
}

impl AgentProfile {
    /// A profile that knows no more than a program's name.
    pub fn bare(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            command: vec![name.to_owned()],
            install: Vec::new(),
            probe: name.to_owned(),
            variables: Vec::new(),
            environment: Vec::new(),
            seeds: Vec::new(),
            tools: Vec::new(),
            task: Vec::new(),
            resume: Vec::new(),
            evidence: None,
            logins: Vec::new(),
        }
    }

    /// How it is started, with its task where it is to have one.
    pub fn begun_with(&self, task: Option<&str>) -> Vec<String> {
        let words = self.task.iter().filter_map(|word| Some(word.replace(TASK, task?)));
        self.command.iter().cloned().chain(words).collect()
    }

    /// How it is started to go on with its conversation.
    pub fn resumed(&self) -> Vec<String> {
        [&self.command[..], &self.resume].concat()
    }
}

impl Seed {
    /// Whether the variables are there that the file is for.
    pub fn fits(&self, variables: &[(String, String)]) -> bool {
        let set = |name: &str| !of(variables, name).is_empty();
        self.needs.as_deref().is_none_or(set)
    }

    /// The file's content for a workspace and the variables the agent will have.
    pub fn fill(&self, workspace: &str, variables: &[(String, String)]) -> String {
        let mut filled = String::with_capacity(self.content.len());
        let mut rest = self.content.as_str();
        while let Some((before, after)) = rest.split_once('{') {
            filled.push_str(before);
            let value = after
                .split_once('}')
                .and_then(|(place, after)| Some((value(place, workspace, variables)?, after)));
            if let Some((value, after)) = value {
                filled.push_str(&escape(&value));
                rest = after;
            } else {
                filled.push('{');
                rest = after;
            }
        }
        filled.push_str(rest);
        filled
    }
}

/// What a place in braces stands for; `None` where it is just a brace.
fn value(place: &str, workspace: &str, variables: &[(String, String)]) -> Option<String> {
    if place == "workspace" {
        return Some(workspace.to_owned());
    }
    if let Some((name, default)) = place.strip_prefix("value:").and_then(|it| it.split_once('|')) {
        let value = of(variables, name);
        return Some(if value.is_empty() { default } else { value }.to_owned());
    }
    let value = of(variables, place.strip_prefix("last-20:")?);
    let skipped = value.chars().count().saturating_sub(20);
    Some(value.chars().skip(skipped).collect())
}

/// A variable's value; nothing when it is not set.
fn of<'a>(variables: &'a [(String, String)], name: &str) -> &'a str {
    variables.iter().rfind(|variable| variable.0 == name).map_or("", |(_, value)| value)
}

/// Escapes what would end a basic string of JSON or TOML.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '"' | '\\' => escaped.extend(['\\', character]),
            '\u{0}'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(character));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}
