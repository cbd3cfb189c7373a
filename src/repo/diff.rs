//! The difference between two trees, computed from stored objects alone.
//!
//! No attribute driver, text conversion or filter takes part: what is compared is what is stored.
//! Texts of UTF-16 alone are read as such.
//! Renames are found as gix finds them, which among equally similar candidates may pick another
//! than git does.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gix::ObjectId;
use gix::diff::Rewrites;
use gix::object::tree::diff::ChangeDetached;
use gix::objs::tree::{EntryKind, EntryMode};

use super::lines::{self, Changes};
use super::literal::Literals;
use super::object;
use super::readable::{self, Utf16};
use super::store::Store;
use crate::model::caution::{self, Caution};
use crate::model::diff::{
    Detail, Diff, DiffContent, DiffLine, FileChange, FileDiff, FileMatches, FileSide, Hunk,
    LARGEST, LineKind, Reach, Review, Taken, TextEncoding, Whitespace,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;

/// Texts above this, in bytes, are not compared line by line unless they are asked for by
/// themselves: few read such a diff, and comparing two such texts takes a core for a moment.
const MAX_TEXT: u64 = 4 << 20;

/// Lines that one diff may hold, all files together: besides its text each costs a hundred bytes in
/// memory and a third of that in a message.
const MOST_LINES: u64 = 2 << 20;

/// Lines of both sides of a file above which they are not compared: comparing costs some forty bytes
/// for each, however few of them differ.
const MOST_COMPARED: u64 = 8 << 20;

/// Compares two commits, snapshots or the user's own.
pub fn between(
    store: &Store,
    from: &CommitId,
    to: &CommitId,
    detail: Detail,
) -> Result<Diff, Failure> {
    commits(&store.reader(), from, to, detail)
}

/// Compares one file's contents; `path` names it, and decides which program would run it.
pub fn file(
    store: &Store,
    paths: (RepoPath, Option<RepoPath>),
    (old, new): (Option<&FileSide>, Option<&FileSide>),
    whitespace: Whitespace,
    reach: Reach,
) -> Result<FileDiff, Failure> {
    let repository = store.reader();
    let (path, old_path) = paths;
    let (old, new) = (old.map(side).transpose()?, new.map(side).transpose()?);
    let largest = if reach == Reach::Whole { LARGEST } else { MAX_TEXT };
    let (left, lines) = (LARGEST, MOST_LINES);
    let mut reader = Reader { repository: &repository, largest, left, lines, whitespace };
    reader.file(Change { path, old_path, old, new })
}

/// Compares two commits or trees that `repository` sees.
pub(super) fn commits(
    repository: &gix::Repository,
    from: &CommitId,
    to: &CommitId,
    detail: Detail,
) -> Result<Diff, Failure> {
    with_counts(repository, (from, to), detail, &Counts::default())
}

/// As [`between`], pairs of contents that were counted before not being read again.
pub fn known_between(
    store: &Store,
    ends: (&CommitId, &CommitId),
    detail: Detail,
    counts: &Counts,
) -> Result<Diff, Failure> {
    with_counts(&store.reader(), ends, detail, counts)
}

fn with_counts(
    repository: &gix::Repository,
    (from, to): (&CommitId, &CommitId),
    detail: Detail,
    counts: &Counts,
) -> Result<Diff, Failure> {
    let trees = (object::tree_of(repository, from)?, object::tree_of(repository, to)?);
    let changes = changes(repository, trees.0, trees.1, Renames::Find)?;
    let largest = if detail == Detail::Patch { LARGEST } else { MAX_TEXT };
    let (left, lines) = (LARGEST, MOST_LINES);
    let mut reader = Reader { repository, largest, left, lines, whitespace: Whitespace::Exact };
    let mut literals = Literals::new(repository);
    let mut files = Vec::with_capacity(changes.len());
    for change in changes {
        files.push(match detail {
            Detail::Outline => described(change, (DiffContent::Unread, 0, 0)),
            Detail::Counted => counts.file(repository, change)?,
            Detail::Lines => reader.file(change)?,
            Detail::Patch => {
                let mut file = reader.file(change)?;
                literals.add(&mut file)?;
                file
            }
        });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Diff { from: from.clone(), to: to.clone(), files })
}

/// Files of a difference in whose lines, as a diff shows them, a text stands in whatever case, and in
/// how many; by path.
pub fn find(
    store: &Store,
    (from, to): (&CommitId, &CommitId),
    text: &str,
    whitespace: Whitespace,
) -> Result<Vec<FileMatches>, Failure> {
    let repository = &store.reader();
    let trees = (object::tree_of(repository, from)?, object::tree_of(repository, to)?);
    let needle = text.to_lowercase();
    let mut found = Vec::new();
    for change in changes(repository, trees.0, trees.1, Renames::Find)? {
        // Each file's lines are let go of again, so there is no bound for all together.
        let (largest, left, lines) = (MAX_TEXT, u64::MAX, MOST_LINES);
        let mut reader = Reader { repository, largest, left, lines, whitespace };
        let ((DiffContent::Text(hunks), ..), _) = reader.content(&change)? else { continue };
        let holds =
            |line: &&DiffLine| String::from_utf8_lossy(&line.text).to_lowercase().contains(&needle);
        let lines = hunks.iter().flat_map(|hunk| &hunk.lines).filter(holds).count();
        if lines > 0 {
            found.push(FileMatches { path: change.path, lines: lines as u32 });
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Renames {
    Find,
    Ignore,
}

/// One side of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Side {
    pub(super) mode: EntryMode,
    pub(super) id: ObjectId,
}

/// A file, link or submodule that differs between two trees. Never a directory.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) path: RepoPath,
    pub(super) old_path: Option<RepoPath>,
    pub(super) old: Option<Side>,
    pub(super) new: Option<Side>,
}

impl Change {
    pub(super) fn kind(&self) -> FileChange {
        match (&self.old, &self.new) {
            (None, _) => FileChange::Added,
            (_, None) => FileChange::Deleted,
            _ if self.old_path.is_some() => FileChange::Renamed,
            (Some(old), Some(new)) if old.id == new.id || self.changes_type() => FileChange::Mode,
            _ => FileChange::Modified,
        }
    }

    /// Whether a file became a link or a submodule, or the other way round.
    pub(super) fn changes_type(&self) -> bool {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => {
                old.mode.is_blob() != new.mode.is_blob() || old.mode.is_link() != new.mode.is_link()
            }
            _ => false,
        }
    }
}

/// A side as the model has it.
pub(super) fn side(side: &FileSide) -> Result<Side, Failure> {
    let mode = EntryMode::try_from(side.mode)
        .map_err(|_| Failure::new(FailureKind::Invalid, format!("{:o} is no mode", side.mode)))?;
    Ok(Side { mode, id: object::id(&side.blob) })
}

/// What differs between two trees, in the order of the walk.
pub(super) fn changes(
    repository: &gix::Repository,
    from: ObjectId,
    to: ObjectId,
    renames: Renames,
) -> Result<Vec<Change>, Failure> {
    let from = repository.find_tree(from).map_err(object::failed("read a tree"))?;
    let to = repository.find_tree(to).map_err(object::failed("read a tree"))?;
    let mut options = gix::diff::Options::default();
    options.track_rewrites((renames == Renames::Find).then(Rewrites::default));
    let found = repository
        .diff_tree_to_tree(&from, &to, options)
        .map_err(object::failed("compare two trees"))?;
    let mut changes: Vec<Change> = Vec::with_capacity(found.len());
    for change in found {
        push(&mut changes, change);
    }
    Ok(changes)
}

/// Keeps what is not a directory; a file that became a directory, or the reverse, is two changes.
fn push(changes: &mut Vec<Change>, change: ChangeDetached) {
    let side = |mode: EntryMode, id| (!mode.is_tree()).then_some(Side { mode, id });
    let (path, old_path, old, new) = match change {
        ChangeDetached::Addition { location, entry_mode, id, .. } => {
            (location, None, None, side(entry_mode, id))
        }
        ChangeDetached::Deletion { location, entry_mode, id, .. } => {
            (location, None, side(entry_mode, id), None)
        }
        ChangeDetached::Modification {
            location,
            previous_entry_mode,
            previous_id,
            entry_mode,
            id,
        } => (location, None, side(previous_entry_mode, previous_id), side(entry_mode, id)),
        ChangeDetached::Rewrite {
            source_location,
            source_entry_mode,
            source_id,
            entry_mode,
            id,
            location,
            copy,
            ..
        } => {
            let source = (!copy).then(|| RepoPath::new(Vec::from(source_location)));
            let old = if copy { None } else { side(source_entry_mode, source_id) };
            (location, source, old, side(entry_mode, id))
        }
    };
    if old.is_some() || new.is_some() {
        changes.push(Change { path: RepoPath::new(Vec::from(path)), old_path, old, new });
    }
}

/// A file's lines as shown, and how many come and go.
type Counted = (DiffContent, u64, u64);

/// Reads content and counts what may still be compared.
struct Reader<'a> {
    repository: &'a gix::Repository,
    /// Bytes of one side at most.
    largest: u64,
    /// Bytes of all that is still to come; files beyond it are listed without their lines.
    left: u64,
    /// Lines of hunks that are still to come, in the same way.
    lines: u64,
    whitespace: Whitespace,
}

