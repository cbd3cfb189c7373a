use std::os::unix::fs::symlink;

use super::*;
use crate::model::snapshot::ChangeCount;
use crate::repo::diff::Counts;
use crate::repo::{divergence, history};

fn small() -> Fixture {
    Fixture::new(|root| {
        write(root, "a.txt", b"a\n");
        write(root, "dir/b.txt", b"b\n");
        write(root, "dir/deep/c.txt", b"c\n");
        write(root, ".gitignore", b"*.log\n/target/\n");
    })
}

#[test]
fn an_unchanged_tree_is_not_snapshotted() {
    let fixture = small();
    assert_eq!(fixture.take(&Touched::Everything), None);
    assert_eq!(fixture.take_paths(&["a.txt", "dir", "nowhere/at/all"]), None);
}

#[test]
fn paths_and_a_whole_walk_take_the_same_tree() {
    let fixture = small();
    let root = fixture.workspace();
    write(&root, "a.txt", b"changed\n");
    write(&root, "new/one/two.txt", b"two\n");
    write(&root, "noise.log", b"noise\n");
    write(&root, "target/out.o", b"out\n");
    std::fs::remove_dir_all(root.join("dir")).expect("removed");
    symlink("a.txt", root.join("dir")).expect("a link");
    let paths = ["a.txt", "new", "noise.log", "target/out.o", "dir/b.txt", "dir/deep/c.txt"];
    let taken = fixture.take_paths(&paths).expect("a change");
    assert_eq!(fixture.listing(&taken), [".gitignore", "a.txt", "dir", "new/one/two.txt"]);
    assert_eq!(taken.tree.as_str(), fixture.tree_by_git());
    assert_eq!(fixture.take(&Touched::Everything), None);
    assert_eq!(taken.change, ChangeCount { added: 3, removed: 3, files: 5 });
    assert_eq!(taken.parent, Some(fixture.first.id.clone()));

    let read = history::read(&fixture.store, &fixture.environment).expect("a history");
    assert_eq!(read, [fixture.first.clone(), taken.clone()]);
    let since =
        divergence::since(&fixture.store, &fixture.environment, &fixture.base, &Counts::default())
            .expect("a count");
    assert_eq!(since, taken.change);
}

#[test]
fn new_ignore_rules_throw_nothing_away() {
    let fixture = small();
    let root = fixture.workspace();
    write(&root, "made.tmp", b"1\n");
    write(&root, "dir/b.txt", b"changed\n");
    let first = fixture.take(&Touched::Everything).expect("a change");
    assert!(fixture.listing(&first).contains(&"made.tmp".to_owned()));

    write(&root, ".gitignore", b"*.tmp\n*.txt\n");
    let second = fixture.take_paths(&[".gitignore"]).expect("a change");
    let listing = fixture.listing(&second);
    assert_eq!(listing, [".gitignore", "a.txt", "dir/b.txt", "dir/deep/c.txt", "made.tmp"]);
    write(&root, "dir/b.txt", b"still tracked\n");
    assert!(fixture.take_paths(&["dir/b.txt"]).is_some());
}

#[test]
fn a_file_changed_within_one_tick_of_the_clock_is_seen() {
    let fixture = small();
    let file = fixture.workspace().join("a.txt");
    for number in 0..50_u32 {
        std::fs::write(&file, format!("{:02}\n", number % 100)).expect("a file");
        assert!(fixture.take(&Touched::Everything).is_some(), "change {number} was missed");
    }
}

#[test]
fn new_attributes_change_no_byte_of_a_snapshot_and_hold_when_it_is_taken() {
    let fixture = small();
    let root = fixture.workspace();
    write(&root, "crlf.txt", b"one\r\n");
    fixture.take(&Touched::Everything).expect("a change");
    write(&root, ".gitattributes", b"*.txt text\n");
    let taken = fixture.take_paths(&[".gitattributes"]).expect("a change");
    assert_eq!(taken.tree.as_str(), fixture.exact_tree_by_git());
    assert_eq!(taken.change.files, 1);
    assert_eq!(fixture.take(&Touched::Everything), None);
    assert_eq!(fixture.stored(&taken.id), fixture.tree_by_git());
    assert_ne!(fixture.stored(&taken.id), taken.tree.as_str());
}

