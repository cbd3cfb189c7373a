//! Gives a user the files in directories that are another's: what the root of a box made there.
//!
//! The agent may be at work on the same files and is taken for hostile. A directory is the one that
//! is meant by its number, not by its path; every name is resolved beneath a directory that is
//! already open, through no link and onto no other file system; and an owner is changed by the
//! descriptor that was looked at. A file that has names elsewhere is somebody else's too and stays
//! as it is, and so do devices, which nobody is to be given.

use std::collections::HashMap;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::Context;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

use super::wire::Place;

/// Files with several names that are remembered; what comes beyond keeps its owner.
const MAX_LINKED: usize = 100_000;
/// Complaints that are kept: as many as a person reads.
const SHOWN: usize = 5;

const LOOK: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
const RESOLVE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Who is to own the files.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) user: u32,
    pub(super) group: u32,
}

/// Makes a user the owner of all that is in directories, and says what stays another's.
pub(super) fn hand_back(owner: Owner, places: &[Place]) -> anyhow::Result<()> {
    let mut giving = Giving { owner, linked: HashMap::new(), left: Vec::new(), more: 0 };
    for place in places {
        giving.place(place).with_context(|| place.path.clone())?;
    }
    let Giving { left, more, .. } = giving;
    anyhow::ensure!(left.is_empty(), "{} and {more} more", left.join(", "));
    Ok(())
}

struct Giving {
    owner: Owner,
    /// How many names were seen of a file that has several, by its number.
    linked: HashMap<(u64, u64), u64>,
    left: Vec<String>,
    more: usize,
}

impl Giving {
    fn place(&mut self, place: &Place) -> anyhow::Result<()> {
        let found = rustix::fs::open(&place.path, LOOK | OFlags::DIRECTORY, Mode::empty())?;
        let stat = rustix::fs::fstat(&found)?;
        let meant = (stat.st_dev, stat.st_ino) == (place.device, place.inode);
        anyhow::ensure!(meant, "something else stands there");
        self.take(found.as_fd(), &stat)?;
        // One descriptor for each directory within a directory: where they run out, the rest stays.
        let mut open = vec![Dir::new(rustix::fs::openat(&found, c".", READ, Mode::empty())?)?];
        while let Some(directory) = open.last_mut() {
            let Some(entry) = directory.read() else {
                open.pop();
                continue;
            };
            // A directory that was removed meanwhile has nothing more to tell.
            let Ok(entry) = entry else {
                open.pop();
                continue;
            };
            let name = entry.file_name();
            if name == c"." || name == c".." {
                continue;
            }
            match self.entry(directory.fd()?, name) {
                Ok(Some(inner)) => open.push(inner),
                // Gone by now, or another mount, which is its own place.
                Ok(None) | Err(Errno::NOENT | Errno::XDEV) => {}
                Err(error) => self.leave(name, &error.to_string()),
            }
        }
        Ok(())
    }

