//! A copy of a box's own layer, file by file and in all that an overlay sees of them.
//!
//! It runs as root of a user namespace like the box's, because the box may have shut files to
//! everybody. What is copied was written by an agent: nothing is reached by more than one name at
//! a time, and no link is followed.

use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, SeekFrom, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use super::order::Told;
use super::{layer, system_files};

/// Directories in each other, above which a layer is refused: each needs open descriptors.
const DEPTH: usize = 200;

/// The largest list of extended attributes and the largest value (linux/limits.h).
const ATTRIBUTES: usize = 65_536;

/// Threads that copy what is in files; more only wait for memory and the file system's journal.
const COPIERS: usize = 4;

/// Files that are open to be copied: enough that no thread waits for the next one.
const MAX_WAITING: usize = 64;

/// A file that is there and empty, to be given what its original has.
struct Content {
    from: OwnedFd,
    to: OwnedFd,
    found: Stat,
}

/// Copies the layer `from` to `to`, which does not exist yet, but for what belongs to one running
/// box. The box that will have it is called `name`.
pub(super) fn copy_layer(
    from: &Path,
    to: &Path,
    name: &str,
    told: &mut Told,
) -> anyhow::Result<()> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(COPIERS);
    let (contents, waiting) = sync_channel(MAX_WAITING);
    let (waiting, told) = (Mutex::new(waiting), Mutex::new(told));
    std::thread::scope(|scope| {
        let copiers: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| copy_contents(&waiting, &told))).collect();
        let copied = copy_places(from, to, &contents);
        // Ends the threads, once they have done what waits.
        drop(contents);
        let ended = copiers.into_iter().map(|it| it.join().expect("copying does not panic"));
        let ended: Vec<io::Result<()>> = ended.collect();
        copied?;
        ended.into_iter().collect::<io::Result<()>>().context("cannot copy what is in a file")
    })?;
    let layers = to.join(layer::LAYERS);
    for own in [layers.join("etc").join(layer::UPPER), layers.join(layer::WHOLE).join("upper/etc")]
    {
        system_files::rename(&own, name)?;
    }
    Ok(())
}

/// Gives files their content until there are no more of them. After a failure the rest is only
/// taken, so that nobody waits for room.
fn copy_contents(waiting: &Mutex<Receiver<Content>>, told: &Mutex<&mut Told>) -> io::Result<()> {
    let mut outcome = Ok(());
    loop {
        let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Content { from, to, found }) = next else { return outcome };
        let size = found.st_size as u64;
        outcome = outcome.and_then(|()| {
            copy_content(&from, &to, size)?;
            finish(&from, &to, &found)?;
            told.lock().unwrap_or_else(PoisonError::into_inner).add(size)
        });
    }
}

fn copy_places(from: &Path, to: &Path, contents: &SyncSender<Content>) -> anyhow::Result<()> {
    std::fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
    let layers = to.join(layer::LAYERS);
    std::fs::create_dir(&layers)?;
    let own = std::fs::read_dir(from.join(layer::LAYERS)).context("the box has no layer")?;
    for entry in own {
        let name = entry?.file_name();
        let (from, to) = (from.join(layer::LAYERS).join(&name), layers.join(&name));
        std::fs::create_dir(&to)?;
        copy_tree(&from.join(layer::UPPER), &to.join(layer::UPPER), contents)?;
    }
    if from.join(layer::IMAGE).exists() {
        // No box writes here: it says what the layer is laid over.
        std::fs::copy(from.join(layer::IMAGE), to.join(layer::IMAGE))?;
    }
    if from.join(layer::VAR).exists() {
        copy_tree(&from.join(layer::VAR), &to.join(layer::VAR), contents)?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path, contents: &SyncSender<Content>) -> anyhow::Result<()> {
    let whole = || format!("cannot copy {}", from.display());
    std::fs::create_dir(to).with_context(whole)?;
    let (from_root, to_root) = (open_directory(from)?, open_directory(to)?);
    let mut copier = Copier { root: to_root.as_fd(), linked: HashMap::new(), contents };
    copier.directory(&from_root, &to_root, &mut PathBuf::new()).with_context(whole)?;
    let found = rustix::fs::fstat(&from_root)?;
    Ok(finish(&from_root, &to_root, &found)?)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

struct Copier<'a> {
    root: BorrowedFd<'a>,
    /// The first copy of each file that has several names.
    linked: HashMap<(u64, u64), PathBuf>,
    contents: &'a SyncSender<Content>,
}

impl Copier<'_> {
    /// Copies what is in a directory; `place` is its path below the root of the copy.
    fn directory(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        place: &mut PathBuf,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(place.components().count() < DEPTH, "directories are too deep");
        for entry in rustix::fs::Dir::read_from(from)? {
            let entry = entry?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                place.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
                self.entry(from, to, name, place)
                    .with_context(|| format!("cannot copy {}", place.display()))?;
                place.pop();
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        place: &mut PathBuf,
    ) -> anyhow::Result<()> {
        let found = rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        if kind != FileType::Directory && found.st_nlink > 1 {
            let key = (found.st_dev, found.st_ino);
            if let Some(first) = self.linked.get(&key) {
                let flags = AtFlags::empty();
                return Ok(rustix::fs::linkat(self.root, first, to, name, flags)?);
            }
            self.linked.insert(key, place.clone());
        }
        match kind {
            FileType::Directory => self.subdirectory(from, to, name, place)?,
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
                let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let copy = rustix::fs::openat(to, name, flags, Mode::RUSR | Mode::WUSR)?;
                let content = Content { from: source, to: copy, found };
                self.contents.send(content).context("copying has ended early")?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                rustix::fs::symlinkat(target.as_c_str(), to, name)?;
                finish_by_name(to, name, &found)?;
            }
            FileType::CharacterDevice if found.st_rdev == 0 => {
                // What an overlay leaves in the place of what was removed.
                rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(found.st_mode), 0)?;
                finish_by_name(to, name, &found)?;
            }
            FileType::Fifo => {
                rustix::fs::mknodat(to, name, kind, Mode::from_raw_mode(found.st_mode), 0)?;
                finish_by_name(to, name, &found)?;
            }
            // A socket without its program is nothing, and a box can use no other device.
            _ => {}
        }
        Ok(())
    }

    fn subdirectory(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        name: &CStr,
        place: &mut PathBuf,
    ) -> anyhow::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let source = rustix::fs::openat(from, name, flags, Mode::empty())?;
        rustix::fs::mkdirat(to, name, Mode::RWXU)?;
        let copy = rustix::fs::openat(to, name, flags, Mode::empty())?;
        self.directory(&source, &copy, place)?;
        Ok(finish(&source, &copy, &rustix::fs::fstat(&source)?)?)
    }
}

