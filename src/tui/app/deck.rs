//! What the deck's own keys do.

use crate::model::comparison::ATTEMPTS;
use crate::model::decision::Portion;
use crate::model::environment::{Environment, EnvironmentState, Variable};
use crate::model::id::EnvironmentId;
use crate::model::screen::Size;
use crate::proto::{Request, Target};

use super::super::action::Action;
use super::super::panes::PaneKey;
use super::super::status;
use super::{App, Confirm, DiffView, Hand, HistoryView, InspectView, NewForm, Overlay, Tag, View};

impl App {
    pub(super) fn act_on_deck(&mut self, action: Action) {
        match action {
            Action::Down | Action::Up | Action::Left | Action::Right => self.step(action),
            Action::First => self.select(0),
            Action::Last => self.last(),
            Action::Pane(number) => self.select_shown(usize::from(number)),
            Action::NextSession => self.cycle(1),
            Action::PreviousSession => self.cycle(-1),
            Action::NextAttention => self.next_attention(),
            Action::HalfPageDown | Action::PageDown | Action::HalfPageUp | Action::PageUp => {
                self.scroll_selected(action);
            }
            Action::TakeKeyboard => self.take_keyboard(),
            Action::Zoom => self.zoomed = !self.zoomed && !self.environments.is_empty(),
            Action::New => {
                self.overlay = Some(Overlay::New(Box::new(NewForm::new(&self.settings))));
            }
            Action::Undo => self.undo(),
            Action::Compare => self.compare(),
            Action::Map => self.open_map(),
            Action::Prompt => self.begin_prompt(),
            Action::Prompts => self.open_prompts(),
            Action::Quiet => self.toggle_quiet(),
            Action::Order => self.next_order(),
            Action::CopyMode => self.enter_copy(Hand::Keys),
            Action::Search => self.enter_search(),
            Action::Link => self.go_to_link(),
            Action::Clipboard => self.ask_clipboard(),
            action => self.act_on_selected(action),
        }
    }

    /// Actions that need a chosen environment.
    fn act_on_selected(&mut self, action: Action) {
        let Some(environment) = self.selected_environment() else {
            self.say_with_hint("there is no environment yet", "n makes one");
            return;
        };
        let (id, name) = (environment.id.clone(), environment.name.clone());
        let target = Target::Id(id.clone());
        match action {
            Action::Shell => self.shell(id),
            Action::CloseShell => self.close_shell(),
            Action::Diff => self.open_diff(id),
            Action::Mark => self.mark(id),
            Action::History => self.open_history(id),
            Action::Inspect => self.open_inspection(id),
            Action::Snooze => self.snooze(id),
            Action::Denied => self.open_denied(),
            Action::Apply => {
                self.say(format!("applying {name} to your working tree …"));
                let (portion, known) = (Portion::All, Some(Vec::new()));
                self.take(Request::Apply { target, portion, snapshot: None, known });
            }
            Action::RunHooks => self.run_skipped_hooks(id),
            Action::Merge if self.hooking.is_before(&id) => self.resume_merge(),
            Action::Merge => {
                self.say(format!("drafting a message for {name} …"));
                self.send(Request::DraftMerge { target }, Tag::MergeDraft(id));
            }
            Action::Resolve => {
                self.say(format!("merging your branch in {name}'s box …"));
                self.send(Request::Resolve { target }, Tag::Resolve(id));
            }
            Action::Discard => {
                let change = environment.divergence.change;
                self.overlay = Some(Overlay::Confirm(Confirm::discard(id, name, change)));
            }
            Action::Stop => {
                self.say(format!("stopping {name} …"));
                self.send(Request::StopEnvironment { target }, Tag::Say(format!("stopped {name}")));
            }
            Action::Pause if matches!(environment.state, EnvironmentState::Paused { .. }) => {
                let request = Request::ResumeEnvironment { target };
                self.send(request, Tag::Say(format!("{name} goes on")));
            }
            Action::Pause => {
                let request = Request::PauseEnvironment { target };
                self.send(request, Tag::Say(format!("paused {name}")));
            }
            Action::Fork => {
                self.say(format!("forking {name} …"));
                let variables = self.agent_variables(&id);
                let size = self.session_size();
                let request = Request::ForkEnvironment {
                    target,
                    name: None,
                    snapshot: None,
                    variables,
                    size,
                };
                self.send(request, Tag::Created { presses: self.presses });
            }
            Action::Start => {
                self.say(format!("starting {name} …"));
                let variables = self.agent_variables(&id);
                let request = Request::StartEnvironment { target, variables, anew: false };
                self.send(request, Tag::Say(format!("started {name}")));
            }
            _ => {}
        }
    }

