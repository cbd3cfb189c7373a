//! How an environment's newest snapshot stands to its base, and the base to the user's branch.

use anyhow::Context;

use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::snapshot::ChangeCount;

use super::store::Store;
use super::user::UserRepository;
use super::{history, object, snapshot};

/// Lines and files that the newest snapshot changes in the base.
pub fn since_base(store: &Store, environment: &EnvironmentId) -> Result<ChangeCount, Failure> {
    let repository = store.reader();
    let base = object::tree_of(&repository, &history::base(store, environment)?)?;
    let head = object::tree_of(&repository, &history::head(store, environment)?)?;
    snapshot::count(&repository, base, head)
}

/// Commits on the user's branch that the base does not have.
pub fn behind(user: &UserRepository, base: &CommitId) -> Result<u32, Failure> {
    let (head, _) = user.head()?;
    Ok(commits_between(&user.reader(), base, &head)?)
}

/// Commits reachable from `to` but not from `from`.
pub(super) fn commits_between(
    repository: &gix::Repository,
    from: &CommitId,
    to: &CommitId,
) -> anyhow::Result<u32> {
    if from == to {
        return Ok(0);
    }
    let walk = repository
        .rev_walk([object::id(to)])
        .with_hidden([object::id(from)])
        .all()
        .context("cannot walk the history")?;
    let mut commits = 0;
    for commit in walk {
        commit.context("cannot walk the history")?;
        commits += 1;
    }
    Ok(commits)
}
