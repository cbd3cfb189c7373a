//! What stands still in copy mode, the reader's place in it and what is selected.

use crate::model::lines::{Direction, Found, Lines, Passage, Spot};

use super::super::super::action::Action;
use super::super::super::panes::{Pane, PaneKey, SCROLLBACK_CHUNK, Scroll};
use super::super::Search;

/// Lines kept at most while someone reads; those that were read before are asked for again.
const MOST_LINES: usize = 4_000;

/// What a selection grows by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    Cell,
    Word,
    Line,
}

/// What is selected: from where it began to the cursor.
#[derive(Clone, Debug)]
pub(super) struct Selection {
    anchor: Passage,
    unit: Unit,
}

/// What a search came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matches {
    Unknown,
    None,
    Some(Found),
}

/// Who began the mode: keys go to it, or to where they went before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    Keys,
    Mouse,
}

/// A session that stands still for a reader.
#[derive(Debug)]
pub(crate) struct CopyMode {
    pub(crate) pane: PaneKey,
    pub(crate) hand: Hand,
    pub(crate) lines: Lines,
    /// The line and the column that are shown first.
    pub(crate) top: u32,
    pub(crate) left: u16,
    pub(crate) cursor: Spot,
    pub(crate) search: Search,
    pub(crate) matches: Matches,
    pub(super) selection: Option<Selection>,
    /// Nothing but a search was asked for: without one the mode ends.
    pub(super) only_search: bool,
    pub(super) columns: u16,
    /// The question that is not answered yet.
    pub(super) asked: Option<u64>,
}

impl CopyMode {
    /// Stops a pane as it is shown, with `top` and `left` first.
    pub(super) fn new(pane: PaneKey, shown: &Pane, hand: Hand, top: u32, left: u16) -> Self {
        let screen = &shown.screen;
        let (oldest, start) = (shown.oldest(), screen.first_line);
        let total = start + u32::from(screen.size.rows);
        let (columns, rows) = (screen.size.columns, screen.rows.clone());
        let live = Lines { oldest, total, columns, start, rows };
        let mut lines = shown.scroll.as_ref().map(Scroll::lines).unwrap_or_default();
        (lines.oldest, lines.total, lines.columns) = (oldest, total, columns);
        // They may be of a later moment, in which there were more.
        lines.rows.truncate(start.saturating_sub(lines.start) as usize);
        // What was read above does not always reach down to the screen.
        if !join(&mut lines, &live) && top >= live.start {
            lines = live;
        }
        let line = screen.first_line + u32::from(screen.cursor.row);
        Self {
            pane,
            hand,
            lines,
            top,
            left,
            cursor: Spot { line, column: screen.cursor.column },
            search: Search::Closed,
            matches: Matches::Unknown,
            selection: None,
            only_search: false,
            columns,
            asked: None,
        }
    }

    /// What is selected, if anything is.
    pub(crate) fn selected(&self) -> Option<Passage> {
        let Selection { anchor, unit, .. } = self.selection.as_ref()?;
        Some(anchor.and(self.unit_at(self.cursor, *unit)))
    }

    fn unit_at(&self, spot: Spot, unit: Unit) -> Passage {
        match unit {
            Unit::Cell => Passage { from: spot, to: spot },
            Unit::Word => self.lines.word_at(spot),
            Unit::Line => self.lines.line_at(spot),
        }
    }

    /// Begins a selection at a spot.
    pub(in super::super) fn select(&mut self, spot: Spot, unit: Unit) {
        self.go_to(spot);
        self.begin(self.cursor, unit);
    }

    fn begin(&mut self, spot: Spot, unit: Unit) {
        let anchor = self.unit_at(spot, unit);
        self.selection = Some(Selection { anchor, unit });
    }

    /// The first line that is here or can be asked for.
    fn oldest(&self) -> u32 {
        if self.lines.rows.is_empty() {
            return self.lines.oldest;
        }
        self.lines.oldest.min(self.lines.start)
    }

    /// Begins a selection at the cursor, has it grow by another unit, or ends it.
    fn toggle(&mut self, unit: Unit) {
        let former = self.selection.as_ref();
        if former.is_some_and(|selection| selection.unit == unit) {
            self.selection = None;
        } else {
            let from = former.map_or(self.cursor, |selection| selection.anchor.from);
            self.begin(from, unit);
        }
    }

    /// Moves the cursor to a spot, within what there is.
    pub(in super::super) fn go_to(&mut self, spot: Spot) {
        let line = spot.line.min(self.lines.total.saturating_sub(1)).max(self.oldest());
        self.cursor = Spot { line, column: spot.column.min(self.columns.saturating_sub(1)) };
    }

    /// Puts the cursor at a spot with nothing selected.
    pub(in super::super) fn begin_at(&mut self, spot: Spot) {
        self.selection = None;
        self.go_to(spot);
    }

    /// Moves what is shown by lines, up when negative.
    pub(in super::super) fn scroll_by(&mut self, lines: i64, height: u16) {
        let last = self.lines.total.saturating_sub(u32::from(height));
        let first = self.oldest().min(last);
        self.top = (i64::from(self.top) + lines).clamp(first.into(), last.into()) as u32;
        let bottom = self.top + u32::from(height.max(1)) - 1;
        self.cursor.line = self.cursor.line.clamp(self.top, bottom);
    }