    pub(super) fn select(&mut self, index: usize) {
        let last = self.shown_count().saturating_sub(1);
        self.selected = self.environments.get(index.min(last)).map(|found| found.id.clone());
        self.dirty = true;
    }

    fn step(&mut self, action: Action) {
        let index = self.selected_index();
        let layout = self.layout();
        let in_list = layout.list.is_some() || self.zoomed;
        let across = if in_list { 1 } else { layout.columns };
        let next = match action {
            Action::Down if index + across < self.shown_count() || in_list => index + across,
            // The last row may be shorter than the one above it.
            Action::Down if index / across < (self.shown_count() - 1) / across => {
                self.shown_count() - 1
            }
            Action::Up => index.checked_sub(across).unwrap_or(if in_list { 0 } else { index }),
            Action::Left => index.saturating_sub(1),
            Action::Right => index + 1,
            _ => index,
        };
        if !self.environments.is_empty() {
            self.select(next);
        }
    }

    fn last(&mut self) {
        let pane = self.selected_pane();
        let scrolled = pane.and_then(|pane| self.panes.get_mut(&pane)?.scroll.take());
        if scrolled.is_none() {
            self.select(usize::MAX);
        }
    }

    /// Numbers count what is on the screen.
    fn select_shown(&mut self, number: usize) {
        let first = match self.layout().tiles.as_slice() {
            tiles if tiles.len() > 1 => tiles[0].index,
            _ => 0,
        };
        let index = first + number.saturating_sub(1);
        if index < self.shown_count() {
            self.select(index);
        }
    }

    /// The environment's next session, or where it has only one, the next environment.
    fn cycle(&mut self, step: isize) {
        let Some(environment) = self.selected_environment() else { return };
        let around = |index: usize, count: usize| {
            (index as isize + step).rem_euclid(count.max(1) as isize) as usize
        };
        if environment.sessions.len() < 2 {
            self.select(around(self.selected_index(), self.shown_count()));
            return;
        }
        let shown = self.shown_session(environment).session;
        let at = environment.sessions.iter().position(|session| session.id == shown).unwrap_or(0);
        let next = environment.sessions[around(at, environment.sessions.len())].id;
        let id = environment.id.clone();
        self.shown.insert(id, next);
    }

    fn next_attention(&mut self) {
        let mut queue: Vec<usize> = (0..self.environments.len())
            .filter(|at| self.needs_user(&self.environments[*at]))
            .collect();
        queue.sort_by_key(|index| status::read(&self.environments[*index]).since);
        // Who waits stays in the queue until it is answered: the next press goes on from there.
        let selected = self.selected_index();
        let after = queue.iter().position(|index| *index == selected).map_or(0, |at| at + 1);
        let Some(index) = queue.get(after).or(queue.first()).copied() else {
            return self.say("no environment needs you");
        };
        let id = self.environments[index].id.clone();
        self.selected = Some(id.clone());
        self.dirty = true;
        self.see(&id);
    }

    /// Whether an environment waits for a person, or something happened there that nobody saw.
    pub(super) fn needs_user(&self, environment: &Environment) -> bool {
        let snoozed = environment.attention.snoozed > self.now;
        !snoozed && (self.attention.contains(&environment.id) || status::waits(environment))
    }

