//! The colours of source text, line by line, as far as they are shown.
//!
//! Grammars are loaded when the first file is shown. What they read was written by an agent: a
//! line's length is bounded, and so is the time spent between two frames.

use std::ops::Range;
use std::time::{Duration, Instant};

use syntect::parsing::{ParseState, Scope, ScopeStack, SyntaxReference, SyntaxSet};

/// Longer lines, in bytes, are shown without colours and end what was known above them.
const LONGEST: usize = 1000;
/// Lines above the first one shown that are read to know where it stands.
pub(crate) const RUN_UP: usize = 60;
/// Time for colours in one go: half a frame. What is left comes with the next.
const BUDGET: Duration = Duration::from_millis(8);

/// What a piece of source text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Comment,
    Text,
    Number,
    Keyword,
    Name,
}

/// A line with what its parts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Painted {
    /// Parts that are not plain, in order.
    pub(crate) tones: Vec<(Range<usize>, Tone)>,
    /// Parts that make the line differ.
    pub(crate) emphasised: Vec<Range<usize>>,
}

/// Knows the grammars, once one was asked for.
#[derive(Default)]
pub(crate) struct Painter {
    grammars: Option<Grammars>,
    /// When this go ends.
    until: Option<Instant>,
}

struct Grammars {
    set: SyntaxSet,
    kinds: Vec<(Scope, Tone)>,
}

/// Where the reading of one text stands.
#[derive(Debug, Default)]
pub(crate) struct Pen {
    /// The row that comes next, and the state before it.
    next: usize,
    state: Option<(ParseState, ScopeStack)>,
}

impl Pen {
    /// The row to read from so that `row` comes out right.
    pub(crate) fn begin(&mut self, row: usize) -> usize {
        // Also where it was lifted: a go that ended there must not begin above it again.
        let near = (self.next..=self.next + RUN_UP).contains(&row);
        if !near {
            self.state = None;
            self.next = row.saturating_sub(RUN_UP);
        }
        self.next
    }

    /// What comes next does not follow on what was read.
    pub(crate) fn lift(&mut self) {
        self.state = None;
    }
}

impl Painter {
    /// Begins a go.
    pub(crate) fn begin(&mut self) {
        self.until = Some(Instant::now() + BUDGET);
    }

    /// Reads the next line of a file; `None` when the time of this go is over.
    pub(crate) fn line(
        &mut self,
        pen: &mut Pen,
        row: usize,
        path: &[u8],
        text: &str,
    ) -> Option<Painted> {
        if self.until.is_some_and(|until| Instant::now() >= until) {
            return None;
        }
        pen.next = row + 1;
        if text.len() > LONGEST {
            pen.lift();
            return Some(Painted::default());
        }
        let grammars = self.grammars.get_or_insert_with(Grammars::load);
        if pen.state.is_none() {
            let Some(syntax) = grammars.of(path) else { return Some(Painted::default()) };
            pen.state = Some((ParseState::new(syntax), ScopeStack::new()));
        }
        let tones = pen.state.as_mut().and_then(|state| grammars.tones(state, text));
        if tones.is_none() {
            pen.lift();
        }
        Some(Painted { tones: tones.unwrap_or_default(), emphasised: Vec::new() })
    }
}

impl Grammars {
    fn load() -> Self {
        // The first that is part of a scope's name decides, innermost scope first.
        let kinds = [
            ("comment", Tone::Comment),
            ("string", Tone::Text),
            ("constant.character", Tone::Text),
            ("constant", Tone::Number),
            ("keyword.operator", Tone::Plain),
            ("keyword", Tone::Keyword),
            ("storage", Tone::Keyword),
            ("entity.name", Tone::Name),
            ("support", Tone::Name),
            ("variable", Tone::Plain),
            ("punctuation.section", Tone::Plain),
            ("meta.interpolation", Tone::Plain),
        ];
        let kinds =
            kinds.into_iter().filter_map(|(name, tone)| Some((Scope::new(name).ok()?, tone)));
        Self { set: two_face::syntax::extra_no_newlines(), kinds: kinds.collect() }
    }

