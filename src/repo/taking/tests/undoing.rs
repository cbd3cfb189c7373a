//! What can still be undone after the user went elsewhere, or took some of it back by hand.

use super::*;

fn base() -> Files {
    files(&[("f", "1\n"), ("g", "g\n")])
}

fn head() -> Files {
    let mut head = files(&[("f", "one\n"), ("new/n", "n\n")]);
    head.insert(b"g".to_vec(), (EntryKind::BlobExecutable, b"g\n".to_vec()));
    head
}

impl Case {
    fn remove(&self, path: &str) {
        std::fs::remove_file(self.oracle.root().join(path)).expect("removed");
    }

    fn set_mode(&self, path: &str, mode: u32) {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(self.oracle.root().join(path), mode).expect("a mode");
    }
}

#[test]
fn a_merge_on_a_detached_head_says_how_to_get_back_to_it_and_is_undone_there() {
    let case = Case::new(&base());
    case.apply(1, &case.snapshot(&files(&[("f", "1\n"), ("g", "g\n"), ("o", "o\n")])))
        .expect("an apply");
    case.oracle.git(["checkout", "-q", "--detach"]);
    let commit = case.merge(2, &case.snapshot(&head())).expect("a merge").commit.expect("a commit");
    case.oracle.git(["checkout", "-q", "main"]);
    let before = case.picture();
    let failure = case.undo().expect_err("HEAD is elsewhere");
    assert!(failure.message.contains("on no branch"), "{failure}");
    let hint = failure.hint.expect("a way back");
    let back = format!("git checkout --detach {}", commit.short());
    assert!(hint.contains(&back) && hint.contains("the newest first"), "{hint}");
    assert_eq!(case.picture(), before);
    // Detached at something else it is no better.
    case.oracle.git(["checkout", "-q", "--detach", "main"]);
    case.oracle.git(["commit", "-q", "--allow-empty", "-m", "else"]);
    let hint = case.undo().expect_err("HEAD is elsewhere").hint.expect("a way back");
    assert!(hint.contains(&back), "{hint}");

    case.oracle.git(["checkout", "-q", "--detach", commit.short()]);
    assert_eq!(case.undo().expect("undone").decision.id, DecisionId(2));
    assert_eq!(case.oracle.git(["rev-parse", "HEAD"]), case.base.as_str());
    assert_eq!(case.undo().expect("undone").decision.id, DecisionId(1));
    assert_eq!(case.status(), "");
}

#[test]
fn a_merge_on_a_branch_that_is_gone_says_how_it_comes_back() {
    let case = Case::new(&base());
    case.oracle.git(["checkout", "-q", "-b", "side"]);
    case.merge(1, &case.snapshot(&head())).expect("a merge");
    case.oracle.git(["checkout", "-q", "main"]);
    let hint = case.undo().expect_err("it is not checked out").hint.expect("a way");
    assert!(hint.ends_with("git switch side"), "{hint}");
    case.oracle.git(["branch", "-q", "-D", "side"]);
    let hint = case.undo().expect_err("it is gone").hint.expect("a way");
    let (_, command) = hint.split_once("git ").expect("a command");
    case.oracle.git(command.split(' '));
    case.undo().expect("undone");
    assert_eq!(case.oracle.git(["rev-parse", "side"]), case.base.as_str());
}

#[test]
fn what_the_user_took_back_by_hand_is_not_in_the_way_of_the_rest() {
    for by_hand in [&["f"][..], &["new/n"], &["f", "g", "new/n"]] {
        let case = Case::new(&base());
        let before = case.picture();
        case.apply(1, &case.snapshot(&head())).expect("an apply");
        for path in by_hand {
            match *path {
                "new/n" => case.remove(path),
                path => drop(case.oracle.git(["checkout", "-q", "--", path])),
            }
        }
        case.undo().expect("undone");
        assert_eq!(case.picture().files, before.files, "{by_hand:?}");
        assert_eq!(case.status(), "");
    }
}

#[test]
fn what_only_looks_like_before_is_in_the_way() {
    let refused = |change: &dyn Fn(&Case), path: &str| {
        let case = Case::new(&base());
        case.apply(1, &case.snapshot(&head())).expect("an apply");
        change(&case);
        let before = case.picture();
        let failure = case.undo().expect_err("somebody changed it");
        assert_eq!(paths(&failure), [path], "{failure}");
        assert_eq!(case.picture(), before);
    };
    refused(&|case| case.write("f", "1\nand more\n"), "f");
    let odd = |case: &Case| {
        case.write("f", "1\n");
        case.set_mode("f", 0o755);
    };
    refused(&odd, "f");
    let link = |case: &Case| {
        case.remove("f");
        std::os::unix::fs::symlink("1\n", case.oracle.root().join("f")).expect("a link");
    };
    refused(&link, "f");
}

#[test]
fn a_restore_of_which_some_was_taken_back_by_hand_is_undone() {
    let case = Case::new(&base());
    let now = files(&[("f", "agent\n"), ("g", "g\n"), ("n", "n\n")]);
    case.fill_workspace(&now);
    case.restore(1, &now, &base()).expect("restored");
    case.write_in_workspace("f", "agent\n");
    case.undo().expect("undone");
    assert_eq!(case.workspace_files(), now);
}

#[test]
fn a_merge_whose_branch_was_reset_by_hand_is_undone() {
    let case = Case::new(&base());
    let before = case.picture();
    case.apply(1, &case.snapshot(&files(&[("f", "1\n"), ("g", "g\n"), ("o", "o\n")])))
        .expect("an apply");
    case.merge(2, &case.snapshot(&head())).expect("a merge");
    case.oracle.git(["reset", "-q", "--hard", "HEAD^1"]);
    assert_eq!(case.undo().expect("undone").decision.id, DecisionId(2));
    assert_eq!(case.undo().expect("undone").decision.id, DecisionId(1));
    let after = case.picture();
    assert_eq!((after.files, after.refs), (before.files, before.refs));
    assert_eq!(case.status(), "");
}
