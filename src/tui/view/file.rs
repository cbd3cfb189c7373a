//! One file in every version side by side, lines that belong together in one row.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, FileRow, FileView, agreement_words, all_agree};
use super::super::theme::Theme;
use super::super::widget::{Frame, Source, fit, foreign, line_shown, put, source_line};
use super::diff::{divide, fit_path, search};
use crate::model::comparison::{AlignedFile, Stretch, letter, letters};

/// A column of text narrower than this is not worth reading.
const NARROWEST: u16 = 36;
/// Narrower terminals have no room for how to see the other attempts.
const KEYS_FROM: u16 = 70;
/// Fewer digits of a line number would make the text jump from file to file.
const DIGITS: usize = 3;

pub(super) fn draw(
    app: &App,
    view: &FileView,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let path = fit_path(&view.path.to_string(), usize::from(area.width.saturating_sub(6)));
    let mut frame = Frame::new(theme.frame(), Line::styled(format!(" {path} "), theme.strong()));
    frame.corner = position(theme, view, area.width);
    let inner = frame.draw(buffer, area);
    let Some(file) = &view.file else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return None;
    };
    if let Some(note) = &file.note {
        put(buffer, inner, Line::styled(format!(" {}", foreign(note)), theme.quiet()));
        return None;
    }
    if inner.height < 2 || file.columns.is_empty() {
        return None;
    }
    let shown = columns_shown(file.columns.len(), view.column, view.hides_base, area.width);
    let places = places(inner, shown.len());
    for (column, place) in shown.iter().zip(&places) {
        title(theme, (view, file), *column, Rect { height: 1, ..*place }, buffer);
    }
    for place in &places[1..] {
        divide(theme, area, inner, place.x - 1, buffer);
    }
    for (row, y) in (view.place.top..view.rows.len()).zip(inner.y + 1..inner.bottom()) {
        let line = Rect { y, height: 1, ..inner };
        let chosen = row == view.place.row;
        match view.rows[row] {
            FileRow::Fold { .. } | FileRow::Heading { .. } => {
                bar(theme, view, file, row, line, buffer);
            }
            _ => {
                for (column, place) in shown.iter().zip(&places) {
                    cell(theme, view, (row, *column), Rect { y, height: 1, ..*place }, buffer);
                }
            }
        }
        if chosen {
            buffer[(line.x, y)].set_symbol("▌").set_style(theme.chosen());
        }
    }
    let found = match view.matches {
        0 => "not in this file".to_owned(),
        1 => "1 line".to_owned(),
        count => format!("{count} lines"),
    };
    search(theme, &view.search, Some(found), area, buffer)
}

/// Which attempts are to be seen, where not all fit, and which difference the reader is at.
fn position(theme: Theme, view: &FileView, width: u16) -> Line<'static> {
    let Some(file) = &view.file else { return Line::default() };
    let mut words = match view.differences() {
        (_, 0) => " no differences ".to_owned(),
        (at, all) => format!(" difference {at} of {all} "),
    };
    let attempts = file.columns.len().saturating_sub(1);
    let shown = columns_shown(file.columns.len(), view.column, view.hides_base, width);
    let shown: Vec<usize> = shown.into_iter().filter_map(|column| column.checked_sub(1)).collect();
    if shown.len() < attempts {
        let names = letters(&shown);
        let keys = if width < KEYS_FROM { "" } else { ", h l show others" };
        words = format!(" {names} of {attempts}{keys} ·{words}");
    }
    Line::styled(words, theme.quiet())
}

/// Columns of a line number, its sign, and blanks around them.
fn gutter(view: &FileView) -> u16 {
    digits(view) as u16 + 3
}

fn digits(view: &FileView) -> usize {
    view.digits.max(DIGITS)
}

/// The columns there is room for: the base unless it is hidden, and attempts from the first
/// chosen one on. A narrow terminal shows one.
pub(crate) fn columns_shown(
    columns: usize,
    first: usize,
    hides_base: bool,
    width: u16,
) -> Vec<usize> {
    let attempts = columns.saturating_sub(1);
    if attempts == 0 {
        return vec![0];
    }
    let room = usize::from(width / NARROWEST).clamp(1, columns);
    let base = !hides_base && room > 1;
    let room = (room - usize::from(base)).min(attempts);
    let start = 1 + first.min(attempts - room);
    (0..usize::from(base)).chain(start..start + room).collect()
}

/// As many equal places, one column apart for the line between them.
fn places(inner: Rect, count: usize) -> Vec<Rect> {
    let at = |index: usize| inner.x + (usize::from(inner.width) * index / count.max(1)) as u16;
    let place = |index: usize| {
        let x = at(index) + u16::from(index > 0);
        Rect { x, width: at(index + 1).saturating_sub(x), ..inner }
    };
    (0..count).map(place).collect()
}

