//! What programs report of their own state: OSC 7501, the Program Status Protocol, revision 0.3.
//!
//! `state=…:app=…:kind=…:id=…:msg=…`, where `msg` is base64 and an `id` like `a/b` names a part of
//! the program's work. A report replaces the record of its id; one that breaks a bound changes
//! nothing. Records are claims: nothing is ever decided by them, and their text is made harmless.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};

use super::title::printable;
use crate::model::status::{Claim, Doing, MAX_SAYS, Need};

/// Longest payload: a whole sequence has 4096 bytes, of which four are its ends.
const MAX_PAYLOAD: usize = 4092;
const MAX_KEY: usize = 16;
/// Longest message, as base64.
const MAX_MESSAGE: usize = 2732;
/// Ids are paths of this many parts, of this many bytes each, and as many in all.
const MAX_PARTS: usize = 8;
const MAX_PART: usize = 32;
const MAX_ID: usize = 128;
/// Parts of its work that a program can tell of at once; the one it was silent about the longest
/// gives way. Far more than an agent has helpers.
const MAX_RECORDS: usize = 64;

/// The records of one terminal, the newest last.
#[derive(Debug, Default)]
pub(super) struct Reports {
    records: Vec<Record>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Record {
    /// Empty for the program itself.
    id: String,
    state: Doing,
    says: Option<String>,
}

/// What one report asks for.
enum Request {
    Set(Record),
    Clear(String),
}

impl Reports {
    /// Takes the payload of a report after `7501;`.
    pub(super) fn take(&mut self, payload: &[u8]) {
        match parse(payload) {
            Some(Request::Set(record)) => {
                self.records.retain(|known| known.id != record.id);
                if self.records.len() == MAX_RECORDS {
                    self.records.remove(0);
                }
                self.records.push(record);
            }
            Some(Request::Clear(id)) => self.records.retain(|known| !is_within(&known.id, &id)),
            None => {}
        }
    }

    /// A shell shows its prompt: what was going on is over, what came of it stays.
    pub(super) fn prompt(&mut self) {
        self.records.retain(|record| matches!(record.state, Doing::Done | Doing::Failed));
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
    }

    /// All records in one: a part that waits comes before the program's own word, other parts are
    /// asked only where it has none.
    pub(super) fn claim(&self) -> Option<Claim> {
        let waiting = |record: &&Record| matches!(record.state, Doing::Waiting { .. });
        let own = |record: &&Record| record.id.is_empty();
        let urgency = |record: &&Record| match record.state {
            Doing::Working => 3,
            Doing::Failed => 2,
            Doing::Done => 1,
            _ => 0,
        };
        let mut records = self.records.iter();
        let found = records.clone().find(|record| waiting(record) && own(record));
        let found = found.or_else(|| records.clone().find(waiting));
        let found = found.or_else(|| records.find(own));
        let found = found.or_else(|| self.records.iter().max_by_key(urgency))?;
        Some(Claim { state: found.state, says: found.says.clone() })
    }

