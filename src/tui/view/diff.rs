//! A diff: the files at the left, the chosen one unified or side by side.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, DiffRow, DiffView};
use super::super::theme::Theme;
use super::super::widget::{Frame, fit, put};
use crate::model::diff::{Diff, FileChange, FileDiff, LineKind};

/// Narrower terminals have no room for a list of files beside the text.
const FILES_FROM: u16 = 90;
/// Columns of a line number and the blank after it.
const NUMBER: usize = 6;

pub(super) fn draw(
    app: &App,
    view: &DiffView,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let mut frame = Frame::new(theme.frame(), title(theme, view));
    frame.corner = position(theme, view);
    let inner = frame.draw(buffer, area);
    let Some(diff) = &view.diff else {
        put(buffer, inset(inner), Line::styled("reading …", theme.quiet()));
        return None;
    };
    if diff.files.is_empty() {
        put(buffer, inset(inner), Line::styled("nothing changed", theme.quiet()));
        return None;
    }
    let mut text = inner;
    if area.width >= FILES_FROM {
        let width = (inner.width / 4).clamp(24, 48);
        files(theme, view, diff, Rect { width, ..inner }, buffer);
        for y in inner.y..inner.bottom() {
            buffer[(inner.x + width, y)].set_symbol("│").set_style(theme.frame());
        }
        text = Rect { x: inner.x + width + 1, width: inner.width - width - 1, ..inner };
    }
    let file = diff.files.get(view.file)?;
    put(buffer, Rect { height: text.height.min(1), ..text }, heading(theme, file, text.width));
    let text = Rect { y: text.y + 1, height: text.height.saturating_sub(1), ..text };
    let rows = view.rows(area.width).iter().skip(view.top);
    for (row, y) in rows.zip(text.y..text.bottom()) {
        let place = Rect { y, height: 1, ..text };
        draw_row(theme, view, row, place, buffer);
    }
    search(theme, view, area, buffer)
}

fn inset(area: Rect) -> Rect {
    Rect {
        x: area.x + 1,
        y: area.y,
        width: area.width.saturating_sub(1),
        height: area.height.min(1),
    }
}

fn title(theme: Theme, view: &DiffView) -> Line<'static> {
    let mut spans = vec![Span::styled(format!(" {} ", view.title), theme.strong())];
    if let Some(diff) = &view.diff {
        let added: u64 = diff.files.iter().map(|file| file.added).sum();
        let removed: u64 = diff.files.iter().map(|file| file.removed).sum();
        spans.push(Span::styled(format!("· +{added}"), theme.good()));
        spans.push(Span::styled(format!(" −{removed} "), theme.bad()));
    }
    Line::from(spans)
}

fn position(theme: Theme, view: &DiffView) -> Line<'static> {
    let count = view.diff.as_ref().map_or(0, |diff| diff.files.len());
    match count {
        0 => Line::default(),
        count => Line::styled(format!(" file {} of {count} ", view.file + 1), theme.quiet()),
    }
}

fn letter(theme: Theme, change: FileChange) -> (&'static str, Style) {
    match change {
        FileChange::Added => ("A", theme.good()),
        FileChange::Modified => ("M", theme.caution()),
        FileChange::Deleted => ("D", theme.bad()),
        FileChange::Renamed => ("R", theme.accent()),
        FileChange::Mode => ("T", theme.quiet()),
    }
}

fn files(theme: Theme, view: &DiffView, diff: &Diff, area: Rect, buffer: &mut Buffer) {
    let first = (view.file + 1).saturating_sub(usize::from(area.height));
    for ((index, file), y) in diff.files.iter().enumerate().skip(first).zip(area.y..area.bottom()) {
        let chosen = index == view.file;
        let (letter, tone) = letter(theme, file.change);
        let counts = format!(" +{} −{} ", file.added, file.removed);
        let room = usize::from(area.width).saturating_sub(3 + counts.chars().count());
        let path = fit_path(&file.path.to_string(), room);
        let left = Line::from(vec![
            Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
            Span::styled(letter, tone),
            Span::raw(" "),
            Span::styled(path, if chosen { theme.chosen() } else { theme.text() }),
        ]);
        let right = Line::styled(counts, theme.quiet());
        super::super::widget::left_and_right(buffer, Rect { y, height: 1, ..area }, left, right);
    }
}

/// A path's end tells more than its beginning.
pub(super) fn fit_path(path: &str, width: usize) -> String {
    use unicode_width::UnicodeWidthStr as _;
    if path.width() <= width {
        return path.to_owned();
    }
    let mut start = path.len();
    for (index, _) in path.char_indices().rev() {
        if path[index..].width() + 1 > width {
            break;
        }
        start = index;
    }
    if width == 0 { String::new() } else { format!("…{}", &path[start..]) }
}

