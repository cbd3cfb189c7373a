//! The state of a diff on screen: its files, what of them was read, where the reader is, what was
//! reviewed.

use std::collections::{BTreeSet, HashMap};

use crate::model::caution;
use crate::model::diff::{
    Detail, Diff, FileDiff, FileSide, LineKind, Review, ReviewMark, Whitespace,
};
use crate::model::id::EnvironmentId;
use crate::model::input::Input;
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::proto::{DiffSide, Request, Target};

use super::super::action::Action;
use super::super::paint::{Painted, Painter, Pen, RUN_UP};
use super::super::view::DIFF_CHROME;
use super::super::words;
use super::diff_rows::{DiffRow, rows};
use super::search::{Search, Typed};
use super::{App, Place, Tag, View};

/// Narrower terminals show one column, whatever was asked for.
pub(crate) const SIDE_BY_SIDE: u16 = 100;

#[derive(Debug)]
pub(crate) struct DiffView {
    pub(crate) environment: EnvironmentId,
    pub(crate) title: String,
    pub(crate) ticket: u64,
    pub(super) from: DiffSide,
    to: DiffSide,
    pub(crate) diff: Option<Diff>,
    /// Indices of the files shown: those that call for caution first.
    pub(crate) order: Vec<usize>,
    /// Whether lines were counted and their characters looked at.
    pub(crate) counted: bool,
    /// The place of the chosen file in the order.
    pub(crate) file: usize,
    /// The row in the file.
    pub(crate) place: Place,
    pub(crate) side_by_side: bool,
    pub(crate) whitespace: Whitespace,
    /// Only what changed since it was reviewed.
    pub(crate) since_reviewed: bool,
    pub(crate) search: Search,
    /// The chosen file, once it was read.
    pub(super) lines: Option<FileDiff>,
    /// The number of the reading under way; an answer to an earlier one is dropped.
    reading: Option<u64>,
    readings: u64,
    folded: BTreeSet<usize>,
    pub(crate) rows: Vec<DiffRow>,
    paired: bool,
    /// Colours of rows that were shown, of the old and the new side.
    pub(crate) painted: HashMap<(usize, bool), Painted>,
    pens: [Pen; 2],
    next: usize,
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
            order: Vec::new(),
            counted: false,
            file: 0,
            place: Place::default(),
            side_by_side: false,
            whitespace: Whitespace::Exact,
            since_reviewed: false,
            search: Search::Closed,
            lines: None,
            reading: None,
            readings: 0,
            folded: BTreeSet::new(),
            rows: Vec::new(),
            paired: false,
            painted: HashMap::new(),
            pens: [Pen::default(), Pen::default()],
            next: 0,
        }
    }

    fn target(&self) -> Target {
        Target::Id(self.environment.clone())
    }

    /// Asks which files differ; their lines are read one file at a time.
    pub(crate) fn request(&self) -> Request {
        let (from, to) = (self.from.clone(), self.to.clone());
        Request::ReadDiff { target: self.target(), from, to, detail: Detail::Outline }
    }

    /// Asks for the files with their lines, for a view that does not read them one by one.
    pub(super) fn whole_request(&self) -> Request {
        let (from, to) = (self.from.clone(), self.to.clone());
        Request::ReadDiff { target: self.target(), from, to, detail: Detail::Lines }
    }

    /// Asks for the same again with more detail: the two commits, not what is newest by then.
    pub(super) fn request_detail(&self, detail: Detail) -> Option<Request> {
        let diff = self.diff.as_ref()?;
        let from = DiffSide::Snapshot(diff.from.clone());
        let to = DiffSide::Snapshot(diff.to.clone());
        Some(Request::ReadDiff { target: self.target(), from, to, detail })
    }

    pub(super) fn fill(&mut self, diff: Diff, counted: bool) {
        let chosen = self.chosen().cloned();
        self.diff = Some(diff);
        self.counted = counted;
        self.arrange(chosen.as_ref().map(|file| &file.path));
        let sides = |file: &FileDiff| (file.old_blob.clone(), file.new_blob.clone());
        if chosen.as_ref().map(sides) != self.chosen().map(sides) {
            self.read_again();
        }
    }

    /// Has the chosen file read anew, while what was read of it stays on the screen.
    pub(super) fn read_again(&mut self) {
        self.lines = None;
        self.reading = None;
    }

    /// Orders the files anew and stays at the one that was chosen.
    fn arrange(&mut self, chosen: Option<&RepoPath>) {
        let Some(diff) = &self.diff else { return };
        let mut order = caution::first(&diff.files);
        if self.since_reviewed {
            order.retain(|index| diff.files[*index].review != Review::Reviewed);
        }
        let found =
            chosen.and_then(|path| order.iter().position(|index| diff.files[*index].path == *path));
        self.order = order;
        match found {
            Some(place) => self.file = place,
            None => self.choose(self.file),
        }
    }

    /// The chosen file, without its lines.
    pub(crate) fn chosen(&self) -> Option<&FileDiff> {
        self.diff.as_ref()?.files.get(*self.order.get(self.file)?)
    }

    fn choose(&mut self, file: usize) {
        self.file = file.min(self.order.len().saturating_sub(1));
        self.place = Place::default();
        self.folded.clear();
        self.forget();
    }

    /// Has the chosen file read anew.
    pub(super) fn forget(&mut self) {
        self.lines = None;
        self.reading = None;
        self.lay_out();
    }

    /// What must be read for what is on the screen, once.
    pub(super) fn wanted(&mut self) -> Option<(Request, u64)> {
        if self.lines.is_some() || self.reading.is_some() {
            return None;
        }
        let file = self.chosen()?;
        let side = |mode: Option<u32>, blob: &Option<_>| {
            Some(FileSide { mode: mode?, blob: blob.clone()? })
        };
        let mut old = side(file.old_mode, &file.old_blob);
        if let (true, Review::Changed { since }) = (self.since_reviewed, &file.review) {
            old = Some(since.clone());
        }
        let request = Request::ReadFileDiff {
            target: self.target(),
            path: file.path.clone(),
            old_path: file.old_path.clone(),
            old,
            new: side(file.new_mode, &file.new_blob),
            whitespace: self.whitespace,
        };
        self.readings += 1;
        self.reading = Some(self.readings);
        Some((request, self.readings))
    }

    pub(super) fn fill_file(&mut self, reading: u64, file: FileDiff) {
        if self.reading == Some(reading) {
            self.lines = Some(file);
            self.lay_out();
        }
    }

    fn lay_out(&mut self) {
        self.painted.clear();
        self.pens.iter_mut().for_each(Pen::lift);
        self.next = 0;
        self.rows = match (&self.lines, self.chosen()) {
            (Some(lines), _) => rows(lines, self.paired, &self.folded),
            (None, Some(file)) => rows(file, self.paired, &self.folded),
            (None, None) => Vec::new(),
        };
    }

    pub(super) fn act(&mut self, action: Action, size: Size) {
        let page = page(size);
        match action {
            Action::SideBySide => {
                self.side_by_side = !self.side_by_side;
                self.place = Place::default();
            }
            Action::Whitespace => {
                self.whitespace = match self.whitespace {
                    Whitespace::Exact => Whitespace::Ignored,
                    Whitespace::Ignored => Whitespace::Exact,
                };
                self.forget();
            }
            Action::SinceReviewed => {
                self.since_reviewed = !self.since_reviewed;
                let chosen = self.chosen().map(|file| file.path.clone());
                self.arrange(chosen.as_ref());
                self.forget();
            }
            Action::Search => self.search = Search::begin(),
            Action::Next if self.search.needle().is_some() => self.find(page, true),
            Action::Previous if self.search.needle().is_some() => self.find(page, false),
            Action::Next => self.next_hunk(page, true),
            Action::Previous => self.next_hunk(page, false),
            Action::NextFile | Action::Right => self.step(1),
            Action::PreviousFile | Action::Left => self.step(-1),
            Action::Fold => self.fold(page),
            Action::FoldAll => {
                let hunks = self.rows.iter().filter(|row| matches!(row, DiffRow::Hunk { .. }));
                let all: BTreeSet<usize> = (0..hunks.count()).collect();
                self.folded = if self.folded.is_empty() { all } else { BTreeSet::new() };
                self.lay_out();
                self.place = Place::default();
            }
            action => self.place.act(action, page, self.rows.len()),
        }
    }

    fn step(&mut self, by: isize) {
        let next = self.file.saturating_add_signed(by);
        if next < self.order.len() && next != self.file {
            self.choose(next);
        }
    }

    /// The next hunk, of the next file after the last.
    fn next_hunk(&mut self, page: usize, forward: bool) {
        let is_hunk = |row: &usize| matches!(self.rows[*row], DiffRow::Hunk { .. });
        let found = if forward {
            (self.place.row + 1..self.rows.len()).find(is_hunk)
        } else {
            (0..self.place.row.min(self.rows.len())).rev().find(is_hunk)
        };
        match found {
            Some(row) => self.place.go(row, page, self.rows.len()),
            None => self.step(if forward { 1 } else { -1 }),
        }
    }

    /// The hunk the reader is in.
    pub(super) fn hunk_here(&self) -> Option<usize> {
        let mut before = self.rows.iter().take(self.place.row + 1).rev();
        before.find_map(|row| match row {
            DiffRow::Hunk { hunk, .. } => Some(*hunk),
            _ => None,
        })
    }

    /// Folds the hunk the reader is in, or unfolds it.
    fn fold(&mut self, page: usize) {
        let Some(chosen) = self.hunk_here() else { return };
        if !self.folded.remove(&chosen) {
            self.folded.insert(chosen);
        }
        self.lay_out();
        let row = self
            .rows
            .iter()
            .position(|row| matches!(row, DiffRow::Hunk { hunk, .. } if *hunk == chosen));
        self.place.row = row.unwrap_or(0);
        self.place.show(page, self.rows.len());
    }

    /// Goes to the next match after the row, or the one before it, around the end.
    fn find(&mut self, page: usize, forward: bool) {
        let Some(needle) = self.search.needle().map(str::to_lowercase) else { return };
        let count = self.rows.len();
        let place = |offset: usize| {
            let offset = if forward { offset } else { count - offset };
            (self.place.row + offset) % count.max(1)
        };
        let found = (1..=count).map(place).find(|index| self.rows[*index].contains(&needle));
        if let Some(index) = found {
            self.place.go(index, page, count);
        }
    }

    /// Gives an input to the search while it is typed; `false` when none is.
    pub(super) fn search_input(&mut self, input: &Input, size: Size) -> bool {
        let typed = self.search.take(input);
        if typed == Typed::Entered {
            self.find(page(size), true);
        }
        typed != Typed::Other
    }

    /// Closes an open search; `false` when there is none.
    pub(super) fn end_search(&mut self) -> bool {
        self.search.end()
    }

    /// Marks the chosen file as reviewed as it is shown, or takes the mark back; goes on to the
    /// next one that is not.
    fn review(&mut self) -> Option<Request> {
        let index = *self.order.get(self.file)?;
        let file = self.diff.as_mut()?.files.get_mut(index)?;
        let reviewed = file.review != Review::Reviewed;
        file.review = if reviewed { Review::Reviewed } else { Review::Unreviewed };
        let content = match (file.new_mode, &file.new_blob) {
            (Some(mode), Some(blob)) => Some(FileSide { mode, blob: blob.clone() }),
            _ => None,
        };
        let mark = ReviewMark { path: file.path.clone(), content, reviewed };
        if reviewed {
            let files = self.diff.as_ref().map_or(&[][..], |diff| &diff.files);
            let open = |place: &usize| files[self.order[*place]].review != Review::Reviewed;
            let next = (self.file + 1..self.order.len()).find(open);
            if let Some(place) = next {
                self.choose(place);
            }
        }
        Some(Request::MarkReviewed { target: self.target(), mark })
    }

    /// How many files were reviewed as they are.
    pub(crate) fn reviewed(&self) -> usize {
        let files = self.diff.as_ref().map_or(&[][..], |diff| &diff.files);
        files.iter().filter(|file| file.review == Review::Reviewed).count()
    }

    pub(crate) fn is_paired(&self, columns: u16) -> bool {
        self.side_by_side && columns >= SIDE_BY_SIDE
    }

    /// Colours what is on the screen; `false` when it took too long and is to go on.
    pub(super) fn paint(&mut self, painter: &mut Painter, size: Size) -> bool {
        if self.paired != self.is_paired(size.columns) {
            self.paired = !self.paired;
            self.lay_out();
        }
        let page = page(size);
        self.place.show(page, self.rows.len());
        let Some(path) = self.chosen().map(|file| file.path.as_bytes().to_vec()) else {
            return true;
        };
        let end = (self.place.top + page).min(self.rows.len());
        let unpainted = |row: &usize| {
            self.texts(*row).iter().any(|(new, _)| !self.painted.contains_key(&(*row, *new)))
        };
        let Some(first) = (self.place.top..end).find(unpainted) else { return true };
        if !(self.next..=self.next + RUN_UP).contains(&first) {
            self.pens.iter_mut().for_each(Pen::lift);
            self.next = first.saturating_sub(RUN_UP);
        }
        while self.next < end {
            let row = self.next;
            if matches!(self.rows[row], DiffRow::Hunk { .. }) {
                self.pens.iter_mut().for_each(Pen::lift);
            }
            for (new, text) in self.texts(row) {
                let pen = &mut self.pens[usize::from(new)];
                let Some(mut painted) = painter.line(pen, row, &path, &text) else { return false };
                painted.emphasised = self.emphasis(row, new, &text);
                self.painted.insert((row, new), painted);
            }
            self.next += 1;
        }
        true
    }

    /// The texts of a row by their side, `true` being the new one.
    fn texts(&self, row: usize) -> Vec<(bool, String)> {
        match &self.rows[row] {
            DiffRow::Line { kind: LineKind::Context, text, .. } => {
                vec![(false, text.clone()), (true, text.clone())]
            }
            DiffRow::Line { kind, text, .. } => vec![(*kind == LineKind::Added, text.clone())],
            DiffRow::Pair { old, new } => {
                let of = |side: &Option<_>, new| {
                    side.as_ref().map(|side: &super::diff_rows::PairSide| (new, side.text.clone()))
                };
                [of(old, false), of(new, true)].into_iter().flatten().collect()
            }
            DiffRow::Hunk { .. } | DiffRow::Note(_) => Vec::new(),
        }
    }

    fn emphasis(&self, row: usize, new: bool, text: &str) -> Vec<std::ops::Range<usize>> {
        match &self.rows[row] {
            DiffRow::Line { partner: Some(partner), .. } => match &self.rows[*partner] {
                DiffRow::Line { text: other, .. } => words::changed(other, text),
                _ => Vec::new(),
            },
            DiffRow::Pair { old: Some(old), new: Some(fresh) } if old.changed => {
                words::changed(if new { &old.text } else { &fresh.text }, text)
            }
            _ => Vec::new(),
        }
    }
}

