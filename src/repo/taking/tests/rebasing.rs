//! Rebases of histories that are no straight line, and what comes after one.

use super::styles::{Agent, base, log};
use super::*;

impl Case {
    fn head_tree(&self) -> String {
        self.oracle.git(["rev-parse", "main^{tree}"])
    }
}

/// One commit on the agent's `main` and one on `side`, both from the base.
fn two_branches(case: &Case) -> Agent {
    let agent = Agent::of(case);
    agent.commit("one", &[("a", "one\n2\n3\n4\n5\n")]);
    agent.git(&["checkout", "-q", "-b", "side", case.base.as_str()]);
    agent.commit("other", &[("b", "B\n")]);
    agent
}

#[test]
fn what_only_a_merge_of_the_agents_holds_comes_too() {
    let case = Case::new(&base());
    let agent = two_branches(&case);
    agent.git(&["checkout", "-q", "main"]);
    agent.git(&["merge", "-q", "--no-commit", "--no-ff", "side"]);
    agent.commit("merged, and mended", &[("c", "the mend\n")]);
    let now = files(&[("a", "one\n2\n3\n4\n5\n"), ("b", "B\n"), ("c", "the mend\n")]);
    let head = case.snapshot(&now);
    let message = "Add it".to_owned();
    let merging = Merging {
        style: MergeStyle::Rebase,
        message,
        identity: identity(),
        commits: agent.commits(),
    };
    let offered = offer(&case.user, &case.store, &case.journal, &case.request(1, &head), &merging)
        .expect("an offer");
    let tree = case.oracle.tree(&now);
    let offered = case.oracle.git(["rev-parse", &format!("{offered}^{{tree}}")]);
    assert_eq!(offered, tree.as_str());
    case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
    assert_eq!(case.head_tree(), tree.as_str());
    let mut subjects: Vec<String> = log(&case, "%s|%an").lines().map(str::to_owned).collect();
    subjects.sort();
    assert_eq!(subjects, ["Add it|Ada", "one|Agent", "other|Agent", "work|Ada"]);
    assert_eq!(case.oracle.git(["show", "--format=", "--name-only", "main"]), "c");
    // Nothing of it is left for later.
    let failure = case.merge_as(2, &head, MergeStyle::Rebase, agent.commits());
    assert!(failure.expect_err("it is there").message.contains("nothing"));
}

#[test]
fn commits_on_a_branch_beside_what_was_brought_before_come_by_their_authors() {
    for onto_main in [false, true] {
        let case = Case::new(&base());
        let agent = Agent::of(&case);
        agent.commit("one", &[("a", "one\n2\n3\n4\n5\n")]);
        let head = case.snapshot(&files(&[("a", "one\n2\n3\n4\n5\n"), ("b", "b\n")]));
        case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
        agent.git(&["checkout", "-q", "-b", "side", case.base.as_str()]);
        agent.commit("other", &[("b", "B\n")]);
        let mut merged = "main";
        if onto_main {
            agent.git(&["checkout", "-q", "main"]);
            merged = "side";
        }
        agent.git(&["merge", "-q", "--no-edit", merged]);
        let now = files(&[("a", "one\n2\n3\n4\n5\n"), ("b", "B\n")]);
        let head = case.snapshot(&now);
        case.merge_as(2, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
        assert_eq!(log(&case, "%s|%an"), "work|Ada\none|Agent\nother|Agent");
        assert_eq!(case.head_tree(), case.oracle.tree(&now).as_str());
        assert_eq!(case.read("b"), "B\n");
    }
}

#[test]
fn a_straight_line_of_commits_fits_where_all_at_once_would_not() {
    let case = Case::new(&base());
    let agent = Agent::of(&case);
    agent.commit("one", &[("b", "one\n")]);
    agent.commit("two", &[("b", "two\n")]);
    // The user has the first of them already.
    case.write("b", "one\n");
    case.commit_all();
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\n5\n"), ("b", "two\n")]));
    let failure = case.merge(1, &head).expect_err("a conflict");
    assert_eq!(failure.kind, FailureKind::Conflict);
    case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
    assert_eq!(case.read("b"), "two\n");
    assert_eq!(log(&case, "%s"), "work\nthe user's\ntwo");
}

#[test]
fn a_commits_author_reaches_no_terminal_as_anything_but_text() {
    let case = Case::new(&base());
    let agent = Agent::of(&case);
    let author = "--author=x\u{1b}]0;owned\u{7}y <a\u{1b}[31m\u{202e}@b>";
    agent.commit("one", &[("b", "B\n")]);
    agent.git(&["commit", "-q", "--amend", "--no-edit", author]);
    // Git itself lets it through: that is the control.
    assert!(agent.git(&["log", "-1", "--format=%an %ae"]).contains("\u{1b}]0;"));
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\n5\n"), ("b", "B\n")]));
    case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
    let said = case.oracle.git(["log", "-1", "--format=%an|%ae|%s", "main"]);
    assert_eq!(said, "x\\u{1b}]0;owned\\u{7}y|a\\u{1b}[31m\\u{202e}@b|one");
}

#[test]
fn what_was_resolved_in_the_box_is_taken_though_work_was_merged_before() {
    for merges in [true, false] {
        let mut case = Case::new(&base());
        let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\nfive\n"), ("b", "b\n")]));
        case.merge(1, &head).expect("a merge");
        case.write("a", "1\n2\n3\n4\nfünf\n");
        case.commit_all();
        let conflicting = case.snapshot(&files(&[("a", "1\n2\n3\n4\n5!\n"), ("b", "b\n")]));
        let failure = case.merge(2, &conflicting).expect_err("a conflict");
        assert_eq!((failure.kind, paths(&failure)), (FailureKind::Conflict, vec!["a".to_owned()]));
        // The branch is merged in the box, and what conflicted is resolved there.
        case.base = CommitId::parse(&case.oracle.git(["rev-parse", "main"])).expect("a commit");
        let resolved = files(&[("a", "1\n2\n3\n4\nfünf!\n"), ("b", "B\n")]);
        let head = case.snapshot(&resolved);
        let taken = if merges { case.merge(2, &head) } else { case.apply(2, &head) };
        taken.expect("it fits now");
        assert_eq!((case.read("a"), case.read("b")), ("1\n2\n3\n4\nfünf!\n".into(), "B\n".into()));
        if merges {
            assert_eq!(case.oracle.git(["rev-parse", "main^2^1"]), case.base.as_str());
            assert_eq!(case.oracle.git(["show", "--format=", "--name-only", "main^2"]), "a\nb");
        }
    }
}
