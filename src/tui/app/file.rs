//! The state of one compared file on screen: its rows, what of it is folded, where the reader is.

mod taking;

use std::collections::{BTreeSet, HashMap};

use crate::model::comparison::{AlignedFile, ComparisonCell, LineText, Stretch, agreeing, letters};
use crate::model::id::EnvironmentId;
use crate::model::input::Input;
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::proto::{Freshness, Request};

use super::super::action::Action;
use super::super::paint::{Painted, Painter, Pen};
use super::super::view::{LIST_CHROME, columns_shown};
use super::super::widget::line_text;
use super::super::words;
use super::compare::{Refresh, targets};
use super::diff::SIDEWAYS;
use super::search::{Search, Typed};
use super::{Place, scrolled};

/// Unchanged lines shown around what differs.
const CONTEXT: usize = 3;
/// A fold that hides fewer lines than this takes as much room as it saves.
const SMALLEST_FOLD: usize = 3;

#[derive(Debug)]
pub(crate) struct FileView {
    pub(crate) attempts: Vec<EnvironmentId>,
    pub(crate) path: RepoPath,
    pub(crate) ticket: u64,
    pub(crate) file: Option<AlignedFile>,
    pub(crate) rows: Vec<FileRow>,
    pub(crate) place: Place,
    /// What each attempt did to the file, as far as the matrix knows.
    pub(crate) cells: Vec<Option<ComparisonCell>>,
    /// The attempt that is taken from; where not all fit, the first one shown.
    pub(crate) column: usize,
    pub(crate) hides_base: bool,
    /// The first column shown of every line.
    pub(crate) left: usize,
    /// Columns of the largest line number.
    pub(crate) digits: usize,
    pub(crate) search: Search,
    /// Rows that hold what is searched for.
    pub(crate) matches: usize,
    /// Stretches that are unfolded although they would not be, by their place in the base.
    opened: BTreeSet<(u32, bool)>,
    opens_all: bool,
    /// Colours of rows and columns that were shown.
    pub(crate) painted: HashMap<(usize, usize), Painted>,
    pens: Vec<Pen>,
    pub(super) refresh: Refresh,
}

/// One row of the view. Numbers are places in the file's stretches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileRow {
    /// Lines that are not shown, `from` on.
    Fold {
        stretch: usize,
        from: usize,
        lines: usize,
    },
    /// Above a stretch that differs: who agrees.
    Heading {
        stretch: usize,
    },
    Common {
        stretch: usize,
        line: usize,
    },
    Changed {
        stretch: usize,
        row: usize,
    },
}

impl FileRow {
    fn stretch(self) -> usize {
        match self {
            Self::Fold { stretch, .. }
            | Self::Heading { stretch }
            | Self::Common { stretch, .. }
            | Self::Changed { stretch, .. } => stretch,
        }
    }
}

impl FileView {
    pub(crate) fn new(attempts: Vec<EnvironmentId>, path: RepoPath, ticket: u64) -> Self {
        Self {
            attempts,
            path,
            ticket,
            file: None,
            rows: Vec::new(),
            place: Place::default(),
            cells: Vec::new(),
            column: 0,
            hides_base: false,
            left: 0,
            digits: 0,
            search: Search::Closed,
            matches: 0,
            opened: BTreeSet::new(),
            opens_all: false,
            painted: HashMap::new(),
            pens: Vec::new(),
            refresh: Refresh::Idle,
        }
    }

    pub(super) fn request(&self) -> Request {
        let targets = targets(&self.attempts);
        Request::CompareFile { targets, freshness: Freshness::Newest, path: self.path.clone() }
    }

    /// Takes the file, the first time or again; the reader stays at the line of the base.
    pub(super) fn fill(&mut self, file: AlignedFile) {
        let again = self.file.is_some();
        if self.file.as_ref() == Some(&file) {
            return;
        }
        let anchor = self.anchor(self.place.row);
        self.file = Some(file);
        self.lay_out();
        if again {
            self.return_to(anchor);
        } else {
            let row = self.next_difference(0, true).unwrap_or(0);
            self.place = Place { row, top: row.saturating_sub(CONTEXT) };
        }
    }

    /// How many lines of the base are before a row, and which row it is of those with as many.
    fn anchor(&self, at: usize) -> (u32, usize) {
        let Some(row) = self.rows.get(at) else { return (0, 0) };
        let base = self.base_of(*row);
        let same = self.rows[..at].iter().rev().take_while(|row| self.base_of(**row) == base);
        (base, same.count())
    }

