//! Reading a tree that a hostile program may be changing at this moment.
//!
//! Every name is resolved from a directory already open, beneath it and through no link; what a
//! name is, is asked of the descriptor that is then read. Nothing blocks, no special file is read.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gix::index::entry::{Stat, stat::Time};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// What a name in a directory stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    File {
        executable: bool,
        size: u64,
        stat: Stat,
    },
    Link {
        stat: Stat,
    },
    Directory,
    /// A FIFO, a socket or a device.
    Special(&'static str),
}

impl Found {
    /// Bytes of content.
    pub fn size(self) -> u64 {
        match self {
            Self::File { size, .. } => size,
            _ => 0,
        }
    }
}

/// What reading a file gave.
pub(super) enum Content {
    Bytes {
        bytes: Vec<u8>,
        executable: bool,
        stat: Stat,
    },
    TooLarge,
    /// It is no longer a regular file.
    Changed,
}

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Opens the root of a workspace, which our own directory holds.
pub(super) fn open_root(workspace: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(workspace, flags, Mode::empty())?)
}

/// Opens a directory by its name in, or path beneath, an open one.
pub(super) fn open_directory(parent: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat2(parent, path, flags, Mode::empty(), RESOLVE)
}

/// The names in a directory, without `.` and `..`.
pub(super) fn names(directory: BorrowedFd<'_>) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    Ok(names)
}

/// What a name in a directory is; links are not followed.
pub(super) fn look(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Found, Errno> {
    let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(classify(&stat))
}

fn classify(stat: &rustix::fs::Stat) -> Found {
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Found::File {
            executable: stat.st_mode & 0o100 != 0,
            size: stat.st_size as u64,
            stat: index_stat(stat),
        },
        FileType::Symlink => Found::Link { stat: index_stat(stat) },
        FileType::Directory => Found::Directory,
        FileType::Fifo => Found::Special("a FIFO"),
        FileType::Socket => Found::Special("a socket"),
        FileType::CharacterDevice | FileType::BlockDevice => Found::Special("a device"),
        FileType::Unknown => Found::Special("a special file"),
    }
}

/// Reads a regular file of at most `limit` bytes.
pub(super) fn read_file(
    directory: BorrowedFd<'_>,
    name: &[u8],
    limit: u64,
) -> Result<Content, Errno> {
    let flags =
        OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let opened = match rustix::fs::openat2(directory, name, flags, Mode::empty(), RESOLVE) {
        Ok(opened) => opened,
        // A link, a directory or a socket came into the file's place.
        Err(Errno::LOOP | Errno::ISDIR | Errno::NXIO | Errno::XDEV) => return Ok(Content::Changed),
        Err(error) => return Err(error),
    };
    let found = classify(&rustix::fs::fstat(opened.as_fd())?);
    let Found::File { executable, size, stat } = found else { return Ok(Content::Changed) };
    if size > limit {
        return Ok(Content::TooLarge);
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    File::from(opened)
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    if bytes.len() as u64 > limit {
        return Ok(Content::TooLarge);
    }
    Ok(Content::Bytes { bytes, executable, stat })
}

/// The text of a link.
pub(super) fn read_link(directory: BorrowedFd<'_>, name: &[u8]) -> Result<Vec<u8>, Errno> {
    Ok(rustix::fs::readlinkat(directory, name, Vec::new())?.into_bytes())
}

/// A file's status in the form an index keeps.
pub(super) fn index_stat(stat: &rustix::fs::Stat) -> Stat {
    Stat {
        mtime: Time { secs: stat.st_mtime as u32, nsecs: stat.st_mtime_nsec as u32 },
        ctime: Time { secs: stat.st_ctime as u32, nsecs: stat.st_ctime_nsec as u32 },
        // Git keeps the low 32 bits of these.
        dev: stat.st_dev as u32,
        ino: stat.st_ino as u32,
        uid: stat.st_uid,
        gid: stat.st_gid,
        size: stat.st_size as u32,
    }
}
