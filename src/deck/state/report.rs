//! What can happen to an environment, and what it makes of its record.

use super::{Matter, Record, notes};
use crate::deck::status::Finding;
use crate::engine::BoxRecord;
use crate::model::attention::Attend;
use crate::model::destination::Denial;
use crate::model::diff::ReviewMark;
use crate::model::environment::{
    Environment, EnvironmentState, Session, SessionKind, SessionState,
};
use crate::model::failure::Failure;
use crate::model::id::{CommitId, SessionId, Timestamp};
use crate::model::policy::{Isolation, Limits, Load, NetworkPolicy, show_bytes};
use crate::model::prediction::Prediction;
use crate::model::prompt::Prompt;
use crate::model::screen::Size;
use crate::model::snapshot::{Divergence, Snapshot};
use crate::model::status::{Doing, Need, Status};

/// An output mark on screen steps this often, in milliseconds: idle must mean idle.
const OUTPUT_STEP: u64 = 10_000;

/// What happened to an environment, told by whoever saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    Progress {
        step: String,
        done: u64,
        total: u64,
    },
    WorkspaceMade,
    BoxMade {
        record: BoxRecord,
    },
    /// The programs are given variables of these names.
    Variables(Vec<String>),
    /// A start of the server goes on with its making.
    TakenUp,
    /// Whether the user wants it to run, which a box that ends by itself does not change.
    Wanted {
        running: bool,
    },
    /// Whether the agent is still to be started in the box.
    AgentDue {
        due: bool,
    },
    /// How its agent is started next, and whether that goes on with its conversation.
    AgentBegins {
        command: Vec<String>,
        resumed: bool,
    },
    /// Whether its agent's next start begins a new conversation.
    Anew {
        anew: bool,
    },
    /// The files and the box's own layer of the environment it is forked from are in place.
    Copied,
    Isolation(Isolation),
    /// What holds the box is being read anew; what was known of it may not be so any more.
    IsolationUnknown,
    /// The shim answers; sessions are what it has.
    Running,
    /// Every program stands still; without a reason, that of a pause already known stays.
    Paused {
        reason: Option<String>,
    },
    /// The user wants the pause to last, whatever it was made for.
    PauseWanted,
    Resumed,
    Stopped,
    /// The box ended although nobody asked for it; `Stopped` follows.
    EndedUnasked,
    Failed(Failure),
    Unreachable {
        message: String,
    },
    SessionOpened {
        session: SessionId,
        kind: SessionKind,
        command: Vec<String>,
        size: Size,
    },
    SessionExited {
        session: SessionId,
        code: i32,
    },
    /// It never ran; one report, so that nobody sees it running in between.
    SessionFailed {
        session: SessionId,
        kind: SessionKind,
        command: Vec<String>,
        size: Size,
        message: String,
    },
    SessionClosed {
        session: SessionId,
    },
    SessionResized {
        session: SessionId,
        size: Size,
    },
    Output {
        session: SessionId,
        title: String,
    },
    /// What its program was found to be doing; `None` where nothing can be known of it.
    Judged {
        session: SessionId,
        found: Option<Finding>,
    },
    /// What people know of it.
    Attended(Attend),
    /// Whether a person's line is begun in the agent's session.
    Drafted(bool),
    /// What came of what was sent to the agent.
    Prompts(Vec<Prompt>),
    /// Something happened that is worth knowing.
    Note(String),
    /// How something stands that passes; `None` when all is well again.
    Matter {
        matter: Matter,
        note: Option<String>,
    },
    /// A program of the box, or all of them, ended for want of memory.
    OutOfMemory,
    Limits(Limits),
    /// `None` when nothing is known any more.
    Load(Option<Load>),
    SnapshotTaken {
        snapshot: Box<Snapshot>,
        count: u32,
        divergence: Divergence,
    },
    /// Recounted without a snapshot.
    Diverged(Divergence),
    /// The user's commit that the work is a change of; `None` where that is the base.
    StandsOn(Option<CommitId>),
    /// What a merge would come to, and commits on the user's branch since the base, where they can
    /// be counted.
    Predicted {
        behind: Option<u32>,
        prediction: Box<Prediction>,
    },
    /// What the gate refused, the newest first.
    Denied(Vec<Denial>),
    /// The user read a file, or takes that back.
    Reviewed(ReviewMark),
    NetworkChanged(NetworkPolicy),
}

