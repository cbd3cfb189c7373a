//! Squash and rebase, and the agent's own commits as its git prints them.

use std::process::Command;

use super::*;

/// What the box is asked for; see `deck::merging`.
const PRINT: &str = "git rev-list --objects --no-object-names --topo-order --reverse \"$1..HEAD\" \
                     | git cat-file --batch";

/// The agent's own repository: a clone of the user's, in which it commits.
pub(super) struct Agent {
    directory: tempfile::TempDir,
    base: CommitId,
}

impl Agent {
    pub(super) fn of(case: &Case) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let agent = Self { directory, base: case.base.clone() };
        let root = case.oracle.root();
        agent.git(&["clone", "-q", root.to_str().expect("a path"), "."]);
        agent
    }

    pub(super) fn git(&self, arguments: &[&str]) -> String {
        let output = self.run("git", arguments);
        String::from_utf8_lossy(&output).trim_end().to_owned()
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.directory.path());
        for (name, value) in [
            ("GIT_CONFIG_GLOBAL", "/dev/null"),
            ("GIT_CONFIG_NOSYSTEM", "1"),
            ("GIT_AUTHOR_NAME", "Agent"),
            ("GIT_AUTHOR_EMAIL", "agent@example.org"),
            ("GIT_AUTHOR_DATE", "1600000000 +0200"),
            ("GIT_COMMITTER_NAME", "Agent"),
            ("GIT_COMMITTER_EMAIL", "agent@example.org"),
        ] {
            command.env(name, value);
        }
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub(super) fn commit(&self, message: &str, files: &[(&str, &str)]) {
        for (path, content) in files {
            let path = self.directory.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            std::fs::write(path, content).expect("a file");
        }
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
    }

    pub(super) fn commits(&self) -> Vec<u8> {
        self.run("sh", &["-c", PRINT, "sh", self.base.as_str()])
    }
}

pub(super) fn base() -> Files {
    files(&[("a", "1\n2\n3\n4\n5\n"), ("b", "b\n")])
}

pub(super) fn log(case: &Case, format: &str) -> String {
    case.oracle.git(["log", "--reverse", &format!("--format={format}"), "main"])
}

#[test]
fn a_squash_is_one_commit_on_the_branch_until_undo_takes_it_back() {
    let case = Case::new(&base());
    case.write("b", "the user's\n");
    case.commit_all();
    case.write("untracked", "mine\n");
    let before = case.picture();
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\nfive\n"), ("b", "b\n"), ("n", "n\n")]));
    let decision = case.merge_as(1, &head, MergeStyle::Squash, Vec::new()).expect("a squash");
    assert_eq!(log(&case, "%s"), "work\nthe user's\nAdd it");
    assert_eq!(
        case.oracle.git(["log", "-1", "--format=%P|%an|%B", "main"]).lines().next(),
        Some(format!("{}|Ada|Add it", case.oracle.git(["rev-parse", "main~1"])).as_str())
    );
    assert_eq!((case.read("b"), case.read("n")), ("the user's\n".into(), "n\n".into()));
    assert_eq!(case.status(), "?? untracked");
    assert_eq!(decision.style, MergeStyle::Squash);
    assert_eq!(case.oracle.git(["fsck", "--strict", "--no-dangling"]), "");
    // Later, only what is new; from the base this would be a conflict.
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\n5!\n"), ("b", "b\n"), ("n", "n\n")]));
    case.merge_as(2, &head, MergeStyle::Squash, Vec::new()).expect("what is new");
    assert_eq!(case.oracle.git(["show", "--format=", "--name-only", "main"]), "a");
    case.undo().expect("undone");
    case.undo().expect("undone");
    assert_eq!(case.picture(), before);
}

#[test]
fn a_rebase_brings_the_agents_commits_and_the_rest_onto_the_branch() {
    let case = Case::new(&base());
    let agent = Agent::of(&case);
    agent.commit("first\n\nwith a body", &[("a", "one\n2\n3\n4\n5\n")]);
    agent.commit("second", &[("new/file", "n\n")]);
    case.write("b", "the user's\n");
    case.commit_all();
    let before = case.picture();
    let now = files(&[("a", "one\n2\n3\n4\nfive\n"), ("b", "b\n"), ("new/file", "n\n")]);
    let head = case.snapshot(&now);
    let decision = case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
    assert_eq!(
        log(&case, "%s|%an|%cn"),
        "work|Ada|Ada\nthe user's|Ada|Ada\nfirst|Agent|Ada\nsecond|Agent|Ada\nAdd it|Ada|Ada"
    );
    assert_eq!(
        case.oracle.git(["log", "-1", "--format=%ad|%B", "--date=raw", "main~2"]),
        "1600000000 +0200|first\n\nwith a body\n"
    );
    // The very trees that git's own rebase makes of them.
    let onto = case.oracle.git(["rev-parse", "main~3"]);
    agent.git(&["fetch", "-q", "origin"]);
    agent.git(&["branch", "kept"]);
    agent.git(&["rebase", "-q", "--onto", &onto, case.base.as_str()]);
    let ours = case.oracle.git(["log", "--format=%T", "main~3..main~1"]);
    assert_eq!(agent.git(&["log", "--format=%T", "-2"]), ours);
    assert_eq!(decision.commit.expect("a commit").as_str(), case.oracle.git(["rev-parse", "main"]));
    assert_eq!(case.status(), "");
    assert_eq!(case.oracle.git(["fsck", "--strict", "--no-dangling"]), "");
    // The agent commits the rest and goes on: only that comes.
    agent.git(&["reset", "-q", "--hard", "kept"]);
    agent.commit("third", &[("a", "one\n2\n3\n4\nfive\n"), ("c", "c\n")]);
    let now =
        files(&[("a", "one\n2\n3\n4\nfive\n"), ("b", "b\n"), ("c", "c\n"), ("new/file", "n\n")]);
    let head = case.snapshot(&now);
    case.merge_as(2, &head, MergeStyle::Rebase, agent.commits()).expect("a rebase");
    assert_eq!(case.oracle.git(["log", "--format=%s", "-2", "main"]), "third\nAdd it");
    assert_eq!(case.oracle.git(["show", "--format=", "--name-only", "main"]), "c");
    case.undo().expect("undone");
    case.undo().expect("undone");
    assert_eq!(case.picture(), before);
}

