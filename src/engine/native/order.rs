//! What the engine tells its re-executed child, and what that answers. Both are JSON over pipes.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use crate::engine::BoxPlan;
use crate::model::failure::Failure;

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Make a box and become its first process.
    Isolate { plan: Box<BoxPlan>, home_in_box: PathBuf, group: Group },
    /// Start the shim as a plain process of the user.
    Detach { plan: Box<BoxPlan> },
    /// Find out whether boxes can be made, with `directory` for their layers.
    Probe { directory: PathBuf },
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The first process, as the host numbers it, and its start time.
    Made {
        pid: u32,
        start: u64,
    },
    Works,
    Failed(Failure),
}
