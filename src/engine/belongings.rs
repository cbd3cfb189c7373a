//! The directories of an environment that its box changes, and whether all in them is the user's.
//!
//! A box's programs may be at work in them: names are resolved beneath what is already open and
//! through no link, and nothing but owners is read.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::{BoxRecord, RUN_DIRECTORY};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::shim::wire::Place;

/// How long owners are looked at: a million files take a few seconds, and a program that makes
/// directories without end is not followed for ever.
const LOOK_DEADLINE: Duration = Duration::from_secs(30);

const READ: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// An environment's directories, wherever they are by now.
#[derive(Clone, Debug)]
pub struct Belongings {
    pub environment: EnvironmentId,
    /// The environment's own directory.
    pub directory: PathBuf,
    /// Where the workspace stands inside the box.
    pub mount: PathBuf,
    /// The box, where it is known.
    pub record: Option<BoxRecord>,
}

/// One of the directories, by its path on the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    pub path: PathBuf,
    /// As a program finds it that is shown it.
    pub place: Place,
}

impl Belongings {
    /// The directories that are there, each with its path in a box whose home is at `home`.
    pub fn all(&self, home: &str) -> Vec<Belonging> {
        let inside = |path: PathBuf| path.to_string_lossy().into_owned();
        let directories = [
            ("workspace", inside(self.mount.clone())),
            ("git", inside(self.mount.join(".git"))),
            ("home", home.to_owned()),
            ("run", RUN_DIRECTORY.to_owned()),
        ];
        let found = directories.into_iter().filter_map(|(name, inside)| {
            let path = self.directory.join(name);
            let stat = rustix::fs::lstat(&path).ok()?;
            let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
            let place = Place { path: inside, device: stat.st_dev, inode: stat.st_ino };
            is_directory.then_some(Belonging { path, place })
        });
        found.collect()
    }
}

/// The first thing that is not the user's in directories; what is below it was not looked at.
/// Devices are nobody's. Blocking.
pub fn of_others(belongings: &[Belonging]) -> Result<Option<PathBuf>, Failure> {
    let until = Instant::now() + LOOK_DEADLINE;
    for Belonging { path, .. } in belongings {
        if let Some(found) = look(path, until).map_err(|error| unread(path, error))? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Whether the machine's root has one of these paths beneath a directory. Blocking.
pub fn any_of_root<'p>(directory: &Path, mut paths: impl Iterator<Item = &'p [u8]>) -> bool {
    let Ok(directory) = rustix::fs::open(directory, READ, Mode::empty()) else { return false };
    let named = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    paths.any(|path| {
        let found = rustix::fs::openat2(&directory, path, named, Mode::empty(), RESOLVE);
        found.and_then(rustix::fs::fstat).is_ok_and(|stat| {
            let kind = FileType::from_raw_mode(stat.st_mode);
            stat.st_uid == 0 && !matches!(kind, FileType::CharacterDevice | FileType::BlockDevice)
        })
    })
}

fn unread(path: &Path, error: Errno) -> Failure {
    let message = format!("whose {} is cannot be told: {error}", path.display());
    Failure::new(FailureKind::Unavailable, message)
}

fn look(root: &Path, until: Instant) -> rustix::io::Result<Option<PathBuf>> {
    let own = rustix::process::geteuid().as_raw();
    if rustix::fs::lstat(root)?.st_uid != own {
        return Ok(Some(root.to_owned()));
    }
    let mut open = vec![Dir::new(rustix::fs::open(root, READ, Mode::empty())?)?];
    let mut path = root.to_owned();
    while let Some(directory) = open.last_mut() {
        let Some(Ok(entry)) = directory.read() else {
            open.pop();
            path.pop();
            continue;
        };
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let named = std::os::unix::ffi::OsStrExt::from_bytes(name.to_bytes());
        let named: &std::ffi::OsStr = named;
        let Ok(stat) = rustix::fs::statat(directory.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) else {
            // It is gone by now.
            continue;
        };
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::CharacterDevice | FileType::BlockDevice => {}
            _ if stat.st_uid != own => return Ok(Some(path.join(named))),
            FileType::Directory => match enter(directory.fd()?, name) {
                Ok(inner) => {
                    path.push(named);
                    open.push(Dir::new(inner)?);
                }
                // Its owner has shut it, and can open it; or it is gone, or another mount.
                Err(Errno::ACCESS | Errno::NOENT | Errno::XDEV | Errno::LOOP | Errno::NOTDIR) => {}
                Err(error) => return Err(error),
            },
            _ => {}
        }
        if Instant::now() > until {
            return Err(Errno::TIMEDOUT);
        }
    }
    Ok(None)
}

fn enter(directory: BorrowedFd<'_>, name: &std::ffi::CStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(directory.as_fd(), name, READ, Mode::empty(), RESOLVE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, lchown, symlink};

    use super::*;

    fn belongings(root: &Path) -> Vec<Belonging> {
        let of = Belongings {
            environment: EnvironmentId::from_random([1; 8]),
            directory: root.to_owned(),
            mount: "/shop".into(),
            record: None,
        };
        of.all("/home/agent")
    }

    #[test]
    fn only_directories_that_are_there_are_named_and_by_their_numbers() {
        let root = tempfile::tempdir().expect("a directory");
        std::fs::create_dir(root.path().join("home")).expect("made");
        symlink("/etc", root.path().join("workspace")).expect("linked");
        let found = belongings(root.path());
        let stat = rustix::fs::lstat(root.path().join("home")).expect("there");
        let place = Place { path: "/home/agent".into(), device: stat.st_dev, inode: stat.st_ino };
        assert_eq!(found, [Belonging { path: root.path().join("home"), place }]);
    }

    #[test]
    fn what_is_anothers_is_named_and_no_link_is_followed_to_it() {
        let root = tempfile::tempdir().expect("a directory");
        let deep = root.path().join("workspace/a/b");
        std::fs::create_dir_all(&deep).expect("made");
        // What is above it is root's on every machine.
        symlink("/usr", deep.join("link")).expect("linked");
        let shut = root.path().join("workspace/shut");
        std::fs::create_dir(&shut).expect("made");
        std::fs::set_permissions(&shut, std::fs::Permissions::from_mode(0o000)).expect("shut");
        assert_eq!(of_others(&belongings(root.path())).expect("told"), None);
        if !rustix::process::geteuid().is_root() {
            return; // Nobody else gives files away.
        }
        let has =
            |path: &str| any_of_root(&root.path().join("workspace"), [path.as_bytes()].into_iter());
        assert!(has("a") && !has("a/b/link/bin") && !has("none") && !has("../.."));
        lchown(&deep, Some(12_345), None).expect("given away");
        assert!(!has("a/b"));
        lchown(&deep, Some(0), None).expect("taken back");
        lchown(deep.join("link"), Some(12_345), None).expect("given away");
        assert_eq!(of_others(&belongings(root.path())).expect("told"), Some(deep.join("link")));
    }
}
