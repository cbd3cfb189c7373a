//! The embedded engine: boxes from the kernel's own namespaces, without a daemon.
//!
//! A box is a process tree whose first process is the shim. Nothing of it lives outside the
//! environment's directory but these processes and their control groups, which are recorded.

pub mod child;

mod ahead;
mod birth;
mod carrying;
mod cgroup;
mod channel;
mod copying;
mod environment;
mod forking;
mod image;
mod isolation;
mod kernel;
mod layer;
mod making;
mod mark;
mod order;
mod pausing;
mod process;
mod processes;
mod root;
mod saving;
mod system_files;
mod tree;
mod unused;
mod watching;

pub use root::SHIM;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{
    Asked, BoxEvent, BoxPlan, BoxRecord, BoxState, Ending, Engine, ProgressSink, SaveTarget,
    unsupported,
};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::EnvironmentId;
use crate::model::policy::{
    Capabilities, EngineKind, EngineReport, Isolation, IsolationRequest, LimitSupport, Limits,
    Usage,
};
use ahead::Built;
use carrying::Waiting;
use cgroup::{Controller, Group};
use mark::Mark;
use order::{Answer, Order};

/// What a shim gets beyond the grace of its programs before the box is killed.
const STOP_MARGIN: Duration = Duration::from_secs(3);

/// Longest time for the kernel to end a killed box.
const KILL_DEADLINE: Duration = Duration::from_secs(5);

/// Between a box that was made and the beginning of the next: its agent comes first.
const READY_PAUSE: Duration = Duration::from_millis(300);

/// The deck under which groups are made to find out whether they can be.
const PROBE: &str = "probe";

/// Boxes of this kernel.
pub struct Native {
    home: PathBuf,
    program: PathBuf,
    watchers: watching::Watchers,
    /// What the next box is made by, once one was made.
    waiting: Arc<Mutex<Option<Waiting>>>,
    /// The box that is there before it is asked for.
    built: Mutex<Option<Built>>,
}

impl Native {
    /// The engine of the deck whose state is in `home`.
    pub fn new(home: &Path) -> Self {
        Self::with_program(home, Path::new("/proc/self/exe"))
    }

    /// The same, trying out the kernel with another copy of this program.
    pub fn with_program(home: &Path, program: &Path) -> Self {
        let (watchers, waiting) = (watching::Watchers::default(), Arc::default());
        let (home, program) = (home.to_owned(), program.to_owned());
        Self { home, program, watchers, waiting, built: Mutex::default() }
    }

    async fn make(
        &self,
        plan: &BoxPlan,
        progress: Option<&ProgressSink>,
    ) -> Result<BoxRecord, Failure> {
        if let Some(built) = self.take_built(&plan.environment)
            && let Some(record) = built.become_box(plan).await
        {
            self.watchers.watch(&plan.deck, &record);
            return Ok(record);
        }
        let waiting = lock(&self.waiting).take();
        let made = making::make(plan, progress, waiting).await;
        self.make_ready(plan);
        let record = made?;
        self.watchers.watch(&plan.deck, &record);
        Ok(record)
    }

    fn take_built(&self, environment: &EnvironmentId) -> Option<Built> {
        lock(&self.built).take_if(|built| built.is_of(environment))
    }

