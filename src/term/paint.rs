//! Writes cells of a grid as the output that makes them.

use std::fmt::Write;

use alacritty_terminal::grid::Row;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::{Cell, Flags};
use alacritty_terminal::vte::ansi::{Color, NamedColor};

use super::links::{self, Links};
use crate::model::link::LinkId;
use crate::model::screen::{self as model, Attributes, Style};

const ATTRIBUTES: [(Flags, &str); 11] = [
    (Flags::BOLD, ";1"),
    (Flags::DIM, ";2"),
    (Flags::ITALIC, ";3"),
    (Flags::UNDERLINE, ";4"),
    (Flags::DOUBLE_UNDERLINE, ";4:2"),
    (Flags::UNDERCURL, ";4:3"),
    (Flags::DOTTED_UNDERLINE, ";4:4"),
    (Flags::DASHED_UNDERLINE, ";4:5"),
    (Flags::INVERSE, ";7"),
    (Flags::HIDDEN, ";8"),
    (Flags::STRIKEOUT, ";9"),
];
/// The smallest screen whose last row can be outside a scroll region.
const MIN_ROWS_TO_WRAP_LAST: usize = 3;

pub(super) struct Painter {
    output: String,
    /// The style in effect, as it was written; `None` when it is not known.
    style: Option<String>,
    /// The link that text written now leads to.
    link: Option<LinkId>,
    links: Links,
}

impl Painter {
    pub(super) fn new(links: &Links) -> Self {
        Self { output: String::new(), style: None, link: None, links: links.clone() }
    }

    pub(super) fn finish(self) -> Vec<u8> {
        self.output.into_bytes()
    }

    /// Takes what was written so far; what follows begins without a link.
    pub(super) fn cut(&mut self) -> Vec<u8> {
        self.link(None);
        self.style = None;
        std::mem::take(&mut self.output).into_bytes()
    }

    /// Writes a sequence that may change the style.
    pub(super) fn push(&mut self, sequence: &str) {
        self.output.push_str(sequence);
        self.style = None;
    }

    /// Goes to a place counted from 0.
    pub(super) fn go_to(&mut self, line: i32, column: usize) {
        let _ = write!(self.output, "\x1b[{};{}H", line + 1, column + 1);
    }

    /// Has what follows lead to a link. One that is not kept any more is none.
    fn link(&mut self, link: Option<LinkId>) {
        if self.link != link {
            let opening = link.and_then(|link| self.links.opening(link));
            self.output.push_str(opening.as_deref().unwrap_or(links::END));
            self.link = link;
        }
    }

    /// Sets the style of a cell.
    pub(super) fn style(&mut self, cell: &Cell) {
        self.link(links::of(cell));
        let style = sequence(cell);
        if self.style.as_ref() != Some(&style) {
            self.output.push_str(&style);
            self.style = Some(style);
        }
    }

    /// Writes text in a style at the cursor.
    pub(super) fn text(&mut self, text: &str, style: Style) {
        self.link(style.link);
        let style = sequence_of(style);
        if self.style.as_ref() != Some(&style) {
            self.output.push_str(&style);
            self.style = Some(style);
        }
        self.output.push_str(text);
    }

    /// Writes a row at the cursor and goes to the next, if there is one below.
    ///
    /// `continued` says that the row above wraps into this one: the first character written here
    /// then makes it so.
    pub(super) fn row(&mut self, row: &Row<Cell>, below: Option<&Row<Cell>>, continued: bool) {
        let wrapped = is_wrapped(row) && below.is_some();
        let length = if wrapped {
            row.len()
        } else {
            let written = row[..].iter().rposition(|cell| *cell != Cell::default());
            written.map_or(0, |last| last + 1).max(usize::from(continued))
        };
        let leading = wrapped && below.is_some_and(|below| wraps_wide(row, below));
        self.cells(row, 0, length, leading);
        if continued && length < row.len() {
            // The wrap may have scrolled in a row of the first character's background.
            self.push("\x1b[m\x1b[K");
        }
        if !wrapped && below.is_some() {
            self.push("\x1b[m\r\n");
        }
    }

