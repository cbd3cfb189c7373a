//! The binary as a user runs it: a home, a repository, and nothing of the machine's own settings.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::ending;
use super::talk::PATIENCE;
use crate::docker;

/// Between two looks at something that has no event to wait for.
const PAUSE: Duration = Duration::from_millis(20);

/// A home and a repository with one commit. Dropped, it ends every process and box it made.
pub struct TestHome {
    root: tempfile::TempDir,
    pub home: PathBuf,
    pub repository: PathBuf,
    /// Variables besides those of a user who has configured nothing.
    pub also: Vec<(&'static str, String)>,
    /// File systems mounted in it.
    pub mounts: Vec<PathBuf>,
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl TestHome {
    pub fn new() -> Self {
        let test = Self::empty();
        test.make_repository(&test.repository);
        test
    }

    /// Without a repository yet.
    pub fn empty() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().canonicalize().expect("a path");
        std::fs::create_dir(path.join("user")).expect("made");
        Self {
            home: path.join("home"),
            repository: path.join("shop"),
            root,
            also: Vec::new(),
            mounts: Vec::new(),
        }
    }

    /// A directory that goes with this home.
    pub fn path(&self) -> PathBuf {
        self.root.path().canonicalize().expect("a path")
    }

    /// Makes a repository with one commit: `price`, `till/open`, and `*.log` ignored.
    pub fn make_repository(&self, root: &Path) {
        std::fs::create_dir_all(root.join("till")).expect("made");
        self.git_in(root, &["init", "-q", "-b", "main"]);
        self.git_in(root, &["config", "user.name", "Ada"]);
        self.git_in(root, &["config", "user.email", "ada@example.org"]);
        std::fs::write(root.join("price"), "one\ntwo\nthree\n").expect("written");
        std::fs::write(root.join("till/open"), "#!/bin/sh\necho open\n").expect("written");
        std::fs::write(root.join(".gitignore"), "*.log\n").expect("written");
        self.git_in(root, &["add", "."]);
        self.git_in(root, &["commit", "-q", "-m", "a shop"]);
    }

    pub fn git(&self, arguments: &[&str]) -> String {
        self.git_in(&self.repository, arguments)
    }

    pub fn git_in(&self, directory: &Path, arguments: &[&str]) -> String {
        let output = self.git_output(directory, arguments, b"");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "git {arguments:?}: {errors}");
        String::from_utf8(output.stdout).expect("text")
    }

    pub fn git_output(&self, directory: &Path, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = Command::new("git");
        self.isolate(&mut command);
        finished(command.current_dir(directory).args(arguments), input)
    }

    /// What git finds wrong with the repository, and with each store of snapshots beside it. Where a
    /// test took the repository away, nothing can be said of its store.
    fn damage(&self) -> Vec<String> {
        let mut places = Vec::new();
        if self.repository.join(".git/HEAD").exists() {
            places.push(self.repository.clone());
        }
        let stores = std::fs::read_dir(self.home.join("repositories"));
        for store in stores.into_iter().flatten().flatten() {
            let bare = store.path().join("snapshots.git");
            let alternates = std::fs::read_to_string(bare.join("objects/info/alternates"));
            let alternate = alternates.as_deref().unwrap_or_default().trim_end_matches('\n');
            if bare.join("HEAD").exists() && Path::new(alternate).exists() {
                places.push(bare);
            }
        }
        let mut found = Vec::new();
        for place in places {
            let check = ["fsck", "--strict", "--no-dangling", "--no-progress"];
            let output = self.git_output(&place, &check, b"");
            if !output.status.success() {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                found.push(format!("{}: {said}", place.display()));
            }
        }
        found
    }

    /// Runs the binary in the repository.
    pub fn agentdeck(&self, arguments: &[&str]) -> Run {
        self.agentdeck_in(&self.repository, arguments)
    }

    pub fn agentdeck_in(&self, directory: &Path, arguments: &[&str]) -> Run {
        let output = finished(self.command(arguments).current_dir(directory), b"");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Run {
            code: output.status.code().expect("an exit code"),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// The binary with this home, not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
        self.isolate(&mut command);
        command.current_dir(&self.repository).args(arguments);
        command
    }

    /// Variables of a user who has configured nothing.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let path = std::env::var("PATH").expect("a PATH");
        let text = |path: PathBuf| path.to_str().expect("text").to_owned();
        let mut variables = vec![
            ("PATH", path),
            ("HOME", text(self.path().join("user"))),
            ("LANG", "C.UTF-8".to_owned()),
            ("TERM", "xterm-256color".to_owned()),
            ("AGENTDECK_HOME", text(self.home.clone())),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            // A status must not refresh the index: its bytes are compared.
            ("GIT_OPTIONAL_LOCKS", "0".to_owned()),
        ];
        variables.extend(self.also.iter().cloned());
        variables
    }

    fn isolate(&self, command: &mut Command) {
        command.env_clear().envs(self.variables());
    }

    /// Runs a shell script in an environment.
    pub fn script(&self, name: &str, text: &str) -> String {
        self.agentdeck(&["exec", name, "--", "sh", "-ec", text]).ok()
    }