/// Takes a report into the record.
pub(super) fn apply(record: &mut Record, report: Report, now: Timestamp) {
    listen(record, &report);
    match report {
        Report::WorkspaceMade => record.workspace_made = true,
        Report::BoxMade { record: made } => record.record = Some(made),
        Report::Variables(names) => record.variable_names = names,
        Report::TakenUp => record.taken_up = true,
        Report::Wanted { running } => record.wanted = running,
        Report::AgentDue { due } => record.agent_due = due,
        Report::Anew { anew } => record.anew = anew,
        Report::Copied => {
            record.workspace_made = true;
            if let Some(fork) = &mut record.fork {
                fork.copied = true;
            }
        }
        Report::Reviewed(mark) => record.reviewed.mark(mark),
        Report::Note(note) => notes::add(record, note),
        Report::Matter { matter, note } => notes::settle(record, matter, note),
        Report::Predicted { behind, prediction } => {
            if let Some(behind) = behind {
                record.environment.divergence.behind = behind;
            }
            record.environment.prediction = Some(prediction);
        }
        Report::EndedUnasked => ended_unasked(record),
        Report::Stopped => {
            // What stood still was not to go on, whatever ended it.
            record.wanted &= !matches!(record.environment.state, EnvironmentState::Paused { .. });
            apply_to_view(&mut record.environment, Report::Stopped, now);
        }
        Report::Running => {
            record.taken_up = false;
            // A pause that is on record ends by its own report: the box may have been seen running
            // a moment before it stood still.
            if !matches!(record.environment.state, EnvironmentState::Paused { .. }) {
                enter(&mut record.environment, EnvironmentState::Running, now);
            }
        }
        other => {
            settle(record, &other);
            apply_to_view(&mut record.environment, other, now);
        }
    }
}

/// Ends the notes of what a report tells to be well.
fn settle(record: &mut Record, report: &Report) {
    let view = &record.environment;
    match report {
        Report::SnapshotTaken { .. } | Report::Diverged(_) => {
            notes::settle(record, Matter::Snapshot, None);
        }
        Report::Resumed => notes::settle(record, Matter::Pausing, None),
        Report::Isolation(_) => notes::settle(record, Matter::Isolation, None),
        Report::SessionOpened { session: SessionId::AGENT, command, .. }
            if *command == view.command =>
        {
            record.agent_started = true;
            record.anew = false;
            notes::settle(record, Matter::Agent, None);
        }
        Report::Judged { session: SessionId::AGENT, found: Some(found) } => {
            record.agent_worked |= shows_work(found);
        }
        Report::Progress { .. } if !matches!(view.state, EnvironmentState::Creating { .. }) => {
            notes::forget_box(record);
        }
        _ => {}
    }
}

/// Whether a finding tells that an agent has been given something to do.
fn shows_work(found: &Finding) -> bool {
    match found.claim.state {
        Doing::Working | Doing::Done => true,
        Doing::Waiting { need } => need == Need::Permission,
        Doing::Failed | Doing::Idle | Doing::Unknown => false,
    }
}

/// Whether a report tells how the environment stands, to a server that did not know yet.
fn listen(record: &mut Record, report: &Report) {
    match report {
        Report::Unreachable { message } => record.not_heard(message),
        Report::Progress { .. }
        | Report::Running
        | Report::Paused { .. }
        | Report::Resumed
        | Report::Stopped
        | Report::Failed(_) => record.heard(),
        _ => {}
    }
}

/// A box that was to run and ended: what is known better, like memory that ran out, stays.
fn ended_unasked(record: &mut Record) {
    let view = &mut record.environment;
    let ran = matches!(
        view.state,
        EnvironmentState::Running
            | EnvironmentState::Paused { .. }
            | EnvironmentState::EngineUnreachable { .. }
    );
    if record.wanted && ran && view.trouble.is_none() {
        view.trouble = Some("its box was ended from outside".to_owned());
    }
}

fn apply_to_view(view: &mut Environment, report: Report, now: Timestamp) {
    match report {
        Report::Progress { step, done, total } => {
            if matches!(view.state, EnvironmentState::Creating { .. }) {
                view.state = EnvironmentState::Creating { step, done, total };
            } else {
                view.trouble = None;
                enter(view, EnvironmentState::Creating { step, done, total }, now);
            }
        }
        Report::AgentBegins { command, resumed } => {
            view.command = command;
            view.resumed = resumed;
        }
        Report::Isolation(isolation) => view.isolation = Some(isolation),
        Report::IsolationUnknown => view.isolation = None,
        Report::Paused { reason } => {
            let reason = reason.or_else(|| paused_for(view));
            enter(view, EnvironmentState::Paused { reason }, now);
            view.load = None;
        }
        Report::PauseWanted => {
            if let EnvironmentState::Paused { .. } = view.state {
                enter(view, EnvironmentState::Paused { reason: None }, now);
            }
        }
        Report::Resumed => {
            if let EnvironmentState::Paused { .. } = view.state {
                enter(view, EnvironmentState::Running, now);
            }
        }
        Report::Stopped => {
            // Why it failed says more than that it does not run.
            if !matches!(view.state, EnvironmentState::Failed { .. }) {
                enter(view, EnvironmentState::Stopped, now);
            }
            end_sessions(view, now);
        }
        Report::Failed(failure) => {
            let state =
                EnvironmentState::Failed { message: failure.to_string(), hint: failure.hint };
            enter(view, state, now);
            end_sessions(view, now);
        }
        Report::Unreachable { message } => {
            // That a box stands still is known without asking its engine.
            if !matches!(
                view.state,
                EnvironmentState::EngineUnreachable { .. } | EnvironmentState::Paused { .. }
            ) {
                enter(view, EnvironmentState::EngineUnreachable { since: now, message }, now);
            }
        }
        Report::OutOfMemory => {
            let limit = view.limits.memory.map(|limit| format!(" (limit {})", show_bytes(limit)));
            view.trouble = Some(format!("out of memory{}", limit.unwrap_or_default()));
        }
        Report::Limits(limits) => view.limits = limits,
        Report::Load(load) if is_news(view.load.as_ref(), load.as_ref()) => view.load = load,
        Report::Load(_) => {}
        Report::SnapshotTaken { snapshot, count, divergence } => {
            view.last_snapshot = Some(snapshot.at);
            view.snapshots = count;
            view.divergence = divergence;
        }
        Report::Diverged(divergence) => view.divergence = divergence,
        Report::StandsOn(onto) => view.onto = onto,
        Report::Denied(denied) => view.denied = denied,
        Report::NetworkChanged(policy) => view.network = policy,
        Report::Attended(attend) => view.attention.attend(attend),
        Report::Prompts(prompts) => view.prompts = prompts,
        other => apply_to_sessions(view, other, now),
    }
}

