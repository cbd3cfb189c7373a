//! The form for a text to agents, and the list of what came of those that were sent.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::app::{App, PromptForm, PromptRow, PromptsView};
use super::super::layout::centered;
use super::super::theme::Theme;
use super::super::widget::{Frame, age, clear, fit, foreign, put};
use super::panel::page;
use crate::model::prompt::Delivery;

/// Lines of a text on the screen; it scrolls beyond.
const MOST_SHOWN: usize = 14;
/// Columns of an environment's name; longer ones are cut.
const NAME: usize = 20;

pub(super) fn form(
    app: &App,
    form: &PromptForm,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let shown = form.page.lines.len().clamp(3, MOST_SHOWN) as u16;
    let area = centered(body, 84, shown + 6);
    clear(buffer, area);
    let count = form.chosen().environments.len();
    let title = if count == 1 { " Send a prompt ".into() } else { format!(" Send to {count} ") };
    let mut frame = Frame::new(theme.accent(), Line::styled(title, theme.strong()));
    frame.corner = Line::styled(" Esc cancels ", theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height < 4 || inner.width < 4 {
        return None;
    }
    let to = fit(&format!("  to {}", form.chosen().words), usize::from(inner.width));
    put(buffer, Rect { height: 1, ..inner }, Line::styled(to, theme.text()));
    let text = Rect {
        x: inner.x + 2,
        y: inner.y + 2,
        width: inner.width - 2,
        height: inner.height.saturating_sub(4).max(1),
    };
    let cursor = page(theme, &form.page, text, buffer);
    let mut keys = vec![("Enter", " sends  "), ("Ctrl+J", " new line  ")];
    if form.recipients.len() > 1 {
        keys.push(("Tab", " to whom"));
    }
    let spans = keys.into_iter().flat_map(|(key, words)| {
        [Span::styled(key, theme.accent()), Span::styled(words, theme.quiet())]
    });
    let line: Vec<Span<'_>> = std::iter::once(Span::raw("  ")).chain(spans).collect();
    put(buffer, Rect { y: inner.bottom() - 1, height: 1, ..inner }, Line::from(line));
    cursor
}

pub(super) fn list(app: &App, view: &PromptsView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let title = Line::styled(" Prompts ", theme.strong());
    let inner = Frame::new(theme.frame(), title).draw(buffer, area);
    let rows = app.receipts();
    if rows.is_empty() {
        put(buffer, inner, Line::styled(" nothing was sent; b sends a prompt", theme.quiet()));
        return;
    }
    if inner.height < 3 {
        return;
    }
    let head = format!("  {:<NAME$}  {:<10}{:<8}{}", "to", "delivery", "since", "text");
    put(buffer, Rect { height: 1, ..inner }, Line::styled(head, theme.quiet()));
    let list = Rect { y: inner.y + 1, height: inner.height - 2, ..inner };
    let chosen = view.row(&rows);
    let first = (chosen.unwrap_or(0) + 1).saturating_sub(usize::from(list.height));
    for ((index, row), y) in rows.iter().enumerate().skip(first).zip(list.y..list.bottom()) {
        let line = words(app, *row, chosen == Some(index));
        put(buffer, Rect { y, height: 1, ..list }, line);
    }
    // Why the chosen one stands so has a line of its own: it may be long.
    if let Some((_, prompt)) = chosen.and_then(|row| rows.get(row)) {
        let why = match &prompt.delivery {
            Delivery::Failed { why, hint: Some(hint) } => format!("{why}; {hint}"),
            delivery => delivery.why().to_owned(),
        };
        let why = fit(&format!("  {}", foreign(&why)), usize::from(inner.width));
        let place = Rect { y: inner.bottom() - 1, height: 1, ..inner };
        put(buffer, place, Line::styled(why, theme.text()));
    }
}

fn words(app: &App, (environment, prompt): PromptRow<'_>, chosen: bool) -> Line<'static> {
    let theme = app.settings.theme;
    let age = age(prompt.since.age_seconds(app.now)).0;
    let name = fit(environment.name.as_str(), NAME);
    let tone = if chosen { theme.chosen() } else { theme.text() };
    let delivery = &prompt.delivery;
    Line::from(vec![
        Span::styled(if chosen { "▌ " } else { "  " }, theme.chosen()),
        Span::styled(format!("{name:<NAME$}  "), tone),
        Span::styled(format!("{:<10}", delivery.as_str()), self::tone(theme, delivery)),
        Span::styled(format!("{age:<8}"), theme.quiet()),
        Span::styled(foreign(&prompt.begin), theme.text()),
    ])
}

fn tone(theme: Theme, delivery: &Delivery) -> Style {
    match delivery {
        Delivery::Taken { .. } => theme.good(),
        Delivery::Failed { .. } => theme.bad(),
        Delivery::Unsure { .. } => theme.caution(),
        Delivery::Queued { .. } | Delivery::Typing => theme.accent(),
        Delivery::Cancelled => theme.quiet(),
    }
}
