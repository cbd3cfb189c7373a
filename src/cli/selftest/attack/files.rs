//! Files of the host: by path, by link, by what is left of them, and settings of the kernel.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags};

use super::{Mark, Try};

/// Bytes of a canary that are read.
const MAX_READ: u64 = 4096;

/// File systems that show the kernel itself (linux/magic.h): a file of one of these is not one
/// that was put over it.
const KERNEL_FILE_SYSTEMS: [u64; 8] = [
    0x9fa0,      // proc
    0x6265_6572, // sysfs
    0x0027_e0eb, // cgroup
    0x6367_7270, // cgroup2
    0x6462_6720, // debugfs
    0x7472_6163, // tracefs
    0x7363_6673, // securityfs
    0xcafe_4a11, // bpf
];

/// Where a box's root may be able to write when the workspace is another's.
const PLACES: [&str; 5] = [".", "/tmp", "/var/tmp", "/run", "/"];

/// A path that nothing has yet, in a directory that can be written.
pub(super) fn scratch(name: &str) -> PathBuf {
    let name = format!("selftest-{name}-{}", std::process::id());
    let paths = PLACES.map(|place| Path::new(place).join(&name));
    let writable = |path: &&PathBuf| {
        std::fs::create_dir(path).and_then(|()| std::fs::remove_dir(path)).is_ok()
    };
    paths.iter().find(writable).unwrap_or(&paths[0]).clone()
}

pub(super) fn read(paths: &[PathBuf], secret: &str) -> Vec<Try> {
    let mut tries = Vec::new();
    for path in paths {
        tries.push(look(&path.display().to_string(), path, secret));
        let up = PathBuf::from("../".repeat(40)).join(path.strip_prefix("/").unwrap_or(path));
        tries.push(look(&format!("../…{}", path.display()), &up, secret));
        tries.push(through_link(path, secret));
    }
    tries
}

fn through_link(path: &Path, secret: &str) -> Try {
    let what = format!("a link to {}", path.display());
    let link = scratch("link");
    if let Err(error) = std::os::unix::fs::symlink(path, &link) {
        return Try::absent(what, format!("no link could be made: {error}"));
    }
    let found = look(&what, &link, secret);
    let _ = std::fs::remove_file(link);
    found
}

/// Reads the beginning of a file; only the secret in it is a success.
pub(super) fn look(what: &str, path: &Path, secret: &str) -> Try {
    let mut text = Vec::new();
    match File::open(path).and_then(|file| file.take(MAX_READ).read_to_end(&mut text)) {
        Ok(_) if holds(&text, secret) => Try::reached(what, "read"),
        Ok(_) => Try::refused(what, "another file"),
        Err(error) => Try::refused(what, error.to_string()),
    }
}

pub(super) fn holds(text: &[u8], secret: &str) -> bool {
    !secret.is_empty() && memchr::memmem::find(text, secret.as_bytes()).is_some()
}

pub(super) fn find(marks: &[Mark]) -> Vec<Try> {
    marks.iter().map(find_one).collect()
}

fn find_one(mark: &Mark) -> Try {
    let what = mark.path.display().to_string();
    let readable = rustix::fs::access(&mark.path, Access::READ_OK);
    match (std::fs::symlink_metadata(&mark.path), readable) {
        (Ok(found), Ok(()))
            if found.size() == mark.size
                && (found.mtime(), found.mtime_nsec()) == mark.modified =>
        {
            Try::reached(what, "could be read")
        }
        (Ok(_), Ok(())) => Try::refused(what, "another file"),
        (Err(error), _) => Try::refused(what, error.to_string()),
        (_, Err(error)) => Try::refused(what, error.to_string()),
    }
}

/// What was written counts only where the host finds it, so that nothing here is a success.
pub(super) fn plant(files: &[(PathBuf, String)], links: &[(PathBuf, PathBuf)]) -> Vec<Try> {
    let write = |path: &Path, text: &str| {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
        let mode = Mode::from_raw_mode(if text.starts_with("#!") { 0o755 } else { 0o644 });
        Ok::<_, std::io::Error>(rustix::fs::chmod(path, mode)?)
    };
    let link = |path: &Path, target: &Path| {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        // What stands in the way was planted before.
        let _ = std::fs::remove_file(path);
        std::os::unix::fs::symlink(target, path)
    };
    let told = |path: &Path, result: std::io::Result<()>| match result {
        Ok(()) => Try::refused(path.display().to_string(), "written, for the host to look at"),
        Err(error) => Try::absent(path.display().to_string(), error.to_string()),
    };
    let written = files.iter().map(|(path, text)| told(path, write(path, text)));
    let linked = links.iter().map(|(path, target)| told(path, link(path, target)));
    written.chain(linked).collect()
}

pub(super) fn remove(paths: &[PathBuf]) -> Vec<Try> {
    for path in paths {
        let directory = std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
        // What is not there needs no removal.
        let _ = if directory { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
    }
    Vec::new()
}

/// Opens, and writes nothing. A file that was put over the kernel's is no success.
pub(super) fn open_settings(paths: &[PathBuf]) -> Vec<Try> {
    let open = |path: &PathBuf| {
        let what = path.display().to_string();
        let flags = OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        match opened.and_then(|file| rustix::fs::fstatfs(&file)) {
            Ok(found) if KERNEL_FILE_SYSTEMS.contains(&(found.f_type as u64)) => {
                Try::reached(what, "open for writing")
            }
            Ok(_) => Try::refused(what, "another file is in its place"),
            Err(rustix::io::Errno::NOENT) => Try::absent(what, "not there"),
            Err(error) => Try::refused(what, error.to_string()),
        }
    };
    paths.iter().map(open).collect()
}
