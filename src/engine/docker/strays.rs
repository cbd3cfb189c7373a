//! What goes on of a box that its engine does not know to run.
//!
//! An engine that is killed together with its runtime while a container starts comes back without
//! knowing of the container's processes. Nothing of them may run beside the environment's next box,
//! or stay when that is removed. They are known by what the kernel says of them: by the control
//! group that bears their container's id, or by having the environment's own run directory where a
//! box has it.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::models::ContainerInspectResponse;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep, timeout};

use super::create::blocking;
use super::{kernel, lifecycle, usage};
use crate::engine::RUN_DIRECTORY;
use crate::model::failure::{Failure, FailureKind};
use crate::shim::wire;

/// What its programs get to end by themselves: somebody waits for the next box.
const GRACE: Duration = Duration::from_secs(2);
/// From a signal, or the end of the grace, to the end of the last process.
const END_DEADLINE: Duration = Duration::from_secs(5);
/// Between two looks whether they have ended: short beside a container's start.
const PAUSE: Duration = Duration::from_millis(20);

/// By what a box's processes are known, whatever its engine says.
#[derive(Clone, Debug)]
struct Mark {
    container: Option<String>,
    /// The run directory, by its device and inode.
    run: Option<(u64, u64)>,
}

/// One process for good: its number and its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    start: u64,
}

/// Ends what is left of a container of ours that the engine says not to run.
pub(super) async fn end_of(found: &ContainerInspectResponse) -> Result<(), Failure> {
    // Of one that was not asked about nothing is known; its removal ends it.
    if found.state.is_none() || lifecycle::is_running(found) {
        return Ok(());
    }
    let mut mounts = found.mounts.iter().flatten();
    let run = mounts.find(|mount| mount.destination.as_deref() == Some(RUN_DIRECTORY));
    let run = run.and_then(|mount| mount.source.as_deref()).map(Path::new);
    end(found.id.as_deref(), run).await
}

/// Ends what is left of a container of ours which the engine says not to run, and of any box that
/// has this run directory. Called while no box of the environment is to run.
pub(super) async fn end(container: Option<&str>, run: Option<&Path>) -> Result<(), Failure> {
    let mark = Mark::of(container, run);
    let listening = match run {
        Some(run) => listener(run).await,
        None => None,
    };
    let mut left = look(&mark).await?;
    if left.is_empty() && listening.is_none() {
        return Ok(());
    }
    tracing::warn!("a box goes on that its engine does not know: {left:?}");
    for process in &left {
        // What stands still neither hears nor ends.
        let _ = usage::hold(process.pid, false);
    }
    if let Some((channel, process)) = listening {
        if !left.contains(&process) {
            left.push(process);
        }
        let asked = timeout(GRACE, lifecycle::stop_by(channel, GRACE)).await;
        if matches!(asked, Ok(Ok(()))) {
            wait_for(&left, GRACE).await;
        }
    }
    let found = mark.clone();
    blocking(move || {
        found.all().into_iter().for_each(|process| found.kill(process));
        Ok(())
    })
    .await?;
    wait_for(&left, END_DEADLINE).await;
    left.retain(Process::lives);
    left.extend(look(&mark).await?);
    let Some(Process { pid, .. }) = left.first() else { return Ok(()) };
    let message =
        format!("process {pid} of an earlier box goes on, which its engine does not know");
    Err(Failure::new(FailureKind::Unavailable, message)
        .hint(format!("end it (sudo kill -9 {pid}), then try again")))
}

async fn look(mark: &Mark) -> Result<Vec<Process>, Failure> {
    let mark = mark.clone();
    blocking(move || Ok(mark.all())).await
}

/// Whoever listens as the shim of a run directory. Only a box that has the directory can: the
/// socket is no link, and lies in it.
async fn listener(run: &Path) -> Option<(UnixStream, Process)> {
    let channel = crate::socket::connect_now(run, wire::SOCKET).await.ok()?;
    let pid = u32::try_from(crate::socket::peer(&channel).ok()?.0).ok()?;
    Some((channel, Process::of(pid)?))
}

async fn wait_for(processes: &[Process], most: Duration) {
    let begun = Instant::now();
    while processes.iter().any(Process::lives) && begun.elapsed() < most {
        sleep(PAUSE).await;
    }
}

