//! Boxes that stand still: because the user says so, while they are copied, or for want of room.
//!
//! The reason is on record before the box is paused, so that a server that was killed meanwhile is
//! followed by one that knows whom the pause belongs to.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::timeout;

use super::making;
use super::recover;
use super::shared::Shared;
use super::state::{Matter, Record, Report, being_made};
use super::step::{Step, reached};
use crate::engine::{BoxRecord, BoxState};
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::policy::Limits;
use crate::proto::Target;

/// Reasons of our own; a pause with one of the first three ends with what it was made for.
pub(super) const RESTORED: &str = "its files are being taken back";
pub(super) const FORKED: &str = "it is being forked";
pub(super) const SAVED: &str = "it is being saved";
pub(super) const DISK_FULL: &str = "the disk is nearly full";

/// How long an engine has to say how a box stands; it needs milliseconds.
const ANSWER_DEADLINE: Duration = Duration::from_secs(3);

/// Boxes that stood still when their agent was to be started; whoever has them go on starts it.
#[derive(Debug, Default)]
pub(super) struct Waiting(Mutex<HashSet<EnvironmentId>>);

impl Waiting {
    pub fn has(&self, id: &EnvironmentId) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(id)
    }

    pub fn set(&self, id: &EnvironmentId, waits: bool) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waits {
            waiting.insert(id.clone());
        } else {
            waiting.remove(id);
        }
    }
}

/// Stops every program of an environment where it stands.
pub(super) async fn pause(shared: &Arc<Shared>, target: Target) -> Result<Environment, Failure> {
    let record = shared.resolve(target).await?;
    let id = record.environment.id.clone();
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let record = shared.record(&id).await?;
    match &record.environment.state {
        EnvironmentState::Running => halt(shared, &record, None).await?,
        // Whatever it was paused for, it goes on when the user says so and not before.
        EnvironmentState::Paused { .. } => shared.report(&id, Report::PauseWanted).await,
        _ => return Err(not_running(&record.environment)),
    }
    Ok(shared.record(&id).await?.view())
}

/// Has a paused environment go on.
pub(super) async fn resume(shared: &Arc<Shared>, target: Target) -> Result<Environment, Failure> {
    let record = shared.resolve(target).await?;
    let id = record.environment.id.clone();
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let record = shared.record(&id).await?;
    match &record.environment.state {
        EnvironmentState::Paused { .. } => release(shared, &record).await?,
        // Others may have paused it at its engine, and nobody heard of that yet.
        EnvironmentState::Running | EnvironmentState::EngineUnreachable { .. } => {
            let Some(made) = &record.record else { return Err(not_running(&record.environment)) };
            match standing(shared, &record, made).await? {
                BoxState::Paused => release(shared, &record).await?,
                BoxState::Running => {}
                BoxState::Stopped | BoxState::Gone => {
                    return Err(not_running(&record.environment));
                }
            }
        }
        _ => return Err(not_running(&record.environment)),
    }
    Ok(shared.record(&id).await?.view())
}

/// Sees how a box stands that was started, paused or resumed, by us or by others.
pub(super) async fn look(shared: Arc<Shared>, id: EnvironmentId) {
    // What is under way here tells by itself how the box stands, and ends before.
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let Ok(record) = shared.record(&id).await else { return };
    let Some(made) = &record.record else { return };
    let standing = standing(&shared, &record, made).await;
    match (&record.environment.state, standing) {
        (
            EnvironmentState::Running | EnvironmentState::EngineUnreachable { .. },
            Ok(BoxState::Paused),
        ) => shared.report(&id, Report::Paused { reason: None }).await,
        // Whoever held it has no turn any more, and its engine may have been away when it was let
        // go.
        (EnvironmentState::Paused { .. }, Ok(BoxState::Paused))
            if is_left_over(&record.environment) =>
        {
            let_go(&shared, &record, true).await;
        }
        (EnvironmentState::Paused { .. }, Ok(BoxState::Running)) => {
            if let Err(failure) = release(&shared, &record).await {
                tracing::info!(%id, "resumed by others: {failure}");
            }
        }
        _ => shared.nudge(&id).notify_one(),
    }
}

/// How the engine says that a box stands, soon: the environment's turn is held meanwhile.
async fn standing(shared: &Shared, record: &Record, made: &BoxRecord) -> Result<BoxState, Failure> {
    let asked = timeout(ANSWER_DEADLINE, shared.engine(record.environment.engine).state(made));
    let late = |_| Err(Failure::new(FailureKind::Timeout, "the engine does not answer"));
    asked.await.unwrap_or_else(late)
}