    /// Has the next box begun before it is asked for, a moment after this one's agent.
    fn make_ready(&self, plan: &BoxPlan) {
        if plan.isolation != IsolationRequest::Required {
            return;
        }
        let (waiting, program) = (Arc::downgrade(&self.waiting), plan.shim.clone());
        tokio::spawn(async move {
            tokio::time::sleep(READY_PAUSE).await;
            let wanted = |waiting: &Arc<Mutex<Option<_>>>| lock(waiting).is_none();
            if !waiting.upgrade().as_ref().is_some_and(wanted) {
                return;
            }
            // What fails here fails again, and is told, when a box is asked for.
            if let (Ok(ready), Some(waiting)) = (Waiting::start(&program).await, waiting.upgrade())
            {
                *lock(&waiting) = Some(ready);
            }
        });
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
        let (limits, bounds) = try_limits().await;
        let mut report = EngineReport {
            engine: EngineKind::Native,
            usable: true,
            capabilities: Capabilities {
                limits,
                pause: true,
                fork: true,
                save: true,
                images: true,
                update_limits: limits == LimitSupport::Cgroup,
                ..Capabilities::default()
            },
            summary: "namespaces and overlays of this kernel".to_owned(),
            hint: None,
            details: vec![
                ("kernel".to_owned(), kernel_release()),
                ("user".to_owned(), user.to_owned()),
                ("limits".to_owned(), bounds),
            ],
        };
        if let Err(failure) = result {
            report.usable = false;
            report.summary = failure.message;
            report.hint = failure.hint;
        }
        report
    }

    async fn create(&self, plan: &BoxPlan, progress: &ProgressSink) -> Result<BoxRecord, Failure> {
        making::refuse_impossible(plan)?;
        let fresh = !layer_of(plan).exists();
        let made = self.make(plan, Some(progress)).await;
        if made.is_err() && fresh {
            // What failed is told; a rest of the layer would only be used by the next try.
            let _ = super::remove_tree(&layer_of(plan));
        }
        made
    }

    async fn start(&self, plan: &BoxPlan, record: &BoxRecord) -> Result<BoxRecord, Failure> {
        making::refuse_impossible(plan)?;
        if process::lives(record) { Ok(record.clone()) } else { self.make(plan, None).await }
    }

    async fn stop(&self, record: &BoxRecord, grace: Duration) -> Result<(), Failure> {
        let mark = Mark::of(record);
        if let Some(mark) = mark.as_ref().filter(|mark| mark.record != *record) {
            // Made in the record's place, before a server that was killed could take note of it.
            let _ = pausing::resume(mark);
            kill(&mark.record).await;
        }
        if process::open(record).is_some() {
            if let Some(mark) = &mark {
                // What stands still can neither leave nor, in older groups, be killed.
                let _ = pausing::resume(mark);
            }
            // A shim that does not answer is killed below, like one that takes too long.
            let _ = tokio::time::timeout(grace + STOP_MARGIN, channel::stop(record, grace)).await;
            kill(record).await;
        }
        if process::lives(record) {
            let message = format!("process {} cannot be ended", record.init_pid);
            return Err(Failure::new(FailureKind::Timeout, message)
                .hint("it waits for the disk or the network; try again"));
        }
        match mark {
            Some(mark) => mark.group.remove().await,
            None => Ok(()),
        }
    }

    async fn remove(&self, record: &BoxRecord) -> Result<(), Failure> {
        self.stop(record, Duration::ZERO).await?;
        Mark::remove(record)
    }

    async fn state(&self, record: &BoxRecord) -> Result<BoxState, Failure> {
        let mark = Mark::of(record);
        if process::lives(record) {
            let paused = mark.is_some_and(|mark| pausing::is_paused(&mark));
            return Ok(if paused { BoxState::Paused } else { BoxState::Running });
        }
        Ok(if mark.is_some() { BoxState::Stopped } else { BoxState::Gone })
    }

    async fn isolation(&self, record: &BoxRecord, asked: &Asked) -> Result<Isolation, Failure> {
        isolation::read(record, asked).await
    }

    async fn list(&self, deck: &str) -> Result<Vec<EnvironmentId>, Failure> {
        let ours = Mark::all(&self.home).into_iter().filter(|mark| mark.deck == deck);
        let mut found: Vec<EnvironmentId> = ours.map(|mark| mark.record.environment).collect();
        // A group may be left where nothing else of the box is.
        let grouped = Group::names(deck).into_iter().filter_map(|name| EnvironmentId::parse(&name));
        for environment in grouped {
            if !found.contains(&environment) {
                found.push(environment);
            }
        }
        Ok(found)
    }

