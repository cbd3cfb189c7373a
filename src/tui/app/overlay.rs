//! What lies over a view and takes its keys: help, palette, a question, a form.

use crate::model::id::{CommitId, EnvironmentId, EnvironmentName};
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::snapshot::{ChangeCount, Snapshot};
use crate::proto::{Request, Target};

use super::super::action::{Entry, Scope, entries};
use super::super::keymap::keys_name;
use super::super::panes::PaneKey;
use super::super::widget::Field;
use super::comments::ListOutcome;
use super::lacking::Lacking;
use super::offer::{Offer, Said};
use super::{
    App, CommentForm, CommentList, MergeForm, MessageForm, NewForm, PasteQuestion, PromptForm, Tag,
};

#[derive(Debug)]
pub(crate) enum Overlay {
    Help(Filter),
    Palette(Filter),
    Confirm(Confirm),
    Lacking(Box<Lacking>),
    Paste(PasteQuestion),
    Offer(Offer),
    Merge(MergeForm),
    Name(NameForm),
    New(Box<NewForm>),
    Comment(CommentForm),
    Comments(CommentList),
    Message(MessageForm),
    Prompt(PromptForm),
}

impl Overlay {
    pub(crate) fn help(scope: Scope) -> Self {
        Self::Help(Filter { scope, field: Field::default(), row: 0 })
    }

    pub(crate) fn palette(scope: Scope) -> Self {
        Self::Palette(Filter { scope, field: Field::default(), row: 0 })
    }
}

/// A list of the table's rows, filtered by what is typed.
#[derive(Debug)]
pub(crate) struct Filter {
    pub(crate) scope: Scope,
    pub(crate) field: Field,
    pub(crate) row: usize,
}

impl Filter {
    /// Rows whose keys, name or description hold every word typed.
    pub(crate) fn found(&self) -> Vec<&'static Entry> {
        let typed = self.field.text().to_lowercase();
        let matches = |entry: &&Entry| {
            let text = format!("{} {} {}", keys_name(entry), entry.name, entry.description);
            let text = text.to_lowercase();
            typed.split_whitespace().all(|word| text.contains(word))
        };
        let mut found: Vec<_> = entries(self.scope).filter(matches).collect();
        // What is called so comes before what only mentions it.
        found.sort_by_key(|entry| !entry.name.starts_with(typed.trim()));
        found
    }

    fn take(&mut self, input: &Input) {
        let last = self.found().len().saturating_sub(1);
        match input {
            Input::Key(Key { code: KeyCode::Down, .. }) => self.row = (self.row + 1).min(last),
            Input::Key(Key { code: KeyCode::Up, .. }) => self.row = self.row.saturating_sub(1),
            input => {
                if self.field.take(input) {
                    self.row = 0;
                }
            }
        }
    }
}

/// A question before something is thrown away. Keeping is what Enter does first.
#[derive(Debug)]
pub(crate) struct Confirm {
    pub(crate) environment: EnvironmentId,
    pub(crate) name: EnvironmentName,
    pub(crate) change: ChangeCount,
    /// Whether the button that acts is chosen.
    pub(crate) act: bool,
}

impl Confirm {
    pub(crate) fn discard(
        environment: EnvironmentId,
        name: EnvironmentName,
        change: ChangeCount,
    ) -> Self {
        Self { environment, name, change, act: false }
    }
}

/// What a snapshot is to be called; nothing takes its name off.
#[derive(Debug)]
pub(crate) struct NameForm {
    pub(crate) environment: EnvironmentId,
    pub(crate) snapshot: CommitId,
    pub(crate) field: Field,
}

impl NameForm {
    pub(crate) fn new(environment: EnvironmentId, snapshot: &Snapshot) -> Self {
        let name = snapshot.name.as_deref().unwrap_or_default();
        let field = Field::new(super::super::widget::foreign(name));
        Self { environment, snapshot: snapshot.id.clone(), field }
    }
}

