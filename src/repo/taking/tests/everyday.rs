use super::*;

fn base() -> Files {
    files(&[("a", "1\n2\n3\n4\n5\n"), ("b", "b\n"), ("d/c", "c\n"), ("old", "old\n")])
}

fn head() -> Files {
    let mut head = files(&[("a", "1\n2\n3\n4\nfive\n"), ("d/c", "c\n"), ("d/new/file", "new\n")]);
    head.insert(b"run".to_vec(), (EntryKind::BlobExecutable, b"#!/bin/sh\n".to_vec()));
    head.insert(b"link".to_vec(), (EntryKind::Link, b"d/c".to_vec()));
    head.insert(b"old".to_vec(), (EntryKind::Blob, b"old\n".to_vec()));
    head
}

#[test]
fn a_merge_is_a_commit_with_two_parents_and_leaves_nothing_to_commit() {
    let case = Case::new(&base());
    case.write("untracked", "mine\n");
    let decision = case.merge(1, &case.snapshot(&head())).expect("a merge");
    let commit = decision.commit.clone().expect("a commit");
    let git = |arguments: &[&str]| case.oracle.git(arguments);
    assert_eq!(git(&["rev-parse", "main"]), commit.as_str());
    assert_eq!(git(&["rev-parse", "main^1"]), case.base.as_str());
    assert_eq!(git(&["rev-parse", "main^2^1"]), case.base.as_str());
    assert_eq!(
        git(&["log", "-1", "--format=%an <%ae> %B", "main^2"]),
        "Ada <ada@example.org> Add it\n\nAll of it.\n"
    );
    assert_eq!(git(&["log", "-1", "--format=%s", "main"]), "Merge brave-otter: Add it");
    assert_eq!(git(&["rev-parse", "main^{tree}"]), case.oracle.tree(&head()).as_str());
    assert_eq!(case.status(), "?? untracked");
    assert_eq!(git(&["diff-index", "--cached", "HEAD"]), "");
    assert_eq!(git(&["diff-files"]), "", "the index knows the files' dates");
    assert_eq!(git(&["fsck", "--strict", "--no-dangling"]), "");
    assert!(git(&["reflog", "-1", "main"]).contains("agentdeck: merge brave-otter"));
    assert!(git(&["reflog", "-1", "HEAD"]).contains("agentdeck: merge brave-otter"));
    let shown: Vec<String> = decision.paths.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["a", "b", "d/new/file", "link", "run"]);
}

#[test]
fn an_apply_touches_neither_index_nor_branch() {
    let case = Case::new(&base());
    let before = case.picture();
    case.apply(1, &case.snapshot(&head())).expect("an apply");
    let after = case.picture();
    assert_eq!((&after.index, &after.refs), (&before.index, &before.refs));
    assert_eq!(case.status(), " M a\n D b\n?? d/new/file\n?? link\n?? run");
    let mode = std::fs::metadata(case.oracle.root().join("run")).expect("a file").permissions();
    assert_eq!(mode.mode() & 0o7777, 0o755);
    assert!(!case.oracle.root().join(".git/index.lock").exists());
}

#[test]
fn undo_brings_every_byte_back() {
    for merges in [false, true] {
        let case = Case::new(&base());
        case.write("untracked", "mine\n");
        std::fs::create_dir(case.oracle.root().join("empty")).expect("a directory");
        let odd = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(case.oracle.root().join("b"), odd).expect("a mode");
        let before = case.picture();
        let head = case.snapshot(&head());
        let taken = if merges { case.merge(1, &head) } else { case.apply(1, &head) };
        taken.expect("taken");
        assert_ne!(case.picture(), before);
        let undone = case.undo().expect("undone");
        assert_eq!(case.picture(), before);
        assert_eq!(undone.decision.id, DecisionId(1));
        assert!(decisions(&case.journal).expect("decisions")[0].undone);
        let failure = case.undo().expect_err("nothing left");
        assert_eq!(failure.kind, FailureKind::NotFound);
        assert_eq!(case.oracle.git(["fsck", "--strict", "--no-dangling"]), "");
    }
}

#[test]
fn a_merge_is_undone_after_git_refreshed_its_index() {
    let case = Case::new(&base());
    case.write("other", "mine\n");
    case.merge(1, &case.snapshot(&head())).expect("a merge");
    case.oracle.git(["add", "other"]);
    case.undo().expect("undone");
    assert_eq!(case.status(), "A  other");
    assert_eq!(case.oracle.git(["rev-parse", "main"]), case.base.as_str());
}

