//! From a workspace to git trees: what is taken, what is left out and why.
//!
//! A file's blob is its bytes. No attribute converts them, whoever wrote it: what git would store of
//! them is asked when they are taken.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{SystemTime, UNIX_EPOCH};

use gix::ObjectId;
use gix::bstr::BStr;
use gix::objs::tree::{Entry, EntryKind, EntryMode};
use rustix::io::Errno;

use crate::model::path::RepoPath;
use crate::model::policy::show_bytes;
use crate::model::snapshot::{Skipped, SnapshotCause};

use super::base::BaseTree;
use super::convert::{IGNORE_FILE, Rules, join};
use super::hidden::{Room, TreeRules};
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

/// A file above this, in bytes, is not taken while it is being written: each version of it is kept
/// whole, and what grows to the size of a package would be kept once a second on its way there.
const LARGE: u64 = 10 << 20;

/// How long a large file has to be as it is, in seconds, before it is taken without anybody asking.
const QUIET: u64 = 10;

/// Turns a workspace, or parts of one, into trees in the store.
pub(super) struct Scan<'s> {
    store: &'s Store,
    repository: &'s gix::Repository,
    /// When it began, in seconds since the epoch, where large files may wait.
    patient_since: Option<u64>,
    base: BaseTree<'s>,
    /// The last snapshot, which has what cannot be read any more.
    last: BaseTree<'s>,
    rules: Rules,
    /// What the base itself ignores.
    base_rules: TreeRules<'s>,
    /// Directories in which only new rules ignore files: whether those files are few.
    few: HashMap<Vec<u8>, bool>,
    cache: Option<StatCache>,
    pub skipped: Vec<Skipped>,
    ignored: usize,
}

/// How a directory stands to the rules of the workspace.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Within {
    Open,
    /// It, or a parent, is ignored: only what the base tracks is taken.
    Ignored,
    /// It, or a parent, is ignored by new rules alone, and little enough to be taken.
    Hidden,
}

/// What becomes of a name in a directory.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// It is taken; what is beneath it stands so.
    Taken(Within),
    Ignored,
    /// Only rules that the base does not have ignore it.
    Hidden,
}

/// A directory while it is being read.
pub(super) struct Place<'f> {
    pub directory: BorrowedFd<'f>,
    pub path: &'f [u8],
    pub within: Within,
}

