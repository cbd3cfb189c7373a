//! The merge that is about to be made: its message, edited like any text, and its style.

use std::collections::HashMap;

use crate::model::decision::{Decision, Hook, MergeDraft, MergeStyle, hook_words};
use crate::model::id::EnvironmentId;
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::snapshot::Skipped;
use crate::proto::{Request, Target};

use super::super::widget::Page;
use super::lacking::first_of;

/// A form with the message of a merge.
#[derive(Debug)]
pub(crate) struct MergeForm {
    pub(crate) environment: EnvironmentId,
    pub(crate) name: String,
    pub(crate) style: MergeStyle,
    pub(crate) page: Page,
    /// How many commits the agent made.
    pub(crate) commits: usize,
    /// What the merge lacks, in words and to be said back.
    pub(crate) lacks: Option<String>,
    left_out: Vec<Skipped>,
    /// The hooks that a merge of each style does not run.
    hooks: Vec<(MergeStyle, Vec<Hook>)>,
    /// The drafts of a merge and of what a rebase adds, while the user has changed neither.
    drafts: Option<(String, String)>,
}

/// Hooks that are run in a box, before a merge or after it.
#[derive(Debug, Default)]
pub(crate) struct Hooking {
    /// The form that they were run from: the merge is not made yet.
    pub(super) form: Option<MergeForm>,
    /// How each environment was merged last, and with what message.
    pub(super) merged: HashMap<EnvironmentId, (MergeStyle, String)>,
}

impl Hooking {
    /// What was asked for is done.
    pub(super) fn remember(&mut self, request: Request, decision: &Decision) {
        if let Request::Merge { style, message, .. } = request {
            let message = message.unwrap_or_default();
            self.merged.insert(decision.environment.clone(), (style, message));
        }
    }

    /// Whether a merge of the environment waits for hooks that were run before it.
    pub(super) fn is_before(&self, environment: &EnvironmentId) -> bool {
        self.form.as_ref().is_some_and(|form| form.environment == *environment)
    }
}

impl MergeForm {
    pub(crate) fn new(environment: EnvironmentId, name: String, draft: MergeDraft) -> Self {
        let mut form = Self {
            environment,
            name,
            style: MergeStyle::Commit,
            page: Page::new(""),
            commits: draft.commits.len(),
            lacks: first_of(&draft.left_out),
            left_out: draft.left_out,
            hooks: draft.hooks,
            drafts: Some((draft.message, draft.rest)),
        };
        form.fill();
        form
    }

    /// Shows the draft that goes with the style.
    fn fill(&mut self) {
        let Some((message, rest)) = &self.drafts else { return };
        let text = if self.style == MergeStyle::Rebase { rest } else { message };
        self.page = Page::new(text);
    }

    /// The hooks that a merge of the chosen style does not run, in words.
    pub(crate) fn hooks(&self) -> Option<String> {
        let of_style = self.hooks.iter().find(|(style, _)| *style == self.style);
        of_style.and_then(|(_, hooks)| hook_words(hooks, "will not run"))
    }

    /// Whether an input asks to run them in the box.
    pub(super) fn runs_hooks(&self, input: &Input) -> bool {
        let asks = matches!(input, Input::Key(Key { code: KeyCode::Char('r'), modifiers })
            if modifiers.has(Modifiers::CONTROL));
        asks && self.hooks().is_some()
    }

    /// What is asked of the server; `None` without a message.
    pub(super) fn request(&self) -> Option<(Request, String)> {
        let message = Some(self.page.text()).filter(|message| !message.is_empty())?;
        let target = Target::Id(self.environment.clone());
        let known = Some(self.left_out.clone());
        let (style, message) = (self.style, Some(message));
        let request = Request::Merge { target, style, message, known };
        let doing = if self.style == MergeStyle::Rebase { "rebasing" } else { "merging" };
        Some((request, format!("{doing} {} …", self.name)))
    }

    /// Takes an input; `true` when the merge is to be made.
    pub(super) fn take(&mut self, input: &Input) -> bool {
        match input {
            Input::Key(Key { code: KeyCode::Enter, modifiers: Modifiers(0) }) => return true,
            Input::Key(Key { code: KeyCode::Tab, .. }) => self.next_style(1),
            Input::Key(Key { code: KeyCode::BackTab, .. }) => {
                self.next_style(MergeStyle::ALL.len() - 1);
            }
            input => {
                if self.page.take(input) {
                    self.drafts = None;
                }
            }
        }
        false
    }

    fn next_style(&mut self, by: usize) {
        let all = MergeStyle::ALL;
        let place = all.iter().position(|style| *style == self.style).unwrap_or(0);
        self.style = all[(place + by) % all.len()];
        self.fill();
    }
}
