//! Comments on lines of a diff: written, listed, put into one message, sent to the agent when the
//! user says so. The server keeps them.

use crate::model::comment::{Comment, CommentId, GREETING, LinePlace};
use crate::model::id::{CommitId, EnvironmentId};
use crate::model::input::{Input, Key, KeyCode, Modifiers};
use crate::proto::{CommentChange, Request, Target};

use super::super::widget::{Field, foreign, line_text};
use super::diff::Commentable;
use super::{App, Overlay, Tag, View};

/// Lines of a message, beyond which a session's input would stall.
const MOST_LINES: usize = 400;

/// One comment being written.
#[derive(Debug)]
pub(crate) struct CommentForm {
    pub(crate) environment: EnvironmentId,
    pub(super) about: About,
    pub(crate) title: String,
    pub(crate) quote: String,
    pub(crate) field: Field,
}

/// What a comment is written about.
#[derive(Debug)]
pub(super) enum About {
    /// A line, as it was seen in a snapshot.
    Line {
        seen: CommitId,
        place: LinePlace,
    },
    Known(CommentId),
}

impl CommentForm {
    pub(super) fn new(
        environment: EnvironmentId,
        seen: CommitId,
        place: LinePlace,
        quote: &str,
    ) -> Self {
        let title = format!("{}:{}", place.path, place.line);
        let about = About::Line { seen, place };
        Self { environment, about, title, quote: quote.to_owned(), field: Field::default() }
    }

    pub(super) fn edit(environment: EnvironmentId, comment: &Comment) -> Self {
        let place = &comment.place;
        Self {
            environment,
            about: About::Known(comment.id),
            title: format!("{}:{}", place.path, comment.line.unwrap_or(place.line)),
            quote: line_text(&comment.quote.0),
            field: Field::new(foreign(&comment.text)),
        }
    }

    /// What is asked of the server; `None` where nothing was written. An empty text is none.
    fn change(&self) -> Option<CommentChange> {
        let text = self.field.text().trim().to_owned();
        match &self.about {
            About::Known(comment) if text.is_empty() => {
                Some(CommentChange::Remove { comment: *comment })
            }
            About::Known(comment) => Some(CommentChange::Edit { comment: *comment, text }),
            About::Line { .. } if text.is_empty() => None,
            About::Line { seen, place } => {
                let (seen, place) = (seen.clone(), place.clone());
                Some(CommentChange::Add { seen, place, text })
            }
        }
    }
}

/// All comments of the diff on top, of which one is chosen.
#[derive(Debug)]
pub(crate) struct CommentList {
    pub(crate) row: usize,
}

/// What a key did to the list.
pub(super) enum ListOutcome {
    Stay,
    GoTo(CommentId),
    Edit(CommentId),
    Remove(CommentId),
    Write,
}

impl CommentList {
    pub(super) fn take(&mut self, input: &Input, comments: &[Comment]) -> ListOutcome {
        let last = comments.len().saturating_sub(1);
        self.row = self.row.min(last);
        let Input::Key(key) = input else { return ListOutcome::Stay };
        let chosen = comments.get(self.row);
        let outcome = match key.code {
            KeyCode::Char('j') | KeyCode::Down => {
                self.row = (self.row + 1).min(last);
                None
            }
            KeyCode::Char('k') | KeyCode::Up => {
                self.row = self.row.saturating_sub(1);
                None
            }
            KeyCode::Enter => chosen.map(|comment| ListOutcome::GoTo(comment.id)),
            KeyCode::Char('e') => {
                let open = chosen.filter(|comment| comment.sent.is_none());
                open.map(|comment| ListOutcome::Edit(comment.id))
            }
            KeyCode::Char('x') => chosen.map(|comment| ListOutcome::Remove(comment.id)),
            KeyCode::Char('s') => Some(ListOutcome::Write),
            _ => None,
        };
        outcome.unwrap_or(ListOutcome::Stay)
    }
}

/// Comments as the message that would be sent, to be read and changed before.
#[derive(Debug)]
pub(crate) struct MessageForm {
    pub(crate) environment: EnvironmentId,
    pub(crate) name: String,
    /// Each with the comment it belongs to.
    pub(crate) lines: Vec<(Option<CommentId>, Field)>,
    pub(crate) row: usize,
}

