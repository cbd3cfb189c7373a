//! Snapshots of an environment that nothing else is known of: where they are kept.

use std::path::{Path, PathBuf};

use super::refs;
use crate::model::id::EnvironmentId;

/// The bare repository, of those in the stores at these directories, that has snapshots of an
/// environment, and the name of the ref that leads to the newest.
pub fn snapshots(
    stores: impl IntoIterator<Item = PathBuf>,
    environment: &EnvironmentId,
) -> Option<(PathBuf, String)> {
    let name = refs::snapshot(environment);
    let has_it = |bare: &Path| {
        let opened = gix::open::Options::isolated().open_path_as_is(true).open(bare).ok()?;
        opened.to_thread_local().try_find_reference(&name).ok().flatten().map(|_| ())
    };
    let bare = stores.into_iter().map(|store| store.join("snapshots.git"));
    let found = bare.into_iter().find(|bare| has_it(bare).is_some())?;
    Some((found, name.as_bstr().to_string()))
}
