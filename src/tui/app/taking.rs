//! Taking a part of an environment's work from its diff: what is taken is what is seen.

use super::super::action::Action;
use super::compare::Refresh;
use super::{App, DiffView, MergeForm, Overlay, Tag, View};
use crate::model::decision::{Decision, MergeDraft, MergeStyle, Portion};
use crate::model::diff::{Detail, DiffContent, Whitespace};
use crate::model::id::EnvironmentId;
use crate::proto::{DiffSide, Request, Resolution, Target};

impl DiffView {
    /// What is missing on the screen of what would be taken, which begins at the base or at what was
    /// taken already, and the key that shows it.
    fn hides_of_what_is_taken(&self) -> Option<(&'static str, &'static str)> {
        match self.from {
            _ if self.since_reviewed => {
                Some(("only what is new since your review is shown", "t shows all that is taken"))
            }
            DiffSide::Base | DiffSide::Taken => None,
            _ => Some(("this is one snapshot's change alone", "T shows all that is taken with it")),
        }
    }

    /// What would be taken of the chosen file: the hunk the reader is in, or all of it.
    fn portion(&self, action: Action) -> Option<Portion> {
        // What is on the screen is not what would be taken.
        if self.is_stale() {
            return None;
        }
        let path = self.chosen()?.path.clone();
        match (action, &self.lines.as_ref()?.content) {
            (Action::TakeHunk, DiffContent::Text(hunks)) if !hunks.is_empty() => {
                let hunk = hunks.get(self.hunk_here()?)?;
                Some(Portion::Hunk { path, start: hunk.new_start, lines: hunk.new_lines })
            }
            _ => Some(Portion::Paths(vec![path])),
        }
    }

    /// Compares with what was taken, or with the base again.
    fn toggle_since_taken(&mut self, name: &str) {
        let at = match &self.to {
            DiffSide::Snapshot(id) => format!("{name} at {}", id.short()),
            _ => name.to_owned(),
        };
        (self.from, self.title) = match self.from {
            DiffSide::Taken => (DiffSide::Base, format!("{at} since its base")),
            _ => (DiffSide::Taken, format!("{at} since you took of it")),
        };
        self.diff = None;
        self.forget();
    }

    /// Asks again after something was taken or given back, unless it is asked already.
    fn request_marks(&mut self) -> Option<Request> {
        self.read_again();
        if self.is_live() {
            return self.refresh.change().then(|| self.request_again(DiffSide::Newest));
        }
        let mut request = self.request_detail(Detail::Counted)?;
        if let (DiffSide::Taken, Request::ReadDiff { from, .. }) = (&self.from, &mut request) {
            *from = DiffSide::Taken;
        }
        Some(request)
    }
}

