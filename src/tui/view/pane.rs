//! One live session in a frame that says whose it is, who holds the keyboard, and what changed.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthChar;

use super::super::app::App;
use super::super::layout::Tile;
use super::super::panes::{Pane, PaneKey};
use super::super::status::{self, Status};
use super::super::theme::Theme;
use super::super::widget::{Frame, Weight, age, fit, foreign, put};
use super::chrome::wrap;
use super::copy;
use super::list::{badge_span, tone};
use super::map::fit_words;
use crate::model::environment::{Environment, EnvironmentState, SessionKind, SessionState};
use crate::model::lines::is_cluster;
use crate::model::path::hides_or_steers;
use crate::model::screen::{Row, Run, Screen, Size};

/// Columns from which a title has room for the parts of isolation that lack something.
const ROOMY: u16 = 60;

/// Columns of what a program says, which is cut beyond.
const SAID: usize = 40;

/// Draws a tile; the cursor's place comes back when its session holds the keyboard.
pub(super) fn draw(
    app: &App,
    environment: &Environment,
    tile: &Tile,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let key = app.shown_session(environment);
    let held = app.keyboard.as_ref() == Some(&key);
    let chosen = app.selected.as_ref() == Some(&environment.id);
    let title = title(app, environment, &key, tile, chosen);
    if tile.framed {
        let style = if chosen || held { theme.accent() } else { theme.frame() };
        let mut frame = Frame::new(style, title);
        frame.weight = if held { Weight::Heavy } else { Weight::Light };
        frame.corner = corner(app, environment, &key, tile.area.width);
        frame.bottom = copy::place(app, &key)
            .unwrap_or_else(|| bottom(app, environment, &key, tile.area.width.saturating_sub(2)));
        frame.draw(buffer, tile.area);
    } else {
        put(buffer, Rect { height: 1, ..tile.area }, title);
    }
    let pane = app.panes.get(&key);
    if let Some(lines) = notice(app, environment, &key, pane.is_some()) {
        draw_notice(&lines, tile.inner, buffer);
        return None;
    }
    let pane = pane?;
    if let Some(copy) = app.copy.as_ref().filter(|copy| copy.pane == key) {
        return copy::draw(theme, copy, tile, buffer);
    }
    if pane.scroll.is_some() {
        draw_scrolled(theme, pane, tile.inner, buffer);
        return None;
    }
    draw_screen(theme, &pane.screen, tile.inner, held, buffer)
}

/// ` 1 ● brave-otter · claude · 3 min `
fn title(
    app: &App,
    environment: &Environment,
    key: &PaneKey,
    tile: &Tile,
    chosen: bool,
) -> Line<'static> {
    let theme = app.settings.theme;
    let reading = status::read(environment);
    let name = if chosen { theme.chosen() } else { theme.strong() };
    let mut spans = vec![
        Span::styled(format!(" {} ", tile.index + 1), theme.quiet()),
        Span::styled(format!("{} ", reading.status.glyph()), tone(theme, reading.status)),
        Span::styled(environment.name.to_string(), name),
    ];
    if app.marked.contains(&environment.id) {
        spans.push(Span::styled(" ◆", theme.chosen()));
    }
    if environment.attention.snoozed > app.now {
        spans.push(Span::styled(" snoozed", theme.quiet()));
    } else if app.attention.contains(&environment.id) {
        spans.push(Span::styled(" ▲", theme.caution()));
    }
    let shell = environment.session(key.session).is_some_and(|it| it.kind == SessionKind::Shell);
    let what = if shell { format!("shell {}", key.session) } else { foreign(&environment.agent) };
    if what != environment.name.as_str() {
        spans.push(Span::styled(format!(" · {what}"), theme.quiet()));
    }
    if environment.sessions.len() > 1 {
        let at = environment.sessions.iter().position(|session| session.id == key.session);
        let at = at.unwrap_or(0) + 1;
        spans.push(Span::styled(format!(" {at}/{}", environment.sessions.len()), theme.quiet()));
    }
    let age = age(reading.since.age_seconds(app.now)).0;
    let word = match reading.status {
        Status::Running => age,
        _ => format!("{} · {age}", reading.word),
    };
    spans.push(Span::styled(format!(" · {word} "), theme.quiet()));
    if let Some(badge) = status::badge(environment) {
        let words = if tile.area.width >= ROOMY { badge.words() } else { badge.word().to_owned() };
        spans.push(badge_span(theme, &badge, &words));
        spans.push(Span::raw(" "));
    }
    Line::from(spans)
}

