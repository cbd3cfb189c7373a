//! What a program asks of its terminal besides a screen: it is shown, and done by nobody but people.

use serde::{Deserialize, Serialize};

/// The newest of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Asked {
    /// How often anything was asked; whoever has seen a number has seen what was before it.
    pub count: u32,
    /// What it wants a person to read: printable, and short.
    pub says: Option<String>,
    /// How many characters it wants in the clipboard. They are asked for.
    pub copies: Option<u32>,
}