/// Shares the content where the file system can, and else copies what is not a hole.
fn copy_content(from: &OwnedFd, to: &OwnedFd, size: u64) -> io::Result<()> {
    if size == 0 || rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    let mut at = 0;
    while at < size {
        let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        };
        let end = rustix::fs::seek(from, SeekFrom::Hole(start))?.min(size);
        copy_range(from, to, start, end)?;
        at = end.max(start + 1);
    }
    Ok(rustix::fs::ftruncate(to, size)?)
}

fn copy_range(from: &OwnedFd, to: &OwnedFd, start: u64, end: u64) -> io::Result<()> {
    let (mut read_at, mut write_at) = (start, start);
    while read_at < end {
        let left = usize::try_from(end - read_at).unwrap_or(usize::MAX);
        // The file got shorter than it said.
        if rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), left)?
            == 0
        {
            break;
        }
    }
    Ok(())
}

/// Gives an open copy the owner, attributes, mode and times of its original.
fn finish(from: &OwnedFd, to: &OwnedFd, found: &Stat) -> io::Result<()> {
    let owner = (rustix::fs::Uid::from_raw(found.st_uid), rustix::fs::Gid::from_raw(found.st_gid));
    rustix::fs::fchown(to, Some(owner.0), Some(owner.1))?;
    copy_attributes(from, to)?;
    // After the owner, whose change takes some bits of the mode away.
    rustix::fs::fchmod(to, Mode::from_raw_mode(found.st_mode))?;
    Ok(rustix::fs::futimens(to, &times(found))?)
}

/// The same for what has no content to open.
fn finish_by_name(to: &OwnedFd, name: &CStr, found: &Stat) -> io::Result<()> {
    let (owner, group) =
        (rustix::fs::Uid::from_raw(found.st_uid), rustix::fs::Gid::from_raw(found.st_gid));
    rustix::fs::chownat(to, name, Some(owner), Some(group), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(rustix::fs::utimensat(to, name, &times(found), AtFlags::SYMLINK_NOFOLLOW)?)
}

fn times(found: &Stat) -> Timestamps {
    let time =
        |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as i64 };
    Timestamps {
        last_access: time(found.st_atime, found.st_atime_nsec),
        last_modification: time(found.st_mtime, found.st_mtime_nsec),
    }
}

fn copy_attributes(from: &OwnedFd, to: &OwnedFd) -> io::Result<()> {
    // Most files have none, and need no room for them.
    match rustix::fs::flistxattr_query(from) {
        Ok(0) | Err(Errno::OPNOTSUPP) => return Ok(()),
        Ok(_) => {}
        Err(error) => return Err(error.into()),
    }
    let mut names = vec![0; ATTRIBUTES];
    let length = rustix::fs::flistxattr(from, &mut names)?;
    let mut value = vec![0; ATTRIBUTES];
    for name in names[..length].split_inclusive(|byte| *byte == 0) {
        let name = CString::from(CStr::from_bytes_with_nul(name).map_err(|_| Errno::ILSEQ)?);
        let length = rustix::fs::fgetxattr(from, &name, &mut value)?;
        let set =
            rustix::fs::fsetxattr(to, &name, &value[..length], rustix::fs::XattrFlags::empty());
        match set {
            // A module of the host labels files by rules of its own.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::ACCESS)
                if !name.to_bytes().starts_with(b"user.") => {}
            result => result?,
        }
    }
    Ok(())
}
