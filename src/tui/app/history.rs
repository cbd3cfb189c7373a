//! The state of a history on screen: snapshots, newest first, growing while it is open.

use crate::model::id::{EnvironmentId, Timestamp};
use crate::model::snapshot::Snapshot;
use crate::proto::DiffSide;

use super::super::action::Action;
use super::super::view::LIST_CHROME;
use super::{App, DiffView, Tag, View, scrolled};

#[derive(Debug)]
pub(crate) struct HistoryView {
    pub(crate) environment: EnvironmentId,
    pub(crate) ticket: u64,
    /// Newest first; `None` until the server answered.
    pub(crate) snapshots: Option<Vec<Snapshot>>,
    pub(crate) row: usize,
    /// Taken before the answer came.
    early: Vec<Snapshot>,
}

impl HistoryView {
    pub(crate) fn new(environment: EnvironmentId, ticket: u64) -> Self {
        Self { environment, ticket, snapshots: None, row: 0, early: Vec::new() }
    }

    /// Takes the history as the server has it, oldest first.
    pub(crate) fn fill(&mut self, mut snapshots: Vec<Snapshot>) {
        snapshots.reverse();
        self.snapshots = Some(snapshots);
        for snapshot in std::mem::take(&mut self.early) {
            self.add(snapshot);
        }
    }

    /// Puts a new snapshot on top. The chosen row stays the same snapshot, unless it is the
    /// newest, which is followed.
    pub(crate) fn add(&mut self, snapshot: Snapshot) {
        let Some(snapshots) = &mut self.snapshots else {
            self.early.push(snapshot);
            return;
        };
        if snapshots.iter().any(|known| known.id == snapshot.id) {
            return;
        }
        snapshots.insert(0, snapshot);
        if self.row > 0 {
            self.row += 1;
        }
    }

    /// The moment of the newest snapshot, whose age changes most often.
    pub(crate) fn newest(&self) -> Option<Timestamp> {
        self.snapshots.as_ref()?.first().map(|snapshot| snapshot.at)
    }
}

impl App {
    pub(super) fn act_on_history(&mut self, action: Action) {
        let page = usize::from(self.size.rows.saturating_sub(LIST_CHROME)).max(1);
        let Some(View::History(view)) = self.views.last_mut() else { return };
        let Some(snapshots) = &view.snapshots else { return };
        if action != Action::Open {
            view.row = scrolled(view.row, action, page, snapshots.len());
            return;
        }
        let Some(snapshot) = snapshots.get(view.row).cloned() else { return };
        let environment = view.environment.clone();
        let name = self.name(&environment);
        let from = match &snapshot.parent {
            Some(parent) => DiffSide::Snapshot(parent.clone()),
            None => DiffSide::Base,
        };
        let title = format!("{name}, snapshot {}", snapshot.id.short());
        let ticket = self.ticket();
        let to = DiffSide::Snapshot(snapshot.id);
        let view = DiffView::between(environment, title, ticket, from, to);
        self.send(view.request(), Tag::View(ticket));
        self.views.push(View::Diff(view));
    }
}
