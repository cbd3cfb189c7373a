//! One line as it is packed: whole, however many rows of the screen it took.
//!
//! A line is a byte that says whether it ends here, then its runs: attributes, colours, a link,
//! how many cells and bytes, the text. Rows are cut from it at whatever width they are asked for.

use alacritty_terminal::grid::Row as GridRow;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::cell::Cell;

use crate::model::lines::is_cluster;
use crate::model::link::LinkId;
use crate::model::screen::{Attributes, Color, Row, Run, Style};
use crate::term::rows;

/// Marks the attributes of a run that is one character with its marks. No attribute has this bit.
const CLUSTER: u8 = 1 << 7;
/// Marks the foreground of a run that leads somewhere; the link stands behind the colours.
const LINKED: u8 = 1 << 7;
/// The first byte of a line that goes on in the next, because it was too long to be kept as one.
const GOES_ON: u8 = 1;

/// Bytes of a run's length and cells.
const COUNTS: usize = 4;

/// Writes one line behind others.
pub(super) struct Writer<'a> {
    bytes: &'a mut Vec<u8>,
    begin: usize,
    /// Where the text of a run that can grow begins, and its cells.
    open: Option<(usize, u16)>,
    style: Style,
}

impl<'a> Writer<'a> {
    pub(super) fn new(bytes: &'a mut Vec<u8>) -> Self {
        let begin = bytes.len();
        bytes.push(0);
        Self { bytes, begin, open: None, style: Style::default() }
    }

    /// Writes the first cells of a row.
    pub(super) fn cells(&mut self, row: &GridRow<Cell>, end: usize) {
        let cells = &row[..];
        let mut column = 0;
        let mut before: Option<&Cell> = None;
        while column < end {
            let cell = &row[Column(column)];
            let wide = rows::is_wide(cells, column);
            if wide || rows::has_marks(cell) {
                let Run { text, cells, style } = rows::cluster(cell, wide);
                self.cluster(&text, cells, style);
                before = None;
            } else {
                let same = before.is_some_and(|it| {
                    it.fg == cell.fg
                        && it.bg == cell.bg
                        && it.flags == cell.flags
                        && it.extra == cell.extra
                });
                if !same {
                    self.begin_run(rows::style(cell));
                    before = Some(cell);
                }
                self.character(rows::character(cell));
            }
            column += if wide { 2 } else { 1 };
        }
    }

    /// Writes printable ASCII in one style.
    pub(super) fn ascii(&mut self, text: &[u8], style: Style) {
        for part in text.chunks(usize::from(u16::MAX)) {
            self.begin_run(style);
            self.bytes.extend_from_slice(part);
            if let Some((_, cells)) = &mut self.open {
                *cells += part.len() as u16;
            }
            self.end_run();
        }
    }

    pub(super) fn finish(mut self, goes_on: bool) {
        self.end_run();
        self.bytes[self.begin] = if goes_on { GOES_ON } else { 0 };
    }

    /// Goes on in the open run where it has the style, in a new one where it has not.
    fn begin_run(&mut self, style: Style) {
        if self.open.is_some() && self.style == style {
            return;
        }
        self.end_run();
        self.header(style, 0);
        self.open = Some((self.bytes.len(), 0));
        self.style = style;
    }

    fn character(&mut self, character: char) {
        self.bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        if let Some((_, cells)) = &mut self.open {
            *cells += 1;
        }
    }

    fn cluster(&mut self, text: &str, cells: u16, style: Style) {
        self.end_run();
        self.header(style, CLUSTER);
        let begin = self.bytes.len();
        self.bytes.extend_from_slice(text.as_bytes());
        self.open = Some((begin, cells));
        self.end_run();
    }

    fn header(&mut self, style: Style, mark: u8) {
        self.bytes.push(style.attributes.0 | mark);
        let foreground = self.bytes.len();
        self.color(style.foreground);
        self.color(style.background);
        if let Some(LinkId(link)) = style.link {
            self.bytes[foreground] |= LINKED;
            self.bytes.extend(link.to_le_bytes());
        }
        self.bytes.extend([0; COUNTS]);
    }

    fn color(&mut self, color: Color) {
        match color {
            Color::Default => self.bytes.push(0),
            Color::Indexed(index) => self.bytes.extend([1, index]),
            Color::Rgb(red, green, blue) => self.bytes.extend([2, red, green, blue]),
        }
    }

    fn end_run(&mut self) {
        let Some((begin, cells)) = self.open.take() else { return };
        let length = (self.bytes.len() - begin) as u16;
        let [c0, c1] = cells.to_le_bytes();
        let [l0, l1] = length.to_le_bytes();
        self.bytes[begin - COUNTS..begin].copy_from_slice(&[c0, c1, l0, l1]);
    }
}

/// A line that was written.
#[derive(Clone, Copy)]
pub(super) struct Line<'a>(pub(super) &'a [u8]);

