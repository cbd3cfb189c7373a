//! Takes on real repositories, with git itself as the judge.

mod crash;
mod everyday;
mod hostile;
mod modes;
mod pending;
mod portions;
mod rebasing;
mod refusals;
mod resolving;
mod restoring;
mod saved;
mod sparse;
mod styles;
mod trees;
mod undoing;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use gix::objs::tree::EntryKind;

use super::*;
use crate::model::failure::FailureKind;
use crate::model::id::RepositoryId;
use crate::model::path::RepoPath;
use crate::model::repository::Identity;
use crate::repo::oracle::{Files, Oracle, files, write_tree};
use crate::repo::store::Store;
use crate::repo::{UserRepository, object};

/// A user's repository, our store beside it, and a base that an environment started from.
struct Case {
    oracle: Oracle,
    user: UserRepository,
    store: Store,
    journal: Journal,
    base: CommitId,
    /// Whether a test put a tree into the store that git finds fault with.
    hostile: bool,
}

impl Drop for Case {
    /// What was taken, and what it was taken from, is sound after every test.
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        self.oracle.check_objects();
        if !self.hostile {
            self.oracle.check_objects_in(&self.oracle.outside().join("state/snapshots.git"));
        }
    }
}

/// Everything of the user's that a take may change: files with their modes, the index, the refs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Picture {
    files: BTreeMap<String, (u32, Vec<u8>)>,
    index: Vec<u8>,
    refs: String,
}

impl Case {
    fn new(base: &Files) -> Self {
        let oracle = Oracle::new();
        let base = oracle.commit(base, &[]);
        oracle.git(["reset", "-q", "--hard", base.as_str()]);
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        let state = oracle.outside().join("state");
        let store = Store::open(&state, &user).expect("a store");
        let journal = Journal::open(&state.join("journal")).expect("a journal");
        Self { oracle, user, store, journal, base, hostile: false }
    }

    /// A snapshot of these files, in our store only.
    fn snapshot(&self, files: &Files) -> CommitId {
        let repository = self.store.reader();
        let tree = write_tree(&repository, files);
        self.snapshot_of(tree)
    }

    fn snapshot_of(&self, tree: gix::ObjectId) -> CommitId {
        let who = objects::signature(&identity(), Timestamp(1_700_000_000_000));
        let parent = object::id(&self.base);
        let repository = self.store.reader();
        let commit = objects::commit(&repository, tree, &[parent], "snapshot", &who);
        object::name(commit.expect("a commit"))
    }

    fn request(&self, id: u64, head: &CommitId) -> TakeRequest {
        TakeRequest {
            id: DecisionId(id),
            environment: EnvironmentId::from_random([7; 8]),
            name: EnvironmentName::parse("brave-otter").expect("a name"),
            base: self.base.clone(),
            head: head.clone(),
            at: Timestamp(1_700_000_000_000),
            portion: Portion::All,
            left_out: Vec::new(),
        }
    }

    fn apply(&self, id: u64, head: &CommitId) -> Result<Decision, Failure> {
        apply(&self.user, &self.store, &self.journal, &self.request(id, head))
    }

    fn take(&self, id: u64, head: &CommitId, portion: Portion) -> Result<Decision, Failure> {
        let request = TakeRequest { portion, ..self.request(id, head) };
        apply(&self.user, &self.store, &self.journal, &request)
    }

    fn merge(&self, id: u64, head: &CommitId) -> Result<Decision, Failure> {
        self.merge_as(id, head, MergeStyle::Commit, Vec::new())
    }

    fn merge_as(
        &self,
        id: u64,
        head: &CommitId,
        style: MergeStyle,
        commits: Vec<u8>,
    ) -> Result<Decision, Failure> {
        let message = "Add it\n\nAll of it.".to_owned();
        let merging = Merging { style, message, identity: identity(), commits };
        merge(&self.user, &self.store, &self.journal, &self.request(id, head), &merging)
    }

    fn undo(&self) -> Result<Undone, Failure> {
        undo(self.user.id(), &self.journal, &|_| self.workspace())
    }

    fn recover(&self) -> Result<(), Failure> {
        recover(self.user.id(), &self.journal, &|_| self.workspace())
    }

    fn workspace(&self) -> PathBuf {
        self.oracle.outside().join("workspace")
    }

