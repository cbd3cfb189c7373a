//! Putting an environment's work into the user's repository, and taking it back out.
//!
//! Apply and merge are all or nothing. What they would change is found first, in memory; then a
//! journal entry with every byte that is needed to go back reaches the disk; only then the working
//! tree, the branch and the index change, in this order, under git's own lock of the index. After a
//! kill at any point [`recover`] leaves all of it as it was or as it should be.
//!
//! A path is written only if the user has no uncommitted work on it: its content is the one of the
//! user's `HEAD`, or what an earlier apply from the same environment left there, or already the one
//! wanted. Everything else in the working tree, and every other entry of the index, stays. An apply
//! touches neither index nor branch. No hook, filter or merge driver is ever run. Nothing is taken
//! while git itself has something under way there.
//!
//! A repository has one journal, whatever the number of its worktrees, and in it one decision at a
//! time: nothing begins while something is under way. What was cut short is ended first, by
//! [`recover`], in the working tree where it was begun.
//!
//! A restore is carried out in the same way, in an environment's workspace, and stands in the same
//! list of what can be undone.

mod apply;
mod earlier;
pub mod hooks;
mod in_progress;
mod index;
mod journal;
mod judged;
mod large;
mod lock;
mod merge;
mod objects;
mod perform;
mod plan;
mod portion;
mod rebase;
pub(super) mod record;
mod recover;
mod restore;
mod sound;
mod sparse;
mod undo;

pub use apply::apply;
pub use journal::Journal;
pub use merge::{Merging, merge, offer};
pub use portion::{mark, mark_hunks};
pub use recover::recover;
pub use restore::restore;
pub use undo::{Undone, undo, undo_discard};

use std::path::Path;

use crate::model::decision::{Decision, DecisionKind, MergeStyle, Portion};
use crate::model::failure::Failure;
use crate::model::id::{CommitId, DecisionId, EnvironmentId, EnvironmentName, Timestamp};
use crate::model::snapshot::Skipped;

use super::checkout::WorkingTree;
use super::forms::Forms;
use super::object;
use super::store::Store;
use super::stored::Storing;
use super::user::UserRepository;
use earlier::{Earlier, Users};

/// What to take from an environment; what base and head are to a restore, it says itself.
#[derive(Clone, Debug)]
pub struct TakeRequest {
    /// Higher than every earlier decision of the repository.
    pub id: DecisionId,
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    /// The user's commit the environment started from.
    pub base: CommitId,
    /// The snapshot to take.
    pub head: CommitId,
    pub at: Timestamp,
    /// How much of it; only an apply takes less than all.
    pub portion: Portion,
    /// What of that the snapshot lacks.
    pub left_out: Vec<Skipped>,
}

impl TakeRequest {
    /// How git would store what is taken.
    fn storing<'a>(
        &self,
        store: &'a Store,
        objects: &'a gix::Repository,
    ) -> Result<Storing<'a>, Failure> {
        Storing::new(store, objects, &self.environment, &self.base)
    }

    fn decision(&self, kind: DecisionKind, user: &UserRepository) -> Decision {
        self.decision_in(kind, user.root())
    }

    fn decision_in(&self, kind: DecisionKind, repository: &Path) -> Decision {
        Decision {
            id: self.id,
            kind,
            environment: self.environment.clone(),
            name: self.name.clone(),
            repository: repository.to_owned(),
            at: self.at,
            snapshot: Some(self.head.clone()),
            commit: None,
            paths: Vec::new(),
            undone: false,
            portion: self.portion.clone(),
            style: MergeStyle::Commit,
            hooks: Vec::new(),
            left_out: self.left_out.clone(),
            as_of: None,
        }
    }
}

/// Records that an environment of the working tree `repository` was thrown away; the caller moves
/// its files. `request.head` is its last snapshot. Nothing of the user's is needed or looked at.
pub fn record_discard(
    repository: &Path,
    journal: &Journal,
    request: &TakeRequest,
) -> Result<Decision, Failure> {
    let decision = request.decision_in(DecisionKind::Discard, repository);
    journal.check_next(decision.id)?;
    journal.append_made(&decision)?;
    Ok(decision)
}

/// A discard that was not taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discard {
    pub decision: Decision,
    /// Its environment is gone for good, or going.
    pub dropped: bool,
}

/// The discards of the repository that hold, oldest first.
pub fn discards(journal: &Journal) -> Result<Vec<Discard>, Failure> {
    let dropped = journal.dropped()?;
    let holds = |decision: &Decision| decision.kind == DecisionKind::Discard && !decision.undone;
    let discards = journal.decisions()?.into_iter().filter(holds);
    let discards = discards.map(|it| Discard { dropped: dropped.contains(&it.id), decision: it });
    Ok(discards.collect())
}

/// Records that nothing brings back what a discard threw away; the caller removes it.
pub fn record_drop(journal: &Journal, discard: DecisionId) -> Result<(), Failure> {
    if journal.dropped()?.contains(&discard) {
        return Ok(());
    }
    journal.append_dropped(discard)
}

/// What an environment's work is a change of with all that the user has taken from it, as a commit or
/// a tree of the store; `None` when nothing was that `base` does not hold.
pub fn taken(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    environment: &EnvironmentId,
    base: &CommitId,
) -> Result<Option<CommitId>, Failure> {
    let (head, _) = user.head()?;
    Ok(Earlier::carrying(store, journal, environment, (base, &head))?.taken)
}

/// What a merge compares an environment's work with where the branch goes on from `base`: that with
/// all of the work that the branch has already, as a tree of the store; `None` when it has none.
pub fn held(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    environment: &EnvironmentId,
    base: &CommitId,
) -> Result<Option<CommitId>, Failure> {
    let (head, _) = user.head()?;
    let earlier = Earlier::carrying(store, journal, environment, (base, &head))?;
    if earlier.taken.is_none() {
        return Ok(None);
    }
    let (repository, objects) = (user.reader(), store.reader().with_object_memory());
    let head = object::tree_of(&objects, &head)?;
    let storing = Storing::new(store, &objects, environment, base)?.onto(head);
    let mut forms = Forms::new(user, &repository, head)?;
    let tree = WorkingTree::open(user.root())?;
    let mut users = Users { storing: &storing, forms: &mut forms, tree: &tree, head };
    let held = earlier.committed(&mut users, storing.origin())?;
    Ok((held != storing.origin()).then(|| object::name(held)))
}

/// The decisions that an undo would take back, oldest first.
pub fn standing(journal: &Journal) -> Result<Vec<Decision>, Failure> {
    undo::standing(journal)
}

/// The number of the next decision.
pub fn next(journal: &Journal) -> Result<DecisionId, Failure> {
    journal.next()
}

/// Every decision of the repository, oldest first.
pub fn decisions(journal: &Journal) -> Result<Vec<Decision>, Failure> {
    journal.decisions()
}

#[cfg(test)]
pub(crate) mod tests;
