//! Bounds what the headers of a tar archive may take.
//!
//! The library that reads archives keeps long names and records of an entry in memory, of
//! whatever size they say they are; an archive of megabytes can name terabytes.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// Bytes of one entry's headers. Names have some kilobytes at most (`PATH_MAX`), attributes 64.
const MOST: u64 = 1 << 20;

/// Names of an archive that are remembered, in bytes: those of a large system take a quarter.
const NAMES: u64 = 256 << 20;

/// An archive's bytes, of which no more than some are given while headers are read.
pub(super) struct Bounded<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

/// Tells the reader what is read next.
pub(super) struct Bound(Rc<Cell<u64>>);

impl<R> Bounded<R> {
    pub(super) fn new(inner: R) -> (Self, Bound) {
        let left = Rc::new(Cell::new(MOST));
        (Self { inner, left: Rc::clone(&left) }, Bound(left))
    }
}

impl Bound {
    /// The next entry. What is left of the one before must have been read, or be sought over.
    pub(super) fn next<T>(&self, mut entries: impl Iterator<Item = T>) -> Option<T> {
        self.0.set(MOST);
        let next = entries.next();
        self.0.set(u64::MAX);
        next
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            return Err(io::Error::other("the description of an entry is too long"));
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left.set(left - count as u64);
        Ok(count)
    }
}

impl<R: Seek> Seek for Bounded<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// How much the remembered names of an archive take.
#[derive(Default)]
pub(super) struct Names(u64);

impl Names {
    pub(super) fn add(&mut self, bytes: usize) -> io::Result<()> {
        self.0 += bytes as u64;
        if self.0 > NAMES {
            return Err(io::Error::other("the names of its files are too long"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::EntryType;

    /// An entry behind a description of another that claims a gigabyte.
    fn archive(kind: EntryType) -> impl Read {
        let header = |kind, size| {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size);
            header.set_cksum();
            io::Cursor::new(header.as_bytes().to_vec())
        };
        let first = header(EntryType::Regular, 4 << 20).chain(io::repeat(b'x').take(4 << 20));
        first.chain(header(kind, 1 << 30)).chain(io::repeat(b'x').take(1 << 30))
    }

    fn most_read(kind: EntryType) -> (u64, Option<io::Error>) {
        let count = Rc::new(Cell::new(0));
        let (reader, bound) = Bounded::new(Counted(archive(kind), Rc::clone(&count)));
        let mut archive = tar::Archive::new(reader);
        let mut entries = archive.entries().expect("entries");
        while let Some(entry) = bound.next(&mut entries) {
            match entry {
                Ok(mut entry) => drop(io::copy(&mut entry, &mut io::sink()).expect("read")),
                Err(error) => return (count.get(), Some(error)),
            }
        }
        (count.get(), None)
    }

    struct Counted<R>(R, Rc<Cell<u64>>);

    impl<R: Read> Read for Counted<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.read(buffer)?;
            self.1.set(self.1.get() + count as u64);
            Ok(count)
        }
    }

    #[test]
    fn a_description_of_a_gigabyte_is_not_read() {
        for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::XHeader] {
            let (read, error) = most_read(kind);
            let error = error.expect("refused").to_string();
            assert!(error.contains("too long"), "{kind:?}: {error}");
            assert!(read <= (4 << 20) + 2 * MOST, "{kind:?}: {read} bytes");
        }
        let (read, error) = most_read(EntryType::Regular);
        assert!(error.is_none() && read > 1 << 30, "contents have no such bound: {error:?}");
    }

    #[test]
    fn names_are_remembered_up_to_a_bound() {
        let mut names = Names::default();
        let fitting = (0..1_000_000).take_while(|_| names.add(4096).is_ok()).count();
        assert_eq!(fitting as u64, NAMES / 4096);
    }
}
