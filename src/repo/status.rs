//! Uncommitted work in the user's repository, without git and without any filter of the user's.
//!
//! A file whose status is what the index recorded is unchanged, as git has it; only the others are
//! read, converted by git's built-in rules and compared by name. LFS files, which a filter turned
//! into pointers, are compared with their pointer.

use std::collections::BTreeSet;
use std::os::fd::{AsFd, BorrowedFd};

use anyhow::Context;
use gix::bstr::{BStr, ByteSlice};
use gix::index::entry::stat::Options as StatOptions;
use gix::index::entry::{Flags, Mode, Stage, Stat};
use gix::index::{Entry, State};
use gix::objs::Kind;
use sha2::{Digest, Sha256};

use crate::model::path::RepoPath;

use super::convert::{ATTRIBUTES_FILE, IGNORE_FILE, Rules, join};
use super::sparse_index;
use super::user::UserRepository;
use super::walk::{self, Content, Found};

/// At most this many paths are told: nobody reads more, and a message has to carry them.
const PATHS_LIMIT: usize = 1000;

/// Files above this, in bytes, count as changed when their status changed: they are not read.
const READ_LIMIT: u64 = 256 << 20;

/// An LFS pointer is shorter than this, in bytes, by its specification.
const POINTER_LIMIT: usize = 1024;

/// Paths that differ from `HEAD`, sorted, untracked ones included and ignored ones left out; the
/// first of them only, where there are very many.
pub(super) fn uncommitted(user: &UserRepository) -> anyhow::Result<Vec<RepoPath>> {
    up_to(user, PATHS_LIMIT)
}

/// All paths that differ from `HEAD`.
pub(super) fn all_uncommitted(user: &UserRepository) -> anyhow::Result<Vec<RepoPath>> {
    up_to(user, usize::MAX)
}

fn up_to(user: &UserRepository, limit: usize) -> anyhow::Result<Vec<RepoPath>> {
    let repository = user.reader();
    let kept = repository.index_or_empty().context("cannot read the index")?;
    let mut unfolded = None;
    let index: &State = if kept.is_sparse() {
        let index = unfolded.insert(State::clone(&kept));
        sparse_index::unfold(index, &repository);
        index
    } else {
        &kept
    };
    let tree = repository.head_tree_id().context("cannot read HEAD")?;
    let head = repository.index_from_tree(&tree).context("cannot read the tree of HEAD")?;
    let mut paths = staged(&head, index);

    let config = repository.config_snapshot();
    let mut status = Status {
        repository: &repository,
        index,
        rules: Rules::new(&user.rules()?),
        stat: StatOptions {
            trust_ctime: config.boolean("core.trustctime").unwrap_or(true),
            check_stat: config
                .string("core.checkStat")
                .is_none_or(|value| value.as_slice() != b"minimal"),
            // Git itself compares seconds only unless it was built otherwise.
            use_nsec: false,
            use_stdev: false,
        },
        executable_bit: config.boolean("core.fileMode").unwrap_or(true),
        seen: vec![false; index.entries().len()],
        paths: BTreeSet::new(),
        limit,
    };
    let root = walk::open_root(user.root())?;
    status.directory(root.as_fd(), b"", false)?;
    status.missing();
    paths.append(&mut status.paths);
    Ok(paths.into_iter().take(limit).map(RepoPath::new).collect())
}

/// Paths that `HEAD` and the index have differently.
fn staged(head: &State, index: &State) -> BTreeSet<Vec<u8>> {
    let mut paths = BTreeSet::new();
    for entry in index.entries() {
        let path = entry.path(index);
        let same = entry.stage() == Stage::Unconflicted
            && head
                .entry_by_path(path)
                .is_some_and(|old| old.id == entry.id && old.mode == entry.mode);
        if !same && !entry.flags.contains(Flags::INTENT_TO_ADD) {
            paths.insert(path.to_vec());
        }
    }
    for entry in head.entries() {
        let path = entry.path(head);
        if index.entry_by_path(path).is_none() {
            paths.insert(path.to_vec());
        }
    }
    paths
}

struct Status<'a> {
    repository: &'a gix::Repository,
    index: &'a State,
    rules: Rules,
    stat: StatOptions,
    executable_bit: bool,
    /// By position in the index: the path is there.
    seen: Vec<bool>,
    paths: BTreeSet<Vec<u8>>,
    limit: usize,
}

