//! From a workspace to git trees: what is taken, what is left out and why.
//!
//! A file's blob is its bytes. No attribute converts them, whoever wrote it: what git would store of
//! them is asked when they are taken.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::{Entry, EntryKind, EntryMode};
use rustix::io::Errno;

use crate::model::path::RepoPath;
use crate::model::policy::show_bytes;
use crate::model::snapshot::Skipped;

use super::base::BaseTree;
use super::convert::{IGNORE_FILE, Rules, join};
use super::stat::StatCache;
use super::store::Store;
use super::walk::{self, Content, Found};

/// A rules file above this, in bytes, is taken as a file but its rules are not read.
pub(super) const RULES_LIMIT: u64 = 1 << 20;

/// Directories nested deeper are skipped: one descriptor is open for each level.
const DEPTH_LIMIT: usize = 128;

/// At most this many skipped paths are named.
pub(super) const SKIPPED_LIMIT: usize = 1000;

/// At most this many ignored files and directories, which each snapshot would say again.
pub(super) const IGNORED_LIMIT: usize = 100;

/// Turns a workspace, or parts of one, into trees in the store.
pub(super) struct Scan<'s> {
    store: &'s Store,
    base: BaseTree<'s>,
    /// The last snapshot, which has what cannot be read any more.
    last: BaseTree<'s>,
    pub rules: Rules,
    cache: Option<StatCache>,
    pub skipped: Vec<Skipped>,
    ignored: usize,
}

/// A directory while it is being read.
struct Place<'f> {
    directory: BorrowedFd<'f>,
    path: &'f [u8],
    /// It, or a parent, is ignored: only what the base tracks is taken.
    ignored: bool,
}

impl<'s> Scan<'s> {
    pub fn new(
        store: &'s Store,
        repository: &'s gix::Repository,
        (base, last): (ObjectId, ObjectId),
        cache: Option<StatCache>,
    ) -> Self {
        Self {
            store,
            base: BaseTree::new(repository, base),
            last: BaseTree::new(repository, last),
            rules: Rules::new(&store.rules),
            cache,
            skipped: Vec::new(),
            ignored: 0,
        }
    }

    pub fn into_cache(self) -> (Option<StatCache>, Vec<Skipped>) {
        (self.cache, self.skipped)
    }

    /// Takes a directory whose parents' rules were entered. `None` when nothing in it is taken.
    pub fn directory(
        &mut self,
        directory: &OwnedFd,
        path: &[u8],
        ignored: bool,
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        let place = Place { directory: directory.as_fd(), path, ignored };
        self.tree(&place, path.split(|byte| *byte == b'/').count())
    }

    /// Enters the rules of a directory.
    pub fn enter(&mut self, directory: BorrowedFd<'_>, path: &[u8]) {
        self.rules.enter(path, read_rules(directory, IGNORE_FILE).as_deref(), None);
    }

    fn tree(
        &mut self,
        place: &Place<'_>,
        depth: usize,
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        let mut names = walk::names(place.directory)?;
        if !place.path.is_empty() && names.iter().any(|name| name == b".git") {
            if let Some(gitlink) = self.gitlink(place.path) {
                self.skip(place.path, "the files of a submodule");
                return Ok(Some(gitlink));
            }
            self.skip(&join(place.path, b".git"), "the inside of a nested repository");
        }
        names.retain(|name| name != b".git");
        if names.is_empty() {
            return Ok(self.gitlink(place.path));
        }
        self.enter(place.directory, place.path);
        let mut entries = Vec::with_capacity(names.len());
        let mut result = Ok(());
        for name in names {
            match self.entry(place, &name, depth) {
                Ok(Some((mode, oid))) => entries.push(Entry { mode, filename: name.into(), oid }),
                Ok(None) => {}
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
        }
        self.rules.leave();
        result?;
        if entries.is_empty() {
            return Ok(None);
        }
        entries.sort();
        let id = self.store.write_tree(&gix::objs::Tree { entries })?;
        Ok(Some((EntryKind::Tree.into(), id)))
    }

    /// A submodule of the base stays what it was: its files are another repository's.
    pub fn gitlink(&mut self, path: &[u8]) -> Option<(EntryMode, ObjectId)> {
        self.base.entry(path).filter(|(mode, _)| mode.is_commit())
    }

    fn entry(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
        depth: usize,
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        let path = join(place.path, name);
        let found = match walk::look(place.directory, name) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Ok(self.unreadable(&path, error)),
        };
        let is_directory = found == Found::Directory;
        let ignored = place.ignored || self.rules.is_ignored(&path, is_directory);
        if self.leaves(&path, ignored) {
            return Ok(None);
        }
        if refused_by_git(name) {
            self.skip(&path, "git refuses this name");
            return Ok(None);
        }
        if !is_directory {
            return self.leaf(place, name, &path, found);
        }
        if depth >= DEPTH_LIMIT {
            self.skip(&path, "nested too deeply");
            return Ok(self.kept(&path));
        }
        match walk::open_directory(place.directory, name) {
            Ok(directory) => {
                let inner = Place { directory: directory.as_fd(), path: &path, ignored };
                self.tree(&inner, depth + 1)
            }
            // It went, or something else came into its place; a notice of that follows.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(error) => Ok(self.unreadable(&path, error)),
        }
    }

