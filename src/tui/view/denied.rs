//! What the gateway refused an environment, the newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, DeniedView};
use super::super::widget::{Frame, age, fit_end, foreign, put};
use crate::model::destination::Denial;

/// Columns of a place; longer ones are cut, for the reason must be seen too.
const PLACE: usize = 40;

/// Columns that places have in a terminal so wide.
pub(in super::super) fn place_width(columns: u16) -> usize {
    PLACE.min(usize::from(columns.saturating_sub(2)) / 3)
}

pub(super) fn draw(app: &App, view: &DeniedView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let environment = app.environment(&view.environment);
    let mode = environment.map(|found| format!("· network {} ", found.network.mode));
    let title = format!(" {} · denied {}", app.name(&view.environment), mode.unwrap_or_default());
    let inner = Frame::new(theme.frame(), Line::styled(title, theme.strong())).draw(buffer, area);
    let denied = environment.map(|found| found.denied.as_slice()).unwrap_or_default();
    if denied.is_empty() {
        put(
            buffer,
            inner,
            Line::styled(" nothing was refused since the server started", theme.quiet()),
        );
        return;
    }
    if inner.height < 2 {
        return;
    }
    let place = place_width(area.width);
    let head = format!("  {:<place$}{:>7}  {:<8}{}", "asked for", "times", "last", "why");
    put(buffer, Rect { height: 1, ..inner }, Line::styled(head, theme.quiet()));
    let list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    let chosen = view.row(denied);
    let first = (chosen.unwrap_or(0) + 1).saturating_sub(usize::from(list.height));
    let shown = denied.iter().enumerate().skip(first);
    for ((index, denial), y) in shown.zip(list.y..list.bottom()) {
        let row = Rect { y, height: 1, ..list };
        put(buffer, row, words(app, denial, chosen == Some(index), place));
    }
}

fn words(app: &App, denial: &Denial, chosen: bool, width: usize) -> Line<'static> {
    let theme = app.settings.theme;
    // Who owns a name stands at its end, where a box cannot write what it likes.
    let place = fit_end(&foreign(&denial.place), width);
    let age = age(denial.last.age_seconds(app.now)).0;
    let tone = match (&denial.opens, chosen) {
        (_, true) => theme.chosen(),
        (Some(_), _) => theme.text(),
        (None, _) => theme.quiet(),
    };
    let why = match &denial.opens {
        Some(entry) => format!("{} · a opens {entry}", foreign(&denial.reason)),
        None => foreign(&denial.reason),
    };
    Line::from(vec![
        Span::styled(if chosen { "▌ " } else { "  " }, theme.chosen()),
        Span::styled(format!("{place:<width$}"), tone),
        Span::styled(format!("{:>7}  {age:<8}{why}", denial.count), theme.quiet()),
    ])
}
