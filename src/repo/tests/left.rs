//! What a snapshot cannot take: it says so, and keeps what it had.

use super::*;
use crate::model::decision::Portion;
use crate::model::snapshot::{FileCaps, Skipped};
use crate::repo::left_out;
use crate::repo::taking::Journal;
use crate::repo::tests::taken::{merge, undo};

fn left_out(fixture: &Fixture) -> Vec<Skipped> {
    let now = left_out::now(&fixture.store, &fixture.environment).expect("read");
    now.unwrap_or_default()
}

fn skipped(path: &str, reason: &str) -> Vec<Skipped> {
    vec![Skipped { path: RepoPath::new(path.as_bytes()), reason: reason.to_owned() }]
}

fn grow(fixture: &Fixture, path: &str, size: u64) {
    let file = std::fs::File::create(fixture.workspace().join(path)).expect("opened");
    file.set_len(size).expect("grown");
}

#[test]
fn a_submodule_is_one_thing_however_it_is_looked_at() {
    let fixture = with_submodule();
    let workspace = fixture.workspace();
    write(&workspace, "lib/sub/.git", b"gitdir: elsewhere\n");
    write(&workspace, "lib/sub/src/edited", b"work in another repository\n");
    write(&workspace, "f", b"changed\n");
    let listed = || fixture.oracle.git(["ls-tree", "-r", "--name-only", "HEAD"]);
    let expected: Vec<String> = listed().lines().map(str::to_owned).collect();

    let hinted = fixture.take_paths(&["f", "lib/sub/src/edited"]).expect("a change");
    assert_eq!(fixture.listing(&hinted), expected);
    assert_eq!(left_out(&fixture), skipped("lib/sub", "the files of a submodule"));
    assert_eq!(fixture.take(&Touched::Everything), None, "a walk finds the same");
    assert_eq!(left_out(&fixture), skipped("lib/sub", "the files of a submodule"));
    write(&workspace, "lib/sub/src/edited", b"more\n");
    assert_eq!(fixture.take_paths(&["lib/sub/src/edited", "lib/sub/src"]), None);
    assert_eq!(left_out(&fixture), skipped("lib/sub", "the files of a submodule"));
}

/// A repository with a submodule at `lib/sub`, which is not checked out in the environment.
fn with_submodule() -> Fixture {
    let oracle = Oracle::new();
    write(&oracle.root(), "f", b"base\n");
    oracle.git(["add", "-A"]);
    let link = format!("160000,{},lib/sub", "1".repeat(40));
    oracle.git(["update-index", "--add", "--cacheinfo", &link]);
    oracle.git(["commit", "-q", "-m", "base"]);
    Fixture::over(oracle)
}

#[test]
fn files_where_a_submodule_is_not_checked_out_are_kept_and_named_and_the_rest_is_taken() {
    let fixture = with_submodule();
    let workspace = fixture.workspace();
    assert!(workspace.join("lib/sub").is_dir());
    write(&workspace, "lib/sub/deep/new", b"whose is it?\n");
    write(&workspace, "f", b"changed\n");
    let taken = fixture.take_paths(&["f", "lib/sub/deep"]).expect("a change");
    assert_eq!(fixture.listing(&taken), ["f", "lib/sub/deep/new"], "no work is lost");
    assert_eq!(fixture.take(&Touched::Everything), None);
    let Fixture { store, environment, .. } = &fixture;
    let lacks = left_out::of_portion(store, environment, &taken.id, &Portion::All).expect("read");
    assert_eq!(lacks, skipped("lib/sub", Skipped::SUBMODULE));
    assert!(lacks[0].is_lacking());
    let submodule = |tree: &str| fixture.oracle.git(["ls-tree", tree, "lib/sub"]);
    let status = || fixture.oracle.git(["status", "--porcelain"]);
    let before = (submodule("HEAD"), status());
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    merge(&fixture, &journal, &taken.id).expect("merged");
    assert_eq!((submodule("HEAD"), status()), before);
    assert_eq!(fixture.oracle.git(["show", "HEAD:f"]), "changed");
    undo(&fixture, &journal);
}

#[test]
fn what_is_ignored_is_named_however_it_is_looked_at() {
    let fixture = Fixture::new(|root| {
        write(root, ".gitignore", b"*.log\nout/\n");
        write(root, "f", b"base\n");
        write(root, "kept/f", b"base\n");
    });
    let workspace = fixture.workspace();
    for path in ["cache.log", "out/deep/made", "kept/out/made", "f"] {
        write(&workspace, path, b"made\n");
    }
    let touched = ["cache.log", "f", "kept/out/made", "out/deep/made"];
    fixture.take_paths(&touched).expect("a change");
    let named = || left_out(&fixture).iter().map(|it| it.path.to_string()).collect::<Vec<_>>();
    assert_eq!(named(), ["cache.log", "kept/out", "out"]);
    assert_eq!(fixture.take(&Touched::Everything), None, "a walk finds the same");
    assert_eq!(named(), ["cache.log", "kept/out", "out"]);
    std::fs::remove_file(workspace.join("cache.log")).expect("removed");
    assert_eq!(fixture.take_paths(&["cache.log", "out/deep/made"]), None);
    assert_eq!(named(), ["kept/out", "out"]);
}

