//! Which directories of a workspace no snapshot looks into, for whoever decides what to watch.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use gix::ObjectId;

use crate::model::failure::Failure;
use crate::model::id::EnvironmentId;

use super::base::BaseTree;
use super::convert::{IGNORE_FILE, Rules, join};
use super::hidden::{Room, TreeRules};
use super::rules::UserRules;
use super::scan;
use super::store::Store;
use super::walk;
use super::{history, object};

/// Tells of a directory, by its path in the workspace, whether it is ignored and holds nothing that
/// the base tracks; where the base does not ignore it, whether it also holds too much. The ignore
/// files are read as they are when it is asked.
pub fn directories(
    store: &Store,
    environment: &EnvironmentId,
    workspace: &Path,
) -> Result<impl Fn(&[u8]) -> bool + Send + Sync + 'static, Failure> {
    let repository = store.reader();
    let base = object::tree_of(&repository, &history::origin(store, environment)?)?;
    let repository = repository.into_sync();
    let (rules, workspace) = (store.rules.clone(), workspace.to_owned());
    Ok(move |path: &[u8]| {
        let workspace = Workspace { rules: &rules, root: &workspace, path };
        workspace.is_ignored(Rules::new(&rules), &repository, base)
    })
}

struct Workspace<'a> {
    rules: &'a UserRules,
    root: &'a Path,
    path: &'a [u8],
}

impl Workspace<'_> {
    fn is_ignored(
        &self,
        mut rules: Rules,
        repository: &gix::ThreadSafeRepository,
        base: ObjectId,
    ) -> bool {
        let Ok(mut directory) = walk::open_root(self.root) else { return false };
        let mut inside = Vec::new();
        let mut ignored = false;
        for name in self.path.split(|byte| *byte == b'/') {
            if !ignored {
                let ignore = scan::read_rules(directory.as_fd(), IGNORE_FILE);
                rules.enter(&inside, ignore.as_deref(), None);
            }
            inside = join(&inside, name);
            ignored |= rules.is_ignored(&inside, true);
            let Ok(next) = walk::open_directory(directory.as_fd(), name) else {
                return ignored && self.is_left_out(repository, base, (&inside, None));
            };
            directory = next;
            if ignored && self.is_left_out(repository, base, (&inside, Some(directory.as_fd()))) {
                return true;
            }
        }
        false
    }

    /// Whether no snapshot looks into a directory that is ignored.
    fn is_left_out(
        &self,
        repository: &gix::ThreadSafeRepository,
        base: ObjectId,
        (path, directory): (&[u8], Option<BorrowedFd<'_>>),
    ) -> bool {
        let repository = repository.to_thread_local();
        if BaseTree::new(&repository, base).entry(path).is_some() {
            return false;
        }
        let mut base = TreeRules::new(self.rules, &repository, base);
        base.ignores(path, true)
            || directory.is_some_and(|it| !base.has_room(it, path, &mut Room::new()))
    }
}
