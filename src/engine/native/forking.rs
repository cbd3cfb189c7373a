//! A new environment's layer from that of another box, which stands still meanwhile.

use std::time::Duration;

use super::order::{Answer, Order};
use super::{BoxPlan, BoxRecord, ProgressSink, carrying, layer, layer_of, living, pausing};
use crate::engine::Progress;
use crate::model::failure::{Failure, FailureKind};

/// Longest time for a copy: tens of gigabytes on a slow disk.
const DEADLINE: Duration = Duration::from_mins(15);

/// Copies the layer of `from` to where `plan` has its own.
pub(super) async fn fork(
    from: &BoxRecord,
    plan: &BoxPlan,
    progress: &ProgressSink,
) -> Result<(), Failure> {
    let source = from.run.parent().unwrap_or(&from.run).join(layer::DIRECTORY);
    let target = layer_of(plan);
    if target.exists() {
        let message = format!("{} exists already", target.display());
        return Err(Failure::new(FailureKind::AlreadyExists, message));
    }
    if !source.join(layer::LAYERS).exists() {
        // Without isolation there is no layer, and nothing to copy.
        return Ok(());
    }
    let order = Order::Copy { from: source, to: target.clone(), name: plan.name.to_string() };
    let progress = progress.clone();
    let tell = move |done, total| {
        let step = "copying the box's system".to_owned();
        // Full: whoever listens has enough to read.
        let _ = progress.try_send(Progress { step, done, total });
    };
    let (from, program) = (from.clone(), plan.shim.clone());
    carrying::unbroken(move |given_up| async move {
        let copying = carrying::carry_out_until(&program, &order, DEADLINE, given_up, tell);
        let failure = match standing_still(&from, copying).await {
            Ok(Answer::Works) => return Ok(()),
            Ok(_) => carrying::unexpected(),
            Err(failure) => failure,
        };
        // What failed is told; a part of a layer would only be used by the next try.
        let clearing = move || crate::engine::remove_tree(&target);
        let _ = tokio::task::spawn_blocking(clearing).await;
        Err(failure)
    })
    .await
}

/// Does `work` while the box is paused, if it runs; afterwards it is as it was, also where this
/// is dropped or `work` panics.
pub(super) async fn standing_still<T>(
    record: &BoxRecord,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let Ok(mark) = living(record) else { return work.await };
    if pausing::is_paused(&mark) {
        return work.await;
    }
    // Before the pause, which may be cut short between two of its signals.
    let still = Still(Some(record));
    pausing::pause(mark).await?;
    let outcome = work.await;
    still.end()?;
    outcome
}

/// A box that stands still for our work, and goes on with the end of this.
struct Still<'a>(Option<&'a BoxRecord>);

impl Still<'_> {
    fn end(mut self) -> Result<(), Failure> {
        // One that was ended meanwhile has nothing left to go on.
        let living = self.0.take().and_then(|record| living(record).ok());
        living.map_or(Ok(()), |mark| pausing::resume(&mark))
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        let Some(mark) = self.0.take().and_then(|record| living(record).ok()) else { return };
        if let Err(failure) = pausing::resume(&mark) {
            tracing::warn!(environment = %mark.record.environment, "not resumed: {failure}");
        }
    }
}
