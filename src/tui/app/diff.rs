//! The state of a diff on screen: its files, what of them was read, where the reader is, what was
//! reviewed.

mod comments;
mod live;
mod paint;
mod reader;
mod search;

pub(super) use comments::Commentable;
use search::Goal;

use std::collections::{BTreeSet, HashMap};

use crate::model::caution;
use crate::model::comment::Comment;
use crate::model::diff::{
    Detail, Diff, DiffContent, FileDiff, FileMatches, FileSide, LARGEST, Reach, Review, ReviewMark,
    Whitespace,
};
use crate::model::id::EnvironmentId;
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::proto::{DiffSide, Request, Target};

use super::super::action::Action;
use super::super::paint::{Painted, Pen};
use super::super::view::DIFF_CHROME;
use super::compare::Refresh;
use super::diff_rows::{DiffRow, rows, with_comments};
use super::search::Search;
use super::{App, Place, Tag, View};

/// Narrower terminals show one column, whatever was asked for.
pub(crate) const SIDE_BY_SIDE: u16 = 100;
/// Columns that long lines are moved by.
pub(super) const SIDEWAYS: usize = 16;

#[derive(Debug)]
pub(crate) struct DiffView {
    pub(crate) environment: EnvironmentId,
    pub(crate) title: String,
    pub(crate) ticket: u64,
    pub(super) from: DiffSide,
    pub(super) to: DiffSide,
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
    /// Rows that hold what is searched for.
    pub(crate) matches: usize,
    /// Files that hold it, once that is known.
    pub(crate) everywhere: Option<Vec<FileMatches>>,
    /// Whether that was asked for.
    searching: bool,
    /// Words that the paths of the files shown have.
    pub(crate) filter: Search,
    /// Files that are in no snapshot, and so in no diff.
    pub(crate) left_out: usize,
    /// The chosen file, once it was read.
    pub(super) lines: Option<FileDiff>,
    /// The chosen file is another than was read; what was stays until the answer comes.
    stale: bool,
    /// It could not be read; it is asked for again when it changes, or when it is needed.
    unreadable: bool,
    /// Whether it is read although it is large.
    reach: Reach,
    /// The number of the reading under way; an answer to an earlier one is dropped.
    reading: Option<u64>,
    readings: u64,
    folded: BTreeSet<usize>,
    pub(crate) rows: Vec<DiffRow>,
    /// Columns of the largest line number.
    pub(crate) digits: usize,
    /// The first column shown of every line.
    pub(crate) left: usize,
    /// Whether keys move in the list of files.
    pub(crate) listing: bool,
    /// What people said of its lines, in the order of files and lines.
    pub(crate) comments: Vec<Comment>,
    /// Where the reader goes once the file is read.
    goal: Option<Goal>,
    pub(super) refresh: Refresh,
    paired: bool,
    /// Columns that a row of a comment has.
    said: usize,
    /// Colours of rows that were shown, of the old and the new side.
    pub(crate) painted: HashMap<(usize, bool), Painted>,
    pens: [Pen; 2],
    next: usize,
}

