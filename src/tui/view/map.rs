//! The map: environments as lines that leave their base over time, and how they fit together.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, MapView, map_page};
use super::super::status;
use super::super::widget::{Frame, fit, foreign, put};
use super::diff::fit_path;
use super::list::tone;
use crate::model::environment::Environment;
use crate::model::id::Timestamp;
use crate::model::prediction::{Fit, Prediction};

/// Columns of a name in the list.
const NAME: usize = 18;
/// Columns of the words at the right of a line.
const WORDS: u16 = 40;
/// A line shorter than this shows nothing of time.
const SHORTEST: u16 = 12;
/// Lower places have no room for details.
const DETAILS_FROM: u16 = 12;
const DETAILS: u16 = 7;

/// Rows below the lines that tell of the chosen one.
pub(crate) fn map_details(body: u16) -> u16 {
    if body >= DETAILS_FROM { DETAILS.min(body / 2) } else { 0 }
}

pub(super) fn draw(app: &App, view: &MapView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let branch = app.repository.as_ref().and_then(|state| state.branch.clone());
    let branch = branch.map_or_else(|| "HEAD".to_owned(), |name| foreign(&name));
    let title = Line::styled(format!(" Map · {branch} "), theme.strong());
    let inner = Frame::new(theme.frame(), title).draw(buffer, area);
    if inner.height < 2 {
        return;
    }
    if app.environments.is_empty() {
        put(buffer, inner, Line::styled("  no environments yet", theme.quiet()));
        return;
    }
    let oldest = app.environments.iter().map(|found| found.created).min().unwrap_or(app.now);
    let lane = lane(inner);
    let trunk = Line::from(vec![
        Span::styled(format!("  {:NAME$}", fit(&branch, NAME)), theme.strong()),
        Span::styled("━".repeat(usize::from(lane)), theme.frame()),
    ]);
    put(buffer, Rect { height: 1, ..inner }, trunk);
    let page = map_page(app.size).min(usize::from(inner.height - 1));
    let rows = app.environments.iter().enumerate().skip(view.place.top).take(page);
    let list = Rect { y: inner.y + 1, height: page as u16, ..inner };
    for ((index, environment), y) in rows.zip(list.y..list.bottom()) {
        let place = Rect { y, height: 1, ..inner };
        let chosen = index == view.place.row;
        line(app, environment, (index, chosen), (lane, oldest), place, buffer);
    }
    let below =
        Rect { y: list.bottom(), height: inner.bottom().saturating_sub(list.bottom()), ..inner };
    if let Some(environment) = app.environments.get(view.place.row).filter(|_| below.height > 1) {
        details(app, environment, &branch, below, buffer);
    }
}

/// Columns for time.
fn lane(inner: Rect) -> u16 {
    let left = inner.width.saturating_sub(NAME as u16 + 3 + WORDS);
    if left < SHORTEST { 0 } else { left }
}

/// ` ▌1 brave-otter     ╰─────●──  +41 −7 · base+3 · merges clean `
fn line(
    app: &App,
    environment: &Environment,
    (index, chosen): (usize, bool),
    (lane, oldest): (u16, Timestamp),
    area: Rect,
    buffer: &mut Buffer,
) {
    let theme = app.settings.theme;
    let reading = status::read(environment);
    let name = format!("{} {}", index + 1, environment.name);
    let mut spans = vec![
        Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
        Span::styled(reading.status.glyph(), tone(theme, reading.status)),
        Span::styled(
            format!(" {:width$}", fit(&name, NAME - 2), width = NAME - 1),
            if chosen { theme.chosen() } else { theme.text() },
        ),
    ];
    if lane > 0 {
        let at = |moment: Timestamp| {
            let whole = app.now.0.saturating_sub(oldest.0).max(1);
            let part = moment.0.saturating_sub(oldest.0).min(whole);
            (part * u64::from(lane - 1) / whole) as usize
        };
        let start = at(environment.created);
        let last = at(environment.last_snapshot.unwrap_or(environment.created)).max(start);
        let mut text: String = " ".repeat(start);
        for column in start..usize::from(lane) {
            text.push(match column {
                _ if column == start => '╰',
                _ if column == last && environment.divergence.change.files > 0 => '●',
                _ if column < last => '─',
                _ => '┄',
            });
        }
        spans.push(Span::styled(text, theme.accent()));
        spans.push(Span::raw(" "));
    }
    let change = environment.divergence.change;
    if change.files > 0 {
        spans.push(Span::styled(format!("+{}", change.added), theme.good()));
        spans.push(Span::styled(format!(" −{} ", change.removed), theme.bad()));
    }
    let divergence = environment.divergence;
    spans.push(Span::styled(
        format!("ahead {} behind {} ", divergence.ahead, divergence.behind),
        theme.quiet(),
    ));
    if let Some((words, clean)) = fit_words(app, environment) {
        let tone = if clean { theme.good() } else { theme.caution() };
        spans.push(Span::styled(words, tone));
    }
    put(buffer, area, Line::from(spans));
}

