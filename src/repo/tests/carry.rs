//! The user's uncommitted work in a new environment.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::model::decision::{Decision, DecisionKind, MergeStyle};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{DecisionId, EnvironmentName};
use crate::repo::predict::{Contender, Predictor};
use crate::repo::taking::{self, Journal, Merging, TakeRequest};
use crate::repo::tests::taken::apply;

/// A user in the middle of everything: changed, staged, removed, new, renamed, ignored, replaced.
fn busy() -> Oracle {
    let oracle = Oracle::new();
    let root = oracle.root();
    for (path, content) in [
        (".gitignore", "*.log\nbuild/\n"),
        ("changed", "old\n"),
        ("staged", "old\n"),
        ("removed", "gone\n"),
        ("plain", "same\n"),
        ("file", "a file\n"),
        ("dir/inner", "inner\n"),
        ("run", "#!/bin/sh\n"),
    ] {
        write(&root, path, content.as_bytes());
    }
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    write(&root, "changed", b"new\n");
    write(&root, "staged", b"staged\n");
    oracle.git(["add", "staged"]);
    write(&root, "staged", b"and changed again\n");
    std::fs::remove_file(root.join("removed")).expect("removed");
    write(&root, "new/odd name\n", b"untracked\n");
    write(&root, "build/out", b"ignored\n");
    write(&root, "x.log", b"ignored\n");
    std::fs::remove_file(root.join("file")).expect("removed");
    write(&root, "file/now", b"a directory\n");
    std::fs::remove_dir_all(root.join("dir")).expect("removed");
    write(&root, "dir", b"a file\n");
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.join("run"), mode).expect("set");
    symlink("plain", root.join("link")).expect("a link");
    oracle
}

/// Everything git keeps of the user's side, as bytes.
fn kept(oracle: &Oracle) -> (Vec<u8>, String, String) {
    let index = std::fs::read(oracle.root().join(".git/index")).expect("an index");
    (index, oracle.git(["for-each-ref", "refs/heads"]), oracle.git(["stash", "list"]))
}

#[test]
fn uncommitted_work_comes_along_as_git_would_commit_it_and_the_user_keeps_theirs() {
    comes_along(busy());
}

#[test]
fn where_executable_bits_say_nothing_none_come_along() {
    let oracle = busy();
    oracle.git(["config", "core.fileMode", "false"]);
    for path in ["changed", "staged", "plain", "new/odd name\n"] {
        let mode = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(oracle.root().join(path), mode).expect("set");
    }
    comes_along(oracle);
}

