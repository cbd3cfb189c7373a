//! Object names between gix and the model, and failures of the object store in words.

use std::fmt;

use gix::ObjectId;

use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;

/// The model's name of an object.
pub(super) fn name(id: ObjectId) -> CommitId {
    CommitId::parse(&id.to_hex().to_string()).expect("an object id is full hexadecimal")
}

/// gix's id of an object.
pub(super) fn id(name: &CommitId) -> ObjectId {
    ObjectId::from_hex(name.as_str().as_bytes()).expect("a commit id is full hexadecimal")
}

/// The tree of a commit, or the tree itself.
pub(super) fn tree_of(repository: &gix::Repository, name: &CommitId) -> Result<ObjectId, Failure> {
    let object = repository.find_object(id(name)).map_err(|error| {
        Failure::new(
            FailureKind::NotFound,
            format!("commit {} is not there: {error:#}", name.short()),
        )
    })?;
    let tree = object.peel_to_tree().map_err(failed("read a commit's tree"))?;
    Ok(tree.id)
}

/// Words an error of the object store: what could not be done, and every cause.
pub(super) fn failed<E: fmt::Display>(what: &'static str) -> impl Fn(E) -> Failure {
    move |error| Failure::new(FailureKind::Internal, format!("cannot {what}: {error:#}"))
}
