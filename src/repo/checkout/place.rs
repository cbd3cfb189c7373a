//! One name in one directory: what stands there gives way only if it is what was looked at before.
//!
//! Looking first and writing then would lose what a person saves in between. So what stands at the
//! name is set aside in the same step that puts the new file there, looked at where nobody else
//! looks for it, and put back if it is not what was expected. Of two files that others put there
//! meanwhile the later one stays, as without us.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, RenameFlags};
use rustix::io::Errno;

use super::{Found, find_at, remove_empty};

/// What may stand at a path that is changed.
pub(in crate::repo) enum Expected<'a> {
    /// Nobody else is at work there.
    Anything,
    /// Nothing, or an empty directory.
    Nothing,
    /// A file or link of which this is true.
    Known(Box<dyn Fn(&Found) -> bool + 'a>),
}

/// What came of changing a path.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::repo) enum Outcome {
    Done,
    /// Something else stood there, and stands there still.
    Kept,
}

/// Whether the file system can exchange two names in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exchange {
    Possible,
    Missing,
}

/// How often a name may change while something is put back before we give up.
const PATIENCE: u32 = 64;

/// A name in an open directory, and two of ours beside it.
pub(super) struct Place<'a> {
    pub(super) parent: OwnedFd,
    pub(super) name: &'a [u8],
    /// Under this name a file is written until it is whole. Only we know it.
    pub(super) temporary: &'a str,
    /// Under this one what stood at the name is looked at.
    pub(super) aside: String,
    /// Bytes of a file beyond which it is not read.
    pub(super) limit: u64,
    pub(super) exchange: Exchange,
}

