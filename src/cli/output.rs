//! How results, words and failures are printed: for people, or as JSON.

use std::io::{self, BufRead, IsTerminal, Write};

use serde::Serialize;

use crate::model::failure::Failure;
use crate::model::id::Timestamp;
use crate::model::path::{hides_or_steers, printable};
use crate::model::policy::show_bytes;

/// Steps up to this many are counted; more are bytes.
const COUNTED: u64 = 1000;

/// How far a step is: counted, in percent, or by what is done where the whole is not known.
pub(super) fn part(done: u64, total: u64) -> String {
    match (done, total) {
        (0, 0) => String::new(),
        (done, 0) => format!(" {}", show_bytes(done)),
        (done, total) if total <= COUNTED => format!(" {done}/{total}"),
        (done, total) => format!(" {} %", (u128::from(done) * 100 / u128::from(total)).min(100)),
    }
}

/// Where things go, decided once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    pub json: bool,
    /// Standard output is a terminal, so what others wrote is made safe first.
    pub terminal: bool,
    /// Somebody reads standard error.
    pub person: bool,
}

impl Output {
    pub fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        Self { json, terminal, person: !json && io::stderr().is_terminal() }
    }

    /// Prints data as it is. A reader that has gone wants no more and is no failure.
    #[allow(clippy::unused_self, reason = "printing is what an output does")]
    pub fn bytes(self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::internal(&anyhow::anyhow!("standard output: {error}")))
            }
            _ => Ok(()),
        }
    }

    pub fn line(self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    /// Prints a value as one line of JSON.
    pub fn value<T: Serialize>(self, value: &T) -> Result<(), Failure> {
        let text =
            serde_json::to_string(value).map_err(|error| Failure::internal(&error.into()))?;
        self.line(&plain_json(&text))
    }

    /// Tells a person something on standard error; says nothing to a script that asked for JSON.
    pub fn say(self, text: &str) {
        if !self.json {
            // There is nowhere left to complain when standard error is closed.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Suggests what to do next, to a person at a terminal.
    pub fn next(self, text: &str) {
        if self.person {
            self.say(&format!("next: {text}"));
        }
    }

    /// Shows progress in one line that is written over, to a person at a terminal.
    pub fn progress(self, text: &str) {
        if self.person {
            let _ = write!(io::stderr(), "\r\x1b[2K{text}");
        }
    }

    /// Asks a person something that is usually meant; an interrupt and the end of input are a no.
    pub async fn asked(self, question: &str) -> bool {
        let _ = write!(io::stderr(), "{question}");
        let reading = tokio::task::spawn_blocking(|| {
            let mut answer = String::new();
            let read = io::stdin().lock().read_line(&mut answer);
            read.is_ok_and(|count| count > 0) && matches!(answer.trim(), "" | "y" | "Y" | "yes")
        });
        tokio::select! {
            answer = reading => answer.unwrap_or(false),
            _ = tokio::signal::ctrl_c() => false,
        }
    }

    pub fn failure(self, failure: &Failure) {
        if self.json {
            let text = serde_json::json!({ "error": failure });
            let _ = writeln!(io::stderr(), "{}", plain_json(&text.to_string()));
            return;
        }
        self.say(&format!("error: {}", lines(&failure.to_string())));
        if let Some(hint) = &failure.hint {
            self.say(&format!("hint: {}", lines(hint)));
        }
    }
}

/// The same JSON with every character by its number that acts on a terminal or hides. Outside of
/// strings there is none of them.
fn plain_json(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for character in text.chars() {
        if hides_or_steers(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                plain.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            plain.push(character);
        }
    }
    plain
}

/// Text whose lines stay and whose other controls are shown instead of obeyed.
pub(super) fn lines(text: &str) -> String {
    text.split('\n').map(|line| printable(line.as_bytes())).collect::<Vec<_>>().join("\n")
}

/// Makes a stream of bytes that others wrote safe for a terminal, chunk by chunk.
#[derive(Debug, Default)]
pub(super) struct Sanitiser {
    /// The beginning of a character whose end has not come yet.
    held: Vec<u8>,
}

impl Sanitiser {
    pub fn feed(&mut self, bytes: &[u8]) -> String {
        self.held.extend_from_slice(bytes);
        let whole = self.held.len() - unfinished(&self.held);
        let ready: Vec<u8> = self.held.drain(..whole).collect();
        safe(&ready)
    }

    /// What is left at the end.
    pub fn finish(&mut self) -> String {
        safe(&std::mem::take(&mut self.held))
    }
}

/// Bytes at the end that begin a character or a line's end without finishing it.
fn unfinished(bytes: &[u8]) -> usize {
    if bytes.last() == Some(&b'\r') {
        return 1;
    }
    match bytes.utf8_chunks().last() {
        // A longer or wrong sequence is no beginning of a character.
        Some(chunk) => match std::str::from_utf8(chunk.invalid()) {
            Err(error) if error.error_len().is_none() => chunk.invalid().len(),
            _ => 0,
        },
        None => 0,
    }
}

fn safe(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if index > 0 {
            text.push('\n');
        }
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let parts: Vec<String> = line.split(|byte| *byte == b'\t').map(printable).collect();
        text.push_str(&parts.join("\t"));
    }
    text
}

/// A number of files, in words.
pub(super) fn files(count: usize) -> String {
    match count {
        1 => "1 file".to_owned(),
        count => format!("{count} files"),
    }
}

/// How long ago a moment was, in its largest unit.
pub(super) fn age(then: Timestamp) -> String {
    let seconds = then.age_seconds(now());
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

pub(super) fn now() -> Timestamp {
    let elapsed = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(elapsed.as_millis() as u64)
}

/// Rows below a title row, columns as wide as their widest cell.
pub(super) fn table(titles: &[&str], rows: &[Vec<String>]) -> String {
    let titles = titles.iter().map(ToString::to_string).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&titles).chain(rows).collect();
    let width = |column: usize| {
        let cells = all.iter().filter_map(|row| row.get(column));
        cells.map(|cell| unicode_width::UnicodeWidthStr::width(cell.as_str())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..titles.len()).map(width).collect();
    let mut text = String::new();
    for row in all {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let used = unicode_width::UnicodeWidthStr::width(cell.as_str());
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(used) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_made_safe_however_it_is_split() {
        let bytes = "a\tcafé\r\n\u{1b}]0;x\u{7}b\u{202e}\rend\n".as_bytes();
        let expected = "a\tcafé\n\\u{1b}]0;x\\u{7}b\\u{202e}\\u{d}end\n";
        for size in 1..=bytes.len() {
            let mut sanitiser = Sanitiser::default();
            let mut text: String = bytes.chunks(size).map(|chunk| sanitiser.feed(chunk)).collect();
            text.push_str(&sanitiser.finish());
            assert_eq!(text, expected, "in chunks of {size}");
        }
    }

    #[test]
    fn json_steers_no_terminal_and_is_the_same_value() {
        let value =
            ["\u{9b}31mred", "\u{7f}", "a\u{202e}b", "\u{e0041}", "\u{1b}]0;x\u{7}\n", "größe"];
        let text = serde_json::to_string(&value).expect("text");
        assert!(text.chars().any(hides_or_steers), "as it is it would steer one");
        let plain = plain_json(&text);
        assert!(!plain.chars().any(hides_or_steers), "{plain}");
        assert!(plain.contains("\\u009b31mred") && plain.contains("größe"), "{plain}");
        let read: Vec<String> = serde_json::from_str(&plain).expect("json");
        assert_eq!(read, value);
    }

    #[test]
    fn how_far_a_step_is_is_told_as_well_as_it_is_known() {
        let told =
            [(0, 0), (3 << 30, 0), (2, 7), (5 << 30, 20 << 30)].map(|(done, all)| part(done, all));
        assert_eq!(told, ["", " 3 GiB", " 2/7", " 25 %"]);
    }

    #[test]
    fn bytes_that_are_no_text_are_shown_as_such() {
        let mut sanitiser = Sanitiser::default();
        assert_eq!(sanitiser.feed(b"\xff\xc3"), "\\xff");
        assert_eq!(sanitiser.finish(), "\\xc3");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows =
            vec![vec!["日本".to_owned(), "1".to_owned()], vec!["a".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["n", "count"], &rows), "n     count\n日本  1\na     2\n");
    }
}
