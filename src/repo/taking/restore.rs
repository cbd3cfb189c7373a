//! Taking an environment's workspace back to a snapshot, with the same care as the user's tree: the
//! journal first, the one safe writer, and every byte that is needed to go back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::super::checkout::{EXECUTABLE, Found, PLAIN, WorkingTree, check_name};
use super::super::convert::Rules;
use super::super::diff::{self, Change, Renames, Side};
use super::super::object;
use super::super::populate;
use super::super::store::Store;
use super::super::user::UserRepository;
use super::TakeRequest;
use super::journal::Journal;
use super::perform::Site;
use super::record::{Entry, Record, State, Step, digest};
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::path::RepoPath;

/// Makes the workspace what `request.head` holds. `request.base` is the snapshot that holds it now:
/// nobody may be writing there. What neither of the two holds, as ignored files, stays.
pub fn restore(
    user: &UserRepository,
    store: &Store,
    journal: &Journal,
    request: &TakeRequest,
    workspace: &Path,
) -> Result<Decision, Failure> {
    journal.check_number(request.id)?;
    let site = Site::of_workspace(user, journal, workspace)?;
    let objects = store.reader();
    let from = object::tree_of(&objects, &request.base)?;
    let to = object::tree_of(&objects, &request.head)?;
    let mut rules = Rules::new(&store.rules);
    for (directory, bytes) in populate::attributes_of(&objects, to)? {
        rules.enter(&directory, None, Some(&bytes));
    }
    let (steps, made) = plan(&site.tree, &objects, &mut rules, from, to)?;
    if steps.is_empty() {
        let short = request.head.short();
        let message = format!("{} is as snapshot {short} has it", request.name);
        return Err(Failure::new(FailureKind::Invalid, message));
    }
    let mut decision = request.decision(DecisionKind::Restore, user);
    decision.paths = steps.iter().map(|step| step.path.clone()).collect();
    let record = Record { decision, steps, made, branch: None };
    site.carry_out(&record, &objects, &mut |path, blob| {
        Ok(rules.checked_out_form(path.as_bytes(), &blob).into_owned())
    })
}

fn plan(
    tree: &WorkingTree,
    objects: &gix::Repository,
    rules: &mut Rules,
    from: gix::ObjectId,
    to: gix::ObjectId,
) -> Result<(Vec<Step>, Vec<RepoPath>), Failure> {
    let is_commit = |side: Option<Side>| side.is_some_and(|side| side.mode.is_commit());
    // Of a submodule only its place is ours; its files stay what they are.
    let changes: BTreeMap<RepoPath, Change> = diff::changes(objects, from, to, Renames::Ignore)?
        .into_iter()
        .filter(|change| !is_commit(change.old) && !is_commit(change.new))
        .map(|change| (change.path.clone(), change))
        .collect();
    let mut steps = Vec::with_capacity(changes.len());
    let (mut blocked, mut made) = (BTreeSet::new(), BTreeSet::new());
    for change in changes.values() {
        for side in [change.old, change.new].into_iter().flatten() {
            check_name(&change.path, side.mode)?;
        }
        let in_the_way = in_the_way(tree, &changes, change)?;
        if !in_the_way.is_empty() {
            blocked.extend(in_the_way);
            continue;
        }
        let before = match tree.find(&change.path)? {
            // What is left of it once its files are gone is empty.
            Found::Directory => State::Absent,
            found => State::of(&found).expect("what is special is in the way"),
        };
        let after = wanted(objects, rules, change)?;
        if after != State::Absent {
            made.extend(tree.missing_parents(&change.path)?);
        }
        let entry = |side: Option<Side>| {
            side.map(|side| Entry { mode: u32::from(side.mode.value()), id: object::name(side.id) })
        };
        let (old, new) = (entry(change.old), entry(change.new));
        steps.push(Step { path: change.path.clone(), before, after, old, new });
    }
    if blocked.is_empty() {
        return Ok((steps, made.into_iter().collect()));
    }
    let message = "files that no snapshot holds are in the way; nothing was changed";
    Err(Failure::new(FailureKind::WouldOverwrite, message)
        .hint("move them in the environment, and try again")
        .paths(blocked.into_iter().collect()))
}

/// What stands where a file is to come, and goes with none of the changes.
fn in_the_way(
    tree: &WorkingTree,
    changes: &BTreeMap<RepoPath, Change>,
    change: &Change,
) -> Result<Vec<RepoPath>, Failure> {
    let goes = |path: &RepoPath| changes.get(path).is_some_and(|other| other.new.is_none());
    let found = tree.find(&change.path)?;
    if found == Found::Other {
        return Ok(vec![change.path.clone()]);
    }
    if change.new.is_none() {
        return Ok(Vec::new());
    }
    if let Some((path, _)) = tree.blocker(&change.path)?
        && !goes(&path)
    {
        return Ok(vec![path]);
    }
    if found != Found::Directory {
        return Ok(Vec::new());
    }
    let mut below = tree.files_below(&change.path)?;
    below.retain(|path| !goes(path));
    Ok(below)
}

fn wanted(objects: &gix::Repository, rules: &mut Rules, change: &Change) -> Result<State, Failure> {
    let Some(side) = change.new else { return Ok(State::Absent) };
    let content = diff::content(objects, Some(side))?;
    if side.mode.is_link() {
        return Ok(State::Link { target: serde_bytes::ByteBuf::from(content) });
    }
    let content = rules.checked_out_form(change.path.as_bytes(), &content);
    let executable = side.mode.kind() == gix::objs::tree::EntryKind::BlobExecutable;
    let permissions = if executable { EXECUTABLE } else { PLAIN };
    Ok(State::File { permissions, digest: digest(&content) })
}
