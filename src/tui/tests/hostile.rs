//! What others wrote is text on the user's terminal, and no size of terminal breaks a view.

use super::sample;
use super::{KeyCode, Size, buffer, key, picture, type_keys};
use crate::model::environment::EnvironmentState;
use crate::model::path::hides_or_steers;
use crate::model::screen::{Color, Row, Run, Style};
use crate::proto::Event;

use super::super::app::Happening;

const PAYLOAD: &str = "x\u{1b}]52;c;aGk=\u{7}\u{202e}\u{9b}2Jy\r\n";

#[test]
fn nothing_but_text_reaches_a_cell() {
    assert!(PAYLOAD.chars().any(hides_or_steers), "the payload would steer a terminal");
    let mut app = sample::deck(super::MIDDLE);
    let mut environment = sample::environment(1, "brave-otter", PAYLOAD);
    environment.notes = vec![PAYLOAD.to_owned()];
    let message = PAYLOAD.to_owned();
    environment.state = EnvironmentState::Failed { message, hint: Some(PAYLOAD.to_owned()) };
    app.happen(Happening::Event(Event::EnvironmentChanged(Box::new(environment))), app.now);
    let mut forged = sample::screen(2, 0, b"hello");
    if let Event::Screen { delta, .. } = &mut forged {
        let text = PAYLOAD.to_owned();
        let cells = PAYLOAD.chars().count() as u16;
        let loud = Style { foreground: Color::Rgb(1, 2, 3), ..Style::default() };
        let wide = Run { text: text.clone(), cells: 2, style: loud };
        let runs = vec![Run { text, cells, style: loud }, wide];
        delta.rows = vec![(0, Row { runs, wrapped: false })];
    }
    app.happen(Happening::Event(forged), app.now);
    let frame = buffer(&app);
    for cell in &frame.content {
        assert!(!cell.symbol().chars().any(hides_or_steers), "{:?}", cell.symbol());
    }
    assert!(picture(&app).contains("x\\u{1b}]52"), "it is shown as words");
}

#[test]
fn no_view_breaks_in_any_terminal() {
    let sizes = [(0, 0), (1, 1), (2, 3), (5, 2), (11, 7), (20, 5), (49, 11), (79, 9), (300, 4)];
    for (columns, rows) in sizes {
        for keys in ["", "d", "v", "c", "i", "?", ":", "n", "D", "z", "s"] {
            let mut app = sample::deck(Size { columns, rows });
            type_keys(&mut app, keys);
            buffer(&app);
            app.happen(key(KeyCode::Enter), app.now);
            type_keys(&mut app, "jkGg");
            buffer(&app);
        }
    }
}

#[test]
fn a_wide_character_does_not_move_a_frame() {
    let mut app = sample::deck(super::MIDDLE);
    app.happen(
        Happening::Event(sample::screen(1, 0, "日本語 e\u{301} 👩‍💻 ❤️|".as_bytes())),
        app.now,
    );
    let frame = buffer(&app);
    for y in 2..18 {
        assert_eq!(frame[(59, y)].symbol(), "│", "row {y}");
    }
}
