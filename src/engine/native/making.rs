//! Making a box: its configuration, its groups, and the child that builds it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::carrying::{Waiting, carry_out, unexpected};
use super::cgroup::{Controller, DEFAULT_PROCESSES, Group};
use super::mark::Mark;
use super::order::{Answer, Order};
use super::{channel, environment, image, kill, layer_of, mark, process, root};
use crate::engine::{BoxPlan, BoxRecord, Progress, ProgressSink, RUN_DIRECTORY};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{ImageSource, IsolationRequest, Limits, NetworkMode};
use crate::shim::config::{Confinement, ProgramLimits, ShimConfig, relay_for};

/// The shim's configuration in the run directory.
pub(super) const CONFIG: &str = "shim.json";

/// Open descriptors of one process of a box that was given no bound of its own.
const DEFAULT_FILES: u64 = 65_536;

/// Longest time for a box to be made: copying `/etc` on a slow disk takes most of it.
pub(super) const CREATE_DEADLINE: Duration = Duration::from_secs(30);

/// Longest time for a shim to listen after its program was started.
const SHIM_DEADLINE: Duration = Duration::from_secs(10);

/// How often a shim that does not listen yet is tried; it takes about this long.
const SHIM_RETRY: Duration = Duration::from_millis(1);

/// Makes a box and waits until its shim serves. On failure no process and no group is left.
pub(super) async fn make(
    plan: &BoxPlan,
    progress: Option<&ProgressSink>,
    waiting: Option<Waiting>,
) -> Result<BoxRecord, Failure> {
    if Mark::read(&plan.directory).is_some_and(|mark| process::lives(&mark.record)) {
        let message = format!("the box over {} runs already", layer_of(plan).display());
        return Err(Failure::new(FailureKind::AlreadyExists, message));
    }
    provide_image(plan, progress.cloned()).await?;
    let isolated = plan.isolation == IsolationRequest::Required;
    let group = if isolated {
        Group::make(&plan.deck, plan.environment.as_str())
    } else {
        Group::default()
    };
    let made = make_in(plan, &group, isolated, waiting).await;
    if made.is_err() {
        // What failed is told; an empty group that stays is found with the deck's others.
        let _ = group.remove().await;
    }
    made
}

/// Unpacks the image of the box, if it has one that is not there yet.
async fn provide_image(plan: &BoxPlan, progress: Option<ProgressSink>) -> Result<(), Failure> {
    if plan.image.is_none() {
        return Ok(());
    }
    let plan = plan.clone();
    let mut done = 0;
    let mut tell = move |bytes: u64| {
        done += bytes;
        let step = "unpacking the image".to_owned();
        // Full: whoever listens has enough to read.
        let _ = progress.as_ref().map(|it| it.try_send(Progress { step, done, total: 0 }));
    };
    let providing = tokio::task::spawn_blocking(move || image::provide(&plan, &mut tell));
    Ok(providing.await.context("unpacking the image failed")??)
}

async fn make_in(
    plan: &BoxPlan,
    group: &Group,
    isolated: bool,
    waiting: Option<Waiting>,
) -> Result<BoxRecord, Failure> {
    bound(plan, group)?;
    write_config(plan, group, isolated)?;
    let plan_of_child = Box::new(plan.clone());
    let order = if isolated {
        let home_in_box = environment::home(plan);
        Order::Isolate { plan: plan_of_child, home_in_box, group: group.clone() }
    } else {
        std::fs::create_dir_all(layer_of(plan)).context("cannot make the layer")?;
        Order::Detach { plan: plan_of_child }
    };
    let waiting = waiting.filter(|_| isolated).and_then(|waiting| waiting.fit_for(&plan.shim));
    let became = match waiting {
        Some(waiting) => waiting.become_box(&order).await?,
        None => Answer::Gone,
    };
    let answer = match became {
        Answer::Gone => carry_out(&plan.shim, &order, CREATE_DEADLINE).await?,
        answer => answer,
    };
    let Answer::Made { pid, start } = answer else { return Err(unexpected()) };
    serve(plan, pid, start).await
}

/// Bounds a box that is about to begin.
pub(super) fn bound(plan: &BoxPlan, group: &Group) -> anyhow::Result<()> {
    let processes = plan.limits.processes.or(Some(DEFAULT_PROCESSES));
    group.limit(&Limits { processes, ..plan.limits.clone() })
}