#[test]
fn undo_refuses_where_something_moved_since_and_names_it() {
    let case = Case::new(&base());
    let head = case.snapshot(&head());
    case.apply(1, &head).expect("an apply");
    case.write("a", "later work\n");
    let before = case.picture();
    let failure = case.undo().expect_err("a refusal");
    assert_eq!(
        (failure.kind, paths(&failure)),
        (FailureKind::WouldOverwrite, vec!["a".to_owned()])
    );
    assert_eq!(case.picture(), before);

    let case = Case::new(&base());
    let head = case.snapshot(&super::everyday::head());
    case.merge(1, &head).expect("a merge");
    case.oracle.git(["commit", "-q", "--allow-empty", "-m", "later"]);
    let before = case.picture();
    let failure = case.undo().expect_err("a refusal");
    assert!(failure.message.contains("main has moved"), "{failure}");
    assert_eq!(case.picture(), before);
}

#[test]
fn the_users_later_commits_and_the_work_meet_in_the_middle() {
    let case = Case::new(&base());
    case.write("a", "one\n2\n3\n4\n5\n");
    case.write("b", "b\n");
    case.commit_all();
    let mut work = base();
    work.insert(b"a".to_vec(), (EntryKind::Blob, b"1\n2\n3\n4\nfive\n".to_vec()));
    let head = case.snapshot(&work);
    case.apply(1, &head).expect("an apply");
    assert_eq!(case.read("a"), "one\n2\n3\n4\nfive\n");
    case.undo().expect("undone");
    case.merge(2, &head).expect("a merge");
    assert_eq!(case.read("a"), "one\n2\n3\n4\nfive\n");
    assert_eq!(case.status(), "");
}

#[test]
fn more_of_the_same_work_is_taken_again_without_conflict() {
    let more = |text: &str| {
        let mut head = head();
        head.insert(b"a".to_vec(), (EntryKind::Blob, text.as_bytes().to_vec()));
        head
    };
    // Applied, committed by the user, gone on with, applied again.
    let case = Case::new(&base());
    case.apply(1, &case.snapshot(&more("1\n2\n3\n4\nfive\n"))).expect("an apply");
    case.commit_all();
    case.apply(2, &case.snapshot(&more("1\n2\n3\n4\nFIVE\n"))).expect("a second apply");
    assert_eq!(case.read("a"), "1\n2\n3\n4\nFIVE\n");
    // Applied, not committed, applied again, merged.
    let case = Case::new(&base());
    case.apply(1, &case.snapshot(&more("1\n2\n3\n4\nfive\n"))).expect("an apply");
    let last = case.snapshot(&more("1\n2\n3\n4\nFIVE\n"));
    case.apply(2, &last).expect("a second apply");
    assert_eq!(case.apply(3, &last).expect_err("nothing new").kind, FailureKind::Invalid);
    case.merge(3, &last).expect("a merge");
    assert_eq!(case.status(), "");
    // Merged, gone on with, merged again: the second work stands on the first.
    let first = case.oracle.git(["rev-parse", "main^2"]);
    case.merge(4, &case.snapshot(&more("1\n2\n3\nfour\nFIVE\n"))).expect("a second merge");
    assert_eq!(case.oracle.git(["rev-parse", "main^2^1"]), first);
    assert_eq!(case.read("a"), "1\n2\n3\nfour\nFIVE\n");
    case.undo().expect("undone");
    case.undo().expect("undone");
    assert_eq!(case.oracle.git(["rev-parse", "main"]), case.base.as_str());
    assert_eq!(case.read("a"), "1\n2\n3\n4\nFIVE\n");
}

#[test]
fn a_detached_head_moves_itself_and_a_worktree_its_own() {
    let case = Case::new(&base());
    case.oracle.git(["checkout", "-q", "--detach"]);
    let decision = case.merge(1, &case.snapshot(&head())).expect("a merge");
    let commit = decision.commit.expect("a commit");
    assert_eq!(case.oracle.git(["rev-parse", "HEAD"]), commit.as_str());
    assert_eq!(case.oracle.git(["rev-parse", "main"]), case.base.as_str());
    case.undo().expect("undone");

    case.oracle.git(["worktree", "add", "-q", "../side", "-b", "side"]);
    let side = UserRepository::discover(&case.oracle.outside().join("side")).expect("a worktree");
    let request = case.request(2, &case.snapshot(&head()));
    let (style, message) = (MergeStyle::Commit, "m".to_owned());
    let merging = Merging { style, message, identity: identity(), commits: Vec::new() };
    let decision = merge(&side, &case.store, &case.journal, &request, &merging);
    let commit = decision.expect("a merge").commit.expect("a commit");
    assert_eq!(case.oracle.git(["rev-parse", "side"]), commit.as_str());
    assert_eq!(case.oracle.git(["-C", "../side", "status", "--porcelain"]), "");
    assert_eq!(case.oracle.git(["rev-parse", "main"]), case.base.as_str());
    case.undo().expect("undone");
    assert_eq!(case.oracle.git(["rev-parse", "side"]), case.base.as_str());
}

