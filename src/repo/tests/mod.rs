//! The rooms of this module together, on real repositories, measured against the git program.

mod agreement;
mod ahead;
mod carry;
mod hidden;
mod hostile;
mod large;
mod left;
mod older;
mod pack;
mod power;
mod property;
mod take;
mod taken;
mod user;
mod vectors;
mod workspace;

use std::collections::BTreeSet;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::model::id::{CommitId, EnvironmentId, Timestamp};
use crate::model::path::RepoPath;
use crate::model::snapshot::{Snapshot, SnapshotCause};

use super::oracle::Oracle;
use super::snapshot::{self, Occasion, Touched};
use super::stat::StatCache;
use super::stored::Storing;
use super::workspace::{self as workspaces, Changes, Making, Places};
use super::{Store, UserRepository, object, walk};

/// A user's repository and one environment made from it.
struct Fixture {
    oracle: Oracle,
    store: Store,
    user: UserRepository,
    environment: EnvironmentId,
    base: CommitId,
    first: Snapshot,
    /// Whether a test leaves it with objects that nobody has.
    damaged: bool,
}

impl Fixture {
    /// Commits what `fill` writes into the repository and makes an environment of it.
    fn new(fill: impl FnOnce(&Path)) -> Self {
        let oracle = Oracle::new();
        fill(&oracle.root());
        oracle.git(["add", "-A"]);
        oracle.git(["commit", "-q", "--allow-empty", "-m", "base"]);
        Self::over(oracle)
    }

    fn over(oracle: Oracle) -> Self {
        Self::with(oracle, Changes::Leave)
    }

    fn with(oracle: Oracle, changes: Changes) -> Self {
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        let store = Store::open(&oracle.outside().join("store"), &user).expect("a store");
        let environment = EnvironmentId::from_random([7; 8]);
        let (base, _) = user.head().expect("a head");
        let places = oracle.outside().join("environment");
        let first = workspaces::create(
            &user,
            &store,
            &environment,
            &base,
            changes,
            &Places { workspace: &places.join("workspace"), git: &places.join("git") },
            &user.identity(),
            Timestamp(1_700_000_000_000),
            &mut Making {
                progress: &mut |_, _| {},
                ahead: None,
                may_pin: &mut || Ok(()),
                bringing: &mut |_| {},
            },
        )
        .expect("a workspace");
        Self { oracle, store, user, environment, base, first, damaged: false }
    }

    fn workspace(&self) -> PathBuf {
        self.oracle.outside().join("environment/workspace")
    }

    fn git_directory(&self) -> PathBuf {
        self.oracle.outside().join("environment/git")
    }

    fn take(&self, touched: &Touched) -> Option<Snapshot> {
        let occasion = Occasion::new(SnapshotCause::Change, Timestamp(1_700_000_001_000));
        snapshot::take(&self.store, &self.environment, &self.workspace(), touched, &occasion)
            .expect("a snapshot can be taken")
    }

    fn take_paths(&self, paths: &[&str]) -> Option<Snapshot> {
        self.take(&touched(paths))
    }

    /// Has the store believe that it knows a file as it is, and no other.
    fn remember(&self, path: &str, blob: gix::ObjectId) {
        let root = walk::open_root(&self.workspace()).expect("opened");
        let found = walk::look(root.as_fd(), path.as_bytes()).expect("there");
        let walk::Found::File { stat, .. } = found else { panic!("a file") };
        let mut cache = StatCache::open(&self.store, &self.environment);
        cache.keep(path.as_bytes(), stat, blob);
        cache.save().expect("saved");
    }

