//! Mouse events, for programs that asked for them.

use alacritty_terminal::term::TermMode;

use crate::model::input::{Modifiers, Mouse, MouseButton, MouseKind};
use crate::term::terminal::Terminal;

const MOTION: u8 = 32;
const NO_BUTTON: u8 = 3;
const WHEEL_UP: u8 = 64;
const WHEEL_DOWN: u8 = 65;
/// Largest coordinate a single byte can tell in the oldest form.
const LAST_OF_BYTE: u16 = 222;
/// Largest coordinate two bytes of UTF-8 can tell.
const LAST_OF_UTF8: u16 = 2014;

/// Encodes a mouse event; nothing when the program did not ask for it or it cannot be told.
pub(super) fn encode(mouse: Mouse, terminal: &Terminal) -> Vec<u8> {
    let size = terminal.size();
    if !is_wanted(mouse, terminal) || mouse.column >= size.columns || mouse.row >= size.rows {
        return Vec::new();
    }
    let code = code(mouse);
    if terminal.is(TermMode::SGR_MOUSE) {
        let last = if mouse.kind == MouseKind::Release { 'm' } else { 'M' };
        return format!("\x1b[<{code};{};{}{last}", mouse.column + 1, mouse.row + 1).into_bytes();
    }
    // The older forms do not say which button was let go.
    let code = if mouse.kind == MouseKind::Release { (code & !3) | NO_BUTTON } else { code };
    let mut bytes = b"\x1b[M".to_vec();
    bytes.push(code + 32);
    for coordinate in [mouse.column, mouse.row] {
        if terminal.is(TermMode::UTF8_MOUSE) && coordinate <= LAST_OF_UTF8 {
            let character = char::from_u32(u32::from(coordinate) + 33).unwrap_or(' ');
            bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        } else if coordinate <= LAST_OF_BYTE {
            bytes.push(coordinate as u8 + 33);
        } else {
            return Vec::new();
        }
    }
    bytes
}

fn is_wanted(mouse: Mouse, terminal: &Terminal) -> bool {
    match mouse.kind {
        MouseKind::Move => terminal.is(TermMode::MOUSE_MOTION),
        MouseKind::Drag => terminal.is(TermMode::MOUSE_MOTION | TermMode::MOUSE_DRAG),
        _ => terminal.is(TermMode::MOUSE_MODE),
    }
}

fn code(mouse: Mouse) -> u8 {
    let button = match mouse.button {
        MouseButton::Left => 0,
        MouseButton::Middle => 1,
        MouseButton::Right => 2,
        MouseButton::None => NO_BUTTON,
    };
    let code = match mouse.kind {
        MouseKind::Press | MouseKind::Release => button,
        MouseKind::Drag => button + MOTION,
        MouseKind::Move => NO_BUTTON + MOTION,
        MouseKind::ScrollUp => WHEEL_UP,
        MouseKind::ScrollDown => WHEEL_DOWN,
    };
    let bit = |modifier, value| if mouse.modifiers.has(modifier) { value } else { 0 };
    code + bit(Modifiers::SHIFT, 4) + bit(Modifiers::ALT, 8) + bit(Modifiers::CONTROL, 16)
}
