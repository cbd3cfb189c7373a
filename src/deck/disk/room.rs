//! How much more a disk takes: bytes, and files where there are only so many. Nothing here acts.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::model::policy::show_bytes;

/// So much more than the reserve must be free before what was paused goes on: a fourth of it, or
/// it would stop and go with every file.
const ROOM_AGAIN: u64 = 4;
/// Files that are kept free: snapshots and records of many agents for some minutes.
const FILES: u64 = 4096;
/// Of a small disk that would be most of it: no more than this part of all it may have.
const SMALL_PART: u64 = 20;

/// A disk, by a directory on it, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) path: PathBuf,
    /// Tells it from other disks.
    pub(super) device: u64,
    /// Bytes that this user may still write.
    pub(super) bytes: u64,
    /// Files that may still be made, and all that it may have; `None` where it makes room for them
    /// as they come.
    pub(super) files: Option<(u64, u64)>,
}

impl Disk {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: std::fs::metadata(path)?.dev(),
            bytes: found.f_bavail.saturating_mul(found.f_frsize),
            files: (found.f_files > 0).then_some((found.f_favail, found.f_files)),
        })
    }

    /// Judges it by what is to stay free of it; 0 keeps nothing free.
    pub(super) fn room(&self, reserve: u64) -> Room {
        if reserve == 0 {
            return Room::Enough;
        }
        let path = self.path.display();
        let bytes = level(self.bytes, reserve);
        if bytes == Level::Low {
            return Room::Low(format!("{path} has room for {}", show_bytes(self.bytes)));
        }
        let files = self
            .files
            .map_or(Level::Enough, |(free, all)| level(free, FILES.min(all / SMALL_PART)));
        match (bytes, files, self.files) {
            (_, Level::Low, Some((free, _))) => {
                Room::Low(format!("{path} has room for {free} more files"))
            }
            (Level::Enough, Level::Enough, _) => Room::Enough,
            _ => Room::Between,
        }
    }
}

/// What is to be done about so much room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Room {
    Enough,
    /// Neither low nor enough to go on.
    Between,
    /// With the place that is full, and what it still takes.
    Low(String),
}

/// The least room of several disks. Of two that are low, the first is named.
pub(super) fn least<'a>(disks: impl Iterator<Item = &'a Disk>, reserve: u64) -> Room {
    disks.fold(Room::Enough, |least, disk| match (least, disk.room(reserve)) {
        (Room::Low(why), _) | (_, Room::Low(why)) => Room::Low(why),
        (Room::Between, _) | (_, Room::Between) => Room::Between,
        (Room::Enough, Room::Enough) => Room::Enough,
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Enough,
    Between,
    Low,
}

fn level(free: u64, reserve: u64) -> Level {
    match free {
        free if free < reserve => Level::Low,
        free if free < reserve.saturating_add(reserve / ROOM_AGAIN) => Level::Between,
        _ => Level::Enough,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESERVE: u64 = 400 << 20;

    fn disk(path: &str, bytes: u64, files: Option<(u64, u64)>) -> Disk {
        Disk { path: path.into(), device: 1, bytes, files }
    }

    fn low(why: &str) -> Room {
        Room::Low(why.to_owned())
    }

    #[test]
    fn what_is_paused_goes_on_only_when_there_is_room_to_spare() {
        let room = |mib: u64| disk("/state", mib << 20, None).room(RESERVE);
        assert_eq!(room(399), low("/state has room for 399 MiB"));
        assert_eq!(room(400), Room::Between);
        assert_eq!(room(499), Room::Between);
        assert_eq!(room(500), Room::Enough);
        assert_eq!(disk("/state", 0, Some((0, 9))).room(0), Room::Enough, "0 keeps nothing free");
    }

    #[test]
    fn files_run_out_where_bytes_do_not() {
        let room = |free, all| disk("/state", u64::MAX, Some((free, all))).room(RESERVE);
        assert_eq!(room(4095, 1 << 20), low("/state has room for 4095 more files"));
        assert_eq!(room(4096, 1 << 20), Room::Between);
        assert_eq!(room(5120, 1 << 20), Room::Enough);
        // A twentieth of a small one.
        assert_eq!(room(100, 2000), Room::Between);
        assert_eq!(room(99, 2000), low("/state has room for 99 more files"));
        assert_eq!(room(125, 2000), Room::Enough);
        assert_eq!(disk("/state", u64::MAX, None).room(RESERVE), Room::Enough);
    }

    #[test]
    fn the_disk_with_the_least_room_counts_and_is_named() {
        let [full, scarce, empty] = [
            disk("/layers", 0, None),
            disk("/state", RESERVE, None),
            disk("/state", u64::MAX, Some((1 << 20, 1 << 20))),
        ];
        let least = |disks: &[&Disk]| least(disks.iter().copied(), RESERVE);
        assert_eq!(least(&[&empty, &full]), low("/layers has room for 0 B"));
        assert_eq!(least(&[&full, &scarce]), low("/layers has room for 0 B"));
        assert_eq!(least(&[&empty, &scarce]), Room::Between);
        assert_eq!(least(&[&empty]), Room::Enough);
    }
}