impl<'s> Scan<'s> {
    pub fn new(
        store: &'s Store,
        repository: &'s gix::Repository,
        (base, last): (ObjectId, ObjectId),
        (cause, cache): (SnapshotCause, Option<StatCache>),
    ) -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            store,
            repository,
            patient_since: (cause == SnapshotCause::Change).then_some(since.as_secs()),
            base: BaseTree::new(repository, base),
            last: BaseTree::new(repository, last),
            rules: Rules::new(&store.rules),
            base_rules: TreeRules::new(&store.rules, repository, base),
            few: HashMap::new(),
            cache,
            skipped: Vec::new(),
            ignored: 0,
        }
    }

    pub fn into_cache(self) -> (Option<StatCache>, Vec<Skipped>) {
        (self.cache, self.skipped)
    }

    /// Takes the root. `None` when nothing in it is taken.
    pub fn root(&mut self, root: &OwnedFd) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        self.tree(&Place { directory: root.as_fd(), path: b"", within: Within::Open })
    }

    /// Enters the rules of a directory.
    pub fn enter(&mut self, directory: BorrowedFd<'_>, path: &[u8]) {
        self.rules.enter(path, read_rules(directory, IGNORE_FILE).as_deref(), None);
    }

    /// Forgets those of the directory entered last.
    pub fn leave(&mut self) {
        self.rules.leave();
    }

    fn tree(&mut self, place: &Place<'_>) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
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
            match self.entry(place, &name) {
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

    /// Takes a name in a directory whose rules were entered, and all beneath it.
    pub fn entry(
        &mut self,
        place: &Place<'_>,
        name: &[u8],
    ) -> anyhow::Result<Option<(EntryMode, ObjectId)>> {
        let path = join(place.path, name);
        let found = match walk::look(place.directory, name) {
            Ok(found) => found,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Ok(self.unreadable(&path, error)),
        };
        let is_directory = found == Found::Directory;
        let within = match self.verdict(place.within, &path, is_directory) {
            Verdict::Taken(within) => within,
            Verdict::Ignored => return Ok(self.ignored(&path, Skipped::IGNORED)),
            Verdict::Hidden if is_directory => {
                if !self.is_little(place.directory, name, &path) {
                    self.skip(&path, Skipped::HIDDEN_MUCH);
                    return Ok(None);
                }
                Within::Hidden
            }
            Verdict::Hidden if self.are_few(place)? => Within::Hidden,
            Verdict::Hidden => return Ok(self.ignored(&path, Skipped::HIDDEN_MANY)),
        };
        if refused_by_git(name) {
            self.skip(&path, "git refuses this name");
            return Ok(None);
        }
        if !is_directory {
            return self.leaf(place, name, &path, found);
        }
        if is_too_deep(&path) {
            self.skip(&path, "nested too deeply");
            return Ok(self.kept(&path));
        }
        match walk::open_directory(place.directory, name) {
            Ok(directory) => {
                self.tree(&Place { directory: directory.as_fd(), path: &path, within })
            }
            // It went, or something else came into its place; a notice of that follows.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::XDEV) => Ok(None),
            Err(error) => Ok(self.unreadable(&path, error)),
        }
    }

    fn verdict(&mut self, within: Within, path: &[u8], is_directory: bool) -> Verdict {
        if within == Within::Open && !self.rules.is_ignored(path, is_directory) {
            return Verdict::Taken(Within::Open);
        }
        if self.base.entry(path).is_some() {
            return Verdict::Taken(Within::Ignored);
        }
        if self.base_rules.ignores(path, is_directory) {
            return Verdict::Ignored;
        }
        // Whoever reads the snapshot has to find what says so.
        let is_rules =
            !is_directory && path.rsplit(|byte| *byte == b'/').next() == Some(IGNORE_FILE);
        if within == Within::Hidden || is_rules {
            return Verdict::Taken(within);
        }
        Verdict::Hidden
    }

    /// How a directory beneath another one stands, where it is taken name by name: it was before.
    pub fn within(
        &mut self,
        outside: Within,
        directory: BorrowedFd<'_>,
        path: &[u8],
    ) -> Option<Within> {
        match self.verdict(outside, path, true) {
            _ if is_too_deep(path) => None,
            Verdict::Taken(within) => Some(within),
            Verdict::Ignored => None,
            Verdict::Hidden => {
                let is_little = self.has_room(directory, path, &mut Room::new());
                (is_little && self.had(path)).then_some(Within::Hidden)
            }
        }
    }

    /// Whether the last snapshot has a path.
    pub fn had(&mut self, path: &[u8]) -> bool {
        self.last.entry(path).is_some()
    }

    /// Whether a file of this name is one that only new rules ignore, whether it is there or not.
    pub fn is_hidden_file(&mut self, place: &Place<'_>, name: &[u8]) -> bool {
        self.verdict(place.within, &join(place.path, name), false) == Verdict::Hidden
    }

    /// Whether the files of a directory that only new rules ignore are few, all together.
    pub fn are_few(&mut self, place: &Place<'_>) -> anyhow::Result<bool> {
        if let Some(known) = self.few.get(place.path) {
            return Ok(*known);
        }
        let mut room = Room::new();
        let mut few = true;
        for name in walk::names(place.directory)? {
            let Ok(found) = walk::look(place.directory, &name) else { continue };
            if found == Found::Directory || !self.is_hidden_file(place, &name) {
                continue;
            }
            if !room.takes(found.size()) {
                few = false;
                break;
            }
        }
        self.few.insert(place.path.to_vec(), few);
        Ok(few)
    }

    /// Whether a directory holds little but what the base ignores.
    fn is_little(&mut self, parent: BorrowedFd<'_>, name: &[u8], path: &[u8]) -> bool {
        // What cannot be opened is said of it later.
        let Ok(directory) = walk::open_directory(parent, name) else { return true };
        self.has_room(directory.as_fd(), path, &mut Room::new())
    }

    fn has_room(&mut self, directory: BorrowedFd<'_>, path: &[u8], room: &mut Room) -> bool {
        self.base_rules.has_room(directory, path, room)
    }

    fn ignored(&mut self, path: &[u8], reason: &str) -> Option<(EntryMode, ObjectId)> {
        if self.ignored < IGNORED_LIMIT {
            self.ignored += 1;
            self.skip(path, reason);
        }
        None
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
            Found::File { executable, stat, size } => {
                if let Some(cache) = &mut self.cache
                    && let Some(id) = cache.unchanged(path, &stat)
                {
                    cache.keep(path, stat, id);
                    return Ok(Some((file_mode(executable), id)));
                }
                let written = u64::from(stat.ctime.secs);
                let waits = self.patient_since.is_some_and(|now| is_fresh(written, now));
                if waits && size > LARGE && size <= self.store.caps.any {
                    self.skip(path, Skipped::WRITTEN);
                    return Ok(self.whole_before(path));
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
                // What was taken of it on its way there is none of its versions.
                self.skip(path, &larger_than(caps.new));
                return Ok(None);
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
    fn unreadable(&mut self, path: &[u8], error: Errno) -> Option<(EntryMode, ObjectId)> {
        self.skip(path, &format!("{}: {error}", Skipped::UNREAD));
        self.kept(path)
    }

    /// What there is of a large file that is being written: its last version, but none from its way
    /// to becoming large.
    fn whole_before(&mut self, path: &[u8]) -> Option<(EntryMode, ObjectId)> {
        let found = self.kept(path)?;
        let is_large = |id| self.repository.find_header(id).is_ok_and(|it| it.size() > LARGE);
        (is_large(found.1) || self.base.entry(path).is_some()).then_some(found)
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

/// Whether a directory is nested deeper than any that is looked into.
fn is_too_deep(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').count() >= DEPTH_LIMIT
}

/// Whether a file that was written at a time, in seconds, may still be being written.
fn is_fresh(written: u64, now: u64) -> bool {
    (written..written + QUIET).contains(&now)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_a_moment_ago_waits_and_no_clock_keeps_it_waiting() {
        let written = 1_700_000_000;
        for (now, fresh) in [(0, true), (9, true), (10, false), (3600, false)] {
            assert_eq!(is_fresh(written, written + now), fresh, "{now} s later");
        }
        assert!(!is_fresh(written, written - 60), "the clock was set back");
    }
}
