//! A throw-away repository driven by the git program, against which tests measure our own work.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use gix::ObjectId;
use gix::objs::tree::EntryKind;

use crate::model::id::CommitId;

/// A tree as tests write it: path to kind and content.
pub(super) type Files = BTreeMap<Vec<u8>, (EntryKind, Vec<u8>)>;

pub(super) struct Oracle {
    directory: tempfile::TempDir,
}

impl Oracle {
    /// An empty repository on branch `main`.
    pub(super) fn new() -> Self {
        let oracle = Self { directory: tempfile::tempdir().expect("a directory") };
        std::fs::create_dir(oracle.root()).expect("a root");
        oracle.git(["init", "-q", "-b", "main"]);
        oracle.git(["config", "user.name", "Ada"]);
        oracle.git(["config", "user.email", "ada@example.org"]);
        oracle
    }

    /// The working tree's root; its parent is the test's own directory.
    pub(super) fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    pub(super) fn outside(&self) -> &Path {
        self.directory.path()
    }

    pub(super) fn open(&self) -> gix::Repository {
        gix::open_opts(self.root(), gix::open::Options::isolated()).expect("a repository")
    }

    pub(super) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(self.root());
        for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"] {
            command.env_remove(name);
        }
        command
            .env("HOME", self.outside())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_AUTHOR_DATE", "1700000000 +0000")
            .env("GIT_COMMITTER_DATE", "1700000000 +0000");
        command
    }

    /// Runs git, which must succeed, and gives its standard output without the last newline.
    pub(super) fn git<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> String {
        let output = self.command(arguments).output().expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        text.strip_suffix('\n').unwrap_or(&text).to_owned()
    }

    /// Runs git with bytes on its standard input.
    pub(super) fn feed<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Output {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("git runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        stdin.write_all(input).expect("git reads");
        drop(stdin);
        child.wait_with_output().expect("git ends")
    }

    /// Fails unless every object of the repository is there and as git would have it.
    pub(super) fn check_objects(&self) {
        self.check_objects_in(&self.root().join(".git"));
    }

    pub(super) fn check_objects_in(&self, git_dir: &Path) {
        let git_dir = git_dir.to_str().expect("a plain path");
        let output = self
            .command(["--git-dir", git_dir, "fsck", "--strict", "--no-dangling", "--no-progress"])
            .output()
            .expect("git runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{git_dir} is damaged: {said}");
    }

    /// Stores a tree of these files.
    pub(super) fn tree(&self, files: &Files) -> CommitId {
        super::object::name(write_tree(&self.open(), files))
    }

    /// Commits a tree with these parents.
    pub(super) fn commit(&self, files: &Files, parents: &[&CommitId]) -> CommitId {
        commit_in(&self.open(), files, parents)
    }
}

/// Commits a tree of these files in any repository.
pub(super) fn commit_in(
    repository: &gix::Repository,
    files: &Files,
    parents: &[&CommitId],
) -> CommitId {
    let who = gix::actor::Signature {
        name: "Ada".into(),
        email: "ada@example.org".into(),
        time: gix::date::Time::new(1_700_000_000, 0),
    };
    let commit = gix::objs::Commit {
        tree: write_tree(repository, files),
        parents: parents.iter().map(|parent| super::object::id(parent)).collect(),
        author: who.clone(),
        committer: who,
        encoding: None,
        message: "work\n".into(),
        extra_headers: Vec::new(),
    };
    super::object::name(repository.write_object(&commit).expect("a commit").detach())
}

/// Stores a tree in any repository.
pub(super) fn write_tree(repository: &gix::Repository, files: &Files) -> ObjectId {
    let empty = repository.empty_tree();
    let mut editor = repository.edit_tree(empty.id).expect("an editor");
    for (path, (kind, content)) in files {
        let id: ObjectId = repository.write_blob(content).expect("a blob").detach();
        editor.upsert(gix::bstr::BStr::new(path), *kind, id).expect("an entry");
    }
    editor.write().expect("a tree").detach()
}

/// Plain files with these contents.
pub(super) fn files(list: &[(&str, &str)]) -> Files {
    let entry = |content: &str| (EntryKind::Blob, content.as_bytes().to_vec());
    list.iter().map(|(path, content)| (path.as_bytes().to_vec(), entry(content))).collect()
}
