//! Saves a box's system as an image: of the engine's own, or in a file that other machines take.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::holding;
use super::making;
use super::shared::Shared;
use super::state::Record;
use crate::engine::{Progress, SaveTarget};
use crate::model::failure::{Failure, FailureKind};
use crate::proto::{SaveTo, Target};

/// Saves while the box stands still; clients that follow it are told how far it is. It is given up
/// when `abandoned` ends, with nothing left behind.
pub(super) async fn save(
    shared: &Arc<Shared>,
    target: Target,
    to: SaveTo,
    abandoned: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let record = shared.resolve(target).await?;
    let id = record.environment.id.clone();
    let turn = shared.turn(&id);
    let _turn = turn.lock().await;
    let record = shared.record(&id).await?;
    let to = match to {
        SaveTo::Image(name) => SaveTarget::Image(name),
        SaveTo::Archive(path) => {
            if path.exists() {
                let message = format!("{} exists", path.display());
                return Err(Failure::new(FailureKind::AlreadyExists, message)
                    .hint("remove it, or name another file"));
            }
            SaveTarget::Archive(path)
        }
    };
    let held = holding::hold(shared, &record, holding::SAVED).await?;
    let saved = tokio::select! {
        saved = write(shared, &record, &to) => saved,
        () = abandoned => Err(Failure::new(FailureKind::Unavailable, "nobody waits for it")),
    };
    holding::let_go(shared, &record, held).await;
    saved
}

async fn write(shared: &Arc<Shared>, record: &Record, to: &SaveTarget) -> Result<(), Failure> {
    let environment = &record.environment;
    let Some(made) = &record.record else {
        let message = format!("{} has no box yet", environment.name);
        return Err(Failure::new(FailureKind::Invalid, message)
            .hint(format!("agentdeck start {}", environment.name)));
    };
    let profile = making::profile_of(shared, record)?;
    let plan = making::plan(shared, record, &profile).await?;
    let engine = shared.engine(environment.engine);
    let (sink, mut progress) = mpsc::channel::<Progress>(16);
    let saving = async {
        // The sink ends with this block, and with it the reporting.
        let sink = sink;
        match engine.save(&plan, made, to, &sink).await {
            Err(failure) if making::is_gone(engine, made, &failure).await => {
                let name = &environment.name;
                Err(failure.hint(format!("agentdeck start {name} makes it anew from its image")))
            }
            saved => saved,
        }
    };
    let reporting = async {
        while let Some(Progress { step, done, total }) = progress.recv().await {
            shared.hub.working(&environment.id, &step, done, total);
        }
    };
    tokio::join!(saving, reporting).0
}