/// Who holds the keyboard, or where in the scrollback the reader is.
fn corner(app: &App, environment: &Environment, key: &PaneKey, width: u16) -> Line<'static> {
    let theme = app.settings.theme;
    if app.keyboard.as_ref() == Some(key) {
        let words = if width >= 76 {
            " your keyboard · Ctrl+Q or Ctrl+\\ gives it back "
        } else {
            " yours · Ctrl+Q "
        };
        return Line::styled(words, theme.chip());
    }
    if let Some(pane) = app.panes.get(key)
        && let Some(scroll) = &pane.scroll
    {
        let above = pane.screen.first_line.saturating_sub(scroll.top);
        return Line::styled(format!(" ↑ {above} lines · Esc "), theme.caution());
    }
    let held = environment.session(key.session).is_some_and(|session| session.taken);
    let size = app.sized_elsewhere(key).map(|Size { columns, rows }| format!("{columns}×{rows}"));
    let words = match (held, size) {
        (true, Some(size)) if width >= 76 => format!(" keyboard held elsewhere · {size} there "),
        (true, Some(size)) => format!(" held elsewhere, {size} "),
        (true, None) => " keyboard held elsewhere ".to_owned(),
        (false, Some(size)) if width >= 76 => {
            format!(" {size} for another client · Enter fits it here ")
        }
        (false, Some(size)) => format!(" {size} elsewhere "),
        (false, None) => return Line::default(),
    };
    Line::styled(words, theme.caution())
}