pub(super) fn page(size: Size) -> usize {
    usize::from(size.rows.saturating_sub(DIFF_CHROME + 1)).max(1)
}

impl App {
    pub(super) fn act_on_diff(&mut self, action: Action) {
        let size = self.size;
        let Some(View::Diff(view)) = self.views.last_mut() else { return };
        match action {
            Action::Review => {
                if let Some(request) = view.review() {
                    self.send(request, Tag::Quiet);
                }
            }
            Action::Export => {
                if let Some(request) = view.request_detail(Detail::Lines) {
                    let name = self.name_of_view();
                    self.say("reading the whole patch …");
                    self.send(request, Tag::Export(name));
                }
            }
            Action::TakeHunk | Action::TakeFile => self.take_of_diff(action),
            Action::SinceTaken => self.diff_since_taken(),
            Action::Undo => self.undo(),
            Action::Comment => self.begin_comment(),
            Action::Comments => self.show_comments(),
            action => view.act(action, size),
        }
    }

    fn name_of_view(&self) -> String {
        match self.views.last() {
            Some(View::Diff(view)) => self.name(&view.environment),
            _ => String::new(),
        }
    }

    /// Asks for the lines that the diff on top shows and does not have.
    pub(super) fn settle_diff(&mut self) {
        let Some(View::Diff(view)) = self.views.last_mut() else { return };
        let ticket = view.ticket;
        if let Some((request, reading)) = view.wanted() {
            self.send(request, Tag::FileDiff { ticket, reading });
        }
    }
}
