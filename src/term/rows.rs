//! Turns rows of the grid into rows of a screen.

use alacritty_terminal::grid::Row as GridRow;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color as GridColor, NamedColor};

use super::links;
use crate::model::screen::{Attributes, Color, Row, Run, Style};

/// Attributes that can be seen on a blank cell.
const SEEN_ON_BLANK: u8 = Attributes::INVERSE | Attributes::UNDERLINE | Attributes::STRIKETHROUGH;

/// Reads one row. The cells of its runs add up to at most the row's columns.
pub(super) fn row(grid: &GridRow<Cell>) -> Row {
    let cells = &grid[..];
    let wrapped = cells.last().is_some_and(|cell| cell.flags.contains(Flags::WRAPLINE));
    let length = length(grid);
    let mut runs = Vec::new();
    let mut plain = Plain::default();
    let mut column = 0;
    while column < length {
        let cell = &grid[Column(column)];
        let wide = is_wide(cells, column);
        if wide || has_marks(cell) {
            plain.end(&mut runs);
            runs.push(cluster(cell, wide));
        } else {
            plain.push(character(cell), style(cell), &mut runs);
        }
        column += if wide { 2 } else { 1 };
    }
    plain.end(&mut runs);
    Row { runs, wrapped }
}

/// How many cells of a row there are up to the last that can be seen.
pub(super) fn length(grid: &GridRow<Cell>) -> usize {
    let cells = &grid[..];
    let seen = |column: &usize| is_wide(cells, *column) || is_seen(&cells[*column]);
    (0..cells.len()).rev().find(seen).map_or(0, |last| last + 1)
}

/// Takes away what cannot be seen at the end of a row's runs.
pub(super) fn trim(runs: &mut Vec<Run>) {
    while let Some(last) = runs.last_mut() {
        let Style { background, attributes, .. } = last.style;
        if background != Color::Default || attributes.0 & SEEN_ON_BLANK != 0 {
            return;
        }
        let kept = last.text.trim_end_matches(' ').len();
        // A mark on a blank is not at the end of the text.
        if kept == last.text.len() {
            return;
        }
        last.cells -= (last.text.len() - kept) as u16;
        last.text.truncate(kept);
        if kept > 0 {
            return;
        }
        runs.pop();
    }
}

/// A run of one-cell characters that is still growing.
#[derive(Default)]
struct Plain {
    text: String,
    cells: u16,
    style: Style,
}

impl Plain {
    fn push(&mut self, character: char, style: Style, runs: &mut Vec<Run>) {
        if self.style != style {
            self.end(runs);
            self.style = style;
        }
        self.text.push(character);
        self.cells += 1;
    }

    fn end(&mut self, runs: &mut Vec<Run>) {
        if self.cells > 0 {
            let text = std::mem::take(&mut self.text);
            runs.push(Run { text, cells: self.cells, style: self.style });
            self.cells = 0;
        }
    }
}

pub(super) fn cluster(cell: &Cell, wide: bool) -> Run {
    let mut text = String::from(if wide { cell.c } else { character(cell) });
    text.extend(cell.zerowidth().unwrap_or_default());
    Run { text, cells: if wide { 2 } else { 1 }, style: style(cell) }
}

/// The character of a one-cell place; halves of a wide one that was overwritten are blank.
pub(super) fn character(cell: &Cell) -> char {
    let half = Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER;
    if cell.c == '\t' || cell.flags.intersects(half) { ' ' } else { cell.c }
}

/// Whether both halves of a wide character stand at a column.
pub(super) fn is_wide(cells: &[Cell], column: usize) -> bool {
    cells[column].flags.contains(Flags::WIDE_CHAR)
        && cells.get(column + 1).is_some_and(|next| next.flags.contains(Flags::WIDE_CHAR_SPACER))
}

pub(super) fn has_marks(cell: &Cell) -> bool {
    cell.zerowidth().is_some_and(|marks| !marks.is_empty())
}

/// Whether a one-cell place differs from a blank in the default style to the eye.
fn is_seen(cell: &Cell) -> bool {
    character(cell) != ' '
        || cell.bg != GridColor::Named(NamedColor::Background)
        || attributes(cell.flags).0 & SEEN_ON_BLANK != 0
        || has_marks(cell)
}

pub(super) fn style(cell: &Cell) -> Style {
    Style {
        foreground: color(cell.fg),
        background: color(cell.bg),
        attributes: attributes(cell.flags),
        link: links::of(cell),
    }
}

fn color(color: GridColor) -> Color {
    match color {
        GridColor::Spec(rgb) => Color::Rgb(rgb.r, rgb.g, rgb.b),
        GridColor::Indexed(index) => Color::Indexed(index),
        GridColor::Named(named) if (named as usize) < 16 => Color::Indexed(named as u8),
        GridColor::Named(_) => Color::Default,
    }
}

fn attributes(flags: Flags) -> Attributes {
    const PAIRS: [(Flags, u8); 7] = [
        (Flags::BOLD, Attributes::BOLD),
        (Flags::DIM, Attributes::DIM),
        (Flags::ITALIC, Attributes::ITALIC),
        (Flags::ALL_UNDERLINES, Attributes::UNDERLINE),
        (Flags::INVERSE, Attributes::INVERSE),
        (Flags::HIDDEN, Attributes::HIDDEN),
        (Flags::STRIKEOUT, Attributes::STRIKETHROUGH),
    ];
    let bits = PAIRS.iter().filter(|(flag, _)| flags.intersects(*flag)).map(|(_, bit)| bit);
    Attributes(bits.fold(0, |all, bit| all | bit))
}