    /// Marks the last row as wrapped without scrolling: the cursor is outside the region then.
    pub(super) fn wrap_last_row(&mut self, row: &Row<Cell>, rows: usize) {
        let columns = row.len();
        if !is_wrapped(row) || rows < MIN_ROWS_TO_WRAP_LAST || columns < 3 {
            return;
        }
        self.push("\x1b[1;2r");
        let last = if is_wide(row, columns - 2) { columns - 2 } else { columns - 1 };
        self.go_to(rows as i32 - 1, last);
        self.cells(row, last, columns, false);
        self.push("\x1b[m \r");
        self.cells(row, 0, if is_wide(row, 0) { 2 } else { 1 }, false);
        self.push("\x1b[r");
    }

    /// Writes cells; `leading` leaves out a last blank that the wrap itself will make.
    fn cells(&mut self, row: &Row<Cell>, start: usize, end: usize, leading: bool) {
        let mut column = start;
        while column < end {
            let cell = &row[Column(column)];
            let half = Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER | Flags::LEADING_WIDE_CHAR_SPACER;
            if leading
                && column + 1 == row.len()
                && cell.flags.contains(Flags::LEADING_WIDE_CHAR_SPACER)
            {
                return;
            }
            self.style(cell);
            let wide = is_wide(row, column);
            let blank = cell.c == '\t' || (!wide && cell.flags.intersects(half));
            self.output.push(if blank { ' ' } else { cell.c });
            self.output.extend(cell.zerowidth().unwrap_or_default());
            column += if wide { 2 } else { 1 };
        }
    }
}

pub(super) fn is_wrapped(row: &Row<Cell>) -> bool {
    row[Column(row.len() - 1)].flags.contains(Flags::WRAPLINE)
}

/// Whether the wide character below will itself leave the last blank as it is.
fn wraps_wide(row: &Row<Cell>, below: &Row<Cell>) -> bool {
    is_wide(below, 0) && sequence(&row[Column(row.len() - 1)]) == sequence(&below[Column(0)])
}

/// Whether both halves of a wide character stand at a column.
fn is_wide(row: &Row<Cell>, column: usize) -> bool {
    row[Column(column)].flags.contains(Flags::WIDE_CHAR)
        && column + 1 < row.len()
        && row[Column(column + 1)].flags.contains(Flags::WIDE_CHAR_SPACER)
}

/// The sequence that sets exactly a cell's style.
fn sequence(cell: &Cell) -> String {
    let mut text = String::from("\x1b[0");
    for (flag, parameter) in ATTRIBUTES {
        if cell.flags.contains(flag) {
            text.push_str(parameter);
        }
    }
    color(&mut text, 38, cell.fg);
    color(&mut text, 48, cell.bg);
    if let Some(underline) = cell.underline_color() {
        color(&mut text, 58, underline);
    }
    text.push('m');
    text
}

/// The sequence that sets exactly a style.
fn sequence_of(style: Style) -> String {
    const ATTRIBUTES: [(u8, &str); 7] = [
        (Attributes::BOLD, ";1"),
        (Attributes::DIM, ";2"),
        (Attributes::ITALIC, ";3"),
        (Attributes::UNDERLINE, ";4"),
        (Attributes::INVERSE, ";7"),
        (Attributes::HIDDEN, ";8"),
        (Attributes::STRIKETHROUGH, ";9"),
    ];
    let mut text = String::from("\x1b[0");
    for (bit, parameter) in ATTRIBUTES {
        if style.attributes.has(bit) {
            text.push_str(parameter);
        }
    }
    for (kind, color) in [(38, style.foreground), (48, style.background)] {
        let _ = match color {
            model::Color::Default => Ok(()),
            model::Color::Indexed(index) => write!(text, ";{kind};5;{index}"),
            model::Color::Rgb(red, green, blue) => {
                write!(text, ";{kind};2;{red};{green};{blue}")
            }
        };
    }
    text.push('m');
    text
}

fn color(text: &mut String, kind: u8, color: Color) {
    let _ = match color {
        Color::Spec(rgb) => write!(text, ";{kind};2;{};{};{}", rgb.r, rgb.g, rgb.b),
        Color::Indexed(index) => write!(text, ";{kind};5;{index}"),
        Color::Named(named) if kind != 58 && (named as usize) < 8 => {
            write!(text, ";{}", kind - 8 + named as u8)
        }
        Color::Named(named) if kind != 58 && (named as usize) < NamedColor::Foreground as usize => {
            // Bright colours stand 60 above the plain ones.
            write!(text, ";{}", kind - 8 + 60 + (named as u8 % 8))
        }
        Color::Named(_) => Ok(()),
    };
}
