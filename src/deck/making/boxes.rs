//! An environment's box: making or starting it, connecting to its shim, reading back what holds it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::super::actor;
use super::super::owners;
use super::super::recover;
use super::super::shared::{Shared, blocking, canonical};
use super::super::state::{Record, Report};
use super::super::step::{Step, reached};
use super::require::{self, read_back};
use crate::config::profiles;
use crate::engine::{BoxPlan, BoxRecord, BoxState, Engine, Progress};
use crate::model::environment::EnvironmentState;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::SessionId;
use crate::model::profile::AgentProfile;
use crate::repo::UserRepository;

/// How long a fresh box may take until its shim answers.
const CONNECT_DEADLINE: Duration = Duration::from_secs(30);

/// What the engine is told about the box of an environment.
pub(in crate::deck) async fn plan(
    shared: &Arc<Shared>,
    record: &Record,
    profile: &AgentProfile,
) -> Result<BoxPlan, Failure> {
    let (task, record) = (shared.clone(), record.clone());
    let tools = tools(profile);
    blocking(move || {
        let identity = UserRepository::discover(&record.environment.repository)?.identity();
        task.plan(&record, identity, tools)
    })
    .await
}

/// The directories of the user's home that a box is shown.
fn tools(profile: &AgentProfile) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let named = profiles::TOOLS.into_iter().chain(profile.tools.iter().map(String::as_str));
    let found = named.map(|tool| home.join(tool)).filter(|tool| tool.is_dir());
    found.map(|tool| canonical(&tool)).collect()
}

pub(super) async fn make_box(
    shared: &Arc<Shared>,
    record: &Record,
    plan: &BoxPlan,
) -> Result<BoxRecord, Failure> {
    let id = &record.environment.id;
    if shared.unsupervise(id).await {
        // Whoever watched the former box may have told its end of this one just now.
        let step = "starting".to_owned();
        shared.report(id, Report::Progress { step, done: 0, total: 0 }).await;
    }
    shared.open_gate(record)?;
    reached(Step::GateOpened);
    if record.record.is_some() {
        // Its root may have been at work when it ended.
        owners::hand_back_or_log(shared, record).await;
    }
    let engine = shared.engine(record.environment.engine).clone();
    let (sink, mut progress) = mpsc::channel::<Progress>(16);
    let making = async {
        // The sink ends with this block, and with it the reporting.
        let sink = sink;
        let Some(former) = &record.record else {
            return engine.create(plan, &sink).await.map(|made| (made, None));
        };
        match engine.start(plan, former).await {
            Err(failure) if is_gone(&engine, former, &failure).await => {
                let made = engine.create_anew(plan, former, &sink).await?;
                Ok((made, Some(made_anew(plan))))
            }
            started => started.map(|made| (made, None)),
        }
    };
    let reporting = async {
        while let Some(Progress { step, done, total }) = progress.recv().await {
            shared.report(id, Report::Progress { step, done, total }).await;
        }
    };
    let (made, ()) = tokio::join!(making, reporting);
    let (made, note) = made?;
    reached(Step::BoxMade);
    shared.report(id, Report::BoxMade { record: made.clone() }).await;
    if let Some(note) = note {
        shared.report(id, Report::Note(note)).await;
    }
    shared.settled(id).await;
    reached(Step::BoxRecorded);
    Ok(made)
}

/// Whether something failed because others removed the box at its engine, which says so: one that
/// cannot be reached, or answers anything else, may have it still.
pub(in crate::deck) async fn is_gone(
    engine: &Arc<dyn Engine>,
    made: &BoxRecord,
    failure: &Failure,
) -> bool {
    failure.kind == FailureKind::NotFound
        && made.container.is_some()
        && engine.state(made).await == Ok(BoxState::Gone)
}

/// What is told of a box that took the place of one that was removed.
fn made_anew(plan: &BoxPlan) -> String {
    let image = plan.image.as_ref().map_or_else(|| "its image".to_owned(), ToString::to_string);
    format!(
        "its container had been removed, and it was made anew from {image}: what was installed \
         outside the workspace and the home is lost"
    )
}

/// A box that is connected to.
pub(super) struct Connected {
    record: Record,
    made: BoxRecord,
}

/// Connects to a box that was just made.
pub(super) async fn connect(
    shared: &Arc<Shared>,
    record: &Record,
    made: BoxRecord,
) -> Result<Connected, Failure> {
    let (ready, connected) = oneshot::channel();
    let record = Record { record: Some(made.clone()), ..record.clone() };
    let engine = shared.engine(record.environment.engine).clone();
    let id = record.environment.id.clone();
    let taken = record.clone();
    shared.drop_terminal(&id, SessionId::AGENT);
    let known = Some(BoxState::Running);
    shared.supervise(&id, actor::supervise(shared.clone(), record, ready, known));
    if !matches!(timeout(CONNECT_DEADLINE, connected).await, Ok(Ok(()))) {
        let _ = engine.stop(&made, Duration::ZERO).await;
        return Err(Failure::new(
            FailureKind::Unavailable,
            "the box started but its shim did not answer",
        )
        .hint("agentdeck doctor tells what the engine can do here"));
    }
    Ok(Connected { record: taken, made })
}

impl Connected {
    /// Where something is required, reads the box back before anything is started in it.
    pub(super) async fn require(&self, shared: &Arc<Shared>) -> Result<(), Failure> {
        if self.record.environment.require.is_empty() {
            return Ok(());
        }
        // A pause during the read-back would freeze what reads, and the box would seem to hold
        // nothing.
        let turn = shared.turn(&self.record.environment.id);
        let _turn = turn.lock().await;
        if !self.runs_on(shared).await {
            let name = &self.record.environment.name;
            let message = format!("{name} was stopped while it was being made");
            return Err(Failure::new(FailureKind::Refused, message));
        }
        reached(Step::BoxAnswers);
        let read = read_back(shared, &self.record, &self.made).await;
        if let Err(failure) = &read {
            // Before its watcher tells that the box ended, which says less.
            let id = &self.record.environment.id;
            shared.report(id, Report::Failed(failure.clone())).await;
            require::end(shared, &self.record, &self.made).await;
        }
        read
    }

    /// Tells why the environment failed, and ends its box.
    pub(super) async fn fail(&self, shared: &Arc<Shared>, failure: &Failure) {
        let id = &self.record.environment.id;
        shared.report(id, Report::Failed(failure.clone())).await;
        let engine = shared.engine(self.record.environment.engine);
        let _ = engine.stop(&self.made, Duration::ZERO).await;
    }

    /// Where nothing is required, tells what holds the box, which goes on whatever that is: its
    /// agent is at work already.
    pub(super) async fn note_isolation(&self, shared: &Arc<Shared>) {
        if !self.record.environment.require.is_empty() {
            return;
        }
        let turn = shared.turn(&self.record.environment.id);
        let _turn = turn.lock().await;
        if self.runs_on(shared).await {
            recover::read_isolation(shared, &self.record, &self.made).await;
        }
    }

    /// Whether the box was neither stopped nor paused since.
    async fn runs_on(&self, shared: &Arc<Shared>) -> bool {
        let now = shared.record(&self.record.environment.id).await;
        now.is_ok_and(|now| {
            now.record.as_ref() == Some(&self.made)
                && now.environment.state == EnvironmentState::Running
        })
    }
}
