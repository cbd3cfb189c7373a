//! What a power cut leaves of a store, and what is on the disk before one.

use std::fs;
use std::sync::Arc;

use super::*;
use crate::repo::object;
use crate::repo::upkeep::{Damage, Upkeep};
use crate::repo::{history, refs};

/// What a store has of the start of the machine before this one.
const BOOT: &str = "exact of an earlier start";

fn taken(number: u32) -> Fixture {
    let fixture = Fixture::new(|root| {
        write(root, "d/f", b"base\n");
        write(root, "other", b"other\n");
    });
    for round in 0..number {
        write(&fixture.workspace(), "d/f", format!("content {round}\n").as_bytes());
        fixture.take_paths(&["d/f"]).expect("a change");
    }
    fixture
}

impl Fixture {
    fn store_path(&self) -> PathBuf {
        self.oracle.outside().join("store")
    }

    /// Opens the store as another server does, after the machine was started again.
    fn restarted(&self) -> (Store, Vec<Damage>) {
        fs::write(self.store_path().join("boot"), BOOT).expect("written");
        self.opened(&Arc::default())
    }

    fn opened(&self, upkeep: &Arc<Upkeep>) -> (Store, Vec<Damage>) {
        let store = Store::open_with(&self.store_path(), Some(&self.user), upkeep.clone());
        (store.expect("a store"), upkeep.take_damage())
    }

    fn whole(&self, store: &Store) -> Option<Snapshot> {
        self.take_as(store, &Touched::Everything, SnapshotCause::Change).expect("taken")
    }

    fn take_as(
        &self,
        store: &Store,
        touched: &Touched,
        cause: SnapshotCause,
    ) -> Result<Option<Snapshot>, crate::model::failure::Failure> {
        let occasion = Occasion::new(cause, Timestamp(1_700_000_002_000));
        snapshot::take(store, &self.environment, &self.workspace(), touched, &occasion)
    }

    /// The newest snapshot's commit, its trees and its file, as objects.
    fn newest_objects(&self) -> Vec<gix::ObjectId> {
        let repository = self.store.reader();
        let head = history::head(&self.store, &self.environment).expect("a head");
        let commit = repository.find_commit(object::id(&head)).expect("a commit");
        let root = commit.tree().expect("a tree");
        let entry = |path: &str| {
            root.clone().lookup_entry_by_path(path).expect("read").expect("there").object_id()
        };
        vec![commit.id, root.id, entry("d"), entry("d/f")]
    }

    fn tear(&self, id: gix::ObjectId, left: &[u8]) {
        let path = self.store.loose().object_path(&id);
        fs::remove_file(&path).expect("it is a file of its own");
        fs::write(&path, left).expect("written");
    }

    /// What every snapshot has of the file, oldest first.
    fn contents(&self, store: &Store) -> Vec<String> {
        let repository = store.reader();
        let read = |snapshot: Snapshot| {
            let tree = repository.find_tree(object::id(&snapshot.tree)).expect("a tree");
            let entry = tree.lookup_entry_by_path("d/f").expect("read").expect("there");
            String::from_utf8(entry.object().expect("a file").data.clone()).expect("text")
        };
        history::read(store, &self.environment).expect("listed").into_iter().map(read).collect()
    }
}

#[test]
fn whatever_of_the_newest_snapshot_is_torn_the_work_is_there_and_goes_on() {
    for which in 0..4 {
        for left in [&b""[..], b"\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let fixture = taken(3);
            fixture.remember("d/f", fixture.newest_objects()[3]);
            fixture.tear(fixture.newest_objects()[which], left);
            let (store, damage) = fixture.restarted();
            let told = damage.iter().map(|it| it.environment.clone()).collect::<Vec<_>>();
            // A file is stored again from the workspace; nothing is lost.
            let expected = if which < 3 { vec![fixture.environment.clone()] } else { vec![] };
            assert_eq!(told, expected, "object {which}");
            fixture.whole(&store);
            let contents = fixture.contents(&store);
            let expected = ["base\n", "content 0\n", "content 1\n", "content 2\n"];
            assert_eq!(contents, expected, "object {which}, {left:?}");
            write(&fixture.workspace(), "d/f", b"more\n");
            let more = fixture.take_as(&store, &touched(&["d/f"]), SnapshotCause::Change);
            assert_eq!(more.expect("taken").expect("a change").number, 5);
        }
    }
}

