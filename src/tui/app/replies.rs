//! Answers to what this client asked.

use crate::model::decision::{Decision, DecisionKind};
use crate::model::diff::{Detail, Diff};
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::snapshot::{Skipped, hidden_note};
use crate::proto::{DiffSide, Reply, Request, Target};

use super::lacking::first_of;
use super::{App, Message, Tag, View};
use crate::tui::panes::PaneKey;
use crate::tui::widget::age;

impl App {
    pub(super) fn take_reply(&mut self, tag: Tag, reply: Result<Reply, Failure>) {
        match reply {
            Ok(reply) => self.take_answer(tag, reply),
            Err(failure) => self.take_failure(tag, &failure),
        }
    }

    fn take_answer(&mut self, tag: Tag, reply: Reply) {
        match (tag, reply) {
            (Tag::Repository, Reply::RepositoryState(state)) => {
                self.dirty |= self.repository.as_ref() != Some(&state);
                self.repository = Some(state);
            }
            (Tag::Created { presses }, Reply::Environment(environment)) => {
                self.made(presses, environment);
            }
            (Tag::Shell(environment), Reply::SessionStarted { session, .. }) => {
                self.shell_started(PaneKey { environment, session });
            }
            (Tag::Scrollback(pane), Reply::Lines(lines)) => {
                if let Some(shown) = self.panes.get_mut(&pane) {
                    shown.fill_scrollback(lines);
                    self.dirty = true;
                }
            }
            (Tag::Lines { ticket, copied }, Reply::Lines(lines)) => {
                self.take_copy_lines(ticket, lines, copied);
            }
            (Tag::Found { ticket }, Reply::Found { found, lines }) => {
                self.found(ticket, found, lines);
            }
            (Tag::Offer { presses }, reply) => self.offered(presses, reply),
            (Tag::MergeDraft(environment), Reply::MergeDraft(draft)) => {
                self.merge_drafted(environment, *draft);
            }
            (Tag::HooksDraft(environment), Reply::MergeDraft(draft)) => {
                self.hooks_drafted(environment, *draft);
            }
            (Tag::Resolve(environment), Reply::Resolution(resolution)) => {
                self.resolved(environment, &resolution);
            }
            (Tag::Listed, Reply::Environments(listed)) => self.keep_listed(&listed),
            (Tag::Take(request), Reply::Decided(decision)) => {
                self.hooking.remember(*request, &decision);
                self.say_decided(&decision);
            }
            (Tag::Decide, Reply::Decided(decision)) => self.say_decided(&decision),
            (Tag::Take(request), Reply::LeftOut(left_out)) => self.ask_without(*request, left_out),
            (Tag::Undo, Reply::Decided(decision)) => self.say_undone(&decision),
            (Tag::Say(text), _) => self.say(text),
            (Tag::View(ticket), reply) => {
                self.fill_view(ticket, reply, false);
                self.count_diff(ticket);
            }
            (Tag::Refresh(ticket), reply) => {
                self.fill_view(ticket, reply, true);
                self.refreshed(ticket);
            }
            (Tag::FileDiff { ticket, reading }, Reply::FileDiff(file)) => {
                if let Some(View::Diff(view)) = self.view(ticket) {
                    view.fill_file(reading, *file);
                    self.dirty = true;
                }
            }
            (Tag::Export { environment, name }, Reply::Diff(diff)) => {
                self.export(environment, name, diff);
            }
            (Tag::Notice(environment), Reply::Attended { first: true }) => {
                self.notice_granted(environment);
            }
            (Tag::Prompted { environment }, Reply::Receipt(prompt)) => {
                self.prompted(&environment, &prompt);
            }
            (Tag::Commented, _) => self.comment_kept(),
            (Tag::Comments(ticket), Reply::Comments(comments)) => {
                self.take_comments(ticket, comments);
            }
            (Tag::Matches { ticket, text }, Reply::Matches(found)) => {
                self.take_matches(ticket, &text, Some(found));
            }
            (Tag::LeftOut(ticket), Reply::LeftOut(skipped)) => self.say_left_out(ticket, &skipped),
            (Tag::Timeline(ticket), reply) => self.fill_timeline(ticket, Some(reply)),
            _ => {}
        }
    }

