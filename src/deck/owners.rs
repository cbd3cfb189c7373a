//! Whose files are in an environment's directories: the user's, also where the box's root made them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::shared::Shared;
use super::state::Record;
use crate::engine::{Belongings, any_of_root};
use crate::model::environment::Environment;
use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;
use crate::model::policy::EngineKind;
use crate::model::snapshot::Skipped;

/// Makes the user the owner of all that is in an environment's directories.
pub(super) async fn hand_back(shared: &Shared, record: &Record) -> Result<(), Failure> {
    let directory = shared.layout.environment(&record.environment.id).directory;
    hand_back_in(shared, record, directory).await
}

/// The same of an environment whose directory is elsewhere by now.
pub(super) async fn hand_back_in(
    shared: &Shared,
    record: &Record,
    directory: PathBuf,
) -> Result<(), Failure> {
    let environment = &record.environment;
    let of = Belongings {
        environment: environment.id.clone(),
        directory,
        mount: environment.repository.clone(),
        record: record.record.clone(),
    };
    shared.engine(environment.engine).hand_back(&of).await
}

/// The same of what is left of an environment that nothing more is known of.
pub(super) async fn hand_back_left(
    shared: &Shared,
    environment: EnvironmentId,
    directory: PathBuf,
) -> Result<(), Failure> {
    let of = Belongings { environment, mount: directory.clone(), directory, record: None };
    // Elsewhere a box's root is the user.
    shared.engine(EngineKind::Docker).hand_back(&of).await
}

/// The same before work that says by itself what it cannot do.
pub(super) async fn hand_back_or_log(shared: &Arc<Shared>, record: &Record) {
    if let Err(failure) = hand_back(shared, record).await {
        tracing::warn!(id = %record.environment.id, "{failure}");
    }
}

/// Whether the root of an environment's box may be somebody else than the user.
pub(super) fn may_differ(environment: &Environment) -> bool {
    environment.engine == EngineKind::Docker && !rustix::process::geteuid().is_root()
}

/// Whether something of a workspace cannot be read because that root has it, who made it without
/// anybody waiting for it. What others shut is theirs to open. Blocking.
pub(super) fn is_shut_by_root(workspace: &Path, left_out: &[Skipped]) -> bool {
    let unread = left_out.iter().filter(|skipped| skipped.reason.starts_with(Skipped::UNREAD));
    any_of_root(workspace, unread.map(|skipped| skipped.path.as_bytes()))
}
