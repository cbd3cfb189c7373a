//! What the outer terminal sends, in the model's words.

use crossterm::event::{self, KeyEvent, KeyEventKind, KeyModifiers, MouseEvent, MouseEventKind};

use crate::model::input::{Key, KeyCode, Modifiers, Mouse, MouseButton, MouseKind};

/// A key press; `None` for releases and keys no program in a terminal is sent.
pub(crate) fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let mut modifiers = modifiers(event.modifiers);
    let code = match event.code {
        event::KeyCode::Char(character) => {
            // The shift is in the character already.
            modifiers.0 &= !Modifiers::SHIFT;
            KeyCode::Char(unfold(character, modifiers))
        }
        event::KeyCode::Enter => KeyCode::Enter,
        event::KeyCode::Esc => KeyCode::Escape,
        event::KeyCode::Backspace => KeyCode::Backspace,
        event::KeyCode::Tab if modifiers.has(Modifiers::SHIFT) => back_tab(&mut modifiers),
        event::KeyCode::Tab => KeyCode::Tab,
        event::KeyCode::BackTab => back_tab(&mut modifiers),
        event::KeyCode::Up => KeyCode::Up,
        event::KeyCode::Down => KeyCode::Down,
        event::KeyCode::Left => KeyCode::Left,
        event::KeyCode::Right => KeyCode::Right,
        event::KeyCode::Home => KeyCode::Home,
        event::KeyCode::End => KeyCode::End,
        event::KeyCode::PageUp => KeyCode::PageUp,
        event::KeyCode::PageDown => KeyCode::PageDown,
        event::KeyCode::Insert => KeyCode::Insert,
        event::KeyCode::Delete => KeyCode::Delete,
        event::KeyCode::F(number) => KeyCode::Function(number),
        event::KeyCode::Null => {
            modifiers.0 |= Modifiers::CONTROL;
            KeyCode::Char(' ')
        }
        _ => return None,
    };
    Some(Key { code, modifiers })
}

/// The shift is in the key's own name.
fn back_tab(modifiers: &mut Modifiers) -> KeyCode {
    modifiers.0 &= !Modifiers::SHIFT;
    KeyCode::BackTab
}

/// The bytes 0x1c to 0x1f reach us as Ctrl+4 to Ctrl+7; people pressed what those bytes are named
/// after.
fn unfold(character: char, modifiers: Modifiers) -> char {
    if !modifiers.has(Modifiers::CONTROL) {
        return character;
    }
    match character {
        '4' => '\\',
        '5' => ']',
        '6' => '^',
        '7' => '_',
        other => other.to_ascii_lowercase(),
    }
}

fn modifiers(held: KeyModifiers) -> Modifiers {
    let mut bits = 0;
    for (flag, bit) in [
        (KeyModifiers::SHIFT, Modifiers::SHIFT),
        (KeyModifiers::ALT, Modifiers::ALT),
        (KeyModifiers::CONTROL, Modifiers::CONTROL),
    ] {
        if held.contains(flag) {
            bits |= bit;
        }
    }
    Modifiers(bits)
}

/// A mouse report, its place still counted from the corner of the outer terminal.
pub(crate) fn mouse(event: MouseEvent) -> Option<Mouse> {
    let (kind, button) = match event.kind {
        MouseEventKind::Down(button) => (MouseKind::Press, Some(button)),
        MouseEventKind::Up(button) => (MouseKind::Release, Some(button)),
        MouseEventKind::Drag(button) => (MouseKind::Drag, Some(button)),
        MouseEventKind::Moved => (MouseKind::Move, None),
        MouseEventKind::ScrollDown => (MouseKind::ScrollDown, None),
        MouseEventKind::ScrollUp => (MouseKind::ScrollUp, None),
        MouseEventKind::ScrollLeft | MouseEventKind::ScrollRight => return None,
    };
    let button = match button {
        Some(event::MouseButton::Left) => MouseButton::Left,
        Some(event::MouseButton::Middle) => MouseButton::Middle,
        Some(event::MouseButton::Right) => MouseButton::Right,
        None => MouseButton::None,
    };
    let modifiers = modifiers(event.modifiers);
    Some(Mouse { kind, button, column: event.column, row: event.row, modifiers })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: event::KeyCode, held: KeyModifiers) -> Option<Key> {
        key(KeyEvent::new(code, held))
    }

    #[test]
    fn the_second_way_out_is_known_by_the_byte_it_sends() {
        let expected = Key { code: KeyCode::Char('\\'), modifiers: Modifiers(Modifiers::CONTROL) };
        for typed in ['4', '\\'] {
            let got = press(event::KeyCode::Char(typed), KeyModifiers::CONTROL);
            assert_eq!(got, Some(expected));
        }
    }

    #[test]
    fn a_capital_is_one_key_however_the_terminal_reports_its_shift() {
        let plain = Key { code: KeyCode::Char('D'), modifiers: Modifiers(0) };
        assert_eq!(press(event::KeyCode::Char('D'), KeyModifiers::SHIFT), Some(plain));
        assert_eq!(press(event::KeyCode::Char('D'), KeyModifiers::NONE), Some(plain));
    }

    #[test]
    fn a_release_is_not_a_key() {
        let event = KeyEvent::new_with_kind(
            event::KeyCode::Char('a'),
            KeyModifiers::NONE,
            KeyEventKind::Release,
        );
        assert_eq!(key(event), None);
    }
}
