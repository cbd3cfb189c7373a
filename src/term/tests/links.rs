//! Links behind text: kept with it wherever it goes, within bounds, and never more than a name.

use super::{above, fed, seen, size};
use crate::model::link::LONGEST;
use crate::model::screen::Row;
use crate::term::Emulator;

fn open(address: &str) -> String {
    format!("\x1b]8;;{address}\x1b\\")
}

const CLOSE: &str = "\x1b]8;;\x1b\\";

/// Every stretch of text that leads somewhere, and where.
fn linked(emulator: &mut Emulator) -> Vec<(String, String)> {
    let (screen, mut rows) = seen(emulator);
    rows.extend(screen.rows);
    let runs = rows.iter().flat_map(|row: &Row| &row.runs);
    let leads = runs.filter_map(|run| {
        let address = emulator.link(run.style.link?).unwrap_or("not kept");
        Some((run.text.clone(), address.to_owned()))
    });
    leads.collect()
}

fn pair(text: &str, address: &str) -> (String, String) {
    (text.to_owned(), address.to_owned())
}

#[test]
fn text_leads_where_its_link_says_until_it_ends() {
    let bytes = format!("a{}bc{}d\r\n{}e", open("https://x.test/1"), CLOSE, open("file:///y;z"));
    let mut emulator = fed(size(20, 4), bytes.as_bytes());
    let expected = [pair("bc", "https://x.test/1"), pair("e", "file:///y;z")];
    assert_eq!(linked(&mut emulator), expected);
}

#[test]
fn an_address_that_cannot_be_one_ends_the_link_before() {
    let long = format!("https://x.test/{}", "a".repeat(LONGEST));
    for bad in ["", "nowhere", "https://a b", "https://ä.test", "https://a\x01b", &long] {
        let bytes = format!("{}a{}b", open("https://x.test/"), open(bad));
        let mut emulator = fed(size(20, 4), bytes.as_bytes());
        assert_eq!(linked(&mut emulator), [pair("a", "https://x.test/")], "{bad:.40}");
    }
}

#[test]
fn a_link_stays_with_its_text_above_the_screen_and_at_another_width() {
    let line = format!("{}far{CLOSE} 中{}文{CLOSE}\r\n", open("a:1"), open("a:2"));
    let mut emulator = fed(size(20, 4), line.as_bytes());
    emulator.feed("\r\n".repeat(1_000).as_bytes());
    let both = [pair("far", "a:1"), pair("文", "a:2")];
    assert_eq!(linked(&mut emulator), both);
    emulator.resize(size(2, 4));
    assert!(above(&mut emulator).len() > 1_000);
    assert_eq!(linked(&mut emulator)[0], pair("fa", "a:1"));
    emulator.resize(size(20, 4));
    assert_eq!(linked(&mut emulator), both);
}

#[test]
fn a_rebuilt_terminal_has_the_same_links_and_goes_on_with_the_one_that_is_open() {
    let packed = format!("{}packed{CLOSE}\r\n", open("a:packed")).repeat(1_000);
    let bytes = format!("{packed}{}here\x1b[?1049h{}over", open("a:1"), open("a:2"));
    let mut original = fed(size(20, 4), bytes.as_bytes());
    let mut rebuilt = fed(size(20, 4), &original.checkpoint().into_bytes());
    for after in ["", "more", "\x1b[?1049l", "\x1b8again", "\x1b[5b", CLOSE, "end"] {
        original.feed(after.as_bytes());
        rebuilt.feed(after.as_bytes());
        assert_eq!(linked(&mut original), linked(&mut rebuilt), "{after:?}");
        assert_eq!(seen(&mut original), seen(&mut rebuilt), "{after:?}");
    }
    let links = linked(&mut rebuilt);
    assert!(
        links.iter().any(|(text, to)| text.starts_with("hereagain") && to == "a:1"),
        "{links:?}"
    );
}

#[test]
fn links_without_end_cost_no_more_than_their_bound() {
    let mut emulator = fed(size(20, 4), format!("{}first{CLOSE}", open("a:first")).as_bytes());
    for number in 0..20_000 {
        let address = format!("https://x.test/{number}/{}", "a".repeat(1_000));
        emulator.feed(format!("\x1b[2;1H{}x", open(&address)).as_bytes());
    }
    let mut links = linked(&mut emulator);
    assert_eq!(links.remove(0), pair("first", "not kept"));
    assert!(links[0].1.starts_with("https://x.test/19999/"));
    let state = emulator.checkpoint().into_bytes();
    assert!(state.len() < 10_000, "what is written has what is seen, {} bytes", state.len());
}

#[test]
fn a_link_is_a_name_on_the_screen_and_its_address_no_part_of_it() {
    let mut emulator = fed(size(20, 4), format!("{}x", open("https://x.test/")).as_bytes());
    let screen = serde_json::to_string(&emulator.screen()).unwrap();
    assert!(!screen.contains("x.test"), "{screen}");
}