/// ` +41 −7 · 5 files · base+3 · 2 denied `, without the parts that there is no room for. What the
/// program asks of the reader comes first.
fn bottom(app: &App, environment: &Environment, key: &PaneKey, width: u16) -> Line<'static> {
    let theme = app.settings.theme;
    let divergence = environment.divergence;
    let change = divergence.change;
    let asked = asked(app, key);
    let mut parts: Vec<Vec<Span<'static>>> =
        asked.into_iter().map(|words| vec![Span::styled(words, theme.caution())]).collect();
    if change.files > 0 {
        parts.push(vec![
            Span::styled(format!("+{}", change.added), theme.good()),
            Span::styled(format!(" −{}", change.removed), theme.bad()),
        ]);
        let noun = if change.files == 1 { "file" } else { "files" };
        parts.push(vec![Span::styled(format!("{} {noun}", change.files), theme.quiet())]);
    }
    if divergence.ahead > 0 {
        let noun = if divergence.ahead == 1 { "commit" } else { "commits" };
        parts.push(vec![Span::styled(format!("{} {noun}", divergence.ahead), theme.quiet())]);
    }
    if divergence.behind > 0 {
        parts.push(vec![Span::styled(format!("base+{}", divergence.behind), theme.quiet())]);
    }
    if let Some((words, clean)) = fit_words(app, environment) {
        let tone = if clean { theme.quiet() } else { theme.caution() };
        parts.push(vec![Span::styled(words, tone)]);
    }
    if !environment.denied.is_empty() {
        let words = format!("{} denied", environment.denied.len());
        parts.push(vec![Span::styled(words, theme.caution())]);
    }
    if let Some(load) = &environment.load {
        parts.push(vec![Span::styled(load.to_string(), theme.quiet())]);
    }
    if environment.trouble.is_some() && environment.state == EnvironmentState::Stopped {
        parts.push(vec![Span::styled("S starts it again", theme.quiet())]);
    }
    if parts.is_empty() {
        return Line::default();
    }
    let mut spans = vec![Span::raw(" ")];
    let mut room = usize::from(width).saturating_sub(2);
    for part in parts {
        let between = if spans.len() > 1 { " · " } else { "" };
        let needed = between.chars().count() + part.iter().map(Span::width).sum::<usize>();
        if needed <= room {
            room -= needed;
            spans.push(Span::styled(between, theme.quiet()));
            spans.extend(part);
        }
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// What a session's program asks of its reader.
fn asked(app: &App, key: &PaneKey) -> Vec<String> {
    let Some(asked) = app.asked_by(key) else { return Vec::new() };
    let copies = asked.copies.map(|count| match count {
        1 => "wants 1 character copied (Y)".to_owned(),
        count => format!("wants {count} characters copied (Y)"),
    });
    let says = asked.says.as_ref().map(|says| format!("says: {}", fit(&foreign(says), SAID)));
    copies.into_iter().chain(says).collect()
}

/// What stands in place of a screen, when there is none or it says less than we know.
fn notice(
    app: &App,
    environment: &Environment,
    key: &PaneKey,
    has_screen: bool,
) -> Option<Vec<(String, ratatui::style::Style)>> {
    let theme = app.settings.theme;
    let session = environment.session(key.session).map(|session| &session.state);
    let mut lines = match (&environment.state, session) {
        (EnvironmentState::Failed { message, hint }, _) => {
            let mut lines = vec![(foreign(message), theme.bad())];
            lines.extend(hint.as_deref().map(|hint| (foreign(hint), theme.quiet())));
            lines
        }
        (EnvironmentState::EngineUnreachable { message, .. }, _) if !has_screen => {
            let tone = if environment.last_known.is_some() { theme.quiet() } else { theme.bad() };
            vec![(foreign(message), tone)]
        }
        (EnvironmentState::Creating { .. }, None) => {
            vec![(status::read(environment).word, theme.accent())]
        }
        (_, Some(SessionState::Failed { message })) => vec![(foreign(message), theme.bad())],
        (EnvironmentState::Stopped, _) if !has_screen => {
            vec![("stopped · S starts it again".to_owned(), theme.quiet())]
        }
        _ => return None,
    };
    lines.extend(environment.notes.iter().map(|note| (foreign(note), theme.quiet())));
    Some(lines)
}

fn draw_notice(lines: &[(String, ratatui::style::Style)], area: Rect, buffer: &mut Buffer) {
    let width = usize::from(area.width.saturating_sub(4)).max(1);
    let mut y = area.y + u16::from(area.height > 4);
    for (text, style) in lines {
        for line in wrap(text, width) {
            if y < area.bottom() {
                let row = Rect { x: area.x + 2, y, width: area.width.saturating_sub(3), height: 1 };
                put(buffer, row, Line::styled(line, *style));
            }
            y += 1;
        }
        y += 1;
    }
}

/// The first column and row shown of a screen that is larger than its place: the top left part,
/// moved so far that the cursor is seen.
pub(crate) fn crop(screen: &Screen, area: Rect, follow_column: bool) -> (u16, u16) {
    let past = |at: u16, room: u16| (at + 1).saturating_sub(room);
    let last = screen.rows.iter().rposition(|row| !row.runs.is_empty()).unwrap_or(0) as u16;
    // A program that hides its cursor draws it itself, most often near the end.
    let row = if screen.cursor.visible { screen.cursor.row } else { last };
    let column = if follow_column { past(screen.cursor.column, area.width) } else { 0 };
    (column, past(row, area.height))
}

/// Draws a screen's cells; the cursor's place comes back when it is held and visible.
pub(super) fn draw_screen(
    theme: Theme,
    screen: &Screen,
    area: Rect,
    held: bool,
    buffer: &mut Buffer,
) -> Option<Position> {
    let area = area.intersection(buffer.area);
    let (left, top) = crop(screen, area, held);
    for y in 0..area.height {
        let Some(row) = screen.rows.get(usize::from(top + y)) else { break };
        draw_row(theme, row, Rect { y: area.y + y, height: 1, ..area }, left, buffer);
    }
    let cursor = screen.cursor;
    if !(held && cursor.visible) {
        return None;
    }
    let (x, y) = (cursor.column.checked_sub(left)?, cursor.row.checked_sub(top)?);
    (x < area.width && y < area.height).then(|| Position::new(area.x + x, area.y + y))
}

fn draw_scrolled(theme: Theme, pane: &Pane, area: Rect, buffer: &mut Buffer) {
    let area = area.intersection(buffer.area);
    let Some(scroll) = &pane.scroll else { return };
    for y in 0..area.height {
        if let Some(row) = pane.line(scroll.top + u32::from(y)) {
            draw_row(theme, row, Rect { y: area.y + y, height: 1, ..area }, 0, buffer);
        }
    }
}

/// Draws one row from the screen's column `left` on.
pub(super) fn draw_row(theme: Theme, row: &Row, area: Rect, left: u16, buffer: &mut Buffer) {
    let mut column = 0;
    for run in &row.runs {
        let style = theme.cell(run.style);
        let mut set = |column: u16, symbol: &str, cells: u16| {
            let Some(x) = column.checked_sub(left) else { return };
            if x + cells > area.width {
                return;
            }
            let cell = &mut buffer[(area.x + x, area.y)];
            cell.set_symbol(symbol).set_style(style);
            if cells == 2 {
                buffer[(area.x + x + 1, area.y)].set_symbol("").set_style(style);
            }
        };
        if is_cluster(run) {
            set(column, &cluster(run), run.cells.clamp(1, 2));
        } else {
            for (offset, character) in run.text.chars().enumerate() {
                let mut bytes = [0; 4];
                set(column + offset as u16, one_cell(character).encode_utf8(&mut bytes), 1);
            }
        }
        column += run.cells;
        if column >= left + area.width {
            break;
        }
    }
}

/// The cluster without what steers or hides; a blank where nothing is left.
fn cluster(run: &Run) -> String {
    let kept: String = run.text.chars().filter(|it| !hides_or_steers(*it)).collect();
    if kept.is_empty() { " ".to_owned() } else { kept }
}

/// A character that takes exactly one cell, whatever was sent.
fn one_cell(character: char) -> char {
    match character.width() {
        Some(1) if !hides_or_steers(character) => character,
        _ => ' ',
    }
}