/// What an overlay asks the app to do after an input.
#[allow(clippy::large_enum_variant, reason = "one at a time, for the length of a call")]
enum Outcome {
    Stay,
    Close,
    Run(super::Action),
    Send(Request, Tag, String),
    Paste(PaneKey, String),
    Offer(Said),
    Comment,
    Listed(ListOutcome),
    Message,
    Hooks,
    Prompt,
}

impl App {
    pub(super) fn take_overlay_input(&mut self, input: &Input) {
        self.dirty = true;
        let Some(mut overlay) = self.overlay.take() else { return };
        let escape = matches!(input, Input::Key(key) if leaves(*key));
        let outcome = match &mut overlay {
            _ if escape => Outcome::Close,
            Overlay::Help(filter) => help_input(filter, input),
            Overlay::Palette(filter) => palette_input(filter, input),
            Overlay::Confirm(confirm) => confirm_input(confirm, input),
            Overlay::Lacking(lacking) => lacking_input(lacking, input),
            Overlay::Paste(question) => paste_input(question, input),
            Overlay::Offer(offer) => Outcome::Offer(offer.take(input, self.size)),
            Overlay::Merge(form) if form.runs_hooks(input) => Outcome::Hooks,
            Overlay::Merge(form) => merge_input(form, input),
            Overlay::Name(form) => name_input(form, input),
            Overlay::New(form) => self.form_input(form, input),
            Overlay::Comment(_) if is(input, KeyCode::Enter) => Outcome::Comment,
            Overlay::Comment(form) => {
                form.field.take(input);
                Outcome::Stay
            }
            Overlay::Prompt(form) => {
                if form.take(input) {
                    Outcome::Prompt
                } else {
                    Outcome::Stay
                }
            }
            Overlay::Comments(list) => Outcome::Listed(match self.views.last() {
                Some(super::View::Diff(view)) => list.take(input, &view.comments),
                _ => ListOutcome::Stay,
            }),
            Overlay::Message(form) => {
                if form.take(input) {
                    Outcome::Message
                } else {
                    Outcome::Stay
                }
            }
        };
        match (outcome, overlay) {
            (Outcome::Comment, Overlay::Comment(form)) => self.keep_comment(form),
            (Outcome::Message, Overlay::Message(form)) => self.send_message(&form),
            (Outcome::Prompt, Overlay::Prompt(form)) => self.send_prompts(&form),
            (Outcome::Offer(said), Overlay::Offer(offer)) => self.act_on_offer(offer, said),
            (Outcome::Hooks, Overlay::Merge(form)) => self.run_hooks_of(form),
            (Outcome::Listed(outcome), Overlay::Comments(list)) => {
                self.act_on_comments(list, &outcome);
            }
            (outcome, overlay) => self.conclude(outcome, overlay),
        }
    }

    fn conclude(&mut self, outcome: Outcome, overlay: Overlay) {
        match outcome {
            Outcome::Close
            | Outcome::Comment
            | Outcome::Listed(_)
            | Outcome::Offer(_)
            | Outcome::Message
            | Outcome::Prompt
            | Outcome::Hooks => {}
            Outcome::Stay => self.overlay = Some(overlay),
            Outcome::Run(action) => self.act(action),
            Outcome::Paste(pane, text) => self.paste_after_all(&pane, text),
            Outcome::Send(request, tag, text) => {
                self.say(text);
                self.send(request, tag);
            }
        }
    }

    fn form_input(&self, form: &mut NewForm, input: &Input) -> Outcome {
        if !is(input, KeyCode::Enter) {
            form.take(input);
            return Outcome::Stay;
        }
        let tile =
            super::layout::deck(self.size, self.shown_count() + 1, self.shown_count(), self.zoomed);
        let size = tile.tiles.last().map_or(self.size, super::super::layout::Tile::session_size);
        match form.spec(&self.settings, size) {
            Ok(spec) => Outcome::Send(
                Request::CreateEnvironment { spec: Box::new(spec) },
                Tag::Created { presses: self.presses },
                "making the environment …".to_owned(),
            ),
            Err(failure) => {
                form.error = Some(failure);
                Outcome::Stay
            }
        }
    }
}

