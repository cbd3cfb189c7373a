//! Single sequences: their effect against another emulator, and the answers they get.

use super::{fed, size};
use crate::model::screen::{Attributes, Color};
use crate::model::status::{Claim, Doing, Need};

/// Sequences on which emulators agree.
const COMMON: [&str; 47] = [
    "plain\r\ntext",
    "over\rwritten",
    "tab\tstop\tmore",
    "back\x08\x08xx",
    "a long line that wraps at the right margin of the screen",
    "0123456789012345678\x1b[20Gxy",
    "\x1b[5;5Hhere",
    "\x1b[99;99Hx",
    "\x1b[3;3H\x1b[2Aup",
    "\x1b[3;3H\x1b[Bdown",
    "\x1b[3;3H\x1b[4Cright",
    "\x1b[3;9H\x1b[4Dleft",
    "\x1b[2Enext",
    "\x1b[4;4H\x1b[Fprevious",
    "\x1b[7Gcolumn",
    "\x1b[4drow",
    "abcdef\x1b[3G\x1b[K",
    "abcdef\x1b[3G\x1b[1K",
    "abcdef\x1b[3G\x1b[2K",
    "one\r\ntwo\r\nthree\x1b[2;2H\x1b[J",
    "one\r\ntwo\r\nthree\x1b[2;2H\x1b[1J",
    "one\r\ntwo\r\nthree\x1b[3;2H\x1b[1J",
    "one\r\ntwo\r\nthree\x1b[2J",
    "abcdef\x1b[2G\x1b[2@",
    "abcdef\x1b[2G\x1b[2P",
    "abcdef\x1b[4G\x1b[20P",
    "abcdef\x1b[2G\x1b[3X",
    "one\r\ntwo\r\nthree\x1b[2;2H\x1b[L",
    "one\r\ntwo\r\nthree\x1b[1;2H\x1b[M",
    "one\r\ntwo\x1b[S",
    "one\r\ntwo\x1b[2T",
    "1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8",
    "\x1b[2;4r\x1b[4;1Ha\r\nb\r\nc",
    "\x1b[2;4r\x1b[2;1Ha\x1bMb",
    "\x1b[2;4r\x1b[?6h\x1b[1;1Hin\x1b[9;1Hlast",
    "x\x1b7\x1b[3;3Hy\x1b8z",
    "main\x1b[?1049halt\x1b[H\x1b[?1049lback",
    "\x1b[31mred\x1b[1mbold\x1b[0mplain",
    "\x1b[38;5;200m256\x1b[48;2;1;2;3mrgb\x1b[39;49m",
    "\x1b[3mitalic\x1b[23m\x1b[4munder\x1b[24m\x1b[7minverse\x1b[27m",
    "中文 wide",
    "0123456789012345678中",
    "e\u{301}a\u{308}",
    "\x1b]0;title\x07text",
    "\x1bPignored\x1b\\text\x1b_ignored\x1b\\",
    "\x1b[?25lhidden\x1b[?25h",
    "\x1b[m\x1b[1;1H\x1b[41m\x1b[2;1Hx\x1b[K",
];

