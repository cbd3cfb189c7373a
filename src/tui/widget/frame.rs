//! A light box with words in its upper and lower border.

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;

use super::text::{clear, put};

/// Two rows of lines are too many of fewer rows than this.
const LOWEST: u16 = 6;

/// How heavy the lines are, so that it reads without colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Light,
    Heavy,
}

/// A border and what stands in it.
pub(crate) struct Frame<'a> {
    pub(crate) weight: Weight,
    pub(crate) style: Style,
    pub(crate) title: Line<'a>,
    /// At the right end of the upper border, when there is room.
    pub(crate) corner: Line<'a>,
    pub(crate) bottom: Line<'a>,
}

impl<'a> Frame<'a> {
    pub(crate) fn new(style: Style, title: impl Into<Line<'a>>) -> Self {
        Self {
            weight: Weight::Light,
            style,
            title: title.into(),
            corner: Line::default(),
            bottom: Line::default(),
        }
    }

    /// Draws it and returns the area inside. In a low area there is only the title.
    pub(crate) fn draw(self, buffer: &mut Buffer, area: Rect) -> Rect {
        let area = area.intersection(buffer.area);
        if is_low(area) {
            put(buffer, area, self.title);
            return inside(area);
        }
        self.lines(buffer, area);
        let top = Rect { x: area.x + 1, width: area.width - 2, height: 1, ..area };
        let (title, corner) = (self.title.width() as u16, self.corner.width() as u16);
        if corner > 0 && title + corner < top.width {
            let x = top.right() - corner;
            words(buffer, Rect { x, width: corner, ..top }, self.corner);
        }
        words(buffer, top, self.title);
        words(buffer, Rect { y: area.bottom() - 1, ..top }, self.bottom);
        inside(area)
    }

    fn lines(&self, buffer: &mut Buffer, area: Rect) {
        let [horizontal, vertical, corners @ ..] = match self.weight {
            Weight::Light => ["─", "│", "┌", "┐", "└", "┘"],
            Weight::Heavy => ["━", "┃", "┏", "┓", "┗", "┛"],
        };
        let (right, bottom) = (area.right() - 1, area.bottom() - 1);
        let mut set = |x, y, symbol| {
            buffer[(x, y)].set_symbol(symbol).set_style(self.style);
        };
        for x in area.x + 1..right {
            set(x, area.y, horizontal);
            set(x, bottom, horizontal);
        }
        for y in area.y + 1..bottom {
            set(area.x, y, vertical);
            set(right, y, vertical);
        }
        let places = [(area.x, area.y), (right, area.y), (area.x, bottom), (right, bottom)];
        for ((x, y), symbol) in places.into_iter().zip(corners) {
            set(x, y, symbol);
        }
    }
}

fn is_low(area: Rect) -> bool {
    area.width < 2 || area.height < LOWEST
}

/// What a frame leaves of an area.
pub(crate) fn inside(area: Rect) -> Rect {
    if is_low(area) {
        let height = area.height.saturating_sub(1);
        return Rect { y: area.y + area.height.min(1), height, ..area };
    }
    Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2)
}

/// Writes over a border, whose style must not show through.
fn words(buffer: &mut Buffer, area: Rect, line: Line<'_>) {
    let width = area.width.min(line.width() as u16);
    clear(buffer, Rect { width, ..area });
    put(buffer, area, line);
}
