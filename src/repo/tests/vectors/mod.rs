//! Ways by which git runs a program that a workspace names. Each is planted at the top of the
//! workspace, where whatever looks at one may meet it, and then all of them in repositories within
//! it, where also whatever takes from one may. Nothing may have run. Then git itself, unprotected,
//! runs each.

mod table;

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use table::{Plant, Vector, vectors};

use super::*;
use crate::model::comparison::Attempt;
use crate::model::decision::{MergeStyle, Portion};
use crate::model::diff::{Detail, Reach, Whitespace};
use crate::model::id::{DecisionId, EnvironmentName};
use crate::repo::predict::{Contender, Predictor};
use crate::repo::taking::{self, Journal, Merging, TakeRequest};
use crate::repo::{compare, copy, diff, divergence, history, ignored, left_out, pack};

/// Seconds after which a control is ended: what it should have run ran by then.
const DEADLINE: &str = "20";
/// How often it is looked whether a control has fired.
const LOOK: std::time::Duration = std::time::Duration::from_millis(5);

/// An environment, and a program that says that it ran.
struct Range {
    fixture: Fixture,
    journal: Journal,
    decisions: u64,
}

impl Range {
    fn new() -> Self {
        let fixture = Fixture::new(|root| {
            write(root, "file.txt", b"file\n");
            write(root, "dir/inner.txt", b"inner\n");
        });
        let journal = Journal::open(&fixture.oracle.outside().join("journal")).expect("a journal");
        std::fs::create_dir(fixture.oracle.outside().join("template")).expect("a directory");
        Self { fixture, journal, decisions: 0 }
    }

    /// A repository at the top of the workspace, or one within it.
    fn site(&self, name: &str, at: PathBuf) -> Site {
        let aside = self.fixture.oracle.outside().join("aside").join(name);
        std::fs::create_dir_all(&aside).expect("a directory");
        let site = Site { at, aside, template: self.fixture.oracle.outside().join("template") };
        let script = format!("#!/bin/sh\ntouch '{}'\ncat 2>/dev/null\n", site.canary().display());
        program(&site.payload(), &script);
        site.repository();
        site
    }

    fn top(&self) -> PathBuf {
        self.fixture.workspace()
    }

    fn take(&self, touched: &Touched) -> Snapshot {
        self.fixture.take(touched).unwrap_or_else(|| {
            let head = history::head(&self.fixture.store, &self.fixture.environment);
            history::one(&self.fixture.store, &head.expect("a head")).expect("a snapshot")
        })
    }

    fn request(&mut self, head: &CommitId) -> TakeRequest {
        self.decisions += 1;
        TakeRequest {
            id: DecisionId(self.decisions),
            environment: self.fixture.environment.clone(),
            name: EnvironmentName::parse("otter").expect("a name"),
            base: self.fixture.base.clone(),
            head: head.clone(),
            at: Timestamp(1_700_000_000_000),
            portion: Portion::All,
            left_out: Vec::new(),
        }
    }

    /// Everything that looks at a workspace, or at what was taken of it; first and last snapshot.
    fn looked_at(&mut self, round: usize) -> (Snapshot, Snapshot) {
        write(&self.top(), "file.txt", format!("round {round}\n").as_bytes());
        let first = self.take(&Touched::Everything);
        write(&self.top(), "dir/inner.txt", format!("round {round}\n").as_bytes());
        let paths = ["dir/inner.txt", ".git", ".git/config", "nested", "nested/.git/config"];
        let head = self.take(&touched(&paths));
        self.look(&head);
        (first, head)
    }

    fn look(&self, head: &Snapshot) {
        let Fixture { store, environment, user, base, .. } = &self.fixture;
        history::read(store, environment).expect("a history");
        let found = diff::between(store, base, &head.id, Detail::Lines).expect("a diff");
        for file in &found.files {
            let side = |mode: Option<u32>, blob: &Option<CommitId>| {
                let blob = blob.clone()?;
                Some(crate::model::diff::FileSide { mode: mode?, blob })
            };
            let (old, new) =
                (side(file.old_mode, &file.old_blob), side(file.new_mode, &file.new_blob));
            let paths = (file.path.clone(), file.old_path.clone());
            let sides = (old.as_ref(), new.as_ref());
            diff::file(store, paths, sides, Whitespace::Exact, Reach::Whole).expect("a file");
        }
        let name = EnvironmentName::parse("otter").expect("a name");
        let attempt =
            Attempt { environment: environment.clone(), name: name.clone(), head: head.id.clone() };
        let attempts = vec![attempt.clone(), attempt];
        compare::file(store, base, &attempts, &RepoPath::new("file.txt")).expect("a file");
        compare::attempts(store, base, attempts, None).expect("a comparison");
        let contender = Contender {
            environment: environment.clone(),
            name,
            base: base.clone(),
            head: head.id.clone(),
            held: None,
            paired: true,
        };
        let contenders = [contender.clone(), contender];
        Predictor::default().predict(user, store, &contenders).expect("a prediction");
        let counts = diff::Counts::default();
        divergence::since(store, environment, base, &counts).expect("a count");
        divergence::behind(user, base).expect("a count");
        let ignored = ignored::directories(store, environment, &self.top()).expect("rules");
        ignored(b"nested");
        left_out::now(store, environment).expect("a list");
        user.state().expect("a state");
    }

