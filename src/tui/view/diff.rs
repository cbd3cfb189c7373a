//! A diff: the files at the left, the chosen one unified or side by side.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, DiffRow, DiffView, PairSide, Search};
use super::super::theme::Theme;
use super::super::widget::{Frame, fit, left_and_right, put, source_line};
use crate::model::diff::{Diff, FileChange, FileDiff, LineKind, Review, Taken, Whitespace};

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
    let words = match &view.diff {
        None => Some("reading …"),
        Some(diff) if diff.files.is_empty() => Some("nothing changed"),
        Some(_) if view.order.is_empty() => Some("nothing changed since you reviewed it"),
        Some(_) => None,
    };
    if let Some(words) = words {
        put(buffer, inset(inner), Line::styled(words, theme.quiet()));
        return None;
    }
    let (Some(diff), Some(file)) = (&view.diff, view.chosen()) else { return None };
    let mut text = inner;
    if area.width >= FILES_FROM {
        let width = (inner.width / 4).clamp(24, 48);
        files(theme, view, diff, Rect { width, ..inner }, buffer);
        for y in inner.y..inner.bottom() {
            buffer[(inner.x + width, y)].set_symbol("│").set_style(theme.frame());
        }
        text = Rect { x: inner.x + width + 1, width: inner.width - width - 1, ..inner };
    }
    put(buffer, Rect { height: text.height.min(1), ..text }, heading(theme, file, text.width));
    let text = Rect { y: text.y + 1, height: text.height.saturating_sub(1), ..text };
    for (row, y) in (view.place.top..view.rows.len()).zip(text.y..text.bottom()) {
        let place = Rect { y, height: 1, ..text };
        draw_row(theme, view, row, place, buffer);
        if row == view.place.row {
            buffer[(place.x, y)].set_symbol("▌").set_style(theme.chosen());
        }
    }
    search(theme, &view.search, area, buffer)
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
    if let Some(diff) = view.diff.as_ref().filter(|_| view.counted) {
        let added: u64 = diff.files.iter().map(|file| file.added).sum();
        let removed: u64 = diff.files.iter().map(|file| file.removed).sum();
        spans.push(Span::styled(format!("· +{added}"), theme.good()));
        spans.push(Span::styled(format!(" −{removed} "), theme.bad()));
    }
    if view.since_reviewed {
        spans.push(Span::styled("· since reviewed ", theme.accent()));
    }
    if view.whitespace == Whitespace::Ignored {
        spans.push(Span::styled("· whitespace ignored ", theme.accent()));
    }
    Line::from(spans)
}

fn position(theme: Theme, view: &DiffView) -> Line<'static> {
    let count = view.order.len();
    if count == 0 {
        return Line::default();
    }
    let mut words = format!(" file {} of {count} ", view.file + 1);
    if view.reviewed() > 0 {
        words = format!(" ✓ {} reviewed ·{words}", view.reviewed());
    }
    Line::styled(words, theme.quiet())
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

/// `!` for what calls for caution, `✓` for what was reviewed, `~` for what changed since.
fn mark(theme: Theme, file: &FileDiff) -> Span<'static> {
    match &file.review {
        Review::Reviewed => Span::styled("✓", theme.good()),
        _ if !file.cautions.is_empty() => Span::styled("!", theme.caution()),
        Review::Changed { .. } => Span::styled("~", theme.caution()),
        Review::Unreviewed => Span::raw(" "),
    }
}

