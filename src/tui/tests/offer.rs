//! Links and texts that programs offer: shown whole, and touched by nobody but the reader.

use ratatui::style::Modifier;

use super::copy::Reader;
use super::{KeyCode, MIDDLE, SMALL, buffer, key, picture};
use crate::model::input::{Modifiers, MouseKind};

/// More than the keys that are dropped when a question appears.
const LATER: u64 = 1_000;

fn link(address: &str, text: &str) -> String {
    format!("\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\")
}

fn linked(address: &str) -> Reader {
    Reader::of(MIDDLE, format!("see {} first\r\n$ ", link(address, "the page")).as_bytes())
}

/// The panel that asks, as it is shown.
fn question(reader: &Reader) -> String {
    let shown = picture(&reader.app);
    shown.lines().filter(|line| line.contains("goes to") || line.contains("only")).collect()
}

#[test]
fn a_link_is_marked_and_its_address_is_shown_before_it_is_opened() {
    let mut reader = linked("https://example.org/docs?a=b");
    let (x, y) = reader.place_of("the page");
    let buffer = buffer(&reader.app);
    assert!(buffer[(x, y)].modifier.contains(Modifier::UNDERLINED));
    assert!(!buffer[(x - 1, y)].modifier.contains(Modifier::UNDERLINED));

    reader.keys("Uo");
    assert!(picture(&reader.app).contains("https://example.org/docs?a=b"));
    assert!(question(&reader).contains("goes to example.org "));
    // What is typed on does not answer, nor does the first Enter.
    reader.keys("y");
    assert!(reader.opened.is_empty());
    reader.wait(LATER);
    reader.happen(key(KeyCode::Enter));
    assert!(reader.opened.is_empty());

    reader.keys("o");
    reader.wait(LATER);
    reader.keys("y");
    assert_eq!(reader.opened, ["https://example.org/docs?a=b"]);
    assert!(reader.copied.is_empty());
}

#[test]
fn a_click_with_control_asks_and_without_it_does_not() {
    let mut reader = linked("https://example.org/");
    let (x, y) = reader.place_of("the page");
    reader.mouse_with(MouseKind::Press, x, y, 0);
    reader.mouse_with(MouseKind::Release, x, y, 0);
    assert!(reader.app.overlay.is_none());
    reader.mouse_with(MouseKind::Press, x - 2, y, Modifiers::CONTROL);
    assert!(reader.app.overlay.is_none(), "beside it");
    reader.mouse_with(MouseKind::Press, x, y, Modifiers::CONTROL);
    assert!(question(&reader).contains("goes to example.org "));
}

#[test]
fn what_is_no_page_or_hides_its_host_or_has_no_room_is_copied_only() {
    let long = format!("https://example.org/{}", "a".repeat(2_000));
    for address in [
        "file:///etc/passwd",
        "javascript:alert(1)",
        "https://example.org@evil.test/",
        "https://evil.test\\.example.org/",
        &long,
    ] {
        let mut reader = linked(address);
        reader.happen(super::Happening::Resized(SMALL));
        reader.keys("Uo");
        assert!(question(&reader).contains("copied only"), "{}", picture(&reader.app));
        reader.wait(LATER);
        reader.keys("y");
        assert!(reader.opened.is_empty(), "{address}");
        assert_eq!(reader.copied, [address]);
    }
}

#[test]
fn links_are_gone_to_upwards_and_around() {
    let text = format!("{}\r\nno\r\n{}", link("a:1", "one"), link("a:2", "two"));
    let mut reader = Reader::of(MIDDLE, text.as_bytes());
    let mut seen = Vec::new();
    for _ in 0..3 {
        reader.keys("Uo");
        let shown = picture(&reader.app);
        seen.extend(["a:1", "a:2"].into_iter().filter(|address| shown.contains(address)));
        reader.wait(LATER);
        reader.keys("n");
    }
    assert_eq!(seen, ["a:2", "a:1", "a:2"]);
    let mut reader = Reader::of(MIDDLE, b"nothing");
    reader.keys("U");
    assert!(reader.app.copy.is_none());
    assert!(picture(&reader.app).contains("there is no link here"));
}

#[test]
fn what_a_program_wants_copied_is_told_and_copied_by_its_reader_alone() {
    let mut reader = Reader::of(MIDDLE, b"$ ");
    // A command with its line's end, and an escape sequence that is not one any more.
    reader.prints(b"\x1b]52;c;cm0gLXJmIH4KG1szMW0=\x1b\\");
    assert!(reader.copied.is_empty());
    assert!(picture(&reader.app).contains("wants 13 characters copied (Y)"));
    reader.keys("Y");
    assert!(picture(&reader.app).contains("rm -rf ~"), "{}", picture(&reader.app));
    assert!(reader.copied.is_empty());
    reader.wait(LATER);
    reader.keys("y");
    assert_eq!(reader.copied, ["rm -rf ~\n[31m"]);
    assert!(!picture(&reader.app).contains("characters copied (Y)"));
}

#[test]
fn what_a_program_says_stays_until_it_is_heard_and_is_told_again() {
    let mut reader = Reader::of(MIDDLE, b"$ ");
    reader.prints("\x1b]9;build \u{202e}done\x07".as_bytes());
    assert!(picture(&reader.app).contains("says: build done"));
    reader.wait(60_000);
    assert!(picture(&reader.app).contains("says: build done"));
    reader.happen(key(KeyCode::Escape));
    assert!(!picture(&reader.app).contains("says:"));
    reader.prints(b"\x1b]777;notify;Build;done\x07");
    assert!(picture(&reader.app).contains("says: Build: done"));
}
