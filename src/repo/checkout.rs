//! The one safe writer: the only code that changes files of a user's working tree.
//!
//! Every step starts from an open descriptor and follows no link, so that neither a tree nor a
//! program running beside us can lead a write out of the working tree. A file appears whole, by a
//! rename in its own directory, and is on the disk before the rename; what it takes the place of is
//! what was expected there, or stays.

pub(super) mod modes;
mod names;
mod place;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, RawMode, ResolveFlags};
use rustix::io::Errno;

use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

use modes::Modes;
use place::{Exchange, Place};

pub(super) use names::{check_name, check_target};
pub(super) use place::{Expected, Outcome};

/// Permissions of a file we write into a workspace, and of one that is executable.
pub(super) const PLAIN: u32 = 0o644;
pub(super) const EXECUTABLE: u32 = 0o755;

/// Permissions of a directory we make, of which the umask takes its part.
const DIRECTORY: u32 = 0o777;

/// A file of the user's above this, in bytes, is not read: it would fill the memory.
const FILE_LIMIT: u64 = 4 << 30;

/// What stands at a path of the working tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or a parent is missing or is no directory.
    Absent,
    /// Permission bits and content.
    File {
        permissions: u32,
        content: Vec<u8>,
    },
    Link {
        target: Vec<u8>,
    },
    Directory,
    /// A socket, pipe or device, or a file too large to be read.
    Other,
}

/// The user's working tree, held open.
pub(super) struct WorkingTree {
    path: PathBuf,
    root: OwnedFd,
    /// Bytes of a file beyond which it is not read.
    limit: u64,
    modes: Modes,
    umask: u32,
    exchange: Exchange,
}

