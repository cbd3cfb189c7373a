//! What was begun and has not ended, seen by whoever would decide next.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

fn base() -> Files {
    files(&[("a", "a\n"), ("b", "b\n"), ("c", "c\n")])
}

fn head() -> Files {
    files(&[("a", "A\n"), ("b", "B\n"), ("c", "C\n"), ("d", "D\n")])
}

fn other() -> Files {
    files(&[("a", "a\n"), ("b", "b\n"), ("c", "other\n"), ("e", "E\n")])
}

/// Everything below a directory, as it is.
type Kept = BTreeMap<String, (u32, Vec<u8>)>;

fn kept(directory: &Path) -> Kept {
    let mut files = Kept::new();
    look(directory, "", &mut files);
    files
}

#[test]
fn nothing_is_decided_while_a_take_is_half_done_and_what_it_needs_stays() {
    // From where it has its entry to where it is on record.
    for stop in 1..7 {
        let case = Case::new(&base());
        let before = case.picture();
        case.journal.steps_left.store(stop, Relaxed);
        case.apply(1, &case.snapshot(&head())).expect_err("stopped");
        case.journal.steps_left.store(i32::MAX, Relaxed);
        let entry = kept(case.journal.directory());
        let half = case.picture();

        let next = next(&case.journal).expect("a number").0;
        assert!(next > 1, "the number is in use");
        let request = case.request(next, &case.snapshot(&other()));
        let refusals = [
            case.apply(next, &request.head).map(drop),
            case.merge(next, &request.head).map(drop),
            case.undo().map(drop),
            record_discard(case.user.root(), &case.journal, &request).map(drop),
        ];
        for refusal in refusals {
            let failure = refusal.expect_err("refused");
            assert_eq!(failure.kind, FailureKind::Unavailable, "{failure}");
            assert!(failure.message.contains("decision 1"), "{failure}");
        }
        assert_eq!(kept(case.journal.directory()), entry, "stopped after {stop}");
        assert_eq!(case.picture(), half, "stopped after {stop}");

        case.recover().expect("recovered");
        assert_eq!(case.picture(), before, "stopped after {stop}");
        case.apply(next, &request.head).expect("it goes on to work");
        assert_eq!(case.status(), " M c\n?? e");
    }
}

#[test]
fn what_could_not_be_put_back_at_once_is_put_back_later_byte_for_byte() {
    let case = Case::new(&base());
    let before = case.picture();
    let mut steps = 0;
    *case.journal.at_step.lock().expect("whole") = Some(Box::new(move || {
        steps += 1;
        let full = Failure::new(FailureKind::Unavailable, "the disk is full");
        if steps > 5 { Err(full) } else { Ok(()) }
    }));
    let failure = case.apply(1, &case.snapshot(&head())).expect_err("no room");
    assert!(failure.message.contains("the disk is full"), "{failure}");
    assert_ne!(case.picture(), before, "some of it stands, or the test shows nothing");
    for _ in 0..2 {
        let failure = case.recover().expect_err("there is still no room");
        assert!(failure.message.contains("cannot be finished yet"), "{failure}");
    }

    *case.journal.at_step.lock().expect("whole") = None;
    case.recover().expect("there is room");
    assert_eq!(case.picture(), before);
    case.apply(2, &case.snapshot(&head())).expect("applied");
    case.undo().expect("undone");
    assert_eq!(case.picture(), before);
}

#[test]
fn what_a_path_held_before_stays_when_the_next_decision_is_made() {
    let case = Case::new(&base());
    case.journal.steps_left.store(6, Relaxed);
    case.apply(1, &case.snapshot(&head())).expect_err("stopped");
    case.journal.steps_left.store(i32::MAX, Relaxed);
    case.write("a", "the user's\n");
    let failure = case.recover().expect_err("one path is not ours any more");
    assert_eq!(paths(&failure), ["a"]);
    let place = case.journal.directory().join("1");
    assert!(failure.hint.expect("a hint").contains(place.to_str().expect("text")));

    let next = next(&case.journal).expect("a number").0;
    case.apply(next, &case.snapshot(&other())).expect("applied");
    assert_eq!(std::fs::read(place.join("before-0")).expect("kept"), b"a\n");
}

