//! What engines tell by themselves: boxes that end, memory that ran out, an engine that goes and
//! comes back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::holding;
use super::making::{self, Talk};
use super::recover;
use super::shared::{Shared, now};
use super::state::{Record, Report};
use crate::engine::{BoxEvent, BoxState};
use crate::model::environment::{Environment, EnvironmentState, SessionState};
use crate::model::id::{EnvironmentId, SessionId, Timestamp};
use crate::model::policy::EngineKind;

/// An engine that is told to end stops its boxes before it goes: what ended so shortly before, in
/// milliseconds, and not because the user said so, ended with it.
const ENDED_WITH_ENGINE: u64 = 60_000;
/// What ends with its box may end so much before it, in milliseconds: an engine gives a box ten
/// seconds to end by itself, and is heard of a moment later.
const ENDED_WITH_BOX: u64 = 15_000;
/// How long it may take to see how a box stands once its engine is back.
const SETTLE_DEADLINE: Duration = Duration::from_mins(1);

/// Takes up what an engine tells until the server ends.
pub(super) async fn follow(shared: Arc<Shared>, kind: EngineKind) {
    let mut events = shared.engine(kind).events(&shared.deck);
    // What ran when each engine went, and whether its agent was at work.
    let mut ran: BTreeMap<String, BTreeMap<EnvironmentId, bool>> = BTreeMap::new();
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
            BoxEvent::Moved { environment } => {
                tokio::spawn(holding::look(shared.clone(), environment));
            }
            BoxEvent::Lost { endpoint, message } => {
                let ran = ran.entry(endpoint.clone()).or_default();
                lost(&shared, (kind, &endpoint), &message, ran).await;
            }
            BoxEvent::Back { endpoint } => {
                for (id, worked) in ran.remove(&endpoint).unwrap_or_default() {
                    tokio::spawn(back(shared.clone(), id, worked));
                }
                // What was to go on while it was away still stands.
                for id in standing_at(&shared, (kind, &endpoint)).await {
                    tokio::spawn(holding::look(shared.clone(), id));
                }
                // What of ours it has was not to be seen while it was away.
                let shared = shared.clone();
                tokio::spawn(async move { recover::remove_orphans(&shared, kind).await });
            }
        }
    }
}

/// The environments at an engine whose boxes stand still.
async fn standing_at(
    shared: &Arc<Shared>,
    (kind, endpoint): (EngineKind, &str),
) -> Vec<EnvironmentId> {
    let mut standing = Vec::new();
    for view in shared.hub.views().iter().filter(|view| view.engine == kind) {
        let is_paused = matches!(view.state, EnvironmentState::Paused { .. });
        if is_paused && shared.record(&view.id).await.is_ok_and(|record| is_at(&record, endpoint)) {
            standing.push(view.id.clone());
        }
    }
    standing
}

async fn lost(
    shared: &Arc<Shared>,
    (kind, endpoint): (EngineKind, &str),
    message: &str,
    ran: &mut BTreeMap<EnvironmentId, bool>,
) {
    tracing::warn!("the {kind} engine at {endpoint} is lost: {message}");
    for view in shared.hub.views().iter().filter(|view| view.engine == kind) {
        let Ok(record) = shared.record(&view.id).await else { continue };
        if !is_at(&record, endpoint) {
            continue;
        }
        let worked = was_at_work(&record.environment, now());
        match record.environment.state {
            // Whoever watches the box may have found the engine silent a moment before.
            EnvironmentState::Running | EnvironmentState::EngineUnreachable { .. } => {
                *ran.entry(view.id.clone()).or_default() |= worked;
                let message = message.to_owned();
                shared.report(&view.id, Report::Unreachable { message }).await;
            }
            _ if worked && ended_with_engine(shared, &record, now()) => {
                ran.insert(view.id.clone(), true);
            }
            _ => {}
        }
    }
}

/// Whether an environment's box is at an engine, as far as its record says where it is.
fn is_at(record: &Record, endpoint: &str) -> bool {
    let own = record.record.as_ref().and_then(|made| made.endpoint.as_ref());
    own.or(record.endpoint.as_ref()).is_none_or(|own| own == endpoint)
}

