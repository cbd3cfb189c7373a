//! The lines around every view: header, footer, message.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::action::{Action, Scope, entries};
use super::super::app::{App, Gone, SIDE_BY_SIDE};
use super::super::keymap::key_name;
use super::super::widget::{clear, fit, foreign, left_and_right, put};
use super::history::BOTH;

/// Most rows a message takes, the last of them saying how many paths are left out.
const MESSAGE_ROWS: usize = 10;

/// Product, repository, count, what needs the user; the branch at the right.
pub(super) fn header(app: &App, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let mut left = vec![Span::styled(" agentdeck", theme.chosen())];
    if let Some(gone) = &app.gone {
        left.extend(server_gone(app, gone));
        return left_and_right(buffer, area, Line::from(left), Line::default());
    }
    if let Some(name) = repository_name(app) {
        left.push(Span::styled("  ", theme.text()));
        left.push(Span::styled(name, theme.strong()));
    }
    let count = app.environments.len();
    let noun = if count == 1 { "environment" } else { "environments" };
    let shown = app.shown_count();
    let of = if shown < count { format!("{shown} of ") } else { String::new() };
    left.push(Span::styled(format!(" · {of}{count} {noun}"), theme.quiet()));
    let need = app.in_need();
    if need > 0 {
        let verb = if need == 1 { "needs" } else { "need" };
        left.push(Span::styled(" · ", theme.quiet()));
        left.push(Span::styled(format!("▲ {need} {verb} you"), theme.caution()));
    }
    if app.notices.quiet {
        left.push(Span::styled(" · do not disturb", theme.quiet()));
    }
    if !app.marked.is_empty() {
        left.push(Span::styled(format!(" · {} marked", app.marked.len()), theme.accent()));
    }
    left_and_right(buffer, area, Line::from(left), branch(app));
}

/// In the header's place while there is no server: since when, what is done, which keys count.
fn server_gone(app: &App, gone: &Gone) -> Vec<Span<'static>> {
    let theme = app.settings.theme;
    let seconds = gone.since.age_seconds(app.now);
    let (what, then) = match gone {
        Gone { older: true, .. } => ("an older server runs".to_owned(), "R restarts it"),
        Gone { stopped: true, .. } => ("server stopped".to_owned(), "R starts it"),
        _ => (format!("server gone, reconnecting ({seconds} s)"), "the agents go on"),
    };
    let mut spans = vec![
        Span::styled("  ✗ ", theme.bad()),
        Span::styled(what, theme.strong()),
        Span::styled(format!(" · {then}"), theme.quiet()),
    ];
    if gone.refused > 0 {
        let keys = if gone.refused == 1 { "key" } else { "keys" };
        let text = format!(" · {} {keys} not sent", gone.refused);
        spans.push(Span::styled(text, theme.caution()));
    }
    spans
}

fn repository_name(app: &App) -> Option<String> {
    if app.settings.all {
        return Some("all repositories".to_owned());
    }
    let root = app.repository.as_ref().map(|state| &state.root);
    let path = root.or(app.settings.repository.as_ref())?;
    path.file_name().map(|name| foreign(&name.to_string_lossy()))
}

fn branch(app: &App) -> Line<'static> {
    let theme = app.settings.theme;
    let Some(state) = &app.repository else { return Line::default() };
    let name = match &state.branch {
        Some(branch) => foreign(branch),
        None => format!("detached at {}", state.head.short()),
    };
    let mut spans = vec![Span::styled(name, theme.text())];
    if let Some(unpushed @ 1..) = state.unpushed {
        spans.push(Span::styled(format!(" ↑{unpushed}"), theme.quiet()));
    }
    if !state.uncommitted.is_empty() {
        let count = state.uncommitted.len();
        spans.push(Span::styled(format!(" · {count} uncommitted"), theme.quiet()));
    }
    spans.push(Span::raw(" "));
    Line::from(spans)
}