    /// Asks for JSON until it is as wanted.
    pub fn wait_for_json(&self, arguments: &[&str], wanted: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let value = self.agentdeck(arguments).json();
            if wanted(&value) {
                return value;
            }
            assert!(start.elapsed() < PATIENCE, "{arguments:?} stays {value:#}");
            std::thread::sleep(PAUSE);
        }
    }

    /// Waits until the last change has become a snapshot of so many in all, the base counted.
    pub fn wait_for_snapshots(&self, name: &str, count: usize) -> Value {
        self.wait_for_json(&["log", name, "--json"], |log| {
            log.as_array().is_some_and(|log| log.len() >= count)
        })
    }

    /// Every file of the working tree and of git's own state that an environment might disturb.
    pub fn picture(&self) -> BTreeMap<String, Vec<u8>> {
        let mut picture = BTreeMap::new();
        files(&self.repository, &self.repository, &mut picture);
        for name in ["HEAD", "config", "index"] {
            let bytes = std::fs::read(self.repository.join(".git").join(name)).expect("read");
            picture.insert(format!(".git/{name}"), bytes);
        }
        let format = "--format=%(refname) %(objectname)";
        picture.insert("refs".to_owned(), self.git(&["for-each-ref", format]).into_bytes());
        picture.insert("status".to_owned(), self.git(&["status", "--porcelain"]).into_bytes());
        picture
    }

    /// The picture without the refs that pin bases for us.
    pub fn picture_without_pins(&self) -> BTreeMap<String, Vec<u8>> {
        let mut picture = self.picture();
        let refs = String::from_utf8(picture.remove("refs").expect("refs")).expect("text");
        let theirs: Vec<&str> =
            refs.lines().filter(|line| !line.starts_with("refs/agentdeck/pin/")).collect();
        picture.insert("refs".to_owned(), theirs.join("\n").into_bytes());
        picture
    }

    /// Asserts that two pictures are equal, and names what is not.
    pub fn assert_same(before: &BTreeMap<String, Vec<u8>>, after: &BTreeMap<String, Vec<u8>>) {
        let names = before.keys().chain(after.keys());
        let differing: Vec<&String> =
            names.filter(|name| before.get(*name) != after.get(*name)).collect();
        assert_eq!(differing, Vec::<&String>::new());
    }

    /// Asserts that no environment, no pin and no box is there.
    pub fn assert_nothing_left(&self) {
        assert_eq!(names(&self.home.join("environments")), Vec::<String>::new());
        assert_eq!(names(&self.home.join("trash")), Vec::<String>::new());
        if self.repository.join(".git").is_dir() {
            assert_eq!(self.git(&["for-each-ref", "refs/agentdeck"]), "");
        }
    }

    /// The server's process id, while it runs.
    pub fn server(&self) -> Option<u32> {
        let pid: u32 =
            std::fs::read_to_string(self.home.join("server.lock")).ok()?.trim().parse().ok()?;
        // The number may be another's by now; the home in its environment is ours alone.
        let environment = std::fs::read(format!("/proc/{pid}/environ")).ok()?;
        let wanted = [b"AGENTDECK_HOME=", self.home.as_os_str().as_bytes()].concat();
        environment.split(|byte| *byte == 0).any(|variable| variable == wanted).then_some(pid)
    }

    /// Kills the server and waits until it is gone.
    pub fn end_server(&self) {
        let Some(pid) = self.server() else { return };
        let pid = rustix::process::Pid::from_raw(pid as i32).expect("not zero");
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let start = Instant::now();
        while self.server().is_some() && start.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        }
    }
}

/// Runs a check for the native engine, and for Docker where one answers.
pub fn for_both(check: impl Fn(&TestHome, &[&str])) {
    check(&TestHome::new(), &[]);
    if docker::engine_answers() {
        let image = docker::Image::busybox();
        check(&TestHome::new(), &["--engine", "docker", "--image", &image.0]);
    }
}

/// Makes an environment whose agent is a script.
pub fn make(test: &TestHome, name: &str, options: &[&str], script: &str) {
    let command = ["--", "sh", "-c", script];
    test.agentdeck(&[&["new", name], options, &command].concat()).ok();
}

impl Drop for TestHome {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.home.join("server.log")).unwrap_or_default();
            let _ = writeln!(std::io::stderr(), "the server's log:\n{log}");
        }
        ending::end_all(&self.path(), &self.home, None);
        let damage = if std::thread::panicking() { Vec::new() } else { self.damage() };
        for mount in &self.mounts {
            let _ = rustix::mount::unmount(mount, rustix::mount::UnmountFlags::DETACH);
        }
        // What a test leaves is as sound as what it began with.
        assert_eq!(damage, Vec::<String>::new());
    }
}

impl Run {
    /// What was printed by a run that must have succeeded.
    pub fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:#?}");
        self.stdout
    }

    /// The value printed by a run that must have succeeded.
    pub fn json(self) -> Value {
        let text = self.ok();
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
    }

    /// Asserts a failure whose words hold all that is named, and nothing on standard output.
    pub fn fails(self, code: i32, named: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert_eq!(self.stdout, "", "{self:#?}");
        for word in named {
            assert!(self.stderr.contains(word), "{word:?} in {self:#?}");
        }
        self
    }
}

fn finished(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    // A program that does not read its input is fine.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("ended")
}

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten();
    entries.map(|entry| entry.expect("an entry").file_name().display().to_string()).collect()
}

fn files(root: &Path, directory: &Path, found: &mut BTreeMap<String, Vec<u8>>) {
    for name in names(directory) {
        let path = directory.join(&name);
        if path.is_dir() {
            if name != ".git" {
                files(root, &path, found);
            }
        } else {
            let name = path.strip_prefix(root).expect("below").display().to_string();
            found.insert(name, std::fs::read(&path).expect("read"));
        }
    }
}