    /// Takes what a name stands for, and opens it if it is a directory.
    fn entry(&mut self, directory: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<Option<Dir>> {
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        if !is_directory && self.owns(&stat) {
            return Ok(None);
        }
        let found = rustix::fs::openat2(directory, name, LOOK, Mode::empty(), RESOLVE)?;
        // What stands there now is what counts.
        let stat = rustix::fs::fstat(&found)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                self.take(found.as_fd(), &stat)?;
                Ok(Some(Dir::new(enter(&found)?)?))
            }
            FileType::CharacterDevice | FileType::BlockDevice => Ok(None),
            _ if self.has_names_elsewhere(&stat) => Ok(None),
            _ => self.take(found.as_fd(), &stat).map(|()| None),
        }
    }

    fn owns(&self, stat: &Stat) -> bool {
        stat.st_uid == self.owner.user
    }

    /// Whether names of a file were not seen yet. The last of them to be seen is by which it goes
    /// over, so that a file with a name outside never does.
    fn has_names_elsewhere(&mut self, stat: &Stat) -> bool {
        let names = stat.st_nlink;
        let file = (stat.st_dev, stat.st_ino);
        if names <= 1 || self.owns(stat) {
            return false;
        }
        if self.linked.len() >= MAX_LINKED && !self.linked.contains_key(&file) {
            return true;
        }
        let seen = self.linked.entry(file).or_default();
        *seen += 1;
        *seen < names
    }

    /// Changes the owner of what a descriptor stands for; of a link, the link's own. The kernel
    /// takes set-id bits and capabilities off with it.
    fn take(&self, found: BorrowedFd<'_>, stat: &Stat) -> rustix::io::Result<()> {
        if self.owns(stat) {
            return Ok(());
        }
        let (user, group) = (Uid::from_raw(self.owner.user), Gid::from_raw(self.owner.group));
        rustix::fs::chownat(found, c"", Some(user), Some(group), AtFlags::EMPTY_PATH)
    }

    fn leave(&mut self, name: &CStr, why: &str) {
        if self.left.len() < SHOWN {
            let name = crate::model::path::printable(name.to_bytes());
            self.left.push(format!("{name}: {why}"));
        } else {
            self.more += 1;
        }
    }
}