/// What would come of a merge, in words, and whether it is clean.
pub(super) fn fit_words(app: &App, environment: &Environment) -> Option<(String, bool)> {
    let prediction = environment.prediction.as_ref()?;
    if environment.divergence.change.files == 0 {
        return None;
    }
    if prediction.branch.conflicts > 0 {
        let branch = app.repository.as_ref().and_then(|state| state.branch.as_deref());
        let branch = branch.map_or_else(|| "your branch".to_owned(), foreign);
        return Some((format!("✗ conflicts with {branch}"), false));
    }
    let numbers: Vec<String> = conflicting(app, prediction).collect();
    if numbers.is_empty() {
        return Some(("merges clean".to_owned(), true));
    }
    Some((format!("≠ conflicts with {}", numbers.join(", ")), false))
}

/// The numbers that siblings have on the screen.
fn conflicting<'a>(app: &'a App, prediction: &'a Prediction) -> impl Iterator<Item = String> + 'a {
    prediction.conflicting().map(|sibling| {
        let index = app.environments.iter().position(|it| it.id == sibling.environment);
        index.map_or_else(|| sibling.name.to_string(), |index| (index + 1).to_string())
    })
}

/// How the chosen one stands to the branch and to each sibling that it has a file in common with.
fn details(app: &App, environment: &Environment, branch: &str, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let rule = "─".repeat(usize::from(area.width));
    put(buffer, Rect { height: 1, ..area }, Line::styled(rule, theme.frame()));
    let mut lines: Vec<Line<'static>> = Vec::new();
    match &environment.prediction {
        None => lines.push(Line::styled("  not judged yet", theme.quiet())),
        Some(prediction) => {
            lines.extend(about(app, branch, &prediction.branch, area.width));
            let mut siblings: Vec<_> = prediction.siblings.iter().collect();
            siblings.sort_by_key(|sibling| {
                std::cmp::Reverse((sibling.fit.conflicts, sibling.fit.overlap))
            });
            for sibling in siblings {
                lines.extend(about(app, sibling.name.as_str(), &sibling.fit, area.width));
            }
            if lines.is_empty() {
                let words = "  has no changed file in common with your branch or with another";
                lines.push(Line::styled(words, theme.quiet()));
            }
        }
    }
    for (line, y) in lines.into_iter().zip(area.y + 1..area.bottom()) {
        put(buffer, Rect { y, height: 1, ..area }, line);
    }
}

fn about(app: &App, name: &str, fit: &Fit, width: u16) -> Option<Line<'static>> {
    let theme = app.settings.theme;
    if fit.overlap == 0 && fit.conflicts == 0 {
        return None;
    }
    let noun = if fit.overlap == 1 { "file" } else { "files" };
    let mut spans = vec![
        Span::styled(format!("  {name:NAME$} "), theme.strong()),
        Span::styled(format!("{} {noun} in common · ", fit.overlap), theme.quiet()),
    ];
    if fit.conflicts == 0 {
        spans.push(Span::styled("fits", theme.good()));
        return Some(Line::from(spans));
    }
    let used: usize = spans.iter().map(Span::width).sum();
    spans.push(Span::styled(format!("✗ {} conflict ", fit.conflicts), theme.caution()));
    let paths: Vec<String> = fit.paths.iter().map(ToString::to_string).collect();
    let room = usize::from(width).saturating_sub(used + 16);
    spans.push(Span::styled(fit_path(&paths.join(", "), room), theme.text()));
    Some(Line::from(spans))
}
