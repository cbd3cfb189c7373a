//! Unpacks layers into a directory, as somebody who means harm may have made them.
//!
//! Every name is looked up by the kernel as if the directory were the root of everything
//! (`RESOLVE_IN_ROOT`), so that no link and no `..` leads out. What is written is new: nothing is
//! written through. Devices are left out and programs keep no set-user bits.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use anyhow::Context;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::archive::Archive;
use super::writer::hex;
use crate::engine::headers::{Bounded, Names};
use crate::engine::room::{Bounds, Room};
use crate::model::failure::{Failure, FailureKind};

/// Files of an image.
const ENTRIES: u64 = 4_000_000;

/// Names in the place of what a layer removes (OCI image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// Ids beyond this are nobody's in a box.
const IDS: u64 = 65_536;
const NOBODY: u32 = 65_534;

/// Directories in each other: a tree that is deeper could not be removed by going down.
const DEPTH: usize = 200;

/// Unpacks every layer of an image into an open, empty directory. `told` hears of each file's
/// bytes.
pub(crate) fn unpack(
    archive: &Archive,
    root: &OwnedFd,
    bounds: Bounds,
    told: &mut dyn FnMut(u64),
) -> anyhow::Result<()> {
    let owners = rustix::process::geteuid().is_root();
    let mut unpacker = Unpacker {
        root,
        depth: depth_of(root)?,
        room: Room::new(root.as_fd(), bounds),
        owners,
        told,
        own: HashSet::new(),
        modes: Vec::new(),
        names: Names::default(),
        entries: 0,
    };
    for layer in &archive.layers {
        unpacker.own.clear();
        // Headers and padding come on top of the files, and are less than those may be.
        let inner = archive.open_layer(layer)?.take(bounds.most.saturating_mul(2));
        let mut content = Hashed { inner, digest: Sha256::new() };
        unpacker.layer(&mut content)?;
        // What follows the last file belongs to the digest too.
        let rest = io::copy(&mut (&mut content).take(bounds.most), &mut io::sink())?;
        anyhow::ensure!(rest < bounds.most, "a layer does not end");
        let found = format!("sha256:{}", hex(content.digest));
        let expected = layer.digest.as_ref().unwrap_or(&found);
        anyhow::ensure!(found == *expected, "a layer is not what the image says it is");
    }
    unpacker.set_modes()
}

struct Hashed<R> {
    inner: R,
    digest: Sha256,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.digest.update(&buffer[..count]);
        Ok(count)
    }
}

struct Unpacker<'a> {
    root: &'a OwnedFd,
    /// In how many directories the root itself is.
    depth: usize,
    room: Room<'a>,
    /// Files get the owners they had.
    owners: bool,
    told: &'a mut dyn FnMut(u64),
    /// What this layer brought, which its own whiteouts do not mean.
    own: HashSet<PathBuf>,
    /// Modes of directories, set when nothing more is written into them.
    modes: Vec<(PathBuf, u32)>,
    names: Names,
    entries: u64,
}

