//! What a program asks of its terminal besides a screen: to notify (OSC 9, 777 and 99), and to put
//! text into the clipboard (OSC 52). It is kept to be shown; nothing is done, and nothing answered.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::terminal::Terminal;
use super::title::printable;
use crate::model::asked::Asked;
use crate::model::path::hides_or_steers;
use crate::model::status::MAX_SAYS;

/// Programs pad their Base64 or do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Default)]
pub(super) struct Asking {
    asked: Asked,
    /// What is to be in the clipboard: as long as a command can be.
    clipboard: String,
    /// The parts of a notification that goes on.
    parts: Vec<String>,
}

/// Parts of one notification that are joined.
const MOST_PARTS: usize = 4;

impl Asking {
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    pub(super) fn clipboard(&self) -> Option<&str> {
        self.asked.copies.map(|_| self.clipboard.as_str())
    }

    /// Takes a command; says whether it asked for something.
    fn take(&mut self, number: &[u8], payload: &[u8]) -> bool {
        match number {
            b"9" => self.says(&growl(payload).map(lossy).unwrap_or_default()),
            b"777" => self.says(&notify(payload).unwrap_or_default()),
            b"99" => self.desktop(payload),
            b"52" => self.copies(payload),
            _ => false,
        }
    }

    fn says(&mut self, text: &str) -> bool {
        let text = printable(text, MAX_SAYS);
        if text.is_empty() {
            return false;
        }
        self.asked.says = Some(text);
        self.asked.count = self.asked.count.wrapping_add(1);
        true
    }

    /// `metadata;payload`, of kitty's desktop notifications: title and body may come apart.
    fn desktop(&mut self, payload: &[u8]) -> bool {
        let mut halves = payload.splitn(2, |byte| *byte == b';');
        let (metadata, text) = (halves.next().unwrap_or_default(), halves.next());
        let Some(text) = text else { return false };
        let of =
            |key: &[u8]| metadata.split(|byte| *byte == b':').find_map(|it| it.strip_prefix(key));
        if !matches!(of(b"p="), None | Some(b"title" | b"body")) {
            return false;
        }
        let text = if of(b"e=") == Some(b"1") {
            BASE64.decode(text).unwrap_or_default()
        } else {
            text.to_vec()
        };
        if self.parts.len() < MOST_PARTS {
            self.parts.push(printable(&lossy(&text), MAX_SAYS));
        }
        if of(b"d=") == Some(b"0") {
            return false;
        }
        let parts = std::mem::take(&mut self.parts);
        let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        self.says(&parts.join(": "))
    }

    /// `selection;Base64`. Questions are not answered, and nothing is emptied.
    fn copies(&mut self, payload: &[u8]) -> bool {
        let encoded = payload.splitn(2, |byte| *byte == b';').nth(1).unwrap_or_default();
        let Ok(bytes) = BASE64.decode(encoded) else { return false };
        let Ok(text) = String::from_utf8(bytes) else { return false };
        let kept = |it: &char| matches!(it, '\n' | '\t') || !hides_or_steers(*it);
        let text: String = text.replace("\r\n", "\n").chars().filter(kept).collect();
        if text.is_empty() {
            return false;
        }
        self.asked.copies = Some(text.chars().count() as u32);
        self.asked.count = self.asked.count.wrapping_add(1);
        self.clipboard = text;
        true
    }

    /// Commands that have a new terminal asked for the same, for a checkpoint.
    pub(super) fn written(&self) -> Vec<String> {
        let says = self.asked.says.iter().map(|text| format!("\x1b]777;notify;;{text}\x1b\\"));
        let copies =
            self.clipboard().map(|text| format!("\x1b]52;c;{}\x1b\\", BASE64.encode(text)));
        says.chain(copies).collect()
    }
}

