//! A session in copy mode: its lines as they stand, with what was found and what is selected.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line;

use super::super::app::{App, CopyMode, Hand, Matches, Search};
use super::super::layout::Tile;
use super::super::panes::PaneKey;
use super::super::theme::Theme;
use super::super::widget::put;
use super::pane::draw_row;
use crate::model::lines::{Needle, Passage};
use crate::model::screen::Row;

/// Draws the lines and the search; the cursor's place comes back where keys move it.
pub(super) fn draw(
    theme: Theme,
    copy: &CopyMode,
    tile: &Tile,
    buffer: &mut Buffer,
) -> Option<Position> {
    let area = tile.inner.intersection(buffer.area);
    for (line, y) in (copy.top..).zip(area.y..area.bottom()) {
        if let Some(row) = copy.lines.row(line) {
            draw_row(theme, row, Rect { y, height: 1, ..area }, copy.left, buffer);
        }
    }
    mark_matches(theme, copy, area, buffer);
    if let Some(passage) = copy.selected() {
        for_cells(copy, passage, area, |position| {
            let style = buffer[position].style();
            // What its program inverts is seen by being the other way round.
            let inverse = style.add_modifier.contains(Modifier::REVERSED);
            let change = if inverse {
                Style::new().remove_modifier(Modifier::REVERSED)
            } else {
                Style::new().add_modifier(Modifier::REVERSED)
            };
            buffer[position].set_style(change);
        });
    }
    let prompt = prompt(theme, copy, tile, buffer);
    if prompt.is_some() || copy.hand == Hand::Mouse {
        return prompt;
    }
    let x = area.x + copy.cursor.column.checked_sub(copy.left)?;
    let y = area.y + u16::try_from(copy.cursor.line.checked_sub(copy.top)?).ok()?;
    let place = Position::new(x, y);
    area.contains(place).then_some(place)
}

/// Marks all that is seen of what is searched for, also while it is typed.
fn mark_matches(theme: Theme, copy: &CopyMode, area: Rect, buffer: &mut Buffer) {
    let Some(needle) = copy.search.needle().and_then(Needle::new) else { return };
    let bottom = copy.top + u32::from(area.height.max(1)) - 1;
    let (first, _) = copy.lines.paragraph(copy.top);
    let (_, last) = copy.lines.paragraph(bottom);
    let first = first.max(copy.lines.start);
    let here: Vec<&Row> = (first..=last).map_while(|line| copy.lines.row(line)).collect();
    needle.find((first, copy.lines.columns), here, &mut |passage| {
        let current = matches!(copy.matches, Matches::Some(found) if found.passage == passage);
        let style = if current { theme.emphasis(theme.found()) } else { theme.found() };
        for_cells(copy, passage, area, |position| {
            buffer[position].set_style(style);
        });
    });
}

/// Visits the cells of a passage that are shown.
fn for_cells(copy: &CopyMode, passage: Passage, area: Rect, mut visit: impl FnMut(Position)) {
    for (line, y) in (copy.top..).zip(area.y..area.bottom()) {
        let Some((first, last)) = passage.columns(line) else { continue };
        let edge = copy.left.saturating_add(area.width.saturating_sub(1));
        for column in first.max(copy.left)..=last.min(edge) {
            visit(Position::new(area.x + column - copy.left, y));
        }
    }
}

/// The search while it is typed: in the lower border, or in the last row where there is none.
fn prompt(theme: Theme, copy: &CopyMode, tile: &Tile, buffer: &mut Buffer) -> Option<Position> {
    let Search::Typing(field) = &copy.search else { return None };
    let area = tile.area.intersection(buffer.area);
    if area.width < 8 || area.is_empty() {
        return None;
    }
    let row = Rect { x: area.x + 1, y: area.bottom() - 1, width: area.width - 2, height: 1 };
    let (text, column) = field.window(usize::from(row.width - 4));
    put(buffer, row, Line::styled(format!(" /{text} "), theme.found()));
    Some(Position::new(row.x + 2 + column as u16, row.y))
}

/// Where the reader of a session is, and at which match, or what was copied from it.
pub(super) fn place(app: &App, pane: &PaneKey) -> Option<Line<'static>> {
    let theme = app.settings.theme;
    if let Some(copied) = app.copied.as_ref().filter(|copied| copied.pane == *pane) {
        return Some(Line::styled(format!(" {} ", copied.words), theme.chip()));
    }
    let copy = app.copy.as_ref().filter(|copy| copy.pane == *pane)?;
    if matches!(copy.search, Search::Typing(_)) {
        // What is typed stands there.
        return Some(Line::default());
    }
    let mut words = vec!["copy".to_owned()];
    match copy.matches {
        Matches::Unknown => {}
        Matches::None => words.push("not found".to_owned()),
        Matches::Some(found) => words.push(format!("{} of {}", found.nth, found.count)),
    }
    let below = copy.lines.total.saturating_sub(copy.cursor.line + 1);
    words.push(format!("↑ {below}"));
    if copy.hand == Hand::Keys {
        words.push("Esc".to_owned());
    }
    Some(Line::styled(format!(" {} ", words.join(" · ")), theme.caution()))
}
