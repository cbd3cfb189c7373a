//! Attempts side by side: which files each changed, and one file in every version.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, CompareView, FileView};
use super::super::theme::Theme;
use super::super::widget::{Frame, fit, foreign, line_text, put};
use super::diff::fit_path;
use crate::model::diff::{AlignedCell, AlignedFile, Comparison, ComparisonCell, FileChange};

/// A column of text narrower than this is not worth reading.
const NARROWEST: u16 = 36;

pub(super) fn matrix(app: &App, view: &CompareView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let title = Line::styled(format!(" Compare {} attempts ", view.targets.len()), theme.strong());
    let inner = Frame::new(theme.frame(), title).draw(buffer, area);
    let Some(comparison) = &view.comparison else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return;
    };
    if inner.height < 2 {
        return;
    }
    let attempts = comparison.attempts.len().max(1) as u16;
    let each = (inner.width * 2 / 3 / attempts).clamp(8, 24);
    let paths = inner.width.saturating_sub(each * attempts);
    let head = Rect { height: 1, ..inner };
    put(buffer, Rect { width: paths, ..head }, Line::styled("  file", theme.quiet()));
    for (index, attempt) in comparison.attempts.iter().enumerate() {
        let name = fit(attempt.name.as_str(), usize::from(each) - 1);
        put(buffer, column(head, paths, each, index), Line::styled(name, theme.strong()));
    }
    if comparison.rows.is_empty() {
        let row = Rect { y: inner.y + 1, ..head };
        put(buffer, row, Line::styled("  no attempt changed anything", theme.quiet()));
    }
    let list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    rows(theme, view, comparison, list, (paths, each), buffer);
}

fn rows(
    theme: Theme,
    view: &CompareView,
    comparison: &Comparison,
    area: Rect,
    (paths, each): (u16, u16),
    buffer: &mut Buffer,
) {
    let first = (view.row + 1).saturating_sub(usize::from(area.height));
    let shown = comparison.rows.iter().enumerate().skip(first).zip(area.y..area.bottom());
    for ((index, row), y) in shown {
        let chosen = index == view.row;
        let line = Rect { y, height: 1, ..area };
        let path = fit_path(&row.path.to_string(), usize::from(paths.saturating_sub(3)));
        let left = Line::from(vec![
            Span::styled(if chosen { "▌ " } else { "  " }, theme.chosen()),
            Span::styled(path, if chosen { theme.chosen() } else { theme.text() }),
        ]);
        put(buffer, Rect { width: paths, ..line }, left);
        for (attempt, cell) in row.cells.iter().enumerate() {
            let words = cell_words(theme, cell.as_ref(), &row.cells);
            put(buffer, column(line, paths, each, attempt), words);
        }
    }
}

fn column(row: Rect, paths: u16, each: u16, index: usize) -> Rect {
    let x = row.x + paths + each * index as u16;
    Rect { x, width: each.min(row.right().saturating_sub(x)), ..row }
}

/// `+3 −1`, and a letter shared by attempts whose content is the same.
fn cell_words(
    theme: Theme,
    cell: Option<&ComparisonCell>,
    row: &[Option<ComparisonCell>],
) -> Line<'static> {
    let Some(cell) = cell else { return Line::styled("·", theme.quiet()) };
    let mut spans = vec![
        Span::styled(format!("+{}", cell.added), theme.good()),
        Span::styled(format!(" −{}", cell.removed), theme.bad()),
    ];
    match cell.change {
        FileChange::Added => spans.push(Span::styled(" new", theme.quiet())),
        FileChange::Deleted => spans.push(Span::styled(" gone", theme.quiet())),
        FileChange::Renamed => spans.push(Span::styled(" moved", theme.quiet())),
        FileChange::Mode => spans.push(Span::styled(" mode", theme.quiet())),
        FileChange::Modified => {}
    }
    if row.iter().flatten().filter(|other| other.group == cell.group).count() > 1 {
        spans.push(Span::styled(" same", theme.accent()));
    }
    Line::from(spans)
}

pub(super) fn file(app: &App, view: &FileView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let path = fit_path(&view.path.to_string(), usize::from(area.width.saturating_sub(6)));
    let title = Line::styled(format!(" {path} "), theme.strong());
    let inner = Frame::new(theme.frame(), title).draw(buffer, area);
    let Some(file) = &view.file else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return;
    };
    if let Some(note) = &file.note {
        put(buffer, inner, Line::styled(format!(" {}", foreign(note)), theme.quiet()));
        return;
    }
    if inner.height < 2 || file.columns.is_empty() {
        return;
    }
    let shown = columns_shown(file, view.column, inner.width);
    let each = inner.width / shown.len() as u16;
    for (place, index) in shown.iter().enumerate() {
        let x = inner.x + each * place as u16;
        let column = Rect { x, width: each, ..inner };
        let head = if *index == 0 { theme.quiet() } else { theme.strong() };
        let name = foreign(&file.columns[*index]);
        put(buffer, Rect { height: 1, ..column }, Line::styled(format!("      {name}"), head));
        for (row, y) in file.rows.iter().skip(view.top).zip(inner.y + 1..inner.bottom()) {
            let cell = row.cells.get(*index).and_then(Option::as_ref);
            draw_cell(theme, cell, *index == 0, Rect { y, height: 1, ..column }, buffer);
        }
        if place > 0 {
            for y in inner.y..inner.bottom() {
                buffer[(x, y)].set_symbol("│").set_style(theme.frame());
            }
        }
    }
}

/// The base, and as many attempts from the first chosen one as there is room for.
fn columns_shown(file: &AlignedFile, first: usize, width: u16) -> Vec<usize> {
    let room = usize::from(width / NARROWEST).max(2).min(file.columns.len());
    if room == file.columns.len() {
        return (0..room).collect();
    }
    let start = (1 + first).min(file.columns.len() + 1 - room);
    std::iter::once(0).chain(start..start + room - 1).collect()
}

fn draw_cell(
    theme: Theme,
    cell: Option<&AlignedCell>,
    base: bool,
    area: Rect,
    buffer: &mut Buffer,
) {
    let Some(cell) = cell else { return };
    let (sign, tone) = match (cell.changed, base) {
        (false, _) => (" ", theme.text()),
        (true, true) => ("−", theme.bad()),
        (true, false) => ("+", theme.good()),
    };
    let text = fit(&line_text(&cell.text), usize::from(area.width.saturating_sub(9)));
    let line = Line::from(vec![
        Span::styled(format!(" {:>5} ", cell.number), theme.quiet()),
        Span::styled(sign, tone),
        Span::styled(text, tone),
    ]);
    put(buffer, area, line);
}
