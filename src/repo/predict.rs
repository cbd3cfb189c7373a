//! Which environments fit together, found by really merging their trees in memory.
//!
//! What was found once holds as long as the trees are the same, so that after a snapshot only the
//! pairs of that environment are merged. Two sides that touch no file in common, move none, and
//! have no directory where the other has a file, fit without being merged.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gix::ObjectId;

use super::diff::{self, Renames};
use super::forms::Forms;
use super::merge::{self, Sides};
use super::object;
use super::older;
use super::store::Store;
use super::stored::Storing;
use super::user::UserRepository;
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId, EnvironmentName};
use crate::model::path::RepoPath;
use crate::model::prediction::{Fit, NAMED, Prediction, Sibling};

/// One environment to be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contender {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    pub base: CommitId,
    pub head: CommitId,
    /// What a merge compares it with instead of the base, see [`super::taking::held`].
    pub held: Option<CommitId>,
    /// Whether it is compared with its siblings as well.
    pub paired: bool,
}

/// Remembers what was found of trees that were judged before.
#[derive(Default)]
pub struct Predictor {
    fits: HashMap<Trees, Fit>,
    touched: HashMap<(ObjectId, ObjectId), Arc<Touched>>,
    /// Snapshots, each with its base and the branch, whose files git stores as they are.
    plain: HashSet<(EnvironmentId, CommitId, CommitId, ObjectId)>,
}

/// Ancestor and both sides.
type Trees = (ObjectId, ObjectId, ObjectId);

/// What a side did to its ancestor.
struct Touched {
    paths: BTreeSet<RepoPath>,
    /// Whether it both added and deleted, which may be a move.
    moves: bool,
}

/// What one judgement needs of each contender.
struct Side {
    base: ObjectId,
    tree: ObjectId,
}

/// What was found out, if it was: one merge that fails says nothing about others.
fn known<T>(found: Result<T, Failure>, name: &EnvironmentName, with: &str) -> Option<T> {
    found.inspect_err(|failure| tracing::debug!("{name} with {with}: not judged: {failure}")).ok()
}

impl Predictor {
    /// Judges every contender against what the user has checked out, and the paired ones against
    /// each other. In their order. What cannot be judged is told as unknown, and keeps nothing else
    /// from being judged.
    pub fn predict(
        &mut self,
        user: &UserRepository,
        store: &Store,
        contenders: &[Contender],
    ) -> Result<Vec<Prediction>, Failure> {
        let repository = store.reader().with_object_memory();
        let (branch, _) = user.head()?;
        let branch_tree = object::tree_of(&repository, &branch)?;
        let sides = self.sides(store, (&repository, branch_tree), contenders);
        let mut round = Round {
            predictor: self,
            user,
            repository: &repository,
            attributes: branch_tree,
            forms: None,
            used: HashSet::new(),
        };
        let mut predictions = vec![Prediction::default(); contenders.len()];
        for (index, contender) in contenders.iter().enumerate() {
            let Some(side) = &sides[index] else { continue };
            let bases = (&branch, &contender.base);
            let start = started(store, (&repository, branch_tree), contender, side.base);
            let fit = start.and_then(|it| round.judge(bases, it, (branch_tree, side.tree)));
            predictions[index].branch = known(fit, &contender.name, "the branch");
        }
        for one in 0..contenders.len() {
            for other in one + 1..contenders.len() {
                if !(contenders[one].paired && contenders[other].paired) {
                    continue;
                }
                let fit = match (&sides[one], &sides[other]) {
                    (Some(ours), Some(theirs)) => {
                        let bases = (&contenders[one].base, &contenders[other].base);
                        let fit = round.judge(bases, theirs.base, (ours.tree, theirs.tree));
                        known(fit, &contenders[one].name, contenders[other].name.as_str())
                    }
                    _ => None,
                };
                for (place, sibling) in [(one, other), (other, one)] {
                    predictions[place].siblings.push(Sibling {
                        environment: contenders[sibling].environment.clone(),
                        name: contenders[sibling].name.clone(),
                        fit: fit.clone(),
                    });
                }
            }
        }
        round.forget_unused();
        Ok(predictions)
    }
}

impl Predictor {
    /// The trees of each contender, as git would store them on the branch.
    fn sides(
        &mut self,
        store: &Store,
        (repository, branch): (&gix::Repository, ObjectId),
        contenders: &[Contender],
    ) -> Vec<Option<Side>> {
        let mut plain = HashSet::new();
        let mut side = |contender: &Contender| -> Result<Side, Failure> {
            let Contender { environment, base, head, .. } = contender;
            let key = (environment.clone(), base.clone(), head.clone(), branch);
            let taken = older::tree(store, repository, environment, head)?;
            let tree = if self.plain.contains(&key) {
                taken
            } else {
                let storing = Storing::new(store, repository, environment, base)?.onto(branch);
                storing.stored(storing.offered(taken)?)?.tree
            };
            if tree == taken {
                plain.insert(key);
            }
            Ok(Side { base: object::tree_of(repository, base)?, tree })
        };
        let sides = contenders.iter().map(|it| known(side(it), &it.name, "itself")).collect();
        self.plain = plain;
        sides
    }
}