    fn fill_workspace(&self, wanted: &Files) {
        for (path, (kind, content)) in wanted {
            let path = self.workspace().join(OsStr::from_bytes(path));
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
            if *kind == EntryKind::Link {
                std::os::unix::fs::symlink(OsStr::from_bytes(content), path).expect("a link");
                continue;
            }
            std::fs::write(&path, content).expect("a file");
            let executable = *kind == EntryKind::BlobExecutable;
            let mode = std::fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 });
            std::fs::set_permissions(path, mode).expect("set");
        }
    }

    fn write_in_workspace(&self, path: &str, content: &str) {
        self.fill_workspace(&files(&[(path, content)]));
    }

    /// Every file and link of the workspace, as a tree would have it.
    fn workspace_files(&self) -> Files {
        let mut found = Files::new();
        let mut waiting = vec![self.workspace()];
        while let Some(directory) = waiting.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                let metadata = path.symlink_metadata().expect("there");
                let name = path.strip_prefix(self.workspace()).expect("inside");
                let name = name.as_os_str().as_bytes().to_vec();
                if metadata.is_dir() {
                    waiting.push(path);
                } else if metadata.is_symlink() {
                    let target = std::fs::read_link(path).expect("a link");
                    found.insert(name, (EntryKind::Link, target.as_os_str().as_bytes().to_vec()));
                } else if metadata.is_file() {
                    let executable = metadata.mode() & 0o100 != 0;
                    let kind = if executable { EntryKind::BlobExecutable } else { EntryKind::Blob };
                    found.insert(name, (kind, std::fs::read(path).expect("a file")));
                }
            }
        }
        found
    }

    /// Takes the workspace, which holds `now`, to `wanted`.
    fn restore(&self, id: u64, now: &Files, wanted: &Files) -> Result<Decision, Failure> {
        let mut request = self.request(id, &self.snapshot(wanted));
        request.base = self.snapshot(now);
        restore(&self.user, &self.store, &self.journal, &request, &self.workspace())
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.oracle.root().join(path);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("directories");
        std::fs::write(path, content).expect("a file");
    }

    fn read(&self, path: &str) -> String {
        std::fs::read_to_string(self.oracle.root().join(path)).expect("a file")
    }

    /// The user commits everything in the working tree.
    fn commit_all(&self) {
        self.oracle.git(["add", "-A"]);
        self.oracle.git(["commit", "-q", "-m", "the user's"]);
    }

    fn status(&self) -> String {
        self.oracle.git(["status", "--porcelain", "-uall"])
    }

    fn picture(&self) -> Picture {
        let mut files = BTreeMap::new();
        look(&self.oracle.root(), "", &mut files);
        Picture {
            files,
            index: std::fs::read(self.oracle.root().join(".git/index")).expect("an index"),
            refs: self.oracle.git(["for-each-ref"]) + &self.oracle.git(["rev-parse", "HEAD"]),
        }
    }
}

/// Every file, link and directory of a working tree.
fn look(directory: &Path, prefix: &str, files: &mut BTreeMap<String, (u32, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        let metadata = entry.path().symlink_metadata().expect("metadata");
        if name == ".git" {
            continue;
        }
        let content = if metadata.is_symlink() {
            let target = std::fs::read_link(entry.path()).expect("a target");
            target.into_os_string().into_encoded_bytes()
        } else if metadata.is_dir() {
            look(&entry.path(), &format!("{name}/"), files);
            Vec::new()
        } else {
            std::fs::read(entry.path()).expect("a file")
        };
        files.insert(name, (metadata.mode(), content));
    }
}

/// A repository in which an apply was cut short, for tests of whoever ends it.
pub(crate) struct CutShort {
    case: Case,
    before: Picture,
}

impl CutShort {
    /// Stops the apply after some of its durable steps; `journal` is where its journal lies.
    pub(crate) fn after(steps: i32, journal: impl Fn(&Path, &RepositoryId) -> PathBuf) -> Self {
        let mut case = Case::new(&files(&[("a", "a\n"), ("b", "b\n"), ("c", "c\n")]));
        let directory = journal(case.oracle.outside(), case.user.id());
        case.journal = Journal::open(&directory).expect("a journal");
        let before = case.picture();
        let head = case.snapshot(&files(&[("a", "A\n"), ("b", "B\n"), ("c", "C\n")]));
        case.journal.steps_left.store(steps, std::sync::atomic::Ordering::Relaxed);
        case.apply(1, &head).expect_err("it was stopped");
        Self { case, before }
    }

    pub(crate) fn outside(&self) -> &Path {
        self.case.oracle.outside()
    }

    pub(crate) fn repository(&self) -> &RepositoryId {
        self.case.user.id()
    }

    /// Applies something else.
    pub(crate) fn apply(&self, journal: &Journal) -> Result<Decision, Failure> {
        let other = files(&[("a", "a\n"), ("b", "b\n"), ("c", "other\n"), ("d", "d\n")]);
        let request = self.case.request(next(journal)?.0, &self.case.snapshot(&other));
        apply(&self.case.user, &self.case.store, journal, &request)
    }

    /// The files that git takes for changed.
    pub(crate) fn status(&self) -> String {
        self.case.status()
    }

    /// But for the index, which git itself brings up to date when it is asked for the status.
    pub(crate) fn is_as_before(&self) -> bool {
        let now = self.case.picture();
        now.files == self.before.files && now.refs == self.before.refs
    }
}

fn identity() -> Identity {
    Identity { name: "Ada".to_owned(), email: "ada@example.org".to_owned() }
}

fn paths(failure: &Failure) -> Vec<String> {
    failure.paths.iter().map(ToString::to_string).collect()
}