#[test]
fn a_take_is_told_what_of_its_portion_the_snapshot_lacks() {
    let fixture = Fixture::new(|root| {
        write(root, ".gitignore", b"*.log\n");
        write(root, "d/f", b"base\n");
    });
    let workspace = fixture.workspace();
    let lacks = |snapshot: &CommitId, portion: Portion| {
        let Fixture { store, environment, .. } = &fixture;
        let lacks = left_out::of_portion(store, environment, snapshot, &portion).expect("read");
        lacks.iter().map(|it| it.path.to_string()).collect::<Vec<_>>()
    };
    write(&workspace, "cache.log", b"x");
    grow(&fixture, "d/large", FileCaps::default().new + 1);
    write(&workspace, "d/f", b"one\n");
    let first = fixture.take(&Touched::Everything).expect("a change").id;
    let paths = |path: &str| Portion::Paths(vec![RepoPath::new(path.as_bytes())]);
    assert_eq!(lacks(&first, Portion::All), ["d/large"], "what is ignored is nobody's surprise");
    assert_eq!(lacks(&first, paths("d")), ["d/large"]);
    assert!(lacks(&first, paths("d/f")).is_empty());

    std::fs::remove_file(workspace.join("d/large")).expect("removed");
    assert_eq!(fixture.take(&Touched::Everything), None, "no file of a snapshot changed");
    assert!(lacks(&first, Portion::All).is_empty(), "of the newest it is known how it is now");
    grow(&fixture, "huge", FileCaps::default().new + 1);
    write(&workspace, "d/f", b"two\n");
    let second = fixture.take(&Touched::Everything).expect("a change").id;
    assert_eq!(lacks(&second, Portion::All), ["huge"]);
    assert_eq!(lacks(&first, Portion::All), ["d/large"], "of an earlier one, as it was then");
}

#[test]
fn what_becomes_too_large_stays_as_the_base_has_it_and_goes_where_the_base_has_none() {
    let fixture = Fixture::new(|root| write(root, "tracked", b"base\n"));
    let workspace = fixture.workspace();
    write(&workspace, "tracked", b"edited\n");
    write(&workspace, "made", b"its beginning\n");
    let before = fixture.take_paths(&["tracked", "made"]).expect("a change");
    assert_eq!(fixture.listing(&before), ["made", "tracked"]);
    grow(&fixture, "tracked", FileCaps::default().any + 1);
    grow(&fixture, "made", FileCaps::default().new + 1);
    write(&workspace, "other", b"other\n");
    let after = fixture.take(&Touched::Everything).expect("a change");
    assert_eq!(fixture.listing(&after), ["other", "tracked"], "a beginning is no version");
    let named: Vec<_> = after.skipped.iter().map(|it| it.path.to_string()).collect();
    assert_eq!(named, ["made", "tracked"]);
    assert_eq!(fixture.take_paths(&["tracked", "made"]), None, "hints tell the same");
    assert_eq!(fixture.take(&Touched::Everything), None);
}

#[test]
fn a_large_file_is_taken_once_it_rests_or_somebody_looks_and_never_in_part() {
    const LARGE: u64 = 11 << 20;
    let fixture = Fixture::new(|root| write(root, "f", b"base\n"));
    let look = || {
        let occasion = Occasion::new(SnapshotCause::Decision, Timestamp(1_700_000_002_000));
        let Fixture { store, environment, .. } = &fixture;
        let nothing = Touched::Paths(BTreeSet::new());
        snapshot::take(store, environment, &fixture.workspace(), &nothing, &occasion)
            .expect("a snapshot can be taken")
    };
    write(&fixture.workspace(), "download", b"its beginning");
    fixture.take_paths(&["download"]).expect("a change");
    grow(&fixture, "download", LARGE);
    let written = fixture.take_paths(&["download"]).expect("a change");
    assert_eq!(fixture.listing(&written), ["f"], "a beginning is no version");
    assert_eq!(left_out(&fixture), skipped("download", Skipped::WRITTEN));
    let looked = look().expect("all of it");
    assert_eq!(fixture.listing(&looked), ["download", "f"]);
    assert_eq!(left_out(&fixture), []);
    grow(&fixture, "download", LARGE + 1);
    assert_eq!(fixture.take_paths(&["download"]), None, "its last version stays meanwhile");
    assert_eq!(left_out(&fixture), skipped("download", Skipped::WRITTEN));
    assert!(look().is_some());
}

#[test]
fn what_is_too_large_is_for_the_user_to_say() {
    let mut fixture = Fixture::new(|root| write(root, "tracked", b"base\n"));
    fixture.store.caps = FileCaps { new: 4, any: 8 };
    let workspace = fixture.workspace();
    for (path, content) in [("made", "12345"), ("small", "1234"), ("tracked", "12345678")] {
        write(&workspace, path, content.as_bytes());
    }
    let taken = fixture.take(&Touched::Everything).expect("a change");
    assert_eq!(fixture.listing(&taken), ["small", "tracked"]);
    assert_eq!(taken.skipped, skipped("made", "larger than 4 B"));
    write(&workspace, "tracked", b"123456789");
    assert_eq!(fixture.take(&Touched::Everything), None, "it stays as it was");
    let reasons = left_out(&fixture).into_iter().map(|it| it.reason).collect::<Vec<_>>();
    assert_eq!(reasons, ["larger than 4 B", "larger than 8 B"]);
    fixture.store.caps = FileCaps { new: 5, any: 9 };
    let taken = fixture.take(&Touched::Everything).expect("a change");
    assert_eq!(fixture.listing(&taken), ["made", "small", "tracked"]);
    assert_eq!(taken.skipped, []);
}
