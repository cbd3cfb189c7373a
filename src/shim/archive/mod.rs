//! Files in and out of a box as a tar stream.
//!
//! The packer runs beside the files and the unpacker beside the target, one of them in the box
//! under the agent's rights. Neither believes the other: a stream may say anything, and what it
//! says is written below the target or not at all. It knows nothing of connections.

mod entries;
mod pack;
mod unpack;

#[cfg(test)]
mod tests;

use std::fmt;

pub use pack::pack;
pub use unpack::{unpack, unpack_outside};

/// Whether a path means what is in a directory, and not the directory: `.`, an ending of `/.`, or
/// the top.
fn asks_for_content(path: &[u8]) -> bool {
    path == b"." || path.ends_with(b"/.") || path.iter().all(|byte| *byte == b'/')
}

/// How the target of an unpacking is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// As a copy: into the target under its own name where that is a directory, else as the
    /// target. A directory packed as its content goes into the target itself.
    Copy,
    /// Every entry under its own name into the target, which is a directory.
    Into,
}

/// What was left out of a stream, and why.
#[derive(Debug, Default)]
pub struct Skipped {
    lines: Vec<String>,
    more: usize,
}

impl Skipped {
    /// As many as a person reads.
    const SHOWN: usize = 20;

    fn add(&mut self, path: &[u8], why: impl fmt::Display) {
        if self.lines.len() < Self::SHOWN {
            self.lines.push(format!("{}: {why}", crate::model::path::printable(path)));
        } else {
            self.more += 1;
        }
    }

    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("everything else was copied, but not\n")?;
        f.write_str(&self.lines.join("\n"))?;
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}
