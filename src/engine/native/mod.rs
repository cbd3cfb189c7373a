//! The embedded engine: boxes from the kernel's own namespaces, without a daemon.
//!
//! A box is a process tree whose first process is the shim. Nothing of it lives outside the
//! environment's directory but these processes, so there is nothing else to clean up.

pub mod child;

mod channel;
mod environment;
mod isolation;
mod kernel;
mod layer;
mod order;
mod process;
mod root;
mod system_files;
mod tree;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::{BoxPlan, BoxRecord, BoxState, Engine, ProgressSink, RUN_DIRECTORY};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::policy::{
    Capabilities, EngineKind, EngineReport, Isolation, IsolationRequest, LimitSupport, NetworkMode,
};
use crate::shim::config::{ShimConfig, relay_for};
use order::{Answer, Order};

/// The shim's configuration in the run directory.
const CONFIG: &str = "shim.json";

/// What the engine keeps of a box, in its layer, which the box does not see.
const MARK: &str = "box.json";

/// Longest time for a box to be made: copying `/etc` on a slow disk takes most of it.
const CREATE_DEADLINE: Duration = Duration::from_secs(30);

/// Longest time for a shim to listen after its program was started.
const SHIM_DEADLINE: Duration = Duration::from_secs(10);

/// How often a shim that does not listen yet is tried; it takes about this long.
const SHIM_RETRY: Duration = Duration::from_millis(1);

/// What a shim gets beyond the grace of its programs before the box is killed.
const STOP_MARGIN: Duration = Duration::from_secs(3);

/// Longest time for the kernel to end a killed box.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// Longest time for one look into a box.
const LOOK_DEADLINE: Duration = Duration::from_secs(5);

/// Boxes of this kernel.
pub struct Native {
    home: PathBuf,
    program: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Mark {
    deck: String,
    record: BoxRecord,
}

impl Native {
    /// The engine of the deck whose state is in `home`.
    pub fn new(home: &Path) -> Self {
        Self::with_program(home, Path::new("/proc/self/exe"))
    }

    /// The same, trying out the kernel with another copy of this program.
    pub fn with_program(home: &Path, program: &Path) -> Self {
        Self { home: home.to_owned(), program: program.to_owned() }
    }

    async fn make(&self, plan: &BoxPlan) -> Result<BoxRecord, Failure> {
        let isolated = plan.isolation == IsolationRequest::Required;
        write_config(plan, isolated)?;
        let order = if isolated {
            Order::Isolate { plan: Box::new(plan.clone()), home_in_box: environment::home(plan) }
        } else {
            std::fs::create_dir_all(layer_of(plan)).context("cannot make the layer")?;
            Order::Detach { plan: Box::new(plan.clone()) }
        };
        let Answer::Made { pid, start } = carry_out(&plan.shim, &order).await? else {
            return Err(unexpected());
        };
        let record = record_of(plan, pid, start)?;
        if let Err(failure) = wait_for_shim(plan, &record).await {
            kill(&record).await;
            return Err(failure);
        }
        Ok(record)
    }

    fn marks(&self) -> Vec<Mark> {
        let environments = std::fs::read_dir(self.home.join("environments"));
        let directories = environments.into_iter().flatten().flatten().map(|entry| entry.path());
        directories.filter_map(|directory| read_mark(&directory)).collect()
    }
}

#[async_trait]
impl Engine for Native {
    fn kind(&self) -> EngineKind {
        EngineKind::Native
    }

    async fn probe(&self) -> EngineReport {
        let result = self.try_out().await;
        let user = if rustix::process::geteuid().is_root() { "root" } else { "ordinary" };
        let mut report = EngineReport {
            engine: EngineKind::Native,
            usable: true,
            summary: "namespaces and overlays of this kernel".to_owned(),
            hint: None,
            details: vec![
                ("kernel".to_owned(), kernel_release()),
                ("user".to_owned(), user.to_owned()),
                ("limits".to_owned(), "processes only".to_owned()),
            ],
            capabilities: Capabilities { limits: LimitSupport::Rlimit, ..Capabilities::default() },
        };
        if let Err(failure) = result {
            report.usable = false;
            report.summary = failure.message;
            report.hint = failure.hint;
        }
        report
    }

    async fn create(&self, plan: &BoxPlan, _progress: &ProgressSink) -> Result<BoxRecord, Failure> {
        refuse_impossible(plan)?;
        let fresh = !layer_of(plan).exists();
        let made = self.make(plan).await;
        if made.is_err() && fresh {
            // What failed is told; a rest of the layer would only be used by the next try.
            let _ = super::remove_tree(&layer_of(plan));
        }
        made
    }

