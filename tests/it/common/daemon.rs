//! Engines of a test's own, in network namespaces of their own: a second daemon in the host's
//! would take the first one's bridge away.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a daemon may take until it answers; a second or two on an idle machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A daemon, ended when dropped, with all it has written.
pub struct Daemon {
    process: Child,
    pub socket: PathBuf,
    directory: tempfile::TempDir,
}

impl Daemon {
    /// Podman behind its compatible socket, with all it keeps in a directory of the test's.
    pub fn podman() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let place = |name: &str| directory.path().join(name).display().to_string();
        // Where both versions of control groups are mounted, Podman's own choice does not start.
        let configuration = "[engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\n\
             events_logger = \"file\"\n[containers]\ncgroupns = \"private\"\n\
             default_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n";
        std::fs::write(place("containers.conf"), configuration).expect("written");
        let socket = directory.path().join("podman.sock");
        let mut command = Command::new("unshare");
        command.args(["--net", "podman", "--root", &place("root"), "--runroot", &place("run")]);
        command.args(["--tmpdir", &place("tmp"), "system", "service", "--time=0"]);
        command.arg(format!("unix://{}", socket.display()));
        command.env("CONTAINERS_CONF", place("containers.conf"));
        Self::start(command, socket, directory)
    }

    fn start(mut command: Command, socket: PathBuf, directory: tempfile::TempDir) -> Self {
        let log = std::fs::File::create(directory.path().join("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        // Podman's monitor writes into where it was started from.
        command.current_dir(directory.path());
        // And its service leaves what was loaded among the temporary files.
        command.env("TMPDIR", directory.path());
        let process = command.spawn().expect("unshare");
        let mut daemon = Self { process, socket, directory };
        let started = Instant::now();
        while !daemon.docker(&["version"]).1 {
            let ended = daemon.process.try_wait().expect("waited").is_some();
            let late = started.elapsed() > PATIENCE;
            assert!(!ended && !late, "the daemon does not answer: {}", daemon.log());
            std::thread::yield_now();
        }
        daemon
    }

    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        text.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    }

    /// What the docker command says to this daemon, and whether it succeeds.
    pub fn docker(&self, arguments: &[&str]) -> (String, bool) {
        let host = format!("unix://{}", self.socket.display());
        let mut command = Command::new("docker");
        let output = command.args(["--host", &host]).args(arguments).output().expect("docker");
        (String::from_utf8_lossy(&output.stdout).trim().to_owned(), output.status.success())
    }

    /// Whether a monitor or one of its cleaners still runs: they outlive what they were started
    /// for, and mount and write in the directory.
    fn helpers(&self) -> bool {
        let name = self.directory.path().as_os_str().as_encoded_bytes();
        let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
            .any(|words| words.windows(name.len()).any(|part| part == name))
    }

    /// Makes an image of an archive's files.
    pub fn import(&self, archive: &Path, name: &str) {
        let archive = archive.to_str().expect("text");
        assert!(self.docker(&["import", archive, name]).1, "{}", self.log());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        for id in self.docker(&["ps", "-aq"]).0.lines() {
            self.docker(&["rm", "-fv", id]);
        }
        let pid = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.process.wait();
        let begin = Instant::now();
        while self.helpers() && begin.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
        // What a daemon leaves mounted would be removed with the directory.
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let below = self.directory.path().to_string_lossy().into_owned();
        let mounted = table.lines().filter_map(|line| line.split(' ').nth(4));
        let mut left: Vec<&str> = mounted.filter(|place| place.starts_with(&below)).collect();
        left.reverse();
        for place in left {
            let _ = rustix::mount::unmount(place, rustix::mount::UnmountFlags::DETACH);
        }
    }
}