    fn return_to(&mut self, (base, offset): (u32, usize)) {
        let above = self.place.row - self.place.top.min(self.place.row);
        let first = self.rows.partition_point(|row| self.base_of(*row) < base);
        let same = self.rows[first..].iter().take_while(|row| self.base_of(**row) == base);
        self.place.row = (first + offset.min(same.count().saturating_sub(1)))
            .min(self.rows.len().saturating_sub(1));
        self.place.top = self.place.row.saturating_sub(above);
    }

    /// Lines of the base before a row of the view.
    fn base_of(&self, row: FileRow) -> u32 {
        let Some(file) = &self.file else { return 0 };
        let within = match row {
            FileRow::Fold { from, .. } => from as u32,
            FileRow::Common { line, .. } => line as u32,
            FileRow::Heading { .. } => 0,
            FileRow::Changed { stretch, row } => match &file.stretches[stretch] {
                Stretch::Changed { rows, .. } => {
                    rows[..row].iter().filter(|row| row.cells[0].is_some()).count() as u32
                }
                Stretch::Common { .. } => 0,
            },
        };
        base_start(file, row.stretch()) + within
    }

    /// Makes the rows anew, with what is folded and what is not.
    fn lay_out(&mut self) {
        let Some(file) = &self.file else { return };
        let last = file.stretches.len().saturating_sub(1);
        let mut rows = Vec::new();
        let mut before = 0;
        for (index, stretch) in file.stretches.iter().enumerate() {
            let start = before;
            before += stretch.base_lines() as u32;
            match stretch {
                Stretch::Common { lines, .. } => {
                    let open = self.opens_all || self.opened.contains(&(start, true));
                    let head = if index == 0 { 0 } else { CONTEXT.min(lines.len()) };
                    let tail = if index == last { 0 } else { CONTEXT };
                    let hidden = lines.len().saturating_sub(head + tail);
                    let line = |line| FileRow::Common { stretch: index, line };
                    if open || hidden < SMALLEST_FOLD {
                        rows.extend((0..lines.len()).map(line));
                        continue;
                    }
                    rows.extend((0..head).map(line));
                    rows.push(FileRow::Fold { stretch: index, from: head, lines: hidden });
                    rows.extend((head + hidden..lines.len()).map(line));
                }
                Stretch::Changed { groups, rows: own } => {
                    let open = self.opens_all || self.opened.contains(&(start, false));
                    if all_agree(groups) && !open {
                        let lines = own.len();
                        rows.push(FileRow::Fold { stretch: index, from: 0, lines });
                        continue;
                    }
                    rows.push(FileRow::Heading { stretch: index });
                    let row = |row| FileRow::Changed { stretch: index, row };
                    rows.extend((0..own.len()).map(row));
                }
            }
        }
        // No column has more lines than there are rows.
        let lines = file.stretches.iter().map(|stretch| match stretch {
            Stretch::Common { lines, .. } => lines.len(),
            Stretch::Changed { rows, .. } => rows.len(),
        });
        self.digits = lines.sum::<usize>().to_string().len();
        self.rows = rows;
        self.painted.clear();
        self.pens.clear();
        self.count_matches();
    }

    /// The next stretch that attempts differ in after a row, or the one before it.
    fn next_difference(&self, at: usize, forward: bool) -> Option<usize> {
        let is_start = |row: &usize| match self.rows[*row] {
            FileRow::Heading { stretch } => !self.agree(stretch),
            _ => false,
        };
        if forward {
            let from = if at == 0 { 0 } else { at + 1 };
            (from..self.rows.len()).find(is_start)
        } else {
            (0..at.min(self.rows.len())).rev().find(is_start)
        }
    }

    fn agree(&self, stretch: usize) -> bool {
        let stretch = self.file.as_ref().and_then(|file| file.stretches.get(stretch));
        matches!(stretch, Some(Stretch::Changed { groups, .. }) if all_agree(groups))
    }

    /// Stretches that attempts differ in, and which of them the reader is at, from 1.
    pub(crate) fn differences(&self) -> (usize, usize) {
        let Some(file) = &self.file else { return (0, 0) };
        let here = self.rows.get(self.place.row).map_or(0, |row| row.stretch());
        let differ = |index: &usize| matches!(&file.stretches[*index], Stretch::Changed { groups, .. } if !all_agree(groups));
        let before = (0..file.stretches.len()).filter(differ).filter(|index| *index <= here);
        (before.count(), (0..file.stretches.len()).filter(differ).count())
    }

