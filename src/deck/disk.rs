//! Keeps the disk of the state directory from running full: agents that write are paused while
//! little is left, and go on when there is room again.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::holding::{self, DISK_FULL};
use super::shared::Shared;
use super::state::{Matter, Report};
use crate::config::file;
use crate::model::environment::EnvironmentState;
use crate::model::id::EnvironmentId;
use crate::model::policy::show_bytes;
use crate::store::Layout;

/// Between two looks, one system call each: a fast disk fills at a gigabyte in this time.
const PACE: Duration = Duration::from_secs(1);
/// What is kept free where the user says nothing.
const RESERVE: u64 = 256 << 20;
/// So much more than the reserve must be free before what was paused goes on: a fourth of it, or
/// it would stop and go with every file.
const ROOM_AGAIN: u64 = 4;
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

/// What is to be done about so much free room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    Enough,
    /// Neither low nor enough to go on.
    Between,
    Low,
}

fn room(free: u64, reserve: u64) -> Room {
    match free {
        free if free < reserve => Room::Low,
        free if free < reserve + reserve / ROOM_AGAIN => Room::Between,
        _ => Room::Enough,
    }
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
        let running = |state: &EnvironmentState| matches!(state, EnvironmentState::Running);
        if !views.iter().any(|view| running(&view.state) || is_full(&view.state)) {
            return;
        }
        let settings = file::read(self.shared.layout.home()).unwrap_or_default();
        let reserve = settings.disk_reserve.unwrap_or(RESERVE);
        let Ok(free) = free(self.shared.layout.home()) else { return };
        match room(free, reserve) {
            Room::Low => {
                for view in views.iter().filter(|view| running(&view.state)) {
                    if !self.seen.contains(&view.id) && self.pause(&view.id, free).await {
                        self.seen.insert(view.id.clone());
                    }
                }
            }
            Room::Between => {}
            Room::Enough => {
                for id in std::mem::take(&mut self.seen) {
                    let matter = Matter::Pausing;
                    self.shared.report(&id, Report::Matter { matter, note: None }).await;
                }
                if let Err(error) = set_spare_aside(&self.shared.layout) {
                    tracing::debug!("no room is set aside for records: {error}");
                }
                for view in views.iter().filter(|view| is_full(&view.state)) {
                    self.resume(&view.id).await;
                }
            }
        }
    }

    /// Pauses a box that runs, if its turn can be had; whether that was tried.
    async fn pause(&self, id: &EnvironmentId, free: u64) -> bool {
        let turn = self.shared.turn(id);
        // Whoever has it may pause the box anyway; it is looked at again.
        let Ok(_turn) = turn.try_lock() else { return false };
        let Ok(record) = self.shared.record(id).await else { return false };
        if record.environment.state != EnvironmentState::Running {
            return false;
        }
        tracing::warn!(%id, "paused: {} free", show_bytes(free));
        if let Err(failure) = holding::halt(&self.shared, &record, Some(DISK_FULL)).await {
            let note = Some(format!("{DISK_FULL}, and it goes on: {failure}"));
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

/// Whether a box was paused for want of room, and nobody else wants it paused.
fn is_full(state: &EnvironmentState) -> bool {
    matches!(state, EnvironmentState::Paused { reason: Some(reason) } if reason == DISK_FULL)
}

/// Bytes that this user may still write below a directory.
pub(super) fn free(directory: &std::path::Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(directory)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_paused_goes_on_only_when_there_is_room_to_spare() {
        let mib = |count: u64| count << 20;
        let reserve = mib(400);
        assert_eq!(room(mib(399), reserve), Room::Low);
        assert_eq!(room(mib(400), reserve), Room::Between);
        assert_eq!(room(mib(499), reserve), Room::Between);
        assert_eq!(room(mib(500), reserve), Room::Enough);
        assert_eq!(room(0, 0), Room::Enough, "0 keeps nothing free");
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