#[test]
fn a_commit_that_does_not_fit_is_named_and_nothing_is_changed() {
    let case = Case::new(&base());
    let agent = Agent::of(&case);
    agent.commit("fits", &[("b", "B\n")]);
    agent.commit("does not", &[("a", "one\n2\n3\n4\n5\n")]);
    case.write("a", "uno\n2\n3\n4\n5\n");
    case.commit_all();
    let before = case.picture();
    let head = case.snapshot(&files(&[("a", "one\n2\n3\n4\n5\n"), ("b", "B\n")]));
    let failure =
        case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect_err("a conflict");
    assert_eq!(failure.kind, FailureKind::Conflict);
    assert!(failure.message.contains("(does not)"), "{failure}");
    assert_eq!(paths(&failure), ["a"]);
    assert_eq!(case.picture(), before);
}

#[test]
fn what_no_git_prints_is_refused_and_nothing_is_changed() {
    let case = Case::new(&base());
    let agent = Agent::of(&case);
    agent.commit("one", &[("b", "B\n")]);
    let printed = agent.commits();
    let head = case.snapshot(&files(&[("a", "1\n2\n3\n4\n5\n"), ("b", "B\n")]));
    let before = case.picture();
    let refused = |commits: Vec<u8>| {
        let failure =
            case.merge_as(1, &head, MergeStyle::Rebase, commits).expect_err("it is refused");
        assert!(failure.message.contains("cannot be read"), "{failure}");
        assert_eq!(case.picture(), before);
    };
    refused(printed[..printed.len() - 2].to_vec());
    // One that begins with the digit already would be as it was.
    let other = if printed[0] == b'0' { b"1" } else { b"0" };
    refused([other.as_slice(), &printed[1..]].concat());
    refused(b"0000000000000000000000000000000000000000 missing\n".to_vec());
    refused(b"garbage".to_vec());
    let size = printed.iter().position(|byte| *byte == b'\n').expect("a line");
    refused([&printed[..size], b"99999999999999999999999999\n"].concat());
    case.merge_as(1, &head, MergeStyle::Rebase, printed).expect("as it was it is fine");
}

#[test]
fn a_commit_of_the_agents_that_holds_a_git_directory_is_refused() {
    let case = Case::new(&base());
    let agent = Agent::of(&case);
    let blob = agent.git(&["hash-object", "-w", "--stdin"]);
    let hostile = format!("printf '100644 blob {blob}\\t.GIT\\n' | git mktree");
    let tree = agent.run("sh", &["-c", &hostile]);
    let tree = String::from_utf8_lossy(&tree).trim_end().to_owned();
    let commit = agent.git(&["commit-tree", &tree, "-p", "HEAD", "-m", "planted"]);
    agent.git(&["update-ref", "HEAD", &commit]);
    let before = case.picture();
    // The snapshot itself is harmless: only the commit between would plant it.
    let head = case.snapshot(&files(&[("a", "A\n"), ("b", "b\n")]));
    let failure =
        case.merge_as(1, &head, MergeStyle::Rebase, agent.commits()).expect_err("it is refused");
    assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    assert_eq!(case.picture(), before);
}

#[test]
fn hooks_that_git_would_run_are_named_and_do_not_run() {
    let case = Case::new(&base());
    let ran = case.oracle.outside().join("ran");
    let hooks = case.oracle.root().join(".git/hooks");
    std::fs::create_dir_all(&hooks).expect("a directory");
    let hook = |name: &str, mode| {
        let path = hooks.join(name);
        std::fs::write(&path, format!("#!/bin/sh\necho {name} >> {}\n", ran.display()))
            .expect("a hook");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("set");
    };
    for name in ["pre-commit", "commit-msg", "post-merge", "pre-push"] {
        hook(name, 0o755);
    }
    hook("post-commit", 0o644);
    // They would run: that is the control.
    case.write("b", "B\n");
    case.commit_all();
    assert_eq!(std::fs::read_to_string(&ran).expect("they ran"), "pre-commit\ncommit-msg\n");
    std::fs::remove_file(&ran).expect("removed");
    let names = |decision: Decision| -> Vec<String> {
        decision.hooks.into_iter().map(|hook| hook.path.display().to_string()).collect()
    };
    let head = case.snapshot(&files(&[("a", "A\n"), ("b", "b\n")]));
    let squash = case.merge_as(1, &head, MergeStyle::Squash, Vec::new()).expect("a squash");
    assert_eq!(names(squash), [".git/hooks/pre-commit", ".git/hooks/commit-msg"]);
    case.undo().expect("undone");
    let merge = case.merge_as(2, &head, MergeStyle::Commit, Vec::new()).expect("a merge");
    assert_eq!(names(merge), [".git/hooks/commit-msg", ".git/hooks/post-merge"]);
    assert!(!ran.exists());
}
