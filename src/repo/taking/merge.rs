//! Bringing an environment's work onto the user's branch: a merge commit, one commit, or several.

use gix::ObjectId;

use super::super::checkout::check_name;
use super::super::diff::{self, Change, Renames};
use super::super::forms::Forms;
use super::super::merge::{self, Sides};
use super::super::object::{self, failed};
use super::super::older;
use super::super::standing::Standing;
use super::super::store::Store;
use super::super::stored::{Large, Stored, Storing};
use super::super::user::UserRepository;
use super::TakeRequest;
use super::apply::nothing_to_take;
use super::earlier::{Earlier, Users, holds};
use super::hooks;
use super::in_progress::refuse_in_progress;
use super::index::staged_otherwise;
use super::journal::Journal;
use super::large;
use super::objects::{Transfer, commit, signature};
use super::perform::Site;
use super::plan::{Plan, Planner, would_overwrite};
use super::rebase::{self, Growing};
use super::record::{Move, Record, Step, digest};
use super::sound::check_tree;
use super::sparse::Sparse;
use crate::model::decision::{Decision, DecisionKind, MergeStyle};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;
use crate::model::repository::Identity;

/// How a merge is made.
#[derive(Clone, Debug)]
pub struct Merging {
    pub style: MergeStyle,
    /// Of the one commit that is the user's; of a rebase, of what the agent did not commit.
    pub message: String,
    pub identity: Identity,
    /// For a rebase: the agent's own commits as git prints them.
    pub commits: Vec<u8>,
}

/// Merges `head` into the branch that is checked out.
///
/// A merge commit has as its parents the user's `HEAD` and one commit, with the message, that
/// stands for the environment's work. That commit's parent is the base, or the commit of an earlier
/// merge of the same environment that the branch still holds.
pub fn merge(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
    merging: &Merging,
) -> Result<Decision, Failure> {
    journal.check_next(request.id)?;
    let site = Site::open(user, journal)?;
    refuse_in_progress(&site)?;
    let name = site.branch_name()?;
    let objects = store.reader().with_object_memory();
    let (head, _) = user.head()?;
    let head_tree = object::tree_of(&objects, &head)?;
    let taken = older::tree(store, &objects, &request.environment, &request.head)?;
    let parent = work_parent(&objects, journal, request, &head)?;
    let parent_tree = object::tree_of(&objects, &parent)?;
    let storing = request.storing(store, &objects)?.onto(head_tree);
    check_tree(&objects, taken, Some(storing.origin()))?;
    let earlier = Earlier::carrying(store, journal, &request.environment, (&request.base, &head))?;
    let taken = earlier.offered(&storing, taken)?;
    let Stored { tree: theirs, large } = storing.stored(taken)?;
    let mut forms = Forms::new(user, &site.repository, head_tree)?;
    forms.know(&large);
    let mut users =
        Users { storing: &storing, forms: &mut forms, tree: &site.tree, head: head_tree };
    let (ancestor, again) = ancestor(&mut users, &earlier, request, &head)?;
    let sides = Sides { ancestor, ours: head_tree, theirs };
    let storing = &storing;
    let making = Making { storing, large, journal, request, merging, head: &head, again };
    let grown = match merging.style {
        MergeStyle::Commit => making.merge_commit(&mut forms, sides, &parent)?,
        MergeStyle::Squash => making.one_commit(&mut forms, sides)?,
        MergeStyle::Rebase => making.line(&mut forms, sides)?,
    };
    if grown.tree == head_tree {
        return Err(nothing_to_take(request));
    }
    forms.know(&grown.large);
    let sparse = &Sparse::read(&site.repository, site.index(&site.lock(request.id))?)?;
    let (tree, earlier) = (&site.tree, &earlier.states);
    let mut planner = Planner { tree, storing, forms: &mut forms, earlier, sparse };
    let Plan { steps, made, outside, mut standing } = planner.plan(head_tree, grown.tree)?;
    let index = check_index(&site, request, &steps)?;
    grown.transfer(&objects, user, &[head_tree, parent_tree])?;
    large::keep(user, &objects, &grown.large)?;

    let mut decision = request.decision(DecisionKind::Merge, user);
    decision.style = merging.style;
    decision.hooks = hooks::skipped(user, merging.style);
    decision.commit = Some(object::name(grown.tip));
    let written = steps.iter().filter(|step| step.before != step.after);
    decision.paths = written.map(|step| step.path.clone()).chain(outside).collect();
    decision.paths.sort();
    let branch = Move {
        name,
        old: head,
        new: object::name(grown.tip),
        work: object::name(grown.work),
        style: merging.style,
        agents: grown.agents,
        index,
    };
    let (branch, judged) = (Some(branch), Some(request.base.clone()));
    let taken = Some(object::name(taken));
    let record = Record { decision, steps, made, branch, taken, judged };
    site.carry_out(&record, &objects, &mut |path, blob| standing.worktree_form(&forms, path, blob))
}

