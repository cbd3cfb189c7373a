//! A Docker Engine of a test's own, to be killed and restarted.
//!
//! It lives in a network namespace of its own: a second engine beside the first would take the
//! first one's bridge away. Data, state and socket lie below one directory; dropped, everything
//! that was started or mounted below it is gone.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

use super::talk::PATIENCE;

/// Between two looks at something that has no event to wait for.
const PAUSE: Duration = Duration::from_millis(20);

pub struct Dockerd {
    root: tempfile::TempDir,
    child: Option<Child>,
    live_restore: bool,
    /// Further runtimes, `NAME=PROGRAM`.
    runtimes: Vec<String>,
}

/// The name under which an engine knows the runtime with a kernel of its own.
pub const EMULATED: &str = "runsc";

/// The same without control groups of its own.
pub const UNBOUNDED: &str = "runsc-unbounded";

/// Debian's runsc as this machine can run it: without hardware's help; the sockets of the run
/// directory pass.
const RUNSC: &str = "exec runsc --platform=ptrace --network=none --host-uds=all";

impl Dockerd {
    /// Starts an engine; `None` where this user cannot, unless an engine is required.
    pub fn start(live_restore: bool) -> Option<Self> {
        let mut engine = Self::new(live_restore)?;
        engine.run();
        Some(engine)
    }

    /// Starts an engine that has gVisor's runtime too.
    pub fn with_emulated_kernel() -> Option<Self> {
        use std::os::unix::fs::PermissionsExt;
        let mut engine = Self::new(false)?;
        for (name, more) in [(EMULATED, ""), (UNBOUNDED, " --ignore-cgroups")] {
            let program = engine.path(name);
            std::fs::write(&program, format!("#!/bin/sh\n{RUNSC}{more} \"$@\"\n"))
                .expect("written");
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("changed");
            engine.runtimes.push(format!("{name}={}", program.display()));
        }
        engine.run();
        Some(engine)
    }

    /// Starts an engine that keeps its data on a disk of so many bytes; the answer is where, too.
    pub fn with_small_data(size: u64) -> Option<(Self, PathBuf)> {
        use rustix::mount::{MountFlags, mount};
        let mut engine = Self::new(false)?;
        let data = engine.path("data");
        std::fs::create_dir(&data).expect("made");
        let options = std::ffi::CString::new(format!("size={size},mode=711")).expect("text");
        let flags = MountFlags::empty();
        mount("agentdeck-test", &data, "tmpfs", flags, Some(options.as_c_str())).ok()?;
        engine.run();
        Some((engine, data))
    }

    fn new(live_restore: bool) -> Option<Self> {
        let found = Command::new("dockerd").arg("--version").stdout(Stdio::null()).status();
        let can = rustix::process::geteuid().is_root() && found.is_ok_and(|it| it.success());
        let required = std::env::var("AGENTDECK_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
        assert!(can || !required, "no Docker Engine can be started here");
        if !can {
            return None;
        }
        let root = tempfile::Builder::new().prefix("ad-dockerd-").tempdir().expect("a directory");
        Some(Self { root, child: None, live_restore, runtimes: Vec::new() })
    }

    /// Starts the daemon again after `kill` or `stop`, and waits until it answers.
    pub fn run(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let log = std::fs::File::options().create(true).append(true).open(self.path("log"));
        let log = log.expect("a log");
        // What a killed one leaves; its number may be another's by now.
        let _ = std::fs::remove_file(self.path("pid"));
        self.end_containerd();
        let mut command = Command::new("unshare");
        command.args(["-n", "dockerd", "--bridge=none", "--iptables=false", "--ip-forward=false"]);
        command.arg(format!("--live-restore={}", self.live_restore));
        command.args(self.runtimes.iter().flat_map(|runtime| ["--add-runtime", runtime]));
        command.arg("--data-root").arg(self.path("data"));
        command.arg("--exec-root").arg(self.path("exec"));
        command.arg("--pidfile").arg(self.path("pid"));
        command.arg("--host").arg(self.host());
        // A containerd that is slow to end writes its stacks among the temporary files.
        command.env("TMPDIR", self.root.path());
        command.env_remove("DOCKER_HOST").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.child = Some(command.spawn().expect("started"));
        self.wait("it answers", || self.docker(&["version"]).status.success());
    }

    /// Ends the daemon as a service manager does.
    pub fn stop(&mut self) {
        self.end(Signal::TERM);
    }

    /// Kills the daemon; containers go on, whatever its settings.
    pub fn kill(&mut self) {
        self.end(Signal::KILL);
    }

    /// Kills the daemon with its runtime, and starts it again as it is when that happens before it
    /// wrote down that a container runs: it knows nothing of what goes on of it.
    pub fn forget(&mut self, container: &str) {
        self.kill();
        self.end_containerd();
        let file = self.path("data/containers").join(container).join("config.v2.json");
        let text = std::fs::read(&file).expect("its description");
        let mut known: serde_json::Value = serde_json::from_slice(&text).expect("json");
        known["State"]["Running"] = false.into();
        known["State"]["Pid"] = 0.into();
        known["State"]["StartedAt"] = "0001-01-01T00:00:00Z".into();
        std::fs::write(&file, known.to_string()).expect("written");
        self.run();
    }

    /// Restarts the daemon; containers end with it, unless it restores live ones.
    pub fn restart(&mut self) {
        self.stop();
        self.run();
    }

    fn end(&mut self, signal: Signal) {
        let Some(mut child) = self.child.take() else { return };
        let _ = rustix::process::kill_process(pid(child.id()), signal);
        let _ = child.wait();
    }

    /// Ends the containerd that a killed daemon leaves: the next one would wait for it in vain.
    fn end_containerd(&self) {
        let file = self.path("exec/containerd/containerd.pid");
        for process in processes_naming(&self.path("exec/containerd/containerd.toml")) {
            let _ = rustix::process::kill_process(pid(process), Signal::KILL);
        }
        let _ = std::fs::remove_file(file);
    }

    /// Its address, as `DOCKER_HOST` has it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    pub fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub fn docker(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new("docker");
        command.args(["--host", &self.host()]).args(arguments).stdin(Stdio::null());
        command.output().expect("the docker command")
    }

