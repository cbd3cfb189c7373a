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

/// Files that the user has too, on a branch and in a pack, before the environment makes them.
fn shared_with_the_user() -> Fixture {
    let oracle = Oracle::new();
    write(&oracle.root(), "kept/f", b"base\n");
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    oracle.git(["checkout", "-q", "-b", "other"]);
    for number in 0..6 {
        write(&oracle.root(), &format!("d{number}/f"), format!("shared {number}\n").as_bytes());
    }
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "other"]);
    oracle.git(["checkout", "-q", "main"]);
    oracle.git(["gc", "-q"]);
    Fixture::over(oracle)
}

impl Fixture {
    fn store_directory(&self) -> PathBuf {
        self.oracle.outside().join("store")
    }

    fn git_in_store(&self, arguments: &[&str]) -> std::process::Output {
        let bare = self.store_directory().join("snapshots.git");
        let mut all = vec!["--git-dir", bare.to_str().expect("a plain path")];
        all.extend(arguments);
        self.oracle.command(all).output().expect("git runs")
    }

    /// The user throws away whatever no branch of theirs has.
    fn user_prunes(&self) {
        self.oracle.git(["reflog", "expire", "--expire=now", "--all"]);
        self.oracle.git(["gc", "-q", "--prune=now"]);
    }

    fn is_sound(&self) -> bool {
        let checked = self.git_in_store(&["fsck", "--strict", "--no-dangling"]);
        checked.status.success() && checked.stdout.is_empty()
    }

    /// Takes one file of the user's branch after the other, each as a snapshot.
    fn take_shared(&self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            let path = format!("d{number}/f");
            let content = format!("shared {number}\n");
            write(&self.workspace(), &path, content.as_bytes());
            self.take_paths(&[path.as_str()]).expect("a change");
        }
    }
}

#[test]
fn what_is_packed_is_ours_although_the_user_has_it_packed_too() {
    for packings in [1, 6] {
        let fixture = shared_with_the_user();
        let directory = fixture.store_directory();
        for round in 0..packings {
            fixture.take_shared(6 * round / packings..6 * (round + 1) / packings);
            pack::run(&directory).expect("packed");
        }
        fixture.oracle.git(["branch", "-q", "-D", "other"]);
        fixture.user_prunes();
        assert!(fixture.is_sound(), "after {packings} packings");
        let snapshots = history::read(&fixture.store, &fixture.environment).expect("a history");
        assert_eq!(snapshots.len(), 7);
        assert_eq!(fixture.listing(&snapshots[6]).len(), 7);
    }
}

#[test]
fn a_store_that_lost_its_copies_takes_them_back_while_they_are_there() {
    for (mends, expected) in [(false, false), (true, true)] {
        let mut fixture = shared_with_the_user();
        fixture.damaged = !expected;
        fixture.take_shared(0..6);
        // What git's own choice does to objects that an alternate has.
        let repacked = fixture.git_in_store(&["repack", "-d", "-l", "-q"]);
        assert!(repacked.status.success());
        let directory = fixture.store_directory();
        assert!(!pack::is_whole(&directory).expect("looked"));
        if mends {
            pack::complete(&directory).expect("completed");
            assert!(pack::is_whole(&directory).expect("looked"));
        }
        fixture.oracle.git(["branch", "-q", "-D", "other"]);
        fixture.user_prunes();
        assert_eq!(fixture.is_sound(), expected);
    }
}

#[test]
fn a_whole_store_outlives_the_base_in_the_users_repository() {
    let fixture = Fixture::new(|root| {
        for number in 0..30 {
            write(root, &format!("d{}/f{number}", number % 4), format!("{number}\n").as_bytes());
        }
    });
    let directory = fixture.store_directory();
    for round in 0..4 {
        // Each of these has a base of its own, and is copied in a pack of its own.
        write(&fixture.workspace(), "new", format!("{round}\n").as_bytes());
        fixture.take_paths(&["new"]).expect("a change");
        pack::run(&directory).expect("packed");
    }
    let root = fixture.oracle.root();
    fixture.oracle.git(["checkout", "-q", "--orphan", "fresh"]);
    fixture.oracle.git(["rm", "-q", "-r", "-f", "."]);
    write(&root, "other", b"rewritten\n");
    fixture.oracle.git(["add", "-A"]);
    fixture.oracle.git(["commit", "-q", "-m", "rewritten"]);
    fixture.oracle.git(["branch", "-q", "-D", "main"]);
    let pin = format!("refs/agentdeck/pin/{}", fixture.environment);
    fixture.oracle.git(["update-ref", pin.as_str(), "HEAD"]);
    fixture.user_prunes();
    assert!(fixture.is_sound());
    write(&fixture.workspace(), "d1/f1", b"after\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    assert_eq!(fixture.listing(&taken).len(), 31);
}

#[test]
fn packs_of_what_was_copied_become_one_and_lose_nothing() {
    let fixture = Fixture::new(|root| write(root, "f", b"0\n"));
    let directory = fixture.store_directory();
    let count = |ending: &str| {
        let entries = std::fs::read_dir(directory.join("snapshots.git/objects/pack"));
        let entries = entries.expect("there").map(|entry| entry.expect("one").path());
        entries.filter(|path| path.extension().is_some_and(|found| found == ending)).count()
    };
    let name =
        |number: u8| format!("refs/agentdeck/{}/base", EnvironmentId::from_random([number; 8]));
    for number in 1..7_u8 {
        write(&fixture.oracle.root(), "f", format!("{number}\n").as_bytes());
        fixture.oracle.git(["commit", "-q", "-a", "-m", "more"]);
        let head = fixture.oracle.git(["rev-parse", "HEAD"]);
        let set = fixture.git_in_store(&["update-ref", &name(number), &head]);
        assert!(set.status.success());
        assert!(!pack::is_whole(&directory).expect("looked"));
        pack::complete(&directory).expect("completed");
        assert!(pack::is_whole(&directory).expect("looked"));
        assert_eq!(count("keep"), count("pack"), "every pack here is a copy");
        assert!(count("pack") <= 4, "{} packs", count("pack"));
    }
}
