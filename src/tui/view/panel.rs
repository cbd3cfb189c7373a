//! Small panels: the welcome of an empty deck, a question, the message of a merge.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::super::app::{App, Confirm, Lacking, MergeForm, NameForm};
use super::super::layout::centered;
use super::super::theme::Theme;
use super::super::widget::{Frame, Page, clear, fit, foreign, put};
use crate::model::decision::MergeStyle;

/// Files named that a take lacks.
const MOST_NAMED: usize = 8;
/// Columns of their paths, which are cut beyond.
const PATH_WIDTH: usize = 44;
/// Lines of a merge's message on the screen; it scrolls beyond.
const MOST_SHOWN: usize = 14;

pub(super) fn welcome(app: &App, body: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let key = |key: &'static str, words: &'static str| {
        Line::from(vec![Span::styled(format!("  {key}  "), theme.accent()), Span::raw(words)])
    };
    let lines = [
        Line::styled("No environments yet", theme.strong()),
        Line::default(),
        Line::raw("An environment is a private copy of this repository in a box of its own."),
        Line::raw("An agent works in it; your files stay as they are until you take its work."),
        Line::default(),
        key("n", "make one"),
        key("?", "all keys"),
        key("q", "leave"),
    ];
    let area = centered(body, 76, lines.len() as u16);
    for (line, y) in lines.into_iter().zip(area.y..area.bottom()) {
        put(buffer, Rect { y, height: 1, ..area }, line);
    }
}

pub(super) fn confirm(app: &App, confirm: &Confirm, body: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let area = centered(body, 60, 8);
    clear(buffer, area);
    let title = Line::styled(format!(" Discard {}? ", confirm.name), theme.strong());
    let inner = Frame::new(theme.bad(), title).draw(buffer, area);
    let change = confirm.change;
    let noun = if change.files == 1 { "file" } else { "files" };
    let lost = if change.files == 0 {
        "  It has no changes.".to_owned()
    } else {
        format!(
            "  +{} −{} in {} {noun} that you may not have taken.",
            change.added, change.removed, change.files
        )
    };
    let lines = vec![
        Line::default(),
        Line::raw(lost),
        Line::styled("  Its programs are stopped. u brings it back.", theme.quiet()),
        Line::default(),
        buttons(theme, [" Keep (n) ", " Discard (y) "], confirm.act),
    ];
    put_last(lines, inner, buffer);
}

/// Names what a take lacks, and asks whether the rest is to be taken.
pub(super) fn lacking(app: &App, lacking: &Lacking, body: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let left_out = &lacking.left_out;
    let shown = left_out.len().min(MOST_NAMED);
    let more = left_out.len() - shown;
    let area = centered(body, 76, (shown + usize::from(more > 0)) as u16 + 7);
    clear(buffer, area);
    let noun = if left_out.len() == 1 { "file" } else { "files" };
    let title = format!(" Take {} without {} {noun}? ", lacking.name, left_out.len());
    let title = Line::styled(title, theme.strong());
    let inner = Frame::new(theme.bad(), title).draw(buffer, area);
    let mut lines = vec![Line::default()];
    let paths: Vec<String> =
        left_out[..shown].iter().map(|it| fit(&it.path.to_string(), PATH_WIDTH)).collect();
    let widest = paths.iter().map(|path| path.width()).max().unwrap_or_default();
    for (path, skipped) in paths.iter().zip(left_out) {
        let path = format!("  {path}{}", " ".repeat(widest - path.width()));
        let reason = format!("  {}", foreign(&skipped.reason));
        lines.push(Line::from(vec![Span::raw(path), Span::styled(reason, theme.quiet())]));
    }
    if more > 0 {
        lines.push(Line::styled(format!("  and {more} more"), theme.quiet()));
    }
    let words = "  You get them as they were last kept, or not at all.";
    lines.push(Line::styled(words, theme.quiet()));
    lines.push(Line::default());
    lines.push(buttons(theme, [" Back (n) ", " Take the rest (y) "], lacking.act));
    put_last(lines, inner, buffer);
}

