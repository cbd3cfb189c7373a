//! The lines of a diff.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::super::super::app::{DiffRow, DiffView, PairSide};
use super::super::super::theme::Theme;
use super::super::super::widget::{Source, fit, put, source_line};
use super::super::comments::mark;
use crate::model::comment::LineSide;
use crate::model::diff::LineKind;

/// Fewer digits of a line number would make the text jump from file to file.
const DIGITS: usize = 3;

pub(super) fn draw(theme: Theme, view: &DiffView, row: usize, area: Rect, buffer: &mut Buffer) {
    match &view.rows[row] {
        DiffRow::Hunk { text, folded, .. } => {
            let mark = if *folded { " · folded" } else { "" };
            put(buffer, area, Line::styled(format!(" {text}{mark}"), theme.accent()));
        }
        DiffRow::Comment { text, sent, first, .. } => {
            let tone = if *sent { theme.quiet() } else { theme.caution() };
            let indent = comment_indent(view);
            let room = usize::from(area.width).saturating_sub(indent + 3);
            let mark = if *first { mark(*sent) } else { " " };
            let words = format!("{:indent$}{mark} {}", "", fit(text, room));
            put(buffer, area, Line::styled(words, tone));
        }
        DiffRow::Note(text) => put(buffer, area, Line::styled(format!("  {text}"), theme.quiet())),
        DiffRow::Line { kind, old, new, text, hidden, .. } => {
            let (sign, tone) = match kind {
                LineKind::Context => (" ", theme.text()),
                LineKind::Added => ("+", theme.good()),
                LineKind::Removed => ("−", theme.bad()),
            };
            let quiet = if *kind == LineKind::Context { theme.quiet() } else { tone };
            let numbers = format!(" {}{}", number(view, *old), number(view, *new));
            let used = numbers.len() + 1;
            let mut spans = vec![Span::styled(numbers, quiet), Span::styled(sign, tone)];
            flag(theme, view, row, None, &mut spans);
            let painted = view.painted.get(&(row, *kind != LineKind::Removed));
            let source = Source { text, painted, hidden, needle: view.search.needle() };
            let room = usize::from(area.width).saturating_sub(used);
            spans.extend(source_line(theme, &source, tone, (view.left, room)));
            put(buffer, area, Line::from(spans));
        }
        DiffRow::Pair { old, new } => {
            let half = area.width / 2;
            let left = Rect { width: half, ..area };
            let right = Rect { x: area.x + half + 1, width: area.width - half - 1, ..area };
            side(theme, view, (row, false), old.as_ref(), left, buffer);
            buffer[(area.x + half, area.y)].set_symbol("│").set_style(theme.frame());
            side(theme, view, (row, true), new.as_ref(), right, buffer);
        }
    }
}

/// Columns before the mark of a comment: below the numbers of lines.
pub(super) fn comment_indent(view: &DiffView) -> usize {
    2 * (view.digits.max(DIGITS) + 1)
}

fn side(
    theme: Theme,
    view: &DiffView,
    (row, new): (usize, bool),
    line: Option<&PairSide>,
    area: Rect,
    buffer: &mut Buffer,
) {
    let Some(line) = line else {
        // What is not there must not look like an empty line.
        let x = area.x + view.digits.max(DIGITS) as u16 + 3;
        let place = Rect { x, width: area.right().saturating_sub(x).min(3), ..area };
        put(buffer, place, Line::styled("╌╌╌", theme.frame()));
        return;
    };
    let (sign, tone) = match (line.changed, new) {
        (false, _) => (" ", theme.text()),
        (true, true) => ("+", theme.good()),
        (true, false) => ("−", theme.bad()),
    };
    let quiet: Style = if line.changed { tone } else { theme.quiet() };
    let number = format!(" {}", number(view, Some(line.number)));
    let room = usize::from(area.width).saturating_sub(number.len() + 1);
    let mut spans = vec![Span::styled(number, quiet), Span::styled(sign, tone)];
    let own = if new { LineSide::New } else { LineSide::Old };
    flag(theme, view, row, Some(own), &mut spans);
    let painted = view.painted.get(&(row, new));
    let PairSide { text, hidden, .. } = line;
    let source = Source { text, painted, hidden, needle: view.search.needle() };
    spans.extend(source_line(theme, &source, tone, (view.left, room)));
    put(buffer, area, Line::from(spans));
}

/// A line number, as wide as the largest of the file, and a blank.
fn number(view: &DiffView, number: Option<u32>) -> String {
    let width = view.digits.max(DIGITS);
    number.map_or_else(|| " ".repeat(width + 1), |number| format!("{number:>width$} "))
}

/// Marks a line that is commented on, of one side or of either, in the blank behind its number.
fn flag(
    theme: Theme,
    view: &DiffView,
    row: usize,
    own: Option<LineSide>,
    spans: &mut Vec<Span<'static>>,
) {
    let below = view.rows.iter().skip(row + 1);
    let sent = below.map_while(|row| match row {
        DiffRow::Comment { side, sent, .. } => Some((side, sent)),
        _ => None,
    });
    let mut sent = sent.filter(|(side, _)| own.is_none_or(|own| own == **side));
    let Some((_, sent)) = sent.next() else { return };
    let tone = if *sent { theme.quiet() } else { theme.caution() };
    if let Some(number) = spans.first_mut() {
        let text = number.content.strip_suffix(' ').map(str::to_owned);
        number.content = text.unwrap_or_default().into();
        spans.insert(1, Span::styled(mark(*sent), tone));
    }
}