    fn go_by(&mut self, lines: i64) {
        let line = (i64::from(self.cursor.line) + lines).clamp(0, i64::from(u32::MAX)) as u32;
        self.go_to(Spot { line, ..self.cursor });
    }

    /// Moves what is shown, and the cursor with it.
    fn go_by_page(&mut self, lines: i64, height: u16) {
        let column = self.cursor.column;
        let line = (i64::from(self.cursor.line) + lines).clamp(0, i64::from(u32::MAX)) as u32;
        self.scroll_by(lines, height);
        self.go_to(Spot { line, column });
    }

    /// To the beginning of the next word or of this or the one before.
    fn go_by_word(&mut self, direction: Direction) {
        let (first, last) = match direction {
            Direction::Newer => (self.cursor.line, self.cursor.line.saturating_add(1)),
            Direction::Older => (self.cursor.line.saturating_sub(1), self.cursor.line),
        };
        let starts = (first..=last).flat_map(|line| {
            let columns = self.lines.word_starts(line).into_iter();
            columns.map(move |column| Spot { line, column })
        });
        let starts: Vec<Spot> = starts.collect();
        let next = match direction {
            Direction::Newer => starts.into_iter().find(|start| *start > self.cursor),
            Direction::Older => starts.into_iter().rfind(|start| *start < self.cursor),
        };
        match (next, direction) {
            (Some(next), _) => self.go_to(next),
            (None, Direction::Newer) => self.go_to(Spot { line: last, column: u16::MAX }),
            (None, Direction::Older) => self.go_to(Spot { line: first, column: 0 }),
        }
    }

    fn line_end(&self) -> u16 {
        self.lines.row(self.cursor.line).map_or(0, |row| row.cells().saturating_sub(1))
    }

    pub(super) fn step(&mut self, action: Action, height: u16) {
        let page = i64::from(height.max(2));
        let Spot { line, column } = self.cursor;
        match action {
            Action::Down => self.go_by(1),
            Action::Up => self.go_by(-1),
            Action::Left => self.go_to(Spot { line, column: column.saturating_sub(1) }),
            Action::Right => self.go_to(Spot { line, column: column.saturating_add(1) }),
            Action::HalfPageDown => self.go_by_page(page / 2, height),
            Action::HalfPageUp => self.go_by_page(-page / 2, height),
            Action::PageDown => self.go_by_page(page - 1, height),
            Action::PageUp => self.go_by_page(1 - page, height),
            Action::First => self.go_to(Spot { line: 0, column: 0 }),
            Action::Last => self.go_to(Spot { line: u32::MAX, column: 0 }),
            Action::LineStart => self.go_to(Spot { line, column: 0 }),
            Action::LineEnd => self.go_to(Spot { line, column: self.line_end() }),
            Action::NextWord => self.go_by_word(Direction::Newer),
            Action::PreviousWord => self.go_by_word(Direction::Older),
            Action::Select => self.toggle(Unit::Cell),
            Action::SelectLine => self.toggle(Unit::Line),
            _ => {}
        }
    }

    /// Brings the cursor into sight of a place of this size.
    pub(super) fn show(&mut self, width: u16, height: u16) {
        let (width, height) = (width.max(1), u32::from(height.max(1)));
        let Spot { line, column } = self.cursor;
        self.top = self.top.clamp(line.saturating_sub(height - 1), line);
        self.top = self.top.min(self.lines.total.saturating_sub(height)).max(self.oldest());
        self.left = self.left.clamp(column.saturating_sub(width - 1), column);
    }

    /// The range to ask for when lines that are to be seen are not here.
    pub(super) fn missing(&self, height: u16) -> Option<(u32, u32)> {
        let end = (self.top + u32::from(height)).min(self.lines.total);
        let (have_start, have_end) = (self.lines.start, self.lines.end());
        let margin = SCROLLBACK_CHUNK / 2;
        if self.top < have_start && end >= have_start {
            let start = self.top.saturating_sub(margin);
            return Some((start, have_start - start));
        }
        if end > have_end && self.top <= have_end {
            return Some((have_end, end - have_end + margin));
        }
        let here = have_start <= self.top && end <= have_end;
        (!here).then(|| (self.top.saturating_sub(margin), u32::from(height) + SCROLLBACK_CHUNK))
    }

    /// Takes lines that were asked for. They are of a later moment than those that are here.
    pub(super) fn take_lines(&mut self, more: Lines) {
        let oldest = more.oldest;
        if self.lines.rows.len() + more.rows.len() > MOST_LINES || !join(&mut self.lines, &more) {
            self.lines = more;
        }
        self.lines.oldest = oldest;
        // What was read below is there by now.
        self.lines.total = self.lines.total.max(self.lines.end());
        // What was to be seen may be dropped since.
        self.top = self.top.max(self.oldest());
        self.go_to(self.cursor);
    }
}

/// Puts lines above or below those that are here; `false` where both do not meet.
fn join(lines: &mut Lines, more: &Lines) -> bool {
    let (start, end) = (lines.start, lines.end());
    if more.end() < start || more.start > end {
        return false;
    }
    if more.start < start {
        let above = (start - more.start) as usize;
        let mut rows = more.rows[..above].to_vec();
        rows.append(&mut lines.rows);
        lines.rows = rows;
        lines.start = more.start;
    }
    if more.end() > end {
        lines.rows.extend_from_slice(&more.rows[(end - more.start) as usize..]);
    }
    true
}
