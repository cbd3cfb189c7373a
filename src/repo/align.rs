//! Several versions of a text beside each other, lines that belong together in one row.
//!
//! The base decides what is common. Between common lines, the versions are aligned with each other
//! as well as with the base, so that what two attempts did alike stands in one row although the
//! base has nothing there.

use std::ops::Range;

use super::lines::{Changes, split};
use crate::model::comparison::{AlignedCell, AlignedRow, LineText, Stretch};

/// Above this many pairs of lines, a gap is filled line by line instead of by likeness: likeness
/// costs the product of both lengths.
const MOST_PAIRS: usize = 1 << 14;
/// Bytes of a line that its likeness is judged by.
const JUDGED: usize = 256;

/// Worth of a pair: equal lines before all, then how alike they are, then that they share a row.
const EQUAL: u32 = 100;
const UNLIKE: u32 = 1;
/// Parts in a hundred that two lines must share to be called alike.
const ALIKE: u32 = 40;

/// The stretches of texts of which the first is the base.
pub(super) fn stretches(texts: &[Vec<u8>]) -> Vec<Stretch> {
    let lines: Vec<Vec<&[u8]>> = texts.iter().map(|text| split(text)).collect();
    let Some((base, others)) = texts.split_first() else { return Vec::new() };
    let changes: Vec<Changes> = others.iter().map(|text| Changes::between(base, text)).collect();
    let mut columns: Vec<Cursor<'_>> = changes.iter().map(Cursor::new).collect();
    let mut stretches = Vec::new();
    let mut at = 0;
    for hunk in hunks(&changes) {
        push_common(&mut stretches, &lines, &columns, at..hunk.start);
        let mut ranges = vec![hunk.clone()];
        ranges.extend(columns.iter_mut().map(|column| column.pass(&hunk)));
        let of = |column: usize| {
            let Range { start, end } = ranges[column].clone();
            &lines[column][start as usize..end as usize]
        };
        let parts: Vec<&[&[u8]]> = (0..lines.len()).map(of).collect();
        stretches.push(changed(&parts, &ranges));
        at = hunk.end;
    }
    push_common(&mut stretches, &lines, &columns, at..lines[0].len() as u32);
    stretches
}

/// Ranges of the base that any version changed; what touches is one.
fn hunks(changes: &[Changes]) -> Vec<Range<u32>> {
    let mut spans: Vec<Range<u32>> =
        changes.iter().flat_map(|changes| &changes.spans).map(|span| span.old.clone()).collect();
    spans.sort_by_key(|span| (span.start, span.end));
    let mut hunks: Vec<Range<u32>> = Vec::new();
    for span in spans {
        match hunks.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => hunks.push(span),
        }
    }
    hunks
}

/// Goes through a version's changes beside the base.
struct Cursor<'a> {
    spans: std::iter::Peekable<std::slice::Iter<'a, super::lines::Span>>,
    /// What to add to a line of the base to get the version's own.
    shift: i64,
}

impl<'a> Cursor<'a> {
    fn new(changes: &'a Changes) -> Self {
        Self { spans: changes.spans.iter().peekable(), shift: 0 }
    }

    /// The version's own lines for a hunk, which the cursor is past afterwards.
    fn pass(&mut self, hunk: &Range<u32>) -> Range<u32> {
        let start = self.own(hunk.start);
        while let Some(span) = self.spans.next_if(|span| span.old.end <= hunk.end) {
            self.shift += span.new.len() as i64 - span.old.len() as i64;
        }
        start..self.own(hunk.end)
    }

    fn own(&self, line: u32) -> u32 {
        (i64::from(line) + self.shift) as u32
    }
}

