//! Single effects of a terminal, each told beforehand: what is shown, where the cursor stands, how
//! it looks, what a program is answered. `cases.txt` has them; another emulator is fed the same,
//! so that what is told beforehand is not only our own opinion. `docs/terminal.md` keeps the score.

use std::fmt::Write as _;

use super::{Emulator, seen, size};
use crate::model::screen::{Attributes, Color, Row, Size, Style};

const CASES: &str = include_str!("cases.txt");
const SIZE: Size = Size { columns: 10, rows: 5 };

/// What is known to be otherwise here, and why it stays so.
const OTHERWISE: &[(&str, &str)] = &[
    ("LF in a full row goes down in the last column", AS_TMUX),
    ("EL clears the last cell of a full row", AS_TMUX),
    ("DECSED clears what is not protected", NOT_THERE),
    ("DECSEL clears what is not protected", NOT_THERE),
    ("DECSED clears what nobody protected", NOT_THERE),
    ("DECERA clears a rectangle", NOT_THERE),
    ("DECFRA fills a rectangle", NOT_THERE),
    ("DECCRA copies a rectangle", NOT_THERE),
    ("DECSLRM sets margins at the sides", NOT_THERE),
    ("What is below the alternate screen goes on", INTO_THE_PAST),
    (
        "Wide characters go on whole",
        "the cursor after one that went on is a cell too far left, until its program moves it",
    ),
];
const AS_TMUX: &str = "a full row goes on waiting, as in tmux and vt100";
const NOT_THERE: &str = "no program that was tried here asks for it";
const INTO_THE_PAST: &str =
    "rows above go into the scrollback while there is room below; no text is lost";

/// What a section's cases tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Screen,
    Style,
    Reflow,
    Answers,
}

struct Section {
    title: &'static str,
    kind: Kind,
    cases: Vec<Case>,
}

struct Case {
    name: &'static str,
    output: &'static str,
    expected: &'static str,
}

fn sections() -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let lines = CASES.lines().filter(|line| !line.is_empty() && !line.starts_with("# "));
    for line in lines.filter(|line| *line != "#") {
        if let Some(title) = line.strip_prefix("## ") {
            let (title, kind) = match title.split_once(" [") {
                Some((title, "style]")) => (title, Kind::Style),
                Some((title, "reflow]")) => (title, Kind::Reflow),
                Some((title, "answers]")) => (title, Kind::Answers),
                _ => (title, Kind::Screen),
            };
            sections.push(Section { title, kind, cases: Vec::new() });
            continue;
        }
        let (name, rest) = line.split_once(": ").expect("a name");
        let (output, expected) = rest.split_once(" =>").expect("what is expected");
        let expected = expected.strip_prefix(' ').unwrap_or(expected);
        let section = sections.last_mut().expect("a heading");
        section.cases.push(Case { name, output, expected });
    }
    sections
}

/// Bytes for pictures of controls. Two accents stand for the marks that they are pictures of.
fn bytes(text: &str) -> Vec<u8> {
    let control = |character: char| match character {
        '\u{2400}'..='\u{241f}' => char::from((character as u32 - 0x2400) as u8),
        '\u{2421}' => '\x7f',
        '´' => '\u{301}',
        '¨' => '\u{308}',
        other => other,
    };
    text.chars().map(control).collect::<String>().into_bytes()
}

fn picture(bytes: &[u8]) -> String {
    let picture = |byte: &u8| match byte {
        0..0x20 => char::from_u32(0x2400 + u32::from(*byte)).expect("a picture"),
        _ => char::from(*byte),
    };
    bytes.iter().map(picture).collect()
}

/// Rows divided by `/` and the place of the cursor, both as in the cases.
fn shown(rows: &[String], row: u16, column: u16) -> String {
    let mut rows: Vec<String> = rows
        .iter()
        .map(|row| row.trim_end().replace(' ', "·").replace('\u{301}', "´").replace('\u{308}', "¨"))
        .collect();
    while rows.last().is_some_and(String::is_empty) {
        rows.pop();
    }
    format!("{} @ {};{}", rows.join("/"), row + 1, column + 1)
}

fn our_screen(emulator: &mut Emulator) -> String {
    let (screen, _) = seen(emulator);
    let rows: Vec<String> = screen.rows.iter().map(Row::text).collect();
    shown(&rows, screen.cursor.row, screen.cursor.column)
}

fn our_style(emulator: &mut Emulator) -> String {
    let (screen, _) = seen(emulator);
    described(screen.rows[0].runs.first().map_or_else(Style::default, |run| run.style))
}

fn described(style: Style) -> String {
    const NAMES: [(u8, &str); 7] = [
        (Attributes::BOLD, "bold"),
        (Attributes::DIM, "dim"),
        (Attributes::ITALIC, "italic"),
        (Attributes::UNDERLINE, "underline"),
        (Attributes::INVERSE, "inverse"),
        (Attributes::HIDDEN, "hidden"),
        (Attributes::STRIKETHROUGH, "strikethrough"),
    ];
    let names = NAMES.iter().filter(|(bit, _)| style.attributes.has(*bit));
    let mut words: Vec<String> = names.map(|(_, name)| (*name).to_owned()).collect();
    for (place, color) in [("fg", style.foreground), ("bg", style.background)] {
        match color {
            Color::Default => {}
            Color::Indexed(index) => words.push(format!("{place}={index}")),
            Color::Rgb(r, g, b) => words.push(format!("{place}=#{r:02x}{g:02x}{b:02x}")),
        }
    }
    if words.is_empty() { "plain".to_owned() } else { words.join(" ") }
}

/// A size written as `10x5`.
fn side(text: &str) -> Size {
    let (columns, rows) = text.split_once('x').expect("two sides");
    size(columns.parse().expect("a number"), rows.parse().expect("a number"))
}