impl Place<'_> {
    /// Puts the whole file that has the temporary name in the place.
    pub(super) fn put(&self, expected: &Expected<'_>) -> Result<Outcome, Errno> {
        let put = match expected {
            Expected::Anything => {
                remove_empty(&self.parent, self.name)?;
                rustix::fs::renameat(&self.parent, self.temporary, &self.parent, self.name)?;
                Outcome::Done
            }
            Expected::Nothing => {
                remove_empty(&self.parent, self.name)?;
                self.rename_to_free(self.temporary.as_bytes(), self.name)?
            }
            Expected::Known(is) => self.replace(is)?,
        };
        if put == Outcome::Kept {
            self.unlink(self.temporary.as_bytes())?;
        }
        Ok(put)
    }

    /// Removes what stands in the place.
    pub(super) fn clear(&self, expected: &Expected<'_>) -> Result<Outcome, Errno> {
        let is = match expected {
            Expected::Known(is) => is,
            Expected::Nothing => return Ok(Outcome::Done),
            Expected::Anything => {
                rustix::fs::unlinkat(&self.parent, self.name, AtFlags::empty())?;
                return Ok(Outcome::Done);
            }
        };
        self.set_aside()?;
        let seen = self.look(self.aside());
        if seen.as_ref().is_ok_and(is) {
            self.unlink(self.aside())?;
            return Ok(Outcome::Done);
        }
        self.bring_back()?;
        seen.map(|_| Outcome::Kept)
    }

    /// Ends what a kill cut short: what is half written goes, and what was set aside goes back
    /// unless it is known. Where neither may go, it stays beside the place.
    pub(super) fn tidy(&self, is_known: &dyn Fn(&Found) -> bool) -> Result<Outcome, Errno> {
        self.unlink(self.temporary.as_bytes())?;
        let aside = self.look(self.aside())?;
        if aside == Found::Absent {
            return Ok(Outcome::Done);
        }
        let there = self.look(self.name)?;
        if there == Found::Absent {
            return self.rename_to_free(self.aside(), self.name);
        }
        if is_known(&aside) {
            self.unlink(self.aside())?;
            return Ok(Outcome::Done);
        }
        if !is_known(&there) {
            return Ok(Outcome::Kept);
        }
        let temporary = self.temporary.as_bytes();
        rustix::fs::renameat(&self.parent, self.name, &self.parent, temporary)?;
        if !is_known(&self.look(temporary)?) {
            let _ = self.rename_to_free(temporary, self.name)?;
            return Ok(Outcome::Kept);
        }
        self.bring_back()?;
        self.unlink(temporary)?;
        Ok(Outcome::Done)
    }

    fn replace(&self, is: &dyn Fn(&Found) -> bool) -> Result<Outcome, Errno> {
        if self.exchange == Exchange::Missing {
            return self.replace_in_two(is);
        }
        // Whole, it is told by this name from what a kill left half written.
        let temporary = self.temporary.as_bytes();
        self.rename_ours(temporary, self.aside())?;
        let ours = Pinned::open(&self.parent, self.aside())?;
        match self.swap() {
            Ok(()) => {}
            Err(Errno::NOENT) => {
                // Who removed it is answered like who changed it.
                self.unlink(self.aside())?;
                return Ok(Outcome::Kept);
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                self.rename_ours(self.aside(), temporary)?;
                return self.replace_in_two(is);
            }
            Err(error) => {
                self.unlink(self.aside())?;
                return Err(error);
            }
        }
        let seen = self.look(self.aside());
        if seen.as_ref().is_ok_and(is) {
            self.unlink(self.aside())?;
            return Ok(Outcome::Done);
        }
        self.swap_back(ours)?;
        seen.map(|_| Outcome::Kept)
    }

    /// Swaps until what comes out is what was put in, so that the newest stays.
    fn swap_back(&self, mut put: Pinned) -> Result<(), Errno> {
        for _ in 0..PATIENCE {
            let newer = Pinned::open(&self.parent, self.aside())?;
            match self.swap() {
                Ok(()) => {}
                Err(Errno::NOENT) => return self.bring_back(),
                Err(error) => return Err(error),
            }
            let out = Pinned::open(&self.parent, self.aside())?;
            if out.is(&put) {
                return self.unlink(self.aside());
            }
            put = newer;
        }
        Err(Errno::BUSY)
    }

    /// For file systems that cannot exchange two names: for a moment nothing stands in the place.
    fn replace_in_two(&self, is: &dyn Fn(&Found) -> bool) -> Result<Outcome, Errno> {
        match self.set_aside() {
            Ok(()) => {}
            Err(Errno::NOENT) => return Ok(Outcome::Kept),
            Err(error) => return Err(error),
        }
        let seen = self.look(self.aside());
        if !seen.as_ref().is_ok_and(is) {
            self.bring_back()?;
            return seen.map(|_| Outcome::Kept);
        }
        let put = self.rename_to_free(self.temporary.as_bytes(), self.name)?;
        self.unlink(self.aside())?;
        Ok(put)
    }

    /// By a plain rename where there is no better one: the name beside is only ours, and a second
    /// name for a file could be one for what another puts there meanwhile.
    fn set_aside(&self) -> Result<(), Errno> {
        if self.look_kind(self.aside())?.is_some() {
            return Err(Errno::EXIST);
        }
        rustix::fs::renameat(&self.parent, self.name, &self.parent, self.aside())
    }

    /// Puts back what was set aside, unless something newer came in its place.
    fn bring_back(&self) -> Result<(), Errno> {
        match self.rename_to_free(self.aside(), self.name)? {
            Outcome::Done => Ok(()),
            Outcome::Kept => self.unlink(self.aside()),
        }
    }

    /// From one name of ours to another; nobody but us makes these.
    fn rename_ours(&self, from: &[u8], to: &[u8]) -> Result<(), Errno> {
        match self.rename_to_free(from, to)? {
            Outcome::Done => Ok(()),
            Outcome::Kept => Err(Errno::EXIST),
        }
    }

    /// Renames, unless something stands at the new name.
    fn rename_to_free(&self, from: &[u8], to: &[u8]) -> Result<Outcome, Errno> {
        let parent = &self.parent;
        match rustix::fs::renameat_with(parent, from, parent, to, RenameFlags::NOREPLACE) {
            Ok(()) => return Ok(Outcome::Done),
            Err(Errno::EXIST) => return Ok(Outcome::Kept),
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
        match rustix::fs::linkat(parent, from, parent, to, AtFlags::empty()) {
            Ok(()) => {
                self.unlink(from)?;
                return Ok(Outcome::Done);
            }
            Err(Errno::EXIST) => return Ok(Outcome::Kept),
            // A directory, or a file system without a second name for a file.
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
            Err(error) => return Err(error),
        }
        if self.look_kind(to)?.is_some() {
            return Ok(Outcome::Kept);
        }
        rustix::fs::renameat(parent, from, parent, to)?;
        Ok(Outcome::Done)
    }

    fn swap(&self) -> Result<(), Errno> {
        let flags = RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(&self.parent, self.aside(), &self.parent, self.name, flags)
    }

    fn aside(&self) -> &[u8] {
        self.aside.as_bytes()
    }

    fn look(&self, name: &[u8]) -> Result<Found, Errno> {
        match find_at(&self.parent, name, self.limit) {
            Err(Errno::NOENT) => Ok(Found::Absent),
            other => other,
        }
    }

    fn look_kind(&self, name: &[u8]) -> Result<Option<FileType>, Errno> {
        match rustix::fs::statat(&self.parent, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode as RawMode))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn unlink(&self, name: &[u8]) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&self.parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A file that is held, so that its number is not given to another.
struct Pinned {
    _held: OwnedFd,
    device: u64,
    number: u64,
}

impl Pinned {
    fn open(parent: &OwnedFd, name: &[u8]) -> Result<Self, Errno> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = rustix::fs::openat(parent, name, flags, Mode::empty())?;
        let stat = rustix::fs::fstat(&held)?;
        Ok(Self { _held: held, device: stat.st_dev, number: stat.st_ino })
    }

    fn is(&self, other: &Self) -> bool {
        (self.device, self.number) == (other.device, other.number)
    }
}