    /// An environment was made; `presses` is how many keys were pressed before it was asked for.
    fn made(&mut self, presses: u64, environment: Box<Environment>) {
        // Who pressed a key since is at something else.
        if presses == self.presses {
            self.selected = Some(environment.id.clone());
            self.selection_moved();
        }
        self.announced = Some(environment.id.clone());
        self.take_event(crate::proto::Event::EnvironmentChanged(environment));
    }

    fn export(&mut self, environment: EnvironmentId, name: String, diff: Diff) {
        self.outbox.push(super::Effect::Export { environment, name, diff: Box::new(diff) });
    }

    fn say_decided(&mut self, decision: &Decision) {
        let Decision { name, paths, .. } = decision;
        let files = files(paths.len());
        let text = match decision.kind {
            DecisionKind::Apply => super::taking::applied(decision, &files),
            DecisionKind::Merge => super::taking::merged(decision, &files),
            DecisionKind::Discard => match decision.as_of {
                None => format!("discarded {name}"),
                Some(as_of) => {
                    let ago = match age(as_of.age_seconds(self.now)).0.as_str() {
                        "now" => "just now".to_owned(),
                        age => format!("{age} ago"),
                    };
                    format!(
                        "discarded {name}: its files as they are, its snapshots up to {ago}, as \
                         its repository is away"
                    )
                }
            },
            DecisionKind::Restore => {
                let snapshot = decision.snapshot.as_ref().map_or("", |snapshot| snapshot.short());
                format!("took {name} back to {snapshot}: {files}")
            }
        };
        let lacking = decision.left_out.iter().filter(|it| it.is_lacking()).count();
        let hidden = decision.left_out.iter().filter(|it| it.is_hidden()).count();
        let mut without = match lacking {
            0 => String::new(),
            count => format!(" · without {}", self::files(count)),
        };
        if hidden > 0 {
            without.push_str(&format!(" · {hidden} hidden by its own ignore rules not taken"));
        }
        let hint = if decision.hooks.is_empty() {
            "u takes it back"
        } else {
            "u takes it back · H runs the hooks in the box"
        };
        self.say_with_hint(format!("{text}{without}"), hint);
        self.read_repository();
    }

    /// Files that a diff cannot show, unless they are ignored. How many stays on the screen; which,
    /// is said when there are more.
    fn say_left_out(&mut self, ticket: u64, skipped: &[Skipped]) {
        let Some(View::Diff(view)) = self.view(ticket) else { return };
        let count = skipped.iter().filter(|skipped| !skipped.is_ignored()).count();
        let before = std::mem::replace(&mut view.left_out, count);
        self.dirty |= count != before;
        if count <= before {
            return;
        }
        let lacks =
            first_of(skipped).map(|it| format!("in no snapshot, and not in this diff: {it}"));
        let notes: Vec<String> = lacks.into_iter().chain(hidden_note(skipped)).collect();
        if !notes.is_empty() {
            self.say(notes.join(" · "));
        }
    }

    fn say_undone(&mut self, decision: &Decision) {
        let Decision { name, paths, .. } = decision;
        let text = match decision.kind {
            DecisionKind::Apply => {
                format!("undid the apply of {name}: {} as before", files(paths.len()))
            }
            DecisionKind::Merge => {
                format!("undid the merge of {name}: your branch is where it was")
            }
            DecisionKind::Discard => format!("undid the discard of {name}: it is back"),
            DecisionKind::Restore => {
                format!("undid the restore of {name}: {} as before", files(paths.len()))
            }
        };
        self.say(text);
        self.read_repository();
    }