    async fn remove_orphan(&self, deck: &str, environment: &EnvironmentId) -> Result<(), Failure> {
        let is_it = |mark: &Mark| mark.deck == deck && mark.record.environment == *environment;
        match Mark::all(&self.home).into_iter().find(is_it) {
            Some(mark) => self.remove(&mark.record).await,
            None => Group::find(deck, environment.as_str()).remove().await,
        }
    }

    async fn make_ahead(&self, plan: &BoxPlan) -> Result<(), Failure> {
        if !ahead::is_possible(plan) {
            return Ok(());
        }
        let waiting = lock(&self.waiting).take().and_then(|waiting| waiting.fit_for(&plan.shim));
        let made = async {
            let waiting = match waiting {
                Some(waiting) => waiting,
                None => Waiting::start(&plan.shim).await?,
            };
            Built::make(plan.clone(), waiting).await
        };
        let made = match made.await {
            Ok(built) => {
                let former = lock(&self.built).replace(built);
                if let Some(former) = former {
                    former.end().await;
                }
                Ok(())
            }
            Err(failure) => {
                // What has begun over it is ending, and must not be in the way of who asks.
                let _ = super::remove_tree(&layer_of(plan));
                Err(failure)
            }
        };
        // For an environment that is another than the one that was guessed.
        self.make_ready(plan);
        made
    }

    fn expect_ahead(&self, environment: &EnvironmentId) {
        if let Some(built) = lock(&self.built).as_mut().filter(|it| it.is_of(environment)) {
            built.look_again();
        }
    }

    async fn forget_ahead(&self, environment: &EnvironmentId) {
        if let Some(built) = self.take_built(environment) {
            built.end().await;
        }
    }

    async fn remove_unused(&self) -> Result<(), Failure> {
        let home = self.home.clone();
        let removing = tokio::task::spawn_blocking(move || unused::remove(&home));
        Ok(removing.await.context("removing what is unused failed")??)
    }

    async fn programs(&self, _deck: &str, _boxes: &[BoxRecord]) -> Result<Vec<PathBuf>, Failure> {
        let home = self.home.clone();
        let looking = tokio::task::spawn_blocking(move || unused::programs(&home));
        looking.await.context("looking at the boxes failed")?
    }

    async fn open_channel(&self, record: &BoxRecord) -> Result<UnixStream, Failure> {
        channel::open(record).await.map_err(|error| {
            let message =
                format!("cannot reach the box of environment {}: {error}", record.environment);
            Failure::new(FailureKind::Unavailable, message)
        })
    }

    async fn kill(&self, record: &BoxRecord) -> Result<(), Failure> {
        if let Some(mark) = Mark::of(record) {
            let _ = pausing::resume(&mark);
        }
        kill(record).await;
        self.stop(record, Duration::ZERO).await
    }

    async fn wait(&self, record: &BoxRecord) -> Result<Ending, Failure> {
        Ok(watching::wait(record).await?)
    }

    fn events(&self, deck: &str) -> mpsc::Receiver<BoxEvent> {
        self.watchers.listen(deck, &self.home)
    }

    async fn pause(&self, record: &BoxRecord) -> Result<(), Failure> {
        pausing::pause(living(record)?).await
    }

    async fn resume(&self, record: &BoxRecord) -> Result<(), Failure> {
        pausing::resume(&living(record)?)
    }

    async fn update_limits(&self, record: &BoxRecord, limits: &Limits) -> Result<(), Failure> {
        let group = living(record)?.group;
        for (asked, controller) in [
            (limits.memory.is_some(), Controller::Memory),
            (limits.processes.is_some(), Controller::Pids),
            (limits.cpu_millis.is_some(), Controller::Cpu),
        ] {
            if asked && !group.has(controller) {
                let what = format!("change the {} limit of a box that runs", controller.name());
                return Err(unsupported(EngineKind::Native, &what));
            }
        }
        let used = group.count().memory.unwrap_or_default();
        if let Some(bound) = limits.memory.filter(|bound| *bound < used) {
            // The kernel would end programs of the box to make it true.
            let message = format!("the box uses {used} bytes, which is more than {bound}");
            return Err(Failure::new(FailureKind::Refused, message).hint(
                "end something in the box first, or stop it and start it with the new limit",
            ));
        }
        Ok(group.limit(limits)?)
    }