    /// By the file's whole name, as for a Makefile, or its ending.
    fn of(&self, path: &[u8]) -> Option<&SyntaxReference> {
        let path = String::from_utf8_lossy(path);
        let name = path.rsplit('/').next()?;
        let ending = name.rsplit('.').next()?;
        let find = |token: &str| self.set.find_syntax_by_extension(token);
        find(name).or_else(|| find(ending)).filter(|syntax| syntax.name != "Plain Text")
    }

    fn tones(
        &self,
        (state, stack): &mut (ParseState, ScopeStack),
        text: &str,
    ) -> Option<Vec<(Range<usize>, Tone)>> {
        let operations = state.parse_line(text, &self.set).ok()?;
        let mut tones: Vec<(Range<usize>, Tone)> = Vec::new();
        let mut at = 0;
        let mut push = |range: Range<usize>, tone: Tone| match tones.last_mut() {
            _ if range.is_empty() || tone == Tone::Plain => {}
            Some((last, known)) if *known == tone && last.end == range.start => {
                last.end = range.end;
            }
            _ => tones.push((range, tone)),
        };
        for (index, operation) in operations {
            let index = index.min(text.len());
            push(at..index, self.tone(stack));
            at = index;
            stack.apply(&operation).ok()?;
        }
        push(at..text.len(), self.tone(stack));
        Some(tones)
    }

    fn tone(&self, stack: &ScopeStack) -> Tone {
        let kind = |scope: &Scope| {
            self.kinds.iter().find(|(kind, _)| kind.is_prefix_of(*scope)).map(|(_, tone)| *tone)
        };
        stack.as_slice().iter().rev().find_map(kind).unwrap_or(Tone::Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toned(path: &str, lines: &[&str]) -> Vec<Vec<(String, Tone)>> {
        let mut painter = Painter::default();
        let mut pen = Pen::default();
        let mut read = |(row, line): (usize, &&str)| {
            let painted =
                painter.line(&mut pen, row, path.as_bytes(), line).expect("no end is set");
            painted.tones.into_iter().map(|(range, tone)| (line[range].to_owned(), tone)).collect()
        };
        lines.iter().enumerate().map(&mut read).collect()
    }

    #[test]
    fn a_go_that_ended_where_the_pen_was_lifted_goes_on_there() {
        let mut painter = Painter::default();
        let mut pen = Pen::default();
        let row = 3 * RUN_UP;
        assert_eq!(pen.begin(row), row - RUN_UP);
        painter.line(&mut pen, row, b"a.rs", "fn a() {}").expect("in time");
        pen.lift();
        painter.until = Some(Instant::now());
        assert_eq!(painter.line(&mut pen, row + 1, b"a.rs", "fn b() {}"), None, "too late");
        assert_eq!(pen.begin(row + 1), row + 1);
        assert_eq!(pen.begin(row + 5 * RUN_UP), row + 4 * RUN_UP, "far below");
        assert_eq!(pen.begin(0), 0, "above");
    }

    #[test]
    fn source_is_read_by_its_ending_and_over_several_lines() {
        let lines = toned("src/a.rs", &["let x = \"a\"; /* one", "two */ 42"]);
        let has = |line: usize, word: &str, tone| {
            assert!(lines[line].contains(&(word.to_owned(), tone)), "{word} in {lines:?}");
        };
        has(0, "let", Tone::Keyword);
        has(0, "\"a\"", Tone::Text);
        has(0, "/* one", Tone::Comment);
        has(1, "two */", Tone::Comment);
        has(1, "42", Tone::Number);
    }

    #[test]
    fn what_has_no_grammar_or_is_too_long_stays_plain() {
        assert_eq!(toned("notes", &["let x"]), [[]]);
        let long = format!("let x = {}", "1 + ".repeat(LONGEST));
        assert_eq!(toned("a.rs", &[&long]), [[]]);
        for ending in ["ts", "tsx", "toml", "py", "go", "json", "yaml", "md", "sh", "c"] {
            let known = Grammars::load().of(format!("a.{ending}").as_bytes()).is_some();
            assert!(known, "{ending}");
        }
        assert!(Grammars::load().of(b"sub/Makefile").is_some());
    }

    #[test]
    fn a_go_that_is_over_reads_nothing() {
        let mut painter = Painter { until: Some(Instant::now()), ..Painter::default() };
        assert_eq!(painter.line(&mut Pen::default(), 0, b"a.rs", "let"), None);
    }
}
