//! The state of a history on screen: snapshots, newest first, growing while it is open; the one
//! chosen, what it changed and what the agent showed then.

use crate::model::id::{CommitId, EnvironmentId, Timestamp};
use crate::model::screen::{Screen, Size};
use crate::model::snapshot::Snapshot;
use crate::proto::{DiffSide, Reply, Request, Target};

use super::super::action::Action;
use super::super::paint::Painter;
use super::super::view::{DIFF_CHROME, LIST_CHROME, Timeline};
use super::{App, DiffView, NameForm, Overlay, Tag, View, scrolled};

/// Snapshots read at once: more than a wide terminal has columns.
const PAGE: u32 = 400;
/// Older ones are read when the chosen one is so near to the oldest that is there.
const AHEAD: usize = 100;
/// Snapshots that stay in sight on both sides of one that keys go to.
const BESIDE: usize = 8;

#[derive(Debug)]
pub(crate) struct HistoryView {
    pub(crate) environment: EnvironmentId,
    pub(crate) ticket: u64,
    /// Newest first; `None` until the server answered.
    pub(crate) snapshots: Option<Vec<Snapshot>>,
    pub(crate) row: usize,
    /// The newest one on the line of snapshots, which stands still while the mouse goes along it.
    pub(crate) newest: usize,
    /// The snapshots as rows, instead of the chosen one in a line of them.
    pub(crate) list: bool,
    /// Where not both fit: the terminal instead of the diff.
    pub(crate) other: bool,
    /// What changed since the base, instead of since the snapshot before.
    pub(crate) since_base: bool,
    /// What is shown of a snapshot, which may still be the one chosen before.
    pub(crate) step: Option<Box<DiffView>>,
    pub(crate) moment: Moment,
    /// Which snapshot the step and the moment are of, and whether the step is since the base.
    shown: Shown,
    /// Asked of the server: one of each at a time, so that scrubbing asks for what it ends at.
    asked: Asked,
    /// Taken before the answer came.
    early: Vec<Snapshot>,
}

#[derive(Debug, Default)]
struct Shown {
    step: Option<(CommitId, bool)>,
    moment: Option<CommitId>,
}

/// Each with the ticket its answer comes with.
#[derive(Debug, Default)]
struct Asked {
    step: Option<(u64, (CommitId, bool), Box<DiffView>)>,
    moment: Option<(u64, CommitId)>,
    older: Option<u64>,
}

/// The agent's screen at the chosen snapshot.
#[derive(Debug, Default)]
pub(crate) enum Moment {
    #[default]
    Unread,
    NotKept,
    Kept(Box<Screen>),
}

impl HistoryView {
    pub(crate) fn new(environment: EnvironmentId, ticket: u64) -> Self {
        Self {
            environment,
            ticket,
            snapshots: None,
            row: 0,
            newest: 0,
            list: false,
            other: false,
            since_base: false,
            step: None,
            moment: Moment::Unread,
            shown: Shown::default(),
            asked: Asked::default(),
            early: Vec::new(),
        }
    }

    /// Asks for the newest snapshots, at least as many as are known.
    pub(crate) fn request(&self) -> Request {
        let known = self.snapshots.as_ref().map_or(0, Vec::len) as u32;
        let target = Target::Id(self.environment.clone());
        Request::ReadHistory { target, before: None, limit: Some(known.max(PAGE)) }
    }

    pub(crate) fn chosen(&self) -> Option<&Snapshot> {
        self.snapshots.as_ref()?.get(self.row)
    }

    /// Whether the moment is of the chosen snapshot.
    pub(crate) fn is_current(&self) -> bool {
        self.shown.moment.as_ref() == self.chosen().map(|chosen| &chosen.id)
    }

    /// Takes the newest snapshots as the server has them, oldest first. The chosen one stays.
    pub(crate) fn fill(&mut self, mut snapshots: Vec<Snapshot>) {
        snapshots.reverse();
        let chosen = self.chosen().filter(|_| self.row > 0).map(|chosen| chosen.id.clone());
        let place = |id: CommitId| snapshots.iter().position(|known| known.id == id);
        self.row = chosen.and_then(place).unwrap_or(0);
        self.snapshots = Some(snapshots);
        for snapshot in std::mem::take(&mut self.early) {
            self.add(snapshot);
        }
    }

    /// Puts a new snapshot on top; `false` where others are missing in between. The chosen one
    /// stays, unless it is the newest, which is followed.
    pub(crate) fn add(&mut self, snapshot: Snapshot) -> bool {
        let Some(snapshots) = &mut self.snapshots else {
            self.early.push(snapshot);
            return true;
        };
        if snapshots.iter().any(|known| known.id == snapshot.id) {
            return true;
        }
        let follows =
            snapshots.first().is_none_or(|newest| snapshot.parent.as_ref() == Some(&newest.id));
        snapshots.insert(0, snapshot);
        if self.row > 0 {
            self.row += 1;
            self.newest += 1;
        }
        follows
    }

