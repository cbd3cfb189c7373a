//! Reads a tar stream: headers, long names and PAX records, each within bounds.
//!
//! Sources: POSIX.1-2017, `pax` interchange format; GNU tar manual, "Basic Tar Format".

use std::io::{self, Read};

use anyhow::{Context, bail, ensure};
use tar::Header;

const BLOCK: usize = 512;

/// Longest name or link target, in bytes: the kernel's `PATH_MAX`, and its final zero.
const MAX_NAME: u64 = 4096 + 1;

/// Longest block of PAX records. What counts of them are two names, a size and a time.
const MAX_RECORDS: u64 = 64 << 10;

/// Headers that may stand before an entry to describe it; writers use at most four.
const MAX_DESCRIPTIONS: usize = 8;

/// What one entry says. Nothing of it is checked beyond its form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) mode: u32,
    /// Seconds since 1970.
    pub(super) modified: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink(Vec<u8>),
    /// Another name for an entry before it.
    HardLink(Vec<u8>),
    /// The type's letter.
    Other(u8),
}

/// The entries of a stream. After `next`, reading gives the content of the entry it returned.
pub(super) struct Entries<R> {
    input: R,
    /// Content of the current entry not yet read, and the filling up to the next block.
    left: u64,
    padding: u64,
}

/// What descriptions before an entry said of it.
#[derive(Default)]
struct Described {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    modified: Option<u64>,
}

impl<R: Read> Entries<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, left: 0, padding: 0 }
    }

    /// The next entry; `None` at the stream's end mark. A stream without one was cut off.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Entry>> {
        let mut described = Described::default();
        for _ in 0..=MAX_DESCRIPTIONS {
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().context("an entry's size")?;
            match header.entry_type().as_byte() {
                b'L' => described.path = Some(self.text(size)?),
                b'K' => described.link = Some(self.text(size)?),
                b'x' => {
                    let records = self.bytes(size, MAX_RECORDS)?;
                    described.read(&records)?;
                }
                // Defaults for all entries. Names and sizes make no sense there.
                b'g' => drop(self.bytes(size, MAX_RECORDS)?),
                letter => {
                    let entry = described.entry(&header, letter, size)?;
                    self.expect(entry.size);
                    return Ok(Some(entry));
                }
            }
        }
        bail!("an entry is described without end")
    }

    /// Reads past what belongs to the stream after its end mark: writers fill their last record.
    pub(super) fn finish(&mut self) {
        /// The largest record that tar programs write by their defaults, several times over.
        const MAX_FILLING: u64 = 1 << 20;
        let _ = io::copy(&mut (&mut self.input).take(MAX_FILLING), &mut io::sink());
    }

    fn expect(&mut self, size: u64) {
        self.left = size;
        self.padding = size.next_multiple_of(BLOCK as u64).wrapping_sub(size) % BLOCK as u64;
    }

    fn header(&mut self) -> anyhow::Result<Option<Header>> {
        let rest = self.left.checked_add(self.padding).context("an entry without end")?;
        let passed = io::copy(&mut (&mut self.input).take(rest), &mut io::sink())?;
        ensure!(passed == rest, "the stream was cut off");
        self.expect(0);
        let mut block = [0; BLOCK];
        self.input.read_exact(&mut block).context("the stream was cut off")?;
        if block == [0; BLOCK] {
            return Ok(None);
        }
        let mut header = Header::new_old();
        header.as_mut_bytes().copy_from_slice(&block);
        ensure!(header.cksum().ok() == Some(checksum(&block)), "this is not a tar stream");
        Ok(Some(header))
    }

    fn text(&mut self, size: u64) -> anyhow::Result<Vec<u8>> {
        let mut text = self.bytes(size, MAX_NAME)?;
        if text.last() == Some(&0) {
            text.pop();
        }
        Ok(text)
    }

    fn bytes(&mut self, size: u64, limit: u64) -> anyhow::Result<Vec<u8>> {
        ensure!(size <= limit, "an entry's description has {size} bytes");
        self.expect(size);
        let mut bytes = vec![0; size as usize];
        self.read_exact(&mut bytes).context("the stream was cut off")?;
        Ok(bytes)
    }
}

impl<R: Read> Read for Entries<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (&mut self.input).take(self.left).read(buffer)?;
        self.left -= count as u64;
        Ok(count)
    }
}

impl Described {
    /// Reads PAX records: `LENGTH KEY=VALUE\n`, where the length counts the whole record.
    fn read(&mut self, mut records: &[u8]) -> anyhow::Result<()> {
        while !records.is_empty() {
            let space = records.iter().position(|byte| *byte == b' ').context("a PAX record")?;
            let length: usize = number(&records[..space]).context("a PAX record's length")?;
            ensure!(length > space + 1 && length <= records.len(), "a PAX record's length");
            let (record, rest) = records.split_at(length);
            let (end, pair) = record[space + 1..].split_last().context("a PAX record")?;
            let equals = pair.iter().position(|byte| *byte == b'=').context("a PAX record")?;
            ensure!(*end == b'\n', "a PAX record's end");
            let (key, value) = (&pair[..equals], &pair[equals + 1..]);
            match key {
                b"path" => self.path = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(number(value).context("a PAX size")?),
                // A time before 1970 has a sign, and is not worth failing for.
                b"mtime" => {
                    let whole = value.split(|byte| *byte == b'.').next().unwrap_or_default();
                    self.modified = number(whole);
                }
                _ if key.starts_with(b"GNU.sparse.") => bail!("sparse files are not supported"),
                _ => {}
            }
            records = rest;
        }
        Ok(())
    }

    fn entry(self, header: &Header, letter: u8, size: u64) -> anyhow::Result<Entry> {
        let path = self.path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = self.link.or_else(|| header.link_name_bytes().map(std::borrow::Cow::into_owned));
        let link = || link.unwrap_or_default();
        let kind = match letter {
            // Before directories had a letter, a final slash told them.
            b'0' | b'7' | 0 if path.ends_with(b"/") => Kind::Directory,
            b'0' | b'7' | 0 => Kind::File,
            b'1' => Kind::HardLink(link()),
            b'2' => Kind::Symlink(link()),
            b'5' => Kind::Directory,
            other => Kind::Other(other),
        };
        let size = self.size.unwrap_or(size);
        // Readers disagree whether content follows such an entry; one of them would take a
        // file's content for headers.
        ensure!(size == 0 || kind == Kind::File, "an entry that is no file has {size} bytes");
        let modified = self.modified.or_else(|| header.mtime().ok()).unwrap_or_default();
        Ok(Entry { path, kind, size, mode: header.mode().unwrap_or(0o644), modified })
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// The sum of a header's bytes, its own field counted as spaces.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    const FIELD: std::ops::Range<usize> = 148..156;
    let value = |(at, byte): (usize, &u8)| if FIELD.contains(&at) { b' ' } else { *byte };
    block.iter().enumerate().map(|pair| u32::from(value(pair))).sum()
}
