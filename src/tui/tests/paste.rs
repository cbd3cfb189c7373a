//! Pastes into a session whose keyboard is held.

use super::super::app::{App, Happening};
use super::sample;
use super::{BEFORE, Input, KeyCode, MIDDLE, NOW, Request, SMALL, TINY, key, picture, requests};

/// A deck whose first session printed something and is typed into.
fn held(printed: &str) -> App {
    let mut app = sample::deck(MIDDLE);
    app.happen(Happening::Event(sample::screen(1, 0, printed.as_bytes())), BEFORE);
    app.happen(key(KeyCode::Enter), BEFORE);
    app
}

fn paste(app: &mut App, text: &str) -> Vec<Request> {
    requests(app.happen(Happening::Input(Input::Paste(text.to_owned())), BEFORE))
}

fn pasted(requests: &[Request]) -> Option<&str> {
    match requests {
        [Request::SendInput { input: Input::Paste(text), .. }] => Some(text),
        _ => None,
    }
}

#[test]
fn several_lines_are_asked_about_before_a_program_carries_them_out() {
    let mut app = held("$ ");
    assert_eq!(paste(&mut app, "cd /tmp\rrm -rf *\r"), []);
    let shown = picture(&app);
    for words in ["Paste 2 lines?", "cd /tmp", "rm -rf *", "Back (n)", "Paste (y)"] {
        assert!(shown.contains(words), "{words} in\n{shown}");
    }
    assert_eq!(requests(app.happen(key(KeyCode::Char('y')), BEFORE)), [], "typed for the program");
    let sent = requests(app.happen(key(KeyCode::Char('y')), NOW));
    assert_eq!(pasted(&sent), Some("cd /tmp\rrm -rf *\r"));
    assert!(app.overlay.is_none() && app.keyboard.is_some());
}

#[test]
fn enter_does_not_paste() {
    let mut app = held("$ ");
    paste(&mut app, "one\ntwo");
    assert_eq!(requests(app.happen(key(KeyCode::Enter), NOW)), []);
    assert!(app.overlay.is_none() && app.keyboard.is_some());
}

#[test]
fn a_line_without_its_end_is_pasted_at_once_and_one_with_it_is_not() {
    let mut app = held("$ ");
    let sent = paste(&mut app, "ls -l");
    assert_eq!(pasted(&sent), Some("ls -l"));
    assert_eq!(paste(&mut app, "ls -l\n"), []);
    assert!(picture(&app).contains("Paste 1 line?"), "{}", picture(&app));
}

#[test]
fn a_program_that_asked_for_pastes_gets_them_as_they_are() {
    let mut app = held("\x1b[?2004h> ");
    let sent = paste(&mut app, "one\rtwo\r");
    assert_eq!(pasted(&sent), Some("one\rtwo\r"));
}

#[test]
fn what_would_steer_the_terminal_is_shown_as_what_it_is() {
    for size in [TINY, SMALL, MIDDLE] {
        let mut app = held("$ ");
        app.size = size;
        paste(&mut app, "echo \x1b[31mred\u{202e}\nlast");
        let shown = picture(&app);
        // The smallest has no room for anything but the words before the buttons.
        let has = |words: &str| size == TINY || shown.contains(words);
        assert!(has("\\u{1b}[31mred\\u{202e}") && has("Paste (y)"), "{shown}");
        assert!(!shown.contains(['\x1b', '\u{202e}']), "{shown}");
    }
}
