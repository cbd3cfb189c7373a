//! Where everything stands, from the terminal's size and what is to be shown. Pure numbers: views
//! draw into it, the mouse is looked up in it, and the sessions' sizes come from it.

use ratatui::layout::Rect;

use crate::model::screen::Size;

/// Under this many columns there is a list only.
const LIST_ONLY: u16 = 50;
/// Under this many columns list and pane are stacked.
const STACKED: u16 = 80;
/// From this size on there is a grid.
const GRID_COLUMNS: u16 = 112;
const GRID_ROWS: u16 = 32;
/// A tile smaller than this shows too little of an agent to be worth its frame.
const TILE_COLUMNS: u16 = 56;
const TILE_ROWS: u16 = 15;
const LIST_WIDTH: u16 = 28;
/// A session is never made smaller than this by a narrow tile; the tile then shows a part of it.
const SMALLEST_SESSION: Size = Size { columns: 40, rows: 8 };
/// Under this height a pane has no frame, because two rows of it would be a large part.
const SMALLEST_FRAMED: u16 = 6;

/// The deck's places.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deck {
    pub(crate) header: Rect,
    pub(crate) body: Rect,
    pub(crate) footer: Rect,
    pub(crate) list: Option<Rect>,
    pub(crate) tiles: Vec<Tile>,
    /// Tiles in a row, for moving up and down.
    pub(crate) columns: usize,
}

/// One live pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    /// Of the environment in the deck's order.
    pub(crate) index: usize,
    pub(crate) area: Rect,
    /// Where the session's cells go.
    pub(crate) inner: Rect,
    pub(crate) framed: bool,
}

impl Tile {
    fn new(index: usize, area: Rect) -> Self {
        let framed = area.height >= SMALLEST_FRAMED && area.width >= 12;
        // Without a frame the first row still says whose screen this is.
        let inner = if framed {
            Rect::new(area.x + 1, area.y + 1, area.width - 2, area.height - 2)
        } else {
            Rect::new(area.x, area.y + 1, area.width, area.height.saturating_sub(1))
        };
        Self { index, area, inner, framed }
    }

    /// The size a session gets to be shown here.
    pub(crate) fn session_size(&self) -> Size {
        Size {
            columns: self.inner.width.max(SMALLEST_SESSION.columns),
            rows: self.inner.height.max(SMALLEST_SESSION.rows),
        }
    }
}

/// Splits the terminal into header, body and footer.
pub(crate) fn frame(size: Size) -> (Rect, Rect, Rect) {
    let Size { columns, rows } = size;
    let header = Rect::new(0, 0, columns, rows.min(1));
    let footer =
        if rows >= 3 { Rect::new(0, rows - 1, columns, 1) } else { Rect::new(0, rows, columns, 0) };
    let body = Rect::new(0, header.height, columns, footer.y.saturating_sub(header.height));
    (header, body, footer)
}

/// Lays the deck out for `count` environments of which `selected` is chosen.
pub(crate) fn deck(size: Size, count: usize, selected: usize, zoomed: bool) -> Deck {
    let (header, body, footer) = frame(size);
    let mut deck = Deck { header, body, footer, list: None, tiles: Vec::new(), columns: 1 };
    if count == 0 || body.height == 0 {
        return deck;
    }
    if zoomed {
        deck.tiles.push(Tile::new(selected, body));
    } else if size.columns < LIST_ONLY || size.rows < 10 {
        deck.list = Some(body);
    } else if size.columns < STACKED {
        let list = (count as u16).clamp(1, (body.height / 3).max(1));
        deck.list = Some(Rect { height: list, ..body });
        let rest = Rect { y: body.y + list, height: body.height - list, ..body };
        deck.tiles.push(Tile::new(selected, rest));
    } else if size.columns < GRID_COLUMNS || size.rows < GRID_ROWS {
        deck.list = Some(Rect { width: LIST_WIDTH, ..body });
        let rest = Rect { x: LIST_WIDTH, width: body.width - LIST_WIDTH, ..body };
        deck.tiles.push(Tile::new(selected, rest));
    } else {
        grid(&mut deck, count, selected);
    }
    deck
}

