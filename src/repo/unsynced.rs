//! What of the stores the disk may not have yet.
//!
//! A store is opened anew for each piece of work, so what one has written another must know: a
//! snapshot stands on objects of those before it. What an earlier server wrote nobody knows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gix::ObjectId;

/// What is due, for each store that was opened.
#[derive(Debug, Default)]
pub struct Unsynced(Mutex<BTreeMap<PathBuf, Arc<Waiting>>>);

impl Unsynced {
    /// What waits in a store. Of one that `was_there` before, everything may.
    pub(super) fn of(&self, store: &Path, was_there: bool) -> Arc<Waiting> {
        let mut stores = lock(&self.0);
        let due = || Due { everything: was_there, objects: BTreeSet::new() };
        let new = || Arc::new(Waiting { due: Mutex::new(due()), turn: Mutex::default() });
        stores.entry(store.to_owned()).or_insert_with(new).clone()
    }
}

/// What of one store waits to be brought to the disk.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    due: Mutex<Due>,
    /// Held by whoever brings it there: another one needs all of that too.
    turn: Mutex<()>,
}

/// What is to be brought to the disk.
#[derive(Debug, Default)]
pub(super) struct Due {
    /// More than is known by name.
    pub(super) everything: bool,
    pub(super) objects: BTreeSet<ObjectId>,
}

impl Waiting {
    /// Takes note of an object, before it is there to be found by others.
    pub(super) fn note(&self, id: ObjectId) {
        lock(&self.due).objects.insert(id);
    }

    /// Has `sync` bring to the disk what is due. Where it fails, all of it stays due.
    pub(super) fn bring(
        &self,
        sync: impl FnOnce(&Due) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let _turn = lock(&self.turn);
        let due = std::mem::take(&mut *lock(&self.due));
        let synced = sync(&due);
        if synced.is_err() {
            let mut later = lock(&self.due);
            later.everything |= due.everything;
            later.objects.extend(due.objects);
        }
        synced
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
