//! What boxes use: sampled at a calm pace while somebody looks, and once for whoever asks.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use super::hub::in_scope;
use super::shared::{Shared, canonical};
use super::state::Report;
use crate::engine::BoxRecord;
use crate::model::environment::EnvironmentState;
use crate::model::id::EnvironmentId;
use crate::model::policy::{EngineKind, Load, Usage};
use crate::proto::Reply;

/// Between two samples: often enough to see what is busy, seldom enough to cost nothing.
const PACE: Duration = Duration::from_secs(5);
/// One call for all boxes of an engine; one that takes longer is left out.
const DEADLINE: Duration = Duration::from_secs(4);

/// The last sample of each box, and when it was taken.
type Samples = HashMap<EnvironmentId, (Instant, Usage)>;

/// Samples until the server ends.
pub(super) async fn sample(shared: Arc<Shared>) {
    let mut samples = Samples::new();
    loop {
        tokio::time::sleep(PACE).await;
        if !shared.hub.is_followed() {
            samples.clear();
            continue;
        }
        for kind in [EngineKind::Native, EngineKind::Docker] {
            round(&shared, kind, &mut samples).await;
        }
    }
}

async fn round(shared: &Arc<Shared>, kind: EngineKind, samples: &mut Samples) {
    let boxes = running(shared, kind).await;
    if boxes.is_empty() {
        return;
    }
    let Ok(used) = timeout(DEADLINE, shared.engine(kind).usage(&boxes)).await else { return };
    let at = Instant::now();
    for (record, usage) in boxes.into_iter().zip(used) {
        let id = record.environment;
        let Some(usage) = usage else {
            samples.remove(&id);
            continue;
        };
        let former = samples.insert(id.clone(), (at, usage));
        if let Some((then, before)) = former {
            let load = Load::between(&before, &usage, at.duration_since(then));
            shared.report(&id, Report::Load(Some(load))).await;
        }
    }
}

/// What the boxes in a directory's repository, or all, use now: one sample, for whoever asks.
pub(super) async fn answer(shared: &Arc<Shared>, repository: Option<PathBuf>) -> Reply {
    let path = repository.as_deref().map(canonical);
    Reply::Usage(sample_once(shared, path.as_deref()).await)
}

async fn sample_once(shared: &Arc<Shared>, path: Option<&Path>) -> Vec<(EnvironmentId, Usage)> {
    let views = shared.hub.views();
    let asked: HashSet<&EnvironmentId> =
        views.iter().filter(|view| in_scope(view, path)).map(|view| &view.id).collect();
    let mut found = Vec::new();
    for kind in [EngineKind::Native, EngineKind::Docker] {
        let mut boxes = running(shared, kind).await;
        boxes.retain(|record| asked.contains(&record.environment));
        let sampled = timeout(DEADLINE, shared.engine(kind).usage(&boxes));
        let Ok(used) = sampled.await else { continue };
        let pairs = boxes.into_iter().zip(used);
        found.extend(pairs.filter_map(|(record, usage)| Some((record.environment, usage?))));
    }
    found
}

/// The boxes of an engine that run.
async fn running(shared: &Arc<Shared>, kind: EngineKind) -> Vec<BoxRecord> {
    let runs = |state: &EnvironmentState| matches!(state, EnvironmentState::Running);
    let views = shared.hub.views();
    let mut boxes = Vec::new();
    for view in views.iter().filter(|view| view.engine == kind && runs(&view.state)) {
        if let Ok(record) = shared.record(&view.id).await {
            boxes.extend(record.record);
        }
    }
    boxes
}
