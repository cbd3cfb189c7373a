//! Copy mode: searching, selecting and copying a session, against an emulator in the server's place.

use proptest::prelude::*;

use super::super::app::{App, Effect, Happening};
use super::sample;
use super::{
    Input, KeyCode, LARGE, MIDDLE, NOW, Size, TINY, Timestamp, buffer, key, picture, requests,
    type_keys,
};
use crate::model::id::SessionId;
use crate::model::input::{Modifiers, Mouse, MouseButton, MouseKind};
use crate::model::lines::Needle;
use crate::model::screen;
use crate::proto::{Event, Reply, Request};
use crate::term::Emulator;

/// A deck whose first session printed more than fits, and what answers for its server.
pub(super) struct Reader {
    pub(super) app: App,
    pub(super) emulator: Emulator,
    /// Rows that were asked for, all together.
    read: u32,
    pub(super) copied: Vec<String>,
    pub(super) opened: Vec<String>,
}

const ROWS: u16 = 17;

impl Reader {
    pub(super) fn of(size: Size, bytes: &[u8]) -> Self {
        let mut app = sample::deck(size);
        let mut emulator = Emulator::new(screen::Size { columns: 58, rows: ROWS });
        emulator.feed(bytes);
        let delta = emulator.delta_since(0).expect("everything is new");
        let (environment, session) = (sample::id(1), SessionId::AGENT);
        app.happen(Happening::Event(Event::Screen { environment, session, delta }), NOW);
        Self { app, emulator, read: 0, copied: Vec::new(), opened: Vec::new() }
    }

    /// The program prints more.
    pub(super) fn prints(&mut self, bytes: &[u8]) {
        let since = self.emulator.sequence();
        self.emulator.feed(bytes);
        if let Some(delta) = self.emulator.delta_since(since) {
            let (environment, session) = (sample::id(1), SessionId::AGENT);
            self.happen(Happening::Event(Event::Screen { environment, session, delta }));
        }
    }

    /// So many milliseconds pass.
    pub(super) fn wait(&mut self, milliseconds: u64) {
        let later = Timestamp(self.app.now.0 + milliseconds);
        let effects = self.app.happen(Happening::Tick, later);
        self.answer(effects);
    }

    /// Three hundred numbered lines, three of them with a needle, and a prompt.
    fn long() -> Self {
        let line = |number: u32| match number {
            3 | 150 | 290 => format!("line {number} has the needle in src/main.rs:{number}\r\n"),
            _ => format!("line {number}\r\n"),
        };
        let text: String = (0..300).map(line).collect::<String>() + "$ prompt";
        Self::of(MIDDLE, text.as_bytes())
    }

    pub(super) fn happen(&mut self, happening: Happening) {
        let effects = self.app.happen(happening, self.app.now);
        self.answer(effects);
    }

    pub(super) fn keys(&mut self, keys: &str) {
        for character in keys.chars() {
            self.happen(key(KeyCode::Char(character)));
        }
    }

