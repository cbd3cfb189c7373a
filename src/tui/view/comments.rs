//! The field for a comment, and the message that all comments make.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::super::app::{App, CommentForm, CommentList, MessageForm, View};
use super::super::layout::centered;
use super::super::widget::{Frame, clear, fit, foreign, left_and_right, put};
use super::diff::fit_path;
use crate::model::comment::Comment;

pub(super) fn comment(
    app: &App,
    form: &CommentForm,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let area = centered(body, 84, 7);
    clear(buffer, area);
    let place = fit_path(&form.title, usize::from(area.width.saturating_sub(24)));
    let title = Line::styled(format!(" Comment on {place} "), theme.strong());
    let mut frame = Frame::new(theme.accent(), title);
    frame.corner = Line::styled(" Esc cancels ", theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height == 0 || inner.width < 4 {
        return None;
    }
    let width = usize::from(inner.width.saturating_sub(4));
    let row = |offset: u16| Rect {
        x: inner.x + 2,
        y: inner.y + offset,
        width: inner.width - 2,
        height: 1,
    };
    let low = inner.height < 4;
    if !low {
        put(buffer, row(0), Line::styled(fit(form.quote.trim(), width), theme.quiet()));
        let keys = [
            Span::styled("Enter", theme.accent()),
            Span::styled(" keeps it; nothing is sent yet", theme.quiet()),
        ];
        put(buffer, row(inner.height - 1), Line::from(keys.to_vec()));
    }
    let field = row(if low { 0 } else { 2 });
    let (text, column) = form.field.window(width);
    put(buffer, field, Line::styled(text.to_owned(), theme.text()));
    Some(Position::new(field.x + column as u16, field.y))
}

/// What a comment is marked with: whether its agent was told.
pub(super) fn mark(sent: bool) -> &'static str {
    if sent { "◇" } else { "◆" }
}

/// Rows of one comment in the list: where it is, and what was said.
const ROWS: usize = 2;

pub(super) fn list(app: &App, list: &CommentList, body: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let Some(View::Diff(view)) = app.views.last() else { return };
    let count = view.comments.len();
    let height = ((count * ROWS) as u16).saturating_add(4).min(body.height);
    let area = centered(body, 92, height);
    clear(buffer, area);
    let name = app.name(&view.environment);
    let title = Line::styled(format!(" Comments on {name} "), theme.strong());
    let mut frame = Frame::new(theme.accent(), title);
    let pending = view.pending().count();
    frame.corner = Line::styled(format!(" {pending} of {count} not sent "), theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height < 3 || inner.width < 8 {
        return;
    }
    let shown = (usize::from(inner.height - 1) / ROWS).max(1);
    let chosen = list.row.min(count.saturating_sub(1));
    let top = (chosen + 1).saturating_sub(shown);
    for (place, (index, comment)) in
        view.comments.iter().enumerate().skip(top).take(shown).enumerate()
    {
        let y = inner.y + (place * ROWS) as u16;
        let room = inner.bottom().saturating_sub(y + 1).min(ROWS as u16);
        let area = Rect { y, height: room, ..inner };
        entry(app, comment, index == chosen, area, buffer);
    }
    let keys =
        [("Enter", " goes there  "), ("e", " changes  "), ("x", " removes  "), ("s", " sends")];
    let spans = keys.into_iter().flat_map(|(key, words)| {
        [Span::styled(key, theme.accent()), Span::styled(words, theme.quiet())]
    });
    let line: Vec<Span<'_>> = std::iter::once(Span::raw("  ")).chain(spans).collect();
    put(buffer, Rect { y: inner.bottom() - 1, height: 1, ..inner }, Line::from(line));
}

fn entry(app: &App, comment: &Comment, chosen: bool, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let sent = comment.sent.is_some();
    let state = match (comment.line.is_none(), sent) {
        (true, true) => "outdated · sent ",
        (true, false) => "outdated · not sent ",
        (false, true) => "sent ",
        (false, false) => "not sent ",
    };
    let line = comment.line.unwrap_or(comment.place.line);
    let width = usize::from(area.width).saturating_sub(5 + state.len());
    let place = fit_path(&format!("{}:{line}", comment.place.path), width);
    let tone = if sent { theme.quiet() } else { theme.caution() };
    let cursor = Span::styled(if chosen { "▌" } else { " " }, theme.chosen());
    let left = Line::from(vec![
        cursor.clone(),
        Span::styled(format!("{} ", mark(sent)), tone),
        Span::styled(place, if chosen { theme.chosen() } else { theme.text() }),
    ]);
    let right = Line::styled(state, theme.quiet());
    left_and_right(buffer, Rect { height: area.height.min(1), ..area }, left, right);
    if area.height > 1 {
        let text = fit(&foreign(&comment.text), usize::from(area.width).saturating_sub(4));
        let words = Line::from(vec![cursor, Span::raw("  "), Span::styled(text, theme.text())]);
        put(buffer, Rect { y: area.y + 1, height: 1, ..area }, words);
    }
}

pub(super) fn message(
    app: &App,
    form: &MessageForm,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let height = (form.lines.len() as u16).saturating_add(4).min(body.height);
    let area = centered(body, 92, height);
    clear(buffer, area);
    let title = Line::styled(format!(" To {}'s agent ", form.name), theme.strong());
    let mut frame = Frame::new(theme.accent(), title);
    frame.corner = Line::styled(" Esc keeps it for later ", theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height < 2 || inner.width < 4 {
        return None;
    }
    let width = usize::from(inner.width.saturating_sub(4));
    let shown = usize::from(inner.height - 1);
    let top = (form.row + 1).saturating_sub(shown);
    let mut cursor = None;
    for ((index, (_, field)), y) in
        form.lines.iter().enumerate().skip(top).zip(inner.y..inner.bottom() - 1)
    {
        let row = Rect { x: inner.x + 2, y, width: inner.width - 2, height: 1 };
        let quoted = field.text().starts_with("> ");
        let tone = if quoted { theme.quiet() } else { theme.text() };
        if index == form.row {
            let (text, column) = field.window(width);
            put(buffer, row, Line::styled(text.to_owned(), tone));
            cursor = Some(Position::new(row.x + column as u16, y));
        } else {
            put(buffer, row, Line::styled(fit(field.text(), width), tone));
        }
    }
    let keys = [
        ("Enter", " sends  "),
        ("↑ ↓", " lines  "),
        ("Ctrl+J", " new line  "),
        ("Ctrl+X", " leaves the comment out"),
    ];
    let spans = keys.into_iter().flat_map(|(key, words)| {
        [Span::styled(key, theme.accent()), Span::styled(words, theme.quiet())]
    });
    let line: Vec<Span<'_>> = std::iter::once(Span::raw("  ")).chain(spans).collect();
    put(buffer, Rect { y: inner.bottom() - 1, height: 1, ..inner }, Line::from(line));
    cursor
}