impl Process {
    fn of(pid: u32) -> Option<Self> {
        let process = Self { pid, start: kernel::start_time(pid).filter(|_| pid != 0)? };
        process.lives().then_some(process)
    }

    /// Whether it is there, and does not only wait to be reaped.
    fn lives(&self) -> bool {
        kernel::start_time(self.pid) == Some(self.start) && !kernel::has_ended(self.pid)
    }
}

impl Mark {
    fn of(container: Option<&str>, run: Option<&Path>) -> Self {
        let found = run.and_then(|run| rustix::fs::lstat(run).ok());
        Self {
            container: container.filter(|id| !id.is_empty()).map(str::to_owned),
            run: found.map(|found| (found.st_dev, found.st_ino)),
        }
    }

    /// The processes that bear it, as far as this user can see. Blocking.
    fn all(&self) -> Vec<Process> {
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.filter(|pid| self.is_on(*pid)).filter_map(Process::of).collect()
    }

    fn is_on(&self, pid: u32) -> bool {
        let in_group = |id: &String| {
            let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
            names_group_of(&groups, id)
        };
        self.container.as_ref().is_some_and(in_group)
            || self.run.is_some() && run_directory_of(pid) == self.run
    }

    fn kill(&self, process: Process) {
        let handle = || -> Option<OwnedFd> {
            let pid = Pid::from_raw(i32::try_from(process.pid).ok()?)?;
            rustix::process::pidfd_open(pid, PidfdFlags::empty()).ok()
        };
        let Some(handle) = handle() else { return };
        // Looked at after opening: whom the handle means can no longer change.
        if process.lives() && self.is_on(process.pid) {
            // Where this user may not, whoever waits for its end says so.
            let _ = rustix::process::pidfd_send_signal(&handle, Signal::KILL);
        }
    }
}

/// Whether a list of control groups (`cgroups(7)`) has one of a container, as the engine or a
/// service manager names it for it.
fn names_group_of(groups: &str, container: &str) -> bool {
    let name = |part: &str| {
        let bare = part.strip_prefix("docker-").and_then(|rest| rest.strip_suffix(".scope"));
        bare.unwrap_or(part) == container
    };
    groups
        .lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .any(|path| path.split('/').any(name))
}

/// The device and inode of what a process has where a box has its run directory.
fn run_directory_of(pid: u32) -> Option<(u64, u64)> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty()).ok()?;
    let below = PathBuf::from(RUN_DIRECTORY);
    let below = below.strip_prefix("/").ok()?;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let found = rustix::fs::openat2(&root, below, flags, Mode::empty(), resolve).ok()?;
    let stat = rustix::fs::fstat(&found).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_a_group_of_its_own_name_and_no_other() {
        let id = "4f".repeat(32);
        let groups = |path: &str| format!("12:pids:/x\n1:name=systemd:{path}\n0::/y\n");
        for path in [format!("/docker/{id}"), format!("/system.slice/docker-{id}.scope/child")] {
            assert!(names_group_of(&groups(&path), &id), "{path}");
        }
        for path in [format!("/docker/{id}0"), format!("/docker-{id}"), "/docker".to_owned()] {
            assert!(!names_group_of(&groups(&path), &id), "{path}");
        }
    }

    #[test]
    fn a_process_without_a_box_bears_no_mark() {
        let run = tempfile::tempdir().expect("a directory");
        let mark = Mark::of(Some("no-container"), Some(run.path()));
        assert!(mark.run.is_some());
        assert_eq!(mark.all(), []);
        let own = Process::of(std::process::id()).expect("this one lives");
        mark.kill(own);
        assert!(own.lives(), "and would not have outlived it");
    }

    #[tokio::test]
    async fn whoever_listens_is_named_by_its_process() {
        let run = tempfile::tempdir().expect("a directory");
        assert!(listener(run.path()).await.is_none(), "nobody");
        let bound = crate::socket::bind(run.path(), wire::SOCKET).expect("bound");
        let (_channel, found) = listener(run.path()).await.expect("this process");
        assert_eq!(found.pid, std::process::id());
        drop(bound);
        assert!(listener(run.path()).await.is_none(), "what was left of a socket");
    }
}
