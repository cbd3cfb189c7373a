//! The files of a diff as a list: what became of each, and how much.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use unicode_width::UnicodeWidthStr as _;

use super::super::super::app::DiffView;
use super::super::super::theme::Theme;
use super::super::super::widget::put;
use super::{fit_path, letter, mark};
use crate::model::diff::{Diff, DiffContent, FileDiff, Taken};

/// The narrowest list beside a text.
const NARROWEST: u16 = 24;
/// Columns before the path: the reader's place, the mark, the letter, a blank.
const BEFORE: usize = 4;
/// Files looked at for how wide the list is to be; more are not seen at once.
const LOOKED_AT: usize = 200;

/// How wide the list is: as its content, but no more than a third.
pub(super) fn width(view: &DiffView, diff: &Diff, width: u16) -> u16 {
    let shown = view.order.iter().filter_map(|index| diff.files.get(*index)).take(LOOKED_AT);
    let path = shown.map(|file| file.path.to_string().width()).max().unwrap_or(0);
    let (added, removed) = columns(view, diff);
    let wanted = (BEFORE + path + added + removed + 4) as u16;
    wanted.clamp(NARROWEST, (width / 3).max(NARROWEST))
}

/// Columns of the largest numbers of lines added and removed, with their signs.
fn columns(view: &DiffView, diff: &Diff) -> (usize, usize) {
    if !view.counted {
        return (0, 0);
    }
    let widest = |lines: fn(&FileDiff) -> u64| {
        diff.files.iter().map(lines).max().map_or(0, |lines| lines.to_string().len() + 1)
    };
    (widest(|file| file.added).max(2), widest(|file| file.removed).max(2))
}

pub(super) fn draw(theme: Theme, view: &DiffView, diff: &Diff, area: Rect, buffer: &mut Buffer) {
    let height = usize::from(area.height);
    // The chosen one is kept away from both ends, as far as there are others.
    let first = view.file.saturating_sub(height / 2).min(view.order.len().saturating_sub(height));
    let columns = columns(view, diff);
    for (place, y) in (first..view.order.len()).zip(area.y..area.bottom()) {
        let Some(file) = diff.files.get(view.order[place]) else { break };
        let chosen = place == view.file;
        let (letter, tone) = letter(theme, file.change);
        let told = view.counted || file.taken != Taken::Nothing;
        let counts = if told { counts(theme, file, columns) } else { Line::default() };
        let room = usize::from(area.width).saturating_sub(BEFORE + counts.width());
        let name = match (chosen, view.listing) {
            (true, true) => theme.chip(),
            (true, false) => theme.chosen(),
            (false, _) => theme.text(),
        };
        let left = Line::from(vec![
            Span::styled(if chosen { "▌" } else { " " }, theme.chosen()),
            mark(theme, file),
            Span::styled(letter, tone),
            Span::raw(" "),
            Span::styled(fit_path(&file.path.to_string(), room), name),
        ]);
        put(buffer, Rect { y, height: 1, ..area }, left);
        let width = (counts.width() as u16).min(area.width);
        put(buffer, Rect { x: area.right() - width, y, width, height: 1 }, counts);
    }
}

/// Numbers in columns; where nothing is counted, why not.
fn counts(theme: Theme, file: &FileDiff, (added, removed): (usize, usize)) -> Line<'static> {
    let word = match (file.taken, &file.content) {
        (Taken::All, _) => "taken",
        (Taken::Part, _) => "partly taken",
        (_, DiffContent::Binary { .. }) => "binary",
        (_, DiffContent::TooLarge { .. }) => "large",
        _ => "",
    };
    if !word.is_empty() {
        return Line::styled(
            format!(" {word:>width$} ", width = added + removed + 1),
            theme.quiet(),
        );
    }
    let number = |sign: char, lines: u64| match lines {
        0 => String::new(),
        lines => format!("{sign}{lines}"),
    };
    let (more, less) = (number('+', file.added), number('−', file.removed));
    Line::styled(format!(" {more:>added$} {less:>removed$} "), theme.quiet())
}
