//! Editors that save while a take is writing; they know no lock of git's.

use super::*;

fn base() -> Files {
    files(&[("a", "a\n"), ("b", "b\n"), ("c", "c\n"), ("gone", "g\n"), ("gone2", "g\n")])
}

fn head() -> Files {
    files(&[("a", "A\n"), ("b", "B\n"), ("c", "C\n"), ("new", "N\n")])
}

/// The entry, the marker and the lock come first, then `gone`.
const FIRST_WRITE: i32 = 4;

/// The last path of each kind, and the step that ends its write.
const SAVED: [(&str, i32); 3] =
    [("gone2", FIRST_WRITE + 1), ("c", FIRST_WRITE + 4), ("new", FIRST_WRITE + 5)];

/// Has the user save a path when a step has ended.
fn save_at(case: &Case, step: i32, path: &str) {
    let (root, path) = (case.oracle.root(), case.oracle.root().join(path));
    let mut steps = 0;
    *case.journal.at_step.lock().expect("whole") = Some(Box::new(move || {
        steps += 1;
        if steps == step {
            let new = root.join(".git/editor");
            std::fs::write(&new, "the user's\n").expect("a file");
            std::fs::rename(&new, &path).expect("saved");
        }
        Ok(())
    }));
}

fn without(picture: Picture, path: &str) -> Picture {
    let mut picture = picture;
    picture.files.remove(path);
    picture
}

#[test]
fn a_file_that_is_saved_while_a_take_is_writing_stays_and_is_named() {
    for merges in [false, true] {
        for (path, written) in SAVED {
            for step in 1..=FIRST_WRITE + 5 {
                let case = Case::new(&base());
                let before = case.picture();
                save_at(&case, step, path);
                let head = case.snapshot(&head());
                let taken = if merges { case.merge(1, &head) } else { case.apply(1, &head) };
                let what = format!("{path} saved at {step}, a merge: {merges}");
                assert_eq!(case.read(path), "the user's\n", "{what}");
                assert!(!case.oracle.root().join(".git/index.lock").exists(), "{what}");
                assert_eq!(case.journal.pending(), Ok(None), "{what}");
                if step < written {
                    let failure = taken.expect_err(&what);
                    assert_eq!(failure.kind, FailureKind::WouldOverwrite, "{what}: {failure}");
                    assert_eq!(paths(&failure), [path], "{what}");
                    assert!(failure.message.contains("nothing was changed"), "{what}: {failure}");
                    let now = without(case.picture(), path);
                    assert_eq!(now, without(before, path), "{what}");
                    assert_eq!(decisions(&case.journal), Ok(Vec::new()), "{what}");
                } else {
                    taken.unwrap_or_else(|failure| panic!("{what}: {failure}"));
                    let failure = case.undo().expect_err("the path is the user's");
                    assert_eq!(paths(&failure), [path], "{what}");
                }
            }
        }
    }
}

#[test]
fn what_an_editor_saved_comes_back_when_a_kill_found_it_set_aside() {
    let case = Case::new(&base());
    let kill = FIRST_WRITE + 3;
    case.journal.steps_left.store(kill - 1, std::sync::atomic::Ordering::Relaxed);
    case.apply(1, &case.snapshot(&head())).expect_err("stopped");
    case.journal.steps_left.store(i32::MAX, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(case.read("b"), "B\n");
    case.write(".agentdeck-1-1.tmp.aside", "the user's\n");
    let failure = case.recover().expect_err("one path is the user's");
    assert_eq!(paths(&failure), ["b"]);
    assert_eq!(case.read("b"), "the user's\n");
    assert_eq!(case.status(), " M b");
}