impl Status<'_> {
    fn directory(
        &mut self,
        directory: BorrowedFd<'_>,
        path: &[u8],
        ignored: bool,
    ) -> anyhow::Result<()> {
        let names = walk::names(directory)?;
        let read = |name: &[u8]| match walk::read_file(directory, name, READ_LIMIT) {
            Ok(Content::Bytes { bytes, .. }) => Some(bytes),
            _ => None,
        };
        self.rules.enter(path, read(IGNORE_FILE).as_deref(), read(ATTRIBUTES_FILE).as_deref());
        for name in names {
            if name != b".git" && self.paths.len() < self.limit {
                self.entry(directory, &name, &join(path, &name), ignored)?;
            }
        }
        self.rules.leave();
        Ok(())
    }

    fn entry(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        ignored: bool,
    ) -> anyhow::Result<()> {
        let Ok(found) = walk::look(directory, name) else { return Ok(()) };
        let is_directory = found == Found::Directory;
        let tracked = self.index.entry_index_by_path(BStr::new(path)).ok();
        if let Some(position) = tracked {
            self.seen[position] = true;
            let entry = &self.index.entries()[position];
            if entry.mode == Mode::COMMIT && is_directory {
                return Ok(());
            }
            if self.differs(directory, name, path, found, entry) {
                self.paths.insert(path.to_vec());
            }
            return Ok(());
        }
        let ignored = ignored || self.rules.is_ignored(path, is_directory);
        if is_directory {
            let holds_tracked = self.index.path_is_directory(BStr::new(path));
            if ignored && !holds_tracked {
                return Ok(());
            }
            let Ok(inner) = walk::open_directory(directory, name) else { return Ok(()) };
            if !holds_tracked && walk::look(inner.as_fd(), b".git").is_ok() {
                self.paths.insert(path.to_vec());
                return Ok(());
            }
            return self.directory(inner.as_fd(), path, ignored);
        }
        if !ignored && !matches!(found, Found::Special(_)) {
            self.paths.insert(path.to_vec());
        }
        Ok(())
    }

    fn differs(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: &[u8],
        found: Found,
        entry: &Entry,
    ) -> bool {
        if entry.flags.intersects(Flags::ASSUME_VALID | Flags::SKIP_WORKTREE) {
            return false;
        }
        match found {
            Found::Link { stat } => {
                entry.mode != Mode::SYMLINK
                    || !self.is_as_recorded(entry, &stat)
                        && walk::read_link(directory, name)
                            .map_or(true, |target| !self.is_blob(entry, &target))
            }
            Found::File { executable, stat, .. } => {
                let mode = if executable { Mode::FILE_EXECUTABLE } else { Mode::FILE };
                if entry.mode == Mode::SYMLINK || self.executable_bit && entry.mode != mode {
                    return true;
                }
                if self.is_as_recorded(entry, &stat) {
                    return false;
                }
                match walk::read_file(directory, name, READ_LIMIT) {
                    Ok(Content::Bytes { bytes, .. }) => self.file_differs(entry, path, &bytes),
                    _ => true,
                }
            }
            Found::Directory | Found::Special(_) => true,
        }
    }

    fn is_as_recorded(&self, entry: &Entry, stat: &Stat) -> bool {
        entry.stat.matches(stat, self.stat)
            && !entry.stat.is_racy(self.index.timestamp(), self.stat)
    }

    fn file_differs(&mut self, entry: &Entry, path: &[u8], bytes: &[u8]) -> bool {
        if self.is_blob(entry, bytes) {
            return false;
        }
        let repository = self.repository;
        let blob = || Some(repository.find_blob(entry.id).ok()?.detach().data);
        if self.rules.filter(path).as_deref() == Some(b"lfs") {
            return blob().is_none_or(|pointer| !is_pointer_to(&pointer, bytes));
        }
        let mut stored = blob;
        let converted = self.rules.stored_form(path, bytes, &mut stored).into_owned();
        if self.is_blob(entry, &converted) {
            return false;
        }
        // What git would check out is unchanged, also where adding it again would convert it.
        blob().is_none_or(|blob| *self.rules.checked_out_form(path, &blob) != *bytes)
    }

    fn is_blob(&self, entry: &Entry, bytes: &[u8]) -> bool {
        gix::objs::compute_hash(self.repository.object_hash(), Kind::Blob, bytes)
            .is_ok_and(|id| id == entry.id)
    }

    /// Tracked paths that the walk did not meet.
    fn missing(&mut self) {
        for (position, entry) in self.index.entries().iter().enumerate() {
            let absent_on_purpose = Flags::ASSUME_VALID | Flags::SKIP_WORKTREE;
            if self.paths.len() < self.limit
                && !self.seen[position]
                && !entry.flags.intersects(absent_on_purpose)
            {
                self.paths.insert(entry.path(self.index).to_vec());
            }
        }
    }
}

/// Whether an LFS pointer names this content, by its size and SHA-256.
fn is_pointer_to(pointer: &[u8], content: &[u8]) -> bool {
    if pointer.len() > POINTER_LIMIT {
        return false;
    }
    let field =
        |name: &[u8]| pointer.lines().find_map(|line| line.strip_prefix(name)).map(<[u8]>::to_vec);
    field(b"size ") == Some(content.len().to_string().into_bytes())
        && field(b"oid sha256:")
            .and_then(|hex| gix::ObjectId::from_hex(&hex).ok())
            .is_some_and(|id| id.as_slice() == Sha256::digest(content).as_slice())
}