/// One judgement of all.
struct Round<'p, 'r> {
    predictor: &'p mut Predictor,
    user: &'r UserRepository,
    repository: &'r gix::Repository,
    attributes: ObjectId,
    /// Made once something has to be merged.
    forms: Option<Forms<'r>>,
    used: HashSet<Trees>,
}

impl Round<'_, '_> {
    /// The tree that two commits have in common; `tree` where that is the other one.
    fn ancestor(
        &self,
        one: &CommitId,
        other: &CommitId,
        tree: ObjectId,
    ) -> Result<ObjectId, Failure> {
        if one == other {
            return Ok(tree);
        }
        let common = self.repository.merge_base(object::id(one), object::id(other));
        match common {
            Ok(Some(commit)) if commit == object::id(other) => Ok(tree),
            Ok(Some(commit)) => object::tree_of(self.repository, &object::name(commit.detach())),
            // Without a common commit everything was added on both sides.
            _ => Ok(self.repository.empty_tree().id),
        }
    }

    /// How two trees fit that come from two commits; `tree` is what the other one starts from.
    fn judge(
        &mut self,
        (one, other): (&CommitId, &CommitId),
        tree: ObjectId,
        (ours, theirs): (ObjectId, ObjectId),
    ) -> Result<Fit, Failure> {
        let ancestor = self.ancestor(one, other, tree)?;
        self.fit(Sides { ancestor, ours, theirs })
    }

    fn fit(&mut self, sides: Sides) -> Result<Fit, Failure> {
        let Sides { ancestor, ours, theirs } = sides;
        if ours == ancestor || theirs == ancestor {
            return Ok(Fit::default());
        }
        let key = (ancestor, ours, theirs);
        self.used.insert(key);
        if let Some(known) = self.predictor.fits.get(&key) {
            return Ok(known.clone());
        }
        let (one, other) = (self.touched(ancestor, ours)?, self.touched(ancestor, theirs)?);
        let overlap = one.paths.intersection(&other.paths).count() as u32;
        let may_conflict = overlap > 0 || one.moves || other.moves || nested(&one, &other);
        let paths =
            if ours == theirs || !may_conflict { BTreeSet::new() } else { self.merge(sides)? };
        let conflicts = paths.len() as u32;
        let fit = Fit { overlap, conflicts, paths: paths.into_iter().take(NAMED).collect() };
        self.predictor.fits.insert(key, fit.clone());
        Ok(fit)
    }

    fn merge(&mut self, sides: Sides) -> Result<BTreeSet<RepoPath>, Failure> {
        let forms = match &mut self.forms {
            Some(forms) => forms,
            empty => empty.insert(Forms::new(self.user, self.repository, self.attributes)?),
        };
        merge::conflicts(self.repository, forms, sides)
    }

    fn touched(&mut self, from: ObjectId, to: ObjectId) -> Result<Arc<Touched>, Failure> {
        if let Some(known) = self.predictor.touched.get(&(from, to)) {
            return Ok(known.clone());
        }
        let changes = diff::changes(self.repository, from, to, Renames::Ignore)?;
        let added = changes.iter().any(|change| change.old.is_none());
        let deleted = changes.iter().any(|change| change.new.is_none());
        let paths = changes.into_iter().map(|change| change.path).collect();
        let touched = Arc::new(Touched { paths, moves: added && deleted });
        self.predictor.touched.insert((from, to), touched.clone());
        Ok(touched)
    }

    /// Drops what no contender has any more.
    fn forget_unused(self) {
        let used = self.used;
        let kept: HashSet<(ObjectId, ObjectId)> = used
            .iter()
            .flat_map(|(ancestor, ours, theirs)| [(*ancestor, *ours), (*ancestor, *theirs)])
            .collect();
        self.predictor.fits.retain(|key, _| used.contains(key));
        self.predictor.touched.retain(|key, _| kept.contains(key));
    }
}

/// What a contender's work is compared with where the branch goes on from its base, as git would
/// store it: the base, or what the branch has of the work.
fn started(
    store: &Store,
    (repository, branch): (&gix::Repository, ObjectId),
    contender: &Contender,
    base: ObjectId,
) -> Result<ObjectId, Failure> {
    let Some(held) = &contender.held else { return Ok(base) };
    let storing = Storing::new(store, repository, &contender.environment, &contender.base)?;
    let storing = storing.onto(branch);
    Ok(storing.stored(object::tree_of(repository, held)?)?.tree)
}

/// Whether one side has a file where the other has something below a directory of that name.
fn nested(one: &Touched, other: &Touched) -> bool {
    let below = |files: &BTreeSet<RepoPath>, others: &BTreeSet<RepoPath>| {
        files.iter().any(|path| {
            let bytes = path.as_bytes();
            let mut slashes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            slashes.any(|(at, _)| others.contains(&RepoPath::new(&bytes[..at])))
        })
    };
    below(&one.paths, &other.paths) || below(&other.paths, &one.paths)
}

#[cfg(test)]
mod tests;