#[test]
fn line_endings_and_large_file_pointers_follow_the_users_attributes() {
    let attributes = "*.crlf text eol=crlf\n*.big filter=lfs -text\n";
    let pointer = |digit: &str| {
        format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 3\n",
            digit.repeat(64)
        )
    };
    // The pointer of the three bytes `abc`.
    let abc = "version https://git-lfs.github.com/spec/v1\noid sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\nsize 3\n";
    let all = |text: &str, big: &str| {
        files(&[(".gitattributes", attributes), ("x.crlf", text), ("y.big", big)])
    };
    let case = Case::new(&all("one\n", abc));
    assert_eq!(case.read("x.crlf"), "one\r\n");
    case.write("y.big", "abc");
    let head = case.snapshot(&all("one\ntwo\n", &pointer("1")));
    case.apply(1, &head).expect("an apply");
    assert_eq!(case.read("x.crlf"), "one\r\ntwo\r\n");
    assert_eq!(case.read("y.big"), pointer("1"));
    case.undo().expect("undone");
    assert_eq!(case.read("y.big"), "abc");
    assert_eq!(case.read("x.crlf"), "one\r\n");
}

#[test]
fn a_discard_is_undone_by_name_whatever_came_after_and_the_rest_stays() {
    let case = Case::new(&base());
    let snapshot = case.snapshot(&head());
    let discard = |id, name: &str, number| {
        let mut request = case.request(id, &snapshot);
        request.name = EnvironmentName::parse(name).expect("a name");
        request.environment = EnvironmentId::from_random([number; 8]);
        record_discard(case.user.root(), &case.journal, &request).expect("recorded")
    };
    let discarded = [discard(1, "owl", 1), discard(2, "owl", 2), discard(3, "fox", 3)];
    case.merge(4, &snapshot).expect("a merge");
    case.oracle.git(["commit", "-q", "--allow-empty", "-m", "mine"]);
    let failure = case.undo().expect_err("the branch moved");
    assert!(failure.message.contains("has moved"), "{failure}");
    let back = |name: &str| undo_discard(&case.journal, name).map(|undone| undone.decision.id.0);
    assert_eq!(back("owl"), Ok(2), "the newest of that name");
    record_drop(&case.journal, discarded[2].id).expect("dropped");
    assert!(back("fox").expect_err("gone").message.contains("dropped from the trash"));
    assert!(back("cat").expect_err("never there").message.contains("cat"));
    assert_eq!(back(discarded[0].environment.as_str()), Ok(1), "by its id");
    assert!(back("owl").is_err(), "both are back");
    let left: Vec<u64> =
        standing(&case.journal).expect("a list").iter().map(|it| it.id.0).collect();
    assert_eq!(left, [3, 4]);
}

#[test]
fn a_discard_is_recorded_and_undone_by_name() {
    let case = Case::new(&base());
    let request = case.request(4, &case.base);
    let discarded = record_discard(case.user.root(), &case.journal, &request).expect("recorded");
    assert_eq!(decisions(&case.journal), Ok(vec![discarded.clone()]));
    let undone = case.undo().expect("undone");
    assert_eq!(undone.decision, Decision { undone: true, ..discarded });
    let again =
        record_discard(case.user.root(), &case.journal, &request).expect_err("an old number");
    assert_eq!(again.kind, FailureKind::Internal);
}

#[test]
fn files_links_and_directories_take_each_others_places_and_go_back() {
    let mut base = files(&[("file", "x\n"), ("dir/a", "a\n"), ("dir/b", "b\n"), ("kept", "k\n")]);
    base.insert(b"link".to_vec(), (EntryKind::Link, b"kept".to_vec()));
    let mut head = files(&[("file/inside", "y\n"), ("dir", "now a file\n"), ("kept", "k\n")]);
    head.insert(b"link".to_vec(), (EntryKind::Blob, b"text\n".to_vec()));
    for merges in [false, true] {
        let case = Case::new(&base);
        let before = case.picture();
        let snapshot = case.snapshot(&head);
        let taken = if merges { case.merge(1, &snapshot) } else { case.apply(1, &snapshot) };
        taken.expect("taken");
        assert_eq!(case.read("file/inside"), "y\n");
        assert_eq!(case.read("dir"), "now a file\n");
        case.undo().expect("undone");
        assert_eq!(case.picture(), before);
    }
}
