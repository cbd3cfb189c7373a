//! Answers to what a program asks its terminal: fixed ones, whoever is looking.
//!
//! Nothing a program sent is ever part of an answer, so no text of its own can come back to it as
//! if it had been typed. Answers that nobody reads are dropped rather than kept.

use alacritty_terminal::term::TermMode;

use super::filter::Control;
use super::terminal::Terminal;

/// Answers kept until they are taken. A program that asks this much in one go reads none of them.
const MAX_BYTES: usize = 4096;
/// The size a cell is said to have, in pixels.
const CELL_WIDTH: u32 = 8;
const CELL_HEIGHT: u32 = 16;
/// A dark theme, so that programs choose colours for one.
const FOREGROUND: (u8, u8, u8) = (0xd8, 0xd8, 0xd8);
const BACKGROUND: (u8, u8, u8) = (0x18, 0x18, 0x18);
/// The sixteen colours of the same theme.
const PALETTE: [(u8, u8, u8); 16] = [
    (0x18, 0x18, 0x18),
    (0xcc, 0x55, 0x55),
    (0x6a, 0xa8, 0x5c),
    (0xd0, 0xa0, 0x50),
    (0x5c, 0x8f, 0xd0),
    (0xa8, 0x74, 0xc4),
    (0x54, 0xa8, 0xa8),
    (0xd8, 0xd8, 0xd8),
    (0x70, 0x70, 0x70),
    (0xe8, 0x78, 0x78),
    (0x90, 0xc8, 0x80),
    (0xe8, 0xc0, 0x78),
    (0x84, 0xb0, 0xe8),
    (0xc8, 0x98, 0xe0),
    (0x7c, 0xc8, 0xc8),
    (0xf8, 0xf8, 0xf8),
];
/// Modes of the DEC series that can be asked for and the bits that tell them.
const PRIVATE_MODES: [(u16, TermMode); 17] = [
    (1, TermMode::APP_CURSOR),
    (6, TermMode::ORIGIN),
    (7, TermMode::LINE_WRAP),
    (25, TermMode::SHOW_CURSOR),
    (47, TermMode::ALT_SCREEN),
    (66, TermMode::APP_KEYPAD),
    (1000, TermMode::MOUSE_REPORT_CLICK),
    (1002, TermMode::MOUSE_DRAG),
    (1003, TermMode::MOUSE_MOTION),
    (1004, TermMode::FOCUS_IN_OUT),
    (1005, TermMode::UTF8_MOUSE),
    (1006, TermMode::SGR_MOUSE),
    (1007, TermMode::ALTERNATE_SCROLL),
    (1042, TermMode::URGENCY_HINTS),
    (1047, TermMode::ALT_SCREEN),
    (1049, TermMode::ALT_SCREEN),
    (2004, TermMode::BRACKETED_PASTE),
];

/// Answers waiting to be written to the program, in the order it asked.
#[derive(Debug, Default)]
pub(super) struct Replies {
    waiting: Vec<u8>,
}

impl Replies {
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.waiting)
    }

    fn push(&mut self, reply: &str) {
        if self.waiting.len() + reply.len() <= MAX_BYTES {
            self.waiting.extend_from_slice(reply.as_bytes());
        }
    }
}

impl Terminal {
    /// Answers a control sequence that asks something; says whether it was one.
    pub(super) fn answer(&mut self, control: &Control<'_>) -> bool {
        let first = control.number(0);
        let reply = match (control.private, control.intermediates, control.last) {
            (0, [], b'c') if first == 0 => "\x1b[?62;22c".to_owned(),
            (b'>', [], b'c') if first == 0 => "\x1b[>1;10;0c".to_owned(),
            (b'=', [], b'c') if first == 0 => "\x1bP!|00000000\x1b\\".to_owned(),
            (b'>', [], b'q') if first == 0 => {
                concat!("\x1bP>|agentdeck(", env!("CARGO_PKG_VERSION"), ")\x1b\\").to_owned()
            }
            (0, [], b'n') if first == 5 => "\x1b[0n".to_owned(),
            (0, [], b'n') if first == 6 => self.cursor_report(""),
            (b'?', [], b'n') if first == 6 => self.cursor_report("?"),
            // The theme is dark: a program that follows the colour scheme asks like this.
            (b'?', [], b'n') if first == 996 => "\x1b[?997;1n".to_owned(),
            (0, [b'$'], b'p') => self.mode_report(first),
            (b'?', [b'$'], b'p') => self.private_mode_report(first),
            (b'?', [], b'u') => format!("\x1b[?{}u", self.keyboard().0),
            (0, [], b't') => return self.answer_window(first),
            (0 | b'>' | b'=', [], b'c' | b'n') | (b'>', [], b'q') | (b'?', [], b'n') => {
                return true;
            }
            _ => return false,
        };
        self.replies.push(&reply);
        true
    }

