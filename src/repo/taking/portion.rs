//! Taking a part of an environment's work: what was taken already, as a tree, becomes what it is
//! with that part. The rest of the way is that of a whole apply.

use gix::ObjectId;
use gix::objs::tree::{Editor, EntryKind};

use super::super::diff::{self, Change, Renames, Side};
use super::super::lines::{Changes, Span, split};
use super::super::object::{self, failed};
use super::super::readable::{self, Utf16};
use super::super::store::Store;
use super::TakeRequest;
use super::earlier::names;
use crate::model::decision::Portion;
use crate::model::diff::{DiffContent, FileDiff, FileSide, LARGEST, Taken};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::CommitId;
use crate::model::path::RepoPath;

/// The tree that `from`, what was taken so far, becomes with the portion that is asked for of `to`.
/// What is new in it is written to the store, where it stays.
pub(super) fn with_portion(
    store: &Store,
    request: &TakeRequest,
    from: ObjectId,
    to: ObjectId,
) -> Result<ObjectId, Failure> {
    if request.portion == Portion::All {
        return Ok(to);
    }
    let objects = store.reader();
    let changes = diff::changes(&objects, from, to, Renames::Find)?;
    let tree = objects.find_tree(from).map_err(failed("read a tree"))?;
    let tree = tree.decode().map_err(failed("read a tree"))?.into_owned();
    let mut edit = Edit {
        store,
        objects: &objects,
        editor: Editor::new(tree, &objects.objects, store.hash_kind()),
    };
    match &request.portion {
        Portion::All => {}
        Portion::Paths(paths) => {
            for path in paths {
                let touches = |change: &&Change| is_at_or_below(change, path);
                let mut found = changes.iter().filter(touches).peekable();
                if found.peek().is_none() {
                    return Err(nothing_at(request, path));
                }
                for change in found {
                    edit.whole(change)?;
                }
            }
        }
        Portion::Hunk { path, start, lines } => {
            let change = changes.iter().find(|change| change.path == *path);
            let change = change.ok_or_else(|| nothing_at(request, path))?;
            if !edit.hunk(change, *start, *lines)? {
                return Err(nothing_at(request, path));
            }
        }
    }
    let written = edit.editor.write(|tree| store.write_tree(tree)).map_err(failed("store a tree"));
    let written = written?;
    store.sync()?;
    Ok(written)
}

fn is_at_or_below(change: &Change, path: &RepoPath) -> bool {
    let inside = |of: &RepoPath| of.is_within(path);
    inside(&change.path) || change.old_path.as_ref().is_some_and(inside)
}

fn nothing_at(request: &TakeRequest, path: &RepoPath) -> Failure {
    let message = format!("{} has nothing new at {path}", request.name);
    Failure::new(FailureKind::Invalid, message)
        .hint(format!("see what is new: agentdeck diff {} --from taken", request.name))
        .paths(vec![path.clone()])
}

fn no_lines(path: &RepoPath) -> Failure {
    Failure::new(FailureKind::Invalid, format!("{path} has no lines of which some can be taken"))
        .hint("take it whole")
        .paths(vec![path.clone()])
}

/// A tree that becomes what was taken.
struct Edit<'s, 'e> {
    store: &'s Store,
    objects: &'e gix::Repository,
    editor: Editor<'e>,
}

impl Edit<'_, '_> {
    fn whole(&mut self, change: &Change) -> Result<(), Failure> {
        if let Some(old) = change.old_path.as_ref() {
            self.remove(old)?;
        }
        match change.new {
            Some(side) => self.put(&change.path, side.mode.kind(), side.id),
            None => self.remove(&change.path),
        }
    }

    /// The change of name and mode, and of the lines those that a hunk touches; `false` when it
    /// touches none.
    fn hunk(&mut self, change: &Change, start: u32, lines: u32) -> Result<bool, Failure> {
        let Changed { texts: [old, new], mut spans, form } =
            Changed::of(self.objects, change)?.ok_or_else(|| no_lines(&change.path))?;
        let known = spans.len();
        let place = Place::of(start, lines);
        spans.retain(|span| place.touches(span));
        if spans.is_empty() {
            return Ok(false);
        }
        if spans.len() == known {
            self.whole(change)?;
            return Ok(true);
        }
        let Some(side) = change.new.or(change.old) else { return Ok(false) };
        if let Some(old) = change.old_path.as_ref() {
            self.remove(old)?;
        }
        let text = spliced(&old, &new, &spans);
        // In the form that both sides have.
        let bytes = match form {
            Some(form) => form.write(&text).ok_or_else(|| no_lines(&change.path))?,
            None => text,
        };
        let blob = self.store.write_blob(&bytes)?;
        self.put(&change.path, side.mode.kind(), blob)?;
        Ok(true)
    }

    fn put(&mut self, path: &RepoPath, kind: EntryKind, id: ObjectId) -> Result<(), Failure> {
        self.editor.upsert(names(path), kind, id).map_err(failed("edit a tree"))?;
        Ok(())
    }

    fn remove(&mut self, path: &RepoPath) -> Result<(), Failure> {
        self.editor.remove(names(path)).map_err(failed("edit a tree"))?;
        Ok(())
    }
}

