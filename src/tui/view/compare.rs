//! Attempts side by side: which files each changed, who agrees, and by how much.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, CompareView, Search};
use super::super::theme::Theme;
use super::super::widget::{Frame, fit, foreign, left_and_right, put};
use super::diff::{fit_path, search};
use crate::model::comparison::{
    Agreement, Comparison, ComparisonCell, ComparisonRow, letter, letters,
};
use crate::model::diff::FileChange;
use crate::model::snapshot::ChangeCount;

/// Narrower places show one letter for each attempt instead of its numbers.
const ROOMY: u16 = 60;
/// The longest agreement, as in `A ≠ B ≠ C ≠ D`, and a blank.
const AGREEMENT: u16 = 15;
/// Columns of an attempt where there is only room for a letter.
const LETTER: u16 = 3;

/// Where the parts of a row stand.
#[derive(Clone, Copy)]
struct Columns {
    path: u16,
    agreement: u16,
    each: u16,
}

pub(super) fn draw(
    app: &App,
    view: &CompareView,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let title = Line::styled(format!(" Compare {} attempts ", view.attempts.len()), theme.strong());
    let mut frame = Frame::new(theme.frame(), title);
    frame.corner = summary(theme, view);
    let inner = frame.draw(buffer, area);
    let Some(comparison) = &view.comparison else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return None;
    };
    if inner.height < 2 {
        return None;
    }
    let columns = columns(inner.width, comparison.attempts.len() as u16);
    head(theme, comparison, columns, Rect { height: 1, ..inner }, buffer);
    let mut list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    if list.height > 2 {
        totals(theme, comparison, columns, Rect { height: 1, ..list }, buffer);
        list = Rect { y: list.y + 1, height: list.height - 1, ..list };
    }
    if let Some(note) = comparison.notes.first().filter(|_| list.height > 4) {
        let words = format!("  {}", foreign(note));
        let row = Rect { y: list.bottom() - 1, height: 1, ..list };
        put(buffer, row, Line::styled(words, theme.caution()));
        list.height -= 1;
    }
    if view.order.is_empty() {
        let words = match view.filter {
            Search::Closed => "  no attempt changed anything",
            _ => "  no file is called that",
        };
        put(buffer, Rect { height: 1, ..list }, Line::styled(words, theme.quiet()));
    }
    for (at, y) in (view.place.top..view.order.len()).zip(list.y..list.bottom()) {
        let Some(row) = view.row(at) else { break };
        let place = Rect { y, height: 1, ..list };
        draw_row(theme, row, comparison.counted, columns, (place, at == view.place.row), buffer);
    }
    search(theme, &view.filter, area, buffer)
}

fn columns(width: u16, attempts: u16) -> Columns {
    let attempts = attempts.max(1);
    if width < ROOMY {
        let each = LETTER;
        return Columns { path: width.saturating_sub(each * attempts), agreement: 0, each };
    }
    let each = ((width - AGREEMENT) * 3 / 5 / attempts).clamp(8, 24);
    let path = width.saturating_sub(each * attempts + AGREEMENT);
    Columns { path, agreement: AGREEMENT, each }
}

impl Columns {
    fn place(self, row: Rect, attempt: usize) -> Rect {
        let x = row.x + self.path + self.agreement + self.each * attempt as u16;
        let width = self.each.saturating_sub(1).min(row.right().saturating_sub(x));
        Rect { x, width, ..row }
    }
}

/// How many files there are, and in how many of them attempts differ.
fn summary(theme: Theme, view: &CompareView) -> Line<'static> {
    let Some(comparison) = &view.comparison else { return Line::default() };
    let count = |wanted| comparison.rows.iter().filter(|row| row.agreement() == wanted).count();
    let all = comparison.rows.len();
    let noun = if all == 1 { "file" } else { "files" };
    let (differ, same) = (count(Agreement::Different), count(Agreement::Same));
    let words = format!(" {all} {noun} · {differ} differ · {same} the same ");
    Line::styled(words, theme.quiet())
}

fn head(theme: Theme, comparison: &Comparison, columns: Columns, area: Rect, buffer: &mut Buffer) {
    put(buffer, Rect { width: columns.path, ..area }, Line::styled("  file", theme.quiet()));
    for (index, attempt) in comparison.attempts.iter().enumerate() {
        let place = columns.place(area, index);
        let words = if columns.agreement == 0 {
            letter(index).to_string()
        } else {
            let room = usize::from(place.width).saturating_sub(2);
            format!("{} {}", letter(index), fit(attempt.name.as_str(), room))
        };
        put(buffer, place, Line::styled(words, theme.strong()));
    }
}

