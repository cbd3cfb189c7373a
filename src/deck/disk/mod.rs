//! Keeps the disk of the state directory, and those that engines keep boxes' layers on, from
//! running full: agents that write are paused while little is left, and go on when there is room
//! again.

mod room;

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::holding::{self, DISK_FULL};
use super::shared::Shared;
use super::state::{Matter, Report};
use crate::config::file;
use crate::model::environment::{Environment, EnvironmentState};
use crate::model::id::EnvironmentId;
use crate::model::policy::EngineKind;
use crate::store::Layout;
use room::{Disk, Room, least};

/// Between two looks, a few system calls each: a fast disk fills at a gigabyte in this time.
const PACE: Duration = Duration::from_secs(1);
/// What is kept free where the user says nothing.
const RESERVE: u64 = 256 << 20;
/// Room set aside for records, which must be written even when everything is full.
const SPARE: u64 = 1 << 20;

/// The file that keeps the room for records.
pub(super) fn spare(layout: &Layout) -> PathBuf {
    layout.home().join("spare")
}

/// Gives the room for records free; whether there was any.
pub(super) fn spend_spare(layout: &Layout) -> bool {
    std::fs::remove_file(spare(layout)).is_ok()
}

/// Sets the room for records aside, unless it is.
fn set_spare_aside(layout: &Layout) -> io::Result<()> {
    let path = spare(layout);
    if std::fs::metadata(&path).is_ok_and(|found| found.len() == SPARE) {
        return Ok(());
    }
    let file = std::fs::File::create(&path)?;
    let flags = rustix::fs::FallocateFlags::empty();
    let kept = rustix::fs::fallocate(&file, flags, 0, SPARE);
    if kept.is_err() {
        let _ = std::fs::remove_file(&path);
    }
    Ok(kept?)
}

/// Watches the room until the server ends.
pub(super) async fn guard(shared: Arc<Shared>) {
    let mut guard = Guard { shared, seen: BTreeSet::new() };
    loop {
        guard.look().await;
        tokio::time::sleep(PACE).await;
    }
}

struct Guard {
    shared: Arc<Shared>,
    /// Paused, or found impossible to pause, since the room became low: whatever of these runs was
    /// resumed by the user, whose word stands.
    seen: BTreeSet<EnvironmentId>,
}

impl Guard {
    async fn look(&mut self) {
        let views = self.shared.hub.views();
        let concerned: Vec<_> =
            views.iter().filter(|view| runs(&view.state) || is_full(&view.state)).collect();
        self.seen.retain(|id| views.iter().any(|view| view.id == *id));
        if concerned.is_empty() {
            return;
        }
        let settings = file::read(self.shared.layout.home()).unwrap_or_default();
        let reserve = settings.disk_reserve.unwrap_or(RESERVE);
        let Ok(home) = Disk::of(self.shared.layout.home()) else { return };
        if home.room(reserve) == Room::Enough
            && let Err(error) = set_spare_aside(&self.shared.layout)
        {
            tracing::debug!("no room is set aside for records: {error}");
        }
        let layers = self.layers(&home);
        for view in concerned {
            let own = self.own_layers(view, &layers).await;
            match least(std::iter::once(&home).chain(own), reserve) {
                Room::Low(why) => {
                    let resumed = self.seen.contains(&view.id);
                    if runs(&view.state) && !resumed && self.pause(&view.id, &why).await {
                        self.seen.insert(view.id.clone());
                    }
                }
                Room::Between => {}
                Room::Enough => self.let_on(view).await,
            }
        }
    }

    /// Where engines keep what boxes write of their own, on other disks than the home's; each with
    /// the engine's endpoint.
    fn layers(&self, home: &Disk) -> Vec<(String, Disk)> {
        let kept = self.shared.docker.layers().into_iter();
        let measured = kept.filter_map(|(endpoint, path)| Some((endpoint, Disk::of(&path).ok()?)));
        measured.filter(|(_, disk)| disk.device != home.device).collect()
    }

    /// Those of these that an environment's box writes to.
    async fn own_layers<'l>(
        &self,
        view: &Environment,
        layers: &'l [(String, Disk)],
    ) -> Vec<&'l Disk> {
        if layers.is_empty() || view.engine != EngineKind::Docker {
            return Vec::new();
        }
        let record = self.shared.record(&view.id).await.ok();
        let Some(endpoint) = record.and_then(|record| record.record?.endpoint) else {
            return Vec::new();
        };
        let own = layers.iter().filter(|(known, _)| *known == endpoint);
        own.map(|(_, disk)| disk).collect()
    }

    /// Has a box go on that was paused for want of room.
    async fn let_on(&mut self, view: &Environment) {
        if self.seen.remove(&view.id) {
            let matter = Report::Matter { matter: Matter::Pausing, note: None };
            self.shared.report(&view.id, matter).await;
        }
        if is_full(&view.state) {
            self.resume(&view.id).await;
        }
    }

    /// Pauses a box that runs, if its turn can be had; whether that was tried.
    async fn pause(&self, id: &EnvironmentId, why: &str) -> bool {
        let turn = self.shared.turn(id);
        // Whoever has it may pause the box anyway; it is looked at again.
        let Ok(_turn) = turn.try_lock() else { return false };
        let Ok(record) = self.shared.record(id).await else { return false };
        if record.environment.state != EnvironmentState::Running {
            return false;
        }
        tracing::warn!(%id, "paused: {why}");
        let reason = format!("{DISK_FULL}: {why}");
        if let Err(failure) = holding::halt(&self.shared, &record, Some(&reason)).await {
            let note = Some(format!("{reason}, and it goes on: {failure}"));
            self.shared.report(id, Report::Matter { matter: Matter::Pausing, note }).await;
        }
        true
    }

    async fn resume(&self, id: &EnvironmentId) {
        let turn = self.shared.turn(id);
        let Ok(_turn) = turn.try_lock() else { return };
        let Ok(record) = self.shared.record(id).await else { return };
        if !is_full(&record.environment.state) {
            // The user has made the pause one of theirs meanwhile.
            return;
        }
        if let Err(failure) = holding::release(&self.shared, &record).await {
            tracing::warn!(%id, "not resumed: {failure}");
        }
    }
}

fn runs(state: &EnvironmentState) -> bool {
    matches!(state, EnvironmentState::Running)
}

/// Whether a box was paused for want of room, and nobody else wants it paused.
fn is_full(state: &EnvironmentState) -> bool {
    let EnvironmentState::Paused { reason: Some(reason) } = state else { return false };
    reason.starts_with(DISK_FULL)
}

/// Bytes that this user may still write below a directory.
pub(super) fn free(directory: &std::path::Path) -> io::Result<u64> {
    Ok(Disk::of(directory)?.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_for_want_of_room_is_known_whichever_disk_it_names() {
        let paused =
            |reason: Option<&str>| EnvironmentState::Paused { reason: reason.map(str::to_owned) };
        assert!(is_full(&paused(Some(DISK_FULL))), "as earlier servers said it");
        assert!(is_full(&paused(Some("the disk is nearly full: /x has room for 0 B"))));
        assert!(!is_full(&paused(Some(holding::FORKED))) && !is_full(&paused(None)));
        assert!(!is_full(&EnvironmentState::Running));
    }

    #[test]
    fn the_spare_room_is_spent_once_and_set_aside_again() {
        let home = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(home.path());
        assert!(!spend_spare(&layout));
        set_spare_aside(&layout).expect("there is room");
        assert!(spend_spare(&layout) && !spend_spare(&layout));
    }
}