    /// Runs git in the workspace as an agent does in its box.
    fn git_inside(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(self.workspace())
            .env("GIT_DIR", self.git_directory())
            .env("GIT_WORK_TREE", self.workspace())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("HOME", self.oracle.outside());
        let output = command.output().expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The paths of a snapshot's tree, as git lists them.
    fn listing(&self, snapshot: &Snapshot) -> Vec<String> {
        let store = self.oracle.outside().join("store/snapshots.git");
        let text = self.oracle.git([
            "--git-dir",
            store.to_str().expect("a plain path"),
            "ls-tree",
            "-r",
            "--name-only",
            snapshot.tree.as_str(),
        ]);
        text.lines().map(str::to_owned).collect()
    }

    /// The tree that git itself makes of the workspace, over the base, as the user would add it.
    fn tree_by_git(&self) -> String {
        self.tree_in_scratch(None)
    }

    /// The same, when nothing that attributes say is done, with what only rules of the workspace
    /// ignore.
    fn exact_tree_by_git(&self) -> String {
        self.tree_in_scratch(Some("* -text -ident !filter !working-tree-encoding !eol\n"))
    }

    /// What git ignores in the workspace and would not ignore by the rules of the base.
    fn ignored_anew(&self, run: &dyn Fn(&[&str]) -> String) -> Vec<String> {
        let listed = run(&["ls-files", "-z", "--others", "--ignored", "--exclude-standard"]);
        let by_base = ["check-ignore", "-z", "--no-index", "--stdin"];
        // It fails where none is.
        let known = self.oracle.feed(by_base, listed.as_bytes()).stdout;
        let known = String::from_utf8_lossy(&known).into_owned();
        let known: BTreeSet<&str> = known.split_terminator('\0').collect();
        let listed = listed.split_terminator('\0');
        listed.filter(|path| !known.contains(path)).map(str::to_owned).collect()
    }

    /// What git would store of a snapshot that is taken.
    fn stored(&self, snapshot: &CommitId) -> String {
        let memory = self.store.reader().with_object_memory();
        let storing = Storing::new(&self.store, &memory, &self.environment, &self.base);
        let tree = object::tree_of(&memory, snapshot).expect("a tree");
        let storing = storing.expect("an origin");
        let offered = storing.offered(tree).expect("offered");
        storing.stored(offered).expect("converted").tree.to_string()
    }

    fn tree_in_scratch(&self, attributes: Option<&str>) -> String {
        let scratch = self.oracle.outside().join("scratch");
        let _ = std::fs::remove_dir_all(&scratch);
        let root = self.oracle.root();
        let root = root.to_str().expect("a plain path");
        let at = scratch.to_str().expect("a plain path");
        self.oracle.git(["clone", "-q", "--no-checkout", root, at]);
        if let Some(attributes) = attributes {
            write(&scratch, ".git/info/attributes", attributes.as_bytes());
        }
        let workspace = self.workspace();
        let run = |arguments: &[&str]| {
            let mut all = vec!["--git-dir", "../../scratch/.git", "--work-tree", "."];
            all.extend(arguments);
            let output =
                self.oracle.command(all).current_dir(&workspace).output().expect("git runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).trim().to_owned()
        };
        // Git sees the empty `.git` of the workspace as no repository and leaves it out.
        run(&["read-tree", self.base.as_str()]);
        run(&["add", "-A"]);
        if attributes.is_some() {
            for path in self.ignored_anew(&run) {
                run(&["add", "-f", "--", &path]);
            }
        }
        run(&["write-tree"])
    }
}

impl Drop for Fixture {
    /// What was stored, and what the user has, is sound after every test.
    fn drop(&mut self) {
        if !std::thread::panicking() && !self.damaged {
            self.oracle.check_objects();
            self.oracle.check_objects_in(&self.oracle.outside().join("store/snapshots.git"));
        }
    }
}

fn touched(paths: &[&str]) -> Touched {
    Touched::Paths(paths.iter().map(|path| RepoPath::new(path.as_bytes())).collect::<BTreeSet<_>>())
}

fn write(root: &Path, path: &str, content: &[u8]) {
    let path = root.join(path);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    std::fs::write(path, content).expect("a file");
}
