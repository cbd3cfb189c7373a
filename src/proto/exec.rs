//! What a command without a terminal says while it runs.

use serde::{Deserialize, Serialize};

use crate::model::failure::Failure;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecEvent {
    Output {
        stream: ExecStream,
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
    },
    /// The last event of an exec; 128 + n for a death by signal n.
    Exited {
        code: i32,
    },
    Failed(Failure),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExecStream {
    Stdout,
    Stderr,
}