    fn answer(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            let (tag, reply) = match effect {
                Effect::Copy(text) => {
                    self.copied.push(text);
                    continue;
                }
                Effect::Open(address) => {
                    self.opened.push(address);
                    continue;
                }
                Effect::Send(Request::ReadLink { link, .. }, tag) => {
                    let address = self.emulator.link(link).map(str::to_owned);
                    (tag, Reply::Link { address })
                }
                Effect::Send(Request::ReadClipboard { .. }, tag) => {
                    let text = self.emulator.clipboard().map(str::to_owned);
                    (tag, Reply::Clipboard { text })
                }
                Effect::Send(Request::ReadLines { start, count, .. }, tag) => {
                    let lines = self.emulator.lines(start, count);
                    self.read += lines.rows.len() as u32;
                    (tag, Reply::Lines(lines))
                }
                Effect::Send(Request::FindText { text, from, direction, .. }, tag) => {
                    let needle = Needle::new(&text).expect("a text");
                    let found = self.emulator.find(&needle, from, direction);
                    let line = found.map_or(0, |found| found.passage.from.line);
                    let lines = self.emulator.lines(line.saturating_sub(100), 200);
                    self.read += lines.rows.len() as u32;
                    (tag, Reply::Found { found, lines })
                }
                _ => continue,
            };
            let effects = self.app.happen(Happening::Reply(tag, Ok(reply)), self.app.now);
            self.answer(effects);
        }
    }

    fn mouse(&mut self, kind: MouseKind, column: u16, row: u16) {
        self.mouse_with(kind, column, row, 0);
    }

    pub(super) fn mouse_with(&mut self, kind: MouseKind, column: u16, row: u16, modifiers: u8) {
        let button = MouseButton::Left;
        let modifiers = Modifiers(modifiers);
        self.happen(Happening::Input(Input::Mouse(Mouse { kind, button, column, row, modifiers })));
    }

    fn click(&mut self, column: u16, row: u16) {
        self.mouse(MouseKind::Press, column, row);
        self.mouse(MouseKind::Release, column, row);
    }

    /// The place on the terminal of a text that is shown.
    pub(super) fn place_of(&self, text: &str) -> (u16, u16) {
        let shown = picture(&self.app);
        for (row, line) in (0..).zip(shown.lines()) {
            if let Some(at) = line.find(text) {
                return (line[..at].chars().count() as u16, row);
            }
        }
        panic!("no {text} on\n{shown}");
    }

    /// The text that is shown the other way round within the first tile.
    fn marked(&self) -> Vec<String> {
        let buffer = buffer(&self.app);
        let is_marked =
            |x: u16, y: u16| buffer[(x, y)].modifier.contains(ratatui::style::Modifier::REVERSED);
        let mut found = Vec::new();
        for y in 2..2 + ROWS {
            let row: String =
                (1..59).filter(|x| is_marked(*x, y)).map(|x| buffer[(x, y)].symbol()).collect();
            if !row.is_empty() {
                found.push(row.trim_end().to_owned());
            }
        }
        found
    }
}

#[test]
fn a_search_goes_up_through_what_was_never_read_and_around_the_end() {
    let mut reader = Reader::long();
    reader.keys("/needle");
    assert_eq!(reader.marked(), ["needle"], "what is seen is marked while it is typed");
    reader.happen(key(KeyCode::Enter));
    let shown = picture(&reader.app);
    assert!(shown.contains("copy · 3 of 3") && shown.contains("line 290 has"), "{shown}");
    reader.keys("n");
    let shown = picture(&reader.app);
    assert!(shown.contains("2 of 3") && shown.contains("line 150 has"), "{shown}");
    assert_eq!(reader.marked(), ["needle"]);
    reader.keys("nn");
    assert!(picture(&reader.app).contains("3 of 3"), "{}", picture(&reader.app));
    reader.keys("N");
    assert!(picture(&reader.app).contains("1 of 3"), "{}", picture(&reader.app));
    reader.happen(key(KeyCode::Escape));
    let shown = picture(&reader.app);
    assert!(shown.contains("$ prompt") && !shown.contains("copy ·"), "{shown}");
    assert!(reader.read <= 5 * 200, "{} rows were read", reader.read);
}

#[test]
fn what_is_not_there_is_said_and_an_empty_search_leaves() {
    let mut reader = Reader::long();
    reader.keys("/nowhere");
    reader.happen(key(KeyCode::Enter));
    assert!(picture(&reader.app).contains("copy · not found"), "{}", picture(&reader.app));
    reader.happen(key(KeyCode::Escape));
    assert!(reader.app.copy.is_none());
    reader.keys("/x");
    reader.happen(key(KeyCode::Escape));
    assert!(reader.app.copy.is_none(), "nothing but a search was asked for");
    reader.keys("[/x");
    reader.happen(key(KeyCode::Escape));
    assert!(reader.app.copy.is_some(), "only the search is given up");
}

#[test]
fn a_program_that_repaints_is_searched_as_it_stands() {
    let mut reader = Reader::of(MIDDLE, b"shell\r\n\x1b[?1049h\x1b[4;7Hstatus: waiting");
    reader.keys("/waiting");
    reader.happen(key(KeyCode::Enter));
    assert_eq!(reader.marked(), ["waiting"]);
    assert!(picture(&reader.app).contains("1 of 1"));
}

