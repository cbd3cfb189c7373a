//! A store that was packed is the store it was.

use super::*;
use crate::repo::{history, pack};

#[test]
fn a_packed_store_has_every_snapshot_and_takes_more() {
    let fixture = Fixture::new(|root| {
        for number in 0..40 {
            write(root, &format!("d{}/f{number}", number % 5), b"base\n");
        }
    });
    let workspace = fixture.workspace();
    let directory = fixture.oracle.outside().join("store");
    for round in 0..120 {
        let path = format!("d{}/f{}", round % 5, round % 40);
        write(&workspace, &path, format!("{round}\n").repeat(20).as_bytes());
        fixture.take_paths(&[path.as_str()]).expect("a change");
    }
    let read = || history::read(&fixture.store, &fixture.environment).expect("a history");
    let before = read();
    let objects = |fan: bool| {
        let entries = std::fs::read_dir(directory.join("snapshots.git/objects")).expect("there");
        entries.filter(|entry| (entry.as_ref().expect("one").file_name().len() == 2) == fan).count()
    };
    assert!(objects(true) > 100, "loose objects are everywhere");
    pack::run(&directory).expect("packed");
    assert!(objects(true) < 3, "what was loose is packed");
    assert_eq!(read(), before);
    assert_eq!(before.len(), 121);

    // What is written again, and what is new; made durable although its files went.
    write(&workspace, "d0/f0", b"base\n");
    let occasion = Occasion::new(SnapshotCause::Decision, Timestamp(9));
    let everything = Touched::Everything;
    let environment = &fixture.environment;
    let taken = snapshot::take(&fixture.store, environment, &workspace, &everything, &occasion);
    assert_eq!(taken.expect("taken").expect("a change").number, 122);
    let bare = directory.join("snapshots.git");
    let bare = bare.to_str().expect("a plain path");
    assert_eq!(fixture.oracle.git(["--git-dir", bare, "fsck", "--strict", "--no-dangling"]), "");
}

#[test]
fn an_object_that_was_packed_before_it_was_synced_is_no_failure() {
    let fixture = Fixture::new(|root| write(root, "f", b"base\n"));
    write(&fixture.workspace(), "f", b"changed\n");
    fixture.take_paths(&["f"]).expect("a change");
    pack::run(&fixture.oracle.outside().join("store")).expect("packed");
    let occasion = Occasion::new(SnapshotCause::Decision, Timestamp(9));
    let everything = Touched::Everything;
    let (store, environment) = (&fixture.store, &fixture.environment);
    let taken = snapshot::take(store, environment, &fixture.workspace(), &everything, &occasion);
    assert_eq!(taken, Ok(None), "nothing changed, and all of it is on the disk");
}
