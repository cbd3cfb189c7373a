//! Writes a file or a directory as a tar stream. No link is followed below what was named, also
//! while somebody swaps directories for links.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use anyhow::Context;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat};
use tar::{EntryType, Header};

use super::Skipped;
use crate::model::path::printable;

const BLOCK: usize = 512;

/// Bytes read at a time.
const BUFFER: usize = 64 << 10;

/// Directories within each other; each holds a descriptor while what is in it is packed.
const MAX_DEPTH: usize = 256;

/// The rights of a file that travel. Neither setuid nor setgid does.
const RIGHTS: u32 = 0o777;

/// Writes what is at `source`, under its own name, or as `.` where only the content of a directory
/// is meant (`.`, or an ending of `/.`). Returns what could not be read or cannot travel.
pub fn pack(source: &Path, output: &mut impl Write) -> anyhow::Result<Skipped> {
    let named = || format!("cannot read {}", printable(source.as_os_str().as_bytes()));
    let bytes = source.as_os_str().as_bytes();
    let content = super::asks_for_content(bytes);
    // A final slash asks for what a link points to, as everywhere.
    let followed = content || bytes.ends_with(b"/") || bytes.ends_with(b"..");
    let (place, name) = if followed {
        let whole = std::fs::canonicalize(source).with_context(named)?;
        anyhow::ensure!(whole.is_dir(), "{} is not a directory", printable(bytes));
        let name = whole.file_name().map(|name| name.as_bytes().to_vec());
        (whole, name.filter(|_| !content).unwrap_or_else(|| b".".to_vec()))
    } else {
        let name = source.file_name().context("the path is empty")?.as_bytes().to_vec();
        (source.to_owned(), name)
    };
    let place = CString::new(place.into_os_string().into_vec()).context("a path with a zero")?;
    let status = rustix::fs::statat(CWD, &place, AtFlags::SYMLINK_NOFOLLOW).with_context(named)?;
    let buffer = vec![0; BUFFER];
    let mut packer = Packer { output, skipped: Skipped::default(), buffer };
    packer.add(CWD, &place, &name, &status, 0)?;
    packer.output.write_all(&[0; 2 * BLOCK])?;
    Ok(packer.skipped)
}

struct Packer<'a, W> {
    output: &'a mut W,
    skipped: Skipped,
    buffer: Vec<u8>,
}

impl<W: Write> Packer<'_, W> {
    /// Writes one entry, and what is below it. Fails only where the stream itself does.
    fn add(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        status: &Stat,
        depth: usize,
    ) -> io::Result<()> {
        match FileType::from_raw_mode(status.st_mode) {
            FileType::RegularFile => self.file(parent, name, path),
            FileType::Directory if depth < MAX_DEPTH => self.directory(parent, name, path, depth),
            FileType::Symlink => match rustix::fs::readlinkat(parent, name, Vec::new()) {
                Ok(target) => {
                    self.entry(EntryType::Symlink, path, Some(target.as_bytes()), status, 0)
                }
                Err(error) => self.skip(path, error),
            },
            FileType::Directory => self.skip(path, "too deep"),
            _ => self.skip(path, "neither a file nor a directory nor a link"),
        }
    }

    fn file(&mut self, parent: BorrowedFd<'_>, name: &CStr, path: &[u8]) -> io::Result<()> {
        // What became a FIFO meanwhile must not make the opening wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(parent, name, flags, Mode::empty());
        let (file, status) = match opened.and_then(|it| Ok((rustix::fs::fstat(&it)?, it))) {
            Ok((status, file)) => (File::from(file), status),
            Err(error) => return self.skip(path, error),
        };
        if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
            return self.skip(path, "it changed while it was read");
        }
        let size = status.st_size as u64;
        self.entry(EntryType::Regular, path, None, &status, size)?;
        let (written, failed) = self.content(file.take(size))?;
        if written < size {
            // The size was told; what is missing by now is zeros.
            io::copy(&mut io::repeat(0).take(size - written), self.output)?;
            match failed {
                Some(error) => self.skipped.add(path, error),
                None => self.skipped.add(path, "it became shorter while it was read"),
            }
        }
        let padding = size.next_multiple_of(BLOCK as u64) - size;
        self.output.write_all(&[0; BLOCK][..padding as usize])
    }

    /// Writes what a file has, as far as it can be read; the answer is how much that was, and what
    /// kept the rest. Files of the kernel's own may fail only now.
    fn content(&mut self, mut file: impl Read) -> io::Result<(u64, Option<io::Error>)> {
        let mut written = 0;
        loop {
            match file.read(&mut self.buffer) {
                Ok(0) => return Ok((written, None)),
                Ok(count) => {
                    self.output.write_all(&self.buffer[..count])?;
                    written += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok((written, Some(error))),
            }
        }
    }

    fn directory(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        depth: usize,
    ) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(parent, name, flags, Mode::empty());
        let listed = opened.and_then(|it| Ok((rustix::fs::fstat(&it)?, names(&it)?, it)));
        let (status, mut names, directory) = match listed {
            Ok(listed) => listed,
            Err(error) => return self.skip(path, error),
        };
        let path = [path, b"/"].concat();
        self.entry(EntryType::Directory, &path, None, &status, 0)?;
        names.sort_unstable();
        for name in names {
            let below = [&path, name.as_bytes()].concat();
            match rustix::fs::statat(&directory, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(status) => self.add(directory.as_fd(), &name, &below, &status, depth + 1)?,
                Err(error) => self.skip(&below, error)?,
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        kind: EntryType,
        path: &[u8],
        link: Option<&[u8]>,
        status: &Stat,
        size: u64,
    ) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(status.st_mode & RIGHTS);
        header.set_mtime(u64::try_from(status.st_mtime).unwrap_or_default());
        header.set_size(size);
        header.set_uid(0);
        header.set_gid(0);
        for (letter, text) in [(b'K', link), (b'L', Some(path))] {
            let Some(text) = text else { continue };
            let fields = header.as_old_mut();
            let field = if letter == b'K' { &mut fields.linkname } else { &mut fields.name };
            let fits = text.len().min(field.len());
            field[..fits].copy_from_slice(&text[..fits]);
            if fits < text.len() {
                self.long(letter, text)?;
            }
        }
        header.set_cksum();
        self.output.write_all(header.as_bytes())
    }

    /// A name that has no room in a header stands before it, as an entry's content.
    fn long(&mut self, letter: u8, text: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_entry_type(EntryType::new(letter));
        header.set_size(text.len() as u64 + 1);
        header.set_mode(0);
        let name = b"././@LongLink";
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        self.output.write_all(header.as_bytes())?;
        self.output.write_all(text)?;
        let padding = (text.len() + 1).next_multiple_of(BLOCK) - text.len();
        self.output.write_all(&[0; BLOCK][..padding])
    }

    #[expect(clippy::unnecessary_wraps, reason = "a match arm beside others that may fail")]
    fn skip(&mut self, path: &[u8], why: impl std::fmt::Display) -> io::Result<()> {
        self.skipped.add(path, why);
        Ok(())
    }
}

fn names(directory: impl AsFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