#[test]
fn a_ref_that_a_power_cut_emptied_leads_to_the_newest_snapshot_again() {
    let fixture = taken(3);
    let before = history::head(&fixture.store, &fixture.environment).expect("a head");
    let name = refs::snapshot(&fixture.environment);
    fs::write(fixture.store.git_dir().join(name.as_bstr().to_string()), "").expect("written");
    let (store, damage) = fixture.restarted();
    assert_eq!(history::head(&store, &fixture.environment), Ok(before));
    assert_eq!(damage.len(), 1);
    assert_eq!(fixture.contents(&store).len(), 4);
}

#[test]
fn what_cannot_be_read_is_looked_at_by_the_next_opening() {
    let fixture = taken(2);
    let upkeep = Arc::new(Upkeep::default());
    let (store, damage) = fixture.opened(&upkeep);
    assert_eq!(damage, []);
    fixture.tear(fixture.newest_objects()[0], b"");
    let failed = fixture.take_as(&store, &Touched::Everything, SnapshotCause::Change);
    failed.expect_err("the last one cannot be read");
    let (store, damage) = fixture.opened(&upkeep);
    assert_eq!(damage.len(), 1);
    fixture.whole(&store);
    assert_eq!(fixture.contents(&store), ["base\n", "content 0\n", "content 1\n"]);
}

#[test]
fn a_store_that_is_sound_stays_as_it_is() {
    let fixture = taken(3);
    let before = history::read(&fixture.store, &fixture.environment);
    let (store, damage) = fixture.restarted();
    assert_eq!(damage, []);
    assert_eq!(history::read(&store, &fixture.environment), before);
}

#[test]
fn nothing_is_judged_while_the_base_cannot_be_read() {
    let mut fixture = taken(2);
    fixture.damaged = true;
    let before = history::head(&fixture.store, &fixture.environment);
    let objects = fixture.oracle.root().join(".git/objects");
    let aside = fixture.oracle.outside().join("aside");
    fs::rename(&objects, &aside).expect("moved");
    fs::create_dir(&objects).expect("made");
    let (store, damage) = fixture.restarted();
    assert_eq!((history::head(&store, &fixture.environment), damage), (before, vec![]));
    let boot = fs::read_to_string(fixture.store_path().join("boot"));
    assert_eq!(boot.expect("read"), BOOT, "the next server looks again");
}

#[test]
fn a_milestone_brings_to_the_disk_what_every_opening_wrote() {
    let fixture = taken(0);
    let upkeep = Arc::new(Upkeep::default());
    let (first, _) = fixture.opened(&upkeep);
    assert_eq!(upkeep.unsynced.names(), None, "what earlier servers left is not known");
    let milestone = |store: &Store| {
        fixture.take_as(store, &Touched::Everything, SnapshotCause::Decision).expect("taken")
    };
    assert_eq!(milestone(&first), None);
    assert_eq!(upkeep.unsynced.names().map(|names| names.len()), Some(0));

    write(&fixture.workspace(), "d/f", b"quiet\n");
    let quiet = fixture.take_as(&first, &touched(&["d/f"]), SnapshotCause::Change);
    quiet.expect("taken").expect("a change");
    let written = fixture.newest_objects().into_iter().collect();
    assert_eq!(upkeep.unsynced.names(), Some(written));
    let (second, _) = fixture.opened(&upkeep);
    assert_eq!(milestone(&second), None, "nothing changed since");
    assert_eq!(upkeep.unsynced.names().map(|names| names.len()), Some(0));
}

#[test]
fn an_empty_file_is_no_object() {
    let fixture = taken(1);
    let blob = fixture.newest_objects()[3];
    fixture.tear(blob, b"");
    assert_eq!(fixture.store.write_blob(b"content 0\n").expect("stored"), blob);
    assert_eq!(fixture.contents(&fixture.store), ["base\n", "content 0\n"]);
}

#[test]
fn a_whole_store_goes_on_while_the_users_repository_is_away() {
    let mut fixture = taken(2);
    fixture.damaged = true;
    crate::repo::pack::complete(&fixture.store_path()).expect("completed");
    fs::rename(fixture.oracle.root(), fixture.oracle.outside().join("away")).expect("moved");
    let store = Store::open_with(&fixture.store_path(), None, Arc::default()).expect("opened");
    write(&fixture.workspace(), "d/f", b"meanwhile\n");
    write(&fixture.workspace(), "new", b"new\n");
    let taken = fixture.whole(&store).expect("a change");
    assert_eq!((taken.number, taken.change.files), (4, 2));
    assert_eq!(fixture.contents(&store).last().map(String::as_str), Some("meanwhile\n"));
    fixture.take_as(&store, &Touched::Everything, SnapshotCause::Decision).expect("kept");
    let nowhere = Store::open_with(&fixture.oracle.outside().join("none"), None, Arc::default());
    assert!(nowhere.is_err(), "what was never made is not made of nothing");
}
