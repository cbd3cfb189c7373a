//! Every ref name we own. No other module makes one up.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::refs::FullName;
use gix::refs::Target;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};

use crate::model::id::EnvironmentId;

/// What every one of them begins with.
pub(super) const OURS: &str = "refs/agentdeck/";

/// In the store: the newest snapshot of an environment.
pub(super) fn snapshot(environment: &EnvironmentId) -> FullName {
    name(&format!("refs/agentdeck/{environment}/snap"))
}

/// In the store: the user's commit an environment started from.
pub(super) fn base(environment: &EnvironmentId) -> FullName {
    name(&format!("refs/agentdeck/{environment}/base"))
}

/// In the store: the base as its files stood in the workspace at first, where git stores some of
/// them in another form than it checks out.
pub(super) fn origin(environment: &EnvironmentId) -> FullName {
    name(&format!("refs/agentdeck/{environment}/origin"))
}

/// In the user's repository: keeps the base from being pruned while the environment lives.
pub(super) fn pin(environment: &EnvironmentId) -> FullName {
    name(&format!("refs/agentdeck/pin/{environment}"))
}

fn name(text: &str) -> FullName {
    FullName::try_from(text).expect("environment ids are valid in ref names")
}

/// Moves a ref by compare-and-swap: `expected` is what it must point to now, `None` that it must
/// not exist. No reflog is written.
pub(super) fn set(
    repository: &gix::Repository,
    name: FullName,
    new: gix::ObjectId,
    expected: Option<gix::ObjectId>,
) -> anyhow::Result<()> {
    let context = format!("cannot move {}", name.as_bstr());
    let expected = match expected {
        Some(id) => PreviousValue::MustExistAndMatch(Target::Object(id)),
        None => PreviousValue::MustNotExist,
    };
    let log = LogChange { mode: RefLog::AndReference, ..LogChange::default() };
    let change = Change::Update { log, expected, new: Target::Object(new) };
    edit(repository, RefEdit::new(name, change)).context(context)
}

/// Removes a ref that must point to `expected`.
pub(super) fn remove(
    repository: &gix::Repository,
    name: FullName,
    expected: gix::ObjectId,
) -> anyhow::Result<()> {
    let context = format!("cannot remove {}", name.as_bstr());
    let expected = PreviousValue::MustExistAndMatch(Target::Object(expected));
    let change = Change::Delete { expected, log: RefLog::AndReference };
    edit(repository, RefEdit::new(name, change)).context(context)
}

fn edit(repository: &gix::Repository, edit: RefEdit) -> anyhow::Result<()> {
    let mut repository = repository.clone();
    repository.refs.write_reflog = gix::refs::store::WriteReflog::Disable;
    repository.edit_references_as(Some(edit), None)?;
    Ok(())
}

/// The file by which git locks a ref, and the one by which it locks all that are packed, below a
/// git directory.
pub(super) fn locks(git_dir: &Path, name: &FullName) -> [PathBuf; 2] {
    [git_dir.join(format!("{}.lock", name.as_bstr())), git_dir.join("packed-refs.lock")]
}

/// Where a ref points; `None` when it does not exist.
pub(super) fn read(
    repository: &gix::Repository,
    name: &FullName,
) -> anyhow::Result<Option<gix::ObjectId>> {
    let found = repository
        .try_find_reference(name.as_ref())
        .with_context(|| format!("cannot read {}", name.as_bstr()))?;
    Ok(found.and_then(|reference| reference.try_id().map(gix::Id::detach)))
}