    /// How many environments need a person.
    pub(crate) fn in_need(&self) -> usize {
        self.environments.iter().filter(|environment| self.needs_user(environment)).count()
    }

    /// Pages go through the scrollback of the chosen pane.
    pub(super) fn scroll_selected(&mut self, action: Action) {
        let (Some(pane), Some(tile)) = (self.selected_pane(), self.selected_tile()) else { return };
        let page = i64::from(tile.inner.height.max(2));
        let lines = match action {
            Action::PageUp => -(page - 1),
            Action::PageDown => page - 1,
            Action::HalfPageUp => -(page / 2),
            _ => page / 2,
        };
        self.scroll_session(&pane, lines, tile.inner.height);
    }

    pub(super) fn shell(&mut self, id: EnvironmentId) {
        let size = self.session_size();
        let variables = self.agent_variables(&id);
        let request = Request::StartShell { target: Target::Id(id.clone()), size, variables };
        self.send(request, Tag::Shell(id));
    }

    /// The size of a session where the chosen environment is shown.
    pub(super) fn session_size(&self) -> Size {
        self.selected_tile().map_or(self.size, |tile| tile.session_size())
    }

    pub(super) fn agent_variables(&self, id: &EnvironmentId) -> Vec<Variable> {
        let agent = self.environment(id).map(|environment| environment.agent.as_str());
        agent.map(|agent| self.settings.variables_of(agent)).unwrap_or_default()
    }

    fn close_shell(&mut self) {
        let Some(PaneKey { environment, session }) = self.selected_pane() else { return };
        if session == crate::model::id::SessionId::AGENT {
            self.say_with_hint("this is the agent's session", "x stops the environment");
            return;
        }
        self.send(Request::CloseSession { environment, session }, Tag::Quiet);
    }

    fn open_diff(&mut self, environment: EnvironmentId) {
        let ticket = self.ticket();
        self.unlisted = Some((ticket, environment.clone()));
        let view = DiffView::since_base(environment, &self.selected_name(), ticket);
        self.send(view.request(), Tag::View(ticket));
        self.views.push(View::Diff(view));
    }

    fn selected_name(&self) -> String {
        self.selected_environment().map(|found| found.name.to_string()).unwrap_or_default()
    }

    fn open_history(&mut self, environment: EnvironmentId) {
        let ticket = self.ticket();
        let view = HistoryView::new(environment, ticket);
        self.send(view.request(), Tag::View(ticket));
        self.views.push(View::History(view));
    }

    fn open_inspection(&mut self, environment: EnvironmentId) {
        let ticket = self.ticket();
        let target = Target::Id(environment.clone());
        self.send(Request::InspectEnvironment { target }, Tag::View(ticket));
        let view = InspectView { environment, ticket, inspection: None, top: 0 };
        self.views.push(View::Inspect(view));
    }

    pub(super) fn mark(&mut self, id: EnvironmentId) {
        match self.marked.iter().position(|marked| *marked == id) {
            Some(index) => {
                self.marked.remove(index);
            }
            None if self.marked.len() == *ATTEMPTS.end() => {
                self.say("at most four environments are compared at once");
            }
            None => self.marked.push(id),
        }
    }

    pub(super) fn compare(&mut self) {
        let mut chosen = self.marked.clone();
        // One mark means: that one against the one I am on.
        if let Some(selected) = self.selected.clone()
            && chosen.len() == 1
            && !chosen.contains(&selected)
        {
            chosen.push(selected);
        }
        if !ATTEMPTS.contains(&chosen.len()) {
            self.say_with_hint(
                "comparing takes two to four environments",
                "Space marks one, then c compares",
            );
            return;
        }
        self.open_comparison(chosen);
    }

    pub(super) fn undo(&mut self) {
        let chosen = self.selected_environment().map(|found| found.repository.clone());
        match self.settings.repository.clone().or(chosen) {
            Some(repository) => self.send(Request::Undo { repository }, Tag::Undo),
            None => self.say("there is no repository whose decision could be undone"),
        }
    }
}
