//! The history of an environment as a line of snapshots, oldest at the left: how much each changed,
//! who worked, what people called it. Below, what the chosen one changed and the agent's screen.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::text::{Line, Span};

use super::super::app::{App, HistoryView, Moment};
use super::super::layout;
use super::super::theme::Theme;
use super::super::widget::{Frame, age, fit, foreign, inside, left_and_right, put};
use super::{diff, pane, snapshots};
use crate::model::screen::Size;
use crate::model::snapshot::{Author, Snapshot};

/// From this width on the diff and the screen stand side by side.
pub(super) const BOTH: u16 = 110;
/// The chosen snapshot in words, its pointer, the bars, who worked.
const HEAD_ROWS: u16 = 4;
/// Fewer rows show the line of snapshots alone.
const SMALLEST_BODY: u16 = 3;
/// Columns of one snapshot at most: where there are few, they are easier to hit.
const WIDEST: u16 = 3;
const BARS: [&str; 8] = ["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];

/// Where the line of snapshots stands, and which of them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeline {
    area: Rect,
    /// The row of the snapshot at the left, which is the oldest shown.
    oldest: usize,
    count: usize,
    cell: u16,
}

impl Timeline {
    /// The line in a terminal of this size; `None` while it is not shown.
    pub(crate) fn of(size: Size, view: &HistoryView) -> Option<Self> {
        let snapshots = view.snapshots.as_ref().filter(|_| !view.list)?;
        let inner = inside(layout::frame(size).1);
        let area = Rect { y: inner.y + 1, height: inner.height.saturating_sub(1).min(3), ..inner };
        let area = Rect { x: area.x + 1, width: area.width.saturating_sub(2), ..area };
        if area.is_empty() || snapshots.is_empty() {
            return None;
        }
        let total = snapshots.len();
        let cell = (area.width / total.min(usize::from(u16::MAX)) as u16).clamp(1, WIDEST);
        let room = usize::from(area.width / cell).max(1);
        let count = total.min(room);
        let newest = view.newest.min(total - count);
        Some(Self { area, oldest: newest + count - 1, count, cell })
    }

    /// How many are shown.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Rows below the line.
    pub(crate) fn body_rows(size: Size) -> u16 {
        inside(layout::frame(size).1).height.saturating_sub(HEAD_ROWS)
    }

    /// The row of the snapshot at a place.
    pub(crate) fn row_at(&self, at: Position) -> Option<usize> {
        if !self.area.contains(at) {
            return None;
        }
        let index = usize::from((at.x - self.area.x) / self.cell).min(self.count - 1);
        Some(self.oldest - index)
    }

    fn column_of(&self, row: usize) -> u16 {
        self.area.x + (self.oldest - row) as u16 * self.cell
    }
}

pub(super) fn draw(app: &App, view: &HistoryView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let title = Line::styled(title(app, view), theme.strong());
    let mut frame = Frame::new(theme.frame(), title);
    frame.corner = corner(theme, view);
    let inner = frame.draw(buffer, area);
    let Some(known) = &view.snapshots else {
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
        return;
    };
    if view.list {
        return snapshots::draw(app, view, known, inner, buffer);
    }
    let (Some(chosen), Some(line)) = (view.chosen(), Timeline::of(app.size, view)) else { return };
    let head = Rect { height: 1, ..inner };
    left_and_right(buffer, head, words(app, chosen), snapshots::skipped(theme, chosen));
    draw_line(theme, view, known, line, buffer);
    let body = Rect {
        y: inner.y + HEAD_ROWS.min(inner.height),
        height: inner.height.saturating_sub(HEAD_ROWS),
        ..inner
    };
    if body.height < SMALLEST_BODY {
        return;
    }
    if area.width >= BOTH {
        let left = Rect { width: body.width / 2, ..body };
        let right = Rect { x: body.x + left.width, width: body.width - left.width, ..body };
        draw_step(app, view, left, buffer);
        draw_moment(app, view, chosen, right, buffer);
    } else if view.other {
        draw_moment(app, view, chosen, body, buffer);
    } else {
        draw_step(app, view, body, buffer);
    }
}

fn title(app: &App, view: &HistoryView) -> String {
    let name = app.name(&view.environment);
    let count = app.environment(&view.environment).map_or(0, |found| found.snapshots as usize);
    let known = view.snapshots.as_ref().map_or(0, Vec::len);
    match (count.max(known), view.snapshots.is_some()) {
        (_, false) => format!(" {name} · history "),
        (1, _) => format!(" {name} · history · 1 snapshot "),
        (count, _) => format!(" {name} · history · {count} snapshots "),
    }
}

