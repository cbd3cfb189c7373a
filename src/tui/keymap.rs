//! Which key means which action where, and how keys are written for people.

use std::fmt::Write as _;

use crate::model::input::{Key, KeyCode, Modifiers};

use super::action::{Action, Entry, Scope, TABLE, entries};

/// The action a key stands for in a scope.
pub(crate) fn lookup(scope: Scope, key: Key) -> Option<Action> {
    let entry = entries(scope).find(|entry| entry.keys.contains(&key))?;
    match (entry.action, key.code) {
        (Action::Pane(_), KeyCode::Char(digit)) => {
            digit.to_digit(10).map(|number| Action::Pane(number as u8))
        }
        (action, _) => Some(action),
    }
}

/// A key as it is written on screen, as in `Ctrl+Q`.
pub(crate) fn key_name(key: Key) -> String {
    let mut name = String::new();
    for (bit, word) in
        [(Modifiers::CONTROL, "Ctrl+"), (Modifiers::ALT, "Alt+"), (Modifiers::SHIFT, "Shift+")]
    {
        if key.modifiers.has(bit) {
            name.push_str(word);
        }
    }
    match key.code {
        KeyCode::Char(' ') => name.push_str("Space"),
        // Chords are written with capitals, as keyboards are labelled.
        KeyCode::Char(character) if key.modifiers.has(Modifiers::CONTROL) => {
            name.extend(character.to_uppercase());
        }
        KeyCode::Char(character) => name.push(character),
        KeyCode::Function(number) => {
            let _ = write!(name, "F{number}");
        }
        KeyCode::Escape => name.push_str("Esc"),
        KeyCode::Up => name.push('↑'),
        KeyCode::Down => name.push('↓'),
        KeyCode::Left => name.push('←'),
        KeyCode::Right => name.push('→'),
        KeyCode::BackTab => name.push_str("Shift+Tab"),
        code => {
            let _ = write!(name, "{code:?}");
        }
    }
    name
}

/// All keys of an entry, as in `j ↓`.
pub(crate) fn keys_name(entry: &Entry) -> String {
    if matches!(entry.action, Action::Pane(_)) {
        return "1–9".to_owned();
    }
    entry.keys.iter().map(|key| key_name(*key)).collect::<Vec<_>>().join(" ")
}

/// The keys as a page of documentation.
pub fn reference() -> String {
    let mut page = String::from(
        "# Keys\n\nMade from the table of actions in `src/tui/action.rs`. `?` shows the keys of the \
         view you are in, and `:` finds an action by name.\n",
    );
    for scope in Scope::ALL {
        let _ = write!(page, "\n## {}\n\n| keys | action | |\n|---|---|---|\n", scope.title());
        for entry in TABLE.iter().filter(|entry| entry.scopes.contains(&scope)) {
            let keys = keys_name(entry).replace('\\', "\\\\");
            let _ = writeln!(page, "| {keys} | {} | {} |", entry.name, entry.description);
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things_in_one_view() {
        for scope in Scope::ALL {
            let mut seen = std::collections::HashMap::new();
            for entry in entries(scope) {
                for key in entry.keys {
                    let before = seen.insert(*key, entry.name);
                    assert_eq!(
                        before,
                        None,
                        "{} in {scope:?}, also {}",
                        key_name(*key),
                        entry.name
                    );
                }
            }
        }
    }

    #[test]
    fn the_keys_people_are_promised_are_in_the_table() {
        let has = |scope, name: &str| {
            entries(scope).flat_map(|entry| entry.keys).any(|key| key_name(*key) == name)
        };
        for name in [
            "j", "k", "h", "l", "↑", "↓", "←", "→", "g", "G", "Ctrl+D", "Ctrl+U", "Enter", "Esc",
            "?", ":", "Tab", "1", "9", "z", "Space", "d", "c", "v", "a", "m", "D", "u", "n", "s",
            "!", "q", "i",
        ] {
            assert!(has(Scope::Deck, name), "{name} in the deck");
        }
        for name in ["/", "n", "N", "s", "j", "k", "Ctrl+D", "Ctrl+U", "Esc", "?", ":"] {
            assert!(has(Scope::Diff, name), "{name} in the diff");
        }
        assert!(has(Scope::Keyboard, "Ctrl+Q") && has(Scope::Keyboard, "Ctrl+\\"));
    }

    #[test]
    fn a_digit_carries_its_number() {
        let key = Key { code: KeyCode::Char('7'), modifiers: Modifiers(0) };
        assert_eq!(lookup(Scope::Deck, key), Some(Action::Pane(7)));
    }

    #[test]
    fn the_page_of_keys_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/keys.md");
        if std::env::var_os("AGENTDECK_WRITE_DOCS").is_some() {
            std::fs::write(path, reference()).expect("docs can be written");
        }
        let written = std::fs::read_to_string(path).expect("docs/keys.md exists");
        assert_eq!(written, reference(), "run the test with AGENTDECK_WRITE_DOCS=1 to rewrite it");
    }
}