/// The lines that a change consists of, all that are shown of it.
struct Changed {
    /// Before and after.
    texts: [Vec<u8>; 2],
    spans: Vec<Span>,
    /// How they are written, where that is not as they are.
    form: Option<Utf16>,
}

impl Changed {
    /// `None` where there are no lines. A link or a submodule is one whole.
    fn of(objects: &gix::Repository, change: &Change) -> Result<Option<Self>, Failure> {
        let content = |side| diff::content(objects, side);
        let mut texts = [content(change.old)?, content(change.new)?];
        let is_file =
            |side: Side| matches!(side.mode.kind(), EntryKind::Blob | EntryKind::BlobExecutable);
        if ![change.old, change.new].into_iter().flatten().all(is_file) {
            let spans = Changes::replaced(&texts[0], &texts[1]).spans;
            return Ok(Some(Self { texts, spans, form: None }));
        }
        if (texts[0].len() + texts[1].len()) as u64 > LARGEST {
            return Ok(None);
        }
        let Ok(form) = readable::read(&mut texts) else { return Ok(None) };
        let spans = Changes::between(&texts[0], &texts[1]).spans;
        Ok(Some(Self { texts, spans, form }))
    }
}

/// The lines of a hunk in the newer text, from zero.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: u32,
    end: u32,
}

impl Place {
    /// As a hunk tells it: one-based, and the line before where there are none.
    fn of(start: u32, lines: u32) -> Self {
        let start = if lines == 0 { start } else { start.saturating_sub(1) };
        Self { start, end: start.saturating_add(lines) }
    }

    /// Whether lines that were put in are within it, or lines that were taken out were.
    fn touches(self, span: &Span) -> bool {
        if span.new.is_empty() {
            return (self.start..=self.end).contains(&span.new.start);
        }
        span.new.start < self.end && span.new.end > self.start
    }
}

/// Says of each file how much of it was taken; `taken` is the base with all that was.
pub fn mark(store: &Store, taken: &CommitId, files: &mut [FileDiff]) -> Result<(), Failure> {
    let objects = store.reader();
    let tree = object::tree_of(&objects, taken)?;
    let tree = objects.find_tree(tree).map_err(failed("read a tree"))?;
    for file in files {
        let there = there(&tree, file)?;
        let is = |mode: Option<u32>, blob: &Option<CommitId>| {
            let side = mode.zip(blob.as_ref());
            side == there.as_ref().map(|side| (side.mode, &side.blob))
        };
        let is_new = is(file.new_mode, &file.new_blob);
        file.taken = if is_new && there.is_some() == file.new_mode.is_some() {
            Taken::All
        } else if is(file.old_mode, &file.old_blob) {
            Taken::Nothing
        } else {
            Taken::Part
        };
    }
    Ok(())
}

/// Says so of a file, and of each of its hunks.
pub fn mark_hunks(store: &Store, taken: &CommitId, file: &mut FileDiff) -> Result<(), Failure> {
    mark(store, taken, std::slice::from_mut(file))?;
    let DiffContent::Text(hunks) = &mut file.content else { return Ok(()) };
    if file.taken != Taken::Part {
        for hunk in hunks {
            hunk.taken = file.taken == Taken::All;
        }
        return Ok(());
    }
    let objects = store.reader();
    let tree = object::tree_of(&objects, taken)?;
    let tree = objects.find_tree(tree).map_err(failed("read a tree"))?;
    let old = there(&tree, file)?;
    let new = file.new_mode.zip(file.new_blob.clone());
    let new = new.map(|(mode, blob)| FileSide { mode, blob });
    let side = |side: Option<FileSide>| side.as_ref().map(diff::side).transpose();
    let change =
        Change { path: file.path.clone(), old_path: None, old: side(old)?, new: side(new)? };
    let left = Changed::of(&objects, &change)?.map(|changed| changed.spans);
    let DiffContent::Text(hunks) = &mut file.content else { return Ok(()) };
    for hunk in hunks {
        let place = Place::of(hunk.new_start, hunk.new_lines);
        hunk.taken = left.as_ref().is_some_and(|left| !left.iter().any(|it| place.touches(it)));
    }
    Ok(())
}

/// What a tree has of a file, under its name or that from before a rename.
fn there(tree: &gix::Tree<'_>, file: &FileDiff) -> Result<Option<FileSide>, Failure> {
    for path in [Some(&file.path), file.old_path.as_ref()].into_iter().flatten() {
        let names = path.as_bytes().split(|byte| *byte == b'/');
        let entry = tree.lookup_entry(names).map_err(failed("read a tree"))?;
        if let Some(entry) = entry.filter(|entry| !entry.mode().is_tree()) {
            let mode = u32::from(entry.mode().value());
            return Ok(Some(FileSide { mode, blob: object::name(entry.object_id()) }));
        }
    }
    Ok(None)
}

/// The old text with these stretches as the new one has them.
fn spliced(old: &[u8], new: &[u8], spans: &[Span]) -> Vec<u8> {
    let (old, new) = (split(old), split(new));
    let mut text = Vec::new();
    let mut at = 0;
    for span in spans {
        text.extend(old[at..span.old.start as usize].concat());
        text.extend(new[span.new.start as usize..span.new.end as usize].concat());
        at = span.old.end as usize;
    }
    text.extend(old[at..].concat());
    text
}
