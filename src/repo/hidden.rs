//! Files that only rules of the work itself ignore, those that its base does not have.
//!
//! What the base ignores no snapshot holds. What new rules ignore on top of it is either what every
//! build leaves behind or work that somebody hides. It is kept in snapshots while it is little; no
//! take brings it along unless it is asked for by name, as git would not add it; and it is named
//! wherever the work is shown.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use gix::ObjectId;

use super::base::BaseTree;
use super::convert::{IGNORE_FILE, Rules, join};
use super::diff::{self, Change, Renames};
use super::object;
use super::rules::UserRules;
use super::scan::RULES_LIMIT;
use super::store::Store;
use super::walk::{self, Found};
use super::{history, older};
use crate::model::failure::Failure;
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::path::RepoPath;

/// How much a directory that new rules ignore may hold to be kept, and all files together that they
/// ignore in one directory. Counted for each directory by itself, so that what a snapshot holds does
/// not depend on the order in which it was looked at. Packages and build results have more, what
/// somebody writes in a day has less.
const FILES_LIMIT: u32 = 256;
const BYTES_LIMIT: u64 = 4 << 20;

/// What is left of these bounds.
#[derive(Clone, Copy)]
pub(super) struct Room {
    files: u32,
    bytes: u64,
}

impl Room {
    pub fn new() -> Self {
        Self { files: FILES_LIMIT, bytes: BYTES_LIMIT }
    }

    /// Whether one more of this size, in bytes, has room; it then takes it.
    pub fn takes(&mut self, size: u64) -> bool {
        if self.files == 0 || self.bytes < size {
            return false;
        }
        self.files -= 1;
        self.bytes -= size;
        true
    }
}

/// The ignore rules of a tree, with the user's below them. Directories are read when they are asked
/// about.
pub(super) struct TreeRules<'r> {
    repository: &'r gix::Repository,
    tree: BaseTree<'r>,
    rules: Rules,
    /// The directories entered, from the root down, and whether each is ignored.
    entered: Vec<(Vec<u8>, bool)>,
}

impl<'r> TreeRules<'r> {
    pub fn new(user: &UserRules, repository: &'r gix::Repository, tree: ObjectId) -> Self {
        let tree = BaseTree::new(repository, tree);
        Self { repository, tree, rules: Rules::new(user), entered: Vec::new() }
    }

    /// Whether these rules ignore a path, by its own name or because of a directory that it is in.
    pub fn ignores(&mut self, path: &[u8], is_directory: bool) -> bool {
        let slash = path.iter().rposition(|byte| *byte == b'/');
        let inside = self.enter(slash.map_or(b"", |slash| &path[..slash]));
        inside || self.rules.is_ignored(path, is_directory)
    }

    /// Whether an open directory at this path, without what these rules ignore of it, has room.
    pub fn has_room(&mut self, directory: BorrowedFd<'_>, path: &[u8], room: &mut Room) -> bool {
        // What cannot be read takes none.
        let Ok(names) = walk::names(directory) else { return true };
        for name in names.iter().filter(|name| *name != b".git") {
            let (path, Ok(found)) = (join(path, name), walk::look(directory, name)) else {
                continue;
            };
            if self.ignores(&path, found == Found::Directory) {
                continue;
            }
            if !room.takes(found.size()) {
                return false;
            }
            if found == Found::Directory
                && let Ok(inner) = walk::open_directory(directory, name)
                && !self.has_room(inner.as_fd(), &path, room)
            {
                return false;
            }
        }
        true
    }

    /// Goes to a directory and tells whether it is ignored.
    fn enter(&mut self, directory: &[u8]) -> bool {
        while self.entered.last().is_some_and(|(entered, _)| !holds(entered, directory)) {
            self.entered.pop();
            self.rules.leave();
        }
        if self.entered.is_empty() {
            self.push(Vec::new(), false);
        }
        loop {
            let (entered, ignored) = self.entered.last().expect("the root was entered");
            if entered.len() == directory.len() {
                return *ignored;
            }
            let start = if entered.is_empty() { 0 } else { entered.len() + 1 };
            let rest = &directory[start..];
            let name = rest.split(|byte| *byte == b'/').next().unwrap_or(rest);
            let (next, outside) = (join(entered, name), *ignored);
            let ignored = outside || self.rules.is_ignored(&next, true);
            self.push(next, ignored);
        }
    }