/// As square as it can be, with a dozen tiles at most; the last row's tiles share its whole width.
fn grid(deck: &mut Deck, count: usize, selected: usize) {
    let body = deck.body;
    let most_columns = usize::from((body.width / TILE_COLUMNS).clamp(1, 4));
    let most_rows = usize::from((body.height / TILE_ROWS).clamp(1, 3));
    let page = most_columns * most_rows;
    let first = selected / page * page;
    let shown = (count - first).min(page);
    let square = (1..=most_columns).find(|side| side * side >= shown).unwrap_or(most_columns);
    let columns = square.max(shown.div_ceil(most_rows));
    let rows = shown.div_ceil(columns);
    for row in 0..rows {
        let across = if row + 1 == rows { shown - row * columns } else { columns };
        let (y, height) = share(body.height, rows, row);
        for column in 0..across {
            let (x, width) = share(body.width, across, column);
            let area = Rect::new(body.x + x, body.y + y, width, height);
            deck.tiles.push(Tile::new(first + row * columns + column, area));
        }
    }
    deck.columns = columns;
}

/// Start and length of one of `parts` of a length, the remainder spread over the first.
fn share(length: u16, parts: usize, part: usize) -> (u16, u16) {
    let at = |part: usize| (usize::from(length) * part / parts) as u16;
    (at(part), at(part + 1) - at(part))
}

/// A box in the middle, as large as asked for where that fits.
pub(crate) fn centered(body: Rect, width: u16, height: u16) -> Rect {
    let (width, height) = (width.min(body.width), height.min(body.height));
    let x = body.x + (body.width - width) / 2;
    Rect::new(x, body.y + (body.height - height) / 2, width, height)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(columns: u16, rows: u16, count: usize) -> Deck {
        deck(Size { columns, rows }, count, 0, false)
    }

    #[test]
    fn the_layout_follows_the_terminal() {
        let shape = |deck: &Deck| (deck.list.is_some(), deck.tiles.len(), deck.columns);
        assert_eq!(shape(&at(20, 5, 3)), (true, 0, 1));
        assert_eq!(shape(&at(49, 40, 3)), (true, 0, 1));
        assert_eq!(shape(&at(60, 24, 3)), (true, 1, 1));
        assert_eq!(shape(&at(80, 24, 3)), (true, 1, 1));
        assert_eq!(shape(&at(120, 40, 1)), (false, 1, 1));
        assert_eq!(shape(&at(120, 40, 2)), (false, 2, 2));
        assert_eq!(shape(&at(120, 40, 9)), (false, 4, 2));
        assert_eq!(shape(&at(200, 60, 4)), (false, 4, 2));
        assert_eq!(shape(&at(200, 60, 9)), (false, 9, 3));
        assert_eq!(shape(&at(224, 48, 100)), (false, 12, 4));
    }

    #[test]
    fn a_page_of_the_grid_holds_the_chosen_one() {
        let shown = deck(Size { columns: 120, rows: 40 }, 6, 5, false);
        assert_eq!(shown.tiles.iter().map(|tile| tile.index).collect::<Vec<_>>(), [4, 5]);
    }

    #[test]
    fn nothing_overlaps_or_leaves_the_terminal_at_any_size() {
        for columns in 0..140 {
            for rows in 0..50 {
                for (count, zoomed) in [(0, false), (1, false), (3, true), (7, false)] {
                    let size = Size { columns, rows };
                    let whole = Rect::new(0, 0, columns, rows);
                    let deck = deck(size, count, count.saturating_sub(1), zoomed);
                    let areas: Vec<Rect> = deck
                        .tiles
                        .iter()
                        .map(|tile| tile.area)
                        .chain(deck.list)
                        .chain([deck.header, deck.footer])
                        .filter(|area| !area.is_empty())
                        .collect();
                    for (index, area) in areas.iter().enumerate() {
                        assert_eq!(area.intersection(whole), *area, "{size:?}");
                        for other in &areas[index + 1..] {
                            assert!(area.intersection(*other).is_empty(), "{size:?} {areas:?}");
                        }
                    }
                }
            }
        }
    }
}
