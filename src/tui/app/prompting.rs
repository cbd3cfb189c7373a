//! Texts for agents: written once for one environment or several, and what came of each.

use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, Timestamp};
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::prompt::{Delivery, Prompt, PromptId};
use crate::proto::{Request, Target};

use super::super::action::Action;
use super::super::view::LIST_CHROME;
use super::super::widget::Page;
use super::{App, Overlay, Tag, View, scrolled};

/// A text that is being written, and whom it may go to.
#[derive(Debug)]
pub(crate) struct PromptForm {
    /// At least one.
    pub(crate) recipients: Vec<Recipients>,
    pub(crate) choice: usize,
    pub(crate) page: Page,
}

/// Environments that get the same text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipients {
    pub(crate) words: String,
    pub(crate) environments: Vec<EnvironmentId>,
}

/// What came of all that was sent. The list itself is the environments'.
#[derive(Debug)]
pub(crate) struct PromptsView {
    pub(crate) ticket: u64,
    /// It stays chosen however the list moves, so that a key never takes back another.
    chosen: Option<(EnvironmentId, PromptId)>,
}

/// A receipt of an environment.
pub(crate) type Row<'a> = (&'a Environment, &'a Prompt);

impl PromptForm {
    /// Takes an input; `true` when the text is to be sent.
    pub(super) fn take(&mut self, input: &Input) -> bool {
        let count = self.recipients.len();
        match input {
            Input::Key(Key { code: KeyCode::Enter, modifiers: Modifiers(0) }) => return true,
            Input::Key(Key { code: KeyCode::Tab, .. }) => self.choice = (self.choice + 1) % count,
            Input::Key(Key { code: KeyCode::BackTab, .. }) => {
                self.choice = (self.choice + count - 1) % count;
            }
            input => {
                self.page.take(input);
            }
        }
        false
    }

    pub(crate) fn chosen(&self) -> &Recipients {
        &self.recipients[self.choice]
    }
}

impl PromptsView {
    pub(crate) fn row(&self, rows: &[Row<'_>]) -> Option<usize> {
        let chosen = self.chosen.as_ref()?;
        rows.iter().position(|row| mark(row) == *chosen)
    }
}

fn mark((environment, prompt): &Row<'_>) -> (EnvironmentId, PromptId) {
    (environment.id.clone(), prompt.id)
}

impl App {
    /// Opens a form for a text: to those that are marked, else to the chosen one, or to all.
    pub(super) fn begin_prompt(&mut self) {
        let runs = |environment: &&Environment| {
            let state = &environment.state;
            !matches!(state, EnvironmentState::Stopped | EnvironmentState::Failed { .. })
        };
        let group = |words: &str, found: Vec<&Environment>| {
            let names: Vec<&str> = found.iter().map(|it| it.name.as_str()).collect();
            let words = format!("{words}{}", names.join(", "));
            let environments = found.iter().map(|it| it.id.clone()).collect::<Vec<_>>();
            Recipients { words, environments }
        };
        let marked = self.marked.iter().filter_map(|id| self.environment(id)).collect::<Vec<_>>();
        let selected: Vec<_> = self.selected_environment().into_iter().collect();
        let running: Vec<_> = self.environments.iter().filter(runs).collect();
        let mut recipients: Vec<Recipients> = Vec::new();
        for (words, found) in [("marked: ", marked), ("", selected), ("all that run: ", running)] {
            let group = group(words, found);
            let known = recipients.iter().any(|it| it.environments == group.environments);
            if !group.environments.is_empty() && !known {
                recipients.push(group);
            }
        }
        if recipients.is_empty() {
            return self.say_with_hint("there is no environment yet", "n makes one");
        }
        let form = PromptForm { recipients, choice: 0, page: Page::new("") };
        self.overlay = Some(Overlay::Prompt(form));
    }

    /// Sends a text to each of the chosen environments.
    pub(super) fn send_prompts(&mut self, form: &PromptForm) {
        let text = form.page.text();
        if text.is_empty() {
            return;
        }
        let environments = form.chosen().environments.clone();
        let several = environments.len() > 1;
        for environment in environments {
            self.send_prompt(environment, text.clone());
        }
        self.marked.clear();
        if several && !matches!(self.views.last(), Some(View::Prompts(_))) {
            // Those that are about to be listed come first: none is chosen yet.
            self.show_prompts(None);
        }
    }

    fn send_prompt(&mut self, environment: EnvironmentId, text: String) {
        let target = Target::Id(environment.clone());
        let request = Request::SendPrompt { target, text, patience: None };
        self.send(request, Tag::Prompted { environment });
    }

