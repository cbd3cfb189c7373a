//! What comes of answers: files and lines that replace older ones, while the agent works on, without
//! moving the reader.

use std::collections::BTreeSet;

use super::{DiffRow, DiffView};
use crate::model::diff::{Detail, Diff, DiffContent, FileDiff};
use crate::proto::{DiffSide, Request};

impl DiffView {
    /// Whether what is on the screen is not of the newest snapshot that is known.
    pub(in super::super) fn is_stale(&self) -> bool {
        self.stale
    }

    /// Whether the chosen file is on the screen as it is in the snapshot.
    pub(super) fn is_read(&self) -> bool {
        self.lines.is_some() && !self.stale
    }

    /// A file's lines could not be had. What was read of it stays, and is known to be older.
    pub(in super::super) fn reading_failed(&mut self, reading: u64) {
        if self.reading.take_if(|asked| *asked == reading).is_some() {
            self.unreadable = true;
            if self.lines.is_none() {
                self.lay_out();
            }
        }
    }

    /// Has what could not be read asked for again; `false` when it is being read.
    pub(in super::super) fn read_after_failure(&mut self) -> bool {
        std::mem::take(&mut self.unreadable)
    }

    /// Whether it shows the workspace as it goes on, and not two snapshots.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.to, DiffSide::Newest | DiffSide::Head)
    }

    /// Asks again, for the newest snapshot or for the workspace as it is now.
    pub(in super::super) fn request_again(&self, to: DiffSide) -> Request {
        let (target, from) = (self.target(), self.from.clone());
        Request::ReadDiff { target, from, to, detail: Detail::Counted }
    }

    /// Has the chosen file read anew, while what was read of it stays on the screen.
    pub(in super::super) fn read_again(&mut self) {
        (self.stale, self.unreadable) = (true, false);
        self.reading = None;
    }

    /// Takes the files, the first time or again; the reader stays at the file.
    pub(in super::super) fn fill(&mut self, diff: Diff, counted: bool) {
        let before = self.chosen().cloned();
        self.diff = Some(diff);
        self.counted = counted;
        self.arrange(before.as_ref().map(|file| &file.path));
        let (Some(before), Some(now)) = (before, self.chosen()) else { return };
        if before.path != now.path {
            return;
        }
        if !are_same(&before, now) {
            self.read_again();
        } else if self.lines.is_none() {
            self.lay_out();
        }
    }

    /// Takes a file's lines; where it was read before, the reader stays at the line.
    pub(in super::super) fn fill_file(&mut self, reading: u64, file: FileDiff) {
        if self.reading != Some(reading) {
            return;
        }
        let anchor = self.stale.then(|| self.anchor());
        let folded = self.starts_of(&self.folded);
        self.stale = false;
        self.lines = Some(file);
        if anchor.is_some() {
            self.folded = self.hunks_at(&folded);
        }
        // The reading is over; another may be asked for when the file changes again.
        self.reading = None;
        self.lay_out();
        if let Some((old, offset)) = anchor {
            self.return_to(old, offset);
        }
        self.reach_goal();
    }

    /// The line before the change that the reader is at or below, and by how many rows of the diff.
    pub(super) fn anchor(&self) -> (u32, usize) {
        let above = self.rows.iter().take(self.place.row + 1).rev();
        let above = above.filter(|row| !row.is_comment());
        let mut count = 0;
        for (offset, row) in above.enumerate() {
            if let Some(number) = row.old_number() {
                return (number, offset);
            }
            count = offset;
        }
        (0, count)
    }

    pub(super) fn return_to(&mut self, old: u32, offset: usize) {
        let above = self.place.row.saturating_sub(self.place.top);
        let is_there = |row: &DiffRow| row.old_number().is_some_and(|number| number >= old);
        let found = if old == 0 { Some(0) } else { self.rows.iter().position(is_there) };
        let last = self.rows.len().saturating_sub(1);
        let below = |row: usize| {
            let rows = self.rows.iter().enumerate().skip(row).filter(|(_, row)| !row.is_comment());
            rows.map(|(index, _)| index).nth(offset)
        };
        self.place.row = found.and_then(below).unwrap_or(last);
        self.place.top = self.place.row.saturating_sub(above);
    }

    /// First lines, before the change, of hunks by their numbers.
    fn starts_of(&self, hunks: &BTreeSet<usize>) -> BTreeSet<u32> {
        let Some(DiffContent::Text(known)) = self.lines.as_ref().map(|file| &file.content) else {
            return BTreeSet::new();
        };
        hunks.iter().filter_map(|index| Some(known.get(*index)?.old_start)).collect()
    }

    fn hunks_at(&self, starts: &BTreeSet<u32>) -> BTreeSet<usize> {
        let Some(DiffContent::Text(known)) = self.lines.as_ref().map(|file| &file.content) else {
            return BTreeSet::new();
        };
        let folded = known.iter().enumerate().filter(|(_, hunk)| starts.contains(&hunk.old_start));
        folded.map(|(index, _)| index).collect()
    }
}

/// Whether lines read for one are those of the other.
fn are_same(one: &FileDiff, other: &FileDiff) -> bool {
    one.old_path == other.old_path
        && (one.old_mode, one.new_mode) == (other.old_mode, other.new_mode)
        && (&one.old_blob, &one.new_blob) == (&other.old_blob, &other.new_blob)
}
