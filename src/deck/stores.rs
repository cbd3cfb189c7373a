//! The stores of snapshots while a server runs: opened for each piece of work, with what is known of
//! each from one opening to the next. A store is ours, and is there when the user's repository is
//! away, cannot be read or has nothing checked out.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Message;
use super::shared::{Shared, blocking};
use super::state::{Record, Report};
use crate::config::file;
use crate::model::failure::Failure;
use crate::model::id::RepositoryId;
use crate::model::snapshot::FileCaps;
use crate::repo::{self, Store, Upkeep, UserRepository};

#[derive(Default)]
pub(super) struct Stores {
    upkeep: Mutex<HashMap<RepositoryId, Arc<Upkeep>>>,
    packing: Packing,
    /// How large files may be, as the user's file said last.
    caps: Mutex<FileCaps>,
}

impl Stores {
    fn upkeep(&self, repository: &RepositoryId) -> Arc<Upkeep> {
        lock(&self.upkeep).entry(repository.clone()).or_default().clone()
    }

    pub fn packing(&self) -> &Packing {
        &self.packing
    }
}

/// Which stores are worked on in the background, one piece of work at a time on each.
#[derive(Clone, Default)]
pub(super) struct Packing(Arc<Mutex<PackingStates>>);

#[derive(Default)]
struct PackingStates {
    claimed: HashSet<RepositoryId>,
    /// Stores that could not be packed: there is no use in trying again.
    failed: HashSet<RepositoryId>,
}

/// The right to work on a store, which ends with it, however the work ends.
pub(super) struct PackingClaim {
    packing: Packing,
    repository: RepositoryId,
}

impl Packing {
    /// Claims a store, unless it is worked on.
    pub fn claim(&self, repository: &RepositoryId) -> Option<PackingClaim> {
        let is_free = lock(&self.0).claimed.insert(repository.clone());
        is_free.then(|| PackingClaim { packing: self.clone(), repository: repository.clone() })
    }

    pub fn has_failed(&self, repository: &RepositoryId) -> bool {
        lock(&self.0).failed.contains(repository)
    }

    pub fn fail(&self, repository: &RepositoryId) {
        lock(&self.0).failed.insert(repository.clone());
    }

    pub fn succeed(&self, repository: &RepositoryId) {
        lock(&self.0).failed.remove(repository);
    }
}

impl Drop for PackingClaim {
    fn drop(&mut self) {
        lock(&self.packing.0).claimed.remove(&self.repository);
    }
}

impl Shared {
    /// Opens the store of a repository of the user. Blocking.
    pub fn store_of(&self, user: &UserRepository) -> Result<Store, Failure> {
        self.open(user.id(), Some(user))
    }

    /// Opens the store that has an environment's snapshots, and the user's repository where it is
    /// to be had. Blocking.
    pub fn store(&self, record: &Record) -> Result<(Store, Option<UserRepository>), Failure> {
        let path = &record.environment.repository;
        let user = UserRepository::discover(path)
            .inspect_err(|failure| tracing::debug!("{}: {failure}", path.display()))
            .ok()
            .filter(|user| *user.id() == record.repository_id);
        Ok((self.open(&record.repository_id, user.as_ref())?, user))
    }

    fn open(&self, id: &RepositoryId, user: Option<&UserRepository>) -> Result<Store, Failure> {
        let upkeep = self.stores.upkeep(id);
        let store = Store::open_with(&self.layout.repository(id), user, upkeep.clone());
        for damage in upkeep.take_damage() {
            tracing::warn!(environment = %damage.environment, "{}", damage.message);
            let report = Report::Note(damage.message);
            let message = Message::Report { environment: damage.environment, report };
            // The loop ends only when the server does; then nobody is left to tell.
            let _ = self.messages.blocking_send(message);
        }
        Ok(store?.with_caps(self.caps()))
    }

    /// How large files in snapshots may be by the user's file, now: it is small. While it cannot be
    /// read, which whoever makes an environment is told, what it said last holds.
    fn caps(&self) -> FileCaps {
        let mut caps = lock(&self.stores.caps);
        match file::read(self.layout.home()) {
            Ok(settings) => *caps = settings.snapshots,
            Err(failure) => tracing::debug!("{failure}"),
        }
        *caps
    }
}

/// Pins an environment's base in the user's repository where that is no longer done: whoever
/// rewrites the history there rewrites our ref as well.
pub(super) async fn pin_again(shared: &Arc<Shared>, record: &Record) {
    let (task, pinned) = (shared.clone(), record.clone());
    let pinned = blocking(move || {
        let (store, user) = task.store(&pinned)?;
        // Where it is away, so is whoever would prune it.
        let Some(user) = user else { return Ok(()) };
        repo::workspace::pin_again(&user, &store, &pinned.environment.id)
    });
    if let Err(failure) = pinned.await {
        let note = format!("its base is not kept from being pruned: {failure}");
        shared.report(&record.environment.id, Report::Note(note)).await;
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_not_packed_can_still_be_made_whole() {
        let (packing, shop) = (Packing::default(), RepositoryId("shop".to_owned()));
        let claim = packing.claim(&shop).expect("free");
        assert!(packing.claim(&shop).is_none(), "one at a time");
        packing.fail(&shop);
        drop(claim);
        assert!(packing.has_failed(&shop) && packing.claim(&shop).is_some());
    }

    #[test]
    fn work_that_panics_gives_the_store_back() {
        let (packing, shop) = (Packing::default(), RepositoryId("shop".to_owned()));
        let (task, claimed) = (packing.clone(), shop.clone());
        let work = std::thread::spawn(move || {
            let _claim = task.claim(&claimed).expect("free");
            panic!("as work may");
        });
        work.join().expect_err("it panicked");
        assert!(packing.claim(&shop).is_some());
    }
}