/// Waits until the shim of a box that was made serves; one that does not is killed.
pub(super) async fn serve(plan: &BoxPlan, pid: u32, start: u64) -> Result<BoxRecord, Failure> {
    let record = mark::record_of(plan, pid, start)?;
    if let Err(failure) = wait_for_shim(plan, &record).await {
        kill(&record).await;
        return Err(failure);
    }
    Ok(record)
}

pub(super) fn refuse_impossible(plan: &BoxPlan) -> Result<(), Failure> {
    let refused =
        |message: &str, hint: &str| Err(Failure::new(FailureKind::Refused, message).hint(hint));
    if plan.network.mode == NetworkMode::Bridge && plan.isolation == IsolationRequest::Required {
        return refused(
            "the native engine has no bridge network",
            "use --network open, or --engine docker",
        );
    }
    match plan.image {
        None => {}
        Some(ImageSource::Archive(_)) if plan.isolation == IsolationRequest::Required => {}
        Some(ImageSource::Archive(_)) => {
            return refused(
                "without isolation there is no system but the host's, and no image",
                "leave --image out, or the isolation as it is",
            );
        }
        Some(_) => {
            return refused(
                "the native engine takes an image from a file only",
                "use --image FILE.tar, leave the image out, or use --engine docker",
            );
        }
    }
    match root::refuse_mount(&plan.mount) {
        Some(failure) if plan.isolation == IsolationRequest::Required => Err(failure),
        _ => Ok(()),
    }
}

/// Writes what the shim reads.
pub(super) fn write_config(plan: &BoxPlan, group: &Group, isolated: bool) -> anyhow::Result<()> {
    let inside = |path: &Path| path.to_string_lossy().into_owned();
    let own = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (agent_user, agent_group) = if isolated { (0, 0) } else { own };
    let config = ShimConfig {
        run_directory: if isolated { RUN_DIRECTORY.to_owned() } else { inside(&plan.run) },
        workspace: inside(if isolated { &plan.mount } else { &plan.workspace }),
        environment: if isolated {
            environment::isolated(plan, image::of(plan)?.as_ref())
        } else {
            environment::unisolated(plan)
        },
        agent_user,
        agent_group,
        drop_privileges: isolated,
        limits: if isolated { program_limits(plan, group) } else { ProgramLimits::default() },
        relay: if isolated { relay_for(&plan.network) } else { None },
        accounts: None,
        confinement: isolated.then(|| Confinement { places: open_places(plan) }),
        // Its namespace of users has a share of its own.
        notices: None,
    };
    mark::replace(&plan.run, CONFIG, &serde_json::to_vec(&config)?)
}

/// Where the box's programs may do as they like.
fn open_places(plan: &BoxPlan) -> Vec<PathBuf> {
    if plan.image.is_some() {
        // An image has its files where it likes, and what installs more makes places of its own.
        return vec![PathBuf::from("/")];
    }
    let home = environment::home(plan);
    let tools = plan.tools.iter().map(PathBuf::as_path);
    root::open_places([home.as_path(), plan.mount.as_path()].into_iter().chain(tools))
}

/// What each program of the box is bound to by itself.
fn program_limits(plan: &BoxPlan, group: &Group) -> ProgramLimits {
    let processes = u64::from(plan.limits.processes.unwrap_or(DEFAULT_PROCESSES));
    ProgramLimits {
        // Counted by the kernel for the box's users, where no group counts for all.
        processes: (!group.has(Controller::Pids)).then_some(processes),
        files: Some(plan.limits.files.unwrap_or(DEFAULT_FILES)),
    }
}

async fn wait_for_shim(plan: &BoxPlan, record: &BoxRecord) -> Result<(), Failure> {
    let deadline = tokio::time::Instant::now() + SHIM_DEADLINE;
    loop {
        let Err(error) = channel::open(record).await else { return Ok(()) };
        if !process::lives(record) || tokio::time::Instant::now() >= deadline {
            let log = std::fs::read_to_string(plan.directory.join("shim.log")).unwrap_or_default();
            let said = log.lines().last().map_or_else(|| error.to_string(), str::to_owned);
            let message = format!("the box's first process does not serve: {said}");
            return Err(Failure::new(FailureKind::Internal, message));
        }
        tokio::time::sleep(SHIM_RETRY).await;
    }
}
