//! What the engine tells its re-executed child, and what that answers: an order on a line, then
//! lines, of which the last is the outcome. All are JSON over pipes.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use crate::engine::BoxPlan;
use crate::model::failure::Failure;

/// Between two reports: what people can follow, and what a pipe that nobody reads can hold for
/// a step of hours.
const PACE: Duration = Duration::from_millis(100);

/// What the child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Get ready to make a box, and wait for the order to, which is all that may follow.
    Wait,
    /// Put a box together that waits for its name, and for the order to make it, which is all that
    /// may follow.
    Build { plan: Box<BoxPlan>, home_in_box: PathBuf, group: Group },
    /// Make a box and become its first process.
    Isolate { plan: Box<BoxPlan>, home_in_box: PathBuf, group: Group },
    /// Start the shim as a plain process of the user.
    Detach { plan: Box<BoxPlan> },
    /// Find out whether boxes can be made, with `directory` for their layers.
    Probe { directory: PathBuf },
    /// Write the system of a box that stands still to a file.
    Save { plan: Box<BoxPlan>, output: PathBuf },
    /// Copy the layer of a box that stands still.
    Copy { from: PathBuf, to: PathBuf, name: String },
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
    /// The box in waiting has ended, and nothing was made of it.
    Gone,
    /// How many files the user may not read and the image does not have.
    Saved {
        left_out: u64,
    },
    /// How far it is; another answer follows.
    Told {
        done: u64,
        total: u64,
    },
    Failed(Failure),
}

impl Answer {
    /// Writes the answer as one line on standard output.
    pub(super) fn tell(&self) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        // In one piece, since another process of the order may tell something too.
        std::io::stdout().write_all(&line)
    }
}

/// Tells how far a step is.
pub(super) struct Told {
    done: u64,
    total: u64,
    last: Instant,
}

impl Told {
    /// A step over `total` bytes, or 0 where nobody knows.
    pub(super) fn new(total: u64) -> Self {
        Self { done: 0, total, last: Instant::now() }
    }

    /// Counts what was done. Fails where nobody listens any more, for whom the rest would be done.
    pub(super) fn add(&mut self, bytes: u64) -> std::io::Result<()> {
        self.done += bytes;
        if self.last.elapsed() < PACE {
            return Ok(());
        }
        self.last = Instant::now();
        Answer::Told { done: self.done, total: self.total }.tell()
    }
}
