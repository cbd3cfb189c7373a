use std::os::unix::fs::symlink;

use super::*;

fn base() -> Files {
    files(&[("a", "1\n"), ("b", "b\n"), ("gone", "g\n")])
}

fn head() -> Files {
    files(&[("a", "2\n"), ("b", "b\n"), ("new/x", "x\n")])
}

fn refused(case: &Case, merges: bool) -> Failure {
    let before = case.picture();
    let head = case.snapshot(&head());
    let taken = if merges { case.merge(1, &head) } else { case.apply(1, &head) };
    let failure = taken.expect_err("a refusal");
    assert_eq!(case.picture(), before, "{failure}");
    assert_eq!(decisions(&case.journal), Ok(Vec::new()));
    failure
}

#[test]
fn uncommitted_work_is_never_overwritten_and_is_named() {
    let both = |arrange: &dyn Fn(&Case), expected: &[&str]| {
        for merges in [false, true] {
            let case = Case::new(&base());
            arrange(&case);
            let failure = refused(&case, merges);
            assert_eq!(failure.kind, FailureKind::WouldOverwrite);
            assert_eq!(paths(&failure), expected);
        }
    };
    both(&|case| case.write("a", "mine\n"), &["a"]);
    both(&|case| case.write("new/x", "mine\n"), &["new/x"]);
    both(&|case| case.write("new", "a file\n"), &["new"]);
    both(&|case| case.write("new/x/deep", "mine\n"), &["new/x/deep"]);
    both(&|case| case.write("gone", "mine\n"), &["gone"]);
    both(
        &|case| {
            case.write(".git/info/exclude", "new\n");
            case.write("new/x", "ignored but mine\n");
            case.write("a", "mine\n");
        },
        &["a", "new/x"],
    );
    both(
        &|case| {
            std::fs::remove_file(case.oracle.root().join("a")).expect("removed");
        },
        &["a"],
    );
    both(
        &|case| {
            let run = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(case.oracle.root().join("a"), run).expect("a mode");
        },
        &["a"],
    );
}

#[test]
fn staged_work_stops_a_merge_only_on_its_paths() {
    let case = Case::new(&base());
    case.write("a", "staged\n");
    case.oracle.git(["add", "a"]);
    case.write("a", "1\n");
    assert_eq!(paths(&refused(&case, true)), ["a"]);

    let case = Case::new(&base());
    case.write("b", "staged\n");
    case.oracle.git(["add", "b"]);
    case.write("b", "and changed\n");
    case.merge(1, &case.snapshot(&head())).expect("a merge");
    assert_eq!(case.status(), "MM b");
    assert_eq!(case.read("b"), "and changed\n");
}

#[test]
fn a_conflict_changes_nothing_and_names_the_paths() {
    for merges in [false, true] {
        let case = Case::new(&base());
        case.write("a", "the user's\n");
        case.commit_all();
        let failure = refused(&case, merges);
        assert_eq!((failure.kind, paths(&failure)), (FailureKind::Conflict, vec!["a".to_owned()]));
    }
}

#[test]
fn a_lock_of_the_index_is_respected_and_named() {
    for merges in [false, true] {
        let case = Case::new(&base());
        case.write(".git/index.lock", "git's\n");
        let failure = refused(&case, merges);
        assert_eq!(failure.kind, FailureKind::Unavailable);
        assert!(failure.message.contains("index.lock"), "{failure}");
        assert_eq!(case.read(".git/index.lock"), "git's\n");
        std::fs::remove_file(case.oracle.root().join(".git/index.lock")).expect("removed");
        case.apply(1, &case.snapshot(&head())).expect("free again");
    }
}

#[test]
fn nothing_is_taken_while_git_has_something_in_progress() {
    for (file, what, remedy) in [
        ("rebase-merge/head-name", "a rebase", "git rebase --abort"),
        ("rebase-apply/applying", "a series of patches", "git am --abort"),
        ("MERGE_HEAD", "a merge", "git merge --abort"),
        ("CHERRY_PICK_HEAD", "a cherry-pick", "git cherry-pick --abort"),
        ("REVERT_HEAD", "a revert", "git revert --abort"),
        ("BISECT_LOG", "a bisect", "git bisect reset"),
    ] {
        for merges in [true, false] {
            let case = Case::new(&base());
            case.write(&format!(".git/{file}"), &format!("{}\n", case.base));
            let failure = refused(&case, merges);
            assert_eq!(failure.kind, FailureKind::Refused);
            assert!(failure.message.starts_with(&format!("{what} is in progress")), "{failure}");
            assert!(failure.hint.is_some_and(|hint| hint.contains(remedy)), "{what}");
        }
    }
}

#[test]
fn drivers_of_the_user_are_refused_by_name_and_never_run() {
    let attributes = |line: &str| {
        let mut files = base();
        files.insert(b".gitattributes".to_vec(), (EntryKind::Blob, line.as_bytes().to_vec()));
        files
    };
    let mut head = attributes("a filter=canary\n");
    head.insert(b"a".to_vec(), (EntryKind::Blob, b"2\n".to_vec()));
    let case = Case::new(&attributes("a filter=canary\n"));
    let canary = case.oracle.outside().join("fired");
    let run = format!("touch {} && cat", canary.display());
    for name in ["filter.canary.clean", "filter.canary.smudge"] {
        case.oracle.git(["config", name, run.as_str()]);
    }
    let failure = case.apply(1, &case.snapshot(&head)).expect_err("a refusal");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.message.contains("filter driver canary"), "{failure}");
    assert!(!canary.exists());
    // The control: git runs it.
    case.write("a", "3\n");
    case.oracle.git(["add", "a"]);
    assert!(canary.exists());

    // Attributes that only the agent's tree has are inert.
    let case = Case::new(&base());
    case.oracle.git(["config", "filter.canary.smudge", "false"]);
    case.apply(1, &case.snapshot(&head)).expect("an apply");
    assert_eq!(case.read("a"), "2\n");
}

