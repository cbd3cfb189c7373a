//! How much an image may take, looked at while it is written.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use crate::model::failure::{Failure, FailureKind};

/// Bytes written between two looks at the room that is left.
const LOOK: u64 = 64 << 20;

/// Bytes written at a time: one file may be all of an image.
const CHUNK: u64 = 1 << 20;

/// What may be used.
#[derive(Clone, Copy)]
pub(crate) struct Bounds {
    /// Bytes of all files together.
    pub(crate) most: u64,
    /// Bytes of the file system that must stay free.
    pub(crate) spare: u64,
}

/// What one image may take: several times the largest that are used for development.
pub(super) const IMAGE: Bounds = Bounds { most: 64 << 30, spare: 1 << 30 };

/// The room on the file system of `place`.
pub(super) struct Room<'a> {
    place: BorrowedFd<'a>,
    pub(super) bounds: Bounds,
    used: u64,
    looked: u64,
}

impl<'a> Room<'a> {
    pub(super) fn new(place: BorrowedFd<'a>, bounds: Bounds) -> Self {
        Self { place, bounds, used: 0, looked: 0 }
    }

    /// Copies all of `from`, telling of each chunk, for as long as there is room.
    pub(super) fn copy(
        &mut self,
        from: &mut impl Read,
        to: &mut (impl Write + AsFd),
        told: &mut dyn FnMut(u64),
    ) -> anyhow::Result<()> {
        loop {
            let written = io::copy(&mut from.take(CHUNK), to)?;
            if written == 0 {
                return Ok(());
            }
            self.take(written)?;
            told(written);
        }
    }

    fn take(&mut self, bytes: u64) -> anyhow::Result<()> {
        self.used += bytes;
        if self.used > self.bounds.most {
            return full(format!("the image has more than {} bytes", self.bounds.most));
        }
        if self.used - self.looked >= LOOK {
            self.looked = self.used;
            let found = rustix::fs::fstatvfs(self.place)?;
            if found.f_bavail.saturating_mul(found.f_frsize) < self.bounds.spare {
                return full("the disk is nearly full; the image was not unpacked".to_owned());
            }
        }
        Ok(())
    }
}

fn full(message: String) -> anyhow::Result<()> {
    let hint = "make room, or move AGENTDECK_HOME to a larger disk";
    Err(Failure::new(FailureKind::Refused, message).hint(hint).into())
}