impl App {
    /// Takes the hunk the reader is in, or the file, from the snapshot that is on the screen.
    pub(super) fn take_of_diff(&mut self, action: Action) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        if let Some((text, hint)) = view.hides_of_what_is_taken() {
            return self.say_with_hint(text, hint);
        }
        let snapshot = view.diff.as_ref().map(|diff| diff.to.clone());
        let Some(portion) = view.portion(action) else {
            return self.say_unread();
        };
        let hunk = matches!(portion, Portion::Hunk { .. });
        if hunk && view.whitespace == Whitespace::Ignored {
            return self.say_with_hint("a hunk is taken with its blanks", "w shows them");
        }
        let target = Target::Id(view.environment.clone());
        let path = view.chosen().map(|file| file.path.to_string()).unwrap_or_default();
        self.say(format!("taking {} {path} …", if hunk { "a hunk of" } else { "all of" }));
        self.take(Request::Apply { target, portion, snapshot, known: Some(Vec::new()) });
    }

    /// Shows in the diff on top only what is new since something was taken, or all again.
    pub(super) fn diff_since_taken(&mut self) {
        let Some(View::Diff(view)) = self.views.last() else { return };
        let name = self.name(&view.environment);
        // What was asked before must not be shown under the new name.
        let ticket = self.ticket();
        let Some(View::Diff(view)) = self.views.last_mut() else { return };
        view.toggle_since_taken(&name);
        (view.ticket, view.refresh) = (ticket, Refresh::Idle);
        let request = view.request();
        self.send(request, Tag::View(ticket));
    }

    /// What is asked for is not on the screen as it is now.
    pub(super) fn say_unread(&mut self) {
        let Some(View::Diff(view)) = self.views.last_mut() else { return };
        if view.read_after_failure() {
            self.say("it could not be read; it is asked for again");
        } else {
            self.say("it is still being read");
        }
    }

    /// A message was drafted. Its form opens where it was asked for, and takes keys only after those
    /// that are on their way: one of them is enough to merge.
    pub(super) fn merge_drafted(&mut self, environment: EnvironmentId, draft: MergeDraft) {
        let name = self.name(&environment);
        if !self.is_on_deck() || self.selected.as_ref() != Some(&environment) {
            let text = format!("the merge of {name} is drafted, and not made");
            return self.say_with_hint(text, format!("m on {name} shows it"));
        }
        self.message = None;
        self.overlay = Some(Overlay::Merge(MergeForm::new(environment, name, draft)));
        self.drop_keys();
        self.dirty = true;
    }

    /// Runs in the box what a merge skips, with the form kept for when they have ended.
    pub(super) fn run_hooks_of(&mut self, form: MergeForm) {
        let (environment, style, message) =
            (form.environment.clone(), form.style, form.page.text());
        self.say_with_hint("running the hooks in the box …", "m goes on with the merge");
        self.hooking.form = Some(form);
        self.run_hooks(environment, style, message);
    }

    /// The same for the environment that is chosen, as it was merged last; where it was not, with
    /// what a merge would say.
    pub(super) fn run_skipped_hooks(&mut self, environment: EnvironmentId) {
        let Some((style, message)) = self.hooking.merged.get(&environment).cloned() else {
            let target = Target::Id(environment.clone());
            self.say("drafting the message of a merge for the hooks …");
            return self.send(Request::DraftMerge { target }, Tag::HooksDraft(environment));
        };
        self.say("running the hooks in the box …");
        self.run_hooks(environment, style, message);
    }

    /// A message was drafted for hooks: no merge was made of it.
    pub(super) fn hooks_drafted(&mut self, environment: EnvironmentId, draft: MergeDraft) {
        let text = "running the hooks in the box, with the message that a merge would have …";
        self.say_with_hint(text, "m shows it");
        self.run_hooks(environment, MergeStyle::Commit, draft.message);
    }

    fn run_hooks(&mut self, environment: EnvironmentId, style: MergeStyle, message: String) {
        let size = self.session_size();
        let variables = self.agent_variables(&environment);
        let target = Target::Id(environment.clone());
        let request = Request::RunHooks { target, style, message, size, variables };
        self.send(request, Tag::Shell(environment));
    }

    /// Opens the form of a merge again that was not made because hooks were run first.
    pub(super) fn resume_merge(&mut self) {
        if let Some(form) = self.hooking.form.take() {
            self.overlay = Some(Overlay::Merge(form));
            self.drop_keys();
        }
    }

    /// The user's branch was merged in a box: where it conflicts, a shell opens there.
    pub(super) fn resolved(&mut self, environment: EnvironmentId, resolution: &Resolution) {
        let name = self.name(&environment);
        let branch = super::super::widget::foreign(&resolution.branch);
        let mut paths = resolution.conflicts.iter();
        let Some(first) = paths.next() else {
            let text = format!("{branch} is merged in {name}'s box: nothing conflicts");
            return self.say_with_hint(text, "m merges");
        };
        let more = match paths.count() {
            0 => String::new(),
            count => format!(" and {count} more"),
        };
        let text = format!("{branch} conflicts in {name}'s box: {first}{more}");
        self.say_with_hint(text, "resolve and git commit here, then m merges");
        self.shell(environment);
    }

    /// Has diffs of an environment say anew what of it was taken.
    pub(super) fn mark_taken(&mut self, environment: &EnvironmentId) {
        let mut asked = Vec::new();
        for view in &mut self.views {
            let View::Diff(view) = view else { continue };
            if view.environment == *environment
                && let Some(request) = view.request_marks()
            {
                asked.push((request, view.ticket));
            }
        }
        for (request, ticket) in asked {
            self.send(request, Tag::Refresh(ticket));
        }
    }
}

/// What was applied, in words.
pub(super) fn applied(decision: &Decision, files: &str) -> String {
    let name = &decision.name;
    match &decision.portion {
        Portion::Hunk { path, .. } => format!("took a hunk of {path} from {name}"),
        Portion::Paths(paths) if paths.len() == 1 => {
            format!("took {} from {name}", paths[0])
        }
        Portion::All | Portion::Paths(_) => {
            format!("applied {name}: {files} in your working tree")
        }
    }
}

/// What was merged, in words, with what git would have run besides.
pub(super) fn merged(decision: &Decision, files: &str) -> String {
    let name = &decision.name;
    let commit = decision.commit.as_ref().map(|id| id.short().to_owned()).unwrap_or_default();
    let hooks = decision.skipped_hooks().map_or_else(String::new, |words| format!(" · {words}"));
    match decision.style {
        MergeStyle::Commit => format!("merged {name} as {commit}: {files}{hooks}"),
        MergeStyle::Squash => format!("merged {name} as one commit {commit}: {files}{hooks}"),
        MergeStyle::Rebase => format!("rebased {name} up to {commit}: {files}{hooks}"),
    }
}