/// Pauses the box of a running environment.
pub(super) async fn halt(
    shared: &Arc<Shared>,
    record: &Record,
    reason: Option<&str>,
) -> Result<(), Failure> {
    let id = &record.environment.id;
    let Some(made) = &record.record else { return Err(not_running(&record.environment)) };
    shared.report(id, Report::Paused { reason: reason.map(str::to_owned) }).await;
    shared.settled(id).await;
    reached(Step::SourceNoted);
    let engine = shared.engine(record.environment.engine);
    let paused = engine.pause(made).await;
    // What failed may have come to pass after all. Where nobody knows, "paused" stays: that can be
    // resumed, and a box that stands still and is shown running cannot.
    if paused.is_err() && matches!(engine.state(made).await, Ok(BoxState::Running)) {
        shared.report(id, Report::Resumed).await;
        shared.settled(id).await;
    }
    paused
}

/// Has the box of a paused environment go on.
pub(super) async fn release(shared: &Arc<Shared>, record: &Record) -> Result<(), Failure> {
    let id = &record.environment.id;
    let Some(made) = &record.record else { return Err(not_running(&record.environment)) };
    shared.engine(record.environment.engine).resume(made).await?;
    shared.report(id, Report::Resumed).await;
    shared.settled(id).await;
    shared.nudge(id).notify_one();
    if shared.waiting.has(id) {
        let (shared, id) = (shared.clone(), id.clone());
        tokio::spawn(async move { making::finish_agent(&shared, &id).await });
    }
    if record.environment.isolation.is_none() {
        recover::read_isolation(shared, record, made).await;
    }
    Ok(())
}

/// Has an environment stand still for work on its files; whether it must be released afterwards.
/// The caller has the environment's turn.
pub(super) async fn hold(
    shared: &Arc<Shared>,
    record: &Record,
    reason: &str,
) -> Result<bool, Failure> {
    match &record.environment.state {
        EnvironmentState::Creating { .. } => Err(being_made(&record.environment)),
        EnvironmentState::EngineUnreachable { message, .. } => {
            Err(Failure::new(FailureKind::Unavailable, message.clone()))
        }
        EnvironmentState::Running => match halt(shared, record, Some(reason)).await {
            Ok(()) => Ok(true),
            Err(mut failure) => {
                let state = shared.record(&record.environment.id).await?.environment.state;
                let stands = matches!(state, EnvironmentState::Paused { .. });
                let_go(shared, record, stands).await;
                if failure.kind == FailureKind::Refused {
                    let name = &record.environment.name;
                    failure.hint = Some(format!("agentdeck stop {name}, then it stands still"));
                }
                Err(failure)
            }
        },
        EnvironmentState::Paused { .. }
        | EnvironmentState::Stopped
        | EnvironmentState::Failed { .. } => Ok(false),
    }
}

/// Ends what `hold` began. What fails is said of the environment: it still stands still.
pub(super) async fn let_go(shared: &Arc<Shared>, record: &Record, held: bool) {
    if held && let Err(failure) = release(shared, record).await {
        let note = Some(format!("it could not be resumed: {failure}"));
        let stands = Report::Matter { matter: Matter::Pausing, note };
        shared.report(&record.environment.id, stands).await;
    }
}

/// Whether a pause was ours for the time of some work, which a new server knows nothing of.
pub(super) fn is_left_over(environment: &Environment) -> bool {
    let EnvironmentState::Paused { reason: Some(reason) } = &environment.state else {
        return false;
    };
    [FORKED, SAVED, RESTORED].contains(&reason.as_str())
}

/// Changes limits, at once where the box runs, else for its next start.
pub(super) async fn set_limits(
    shared: &Arc<Shared>,
    target: Target,
    limits: Limits,
) -> Result<Environment, Failure> {
    limits.check()?;
    let record = shared.resolve(target).await?;
    let id = record.environment.id.clone();
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let record = shared.record(&id).await?;
    match (&record.environment.state, &record.record) {
        (EnvironmentState::Creating { .. }, _) => return Err(being_made(&record.environment)),
        (EnvironmentState::Stopped | EnvironmentState::Failed { .. }, _) | (_, None) => {}
        (_, Some(made)) => {
            shared.engine(record.environment.engine).update_limits(made, &limits).await?;
        }
    }
    let limits = limits.or(&record.environment.limits);
    shared.report(&id, Report::Limits(limits)).await;
    let record = shared.record(&id).await?;
    if let (EnvironmentState::Running, Some(made)) = (&record.environment.state, &record.record) {
        recover::read_isolation(shared, &record, made).await;
    }
    Ok(shared.record(&id).await?.view())
}

fn not_running(environment: &Environment) -> Failure {
    let name = &environment.name;
    Failure::new(FailureKind::Invalid, format!("{name} does not run"))
        .hint(format!("agentdeck start {name}"))
}