    fn decide(&mut self, first: &Snapshot, head: &Snapshot) {
        let request = self.request(&head.id);
        let Fixture { store, user, .. } = &self.fixture;
        let workspace = |_: &EnvironmentId| self.fixture.workspace();
        taking::apply(user, store, &self.journal, &request).expect("applied");
        taking::undo(user.id(), &self.journal, &workspace).expect("undone");
        let request = self.request(&head.id);
        let Fixture { store, user, .. } = &self.fixture;
        let workspace = |_: &EnvironmentId| self.fixture.workspace();
        let (style, message) = (MergeStyle::Commit, "work".to_owned());
        let merging = Merging { style, message, identity: user.identity(), commits: Vec::new() };
        taking::merge(user, store, &self.journal, &request, &merging).expect("merged");
        taking::undo(user.id(), &self.journal, &workspace).expect("undone");
        let mut request = self.request(&first.id);
        request.base = head.id.clone();
        let Fixture { store, user, .. } = &self.fixture;
        let workspace = |_: &EnvironmentId| self.fixture.workspace();
        taking::restore(user, store, &self.journal, &request, &self.fixture.workspace())
            .expect("restored");
        taking::undo(user.id(), &self.journal, &workspace).expect("undone");
        taking::recover(user.id(), &self.journal, &workspace).expect("recovered");
        let request = self.request(&head.id);
        taking::record_discard(self.fixture.user.root(), &self.journal, &request)
            .expect("recorded");
        let workspace = |_: &EnvironmentId| self.fixture.workspace();
        taking::undo(self.fixture.user.id(), &self.journal, &workspace).expect("undone");
    }

    /// A fork of the snapshot, one of the files as they are, and the store packed.
    fn bring_out(&self, head: &Snapshot) {
        let Fixture { store, user, environment, .. } = &self.fixture;
        let fork = EnvironmentId::from_random([9; 8]);
        let place = self.fixture.oracle.outside().join("forks");
        workspaces::fork_history(user, store, environment, &fork, &head.id).expect("forked");
        workspaces::check_out(store, &fork, &head.id, &place.join("clean"), &mut |_, _| {})
            .expect("checked out");
        copy::tree(&self.top(), &place.join("copied"), &mut |_| {}).expect("copied");
        workspaces::unpin(user, store, &fork).expect("unpinned");
        std::fs::remove_dir_all(place).expect("removed");
        pack::run(&self.fixture.oracle.outside().join("store")).expect("packed");
    }

    fn clean(&self) {
        for entry in std::fs::read_dir(self.top()).expect("a directory") {
            let path = entry.expect("an entry").path();
            let removed = std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(path));
            removed.expect("removed");
        }
    }
}

/// A repository of the agent's, with a directory outside for what belongs to it.
struct Site {
    at: PathBuf,
    aside: PathBuf,
    /// Without the samples of hooks that git would put into each.
    template: PathBuf,
}

impl Site {
    fn canary(&self) -> PathBuf {
        self.aside.join("canary")
    }

    fn payload(&self) -> PathBuf {
        self.aside.join("payload")
    }

    fn filled(&self, text: &str) -> String {
        let text = text.replace("{run}", &self.payload().display().to_string());
        text.replace("{out}", &self.aside.display().to_string())
    }

