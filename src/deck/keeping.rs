//! Records on disk, in two steps: at once where a kill leaves them, soon where a power cut does.
//!
//! What the deck says next must be true after a kill, so its loop writes a record before it goes on,
//! beside the one that the disk is known to have. A task of its own then brings the newest to the
//! disk, once for all that was written meanwhile. What is promised, or could be orphaned by a power
//! cut, waits for that; programs in boxes end with the power and need not.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::ensure;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, watch};

use super::disk;
use super::state::{RECORD_VERSION, Record};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::store::{self, Layout, Places};

/// A record that the disk may not have yet. It counts within the boot that wrote it alone: nobody
/// knows which of the files written around it a power cut left.
#[derive(Debug, Serialize, Deserialize)]
struct Unsynced<R> {
    boot: String,
    record: R,
}

/// Writes records and knows which of them the disk has.
#[derive(Debug)]
pub(super) struct Keeper {
    layout: Layout,
    boot: String,
    records: Mutex<BTreeMap<EnvironmentId, Kept>>,
    /// Held by whoever brings records to the disk.
    syncing: Mutex<()>,
    wake: Notify,
    /// Told after each round of syncing.
    rounds: watch::Sender<u64>,
}

/// How far one environment's record is.
#[derive(Debug, Default)]
struct Kept {
    newest: Arc<[u8]>,
    /// Counts what was written, and which of that the disk was last given.
    written: u64,
    synced: u64,
    /// Why the disk did not take what it was given.
    problem: Option<String>,
    /// Whoever holds it has files to sync before the record may speak of them.
    holds: usize,
}

/// As long as it is there, a record does not reach the disk.
pub(super) struct Hold {
    keeper: Arc<Keeper>,
    environment: EnvironmentId,
}

impl Keeper {
    /// The keeper of a home's records. Only one may be there at a time.
    pub fn new(layout: Layout) -> Self {
        Self {
            layout,
            boot: boot(),
            records: Mutex::default(),
            syncing: Mutex::default(),
            wake: Notify::new(),
            rounds: watch::Sender::new(0),
        }
    }

    /// Writes a record where a kill leaves it, and has it brought to the disk: also where the former
    /// fails, so that whoever waits for the disk is told what came of this record.
    pub fn write(&self, record: &Record) -> anyhow::Result<()> {
        let id = &record.environment.id;
        let unsynced = serde_json::to_vec(&Unsynced { boot: self.boot.clone(), record })?;
        let bytes = serde_json::to_vec_pretty(record)?;
        let path = self.layout.environment(id).unsynced_record();
        let mut records = self.records();
        let mut written = store::write_file_unsynced(&path, &unsynced);
        if written.is_err() && disk::spend_spare(&self.layout) {
            written = store::write_file_unsynced(&path, &unsynced);
        }
        let kept = records.entry(id.clone()).or_default();
        kept.newest = bytes.into();
        kept.written += 1;
        drop(records);
        self.wake.notify_one();
        written
    }

    /// Leaves the first record of an environment in a directory that is yet to become its own.
    pub fn leave(&self, record: &Record, places: &Places) -> anyhow::Result<()> {
        let unsynced = serde_json::to_vec(&Unsynced { boot: self.boot.clone(), record })?;
        store::write_file_unsynced(&places.unsynced_record(), &unsynced)
    }

    /// Waits until the disk has what was written of an environment so far.
    pub async fn durable(&self, id: &EnvironmentId) -> Result<(), Failure> {
        let Some(wanted) = self.records().get(id).map(|kept| kept.written) else { return Ok(()) };
        let mut rounds = self.rounds.subscribe();
        loop {
            rounds.mark_unchanged();
            match self.records().get(id) {
                Some(kept) if kept.synced < wanted => {}
                Some(Kept { problem: Some(problem), .. }) => {
                    return Err(Failure::new(FailureKind::Unavailable, problem.clone()).hint(
                        "make room on that disk or set AGENTDECK_HOME to a directory elsewhere",
                    ));
                }
                // Forgotten means that it was discarded meanwhile.
                _ => return Ok(()),
            }
            if rounds.changed().await.is_err() {
                return Err(super::stopping());
            }
        }
    }

    /// Keeps an environment's record from the disk until files that it speaks of are there.
    pub fn hold(self: &Arc<Self>, id: &EnvironmentId) -> Hold {
        self.records().entry(id.clone()).or_default().holds += 1;
        Hold { keeper: self.clone(), environment: id.clone() }
    }