#[test]
fn common_sequences_do_what_they_do_elsewhere() {
    for sequence in COMMON {
        let mut ours = fed(size(20, 6), sequence.as_bytes());
        let side = |cells| std::num::NonZero::new(cells).unwrap();
        let mut other = vt100::Parser::new(side(6), side(20), 100);
        other.process(sequence.as_bytes());
        let screen = ours.screen();
        let rows: Vec<String> = screen.rows.iter().map(super::Row::text).collect();
        let expected: Vec<String> =
            other.screen().rows(0, 20).map(|row| row.trim_end().to_owned()).collect();
        assert_eq!(rows, expected, "{sequence:?}");
        let (row, column) = other.screen().cursor_position();
        let cursor = (screen.cursor.row, screen.cursor.column.min(19));
        assert_eq!(cursor, (row, column.min(19)), "{sequence:?}");
        assert_eq!(screen.cursor.visible, !other.screen().hide_cursor(), "{sequence:?}");
        for (row, column, style) in styles(&screen) {
            let cell = other.screen().cell(row, column).unwrap();
            assert_eq!(color(cell.fgcolor()), style.foreground, "{sequence:?} {row} {column}");
            assert_eq!(color(cell.bgcolor()), style.background, "{sequence:?} {row} {column}");
            for (bit, other) in [
                (Attributes::BOLD, cell.bold()),
                (Attributes::ITALIC, cell.italic()),
                (Attributes::UNDERLINE, cell.underline()),
                (Attributes::INVERSE, cell.inverse()),
            ] {
                assert_eq!(style.attributes.has(bit), other, "{sequence:?} {row} {column}");
            }
        }
    }
}

/// The style at the beginning of each run.
fn styles(screen: &super::Screen) -> Vec<(u16, u16, crate::model::screen::Style)> {
    let mut all = Vec::new();
    for (index, row) in (0..).zip(&screen.rows) {
        let mut column = 0;
        for run in &row.runs {
            all.push((index, column, run.style));
            column += run.cells;
        }
    }
    all
}

fn color(color: vt100::Color) -> Color {
    match color {
        vt100::Color::Default => Color::Default,
        vt100::Color::Idx(index) => Color::Indexed(index),
        vt100::Color::Rgb(red, green, blue) => Color::Rgb(red, green, blue),
    }
}

#[test]
fn styles_are_read_as_by_the_grid_s_own_parser() {
    for number in (0..=110).filter(|number| *number != 21) {
        for parameters in
            [format!("{number}"), format!("1;3;9;{number};5;200;7"), format!("{number};2;1;2;3;4")]
        {
            let mut ours = fed(size(20, 6), format!("\x1b[1;31;44m\x1b[{parameters}mx").as_bytes());
            let mut parsed = fed(size(20, 6), b"\x1b[1;31;44m");
            parsed.terminal.pass(format!("\x1b[{parameters}m").as_bytes());
            parsed.feed(b"x");
            assert_eq!(ours.screen().rows, parsed.screen().rows, "{parameters}");
        }
    }
}

#[test]
fn questions_are_answered_in_order() {
    let questions = [
        ("\x1b[c", "\x1b[?62;22c"),
        ("\x1b[>c", "\x1b[>1;10;0c"),
        ("\x1b[=c", "\x1bP!|00000000\x1b\\"),
        ("\x1bP$qm\x1b\\", "\x1bP1$r0m\x1b\\"),
        ("\x1b[>0q", concat!("\x1bP>|agentdeck(", env!("CARGO_PKG_VERSION"), ")\x1b\\")),
        ("\x1b[5n", "\x1b[0n"),
        ("\x1b[3;4H\x1b[6n", "\x1b[3;4R"),
        ("\x1b[?6n", "\x1b[?3;4R"),
        ("\x1b[?996n", "\x1b[?997;1n"),
        ("\x1b[?2026$p", "\x1b[?2026;2$y"),
        ("\x1b[?2004h\x1b[?2004$p", "\x1b[?2004;1$y"),
        ("\x1b[?1016$p", "\x1b[?1016;0$y"),
        ("\x1b[4$p", "\x1b[4;2$y"),
        ("\x1b[>5u\x1b[?u", "\x1b[?5u"),
        ("\x1b[14t", "\x1b[4;384;640t"),
        ("\x1b[16t", "\x1b[6;16;8t"),
        ("\x1b[18t", "\x1b[8;24;80t"),
        ("\x1b]7501;?\x1b\\", "\x1b]7501;?\x1b\\"),
        ("\x1b]7501;?\x07", "\x1b]7501;?\x07"),
        ("\x1b]7501;state=working\x07", ""),
        ("\x1b[c", "\x1b[?62;22c"),
        ("\x1b]10;?\x1b\\", "\x1b]10;rgb:d8d8/d8d8/d8d8\x1b\\"),
        ("\x1b]11;?\x07", "\x1b]11;rgb:1818/1818/1818\x07"),
        ("\x1b]4;196;?\x07", "\x1b]4;196;rgb:ffff/0000/0000\x07"),
        ("\x1bP+q544e\x1b\\", "\x1bP0+r\x1b\\"),
    ];
    let asked: String = questions.iter().map(|(question, _)| *question).collect();
    let expected: String = questions.iter().map(|(_, answer)| *answer).collect();
    let answers = fed(size(80, 24), asked.as_bytes()).take_replies();
    assert_eq!(String::from_utf8(answers).unwrap(), expected);
}