    async fn start(&self, plan: &BoxPlan, record: &BoxRecord) -> Result<BoxRecord, Failure> {
        refuse_impossible(plan)?;
        if process::lives(record) { Ok(record.clone()) } else { self.make(plan).await }
    }

    async fn stop(&self, record: &BoxRecord, grace: Duration) -> Result<(), Failure> {
        let marked = record.run.parent().and_then(read_mark).map(|mark| mark.record);
        if let Some(marked) = marked.filter(|marked| marked != record) {
            // Made in the record's place, before a server that was killed could take note of it.
            kill(&marked).await;
        }
        if process::open(record).is_none() {
            return Ok(());
        }
        // A shim that does not answer is killed below, like one that takes too long.
        let _ = tokio::time::timeout(grace + STOP_MARGIN, channel::stop(record, grace)).await;
        kill(record).await;
        if process::lives(record) {
            let message = format!("process {} cannot be ended", record.init_pid);
            return Err(Failure::new(FailureKind::Timeout, message)
                .hint("it waits for the disk or the network; try again"));
        }
        Ok(())
    }

    async fn remove(&self, record: &BoxRecord) -> Result<(), Failure> {
        self.stop(record, Duration::ZERO).await?;
        remove_mark(&record.run)
    }

    async fn state(&self, record: &BoxRecord) -> Result<BoxState, Failure> {
        if process::lives(record) {
            return Ok(BoxState::Running);
        }
        let known = record.run.parent().and_then(read_mark);
        Ok(if known.is_some() { BoxState::Stopped } else { BoxState::Gone })
    }

    async fn isolation(&self, record: &BoxRecord) -> Result<Isolation, Failure> {
        match tokio::time::timeout(LOOK_DEADLINE, isolation::read(record)).await {
            Ok(read) => Ok(read?),
            Err(_) => Err(Failure::new(FailureKind::Timeout, "the box does not answer")),
        }
    }

    async fn list(&self, deck: &str) -> Result<Vec<EnvironmentId>, Failure> {
        let ours = self.marks().into_iter().filter(|mark| mark.deck == deck);
        Ok(ours.map(|mark| mark.record.environment).collect())
    }

    async fn remove_orphan(&self, deck: &str, environment: &EnvironmentId) -> Result<(), Failure> {
        let is_it = |mark: &Mark| mark.deck == deck && mark.record.environment == *environment;
        match self.marks().into_iter().find(is_it) {
            Some(mark) => self.remove(&mark.record).await,
            None => Ok(()),
        }
    }

    async fn open_channel(&self, record: &BoxRecord) -> Result<UnixStream, Failure> {
        let stream = channel::open(record).map_err(|error| {
            let message =
                format!("cannot reach the box of environment {}: {error}", record.environment);
            Failure::new(FailureKind::Unavailable, message)
        })?;
        stream.set_nonblocking(true).context("cannot use the shim's socket")?;
        Ok(UnixStream::from_std(stream).context("cannot use the shim's socket")?)
    }
}

impl Native {
    async fn try_out(&self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.home)
            .with_context(|| format!("cannot make {}", self.home.display()))?;
        let directory = tempfile::Builder::new().prefix("probe-").tempdir_in(&self.home);
        let directory = directory.context("cannot make a directory to try out")?;
        let order = Order::Probe { directory: directory.path().to_owned() };
        match carry_out(&self.program, &order).await? {
            Answer::Works => Ok(()),
            _ => Err(unexpected()),
        }
    }
}

fn refuse_impossible(plan: &BoxPlan) -> Result<(), Failure> {
    let refused =
        |message: &str, hint: &str| Err(Failure::new(FailureKind::Refused, message).hint(hint));
    if plan.network.mode == NetworkMode::Bridge && plan.isolation == IsolationRequest::Required {
        return refused(
            "the native engine has no bridge network",
            "use --network open, or --engine docker",
        );
    }
    if plan.image.is_some() {
        return refused(
            "the native engine shows the host's own programs and takes no image",
            "leave --image out, or use --engine docker",
        );
    }
    match root::refuse_mount(&plan.mount) {
        Some(failure) if plan.isolation == IsolationRequest::Required => Err(failure),
        _ => Ok(()),
    }
}