impl Reader<'_> {
    fn file(&mut self, change: Change) -> Result<FileDiff, Failure> {
        let (content, encoding) = self.content(&change)?;
        let mut file = described(change, content);
        file.encoding = encoding;
        file.cautions.extend(hidden_line(&file.content).map(|line| Caution::Invisible { line }));
        Ok(file)
    }

    /// The lines, with how many come and go, and what they stand in where that is not UTF-8.
    fn content(&mut self, change: &Change) -> Result<(Counted, Option<TextEncoding>), Failure> {
        if let (Some(old), Some(new)) = (change.old, change.new)
            && old.id == new.id
        {
            return Ok(((DiffContent::Text(Vec::new()), 0, 0), None));
        }
        let sizes = (size(self.repository, change.old)?, size(self.repository, change.new)?);
        let (old_size, new_size) = sizes;
        let whole = old_size + new_size;
        let too_large = DiffContent::TooLarge { old: old_size, new: new_size };
        if old_size.max(new_size) > self.largest || whole > self.left {
            return Ok(((too_large, 0, 0), None));
        }
        self.left -= whole;
        let mut texts =
            [content(self.repository, change.old)?, content(self.repository, change.new)?];
        let Ok(encoding) = readable::read(&mut texts) else {
            return Ok(((DiffContent::Binary { old: old_size, new: new_size }, 0, 0), None));
        };
        let [old, new] = texts;
        if lines::count(&old) + lines::count(&new) > MOST_COMPARED {
            return Ok(((too_large, 0, 0), None));
        }
        let changes = if change.changes_type() {
            Changes::replaced(&old, &new)
        } else {
            match self.whitespace {
                Whitespace::Exact => Changes::between(&old, &new),
                Whitespace::Ignored => Changes::between_words(&old, &new),
            }
        };
        if changes.shown() > self.lines {
            return Ok(((too_large, 0, 0), None));
        }
        self.lines -= changes.shown();
        let hunks: Vec<Hunk> = changes.hunks(&old, &new);
        let counted = (DiffContent::Text(hunks), changes.added(), changes.removed());
        Ok((counted, encoding.map(Utf16::name)))
    }
}