impl WorkingTree {
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_limited(path, FILE_LIMIT)
    }

    /// Opens a tree whose files others make: those above `limit` bytes are not read.
    pub(super) fn open_limited(path: &Path, limit: u64) -> Result<Self, Failure> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(path, flags, Mode::empty()).map_err(|error| {
            Failure::new(
                FailureKind::Unavailable,
                format!("cannot open the working tree {}: {error}", path.display()),
            )
        })?;
        let (path, exchange) = (path.to_owned(), Exchange::Possible);
        let (modes, umask) = (Modes::Heeded, modes::umask());
        Ok(Self { path, root, limit, modes, umask, exchange })
    }

    /// The same with the executable bits taken for what they are to the user's git.
    pub(super) fn heeding(self, modes: Modes) -> Self {
        Self { modes, ..self }
    }

    pub(super) fn modes(&self) -> Modes {
        self.modes
    }

    /// The permissions that git would give a file it makes here.
    pub(super) fn permissions(&self, executable: bool) -> u32 {
        (if executable { 0o777 } else { 0o666 }) & !self.umask
    }

    /// The path for calls that only look at a file's dates and number.
    pub(super) fn absolute(&self, path: &RepoPath) -> PathBuf {
        self.path.join(OsStr::from_bytes(path.as_bytes()))
    }

    /// Reads what stands at a path, without following links.
    pub(super) fn find(&self, path: &RepoPath) -> Result<Found, Failure> {
        match self.find_inner(path) {
            Ok(found) => Ok(found),
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(Found::Absent),
            Err(error) => Err(trouble("read", path, error)),
        }
    }

    fn find_inner(&self, path: &RepoPath) -> Result<Found, Errno> {
        let (parent, name) = self.parent(path)?;
        find_at(&parent, name, self.limit)
    }

    /// The highest parent that exists and is not a directory, and whether it is a link.
    pub(super) fn blocker(&self, path: &RepoPath) -> Result<Option<(RepoPath, Found)>, Failure> {
        for parent in parents(path) {
            match self.find(&parent)? {
                Found::Directory => {}
                Found::Absent => return Ok(None),
                other => return Ok(Some((parent, other))),
            }
        }
        Ok(None)
    }

    /// The parents that are not directories now, outermost first.
    pub(super) fn missing_parents(&self, path: &RepoPath) -> Result<Vec<RepoPath>, Failure> {
        let mut missing = Vec::new();
        for parent in parents(path) {
            if self.find(&parent)? != Found::Directory {
                missing.push(parent);
            }
        }
        Ok(missing)
    }

    /// Everything below a directory that is not a directory itself.
    pub(super) fn files_below(&self, path: &RepoPath) -> Result<Vec<RepoPath>, Failure> {
        let mut files = Vec::new();
        let mut waiting = vec![path.clone()];
        while let Some(directory) = waiting.pop() {
            for (name, kind) in self.list(&directory)? {
                let child = [directory.as_bytes(), b"/", &name].concat();
                if kind == FileType::Directory {
                    waiting.push(RepoPath::new(child));
                } else {
                    files.push(RepoPath::new(child));
                }
            }
        }
        files.sort();
        Ok(files)
    }

    fn list(&self, path: &RepoPath) -> Result<Vec<(Vec<u8>, FileType)>, Failure> {
        let read = || -> Result<_, Errno> {
            let mut entries = Vec::new();
            let directory = self.directory(path.as_bytes())?;
            for entry in Dir::read_from(&directory)? {
                let entry = entry?;
                let name = entry.file_name();
                if name == c"." || name == c".." {
                    continue;
                }
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                let kind = FileType::from_raw_mode(stat.st_mode as RawMode);
                entries.push((name.to_bytes().to_vec(), kind));
            }
            Ok(entries)
        };
        read().map_err(|error| trouble("list", path, error))
    }

    /// Puts a file in place of the file or link that is expected there; missing directories are
    /// made. `temporary` is the name it has, in the same directory, until it is whole.
    pub(super) fn put_file(
        &self,
        path: &RepoPath,
        content: &[u8],
        permissions: u32,
        temporary: &str,
        expected: &Expected<'_>,
    ) -> Result<Outcome, Failure> {
        self.put(path, temporary, expected, |parent| {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
            let mode = Mode::from_raw_mode(0o600);
            let file = rustix::fs::openat(parent, temporary, flags | OFlags::CLOEXEC, mode)?;
            let mut file = File::from(file);
            file.write_all(content).map_err(|error| errno(&error))?;
            match rustix::fs::fchmod(&file, Mode::from_raw_mode(permissions as RawMode)) {
                // A file system that keeps none may refuse those it cannot show.
                Err(Errno::PERM | Errno::OPNOTSUPP) if self.modes == Modes::Ignored => {}
                changed => changed?,
            }
            rustix::fs::fsync(&file)
        })
    }

    /// Puts a link in place of the file or link that is expected there.
    pub(super) fn put_link(
        &self,
        path: &RepoPath,
        target: &[u8],
        temporary: &str,
        expected: &Expected<'_>,
    ) -> Result<Outcome, Failure> {
        let make = |parent: &OwnedFd| rustix::fs::symlinkat(target, parent, temporary);
        self.put(path, temporary, expected, make)
    }

    fn put(
        &self,
        path: &RepoPath,
        temporary: &str,
        expected: &Expected<'_>,
        make: impl FnOnce(&OwnedFd) -> Result<(), Errno>,
    ) -> Result<Outcome, Failure> {
        let inner = || -> Result<Outcome, Errno> {
            self.make_parents(path)?;
            let place = self.place(path, temporary)?;
            let put = make(&place.parent).and_then(|()| place.put(expected));
            if put.is_err() {
                let _ = rustix::fs::unlinkat(&place.parent, temporary, AtFlags::empty());
            }
            let put = put?;
            rustix::fs::fsync(&place.parent)?;
            Ok(put)
        };
        inner().map_err(|error| trouble("write", path, error))
    }

    /// Removes the file or link that is expected at a path, and the parents it leaves empty. Where
    /// nothing stands any more, it is removed already.
    pub(super) fn remove(
        &self,
        path: &RepoPath,
        temporary: &str,
        expected: &Expected<'_>,
    ) -> Result<Outcome, Failure> {
        let inner = || -> Result<Outcome, Errno> {
            let place = self.place(path, temporary)?;
            let cleared = place.clear(expected)?;
            rustix::fs::fsync(&place.parent)?;
            Ok(cleared)
        };
        match inner() {
            Ok(Outcome::Done) => {}
            Ok(Outcome::Kept) => return Ok(Outcome::Kept),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Outcome::Done),
            Err(error) => return Err(trouble("remove", path, error)),
        }
        let above: Vec<RepoPath> = parents(path).collect();
        for parent in above.iter().rev() {
            if !self.remove_directory(parent)? {
                break;
            }
        }
        Ok(Outcome::Done)
    }

    /// Removes a directory if it is empty; says whether it did.
    pub(super) fn remove_directory(&self, path: &RepoPath) -> Result<bool, Failure> {
        let inner = || -> Result<bool, Errno> {
            let (parent, name) = self.parent(path)?;
            rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
            rustix::fs::fsync(&parent)?;
            Ok(true)
        };
        match inner() {
            Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOENT | Errno::NOTDIR) => Ok(false),
            other => other.map_err(|error| trouble("remove", path, error)),
        }
    }

    /// Makes a directory, with its parents, unless it is there.
    pub(super) fn make_directory(&self, path: &RepoPath) -> Result<(), Failure> {
        let inside = RepoPath::new([path.as_bytes(), b"/."].concat());
        self.make_parents(&inside).map_err(|error| trouble("make", path, error))
    }

    /// Ends what a killed write left beside a path: known content goes, other content goes back to
    /// the path. Gives the path where it lies when something else stands there by now.
    pub(super) fn tidy(
        &self,
        path: &RepoPath,
        temporary: &str,
        is_known: &dyn Fn(&Found) -> bool,
    ) -> Result<Option<RepoPath>, Failure> {
        let Ok(place) = self.place(path, temporary) else { return Ok(None) };
        match place.tidy(is_known) {
            Ok(Outcome::Done) => Ok(None),
            Ok(Outcome::Kept) => {
                let length = path.as_bytes().len() - place.name.len();
                let directory = &path.as_bytes()[..length];
                Ok(Some(RepoPath::new([directory, place.aside.as_bytes()].concat())))
            }
            Err(error) => Err(trouble("tidy", path, error)),
        }
    }

    fn place<'a>(&self, path: &'a RepoPath, temporary: &'a str) -> Result<Place<'a>, Errno> {
        let (parent, name) = self.parent(path)?;
        let aside = format!("{temporary}.aside");
        let (limit, exchange) = (self.limit, self.exchange);
        Ok(Place { parent, name, temporary, aside, limit, exchange })
    }

    fn make_parents(&self, path: &RepoPath) -> Result<(), Errno> {
        for parent in parents(path) {
            let (above, name) = self.parent(&parent)?;
            match rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(DIRECTORY)) {
                Ok(()) => rustix::fs::fsync(&above)?,
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The directory that holds a path, and the path's last name.
    fn parent<'a>(&self, path: &'a RepoPath) -> Result<(OwnedFd, &'a [u8]), Errno> {
        let name = path.file_name();
        let length = path.as_bytes().len() - name.len();
        Ok((self.directory(path.as_bytes()[..length].strip_suffix(b"/").unwrap_or(b""))?, name))
    }

    fn directory(&self, path: &[u8]) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { b"." } else { path };
        rustix::fs::openat2(
            &self.root,
            path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS,
        )
    }
}

