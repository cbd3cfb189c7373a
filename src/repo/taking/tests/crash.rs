use std::sync::atomic::Ordering::Relaxed;

use super::*;

/// More steps than any of these takes has; a run that needs more fails the test.
const MOST_STEPS: i32 = 80;

fn base() -> Files {
    files(&[("a", "a\n"), ("b", "b\n"), ("file", "f\n"), ("dir/x", "x\n")])
}

fn head() -> Files {
    let mut head = files(&[("a", "A\n"), ("new/one", "1\n"), ("file/in", "f\n"), ("dir", "d\n")]);
    head.insert(b"link".to_vec(), (EntryKind::Link, b"a".to_vec()));
    head
}

/// Stops `work` after each of its durable steps in turn, as a kill would, then recovers.
fn everywhere(
    prepare: impl Fn(&Case),
    work: impl Fn(&Case) -> Result<(), Failure>,
    check: impl Fn(&Case, &Picture, i32),
) {
    for stop in 0..MOST_STEPS {
        let mut case = Case::new(&base());
        case.write("mine", "untracked\n");
        prepare(&case);
        let before = case.picture();
        case.journal.steps_left.store(stop, Relaxed);
        let outcome = work(&case);
        let stopped = case.journal.stopped() && outcome.is_err();
        case.journal.steps_left.store(i32::MAX, Relaxed);
        // A new process opens the same journal.
        let again = Journal::open(&case.oracle.outside().join("state/journal")).expect("a journal");
        case.journal = again;
        case.recover().expect("recovered");
        case.recover().expect("recovered again");
        assert!(!case.oracle.root().join(".git/index.lock").exists(), "stopped after {stop}");
        check(&case, &before, stop);
        if !stopped {
            outcome.expect("the last run is not stopped");
            assert!(stop > 5, "the steps were counted");
            return;
        }
    }
    panic!("more than {MOST_STEPS} steps");
}

fn counts(case: &Case) -> bool {
    let decisions = decisions(&case.journal).expect("decisions");
    decisions.last().is_some_and(|decision| !decision.undone)
}

/// Files alone: git may have looked at the index between two pictures.
fn same_files(case: &Case, before: &Picture) -> bool {
    let now = case.picture();
    now.files == before.files && now.refs == before.refs
}

#[test]
fn a_kill_at_any_step_of_an_apply_leaves_all_or_nothing() {
    everywhere(
        |_| {},
        |case| case.apply(1, &case.snapshot(&head())).map(drop),
        |case, before, stop| {
            if counts(case) {
                assert_eq!(case.read("new/one"), "1\n");
                assert_eq!(case.read("dir"), "d\n");
                assert_eq!(case.picture().index, before.index);
                case.undo().expect("undone");
            }
            assert_eq!(case.picture(), *before, "stopped after {stop}");
            case.apply(5, &case.snapshot(&head())).expect("an apply goes on to work");
        },
    );
}

#[test]
fn a_kill_at_any_step_of_a_merge_leaves_all_or_nothing() {
    everywhere(
        |_| {},
        |case| case.merge(1, &case.snapshot(&head())).map(drop),
        |case, before, stop| {
            if counts(case) {
                assert_eq!(case.status(), "?? mine", "stopped after {stop}");
                assert_eq!(case.oracle.git(["diff-index", "--cached", "HEAD"]), "");
                assert_eq!(
                    case.oracle.git(["log", "-1", "--format=%s"]),
                    "Merge brave-otter: Add it"
                );
                case.undo().expect("undone");
                assert!(same_files(case, before), "stopped after {stop}");
            } else {
                assert_eq!(case.picture(), *before, "stopped after {stop}");
            }
            assert_eq!(case.status(), "?? mine");
            assert_eq!(case.oracle.git(["fsck", "--strict", "--no-dangling"]), "");
        },
    );
}

#[test]
fn a_kill_at_any_step_of_an_undo_leaves_all_or_nothing() {
    for merges in [false, true] {
        everywhere(
            |case| {
                let head = case.snapshot(&head());
                let taken = if merges { case.merge(1, &head) } else { case.apply(1, &head) };
                taken.expect("taken");
            },
            |case| case.undo().map(drop),
            |case, before, stop| {
                if counts(case) {
                    assert_eq!(case.picture(), *before, "stopped after {stop}");
                    case.undo().expect("undone");
                }
                assert_eq!(case.status(), "?? mine", "stopped after {stop}");
                assert_eq!(case.oracle.git(["rev-parse", "HEAD"]), case.base.as_str());
                assert_eq!(case.read("file"), "f\n");
                assert!(!case.oracle.root().join("new").exists());
            },
        );
    }
}

#[test]
fn a_rollback_leaves_what_the_user_wrote_meanwhile_and_names_it() {
    let case = Case::new(&base());
    case.journal.steps_left.store(7, Relaxed);
    case.apply(1, &case.snapshot(&head())).expect_err("stopped");
    case.journal.steps_left.store(i32::MAX, Relaxed);
    case.write("a", "the user's\n");
    let failure = case.recover().expect_err("one path is not ours any more");
    assert_eq!(paths(&failure), ["a"]);
    assert_eq!(case.read("a"), "the user's\n");
    assert_eq!(case.status(), " M a");
    case.recover().expect("nothing is under way");
}

#[test]
fn a_kill_at_any_step_of_a_restore_or_its_undoing_leaves_all_or_nothing() {
    let restored = || files(&[("a", "a\n"), ("b", "b\n"), ("file", "f\n"), ("dir/x", "x\n")]);
    for undoes in [false, true] {
        everywhere(
            |case| {
                case.fill_workspace(&head());
                case.write_in_workspace("kept.log", "ignored\n");
                if undoes {
                    case.restore(1, &head(), &restored()).expect("restored");
                }
            },
            |case| {
                if undoes {
                    return case.undo().map(drop);
                }
                case.restore(1, &head(), &restored()).map(drop)
            },
            |case, before, stop| {
                let mut expected = if counts(case) { restored() } else { head() };
                expected.extend(files(&[("kept.log", "ignored\n")]));
                assert_eq!(case.workspace_files(), expected, "stopped after {stop}");
                assert_eq!(case.picture(), *before, "the user's repository is not touched");
            },
        );
    }
}

#[test]
fn a_kill_at_any_step_of_taking_a_part_leaves_all_or_nothing() {
    let part = || Portion::Paths(vec![RepoPath::new(*b"a"), RepoPath::new(*b"new")]);
    everywhere(
        |_| {},
        |case| case.take(1, &case.snapshot(&head()), part()).map(drop),
        |case, before, stop| {
            if counts(case) {
                assert_eq!((case.read("a"), case.read("b")), ("A\n".to_owned(), "b\n".to_owned()));
                case.undo().expect("undone");
            }
            assert_eq!(case.picture(), *before, "stopped after {stop}");
            case.take(5, &case.snapshot(&head()), part()).expect("it goes on to work");
            case.apply(6, &case.snapshot(&head())).expect("and so does the rest");
            assert_eq!(case.read("dir"), "d\n");
        },
    );
}