    /// Moments whose ages are on the screen.
    pub(crate) fn ages(&self) -> impl Iterator<Item = Timestamp> {
        let newest = self.snapshots.as_ref().and_then(|snapshots| snapshots.first());
        newest.into_iter().chain(self.chosen()).map(|snapshot| snapshot.at)
    }

    fn has_base(&self) -> bool {
        let oldest = self.snapshots.as_ref().and_then(|snapshots| snapshots.last());
        oldest.is_none_or(|oldest| oldest.parent.is_none())
    }

    /// The diff of the chosen snapshot, from the one before or from the base.
    fn diff_of(&self, snapshot: &Snapshot, name: &str, ticket: u64) -> DiffView {
        let from = match &snapshot.parent {
            Some(parent) if !self.since_base => DiffSide::Snapshot(parent.clone()),
            _ => DiffSide::Base,
        };
        let short = snapshot.id.short();
        let title = if self.since_base {
            format!("{name} at {short} since its base")
        } else {
            format!("{name}, snapshot {short}")
        };
        let to = DiffSide::Snapshot(snapshot.id.clone());
        DiffView::between(self.environment.clone(), title, ticket, from, to)
    }
}

impl App {
    pub(super) fn act_on_history(&mut self, action: Action) {
        let size = self.size;
        let Some(View::History(view)) = self.views.last_mut() else { return };
        match action {
            Action::SnapshotList => view.list = !view.list,
            Action::OtherPanel => view.other = !view.other,
            Action::SinceBase => view.since_base = !view.since_base,
            Action::Open => self.open_step(),
            Action::Restore => self.restore_chosen(),
            Action::Fork => self.fork_chosen(),
            Action::NameSnapshot => self.name_chosen(),
            Action::Undo => self.undo(),
            action if view.list => {
                let page = usize::from(size.rows.saturating_sub(LIST_CHROME)).max(1);
                let count = view.snapshots.as_ref().map_or(0, Vec::len);
                view.row = scrolled(view.row, action, page, count);
            }
            action => view.act(action, size),
        }
        self.read_chosen();
    }

    /// Chooses what stands at a place of the line of snapshots; `false` when nothing does.
    pub(super) fn scrub_to(&mut self, at: ratatui::layout::Position) -> bool {
        let size = self.size;
        let Some(View::History(view)) = self.views.last_mut() else { return false };
        let Some(row) = Timeline::of(size, view).and_then(|line| line.row_at(at)) else {
            return false;
        };
        self.dirty |= view.row != row;
        view.row = row;
        self.read_chosen();
        true
    }

    /// Whether a place is on the line of snapshots.
    pub(super) fn is_on_timeline(&self, at: ratatui::layout::Position) -> bool {
        let Some(View::History(view)) = self.views.last() else { return false };
        Timeline::of(self.size, view).is_some_and(|line| line.row_at(at).is_some())
    }

    /// Asks for what the views of the chosen snapshot lack.
    pub(super) fn read_chosen(&mut self) {
        let Some(View::History(view)) = self.views.last() else { return };
        let id = view.environment.clone();
        let name = self.name(&id);
        let target = || Target::Id(id.clone());
        let (mut requests, tickets) = (Vec::new(), self.tickets);
        let Some(View::History(view)) = self.views.last_mut() else { return };
        let Some(chosen) = view.chosen().cloned() else { return };
        let step = (chosen.id.clone(), view.since_base);
        if !view.list && view.shown.step.as_ref() != Some(&step) && view.asked.step.is_none() {
            let ticket = tickets + 1;
            let diff = view.diff_of(&chosen, &name, ticket);
            requests.push((diff.whole_request(), ticket));
            view.asked.step = Some((ticket, step, Box::new(diff)));
        }
        if !view.list && !view.is_current() && view.asked.moment.is_none() {
            let ticket = tickets + 2;
            let snapshot = chosen.id.clone();
            requests.push((Request::ReadMoment { target: target(), snapshot }, ticket));
            view.asked.moment = Some((ticket, chosen.id));
        }
        let count = view.snapshots.as_ref().map_or(0, Vec::len);
        if view.row + AHEAD > count && !view.has_base() && view.asked.older.is_none() {
            let ticket = tickets + 3;
            let before = view.snapshots.as_ref().and_then(|known| Some(known.last()?.id.clone()));
            let request = Request::ReadHistory { target: target(), before, limit: Some(PAGE) };
            requests.push((request, ticket));
            view.asked.older = Some(ticket);
        }
        self.tickets = tickets + 3;
        for (request, ticket) in requests {
            self.send(request, Tag::Timeline(ticket));
        }
    }