    /// Forgets an environment whose directory is no longer among the environments.
    pub fn forget(&self, id: &EnvironmentId) {
        self.records().remove(id);
        self.rounds.send_modify(|round| *round += 1);
    }

    /// Brings records to the disk until the server ends.
    pub async fn run(self: Arc<Self>) {
        loop {
            self.wake.notified().await;
            let task = self.clone();
            // A panic there is told by the runtime; the next record is a new try.
            let _ = tokio::task::spawn_blocking(move || task.sync()).await;
        }
    }

    /// Brings every record to the disk that is not held. Blocking.
    pub fn sync(&self) {
        let _syncing = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let due = |(id, kept): (&EnvironmentId, &Kept)| {
            let due = kept.holds == 0 && kept.synced < kept.written;
            due.then(|| (id.clone(), kept.newest.clone(), kept.written))
        };
        let due: Vec<_> = self.records().iter().filter_map(due).collect();
        for (id, bytes, version) in due {
            let places = self.layout.environment(&id);
            let mut written = store::write_file(&places.record(), &bytes);
            if written.is_err() && disk::spend_spare(&self.layout) {
                written = store::write_file(&places.record(), &bytes);
            }
            let mut records = self.records();
            // Who is forgotten meanwhile has been moved away.
            let Some(kept) = records.get_mut(&id) else { continue };
            kept.synced = kept.synced.max(version);
            kept.problem = written.err().map(|error| format!("{error:#}"));
            match &kept.problem {
                Some(problem) => tracing::error!(%id, "the record was not written: {problem}"),
                // A newer one may have been written meanwhile; its own round removes it.
                None if kept.written == version => {
                    let _ = std::fs::remove_file(places.unsynced_record());
                }
                None => {}
            }
            drop(records);
            self.rounds.send_modify(|round| *round += 1);
        }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<EnvironmentId, Kept>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(kept) = self.keeper.records().get_mut(&self.environment) {
            kept.holds = kept.holds.saturating_sub(1);
        }
        self.keeper.wake.notify_one();
    }
}

/// The newest record of an environment; `None` when none was ever written. Fails where it is of
/// another version: what is written of it later would lack what only that version knows.
pub(super) fn read(places: &Places) -> anyhow::Result<Option<Record>> {
    let newest: Option<Record> = match read_unsynced(places)? {
        Some(newest) => Some(newest),
        None => store::read_json(&places.record())?,
    };
    if let Some(record) = &newest {
        ensure!(record.version == RECORD_VERSION, "the record is of version {}", record.version);
    }
    Ok(newest)
}

/// The newest record where the disk is not known to have it. Fails where it is one that this
/// program does not understand; what a power cut left of one is none.
pub(super) fn read_unsynced(places: &Places) -> anyhow::Result<Option<Record>> {
    let path = places.unsynced_record();
    let problem = match store::read_json::<Unsynced<Record>>(&path) {
        Ok(newest) => {
            return Ok(newest.filter(|it| it.boot == boot()).map(|newest| newest.record));
        }
        Err(problem) => problem,
    };
    match store::read_json::<Unsynced<serde_json::Value>>(&path) {
        Ok(Some(newest)) if newest.boot == boot() => Err(problem),
        _ => Ok(None),
    }
}