fn title(
    theme: Theme,
    (view, file): (&FileView, &AlignedFile),
    column: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    let name = foreign(&file.columns[column]);
    let (name, tone) = match column.checked_sub(1) {
        None => (name, theme.quiet()),
        // What is taken is taken from this one.
        Some(attempt) => {
            let tone = if attempt == view.column { theme.chip() } else { theme.strong() };
            (format!("{} {name}", letter(attempt)), tone)
        }
    };
    let gutter = " ".repeat(usize::from(gutter(view)));
    let mut spans = vec![Span::raw(gutter), Span::styled(name, tone)];
    let cell = column.checked_sub(1).and_then(|attempt| view.cells.get(attempt)?.as_ref());
    for remark in cell.iter().flat_map(|cell| cell.remarks()) {
        let tone = if remark.starts_with('!') { theme.caution() } else { theme.quiet() };
        spans.push(Span::styled(format!(" · {remark}"), tone));
    }
    if file.missing.get(column).copied().unwrap_or_default() {
        spans.push(Span::styled(" · not there", theme.caution()));
    }
    put(buffer, area, Line::from(spans));
}

/// A row over all columns: what is folded, or who agrees about what follows.
fn bar(
    theme: Theme,
    view: &FileView,
    file: &AlignedFile,
    row: usize,
    area: Rect,
    buffer: &mut Buffer,
) {
    let plural = |count: usize| if count == 1 { "line" } else { "lines" };
    let (words, tone, dash) = match view.rows[row] {
        FileRow::Fold { stretch, lines, .. } => match &file.stretches[stretch] {
            Stretch::Common { .. } => {
                (format!("{lines} unchanged {}", plural(lines)), theme.quiet(), "·")
            }
            Stretch::Changed { groups, .. } => {
                let words = format!("{} on {lines} {}", agreement_words(groups), plural(lines));
                (format!("= {words}"), theme.good(), "·")
            }
        },
        FileRow::Heading { stretch } => match &file.stretches[stretch] {
            Stretch::Changed { groups, .. } if all_agree(groups) => {
                (format!("= {}", agreement_words(groups)), theme.good(), "─")
            }
            Stretch::Changed { groups, .. } => {
                (format!("≠ {}", agreement_words(groups)), theme.caution(), "─")
            }
            Stretch::Common { .. } => return,
        },
        _ => return,
    };
    let fill = |count: usize| Span::styled(dash.repeat(count), theme.frame());
    let words = fit(&words, usize::from(area.width).saturating_sub(6));
    let used = 4 + unicode_width::UnicodeWidthStr::width(words.as_str());
    let rest = usize::from(area.width).saturating_sub(used + 1);
    let line = vec![Span::raw(" "), fill(2), Span::styled(format!(" {words} "), tone), fill(rest)];
    put(buffer, area, Line::from(line));
}

fn cell(
    theme: Theme,
    view: &FileView,
    (row, column): (usize, usize),
    area: Rect,
    buffer: &mut Buffer,
) {
    let changed = matches!(view.rows[row], FileRow::Changed { .. });
    let gutter = gutter(view);
    let Some((number, text)) = view.cell(row, column) else {
        if changed {
            // What is not there must not look like an empty line.
            let blank = "╌".repeat(usize::from(area.width.saturating_sub(gutter)).min(3));
            let x = area.x + gutter.min(area.width);
            put(
                buffer,
                Rect { x, width: area.right() - x, ..area },
                Line::styled(blank, theme.frame()),
            );
        }
        return;
    };
    let (sign, tone) = sign(theme, view, (row, column), changed);
    let (text, hidden) = line_shown(&text.0);
    let painted = view.painted.get(&(row, column));
    let room = usize::from(area.width.saturating_sub(gutter));
    let quiet = if sign == " " { theme.quiet() } else { tone };
    let number = format!(" {number:>width$} ", width = digits(view));
    let mut spans = vec![Span::styled(number, quiet), Span::styled(sign, tone)];
    let needle = view.search.needle();
    let source = Source { text: &text, painted, hidden: &hidden, needle };
    spans.extend(source_line(theme, &source, tone, (view.left, room)));
    put(buffer, area, Line::from(spans));
}

/// How a line stands to the base's: kept, changed, its own, or gone from an attempt.
fn sign(
    theme: Theme,
    view: &FileView,
    (row, column): (usize, usize),
    changed: bool,
) -> (&'static str, Style) {
    let same = |other: usize| {
        let own = view.cell(row, column).map(|(_, text)| text);
        own == view.cell(row, other).map(|(_, text)| text)
    };
    if !changed {
        return (" ", theme.text());
    }
    let columns = view.file.as_ref().map_or(0, |file| file.columns.len());
    match column {
        0 if (1..columns).all(same) => (" ", theme.text()),
        0 => ("−", theme.bad()),
        _ if same(0) => (" ", theme.text()),
        _ => ("+", theme.good()),
    }
}