/// Which snapshot is chosen; the newest one is followed by those that come.
fn corner(theme: Theme, view: &HistoryView) -> Line<'static> {
    let newest = view.snapshots.as_ref().and_then(|known| known.first());
    match (view.chosen(), newest) {
        _ if view.row == 0 => Line::styled(" live ", theme.good()),
        (Some(chosen), Some(newest)) if chosen.number > 0 && newest.number > 0 => {
            Line::styled(format!(" {} of {} ", chosen.number, newest.number), theme.quiet())
        }
        _ => Line::default(),
    }
}

/// `0c0c0c0c ◆ tests pass · 1 min · +4 −11 · 1 file · change by the agent`
fn words(app: &App, snapshot: &Snapshot) -> Line<'static> {
    let theme = app.settings.theme;
    let change = snapshot.change;
    let mut spans = vec![Span::styled(format!(" {}", snapshot.id.short()), theme.chosen())];
    if let Some(name) = &snapshot.name {
        spans.push(Span::styled(format!(" ◆ {}", foreign(name)), theme.caution()));
    }
    let age = age(snapshot.at.age_seconds(app.now)).0;
    let by = snapshot.by.map(|by| match by {
        Author::Agent => " by the agent",
        Author::Human => " by a human",
        Author::Both => " by agent and human",
    });
    spans.push(Span::styled(format!(" · {age}"), theme.quiet()));
    if change.files > 0 {
        let noun = if change.files == 1 { "file" } else { "files" };
        spans.extend([
            Span::styled(format!(" · +{}", change.added), theme.good()),
            Span::styled(format!(" −{}", change.removed), theme.bad()),
            Span::styled(format!(" · {} {noun}", change.files), theme.quiet()),
        ]);
    }
    let why = format!(" · {}{}", snapshot.cause.word(), by.unwrap_or_default());
    spans.push(Span::styled(why, theme.quiet()));
    Line::from(spans)
}

fn draw_line(
    theme: Theme,
    view: &HistoryView,
    known: &[Snapshot],
    line: Timeline,
    buffer: &mut Buffer,
) {
    let area = line.area;
    let mut set = |x: u16, row: u16, symbol: &str, style| {
        if row < area.height && x < area.right() {
            buffer[(x, area.y + row)].set_symbol(symbol).set_style(style);
        }
    };
    let first = line.oldest + 1 - line.count;
    for (row, snapshot) in known.iter().enumerate().skip(first).take(line.count) {
        let (x, chosen) = (line.column_of(row), row == view.row);
        if chosen {
            set(x, 0, "▼", theme.chosen());
        } else if snapshot.name.is_some() {
            set(x, 0, "◆", theme.caution());
        }
        let bar = bar(snapshot);
        let tone = if chosen {
            theme.chosen()
        } else if snapshot.change.removed > snapshot.change.added {
            theme.bad()
        } else {
            theme.good()
        };
        // One column stays free between two, where there is room.
        for step in 0..line.cell.saturating_sub(1).max(1) {
            set(x + step, 1, bar, tone);
        }
        let (letter, tone) = match snapshot.by {
            _ if snapshot.parent.is_none() => ("┆", theme.quiet()),
            Some(Author::Agent) => ("a", theme.quiet()),
            Some(Author::Human) => ("h", theme.accent()),
            Some(Author::Both) => ("b", theme.accent()),
            None => ("·", theme.quiet()),
        };
        set(x, 2, letter, if chosen { theme.chosen() } else { tone });
    }
}

/// Each step of a bar is four times as much as the one below it.
fn bar(snapshot: &Snapshot) -> &'static str {
    let lines = snapshot.change.added + snapshot.change.removed;
    if snapshot.change.files == 0 {
        return " ";
    }
    BARS[(lines.max(1).ilog2() as usize / 2).min(BARS.len() - 1)]
}

fn draw_step(app: &App, view: &HistoryView, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    if let Some(step) = &view.step {
        diff::draw(app, step, area, buffer);
    } else {
        let inner = Frame::new(theme.frame(), Line::default()).draw(buffer, area);
        put(buffer, inner, Line::styled(" reading …", theme.quiet()));
    }
}

fn draw_moment(app: &App, view: &HistoryView, chosen: &Snapshot, area: Rect, buffer: &mut Buffer) {
    let theme = app.settings.theme;
    let mut title = format!(" terminal at {} ", chosen.id.short());
    if let Moment::Kept(screen) = &view.moment
        && !screen.title.is_empty()
    {
        title.push_str(&format!("· {} ", fit(&foreign(&screen.title), 30)));
    }
    let frame = Frame::new(theme.frame(), Line::styled(title, theme.strong()));
    let inner = frame.draw(buffer, area);
    match &view.moment {
        Moment::Kept(screen) if view.is_current() => {
            pane::draw_screen(theme, screen, inner, false, buffer);
        }
        Moment::NotKept if view.is_current() => {
            put(
                buffer,
                inner,
                Line::styled(" the screen of that moment is not kept", theme.quiet()),
            );
        }
        // Never the screen of another moment under this one's name.
        _ => put(buffer, inner, Line::styled(" reading …", theme.quiet())),
    }
}