#[test]
fn copy_mode_stands_still_while_the_program_goes_on() {
    let mut reader = Reader::long();
    reader.keys("[");
    let before = picture(&reader.app);
    reader.emulator.feed(b"\x1b[2J\x1b[Hall is new");
    let delta = reader.emulator.delta_since(0).expect("it changed");
    let (environment, session) = (sample::id(1), SessionId::AGENT);
    reader.happen(Happening::Event(Event::Screen { environment, session, delta }));
    assert_eq!(picture(&reader.app), before);
    reader.keys("q");
    assert!(picture(&reader.app).contains("all is new"), "{}", picture(&reader.app));
}

#[test]
fn lines_far_above_are_read_a_piece_at_a_time() {
    let mut reader = Reader::long();
    reader.keys("[");
    reader.happen(key(KeyCode::PageUp));
    assert!(picture(&reader.app).contains("line 270"), "{}", picture(&reader.app));
    assert!((1..=130).contains(&reader.read), "{}", reader.read);
    reader.keys("g");
    let shown = picture(&reader.app);
    assert!(shown.contains("│line 0 ") && shown.contains("line 16"), "{shown}");
    reader.keys("G");
    assert!(picture(&reader.app).contains("$ prompt"), "{}", picture(&reader.app));
}

#[test]
fn lines_that_are_dropped_meanwhile_do_not_tear_what_is_read() {
    let text: String = (0..12_000)
        .flat_map(|number| ["line ".to_owned(), number.to_string(), "\r\n".to_owned()])
        .collect();
    let mut reader = Reader::of(MIDDLE, text.as_bytes());
    reader.keys("[");
    for number in 12_000..18_000 {
        reader.emulator.feed(format!("line {number}\r\n").as_bytes());
    }
    for _ in 0..20 {
        reader.happen(key(KeyCode::PageUp));
        let shown = picture(&reader.app);
        let numbers: Vec<u32> = shown
            .lines()
            .filter_map(|line| line.strip_prefix("│line ")?.split(' ').next()?.parse().ok())
            .collect();
        assert!(numbers.len() > 10, "{shown}");
        assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{shown}");
    }
}

#[test]
fn keys_select_cells_words_and_lines_and_copy_them() {
    let mut reader = Reader::long();
    reader.keys("[kkg0vwwy");
    assert_eq!(reader.copied, ["line 0\nl"]);
    reader.keys("[0v$y");
    assert_eq!(reader.copied[1], "$ prompt");
    reader.keys("[kkV");
    assert_eq!(reader.marked(), ["line 298"]);
    reader.keys("jj");
    reader.happen(key(KeyCode::Enter));
    assert_eq!(reader.copied[2], "line 298\nline 299\n$ prompt");
    assert!(picture(&reader.app).contains(" copied 3 lines "), "{}", picture(&reader.app));
    assert!(reader.app.copy.is_none(), "copying ends the mode");
    let effects = reader.app.happen(Happening::Tick, Timestamp(NOW.0 + 2_000));
    reader.answer(effects);
    assert!(!picture(&reader.app).contains("copied"), "it is said for a moment");
    reader.keys("[y");
    assert_eq!(reader.copied.len(), 3, "nothing is selected");
}

#[test]
fn escape_takes_back_the_selection_and_then_the_mode() {
    let mut reader = Reader::long();
    reader.keys("[v");
    reader.happen(key(KeyCode::Left));
    reader.happen(key(KeyCode::Escape));
    assert_eq!(reader.marked(), Vec::<String>::new());
    assert!(reader.app.copy.is_some());
    reader.happen(key(KeyCode::Escape));
    assert!(reader.app.copy.is_none());
}

#[test]
fn a_selection_larger_than_what_was_read_is_copied_whole() {
    let mut reader = Reader::long();
    reader.keys("[gVG");
    reader.happen(key(KeyCode::Enter));
    let copied = &reader.copied[0];
    assert_eq!(copied.lines().count(), 301);
    assert!(copied.starts_with("line 0\nline 1\n") && copied.ends_with("line 299\n$ prompt"));
}

