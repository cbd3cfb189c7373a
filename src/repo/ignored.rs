//! Which directories of a workspace no snapshot looks into, for whoever decides what to watch.

use std::os::fd::AsFd;
use std::path::Path;

use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;

use super::base::BaseTree;
use super::convert::{IGNORE_FILE, Rules, join};
use super::scan;
use super::store::Store;
use super::walk;
use super::{history, object};

/// Tells of a directory, by its path in the workspace, whether it is ignored and holds nothing that
/// the base tracks. The ignore files are read as they are when it is asked.
pub fn directories(
    store: &Store,
    environment: &EnvironmentId,
    workspace: &Path,
) -> Result<impl Fn(&[u8]) -> bool + Send + Sync + 'static, Failure> {
    let repository = store.reader();
    let base = object::tree_of(&repository, &history::base(store, environment)?)?;
    let repository = repository.into_sync();
    let (rules, workspace) = (store.rules.clone(), workspace.to_owned());
    Ok(move |path: &[u8]| {
        is_ignored(Rules::new(&rules), &workspace, path)
            && BaseTree::new(&repository.to_thread_local(), base).entry(path).is_none()
    })
}

fn is_ignored(mut rules: Rules, workspace: &Path, path: &[u8]) -> bool {
    let Ok(mut directory) = walk::open_root(workspace) else { return false };
    let mut inside = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        let ignore = scan::read_rules(directory.as_fd(), IGNORE_FILE);
        rules.enter(&inside, ignore.as_deref(), None);
        inside = join(&inside, name);
        if rules.is_ignored(&inside, true) {
            return true;
        }
        match walk::open_directory(directory.as_fd(), name) {
            Ok(next) => directory = next,
            Err(_) => return false,
        }
    }
    false
}