    /// Git in a repository that the agent made, with nothing of the user's.
    fn git(&self, arguments: &[&str]) -> bool {
        self.command(arguments).status().expect("git runs").success()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let filled: Vec<String> = arguments.iter().map(|argument| self.filled(argument)).collect();
        let mut command = Command::new("timeout");
        command.arg(DEADLINE).arg("git").args(filled).current_dir(&self.at);
        command
            .env("HOME", &self.aside)
            // Whoever is ended in the middle leaves what it keeps for itself.
            .env("TMPDIR", &self.aside)
            .env("GIT_TEMPLATE_DIR", &self.template)
            .env("TERM", "xterm")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            // What tidies up would go on in the background, where it is in the next one's way.
            .envs([("GIT_CONFIG_COUNT", "1"), ("GIT_CONFIG_KEY_0", "gc.autoDetach")])
            .env("GIT_CONFIG_VALUE_0", "false")
            .envs([("GIT_AUTHOR_NAME", "Eve"), ("GIT_AUTHOR_EMAIL", "eve@example.org")])
            .envs([("GIT_COMMITTER_NAME", "Eve"), ("GIT_COMMITTER_EMAIL", "eve@example.org")])
            .env_remove("GIT_DIR")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    /// A repository of the agent's with two branches that can be merged, and files to change.
    fn repository(&self) {
        let git = |arguments: &[&str]| assert!(self.git(arguments), "git {arguments:?}");
        let at = &self.at;
        std::fs::create_dir_all(at).expect("a directory");
        git(&["init", "-q", "-b", "main"]);
        write(at, "tracked.x", b"1\n2\n3\n");
        git(&["add", "tracked.x"]);
        git(&["commit", "-q", "-m", "one"]);
        git(&["checkout", "-q", "-b", "other"]);
        write(at, "tracked.x", b"1\n2\nother\n");
        git(&["commit", "-q", "-a", "-m", "other"]);
        git(&["checkout", "-q", "main"]);
        write(at, "tracked.x", b"main\n2\n3\n");
        git(&["commit", "-q", "-a", "-m", "main"]);
    }

    fn plant(&self, vector: &Vector) {
        let at = &self.at;
        for plant in vector.plants {
            match plant {
                Plant::Config(key, value) => {
                    assert!(self.git(&["config", key, value]), "{}", vector.name);
                }
                Plant::File(name, content) => {
                    write(at, name, self.filled(content).as_bytes());
                }
                Plant::Hook(name) => {
                    let hook = at.join(".git/hooks").join(name);
                    std::fs::create_dir_all(at.join(".git/hooks")).expect("a directory");
                    program(&hook, &format!("#!/bin/sh\nexec '{}'\n", self.payload().display()));
                }
                Plant::Git(arguments) => {
                    assert!(self.git(arguments), "{}: git {arguments:?}", vector.name);
                }
                Plant::GitDirectoryMovesTo(place) => {
                    let place = at.join(self.filled(place));
                    std::fs::rename(at.join(".git"), &place).expect("moved");
                    let text = format!("gitdir: {}\n", place.display());
                    std::fs::write(at.join(".git"), text).expect("a file");
                }
            }
        }
        // What planting itself ran is not ours to answer for.
        let _ = std::fs::remove_file(self.canary());
    }

    /// Whether git, unprotected, runs what was planted.
    fn fires(&self, vector: &Vector) -> bool {
        for arguments in vector.control {
            let mut control = self.command(arguments).spawn().expect("git runs");
            // Some wait for ever for what the payload does not say.
            while control.try_wait().expect("waited for").is_none() {
                if self.canary().exists() {
                    let pid = rustix::process::Pid::from_child(&control);
                    let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
                    control.wait().expect("waited for");
                    break;
                }
                std::thread::sleep(LOOK);
            }
        }
        self.canary().exists()
    }
}

fn program(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a program");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
}

#[test]
fn nothing_that_a_workspace_names_is_run_by_any_verb() {
    let vectors = vectors();
    assert!(vectors.len() >= 45, "{}", vectors.len());
    let mut range = Range::new();
    let mut idle = Vec::new();
    for (round, vector) in vectors.iter().enumerate() {
        range.clean();
        let site = range.site(&format!("top{round}"), range.top());
        site.plant(vector);
        range.looked_at(round);
        assert!(!site.canary().exists(), "{} was run", vector.name);
        if !site.fires(vector) {
            idle.push(vector.name);
        }
    }
    range.clean();
    let mut sites = vec![range.site("top", range.top())];
    sites[0].plant(&vectors[0]);
    for (number, vector) in vectors.iter().enumerate() {
        let site = range.site(&format!("{number}"), range.top().join(format!("nested{number}")));
        site.plant(vector);
        sites.push(site);
    }
    let (first, head) = range.looked_at(vectors.len());
    range.decide(&first, &head);
    range.bring_out(&head);
    for (site, vector) in sites.iter().zip([&vectors[0]].into_iter().chain(&vectors)) {
        assert!(!site.canary().exists(), "{} was run from within", vector.name);
        if !site.fires(vector) {
            idle.push(vector.name);
        }
    }
    range.fixture.oracle.check_objects();
    let store = range.fixture.oracle.outside().join("store/snapshots.git");
    range.fixture.oracle.check_objects_in(&store);
    assert!(idle.is_empty(), "controls that git did not run either: {idle:?}");
}
