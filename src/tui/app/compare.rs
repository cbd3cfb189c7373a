//! The state of a comparison on screen: files × attempts, filtered, the most disagreement first,
//! kept up to date while the agents work.

use crate::model::comparison::Comparison;
use crate::model::diff::Detail;
use crate::model::id::EnvironmentId;
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::proto::{DiffSide, Freshness, Request, Target};

use super::super::action::Action;
use super::super::view::COMPARE_CHROME;
use super::search::{Search, Typed};
use super::{App, FileView, Place, Tag, View};
use crate::model::input::Input;

#[derive(Debug)]
pub(crate) struct CompareView {
    pub(crate) attempts: Vec<EnvironmentId>,
    pub(crate) ticket: u64,
    pub(crate) comparison: Option<Comparison>,
    /// Indices of the rows shown, in their order.
    pub(crate) order: Vec<usize>,
    pub(crate) place: Place,
    /// The attempt that is taken from.
    pub(crate) attempt: usize,
    pub(crate) filter: Search,
    pub(super) refresh: Refresh,
}

/// Asking again, one request at a time, however fast things change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Refresh {
    #[default]
    Idle,
    Asked,
    /// Something changed again since it was asked.
    AskedAndStale,
}

impl Refresh {
    /// Something changed; whether to ask now.
    pub(super) fn change(&mut self) -> bool {
        let idle = *self == Self::Idle;
        *self = if idle { Self::Asked } else { Self::AskedAndStale };
        idle
    }

    /// Something was done here that an answer on its way does not know of.
    pub(super) fn outdate(&mut self) {
        if *self == Self::Asked {
            *self = Self::AskedAndStale;
        }
    }

    /// The answer came; whether to ask once more.
    pub(super) fn answered(&mut self) -> bool {
        let stale = *self == Self::AskedAndStale;
        *self = if stale { Self::Asked } else { Self::Idle };
        stale
    }
}

impl CompareView {
    pub(crate) fn new(attempts: Vec<EnvironmentId>, ticket: u64) -> Self {
        Self {
            attempts,
            ticket,
            comparison: None,
            order: Vec::new(),
            place: Place::default(),
            attempt: 0,
            filter: Search::Closed,
            refresh: Refresh::Idle,
        }
    }

    fn request(&self, freshness: Freshness, detail: Detail) -> Request {
        Request::Compare { targets: targets(&self.attempts), freshness, detail }
    }

    /// Takes a newer comparison; the reader stays at the file, and where it stood on the screen.
    pub(super) fn fill(&mut self, comparison: Comparison) {
        let chosen = self.chosen().map(|row| row.path.clone());
        self.comparison = Some(comparison);
        self.arrange(chosen.as_ref());
    }

    fn arrange(&mut self, chosen: Option<&RepoPath>) {
        let Some(comparison) = &self.comparison else { return };
        let needle = self.filter.needle().unwrap_or_default().to_lowercase();
        let words: Vec<&str> = needle.split_whitespace().collect();
        let wanted = |index: &usize| {
            let path = comparison.rows[*index].path.to_string().to_lowercase();
            words.iter().all(|word| path.contains(word))
        };
        let mut order = comparison.by_disagreement();
        order.retain(wanted);
        let found = chosen
            .and_then(|path| order.iter().position(|index| comparison.rows[*index].path == *path));
        self.order = order;
        if let Some(row) = found {
            self.place.top = (self.place.top + row).saturating_sub(self.place.row);
            self.place.row = row;
        }
        self.place.row = self.place.row.min(self.order.len().saturating_sub(1));
        self.place.top = self.place.top.min(self.place.row);
    }

    pub(crate) fn chosen(&self) -> Option<&crate::model::comparison::ComparisonRow> {
        self.row(self.place.row)
    }

    pub(crate) fn row(&self, at: usize) -> Option<&crate::model::comparison::ComparisonRow> {
        self.comparison.as_ref()?.rows.get(*self.order.get(at)?)
    }

    pub(super) fn act(&mut self, action: Action, size: Size) {
        match action {
            Action::Search => self.filter = Search::begin(),
            Action::Left => self.attempt = self.attempt.saturating_sub(1),
            Action::Right => {
                self.attempt = (self.attempt + 1).min(self.attempts.len().saturating_sub(1));
            }
            action => self.place.act(action, page(size), self.order.len()),
        }
    }

    /// Brings the chosen row into sight.
    pub(super) fn show(&mut self, size: Size) {
        self.place.show(page(size), self.order.len());
    }

    /// Gives an input to the filter while it is typed; `false` when none is.
    pub(super) fn typed(&mut self, input: &Input) -> bool {
        let typed = self.filter.take(input);
        if typed == Typed::Changed {
            let chosen = self.chosen().map(|row| row.path.clone());
            self.arrange(chosen.as_ref());
        }
        typed != Typed::Other
    }

    /// Shows all files again; `false` when no filter is set.
    pub(super) fn end_filter(&mut self) -> bool {
        let ended = self.filter.end();
        if ended {
            let chosen = self.chosen().map(|row| row.path.clone());
            self.arrange(chosen.as_ref());
        }
        ended
    }
}