    /// The text a column has in a row.
    pub(crate) fn cell(&self, row: usize, column: usize) -> Option<(u32, &LineText)> {
        let file = self.file.as_ref()?;
        match (*self.rows.get(row)?, file.stretches.get(self.rows.get(row)?.stretch())?) {
            (FileRow::Common { line, .. }, Stretch::Common { starts, lines }) => {
                Some((starts.get(column)? + line as u32, lines.get(line)?))
            }
            (FileRow::Changed { row, .. }, Stretch::Changed { rows, .. }) => {
                let cell = rows.get(row)?.cells.get(column)?.as_ref()?;
                Some((cell.number, &cell.text))
            }
            _ => None,
        }
    }

    pub(super) fn act(&mut self, action: Action, size: Size) {
        let page = page(size);
        let Some(file) = &self.file else { return };
        let attempts = file.columns.len().saturating_sub(1);
        match action {
            Action::Left => self.column = self.column.saturating_sub(1),
            Action::Right => self.column = (self.column + 1).min(attempts.saturating_sub(1)),
            Action::ScrollLeft => self.left = self.left.saturating_sub(SIDEWAYS),
            Action::ScrollRight => self.scroll_right(page),
            Action::HideBase => self.hides_base = !self.hides_base,
            Action::Search => self.search = Search::begin(),
            Action::Next | Action::Previous if self.search.needle().is_some() => {
                self.find(action == Action::Next, page);
            }
            Action::Next | Action::Previous => {
                if let Some(row) = self.next_difference(self.place.row, action == Action::Next) {
                    self.place.go(row, page, self.rows.len());
                }
            }
            Action::Fold => self.fold(page),
            Action::FoldAll => {
                let anchor = self.anchor(self.place.row);
                self.opens_all = !self.opens_all;
                self.opened.clear();
                self.lay_out();
                self.return_to(anchor);
                self.place.show(page, self.rows.len());
            }
            action => {
                self.place.row = scrolled(self.place.row, action, page, self.rows.len());
                self.place.show(page, self.rows.len());
            }
        }
    }

    /// Shows more of long lines, while there is more of one on the screen.
    fn scroll_right(&mut self, page: usize) {
        let columns = self.file.as_ref().map_or(0, |file| file.columns.len());
        let rows = self.place.top..(self.place.top + page).min(self.rows.len());
        let reach = self.left + SIDEWAYS;
        let longer = |row: usize| {
            let mut cells = (0..columns).filter_map(|column| self.cell(row, column));
            cells.any(|(_, text)| line_text(&text.0).chars().nth(reach).is_some())
        };
        if rows.into_iter().any(longer) {
            self.left = reach;
        }
    }

    /// Unfolds the stretch the reader is at, or folds it again.
    fn fold(&mut self, page: usize) {
        let (Some(file), Some(row)) = (&self.file, self.rows.get(self.place.row)) else { return };
        let index = row.stretch();
        let common = matches!(file.stretches[index], Stretch::Common { .. });
        let key = (base_start(file, index), common);
        if !self.opened.remove(&key) {
            self.opened.insert(key);
        }
        let anchor = self.anchor(self.place.row);
        self.lay_out();
        self.return_to(anchor);
        self.place.show(page, self.rows.len());
    }

    /// Goes to the next row that holds what is searched for, around the end.
    fn find(&mut self, forward: bool, page: usize) {
        let Some(needle) = self.search.needle().map(str::to_lowercase) else { return };
        let count = self.rows.len();
        let holds = |row: &usize| self.holds(*row, &needle);
        let place = |offset: usize| {
            (self.place.row + if forward { offset } else { count - offset }) % count.max(1)
        };
        if let Some(row) = (1..=count).map(place).find(holds) {
            self.place.go(row, page, count);
        }
    }

    /// Whether any column of a row holds a text.
    fn holds(&self, row: usize, needle: &str) -> bool {
        let columns = self.file.as_ref().map_or(0, |file| file.columns.len());
        let mut cells = (0..columns).filter_map(|column| self.cell(row, column));
        cells.any(|(_, text)| String::from_utf8_lossy(&text.0).to_lowercase().contains(needle))
    }

    fn count_matches(&mut self) {
        let needle = self.search.needle().map(str::to_lowercase);
        self.matches = needle.map_or(0, |needle| {
            (0..self.rows.len()).filter(|row| self.holds(*row, &needle)).count()
        });
    }

