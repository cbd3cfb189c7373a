//! Writes a tar stream below a directory, believing nothing of it.
//!
//! Names are bytes. Every directory on the way is opened from the target's descriptor without
//! following a link, files are made under a name of ours and renamed into place, so that nothing
//! is ever written through what is already there. Links are made and never followed. Devices,
//! FIFOs, setuid and setgid are not made, and no file is begun that has no room.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::{Context, bail, ensure};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RawMode, ResolveFlags, Timespec, Timestamps,
};
use rustix::io::Errno;

use super::entries::{Entries, Entry, Kind};
use super::{Placement, Skipped};
use crate::model::path::printable;

/// Space and files left free on the target's disk: filling it up stops more than this copy.
const SPACE_KEPT: u64 = 64 << 20;
const FILES_KEPT: u64 = 1024;

/// Rights that a file may bring; the process's own mask takes from them.
const RIGHTS: RawMode = 0o777;

/// Its maker can always go into a directory, which else could not be filled.
const OWN_RIGHTS: RawMode = 0o700;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

type Name = Vec<u8>;

/// Writes the stream's entries at `destination`. Stops at the first entry that cannot be written
/// as it is meant; what came before it stays.
pub fn unpack(input: impl Read, destination: &Path, placement: Placement) -> anyhow::Result<()> {
    write_all(input, destination, placement, None, |_| false).map(drop)
}

/// Writes what came out of a box as a copy of `asked`, a path in it, but nothing that git would
/// take for a repository's own files: hooks and configuration in them are run by the user's next
/// git command. What the box calls the copy counts for nothing: in a directory that is there it
/// gets the name that was asked for.
pub fn unpack_outside(
    input: impl Read,
    destination: &Path,
    asked: &[u8],
) -> anyhow::Result<Skipped> {
    let root = Root::of(asked)?;
    let whole = fs::canonicalize(destination).unwrap_or_else(|_| destination.to_owned());
    let inside = whole.iter().any(|name| is_git_directory(name.as_bytes()));
    let shown = printable(destination.as_os_str().as_bytes());
    ensure!(!inside, "{shown} is in a repository's own files, where nothing of a box belongs");
    let of_git = |entry: &Entry| entry.path.split(|byte| *byte == b'/').any(is_git_directory);
    write_all(input, destination, Placement::Copy, Some(&root), of_git)
}

/// What a path asks for.
#[derive(Debug, PartialEq, Eq)]
enum Root {
    /// What is in a directory.
    Content,
    /// A file or a directory, under this name.
    Named(Name),
}

impl Root {
    fn of(asked: &[u8]) -> anyhow::Result<Self> {
        if super::asks_for_content(asked) {
            return Ok(Self::Content);
        }
        let end = asked.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
        let name = asked[..end].rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        let shown = printable(asked);
        ensure!(name != b"..", "{shown} does not say its name; write it without ..");
        ensure!(!is_git_directory(name), "{shown} is a repository's own, which stays in the box");
        Ok(Self::Named(name.to_vec()))
    }
}

/// Whether some file system takes the name for `.git`: without regard to case, with dots and blanks
/// behind it, in its short form, or with a stream's name.
fn is_git_directory(name: &[u8]) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.split(|byte| *byte == b':').next().unwrap_or_default();
    let end = name.iter().rposition(|byte| !matches!(byte, b'.' | b' ')).map_or(0, |last| last + 1);
    matches!(&name[..end], b".git" | b"git~1")
}

fn write_all(
    input: impl Read,
    destination: &Path,
    placement: Placement,
    asked: Option<&Root>,
    leave_out: impl Fn(&Entry) -> bool,
) -> anyhow::Result<Skipped> {
    let mut skipped = Skipped::default();
    let mut entries = Entries::new(input);
    let Some(first) = entries.next()? else {
        entries.finish();
        bail!("there is nothing in the stream");
    };
    let mut target = Target::choose(destination, &first, placement, asked)?;
    let mut next = Some(first);
    while let Some(entry) = next {
        let named = || format!("{} was not copied", printable(&entry.path));
        if leave_out(&entry) {
            skipped.add(&entry.path, "git would take it for a repository's own");
        } else {
            target.write(&entry, &mut entries).with_context(named)?;
        }
        next = entries.next()?;
    }
    entries.finish();
    Ok(skipped)
}

/// Where the entries of a stream go.
struct Target {
    root: OwnedFd,
    /// The only first name that entries may have, and what they get in its place.
    renamed: Option<(Name, Name)>,
    /// The directory that the last entry went to: entries come directory by directory.
    last: Option<(Vec<Name>, OwnedFd)>,
    /// Counts the names of files that are being written.
    written: u64,
}

