//! Keys, pastes, mouse and focus as programs get them.

use super::{fed, size};
use crate::model::input::{Input, Key, KeyCode, Modifiers, Mouse, MouseButton, MouseKind};

const NONE: u8 = 0;
const SHIFT: u8 = Modifiers::SHIFT;
const ALT: u8 = Modifiers::ALT;
const CONTROL: u8 = Modifiers::CONTROL;

fn encoded(modes: &str, input: &Input) -> String {
    String::from_utf8(fed(size(80, 24), modes.as_bytes()).encode(input)).unwrap()
}

fn key(modes: &str, code: KeyCode, modifiers: u8) -> String {
    encoded(modes, &Input::Key(Key { code, modifiers: Modifiers(modifiers) }))
}

#[test]
fn keys_are_as_xterm_sends_them() {
    use KeyCode::{
        BackTab, Backspace, Char, Delete, End, Enter, Escape, Function, Home, Insert, PageDown,
        PageUp, Tab, Up,
    };
    let expected = [
        (Char('a'), NONE, "a"),
        (Char('A'), SHIFT, "A"),
        (Char('é'), NONE, "é"),
        (Char('a'), ALT, "\x1ba"),
        (Char('c'), CONTROL, "\x03"),
        (Char('C'), CONTROL | SHIFT, "\x03"),
        (Char('c'), CONTROL | ALT, "\x1b\x03"),
        (Char(' '), CONTROL, "\0"),
        (Char('@'), CONTROL, "\0"),
        (Char('['), CONTROL, "\x1b"),
        (Char('\\'), CONTROL, "\x1c"),
        (Char(']'), CONTROL, "\x1d"),
        (Char('6'), CONTROL, "\x1e"),
        (Char('_'), CONTROL, "\x1f"),
        (Char('/'), CONTROL, "\x1f"),
        (Char('?'), CONTROL, "\x7f"),
        (Char('.'), CONTROL, "."),
        (Enter, NONE, "\r"),
        (Enter, ALT, "\x1b\r"),
        (Escape, NONE, "\x1b"),
        (Backspace, NONE, "\x7f"),
        (Backspace, CONTROL, "\x08"),
        (Backspace, ALT, "\x1b\x7f"),
        (Tab, NONE, "\t"),
        (Tab, SHIFT, "\x1b[Z"),
        (BackTab, SHIFT, "\x1b[Z"),
        (Up, NONE, "\x1b[A"),
        (Up, CONTROL, "\x1b[1;5A"),
        (Up, SHIFT | ALT, "\x1b[1;4A"),
        (Home, NONE, "\x1b[H"),
        (End, ALT, "\x1b[1;3F"),
        (Insert, NONE, "\x1b[2~"),
        (Delete, SHIFT, "\x1b[3;2~"),
        (PageUp, NONE, "\x1b[5~"),
        (PageDown, CONTROL, "\x1b[6;5~"),
        (Function(1), NONE, "\x1bOP"),
        (Function(4), SHIFT, "\x1b[1;2S"),
        (Function(5), NONE, "\x1b[15~"),
        (Function(6), NONE, "\x1b[17~"),
        (Function(10), NONE, "\x1b[21~"),
        (Function(11), NONE, "\x1b[23~"),
        (Function(12), CONTROL, "\x1b[24;5~"),
    ];
    for (code, modifiers, bytes) in expected {
        assert_eq!(key("", code, modifiers), bytes, "{code:?} {modifiers}");
    }
}

#[test]
fn cursor_keys_follow_their_mode() {
    assert_eq!(key("\x1b[?1h", KeyCode::Left, NONE), "\x1bOD");
    assert_eq!(key("\x1b[?1h", KeyCode::End, NONE), "\x1bOF");
    assert_eq!(key("\x1b[?1h", KeyCode::Left, CONTROL), "\x1b[1;5D");
    assert_eq!(key("\x1b[?1h\x1b[?1l", KeyCode::Left, NONE), "\x1b[D");
}