/// Plays a case, a piece at a time: cut anywhere, it is the same.
fn played(output: &str) -> Emulator {
    let mut emulator = Emulator::new(SIZE);
    for byte in bytes(output) {
        emulator.feed(&[byte]);
    }
    emulator
}

fn ours(kind: Kind, case: &Case) -> String {
    match kind {
        Kind::Screen => our_screen(&mut played(case.output)),
        Kind::Style => our_style(&mut played(case.output)),
        Kind::Answers => picture(&played(case.output).take_replies()),
        Kind::Reflow => {
            let mut steps = case.output.split(" > ");
            let mut emulator = played(steps.next().expect("output"));
            for step in steps {
                match step.split_once(' ') {
                    Some((step, after)) => {
                        emulator.resize(side(step));
                        emulator.feed(&bytes(after));
                    }
                    None => emulator.resize(side(step)),
                }
            }
            our_screen(&mut emulator)
        }
    }
}

/// What another emulator makes of it; nothing of what it does not do at all.
fn theirs(kind: Kind, case: &Case) -> Option<String> {
    let nonzero = |length| std::num::NonZero::new(length).expect("a size");
    let mut parser = vt100::Parser::new(nonzero(SIZE.rows), nonzero(SIZE.columns), 0);
    parser.process(&bytes(case.output));
    let screen = parser.screen();
    match kind {
        Kind::Screen => {
            let rows: Vec<String> = screen.rows(0, SIZE.columns).collect();
            let (row, column) = screen.cursor_position();
            Some(shown(&rows, row, column.min(SIZE.columns - 1)))
        }
        Kind::Style => {
            let cell = screen.cell(0, 0)?;
            let color = |color| match color {
                vt100::Color::Default => Color::Default,
                vt100::Color::Idx(index) => Color::Indexed(index),
                vt100::Color::Rgb(r, g, b) => Color::Rgb(r, g, b),
            };
            let bits = [
                (cell.bold(), Attributes::BOLD),
                (cell.dim(), Attributes::DIM),
                (cell.italic(), Attributes::ITALIC),
                (cell.underline(), Attributes::UNDERLINE),
                (cell.inverse(), Attributes::INVERSE),
            ];
            let set = bits.into_iter().filter(|(set, _)| *set).map(|(_, bit)| bit);
            Some(described(Style {
                foreground: color(cell.fgcolor()),
                background: color(cell.bgcolor()),
                attributes: Attributes(set.fold(0, |all, bit| all | bit)),
                link: None,
            }))
        }
        Kind::Reflow | Kind::Answers => None,
    }
}

/// The page of documentation, made from the cases.
fn page() -> String {
    let mut page = String::from(
        "# The terminal of a session\n\nWhat a program prints is played to an emulator of our \
         own keeping, and what is told here is played to it by a test, byte by byte: \
         `src/term/tests/conformance/cases.txt` says what each case must show, as ECMA-48, the \
         manuals of the VT220 and VT510 and xterm's control sequences have it. Another emulator \
         (vt100) is given the same, as far as it does such things at all. The page is made by the \
         test; `AGENTDECK_WRITE_DOCS=1` rewrites it.\n\n| | cases | as expected | vt100 |\n\
         |---|---|---|---|\n",
    );
    let (mut all, mut right) = (0, 0);
    for section in sections() {
        let Section { title, kind, cases } = &section;
        let passed = cases.iter().filter(|case| ours(*kind, case) == case.expected).count();
        let other = cases.iter().filter_map(|case| Some((theirs(*kind, case)?, case)));
        let other: Vec<bool> = other.map(|(theirs, case)| theirs == case.expected).collect();
        let theirs = match other.len() {
            0 => "–".to_owned(),
            _ => other.iter().filter(|same| **same).count().to_string(),
        };
        let _ = writeln!(page, "| {title} | {} | {passed} | {theirs} |", cases.len());
        all += cases.len();
        right += passed;
    }
    let _ = writeln!(page, "| **all** | **{all}** | **{right}** | |");
    page.push_str("\n## What is otherwise\n\n");
    for (name, why) in OTHERWISE {
        let _ = writeln!(page, "- {name}: {why}");
    }
    page
}

#[test]
fn every_case_shows_what_it_must() {
    let mut wrong = String::new();
    for section in sections() {
        for case in &section.cases {
            let got = ours(section.kind, case);
            let known = OTHERWISE.iter().any(|(name, _)| *name == case.name);
            if (got == case.expected) == known {
                let other = theirs(section.kind, case).unwrap_or_default();
                let Case { name, output, expected } = case;
                let _ = writeln!(
                    wrong,
                    "{name}: {output}\n  expected {expected}\n  got      {got}\n  vt100    {other}"
                );
            }
        }
    }
    assert!(wrong.is_empty(), "not as it must be, or better than is known:\n{wrong}");
}

#[test]
fn the_cases_are_many_and_no_two_are_called_the_same() {
    let mut names: Vec<&str> =
        sections().iter().flat_map(|section| &section.cases).map(|case| case.name).collect();
    assert!(names.len() >= 200, "{}", names.len());
    names.sort_unstable();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
    assert!(OTHERWISE.iter().all(|(name, _)| names.contains(name)), "a case that is not there");
}

#[test]
fn the_page_of_the_terminal_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/terminal.md");
    if std::env::var_os("AGENTDECK_WRITE_DOCS").is_some() {
        std::fs::write(path, page()).expect("docs can be written");
    }
    let written = std::fs::read_to_string(path).expect("docs/terminal.md exists");
    assert_eq!(written, page(), "run the test with AGENTDECK_WRITE_DOCS=1 to rewrite it");
}
