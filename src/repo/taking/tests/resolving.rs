//! Takes before and after the user's branch was merged in the box, or taken out of it again.

use serde::Serialize;

use super::record::{Move, Record, Step};
use super::styles::{Agent, base, log};
use super::*;

impl Case {
    /// The user's branch is merged in the box.
    fn resolve(&mut self) {
        self.base = CommitId::parse(&self.oracle.git(["rev-parse", "main"])).expect("a commit");
    }

    fn bring(&self, merges: bool, id: u64, head: &CommitId) -> Decision {
        let taken = if merges { self.merge(id, head) } else { self.apply(id, head) };
        taken.expect("it fits")
    }

    /// What is told to be taken, as a tree.
    fn told(&self) -> Option<gix::ObjectId> {
        let environment = self.request(1, &self.base).environment;
        let told = taken(&self.user, &self.store, &self.journal, &environment, &self.base);
        let told = told.expect("read")?;
        Some(object::tree_of(&self.store.reader(), &told).expect("a tree"))
    }
}

#[test]
fn a_restore_to_before_a_resolve_takes_no_commit_off_the_users_branch() {
    for merges in [true, false] {
        let mut case = Case::new(&base());
        let first = case.base.clone();
        case.write("a", "ONE\n2\n3\n4\n5\n");
        case.write("b", "the user's\n");
        case.write("users/new", "new\n");
        case.commit_all();
        case.resolve();
        let head = files(&[
            ("a", "ONE\n2\n3\n4\nfive\n"),
            ("agents", "1\n"),
            ("b", "the user's\n"),
            ("users/new", "new\n"),
        ]);
        case.bring(true, 1, &case.snapshot(&head));
        // The workspace is as it was before, and the agent goes on there.
        case.base = first.clone();
        let head = files(&[("a", "1\n2\nthree\n4\nfive\n"), ("agents", "2\n"), ("b", "b\n")]);
        case.bring(merges, 2, &case.snapshot(&head));
        assert_eq!(case.read("a"), "ONE\n2\nthree\n4\nfive\n");
        assert_eq!(case.read("b"), "the user's\n");
        assert_eq!(case.read("users/new"), "new\n");
        // The merge is on the branch, so this is a change of what it brought.
        assert_eq!(case.read("agents"), "2\n");
        if merges {
            assert_eq!(case.oracle.git(["rev-parse", "main^2^1"]), first.as_str());
            let shown = case.oracle.git(["show", "--format=", "--name-only", "main^2"]);
            assert_eq!(shown, "a\nagents", "its own commit takes nothing back either");
        }
    }
}

#[test]
fn what_the_user_reverted_after_a_resolve_stays_reverted() {
    for merges in [true, false] {
        let mut case = Case::new(&base());
        let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\nfive\n"), ("b", "b\n")]));
        case.apply(1, &head).expect("an apply");
        case.commit_all();
        case.write("b", "the user's\n");
        case.write("a", "ONE\n2\n3\n4\nfive\n");
        case.commit_all();
        case.resolve();
        let known = object::tree_of(&case.store.reader(), &case.base).expect("a tree");
        assert_eq!(case.told(), Some(known), "the user's commits are nothing to be taken");
        case.write("b", "b\n");
        case.write("a", "1\n2\n3\n4\nfive\n");
        case.commit_all();
        let head = files(&[("a", "ONE\n2\n3\n4\nfive\n"), ("b", "the user's\n"), ("n", "n\n")]);
        case.bring(merges, 2, &case.snapshot(&head));
        assert_eq!(case.read("a"), "1\n2\n3\n4\nfive\n");
        assert_eq!((case.read("b"), case.read("n")), ("b\n".into(), "n\n".into()));
    }
}

#[test]
fn what_was_applied_and_not_committed_still_stands_after_a_resolve() {
    for merges in [true, false] {
        let mut case = Case::new(&base());
        let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\nfive\n"), ("b", "b\n")]));
        case.apply(1, &head).expect("an apply");
        case.write("b", "the user's\n");
        case.oracle.git(["commit", "-q", "-m", "the user's", "b"]);
        case.resolve();
        let all = files(&[("a", "1\n2\n3\n4\nfive\n"), ("b", "the user's\n")]);
        assert_eq!(case.told(), Some(write_tree(&case.store.reader(), &all)));
        let nothing = case.apply(2, &case.snapshot(&all)).expect_err("it is there");
        assert!(nothing.message.contains("nothing"), "{nothing}");
        // If nothing counted as taken, an apply would conflict with what stands there.
        let head = files(&[("a", "1\n2\n3\n4\n5!\n"), ("b", "the user's\n")]);
        let decision = case.bring(merges, 2, &case.snapshot(&head));
        assert_eq!(decision.paths, [RepoPath::new(*b"a")]);
        assert_eq!(case.read("a"), "1\n2\n3\n4\n5!\n");
        assert_eq!(case.read("b"), "the user's\n");
    }
}

#[test]
fn what_the_agent_threw_away_since_a_take_goes_from_the_branch_in_a_rebase() {
    for style in [MergeStyle::Rebase, MergeStyle::Commit, MergeStyle::Squash] {
        let case = Case::new(&base());
        let agent = Agent::of(&case);
        agent.commit("one", &[("a", "one\n2\n3\n4\n5\n")]);
        let head = files(&[("a", "one\n2\n3\n4\n5\n"), ("b", "not committed\n"), ("u", "u\n")]);
        case.merge_as(1, &case.snapshot(&head), style, agent.commits()).expect("a merge");
        assert_eq!((case.read("b"), case.read("u")), ("not committed\n".into(), "u\n".into()));
        // All of that is thrown away, and the next commit stands on the first.
        agent.commit("two", &[("c", "c\n")]);
        let now = files(&[("a", "one\n2\n3\n4\n5\n"), ("b", "b\n"), ("c", "c\n")]);
        let head = case.snapshot(&now);
        case.merge_as(2, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
        let tree = case.oracle.git(["rev-parse", "main^{tree}"]);
        assert_eq!(tree, case.oracle.tree(&now).as_str(), "{style:?}");
        assert!(log(&case, "%s|%an").ends_with("\ntwo|Agent\nAdd it|Ada"), "{style:?}");
    }
}

/// An entry of an earlier version.
#[derive(Serialize)]
struct Older {
    decision: Decision,
    steps: Vec<Step>,
    made: Vec<RepoPath>,
    branch: Option<Move>,
}

#[test]
fn an_entry_that_does_not_say_what_the_work_was_a_change_of_is_read() {
    let case = Case::new(&base());
    let before = case.picture();
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\nfive\n"), ("b", "b\n")]));
    case.merge(1, &head).expect("a merge");
    let Record { decision, steps, made, branch, judged, .. } =
        case.journal.record(DecisionId(1)).expect("an entry");
    assert_eq!(judged.as_ref(), Some(&case.base));
    let older = Older { decision, steps, made, branch };
    let bytes = crate::model::packed::pack(&older).expect("bytes");
    std::fs::write(case.journal.file_path(DecisionId(1), "record"), bytes).expect("written");
    assert_eq!(case.journal.record(DecisionId(1)).expect("it is read").judged, None);
    // From the base, this would be a conflict.
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\n5!\n"), ("b", "b\n")]));
    case.merge(2, &head).expect("what is new");
    assert_eq!(case.read("a"), "1\n2\n3\n4\n5!\n");
    case.undo().expect("undone");
    case.undo().expect("undone");
    assert_eq!(case.picture(), before);
}