/// Opens a directory that was looked at for reading.
fn enter(found: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(found, c".", READ, Mode::empty(), RESOLVE)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, chown, lchown, symlink};
    use std::path::{Path, PathBuf};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::{Duration, Instant};

    use rustix::fs::{CWD, RenameFlags};

    use super::*;

    /// Nobody's number here.
    const USER: u32 = 54_321;
    const OWNER: Owner = Owner { user: USER, group: USER };

    /// Only root gives files away.
    fn is_root() -> bool {
        rustix::process::geteuid().is_root()
    }

    fn place(path: &Path) -> Place {
        let stat = rustix::fs::lstat(path).expect("there");
        let path = path.to_str().expect("text").to_owned();
        Place { path, device: stat.st_dev, inode: stat.st_ino }
    }

    fn owner(path: &Path) -> u32 {
        std::fs::symlink_metadata(path).expect("there").uid()
    }

    fn write(path: &Path) {
        std::fs::write(path, "x").expect("written");
    }

    #[test]
    fn all_in_a_directory_goes_over_but_for_what_is_elsewhere_too() {
        if !is_root() {
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let [given, outside] = ["given", "outside"].map(|name| root.path().join(name));
        std::fs::create_dir_all(given.join("a/b")).expect("made");
        std::fs::create_dir(&outside).expect("made");
        for file in ["one", "a/b/two", "a/twice", "third"] {
            write(&given.join(file));
        }
        rustix::fs::chmod(given.join("one"), Mode::from_raw_mode(0o4755)).expect("set-user");
        rustix::fs::chmod(given.join("a/b"), Mode::empty()).expect("shut");
        chown(given.join("third"), Some(77), Some(77)).expect("another user's");
        std::fs::hard_link(given.join("a/twice"), given.join("again")).expect("linked");
        write(&outside.join("file"));
        write(&outside.join("linked"));
        symlink(outside.join("file"), given.join("link")).expect("linked");
        symlink(&outside, given.join("way")).expect("linked");
        std::fs::hard_link(outside.join("linked"), given.join("elsewhere")).expect("linked");
        let (kind, numbers) = (FileType::CharacterDevice, rustix::fs::makedev(1, 3));
        rustix::fs::mknodat(CWD, given.join("null"), kind, Mode::RUSR, numbers).expect("made");

        hand_back(OWNER, &[place(&given)]).expect("handed back");
        for name in ["", "one", "a", "a/b", "a/b/two", "a/twice", "again", "third", "link", "way"] {
            assert_eq!(owner(&given.join(name)), USER, "{name}");
        }
        for name in ["", "file", "linked"] {
            assert_eq!(owner(&outside.join(name)), 0, "{name}");
        }
        assert_eq!((owner(&given.join("elsewhere")), owner(&given.join("null"))), (0, 0));
        let mode = std::fs::metadata(given.join("one")).expect("there").mode();
        assert_eq!(mode & 0o6000, 0, "it is not run as its new owner");
    }

    #[test]
    fn what_stands_in_a_directorys_place_keeps_its_owner() {
        if !is_root() {
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let [given, other] = ["given", "other"].map(|name| root.path().join(name));
        std::fs::create_dir(&given).expect("made");
        std::fs::create_dir(&other).expect("made");
        let meant = place(&given);
        std::fs::rename(&given, root.path().join("away")).expect("moved");
        symlink(&other, &given).expect("linked");
        hand_back(OWNER, std::slice::from_ref(&meant)).expect_err("a link");
        std::fs::remove_file(&given).expect("removed");
        std::fs::rename(&other, &given).expect("moved");
        hand_back(OWNER, &[meant]).expect_err("another directory");
        assert_eq!(owner(&given), 0);
    }

    /// Changes owners by paths, as a careless program would.
    fn careless(directory: &Path) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type());
            std::thread::yield_now();
            let _ = chown(&path, Some(USER), None);
            if kind.is_ok_and(|kind| kind.is_dir()) {
                careless(&path);
            }
        }
    }

    /// A directory in a place and a link to one outside, which are exchanged all the while.
    struct Exchange {
        given: PathBuf,
        /// What is outside.
        outer: [PathBuf; 3],
    }

    impl Exchange {
        fn new(root: &Path) -> Self {
            let [given, outside] = ["given", "outside"].map(|name| root.join(name));
            std::fs::create_dir_all(given.join("a/b")).expect("made");
            std::fs::create_dir_all(outside.join("b")).expect("made");
            for file in [given.join("a/b/file"), outside.join("b/file")] {
                write(&file);
            }
            symlink(&outside, given.join("c")).expect("linked");
            let outer = [outside.clone(), outside.join("b"), outside.join("b/file")];
            Self { given, outer }
        }

        /// Works again and again, until something outside was changed or it has been `enough`,
        /// which is told how often each side did its part; whether something was.
        fn harms(&self, work: &dyn Fn(), enough: &dyn Fn(usize, usize) -> bool) -> bool {
            let (over, exchanges) = (AtomicBool::new(false), AtomicUsize::new(0));
            let [a, c] = ["a", "c"].map(|name| self.given.join(name));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let _ = rustix::fs::renameat_with(CWD, &a, CWD, &c, RenameFlags::EXCHANGE);
                        exchanges.fetch_add(1, Ordering::Relaxed);
                    }
                });
                let mut rounds = 0;
                let harmed = loop {
                    for path in self.outer.iter().chain([&self.given, &a, &c]) {
                        let _ = lchown(path, Some(0), Some(0));
                    }
                    work();
                    rounds += 1;
                    let harmed = self.outer.iter().any(|path| owner(path) != 0);
                    if harmed || enough(rounds, exchanges.load(Ordering::Relaxed)) {
                        break harmed;
                    }
                };
                over.store(true, Ordering::Relaxed);
                harmed
            })
        }
    }

    #[test]
    fn an_exchange_of_directories_and_links_meanwhile_leads_nowhere() {
        /// In far fewer of which a careless program is led astray.
        const ROUNDS: usize = 400;
        /// For the control, on a machine that has no time for both sides.
        const PATIENCE: Duration = Duration::from_mins(1);
        if !is_root() {
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let exchange = Exchange::new(root.path());
        let meant = place(&exchange.given);
        let begun = Instant::now();
        let astray =
            exchange.harms(&|| careless(&exchange.given), &|_, _| begun.elapsed() > PATIENCE);
        assert!(astray, "the control: a careless program is led astray");
        let careful = || drop(hand_back(OWNER, std::slice::from_ref(&meant)));
        let harmed = exchange
            .harms(&careful, &|rounds, exchanges| rounds >= ROUNDS && exchanges >= 10 * ROUNDS);
        assert!(!harmed, "what is outside is nobody else's");
    }
}
