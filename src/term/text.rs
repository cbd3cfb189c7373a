//! Writes text and C0 controls into the grid.
//!
//! Printable ASCII, most of what programs print, is copied into a row at once when nothing about
//! the cursor or the cells in its way needs care; everything else goes character by character.

use alacritty_terminal::grid::Dimensions;
use alacritty_terminal::index::Column;
use alacritty_terminal::term::TermMode;
use alacritty_terminal::term::cell::Flags;
use alacritty_terminal::vte::ansi::{CharsetIndex, Handler, Mode, NamedMode, StandardCharset};
use unicode_width::UnicodeWidthChar;

use super::terminal::Terminal;
use super::title::is_disguise;

/// Combining marks kept on one cell. Real scripts and emoji need fewer.
const MAX_MARKS: usize = 8;
/// Bytes written before rows that left the screen are packed, where no line ends.
const STRETCH: usize = 2048;

impl Terminal {
    /// Writes text that holds no ESC.
    pub(super) fn text(&mut self, text: &[u8]) {
        if self.is(TermMode::INSERT) {
            return self.insert(text);
        }
        self.write(text);
    }

    /// Writes text in insert mode: room is made for each character, then it is written as ever.
    ///
    /// The grid's own insert mode loses wide characters that are pushed apart.
    fn insert(&mut self, text: &[u8]) {
        let mode = Mode::Named(NamedMode::Insert);
        self.term.unset_mode(mode);
        for chunk in text.utf8_chunks() {
            for character in chunk.valid().chars() {
                if !character.is_control() {
                    self.make_room(character.width().unwrap_or(0));
                }
                self.write(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
            if !chunk.invalid().is_empty() {
                self.make_room(1);
                self.write(chunk.invalid());
            }
        }
        self.term.set_mode(mode);
    }

    /// Moves the rest of the cursor's row, where the next character will stand in it.
    fn make_room(&mut self, width: usize) {
        if width == 0 {
            return;
        }
        if self.term.grid().cursor.input_needs_wrap && self.is(TermMode::LINE_WRAP) {
            self.term.grid_mut().cursor_cell().flags.insert(Flags::WRAPLINE);
            self.term.linefeed();
            self.term.carriage_return();
        }
        let cursor = &self.term.grid().cursor;
        if !cursor.input_needs_wrap && cursor.point.column.0 + width <= self.term.columns() {
            self.term.insert_blank(width);
            self.mend_row();
        }
    }

    /// Blanks halves of wide characters in the cursor's row whose other half is gone.
    pub(super) fn mend_row(&mut self) {
        let grid = self.term.grid_mut();
        let line = grid.cursor.point.line;
        let (wide, spacer) = (Flags::WIDE_CHAR, Flags::WIDE_CHAR_SPACER);
        let halves = wide | spacer;
        if !grid[line][..].iter().any(|cell| cell.flags.intersects(halves)) {
            return;
        }
        for column in 0..grid.columns() {
            let row = &grid[line];
            let flags = row[Column(column)].flags;
            let next = row[..].get(column + 1).is_some_and(|cell| cell.flags.contains(spacer));
            let before = column > 0 && row[Column(column - 1)].flags.contains(wide);
            if flags.contains(wide) && !next {
                grid[line][Column(column)].clear_wide();
            } else if flags.contains(spacer) && !before {
                grid[line][Column(column)].flags.remove(spacer);
            }
        }
    }

    fn write(&mut self, text: &[u8]) {
        let mut rest = text;
        while let Some(&first) = rest.first() {
            let length = if is_plain(first) {
                let length = rest.iter().position(|byte| !is_plain(*byte)).unwrap_or(rest.len());
                let length = length.min(STRETCH);
                self.plain(&rest[..length]);
                length
            } else if first < 0x80 {
                self.execute(first);
                1
            } else {
                let length = rest.iter().position(u8::is_ascii).unwrap_or(rest.len());
                let length = whole_characters(rest, length);
                self.characters(&rest[..length]);
                length
            };
            rest = &rest[length..];
            self.pack();
        }
    }

    /// Repeats the character just before, if it was one, at most as often as fills the screen.
    pub(super) fn repeat(&mut self, count: u16) {
        let size = self.size();
        let most = usize::from(size.columns) * usize::from(size.rows);
        if let Some(character) = self.preceding {
            let mut buffer = [0; 4];
            let character = character.encode_utf8(&mut buffer).as_bytes();
            for _ in 0..usize::from(count.max(1)).min(most) {
                self.text(character);
            }
        }
    }

    fn execute(&mut self, byte: u8) {
        self.preceding = None;
        match byte {
            0x07 => self.bell = true,
            0x08 => self.term.backspace(),
            b'\t' => self.term.put_tab(1),
            b'\n' | 0x0b | 0x0c => self.term.newline(),
            b'\r' => self.term.carriage_return(),
            0x0e => self.set_charset(CharsetIndex::G1),
            0x0f => self.set_charset(CharsetIndex::G0),
            _ => {}
        }
    }

    pub(super) fn set_charset(&mut self, index: CharsetIndex) {
        self.charset = index;
        self.term.set_active_charset(index);
    }

    fn characters(&mut self, bytes: &[u8]) {
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                self.character(character);
            }
            if !chunk.invalid().is_empty() {
                self.character(char::REPLACEMENT_CHARACTER);
            }
        }
    }