    /// The server keeps a prompt; from now on what comes of it is told here.
    pub(super) fn prompted(&mut self, environment: &EnvironmentId, prompt: &Prompt) {
        let place = (environment.clone(), prompt.id);
        self.followed.insert(place, String::new());
        let name = self.name(environment);
        self.say(format!("sent to {name}; it is typed when its agent can take it"));
        if let Some(known) = self.environment(environment).cloned() {
            self.follow_prompts(&known);
        }
    }

    /// Tells what is new of the prompts that were sent here, unless all of it is on the screen.
    pub(super) fn follow_prompts(&mut self, environment: &Environment) {
        for prompt in &environment.prompts {
            let place = (environment.id.clone(), prompt.id);
            let Some(told) = self.followed.get_mut(&place) else { continue };
            let words = prompt.delivery.to_string();
            if *told == words || prompt.delivery == Delivery::Typing || words == "queued" {
                continue;
            }
            if prompt.delivery.is_final() {
                self.followed.remove(&place);
            } else {
                *told = words;
            }
            if !matches!(self.views.last(), Some(View::Prompts(_))) {
                self.tell_prompt(environment.name.as_str(), prompt);
            }
        }
    }

    fn tell_prompt(&mut self, name: &str, prompt: &Prompt) {
        let why = prompt.delivery.why();
        match &prompt.delivery {
            Delivery::Queued { .. } => {
                self.say_with_hint(format!("waits for {name}: {why}"), "P lists what waits");
            }
            Delivery::Taken { .. } => self.say(format!("{name} took it: {why}")),
            Delivery::Failed { hint, .. } => {
                let message = format!("{name} did not take it: {why}");
                let failure = Failure::new(FailureKind::Unavailable, message);
                self.fail(&Failure { hint: hint.clone(), ..failure });
            }
            Delivery::Unsure { .. } => {
                let message = format!("nobody knows whether {name} took it: {why}");
                let failure = Failure::new(FailureKind::Unavailable, message);
                self.fail(&failure.hint("look at its session before you send it again"));
            }
            Delivery::Typing | Delivery::Cancelled => {}
        }
    }

    /// Every receipt: what is not settled first, then the newest.
    pub(crate) fn receipts(&self) -> Vec<Row<'_>> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for environment in &self.environments {
            rows.extend(environment.prompts.iter().map(|prompt| (environment, prompt)));
        }
        rows.sort_by_key(|(environment, prompt)| {
            let place = std::cmp::Reverse((prompt.sent, &environment.id, prompt.id));
            (prompt.delivery.is_final(), place)
        });
        rows
    }

    pub(super) fn open_prompts(&mut self) {
        let chosen = self.receipts().first().map(mark);
        self.show_prompts(chosen);
    }

    fn show_prompts(&mut self, chosen: Option<(EnvironmentId, PromptId)>) {
        let ticket = self.ticket();
        self.views.push(View::Prompts(PromptsView { ticket, chosen }));
    }

    pub(super) fn act_on_prompts(&mut self, action: Action) {
        let page = usize::from(self.size.rows.saturating_sub(LIST_CHROME)).max(1);
        let Some(View::Prompts(view)) = self.views.last() else { return };
        let rows = self.receipts();
        let row = view.row(&rows);
        if action == Action::Prompt {
            return self.begin_prompt();
        }
        if action == Action::CancelPrompt {
            let chosen = row.and_then(|row| rows.get(row)).map(|row| (mark(row), row.1.clone()));
            return self.cancel_prompt(chosen);
        }
        let next = row.map_or(0, |row| scrolled(row, action, page, rows.len()));
        let chosen = rows.get(next).map(mark);
        if let Some(View::Prompts(view)) = self.views.last_mut() {
            view.chosen = chosen;
        }
    }

    fn cancel_prompt(&mut self, chosen: Option<((EnvironmentId, PromptId), Prompt)>) {
        let Some(((environment, id), prompt)) = chosen else {
            return self.say("choose what to take back first");
        };
        match prompt.delivery {
            Delivery::Queued { .. } => {
                let target = Target::Id(environment);
                let request = Request::CancelPrompts { target, only: Some(id) };
                self.send(request, Tag::Say("took it back; nothing of it was typed".to_owned()));
            }
            Delivery::Typing => self.say("it is being typed"),
            _ => self.say("it is settled; only what is queued can be taken back"),
        }
    }

    /// When the newest receipt came to be, whose age changes most often.
    pub(super) fn newest_receipt(&self) -> Option<Timestamp> {
        self.receipts().iter().map(|(_, prompt)| prompt.since).max()
    }
}
