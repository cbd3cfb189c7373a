//! The comments on the lines of a diff: which are seen, which one the reader is at.

use super::super::CommentForm;
use super::{DiffRow, DiffView, Goal};
use crate::model::comment::{Comment, CommentId, LinePlace, LineSide};
use crate::model::diff::{FileDiff, Review};
use crate::model::path::RepoPath;
use crate::proto::{DiffSide, Request};

/// What a person can do at a place of a diff.
pub(in super::super) enum Commentable {
    Line(CommentForm),
    /// Not as long as this is so: what, and what to do.
    Not(&'static str, &'static str),
    /// What is on the screen is being read anew.
    Unread,
}

impl DiffView {
    /// Asks for the comments, with the numbers of their lines in what is shown.
    pub(in super::super) fn request_comments(&self) -> Option<Request> {
        let diff = self.diff.as_ref()?;
        let [from, to] = [&diff.from, &diff.to].map(|end| DiffSide::Snapshot(end.clone()));
        Some(Request::ReadComments { target: self.target(), from, to })
    }

    /// Takes the comments; the reader stays at the line.
    pub(in super::super) fn fill_comments(&mut self, comments: Vec<Comment>) {
        if self.comments == comments {
            return;
        }
        let anchor = self.anchor();
        self.comments = comments;
        self.lay_out();
        self.return_to(anchor.0, anchor.1);
        self.reach_goal();
    }

    /// Comments that the agent was not told of.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Comment> {
        self.comments.iter().filter(|comment| comment.sent.is_none())
    }

    /// How many comments on the chosen file are on a line that went.
    pub(crate) fn outdated(&self) -> usize {
        let of_file = self.comments_of_chosen();
        of_file.iter().filter(|comment| comment.line.is_none()).count()
    }

    pub(super) fn comments_of_chosen(&self) -> Vec<&Comment> {
        let Some(file) = self.chosen() else { return Vec::new() };
        let shown = |comment: &&Comment| {
            let LinePlace { path, side, .. } = &comment.place;
            path == path_of(file, *side) && (*side == LineSide::New || !self.begins_later(file))
        };
        self.comments.iter().filter(shown).collect()
    }

    /// Whether the old lines of a file on the screen are not those of the diff's beginning.
    fn begins_later(&self, file: &FileDiff) -> bool {
        self.since_reviewed && matches!(file.review, Review::Changed { .. })
    }

    /// What a comment at the reader's place would be about: the one that is there, or the line.
    pub(in super::super) fn commentable(&self) -> Commentable {
        if self.is_stale() {
            return Commentable::Unread;
        }
        if let Some(comment) = self.comment_here() {
            return Commentable::Line(CommentForm::edit(self.environment.clone(), comment));
        }
        let rows = self.rows.get(..=self.place.row).unwrap_or_default();
        let comments = rows.iter().rev().take_while(|row| row.is_comment()).count();
        let of = self.place.row.saturating_sub(comments);
        let mut rows = self.rows.iter().skip(of);
        let row = match rows.next() {
            // Of a hunk its first change is meant.
            Some(DiffRow::Hunk { folded: false, .. }) => rows.find(|row| row.is_changed()),
            row => row,
        };
        let (Some((side, line, quote)), Some(file), Some(diff)) =
            (row.and_then(DiffRow::place), self.chosen(), &self.diff)
        else {
            return Commentable::Not("a comment stands on a line", "j and k go to one");
        };
        if side == LineSide::Old && self.begins_later(file) {
            return Commentable::Not("this line is of what you reviewed", "t shows all");
        }
        let seen = if side == LineSide::Old { &diff.from } else { &diff.to };
        let place = LinePlace { path: path_of(file, side).clone(), side, line };
        let environment = self.environment.clone();
        Commentable::Line(CommentForm::new(environment, seen.clone(), place, quote))
    }

    /// The comment the reader is at, or on whose line, as long as it was not sent.
    fn comment_here(&self) -> Option<&Comment> {
        let here = self.rows.iter().skip(self.place.row).take(2);
        let mut here = here.filter_map(|row| match row {
            DiffRow::Comment { comment, sent: false, .. } => Some(*comment),
            _ => None,
        });
        self.comment(here.next()?)
    }

    pub(in super::super) fn comment(&self, id: CommentId) -> Option<&Comment> {
        self.comments.iter().find(|comment| comment.id == id)
    }

    /// Goes to a comment's file, and to its line as soon as that is read; `false` where the diff
    /// does not have the file.
    pub(in super::super) fn go_to_comment(&mut self, id: CommentId) -> bool {
        let Some(LinePlace { path, side, .. }) = self.comment(id).map(|comment| &comment.place)
        else {
            return false;
        };
        let files = self.diff.as_ref().map_or(&[][..], |diff| &diff.files);
        let found = self.order.iter().position(|index| path_of(&files[*index], *side) == path);
        let Some(found) = found else { return false };
        self.listing = false;
        if found != self.file {
            self.choose(found);
        }
        let is_there = self.comment(id).is_some_and(|comment| comment.line.is_some());
        self.goal = is_there.then_some(Goal::Comment(id));
        self.reach_goal();
        true
    }
}

/// The path that a side's lines have in a file.
fn path_of(file: &FileDiff, side: LineSide) -> &RepoPath {
    match (side, &file.old_path) {
        (LineSide::Old, Some(old)) => old,
        _ => &file.path,
    }
}