/// The text of OSC 9, unless it is one of the commands that another terminal put there: a number,
/// and what belongs to it.
fn growl(payload: &[u8]) -> Option<&[u8]> {
    let digits = payload.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let command = digits > 0 && matches!(payload.get(digits), None | Some(b';'));
    (!command).then_some(payload)
}

/// `notify;title;body`.
fn notify(payload: &[u8]) -> Option<String> {
    let text = lossy(payload.strip_prefix(b"notify;")?);
    let (title, body) = text.split_once(';').unwrap_or((&text, ""));
    let parts: Vec<&str> = [title, body].into_iter().filter(|part| !part.is_empty()).collect();
    Some(parts.join(": "))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

impl Terminal {
    /// Takes a command that asks for something. Whoever follows bells hears of it.
    pub(super) fn ask(&mut self, number: &[u8], payload: &[u8]) {
        self.bell |= self.asking.take(number, payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(commands: &[(&str, &str)]) -> Asking {
        let mut asking = Asking::default();
        for (number, payload) in commands {
            asking.take(number.as_bytes(), payload.as_bytes());
        }
        asking
    }

    fn says(commands: &[(&str, &str)]) -> Option<String> {
        asked(commands).asked.says
    }

    #[test]
    fn a_notification_is_read_in_each_of_its_forms() {
        for (commands, text) in [
            (&[("9", "done")][..], Some("done")),
            (&[("9", "3 files; all good")], Some("3 files; all good")),
            (&[("9", "4;1;50")], None),
            (&[("9", "12")], None),
            (&[("777", "notify;Build;done; all")], Some("Build: done; all")),
            (&[("777", "notify;Build")], Some("Build")),
            (&[("777", "precmd")], None),
            (&[("99", ";done")], Some("done")),
            (&[("99", "i=1:d=0;Build"), ("99", "i=1:d=1:p=body;done")], Some("Build: done")),
            (&[("99", "e=1;ZG9uZQ==")], Some("done")),
            (&[("99", "i=1:p=?;")], None),
            (&[("99", "i=1:p=close;")], None),
            (&[("9", "")], None),
        ] {
            assert_eq!(says(commands).as_deref(), text, "{commands:?}");
        }
    }

    #[test]
    fn what_is_said_is_short_and_shows_itself() {
        assert_eq!(says(&[("9", "a\u{202e}b\x01\u{9b}2J")]).as_deref(), Some("ab2J"));
        let long = "é".repeat(5_000);
        assert_eq!(says(&[("9", &long)]).map(|text| text.chars().count()), Some(MAX_SAYS));
        let parts: Vec<(&str, &str)> = vec![("99", "d=0;part"); 10_000];
        assert!(asked(&parts).parts.len() <= MOST_PARTS);
    }

    #[test]
    fn a_text_for_the_clipboard_is_kept_to_be_looked_at() {
        let asking = asked(&[("52", "c;YQkNCmIbWzMxbQ==")]);
        assert_eq!(asking.clipboard(), Some("a\t\nb[31m"));
        assert_eq!(asking.asked.copies, Some(8));
        for ignored in ["c;?", "c;", "c;!", "c;/w==", ""] {
            assert_eq!(asked(&[("52", ignored)]).asked, Asked::default(), "{ignored}");
        }
        assert!(asked(&[("52", ";YQ")]).clipboard().is_some());
    }

    #[test]
    fn what_is_written_down_reads_back_the_same() {
        let asking = asked(&[("777", "notify;a;4;b"), ("52", "c;YWI=")]);
        let mut again = Asking::default();
        for text in asking.written() {
            let payload = text.strip_prefix("\x1b]").and_then(|text| text.strip_suffix("\x1b\\"));
            let (number, payload) = payload.and_then(|text| text.split_once(';')).expect("whole");
            again.take(number.as_bytes(), payload.as_bytes());
        }
        assert_eq!((again.asked.says.as_deref(), again.clipboard()), (Some("a: 4;b"), Some("ab")));
    }
}