    /// Reports that bring a new terminal's records to these, for a checkpoint.
    pub(super) fn written(&self) -> impl Iterator<Item = String> {
        self.records.iter().map(|record| {
            let (state, kind) = words(record.state);
            let mut text = format!("\x1b]7501;state={state}");
            let says = record.says.as_ref().map(|says| STANDARD.encode(says));
            let id = Some(record.id.clone()).filter(|id| !id.is_empty());
            let kind = kind.map(str::to_owned);
            for (key, value) in [("id", id), ("kind", kind), ("msg", says)] {
                if let Some(value) = value {
                    text.push_str(&format!(":{key}={value}"));
                }
            }
            text.push_str("\x1b\\");
            text
        })
    }
}

fn parse(payload: &[u8]) -> Option<Request> {
    let text = std::str::from_utf8(payload).ok().filter(|text| text.len() <= MAX_PAYLOAD)?;
    let (mut state, mut kind, mut id, mut says) = (None, None, "", None);
    for field in text.split(':') {
        let Some((key, value)) = field.split_once('=') else { continue };
        match key {
            "state" => state = Some(value),
            "kind" => kind = Some(value),
            "id" => id = Some(value).filter(|id| is_id(id))?,
            "msg" => says = Some(message(value)?).filter(|says| !says.is_empty()),
            _ if key.len() > MAX_KEY => return None,
            _ => {}
        }
    }
    let id = id.to_owned();
    let state = match state? {
        "clear" => return Some(Request::Clear(id)),
        "idle" => Doing::Idle,
        "working" => Doing::Working,
        "done" => Doing::Done,
        "error" => Doing::Failed,
        "blocked" => Doing::Waiting {
            need: match kind {
                Some("permission") => Need::Permission,
                Some("auth") => Need::Login,
                _ => Need::Answer,
            },
        },
        _ => return None,
    };
    Some(Request::Set(Record { id, state, says }))
}

/// The words of the protocol for a state.
fn words(state: Doing) -> (&'static str, Option<&'static str>) {
    match state {
        Doing::Working => ("working", None),
        Doing::Done => ("done", None),
        Doing::Failed => ("error", None),
        Doing::Idle | Doing::Unknown => ("idle", None),
        Doing::Waiting { need: Need::Permission } => ("blocked", Some("permission")),
        Doing::Waiting { need: Need::Login } => ("blocked", Some("auth")),
        Doing::Waiting { need: Need::Answer } => ("blocked", None),
    }
}

/// A message as it is shown; `None` where the report breaks the rules.
fn message(value: &str) -> Option<String> {
    if value.len() > MAX_MESSAGE {
        return None;
    }
    let decoded = STANDARD.decode(value).or_else(|_| STANDARD_NO_PAD.decode(value)).ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let has_controls = text.chars().any(char::is_control);
    (!has_controls).then(|| printable(&text, MAX_SAYS))
}

fn is_id(id: &str) -> bool {
    let fits = |part: &str| {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || b"._+-".contains(&byte);
        (1..=MAX_PART).contains(&part.len()) && part.bytes().all(known)
    };
    id.len() <= MAX_ID && id.split('/').count() <= MAX_PARTS && id.split('/').all(fits)
}

/// Whether a record is the one of `id` or below it; everything is below the program itself.
fn is_within(record: &str, id: &str) -> bool {
    id.is_empty()
        || record.strip_prefix(id).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reported(payloads: &[&str]) -> Reports {
        let mut reports = Reports::default();
        for payload in payloads {
            reports.take(payload.as_bytes());
        }
        reports
    }

    fn state(payloads: &[&str]) -> Option<Doing> {
        reported(payloads).claim().map(|claim| claim.state)
    }

    const WAITING: Option<Doing> = Some(Doing::Waiting { need: Need::Permission });
    const ASKS: &str = "state=blocked:kind=permission";

    #[test]
    fn every_state_of_the_protocol_is_understood() {
        for (payload, expected) in [
            ("state=idle:app=codex", Some(Doing::Idle)),
            ("state=working:progress=40", Some(Doing::Working)),
            ("state=done:later=1", Some(Doing::Done)),
            ("state=error", Some(Doing::Failed)),
            (ASKS, WAITING),
            ("state=blocked:kind=auth", Some(Doing::Waiting { need: Need::Login })),
            ("state=blocked:kind=question", Some(Doing::Waiting { need: Need::Answer })),
            ("state=blocked:kind=coffee", Some(Doing::Waiting { need: Need::Answer })),
            ("state=asleep", None),
            ("app=codex", None),
            ("", None),
        ] {
            assert_eq!(state(&[payload]), expected, "{payload}");
        }
    }

    #[test]
    fn a_part_that_waits_comes_first_and_the_programs_own_word_next() {
        assert_eq!(state(&["state=working", "state=blocked:kind=permission:id=a/b"]), WAITING);
        assert_eq!(state(&["state=done", "state=working:id=a"]), Some(Doing::Done));
        assert_eq!(state(&["state=done:id=a", "state=working:id=b"]), Some(Doing::Working));
        assert_eq!(state(&[ASKS, "state=working"]), Some(Doing::Working), "replaced");
        assert_eq!(
            state(&["state=working", "state=done:id=a", "state=clear:id=a"]),
            Some(Doing::Working)
        );
        assert_eq!(state(&["state=done:id=ab", "state=clear:id=a"]), Some(Doing::Done));
        assert_eq!(state(&["state=working:id=a/b", "state=clear:id=a"]), None);
        assert_eq!(state(&["state=working", "state=done:id=a", "state=clear"]), None);
    }

    #[test]
    fn a_shells_prompt_ends_what_was_going_on() {
        let mut reports = reported(&[ASKS, "state=done:id=a"]);
        reports.prompt();
        assert_eq!(reports.claim().map(|claim| claim.state), Some(Doing::Done));
    }

    #[test]
    fn what_breaks_a_bound_changes_nothing() {
        let encoded = |text: &str| format!("state=done:msg={}", STANDARD.encode(text));
        for bad in [
            format!("state=done:{}", "x".repeat(MAX_PAYLOAD)),
            format!("state=done:{}=1", "k".repeat(MAX_KEY + 1)),
            format!("state=done:msg={}", "A".repeat(MAX_MESSAGE + 4)),
            format!("state=done:id={}", "s".repeat(MAX_PART + 1)),
            format!("state=done:id={}", ["a"; MAX_PARTS + 1].join("/")),
            "state=done:id=".to_owned(),
            "state=done:id=a//b".to_owned(),
            "state=done:id=a b".to_owned(),
            "state=done:msg=A".to_owned(),
            encoded("a\x1b[31mb"),
            encoded("two\nlines"),
            encoded("\u{9b}2J"),
        ] {
            assert_eq!(state(&["state=working", &bad]), Some(Doing::Working), "{bad:.60}");
        }
    }

    #[test]
    fn what_is_said_is_short_and_shows_itself() {
        let said = |text: &str| {
            let payload = format!("{ASKS}:msg={}", STANDARD.encode(text));
            reported(&[&payload]).claim().and_then(|claim| claim.says)
        };
        assert_eq!(said("approve Write: a.txt").as_deref(), Some("approve Write: a.txt"));
        assert_eq!(said("rm\u{202e}txt.a\u{200f}").as_deref(), Some("rmtxt.a"));
        assert_eq!(said(" \u{feff}"), None);
        assert_eq!(said(&"é".repeat(500)).map(|says| says.chars().count()), Some(MAX_SAYS));
    }

    #[test]
    fn records_without_end_cost_no_more_than_their_bound() {
        let mut reports = Reports::default();
        reports.take(ASKS.as_bytes());
        for number in 0..10_000 {
            reports.take(format!("state=working:id=n{number}").as_bytes());
        }
        assert_eq!(reports.records.len(), MAX_RECORDS);
        assert_eq!(reports.claim().map(|claim| claim.state), Some(Doing::Working));
    }

    #[test]
    fn what_is_written_down_reads_back_the_same() {
        let message = STANDARD.encode("übrig");
        let first = format!("{ASKS}:msg={message}");
        let reports = reported(&[&first, "state=error:id=a/b", "state=blocked:kind=auth:id=c"]);
        let mut again = Reports::default();
        for text in reports.written() {
            let payload = text.strip_prefix("\x1b]7501;").expect("a report");
            again.take(payload.strip_suffix("\x1b\\").expect("whole").as_bytes());
        }
        assert_eq!(again.records, reports.records);
    }
}