/// A linked worktree beside the main one, in which the case takes from now on.
fn in_a_worktree(mut case: Case) -> Case {
    case.oracle.git(["worktree", "add", "-q", "../side", "-b", "side"]);
    let side = UserRepository::discover(&case.oracle.outside().join("side")).expect("a worktree");
    assert_eq!(side.id(), case.user.id());
    case.user = side;
    case
}

/// Files, `HEAD` and status of that worktree.
fn side_of(case: &Case) -> (Kept, String, String) {
    let files = kept(&case.oracle.outside().join("side"));
    let git =
        |arguments: &[&str]| case.oracle.git([["-C", "../side"].as_slice(), arguments].concat());
    (files, git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain", "-uall"]))
}

#[test]
fn a_kill_of_a_take_in_one_worktree_leaves_all_or_nothing_there_and_others_alone() {
    for merges in [false, true] {
        for stop in 0.. {
            let case = in_a_worktree(Case::new(&base()));
            let (main, side) = (case.picture().files, side_of(&case));
            let head = case.snapshot(&head());
            case.journal.steps_left.store(stop, Relaxed);
            let taken = if merges { case.merge(1, &head) } else { case.apply(1, &head) };
            case.journal.steps_left.store(i32::MAX, Relaxed);
            case.recover().expect("recovered");

            let lock = case.oracle.root().join(".git/worktrees/side/index.lock");
            assert!(!lock.exists(), "stopped after {stop}");
            if standing(&case.journal).expect("a list").is_empty() {
                assert_eq!(side_of(&case), side, "stopped after {stop}");
            } else {
                let (_, _, status) = side_of(&case);
                let changed = if merges { "" } else { " M a\n M b\n M c\n?? d" };
                assert_eq!(status, changed, "stopped after {stop}");
                case.undo().expect("undone");
                assert_eq!(side_of(&case), side, "stopped after {stop}");
            }
            assert_eq!(case.picture().files, main, "stopped after {stop}");
            if taken.is_ok() {
                assert!(stop > 8, "the steps were counted");
                break;
            }
        }
    }
}

#[test]
fn an_undo_takes_back_in_the_worktree_that_was_written() {
    let case = in_a_worktree(Case::new(&base()));
    let side = side_of(&case);
    case.apply(1, &case.snapshot(&head())).expect("applied");
    // The user has the same in the main one, by other ways.
    for (path, content) in [("a", "A\n"), ("b", "B\n"), ("c", "C\n"), ("d", "D\n")] {
        case.write(path, content);
    }
    let main = case.picture().files;
    case.undo().expect("undone");
    assert_eq!(side_of(&case), side);
    assert_eq!(case.picture().files, main);
}

#[test]
fn a_worktree_that_is_gone_is_named_and_nothing_else_is_written() {
    let case = in_a_worktree(Case::new(&base()));
    case.journal.steps_left.store(6, Relaxed);
    case.apply(1, &case.snapshot(&head())).expect_err("stopped");
    case.journal.steps_left.store(i32::MAX, Relaxed);
    let (side, away) = (case.oracle.outside().join("side"), case.oracle.outside().join("away"));
    std::fs::rename(&side, &away).expect("moved away");
    let main = case.picture();
    let failure = case.recover().expect_err("nowhere to put anything back");
    assert!(failure.message.contains(side.to_str().expect("text")), "{failure}");
    assert!(failure.hint.expect("a hint").contains("journal/pending"));
    // What lies there now is another's.
    std::fs::create_dir(&side).expect("made");
    case.oracle.git(["init", "-q", "../side"]);
    let who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"];
    let commit = ["-C", "../side", "commit", "-q", "--allow-empty", "-m", "another"];
    case.oracle.git([who.as_slice(), commit.as_slice()].concat());
    let failure = case.recover().expect_err("another repository");
    assert!(failure.message.contains("no working tree of its repository"), "{failure}");
    assert_eq!(case.picture(), main);

    std::fs::remove_dir_all(&side).expect("removed");
    std::fs::rename(&away, &side).expect("moved back");
    case.recover().expect("recovered");
    assert_eq!(side_of(&case).2, "");
}
