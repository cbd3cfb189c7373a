//! Rows that left the top of the grid, packed.
//!
//! A cell of the grid takes 24 bytes whatever it shows; of what nobody can write into any more, only
//! the text and its looks are kept, in blocks of whole lines. The oldest block goes when there are
//! rows or bytes enough without it.

mod line;

use std::collections::VecDeque;
use std::sync::Arc;

use alacritty_terminal::grid::Row as GridRow;
use alacritty_terminal::term::cell::{Cell, Flags};

use super::paint::{Painter, is_wrapped};
use super::rows;
use crate::model::screen::{Row, Style};
use line::{Line, Writer};

/// Rows kept at least, as far as they fit into [`MOST_BYTES`].
pub(super) const KEPT: u32 = 10_000;
/// Bytes kept at most; ten thousand full rows of 120 plain cells take 1.3 MB.
const MOST_BYTES: usize = 4 << 20;
/// A block is closed when it has so many bytes. It is also what is dropped at once.
const BLOCK: usize = 32 << 10;
/// Cells of a line that is kept as one; a longer one goes on in the next.
const LONGEST: usize = 8 << 10;
/// Rows are counted anew when so many were dropped, long before the numbers are used up.
const MOST_DROPPED: u32 = 1 << 31;

/// Lines that lie one behind the other.
#[derive(Clone, Default)]
struct Block {
    bytes: Vec<u8>,
    starts: Vec<u32>,
    rows: u32,
}

impl Block {
    fn lines(&self) -> impl DoubleEndedIterator<Item = Line<'_>> {
        (0..self.starts.len()).map(|index| {
            let end = self.starts.get(index + 1).map_or(self.bytes.len(), |end| *end as usize);
            Line(&self.bytes[self.starts[index] as usize..end])
        })
    }
}

/// What is kept above the grid, oldest first.
#[derive(Clone, Default)]
pub(super) struct History {
    blocks: VecDeque<Arc<Block>>,
    columns: u16,
    rows: u32,
    bytes: usize,
    dropped: u32,
}

impl History {
    pub(super) fn new(columns: u16) -> Self {
        Self { columns, ..Self::default() }
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> u32 {
        self.rows
    }

    /// The number of the first row: how many there were before it.
    pub(super) fn first(&self) -> u32 {
        self.dropped
    }

    /// Takes rows of the grid, oldest first. The last is the end of a line, or the line goes on in
    /// what is taken next.
    pub(super) fn take(&mut self, taken: &[&GridRow<Cell>]) {
        let most = (LONGEST / usize::from(self.columns.max(1))).max(1);
        let mut rest = taken;
        while !rest.is_empty() {
            let last = rest.iter().position(|row| !is_wrapped(row)).unwrap_or(rest.len() - 1);
            let (rows, below) = rest.split_at(most.min(last + 1));
            self.line(|writer| {
                for (index, row) in rows.iter().enumerate() {
                    let next = rows.get(index + 1).or(below.first());
                    writer.cells(row, length(row, next.copied(), index > 0));
                }
                rows.last().is_some_and(|row| is_wrapped(row))
            });
            rest = below;
        }
    }

    /// Takes a line of printable ASCII.
    pub(super) fn take_ascii(&mut self, text: &[u8], style: Style) {
        let mut parts = text.chunks(LONGEST).peekable();
        if text.is_empty() {
            self.line(|_| false);
        }
        while let Some(part) = parts.next() {
            let goes_on = parts.peek().is_some();
            self.line(|writer| {
                writer.ascii(part, style);
                goes_on
            });
        }
    }

    fn line(&mut self, write: impl FnOnce(&mut Writer<'_>) -> bool) {
        if self.blocks.back().is_none_or(|block| block.bytes.len() >= BLOCK) {
            self.blocks.push_back(Arc::default());
        }
        let Some(block) = self.blocks.back_mut() else { return };
        let block = Arc::make_mut(block);
        let start = block.bytes.len();
        block.starts.push(start as u32);
        let mut writer = Writer::new(&mut block.bytes);
        let goes_on = write(&mut writer);
        writer.finish(goes_on);
        let rows = Line(&block.bytes[start..]).count(self.columns);
        block.rows += rows;
        self.rows += rows;
        self.bytes += block.bytes.len() - start;
        self.drop_oldest();
    }

    fn drop_oldest(&mut self) {
        while let Some(oldest) = self.blocks.front()
            && (self.rows - oldest.rows >= KEPT || self.bytes > MOST_BYTES)
        {
            self.rows -= oldest.rows;
            self.bytes -= oldest.bytes.len();
            self.dropped += oldest.rows;
            self.blocks.pop_front();
        }
        if self.dropped > MOST_DROPPED {
            self.dropped = 0;
        }
    }

    /// Forgets all rows; those that follow are counted on.
    pub(super) fn clear(&mut self) {
        self.dropped += self.rows;
        (self.rows, self.bytes) = (0, 0);
        self.blocks.clear();
    }

    /// Cuts rows at another width from now on.
    pub(super) fn resize(&mut self, columns: u16) {
        if self.columns == columns {
            return;
        }
        self.columns = columns;
        self.rows = 0;
        for block in &mut self.blocks {
            let block = Arc::make_mut(block);
            block.rows = block.lines().map(|line| line.count(columns)).sum();
            self.rows += block.rows;
        }
        self.drop_oldest();
    }

    /// Rows from the `start`th of those that are kept.
    pub(super) fn range(&self, start: u32, count: u32) -> Vec<Row> {
        let mut before = 0;
        let mut found = Vec::new();
        for block in &self.blocks {
            if before + block.rows <= start {
                before += block.rows;
                continue;
            }
            for line in block.lines() {
                if found.len() as u32 >= count {
                    return found;
                }
                let rows = line.count(self.columns);
                if before + rows > start {
                    let passed = start.saturating_sub(before) as usize;
                    let room = count as usize - found.len();
                    found.extend(line.rows(self.columns).into_iter().skip(passed).take(room));
                }
                before += rows;
            }
        }
        found
    }

    /// All rows, oldest first.
    pub(super) fn all(&self) -> impl Iterator<Item = Row> {
        let lines = self.blocks.iter().flat_map(|block| block.lines());
        lines.flat_map(|line| line.rows(self.columns))
    }

    /// Writes everything as the output that makes it, from the beginning of an empty row.
    pub(super) fn paint(&self, painter: &mut Painter) {
        for line in self.blocks.iter().flat_map(|block| block.lines()) {
            for piece in line.pieces() {
                painter.text(piece.text, piece.style);
            }
            let (rows, used) = line.measure(self.columns);
            if rows > 1 && used < u32::from(self.columns) {
                // The row that was scrolled in has the background of what wrapped into it.
                painter.push("\x1b[m\x1b[K");
            }
            if !line.goes_on() {
                painter.push("\x1b[m\r\n");
            }
        }
    }
}

/// How many cells of a row belong to its line: all where it goes on, but for a last one that a
/// wide character did not fit into; else up to the last that can be seen. A last row has one at
/// least, so that it stays one.
fn length(row: &GridRow<Cell>, next: Option<&GridRow<Cell>>, continued: bool) -> usize {
    if !is_wrapped(row) {
        return rows::length(row).max(usize::from(continued));
    }
    let last = row.len() - 1;
    let leading = row[..][last].flags.contains(Flags::LEADING_WIDE_CHAR_SPACER);
    if leading && next.is_some_and(|next| rows::is_wide(&next[..], 0)) { last } else { row.len() }
}