    fn character(&mut self, character: char) {
        match character.width() {
            None => return,
            Some(0) => {
                self.preceding = None;
                if !is_disguise(character) && self.marks_under_cursor() < MAX_MARKS {
                    self.term.input(character);
                }
                return;
            }
            Some(_) => self.term.input(character),
        }
        self.preceding = Some(character);
    }

    /// How many marks the cell has that the next mark would join.
    fn marks_under_cursor(&self) -> usize {
        let cursor = &self.term.grid().cursor;
        let row = &self.term.grid()[cursor.point.line];
        let mut column = cursor.point.column.0;
        if !cursor.input_needs_wrap {
            column = column.saturating_sub(1);
        }
        if row[Column(column)].flags.contains(Flags::WIDE_CHAR_SPACER) {
            column = column.saturating_sub(1);
        }
        row[Column(column)].zerowidth().map_or(0, <[char]>::len)
    }

    /// Writes printable ASCII.
    fn plain(&mut self, text: &[u8]) {
        self.preceding = text.last().map(|byte| char::from(*byte));
        let mut rest = text;
        while let Some(&first) = rest.first() {
            let copied = self.copy_into_row(rest);
            if copied == 0 {
                self.term.input(char::from(first));
            }
            rest = &rest[copied.max(1)..];
        }
    }

    /// Copies as much as fits into the cursor's row; nothing when a character needs care.
    ///
    /// The grid's crate learns of the change as it does of its own writing: it counts every row
    /// the cursor stands on as changed.
    fn copy_into_row(&mut self, text: &[u8]) -> usize {
        let columns = self.term.columns();
        let insert = self.is(TermMode::INSERT);
        let charset = self.charset;
        let grid = self.term.grid_mut();
        let cursor = &grid.cursor;
        let template = &cursor.template;
        if insert
            || cursor.input_needs_wrap
            || template.extra.is_some()
            || cursor.charsets[charset] != StandardCharset::Ascii
        {
            return 0;
        }
        let (start, line) = (cursor.point.column.0, cursor.point.line);
        let (foreground, background, flags) = (template.fg, template.bg, template.flags);
        let length = text.len().min(columns - start);
        let cells = &mut grid[line][Column(start)..Column(start + length)];
        let wide = Flags::WIDE_CHAR | Flags::WIDE_CHAR_SPACER;
        if cells.iter().any(|cell| cell.flags.intersects(wide)) {
            return 0;
        }
        for (cell, byte) in cells.iter_mut().zip(text) {
            cell.c = char::from(*byte);
            cell.fg = foreground;
            cell.bg = background;
            cell.flags = flags;
            cell.extra = None;
        }
        let end = start + length;
        grid.cursor.input_needs_wrap = end == columns;
        grid.cursor.point.column = Column(end.min(columns - 1));
        length
    }
}

/// A length of at most [`STRETCH`] that cuts no character.
fn whole_characters(text: &[u8], length: usize) -> usize {
    if length <= STRETCH {
        return length;
    }
    let continues = |at: &usize| text[*at] & 0xc0 == 0x80;
    let start = STRETCH - (0..3).take_while(|back| continues(&(STRETCH - back))).count();
    // What continues for longer is no character.
    if continues(&start) { STRETCH } else { start }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7e)
}
