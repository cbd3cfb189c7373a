//! Pausing: by the freezer of the box's group, or by signals where it has none.

use super::mark::Mark;
use super::processes;
use crate::model::failure::{Failure, FailureKind};

/// Has every program of the box stand still. The shim goes on, so that it can be asked.
pub(super) async fn pause(mut mark: Mark) -> Result<(), Failure> {
    let first = mark.record.init_pid;
    if is_paused(&mark) {
        return Ok(());
    }
    if mark.group.can_freeze() {
        return mark.group.freeze(first).await;
    }
    let Some(before) = processes::stop(first).await else {
        let message = "a process of the box does not let itself be paused";
        return Err(Failure::new(FailureKind::Timeout, message)
            .hint("it starts others faster than they can be stopped, or waits for a disk"));
    };
    mark.stopped_before = Some(before);
    Ok(mark.write()?)
}

/// Lets them go on. A box that is not paused is left as it is.
pub(super) fn resume(mark: &Mark) -> Result<(), Failure> {
    if mark.group.can_freeze() {
        return Ok(mark.group.thaw()?);
    }
    if let Some(before) = &mark.stopped_before {
        processes::go_on(mark.record.init_pid, before);
        Mark { stopped_before: None, ..mark.clone() }.write()?;
    }
    Ok(())
}

/// Whether every program of the box stands still, as the kernel has it.
pub(super) fn is_paused(mark: &Mark) -> bool {
    if mark.group.can_freeze() {
        return mark.group.is_frozen();
    }
    mark.stopped_before.is_some() && processes::stand_still(mark.record.init_pid)
}
