//! Turns what a person does into the bytes a program expects, in the modes it asked for.

mod keys;
mod kitty;
mod mouse;

use alacritty_terminal::term::TermMode;

use super::terminal::Terminal;
use crate::model::input::Input;

const PASTE_BEGIN: &str = "\x1b[200~";
const PASTE_END: &str = "\x1b[201~";

pub(super) fn encode(terminal: &Terminal, input: &Input) -> Vec<u8> {
    match input {
        Input::Key(key) => {
            let flags = terminal.keyboard();
            kitty::encode(*key, flags)
                .unwrap_or_else(|| keys::encode(*key, terminal.is(TermMode::APP_CURSOR)))
        }
        Input::Paste(text) => paste(text, terminal.is(TermMode::BRACKETED_PASTE)),
        Input::Mouse(mouse) => mouse::encode(*mouse, terminal),
        Input::Focus(gained) if terminal.is(TermMode::FOCUS_IN_OUT) => {
            if *gained {
                b"\x1b[I".to_vec()
            } else {
                b"\x1b[O".to_vec()
            }
        }
        Input::Focus(_) => Vec::new(),
    }
}

/// Without ESC and other controls a paste can neither end its own frame nor press keys.
fn paste(text: &str, bracketed: bool) -> Vec<u8> {
    let mut clean = String::with_capacity(text.len() + PASTE_BEGIN.len() + PASTE_END.len());
    if bracketed {
        clean.push_str(PASTE_BEGIN);
    }
    let mut previous = ' ';
    for character in text.chars() {
        match character {
            // The Enter key sends a carriage return; programs that ask for brackets tell both apart.
            '\n' if previous == '\r' => {}
            '\r' | '\n' => clean.push(if bracketed { '\n' } else { '\r' }),
            '\t' => clean.push('\t'),
            _ if character.is_control() => {}
            _ => clean.push(character),
        }
        previous = character;
    }
    if bracketed {
        clean.push_str(PASTE_END);
    }
    clean.into_bytes()
}