pub(super) fn targets(attempts: &[EnvironmentId]) -> Vec<Target> {
    attempts.iter().cloned().map(Target::Id).collect()
}

pub(super) fn page(size: Size) -> usize {
    usize::from(size.rows.saturating_sub(COMPARE_CHROME)).max(1)
}

impl App {
    /// Opens a comparison: first from what is there, without a line counted, then as it is now.
    pub(crate) fn open_comparison(&mut self, attempts: Vec<EnvironmentId>) {
        let ticket = self.ticket();
        let mut view = CompareView::new(attempts, ticket);
        self.send(view.request(Freshness::Newest, Detail::Outline), Tag::View(ticket));
        view.refresh.change();
        self.send(view.request(Freshness::Now, Detail::Counted), Tag::Refresh(ticket));
        self.views.push(View::Compare(view));
    }

    pub(super) fn act_on_comparison(&mut self, action: Action) {
        let size = self.size;
        let Some(View::Compare(view)) = self.views.last_mut() else { return };
        match action {
            Action::Open => {}
            Action::TakeFile => return self.take_compared(action),
            Action::Undo => return self.undo(),
            action => return view.act(action, size),
        }
        let Some(row) = view.chosen() else { return };
        let (path, cells, column) = (row.path.clone(), row.cells.clone(), view.attempt);
        let attempts = view.attempts.clone();
        let ticket = self.ticket();
        let mut view = FileView::new(attempts, path, ticket);
        (view.cells, view.column) = (cells, column);
        self.send(view.request(), Tag::View(ticket));
        self.views.push(View::File(view));
    }

    pub(super) fn act_on_compared_file(&mut self, action: Action) {
        let size = self.size;
        match action {
            Action::NextFile | Action::PreviousFile => {
                self.next_compared_file(action == Action::NextFile);
            }
            Action::TakeFile | Action::TakeHunk => self.take_compared(action),
            Action::Undo => self.undo(),
            action => {
                if let Some(View::File(view)) = self.views.last_mut() {
                    view.act(action, size);
                }
            }
        }
    }

    /// Has an opened file know what the matrix below it knows now.
    pub(super) fn tell_compared_file(&mut self) {
        let [.., View::Compare(matrix), View::File(file)] = self.views.as_mut_slice() else {
            return;
        };
        let rows = matrix.comparison.as_ref().map_or(&[][..], |found| &found.rows);
        if let Some(row) = rows.iter().find(|row| row.path == file.path) {
            file.cells.clone_from(&row.cells);
        }
    }

    /// The next file of the comparison that a file was opened from, or the one before it.
    pub(super) fn next_compared_file(&mut self, forward: bool) {
        let page = page(self.size);
        let [.., View::Compare(matrix), View::File(_)] = self.views.as_mut_slice() else { return };
        let action = if forward { Action::Down } else { Action::Up };
        let before = matrix.place.row;
        matrix.place.act(action, page, matrix.order.len());
        if matrix.place.row != before {
            let Some(View::File(file)) = self.views.pop() else { return };
            if let Some(View::Compare(matrix)) = self.views.last_mut() {
                matrix.attempt = file.column;
            }
            self.act_on_comparison(Action::Open);
        }
    }

    /// Has every diff and comparison that shows an environment read again after its snapshot.
    pub(super) fn refresh_views(&mut self, environment: &EnvironmentId) {
        let mut requests = Vec::new();
        for view in &mut self.views {
            let (shows, refresh) = match view {
                View::Compare(view) => (view.attempts.contains(environment), &mut view.refresh),
                View::File(view) => (view.attempts.contains(environment), &mut view.refresh),
                View::Diff(view) if view.is_live() => {
                    (view.environment == *environment, &mut view.refresh)
                }
                _ => continue,
            };
            if shows && refresh.change() {
                requests.extend(view.refresh_request().map(|request| (request, view.ticket())));
            }
        }
        for (request, ticket) in requests {
            self.send(request, Tag::Refresh(ticket));
        }
    }

    /// A refresh was answered, in whatever way: asks once more if something changed since.
    pub(super) fn refreshed(&mut self, ticket: u64) {
        let view = self.views.iter_mut().find(|view| view.ticket() == ticket);
        let request = view.and_then(|view| {
            let stale = match view {
                View::Compare(view) => view.refresh.answered(),
                View::File(view) => view.refresh.answered(),
                View::Diff(view) => view.refresh.answered(),
                _ => false,
            };
            stale.then(|| view.refresh_request()).flatten()
        });
        if let Some(request) = request {
            self.send(request, Tag::Refresh(ticket));
        }
    }
}

impl View {
    /// What a diff or a comparison asks again after a snapshot; other views ask nothing.
    fn refresh_request(&self) -> Option<Request> {
        match self {
            Self::Compare(view) => Some(view.request(Freshness::Newest, Detail::Counted)),
            Self::File(view) => Some(view.request()),
            Self::Diff(view) => Some(view.request_again(DiffSide::Newest)),
            _ => None,
        }
    }
}
