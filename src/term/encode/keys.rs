//! Keys in the way of xterm and its ancestors.

use crate::model::input::{Key, KeyCode, Modifiers};

/// Encodes a key; `application` is the cursor key mode (DECCKM).
pub(super) fn encode(key: Key, application: bool) -> Vec<u8> {
    let modifiers = key.modifiers;
    match key.code {
        KeyCode::Char(character) => self::character(character, modifiers),
        KeyCode::Enter => with_alt(b"\r", modifiers),
        KeyCode::Escape => with_alt(b"\x1b", modifiers),
        KeyCode::Backspace if modifiers.has(Modifiers::CONTROL) => with_alt(b"\x08", modifiers),
        KeyCode::Backspace => with_alt(b"\x7f", modifiers),
        KeyCode::Tab if modifiers.has(Modifiers::SHIFT) => with_alt(b"\x1b[Z", modifiers),
        KeyCode::Tab => with_alt(b"\t", modifiers),
        KeyCode::BackTab => with_alt(b"\x1b[Z", modifiers),
        code => functional(code, modifiers, application),
    }
}

/// The number that stands for modifiers in a sequence, 1 when none is held.
pub(super) fn modifier_number(modifiers: Modifiers) -> u8 {
    1 + (modifiers.0 & (Modifiers::SHIFT | Modifiers::ALT | Modifiers::CONTROL))
}

/// How a key without a character is written.
pub(super) enum Functional {
    /// `CSI` or `SS3`, and a letter.
    Letter { letter: char, cursor: bool },
    /// `CSI`, a number and `~`.
    Number(u8),
}

/// The form of a key that has no character, after xterm's PC-style function keys.
pub(super) fn form(code: KeyCode) -> Option<Functional> {
    let letter = |letter, cursor| Some(Functional::Letter { letter, cursor });
    match code {
        KeyCode::Up => letter('A', true),
        KeyCode::Down => letter('B', true),
        KeyCode::Right => letter('C', true),
        KeyCode::Left => letter('D', true),
        KeyCode::Home => letter('H', true),
        KeyCode::End => letter('F', true),
        KeyCode::Function(number @ 1..=4) => letter(char::from(b'P' + number - 1), false),
        KeyCode::Insert => Some(Functional::Number(2)),
        KeyCode::Delete => Some(Functional::Number(3)),
        KeyCode::PageUp => Some(Functional::Number(5)),
        KeyCode::PageDown => Some(Functional::Number(6)),
        KeyCode::Function(5) => Some(Functional::Number(15)),
        KeyCode::Function(number @ 6..=10) => Some(Functional::Number(number + 11)),
        KeyCode::Function(number @ 11..=14) => Some(Functional::Number(number + 12)),
        KeyCode::Function(number @ 15..=16) => Some(Functional::Number(number + 13)),
        KeyCode::Function(number @ 17..=20) => Some(Functional::Number(number + 14)),
        _ => None,
    }
}

fn functional(code: KeyCode, modifiers: Modifiers, application: bool) -> Vec<u8> {
    let number = modifier_number(modifiers);
    let text = match form(code) {
        Some(Functional::Letter { letter, .. }) if number > 1 => format!("\x1b[1;{number}{letter}"),
        Some(Functional::Letter { letter, cursor }) if application || !cursor => {
            format!("\x1bO{letter}")
        }
        Some(Functional::Letter { letter, .. }) => format!("\x1b[{letter}"),
        Some(Functional::Number(key)) if number > 1 => format!("\x1b[{key};{number}~"),
        Some(Functional::Number(key)) => format!("\x1b[{key}~"),
        None => String::new(),
    };
    text.into_bytes()
}

fn character(character: char, modifiers: Modifiers) -> Vec<u8> {
    let control = if modifiers.has(Modifiers::CONTROL) { control(character) } else { None };
    if let Some(byte) = control {
        return with_alt(&[byte], modifiers);
    }
    with_alt(character.encode_utf8(&mut [0; 4]).as_bytes(), modifiers)
}

/// The control code a character makes with Control, as on a VT220's keyboard.
fn control(character: char) -> Option<u8> {
    match character {
        'a'..='z' => Some(character as u8 - b'a' + 1),
        'A'..='Z' | '[' | '\\' | ']' | '^' | '_' => Some(character as u8 - b'@'),
        ' ' | '@' | '2' | '`' => Some(0),
        '3'..='7' => Some(character as u8 - b'3' + 0x1b),
        '/' | '-' => Some(0x1f),
        '8' | '?' => Some(0x7f),
        _ => None,
    }
}

/// Alt is sent as ESC before the key.
fn with_alt(bytes: &[u8], modifiers: Modifiers) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len() + 1);
    if modifiers.has(Modifiers::ALT) {
        all.push(0x1b);
    }
    all.extend_from_slice(bytes);
    all
}
