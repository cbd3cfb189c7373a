//! Git's own lock of the index, so that no git command of the user works beside us.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use super::journal::{sync_directory, write_durably};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::DecisionId;

/// The index of the user's working tree and its lock.
pub(super) struct IndexLock {
    index: PathBuf,
    lock: PathBuf,
    /// What the lock holds while it is ours; by this it is known again after a kill.
    mark: Vec<u8>,
}

impl IndexLock {
    pub(super) fn new(index: PathBuf, journal: &Path, id: DecisionId) -> Self {
        let lock = beside(&index, "lock");
        let mark = format!("agentdeck: decision {id} of {}\n", journal.display()).into_bytes();
        Self { index, lock, mark }
    }

    /// Takes the lock, or names it when somebody holds it. It appears with its content, so that a
    /// lock of ours is never taken for another's.
    pub(super) fn take(&self) -> Result<(), Failure> {
        let temporary = beside(&self.index, "agentdeck-lock");
        write_durably(&temporary, &self.mark)?;
        let made =
            rustix::fs::renameat_with(CWD, &temporary, CWD, &self.lock, RenameFlags::NOREPLACE);
        if made.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        match made {
            Ok(()) => Ok(()),
            Err(Errno::EXIST) => Err(Failure::new(
                FailureKind::Unavailable,
                format!("git is at work: {} exists", self.lock.display()),
            )
            .hint("try again when it is done; if no git runs, remove that file")),
            Err(error) => Err(Failure::new(
                FailureKind::Unavailable,
                format!("cannot lock {}: {error}", self.index.display()),
            )),
        }
    }

    /// Whether the lock exists and is ours.
    pub(super) fn is_ours(&self) -> bool {
        fs::read(&self.lock).is_ok_and(|content| content == self.mark)
    }

    /// Gives the lock back, if it is ours, and removes what a kill left beside it.
    pub(super) fn release(&self) -> Result<(), Failure> {
        for name in ["agentdeck-lock", "agentdeck-new"] {
            let _ = fs::remove_file(beside(&self.index, name));
        }
        if self.is_ours() {
            fs::remove_file(&self.lock).context("cannot give the lock of the index back")?;
        }
        Ok(())
    }

    /// The bytes of the index; none when there is no index.
    pub(super) fn read(&self) -> Result<Vec<u8>, Failure> {
        match fs::read(&self.index) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => Ok(other.with_context(|| format!("cannot read {}", self.index.display()))?),
        }
    }

    pub(super) fn index(&self) -> &Path {
        &self.index
    }

    /// Puts an index in place, whole, with the permissions of the one before.
    pub(super) fn install(&self, bytes: &[u8]) -> Result<(), Failure> {
        let temporary = beside(&self.index, "agentdeck-new");
        write_durably(&temporary, bytes)?;
        let install = || -> std::io::Result<()> {
            if let Ok(before) = fs::metadata(&self.index) {
                fs::set_permissions(&temporary, before.permissions())?;
            }
            fs::rename(&temporary, &self.index)?;
            sync_directory(self.index.parent().expect("an index lies in a git directory"))
        };
        Ok(install().with_context(|| format!("cannot write {}", self.index.display()))?)
    }
}

fn beside(index: &Path, extension: &str) -> PathBuf {
    let mut name = index.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    PathBuf::from(name)
}
