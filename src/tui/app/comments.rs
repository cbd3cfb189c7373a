//! Comments on lines of a diff: collected, shown as one message, sent to the agent when the user
//! says so.

use crate::model::id::EnvironmentId;
use crate::model::input::{Input, Key, KeyCode, Modifiers};

use super::super::widget::Field;
use super::{App, DiffRow, Overlay, View};

/// Lines of a message, beyond which a session's input would stall.
const MOST_LINES: usize = 400;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment {
    path: String,
    line: u32,
    quote: String,
    text: String,
}

/// One comment being written.
#[derive(Debug)]
pub(crate) struct CommentForm {
    pub(crate) environment: EnvironmentId,
    pub(crate) path: String,
    pub(crate) line: u32,
    pub(crate) quote: String,
    pub(crate) field: Field,
}

impl CommentForm {
    pub(super) fn comment(&self) -> Option<Comment> {
        let text = self.field.text().trim().to_owned();
        let (path, line, quote) = (self.path.clone(), self.line, self.quote.clone());
        (!text.is_empty()).then_some(Comment { path, line, quote, text })
    }
}

/// All comments as the message that would be sent, to be read and changed before.
#[derive(Debug)]
pub(crate) struct MessageForm {
    pub(crate) environment: EnvironmentId,
    pub(crate) name: String,
    /// Each with the number of the comment it belongs to.
    pub(crate) lines: Vec<(Option<usize>, Field)>,
    pub(crate) row: usize,
}

/// What a key did to a message.
pub(super) enum MessageOutcome {
    Stay,
    Send(String),
    Remove(usize),
}

impl MessageForm {
    fn new(environment: EnvironmentId, name: String, comments: &[Comment]) -> Self {
        let mut lines = vec![(None, Field::new("Please look at these comments on your changes:"))];
        for (index, comment) in comments.iter().enumerate() {
            let Comment { path, line, quote, text } = comment;
            let quote = quote.trim();
            for words in
                [String::new(), format!("{path}:{line}"), format!("> {quote}"), text.clone()]
            {
                lines.push((Some(index), Field::new(words)));
            }
        }
        lines.truncate(MOST_LINES);
        let row = lines.len() - 1;
        Self { environment, name, lines, row }
    }

    pub(super) fn take(&mut self, input: &Input) -> MessageOutcome {
        let control = |key: &Key, letter| {
            key.code == KeyCode::Char(letter) && key.modifiers.has(Modifiers::CONTROL)
        };
        match input {
            Input::Key(key) if key.code == KeyCode::Enter && key.modifiers == Modifiers(0) => {
                let lines: Vec<&str> = self.lines.iter().map(|(_, field)| field.text()).collect();
                return MessageOutcome::Send(lines.join("\n").trim().to_owned());
            }
            Input::Key(key) if control(key, 'x') => {
                if let Some(comment) = self.lines[self.row].0 {
                    return MessageOutcome::Remove(comment);
                }
            }
            Input::Key(key) if control(key, 'j') && self.lines.len() < MOST_LINES => {
                let comment = self.lines[self.row].0;
                self.row += 1;
                self.lines.insert(self.row, (comment, Field::default()));
            }
            Input::Key(Key { code: KeyCode::Up, .. }) => self.row = self.row.saturating_sub(1),
            Input::Key(Key { code: KeyCode::Down, .. }) => {
                self.row = (self.row + 1).min(self.lines.len() - 1);
            }
            input => {
                self.lines[self.row].1.take(input);
            }
        }
        MessageOutcome::Stay
    }
}

impl App {
    /// Opens a field for a comment on the line the reader is at.
    pub(super) fn begin_comment(&mut self) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        let mut rows = view.rows.iter().skip(view.place.row);
        let row = match rows.next() {
            // Of a hunk its first change is meant.
            Some(DiffRow::Hunk { folded: false, .. }) => rows.find(|row| row.is_changed()),
            row => row,
        };
        let place = row.and_then(DiffRow::place);
        let (Some((line, quote)), Some(file)) = (place, view.chosen()) else {
            self.say_with_hint("a comment stands on a line", "j and k go to one");
            return;
        };
        self.overlay = Some(Overlay::Comment(CommentForm {
            environment: view.environment.clone(),
            path: file.path.to_string(),
            line,
            quote: quote.to_owned(),
            field: Field::default(),
        }));
    }

    pub(super) fn add_comment(&mut self, form: &CommentForm) {
        let Some(comment) = form.comment() else { return };
        let comments = self.comments.entry(form.environment.clone()).or_default();
        comments.push(comment);
        let count = comments.len();
        let noun = if count == 1 { "comment" } else { "comments" };
        self.say_with_hint(format!("{count} {noun}, not sent yet"), "C shows the message");
    }

    /// Shows the comments on the diff's environment as the message they would be sent as.
    pub(super) fn show_comments(&mut self) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        let environment = view.environment.clone();
        match self.comments.get(&environment) {
            Some(comments) if !comments.is_empty() => {
                let name = self.name(&environment);
                let form = MessageForm::new(environment, name, comments);
                self.overlay = Some(Overlay::Message(form));
            }
            _ => self.say_with_hint("there is no comment yet", "c comments on a line"),
        }
    }

    pub(super) fn remove_comment(&mut self, environment: &EnvironmentId, index: usize) {
        let Some(comments) = self.comments.get_mut(environment) else { return };
        if index < comments.len() {
            comments.remove(index);
        }
        if comments.is_empty() {
            self.say("the last comment is removed");
        } else {
            self.show_comments();
        }
    }

    /// Has a message typed and entered for the agent.
    pub(super) fn send_message(&mut self, environment: EnvironmentId, text: String) {
        if !text.is_empty() {
            self.send_prompt(environment, text, true);
        }
    }
}