impl MessageForm {
    fn new<'a>(
        environment: EnvironmentId,
        name: String,
        comments: impl Iterator<Item = &'a Comment>,
    ) -> Self {
        let mut lines = vec![(None, Field::new(GREETING))];
        for comment in comments {
            let paragraph = comment.paragraph();
            if lines.len() + 1 + paragraph.lines().count() > MOST_LINES {
                break;
            }
            let words = std::iter::once("").chain(paragraph.lines());
            lines.extend(words.map(|line| (Some(comment.id), Field::new(foreign(line)))));
        }
        let row = lines.len() - 1;
        Self { environment, name, lines, row }
    }

    /// Takes an input; `true` when the message is to be sent.
    pub(super) fn take(&mut self, input: &Input) -> bool {
        let control = |key: &Key, letter| {
            key.code == KeyCode::Char(letter) && key.modifiers.has(Modifiers::CONTROL)
        };
        match input {
            Input::Key(key) if key.code == KeyCode::Enter && key.modifiers == Modifiers(0) => {
                return true;
            }
            Input::Key(key) if control(key, 'x') => {
                if let Some(comment) = self.lines[self.row].0 {
                    self.lines.retain(|(of, _)| *of != Some(comment));
                    self.row = self.row.min(self.lines.len() - 1);
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
        false
    }

    /// The message, and the comments it tells of.
    fn change(&self) -> CommentChange {
        let lines: Vec<&str> = self.lines.iter().map(|(_, field)| field.text()).collect();
        let mut comments: Vec<CommentId> = self.lines.iter().filter_map(|(of, _)| *of).collect();
        comments.dedup();
        CommentChange::Send { comments, message: lines.join("\n").trim().to_owned() }
    }
}

impl App {
    /// Opens a field for a comment on the line the reader is at, or for the one that is there.
    pub(super) fn begin_comment(&mut self) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        match view.commentable() {
            Commentable::Line(form) => self.overlay = Some(Overlay::Comment(form)),
            Commentable::Not(what, hint) => self.say_with_hint(what, hint),
            Commentable::Unread => self.say_unread(),
        }
    }

    /// Has the server keep what was written. It stays here until that is done.
    pub(super) fn keep_comment(&mut self, form: CommentForm) {
        let Some(change) = form.change() else { return };
        let tag = match change {
            CommentChange::Remove { .. } => Tag::Say("removed the comment".to_owned()),
            _ => Tag::Commented,
        };
        let environment = form.environment.clone();
        self.unkept = Some(form);
        self.change_comments(environment, change, tag);
    }

    fn change_comments(&mut self, environment: EnvironmentId, change: CommentChange, tag: Tag) {
        let target = Target::Id(environment);
        self.send(Request::ChangeComments { target, change }, tag);
    }

    /// The server has what was written.
    pub(super) fn comment_kept(&mut self) {
        self.unkept = None;
        self.say_with_hint("kept your comment; the agent is not told yet", "C shows all of them");
    }

    /// The server does not have it: nobody writes a thing twice.
    pub(super) fn comment_not_kept(&mut self) {
        if let Some(form) = self.unkept.take()
            && self.overlay.is_none()
        {
            self.overlay = Some(Overlay::Comment(form));
        }
    }

    /// Shows the comments on the diff's environment.
    pub(super) fn list_comments(&mut self) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        if view.comments.is_empty() {
            return self.say_with_hint("there is no comment yet", "c comments on a line");
        }
        self.overlay = Some(Overlay::Comments(CommentList { row: 0 }));
    }

    pub(super) fn act_on_comments(&mut self, list: CommentList, outcome: &ListOutcome) {
        let Some(View::Diff(view)) = self.views.last_mut() else { return };
        let environment = view.environment.clone();
        match *outcome {
            ListOutcome::Stay => self.overlay = Some(Overlay::Comments(list)),
            ListOutcome::GoTo(id) => {
                let there = view.go_to_comment(id);
                let comment = view.comment(id);
                let outdated = comment.is_some_and(|comment| comment.line.is_none());
                if !there {
                    self.say("this diff does not have its file any more");
                } else if outdated {
                    self.say("the line it is about went; its file is here");
                }
            }
            ListOutcome::Edit(id) => {
                if let Some(comment) = view.comment(id) {
                    let form = CommentForm::edit(environment, comment);
                    self.overlay = Some(Overlay::Comment(form));
                }
            }
            ListOutcome::Remove(comment) => {
                self.overlay = (view.comments.len() > 1).then_some(Overlay::Comments(list));
                let tag = Tag::Say("removed the comment".to_owned());
                self.change_comments(environment, CommentChange::Remove { comment }, tag);
            }
            ListOutcome::Write => self.write_message(),
        }
    }

    /// Shows the comments that were not sent as the message they would be sent as.
    fn write_message(&mut self) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        if view.pending().next().is_none() {
            return self.say_with_hint("the agent was told of all", "c comments on a line");
        }
        let environment = view.environment.clone();
        let name = self.name(&environment);
        let form = MessageForm::new(environment, name, view.pending());
        self.overlay = Some(Overlay::Message(form));
    }

    /// Has the server type the message for the agent once that can take it.
    pub(super) fn send_message(&mut self, form: &MessageForm) {
        let change = form.change();
        let tag = Tag::Prompted { environment: form.environment.clone() };
        self.change_comments(form.environment.clone(), change, tag);
    }

    /// Reads the comments of a diff anew.
    pub(super) fn read_comments(&mut self, ticket: u64) {
        let Some(View::Diff(view)) = self.view(ticket) else { return };
        if let Some(request) = view.request_comments() {
            self.send(request, Tag::Comments(ticket));
        }
    }

    pub(super) fn take_comments(&mut self, ticket: u64, comments: Vec<Comment>) {
        if let Some(View::Diff(view)) = self.view(ticket) {
            view.fill_comments(comments);
            self.dirty = true;
        }
    }

    /// Someone changed the comments on an environment.
    pub(super) fn comments_changed(&mut self, environment: &EnvironmentId) {
        let of = |view: &View| match view {
            View::Diff(view) if view.environment == *environment => Some(view.ticket),
            _ => None,
        };
        let tickets: Vec<u64> = self.views.iter().filter_map(of).collect();
        for ticket in tickets {
            self.read_comments(ticket);
        }
    }
}
