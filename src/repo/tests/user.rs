use super::*;
use crate::model::failure::FailureKind;
use crate::model::repository::Identity;
use crate::repo::divergence;

fn failure(path: &Path) -> crate::model::failure::Failure {
    UserRepository::discover(path).and_then(|user| user.state()).expect_err("it is refused")
}

#[test]
fn what_is_no_usable_repository_is_refused_by_name() {
    let directory = tempfile::tempdir().expect("a directory");
    let failed = failure(directory.path());
    assert_eq!(failed.kind, FailureKind::NotFound);
    assert!(failed.message.contains("no git repository"), "{failed}");

    assert_eq!(failure(Path::new("/nowhere/at/all")).kind, FailureKind::NotFound);

    let oracle = Oracle::new();
    let failed = failure(&oracle.root());
    assert!(failed.message.contains("has no commit yet"), "{failed}");
    assert!(failed.hint.expect("a hint").contains("git commit"));

    let bare = oracle.outside().join("bare.git");
    oracle.git(["init", "-q", "--bare", bare.to_str().expect("a plain path")]);
    let failed = failure(&bare);
    assert!(failed.message.contains("bare"), "{failed}");
    assert!(failed.hint.expect("a hint").contains("git clone"));

    let reftable = oracle.outside().join("reftable");
    let name = reftable.to_str().expect("a plain path");
    oracle.git(["init", "-q", "--ref-format=reftable", name]);
    let failed = failure(&reftable);
    assert!(failed.message.contains("reftable"), "{failed}");
}

#[test]
fn a_repository_of_another_user_is_refused_with_the_uid() {
    let oracle = Oracle::new();
    oracle.git(["commit", "-q", "--allow-empty", "-m", "base"]);
    // Only root may give files away; an ordinary user's own uid cannot be made foreign.
    if std::os::unix::fs::chown(oracle.root().join(".git"), Some(54321), None).is_err() {
        return;
    }
    let failed = failure(&oracle.root());
    assert_eq!(failed.kind, FailureKind::Refused);
    assert!(failed.message.contains("uid 54321"), "{failed}");
}

#[test]
fn worktrees_odd_paths_and_a_detached_head_are_found() {
    let oracle = Oracle::new();
    write(&oracle.root(), "deep/er/file", b"x\n");
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    let tree = oracle.outside().join("ein Baum ü");
    oracle.git(["worktree", "add", "-q", "-b", "topic", tree.to_str().expect("UTF-8")]);

    let main = UserRepository::discover(&oracle.root().join("deep/er")).expect("found");
    assert_eq!(main.root(), oracle.root().canonicalize().expect("a path"));
    assert_eq!(main.head().expect("a head").1.as_deref(), Some("main"));
    let linked = UserRepository::discover(&tree).expect("found");
    assert_eq!(linked.root(), tree.canonicalize().expect("a path"));
    assert_eq!(linked.head().expect("a head").1.as_deref(), Some("topic"));
    assert_eq!(linked.id(), main.id());

    oracle.git(["checkout", "-q", "--detach"]);
    assert_eq!(main.head().expect("a head").1, None);
    assert_eq!(main.identity(), Identity { name: "Ada".into(), email: "ada@example.org".into() });
    assert_eq!(main.resolve("topic"), Ok(main.head().expect("a head").0));
    assert_eq!(main.resolve("nothing").expect_err("unknown").kind, FailureKind::NotFound);
}

#[test]
fn uncommitted_work_is_what_git_says() {
    let oracle = Oracle::new();
    let root = oracle.root();
    for name in ["same", "edited", "staged", "removed", "touched", "ignored/kept"] {
        write(&root, name, b"one\n");
    }
    write(&root, ".gitignore", b"ignored/\n*.o\n");
    oracle.git(["add", "-A", "-f"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    write(&root, "edited", b"two\n");
    write(&root, "staged", b"two\n");
    oracle.git(["add", "staged"]);
    std::fs::remove_file(root.join("removed")).expect("removed");
    write(&root, "touched", b"one\n");
    write(&root, "new/file", b"new\n");
    write(&root, "out.o", b"out\n");
    write(&root, "ignored/new", b"new\n");
    write(&root, "ignored/kept", b"kept, and changed\n");

    let user = UserRepository::discover(&root).expect("found");
    let shown: Vec<String> =
        user.state().expect("a state").uncommitted.iter().map(ToString::to_string).collect();
    let expected = ["edited", "ignored/kept", "new/file", "removed", "staged"];
    assert_eq!(shown, expected);
    let porcelain = oracle.git(["status", "--porcelain", "-uall"]);
    let mut by_git: Vec<&str> = porcelain.lines().map(|line| &line[3..]).collect();
    by_git.sort_unstable();
    assert_eq!(shown, by_git);
}

#[test]
fn lfs_and_line_endings_show_no_false_change_and_run_no_filter() {
    let oracle = Oracle::new();
    let root = oracle.root();
    let canary = oracle.outside().join("canary");
    let content = b"large content\n";
    let digest = <sha2::Sha256 as sha2::Digest>::digest(content);
    let digest = gix::ObjectId::from_bytes_or_panic(&digest);
    let pointer = format!(
        "version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {}\n",
        content.len()
    );
    write(&root, ".gitattributes", b"*.bin filter=lfs -text\n*.txt text eol=crlf\n");
    write(&root, "big.bin", pointer.as_bytes());
    write(&root, "dos.txt", b"a\r\nb\r\n");
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    // As after a checkout by the LFS filter, whose result the index has not recorded.
    write(&root, "big.bin", content);
    write(&root, "dos.txt", b"a\r\nb\r\n");
    let command = format!("touch '{}'; cat", canary.display());
    oracle.git(["config", "filter.lfs.clean", &command]);

    let user = UserRepository::discover(&root).expect("found");
    assert_eq!(user.state().expect("a state").uncommitted, []);
    assert!(!canary.exists(), "a filter ran");
    write(&root, "big.bin", b"other content\n");
    let changed = user.state().expect("a state").uncommitted;
    assert_eq!(changed, [RepoPath::new(*b"big.bin")]);

    oracle.git(["add", "big.bin"]);
    assert!(canary.exists(), "the control: git itself runs the filter");
}

#[test]
fn commits_ahead_of_the_base_and_of_the_upstream_are_counted() {
    let oracle = Oracle::new();
    oracle.git(["commit", "-q", "--allow-empty", "-m", "base"]);
    let remote = oracle.outside().join("remote.git");
    let remote = remote.to_str().expect("a plain path");
    oracle.git(["clone", "-q", "--bare", ".", remote]);
    oracle.git(["remote", "add", "origin", remote]);
    let user = UserRepository::discover(&oracle.root()).expect("found");
    assert_eq!(user.state().expect("a state").unpushed, None);
    let base = user.head().expect("a head").0;

    oracle.git(["fetch", "-q", "origin"]);
    oracle.git(["branch", "-q", "--set-upstream-to", "origin/main"]);
    oracle.git(["commit", "-q", "--allow-empty", "-m", "one"]);
    oracle.git(["commit", "-q", "--allow-empty", "-m", "two"]);
    let user = UserRepository::discover(&oracle.root()).expect("found");
    assert_eq!(user.state().expect("a state").unpushed, Some(2));
    assert_eq!(divergence::behind(&user, &base), Ok(2));
}
