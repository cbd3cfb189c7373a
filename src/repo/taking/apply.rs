//! Bringing an environment's changes into the working tree, without a commit.

use super::super::forms::Forms;
use super::super::merge::{self, Sides};
use super::super::object;
use super::super::older;
use super::super::store::Store;
use super::super::stored::Stored;
use super::super::user::UserRepository;
use super::TakeRequest;
use super::earlier::{Earlier, Ground, Users};
use super::in_progress::refuse_in_progress;
use super::index::Known;
use super::journal::Journal;
use super::perform::Site;
use super::plan::{Plan, Planner, would_overwrite};
use super::portion;
use super::record::{Record, Step};
use super::sound::check_tree;
use super::sparse::Sparse;
use crate::model::decision::{Decision, DecisionKind, Portion};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// Brings what changed from `base` to `head`, or a portion of it, into the working tree: three-way
/// with the user's `HEAD` where that has changed too. New files stay untracked; index and branches
/// stay as they are.
///
/// Where what was taken from the same environment before is still in the working tree or in `HEAD`,
/// only what is new since is brought in.
pub fn apply(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
) -> Result<Decision, Failure> {
    journal.check_next(request.id)?;
    let site = Site::open(user, journal)?;
    refuse_in_progress(&site)?;
    let objects = store.reader().with_object_memory();
    let (head, _) = user.head()?;
    let earlier = Earlier::carrying(store, journal, &request.environment, (&request.base, &head))?;
    let head = object::tree_of(&objects, &head)?;
    let mut forms = Forms::new(user, &site.repository, head)?;
    let snapshot = older::tree(store, &objects, &request.environment, &request.head)?;
    let storing = request.storing(store, &objects)?.onto(head);
    check_tree(&objects, snapshot, Some(storing.origin()))?;
    let wanted = match request.portion {
        Portion::All => earlier.offered(&storing, snapshot)?,
        // It was asked for by name.
        Portion::Paths(_) | Portion::Hunk { .. } => snapshot,
    };
    let tree = &site.tree;
    let mut users = Users { storing: &storing, forms: &mut forms, tree, head };
    let Ground { ancestor, ours } = earlier.ground(&mut users, storing.origin())?;
    let taken = portion::with_portion(store, request, ancestor, wanted)?;
    let ancestor = storing.stored(ancestor)?.tree;
    let Stored { tree: theirs, large } = storing.stored(taken)?;
    forms.know(&large);
    let result = merge::trees(&objects, &mut forms, Sides { ancestor, ours, theirs })?;
    let Stored { tree: result, large } = storing.settled(ours, result, &large)?;
    forms.know(&large);
    let sparse = Sparse::of_known(site.index(&site.lock(request.id))?);
    let mut planner = Planner {
        sparse: &sparse,
        tree: &site.tree,
        storing: &storing,
        forms: &mut forms,
        earlier: &earlier.states,
    };
    let mut plan = planner.plan(ours, result)?;
    if !plan.outside.is_empty() {
        return Err(outside(plan.outside));
    }
    plan.steps.retain(|step| step.before != step.after);
    if plan.steps.is_empty() {
        return Err(nothing_to_take(request));
    }
    refuse_special(&site, request, &plan.steps)?;
    let mut decision = request.decision(DecisionKind::Apply, user);
    decision.paths = plan.steps.iter().map(|step| step.path.clone()).collect();
    let Plan { steps, made, mut standing, .. } = plan;
    let (taken, judged) = (Some(object::name(taken)), Some(request.base.clone()));
    let record = Record { decision, steps, made, branch: None, taken, judged };
    site.carry_out(&record, &objects, &mut |path, blob| standing.worktree_form(&forms, path, blob))
}

pub(super) fn nothing_to_take(request: &TakeRequest) -> Failure {
    let message = format!("{} has nothing that is not there already", request.name);
    Failure::new(FailureKind::Invalid, message)
        .hint(format!("see what it changed: agentdeck diff {}", request.name))
}

/// An apply writes into the working tree, of which these are no part.
fn outside(paths: Vec<RepoPath>) -> Failure {
    let message = match paths.as_slice() {
        [path] => format!("{path} is outside your sparse checkout; nothing was changed"),
        paths => {
            format!("{} paths are outside your sparse checkout; nothing was changed", paths.len())
        }
    };
    Failure::new(FailureKind::Refused, message)
        .hint(
            "merge it, check these paths out with git sparse-checkout add, or apply others by name",
        )
        .paths(paths)
}

/// A path in conflict is the user's to resolve, also when its file looks untouched.
fn refuse_special(site: &Site<'_>, request: &TakeRequest, steps: &[Step]) -> Result<(), Failure> {
    let index = site.index(&site.lock(request.id))?;
    let special: Vec<RepoPath> = steps
        .iter()
        .filter(|step| matches!(index.known(&step.path), Known::Special(_)))
        .map(|step| step.path.clone())
        .collect();
    if special.is_empty() { Ok(()) } else { Err(would_overwrite(special)) }
}
