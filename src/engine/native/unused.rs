//! What the engine keeps in a home for boxes, removed when none needs it any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::mark::Mark;
use super::{image, process, system_files};
use crate::engine::part;
use crate::model::failure::{Failure, FailureKind};

/// How long an unpacked image that nothing stands on is kept: a week's pause is none.
const UNUSED_IMAGES: Duration = Duration::from_hours(7 * 24);

/// Removes it all. Blocking.
pub(super) fn remove(home: &Path) -> anyhow::Result<()> {
    part::remove_files(home).context("looking for unfinished files")?;
    for image in image::remove_unused(home, UNUSED_IMAGES)? {
        tracing::info!(image, "removed an image that nothing stands on");
    }
    // A box of an earlier version may be shown any of them.
    if programs(home).is_ok() {
        for copy in system_files::remove_unused(home)? {
            tracing::info!(copy, "removed a copy of /etc that no box is shown");
        }
    }
    Ok(())
}

/// What the boxes that live run as their first process. One that stopped begins with what is there
/// then. Blocking.
pub(super) fn programs(home: &Path) -> Result<Vec<PathBuf>, Failure> {
    let marks = Mark::every(home).context("cannot tell which boxes there are")?;
    let living = marks.into_iter().filter(|mark| process::lives(&mark.record));
    let named = living.map(|mark| {
        let environment = mark.record.environment;
        mark.program.ok_or_else(|| {
            let message = format!("the box of {environment} is of an earlier version");
            Failure::new(FailureKind::Unavailable, message)
        })
    });
    named.collect()
}