    pub fn is_tracked(&mut self, path: &[u8]) -> bool {
        self.base.entry(path).is_some()
    }

    /// Whether rules leave a path out, with all that is in it; it is named then.
    pub fn leaves(&mut self, path: &[u8], ignored: bool) -> bool {
        let leaves = ignored && !self.is_tracked(path);
        if leaves && self.ignored < IGNORED_LIMIT {
            self.ignored += 1;
            self.skip(path, Skipped::IGNORED);
        }
        leaves
    }

    /// Takes what is not a directory, in a directory whose rules were entered.
    pub fn file(
        &mut self,
        directory: &OwnedFd,
        name: &[u8],
        path: &[u8],
        found: Found,
        ignored: bool,
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        if self.leaves(path, ignored) {
            return Ok(None);
        }
        let place = Place { directory: directory.as_fd(), path: b"", ignored };
        self.leaf(&place, name, path, found)
    }

    fn leaf(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
        path: &[u8],
        found: Found,
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        match found {
            Found::Special(what) => {
                self.skip(path, what);
                Ok(None)
            }
            Found::Link { .. } => match walk::read_link(place.directory, name) {
                Ok(target) => Ok(Some((EntryKind::Link.into(), self.store.write_blob(&target)?))),
                Err(Errno::NOENT | Errno::INVAL) => Ok(None),
                Err(error) => Ok(self.unreadable(path, error)),
            },
            Found::File { executable, stat, .. } => {
                if let Some(cache) = &mut self.cache
                    && let Some(id) = cache.unchanged(path, &stat)
                {
                    cache.keep(path, stat, id);
                    return Ok(Some((file_mode(executable), id)));
                }
                self.read(place, name, path)
            }
            Found::Directory => unreachable!("directories are taken by `tree`"),
        }
    }

    fn read(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
        path: &[u8],
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        let caps = self.store.caps;
        let mut content = walk::read_file(place.directory, name, caps.new);
        if matches!(content, Ok(Content::TooLarge)) {
            if self.base.entry(path).is_none() {
                self.skip(path, &larger_than(caps.new));
                return Ok(self.kept(path));
            }
            content = walk::read_file(place.directory, name, caps.any);
            if matches!(content, Ok(Content::TooLarge)) {
                self.skip(path, &larger_than(caps.any));
                return Ok(self.kept(path));
            }
        }
        match content {
            Ok(Content::Bytes { bytes, executable, stat }) => {
                let id = self.store.write_blob(&bytes)?;
                if let Some(cache) = &mut self.cache {
                    cache.remember(path, stat, id);
                }
                Ok(Some((file_mode(executable), id)))
            }
            Ok(Content::Changed | Content::TooLarge) | Err(Errno::NOENT) => Ok(None),
            Err(error) => Ok(self.unreadable(path, error)),
        }
    }

    /// What cannot be read stays as it was when it could be.
    pub fn unreadable(&mut self, path: &[u8], error: Errno) -> Option<(EntryMode, ObjectId)> {
        self.skip(path, &format!("cannot be read: {error}"));
        self.kept(path)
    }

    /// What the last snapshot has, or the base where nothing was taken yet.
    fn kept(&mut self, path: &[u8]) -> Option<(EntryMode, ObjectId)> {
        self.last.entry(path).or_else(|| self.base.entry(path))
    }

    pub fn skip(&mut self, path: &[u8], reason: &str) {
        if self.skipped.len() < SKIPPED_LIMIT {
            self.skipped.push(Skipped { path: RepoPath::new(path), reason: reason.to_owned() });
        }
    }
}

fn larger_than(cap: u64) -> String {
    format!("larger than {}", show_bytes(cap))
}

/// Whether git would never check such a name out: forms of `.git` on any file system.
pub(super) fn refused_by_git(name: &[u8]) -> bool {
    let options = gix::validate::path::component::Options {
        protect_windows: false,
        protect_hfs: true,
        protect_ntfs: true,
    };
    gix::validate::path::component(BStr::new(name), None, options).is_err()
}

/// The content of a rules file, where there is one of sensible size.
pub(super) fn read_rules(directory: BorrowedFd<'_>, name: &[u8]) -> Option<Vec<u8>> {
    match walk::read_file(directory, name, RULES_LIMIT) {
        Ok(Content::Bytes { bytes, .. }) => Some(bytes),
        _ => None,
    }
}

fn file_mode(executable: bool) -> EntryMode {
    if executable { EntryKind::BlobExecutable.into() } else { EntryKind::Blob.into() }
}