    /// Takes what was asked for by [`Self::read_chosen`], or that it could not be had.
    pub(super) fn fill_timeline(&mut self, ticket: u64, reply: Option<Reply>) {
        let histories = self.views.iter_mut().filter_map(|view| match view {
            View::History(view) => Some(view),
            _ => None,
        });
        for view in histories {
            if let Some((_, step, mut diff)) = view.asked.step.take_if(|asked| asked.0 == ticket) {
                view.shown.step = Some(step);
                if let Some(Reply::Diff(read)) = reply {
                    diff.fill(read, true);
                }
                view.step = Some(diff);
                break;
            }
            if let Some((_, id)) = view.asked.moment.take_if(|asked| asked.0 == ticket) {
                view.shown.moment = Some(id);
                view.moment = match reply {
                    Some(Reply::Moment(Some(screen))) => Moment::Kept(screen),
                    _ => Moment::NotKept,
                };
                break;
            }
            if view.asked.older == Some(ticket) {
                // What failed stays asked for, so that it is not asked again and again.
                if let (Some(Reply::History(page)), Some(known)) = (reply, &mut view.snapshots) {
                    known.extend(page.into_iter().rev());
                    view.asked.older = None;
                }
                break;
            }
        }
        self.dirty = true;
        self.read_chosen();
    }

    /// Reads a history again whose snapshots changed in more than the newest one.
    pub(super) fn read_history_again(&mut self, environment: &EnvironmentId) {
        let Some(View::History(view)) = self.history_of(environment) else { return };
        let (request, ticket) = (view.request(), view.ticket);
        self.send(request, Tag::View(ticket));
    }

    fn open_step(&mut self) {
        let Some(View::History(view)) = self.views.last() else { return };
        let Some(snapshot) = view.chosen().cloned() else { return };
        let name = self.name(&view.environment);
        let ticket = self.tickets + 1;
        self.tickets = ticket;
        let Some(View::History(view)) = self.views.last() else { return };
        let diff = view.diff_of(&snapshot, &name, ticket);
        self.send(diff.request(), Tag::View(ticket));
        self.views.push(View::Diff(diff));
    }

    fn restore_chosen(&mut self) {
        let Some((environment, snapshot)) = self.chosen_snapshot() else { return };
        let name = self.name(&environment);
        self.say(format!("taking {name} back to {} …", snapshot.id.short()));
        let target = Target::Id(environment);
        let snapshot = snapshot.id.as_str().to_owned();
        self.send(Request::RestoreEnvironment { target, snapshot }, Tag::Decide);
    }

    fn fork_chosen(&mut self) {
        let Some((environment, snapshot)) = self.chosen_snapshot() else { return };
        self.say(format!("forking {} at {} …", self.name(&environment), snapshot.id.short()));
        let variables = self.agent_variables(&environment);
        let request = Request::ForkEnvironment {
            target: Target::Id(environment),
            name: None,
            snapshot: Some(snapshot.id),
            variables,
            size: self.session_size(),
        };
        self.send(request, Tag::Created { presses: self.presses });
    }

    fn name_chosen(&mut self) {
        let Some((environment, snapshot)) = self.chosen_snapshot() else { return };
        self.overlay = Some(Overlay::Name(NameForm::new(environment, &snapshot)));
    }

    fn chosen_snapshot(&self) -> Option<(EnvironmentId, Snapshot)> {
        let Some(View::History(view)) = self.views.last() else { return None };
        Some((view.environment.clone(), view.chosen()?.clone()))
    }
}

impl HistoryView {
    /// Colours what is seen of the step; `false` when it took too long and is to go on.
    pub(super) fn paint(&mut self, painter: &mut Painter, size: Size) -> bool {
        self.show(size, 0);
        let height = Timeline::body_rows(size) + DIFF_CHROME;
        let size = Size { rows: height.saturating_sub(2), ..size };
        self.step.as_mut().is_none_or(|step| step.paint(painter, size))
    }

    /// Brings the chosen snapshot and as many beside it onto the line, moving it as little as can be.
    fn show(&mut self, size: Size, beside: usize) {
        let Some(count) = Timeline::of(size, self).map(|line| line.count()) else { return };
        let beside = beside.min(count.saturating_sub(1) / 2);
        let most = self.row.saturating_sub(beside);
        let least = (self.row + beside + 1).saturating_sub(count).min(most);
        self.newest = self.newest.clamp(least, most);
    }

    fn act(&mut self, action: Action, size: Size) {
        let last = self.snapshots.as_ref().map_or(0, Vec::len).saturating_sub(1);
        match action {
            // Time goes from left to right.
            Action::Left => self.row = (self.row + 1).min(last),
            Action::Right => self.row = self.row.saturating_sub(1),
            Action::First => self.row = last,
            Action::Last => self.row = 0,
            Action::SideBySide | Action::Search => {}
            action => {
                let height = Timeline::body_rows(size) + DIFF_CHROME;
                if let Some(step) = &mut self.step {
                    step.act(action, Size { rows: height.saturating_sub(2), ..size });
                }
            }
        }
        self.show(size, BESIDE);
    }
}