/// One run of a line.
pub(super) struct Piece<'a> {
    pub(super) text: &'a str,
    pub(super) style: Style,
    cells: u16,
    cluster: bool,
}

impl<'a> Line<'a> {
    pub(super) fn goes_on(self) -> bool {
        self.0.first() == Some(&GOES_ON)
    }

    pub(super) fn pieces(self) -> impl Iterator<Item = Piece<'a>> {
        let mut rest = self.0.get(1..).unwrap_or_default();
        std::iter::from_fn(move || {
            let (attributes, after) = rest.split_first()?;
            let linked = after.first()? & LINKED != 0;
            let (foreground, after) = color(after)?;
            let (background, after) = color(after)?;
            let (link, after) = if linked { link(after)? } else { (None, after) };
            let ([c0, c1, l0, l1], after) = after.split_first_chunk::<COUNTS>()?;
            let (text, after) = after.split_at_checked(u16::from_le_bytes([*l0, *l1]).into())?;
            rest = after;
            Some(Piece {
                text: std::str::from_utf8(text).unwrap_or_default(),
                style: Style {
                    foreground,
                    background,
                    attributes: Attributes(attributes & !CLUSTER),
                    link,
                },
                cells: u16::from_le_bytes([*c0, *c1]),
                cluster: attributes & CLUSTER != 0,
            })
        })
    }

    /// How many rows of so many cells it takes, and how many cells of the last.
    pub(super) fn measure(self, columns: u16) -> (u32, u32) {
        let columns = u32::from(columns.max(2));
        let (mut rows, mut used) = (1, 0);
        for piece in self.pieces() {
            let cells = u32::from(piece.cells);
            if piece.cluster {
                if used + cells > columns {
                    rows += 1;
                    used = 0;
                }
                used += cells;
            } else if used + cells > columns {
                let beyond = used + cells - columns;
                rows += beyond.div_ceil(columns);
                used = (beyond - 1) % columns + 1;
            } else {
                used += cells;
            }
        }
        (rows, used)
    }

    pub(super) fn count(self, columns: u16) -> u32 {
        self.measure(columns).0
    }

    /// Its rows, so many cells wide.
    pub(super) fn rows(self, columns: u16) -> Vec<Row> {
        let mut cut = Cut { columns: columns.max(2), used: 0, runs: Vec::new(), rows: Vec::new() };
        for piece in self.pieces() {
            if piece.cluster { cut.cluster(&piece) } else { cut.plain(&piece) }
        }
        cut.end_row(self.goes_on());
        cut.rows
    }
}

fn color(bytes: &[u8]) -> Option<(Color, &[u8])> {
    let (kind, rest) = bytes.split_first()?;
    match (kind & !LINKED, rest) {
        (0, rest) => Some((Color::Default, rest)),
        (1, [index, rest @ ..]) => Some((Color::Indexed(*index), rest)),
        (2, [red, green, blue, rest @ ..]) => Some((Color::Rgb(*red, *green, *blue), rest)),
        _ => None,
    }
}

fn link(bytes: &[u8]) -> Option<(Option<LinkId>, &[u8])> {
    let (link, rest) = bytes.split_first_chunk()?;
    Some((Some(LinkId(u64::from_le_bytes(*link))), rest))
}

/// Cuts a line into rows.
struct Cut {
    columns: u16,
    used: u16,
    runs: Vec<Run>,
    rows: Vec<Row>,
}

impl Cut {
    fn plain(&mut self, piece: &Piece<'_>) {
        let mut text = piece.text;
        while !text.is_empty() {
            if self.used == self.columns {
                self.end_row(true);
            }
            let room = usize::from(self.columns - self.used);
            let end = text.char_indices().nth(room).map_or(text.len(), |(at, _)| at);
            let (now, later) = text.split_at(end);
            let cells = if now.is_ascii() { now.len() } else { now.chars().count() } as u16;
            self.runs.push(Run { text: now.to_owned(), cells, style: piece.style });
            self.used += cells;
            text = later;
        }
    }

    fn cluster(&mut self, piece: &Piece<'_>) {
        if self.used + piece.cells > self.columns {
            // The place that a wide character does not fit into has its looks.
            if self.used < self.columns {
                self.blank(piece.style);
            }
            self.end_row(true);
        }
        self.used += piece.cells;
        let Piece { text, cells, style, .. } = *piece;
        self.runs.push(Run { text: text.to_owned(), cells, style });
    }

    fn blank(&mut self, style: Style) {
        match self.runs.last_mut() {
            Some(last) if last.style == style && !is_cluster(last) => {
                last.text.push(' ');
                last.cells += 1;
            }
            _ => self.runs.push(Run { text: " ".to_owned(), cells: 1, style }),
        }
    }

    fn end_row(&mut self, wrapped: bool) {
        let mut runs = std::mem::take(&mut self.runs);
        rows::trim(&mut runs);
        self.rows.push(Row { runs, wrapped });
        self.used = 0;
    }
}
