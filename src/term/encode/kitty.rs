//! Keys in the way of the kitty keyboard protocol, for programs that pushed its modes.
//!
//! See <https://sw.kovidgoyal.net/kitty/keyboard-protocol/>. Input knows only key presses, so
//! event types, alternate keys and associated text add nothing to what is sent.

use super::keys::{Functional, form, modifier_number};
use crate::model::input::{Key, KeyCode, Modifiers};
use crate::term::keyboard::KeyboardFlags;

/// Encodes a key, or leaves it to the older way where the modes do.
pub(super) fn encode(key: Key, flags: KeyboardFlags) -> Option<Vec<u8>> {
    let all = flags.has(KeyboardFlags::ALL_KEYS);
    if !all && !flags.has(KeyboardFlags::DISAMBIGUATE) {
        return None;
    }
    let modifiers = key.modifiers;
    let bare = modifier_number(modifiers) == 1;
    let text = match key.code {
        KeyCode::Escape => numbered(27, modifiers),
        // Left as they are, so that a shell can be saved when a program dies without cleaning up.
        KeyCode::Enter | KeyCode::Tab | KeyCode::Backspace if bare && !all => return None,
        KeyCode::Enter => numbered(13, modifiers),
        KeyCode::Tab => numbered(9, modifiers),
        KeyCode::BackTab => numbered(9, Modifiers(modifiers.0 | Modifiers::SHIFT)),
        KeyCode::Backspace => numbered(127, modifiers),
        KeyCode::Char(character) => {
            let typed = modifiers.0 & (Modifiers::ALT | Modifiers::CONTROL) == 0;
            if typed && !all {
                return None;
            }
            let shifted = character.is_uppercase();
            let plain = character.to_lowercase().next().unwrap_or(character);
            let shift = if shifted { Modifiers::SHIFT } else { 0 };
            numbered(u32::from(plain), Modifiers(modifiers.0 | shift))
        }
        code => functional(code, modifiers)?,
    };
    Some(text.into_bytes())
}

fn numbered(code: u32, modifiers: Modifiers) -> String {
    match modifier_number(modifiers) {
        1 => format!("\x1b[{code}u"),
        number => format!("\x1b[{code};{number}u"),
    }
}

fn functional(code: KeyCode, modifiers: Modifiers) -> Option<String> {
    let number = modifier_number(modifiers);
    // F3 has a number here: as a letter it would look like a cursor report.
    if code == KeyCode::Function(3) {
        return Some(match number {
            1 => "\x1b[13~".to_owned(),
            _ => format!("\x1b[13;{number}~"),
        });
    }
    match form(code)? {
        Functional::Letter { letter, cursor: false } if number == 1 => {
            Some(format!("\x1b[{letter}"))
        }
        // Without modifiers the cursor keys follow the cursor key mode.
        _ if number == 1 => None,
        Functional::Letter { letter, .. } => Some(format!("\x1b[1;{number}{letter}")),
        Functional::Number(key) => Some(format!("\x1b[{key};{number}~")),
    }
}