/// Puts an environment's work into the user's repository as commits on top of its base, the agent's
/// own ones first, for a branch elsewhere. Nothing of the user's refers to them.
pub fn offer(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
    merging: &Merging,
) -> Result<CommitId, Failure> {
    let repository = user.reader();
    let objects = store.reader().with_object_memory();
    let base = object::tree_of(&objects, &request.base)?;
    let taken = older::tree(store, &objects, &request.environment, &request.head)?;
    let storing = request.storing(store, &objects)?;
    check_tree(&objects, taken, Some(storing.origin()))?;
    let Stored { tree: theirs, large } = storing.stored(storing.offered(taken)?)?;
    let mut forms = Forms::new(user, &repository, base)?;
    let sides = Sides { ancestor: base, ours: base, theirs };
    let (head, storing) = (&request.base, &storing);
    let making = Making { storing, large, journal, request, merging, head, again: false };
    let grown = making.line(&mut forms, sides)?;
    if grown.made.is_empty() {
        return Err(nothing_to_take(request));
    }
    let changes = diff::changes(&objects, base, theirs, Renames::Ignore)?;
    let standing = Standing::new(storing, theirs, &changes.iter().map(|change| &change.path))?;
    for Change { path, new, .. } in &changes {
        if let Some(side) = new {
            check_name(path, side.mode)?;
            standing.check_encoding(path)?;
        }
        forms.check_filter(path)?;
    }
    grown.transfer(&objects, user, &[base, base])?;
    large::keep(user, &objects, &grown.large)?;
    Ok(object::name(grown.tip))
}

/// Commits in memory, for the branch to move to.
struct Grown {
    tip: ObjectId,
    tree: ObjectId,
    work: ObjectId,
    /// Each new commit with its tree, parents first.
    made: Vec<(ObjectId, ObjectId)>,
    agents: Option<CommitId>,
    /// The large files of all of them.
    large: Large,
}

impl Grown {
    /// Brings all of it into the user's repository, but for what stands at the same place in trees
    /// that are there.
    fn transfer(
        &self,
        objects: &gix::Repository,
        user: &UserRepository,
        held: &[ObjectId],
    ) -> Result<(), Failure> {
        let mut transfer = Transfer::new(objects, user.git_dir());
        let mut held = held.to_vec();
        for (commit, tree) in &self.made {
            transfer.copy_tree(*tree, &held)?;
            transfer.copy(*commit)?;
            if let Some(last) = held.get_mut(2) {
                *last = *tree;
            } else {
                held.push(*tree);
            }
        }
        transfer.finish()
    }
}

struct Making<'a> {
    storing: &'a Storing<'a>,
    /// Large files of the snapshot.
    large: Large,
    journal: &'a Journal,
    request: &'a TakeRequest,
    merging: &'a Merging,
    head: &'a CommitId,
    /// Whether the branch has some of the work already.
    again: bool,
}

impl Making<'_> {
    fn who(&self) -> gix::actor::Signature {
        signature(&self.merging.identity, self.request.at)
    }

    fn merge_commit(
        &self,
        forms: &mut Forms<'_>,
        sides: Sides,
        parent: &CommitId,
    ) -> Result<Grown, Failure> {
        let objects = self.storing.objects;
        let Stored { tree, mut large } = self.merged(forms, sides)?;
        let base = object::tree_of(objects, &self.request.base)?;
        // By the attributes that it has itself.
        let theirs = self.storing.settled(base, sides.theirs, &self.large)?;
        large.extend(theirs.large);
        let (message, subject) = messages(&self.merging.message, self.request);
        let who = self.who();
        let work = commit(objects, theirs.tree, &[object::id(parent)], &message, &who)?;
        let parents = [object::id(self.head), work];
        let tip = commit(objects, tree, &parents, &subject, &who)?;
        let made = vec![(work, theirs.tree), (tip, tree)];
        Ok(Grown { tip, tree, work, made, agents: None, large })
    }

    fn one_commit(&self, forms: &mut Forms<'_>, sides: Sides) -> Result<Grown, Failure> {
        let Stored { tree, large } = self.merged(forms, sides)?;
        let (message, _) = messages(&self.merging.message, self.request);
        let (objects, parent) = (self.storing.objects, object::id(self.head));
        let tip = commit(objects, tree, &[parent], &message, &self.who())?;
        Ok(Grown { tip, tree, work: tip, made: vec![(tip, tree)], agents: None, large })
    }

    /// The merge of all, each large file in the form in which its place has it.
    fn merged(&self, forms: &mut Forms<'_>, sides: Sides) -> Result<Stored, Failure> {
        let tree = merge::trees(self.storing.objects, forms, sides)?;
        let mut merged = self.storing.settled(sides.ours, tree, &self.large)?;
        let known = self.large.iter().map(|(pointer, content)| (pointer.clone(), *content));
        merged.large.extend(known);
        Ok(merged)
    }

    /// The agent's commits that were not brought over before, then the rest as one.
    fn line(&self, forms: &mut Forms<'_>, sides: Sides) -> Result<Grown, Failure> {
        let commits = rebase::read(self.storing.objects, &self.merging.commits)?;
        let last = self.brought_before()?;
        let who = self.who();
        let mut branch = Growing {
            storing: self.storing,
            forms,
            committer: &who,
            tip: object::id(self.head),
            start: sides.ours,
            tree: sides.ours,
            stands: sides.ours,
            made: Vec::new(),
            large: self.large.clone(),
        };
        let new = rebase::after(&commits, last.as_ref());
        for theirs in &new {
            branch.bring(theirs)?;
        }
        let (message, _) = messages(&self.merging.message, self.request);
        let begin = last.as_ref().unwrap_or(&self.request.base);
        // What the agent threw away since an earlier take is in none of its commits.
        let line = if self.again { None } else { rebase::end_of_line(&new, begin) };
        if let Some(end) = line {
            // What the agent committed last is what the rest is a change of.
            let end = branch.pointed(end)?;
            branch.commit((end, sides.theirs), &message, who.clone())?;
        } else {
            // Whatever was left out of the commits, the branch ends with all of the work.
            let all = merge::trees(self.storing.objects, branch.forms, sides)?;
            branch.grow(all, &message, who.clone())?;
        }
        let Growing { tip, stands: tree, made, large, .. } = branch;
        let agents = commits.last().map(|last| object::name(last.id)).or(last);
        Ok(Grown { tip, tree, work: tip, made, agents, large })
    }

    /// The agent's commit that an earlier rebase ended with, while the branch holds it.
    fn brought_before(&self) -> Result<Option<CommitId>, Failure> {
        for decision in self.journal.decisions()?.into_iter().rev() {
            let same = decision.environment == self.request.environment && !decision.undone;
            if !same || decision.style != MergeStyle::Rebase {
                continue;
            }
            let Some(branch) = self.journal.record(decision.id)?.branch else { continue };
            if holds(self.storing.objects, self.head, &branch.new)? {
                return Ok(branch.agents);
            }
        }
        Ok(None)
    }
}