/// Writes what the shim reads. The box may have put anything in the file's place, so it is
/// replaced, never written through.
fn write_config(plan: &BoxPlan, isolated: bool) -> anyhow::Result<()> {
    let inside = |path: &Path| path.to_string_lossy().into_owned();
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (agent_user, agent_group) = if isolated { (0, 0) } else { own };
    let config = ShimConfig {
        run_directory: if isolated { RUN_DIRECTORY.to_owned() } else { inside(&plan.run) },
        workspace: inside(if isolated { &plan.mount } else { &plan.workspace }),
        environment: if isolated {
            environment::isolated(plan)
        } else {
            environment::unisolated(plan)
        },
        agent_user,
        agent_group,
        drop_privileges: isolated,
        relay: if isolated { relay_for(&plan.network) } else { None },
    };
    replace(&plan.run, CONFIG, &serde_json::to_vec(&config)?)
}

/// Puts a file in a directory, whole or not at all.
fn replace(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write {name} in {}", directory.display());
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    file.write_all(content).with_context(failed)?;
    file.persist(directory.join(name)).with_context(failed)?;
    Ok(())
}

/// Runs the child that carries `order` out. It is killed when this is dropped, and what it was
/// about to make with it.
async fn carry_out(program: &Path, order: &Order) -> Result<Answer, Failure> {
    let work = async {
        let mut child = tokio::process::Command::new(program)
            .arg("box")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let mut input = child.stdin.take().context("the child has no input")?;
        let mut output = child.stdout.take().context("the child has no output")?;
        input.write_all(&serde_json::to_vec(order)?).await?;
        drop(input);
        let mut text = Vec::new();
        output.read_to_end(&mut text).await?;
        child.wait().await?;
        anyhow::Ok(serde_json::from_slice(&text).context("the child that makes boxes failed")?)
    };
    match tokio::time::timeout(CREATE_DEADLINE, work).await {
        Ok(Ok(Answer::Failed(failure))) => Err(failure),
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(Failure::new(FailureKind::Timeout, "making a box took too long")),
    }
}

async fn wait_for_shim(plan: &BoxPlan, record: &BoxRecord) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + SHIM_DEADLINE;
    loop {
        let Err(error) = channel::open(record) else { return Ok(()) };
        if !process::lives(record) || tokio::time::Instant::now() >= deadline {
            let log = std::fs::read_to_string(plan.directory.join("shim.log")).unwrap_or_default();
            let said = log.lines().last().map_or_else(|| error.to_string(), str::to_owned);
            let message = format!("the box's first process does not serve: {said}");
            return Err(Failure::new(FailureKind::Internal, message));
        }
        tokio::time::sleep(SHIM_RETRY).await;
    }
}

/// Kills the box, if it lives, and waits for its end.
async fn kill(record: &BoxRecord) {
    if let Some(handle) = process::open(record) {
        process::kill(&handle);
        let waited = tokio::task::spawn_blocking(move || process::wait(&handle, KILL_DEADLINE));
        // Whether it ended is for the caller to look at.
        let _ = waited.await;
    }
}

fn layer_of(plan: &BoxPlan) -> PathBuf {
    plan.directory.join(layer::DIRECTORY)
}

fn record_of(plan: &BoxPlan, init_pid: u32, init_start: u64) -> anyhow::Result<BoxRecord> {
    Ok(BoxRecord {
        environment: plan.environment.clone(),
        init_pid,
        init_start,
        container: None,
        boot: process::boot_id().context("cannot read the boot's id")?,
        endpoint: None,
        run: plan.run.clone(),
    })
}

/// Writes down which box the layer belongs to. Whoever makes the box does it before the box
/// begins, so that one that outlives the server's end is always found again.
fn write_mark(plan: &BoxPlan, init_pid: u32, init_start: u64) -> anyhow::Result<()> {
    let record = record_of(plan, init_pid, init_start)?;
    let text = serde_json::to_vec(&Mark { deck: plan.deck.clone(), record })?;
    replace(&layer_of(plan), MARK, &text)
}

fn read_mark(directory: &Path) -> Option<Mark> {
    let text = std::fs::read(directory.join(layer::DIRECTORY).join(MARK)).ok()?;
    serde_json::from_slice(&text).ok()
}

fn remove_mark(run: &Path) -> Result<(), Failure> {
    let directory = run.parent().unwrap_or(run);
    match std::fs::remove_file(directory.join(layer::DIRECTORY).join(MARK)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(anyhow::Error::from(error).context("cannot forget the box").into())
        }
        _ => Ok(()),
    }
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}

fn unexpected() -> Failure {
    Failure::new(FailureKind::Internal, "the child that makes boxes answered something else")
}