    pub(super) fn take_failure(&mut self, tag: Tag, failure: &Failure) {
        let lost = super::gone::is_loss(failure);
        if lost && self.take_loss(&tag) {
            return;
        }
        match tag {
            // The branch in the header is a courtesy.
            Tag::Repository | Tag::Listed | Tag::LeftOut(_) | Tag::Comments(_) | Tag::Notice(_) => {
                return;
            }
            // The file on the screen is searched all the same.
            Tag::Matches { ticket, text } => return self.take_matches(ticket, &text, None),
            Tag::Commented => self.comment_not_kept(),
            // What was to be watched ended meanwhile; its event says so.
            Tag::Watch(_) if failure.kind == FailureKind::NotFound => return,
            // What is shown stays; the next change asks again.
            Tag::Refresh(ticket) => return self.refreshed(ticket),
            Tag::Keyboard(pane) => self.lose_keyboard(&pane),
            Tag::View(ticket) => self.close_unread(ticket),
            Tag::FileDiff { ticket, reading } => {
                if let Some(View::Diff(view)) = self.view(ticket) {
                    view.reading_failed(reading);
                }
            }
            Tag::Timeline(ticket) => self.fill_timeline(ticket, None),
            Tag::Prompted { environment, .. } if !lost => {
                let message = format!("{}: {}", self.name(&environment), failure.message);
                return self.fail(&Failure { message, ..failure.clone() });
            }
            Tag::Lines { ticket, .. } | Tag::Found { ticket } => self.copy_question_failed(ticket),
            _ => {}
        }
        if lost {
            let message = "the server went before it answered";
            let failure = Failure::new(FailureKind::Unavailable, message)
                .hint("look whether it was done before you ask again");
            return self.fail(&failure);
        }
        self.fail(failure);
    }

    /// What a view was to show cannot be had. Keys on their way are not for what lies below it.
    fn close_unread(&mut self, ticket: u64) {
        let top = self.views.last().map(View::ticket);
        self.views.retain(|view| view.ticket() != ticket);
        if top == Some(ticket) && self.overlay.is_none() {
            self.drop_keys();
        }
    }

    pub(super) fn view(&mut self, ticket: u64) -> Option<&mut View> {
        self.views.iter_mut().find(|view| view.ticket() == ticket)
    }

    /// A diff's files are there: has their lines counted, while they are read. One that goes on
    /// with the workspace was shown as last kept, and is now asked for as it is.
    fn count_diff(&mut self, ticket: u64) {
        let Some(View::Diff(view)) = self.view(ticket) else { return };
        let request = if !view.is_live() {
            view.request_detail(Detail::Counted)
        } else if view.refresh.change() {
            Some(view.request_again(DiffSide::Head))
        } else {
            None
        };
        if let Some(request) = request {
            self.send(request, Tag::Refresh(ticket));
        }
    }

    fn fill_view(&mut self, ticket: u64, reply: Reply, again: bool) {
        let Some(view) = self.view(ticket) else { return };
        match (view, reply) {
            (View::Diff(view), Reply::Diff(diff)) => view.fill(diff, again),
            (View::Compare(view), Reply::Comparison(comparison)) => view.fill(comparison),
            (View::File(view), Reply::AlignedFile(file)) => view.fill(file),
            (View::History(view), Reply::History(snapshots)) => view.fill(snapshots),
            (View::Inspect(view), Reply::Inspection(inspection)) => {
                view.inspection = Some(inspection);
            }
            _ => {}
        }
        if !again {
            self.message.take_if(|message: &mut Message| !message.failed);
        }
        if let Some((_, environment)) = self.unlisted.take_if(|unlisted| unlisted.0 == ticket) {
            let target = Target::Id(environment);
            self.send(Request::ReadLeftOut { target, snapshot: None }, Tag::LeftOut(ticket));
        } else if again
            && let Some(View::Diff(view)) = self.view(ticket)
            && view.is_live()
        {
            let target = Target::Id(view.environment.clone());
            self.send(Request::ReadLeftOut { target, snapshot: None }, Tag::LeftOut(ticket));
        }
        self.read_comments(ticket);
        self.search_all_files(ticket);
        self.tell_compared_file();
        self.dirty = true;
        self.read_chosen();
    }
}

impl View {
    pub(crate) fn ticket(&self) -> u64 {
        match self {
            Self::Diff(view) => view.ticket,
            Self::Compare(view) => view.ticket,
            Self::File(view) => view.ticket,
            Self::History(view) => view.ticket,
            Self::Inspect(view) => view.ticket,
            Self::Denied(view) => view.ticket,
            Self::Map(view) => view.ticket,
            Self::Prompts(view) => view.ticket,
        }
    }
}

fn files(count: usize) -> String {
    if count == 1 { "1 file".to_owned() } else { format!("{count} files") }
}
