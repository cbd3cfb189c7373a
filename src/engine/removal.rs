//! Removes what a box leaves: directories may be shut even to their owner, and nested deeper than
//! any path, stack or table of descriptors reaches.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

/// Directories within directories that are followed with a descriptor each. What lies deeper is
/// moved up first.
const DEPTH: usize = 64;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Removes a directory and all in it, links as links. An overlay's work directory has no
/// permissions at all, and neither need what an agent made; the owner gives them back first. What
/// is mounted in it stays, and is a failure. Nothing may be running that writes there.
pub fn remove_tree(directory: &Path) -> io::Result<()> {
    let root = match rustix::fs::open(directory, DIRECTORY, Mode::empty()) {
        Err(Errno::ACCESS) => {
            rustix::fs::chmod(directory, Mode::RWXU)?;
            rustix::fs::open(directory, DIRECTORY, Mode::empty())?
        }
        // A link goes, and what it leads to stays; so does a file.
        Err(Errno::NOTDIR | Errno::LOOP) => return std::fs::remove_file(directory),
        opened => opened?,
    };
    let mut removal = Removal { root: root.as_fd(), moved: 0 };
    removal.empty(&root, 0)?;
    // Emptying these may move more of them up.
    while let Some(name) = first_directory(&root)? {
        let inner = Removal::enter(root.as_fd(), &name)?;
        removal.empty(&inner, 0)?;
        rustix::fs::unlinkat(&root, name.as_slice(), AtFlags::REMOVEDIR)?;
    }
    Ok(rustix::fs::rmdir(directory)?)
}

struct Removal<'r> {
    root: BorrowedFd<'r>,
    /// Directories that were moved up so far.
    moved: u64,
}

impl Removal<'_> {
    /// Removes all that is in a directory; at the bottom, directories are moved into the root.
    fn empty(&mut self, directory: &OwnedFd, depth: usize) -> io::Result<()> {
        for (name, kind) in entries(directory)? {
            if kind != FileType::Directory {
                match rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::empty()) {
                    Err(Errno::ACCESS) => {
                        rustix::fs::fchmod(directory, Mode::RWXU)?;
                        rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::empty())?;
                    }
                    removed => removed?,
                }
            } else if depth < DEPTH {
                let inner = Self::enter(directory.as_fd(), &name)?;
                self.empty(&inner, depth + 1)?;
                drop(inner);
                match rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::REMOVEDIR) {
                    Err(Errno::ACCESS) => {
                        rustix::fs::fchmod(directory, Mode::RWXU)?;
                        rustix::fs::unlinkat(directory, name.as_slice(), AtFlags::REMOVEDIR)?;
                    }
                    removed => removed?,
                }
            } else {
                self.move_up(directory, &name)?;
            }
        }
        Ok(())
    }

    /// A directory that goes elsewhere has to be writable itself.
    fn move_up(&mut self, directory: &OwnedFd, name: &[u8]) -> io::Result<()> {
        rustix::fs::fchmod(directory, Mode::RWXU)?;
        open_up(directory.as_fd(), name)?;
        loop {
            self.moved += 1;
            let free = format!(".removing-{}", self.moved);
            let flags = rustix::fs::RenameFlags::NOREPLACE;
            match rustix::fs::renameat_with(directory, name, self.root, free.as_str(), flags) {
                Err(Errno::EXIST) => {}
                moved => return Ok(moved?),
            }
        }
    }

    /// Opens a directory for emptying, shut or not, on the same file system and through no link.
    fn enter(directory: BorrowedFd<'_>, name: &[u8]) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
        let open = || rustix::fs::openat2(directory, name, DIRECTORY, Mode::empty(), resolve);
        match open() {
            Err(Errno::ACCESS) => {
                open_up(directory, name)?;
                Ok(open()?)
            }
            opened => Ok(opened?),
        }
    }
}

/// Gives the owner a directory back, and nothing that a link in its place leads to.
fn open_up(parent: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let found = rustix::fs::openat(parent, name, flags, Mode::empty())?;
    Ok(rustix::fs::chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU)?)
}

fn first_directory(directory: &OwnedFd) -> io::Result<Option<Vec<u8>>> {
    let found = entries(directory)?.into_iter().find(|(_, kind)| *kind == FileType::Directory);
    Ok(found.map(|(name, _)| name))
}

/// The names in a directory, as it is now, each with its kind.
fn entries(directory: &OwnedFd) -> io::Result<Vec<(Vec<u8>, FileType)>> {
    let mut entries = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        entries.push((name.to_bytes().to_vec(), kind));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_directory_without_permissions_is_removed() {
        let root = tempfile::tempdir().expect("a directory");
        let shut = root.path().join("a/b");
        std::fs::create_dir_all(shut.join("c")).expect("made");
        std::fs::write(shut.join("c/file"), "x").expect("written");
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o000)).expect("set");
        remove_tree(&root.path().join("a")).expect("removed");
        assert!(!root.path().join("a").exists());
        let missing = remove_tree(&root.path().join("a")).expect_err("it is gone");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn links_go_and_what_they_lead_to_stays() {
        let root = tempfile::tempdir().expect("a directory");
        let kept = root.path().join("kept");
        std::fs::create_dir(&kept).expect("made");
        std::fs::write(kept.join("file"), "x").expect("written");
        std::fs::create_dir(root.path().join("a")).expect("made");
        symlink(&kept, root.path().join("a/link")).expect("a link");
        remove_tree(&root.path().join("a")).expect("removed");
        assert!(kept.join("file").exists());
        symlink(&kept, root.path().join("link")).expect("a link");
        remove_tree(&root.path().join("link")).expect("removed");
        assert!(kept.join("file").exists() && !root.path().join("link").exists());
    }

    /// Directories within directories: far more than a path can name.
    const DEEP: usize = 5000;
    /// A stack in which a call for each of them has no room.
    const SMALL: usize = 256 << 10;

    #[test]
    fn a_tree_deeper_than_any_path_is_removed_in_a_small_stack() {
        let root = tempfile::tempdir().expect("a directory");
        let top = root.path().join("a");
        std::fs::create_dir(&top).expect("made");
        let mut at = rustix::fs::open(&top, DIRECTORY, Mode::empty()).expect("opened");
        for _ in 0..DEEP {
            rustix::fs::mkdirat(&at, "d", Mode::RWXU).expect("made");
            at = rustix::fs::openat(&at, "d", DIRECTORY, Mode::empty()).expect("opened");
        }
        drop(at);
        let control = std::fs::symlink_metadata(top.join("d/".repeat(DEEP)));
        assert!(control.is_err(), "the control: no path names the bottom");
        let removing = std::thread::Builder::new().stack_size(SMALL);
        let removing = removing.spawn(move || remove_tree(&top)).expect("a thread");
        removing.join().expect("no panic").expect("removed");
        assert_eq!(std::fs::read_dir(root.path()).expect("there").count(), 0);
    }
}