#[test]
fn a_drag_copies_what_it_passed_over_and_nothing_else_is_sent() {
    let mut reader = Reader::long();
    let (x, y) = reader.place_of("line 290");
    reader.mouse(MouseKind::Press, x + 5, y);
    reader.mouse(MouseKind::Drag, x + 3, y + 1);
    assert_eq!(reader.marked(), ["290 has the needle in src/main.rs:290", "line"]);
    reader.mouse(MouseKind::Release, x + 3, y + 1);
    assert_eq!(reader.copied, ["290 has the needle in src/main.rs:290\nline"]);
    assert!(reader.app.copy.is_none(), "the session goes on");
    reader.click(x, y);
    assert_eq!(reader.copied.len(), 1, "a click copies nothing");
}

#[test]
fn a_double_click_copies_a_word_and_a_triple_click_the_line() {
    let mut reader = Reader::long();
    let (x, y) = reader.place_of("main.rs:290");
    reader.click(x, y);
    reader.click(x, y);
    assert_eq!(reader.copied, ["src/main.rs:290"]);
    reader.click(x, y);
    assert_eq!(reader.copied[1], "line 290 has the needle in src/main.rs:290");
    reader.app.now = Timestamp(NOW.0 + 5_000);
    reader.click(x, y);
    assert_eq!(reader.copied.len(), 2, "too late to be one more");
}

#[test]
fn a_drag_beyond_the_edge_goes_on_into_the_scrollback() {
    let mut reader = Reader::long();
    let (x, y) = reader.place_of("line 284");
    reader.mouse(MouseKind::Press, x, y);
    for _ in 0..5 {
        reader.mouse(MouseKind::Drag, x, 0);
    }
    reader.mouse(MouseKind::Release, x, 0);
    let copied = &reader.copied[0];
    assert!(copied.starts_with("line 279\nline 280\n") && copied.ends_with("\nl"), "{copied}");
}

#[test]
fn a_key_after_a_drag_goes_where_it_went_before() {
    let mut reader = Reader::long();
    reader.happen(key(KeyCode::Enter));
    assert!(reader.app.keyboard.is_some());
    let (x, y) = reader.place_of("line 290");
    reader.mouse(MouseKind::Press, x, y);
    reader.mouse(MouseKind::Drag, x + 9, y);
    let typed = requests(type_keys(&mut reader.app, "n"));
    assert!(matches!(typed[..], [Request::SendInput { .. }]), "{typed:?}");
    assert!(reader.app.copy.is_none() && reader.app.keyboard.is_some());
}

#[test]
fn escape_gives_a_drag_up_and_nothing_else() {
    let mut reader = Reader::long();
    reader.keys("z");
    assert!(reader.app.zoomed);
    let (x, y) = reader.place_of("line 290");
    reader.mouse(MouseKind::Press, x, y);
    reader.mouse(MouseKind::Drag, x + 9, y);
    assert!(reader.app.copy.is_some());
    reader.happen(key(KeyCode::Escape));
    assert!(reader.app.copy.is_none() && reader.app.zoomed);
    reader.mouse(MouseKind::Release, x + 9, y);
    assert_eq!(reader.copied, Vec::<String>::new());
}

#[test]
fn a_program_that_asked_for_the_mouse_has_it_and_shift_selects() {
    let mut reader = Reader::of(MIDDLE, b"\x1b[?1002h\x1b[?1006hpress here");
    reader.happen(key(KeyCode::Enter));
    let (x, y) = reader.place_of("press here");
    reader.mouse(MouseKind::Press, x, y);
    reader.mouse(MouseKind::Drag, x + 4, y);
    reader.mouse(MouseKind::Release, x + 4, y);
    assert_eq!(reader.copied, Vec::<String>::new());
    for (kind, column) in
        [(MouseKind::Press, x), (MouseKind::Drag, x + 4), (MouseKind::Release, x + 4)]
    {
        reader.mouse_with(kind, column, y, Modifiers::SHIFT);
    }
    assert_eq!(reader.copied, ["press"]);
}

#[test]
fn what_hides_or_steers_is_not_copied() {
    let mut reader = Reader::of(MIDDLE, "a\u{200b}b e\u{301}\u{200d} 日本".as_bytes());
    reader.keys("[V");
    reader.happen(key(KeyCode::Enter));
    assert_eq!(reader.copied, ["ab e\u{301} 日本"]);
}

