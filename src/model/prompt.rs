//! A text that is sent to an agent as if it were typed, and what came of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Timestamp;

/// Numbers the prompts of one environment, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PromptId(pub u32);

/// The receipt of one prompt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    pub id: PromptId,
    /// How it begins, in one line.
    pub begin: String,
    /// Characters in all.
    pub length: u32,
    pub sent: Timestamp,
    pub delivery: Delivery,
    /// When its delivery came to be what it is.
    pub since: Timestamp,
}

/// What became of a prompt. It is typed at most once: what is not known to be untyped is never
/// typed again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum Delivery {
    /// Nothing of it was typed yet.
    Queued { why: String },
    /// It is being typed, or was entered and is not confirmed yet.
    Typing,
    /// The program took it.
    Taken { sign: Sign },
    /// The program has not taken it; the reason says whether anything of it was typed.
    Failed { why: String, hint: Option<String> },
    /// It was typed, or may have been, and nobody knows whether it was taken.
    Unsure { why: String },
    /// Somebody took it back before anything of it was typed.
    Cancelled,
}

/// What tells that a prompt was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// The agent began to do something.
    Status,
    /// The text left the place where it was typed.
    Screen,
}

/// Characters of a prompt that its receipt shows.
const BEGIN: usize = 80;

impl Prompt {
    pub fn new(id: PromptId, text: &str, now: Timestamp) -> Self {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut begin: String = line.chars().take(BEGIN).collect();
        if begin.len() < line.len() {
            begin.push('…');
        }
        let delivery = Delivery::Queued { why: String::new() };
        let length = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        Self { id, begin, length, sent: now, delivery, since: now }
    }
}

impl Delivery {
    /// Whether nothing more will come of it.
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Queued { .. } | Self::Typing)
    }

    /// One word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued { .. } => "queued",
            Self::Typing => "typing",
            Self::Taken { .. } => "taken",
            Self::Failed { .. } => "failed",
            Self::Unsure { .. } => "unsure",
            Self::Cancelled => "cancelled",
        }
    }

    /// Why it stands so, or what tells it.
    pub fn why(&self) -> &str {
        match self {
            Self::Queued { why } | Self::Failed { why, .. } | Self::Unsure { why } => why,
            Self::Taken { sign: Sign::Status } => "its agent began to work",
            Self::Taken { sign: Sign::Screen } => "it was entered, by its screen",
            Self::Typing | Self::Cancelled => "",
        }
    }
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why() {
            "" => f.write_str(self.as_str()),
            why => write!(f, "{}: {why}", self.as_str()),
        }
    }
}

impl fmt::Display for PromptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_shows_how_a_prompt_begins_in_one_line() {
        let short = Prompt::new(PromptId(1), "add\n  a test", Timestamp(1));
        assert_eq!((short.begin.as_str(), short.length), ("add a test", 12));
        let long = Prompt::new(PromptId(2), &"é".repeat(90), Timestamp(1));
        assert_eq!(long.begin, format!("{}…", "é".repeat(80)));
    }
}