/// A change with what was read of it.
fn described(change: Change, (content, added, removed): (DiffContent, u64, u64)) -> FileDiff {
    let mode = |side: &Option<Side>| side.map(|side| u32::from(side.mode.value()));
    let blob = |side: &Option<Side>| side.map(|side| object::name(side.id));
    let (old_mode, new_mode) = (mode(&change.old), mode(&change.new));
    FileDiff {
        change: change.kind(),
        cautions: caution::of_file(&change.path, old_mode, new_mode),
        old_mode,
        new_mode,
        old_blob: blob(&change.old),
        new_blob: blob(&change.new),
        path: change.path,
        old_path: change.old_path,
        added,
        removed,
        content,
        review: Review::Unreviewed,
        taken: Taken::Nothing,
        encoding: None,
        literal: None,
    }
}

/// The first new line that hides something.
fn hidden_line(content: &DiffContent) -> Option<u32> {
    let DiffContent::Text(hunks) = content else { return None };
    hunks.iter().find_map(|hunk| {
        let new = hunk.lines.iter().filter(|line| line.kind != LineKind::Removed);
        let mut numbered = (hunk.new_start..).zip(new);
        let hides = |line: &DiffLine| line.kind == LineKind::Added && caution::hides(&line.text);
        numbered.find(|(_, line)| hides(line)).map(|(number, _)| number)
    })
}

