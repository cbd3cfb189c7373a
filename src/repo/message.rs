//! The message of a snapshot's commit: what happened in words, and trailers to read it back from.

use crate::model::id::Timestamp;
use crate::model::path::RepoPath;
use crate::model::snapshot::{ChangeCount, Skipped, SnapshotCause};

/// What a snapshot's commit carries beside its tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub cause: SnapshotCause,
    pub at: Timestamp,
    pub change: ChangeCount,
    pub skipped: Vec<Skipped>,
}

const CAUSE: &str = "Agentdeck-Cause";
const AT: &str = "Agentdeck-At";
const CHANGE: &str = "Agentdeck-Change";
const SKIPPED: &str = "Agentdeck-Skipped";

impl Message {
    pub fn write(&self) -> String {
        let cause = cause_name(self.cause);
        let ChangeCount { added, removed, files } = self.change;
        let mut text = format!(
            "{cause}: {files} files, +{added} -{removed}\n\n\
             {CAUSE}: {cause}\n{AT}: {}\n{CHANGE}: {files} {added} {removed}\n",
            self.at.0
        );
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
        for line in text.lines() {
            let Some((key, value)) = line.split_once(": ") else { continue };
            match key {
                CAUSE => cause = cause_from(value),
                AT => at = value.parse().ok().map(Timestamp),
                CHANGE => change = read_change(value),
                SKIPPED => {
                    let (path, reason) = value.split_once(' ')?;
                    let path = RepoPath::new(unescape(path)?);
                    skipped.push(Skipped { path, reason: reason.to_owned() });
                }
                _ => {}
            }
        }
        Some(Self { cause: cause?, at: at?, change: change?, skipped })
    }
}

fn cause_name(cause: SnapshotCause) -> &'static str {
    match cause {
        SnapshotCause::Base => "base",
        SnapshotCause::Change => "change",
        SnapshotCause::Decision => "decision",
    }
}

fn cause_from(name: &str) -> Option<SnapshotCause> {
    let all = [SnapshotCause::Base, SnapshotCause::Change, SnapshotCause::Decision];
    all.into_iter().find(|cause| cause_name(*cause) == name)
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
        };
        assert_eq!(Message::read(message.write().as_bytes()), Some(message));
        assert_eq!(Message::read(b"Merge branch 'x'\n"), None);
    }
}
