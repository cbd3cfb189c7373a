//! The sessions that a shim has, taken into the deck's view when it is connected to.

use std::sync::Arc;

use super::shared::Shared;
use super::state::Report;
use super::terminal::Terminal;
use crate::model::environment::{Environment, SessionKind, SessionState};
use crate::model::id::{EnvironmentId, SessionId};
use crate::shim::wire::SessionReport;

/// Finds or makes the screen of a session that the shim has, and tells the deck about it.
pub(super) async fn adopt(
    shared: &Arc<Shared>,
    environment: &EnvironmentId,
    report: &SessionReport,
) -> Arc<Terminal> {
    let session = report.session;
    let known = shared.terminal(environment, session);
    // A screen that is ahead of the output belongs to an earlier session of the same number.
    let known = known.filter(|terminal| terminal.offset() <= report.ring_end);
    let terminal = known.unwrap_or_else(|| {
        shared.drop_terminal(environment, session);
        let terminal = Arc::new(Terminal::new(report.size));
        shared.set_terminal(environment, session, terminal.clone());
        terminal
    });
    if terminal.size() != report.size {
        terminal.resize(report.size);
    }
    let record = shared.record(environment).await.ok();
    let shown = record.as_ref().and_then(|record| record.environment.session(session));
    let right = shown.is_some_and(|shown| {
        report.exited.is_some() || matches!(shown.state, SessionState::Running)
    });
    if !right {
        let kind =
            if session == SessionId::AGENT { SessionKind::Agent } else { SessionKind::Shell };
        let (command, size) = (report.command.clone(), report.size);
        shared.report(environment, Report::SessionOpened { session, kind, command, size }).await;
    }
    if let Some(code) = report.exited {
        shared.report(environment, Report::SessionExited { session, code }).await;
    }
    terminal
}

/// Ends in the view what the shim does not have: it went while nobody listened.
pub(super) async fn forget_missing(
    shared: &Arc<Shared>,
    environment: &Environment,
    sessions: &[SessionReport],
) {
    let Ok(record) = shared.record(&environment.id).await else { return };
    for shown in &record.environment.sessions {
        let session = shown.id;
        let there = sessions.iter().any(|report| report.session == session);
        if there || shown.kind == SessionKind::Agent || shown.state != SessionState::Running {
            continue;
        }
        shared.drop_terminal(&environment.id, session);
        shared.report(&environment.id, Report::SessionClosed { session }).await;
    }
}
