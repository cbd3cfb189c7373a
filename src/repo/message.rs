//! The message of a snapshot's commit: what happened in words, and trailers to read it back from.

use crate::model::id::Timestamp;
use crate::model::path::RepoPath;
use crate::model::snapshot::{Author, ChangeCount, OutputMark, Skipped, SnapshotCause};

/// What a snapshot's commit carries beside its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub cause: SnapshotCause,
    pub at: Timestamp,
    pub change: ChangeCount,
    pub skipped: Vec<Skipped>,
    /// What snapshots made by an earlier version do not say.
    pub number: u32,
    pub by: Option<Author>,
    pub output: Option<OutputMark>,
}

const CAUSE: &str = "Agentdeck-Cause";
const AT: &str = "Agentdeck-At";
const CHANGE: &str = "Agentdeck-Change";
const SKIPPED: &str = "Agentdeck-Skipped";
const NUMBER: &str = "Agentdeck-Number";
const BY: &str = "Agentdeck-By";
const OUTPUT: &str = "Agentdeck-Output";

impl Message {
    pub fn write(&self) -> String {
        let cause = self.cause.word();
        let ChangeCount { added, removed, files } = self.change;
        let mut text = format!(
            "{cause}: {files} files, +{added} -{removed}\n\n\
             {CAUSE}: {cause}\n{AT}: {}\n{CHANGE}: {files} {added} {removed}\n",
            self.at.0
        );
        if self.number > 0 {
            text.push_str(&format!("{NUMBER}: {}\n", self.number));
        }
        if let Some(by) = self.by {
            text.push_str(&format!("{BY}: {}\n", by.word()));
        }
        if let Some(OutputMark { started, offset }) = self.output {
            text.push_str(&format!("{OUTPUT}: {} {offset}\n", started.0));
        }
        for Skipped { path, reason } in &self.skipped {
            let path = escape(path.as_bytes());
            text.extend([SKIPPED, ": ", &path, " ", &escape_line(reason), "\n"]);
        }
        text
    }

    /// Reads a message back; `None` when it is none of ours.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let (mut cause, mut at, mut change, mut skipped) = (None, None, None, Vec::new());
        let (mut number, mut by, mut output) = (0, None, None);
        for line in text.lines() {
            let Some((key, value)) = line.split_once(": ") else { continue };
            match key {
                CAUSE => cause = cause_from(value),
                AT => at = value.parse().ok().map(Timestamp),
                CHANGE => change = read_change(value),
                NUMBER => number = value.parse().unwrap_or(0),
                BY => by = Author::ALL.into_iter().find(|by| by.word() == value),
                OUTPUT => output = read_output(value),
                SKIPPED => {
                    let (path, reason) = value.split_once(' ')?;
                    let path = RepoPath::new(unescape(path)?);
                    skipped.push(Skipped { path, reason: reason.to_owned() });
                }
                _ => {}
            }
        }
        Some(Self { cause: cause?, at: at?, change: change?, skipped, number, by, output })
    }
}

fn cause_from(name: &str) -> Option<SnapshotCause> {
    SnapshotCause::ALL.into_iter().find(|cause| cause.word() == name)
}

fn read_output(text: &str) -> Option<OutputMark> {
    let (started, offset) = text.split_once(' ')?;
    Some(OutputMark { started: Timestamp(started.parse().ok()?), offset: offset.parse().ok()? })
}

fn read_change(text: &str) -> Option<ChangeCount> {
    let mut numbers = text.split(' ');
    Some(ChangeCount {
        files: numbers.next()?.parse().ok()?,
        added: numbers.next()?.parse().ok()?,
        removed: numbers.next()?.parse().ok()?,
    })
}

/// Percent-escapes everything but plain path characters, so that a name can forge no line.
fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"/._-+".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    Some(bytes)
}

fn escape_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_back_and_a_path_cannot_forge_a_line() {
        let message = Message {
            cause: SnapshotCause::Decision,
            at: Timestamp(1_700_000_000_123),
            change: ChangeCount { added: 7, removed: 2, files: 3 },
            skipped: vec![Skipped {
                path: RepoPath::new(*b"a b\nAgentdeck-Cause: base\n%\xff"),
                reason: "a FIFO".to_owned(),
            }],
            number: 7,
            by: Some(Author::Both),
            output: Some(OutputMark { started: Timestamp(1_700_000_000_000), offset: 12 }),
        };
        assert_eq!(Message::read(message.write().as_bytes()), Some(message));
        assert_eq!(Message::read(b"Merge branch 'x'\n"), None);
    }

    #[test]
    fn a_message_of_an_earlier_version_is_read_for_what_it_says() {
        let text = "change: 1 files, +2 -3\n\nAgentdeck-Cause: change\nAgentdeck-At: 5\n\
                    Agentdeck-Change: 1 2 3\n";
        let message = Message::read(text.as_bytes()).expect("one of ours");
        assert_eq!(
            message,
            Message {
                cause: SnapshotCause::Change,
                at: Timestamp(5),
                change: ChangeCount { added: 2, removed: 3, files: 1 },
                skipped: Vec::new(),
                number: 0,
                by: None,
                output: None,
            }
        );
    }
}