    fn push(&mut self, directory: Vec<u8>, ignored: bool) {
        let found = self.tree.entry(&join(&directory, IGNORE_FILE));
        let id = found.filter(|(mode, _)| mode.is_blob() && !mode.is_link()).map(|(_, id)| id);
        let content = id.and_then(|id| {
            let size = self.repository.find_header(id).ok()?.size();
            (size <= RULES_LIMIT)
                .then(|| Some(self.repository.find_blob(id).ok()?.detach().data))?
        });
        self.rules.enter(&directory, content.as_deref(), None);
        self.entered.push((directory, ignored));
    }
}

/// Whether a directory is another one or around it.
fn holds(directory: &[u8], inner: &[u8]) -> bool {
    directory.is_empty()
        || inner.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// What of a snapshot no take brings along with the rest.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// Files that its own rules ignore and the base does not have.
    pub hidden: BTreeSet<RepoPath>,
    /// Directories with files where the base has a submodule: git would add none of them.
    pub submodules: BTreeSet<RepoPath>,
    /// Those files.
    inside: BTreeSet<RepoPath>,
}

/// What it is of an environment's snapshot.
pub fn of(
    store: &Store,
    environment: &EnvironmentId,
    snapshot: &CommitId,
) -> Result<Kept, Failure> {
    let repository = store.reader();
    let origin = object::tree_of(&repository, &history::origin(store, environment)?)?;
    let tree = older::tree(store, &repository, environment, snapshot)?;
    between(store, &repository, origin, tree)
}

/// What it is of `tree`, a change of `origin`.
pub(super) fn between(
    store: &Store,
    repository: &gix::Repository,
    origin: ObjectId,
    tree: ObjectId,
) -> Result<Kept, Failure> {
    let changes = diff::changes(repository, origin, tree, Renames::Ignore)?;
    let is_gone = |change: &&Change| {
        change.new.is_none() && change.old.is_some_and(|old| old.mode.is_commit())
    };
    let gone: Vec<RepoPath> =
        changes.iter().filter(is_gone).map(|change| change.path.clone()).collect();
    let mut rules = TreeRules::new(&store.rules, repository, tree);
    let mut kept = Kept::default();
    for change in changes {
        if change.old.is_some() || change.new.is_none() {
            continue;
        }
        if let Some(submodule) = gone.iter().find(|it| change.path.is_within(it)) {
            kept.submodules.insert(submodule.clone());
            kept.inside.insert(change.path);
        } else if rules.ignores(change.path.as_bytes(), false) {
            kept.hidden.insert(change.path);
        }
    }
    Ok(kept)
}

impl Kept {
    /// All paths that have to be as the base has them for the rest to be taken.
    pub(super) fn paths(self) -> BTreeSet<RepoPath> {
        self.hidden.into_iter().chain(self.submodules).chain(self.inside).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repo::oracle::{Oracle, files, write_tree};

    #[test]
    fn the_rules_of_a_tree_say_what_git_says_of_it() {
        let oracle = Oracle::new();
        let list = [
            (".gitignore", "*.log\n/build/\n!keep.log\nd/*\n!d/e\n"),
            ("d/e/.gitignore", "x\n!y.log\n"),
            ("d/f/.gitignore", "!never\n"),
        ];
        for (path, content) in list {
            let place = oracle.root().join(path);
            std::fs::create_dir_all(place.parent().expect("a parent")).expect("a directory");
            std::fs::write(place, content).expect("a file");
        }
        let repository = oracle.open();
        let tree = write_tree(&repository, &files(&list));
        let user = UserRules::read(&repository).expect("rules");
        let mut rules = TreeRules::new(&user, &repository, tree);
        for path in [
            "a.log",
            "keep.log",
            "s/a.log",
            "build/x",
            "s/build/x",
            "d/a",
            "d/e/a",
            "d/e/x",
            "d/e/y.log",
            "d/e/z.log",
            "d/f/never",
            "d/e/x/y.log",
            "other",
            "build",
            "d/e/s/x",
        ] {
            let asked = oracle.command(["check-ignore", "-q", "--no-index", path]).status();
            let expected = asked.expect("git runs").success();
            assert_eq!(rules.ignores(path.as_bytes(), false), expected, "{path}");
        }
    }

    #[test]
    fn room_ends_with_the_number_of_files_and_with_their_bytes() {
        let mut room = Room::new();
        assert!(!room.takes(BYTES_LIMIT + 1));
        assert!(room.takes(BYTES_LIMIT));
        assert!(!room.takes(1));
        let mut room = Room::new();
        assert_eq!((0..FILES_LIMIT + 9).filter(|_| room.takes(0)).count(), FILES_LIMIT as usize);
    }
}