impl Unpacker<'_> {
    fn layer(&mut self, content: &mut impl Read) -> anyhow::Result<()> {
        let (content, bound) = Bounded::new(content);
        let mut archive = tar::Archive::new(content);
        let mut entries = archive.entries()?;
        while let Some(entry) = bound.next(&mut entries) {
            let mut entry = entry.context("a layer is malformed")?;
            self.entries += 1;
            anyhow::ensure!(self.entries <= ENTRIES, "the image has too many files");
            self.names.add(entry.path_bytes().len())?;
            let path = inside(&entry.path_bytes())?;
            if let Some(name) = path.file_name() {
                let parent = self.parent(path.parent().unwrap_or(Path::new("")))?;
                self.entry(&mut entry, &parent, name, &path)
                    .with_context(|| format!("cannot unpack {}", path.display()))?;
            }
            io::copy(&mut entry, &mut io::sink()).context("a layer is cut short")?;
        }
        Ok(())
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        parent: &OwnedFd,
        name: &OsStr,
        path: &Path,
    ) -> anyhow::Result<()> {
        if name.as_bytes() == OPAQUE {
            return self.clear(parent, path.parent().unwrap_or(Path::new("")));
        }
        if let Some(removed) = name.as_bytes().strip_prefix(WHITEOUT) {
            let plain = !matches!(removed, b"" | b"." | b"..");
            anyhow::ensure!(plain, "it removes what is not a file");
            return Ok(remove(parent, OsStr::from_bytes(removed))?);
        }
        let kind = entry.header().entry_type();
        let mode = entry.header().mode().unwrap_or(0o644) & 0o7777;
        if kind.is_dir() {
            make_directory(parent, name)?;
            self.modes.push((path.to_owned(), mode));
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let made = rustix::fs::openat(parent, name, flags, Mode::empty())?;
            self.give(&made, entry.header())?;
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            self.file(entry, parent, name, mode)?;
        } else if kind.is_symlink() {
            let target = entry.link_name_bytes().context("a link without a target")?;
            remove(parent, name)?;
            rustix::fs::symlinkat(OsStr::from_bytes(&target), parent, name)?;
            self.give_by_name(parent, name, entry.header())?;
        } else if kind.is_hard_link() {
            let target = entry.link_name_bytes().context("a link without a target")?;
            self.link(&inside(&target)?, parent, name)?;
        } else if kind.is_fifo() {
            remove(parent, name)?;
            let mode = Mode::from_raw_mode(mode & 0o777);
            rustix::fs::mknodat(parent, name, FileType::Fifo, mode, 0)?;
            self.give_by_name(parent, name, entry.header())?;
        }
        // Devices are the box's own, and what else there is describes other entries.
        self.own.insert(path.to_owned());
        Ok(())
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        parent: &OwnedFd,
        name: &OsStr,
        mode: u32,
    ) -> anyhow::Result<()> {
        remove(parent, name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let made = rustix::fs::openat(parent, name, flags, Mode::RUSR | Mode::WUSR)?;
        let mut made = std::fs::File::from(made);
        self.room.copy(entry, &mut made, self.told)?;
        let made = OwnedFd::from(made);
        self.give(&made, entry.header())?;
        rustix::fs::fchmod(&made, Mode::from_raw_mode(mode & 0o777))?;
        let seconds = i64::try_from(entry.header().mtime().unwrap_or_default()).unwrap_or_default();
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(rustix::fs::futimens(&made, &times)?)
    }

    /// The directory at `path`, made where it is missing.
    fn parent(&self, path: &Path) -> anyhow::Result<OwnedFd> {
        match self.find(path) {
            Err(Errno::NOENT) => {}
            found => {
                let found = found.with_context(|| format!("cannot reach {}", path.display()))?;
                self.refuse_deep(&found)?;
                return Ok(found);
            }
        }
        let mut place = PathBuf::new();
        let mut above = self.find(&place)?;
        for component in path.components() {
            place.push(component);
            above = match self.find(&place) {
                Err(Errno::NOENT) => {
                    self.refuse_deep(&above)?;
                    let name = component.as_os_str();
                    rustix::fs::mkdirat(&above, name, Mode::from_raw_mode(0o755))
                        .with_context(|| format!("cannot make {}", place.display()))?;
                    self.find(&place)?
                }
                found => found.with_context(|| format!("cannot reach {}", place.display()))?,
            };
        }
        Ok(above)
    }

    /// Where a directory really is counts: a short name may lead deep through links.
    fn refuse_deep(&self, directory: &OwnedFd) -> anyhow::Result<()> {
        let levels = depth_of(directory)?.saturating_sub(self.depth);
        anyhow::ensure!(levels < DEPTH, "directories of the image are too deep");
        Ok(())
    }

    /// Looks a directory up, with the unpacked tree as the root of all.
    fn find(&self, path: &Path) -> rustix::io::Result<OwnedFd> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        rustix::fs::openat2(self.root, path, flags, Mode::empty(), within)
    }

    fn link(&self, target: &Path, parent: &OwnedFd, name: &OsStr) -> anyhow::Result<()> {
        let from = self.find(target.parent().unwrap_or(Path::new("")))?;
        let target = target.file_name().context("a link to nothing")?;
        let found = rustix::fs::statat(&from, target, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        anyhow::ensure!(kind != FileType::Directory, "a second name for a directory");
        let there = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
        if there.is_ok_and(|it| (it.st_dev, it.st_ino) == (found.st_dev, found.st_ino)) {
            return Ok(());
        }
        remove(parent, name)?;
        Ok(rustix::fs::linkat(&from, target, parent, name, AtFlags::empty())?)
    }

    /// Removes what earlier layers brought into a directory.
    fn clear(&self, directory: &OwnedFd, path: &Path) -> anyhow::Result<()> {
        for entry in rustix::fs::Dir::read_from(directory)? {
            let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
            let dots = name == "." || name == "..";
            let child = path.join(&name);
            if !dots && !self.own.iter().any(|own| own.starts_with(&child)) {
                remove(directory, &name)?;
            }
        }
        Ok(())
    }

    fn owner(header: &tar::Header) -> (rustix::fs::Uid, rustix::fs::Gid) {
        let id = |id: io::Result<u64>| match id {
            Ok(id) if id < IDS => id as u32,
            _ => NOBODY,
        };
        (rustix::fs::Uid::from_raw(id(header.uid())), rustix::fs::Gid::from_raw(id(header.gid())))
    }

    fn give(&self, file: &OwnedFd, header: &tar::Header) -> io::Result<()> {
        let (user, group) = Self::owner(header);
        if self.owners {
            rustix::fs::fchown(file, Some(user), Some(group))?;
        }
        Ok(())
    }

    fn give_by_name(&self, parent: &OwnedFd, name: &OsStr, header: &tar::Header) -> io::Result<()> {
        let (user, group) = Self::owner(header);
        if self.owners {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(parent, name, Some(user), Some(group), flags)?;
        }
        Ok(())
    }

    /// The last first, so that a directory is still open when those in it are reached.
    fn set_modes(&self) -> anyhow::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let within = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let mut seen = HashSet::new();
        let mut modes: Vec<&(PathBuf, u32)> = self.modes.iter().collect();
        modes.sort_by_key(|(path, _)| path.components().count());
        // The newest of several modes of one directory counts, and a later sort keeps their order.
        for (path, mode) in modes.into_iter().rev() {
            if !seen.insert(path) {
                continue;
            }
            match rustix::fs::openat2(self.root, path, flags, Mode::empty(), within) {
                Ok(found) => rustix::fs::fchmod(&found, Mode::from_raw_mode(*mode))?,
                // A later layer removed it, or put something else there.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(error) => return Err(error).context("cannot set the mode of a directory"),
            }
        }
        Ok(())
    }
}

