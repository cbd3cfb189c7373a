//! Puts the running binary where boxes can be started from, also after an upgrade or removal.

use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use sha2::{Digest, Sha256};

use crate::model::failure::{Failure, FailureKind};

/// Where copies of this program are in a home, how their names begin, and those of parts of one.
const DIRECTORY: &str = "bin";
const NAME: &str = "agentdeck-";
const PARTIAL: &str = "partial-";

/// Bytes of the content's digest in the file's name: no two builds of one user ever meet.
const NAME_BYTES: usize = 8;

/// Program header type of a dynamic interpreter (elf.h, `PT_INTERP`).
const INTERPRETER: u64 = 3;

/// Copies this program to `bin/agentdeck-DIGEST` in `home`, unless it is there, and tells the
/// path. Refuses a binary that needs libraries, which would not start in another image.
pub fn place_binary(home: &Path) -> Result<PathBuf, Failure> {
    let mut file = std::fs::File::open("/proc/self/exe").context("cannot open this program")?;
    let mut content = Vec::new();
    file.rewind().and_then(|()| file.read_to_end(&mut content)).context("cannot read it")?;
    if needs_interpreter(&content) {
        return Err(Failure::new(
            FailureKind::Refused,
            "this build of agentdeck is dynamically linked and cannot run inside boxes",
        )
        .hint("build it with: RUSTFLAGS='-C target-feature=+crt-static' cargo install agentdeck --target x86_64-unknown-linux-gnu"));
    }
    Ok(place(home, &content)?)
}

fn place(home: &Path, content: &[u8]) -> anyhow::Result<PathBuf> {
    let digest = Sha256::digest(content);
    let digits: Vec<String> = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let directory = home.join(DIRECTORY);
    let path = directory.join(format!("{NAME}{}", digits[..NAME_BYTES].concat()));
    let whole = std::fs::metadata(&path).is_ok_and(|found| found.len() == content.len() as u64);
    if whole {
        return Ok(path);
    }
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let mut copy = tempfile::Builder::new().prefix(PARTIAL).tempfile_in(&directory)?;
    copy.write_all(content)?;
    copy.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    copy.persist(&path).with_context(|| format!("cannot place {}", path.display()))?;
    Ok(path)
}

/// What is in the place of this program's copies beside `current`, sorted: those of other versions,
/// and parts of one whose placing was cut short.
pub fn other_binaries(home: &Path, current: &Path) -> io::Result<Vec<PathBuf>> {
    let mut others = Vec::new();
    for entry in std::fs::read_dir(home.join(DIRECTORY))? {
        let (path, name) = {
            let entry = entry?;
            (entry.path(), entry.file_name())
        };
        let is_ours =
            [NAME, PARTIAL].iter().any(|it| name.as_encoded_bytes().starts_with(it.as_bytes()));
        if is_ours && path != current {
            others.push(path);
        }
    }
    others.sort();
    Ok(others)
}

/// Whether a 64-bit little-endian ELF file names a dynamic interpreter.
/// Source: Tool Interface Standard, ELF-64 object file format, program headers.
fn needs_interpreter(content: &[u8]) -> bool {
    let number = |at: usize, length: usize| -> Option<u64> {
        let bytes = content.get(at..at + length)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    };
    let headers = || Some((number(32, 8)?, number(54, 2)?, number(56, 2)?));
    let Some((start, size, count)) = headers() else { return true };
    (0..count).any(|index| {
        number((start + index * size) as usize, 4).is_none_or(|kind| kind == INTERPRETER)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binary_is_placed_once_under_the_name_of_its_content() {
        let home = tempfile::tempdir().expect("a directory");
        let path = place(home.path(), b"content").expect("placed");
        let again = place(home.path(), b"content").expect("placed");
        assert_eq!(path, again);
        assert_eq!(std::fs::read(&path).expect("read"), b"content");
        let mode = std::fs::metadata(&path).expect("found").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let other = place(home.path(), b"other").expect("placed");
        assert_ne!(other, path);
        let part = home.path().join(DIRECTORY).join("partial-x");
        for foreign in [part.as_path(), &home.path().join(DIRECTORY).join("mine")] {
            std::fs::write(foreign, "").expect("written");
        }
        assert_eq!(other_binaries(home.path(), &path).expect("listed"), [other, part]);
    }

    #[test]
    fn a_program_that_needs_libraries_is_told_from_a_static_one() {
        let own = std::fs::read("/proc/self/exe").expect("read");
        assert_eq!(needs_interpreter(&own), !cfg!(target_feature = "crt-static"));
        assert!(needs_interpreter(b"#!/bin/sh\n"));
    }
}
