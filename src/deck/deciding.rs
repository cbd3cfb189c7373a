//! One decision at a time in a repository, and none before what an earlier one left half done has
//! ended: a start, a client and an undo all come through here.
//!
//! A repository is known by the git directory that its worktrees share. Its journal and its lock
//! are those of all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::shared::{Shared, blocking};
use super::state::Record;
use super::taking::journal_directory;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, RepositoryId};
use crate::proto::Target;
use crate::repo::UserRepository;
use crate::repo::taking::{self, Journal};
use crate::store::Layout;

/// Who may decide now, in each repository.
pub(super) struct Deciding {
    layout: Layout,
    locks: Mutex<HashMap<RepositoryId, Arc<Mutex<()>>>>,
}

impl Deciding {
    pub fn new(layout: Layout) -> Self {
        Self { layout, locks: Mutex::default() }
    }

    /// Held by whoever writes to the journal of a repository.
    pub fn lock(&self, repository: &RepositoryId) -> Arc<Mutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        locks.entry(repository.clone()).or_default().clone()
    }

    /// Does work while nobody else decides in a repository and nothing there is half done. Blocking.
    pub fn alone<T>(
        &self,
        repository: &RepositoryId,
        work: impl FnOnce(&Journal) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let lock = self.lock(repository);
        let _held = lock.lock().unwrap_or_else(PoisonError::into_inner);
        let journal = Journal::open(&journal_directory(&self.layout.repository(repository)))?;
        let workspace = |id: &EnvironmentId| self.layout.environment(id).workspace();
        taking::recover(repository, &journal, &workspace)?;
        work(&journal)
    }
}

/// Finishes or rolls back what was cut short in a repository.
pub(super) async fn settle(shared: &Arc<Shared>, repository: &RepositoryId) -> Result<(), Failure> {
    let (shared, repository) = (shared.clone(), repository.clone());
    blocking(move || shared.deciding.alone(&repository, |_| Ok(()))).await
}

/// The environment that something is to be decided about, once nothing in its repository is half
/// done: what is there now, its own files too, is then what a snapshot may take.
pub(super) async fn settled(shared: &Arc<Shared>, target: Target) -> Result<Record, Failure> {
    let record = shared.resolve(target).await?;
    settle(shared, &record.repository_id).await?;
    Ok(record)
}

/// The same for what is about to be taken into the user's repository, which has to be there.
pub(super) async fn takeable(shared: &Arc<Shared>, target: Target) -> Result<Record, Failure> {
    let record = settled(shared, target).await?;
    blocking(move || repository_of(&record).map(|_| record)).await
}

/// The repository of an environment, unless another one lies there now: its journal and its lock
/// are not those of the environment's.
pub(super) fn repository_of(record: &Record) -> Result<UserRepository, Failure> {
    let path = &record.environment.repository;
    let user = UserRepository::discover(path).map_err(|failure| {
        if failure.kind != FailureKind::NotFound {
            return failure;
        }
        let message = format!("the repository of {} is away: {failure}", record.environment.name);
        Failure::new(FailureKind::NotFound, message)
            .hint(format!("mount it, or bring it back to where it was: {}", path.display()))
    })?;
    if *user.id() == record.repository_id {
        return Ok(user);
    }
    let name = &record.environment.name;
    let message = format!("{} is not the repository {name} was made in", path.display());
    Err(Failure::new(FailureKind::NotFound, message).hint("bring that one back to where it was"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::taking::tests::CutShort;

    /// A deck's view of a repository in which an apply was cut short.
    fn cut_short(steps: i32) -> (CutShort, Deciding) {
        let home = |outside: &std::path::Path| Layout::new(&outside.join("home"));
        let journal = |outside: &std::path::Path, id: &RepositoryId| {
            journal_directory(&home(outside).repository(id))
        };
        let case = CutShort::after(steps, journal);
        let deciding = Deciding::new(home(case.outside()));
        (case, deciding)
    }

    #[test]
    fn whoever_comes_first_after_a_kill_ends_what_it_left_before_anything_else() {
        for steps in 1..6 {
            let (case, deciding) = cut_short(steps);
            // A start that recovers, and a client that asks at once.
            std::thread::scope(|scope| {
                let start = scope.spawn(|| deciding.alone(case.repository(), |_| Ok(())));
                let asked = scope
                    .spawn(|| deciding.alone(case.repository(), |journal| case.apply(journal)));
                start.join().expect("no panic").expect("recovered");
                asked.join().expect("no panic").expect("applied");
            });
            assert_eq!(case.status(), " M c\n?? d", "cut short after {steps}");
            let workspace = |_: &EnvironmentId| case.outside().join("workspace");
            deciding
                .alone(case.repository(), |it| taking::undo(case.repository(), it, &workspace))
                .expect("undone");
            assert!(case.is_as_before(), "cut short after {steps}");
        }
    }

    #[test]
    fn nobody_decides_while_another_does() {
        let (case, deciding) = cut_short(4);
        let inside = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    deciding.alone(case.repository(), |journal| {
                        assert!(!inside.swap(true, std::sync::atomic::Ordering::SeqCst));
                        std::thread::yield_now();
                        let standing = taking::standing(journal)?;
                        inside.store(false, std::sync::atomic::Ordering::SeqCst);
                        Ok(standing)
                    })
                });
            }
        });
        assert!(case.is_as_before());
    }
}