/// In how many directories an open one is. The kernel does not tell of one beyond `PATH_MAX`.
fn depth_of(directory: &OwnedFd) -> anyhow::Result<usize> {
    let link = format!("/proc/self/fd/{}", directory.as_raw_fd());
    let place = std::fs::read_link(link).context("cannot tell where a directory is")?;
    Ok(place.components().count())
}

/// A path of an archive as one below the root. One that goes up is refused.
fn inside(path: &[u8]) -> anyhow::Result<PathBuf> {
    let mut clean = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir | Component::RootDir => {}
            _ => {
                let shown = String::from_utf8_lossy(path).into_owned();
                let message = format!("the image has a file that leads out of it: {shown:?}");
                return Err(Failure::new(FailureKind::Refused, message).into());
            }
        }
    }
    Ok(clean)
}

fn make_directory(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    let found = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW);
    match found.map(|found| FileType::from_raw_mode(found.st_mode)) {
        Ok(FileType::Directory) => return Ok(()),
        Ok(_) => rustix::fs::unlinkat(parent, name, AtFlags::empty())?,
        Err(_) => {}
    }
    Ok(rustix::fs::mkdirat(parent, name, Mode::RWXU)?)
}

/// Removes what is at a name, with all in it, following nothing. Nothing there is fine.
fn remove(parent: &OwnedFd, name: &OsStr) -> io::Result<()> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR | Errno::PERM) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    for entry in rustix::fs::Dir::read_from(&directory)? {
        let name = OsString::from_vec(entry?.file_name().to_bytes().to_vec());
        if name != "." && name != ".." {
            remove(&directory, &name)?;
        }
    }
    drop(directory);
    Ok(rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)?)
}
