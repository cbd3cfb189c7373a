//! Taking a file or a hunk from one of several attempts: of what is on the screen, and from the
//! snapshot that is.

use super::super::{App, View};
use super::FileView;
use crate::model::comparison::Stretch;
use crate::model::decision::Portion;
use crate::model::id::{CommitId, EnvironmentId};
use crate::proto::{Request, Target};
use crate::tui::action::Action;

/// What is taken, from whom, as of when.
struct Taking {
    environment: EnvironmentId,
    snapshot: CommitId,
    portion: Portion,
}

/// Why nothing is taken, and what to do.
type Reason = (&'static str, &'static str);

impl FileView {
    fn taking(&self, action: Action) -> Result<Taking, Reason> {
        let unread = ("it is still being read", "try again in a moment");
        let file = self.file.as_ref().ok_or(unread)?;
        let snapshot = file.heads.get(self.column).cloned().ok_or(unread)?;
        let environment = self.attempts.get(self.column).cloned().ok_or(unread)?;
        let gone = file.missing.get(self.column + 1).copied().unwrap_or_default();
        let portion = if action == Action::TakeFile || gone || file.note.is_some() {
            if self.cells.get(self.column).is_some_and(Option::is_none) {
                return Err(("this attempt left the file as it was", "h and l choose another"));
            }
            Portion::Paths(vec![self.path.clone()])
        } else {
            let (start, lines) = self.hunk_here()?;
            Portion::Hunk { path: self.path.clone(), start, lines }
        };
        Ok(Taking { environment, snapshot, portion })
    }

    /// The lines that the chosen attempt has where the reader is, as a hunk tells them: of none, the
    /// line before.
    fn hunk_here(&self) -> Result<(u32, u32), Reason> {
        let elsewhere = ("a hunk is taken where attempts differ", "n goes to one");
        let (file, row) = self.file.as_ref().zip(self.rows.get(self.place.row)).ok_or(elsewhere)?;
        let at = row.stretch();
        let column = self.column + 1;
        let Some(Stretch::Changed { groups, rows }) = file.stretches.get(at) else {
            return Err(elsewhere);
        };
        if groups.get(column) == groups.first() {
            return Err(("this attempt left it as it was", "h and l choose another"));
        }
        let mut own = rows.iter().filter_map(|row| row.cells.get(column)?.as_ref());
        if let Some(first) = own.next() {
            return Ok((first.number, 1 + own.count() as u32));
        }
        let last = |stretch: &Stretch| match stretch {
            Stretch::Common { starts, lines } => {
                let count = u32::try_from(lines.len()).ok().filter(|count| *count > 0)?;
                Some(starts.get(column)? + count - 1)
            }
            Stretch::Changed { rows, .. } => {
                let mut own = rows.iter().rev().filter_map(|row| row.cells.get(column)?.as_ref());
                own.next().map(|cell| cell.number)
            }
        };
        Ok((file.stretches[..at].iter().rev().find_map(last).unwrap_or(0), 0))
    }
}

impl App {
    /// Takes the file, or the hunk the reader is in, of the chosen attempt.
    pub(in super::super) fn take_compared(&mut self, action: Action) {
        let taking = match self.views.last() {
            Some(View::File(view)) => view.taking(action),
            Some(View::Compare(view)) => {
                let none = ("this attempt left the file as it was", "h and l choose another");
                let attempt = view.comparison.as_ref().and_then(|it| it.attempts.get(view.attempt));
                let row = view
                    .chosen()
                    .filter(|row| row.cells.get(view.attempt).is_some_and(Option::is_some));
                let taking = attempt.zip(row).map(|(attempt, row)| Taking {
                    environment: attempt.environment.clone(),
                    snapshot: attempt.head.clone(),
                    portion: Portion::Paths(vec![row.path.clone()]),
                });
                taking.ok_or(none)
            }
            _ => return,
        };
        let Taking { environment, snapshot, portion } = match taking {
            Ok(taking) => taking,
            Err((text, hint)) => return self.say_with_hint(text, hint),
        };
        let name = self.name(&environment);
        self.say(match &portion {
            Portion::Hunk { path, .. } => format!("taking a hunk of {path} from {name} …"),
            Portion::Paths(paths) => format!("taking {} from {name} …", paths[0]),
            Portion::All => format!("taking all of {name} …"),
        });
        let target = Target::Id(environment);
        let (snapshot, known) = (Some(snapshot), Some(Vec::new()));
        self.take(Request::Apply { target, portion, snapshot, known });
    }
}
