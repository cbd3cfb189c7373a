//! The deck as a list: for small terminals, and beside one pane.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::super::app::App;
use super::super::status::{self, Badge, Status};
use super::super::theme::Theme;
use super::super::widget::{age, fit, foreign, left_and_right, put};
use crate::model::environment::Environment;
use crate::model::policy::IsolationLevel;

/// A list this narrow gets two rows an environment, where there is room.
const TWO_ROWS_UNDER: u16 = 40;

pub(super) fn draw(app: &App, area: Rect, buffer: &mut Buffer) {
    let count = app.shown_count();
    let selected = app.selected_index();
    let rows = rows_each(area, count);
    let first = first_shown(area, count, selected);
    for (place, environment) in app.environments.iter().take(count).enumerate().skip(first) {
        let y = area.y + (place - first) as u16 * rows;
        if y >= area.bottom() {
            break;
        }
        let row = Rect { y, height: 1, ..area };
        let chosen = place == selected;
        name_row(app, environment, chosen, row, rows == 1, buffer);
        if rows > 1 && y + 1 < area.bottom() {
            detail_row(app, environment, chosen, Rect { y: y + 1, ..row }, buffer);
        }
    }
}

/// The environment a row of the terminal shows.
pub(crate) fn row_at(area: Rect, count: usize, selected: usize, y: u16) -> Option<usize> {
    let row = y.checked_sub(area.y)? / rows_each(area, count);
    Some(first_shown(area, count, selected) + usize::from(row)).filter(|index| *index < count)
}

fn rows_each(area: Rect, count: usize) -> u16 {
    let roomy = count * 3 <= usize::from(area.height);
    match area.width {
        ..TWO_ROWS_UNDER if roomy => 3,
        ..TWO_ROWS_UNDER if count * 2 <= usize::from(area.height) => 2,
        _ => 1,
    }
}

/// Scrolled so far that the chosen one is seen.
fn first_shown(area: Rect, count: usize, selected: usize) -> usize {
    let fit = usize::from(area.height / rows_each(area, count)).max(1);
    (selected + 1).saturating_sub(fit)
}

pub(super) fn tone(theme: Theme, status: Status) -> Style {
    match status {
        Status::Creating => theme.accent(),
        Status::Running | Status::Working | Status::Done => theme.good(),
        Status::Waiting => theme.caution(),
        Status::Failed | Status::Unreachable => theme.bad(),
        Status::Paused | Status::Stopped | Status::Checking | Status::Idle | Status::Unknown => {
            theme.quiet()
        }
    }
}

/// The shape of a box's isolation, with words where not all of it holds.
pub(super) fn badge_span(theme: Theme, badge: &Badge, words: &str) -> Span<'static> {
    let style = match badge.level {
        IsolationLevel::Enforced => theme.quiet(),
        IsolationLevel::Partial => theme.caution(),
        IsolationLevel::Off => theme.alarm(),
    };
    Span::styled(format!("{}{words}", badge.glyph()), style)
}

fn name_row(
    app: &App,
    environment: &Environment,
    chosen: bool,
    area: Rect,
    alone: bool,
    buffer: &mut Buffer,
) {
    let theme = app.settings.theme;
    let reading = status::read(environment);
    let bar = if chosen { "▌" } else { " " };
    let mark = if app.marked.contains(&environment.id) { "◆" } else { " " };
    let name = fit(environment.name.as_str(), usize::from(area.width.saturating_sub(6)));
    let mut left = vec![
        Span::styled(bar, theme.chosen()),
        Span::styled(reading.status.glyph(), tone(theme, reading.status)),
        Span::styled(mark, theme.chosen()),
        Span::styled(name, if chosen { theme.chosen() } else { theme.text() }),
    ];
    if environment.attention.snoozed > app.now {
        left.push(Span::styled(" snoozed", theme.quiet()));
    } else if app.attention.contains(&environment.id) {
        left.push(Span::styled(" ▲", theme.caution()));
    }
    if let Some(badge) = status::badge(environment) {
        left.push(Span::raw(" "));
        left.push(badge_span(theme, &badge, badge.word()));
    }
    let right = if alone { counts(app, environment) } else { Line::default() };
    left_and_right(buffer, area, Line::from(left), right);
}

fn detail_row(app: &App, environment: &Environment, chosen: bool, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let reading = status::read(environment);
    let age = age(reading.since.age_seconds(app.now)).0;
    let bar = if chosen { "▌" } else { " " };
    let mut words = match reading.status {
        Status::Running => format!("  {} · {age}", foreign(&environment.agent)),
        _ => format!("  {} · {age}", reading.word),
    };
    let counts = counts(app, environment);
    let room = usize::from(area.width).saturating_sub(2 + counts.width());
    if let (Status::Running | Status::Working, Some(load)) = (reading.status, environment.load) {
        let load = format!(" · {load}");
        // Half a number says less than none.
        if words.width() + load.width() <= room {
            words.push_str(&load);
        }
    }
    let left = vec![Span::styled(bar, theme.chosen()), Span::styled(words, theme.quiet())];
    left_and_right(buffer, area, Line::from(left), counts);
    put(buffer, Rect { width: 1, ..area }, Span::styled(bar, theme.chosen()));
}

/// `+added −removed`, or nothing where nothing changed.
fn counts(app: &App, environment: &Environment) -> Line<'static> {
    let theme = app.settings.theme;
    let change = environment.divergence.change;
    if change.files == 0 {
        return Line::default();
    }
    Line::from(vec![
        Span::styled(format!("+{}", change.added), theme.good()),
        Span::styled(format!(" −{} ", change.removed), theme.bad()),
    ])
}