fn totals(
    theme: Theme,
    comparison: &Comparison,
    columns: Columns,
    area: Rect,
    buffer: &mut Buffer,
) {
    let words = if comparison.counted { "  in all" } else { "  counting …" };
    put(buffer, Rect { width: columns.path, ..area }, Line::styled(words, theme.quiet()));
    for (index, total) in comparison.totals().iter().enumerate() {
        let ChangeCount { added, removed, files } = *total;
        let mut spans = vec![Span::styled(files.to_string(), theme.strong())];
        if columns.agreement > 0 {
            spans.push(Span::styled(if files == 1 { " file" } else { " files" }, theme.quiet()));
        }
        if comparison.counted && columns.agreement > 0 {
            spans.push(Span::styled(format!(" +{added}"), theme.good()));
            spans.push(Span::styled(format!(" −{removed}"), theme.bad()));
        }
        put(buffer, columns.place(area, index), Line::from(spans));
    }
}

fn draw_row(
    theme: Theme,
    row: &ComparisonRow,
    counted: bool,
    columns: Columns,
    (area, chosen): (Rect, bool),
    buffer: &mut Buffer,
) {
    let path = fit_path(&row.path.to_string(), usize::from(columns.path.saturating_sub(3)));
    let left = Line::from(vec![
        Span::styled(if chosen { "▌ " } else { "  " }, theme.chosen()),
        Span::styled(path, if chosen { theme.chosen() } else { theme.text() }),
    ]);
    put(buffer, Rect { width: columns.path, ..area }, left);
    if columns.agreement > 0 {
        let (words, tone) = agreement(theme, row);
        let x = area.x + columns.path;
        let place = Rect { x, width: columns.agreement.saturating_sub(1), ..area };
        put(buffer, place, Line::styled(words, tone));
    }
    for attempt in 0..row.cells.len() {
        let place = columns.place(area, attempt);
        if columns.agreement == 0 {
            put(buffer, place, short_cell(theme, row, attempt));
        } else {
            let (left, right) = cell(theme, row, attempt, counted);
            left_and_right(buffer, place, left, right);
        }
    }
}

/// Who did the same, in signs and letters.
fn agreement(theme: Theme, row: &ComparisonRow) -> (String, Style) {
    let signs = |group: &Vec<usize>| {
        group.iter().map(|index| letter(*index).to_string()).collect::<Vec<_>>().join("=")
    };
    let groups = row.groups();
    match row.agreement() {
        Agreement::Different => {
            let words: Vec<String> = groups.iter().map(signs).collect();
            (words.join(" ≠ "), theme.caution())
        }
        Agreement::Alone => (format!("only {}", letters(&groups.concat())), theme.accent()),
        Agreement::Shared => (signs(&groups.concat()), theme.quiet()),
        Agreement::Same => ("= the same".to_owned(), theme.quiet()),
    }
}

/// `+3 −1` and what became of the file, or the letter of an earlier attempt that did the same.
fn cell(
    theme: Theme,
    row: &ComparisonRow,
    attempt: usize,
    counted: bool,
) -> (Line<'static>, Line<'static>) {
    let Some(cell) = &row.cells[attempt] else {
        return (Line::styled("·", theme.quiet()), Line::default());
    };
    if let Some(first) = first_alike(row, cell).filter(|first| *first < attempt) {
        return (Line::styled(format!("= {}", letter(first)), theme.quiet()), Line::default());
    }
    let word = match cell.change {
        FileChange::Added => "new ",
        FileChange::Deleted => "gone ",
        FileChange::Renamed => "moved ",
        FileChange::Mode => "mode ",
        FileChange::Modified if counted => "",
        FileChange::Modified => "changed ",
    };
    let mut spans = Vec::new();
    if counted {
        spans.push(Span::styled(format!("+{}", cell.added), theme.good()));
        spans.push(Span::styled(format!(" −{}", cell.removed), theme.bad()));
    }
    (Line::from(spans), Line::styled(word, theme.quiet()))
}

/// One letter: the attempt's own, or that of the first with the same content.
fn short_cell(theme: Theme, row: &ComparisonRow, attempt: usize) -> Line<'static> {
    let Some(cell) = &row.cells[attempt] else { return Line::styled("·", theme.quiet()) };
    let first = first_alike(row, cell).unwrap_or(attempt);
    let tone = if first < attempt { theme.quiet() } else { theme.caution() };
    Line::styled(letter(first).to_string(), tone)
}

fn first_alike(row: &ComparisonRow, cell: &ComparisonCell) -> Option<usize> {
    row.cells.iter().position(|other| other.as_ref().is_some_and(|it| it.group == cell.group))
}
