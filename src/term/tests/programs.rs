//! Recordings beside another emulator (vt100), wherever one holds still, also after each resize.

use std::num::NonZero;

use super::recordings::{AGENTS, Event, PROGRAMS, recording};
use crate::model::screen::{Row, Screen, Size};
use crate::term::Emulator;

/// Where the other emulator differs, by recording and mark: after a full row it takes the cursor to
/// be beyond the last column, so that a backspace stays in it; xterm goes one column back.
const OTHERWISE: [(&str, &str); 1] = [("tmux.cast", "three")];

fn nonzero(side: u16) -> NonZero<u16> {
    NonZero::new(side).unwrap()
}

/// Rows as text and the cursor, where it is shown.
type Shown = (Vec<String>, Option<(u16, u16)>);

fn ours(screen: &Screen) -> Shown {
    let cursor = screen.cursor;
    let place = cursor.visible.then_some((cursor.row, cursor.column));
    (screen.rows.iter().map(Row::text).collect(), place)
}

fn theirs(parser: &vt100::Parser, size: Size) -> Shown {
    let screen = parser.screen();
    let rows = screen.rows(0, size.columns).map(|row| row.trim_end().to_owned());
    let (row, column) = screen.cursor_position();
    let place = (!screen.hide_cursor()).then_some((row, column.min(size.columns - 1)));
    (rows.collect(), place)
}

/// Plays a recording to both, and to a client that comes anew at every mark; names where they differ.
fn differences(name: &str) -> Vec<String> {
    let recording = recording(name);
    let mut size = recording.size;
    let mut emulator = Emulator::new(size);
    let mut parser = vt100::Parser::new(nonzero(size.rows), nonzero(size.columns), 0);
    let mut found = Vec::new();
    let mut marks = 0;
    for event in &recording.events {
        match event {
            Event::Output(bytes) => {
                emulator.feed(bytes);
                parser.process(bytes);
            }
            Event::Resize(to) => {
                size = *to;
                emulator.resize(size);
                parser.screen_mut().set_size(nonzero(size.rows), nonzero(size.columns));
            }
            Event::Mark(mark) if !OTHERWISE.contains(&(name, mark.as_str())) => {
                marks += 1;
                let mut client = Screen::blank(size);
                client.apply(emulator.delta_since(0).unwrap());
                let (ours, theirs) = (ours(&client), theirs(&parser, size));
                if ours != theirs {
                    found.push(format!("{name} at {mark}\nours {ours:#?}\ntheirs {theirs:#?}"));
                }
            }
            Event::Mark(_) => {}
        }
    }
    assert!(marks > 0, "{name} holds still nowhere");
    found
}

#[test]
fn programs_look_as_another_emulator_shows_them_at_every_size() {
    let found: Vec<String> = PROGRAMS.into_iter().flat_map(differences).collect();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}

#[test]
fn agents_look_as_another_emulator_shows_them() {
    let found: Vec<String> = AGENTS.into_iter().flat_map(differences).collect();
    assert!(found.is_empty(), "{}", found.join("\n\n"));
}