#[test]
fn a_selection_that_no_terminal_takes_is_refused() {
    let wide = "x".repeat(58);
    let text: String = format!("{wide}\r\n").repeat(1_200);
    let mut reader = Reader::of(MIDDLE, text.as_bytes());
    reader.keys("[gVG");
    reader.happen(key(KeyCode::Enter));
    assert_eq!(reader.copied.len(), 1, "69 KiB are taken");
    let mut large = Reader::of(MIDDLE, "日".repeat(29 * 1_400).as_bytes());
    large.keys("[gVG");
    large.happen(key(KeyCode::Enter));
    let sizes: Vec<usize> = large.copied.iter().map(String::len).collect();
    assert_eq!(sizes, [0; 0]);
    assert!(picture(&large.app).contains("select at most"), "{}", picture(&large.app));
}

#[test]
fn copy_mode_ends_with_its_session_its_view_and_its_size() {
    let mut reader = Reader::long();
    reader.keys("[");
    reader.happen(Happening::Event(Event::EnvironmentRemoved { environment: sample::id(1) }));
    assert!(reader.app.copy.is_none());
    let mut reader = Reader::long();
    reader.keys("[");
    let event = sample::screen(1, 0, b"other");
    let Event::Screen { environment, session, mut delta } = event else { panic!("a screen") };
    delta.size.columns = 30;
    reader.happen(Happening::Event(Event::Screen { environment, session, delta }));
    assert!(reader.app.copy.is_none());
}

#[test]
fn an_answer_that_comes_late_changes_nothing() {
    let mut reader = Reader::long();
    reader.keys("/needle");
    let asked = reader.app.happen(key(KeyCode::Enter), NOW);
    reader.happen(key(KeyCode::Escape));
    reader.answer(asked);
    assert!(reader.app.copy.is_none());
}

#[test]
fn copy_mode_fits_every_terminal() {
    for size in [TINY, Size { columns: 40, rows: 9 }, super::SMALL, MIDDLE, LARGE] {
        let mut reader = Reader::of(size, b"one\r\ntwo\r\nthree");
        reader.keys("[/tw");
        let shown = picture(&reader.app);
        // Where only the list is there, no session is to be read.
        assert!(shown.contains("/tw") || reader.app.copy.is_none(), "{shown}");
        reader.happen(key(KeyCode::Enter));
        reader.keys("vlly");
        buffer(&reader.app);
    }
}

/// What a reader may do, and what happens meanwhile.
fn steps() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop::sample::select(b"[/hjklwb0$^vVnNgGyq e1.TPDUWMmrpa\x1b\r".to_vec()),
        0..80,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn whatever_is_pressed_while_a_program_prints_what_is_shown_is_what_is_there(
        text in "[a-z日́ \r\n]{0,600}",
        more in "[a-z日 \r\n]{0,200}",
        steps in steps(),
    ) {
        let mut reader = Reader::of(MIDDLE, text.as_bytes());
        for step in steps {
            match step {
                b'T' => reader.emulator.feed(more.as_bytes()),
                b'P' => reader.happen(key(KeyCode::PageUp)),
                b'D' => reader.happen(key(KeyCode::PageDown)),
                b'W' => reader.mouse(MouseKind::ScrollUp, 5, 5),
                b'M' => reader.mouse(MouseKind::Press, 9, 6),
                b'm' => reader.mouse(MouseKind::Drag, 30, 0),
                b'U' => reader.mouse(MouseKind::Release, 30, 9),
                b'r' => reader.happen(Happening::Resized(super::SMALL)),
                b'p' => reader.happen(Happening::Resized(MIDDLE)),
                0x1b => reader.happen(key(KeyCode::Escape)),
                b'\r' if reader.app.copy.is_some() => reader.happen(key(KeyCode::Enter)),
                b'\r' => {}
                character => reader.keys(char::from(character).encode_utf8(&mut [0; 4])),
            }
            buffer(&reader.app);
            if let Some(copy) = &reader.app.copy {
                prop_assert!(copy.cursor.line < copy.lines.total.max(1), "{copy:?}");
                prop_assert!(copy.lines.end() <= copy.lines.total, "{copy:?}");
            }
        }
        for copied in &reader.copied {
            prop_assert!(!copied.contains(['\x1b', '\r']) && !copied.is_empty());
        }
    }
}
