//! The state of a diff on screen: the chosen file as rows, where it is scrolled to, the search.

use crate::model::diff::{Diff, DiffContent, DiffLine, FileDiff, LineKind};
use crate::model::id::EnvironmentId;
use crate::model::input::{Input, KeyCode};
use crate::model::screen::Size;
use crate::proto::{DiffSide, Request, Target};

use super::super::action::Action;
use super::super::view::DIFF_CHROME;
use super::super::widget::{Field, line_text};
use super::scrolled;

/// Narrower terminals show one column, whatever was asked for.
pub(crate) const SIDE_BY_SIDE: u16 = 100;

#[derive(Debug)]
pub(crate) struct DiffView {
    pub(crate) environment: EnvironmentId,
    pub(crate) title: String,
    pub(crate) ticket: u64,
    from: DiffSide,
    to: DiffSide,
    pub(crate) diff: Option<Diff>,
    pub(crate) file: usize,
    /// First row shown of the file.
    pub(crate) top: usize,
    pub(crate) side_by_side: bool,
    pub(crate) search: Search,
    /// The chosen file, unified and side by side.
    unified: Vec<DiffRow>,
    paired: Vec<DiffRow>,
}

/// One row of a file's diff, text already safe to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DiffRow {
    Hunk(String),
    /// Line numbers before and after, and the text.
    Line {
        kind: LineKind,
        old: Option<u32>,
        new: Option<u32>,
        text: String,
    },
    /// The two sides of a row; the flag tells a changed side from context.
    Pair {
        old: Option<(u32, bool, String)>,
        new: Option<(u32, bool, String)>,
    },
    Note(String),
}

impl DiffRow {
    fn contains(&self, needle: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(needle);
        match self {
            Self::Hunk(_) | Self::Note(_) => false,
            Self::Line { text, .. } => has(text),
            Self::Pair { old, new } => {
                [old, new].into_iter().flatten().any(|(_, _, text)| has(text))
            }
        }
    }
}

/// Searching in the file: closed, being typed, or open with `n` and `N` going through matches.
#[derive(Debug, Default)]
pub(crate) enum Search {
    #[default]
    Closed,
    Typing(Field),
    Open(String),
}

impl Search {
    pub(crate) fn needle(&self) -> Option<&str> {
        let text = match self {
            Self::Closed => "",
            Self::Typing(field) => field.text(),
            Self::Open(text) => text,
        };
        Some(text).filter(|text| !text.is_empty())
    }
}

impl DiffView {
    pub(crate) fn since_base(environment: EnvironmentId, name: &str, ticket: u64) -> Self {
        let title = format!("{name} since its base");
        Self::between(environment, title, ticket, DiffSide::Base, DiffSide::Head)
    }

    pub(crate) fn between(
        environment: EnvironmentId,
        title: String,
        ticket: u64,
        from: DiffSide,
        to: DiffSide,
    ) -> Self {
        Self {
            environment,
            title,
            ticket,
            from,
            to,
            diff: None,
            file: 0,
            top: 0,
            side_by_side: false,
            search: Search::Closed,
            unified: Vec::new(),
            paired: Vec::new(),
        }
    }

    pub(crate) fn request(&self) -> Request {
        let target = Target::Id(self.environment.clone());
        Request::ReadDiff { target, from: self.from.clone(), to: self.to.clone() }
    }

    pub(crate) fn fill(&mut self, diff: Diff) {
        self.diff = Some(diff);
        self.choose(0);
    }

    fn choose(&mut self, file: usize) {
        let Some(diff) = &self.diff else { return };
        self.file = file.min(diff.files.len().saturating_sub(1));
        self.top = 0;
        let chosen = diff.files.get(self.file);
        self.unified = chosen.map(|file| rows(file, unified)).unwrap_or_default();
        self.paired = chosen.map(|file| rows(file, paired)).unwrap_or_default();
    }

    /// The rows to show in a terminal this wide.
    pub(crate) fn rows(&self, columns: u16) -> &[DiffRow] {
        if self.is_paired(columns) { &self.paired } else { &self.unified }
    }

    pub(crate) fn is_paired(&self, columns: u16) -> bool {
        self.side_by_side && columns >= SIDE_BY_SIDE
    }

    pub(super) fn act(&mut self, action: Action, size: Size) {
        let page = usize::from(size.rows.saturating_sub(DIFF_CHROME)).max(1);
        let count = self.rows(size.columns).len();
        match action {
            Action::SideBySide => {
                self.side_by_side = !self.side_by_side;
                self.top = 0;
            }
            Action::Search => self.search = Search::Typing(Field::default()),
            Action::Next if self.search.needle().is_some() => self.find(size, true),
            Action::Previous if self.search.needle().is_some() => self.find(size, false),
            Action::Next | Action::Right => self.choose(self.file + 1),
            Action::Previous | Action::Left => self.choose(self.file.saturating_sub(1)),
            action => self.top = scrolled(self.top, action, page, count.saturating_sub(page) + 1),
        }
    }