    /// Imports a root directory and returns the image's name.
    pub fn import(&self, archive: &[u8]) -> String {
        const NAME: &str = "agentdeck-test:own";
        let file = self.path("image.tar");
        std::fs::write(&file, archive).expect("written");
        let imported = self.docker(&["import", file.to_str().expect("text"), NAME]);
        assert!(imported.status.success(), "{imported:?}");
        NAME.to_owned()
    }

    /// The ids of its containers that run. Others may be those of environments that can be had
    /// back.
    pub fn running(&self) -> Vec<String> {
        self.listed(&["ps", "-q", "--no-trunc"])
    }

    /// The ids of all that it has.
    pub fn all(&self) -> Vec<String> {
        self.listed(&["ps", "-aq", "--no-trunc"])
    }

    fn listed(&self, arguments: &[&str]) -> Vec<String> {
        let listed = self.docker(arguments).stdout;
        String::from_utf8_lossy(&listed).lines().map(str::to_owned).collect()
    }

    fn wait(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let start = Instant::now();
        while !holds() {
            let log = std::fs::read_to_string(self.path("log")).unwrap_or_default();
            let last = log.lines().rev().take(20).collect::<Vec<_>>().join("\n");
            assert!(start.elapsed() < PATIENCE * 2, "{what}: not in time\n{last}");
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        if self.child.is_some() {
            for container in self.listed(&["ps", "-aq"]) {
                self.docker(&["rm", "-f", &container]);
            }
        }
        self.stop();
        // Its containerd, and shims of containers that a kill left.
        let all = |root: &Path| [processes_within(root), processes_naming(root)].concat();
        let mut left = all(self.root.path());
        let start = Instant::now();
        while !left.is_empty() && start.elapsed() < PATIENCE {
            for process in left {
                let _ = rustix::process::kill_process(pid(process), Signal::KILL);
            }
            std::thread::sleep(PAUSE);
            left = all(self.root.path());
        }
        for mount in mounts_below(self.root.path()) {
            let _ = rustix::mount::unmount(&mount, rustix::mount::UnmountFlags::DETACH);
        }
    }
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(raw as i32).expect("not zero")
}

/// Processes whose command line names something below a directory.
fn processes_naming(root: &Path) -> Vec<u32> {
    let own = std::process::id();
    let root = root.to_str().expect("text");
    let entries = std::fs::read_dir("/proc").expect("listed").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let named = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        *pid != own && String::from_utf8_lossy(&line).contains(root)
    };
    pids.filter(named).collect()
}

/// Processes of containers whose files lie below a directory.
fn processes_within(root: &Path) -> Vec<u32> {
    let root = format!("upperdir={}", root.display());
    let entries = std::fs::read_dir("/proc").expect("listed").flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let within = |pid: &u32| {
        let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
        // Elsewhere these mounts are seen too; only a container has one as its root.
        mounts.lines().any(|line| line.split(' ').nth(4) == Some("/") && line.contains(&root))
    };
    pids.filter(within).collect()
}

/// Mounts below a directory, the deepest first.
fn mounts_below(root: &Path) -> Vec<PathBuf> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut below: Vec<PathBuf> = points.filter(|point| point.starts_with(root)).collect();
    below.sort();
    below.reverse();
    below
}
