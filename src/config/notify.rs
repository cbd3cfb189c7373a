//! How the user wants to be told that an agent needs them: `[notify]` of their file.

use serde::Deserialize;

/// What is done besides the words in the deck.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Notify {
    /// The sequence by which the terminal is asked to show a notification.
    pub terminal: Channel,
    /// Rings the terminal's bell as well.
    pub bell: bool,
    /// Program and arguments, run on this machine with the title and the text behind them.
    pub command: Vec<String>,
}

/// Sequences that terminals know; others ignore them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Channel {
    None,
    /// iTerm2's, which most know.
    #[default]
    Osc9,
    /// rxvt-unicode's.
    Osc777,
    /// kitty's.
    Osc99,
}