/// The message of the work's commit and that of the merge.
fn messages(draft: &str, request: &TakeRequest) -> (String, String) {
    let (draft, name) = (draft.trim(), &request.name);
    let bare = format!("Work of {name}");
    let work = if draft.is_empty() { bare.clone() } else { draft.to_owned() };
    let merge = match work.lines().next() {
        // It says no more than the name does.
        Some(subject) if subject == bare => format!("Merge {name}\n"),
        subject => format!("Merge {name}: {}\n", subject.unwrap_or_default()),
    };
    (work + "\n", merge)
}

/// What the environment's work stands on: the base, or the work that was merged since.
fn work_parent(
    objects: &gix::Repository,
    journal: &Journal,
    request: &TakeRequest,
    head: &CommitId,
) -> Result<CommitId, Failure> {
    for decision in journal.decisions()?.into_iter().rev() {
        let same = decision.environment == request.environment && !decision.undone;
        if !same || decision.kind != DecisionKind::Merge {
            continue;
        }
        let Record { branch, judged, .. } = journal.record(decision.id)?;
        let Some(branch) = branch else { continue };
        if holds(objects, &request.base, &branch.new)? {
            break;
        }
        // On work of another base it would seem to take back what the user changed between both.
        let same = branch.style == MergeStyle::Commit
            && judged.is_none_or(|judged| judged == request.base);
        if same && holds(objects, head, &branch.work)? {
            return Ok(branch.work);
        }
    }
    Ok(request.base.clone())
}

/// What the work is compared with: the base with all of it that the branch has already, or where the
/// branch does not go on from the base, the commit at which both parted. Tells too whether the
/// branch has any of it.
fn ancestor(
    users: &mut Users<'_, '_, '_>,
    earlier: &Earlier,
    request: &TakeRequest,
    head: &CommitId,
) -> Result<(ObjectId, bool), Failure> {
    let storing = users.storing;
    let found = storing
        .objects
        .merge_base(object::id(head), object::id(&request.base))
        .map_err(failed("read the branch's history"))?;
    let Some(parted) = found else {
        return Err(Failure::new(
            FailureKind::Refused,
            format!("your branch has no commit in common with the base {}", request.base.short()),
        )
        .hint("switch to the branch the environment was made from, or apply instead"));
    };
    let parted = object::name(parted.detach());
    if parted != request.base {
        return Ok((object::tree_of(storing.objects, &parted)?, false));
    }
    let committed = earlier.committed(users, storing.origin())?;
    let ancestor = storing.stored(committed)?.tree;
    Ok((ancestor, ancestor != object::tree_of(storing.objects, &request.base)?))
}

/// Refuses where something else is staged; gives the digest of the index that was looked at.
fn check_index(
    site: &Site<'_>,
    request: &TakeRequest,
    steps: &[Step],
) -> Result<[u8; 32], Failure> {
    let lock = site.lock(request.id);
    let bytes = lock.read()?;
    let index = site.index(&lock)?;
    let mut staged: Vec<RepoPath> = Vec::new();
    for step in steps {
        if staged_otherwise(&index, step)? {
            staged.push(step.path.clone());
        }
    }
    if staged.is_empty() { Ok(digest(&bytes)) } else { Err(would_overwrite(staged)) }
}
