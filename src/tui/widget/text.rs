//! Words on cells: cut to fit, made safe, and ages that seldom change.

use std::fmt::Write as _;
use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::Line;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::model::path::{hides_or_steers, printable};

/// Columns a tab moves to a multiple of, in text that is not a terminal's.
const TAB: usize = 4;

/// Text that others wrote, made safe to show.
pub(crate) fn foreign(text: &str) -> String {
    printable(text.as_bytes())
}

/// A line of a file, made safe to show, tabs as blanks.
pub(crate) fn line_text(bytes: &[u8]) -> String {
    line_shown(bytes).0
}

/// Whether blanks are seen as such.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blanks {
    Blank,
    Marked,
}

/// As [`line_shown`], tabs and blanks at the end marked: for lines that nothing else tells apart.
pub(crate) fn line_with_blanks(bytes: &[u8]) -> (String, Vec<Range<usize>>) {
    shown(bytes, Blanks::Marked)
}

/// The same, with the places of what stands for characters that cannot be seen: a line that spells
/// such a place out in letters is another one.
pub(crate) fn line_shown(bytes: &[u8]) -> (String, Vec<Range<usize>>) {
    shown(bytes, Blanks::Blank)
}

fn shown(bytes: &[u8], blanks: Blanks) -> (String, Vec<Range<usize>>) {
    // The end of a line as some systems have it hides nothing.
    let (bytes, end) = match bytes.strip_suffix(b"\r") {
        Some(rest) => (rest, "\\r"),
        None => (bytes, ""),
    };
    let mut text = String::with_capacity(bytes.len() + end.len());
    let trailing = bytes.len() - bytes.trim_ascii_end().len();
    let bytes = if blanks == Blanks::Marked { &bytes[..bytes.len() - trailing] } else { bytes };
    let (mut hidden, mut column) = (Vec::new(), 0);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            let start = text.len();
            match character {
                '\t' => {
                    let columns = TAB - column % TAB;
                    column += columns;
                    let marked = blanks == Blanks::Marked;
                    text.push(if marked { '→' } else { ' ' });
                    text.extend(std::iter::repeat_n(' ', columns - 1));
                    continue;
                }
                character if hides_or_steers(character) => {
                    text.extend(character.escape_unicode());
                    hidden.push(start..text.len());
                }
                character => {
                    text.push(character);
                    column += character.width().unwrap_or(0);
                    continue;
                }
            }
            // What was put there is of one column a byte.
            column += text.len() - start;
        }
        for byte in chunk.invalid() {
            let start = text.len();
            let _ = write!(text, "\\x{byte:02x}");
            hidden.push(start..text.len());
            column += text.len() - start;
        }
    }
    if blanks == Blanks::Marked {
        text.extend(std::iter::repeat_n('·', trailing));
    }
    text.push_str(end);
    (text, hidden)
}

/// The text in at most `width` columns, `…` where something was cut.
pub(crate) fn fit(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 0;
    for cluster in text.graphemes(true) {
        used += cluster.width();
        if used >= width {
            break;
        }
        kept.push_str(cluster);
    }
    if width > 0 {
        kept.push('…');
    }
    kept
}

/// The end of the text in at most `width` columns, `…` where something was cut.
pub(crate) fn fit_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let mut start = text.len();
    for (at, cluster) in text.grapheme_indices(true).rev() {
        used += cluster.width();
        if used >= width {
            break;
        }
        start = at;
    }
    let cut = if width > 0 { "…" } else { "" };
    format!("{cut}{}", &text[start..])
}

/// Writes a line into the first row of an area.
pub(crate) fn put<'a>(buffer: &mut Buffer, area: Rect, line: impl Into<Line<'a>>) {
    let area = area.intersection(buffer.area);
    if !area.is_empty() {
        buffer.set_line(area.x, area.y, &line.into(), area.width);
    }
}

/// Writes one line from the left and one from the right; the left one wins where they meet.
pub(crate) fn left_and_right(buffer: &mut Buffer, area: Rect, left: Line<'_>, right: Line<'_>) {
    let (left_width, right_width) = (left.width() as u16, right.width() as u16);
    if right_width > 0 && left_width + right_width <= area.width {
        let x = area.x + area.width - right_width;
        put(buffer, Rect { x, width: right_width, ..area }, right);
    }
    put(buffer, area, left);
}

/// Blanks an area that something is drawn over.
pub(crate) fn clear(buffer: &mut Buffer, area: Rect) {
    let area = area.intersection(buffer.area);
    for position in area.positions() {
        buffer[position].reset();
    }
}

/// An age in words that change every ten seconds, then every minute, then every hour, with the
/// number of seconds until they change.
pub(crate) fn age(seconds: u64) -> (String, u64) {
    let step = |unit: u64| unit - seconds % unit;
    match seconds {
        0..10 => ("now".to_owned(), step(10)),
        10..60 => (format!("{} s", seconds / 10 * 10), step(10)),
        60..3600 => (format!("{} min", seconds / 60), step(60)),
        3600..172_800 => (format!("{} h", seconds / 3600), step(3600)),
        _ => (format!("{} d", seconds / 86_400), step(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_clusters_and_says_so() {
        assert_eq!(fit("brave-otter", 11), "brave-otter");
        assert_eq!(fit("brave-otter", 6), "brave…");
        assert_eq!(fit("日本語", 4), "日…");
        assert_eq!(fit("x", 0), "");
    }

    #[test]
    fn tabs_stand_on_columns_and_escapes_are_words() {
        assert_eq!(line_text(b"\tab\tc"), "    ab  c");
        assert_eq!(line_text(b"a\x1b[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(line_text(b"a\r"), "a\\r");
        let (text, hidden) = line_shown("é\tx\u{200b}y \\u{200b}".as_bytes());
        let place = text.find("\\u").expect("it is spelt out");
        assert_eq!(text, "é   x\\u{200b}y \\u{200b}");
        assert_eq!(hidden, vec![Range { start: place, end: place + "\\u{200b}".len() }]);
    }

    #[test]
    fn blanks_are_marked_where_nothing_else_tells_two_lines_apart() {
        assert_eq!(line_with_blanks(b"\ta b \t").0, "→   a b··");
        assert_eq!(line_with_blanks(b"    a b").0, "    a b");
    }

    #[test]
    fn an_age_says_when_it_changes() {
        assert_eq!(age(3), ("now".to_owned(), 7));
        assert_eq!(age(47), ("40 s".to_owned(), 3));
        assert_eq!(age(61), ("1 min".to_owned(), 59));
        assert_eq!(age(7200), ("2 h".to_owned(), 3600));
    }
}