/// Names the machine's run since it was started.
pub(super) fn boot() -> String {
    let read = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    read.unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::record;
    use super::*;

    struct Home {
        keeper: Arc<Keeper>,
        places: Places,
        record: Record,
        _directory: tempfile::TempDir,
    }

    fn home() -> Home {
        let directory = tempfile::tempdir().expect("a directory");
        let layout = Layout::new(directory.path());
        let record = record(1, "fox", "/shop");
        let places = layout.environment(&record.environment.id);
        places.create().expect("made");
        Home { keeper: Arc::new(Keeper::new(layout)), places, record, _directory: directory }
    }

    impl Home {
        fn write(&mut self, note: &str) {
            self.record.environment.notes = vec![note.to_owned()];
            self.keeper.write(&self.record).expect("written");
        }

        fn newest(&self) -> String {
            let record = read(&self.places).expect("read").expect("a record");
            record.environment.notes.join(" ")
        }

        /// What a power cut is known to leave.
        fn synced(&self) -> Option<String> {
            let record: Option<Record> = store::read_json(&self.places.record()).expect("read");
            record.map(|record| record.environment.notes.join(" "))
        }
    }

    #[test]
    fn what_is_written_counts_at_once_and_is_brought_to_the_disk() {
        let mut home = home();
        home.write("one");
        assert_eq!((home.newest().as_str(), home.synced()), ("one", None));
        home.keeper.sync();
        assert_eq!(home.synced().as_deref(), Some("one"));
        assert!(!home.places.unsynced_record().exists(), "it is nothing more than the record");
        home.write("two");
        home.write("three");
        assert_eq!((home.newest().as_str(), home.synced().as_deref()), ("three", Some("one")));
        home.keeper.sync();
        assert_eq!(home.synced().as_deref(), Some("three"));
    }

    #[test]
    fn what_another_boot_had_not_synced_does_not_count() {
        let mut home = home();
        home.write("one");
        home.keeper.sync();
        home.write("two");
        let path = home.places.unsynced_record();
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, text.replace(&boot(), "another")).expect("written");
        assert_eq!(home.newest(), "one");
        std::fs::write(&path, "").expect("written");
        assert_eq!(home.newest(), "one", "what a power cut leaves of a file");
    }

    #[test]
    fn a_newer_record_that_is_not_understood_is_never_passed_over_for_an_older_one() {
        let mut home = home();
        home.write("one");
        home.keeper.sync();
        home.write("two");
        let path = home.places.unsynced_record();
        let text = std::fs::read_to_string(&path).expect("read");
        let strange = text.replace("\"environment\":{", "\"environment\":7,\"former\":{");
        assert_ne!(strange, text);
        std::fs::write(&path, &strange).expect("written");
        read(&home.places).expect_err("this boot's, and not understood");
        std::fs::write(&path, strange.replace(&boot(), "another")).expect("written");
        assert_eq!(home.newest(), "one");
    }

    #[tokio::test]
    async fn a_held_record_waits_and_so_does_who_needs_it_on_the_disk() {
        let mut home = home();
        home.write("one");
        let hold = home.keeper.hold(&home.record.environment.id);
        home.keeper.sync();
        assert_eq!(home.synced(), None);
        let id = home.record.environment.id.clone();
        let keeper = home.keeper.clone();
        let mut durable = std::pin::pin!(async move { keeper.durable(&id).await });
        let waits = std::future::poll_fn(|context| {
            std::task::Poll::Ready(durable.as_mut().poll(context).is_pending())
        });
        assert!(waits.await, "the disk does not have it");
        drop(hold);
        home.keeper.sync();
        durable.await.expect("on the disk");
        assert_eq!(home.synced().as_deref(), Some("one"));
    }

    #[tokio::test]
    async fn whoever_waits_is_told_that_the_disk_did_not_take_it() {
        let mut home = home();
        home.write("one");
        // A directory in the record's place is what no rename replaces.
        std::fs::create_dir(home.places.record()).expect("made");
        home.keeper.sync();
        let failure = home.keeper.durable(&home.record.environment.id).await;
        assert!(failure.expect_err("not written").message.contains("record.json"));
        assert_eq!(home.newest(), "one", "a kill still leaves it");
    }

    #[tokio::test]
    async fn whoever_waits_is_told_of_a_record_that_not_even_a_kill_would_leave() {
        let mut home = home();
        home.write("one");
        home.keeper.sync();
        let id = home.record.environment.id.clone();
        std::fs::create_dir(home.places.unsynced_record()).expect("made");
        home.record.environment.notes = vec!["two".to_owned()];
        home.keeper.write(&home.record).expect_err("not written");
        home.keeper.sync();
        home.keeper.durable(&id).await.expect("the disk has it all the same");
        assert_eq!(home.synced().as_deref(), Some("two"));
        std::fs::remove_file(home.places.record()).expect("removed");
        std::fs::create_dir(home.places.record()).expect("made");
        home.keeper.write(&home.record).expect_err("not written");
        home.keeper.sync();
        home.keeper.durable(&id).await.expect_err("neither place has it");
    }

    #[test]
    fn a_record_that_a_kill_left_is_known_until_the_disk_has_it() {
        let mut home = home();
        home.write("one");
        assert!(read_unsynced(&home.places).expect("read").is_some());
        home.keeper.sync();
        assert!(read_unsynced(&home.places).expect("read").is_none());
    }
}