#[test]
fn colours_a_program_sets_change_no_answer() {
    let mut emulator = fed(size(80, 24), b"\x1b]11;#ffffff\x07\x1b]11;?\x07");
    assert_eq!(emulator.take_replies(), b"\x1b]11;rgb:1818/1818/1818\x07");
}

#[test]
fn what_a_program_reports_of_its_state_is_known_until_it_resets_the_terminal() {
    let state = |emulator: &super::Emulator| emulator.reported().map(|claim| claim.state);
    let asks = b"\x1b]7501;state=blocked:kind=permission:msg=b2theQ==\x1b\\";
    let mut emulator = fed(size(20, 4), b"\x1b]7501;state=working:app=x\x07");
    assert_eq!(state(&emulator), Some(Doing::Working));
    emulator.feed(asks);
    let asking = Doing::Waiting { need: Need::Permission };
    let claim = Claim { state: asking, says: Some("okay".to_owned()) };
    assert_eq!(emulator.reported(), Some(claim));
    emulator.feed(b"\x1b[?1049h\x1b[!p\x1b]133;B\x07");
    assert_eq!(state(&emulator), Some(asking));
    emulator.feed(b"\x1b]133;A\x07");
    assert_eq!(state(&emulator), None, "a shell's prompt");
    emulator.feed(asks);
    emulator.feed(b"\x1bc");
    assert_eq!(state(&emulator), None, "a full reset");
}

#[test]
fn a_soft_reset_keeps_the_text() {
    let modes = "text\x1b[2;3r\x1b[?1h\x1b[4h\x1b[?25l\x1b[31m\x1b[2;2H\x1b[!p";
    let mut emulator = fed(size(20, 6), modes.as_bytes());
    emulator.feed(b"x\x1b[6;1Hlast\r\n");
    let screen = emulator.screen();
    assert_eq!(screen.rows[0].text(), " x");
    assert_eq!(screen.rows[0].runs[0].style, crate::model::screen::Style::default());
    assert_eq!(screen.rows[4].text(), "last");
    assert!(screen.cursor.visible);
}

#[test]
fn the_older_alternate_screens_leave_the_cursor_where_it_is() {
    for mode in [47, 1047] {
        let bytes = format!("main\x1b[?{mode}halt\x1b[?{mode}l");
        let screen = fed(size(20, 6), bytes.as_bytes()).screen();
        assert_eq!((screen.rows[0].text(), screen.cursor.column), ("main".to_owned(), 7));
    }
}

#[test]
fn only_rows_that_look_different_are_sent() {
    let mut emulator = fed(size(20, 4), b"same\r\nsame\r\nsame\r\nlast");
    let first = emulator.delta_since(0).unwrap();
    assert!(first.full);
    emulator.feed(b"\x1b[2J\x1b[Hsame\r\nother\r\nsame\r\nlast");
    let second = emulator.delta_since(first.sequence).unwrap();
    let changed: Vec<(u16, String)> =
        second.rows.iter().map(|(index, row)| (*index, row.text())).collect();
    assert_eq!(changed, [(1, "other".to_owned())]);
    assert_eq!(emulator.delta_since(second.sequence), None);
    emulator.feed(b"\x1b[m");
    assert_eq!(emulator.delta_since(second.sequence), None);
}