fn ended_with_engine(shared: &Shared, record: &Record, now: Timestamp) -> bool {
    let environment = &record.environment;
    environment.state == EnvironmentState::Stopped
        && record.wanted
        && shared.has_connected(&environment.id)
        && now.0.abs_diff(environment.state_since.0) <= ENDED_WITH_ENGINE
}

/// Whether the agent works, or did until its box ended: one that ended by itself must not be run a
/// second time.
fn was_at_work(environment: &Environment, now: Timestamp) -> bool {
    let is_over = environment.state == EnvironmentState::Stopped;
    let ended = if is_over { environment.state_since } else { now };
    match environment.session(SessionId::AGENT).map(|agent| &agent.state) {
        Some(SessionState::Running) => true,
        Some(SessionState::Exited { at, .. }) => ended.0.abs_diff(at.0) <= ENDED_WITH_BOX,
        _ => false,
    }
}

/// Sees how a box stands after its engine came back, and starts an agent again that ended with the
/// engine while it `worked`.
async fn back(shared: Arc<Shared>, id: EnvironmentId, worked: bool) {
    let settled = timeout(SETTLE_DEADLINE, settle(&shared, &id)).await;
    let Ok(Some(record)) = settled else { return };
    if worked && record.environment.state == EnvironmentState::Stopped && record.wanted {
        start_after_engine(&shared, record).await;
    }
}

/// Starts again what ended with its engine, and says so.
pub(super) async fn start_after_engine(shared: &Arc<Shared>, record: Record) {
    let id = record.environment.id.clone();
    let note = "its engine restarted and ended the box; it was started again";
    match making::start(shared, record, Vec::new(), Talk::GoesOn).await {
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

#[cfg(test)]
mod tests {
    use super::super::state::State;
    use super::super::state::tests::record;
    use super::*;
    use crate::model::environment::SessionKind;
    use crate::model::screen::Size;

    /// An environment with an agent that began to work in the first second.
    fn at_work() -> (State, EnvironmentId) {
        let (mut state, record) = (State::default(), record(1, "fox", "/shop"));
        let id = record.environment.id.clone();
        state.insert(record);
        let opened = Report::SessionOpened {
            session: SessionId::AGENT,
            kind: SessionKind::Agent,
            command: vec!["sh".to_owned()],
            size: Size::DEFAULT,
        };
        for report in [Report::Wanted { running: true }, Report::Running, opened] {
            state.apply(&id, report, Timestamp(1_000));
        }
        (state, id)
    }

    #[test]
    fn an_agent_that_ended_by_itself_was_not_at_work_when_its_box_ended() {
        let exit = || Report::SessionExited { session: SessionId::AGENT, code: 0 };
        for (exited, stopped, expected) in [
            (None, None, true),
            (None, Some(100_000), true),
            (Some(99_000), Some(100_000), true),
            (Some(5_000), Some(100_000), false),
            (Some(5_000), None, false),
        ] {
            let (mut state, id) = at_work();
            if let Some(at) = exited {
                state.apply(&id, exit(), Timestamp(at));
            }
            if let Some(at) = stopped {
                state.apply(&id, Report::Stopped, Timestamp(at));
            }
            let environment = &state.get(&id).expect("there").environment;
            let worked = was_at_work(environment, Timestamp(120_000));
            assert_eq!(worked, expected, "ended at {exited:?}, its box at {stopped:?}");
        }
    }

    #[test]
    fn an_engine_that_is_lost_is_lost_to_its_own_boxes_alone() {
        let mut record = record(1, "fox", "/shop");
        assert!(is_at(&record, "unix:///a.sock"), "nobody knows where it is");
        record.endpoint = Some("unix:///a.sock".to_owned());
        assert!(is_at(&record, "unix:///a.sock"));
        assert!(!is_at(&record, "unix:///b.sock"));
    }

    #[test]
    fn a_box_that_ends_while_it_is_paused_is_not_to_run_again() {
        for (paused, expected) in [(false, true), (true, false)] {
            let (mut state, id) = at_work();
            if paused {
                state.apply(&id, Report::Paused { reason: None }, Timestamp(2_000));
            }
            state.apply(&id, Report::Stopped, Timestamp(3_000));
            assert_eq!(state.get(&id).expect("there").wanted, expected);
        }
    }
}
