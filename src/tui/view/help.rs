//! Help and palette: the table of actions, filtered.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::super::app::{App, Filter};
use super::super::keymap::keys_name;
use super::super::layout::centered;
use super::super::widget::{Frame, clear, put};

/// Wide enough for the longest description.
const WIDTH: u16 = 112;
const KEYS: usize = 16;
const NAMES: usize = 20;

pub(super) fn help(
    app: &App,
    filter: &Filter,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let title = format!(" Keys · {} ", filter.scope.title().to_lowercase());
    table(app, filter, &title, body, buffer)
}

pub(super) fn palette(
    app: &App,
    filter: &Filter,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    table(app, filter, " Actions · Enter does it ", body, buffer)
}

fn table(
    app: &App,
    filter: &Filter,
    title: &str,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let found = filter.found();
    let all = super::super::action::entries(filter.scope).count() as u16;
    let area = centered(body, WIDTH, all + 4);
    clear(buffer, area);
    let mut frame = Frame::new(theme.accent(), Line::styled(title.to_owned(), theme.strong()));
    frame.corner = Line::styled(" Esc closes ", theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height < 2 {
        return None;
    }
    let gap = if inner.height > 6 { 2 } else { 1 };
    let line = Rect { height: 1, ..inner };
    let (text, column) = filter.field.window(usize::from(inner.width.saturating_sub(4)));
    let prompt = if text.is_empty() {
        Line::from(vec![
            Span::styled(" › ", theme.accent()),
            Span::styled("type to filter", theme.quiet()),
        ])
    } else {
        Line::from(vec![Span::styled(" › ", theme.accent()), Span::raw(text.to_owned())])
    };
    put(buffer, line, prompt);
    let list = Rect { y: inner.y + gap, height: inner.height - gap, ..inner };
    let first = (filter.row + 1).saturating_sub(usize::from(list.height));
    for ((index, entry), y) in found.iter().enumerate().skip(first).zip(list.y..list.bottom()) {
        let chosen = index == filter.row;
        let row = Line::from(vec![
            Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
            Span::styled(format!("{:<KEYS$}", keys_name(entry)), theme.accent()),
            Span::styled(
                format!("{:<NAMES$}", entry.name),
                if chosen { theme.strong() } else { theme.text() },
            ),
            Span::styled(entry.description, theme.quiet()),
        ]);
        put(buffer, Rect { y, height: 1, ..list }, row);
    }
    if found.is_empty() {
        put(
            buffer,
            Rect { height: 1, ..list },
            Line::styled("   nothing is called that", theme.quiet()),
        );
    }
    Some(Position::new(inner.x + 3 + column as u16, inner.y))
}
