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

fn case() -> Case {
    let case = Case::new(&base());
    case.oracle.git(["sparse-checkout", "set", "--cone", "in"]);
    assert!(!case.oracle.root().join("out").exists(), "the control");
    case
}

#[test]
fn a_merge_leaves_a_sparse_checkout_as_git_would() {
    let git = case();
    let theirs = git.oracle.commit(&head(), &[&git.base]);
    git.oracle.git(["merge", "-q", "--no-ff", "-m", "work", theirs.as_str()]);

    let case = case();
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
    let case = case();
    let before = case.picture();
    case.merge(1, &case.snapshot(&head())).expect("merged");
    case.undo().expect("undone");
    assert_eq!(case.picture(), before);
}

#[test]
fn an_apply_says_that_a_sparse_checkout_is_in_its_way() {
    let case = case();
    let before = case.picture();
    let failure = case.apply(1, &case.snapshot(&head())).expect_err("refused");
    assert!(failure.message.contains("outside your sparse checkout"), "{failure}");
    let mut named: Vec<String> = failure.paths.iter().map(ToString::to_string).collect();
    named.sort();
    assert_eq!(named, ["other/new", "out/f", "out/gone", "out/moves"]);
    assert_eq!(case.picture(), before);
    let portion = Portion::Paths(vec![RepoPath::new(*b"in/f"), RepoPath::new(*b"in/new")]);
    case.take(1, &case.snapshot(&head()), portion).expect("what is inside");
}
