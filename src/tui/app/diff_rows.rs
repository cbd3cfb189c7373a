//! A file's diff as rows: unified or side by side, hunks folded or not.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::comment::{Comment, CommentId, LineSide};
use crate::model::diff::{DiffContent, DiffLine, FileDiff, LARGEST, LineKind};

use super::super::view::wrap;
use super::super::widget::{foreign, line_shown, line_with_blanks};
use crate::model::policy::show_bytes;

/// One row of a file's diff, text already safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiffRow {
    Hunk {
        hunk: usize,
        text: String,
        folded: bool,
    },
    /// Line numbers before and after, the text, and the row it stands against, if any.
    Line {
        kind: LineKind,
        old: Option<u32>,
        new: Option<u32>,
        text: String,
        /// Places of what stands for characters that cannot be seen.
        hidden: Vec<Range<usize>>,
        partner: Option<usize>,
    },
    Pair {
        old: Option<PairSide>,
        new: Option<PairSide>,
    },
    Note(String),
    /// What a person said of the line above, in as many rows as it takes.
    Comment {
        comment: CommentId,
        side: LineSide,
        text: String,
        sent: bool,
        /// The row it begins in.
        first: bool,
    },
}

/// One half of a row; `changed` tells it from context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PairSide {
    pub(crate) number: u32,
    pub(crate) changed: bool,
    pub(crate) text: String,
    pub(crate) hidden: Vec<Range<usize>>,
}

impl DiffRow {
    pub(super) fn contains(&self, needle: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(needle);
        match self {
            Self::Hunk { .. } | Self::Note(_) | Self::Comment { .. } => false,
            Self::Line { text, .. } => has(text),
            Self::Pair { old, new } => [old, new].into_iter().flatten().any(|side| has(&side.text)),
        }
    }

    /// The number of its line before the change.
    pub(super) fn old_number(&self) -> Option<u32> {
        match self {
            Self::Line { old, .. } => *old,
            Self::Pair { old, .. } => old.as_ref().map(|side| side.number),
            Self::Hunk { .. } | Self::Note(_) | Self::Comment { .. } => None,
        }
    }

    /// Its texts, of the old and the new side.
    pub(super) fn texts(&self) -> [Option<&str>; 2] {
        match self {
            Self::Line { kind: LineKind::Context, text, .. } => [Some(text), Some(text)],
            Self::Line { kind: LineKind::Removed, text, .. } => [Some(text), None],
            Self::Line { kind: LineKind::Added, text, .. } => [None, Some(text)],
            Self::Pair { old, new } => {
                [old, new].map(|side| side.as_ref().map(|side| side.text.as_str()))
            }
            Self::Hunk { .. } | Self::Note(_) | Self::Comment { .. } => [None, None],
        }
    }

    pub(super) fn is_changed(&self) -> bool {
        match self {
            Self::Line { kind, .. } => *kind != LineKind::Context,
            Self::Pair { old, new } => [old, new].into_iter().flatten().any(|side| side.changed),
            Self::Hunk { .. } | Self::Note(_) | Self::Comment { .. } => false,
        }
    }

    pub(super) fn is_comment(&self) -> bool {
        matches!(self, Self::Comment { .. })
    }

    /// Where a comment on this row belongs: the line's side and number, and its text.
    pub(super) fn place(&self) -> Option<(LineSide, u32, &str)> {
        match self {
            Self::Line { new: Some(new), text, .. } => Some((LineSide::New, *new, text)),
            Self::Line { old, text, .. } => Some((LineSide::Old, (*old)?, text)),
            Self::Pair { new: Some(new), .. } => Some((LineSide::New, new.number, &new.text)),
            Self::Pair { old, .. } => {
                old.as_ref().map(|old| (LineSide::Old, old.number, old.text.as_str()))
            }
            Self::Hunk { .. } | Self::Note(_) | Self::Comment { .. } => None,
        }
    }

    fn has_line(&self, side: LineSide, line: u32) -> bool {
        let (old, new) = match self {
            Self::Line { old, new, .. } => (*old, *new),
            Self::Pair { old, new } => {
                (old.as_ref().map(|side| side.number), new.as_ref().map(|side| side.number))
            }
            Self::Hunk { .. } | Self::Note(_) | Self::Comment { .. } => return false,
        };
        Some(line) == if side == LineSide::Old { old } else { new }
    }
}

/// The rows with each comment below its line, in rows of at most so many columns.
pub(super) fn with_comments(
    rows: Vec<DiffRow>,
    comments: &[&Comment],
    columns: usize,
) -> Vec<DiffRow> {
    if comments.is_empty() {
        return rows;
    }
    let mut moved = Vec::with_capacity(rows.len());
    let mut made = Vec::with_capacity(rows.len() + comments.len());
    for row in rows {
        moved.push(made.len());
        let own = comments.iter().filter(|comment| {
            comment.line.is_some_and(|line| row.has_line(comment.place.side, line))
        });
        let own: Vec<DiffRow> = own.flat_map(|comment| said(comment, columns)).collect();
        made.push(row);
        made.extend(own);
    }
    for row in &mut made {
        if let DiffRow::Line { partner: Some(partner), .. } = row {
            *partner = moved[*partner];
        }
    }
    made
}

/// A comment in rows of at most so many columns.
fn said(comment: &Comment, columns: usize) -> impl Iterator<Item = DiffRow> {
    let lines = comment.text.lines().flat_map(move |line| {
        let wrapped = wrap(&foreign(line), columns);
        if wrapped.is_empty() { vec![String::new()] } else { wrapped }
    });
    lines.enumerate().map(|(index, text)| DiffRow::Comment {
        comment: comment.id,
        side: comment.place.side,
        text,
        sent: comment.sent.is_some(),
        first: index == 0,
    })
}

