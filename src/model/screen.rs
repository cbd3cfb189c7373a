//! What a terminal shows: rows of styled text, the cursor, and the changes between two moments.
//!
//! A screen is a level, not a log: a delta carries the rows that changed since a sequence number,
//! and applying any chain of deltas gives the same screen as the full one.

use serde::{Deserialize, Serialize};

use super::asked::Asked;
use super::link::LinkId;

/// The size of a terminal in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    pub columns: u16,
    pub rows: u16,
}

impl Size {
    /// The size a session starts with when no client has said one.
    pub const DEFAULT: Self = Self { columns: 120, rows: 40 };
    /// Largest accepted side, in cells.
    pub const MAX_SIDE: u16 = 1000;

    /// Brings both sides into 1 to `MAX_SIDE`.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            columns: self.columns.clamp(1, Self::MAX_SIDE),
            rows: self.rows.clamp(1, Self::MAX_SIDE),
        }
    }
}

/// A colour as the program asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Color {
    #[default]
    Default,
    /// One of the 256 indexed colours; 0 to 15 follow the reader's own palette.
    Indexed(u8),
    Rgb(u8, u8, u8),
}

/// Attributes of a cell, one bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attributes(pub u8);

impl Attributes {
    pub const BOLD: u8 = 1;
    pub const DIM: u8 = 1 << 1;
    pub const ITALIC: u8 = 1 << 2;
    pub const UNDERLINE: u8 = 1 << 3;
    pub const INVERSE: u8 = 1 << 4;
    pub const HIDDEN: u8 = 1 << 5;
    pub const STRIKETHROUGH: u8 = 1 << 6;

    pub fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }
}

/// How a run of text looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Style {
    pub foreground: Color,
    pub background: Color,
    pub attributes: Attributes,
    /// The link that the text leads to. Its address is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkId>,
}

/// A stretch of one row in one style.
///
/// Either every character fills one cell (`cells` equals the number of characters), or the run is
/// a single cluster: one character, its combining marks, and `cells` is 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    pub text: String,
    pub cells: u16,
    pub style: Style,
}

/// One line of a screen, left to right. Cells after the last run are blank in the default style.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Row {
    pub runs: Vec<Run>,
    /// Whether the line goes on in the next row because it did not fit.
    pub wrapped: bool,
}

impl Row {
    /// How many cells it has.
    pub fn cells(&self) -> u16 {
        self.runs.iter().map(|run| run.cells).fold(0, u16::saturating_add)
    }

    /// The text without styles, trailing blanks removed.
    pub fn text(&self) -> String {
        let mut text: String = self.runs.iter().map(|run| run.text.as_str()).collect();
        text.truncate(text.trim_end().len());
        text
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CursorShape {
    #[default]
    Block,
    Underline,
    Bar,
}

/// Where the cursor stands, from the top left corner, zero-based.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cursor {
    pub column: u16,
    pub row: u16,
    pub visible: bool,
    pub shape: CursorShape,
}

/// What a client must know of a session's modes to treat keys and mouse rightly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScreenModes {
    pub alternate_screen: bool,
    pub bracketed_paste: bool,
    /// The program asked for mouse reports.
    pub mouse: bool,
}

/// A whole screen at one sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Screen {
    /// Counts every visible change of the session; never goes back while the server lives.
    pub sequence: u64,
    pub size: Size,
    pub rows: Vec<Row>,
    pub cursor: Cursor,
    pub modes: ScreenModes,
    /// The title the program set, made printable and at most 256 characters.
    pub title: String,
    /// What the program asks of people.
    #[serde(default)]
    pub asked: Asked,
    /// Rows above the screen that can be asked for.
    pub scrollback: u32,
    /// The number of the first row: how many there were above it, those that are not kept any more
    /// included. Rows are numbered anew when the width changes.
    pub first_line: u32,
}

impl Screen {
    pub fn blank(size: Size) -> Self {
        Self {
            sequence: 0,
            size,
            rows: vec![Row::default(); usize::from(size.rows)],
            cursor: Cursor::default(),
            modes: ScreenModes::default(),
            title: String::new(),
            asked: Asked::default(),
            scrollback: 0,
            first_line: 0,
        }
    }

    /// Brings the screen up to the delta. A delta that is older than the screen changes nothing.
    pub fn apply(&mut self, delta: ScreenDelta) {
        if delta.sequence < self.sequence && !delta.full {
            return;
        }
        if delta.full || delta.size != self.size {
            self.rows = vec![Row::default(); usize::from(delta.size.rows)];
            self.size = delta.size;
        }
        for (index, row) in delta.rows {
            if let Some(place) = self.rows.get_mut(usize::from(index)) {
                *place = row;
            }
        }
        self.sequence = delta.sequence;
        self.cursor = delta.cursor;
        self.modes = delta.modes;
        self.scrollback = delta.scrollback;
        self.first_line = delta.first_line;
        if let Some(title) = delta.title {
            self.title = title;
        }
        if let Some(asked) = delta.asked {
            self.asked = asked;
        }
    }
}

/// The rows that changed since a sequence number the receiver has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenDelta {
    pub sequence: u64,
    /// Every row is included, blank ones may be left out; what the receiver had is void.
    pub full: bool,
    pub size: Size,
    pub rows: Vec<(u16, Row)>,
    pub cursor: Cursor,
    pub modes: ScreenModes,
    /// Present when the title changed.
    pub title: Option<String>,
    /// Present when something was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    pub scrollback: u32,
    pub first_line: u32,
}