/// Whether a person would see that a box uses something else.
fn is_news(shown: Option<&Load>, load: Option<&Load>) -> bool {
    match (shown, load) {
        (Some(shown), Some(load)) => load.differs(shown),
        (shown, load) => shown.is_some() != load.is_some(),
    }
}

fn apply_to_sessions(view: &mut Environment, report: Report, now: Timestamp) {
    match report {
        Report::SessionClosed { session } => view.sessions.retain(|open| open.id != session),
        Report::SessionOpened { session, kind, command, size } => {
            open_session(view, session, kind, command, size, now);
        }
        Report::SessionExited { session, code } => {
            with_session(view, session, |open| {
                if open.state == SessionState::Running {
                    open.state = SessionState::Exited { code, at: now };
                    open.status = Some(Status::exited(code, now));
                    // Nobody types into a program that has ended.
                    (open.taken, open.draft) = (false, false);
                }
            });
        }
        Report::SessionFailed { session, kind, command, size, message } => {
            open_session(view, session, kind, command, size, now);
            with_session(view, session, |open| open.state = SessionState::Failed { message });
        }
        Report::Judged { session, found } => with_session(view, session, |open| {
            if open.state == SessionState::Running {
                open.status = found.map(|found| dated(found, open.status.as_ref(), now));
            }
        }),
        Report::Drafted(draft) => {
            with_session(view, SessionId::AGENT, |agent| agent.draft = draft);
        }
        Report::SessionResized { session, size } => {
            with_session(view, session, |open| open.size = size);
        }
        Report::Output { session, title } => with_session(view, session, |open| {
            let shown = open.last_output.map_or(0, |at| at.0);
            // A clock that was set back must not keep an old mark for as long.
            if now.0.abs_diff(shown) >= OUTPUT_STEP {
                open.last_output = Some(now);
            }
            open.title = title;
        }),
        _ => {}
    }
}

/// A finding with since when its state holds.
fn dated(found: Finding, before: Option<&Status>, now: Timestamp) -> Status {
    let Finding { claim, source } = found;
    let since = before.filter(|before| before.state == claim.state).map_or(now, |it| it.since);
    Status { state: claim.state, source, since, says: claim.says }
}

/// What an environment is known to be paused for.
fn paused_for(view: &Environment) -> Option<String> {
    match &view.state {
        EnvironmentState::Paused { reason } => reason.clone(),
        _ => None,
    }
}

fn enter(view: &mut Environment, state: EnvironmentState, now: Timestamp) {
    if view.state != state {
        view.state = state;
        view.state_since = now;
    }
}

/// Programs do not outlive their box, nor does what held them. How they ended is not known, so the code says "killed".
fn end_sessions(view: &mut Environment, now: Timestamp) {
    const KILLED: i32 = 128 + 9;
    view.isolation = None;
    view.load = None;
    view.sessions.retain(|session| session.kind == SessionKind::Agent);
    for session in &mut view.sessions {
        (session.taken, session.draft) = (false, false);
        if session.state == SessionState::Running {
            session.state = SessionState::Exited { code: KILLED, at: now };
            session.status = None;
        }
    }
}

fn open_session(
    view: &mut Environment,
    id: SessionId,
    kind: SessionKind,
    command: Vec<String>,
    size: Size,
    now: Timestamp,
) {
    let session = Session {
        id,
        kind,
        command,
        state: SessionState::Running,
        size,
        started: now,
        last_output: None,
        taken: false,
        draft: false,
        title: String::new(),
        status: None,
    };
    if id == SessionId::AGENT {
        view.trouble = None;
    }
    match view.sessions.iter_mut().find(|open| open.id == id) {
        Some(open) => *open = session,
        None => view.sessions.push(session),
    }
    view.sessions.sort_by_key(|open| open.id);
}

fn with_session(view: &mut Environment, id: SessionId, change: impl FnOnce(&mut Session)) {
    if let Some(session) = view.sessions.iter_mut().find(|session| session.id == id) {
        change(session);
    }
}
