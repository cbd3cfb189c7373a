//! The merge that is about to be made: its message, edited like any text, and its style.

use crate::model::decision::{MergeDraft, MergeStyle};
use crate::model::id::EnvironmentId;
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::model::snapshot::Skipped;
use crate::proto::{Request, Target};

use super::super::widget::{Field, foreign};
use super::lacking::first_of;

/// Longest message, in lines; what is pasted beyond it is cut.
const MOST_LINES: usize = 200;

/// A form with the message of a merge, one field a line.
#[derive(Debug)]
pub(crate) struct MergeForm {
    pub(crate) environment: EnvironmentId,
    pub(crate) name: String,
    pub(crate) style: MergeStyle,
    pub(crate) lines: Vec<Field>,
    /// The line with the cursor.
    pub(crate) row: usize,
    /// How many commits the agent made.
    pub(crate) commits: usize,
    /// What the merge lacks, in words and to be said back.
    pub(crate) lacks: Option<String>,
    left_out: Vec<Skipped>,
    /// The drafts of a merge and of what a rebase adds, while the user has changed neither.
    drafts: Option<(String, String)>,
}

impl MergeForm {
    pub(crate) fn new(environment: EnvironmentId, name: String, draft: MergeDraft) -> Self {
        let mut form = Self {
            environment,
            name,
            style: MergeStyle::Commit,
            lines: Vec::new(),
            row: 0,
            commits: draft.commits.len(),
            lacks: first_of(&draft.left_out),
            left_out: draft.left_out,
            drafts: Some((draft.message, draft.rest)),
        };
        form.fill();
        form
    }

    /// Shows the draft that goes with the style.
    fn fill(&mut self) {
        let Some((message, rest)) = &self.drafts else { return };
        let text = if self.style == MergeStyle::Rebase { rest } else { message };
        let lines = text.trim_end().lines().take(MOST_LINES);
        self.lines = lines.map(|line| Field::new(foreign(line))).collect();
        if self.lines.is_empty() {
            self.lines.push(Field::default());
        }
        self.row = 0;
    }

    fn message(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().map(|line| line.text().trim_end()).collect();
        lines.join("\n").trim().to_owned()
    }

    /// What is asked of the server; `None` without a message.
    pub(super) fn request(&self) -> Option<(Request, String)> {
        let message = Some(self.message()).filter(|message| !message.is_empty())?;
        let target = Target::Id(self.environment.clone());
        let known = Some(self.left_out.clone());
        let (style, message) = (self.style, Some(message));
        let request = Request::Merge { target, style, message, known };
        let doing = if self.style == MergeStyle::Rebase { "rebasing" } else { "merging" };
        Some((request, format!("{doing} {} …", self.name)))
    }

    /// Takes an input; `true` when the merge is to be made.
    pub(super) fn take(&mut self, input: &Input) -> bool {
        let Input::Key(key) = input else {
            self.edit(input);
            return false;
        };
        match *key {
            Key { code: KeyCode::Enter, modifiers: Modifiers(0) } => return true,
            Key { code: KeyCode::Tab, .. } => self.next_style(1),
            Key { code: KeyCode::BackTab, .. } => self.next_style(MergeStyle::ALL.len() - 1),
            Key { code: KeyCode::Enter, .. } => self.break_line(),
            Key { code: KeyCode::Char('j'), modifiers } if modifiers.has(Modifiers::CONTROL) => {
                self.break_line();
            }
            Key { code: KeyCode::Up, .. } => self.row = self.row.saturating_sub(1),
            Key { code: KeyCode::Down, .. } => {
                self.row = (self.row + 1).min(self.lines.len() - 1);
            }
            Key { code: KeyCode::Backspace, .. } if self.lines[self.row].at_start() => {
                self.join_lines();
            }
            _ => self.edit(input),
        }
        false
    }

    fn next_style(&mut self, by: usize) {
        let all = MergeStyle::ALL;
        let place = all.iter().position(|style| *style == self.style).unwrap_or(0);
        self.style = all[(place + by) % all.len()];
        self.fill();
    }

    fn edit(&mut self, input: &Input) {
        if let Input::Paste(text) = input {
            for (number, line) in text.lines().enumerate() {
                if number > 0 {
                    self.break_line();
                }
                self.lines[self.row].take(&Input::Paste(line.to_owned()));
            }
            self.drafts = None;
        } else {
            let before = self.lines[self.row].text().to_owned();
            self.lines[self.row].take(input);
            if self.lines[self.row].text() != before {
                self.drafts = None;
            }
        }
    }

    fn break_line(&mut self) {
        if self.lines.len() < MOST_LINES {
            let rest = self.lines[self.row].split_off();
            self.row += 1;
            self.lines.insert(self.row, rest);
            self.drafts = None;
        }
    }

    fn join_lines(&mut self) {
        if self.row > 0 {
            let line = self.lines.remove(self.row);
            self.row -= 1;
            self.lines[self.row].append(&line);
            self.drafts = None;
        }
    }
}