    /// Gives an input to the search while it is typed; `false` when none is.
    pub(super) fn typed(&mut self, input: &Input, size: Size) -> bool {
        let typed = self.search.take(input);
        if typed == Typed::Entered {
            self.count_matches();
            self.find(true, page(size));
        }
        typed != Typed::Other
    }

    /// Colours what is on the screen; `false` when it took too long and is to go on.
    pub(super) fn paint(&mut self, painter: &mut Painter, size: Size) -> bool {
        let page = page(size);
        self.place.show(page, self.rows.len());
        let Some(file) = &self.file else { return true };
        let columns = file.columns.len();
        let shown = columns_shown(columns, self.column, self.hides_base, size.columns);
        let rows = self.place.top..(self.place.top + page).min(self.rows.len());
        self.pens.resize_with(columns, Pen::default);
        for column in shown {
            let mut pen = std::mem::take(&mut self.pens[column]);
            let done = self.paint_column(painter, &mut pen, column, rows.clone());
            self.pens[column] = pen;
            if !done {
                return false;
            }
        }
        true
    }

    fn paint_column(
        &mut self,
        painter: &mut Painter,
        pen: &mut Pen,
        column: usize,
        rows: std::ops::Range<usize>,
    ) -> bool {
        let missing = |row: &usize| !self.painted.contains_key(&(*row, column));
        let Some(first) = rows.clone().find(missing) else { return true };
        for row in pen.begin(first)..rows.end {
            let Some((_, text)) = self.cell(row, column) else {
                if matches!(self.rows[row], FileRow::Fold { .. }) {
                    pen.lift();
                }
                continue;
            };
            let text = line_text(&text.0);
            let Some(mut painted) = painter.line(pen, row, self.path.as_bytes(), &text) else {
                return false;
            };
            painted.emphasised = self.emphasis(row, column, &text);
            self.painted.insert((row, column), painted);
        }
        true
    }

    /// The words of a line that make it differ from the base's, or where that has none, from
    /// another attempt's.
    fn emphasis(&self, row: usize, column: usize, text: &str) -> Vec<std::ops::Range<usize>> {
        let FileRow::Changed { .. } = self.rows[row] else { return Vec::new() };
        let columns = self.file.as_ref().map_or(0, |file| file.columns.len());
        let own = |column| self.cell(row, column).map(|(_, text)| text);
        // An attempt that left the line as it was has nothing to show.
        if column > 0 && own(0).is_some() && own(column) == own(0) {
            return Vec::new();
        }
        let others = (0..columns).filter(|other| *other != column);
        let other = others.filter_map(|other| self.cell(row, other)).map(|(_, text)| text);
        let other = other.map(|text| line_text(&text.0)).find(|other| other != text);
        other.map(|other| words::changed(&other, text)).unwrap_or_default()
    }
}

fn page(size: Size) -> usize {
    usize::from(size.rows.saturating_sub(LIST_CHROME)).max(1)
}

fn base_start(file: &AlignedFile, stretch: usize) -> u32 {
    file.stretches[..stretch].iter().map(|stretch| stretch.base_lines() as u32).sum()
}

/// Whether every attempt made the same of a stretch.
pub(crate) fn all_agree(groups: &[u32]) -> bool {
    groups[1..].windows(2).all(|pair| pair[0] == pair[1])
}

/// Who agrees about a stretch, in words.
pub(crate) fn agreement_words(groups: &[u32]) -> String {
    let all: Vec<usize> = (0..groups.len() - 1).collect();
    if all_agree(groups) {
        return format!("{} agree", letters(&all));
    }
    let agreeing = agreeing(groups);
    let alone: Vec<usize> =
        agreeing.iter().filter(|group| group.len() == 1).flatten().copied().collect();
    let left: Vec<usize> = all.into_iter().filter(|index| groups[index + 1] == 0).collect();
    let together = agreeing.iter().filter(|group| group.len() > 1);
    let mut parts: Vec<String> =
        together.map(|group| format!("{} agree", letters(group))).collect();
    match (alone.as_slice(), parts.is_empty()) {
        ([], _) => {}
        ([one], true) => return format!("only {} changed it", letters(&[*one])),
        ([one], false) => parts.push(format!("{} differs", letters(&[*one]))),
        (many, _) => parts.push(format!("{} differ", letters(many))),
    }
    if !left.is_empty() {
        parts.push(format!("{} left it", letters(&left)));
    }
    parts.join(" · ")
}