fn push_common(
    stretches: &mut Vec<Stretch>,
    lines: &[Vec<&[u8]>],
    columns: &[Cursor<'_>],
    range: Range<u32>,
) {
    if range.is_empty() {
        return;
    }
    let own = columns.iter().map(|column| column.own(range.start) + 1);
    let starts = std::iter::once(range.start + 1).chain(own).collect();
    let kept = &lines[0][range.start as usize..range.end as usize];
    stretches.push(Stretch::Common { starts, lines: kept.iter().map(|line| text(line)).collect() });
}

fn text(line: &[u8]) -> LineText {
    LineText(line.strip_suffix(b"\n").unwrap_or(line).to_vec())
}

fn changed(parts: &[&[&[u8]]], ranges: &[Range<u32>]) -> Stretch {
    let mut groups: Vec<u32> = Vec::with_capacity(parts.len());
    for (column, part) in parts.iter().enumerate() {
        let known = parts[..column].iter().position(|other| other == part);
        let next = groups.iter().max().map_or(0, |highest| highest + 1);
        groups.push(known.map_or(next, |index| groups[index]));
    }
    let rows = align(parts).into_iter().map(|row| {
        let cell = |(column, line): (usize, Option<usize>)| {
            line.map(|line| AlignedCell {
                number: ranges[column].start + line as u32 + 1,
                text: text(parts[column][line]),
            })
        };
        AlignedRow { cells: row.into_iter().enumerate().map(cell).collect() }
    });
    Stretch::Changed { groups, rows: rows.collect() }
}

/// One place for each column, by its line in the part.
type Row = Vec<Option<usize>>;

/// Adds one version after the other to rows that began as the base's lines.
fn align(parts: &[&[&[u8]]]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for column in 0..parts.len() {
        rows = add(parts, &rows, column);
    }
    rows
}

fn add(parts: &[&[&[u8]]], rows: &[Row], column: usize) -> Vec<Row> {
    let own = parts[column];
    let mut added = Vec::with_capacity(rows.len().max(own.len()));
    let anchors = anchors(parts, rows, column);
    let (mut row, mut line) = (0, 0);
    for (anchor_row, anchor_line) in anchors.into_iter().chain([(rows.len(), own.len())]) {
        fill(parts, &rows[row..anchor_row], line..anchor_line, column, &mut added);
        if anchor_row < rows.len() {
            let mut anchored = rows[anchor_row].clone();
            anchored[column] = Some(anchor_line);
            added.push(anchored);
        }
        (row, line) = (anchor_row + 1, anchor_line + 1);
    }
    added
}

/// Rows and lines that are equal in the earlier version that this one is nearest to.
fn anchors(parts: &[&[&[u8]]], rows: &[Row], column: usize) -> Vec<(usize, usize)> {
    let own = parts[column].concat();
    let nearest = (0..column)
        .map(|other| (other, Changes::between(&parts[other].concat(), &own)))
        .max_by_key(|(other, changes)| {
            (u64::from(changes.old_lines) - changes.removed(), std::cmp::Reverse(*other))
        });
    let Some((other, changes)) = nearest else { return Vec::new() };
    let mut row_of = vec![0; parts[other].len()];
    for (index, row) in rows.iter().enumerate() {
        if let Some(line) = row[other] {
            row_of[line] = index;
        }
    }
    let mut found = Vec::new();
    let (mut old, mut new) = (0, 0);
    let end = (changes.old_lines, changes.new_lines);
    let spans = changes.spans.iter().map(|span| (span.old.clone(), span.new.clone()));
    for (removed, inserted) in spans.chain([(end.0..end.0, end.1..end.1)]) {
        let equal = (old..removed.start).zip(new..inserted.start);
        found.extend(equal.map(|(old, new)| (row_of[old as usize], new as usize)));
        (old, new) = (removed.end, inserted.end);
    }
    found
}

/// Puts lines beside the rows of a gap that they are most like; what has no row gets one.
fn fill(
    parts: &[&[&[u8]]],
    rows: &[Row],
    lines: Range<usize>,
    column: usize,
    added: &mut Vec<Row>,
) {
    let pairs = if rows.len() * lines.len() <= MOST_PAIRS {
        likest(rows.len(), lines.len(), |row, line| {
            worth(parts, &rows[row], parts[column][lines.start + line])
        })
    } else {
        (0..rows.len().min(lines.len())).map(|place| (place, place)).collect()
    };
    let (mut row, mut line) = (0, 0);
    for (next_row, next_line) in pairs.into_iter().chain([(rows.len(), lines.len())]) {
        added.extend_from_slice(&rows[row..next_row]);
        for alone in line..next_line {
            let mut own = vec![None; parts.len()];
            own[column] = Some(lines.start + alone);
            added.push(own);
        }
        if next_row < rows.len() {
            let mut shared = rows[next_row].clone();
            shared[column] = Some(lines.start + next_line);
            added.push(shared);
        }
        (row, line) = (next_row + 1, next_line + 1);
    }
}

/// How much it is worth that a line stands in a row.
fn worth(parts: &[&[&[u8]]], row: &Row, line: &[u8]) -> u32 {
    let others = row.iter().enumerate().filter_map(|(column, at)| Some(parts[column][(*at)?]));
    others.map(|other| likeness(other, line)).max().unwrap_or(UNLIKE)
}

/// What two lines share at their beginnings and ends, in parts of a hundred.
fn likeness(one: &[u8], other: &[u8]) -> u32 {
    if one == other {
        return EQUAL;
    }
    let cut = |line: &[u8]| line.trim_ascii()[..line.trim_ascii().len().min(JUDGED)].to_vec();
    let (one, other) = (cut(one), cut(other));
    let shorter = one.len().min(other.len());
    let head = one.iter().zip(&other).take_while(|(a, b)| a == b).count();
    let tail = one.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    let shared = (head + tail).min(shorter);
    let longer = one.len().max(other.len());
    if longer == 0 {
        return EQUAL - 1;
    }
    let parts = (shared * 99 / longer) as u32;
    if parts < ALIKE { UNLIKE } else { parts }
}

/// The pairs, in order, whose worth is the greatest in all.
fn likest(rows: usize, lines: usize, worth: impl Fn(usize, usize) -> u32) -> Vec<(usize, usize)> {
    let width = lines + 1;
    let mut best = vec![0_u32; (rows + 1) * width];
    let mut pair = vec![0_u32; rows * lines];
    for row in (0..rows).rev() {
        for line in (0..lines).rev() {
            let value = worth(row, line);
            pair[row * lines + line] = value;
            best[row * width + line] = (best[(row + 1) * width + line + 1] + value)
                .max(best[(row + 1) * width + line])
                .max(best[row * width + line + 1]);
        }
    }
    let (mut row, mut line) = (0, 0);
    let mut pairs = Vec::new();
    while row < rows && line < lines {
        let here = best[row * width + line];
        if here == best[(row + 1) * width + line + 1] + pair[row * lines + line] {
            pairs.push((row, line));
            (row, line) = (row + 1, line + 1);
        } else if here == best[(row + 1) * width + line] {
            row += 1;
        } else {
            line += 1;
        }
    }
    pairs
}

#[cfg(test)]
mod tests;