impl DiffView {
    pub(crate) fn since_base(environment: EnvironmentId, name: &str, ticket: u64) -> Self {
        let title = format!("{name} since its base");
        Self::between(environment, title, ticket, DiffSide::Base, DiffSide::Newest)
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
            matches: 0,
            everywhere: None,
            searching: false,
            filter: Search::Closed,
            left_out: 0,
            lines: None,
            stale: false,
            unreadable: false,
            reach: Reach::Usual,
            reading: None,
            readings: 0,
            folded: BTreeSet::new(),
            rows: Vec::new(),
            digits: 0,
            left: 0,
            listing: false,
            comments: Vec::new(),
            goal: None,
            refresh: Refresh::Idle,
            paired: false,
            said: usize::MAX,
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

    /// Orders the files anew and stays at the one that was chosen.
    fn arrange(&mut self, chosen: Option<&RepoPath>) {
        let Some(diff) = &self.diff else { return };
        let mut order = caution::first(&diff.files);
        if self.since_reviewed {
            order.retain(|index| diff.files[*index].review != Review::Reviewed);
        }
        order.retain(|index| self.passes(&diff.files[*index]));
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
        self.left = 0;
        self.reach = Reach::Usual;
        self.folded.clear();
        self.goal = None;
        self.forget();
    }

    /// Has the chosen file read anew.
    pub(super) fn forget(&mut self) {
        self.lines = None;
        (self.stale, self.unreadable) = (false, false);
        self.reading = None;
        self.lay_out();
    }

    /// What must be read for what is on the screen, once.
    pub(super) fn wanted(&mut self) -> Option<(Request, u64)> {
        if self.is_read() || self.unreadable || self.reading.is_some() {
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
            reach: self.reach,
        };
        self.readings += 1;
        self.reading = Some(self.readings);
        Some((request, self.readings))
    }

    fn lay_out(&mut self) {
        self.painted.clear();
        self.pens.iter_mut().for_each(Pen::lift);
        self.next = 0;
        self.rows = match (&self.lines, self.chosen()) {
            (Some(FileDiff { content: DiffContent::TooLarge { .. }, .. }), _)
                if self.reach == Reach::Whole =>
            {
                vec![DiffRow::Note("too many lines to compare".to_owned())]
            }
            (Some(lines), _) => {
                let rows = rows(lines, self.paired, &self.folded);
                with_comments(rows, &self.comments_of_chosen(), self.said)
            }
            (None, Some(_)) if self.unreadable => {
                vec![DiffRow::Note("could not be read".to_owned())]
            }
            (None, Some(_)) if self.reach == Reach::Whole => {
                vec![DiffRow::Note("reading …".to_owned())]
            }
            (None, Some(file)) => {
                let rows = rows(file, self.paired, &self.folded);
                with_comments(rows, &self.comments_of_chosen(), self.said)
            }
            (None, None) => Vec::new(),
        };
        let file = self.lines.as_ref().or(self.chosen());
        self.digits = file.map_or(0, largest_number).to_string().len();
        self.count_matches();
    }

    pub(super) fn act(&mut self, action: Action, size: Size) {
        let page = page(size);
        if self.listing && self.act_on_list(action, page) {
            return;
        }
        match action {
            Action::OtherPanel => self.listing = true,
            Action::ScrollLeft => self.left = self.left.saturating_sub(SIDEWAYS),
            Action::ScrollRight => self.scroll_right(page),
            Action::SideBySide => {
                self.side_by_side = !self.side_by_side;
            }
            Action::Whitespace => {
                self.whitespace = match self.whitespace {
                    Whitespace::Exact => Whitespace::Ignored,
                    Whitespace::Ignored => Whitespace::Exact,
                };
                // What was read stays, and with it the reader's place, until the answer comes.
                if self.lines.is_some() { self.read_again() } else { self.forget() }
            }
            Action::SinceReviewed => {
                self.since_reviewed = !self.since_reviewed;
                let chosen = self.chosen().map(|file| file.path.clone());
                self.arrange(chosen.as_ref());
                self.forget();
            }
            Action::Search => self.search = Search::begin(),
            Action::Filter => self.filter = Search::begin(),
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

    /// Folds the hunk the reader is in, or unfolds it; has a large file read.
    fn fold(&mut self, page: usize) {
        let content = self.lines.as_ref().or(self.chosen()).map(|file| &file.content);
        if let Some(DiffContent::TooLarge { old, new }) = content
            && old + new <= LARGEST
            && self.reach == Reach::Usual
        {
            self.reach = Reach::Whole;
            self.forget();
            return;
        }
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

    /// Whether a mark on the chosen file is of what is on the screen. One is taken off any time.
    fn may_review(&self) -> bool {
        self.is_read() || self.chosen().is_none_or(|file| file.review == Review::Reviewed)
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
}

/// The largest line number of either side.
fn largest_number(file: &FileDiff) -> u32 {
    let DiffContent::Text(hunks) = &file.content else { return 0 };
    let last = hunks.last().map(|hunk| {
        (hunk.old_start + hunk.old_lines).max(hunk.new_start + hunk.new_lines).saturating_sub(1)
    });
    last.unwrap_or(0)
}

pub(super) fn page(size: Size) -> usize {
    usize::from(size.rows.saturating_sub(DIFF_CHROME + 1)).max(1)
}

impl App {
    pub(super) fn act_on_diff(&mut self, action: Action) {
        let size = self.size;
        let Some(View::Diff(view)) = self.views.last_mut() else { return };
        match action {
            Action::Review if !view.may_review() => self.say_unread(),
            Action::Review => {
                if let Some(request) = view.review() {
                    view.refresh.outdate();
                    self.send(request, Tag::Quiet);
                }
            }
            Action::Export => {
                if let Some(request) = view.request_detail(Detail::Patch) {
                    let environment = view.environment.clone();
                    let name = self.name(&environment);
                    self.say("reading the whole patch …");
                    self.send(request, Tag::Export { environment, name });
                }
            }
            Action::TakeHunk | Action::TakeFile => self.take_of_diff(action),
            Action::SinceTaken => self.diff_since_taken(),
            Action::Undo => self.undo(),
            Action::SideBySide if size.columns < SIDE_BY_SIDE => {
                self.say(format!("side by side takes {SIDE_BY_SIDE} columns"));
            }
            Action::Comment => self.begin_comment(),
            Action::Comments => self.list_comments(),
            action => view.act(action, size),
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