/// Bytes of one side; what does not exist has none.
fn size(repository: &gix::Repository, side: Option<Side>) -> Result<u64, Failure> {
    match side {
        Some(side) if !side.mode.is_commit() => {
            let header =
                repository.find_header(side.id).map_err(object::failed("read a file's size"))?;
            Ok(header.size())
        }
        _ => Ok(0),
    }
}

/// The content of one side. A submodule reads as git shows it: a line naming its commit.
pub(super) fn content(
    repository: &gix::Repository,
    side: Option<Side>,
) -> Result<Vec<u8>, Failure> {
    match side {
        None => Ok(Vec::new()),
        Some(side) if side.mode.kind() == EntryKind::Commit => {
            Ok(format!("Subproject commit {}\n", side.id).into_bytes())
        }
        Some(side) => {
            let object = repository.find_object(side.id).map_err(object::failed("read a file"))?;
            Ok(object.detach().data)
        }
    }
}

/// Lines added and removed between pairs of blobs, each pair counted once however often it is
/// asked for: a comparison that is looked at while agents work asks for nearly the same again.
#[derive(Default)]
pub struct Counts(Mutex<HashMap<Pair, Measure>>);

/// The contents before and after.
type Pair = (Option<ObjectId>, Option<ObjectId>);

/// What a pair of contents came to, without the lines.
#[derive(Clone, Copy)]
struct Measure {
    added: u64,
    removed: u64,
    /// The first new line that hides something.
    hides: Option<u32>,
    body: Body,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    Lines,
    Binary,
    TooLarge,
}

/// Pairs kept at most, some 40 MB; past it the counting begins anew.
const MOST_PAIRS: usize = 1 << 18;

impl Counts {
    /// Added and removed lines; zero for binary and very large content.
    pub(super) fn of(
        &self,
        repository: &gix::Repository,
        change: &Change,
    ) -> Result<(u64, u64), Failure> {
        let Measure { added, removed, .. } = self.measure(repository, change)?;
        Ok((added, removed))
    }

    /// Where its new lines hide something, if they do.
    pub(super) fn hidden(
        &self,
        repository: &gix::Repository,
        change: &Change,
    ) -> Result<Option<Caution>, Failure> {
        let Measure { hides, .. } = self.measure(repository, change)?;
        Ok(hides.map(|line| Caution::Invisible { line }))
    }

    /// A change with its lines counted, which are not in it.
    fn file(&self, repository: &gix::Repository, change: Change) -> Result<FileDiff, Failure> {
        let Measure { added, removed, hides, body } = self.measure(repository, &change)?;
        let content = if body == Body::Lines {
            DiffContent::Unread
        } else {
            let (old, new) = (size(repository, change.old)?, size(repository, change.new)?);
            match body {
                Body::Binary => DiffContent::Binary { old, new },
                _ => DiffContent::TooLarge { old, new },
            }
        };
        let mut file = described(change, (content, added, removed));
        file.cautions.extend(hides.map(|line| Caution::Invisible { line }));
        Ok(file)
    }

    fn measure(&self, repository: &gix::Repository, change: &Change) -> Result<Measure, Failure> {
        let key = (change.old.map(|side| side.id), change.new.map(|side| side.id));
        if let Some(known) = self.lock().get(&key) {
            return Ok(*known);
        }
        // What is only counted is not sent, and so needs no bound for all files together.
        let (largest, left, lines) = (MAX_TEXT, u64::MAX, MOST_LINES);
        let mut reader = Reader { repository, largest, left, lines, whitespace: Whitespace::Exact };
        let ((content, added, removed), _) = reader.content(change)?;
        let body = match content {
            DiffContent::Binary { .. } => Body::Binary,
            DiffContent::TooLarge { .. } => Body::TooLarge,
            DiffContent::Text(_) | DiffContent::Unread => Body::Lines,
        };
        let measure = Measure { added, removed, hides: hidden_line(&content), body };
        let mut counts = self.lock();
        if counts.len() >= MOST_PAIRS {
            counts.clear();
        }
        counts.insert(key, measure);
        Ok(measure)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Pair, Measure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The content; `None` where it is too large to compare line by line.
pub(super) fn within_reach(
    repository: &gix::Repository,
    side: Option<Side>,
) -> Result<Option<Vec<u8>>, Failure> {
    if size(repository, side)? > MAX_TEXT {
        return Ok(None);
    }
    content(repository, side).map(Some)
}

#[cfg(test)]
mod tests;