#[test]
fn no_hook_of_the_repository_runs() {
    let mut case = Case::new(&base());
    let fired = case.oracle.outside().join("fired");
    let hooks = [
        "post-merge",
        "pre-merge-commit",
        "pre-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-commit",
        "post-checkout",
        "post-index-change",
        "reference-transaction",
    ];
    for hook in hooks {
        case.write(
            &format!("hooks/{hook}"),
            &format!("#!/bin/sh\necho {hook} >>{}\n", fired.display()),
        );
        let path = case.oracle.root().join("hooks").join(hook);
        let run = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(path, run).expect("a mode");
    }
    case.commit_all();
    case.oracle.git(["config", "core.hooksPath", "hooks"]);
    let base = CommitId::parse(&case.oracle.git(["rev-parse", "HEAD"])).expect("a commit");
    case.base = base;
    let mut work = head();
    for hook in hooks {
        let (path, text) =
            (format!("hooks/{hook}"), format!("#!/bin/sh\necho changed >>{}\n", fired.display()));
        work.insert(path.into_bytes(), (EntryKind::BlobExecutable, text.into_bytes()));
    }
    let head = case.snapshot(&work);
    case.apply(1, &head).expect("an apply");
    case.undo().expect("undone");
    case.merge(2, &head).expect("a merge");
    case.undo().expect("undone");
    case.merge(3, &head).expect("a merge");
    assert!(!fired.exists(), "{}", std::fs::read_to_string(&fired).unwrap_or_default());
    // The control: git's own merge of the same commits runs them.
    case.oracle.git(["reset", "-q", "--hard", "HEAD^1"]);
    case.oracle.git(["merge", "-q", "--no-ff", "-m", "theirs", "ORIG_HEAD^2"]);
    assert!(fired.exists());
}

#[test]
fn a_link_in_two_steps_leads_nowhere() {
    let case = Case::new(&base());
    let secret = case.oracle.outside().join("secret");
    std::fs::create_dir(&secret).expect("a directory");
    let linked = |target: &[u8]| {
        let mut files = base();
        files.insert(b"d".to_vec(), (EntryKind::Link, target.to_vec()));
        files
    };
    let through = files(&[("a", "1\n"), ("b", "b\n"), ("gone", "g\n"), ("d/x", "evil\n")]);
    // The first step is refused where the link leads out.
    let outside = case.snapshot(&linked(b"../secret"));
    assert_eq!(case.apply(1, &outside).expect_err("a refusal").kind, FailureKind::Refused);
    // A link inside is taken, and the second step replaces it instead of following it.
    case.apply(1, &case.snapshot(&linked(b"b"))).expect("an apply");
    let before = case.picture();
    // Somebody turns the link around between the two.
    std::fs::remove_file(case.oracle.root().join("d")).expect("removed");
    symlink(&secret, case.oracle.root().join("d")).expect("a link");
    let failure = case.apply(2, &case.snapshot(&through)).expect_err("a refusal");
    assert!(
        matches!(failure.kind, FailureKind::Refused | FailureKind::WouldOverwrite),
        "{failure}"
    );
    assert_eq!(std::fs::read_dir(&secret).expect("a directory").count(), 0);
    std::fs::remove_file(case.oracle.root().join("d")).expect("removed");
    symlink("b", case.oracle.root().join("d")).expect("a link");
    assert_eq!(case.picture(), before);
    case.apply(2, &case.snapshot(&through)).expect("an apply");
    assert_eq!(case.read("d/x"), "evil\n");
    assert_eq!(case.read("b"), "b\n");
}

#[test]
fn on_a_branch_whose_name_is_no_text_nothing_is_begun() {
    let case = Case::new(&base());
    let first = case.snapshot(&files(&[("a", "2\n"), ("b", "b\n"), ("gone", "g\n")]));
    case.merge(1, &first).expect("a merge");
    let odd = OsStr::from_bytes(b"caf\xe9");
    case.oracle.git([OsStr::new("checkout"), OsStr::new("-q"), OsStr::new("-b"), odd]);
    let before = case.picture();
    for merges in [true, false] {
        let failure = if merges {
            case.merge(2, &case.snapshot(&head())).expect_err("a refusal")
        } else {
            case.undo().expect_err("a refusal")
        };
        let expected = if merges { "not UTF-8" } else { "main, which is not checked out" };
        assert!(failure.message.contains(expected), "{failure}");
        assert_eq!(case.picture(), before);
        assert_eq!(case.journal.pending(), Ok(None));
        assert!(!case.oracle.root().join(".git/index.lock").exists());
    }
    case.apply(2, &case.snapshot(&head())).expect("an apply moves no branch");
    case.undo().expect("undone");
    case.oracle.git(["branch", "-m", "plain"]);
    case.merge(3, &case.snapshot(&head())).expect("a merge");
}