#[test]
fn a_repository_of_converted_files_shows_only_what_was_changed_and_gives_every_byte_back() {
    let fixture = Fixture::new(|root| {
        write(root, ".gitattributes", b"* text=auto eol=crlf\n*.big filter=lfs -text\n");
        write(root, "a.txt", b"one\ntwo\nthree\n");
        write(root, "b.txt", b"b\n");
        write(root, "c.big", b"version https://git-lfs.github.com/spec/v1\n");
    });
    let root = fixture.workspace();
    assert_eq!(std::fs::read(root.join("b.txt")).expect("there"), b"b\r\n");
    assert_eq!(fixture.take(&Touched::Everything), None, "a checkout is no change");
    assert_eq!(fixture.stored(&fixture.first.id), fixture.tree_by_git());

    // One line in the form of the others, a file in another form, one in both.
    write(&root, "a.txt", b"one\r\ntwo\r\nfour\r\n");
    write(&root, "b.txt", b"b\n");
    write(&root, "mixed.txt", b"one\r\ntwo\n");
    write(&root, "c.big", b"as large as you please\r\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let (environment, base) = (&fixture.environment, &fixture.base);
    let change = divergence::since(&fixture.store, environment, base, &Counts::default());
    let change = change.expect("a count");
    assert_eq!(change, ChangeCount { files: 4, added: 5, removed: 3 });
    // Of the large file git itself would ask a driver, which nobody configured here.
    let at = |snapshot: &CommitId, path: &str| {
        let bare = fixture.oracle.outside().join("store/snapshots.git");
        let object = format!("{snapshot}:{path}");
        let bare = bare.to_str().expect("a plain path");
        let output = fixture.oracle.command(["--git-dir", bare, "cat-file", "blob", &object]);
        { output }.output().expect("git runs").stdout
    };
    for path in ["a.txt", "b.txt", "mixed.txt", "c.big"] {
        assert_eq!(at(&taken.id, path), std::fs::read(root.join(path)).expect("there"), "{path}");
    }
    let fork = fixture.oracle.outside().join("fork");
    let other = EnvironmentId::from_random([9; 8]);
    let (user, store) = (&fixture.user, &fixture.store);
    workspaces::fork_history(user, store, &fixture.environment, &other, &taken.id).expect("forked");
    workspaces::check_out(store, &other, &taken.id, &fork, &mut |_, _| {}).expect("made");
    for path in ["a.txt", "b.txt", "mixed.txt", "c.big"] {
        let forked = std::fs::read(fork.join(path)).expect("there");
        assert_eq!(forked, std::fs::read(root.join(path)).expect("there"), "{path}");
    }
    assert_eq!(divergence::since(store, &other, base, &Counts::default()), Ok(change));
    let occasion = Occasion::new(SnapshotCause::Change, Timestamp(2));
    let again = snapshot::take(store, &other, &fork, &Touched::Everything, &occasion);
    assert_eq!(again, Ok(None), "a fork is the snapshot");
    workspaces::unpin(user, store, &other).expect("unpinned");
}

#[test]
fn the_snapshot_of_a_decision_is_found_after_reopening() {
    let fixture = small();
    write(&fixture.workspace(), "a.txt", b"decided\n");
    let occasion = Occasion::new(SnapshotCause::Decision, Timestamp(5));
    let workspace = fixture.workspace();
    let taken = snapshot::take(
        &fixture.store,
        &fixture.environment,
        &workspace,
        &Touched::Everything,
        &occasion,
    );
    let taken = taken.expect("taken").expect("a change");
    let store = Store::open(&fixture.oracle.outside().join("store"), &fixture.user);
    let head = history::head(&store.expect("a store"), &fixture.environment);
    assert_eq!(head, Ok(taken.id));
}

#[test]
fn objects_that_only_the_users_repository_has_are_stored_again() {
    let fixture = small();
    let blob = fixture.oracle.feed(["hash-object", "-w", "--stdin"], b"unreachable\n");
    assert!(blob.status.success());
    write(&fixture.workspace(), "same.txt", b"unreachable\n");
    let taken = fixture.take_paths(&["same.txt"]).expect("a change");
    fixture.oracle.git(["gc", "-q", "--prune=now"]);
    let store = Store::open(&fixture.oracle.outside().join("store"), &fixture.user);
    let reader = store.expect("a store").reader();
    let tree = reader.find_tree(crate::repo::object::id(&taken.tree)).expect("a tree");
    let entry = tree.lookup_entry_by_path("same.txt").expect("a tree").expect("an entry");
    assert_eq!(entry.object().expect("it was kept").data, b"unreachable\n");
}

#[test]
fn directories_that_no_snapshot_looks_into_are_told() {
    let fixture = Fixture::new(|root| {
        write(root, ".gitignore", b"/target/\n/kept/\n");
        write(root, "src/.gitignore", b"gen\n");
        write(root, "src/a", b"a\n");
    });
    let root = fixture.workspace();
    for name in ["target/deep/x", "src/gen/x", "src/other/x", "gen/x"] {
        write(&root, name, b"x\n");
    }
    let ignored = crate::repo::ignored::directories(&fixture.store, &fixture.environment, &root);
    let ignored = ignored.expect("rules");
    let all: [&[u8]; 6] = [b"target", b"target/deep", b"src/gen", b"src", b"src/other", b"gen"];
    let told: Vec<bool> = all.into_iter().map(ignored).collect();
    assert_eq!(told, [true, true, true, false, false, false]);
}

#[test]
fn what_is_left_out_is_listed_and_known_anew_where_no_tree_changed() {
    let fixture = Fixture::new(|root| {
        write(root, ".gitignore", b"*.log\nbuild/\n");
        write(root, "f", b"base\n");
    });
    let workspace = fixture.workspace();
    for (path, content) in [("f", "new\n"), ("a.log", "x"), ("build/out", "x"), ("d/b.log", "x")] {
        write(&workspace, path, content.as_bytes());
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        workspace.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .expect("a FIFO");
    let names = |skipped: &[crate::model::snapshot::Skipped]| {
        let mut names: Vec<_> =
            skipped.iter().map(|it| (it.path.to_string(), it.is_ignored())).collect();
        names.sort();
        names
    };
    let pair = |name: &str, ignored| (name.to_owned(), ignored);
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let listed =
        [pair("a.log", true), pair("build", true), pair("d/b.log", true), pair("pipe", false)];
    assert_eq!(names(&taken.skipped), listed);

    std::fs::remove_file(workspace.join("pipe")).expect("removed");
    std::fs::remove_file(workspace.join("a.log")).expect("removed");
    assert_eq!(fixture.take(&Touched::Everything), None, "no file of a snapshot changed");
    let now = crate::repo::left_out::now(&fixture.store, &fixture.environment);
    assert_eq!(names(&now.expect("read").expect("known")), listed[1..3]);
    write(&workspace, "f", b"newer\n");
    let next = fixture.take_paths(&["f"]).expect("a change");
    assert_eq!(names(&next.skipped), listed[1..3], "what was not touched is as it was");
}