/// What stands at a name of a directory, without following a link.
fn find_at(parent: &OwnedFd, name: &[u8], limit: u64) -> Result<Found, Errno> {
    let stat = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)?;
    match FileType::from_raw_mode(stat.st_mode as RawMode) {
        FileType::Directory => return Ok(Found::Directory),
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(parent, name, Vec::new())?;
            return Ok(Found::Link { target: target.into_bytes() });
        }
        FileType::RegularFile => {}
        _ => return Ok(Found::Other),
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode as RawMode) != FileType::RegularFile {
        return Ok(Found::Other);
    }
    let size = stat.st_size as u64;
    if size > limit {
        return Ok(Found::Other);
    }
    let mut content = Vec::new();
    content.try_reserve(size as usize + 1).map_err(|_| Errno::NOMEM)?;
    let mut reader = File::from(file).take(limit + 1);
    reader.read_to_end(&mut content).map_err(|error| errno(&error))?;
    if content.len() as u64 > limit {
        return Ok(Found::Other);
    }
    Ok(Found::File { permissions: stat.st_mode & 0o7777, content })
}

/// An empty directory gives way to a file.
fn remove_empty(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    match rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT | Errno::NOTDIR) => Ok(()),
        Err(error) => Err(error),
    }
}

/// The directories above a path, outermost first.
pub(super) fn parents(path: &RepoPath) -> impl Iterator<Item = RepoPath> + '_ {
    let bytes = path.as_bytes();
    let slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(move |(at, _)| RepoPath::new(&bytes[..at]))
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

fn trouble(verb: &str, path: &RepoPath, error: Errno) -> Failure {
    let (kind, hint) = match error {
        Errno::LOOP | Errno::XDEV => {
            (FailureKind::Refused, "a link stands where one of its directories should be")
        }
        Errno::NOSPC | Errno::DQUOT => (FailureKind::Unavailable, "make room on the disk"),
        Errno::NOTEMPTY | Errno::EXIST => {
            (FailureKind::WouldOverwrite, "a directory with other files stands in its place")
        }
        _ => (FailureKind::Unavailable, "look at the permissions of the path"),
    };
    Failure::new(kind, format!("cannot {verb} {path}: {error}"))
        .hint(hint)
        .paths(vec![path.clone()])
}

#[cfg(test)]
mod tests;
