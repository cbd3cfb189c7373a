//! Cuts a program's output into text and whole control sequences, with a bound on each.
//!
//! Only whole sequences leave the filter, so everything behind it is at rest between two feeds and
//! what is unfinished can be written down as plain bytes. A sequence without an end costs at most
//! its bound, however long it grows.

use memchr::{memchr, memchr3};

/// Longest operating system command kept whole; a longer one is dropped. Titles, the only long
/// ones that are used, are far shorter.
const MAX_OSC: usize = 64 * 1024;
/// How much of a device control string is kept: enough to tell which query it is.
const MAX_DCS: usize = 256;
/// Longest escape or control sequence. Thirty-two parameters of five digits fit.
const MAX_SEQUENCE: usize = 256;

const BELL: u8 = 0x07;
const CANCEL: u8 = 0x18;
const SUBSTITUTE: u8 = 0x1a;
const ESCAPE: u8 = 0x1b;

/// A piece of output that can be acted on by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// UTF-8 text and C0 controls, without ESC. Never ends inside a character that goes on.
    Text(&'a [u8]),
    /// `ESC`, intermediates, final.
    Escape { intermediates: &'a [u8], last: u8, raw: &'a [u8] },
    /// `CSI`, parameters, intermediates, final.
    Control(Control<'a>),
    /// The payload of an operating system command and whether BEL ended it.
    Command { payload: &'a [u8], bell: bool },
    /// The first bytes of a device control string.
    Device(&'a [u8]),
}

/// A control sequence: nothing in `raw` but what the grammar allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control<'a> {
    /// One of `<`, `=`, `>`, `?`, or 0.
    pub(super) private: u8,
    pub(super) parameters: &'a [u8],
    pub(super) intermediates: &'a [u8],
    pub(super) last: u8,
    pub(super) raw: &'a [u8],
}

impl Control<'_> {
    /// The parameters as numbers, missing ones as 0, later sub-parameters left out.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u16> {
        self.parameters.split(|&byte| byte == b';').map(|parameter| {
            parameter.iter().take_while(|byte| byte.is_ascii_digit()).fold(0_u16, |number, byte| {
                number.saturating_mul(10).saturating_add(u16::from(byte - b'0'))
            })
        })
    }

    /// The parameter at `index`, or 0.
    pub(super) fn number(&self, index: usize) -> u16 {
        self.numbers().nth(index).unwrap_or(0)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StringKind {
    Command,
    Device,
    /// Start of string, privacy message, application program command: never read by anyone.
    Other,
}

impl StringKind {
    fn introducer(self) -> u8 {
        match self {
            Self::Command => b']',
            Self::Device => b'P',
            Self::Other => b'X',
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// `pending` may hold the first bytes of a character.
    #[default]
    Ground,
    /// `pending` holds an unfinished escape or control sequence.
    Sequence,
    /// A control sequence that grew past its bound.
    Overlong,
    /// `pending` holds the kept part of a string.
    String { kind: StringKind, overlong: bool, escape: bool },
}

#[derive(Debug, Default)]
pub(super) struct Filter {
    state: State,
    pending: Vec<u8>,
}

impl Filter {
    /// Cuts `bytes`, after what was left over, into tokens.
    pub(super) fn feed(&mut self, mut bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) {
        while !bytes.is_empty() {
            let used = match self.state {
                State::Ground if self.pending.is_empty() => self.ground(bytes, sink),
                State::Ground => self.rest_of_character(bytes, sink),
                State::Sequence => self.rest_of_sequence(bytes, sink),
                State::Overlong => self.skip_overlong(bytes),
                State::String { kind, overlong, escape } => {
                    self.string(bytes, kind, overlong, escape, sink)
                }
            };
            bytes = &bytes[used..];
        }
    }

    /// Whether the next byte begins something new.
    pub(super) fn is_at_rest(&self) -> bool {
        self.state == State::Ground && self.pending.is_empty()
    }

    /// Bytes that bring a new filter into the state of this one.
    pub(super) fn unfinished(&self) -> Vec<u8> {
        match self.state {
            State::Ground | State::Sequence => self.pending.clone(),
            State::Overlong => {
                let mut bytes = b"\x1b[".to_vec();
                bytes.resize(MAX_SEQUENCE + 1, b'0');
                bytes
            }
            State::String { kind, overlong, escape } => {
                let mut bytes = vec![ESCAPE, kind.introducer()];
                bytes.extend_from_slice(&self.pending);
                if overlong && kind == StringKind::Command {
                    bytes.resize(MAX_OSC + 3, b'x');
                }
                if escape {
                    bytes.push(ESCAPE);
                }
                bytes
            }
        }
    }

    /// Handles bytes that start at rest; returns how many were used.
    fn ground(&mut self, bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) -> usize {
        let Some(text) = memchr(ESCAPE, bytes) else {
            let whole = bytes.len() - unfinished_character(bytes);
            if whole > 0 {
                sink(Token::Text(&bytes[..whole]));
            }
            self.pending.extend_from_slice(&bytes[whole..]);
            return bytes.len();
        };
        if text > 0 {
            sink(Token::Text(&bytes[..text]));
        }
        let rest = &bytes[text..];
        match scan(rest) {
            Scan::Whole(length) => {
                emit(&rest[..length], sink);
                text + length
            }
            Scan::Abandoned(length) => {
                // What was executed inside an abandoned sequence still counts.
                emit_controls(&rest[..length], sink);
                text + length
            }
            Scan::String(kind) => {
                self.state = State::String { kind, overlong: false, escape: false };
                text + 2
            }
            Scan::Unfinished => {
                self.pending.extend_from_slice(rest);
                self.state = State::Sequence;
                self.bound_sequence();
                bytes.len()
            }
        }
    }

    /// Completes a character that a feed cut in two; returns how many bytes were used.
    fn rest_of_character(&mut self, bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) -> usize {
        let mut used = 0;
        while used < bytes.len()
            && is_continuation(bytes[used])
            && unfinished_character(&self.pending) > 0
        {
            self.pending.push(bytes[used]);
            used += 1;
        }
        if used < bytes.len() || unfinished_character(&self.pending) == 0 {
            sink(Token::Text(&self.pending));
            self.pending.clear();
        }
        used
    }

    /// Goes on with an unfinished sequence byte by byte; returns how many bytes were used.
    fn rest_of_sequence(&mut self, bytes: &[u8], sink: &mut impl FnMut(Token<'_>)) -> usize {
        for (index, &byte) in bytes.iter().enumerate() {
            self.pending.push(byte);
            let used = match scan(&self.pending) {
                Scan::Unfinished => {
                    if self.bound_sequence() {
                        return index + 1;
                    }
                    continue;
                }
                Scan::Whole(_) => {
                    emit(&self.pending, sink);
                    index + 1
                }
                Scan::Abandoned(length) => {
                    emit_controls(&self.pending[..length], sink);
                    // The byte that ended the sequence may begin the next thing.
                    index + 1 - (self.pending.len() - length)
                }
                Scan::String(kind) => {
                    self.pending.clear();
                    self.state = State::String { kind, overlong: false, escape: false };
                    return index + 1;
                }
            };
            self.pending.clear();
            self.state = State::Ground;
            return used;
        }
        bytes.len()
    }

    /// Gives up on a sequence past its bound; says whether it did.
    fn bound_sequence(&mut self) -> bool {
        let overlong = self.pending.len() > MAX_SEQUENCE;
        if overlong {
            self.pending.clear();
            self.state = State::Overlong;
        }
        overlong
    }

    fn skip_overlong(&mut self, bytes: &[u8]) -> usize {
        let end = bytes
            .iter()
            .position(|byte| matches!(*byte, 0x40..=0x7e | ESCAPE | CANCEL | SUBSTITUTE));
        let Some(end) = end else { return bytes.len() };
        self.state = State::Ground;
        if bytes[end] == ESCAPE { end } else { end + 1 }
    }

    /// Goes on with a string; returns how many bytes were used.
    fn string(
        &mut self,
        bytes: &[u8],
        kind: StringKind,
        overlong: bool,
        escape: bool,
        sink: &mut impl FnMut(Token<'_>),
    ) -> usize {
        if escape {
            // ESC ends the string; only with a backslash was it meant to.
            let terminated = bytes[0] == b'\\';
            self.end_string(kind, overlong || !terminated, false, sink);
            if terminated {
                return 1;
            }
            self.pending.push(ESCAPE);
            self.state = State::Sequence;
            return 0;
        }
        let end = memchr3(BELL, ESCAPE, CANCEL, bytes).unwrap_or(bytes.len());
        let end = memchr(SUBSTITUTE, &bytes[..end]).unwrap_or(end);
        let overlong = self.keep(kind, overlong, &bytes[..end]);
        match bytes.get(end) {
            None => {
                self.state = State::String { kind, overlong, escape: false };
                end
            }
            Some(&ESCAPE) => {
                self.state = State::String { kind, overlong, escape: true };
                end + 1
            }
            Some(&BELL) if kind == StringKind::Command => {
                self.end_string(kind, overlong, true, sink);
                end + 1
            }
            Some(&BELL) => {
                self.state = State::String { kind, overlong, escape: false };
                end + 1
            }
            Some(_) => {
                self.end_string(kind, true, false, sink);
                end + 1
            }
        }
    }

    /// Keeps what may be kept of a string; says whether it is now too long to be used.
    fn keep(&mut self, kind: StringKind, overlong: bool, bytes: &[u8]) -> bool {
        let bound = match kind {
            StringKind::Command => MAX_OSC,
            StringKind::Device => MAX_DCS,
            StringKind::Other => 0,
        };
        let room = bound - self.pending.len().min(bound);
        if overlong || (bytes.len() > room && kind == StringKind::Command) {
            self.pending = Vec::new();
            return true;
        }
        self.pending.extend_from_slice(&bytes[..bytes.len().min(room)]);
        false
    }

    fn end_string(
        &mut self,
        kind: StringKind,
        dropped: bool,
        bell: bool,
        sink: &mut impl FnMut(Token<'_>),
    ) {
        if !dropped {
            match kind {
                StringKind::Command => sink(Token::Command { payload: &self.pending, bell }),
                StringKind::Device => sink(Token::Device(&self.pending)),
                StringKind::Other => {}
            }
        }
        // A long command's memory is given back at once.
        self.pending = Vec::new();
        self.state = State::Ground;
    }
}

enum Scan {
    /// A whole sequence of this length.
    Whole(usize),
    /// Nothing came of the first bytes, as many as given; what follows starts afresh.
    Abandoned(usize),
    String(StringKind),
    Unfinished,
}

/// Reads one sequence from bytes that begin with ESC.
fn scan(bytes: &[u8]) -> Scan {
    let Some(&second) = bytes.get(1) else { return Scan::Unfinished };
    match second {
        b'[' => scan_body(bytes, 2, 0x20..=0x3f, 0x40..=0x7e),
        b']' => Scan::String(StringKind::Command),
        b'P' => Scan::String(StringKind::Device),
        b'X' | b'^' | b'_' => Scan::String(StringKind::Other),
        // Nobody writes a control inside so short a sequence: a stray ESC is let go of.
        0..0x20 | 0x7f => Scan::Abandoned(1),
        _ => scan_body(bytes, 1, 0x20..=0x2f, 0x30..=0x7e),
    }
}

fn scan_body(
    bytes: &[u8],
    start: usize,
    body: std::ops::RangeInclusive<u8>,
    last: std::ops::RangeInclusive<u8>,
) -> Scan {
    for (index, &byte) in bytes.iter().enumerate().skip(start) {
        if last.contains(&byte) {
            return Scan::Whole(index + 1);
        }
        match byte {
            _ if body.contains(&byte) => {}
            CANCEL | SUBSTITUTE => return Scan::Abandoned(index + 1),
            // A new sequence, or text: an escape is ASCII throughout.
            ESCAPE | 0x80.. => return Scan::Abandoned(index),
            _ => {}
        }
    }
    Scan::Unfinished
}

/// Hands on a whole sequence, after the controls that stood inside it.
fn emit(raw: &[u8], sink: &mut impl FnMut(Token<'_>)) {
    let clean = |byte: &u8| (0x20..=0x7e).contains(byte);
    if raw[1..].iter().all(clean) {
        return emit_clean(raw, sink);
    }
    emit_controls(raw, sink);
    let mut cleaned = vec![ESCAPE];
    cleaned.extend(raw[1..].iter().copied().filter(|byte| clean(byte)));
    emit_clean(&cleaned, sink);
}

fn emit_clean(raw: &[u8], sink: &mut impl FnMut(Token<'_>)) {
    let last = raw[raw.len() - 1];
    if raw[1] != b'[' {
        return sink(Token::Escape { intermediates: &raw[1..raw.len() - 1], last, raw });
    }
    let body = &raw[2..raw.len() - 1];
    let private = body.first().copied().filter(|byte| (b'<'..=b'?').contains(byte)).unwrap_or(0);
    let body = if private == 0 { body } else { &body[1..] };
    let split = body.iter().position(|byte| *byte < 0x30).unwrap_or(body.len());
    let (parameters, intermediates) = body.split_at(split);
    let grammatical = parameters.iter().all(|byte| *byte <= b';')
        && intermediates.iter().all(|byte| *byte < 0x30);
    if grammatical {
        sink(Token::Control(Control { private, parameters, intermediates, last, raw }));
    }
}

/// Hands on the C0 controls that stand inside a sequence: they act at once.
fn emit_controls(raw: &[u8], sink: &mut impl FnMut(Token<'_>)) {
    for (index, byte) in raw.iter().enumerate() {
        if *byte < 0x20 && !matches!(*byte, ESCAPE | CANCEL | SUBSTITUTE) {
            sink(Token::Text(&raw[index..=index]));
        }
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

/// How many bytes at the end begin a character that more bytes could complete.
fn unfinished_character(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        if is_continuation(byte) {
            continue;
        }
        let length = match byte {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let start = &bytes[bytes.len() - back..];
        let could_be = std::str::from_utf8(start).is_err_and(|error| error.error_len().is_none());
        return if back < length && could_be { back } else { 0 };
    }
    0
}
