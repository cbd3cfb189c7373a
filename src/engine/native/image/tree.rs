//! The files below a directory as a layer, read through descriptors: what an agent made is never
//! reached by more than one name at a time, and no link is followed.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::engine::native::order::Told;

/// Directories in each other, above which a tree is refused: each needs an open descriptor.
const DEPTH: usize = 400;

/// The user that stands for all that a user namespace does not know.
const NOBODY: u32 = 65_534;

/// Writes a tree into a layer.
pub(crate) struct TreeWriter<'a, W: Write> {
    layer: tar::Builder<W>,
    /// The first name of each file that has several.
    linked: HashMap<(u64, u64), PathBuf>,
    /// All files are the root's: the user has no other id, and those of the host are not known.
    squash: bool,
    told: &'a mut Told,
    /// Files that this user may not read.
    pub(crate) left_out: u64,
}

impl<'a, W: Write> TreeWriter<'a, W> {
    pub(crate) fn new(layer: W, squash: bool, told: &'a mut Told) -> Self {
        let mut layer = tar::Builder::new(layer);
        layer.sparse(false);
        Self { layer, linked: HashMap::new(), squash, told, left_out: 0 }
    }

    /// Adds everything below an open directory, at `place` in the layer.
    pub(crate) fn directory(&mut self, from: &OwnedFd, place: &mut PathBuf) -> anyhow::Result<()> {
        anyhow::ensure!(place.components().count() < DEPTH, "directories are too deep");
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(from)? {
            names.push(entry?.file_name().to_owned());
        }
        names.sort();
        for name in names.iter().filter(|name| name.as_c_str() != c"." && name.as_c_str() != c"..")
        {
            place.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.entry(from, name, place)
                .with_context(|| format!("cannot save /{}", place.display()))?;
            place.pop();
        }
        Ok(())
    }

    /// Adds a directory with nothing in it.
    pub(crate) fn empty(&mut self, place: &Path, mode: u32) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Directory);
        header.set_mode(mode);
        header.set_size(0);
        self.layer.append_data(&mut header, place, io::empty())
    }

    pub(crate) fn finish(self) -> io::Result<W> {
        self.layer.into_inner()
    }

    fn entry(&mut self, from: &OwnedFd, name: &CStr, place: &mut PathBuf) -> anyhow::Result<()> {
        let found = match rustix::fs::statat(from, name, AtFlags::SYMLINK_NOFOLLOW) {
            // The host's own files may go at any time.
            Err(Errno::NOENT) => return Ok(()),
            found => found?,
        };
        let kind = FileType::from_raw_mode(found.st_mode);
        let mut header = self.header(&found);
        if kind != FileType::Directory
            && found.st_nlink > 1
            && let Some(first) = self.linked.get(&(found.st_dev, found.st_ino))
        {
            header.set_entry_type(tar::EntryType::Link);
            return Ok(self.layer.append_link(&mut header, &place, first)?);
        }
        match kind {
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let opened = match rustix::fs::openat(from, name, flags, Mode::empty()) {
                    Err(Errno::ACCESS) => {
                        self.left_out += 1;
                        return Ok(());
                    }
                    opened => opened?,
                };
                header.set_entry_type(tar::EntryType::Directory);
                self.layer.append_data(&mut header, &place, io::empty())?;
                return self.directory(&opened, place);
            }
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
                let opened = match rustix::fs::openat(from, name, flags, Mode::empty()) {
                    Err(Errno::ACCESS) => {
                        self.left_out += 1;
                        return Ok(());
                    }
                    opened => std::fs::File::from(opened?),
                };
                let size = found.st_size as u64;
                header.set_entry_type(tar::EntryType::Regular);
                header.set_size(size);
                // One that got shorter meanwhile ends in zeroes: its size is written already.
                let content = opened.chain(io::repeat(0)).take(size);
                self.layer.append_data(&mut header, &place, content)?;
                self.told.add(size)?;
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(from, name, Vec::new())?;
                header.set_entry_type(tar::EntryType::Symlink);
                let target = std::ffi::OsStr::from_bytes(target.as_bytes());
                self.layer.append_link(&mut header, &place, target)?;
            }
            FileType::Fifo => {
                header.set_entry_type(tar::EntryType::Fifo);
                self.layer.append_data(&mut header, &place, io::empty())?;
            }
            // Sockets and devices are made by who uses them.
            _ => return Ok(()),
        }
        if found.st_nlink > 1 {
            self.linked.insert((found.st_dev, found.st_ino), place.clone());
        }
        Ok(())
    }

    fn header(&self, found: &Stat) -> tar::Header {
        let owner = |id: u32| if self.squash || id == NOBODY { 0 } else { u64::from(id) };
        let mut header = tar::Header::new_gnu();
        header.set_uid(owner(found.st_uid));
        header.set_gid(owner(found.st_gid));
        header.set_mode(found.st_mode & 0o7777);
        header.set_mtime(u64::try_from(found.st_mtime).unwrap_or_default());
        header.set_size(0);
        header
    }
}