fn comes_along(oracle: Oracle) {
    let before = kept(&oracle);
    let fixture = Fixture::with(oracle, Changes::Bring);
    let index = fixture.oracle.outside().join("index");
    std::fs::copy(fixture.oracle.root().join(".git/index"), &index).expect("copied");
    let git = |arguments: &[&str]| {
        let mut command = fixture.oracle.command(arguments);
        let output = command.env("GIT_INDEX_FILE", &index).output().expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    git(&["add", "-A"]);
    assert_eq!(fixture.first.tree.as_str(), git(&["write-tree"]));
    assert_eq!(fixture.first.number, 1);
    assert!(fixture.first.change.files >= 8, "{:?}", fixture.first.change);
    assert!(!fixture.workspace().join("x.log").exists(), "ignored files stay behind");
    assert_eq!(fixture.take(&Touched::Everything), None, "the workspace is the first snapshot");
    assert_eq!(kept(&fixture.oracle), before);
}

#[test]
fn an_apply_brings_only_what_is_new_while_the_carried_work_stands() {
    let fixture = Fixture::with(busy(), Changes::Bring);
    write(&fixture.workspace(), "changed", b"new\nand the agent's\n");
    write(&fixture.workspace(), "agents", b"new\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    let request = TakeRequest {
        id: DecisionId(1),
        environment: fixture.environment.clone(),
        name: EnvironmentName::parse("fox").expect("a name"),
        base: fixture.base.clone(),
        head: taken.id,
        at: Timestamp(5),
        portion: crate::model::decision::Portion::All,
        left_out: Vec::new(),
    };
    let status = || fixture.oracle.git(["status", "--porcelain", "-uall"]);
    let before = status();
    let applied = taking::apply(&fixture.user, &fixture.store, &journal, &request);
    let applied = applied.expect("the user's own work is not in its own way");
    assert_eq!(applied.kind, DecisionKind::Apply);
    assert_eq!(applied.paths, [RepoPath::new(*b"agents"), RepoPath::new(*b"changed")]);
    let changed = std::fs::read(fixture.oracle.root().join("changed")).expect("there");
    assert_eq!(changed, b"new\nand the agent's\n");
    taking::undo(fixture.user.id(), &journal, &|_| fixture.workspace()).expect("undone");
    assert_eq!(status(), before);

    // Changed since, it is the user's again, and in the way.
    write(&fixture.oracle.root(), "changed", b"newer\n");
    let again = TakeRequest { id: DecisionId(2), ..request };
    let failure = taking::apply(&fixture.user, &fixture.store, &journal, &again);
    let failure = failure.expect_err("the user has work there");
    assert!(failure.paths.contains(&RepoPath::new(*b"changed")), "{failure:?}");
}

#[test]
fn what_the_user_reverted_after_a_resolve_does_not_come_back_with_carried_work() {
    let oracle = Oracle::new();
    let root = oracle.root();
    for name in ["carried", "users"] {
        write(&root, name, b"old\n");
    }
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    write(&root, "carried", b"new\n");
    let mut fixture = Fixture::with(oracle, Changes::Bring);
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    fixture.oracle.git(["commit", "-q", "-a", "-m", "what was carried"]);
    write(&root, "users", b"new\n");
    fixture.oracle.git(["commit", "-q", "-a", "-m", "the user's"]);
    // It is merged in the box, where the agent goes on.
    fixture.base = fixture.user.head().expect("a head").0;
    write(&fixture.workspace(), "users", b"new\n");
    write(&fixture.workspace(), "agents", b"new\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let told =
        taking::taken(&fixture.user, &fixture.store, &journal, &fixture.environment, &fixture.base);
    let told = told.expect("read").expect("something was carried");
    let tree = |commit| object::tree_of(&fixture.store.reader(), commit).expect("a tree");
    assert_eq!(tree(&told), tree(&fixture.base), "a commit of the user's is nothing to be taken");
    write(&root, "users", b"old\n");
    fixture.oracle.git(["commit", "-q", "-a", "-m", "reverted"]);
    let applied = apply(&fixture, &journal, 1, &taken.id).expect("an apply");
    assert_eq!(applied.paths, [RepoPath::new(*b"agents")]);
    assert_eq!(std::fs::read(root.join("users")).expect("there"), b"old\n");
}

/// A user who changed a line and wrote a file, both of which came along and were committed later.
fn committed() -> (Fixture, Journal) {
    let oracle = Oracle::new();
    let root = oracle.root();
    write(&root, "f", b"1\n2\n3\n4\n5\n");
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    write(&root, "f", b"1\n2\n3\n4\nfive\n");
    write(&root, "u", b"u\n");
    let fixture = Fixture::with(oracle, Changes::Bring);
    fixture.oracle.git(["add", "-A"]);
    fixture.oracle.git(["commit", "-q", "-m", "what was carried"]);
    let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
    (fixture, journal)
}

/// Conflicts with the branch, as they are foretold.
fn foretold(fixture: &Fixture, head: &CommitId, held: Option<CommitId>) -> u32 {
    let contender = Contender {
        environment: fixture.environment.clone(),
        name: EnvironmentName::parse("fox").expect("a name"),
        base: fixture.base.clone(),
        head: head.clone(),
        held,
        paired: true,
    };
    let (user, store) = (&fixture.user, &fixture.store);
    let found = Predictor::default().predict(user, store, &[contender]).expect("predicted");
    found[0].branch.as_ref().expect("judged").conflicts
}

fn merge_as(
    fixture: &Fixture,
    journal: &Journal,
    (id, style): (u64, MergeStyle),
    head: &CommitId,
) -> Result<Decision, Failure> {
    let request = TakeRequest {
        id: DecisionId(id),
        environment: fixture.environment.clone(),
        name: EnvironmentName::parse("fox").expect("a name"),
        base: fixture.base.clone(),
        head: head.clone(),
        at: Timestamp(5),
        portion: crate::model::decision::Portion::All,
        left_out: Vec::new(),
    };
    let (message, identity) = ("work".to_owned(), fixture.user.identity());
    let merging = Merging { style, message, identity, commits: Vec::new() };
    taking::merge(&fixture.user, &fixture.store, journal, &request, &merging)
}

const STYLES: [MergeStyle; 3] = [MergeStyle::Commit, MergeStyle::Squash, MergeStyle::Rebase];

#[test]
fn a_merge_takes_back_what_the_agent_took_back_of_carried_work() {
    let (fixture, journal) = committed();
    let (root, workspace) = (fixture.oracle.root(), fixture.workspace());
    write(&workspace, "f", b"1\n2\n3\n4\n5\n");
    std::fs::remove_file(workspace.join("u")).expect("removed");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    for (id, style) in (1..).zip(STYLES) {
        let merged = merge_as(&fixture, &journal, (id, style), &head).expect("a merge");
        assert_eq!(merged.paths, [RepoPath::new(*b"f"), RepoPath::new(*b"u")], "{style:?}");
        assert_eq!(fixture.oracle.git(["show", "HEAD:f"]), "1\n2\n3\n4\n5");
        assert_eq!(fixture.oracle.git(["ls-tree", "--name-only", "HEAD"]), "f");
        assert!(!root.join("u").exists());
        taking::undo(fixture.user.id(), &journal, &|_| fixture.workspace()).expect("undone");
        assert_eq!(std::fs::read(root.join("f")).expect("there"), b"1\n2\n3\n4\nfive\n");
    }
}

#[test]
fn what_the_agent_made_of_carried_work_fits_and_is_foretold_to() {
    let (fixture, journal) = committed();
    write(&fixture.workspace(), "f", b"1\n2\n3\n4\nFIVE\n");
    let head = fixture.take(&Touched::Everything).expect("a change").id;
    assert_eq!(foretold(&fixture, &head, None), 1, "from the base it is a conflict");
    let held = || {
        let (user, store) = (&fixture.user, &fixture.store);
        taking::held(user, store, &journal, &fixture.environment, &fixture.base).expect("read")
    };
    assert_eq!(foretold(&fixture, &head, held()), 0);
    for (id, style) in (1..).zip(STYLES) {
        merge_as(&fixture, &journal, (id, style), &head).expect("a merge");
        assert_eq!(fixture.oracle.git(["show", "HEAD:f"]), "1\n2\n3\n4\nFIVE");
        taking::undo(fixture.user.id(), &journal, &|_| fixture.workspace()).expect("undone");
    }
    // Off the branch again it is the agent's to bring, as a merge has it too.
    fixture.oracle.git(["revert", "--no-edit", "HEAD"]);
    assert_eq!(held(), None);
    // What both made of it apart does not fit.
    write(&fixture.oracle.root(), "f", b"1\n2\n3\n4\nfifth\n");
    fixture.oracle.git(["commit", "-q", "-am", "the user's"]);
    assert!(foretold(&fixture, &head, held()) > 0);
    let failure = merge_as(&fixture, &journal, (9, MergeStyle::Commit), &head);
    assert_eq!(failure.expect_err("a conflict").kind, FailureKind::Conflict);
}