    /// Goes to the next match after the top row, or the one before it, around the end.
    fn find(&mut self, size: Size, forward: bool) {
        let Some(needle) = self.search.needle().map(str::to_lowercase) else { return };
        let rows = self.rows(size.columns);
        let count = rows.len();
        let place = |offset: usize| {
            let offset = if forward { offset } else { count - offset };
            (self.top + offset) % count.max(1)
        };
        let found = (1..=count).map(place).find(|index| rows[*index].contains(&needle));
        if let Some(index) = found {
            self.top = index;
        }
    }

    /// Gives an input to the search while it is typed; `false` when none is.
    pub(super) fn search_input(&mut self, input: &Input) -> bool {
        let Search::Typing(field) = &mut self.search else { return false };
        match input {
            Input::Key(key) if key.code == KeyCode::Escape => self.search = Search::Closed,
            Input::Key(key) if key.code == KeyCode::Enter => {
                let text = field.text().to_owned();
                self.search = if text.is_empty() { Search::Closed } else { Search::Open(text) };
                let forward = true;
                self.find(Size { columns: u16::MAX, rows: 0 }, forward);
            }
            input => return field.take(input) || matches!(input, Input::Key(_)),
        }
        true
    }

    /// Closes an open search; `false` when there is none.
    pub(super) fn end_search(&mut self) -> bool {
        let open = !matches!(self.search, Search::Closed);
        self.search = Search::Closed;
        open
    }
}

/// A file's rows, its hunks made into rows by `lines`.
fn rows(file: &FileDiff, lines: fn(u32, u32, &[DiffLine], &mut Vec<DiffRow>)) -> Vec<DiffRow> {
    let hunks = match &file.content {
        DiffContent::Text(hunks) if hunks.is_empty() => {
            return vec![DiffRow::Note("no lines changed".to_owned())];
        }
        DiffContent::Text(hunks) => hunks,
        DiffContent::Binary { old, new } => {
            return vec![DiffRow::Note(format!("binary, {old} → {new} bytes"))];
        }
        DiffContent::TooLarge { old, new } => {
            return vec![DiffRow::Note(format!("too large to compare, {old} → {new} bytes"))];
        }
    };
    let mut made = Vec::new();
    for hunk in hunks {
        let (old, new) = (hunk.old_start, hunk.new_start);
        made.push(DiffRow::Hunk(format!(
            "@@ -{old},{} +{new},{} @@",
            hunk.old_lines, hunk.new_lines
        )));
        lines(old, new, &hunk.lines, &mut made);
    }
    made
}

fn unified(mut old: u32, mut new: u32, lines: &[DiffLine], rows: &mut Vec<DiffRow>) {
    for line in lines {
        let (has_old, has_new) = (line.kind != LineKind::Added, line.kind != LineKind::Removed);
        rows.push(DiffRow::Line {
            kind: line.kind,
            old: has_old.then_some(old),
            new: has_new.then_some(new),
            text: line_text(&line.text),
        });
        old += u32::from(has_old);
        new += u32::from(has_new);
        if line.no_newline {
            rows.push(DiffRow::Note("no newline at the end".to_owned()));
        }
    }
}

/// Lines that were removed stand beside those that were added in their place.
fn paired(mut old: u32, mut new: u32, lines: &[DiffLine], rows: &mut Vec<DiffRow>) {
    let mut rest = lines;
    while let Some(first) = rest.first() {
        if first.kind == LineKind::Context {
            let text = line_text(&first.text);
            rows.push(DiffRow::Pair {
                old: Some((old, false, text.clone())),
                new: Some((new, false, text)),
            });
            (old, new, rest) = (old + 1, new + 1, &rest[1..]);
            continue;
        }
        let length = rest.iter().take_while(|line| line.kind != LineKind::Context).count();
        let (block, after) = rest.split_at(length);
        let of = |kind| block.iter().filter(move |line| line.kind == kind);
        let (mut removed, mut added) = (of(LineKind::Removed), of(LineKind::Added));
        loop {
            let pair = (removed.next(), added.next());
            if pair == (None, None) {
                break;
            }
            let side = |line: Option<&DiffLine>, number: &mut u32| {
                line.map(|line| {
                    *number += 1;
                    (*number - 1, true, line_text(&line.text))
                })
            };
            rows.push(DiffRow::Pair { old: side(pair.0, &mut old), new: side(pair.1, &mut new) });
        }
        rest = after;
    }
}