impl Target {
    /// Decides by what is at `destination` and by the first entry, the root of what was packed.
    fn choose(
        destination: &Path,
        first: &Entry,
        placement: Placement,
        asked: Option<&Root>,
    ) -> anyhow::Result<Self> {
        let shown = printable(destination.as_os_str().as_bytes());
        let found = fs::metadata(destination);
        let is_directory = found.as_ref().is_ok_and(fs::Metadata::is_dir);
        let exists = fs::symlink_metadata(destination).is_ok();
        if placement == Placement::Into {
            ensure!(is_directory, "{shown} is not a directory");
            return Self::at(destination, None);
        }
        let packs_directory = first.kind == Kind::Directory;
        ensure!(is_directory || !exists || !packs_directory, "{shown} is not a directory");
        let names = components(&first.path)?;
        let is_asked = asked.is_none_or(|asked| (*asked == Root::Content) == names.is_empty());
        ensure!(is_asked, "the box sent something else than was asked for");
        let [name] = names.as_slice() else {
            ensure!(names.is_empty() && packs_directory, "the stream does not begin with its root");
            if !is_directory {
                fs::create_dir(destination).with_context(|| format!("cannot make {shown}"))?;
            }
            return Self::at(destination, None);
        };
        if is_directory {
            let own = match asked {
                Some(Root::Named(own)) => own,
                _ => name,
            };
            return Self::at(destination, Some((name.clone(), own.clone())));
        }
        let slash = destination.as_os_str().as_bytes().ends_with(b"/");
        ensure!(packs_directory || !slash, "{shown} is not a directory");
        let own = destination.file_name().with_context(|| format!("{shown} does not exist"))?;
        let parent = destination.parent().filter(|parent| !parent.as_os_str().is_empty());
        let renamed = (name.clone(), own.to_owned().into_vec());
        Self::at(parent.unwrap_or(Path::new(".")), Some(renamed))
    }

    fn at(directory: &Path, renamed: Option<(Name, Name)>) -> anyhow::Result<Self> {
        // The user named this path, links and all; nothing below it is opened by path again.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, directory, flags, Mode::empty()).with_context(|| {
            format!("cannot write to {}", printable(directory.as_os_str().as_bytes()))
        })?;
        Ok(Self { root, renamed, last: None, written: 0 })
    }

    fn write(&mut self, entry: &Entry, content: &mut impl Read) -> anyhow::Result<()> {
        let mut names = self.place(&entry.path)?;
        let Some(name) = names.pop() else {
            ensure!(entry.kind == Kind::Directory, "it has no name");
            return Ok(());
        };
        let name = CString::new(name).context("its name has a zero")?;
        match &entry.kind {
            Kind::Directory => {
                let parent = self.directory(&names)?;
                return make_directory(parent, &name, entry.mode);
            }
            Kind::Other(letter) => {
                bail!(
                    "it is of type {:?}; only files, directories and links are copied",
                    char::from(*letter)
                )
            }
            Kind::File => self.check_room(entry.size)?,
            Kind::Symlink(_) | Kind::HardLink(_) => self.check_room(0)?,
        }
        self.written += 1;
        let fresh = format!(".agentdeck-{}-{}", std::process::id(), self.written);
        let fresh = CString::new(fresh).expect("no zero in it");
        let linked = match &entry.kind {
            Kind::HardLink(target) => Some(self.linked(target)?),
            _ => None,
        };
        let parent = self.directory(&names)?;
        let made = match (&entry.kind, linked) {
            (Kind::Symlink(to), _) => {
                let to = CString::new(to.clone()).context("its target has a zero")?;
                rustix::fs::symlinkat(&to, parent, &fresh).map_err(Into::into)
            }
            (_, Some((directory, old))) => {
                rustix::fs::linkat(&directory, &old, parent, &fresh, AtFlags::empty())
                    .map_err(Into::into)
            }
            _ => make_file(parent, &fresh, entry, content),
        };
        let placed = made.and_then(|()| Ok(rustix::fs::renameat(parent, &fresh, parent, &name)?));
        // Left where anything failed, and where both names are of one file already.
        let _ = rustix::fs::unlinkat(parent, &fresh, AtFlags::empty());
        placed
    }

    /// The names on the way to an entry, as they are in the target.
    fn place(&self, path: &[u8]) -> anyhow::Result<Vec<Name>> {
        let mut names = components(path)?;
        if let Some((root, own)) = &self.renamed {
            let first = names.first_mut().filter(|first| *first == root);
            first.context("it is not below what was asked for")?.clone_from(own);
        }
        Ok(names)
    }

    /// The directory of these names, made where it is missing.
    fn directory(&mut self, names: &[Name]) -> anyhow::Result<&OwnedFd> {
        if names.is_empty() {
            return Ok(&self.root);
        }
        if self.last.as_ref().is_none_or(|(last, _)| last != names) {
            let opened = match open_beneath(&self.root, names) {
                Err(Errno::NOENT) => {
                    make_directories(&self.root, names)?;
                    open_beneath(&self.root, names)
                }
                other => other,
            };
            self.last = Some((names.to_vec(), opened.map_err(explain_way)?));
        }
        Ok(&self.last.as_ref().expect("set above").1)
    }

    /// An entry before this one, as its directory and its name there.
    fn linked(&self, path: &[u8]) -> anyhow::Result<(OwnedFd, CString)> {
        let mut names = self.place(path).context("its target")?;
        let name = CString::new(names.pop().context("its target has no name")?)?;
        let directory = if names.is_empty() {
            self.root.try_clone()?
        } else {
            open_beneath(&self.root, &names).map_err(explain_way)?
        };
        let found = rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW)
            .context("its target")?;
        let is_file = FileType::from_raw_mode(found.st_mode) == FileType::RegularFile;
        ensure!(is_file, "its target is not a file");
        Ok((directory, name))
    }

    fn check_room(&self, size: u64) -> anyhow::Result<()> {
        let disk = rustix::fs::fstatvfs(&self.root)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let room = free.saturating_sub(SPACE_KEPT);
        ensure!(size <= room, "it has {size} bytes, and there is room for {room}");
        // Some file systems have no such number.
        let files_left = disk.f_files == 0 || disk.f_favail > FILES_KEPT;
        ensure!(files_left, "the disk has no room for more files");
        Ok(())
    }
}

