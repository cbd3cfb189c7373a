//! A snapshot from hints: only the paths that were touched are read, the rest of the last tree
//! stays. What it costs follows the number of paths and the depth of the tree, not its size.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use anyhow::Context;
use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::{Editor, EntryMode};
use rustix::io::Errno;

use crate::model::path::RepoPath;
use crate::model::snapshot::{Skipped, SnapshotCause};

use super::convert::join;
use super::scan::{IGNORED_LIMIT, Place, SKIPPED_LIMIT, Scan, Within, refused_by_git};
use super::snapshot::{Previous, Taken};
use super::store::Store;
use super::walk::{self, Found};

/// Takes the touched paths into the last snapshot's tree.
pub(super) fn paths(
    store: &Store,
    repository: &gix::Repository,
    previous: &Previous,
    (workspace, cause): (&Path, SnapshotCause),
    paths: &BTreeSet<RepoPath>,
) -> anyhow::Result<Taken> {
    let root = walk::open_root(workspace)
        .with_context(|| format!("cannot open the workspace {}", workspace.display()))?;
    let tree = repository.find_tree(previous.tree)?.decode()?.into_owned();
    let mut scan = Scan::new(store, repository, (previous.base_tree, previous.tree), (cause, None));
    scan.enter(root.as_fd(), b"");
    let mut edit = Edit {
        scan,
        editor: Editor::new(tree, &repository.objects, store.hash_kind()),
        levels: vec![Level { path: Vec::new(), directory: root, within: Within::Open }],
        gathered: BTreeSet::new(),
    };
    let mut settled: Vec<Vec<u8>> = Vec::new();
    for path in paths {
        let path = path.as_bytes();
        if settled.last().is_some_and(|directory| is_beneath(path, directory)) {
            continue;
        }
        settled.extend(edit.path(path)?);
    }
    let tree = edit.editor.write(|tree| store.write_tree(tree))?;
    let gathered = edit.gathered;
    let (_, told) = edit.scan.into_cache();
    let kept = previous.skipped.iter().filter(|old| {
        if old.reason == Skipped::HIDDEN_MANY && gathered.contains(parent(&old.path)) {
            return false;
        }
        let old = old.path.as_bytes();
        let told_again = |path: &[u8]| old == path || is_beneath(old, path);
        !paths.iter().any(|path| told_again(path.as_bytes()))
            && !settled.iter().any(|path| told_again(path))
    });
    Ok(Taken { tree, skipped: within_limits(kept.cloned().chain(told)) })
}

/// As many as a walk of everything would name.
fn within_limits(skipped: impl Iterator<Item = Skipped>) -> Vec<Skipped> {
    let mut ignored = 0;
    let named = skipped.filter(|skipped| {
        let many = skipped.is_ignored() || skipped.reason == Skipped::HIDDEN_MANY;
        ignored += usize::from(many);
        !many || ignored <= IGNORED_LIMIT
    });
    named.take(SKIPPED_LIMIT).collect()
}

struct Edit<'s, 'e> {
    scan: Scan<'s>,
    editor: Editor<'e>,
    /// The open directories from the root to the last path's; their rules are entered.
    levels: Vec<Level>,
    /// Directories in which all files were looked at that only new rules ignore.
    gathered: BTreeSet<Vec<u8>>,
}

struct Level {
    path: Vec<u8>,
    directory: OwnedFd,
    within: Within,
}

impl Level {
    fn place(&self) -> Place<'_> {
        Place { directory: self.directory.as_fd(), path: &self.path, within: self.within }
    }
}

impl Edit<'_, '_> {
    /// Takes one path; gives back the path up to which everything beneath is settled by it.
    fn path(&mut self, path: &[u8]) -> anyhow::Result<Option<Vec<u8>>> {
        let names: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        if names.iter().any(|name| *name == b".git") {
            return Ok(None);
        }
        if names.iter().any(|name| refused_by_git(name)) {
            self.scan.skip(path, "git refuses this name");
            return Ok(None);
        }
        let reached = self.descend(&names[..names.len() - 1])?;
        // Where a parent is no directory any more, that parent is what changed.
        let path = names[..=reached].join(&b'/');
        self.leaf(names[reached])?;
        Ok(Some(path))
    }

    /// Opens the directories named, reusing those open already; how many could be opened.
    fn descend(&mut self, names: &[&[u8]]) -> anyhow::Result<usize> {
        let mut path = Vec::new();
        for (depth, name) in names.iter().enumerate() {
            path = join(&path, name);
            if self.levels.get(depth + 1).is_some_and(|level| level.path == path) {
                continue;
            }
            self.ascend(depth + 1);
            let parent = self.levels.last().expect("the root stays open");
            let directory = match walk::open_directory(parent.directory.as_fd(), name) {
                Ok(directory) => directory,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV | Errno::ACCESS) => {
                    return Ok(depth);
                }
                Err(error) => return Err(error.into()),
            };
            // A submodule is taken as a whole, as a walk does.
            let is_repository = walk::look(directory.as_fd(), b".git").is_ok();
            if is_repository && self.scan.gitlink(&path).is_some() {
                return Ok(depth);
            }
            let outside = parent.within;
            let Some(within) = self.scan.within(outside, directory.as_fd(), &path) else {
                return Ok(depth);
            };
            self.scan.enter(directory.as_fd(), &path);
            self.levels.push(Level { path: path.clone(), directory, within });
        }
        self.ascend(names.len() + 1);
        Ok(names.len())
    }

    fn ascend(&mut self, levels: usize) {
        while self.levels.len() > levels {
            self.levels.pop();
            self.scan.leave();
        }
    }

    fn leaf(&mut self, name: &[u8]) -> anyhow::Result<()> {
        let place = self.levels.last().expect("the root stays open").place();
        let path = join(place.path, name);
        let found = self.scan.entry(&place, name)?;
        put(&mut self.editor, &path, found)?;
        if self.scan.is_hidden_file(&place, name) && self.gathered.insert(place.path.to_vec()) {
            gather(&mut self.scan, &mut self.editor, &place)?;
        }
        Ok(())
    }
}

/// Brings the files of a directory that only new rules ignore into the tree where they are few, and
/// out of it where they are many: one that comes or goes may decide that of all.
fn gather(scan: &mut Scan<'_>, editor: &mut Editor<'_>, place: &Place<'_>) -> anyhow::Result<()> {
    let few = scan.are_few(place)?;
    for name in walk::names(place.directory)? {
        let path = join(place.path, &name);
        let is_file = walk::look(place.directory, &name).is_ok_and(|it| it != Found::Directory);
        if !is_file || !scan.is_hidden_file(place, &name) || few && scan.had(&path) {
            continue;
        }
        let found = scan.entry(place, &name)?;
        put(editor, &path, found)?;
    }
    Ok(())
}

fn put(
    editor: &mut Editor<'_>,
    path: &[u8],
    found: Option<(EntryMode, ObjectId)>,
) -> anyhow::Result<()> {
    let names = || path.split(|byte| *byte == b'/').map(BStr::new);
    editor.remove(names())?;
    if let Some((mode, id)) = found {
        editor.upsert(names(), mode.kind(), id)?;
    }
    Ok(())
}

/// The directory that a path is in.
fn parent(path: &RepoPath) -> &[u8] {
    let path = path.as_bytes();
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

fn is_beneath(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
}