#[test]
fn keys_can_be_told_apart_when_the_program_asks() {
    let modes = "\x1b[>1u";
    for (code, modifiers, bytes) in [
        (KeyCode::Escape, NONE, "\x1b[27u"),
        (KeyCode::Char('a'), NONE, "a"),
        (KeyCode::Char('A'), SHIFT, "A"),
        (KeyCode::Char('c'), CONTROL, "\x1b[99;5u"),
        (KeyCode::Char('C'), CONTROL | SHIFT, "\x1b[99;6u"),
        (KeyCode::Char('x'), ALT, "\x1b[120;3u"),
        (KeyCode::Enter, NONE, "\r"),
        (KeyCode::Enter, SHIFT, "\x1b[13;2u"),
        (KeyCode::Tab, NONE, "\t"),
        (KeyCode::BackTab, NONE, "\x1b[9;2u"),
        (KeyCode::Backspace, ALT, "\x1b[127;3u"),
        (KeyCode::Up, NONE, "\x1b[A"),
        (KeyCode::Up, CONTROL, "\x1b[1;5A"),
        (KeyCode::Function(1), NONE, "\x1b[P"),
        (KeyCode::Function(3), NONE, "\x1b[13~"),
        (KeyCode::Delete, NONE, "\x1b[3~"),
    ] {
        assert_eq!(key(modes, code, modifiers), bytes, "{code:?} {modifiers}");
    }
    assert_eq!(key("\x1b[>8u", KeyCode::Char('A'), SHIFT), "\x1b[97;2u");
    assert_eq!(key("\x1b[>8u", KeyCode::Enter, NONE), "\x1b[13u");
    assert_eq!(key("\x1b[>1u\x1b[<u", KeyCode::Escape, NONE), "\x1b");
    assert_eq!(key("\x1b[>1u\x1b[?1049h", KeyCode::Escape, NONE), "\x1b");
    assert_eq!(key("\x1b[=5u\x1b[=1;3u\x1b[=2;2u", KeyCode::Escape, NONE), "\x1b");
}

#[test]
fn a_paste_cannot_break_out_of_its_frame() {
    let text = "safe\x1b[201~\nrm -rf\t*\x03\r\nlast\u{9b}201~";
    let framed = encoded("\x1b[?2004h", &Input::Paste(text.to_owned()));
    assert_eq!(framed, "\x1b[200~safe[201~\nrm -rf\t*\nlast201~\x1b[201~");
    assert_eq!(encoded("", &Input::Paste(text.to_owned())), "safe[201~\rrm -rf\t*\rlast201~");
}

fn mouse(modes: &str, kind: MouseKind, button: MouseButton, column: u16) -> Vec<u8> {
    let modifiers = Modifiers(Modifiers::CONTROL);
    let input = Input::Mouse(Mouse { kind, button, column, row: 2, modifiers });
    fed(size(300, 24), modes.as_bytes()).encode(&input)
}

#[test]
fn mouse_events_are_sent_as_far_as_they_are_asked_for() {
    use MouseButton::{Left, None, Right};
    use MouseKind::{Drag, Move, Press, Release, ScrollUp};
    for (modes, kind, button, bytes) in [
        ("", Press, Left, ""),
        ("\x1b[?1000;1006h", Press, Left, "\x1b[<16;5;3M"),
        ("\x1b[?1000;1006h", Release, Right, "\x1b[<18;5;3m"),
        ("\x1b[?1000;1006h", Drag, Left, ""),
        ("\x1b[?1002;1006h", Drag, Left, "\x1b[<48;5;3M"),
        ("\x1b[?1002;1006h", Move, None, ""),
        ("\x1b[?1003;1006h", Move, None, "\x1b[<51;5;3M"),
        ("\x1b[?1000;1006h", ScrollUp, None, "\x1b[<80;5;3M"),
        ("\x1b[?1000h", Press, Left, "\x1b[M0%#"),
        ("\x1b[?1000h", Release, Right, "\x1b[M3%#"),
    ] {
        assert_eq!(mouse(modes, kind, button, 4), bytes.as_bytes(), "{modes:?} {kind:?}");
    }
    assert_eq!(mouse("\x1b[?1000h", Press, Left, 250), b"");
    assert_eq!(mouse("\x1b[?1000;1005h", Press, Left, 250), "\x1b[M0\u{11b}#".as_bytes());
    assert_eq!(mouse("\x1b[?1000;1006h", Press, Left, 300), b"", "outside the screen");
}

#[test]
fn focus_is_told_only_when_asked_for() {
    assert_eq!(encoded("", &Input::Focus(true)), "");
    assert_eq!(encoded("\x1b[?1004h", &Input::Focus(true)), "\x1b[I");
    assert_eq!(encoded("\x1b[?1004h", &Input::Focus(false)), "\x1b[O");
}
