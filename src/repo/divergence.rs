//! How an environment's newest snapshot stands to its base, and the base to the user's branch.

use std::collections::{BinaryHeap, HashMap, HashSet};

use anyhow::Context;

use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::snapshot::ChangeCount;

use super::diff::Counts;
use super::store::Store;
use super::user::UserRepository;
use super::{history, object, origin, snapshot};

/// Lines and files that the newest snapshot changes in what it stands on.
pub fn since(
    store: &Store,
    environment: &EnvironmentId,
    base: &CommitId,
    counts: &Counts,
) -> Result<ChangeCount, Failure> {
    let repository = store.reader();
    let (_, base) = origin::under(store, &repository, environment, base)?;
    let head = object::tree_of(&repository, &history::head(store, environment)?)?;
    snapshot::count(&repository, base, head, counts)
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
///
/// The newest is looked at first, as git does. Where dates are equal or wrong, a commit is met from
/// `to` before it turns out to be `from`'s as well: then it and what it came from are taken back.
pub(super) fn commits_between(
    repository: &gix::Repository,
    from: &CommitId,
    to: &CommitId,
) -> anyhow::Result<u32> {
    if from == to {
        return Ok(0);
    }
    let shallow = repository.shallow_commits().context("cannot read where the history ends")?;
    let mut walk = Walk::default();
    walk.meet(repository, object::id(from), true)?;
    walk.meet(repository, object::id(to), false)?;
    while let Some((_, id)) = walk.next() {
        let cut = shallow.as_ref().is_some_and(|ends| ends.iter().any(|end| *end == id));
        if cut {
            continue;
        }
        let hidden = walk.hidden[&id];
        let commit = repository.find_commit(id).context("cannot walk the history")?;
        for parent in commit.parent_ids() {
            walk.meet(repository, parent.detach(), hidden)?;
        }
    }
    let count = walk.hidden.values().filter(|hidden| !**hidden).count();
    u32::try_from(count).context("too many commits to count")
}

/// A walk from two commits at once.
#[derive(Default)]
struct Walk {
    /// Every commit met, and whether it is one of those not counted.
    hidden: HashMap<gix::ObjectId, bool>,
    /// What is still to be followed, by its date in seconds.
    ahead: BinaryHeap<(i64, gix::ObjectId)>,
    /// Those ahead that count as yet.
    open: HashSet<gix::ObjectId>,
    /// The date of the oldest commit that ever counted.
    oldest: Option<i64>,
}

impl Walk {
    fn meet(
        &mut self,
        repository: &gix::Repository,
        id: gix::ObjectId,
        hidden: bool,
    ) -> anyhow::Result<()> {
        let known = self.hidden.get(&id).copied();
        if known.is_some_and(|known| known || !hidden) {
            return Ok(());
        }
        let commit = repository.find_commit(id).context("cannot walk the history")?;
        let date = commit.time().context("cannot read a commit's date")?.seconds;
        self.hidden.insert(id, hidden);
        if hidden {
            self.open.remove(&id);
        } else {
            self.open.insert(id);
            self.oldest = Some(self.oldest.map_or(date, |oldest| oldest.min(date)));
        }
        self.ahead.push((date, id));
        Ok(())
    }

    /// The next to follow, until nothing ahead can change what counts.
    fn next(&mut self) -> Option<(i64, gix::ObjectId)> {
        let (newest, _) = self.ahead.peek()?;
        if self.open.is_empty() && self.oldest.is_none_or(|oldest| *newest < oldest) {
            return None;
        }
        let next = self.ahead.pop()?;
        self.open.remove(&next.1);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::repo::oracle::{Oracle, files};

    proptest! {
        #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

        #[test]
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
