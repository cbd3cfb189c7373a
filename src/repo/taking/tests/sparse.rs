//! A sparse checkout: what it leaves out is merged in the index alone, as git does it.

use super::*;

fn base() -> Files {
    files(&[
        ("top", "1\n"),
        ("in/f", "1\n"),
        ("in/moves", "moved\n"),
        ("out/f", "1\n"),
        ("out/gone", "g\n"),
    ])
}

fn head() -> Files {
    files(&[
        ("top", "2\n"),
        ("in/f", "2\n"),
        ("in/new", "n\n"),
        ("out/f", "2\n"),
        ("out/moves", "moved\n"),
        ("other/new", "o\n"),
    ])
}

/// How git keeps what is outside: file by file, or each directory as one entry.
const INDEXES: [&str; 2] = ["--no-sparse-index", "--sparse-index"];

fn case(index: &str) -> Case {
    let case = Case::new(&base());
    case.oracle.git(["sparse-checkout", "set", "--cone", index, "in"]);
    assert!(!case.oracle.root().join("out").exists(), "the control");
    let folded = case.oracle.git(["ls-files", "--sparse", "-t"]).contains("S out/\n");
    assert_eq!(folded, index == "--sparse-index", "the control");
    case
}

#[test]
fn a_merge_leaves_a_sparse_checkout_as_git_would() {
    INDEXES.into_iter().for_each(merges);
}

fn merges(index: &str) {
    let git = case(index);
    let theirs = git.oracle.commit(&head(), &[&git.base]);
    git.oracle.git(["merge", "-q", "--no-ff", "-m", "work", theirs.as_str()]);

    let case = case(index);
    let before = case.picture();
    let index = |case: &Case| case.oracle.git(["ls-files", "-s", "-t"]);
    case.merge(1, &case.snapshot(&head())).expect("merged");
    assert_eq!(index(&case), index(&git));
    assert!(index(&case).lines().any(|line| line.starts_with("S ") && line.ends_with("other/new")));
    assert_eq!(case.status(), "");
    assert_eq!(case.picture().files, git.picture().files);
    case.oracle.git(["sparse-checkout", "disable"]);
    assert_eq!(case.status(), "");
    assert_eq!(case.read("other/new"), "o\n");
    case.oracle.git(["sparse-checkout", "set", "--cone", "in"]);
    case.undo().expect("undone");
    assert_eq!(case.picture().files, before.files);
    assert_eq!(case.status(), "");
}

#[test]
fn an_undo_gives_a_sparse_checkout_back_as_it_was() {
    for index in INDEXES {
        let case = case(index);
        let before = case.picture();
        case.merge(1, &case.snapshot(&head())).expect("merged");
        case.undo().expect("undone");
        assert_eq!(case.picture(), before);
        // The user's git wrote the index since.
        case.merge(2, &case.snapshot(&head())).expect("merged");
        case.oracle.git(["update-index", "--force-write-index"]);
        case.undo().expect("undone");
        assert_eq!(case.picture().files, before.files);
        assert_eq!(case.status(), "");
        case.oracle.git(["fsck", "--strict"]);
    }
}

#[test]
fn what_a_sparse_checkout_leaves_out_is_no_uncommitted_work() {
    for index in INDEXES {
        let case = case(index);
        assert_eq!(case.user.uncommitted().expect("read"), []);
        case.write("in/f", "mine\n");
        case.write("out/extra", "mine\n");
        let found = case.user.uncommitted().expect("read");
        assert_eq!(found, [RepoPath::new(*b"in/f"), RepoPath::new(*b"out/extra")]);
    }
}

/// As `git apply` has it, which knows nothing of what is checked out.
#[test]
fn a_rename_out_of_a_sparse_checkout_is_taken_by_name_as_git_applies_it() {
    for index in INDEXES {
        let git = case(index);
        let theirs = git.oracle.commit(&head(), &[&git.base]);
        let range = format!("{}..{theirs}", git.base);
        let patch = git.oracle.git(["diff", "-M", &range, "--", "in/moves", "out/moves"]);
        assert!(patch.contains("rename to out/moves"), "the control: {patch}");
        let applied = git.oracle.feed(["apply"], format!("{patch}\n").as_bytes());
        assert!(applied.status.success(), "{applied:?}");

        let case = case(index);
        let before = case.picture();
        let portion = Portion::Paths(vec![RepoPath::new(*b"in/moves")]);
        case.take(1, &case.snapshot(&head()), portion).expect("taken");
        assert_eq!(case.picture().files, git.picture().files);
        assert_eq!(case.picture().index, before.index);
        assert_eq!(case.read("out/moves"), "moved\n");
        case.undo().expect("undone");
        assert_eq!(case.picture(), before);
    }
}

#[test]
fn an_apply_says_that_a_sparse_checkout_is_in_its_way() {
    INDEXES.into_iter().for_each(is_in_the_way);
}

fn is_in_the_way(index: &str) {
    let case = case(index);
    let before = case.picture();
    let failure = case.apply(1, &case.snapshot(&head())).expect_err("refused");
    assert!(failure.message.contains("outside your sparse checkout"), "{failure}");
    let mut named: Vec<String> = failure.paths.iter().map(ToString::to_string).collect();
    named.sort();
    assert_eq!(named, ["out/f", "out/gone"], "what is new could be written");
    assert_eq!(case.picture(), before);
    let portion = Portion::Paths(vec![RepoPath::new(*b"in/f"), RepoPath::new(*b"in/new")]);
    case.take(1, &case.snapshot(&head()), portion).expect("what is inside");
}
