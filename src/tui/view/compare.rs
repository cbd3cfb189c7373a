//! Attempts side by side: which files each changed, who agrees, and by how much.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, CompareView, Search};
use super::super::theme::Theme;
use super::super::widget::{Frame, fit, foreign, put};
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
    /// The largest numbers of lines added and removed, with their signs.
    added: usize,
    removed: usize,
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
    let columns = columns(inner.width, comparison);
    head(theme, (comparison, view.attempt), columns, Rect { height: 1, ..inner }, buffer);
    let mut list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    if list.height > 2 {
        totals(theme, comparison, columns, Rect { height: 1, ..list }, buffer);
        list = Rect { y: list.y + 1, height: list.height - 1, ..list };
    }
    if let Some(note) = comparison.notes.first().filter(|_| list.height > 4) {
        let more = match comparison.notes.len() - 1 {
            0 => String::new(),
            count => format!("({count} more) "),
        };
        let row = Rect { y: list.bottom() - 1, height: 1, ..list };
        let words = fit(&format!("  {more}{}", foreign(note)), usize::from(row.width));
        put(buffer, row, Line::styled(words, theme.caution()));
        list.height -= 1;
    }
    let remarks = view.chosen().map(remarks).unwrap_or_default();
    if !remarks.is_empty() && list.height > 3 {
        let row = Rect { y: list.bottom() - 1, height: 1, ..list };
        let words = fit(&format!("  {remarks}"), usize::from(row.width));
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
    search(theme, &view.filter, None, area, buffer)
}

/// What is to be known of the chosen file besides its lines: `A ! make runs it · B mode …`.
fn remarks(row: &ComparisonRow) -> String {
    let remarks = row.remarks();
    let words = remarks.iter().map(|(who, remark)| format!("{}: {remark}", letters(who)));
    words.collect::<Vec<_>>().join(" · ")
}

fn columns(width: u16, comparison: &Comparison) -> Columns {
    let attempts = (comparison.attempts.len() as u16).max(1);
    let widest = |lines: fn(&ComparisonCell) -> u64| {
        let cells = comparison.rows.iter().flat_map(|row| row.cells.iter().flatten());
        cells.map(lines).max().map_or(0, |lines| lines.to_string().len() + 1).max(2)
    };
    let (added, removed) = (widest(|cell| cell.added), widest(|cell| cell.removed));
    if width < ROOMY {
        let path = width.saturating_sub(LETTER * attempts);
        return Columns { path, agreement: 0, each: LETTER, added, removed };
    }
    let each = ((width - AGREEMENT) * 3 / 5 / attempts).clamp(8, 26);
    let path = width.saturating_sub(each * attempts + AGREEMENT);
    Columns { path, agreement: AGREEMENT, each, added, removed }
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

fn head(
    theme: Theme,
    (comparison, chosen): (&Comparison, usize),
    columns: Columns,
    area: Rect,
    buffer: &mut Buffer,
) {
    put(buffer, Rect { width: columns.path, ..area }, Line::styled("  file", theme.quiet()));
    for (index, attempt) in comparison.attempts.iter().enumerate() {
        let place = columns.place(area, index);
        let words = if columns.agreement == 0 {
            letter(index).to_string()
        } else {
            let room = usize::from(place.width).saturating_sub(2);
            format!("{} {}", letter(index), fit(attempt.name.as_str(), room))
        };
        // What is taken is taken from this one.
        let tone = if index == chosen { theme.chip() } else { theme.strong() };
        put(buffer, place, Line::from(Span::styled(words, tone)));
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
        let place = columns.place(area, index);
        if columns.agreement == 0 {
            put(buffer, place, Line::styled(files.to_string(), theme.strong()));
            continue;
        }
        let noun = if files == 1 { "file" } else { "files" };
        let words = format!("{files} {noun}");
        let lines = if comparison.counted { (added, removed) } else { (0, 0) };
        let line = numbers(theme, lines, columns, (words, theme.quiet()), place.width);
        put(buffer, place, line);
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
        Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
        Span::styled(if row.calls_for_caution() { "!" } else { " " }, theme.caution()),
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
            let line = cell(theme, row, attempt, counted, (columns, place.width));
            put(buffer, place, line);
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
    (columns, width): (Columns, u16),
) -> Line<'static> {
    let Some(cell) = &row.cells[attempt] else { return Line::styled("·", theme.quiet()) };
    if let Some(first) = first_alike(row, cell).filter(|first| *first < attempt) {
        return Line::styled(format!("= {}", letter(first)), theme.quiet());
    }
    let lines = if counted { (cell.added, cell.removed) } else { (0, 0) };
    let mode = cell.mode_word();
    let word = match cell.change {
        _ if cell.moved.is_some() => "moved",
        FileChange::Added => "new",
        FileChange::Deleted => "gone",
        FileChange::Renamed => "moved",
        FileChange::Mode if mode.is_none() => "mode",
        // What is not text has no lines.
        FileChange::Modified if lines == (0, 0) && mode.is_none() => "changed",
        FileChange::Mode | FileChange::Modified => "",
    };
    let caution = (!cell.cautions.is_empty()).then_some("!");
    let words: Vec<&str> =
        [Some(word).filter(|word| !word.is_empty()), mode, caution].into_iter().flatten().collect();
    let tone = if caution.is_some() { theme.caution() } else { theme.quiet() };
    numbers(theme, lines, columns, (words.join(" "), tone), width)
}

/// Numbers of lines in columns and a word after them. Where there is no room for all of it, the
/// numbers that are none go first, then the word.
fn numbers(
    theme: Theme,
    (added, removed): (u64, u64),
    columns: Columns,
    (word, tone): (String, Style),
    width: u16,
) -> Line<'static> {
    let number = |sign: char, lines: u64| match lines {
        0 => String::new(),
        lines => format!("{sign}{lines}"),
    };
    let (more, less) = (number('+', added), number('−', removed));
    let words = |parts: [String; 3]| {
        let mut spans = Vec::new();
        for (part, tone) in parts.into_iter().zip([theme.good(), theme.bad(), tone]) {
            if !part.is_empty() {
                let blank = if spans.is_empty() { "" } else { " " };
                spans.push(Span::styled(format!("{blank}{part}"), tone));
            }
        }
        Line::from(spans)
    };
    let aligned = words([
        format!("{more:>width$}", width = columns.added),
        format!("{less:>width$}", width = columns.removed),
        word.clone(),
    ]);
    if aligned.width() <= usize::from(width) {
        return aligned;
    }
    let close = words([more.clone(), less.clone(), word.clone()]);
    if close.width() <= usize::from(width) {
        return close;
    }
    let lines = words([more, less, String::new()]);
    if lines.width() <= usize::from(width) {
        return lines;
    }
    words([String::new(), String::new(), word])
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
