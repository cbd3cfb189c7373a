//! What is known of a store's files from one opening to the next: which objects may not have
//! reached the disk, and whether it was looked through since the machine last started.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gix::ObjectId;

use super::rules::UserRules;
use crate::model::id::EnvironmentId;

/// Above this many new objects one `syncfs` costs less than an `fsync` for each.
const SYNC_EACH_LIMIT: usize = 64;

/// Shared by all who open one store. What is new knows nothing of what earlier servers left.
#[derive(Default)]
pub struct Upkeep {
    pub(super) unsynced: Pending,
    /// Held by whoever brings objects to the disk: what it took out of the set counts as kept only
    /// when it is done.
    syncing: Mutex<()>,
    pub(super) look: Mutex<Look>,
    /// The user's rules as last read, for the time in which the user's repository is away.
    pub(super) rules: Mutex<Option<UserRules>>,
    damage: Mutex<Vec<Damage>>,
}

/// What was found broken, in words for who owns the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub environment: EnvironmentId,
    pub message: String,
}

/// When a store is looked through for what a power cut left broken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Look {
    /// If the machine was started since the last time.
    #[default]
    IfRestarted,
    /// Something could not be read.
    InAnyCase,
    Done,
}

impl Upkeep {
    /// Has the next opening look through the store: something could not be read.
    pub fn doubt(&self) {
        *lock(&self.look) = Look::InAnyCase;
    }

    /// What was found broken since this was last asked.
    pub fn take_damage(&self) -> Vec<Damage> {
        std::mem::take(&mut lock(&self.damage))
    }

    pub(super) fn found(&self, damage: impl IntoIterator<Item = Damage>) {
        lock(&self.damage).extend(damage);
    }

    /// Makes every object of the store survive a power loss.
    pub(super) fn sync(&self, objects: &gix::odb::loose::Store) -> anyhow::Result<()> {
        let _alone = lock(&self.syncing);
        self.unsynced.sync(objects)
    }
}

/// Objects that are not known to have reached the disk.
pub(super) struct Pending(Mutex<Unsynced>);

enum Unsynced {
    These(BTreeSet<ObjectId>),
    /// Too many to name, or some that nobody knows.
    Many,
}

impl Default for Pending {
    fn default() -> Self {
        Self(Mutex::new(Unsynced::Many))
    }
}

impl Pending {
    pub(super) fn none() -> Self {
        Self(Mutex::new(Unsynced::These(BTreeSet::new())))
    }

    /// Nothing was written before this moment.
    pub(super) fn clear(&self) {
        *lock(&self.0) = Unsynced::These(BTreeSet::new());
    }

    pub(super) fn add(&self, id: ObjectId) {
        let mut unsynced = lock(&self.0);
        if let Unsynced::These(ids) = &mut *unsynced {
            ids.insert(id);
            if ids.len() > SYNC_EACH_LIMIT {
                *unsynced = Unsynced::Many;
            }
        }
    }

    /// Brings them to the disk; what is added meanwhile is left for the next time.
    pub(super) fn sync(&self, objects: &gix::odb::loose::Store) -> anyhow::Result<()> {
        let taken = std::mem::replace(&mut *lock(&self.0), Unsynced::These(BTreeSet::new()));
        let synced = match &taken {
            Unsynced::These(ids) => sync_each(ids, objects),
            Unsynced::Many => sync_all(objects.path()),
        };
        if synced.is_err() {
            match taken {
                Unsynced::These(ids) => ids.into_iter().for_each(|id| self.add(id)),
                Unsynced::Many => *lock(&self.0) = Unsynced::Many,
            }
        }
        synced
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> Option<BTreeSet<ObjectId>> {
        match &*lock(&self.0) {
            Unsynced::These(ids) => Some(ids.clone()),
            Unsynced::Many => None,
        }
    }
}

fn sync_all(objects: &Path) -> anyhow::Result<()> {
    Ok(rustix::fs::syncfs(File::open(objects)?.as_fd())?)
}

fn sync_each(ids: &BTreeSet<ObjectId>, objects: &gix::odb::loose::Store) -> anyhow::Result<()> {
    let mut directories = BTreeSet::new();
    for id in ids {
        let path = objects.object_path(id);
        match File::open(&path) {
            // It was packed meanwhile, and packs are on the disk before they count.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            file => file?.sync_all()?,
        }
        directories.extend(path.parent().map(Path::to_owned));
    }
    if !directories.is_empty() {
        // The directory of an object may be as new as the object.
        directories.insert(objects.path().to_owned());
    }
    for directory in directories {
        match File::open(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            directory => directory?.sync_all()?,
        }
    }
    Ok(())
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
