//! What engines tell by themselves: boxes that end, memory that ran out, an engine that goes and
//! comes back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::making;
use super::shared::{Shared, now};
use super::state::{Record, Report};
use crate::engine::{BoxEvent, BoxState};
use crate::model::environment::EnvironmentState;
use crate::model::id::{EnvironmentId, Timestamp};
use crate::model::policy::EngineKind;

/// An engine that is told to end stops its boxes before it goes: what ended so shortly before, in
/// milliseconds, and not because the user said so, ended with it.
const ENDED_WITH_ENGINE: u64 = 60_000;
/// How long it may take to see how a box stands once its engine is back.
const SETTLE_DEADLINE: Duration = Duration::from_mins(1);

/// Takes up what an engine tells until the server ends.
pub(super) async fn follow(shared: Arc<Shared>, kind: EngineKind) {
    let mut events = shared.engine(kind).events(&shared.deck);
    // What ran when the engine went.
    let mut ran = BTreeSet::new();
    while let Some(event) = events.recv().await {
        match event {
            BoxEvent::Ended { environment, ending } => {
                if ending.out_of_memory {
                    shared.report(&environment, Report::OutOfMemory).await;
                }
                shared.nudge(&environment).notify_one();
            }
            BoxEvent::OutOfMemory { environment } => {
                shared.report(&environment, Report::OutOfMemory).await;
            }
            BoxEvent::Lost { message } => lost(&shared, kind, &message, &mut ran).await,
            BoxEvent::Back => {
                for id in std::mem::take(&mut ran) {
                    tokio::spawn(back(shared.clone(), id));
                }
            }
        }
    }
}

async fn lost(
    shared: &Arc<Shared>,
    kind: EngineKind,
    message: &str,
    ran: &mut BTreeSet<EnvironmentId>,
) {
    tracing::warn!("the {kind} engine is lost: {message}");
    for view in shared.hub.views().iter().filter(|view| view.engine == kind) {
        let Ok(record) = shared.record(&view.id).await else { continue };
        match record.environment.state {
            // Whoever watches the box may have found the engine silent a moment before.
            EnvironmentState::Running
            | EnvironmentState::Paused { .. }
            | EnvironmentState::EngineUnreachable { .. } => {
                ran.insert(view.id.clone());
                let message = message.to_owned();
                shared.report(&view.id, Report::Unreachable { message }).await;
            }
            _ if ended_with_engine(shared, &record, now()) => {
                ran.insert(view.id.clone());
            }
            _ => {}
        }
    }
}

fn ended_with_engine(shared: &Shared, record: &Record, now: Timestamp) -> bool {
    let environment = &record.environment;
    environment.state == EnvironmentState::Stopped
        && record.wanted
        && shared.has_connected(&environment.id)
        && now.0.abs_diff(environment.state_since.0) <= ENDED_WITH_ENGINE
}

/// Sees how a box stands after its engine came back, and starts again what ended with the engine.
async fn back(shared: Arc<Shared>, id: EnvironmentId) {
    let settled = timeout(SETTLE_DEADLINE, settle(&shared, &id)).await;
    let Ok(Some(record)) = settled else { return };
    if record.environment.state == EnvironmentState::Stopped && record.wanted {
        start_after_engine(&shared, record).await;
    }
}

/// Starts again what ended with its engine, and says so.
pub(super) async fn start_after_engine(shared: &Arc<Shared>, record: Record) {
    let id = record.environment.id.clone();
    let note = "its engine restarted and ended the box; it was started again";
    match making::start(shared, record, Vec::new()).await {
        Ok(()) => shared.report(&id, Report::Note(note.to_owned())).await,
        Err(failure) => {
            let note = format!("its engine restarted and ended the box: {failure}");
            shared.report(&id, Report::Note(note)).await;
        }
    }
}

/// Asks until the engine knows how the box stands, and whoever watches the box has seen it.
async fn settle(shared: &Arc<Shared>, id: &EnvironmentId) -> Option<Record> {
    /// An engine that has just come back still reads what it has.
    const PAUSE: Duration = Duration::from_millis(250);
    loop {
        let record = shared.record(id).await.ok()?;
        let made = record.record.as_ref()?;
        match record.environment.state {
            EnvironmentState::EngineUnreachable { .. } => {
                match shared.engine(record.environment.engine).state(made).await {
                    // Whoever watches it is connected still, or will say so when it is.
                    Ok(BoxState::Running) if shared.link(id).is_ok() => {
                        shared.report(id, Report::Running).await;
                    }
                    Ok(BoxState::Paused) => {
                        shared.report(id, Report::Paused { reason: None }).await;
                    }
                    Ok(_) => shared.nudge(id).notify_one(),
                    Err(_) => {}
                }
            }
            // It may have been noticed a moment later that it ended.
            EnvironmentState::Running if shared.link(id).is_err() => {}
            _ => return Some(record),
        }
        tokio::time::sleep(PAUSE).await;
    }
}