fn heading(theme: Theme, file: &FileDiff, width: u16) -> Line<'static> {
    let (letter, tone) = letter(theme, file.change);
    let mut words = file.path.to_string();
    if let Some(old) = &file.old_path {
        words = format!("{old} → {words}");
    }
    if let (Some(old), Some(new)) = (file.old_mode, file.new_mode)
        && old != new
    {
        words = format!("{words} · mode {old:o} → {new:o}");
    }
    let words = fit_path(&words, usize::from(width.saturating_sub(4)));
    Line::from(vec![Span::styled(format!(" {letter} "), tone), Span::styled(words, theme.strong())])
}

fn draw_row(theme: Theme, view: &DiffView, row: &DiffRow, area: Rect, buffer: &mut Buffer) {
    match row {
        DiffRow::Hunk(text) => put(buffer, area, Line::styled(format!(" {text}"), theme.accent())),
        DiffRow::Note(text) => put(buffer, area, Line::styled(format!("  {text}"), theme.quiet())),
        DiffRow::Line { kind, old, new, text } => {
            let (sign, tone) = match kind {
                LineKind::Context => (" ", theme.text()),
                LineKind::Added => ("+", theme.good()),
                LineKind::Removed => ("−", theme.bad()),
            };
            let numbers = format!("{}{}", number(*old), number(*new));
            let mut spans = vec![Span::styled(numbers, theme.quiet()), Span::styled(sign, tone)];
            spans.extend(highlighted(theme, view, text, tone));
            put(buffer, area, Line::from(spans));
        }
        DiffRow::Pair { old, new } => {
            let half = area.width / 2;
            let left = Rect { width: half, ..area };
            let right = Rect { x: area.x + half, width: area.width - half, ..area };
            side(theme, view, old.as_ref(), ("−", theme.bad()), left, buffer);
            side(theme, view, new.as_ref(), ("+", theme.good()), right, buffer);
        }
    }
}

fn side(
    theme: Theme,
    view: &DiffView,
    line: Option<&(u32, bool, String)>,
    (sign, tone): (&'static str, Style),
    area: Rect,
    buffer: &mut Buffer,
) {
    let Some((at, changed, text)) = line else { return };
    let (sign, tone) = if *changed { (sign, tone) } else { (" ", theme.text()) };
    let mut spans = vec![Span::styled(number(Some(*at)), theme.quiet()), Span::styled(sign, tone)];
    let text = fit(text, usize::from(area.width).saturating_sub(NUMBER + 2));
    spans.extend(highlighted(theme, view, &text, tone));
    put(buffer, area, Line::from(spans));
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| " ".repeat(NUMBER), |number| format!("{number:>5} "))
}

/// The text with what is searched for standing out.
fn highlighted(theme: Theme, view: &DiffView, text: &str, tone: Style) -> Vec<Span<'static>> {
    let needle = view.search.needle().map(str::to_lowercase).unwrap_or_default();
    let lower = text.to_lowercase();
    // Where lower case has other lengths, places cannot be carried over.
    if needle.is_empty() || lower.len() != text.len() {
        return vec![Span::styled(text.to_owned(), tone)];
    }
    let mut spans = Vec::new();
    let mut at = 0;
    for (index, found) in lower.match_indices(&needle) {
        let (Some(before), Some(hit)) = (text.get(at..index), text.get(index..index + found.len()))
        else {
            break;
        };
        spans.push(Span::styled(before.to_owned(), tone));
        spans.push(Span::styled(hit.to_owned(), theme.found()));
        at = index + found.len();
    }
    spans.push(Span::styled(text[at..].to_owned(), tone));
    spans
}

/// The search in the lower border, with its cursor while it is typed.
fn search(theme: Theme, view: &DiffView, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    use super::super::app::Search;
    if area.width < 20 || area.height < 3 {
        return None;
    }
    let row = Rect { x: area.x + 2, y: area.bottom() - 1, width: area.width - 4, height: 1 };
    match &view.search {
        Search::Closed => None,
        Search::Open(text) => {
            put(
                buffer,
                row,
                Line::styled(format!(" /{text} · n next · Esc ends "), theme.caution()),
            );
            None
        }
        Search::Typing(field) => {
            let (text, column) = field.window(usize::from(row.width - 4));
            put(buffer, row, Line::styled(format!(" /{text} "), theme.caution()));
            Some(Position::new(row.x + 2 + column as u16, row.y))
        }
    }
}