/// A file's rows, folded hunks as their headings alone.
pub(super) fn rows(file: &FileDiff, paired: bool, folded: &BTreeSet<usize>) -> Vec<DiffRow> {
    let note = |text: String| vec![DiffRow::Note(text)];
    let hunks = match &file.content {
        DiffContent::Unread => return note("reading …".to_owned()),
        DiffContent::Text(hunks) if hunks.is_empty() => {
            return note(if file.old_path.is_some() && file.old_blob == file.new_blob {
                "moved, nothing else".to_owned()
            } else {
                "no lines changed".to_owned()
            });
        }
        DiffContent::Text(hunks) => hunks,
        DiffContent::Binary { old, new } => {
            return note(format!("binary, {old} → {new} bytes"));
        }
        DiffContent::TooLarge { old, new } if old + new <= LARGEST => {
            return note(format!(
                "large, {} → {} · Enter reads it",
                show_bytes(*old),
                show_bytes(*new)
            ));
        }
        DiffContent::TooLarge { old, new } => {
            return note(format!(
                "too large to compare, {} → {}",
                show_bytes(*old),
                show_bytes(*new)
            ));
        }
    };
    let mut made = Vec::new();
    for (index, hunk) in hunks.iter().enumerate() {
        let (old, new) = (hunk.old_start, hunk.new_start);
        let folded = folded.contains(&index);
        let taken = if hunk.taken { " · taken" } else { "" };
        let encoding = file.encoding.map_or(String::new(), |it| format!(" · {}", it.name()));
        made.push(DiffRow::Hunk {
            hunk: index,
            text: format!(
                "@@ -{old},{} +{new},{} @@{encoding}{taken}",
                hunk.old_lines, hunk.new_lines
            ),
            folded,
        });
        if folded {
            continue;
        }
        // An empty side is numbered by the line before it.
        let old = old + u32::from(hunk.old_lines == 0);
        let new = new + u32::from(hunk.new_lines == 0);
        if paired {
            side_by_side(old, new, &hunk.lines, &mut made);
        } else {
            unified(old, new, &hunk.lines, &mut made);
        }
    }
    made
}

fn unified(mut old: u32, mut new: u32, lines: &[DiffLine], rows: &mut Vec<DiffRow>) {
    let mut rest = lines;
    while let Some(first) = rest.first() {
        let block = match first.kind {
            LineKind::Context => 1,
            _ => rest.iter().take_while(|line| line.kind != LineKind::Context).count(),
        };
        let (block, after) = rest.split_at(block);
        let mut places: [Vec<(usize, &DiffLine)>; 2] = [Vec::new(), Vec::new()];
        for line in block {
            let (has_old, has_new) = (line.kind != LineKind::Added, line.kind != LineKind::Removed);
            if has_old != has_new {
                places[usize::from(has_new)].push((rows.len(), line));
            }
            let (text, hidden) = line_shown(&line.text);
            rows.push(DiffRow::Line {
                kind: line.kind,
                old: has_old.then_some(old),
                new: has_new.then_some(new),
                text,
                hidden,
                partner: None,
            });
            old += u32::from(has_old);
            new += u32::from(has_new);
            if line.no_newline {
                rows.push(DiffRow::Note("no newline at the end".to_owned()));
            }
        }
        let [removed, added] = places;
        for ((one, old), (other, new)) in removed.into_iter().zip(added) {
            let alike = look_alike(old, new);
            for (at, against, line) in [(one, other, old), (other, one, new)] {
                if let DiffRow::Line { partner, text, hidden, .. } = &mut rows[at] {
                    *partner = Some(against);
                    if alike {
                        (*text, *hidden) = line_with_blanks(&line.text);
                    }
                }
            }
        }
        rest = after;
    }
}

/// Whether two lines differ in blanks that cannot be told apart on a screen.
fn look_alike(old: &DiffLine, new: &DiffLine) -> bool {
    fn visible(line: &DiffLine) -> impl Iterator<Item = &u8> {
        line.text.iter().filter(|byte| !byte.is_ascii_whitespace())
    }
    let shown = |line: &DiffLine| line_shown(&line.text).0;
    visible(old).eq(visible(new)) && shown(old).trim_end() == shown(new).trim_end()
}

/// Lines that were removed stand beside those that were added in their place.
fn side_by_side(mut old: u32, mut new: u32, lines: &[DiffLine], rows: &mut Vec<DiffRow>) {
    let mut rest = lines;
    let side = |line: &DiffLine, number: &mut u32, changed, alike: bool| {
        *number += 1;
        let show = if alike { line_with_blanks } else { line_shown };
        let (text, hidden) = show(&line.text);
        PairSide { number: *number - 1, changed, text, hidden }
    };
    while let Some(first) = rest.first() {
        if first.kind == LineKind::Context {
            rows.push(DiffRow::Pair {
                old: Some(side(first, &mut old, false, false)),
                new: Some(side(first, &mut new, false, false)),
            });
            rest = &rest[1..];
            continue;
        }
        let length = rest.iter().take_while(|line| line.kind != LineKind::Context).count();
        let (block, after) = rest.split_at(length);
        let of = |kind| block.iter().filter(move |line| line.kind == kind);
        let (mut removed, mut added) = (of(LineKind::Removed), of(LineKind::Added));
        loop {
            let pair = (removed.next(), added.next());
            if pair == (None, None) {
                break;
            }
            let alike = pair.0.zip(pair.1).is_some_and(|(old, new)| look_alike(old, new));
            rows.push(DiffRow::Pair {
                old: pair.0.map(|line| side(line, &mut old, true, alike)),
                new: pair.1.map(|line| side(line, &mut new, true, alike)),
            });
        }
        rest = after;
    }
}
