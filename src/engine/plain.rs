//! Files without the compression they came in.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::Context;
use flate2::read::MultiGzDecoder;

use super::room::{Bounds, Room};
use crate::model::failure::{Failure, FailureKind};

/// Bytes by which a compressed file is known.
pub(super) const BEGINNING: usize = 6;

/// Beginnings of compressed files that are not read here (their formats' specifications).
const UNREAD: [(&[u8], &str); 3] =
    [(b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd")];

/// The file itself, or what it is without compression, in a file without a name in `scratch`.
/// `told` hears of each part that was unpacked.
pub(super) fn uncompressed(
    mut file: File,
    scratch: &Path,
    bounds: Bounds,
    told: &mut dyn FnMut(u64),
) -> anyhow::Result<File> {
    file.rewind()?;
    let mut beginning = [0; BEGINNING];
    let length = read_up_to(&mut file, &mut beginning)?;
    file.rewind()?;
    refuse_unread(&beginning[..length])?;
    if !is_gzip(&beginning) {
        return Ok(file);
    }
    let mut plain = tempfile::tempfile_in(scratch).context("cannot make a file to unpack to")?;
    let mut content = MultiGzDecoder::new(BufReader::new(file));
    let place = plain.try_clone()?;
    Room::new(place.as_fd(), bounds)
        .copy(&mut content, &mut plain, told)
        .context("cannot unpack it")?;
    plain.rewind()?;
    Ok(plain)
}

pub(super) fn is_gzip(beginning: &[u8]) -> bool {
    beginning.starts_with(b"\x1f\x8b")
}

pub(super) fn refuse_unread(beginning: &[u8]) -> Result<(), Failure> {
    match UNREAD.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        Some((_, name)) => {
            let message = format!("the image is compressed by {name}, which is not read here");
            Err(Failure::new(FailureKind::Invalid, message).hint("unpack it first, or use gzip"))
        }
        None => Ok(()),
    }
}

pub(super) fn read_up_to(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match from.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}
