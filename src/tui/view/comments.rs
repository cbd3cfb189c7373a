//! The field for a comment, and the message that all comments make.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::super::app::{App, CommentForm, MessageForm};
use super::super::layout::centered;
use super::super::widget::{Frame, clear, fit, put};
use super::diff::fit_path;

pub(super) fn comment(
    app: &App,
    form: &CommentForm,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let area = centered(body, 84, 7);
    clear(buffer, area);
    let place = fit_path(&form.path, usize::from(area.width.saturating_sub(24)));
    let title = Line::styled(format!(" Comment on {place}:{} ", form.line), theme.strong());
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
        ("Ctrl+X", " removes the comment"),
    ];
    let spans = keys.into_iter().flat_map(|(key, words)| {
        [Span::styled(key, theme.accent()), Span::styled(words, theme.quiet())]
    });
    let line: Vec<Span<'_>> = std::iter::once(Span::raw("  ")).chain(spans).collect();
    put(buffer, Rect { y: inner.bottom() - 1, height: 1, ..inner }, Line::from(line));
    cursor
}