    async fn usage(&self, records: &[BoxRecord]) -> Vec<Option<Usage>> {
        records.iter().map(usage).collect()
    }

    async fn fork(
        &self,
        from: &BoxRecord,
        plan: &BoxPlan,
        progress: &ProgressSink,
    ) -> Result<(), Failure> {
        forking::fork(from, plan, progress).await
    }

    async fn save(
        &self,
        plan: &BoxPlan,
        record: &BoxRecord,
        to: &SaveTarget,
        progress: &ProgressSink,
    ) -> Result<(), Failure> {
        saving::save(plan, record, to, progress).await
    }
}

impl Native {
    async fn try_out(&self) -> Result<(), Failure> {
        std::fs::create_dir_all(&self.home)
            .with_context(|| format!("cannot make {}", self.home.display()))?;
        let directory = tempfile::Builder::new().prefix("probe-").tempdir_in(&self.home);
        let directory = directory.context("cannot make a directory to try out")?;
        let order = Order::Probe { directory: directory.path().to_owned() };
        match carrying::carry_out(&self.program, &order, making::CREATE_DEADLINE).await? {
            Answer::Works => Ok(()),
            _ => Err(carrying::unexpected()),
        }
    }
}

/// What groups can bound here, found by making one.
async fn try_limits() -> (LimitSupport, String) {
    let group = Group::make(PROBE, &std::process::id().to_string());
    let kinds = [Controller::Memory, Controller::Pids, Controller::Cpu];
    let had = |kind: &Controller| {
        Some(format!("{} by cgroup v{}", kind.name(), group.version_of(*kind)?))
    };
    let kept: Vec<String> = kinds.iter().filter_map(had).collect();
    let freezes = group.can_freeze();
    // An empty group of ours that stays is in nobody's way.
    let _ = group.remove().await;
    let own = if rustix::process::geteuid().is_root() {
        "open files by rlimit"
    } else {
        "processes and open files by rlimit"
    };
    let paused = if freezes { "paused by the freezer" } else { "paused by signals" };
    if kept.is_empty() {
        let told = format!("{own}; {paused}; no control group can be made by this user");
        return (LimitSupport::Rlimit, told);
    }
    (LimitSupport::Cgroup, format!("{}; open files by rlimit; {paused}", kept.join(", ")))
}

/// The mark of a box that runs.
fn living(record: &BoxRecord) -> Result<Mark, Failure> {
    let mark = Mark::of(record).filter(|mark| mark.record == *record && process::lives(record));
    mark.ok_or_else(|| {
        let message = format!("the box of environment {} does not run", record.environment);
        Failure::new(FailureKind::Refused, message).hint("start it first")
    })
}

fn usage(record: &BoxRecord) -> Option<Usage> {
    let mark = living(record).ok()?;
    let grouped = mark.group.count();
    if let (Some(cpu), Some(memory), Some(processes)) =
        (grouped.cpu, grouped.memory, grouped.processes)
    {
        return Some(Usage { cpu, memory, processes });
    }
    let counted = processes::count(record.init_pid);
    Some(Usage {
        cpu: grouped.cpu.or(counted.cpu)?,
        memory: grouped.memory.or(counted.memory)?,
        processes: grouped.processes.or(counted.processes)?,
    })
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

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn layer_of(plan: &BoxPlan) -> PathBuf {
    plan.directory.join(layer::DIRECTORY)
}

fn kernel_release() -> String {
    rustix::system::uname().release().to_string_lossy().into_owned()
}