/// The names in a path. None leads up or to a root of its own.
fn components(path: &[u8]) -> anyhow::Result<Vec<Name>> {
    ensure!(!path.starts_with(b"/"), "its name is absolute");
    let names = path.split(|byte| *byte == b'/').filter(|name| !matches!(*name, b"" | b"."));
    let names: Vec<Name> = names.map(<[u8]>::to_vec).collect();
    ensure!(names.iter().all(|name| name != b".."), "its name leads out of the target");
    Ok(names)
}

fn open_beneath(root: &OwnedFd, names: &[Name]) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat2(root, names.join(&b'/'), DIRECTORY, Mode::empty(), BENEATH) {
        // Sandboxed kernels and old filters do not know the call; step by step is as safe.
        Err(Errno::NOSYS | Errno::PERM) => {
            let mut directory = open_step(root, &names[0])?;
            for name in &names[1..] {
                directory = open_step(&directory, name)?;
            }
            Ok(directory)
        }
        other => other,
    }
}

fn open_step(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(directory, name, DIRECTORY, Mode::empty())
}

fn explain_way(error: Errno) -> anyhow::Error {
    match error {
        Errno::LOOP | Errno::NOTDIR => anyhow::anyhow!("a link or a file is in its way"),
        other => other.into(),
    }
}

fn make_directories(root: &OwnedFd, names: &[Name]) -> anyhow::Result<()> {
    let mut directory = root.try_clone()?;
    for name in names {
        match rustix::fs::mkdirat(&directory, name.as_slice(), Mode::from_raw_mode(RIGHTS)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        directory = open_step(&directory, name).map_err(explain_way)?;
    }
    Ok(())
}

/// Makes a directory, or leaves the one that is there as it is.
fn make_directory(parent: &OwnedFd, name: &CString, mode: u32) -> anyhow::Result<()> {
    let mode = Mode::from_raw_mode(mode & RIGHTS | OWN_RIGHTS);
    match rustix::fs::mkdirat(parent, name, mode) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => open_step(parent, name.as_bytes()).map(drop).map_err(explain_way),
        Err(error) => Err(error.into()),
    }
}

fn make_file(
    parent: &OwnedFd,
    name: &CString,
    entry: &Entry,
    content: &mut impl Read,
) -> anyhow::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::from_raw_mode(entry.mode & RIGHTS);
    let mut file = File::from(rustix::fs::openat(parent, name, flags, mode)?);
    let written = io::copy(content, &mut file)?;
    ensure!(written == entry.size, "the stream was cut off");
    let modified =
        Timespec { tv_sec: i64::try_from(entry.modified).unwrap_or_default(), tv_nsec: 0 };
    let times = Timestamps { last_access: modified, last_modification: modified };
    // A time that the file system cannot keep is no reason to lose the file.
    let _ = rustix::fs::futimens(&file, &times);
    Ok(())
}