fn is(input: &Input, code: KeyCode) -> bool {
    matches!(input, Input::Key(key) if key.code == code && key.modifiers == Modifiers(0))
}

/// `Esc`, or `Ctrl+C`, which people press to get out of anything.
fn leaves(key: Key) -> bool {
    key.code == KeyCode::Escape
        || (key.code == KeyCode::Char('c') && key.modifiers.has(Modifiers::CONTROL))
}

fn help_input(filter: &mut Filter, input: &Input) -> Outcome {
    if is(input, KeyCode::Enter)
        || (filter.field.text().is_empty() && is(input, KeyCode::Char('?')))
    {
        return Outcome::Close;
    }
    filter.take(input);
    Outcome::Stay
}

fn palette_input(filter: &mut Filter, input: &Input) -> Outcome {
    if !is(input, KeyCode::Enter) {
        filter.take(input);
        return Outcome::Stay;
    }
    match filter.found().get(filter.row) {
        // The number is part of the key; there is none here.
        Some(Entry { action: super::Action::Pane(_), .. }) | None => Outcome::Stay,
        Some(entry) => Outcome::Run(entry.action),
    }
}

/// What a question with two buttons is answered with; `None` while it is not.
pub(super) fn answered(act: &mut bool, input: &Input) -> Option<bool> {
    let Input::Key(key) = input else { return None };
    match key.code {
        KeyCode::Char('y') => Some(true),
        KeyCode::Enter => Some(*act),
        KeyCode::Char('n' | 'q') => Some(false),
        KeyCode::Left
        | KeyCode::Right
        | KeyCode::Tab
        | KeyCode::BackTab
        | KeyCode::Char('h' | 'l') => {
            *act = !*act;
            None
        }
        _ => None,
    }
}

fn lacking_input(lacking: &mut Lacking, input: &Input) -> Outcome {
    match answered(&mut lacking.act, input) {
        None => Outcome::Stay,
        Some(false) => Outcome::Close,
        Some(true) => {
            let request = lacking.request();
            let tag = Tag::Take(Box::new(request.clone()));
            Outcome::Send(request, tag, format!("taking the rest of {} …", lacking.name))
        }
    }
}

fn paste_input(question: &mut PasteQuestion, input: &Input) -> Outcome {
    match answered(&mut question.act, input) {
        None => Outcome::Stay,
        Some(false) => Outcome::Close,
        Some(true) => Outcome::Paste(question.pane.clone(), std::mem::take(&mut question.text)),
    }
}

fn confirm_input(confirm: &mut Confirm, input: &Input) -> Outcome {
    match answered(&mut confirm.act, input) {
        None => return Outcome::Stay,
        Some(false) => return Outcome::Close,
        Some(true) => {}
    }
    let target = Target::Id(confirm.environment.clone());
    let text = format!("discarding {} …", confirm.name);
    Outcome::Send(Request::Discard { target }, Tag::Decide, text)
}

fn name_input(form: &mut NameForm, input: &Input) -> Outcome {
    if !is(input, KeyCode::Enter) {
        form.field.take(input);
        return Outcome::Stay;
    }
    let name = Some(form.field.text().trim().to_owned()).filter(|name| !name.is_empty());
    let short = form.snapshot.short();
    let text = match &name {
        Some(name) => format!("{short} is called {name}"),
        None => format!("{short} has no name"),
    };
    let target = Target::Id(form.environment.clone());
    let snapshot = Some(form.snapshot.as_str().to_owned());
    let request = Request::MarkSnapshot { target, snapshot, name };
    Outcome::Send(request, Tag::Say(text), format!("naming {short} …"))
}

fn merge_input(form: &mut MergeForm, input: &Input) -> Outcome {
    if !form.take(input) {
        return Outcome::Stay;
    }
    match form.request() {
        Some((request, doing)) => {
            let tag = Tag::Take(Box::new(request.clone()));
            Outcome::Send(request, tag, doing)
        }
        None => Outcome::Stay,
    }
}