#[test]
fn rows_scroll_into_the_past() {
    let mut emulator = super::Emulator::new(size(20, 4));
    for line in 0..30_000 {
        emulator.feed(format!("line {line}\r\n").as_bytes());
    }
    let screen = emulator.screen();
    assert_eq!(screen.first_line, 30_000 - 3, "each keeps its number");
    assert!((10_000..15_000).contains(&screen.scrollback), "{}", screen.scrollback);
    let all = emulator.lines(0, u32::MAX);
    assert_eq!((all.total, all.oldest), (30_001, screen.first_line - screen.scrollback));
    for (number, row) in (all.oldest..30_000).zip(&all.rows) {
        assert_eq!(row.text(), format!("line {number}"));
    }
    let texts = |lines: &crate::model::lines::Lines| {
        lines.rows.iter().map(super::Row::text).collect::<Vec<_>>()
    };
    assert_eq!(texts(&emulator.lines(20_500, 2)), ["line 20500", "line 20501"]);
    emulator.feed(b"\x1b[3J");
    assert_eq!(texts(&emulator.lines(0, 9)), ["line 29997", "line 29998", "line 29999", ""]);
}

#[test]
fn a_frame_is_shown_whole_or_not_at_all() {
    let mut emulator = fed(size(20, 4), b"before\x1b[?20");
    emulator.feed(b"26h\x1b[2Jhalf");
    assert_eq!(emulator.screen().rows[0].text(), "before");
    emulator.feed(b" a frame\x1b[?2026");
    assert_eq!(emulator.screen().rows[0].text(), "before");
    emulator.feed(b"l");
    assert_eq!(emulator.screen().rows[0].text(), "      half a frame");
}

#[test]
fn a_text_is_found_on_the_screen_and_above_it() {
    use crate::model::lines::{Direction, Needle, Spot};
    let mut emulator = super::Emulator::new(size(20, 4));
    for line in 0..30 {
        emulator.feed(format!("line {line}\r\n").as_bytes());
    }
    emulator.feed(b"wrapped at the edge of it all");
    let mut find = |text: &str, line, direction| {
        let needle = Needle::new(text).unwrap();
        let found = emulator.find(&needle, Spot { line, column: 0 }, direction);
        found.map(|found| (found.passage.from.line, found.nth, found.count))
    };
    assert_eq!(find("LINE 7", 40, Direction::Older), None, "capitals count");
    assert_eq!(find("line 7", 40, Direction::Older), Some((7, 1, 1)));
    assert_eq!(find("line 2", 25, Direction::Older), Some((24, 6, 11)));
    assert_eq!(find("line 2", 25, Direction::Newer), Some((26, 8, 11)));
    assert_eq!(find("edge of", 0, Direction::Newer), Some((30, 1, 1)), "over the edge");
    let lines = emulator.lines(29, 100);
    assert_eq!((lines.total, lines.start, lines.rows.len()), (32, 29, 3));
    assert_eq!(lines.rows[0].text(), "line 29");
}

#[test]
fn a_program_that_repaints_in_place_is_searched_as_it_looks() {
    use crate::model::lines::{Direction, Needle, Spot};
    let mut emulator = fed(size(20, 4), b"shell\r\n\x1b[?1049h\x1b[2;3Hold\x1b[2;3Hnew");
    let mut find = |text: &str| {
        let needle = Needle::new(text).unwrap();
        let found = emulator.find(&needle, Spot { line: 9, column: 0 }, Direction::Older);
        found.map(|found| found.passage.from)
    };
    assert_eq!(find("new"), Some(Spot { line: 1, column: 2 }));
    assert_eq!((find("old"), find("shell")), (None, None), "it is not to be seen");
}