/// Two buttons, the second of which acts.
pub(super) fn buttons(theme: Theme, words: [&'static str; 2], act: bool) -> Line<'static> {
    let button = |words: &'static str, chosen: bool| {
        Span::styled(words, if chosen { theme.chip() } else { theme.quiet() })
    };
    let [keep, acts] = words;
    Line::from(vec![Span::raw("  "), button(keep, !act), Span::raw("   "), button(acts, act)])
}

/// In a very low terminal the last lines, the buttons, matter most.
pub(super) fn put_last(lines: Vec<Line<'_>>, area: Rect, buffer: &mut Buffer) {
    let skip = lines.len().saturating_sub(usize::from(area.height));
    for (line, y) in lines.into_iter().skip(skip).zip(area.y..area.bottom()) {
        put(buffer, Rect { y, height: 1, ..area }, line);
    }
}

pub(super) fn name(
    app: &App,
    form: &NameForm,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let area = centered(body, 60, 5);
    clear(buffer, area);
    let title = Line::styled(format!(" Name snapshot {} ", form.snapshot.short()), theme.strong());
    let mut frame = Frame::new(theme.accent(), title);
    frame.corner = Line::styled(" Esc cancels ", theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height < 1 || inner.width < 4 {
        return None;
    }
    let (text, column) = form.field.window(usize::from(inner.width.saturating_sub(4)));
    let y = inner.y + u16::from(inner.height > 2);
    let field = Rect { x: inner.x + 2, y, width: inner.width - 2, height: 1 };
    put(buffer, field, Line::styled(text.to_owned(), theme.strong()));
    if inner.height > 1 {
        let words = Line::styled("  Enter keeps it; empty takes the name off", theme.quiet());
        put(buffer, Rect { y: inner.bottom() - 1, height: 1, ..inner }, words);
    }
    Some(Position::new(field.x + column as u16, field.y))
}

pub(super) fn merge(
    app: &App,
    form: &MergeForm,
    body: Rect,
    buffer: &mut Buffer,
) -> Option<Position> {
    let theme = app.settings.theme;
    let shown = form.page.lines.len().clamp(3, MOST_SHOWN) as u16;
    let lacks = form.lacks.as_ref().map(|lacks| (format!("  ! lacks {lacks}"), theme.bad()));
    let hooks = form.hooks();
    let hooks =
        hooks.map(|words| (format!("  {words} · Ctrl+r runs them in the box"), theme.caution()));
    let notes: Vec<_> = lacks.into_iter().chain(hooks).collect();
    let noted = notes.len().max(1) as u16;
    let area = centered(body, 84, shown + 5 + noted);
    clear(buffer, area);
    let branch = app.repository.as_ref().and_then(|state| state.branch.as_deref());
    let branch = branch.map_or_else(|| "HEAD".to_owned(), super::super::widget::foreign);
    let title = Line::styled(format!(" Merge {} into {branch} ", form.name), theme.strong());
    let mut frame = Frame::new(theme.accent(), title);
    frame.corner = Line::styled(" Esc cancels ", theme.quiet());
    let inner = frame.draw(buffer, area);
    if inner.height < 4 || inner.width < 4 {
        return None;
    }
    put(buffer, Rect { height: 1, ..inner }, merge_styles(theme, form));
    let text = Rect {
        x: inner.x + 2,
        y: inner.y + 2,
        width: inner.width - 2,
        height: inner.height.saturating_sub(3 + noted).max(1),
    };
    let cursor = page(theme, &form.page, text, buffer);
    let keys = Line::from(vec![
        Span::styled("  Enter", theme.accent()),
        Span::styled(" merges  ", theme.quiet()),
        Span::styled("Tab", theme.accent()),
        Span::styled(" style  ", theme.quiet()),
        Span::styled("Ctrl+j", theme.accent()),
        Span::styled(" new line", theme.quiet()),
    ]);
    put(buffer, Rect { y: inner.bottom() - 1, height: 1, ..inner }, keys);
    for (index, (words, tone)) in (1..).zip(&notes).filter(|_| inner.height > 3 + noted) {
        let line = Rect { y: inner.bottom() - 1 - index, height: 1, ..inner };
        put(buffer, line, Line::styled(fit(words, usize::from(inner.width)), *tone));
    }
    cursor
}

/// Lines that are edited, the first of them strong, and where the cursor is.
pub(super) fn page(theme: Theme, page: &Page, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let width = usize::from(area.width.saturating_sub(2));
    let first = (page.row + 1).saturating_sub(usize::from(area.height));
    let mut cursor = None;
    for ((row, line), y) in page.lines.iter().enumerate().skip(first).zip(area.y..area.bottom()) {
        let tone = if row == 0 { theme.strong() } else { theme.text() };
        let (window, column) = line.window(width);
        let (window, column) = if row == page.row { (window, column) } else { (line.text(), 0) };
        put(buffer, Rect { y, height: 1, ..area }, Line::styled(fit(window, width), tone));
        if row == page.row {
            cursor = Some(Position::new(area.x + column as u16, y));
        }
    }
    cursor
}

/// The styles beside each other, the chosen one marked, and what it makes.
fn merge_styles(theme: Theme, form: &MergeForm) -> Line<'static> {
    let mut spans = vec![Span::raw(" ")];
    for style in MergeStyle::ALL {
        let (mark, tone) =
            if style == form.style { ("▸", theme.strong()) } else { (" ", theme.quiet()) };
        spans.push(Span::styled(format!("{mark}{}  ", style.word()), tone));
    }
    let makes = match (form.style, form.commits) {
        (MergeStyle::Commit, _) => "a commit of both sides".to_owned(),
        (MergeStyle::Squash, _) => "one commit".to_owned(),
        (MergeStyle::Rebase, 0) => "one commit; the agent made none".to_owned(),
        (MergeStyle::Rebase, 1) => "the agent's commit, then the rest".to_owned(),
        (MergeStyle::Rebase, count) => format!("the agent's {count} commits, then the rest"),
    };
    spans.push(Span::styled(makes, theme.quiet()));
    Line::from(spans)
}