fn files(theme: Theme, view: &DiffView, diff: &Diff, area: Rect, buffer: &mut Buffer) {
    let first = (view.file + 1).saturating_sub(usize::from(area.height));
    for (place, y) in (first..view.order.len()).zip(area.y..area.bottom()) {
        let Some(file) = diff.files.get(view.order[place]) else { break };
        let chosen = place == view.file;
        let (letter, tone) = letter(theme, file.change);
        let counts = match (file.taken, view.counted) {
            (Taken::All, _) => " taken ".to_owned(),
            (Taken::Part, _) => " partly taken ".to_owned(),
            (Taken::Nothing, true) => format!(" +{} −{} ", file.added, file.removed),
            (Taken::Nothing, false) => String::new(),
        };
        let room = usize::from(area.width).saturating_sub(4 + counts.chars().count());
        let path = fit_path(&file.path.to_string(), room);
        let left = Line::from(vec![
            Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
            mark(theme, file),
            Span::styled(letter, tone),
            Span::raw(" "),
            Span::styled(path, if chosen { theme.chosen() } else { theme.text() }),
        ]);
        let right = Line::styled(counts, theme.quiet());
        left_and_right(buffer, Rect { y, height: 1, ..area }, left, right);
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

/// Why the file calls for caution, before all; then what became of it.
fn heading(theme: Theme, file: &FileDiff, width: u16) -> Line<'static> {
    let (letter, tone) = letter(theme, file.change);
    let cautions: Vec<String> = file.cautions.iter().map(ToString::to_string).collect();
    let cautions = match cautions.as_slice() {
        [] => String::new(),
        cautions => format!("! {} ", fit(&cautions.join(" · "), usize::from(width / 2))),
    };
    let mut words = file.path.to_string();
    if let Some(old) = &file.old_path {
        words = format!("{old} → {words}");
    }
    if let (Some(old), Some(new)) = (file.old_mode, file.new_mode)
        && old != new
    {
        words = format!("{words} · mode {old:o} → {new:o}");
    }
    if let Review::Changed { .. } = file.review {
        words = format!("{words} · changed since you reviewed it");
    }
    match file.taken {
        Taken::Nothing => {}
        Taken::Part => words.push_str(" · partly taken"),
        Taken::All => words.push_str(" · taken"),
    }
    let used = 4 + unicode_width::UnicodeWidthStr::width(cautions.as_str());
    let words = fit_path(&words, usize::from(width).saturating_sub(used));
    Line::from(vec![
        Span::raw(" "),
        Span::styled(cautions, theme.caution()),
        Span::styled(letter, tone),
        Span::raw(" "),
        Span::styled(words, theme.strong()),
    ])
}

fn draw_row(theme: Theme, view: &DiffView, row: usize, area: Rect, buffer: &mut Buffer) {
    match &view.rows[row] {
        DiffRow::Hunk { text, folded, .. } => {
            let mark = if *folded { " · folded" } else { "" };
            put(buffer, area, Line::styled(format!(" {text}{mark}"), theme.accent()));
        }
        DiffRow::Note(text) => put(buffer, area, Line::styled(format!("  {text}"), theme.quiet())),
        DiffRow::Line { kind, old, new, text, .. } => {
            let (sign, tone) = match kind {
                LineKind::Context => (" ", theme.text()),
                LineKind::Added => ("+", theme.good()),
                LineKind::Removed => ("−", theme.bad()),
            };
            let numbers = format!("{}{}", number(*old), number(*new));
            let mut spans = vec![Span::styled(numbers, theme.quiet()), Span::styled(sign, tone)];
            let painted = view.painted.get(&(row, *kind != LineKind::Removed));
            let room = usize::from(area.width).saturating_sub(2 * NUMBER + 1);
            let needle = view.search.needle();
            spans.extend(source_line(theme, text, painted, needle, tone, room));
            put(buffer, area, Line::from(spans));
        }
        DiffRow::Pair { old, new } => {
            let half = area.width / 2;
            let left = Rect { width: half, ..area };
            let right = Rect { x: area.x + half, width: area.width - half, ..area };
            side(theme, view, (row, false), old.as_ref(), left, buffer);
            side(theme, view, (row, true), new.as_ref(), right, buffer);
        }
    }
}

fn side(
    theme: Theme,
    view: &DiffView,
    (row, new): (usize, bool),
    line: Option<&PairSide>,
    area: Rect,
    buffer: &mut Buffer,
) {
    let Some(line) = line else { return };
    let (sign, tone) = match (line.changed, new) {
        (false, _) => (" ", theme.text()),
        (true, true) => ("+", theme.good()),
        (true, false) => ("−", theme.bad()),
    };
    let mut spans =
        vec![Span::styled(number(Some(line.number)), theme.quiet()), Span::styled(sign, tone)];
    let room = usize::from(area.width).saturating_sub(NUMBER + 2);
    let painted = view.painted.get(&(row, new));
    spans.extend(source_line(theme, &line.text, painted, view.search.needle(), tone, room));
    put(buffer, area, Line::from(spans));
}

fn number(number: Option<u32>) -> String {
    number.map_or_else(|| " ".repeat(NUMBER), |number| format!("{number:>5} "))
}

/// The search in the lower border, with its cursor while it is typed.
pub(super) fn search(
    theme: Theme,
    search: &Search,
    area: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    if area.width < 20 || area.height < 3 {
        return None;
    }
    let row = Rect { x: area.x + 2, y: area.bottom() - 1, width: area.width - 4, height: 1 };
    match search {
        Search::Closed => None,
        Search::Open(text) => {
            let words = format!(" /{text} · Esc ends ");
            put(buffer, row, Line::styled(words, theme.caution()));
            None
        }
        Search::Typing(field) => {
            let (text, column) = field.window(usize::from(row.width - 4));
            put(buffer, row, Line::styled(format!(" /{text} "), theme.caution()));
            Some(Position::new(row.x + 2 + column as u16, row.y))
        }
    }
}