    /// Answers questions about the window; every other window operation is left undone.
    fn answer_window(&mut self, operation: u16) -> bool {
        let size = self.size();
        let (columns, rows) = (u32::from(size.columns), u32::from(size.rows));
        let reply = match operation {
            14 => format!("\x1b[4;{};{}t", rows * CELL_HEIGHT, columns * CELL_WIDTH),
            16 => format!("\x1b[6;{CELL_HEIGHT};{CELL_WIDTH}t"),
            18 => format!("\x1b[8;{rows};{columns}t"),
            19 => format!("\x1b[9;{rows};{columns}t"),
            22 => {
                self.titles.push();
                return true;
            }
            23 => {
                self.titles.pop();
                return true;
            }
            _ => return true,
        };
        self.replies.push(&reply);
        true
    }

    /// Answers the primary device attributes, asked in the old way.
    pub(super) fn identify(&mut self) {
        self.replies.push("\x1b[?62;22c");
    }

    fn cursor_report(&self, private: &str) -> String {
        let point = self.term.grid().cursor.point;
        let top = if self.is(TermMode::ORIGIN) { i32::from(self.region.0) } else { 0 };
        format!("\x1b[{private}{};{}R", point.line.0 - top + 1, point.column.0 + 1)
    }

    fn mode_report(&self, mode: u16) -> String {
        let state = match mode {
            4 => report(self.is(TermMode::INSERT)),
            20 => report(self.is(TermMode::LINE_FEED_NEW_LINE)),
            _ => 0,
        };
        format!("\x1b[{mode};{state}$y")
    }

    fn private_mode_report(&self, mode: u16) -> String {
        let known = PRIVATE_MODES.iter().find(|(number, _)| *number == mode);
        let state = match (mode, known) {
            (12, _) => report(self.term.cursor_style().blinking),
            // A question is only read between updates.
            (2026, _) => report(false),
            (_, Some((_, bits))) => report(self.is(*bits)),
            _ => 0,
        };
        format!("\x1b[?{mode};{state}$y")
    }

    /// Acts on an operating system command: titles, links, questions about colours, what is
    /// asked of people, reports of a program's state. All else ends here.
    pub(super) fn command(&mut self, payload: &[u8], bell: bool) {
        let mut parts = payload.splitn(2, |byte| *byte == b';');
        let (Some(number), Some(rest)) = (parts.next(), parts.next()) else { return };
        let terminator = if bell { "\x07" } else { "\x1b\\" };
        match number {
            b"0" | b"2" => self.titles.set(rest),
            b"4" => self.answer_palette(rest, terminator),
            b"8" => self.link(rest),
            b"10" => self.answer_colors(10, rest, terminator),
            b"11" => self.answer_colors(11, rest, terminator),
            b"12" => self.answer_colors(12, rest, terminator),
            // Programs ask this before the device attributes, and report only to whoever answers.
            b"7501" if rest == b"?" => self.replies.push(&format!("\x1b]7501;?{terminator}")),
            b"7501" => self.reports.take(rest),
            b"9" | b"52" | b"99" | b"777" => self.ask(number, rest),
            b"133" if rest == b"A" || rest.starts_with(b"A;") => self.reports.prompt(),
            _ => {}
        }
    }

    fn answer_palette(&mut self, request: &[u8], terminator: &str) {
        let mut parts = request.split(|byte| *byte == b';');
        while let (Some(index), Some(value)) = (parts.next(), parts.next()) {
            let index = std::str::from_utf8(index).ok().and_then(|text| text.parse::<u8>().ok());
            if let (Some(index), b"?") = (index, value) {
                let color = rgb(palette(index));
                self.replies.push(&format!("\x1b]4;{index};{color}{terminator}"));
            }
        }
    }

    /// Foreground (10), background (11) and cursor (12) can be asked for in one command.
    fn answer_colors(&mut self, first: u16, request: &[u8], terminator: &str) {
        for (number, value) in (first..=12).zip(request.split(|byte| *byte == b';')) {
            if value == b"?" {
                let color = rgb(if number == 11 { BACKGROUND } else { FOREGROUND });
                self.replies.push(&format!("\x1b]{number};{color}{terminator}"));
            }
        }
    }

    /// Tells a setting, or that it or a capability is not known, to programs that wait for an
    /// answer.
    pub(super) fn device(&mut self, payload: &[u8]) {
        if payload.starts_with(b"+q") {
            self.replies.push("\x1bP0+r\x1b\\");
        } else if let Some(name) = payload.strip_prefix(b"$q") {
            let reply = match self.setting(name) {
                Some(value) => format!("\x1bP1$r{value}\x1b\\"),
                None => "\x1bP0$r\x1b\\".to_owned(),
            };
            self.replies.push(&reply);
        }
    }
}

fn report(set: bool) -> u8 {
    if set { 1 } else { 2 }
}

fn rgb((red, green, blue): (u8, u8, u8)) -> String {
    format!("rgb:{red:02x}{red:02x}/{green:02x}{green:02x}/{blue:02x}{blue:02x}")
}

/// The usual 256 colours: sixteen of the theme, a cube of six levels, and greys.
fn palette(index: u8) -> (u8, u8, u8) {
    let level = |step: u8| if step == 0 { 0 } else { 55 + 40 * step };
    match index {
        0..=15 => PALETTE[usize::from(index)],
        16..=231 => {
            let cube = index - 16;
            (level(cube / 36), level(cube / 6 % 6), level(cube % 6))
        }
        232.. => {
            let grey = 8 + 10 * (index - 232);
            (grey, grey, grey)
        }
    }
}
