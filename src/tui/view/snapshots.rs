//! The snapshots of an environment as rows, newest first.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};

use super::super::app::{App, HistoryView};
use super::super::theme::Theme;
use super::super::widget::{age, foreign, left_and_right, put};
use crate::model::snapshot::{Author, Snapshot};

/// The longest bar of a change, in cells.
const BAR: u64 = 24;

pub(super) fn draw(
    app: &App,
    view: &HistoryView,
    snapshots: &[Snapshot],
    inner: Rect,
    buffer: &mut Buffer,
) {
    let theme = app.settings.theme;
    if inner.height < 2 {
        return;
    }
    let head = format!("  {:<10}{:<10}{:<16}{:<7}{}", "snapshot", "age", "why", "who", "change");
    put(buffer, Rect { height: 1, ..inner }, Line::styled(head, theme.quiet()));
    let list = Rect { y: inner.y + 1, height: inner.height - 1, ..inner };
    let largest = snapshots.iter().map(lines).max().unwrap_or(0);
    let first = (view.row + 1).saturating_sub(usize::from(list.height));
    for ((index, snapshot), y) in
        snapshots.iter().enumerate().skip(first).zip(list.y..list.bottom())
    {
        let row = Rect { y, height: 1, ..list };
        let left = words(app, snapshot, index == view.row, largest);
        left_and_right(buffer, row, left, skipped(theme, snapshot));
    }
}

fn lines(snapshot: &Snapshot) -> u64 {
    snapshot.change.added + snapshot.change.removed
}

fn words(app: &App, snapshot: &Snapshot, chosen: bool, largest: u64) -> Line<'static> {
    let theme = app.settings.theme;
    let (cause, by) = (snapshot.cause.word(), snapshot.by.map_or("", Author::word));
    let change = snapshot.change;
    let noun = if change.files == 1 { "file" } else { "files" };
    let age = age(snapshot.at.age_seconds(app.now)).0;
    let mut spans = vec![
        Span::styled(if chosen { "▌ " } else { "  " }, theme.chosen()),
        Span::styled(
            format!("{:<10}", snapshot.id.short()),
            if chosen { theme.chosen() } else { theme.text() },
        ),
        Span::styled(format!("{age:<10}{cause:<16}{by:<7}"), theme.quiet()),
    ];
    if change.files > 0 {
        spans.extend([
            Span::styled(format!("{:>6}", format!("+{}", change.added)), theme.good()),
            Span::styled(format!("{:>6}", format!("−{}", change.removed)), theme.bad()),
            Span::styled(format!("{:>5} {noun:<6}", change.files), theme.quiet()),
        ]);
    }
    if let Some(name) = &snapshot.name {
        spans.push(Span::styled(format!("◆ {}  ", foreign(name)), theme.caution()));
    }
    if change.files > 0 {
        spans.extend(bar(theme, snapshot, largest));
    }
    Line::from(spans)
}

/// How large a change was beside the others.
fn bar(theme: Theme, snapshot: &Snapshot, largest: u64) -> [Span<'static>; 2] {
    let cells = |lines: u64| (lines * BAR).div_ceil(largest.max(1)) as usize;
    [
        Span::styled("▪".repeat(cells(snapshot.change.added)), theme.good()),
        Span::styled("▪".repeat(cells(snapshot.change.removed)), theme.bad()),
    ]
}

pub(super) fn skipped(theme: Theme, snapshot: &Snapshot) -> Line<'static> {
    let surprising: Vec<_> =
        snapshot.skipped.iter().filter(|skipped| skipped.is_lacking()).collect();
    match surprising.as_slice() {
        [] => Line::default(),
        [one] => {
            let words = format!("left out: {} ({}) ", one.path, foreign(&one.reason));
            Line::styled(words, theme.caution())
        }
        many => Line::styled(format!("{} left out ", many.len()), theme.caution()),
    }
}
