//! Copying a tree that an agent made: files, directories and links, and nothing that is special.
//!
//! Nothing may be running that writes there, yet nothing is believed either: every name is resolved
//! from a directory already open and through no link, and what is made is made beneath a directory
//! that was empty. Modes, times and owners are kept as far as this user may; set-id bits are not.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, Uid,
};
use rustix::io::Errno;

use super::walk;

/// Directories within directories; deeper ones are some program's mistake, or meant to end ours.
const MAX_DEPTH: usize = 200;

/// Entries between two reports of progress.
const REPORT_EVERY: u64 = 64;

const RESOLVE: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Copies what is in `from` into `to`, which is made or empty. `progress` is told how many entries
/// are done. Sockets, FIFOs and devices are left out.
pub fn tree(from: &Path, to: &Path, progress: &mut dyn FnMut(u64)) -> anyhow::Result<()> {
    std::fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let source =
        walk::open_root(from).with_context(|| format!("cannot open {}", from.display()))?;
    let target = walk::open_root(to).with_context(|| format!("cannot open {}", to.display()))?;
    anyhow::ensure!(walk::names(target.as_fd())?.is_empty(), "{} is not empty", to.display());
    let mut copy = Copy { done: 0, progress };
    copy.directory(source.as_fd(), target.as_fd(), 0)
        .with_context(|| format!("cannot copy {}", from.display()))
}

struct Copy<'p> {
    done: u64,
    progress: &'p mut dyn FnMut(u64),
}

impl Copy<'_> {
    fn directory(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        depth: usize,
    ) -> anyhow::Result<()> {
        anyhow::ensure!(depth < MAX_DEPTH, "directories are nested too deep");
        for name in walk::names(from)? {
            let stat = rustix::fs::statat(from, &name, AtFlags::SYMLINK_NOFOLLOW)?;
            self.entry(from, to, &name, &stat, depth)
                .with_context(|| String::from_utf8_lossy(&name).into_owned())?;
            self.done += 1;
            if self.done.is_multiple_of(REPORT_EVERY) {
                (self.progress)(self.done);
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &[u8],
        stat: &Stat,
        depth: usize,
    ) -> anyhow::Result<()> {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok(file(from, to, name)?),
            FileType::Symlink => {
                let text = walk::read_link(from, name)?;
                rustix::fs::symlinkat(text.as_slice(), to, name)?;
                finish_link(to, name, stat)
            }
            FileType::Directory => {
                // One that is shut even to its owner is opened for as long as it is read.
                let shut = stat.st_mode & 0o700 != 0o700;
                if shut {
                    let open = Mode::from_raw_mode(stat.st_mode & 0o7777 | 0o700);
                    set_mode(from, name, open)?;
                }
                let source = walk::open_directory(from, name)?;
                rustix::fs::mkdirat(to, name, Mode::RWXU)?;
                let target = walk::open_directory(to, name)?;
                let copied = self.directory(source.as_fd(), target.as_fd(), depth + 1);
                if shut {
                    rustix::fs::fchmod(&source, mode(stat))?;
                }
                copied?;
                Ok(finish(&target, stat)?)
            }
            _ => Ok(()),
        }
    }
}

/// Changes the mode of a directory, and of nothing that a link in its place leads to.
fn set_mode(parent: BorrowedFd<'_>, name: &[u8], mode: Mode) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), mode)?)
}

fn file(from: BorrowedFd<'_>, to: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut source = File::from(rustix::fs::openat2(from, name, read, Mode::empty(), RESOLVE)?);
    let stat = rustix::fs::fstat(&source)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::AGAIN.into());
    }
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let made = rustix::fs::openat2(to, name, write, Mode::RUSR | Mode::WUSR, RESOLVE)?;
    let mut target = File::from(made);
    // Where the file system can, the copy shares the blocks until one of both is written.
    if rustix::fs::ioctl_ficlone(&target, &source).is_err() {
        io::copy(&mut source, &mut target)?;
    }
    finish(&OwnedFd::from(target), &stat)
}

/// Gives what was made the owner, mode and times of its original.
fn finish(made: &OwnedFd, stat: &Stat) -> io::Result<()> {
    // Only root gives files away; for anyone else they are this user's on both sides.
    let _ = rustix::fs::fchown(
        made,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
    );
    rustix::fs::fchmod(made, mode(stat))?;
    Ok(rustix::fs::futimens(made, &times(stat))?)
}

fn finish_link(to: BorrowedFd<'_>, name: &[u8], stat: &Stat) -> anyhow::Result<()> {
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    let _ = rustix::fs::chownat(to, name, Some(user), Some(group), AtFlags::SYMLINK_NOFOLLOW);
    Ok(rustix::fs::utimensat(to, name, &times(stat), AtFlags::SYMLINK_NOFOLLOW)?)
}

/// Permissions, and the sticky bit of directories, but no set-id bit.
fn mode(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & 0o1777)
}

fn times(stat: &Stat) -> Timestamps {
    let time =
        |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as i64 };
    Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    #[test]
    fn files_links_and_shut_directories_are_copied_and_nothing_special() {
        let root = tempfile::tempdir().expect("a directory");
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        std::fs::create_dir_all(from.join("shut/deep")).expect("made");
        std::fs::write(from.join("shut/deep/file"), "text").expect("written");
        std::fs::write(from.join("tool"), "#!/bin/sh\n").expect("written");
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        mode(&from.join("tool"), 0o4755);
        symlink("/etc/passwd", from.join("link")).expect("made");
        rustix::fs::mknodat(rustix::fs::CWD, from.join("pipe"), FileType::Fifo, Mode::RUSR, 0)
            .expect("made");
        mode(&from.join("shut"), 0o000);
        tree(&from, &to, &mut |_| {}).expect("copied");
        let found = |path: &str| std::fs::symlink_metadata(to.join(path));
        assert_eq!(found("shut").expect("there").mode() & 0o7777, 0);
        assert_eq!(found("tool").expect("there").mode() & 0o7777, 0o755, "no set-id bit");
        assert_eq!(std::fs::read_link(to.join("link")).expect("a link"), Path::new("/etc/passwd"));
        assert!(found("pipe").is_err());
        for side in [&from, &to] {
            mode(&side.join("shut"), 0o700);
            let text = std::fs::read_to_string(side.join("shut/deep/file"));
            assert_eq!(text.expect("read"), "text");
        }
        let date = |path: &Path| std::fs::metadata(path).expect("there").mtime_nsec();
        assert_eq!(date(&from.join("tool")), date(&to.join("tool")));
        tree(&from, &to, &mut |_| {}).expect_err("it is not empty");
    }

    #[test]
    fn no_link_in_the_place_of_a_directory_is_followed() {
        let root = tempfile::tempdir().expect("a directory");
        let (from, to) = (root.path().join("from"), root.path().join("to"));
        std::fs::create_dir(root.path().join("secret")).expect("made");
        std::fs::write(root.path().join("secret/key"), "key").expect("written");
        symlink(root.path().join("secret"), &from).expect("made");
        tree(&from, &to, &mut |_| {}).expect_err("the root is a link");
        std::fs::remove_file(&from).expect("removed");
        std::fs::create_dir(&from).expect("made");
        symlink("../secret", from.join("inner")).expect("made");
        tree(&from, &to, &mut |_| {}).expect("copied");
        assert!(to.join("inner").is_symlink(), "a link stays a link");
    }
}
