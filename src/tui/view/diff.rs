//! A diff: the files at the left, the chosen one unified or side by side.

mod files;
mod rows;

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, DiffView, Search};
use super::super::theme::Theme;
use super::super::widget::{Frame, fit, put};
use crate::model::diff::{FileChange, FileDiff, Review, Taken, Whitespace};

/// Narrower terminals have no room for a list of files beside the text.
const FILES_FROM: u16 = 90;

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
        Some(diff) if diff.files.is_empty() && view.is_live() => {
            Some("nothing changed yet · what the agent changes appears here")
        }
        Some(diff) if diff.files.is_empty() => Some("nothing changed"),
        Some(_) if view.order.is_empty() && view.filter.needle().is_some() => {
            put(buffer, inset(inner), Line::styled("no file is called that", theme.quiet()));
            return prompt(theme, view, area, buffer);
        }
        Some(_) if view.order.is_empty() => {
            Some("nothing changed since you reviewed it · t shows all")
        }
        Some(_) => None,
    };
    if let Some(words) = words {
        put(buffer, inset(inner), Line::styled(words, theme.quiet()));
        return None;
    }
    let (Some(diff), Some(file)) = (&view.diff, view.chosen()) else { return None };
    let mut text = inner;
    if area.width >= FILES_FROM {
        let width = files::width(view, diff, inner.width);
        files::draw(theme, view, diff, Rect { width, ..inner }, buffer);
        divide(theme, area, inner, inner.x + width, buffer);
        text = Rect { x: inner.x + width + 1, width: inner.width - width - 1, ..inner };
    } else if view.listing {
        files::draw(theme, view, diff, inner, buffer);
        return prompt(theme, view, area, buffer);
    }
    let heading = heading(theme, file, view.outdated(), text.width);
    put(buffer, Rect { height: text.height.min(1), ..text }, heading);
    let text = Rect { y: text.y + 1, height: text.height.saturating_sub(1), ..text };
    for (row, y) in (view.place.top..view.rows.len()).zip(text.y..text.bottom()) {
        let place = Rect { y, height: 1, ..text };
        rows::draw(theme, view, row, place, buffer);
        if row == view.place.row {
            let tone = if view.listing { theme.frame() } else { theme.chosen() };
            buffer[(place.x, y)].set_symbol("▌").set_style(tone);
        }
    }
    prompt(theme, view, area, buffer)
}

/// How wide the text of a diff is on a screen of so many columns.
fn text_columns(view: &DiffView, columns: u16) -> u16 {
    let inner = columns.saturating_sub(2);
    match &view.diff {
        Some(diff) if columns >= FILES_FROM => {
            inner.saturating_sub(files::width(view, diff, inner) + 1)
        }
        _ => inner,
    }
}

/// How wide one row of a comment is at most, on a screen of so many columns.
pub(in super::super) fn comment_columns(view: &DiffView, columns: u16) -> usize {
    usize::from(text_columns(view, columns)).saturating_sub(rows::comment_indent(view) + 3)
}

/// What is typed or searched for, in the lower border.
fn prompt(theme: Theme, view: &DiffView, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    if let Search::Typing(_) = view.filter {
        return search(theme, &view.filter, None, area, buffer);
    }
    search(theme, &view.search, Some(view.found_words()), area, buffer)
}

/// A line from the upper border of a frame to the lower one.
pub(super) fn divide(theme: Theme, frame: Rect, inner: Rect, x: u16, buffer: &mut Buffer) {
    for y in inner.y..inner.bottom() {
        buffer[(x, y)].set_symbol("│").set_style(theme.frame());
    }
    let (top, bottom) = (inner.y.saturating_sub(1), inner.bottom());
    for (y, symbol) in [(top, "┬"), (bottom, "┴")] {
        // Words in the border stay whole, and a low place has none.
        if frame.contains(Position::new(x, y)) && buffer[(x, y)].symbol() == "─" {
            buffer[(x, y)].set_symbol(symbol);
        }
    }
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
        spans.push(Span::styled("· ", theme.quiet()));
        spans.push(Span::styled(format!("+{added}"), theme.good()));
        spans.push(Span::styled(format!(" −{removed} "), theme.bad()));
    }
    if view.since_reviewed {
        spans.push(Span::styled("· since reviewed ", theme.accent()));
    }
    if view.whitespace == Whitespace::Ignored {
        spans.push(Span::styled("· whitespace ignored ", theme.accent()));
    }
    match view.pending().count() {
        0 => {}
        1 => spans.push(Span::styled("· ◆ 1 comment not sent ", theme.caution())),
        count => {
            spans.push(Span::styled(format!("· ◆ {count} comments not sent "), theme.caution()));
        }
    }
    if view.left_out > 0 {
        spans.push(Span::styled(format!("· {} left out ", view.left_out), theme.caution()));
    }
    if let (Some(words), Some(diff)) = (view.filter.needle(), &view.diff) {
        let (shown, all) = (view.order.len(), diff.files.len());
        spans.push(Span::styled(format!("· {shown} of {all} with {words} "), theme.accent()));
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
fn heading(theme: Theme, file: &FileDiff, outdated: usize, width: u16) -> Line<'static> {
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
    match outdated {
        0 => {}
        1 => words.push_str(" · 1 comment outdated"),
        count => words.push_str(&format!(" · {count} comments outdated")),
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

/// The search in the lower border, with its cursor while it is typed, and how many rows hold it.
pub(super) fn search(
    theme: Theme,
    search: &Search,
    found: Option<String>,
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
            let found = found.map_or_else(String::new, |words| format!(" · {words}"));
            let words = format!(" /{text}{found} · Esc ends ");
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