/// The keys of this view, as many as fit; help always does.
pub(super) fn footer(app: &App, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let theme = app.settings.theme;
    let hints: Vec<(String, &str)> = entries(app.scope())
        // A key that does nothing in a terminal of this width is not hinted at.
        .filter(|entry| match (entry.action, app.scope()) {
            (Action::SideBySide, _) => app.size.columns >= SIDE_BY_SIDE,
            (Action::OtherPanel, Scope::History) => app.size.columns < BOTH,
            _ => true,
        })
        .filter_map(|entry| Some((entry, entry.footer?)))
        .map(|(entry, word)| (key_name(entry.keys[0]), word))
        .collect();
    let width = |(key, word): &(String, &str)| key.chars().count() + word.chars().count() + 3;
    let (last, rest): (Vec<_>, Vec<_>) =
        hints.iter().partition(|(_, word)| matches!(*word, "help" | "leave" | "close"));
    let mut room =
        usize::from(area.width).saturating_sub(last.iter().map(|hint| width(hint)).sum());
    let fits = |hint: &&(String, &str)| {
        let fits = width(hint) <= room;
        room = if fits { room - width(hint) } else { 0 };
        fits
    };
    let shown: Vec<_> = rest.iter().copied().filter(fits).chain(last).collect();
    let mut spans = vec![Span::raw(" ")];
    for (key, word) in shown {
        spans.push(Span::styled(key.clone(), theme.accent()));
        spans.push(Span::styled(format!(" {word}  "), theme.quiet()));
    }
    put(buffer, area, Line::from(spans));
}

/// The message over the last rows of the view.
pub(super) fn message(app: &App, body: Rect, buffer: &mut Buffer) {
    let Some(message) = &app.message else { return };
    let theme = app.settings.theme;
    let width = usize::from(body.width.saturating_sub(4));
    let tone = if message.failed { theme.bad() } else { theme.good() };
    let mut lines = Vec::new();
    for (index, text) in wrap(&message.text, width).into_iter().enumerate() {
        let mark = match (index, message.failed) {
            (0, true) => "✗ ",
            (0, false) => "· ",
            _ => "  ",
        };
        lines.push(Line::from(vec![Span::styled(mark, tone), Span::styled(text, theme.text())]));
    }
    let room = MESSAGE_ROWS.min(usize::from(body.height).saturating_sub(3)).max(1);
    let paths = message.paths.len();
    let most = if paths > room { room - 1 } else { paths };
    for path in &message.paths[..most] {
        lines.push(Line::styled(format!("    {}", fit(path, width - 2)), theme.caution()));
    }
    if most < paths {
        lines.push(Line::styled(format!("    and {} more", paths - most), theme.quiet()));
    }
    for text in message.hint.iter().flat_map(|hint| wrap(hint, width)) {
        lines.push(Line::styled(format!("  {text}"), theme.quiet()));
    }
    raise(app, body, buffer, lines, if message.failed { tone } else { theme.frame() });
}

/// Puts lines under a rule at the bottom of the view.
fn raise(app: &App, body: Rect, buffer: &mut Buffer, lines: Vec<Line<'_>>, rule: Style) {
    let height = (lines.len() as u16 + 1).min(body.height);
    let area = Rect { y: body.bottom() - height, height, ..body };
    clear(buffer, area);
    let dashes = "─".repeat(usize::from(area.width));
    put(buffer, area, Line::styled(dashes, rule));
    if app.message.as_ref().is_some_and(|message| message.failed) && area.width > 20 {
        let corner = Rect { x: area.right() - 15, width: 14, ..area };
        put(buffer, corner, Line::styled(" Esc dismisses ", app.settings.theme.quiet()));
    }
    for (index, line) in lines.into_iter().enumerate() {
        let y = area.y + 1 + index as u16;
        if y < area.bottom() {
            put(buffer, Rect { x: area.x + 1, y, width: area.width - 1, height: 1 }, line);
        }
    }
}

/// Breaks text at blanks to lines of at most `width` columns; a longer word is cut by the edge.
pub(in super::super) fn wrap(text: &str, width: usize) -> Vec<String> {
    use unicode_width::UnicodeWidthStr as _;
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.width() + 1 + word.width() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.extend(broken(word, width)),
        }
    }
    lines
}

/// A word in pieces of at most `width` columns: what is asked about must be seen whole.
pub(crate) fn broken(word: &str, width: usize) -> Vec<String> {
    use unicode_width::UnicodeWidthChar as _;
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for character in word.chars() {
        let columns = character.width().unwrap_or(0);
        if used > 0 && used + columns > width {
            pieces.push(String::new());
            used = 0;
        }
        used += columns;
        pieces.last_mut().expect("there is always one").push(character);
    }
    pieces
}
