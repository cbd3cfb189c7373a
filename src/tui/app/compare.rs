//! The state of a comparison on screen: files × attempts, and one file in every version.

use crate::model::diff::{AlignedFile, Comparison};
use crate::model::path::RepoPath;
use crate::model::screen::Size;
use crate::proto::{Request, Target};

use super::super::action::Action;
use super::super::view::LIST_CHROME;
use super::{App, Tag, View, scrolled};

#[derive(Debug)]
pub(crate) struct CompareView {
    pub(crate) targets: Vec<Target>,
    pub(crate) ticket: u64,
    pub(crate) comparison: Option<Comparison>,
    pub(crate) row: usize,
}

impl CompareView {
    pub(crate) fn new(targets: Vec<Target>, ticket: u64) -> Self {
        Self { targets, ticket, comparison: None, row: 0 }
    }
}

#[derive(Debug)]
pub(crate) struct FileView {
    pub(crate) path: RepoPath,
    pub(crate) ticket: u64,
    pub(crate) file: Option<AlignedFile>,
    pub(crate) top: usize,
    /// The first attempt shown beside the base where not all fit.
    pub(crate) column: usize,
}

impl FileView {
    pub(crate) fn fill(&mut self, file: AlignedFile) {
        let first = first_change(&file, 0, true).unwrap_or(0);
        self.top = first.saturating_sub(CONTEXT);
        self.file = Some(file);
    }

    pub(super) fn act(&mut self, action: Action, size: Size) {
        let page = usize::from(size.rows.saturating_sub(LIST_CHROME)).max(1);
        let Some(file) = &self.file else { return };
        let attempts = file.columns.len().saturating_sub(1);
        match action {
            Action::Left => self.column = self.column.saturating_sub(1),
            Action::Right => self.column = (self.column + 1).min(attempts.saturating_sub(1)),
            Action::Next | Action::Previous => {
                let at = self.top + CONTEXT;
                if let Some(row) = first_change(file, at, action == Action::Next) {
                    self.top = row.saturating_sub(CONTEXT);
                }
            }
            action => {
                let count = file.rows.len().saturating_sub(page) + 1;
                self.top = scrolled(self.top, action, page, count);
            }
        }
    }
}

/// Unchanged rows kept above a change that was gone to.
const CONTEXT: usize = 3;

/// The next block of changed rows after `at`, or the one before it.
fn first_change(file: &AlignedFile, at: usize, forward: bool) -> Option<usize> {
    let changed = |row: usize| file.rows[row].cells.iter().flatten().any(|cell| cell.changed);
    let starts = |row: &usize| changed(*row) && (*row == 0 || !changed(*row - 1));
    if forward {
        let from = if at == 0 { 0 } else { at + 1 };
        (from..file.rows.len()).find(starts)
    } else {
        (0..at.min(file.rows.len())).rev().find(starts)
    }
}

impl App {
    pub(super) fn act_on_comparison(&mut self, action: Action) {
        let page = usize::from(self.size.rows.saturating_sub(LIST_CHROME)).max(1);
        let Some(View::Compare(view)) = self.views.last_mut() else { return };
        let Some(comparison) = &view.comparison else { return };
        if action != Action::Open {
            view.row = scrolled(view.row, action, page, comparison.rows.len());
            return;
        }
        let Some(row) = comparison.rows.get(view.row) else { return };
        let (path, targets) = (row.path.clone(), view.targets.clone());
        let ticket = self.ticket();
        let request = Request::CompareFile { targets, path: path.clone() };
        self.send(request, Tag::View(ticket));
        let view = FileView { path, ticket, file: None, top: 0, column: 0 };
        self.views.push(View::File(view));
    }
}
