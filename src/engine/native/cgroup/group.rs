//! One box's groups: made, bounded, filled, frozen, counted, removed.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::hierarchy::{self, Hierarchy, SERVER};
use super::{Controller, Version, values};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::Limits;

/// Begins the name of each box's group: `agentdeck-DECK-ENVIRONMENT`.
const PREFIX: &str = "agentdeck";

/// Holds a box's programs, where they are frozen without the shim.
const PROGRAMS: &str = "programs";

/// Processes of a box that was given no bound of its own.
pub(in crate::engine::native) const DEFAULT_PROCESSES: u32 = 4096;

/// The shim is in the group too, and is not one of the processes that were asked for.
const SHIM_PROCESSES: u64 = 1;

/// Longest time for every process of a box to be held: those that wait for a disk hold it up.
const FREEZE_DEADLINE: Duration = Duration::from_secs(5);

/// Between two looks at whether they are.
const FREEZE_LOOK: Duration = Duration::from_millis(1);

/// Longest time for the kernel to let go of a group whose processes ended.
const REMOVE_DEADLINE: Duration = Duration::from_secs(2);

/// Between two tries to remove one.
const REMOVE_RETRY: Duration = Duration::from_millis(5);

/// The groups of one box; recorded with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::engine::native) struct Group {
    parts: Vec<Part>,
}

/// The box's group in one hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Part {
    path: PathBuf,
    version: Version,
    controllers: Vec<Controller>,
}

/// What a box used so far and uses now, as far as its groups count it.
#[derive(Debug, Default)]
pub(in crate::engine::native) struct Counted {
    pub(in crate::engine::native) cpu: Option<Duration>,
    pub(in crate::engine::native) memory: Option<u64>,
    pub(in crate::engine::native) processes: Option<u32>,
}

impl Group {
    /// Makes what can be had for a box; nothing where this user may make no group. What an
    /// interrupted try left is made anew, so that no old bound stays.
    pub(in crate::engine::native) fn make(deck: &str, environment: &str) -> Self {
        for left in Self::find(deck, environment).parts {
            let _ = left.remove();
        }
        let hierarchies = hierarchy::all();
        let parts = hierarchies.iter().filter_map(|found| part(found, deck, environment));
        Self { parts: parts.collect() }
    }

    /// What there is of groups with these names already.
    pub(in crate::engine::native) fn find(deck: &str, environment: &str) -> Self {
        let mut parts = Vec::new();
        for hierarchy in hierarchy::all() {
            let paths = hierarchy.tops.iter().map(|top| top.join(name(deck, environment)));
            let (version, controllers) = (hierarchy.version, &hierarchy.controllers);
            parts.extend(paths.filter(|path| path.is_dir()).map(|path| Part {
                path,
                version,
                controllers: controllers.clone(),
            }));
        }
        Self { parts }
    }

    /// The names of a deck's boxes that have groups.
    pub(in crate::engine::native) fn names(deck: &str) -> Vec<String> {
        let mut names = Vec::new();
        let prefix = name(deck, "");
        for top in hierarchy::all().iter().flat_map(|hierarchy| &hierarchy.tops) {
            let found = std::fs::read_dir(top).into_iter().flatten().flatten();
            let directories = found.filter(|it| it.file_type().is_ok_and(|it| it.is_dir()));
            let named = directories.filter_map(|it| it.file_name().into_string().ok());
            names.extend(named.filter_map(|it| it.strip_prefix(&prefix).map(str::to_owned)));
        }
        names.sort();
        names.dedup();
        names
    }

    fn with(&self, controller: Controller) -> Option<&Part> {
        self.parts.iter().find(|part| part.controllers.contains(&controller))
    }

    /// Whether a bound of this kind is kept by a group.
    pub(in crate::engine::native) fn has(&self, controller: Controller) -> bool {
        self.with(controller).is_some()
    }

    /// The versions of the interface in use.
    pub(in crate::engine::native) fn version_of(&self, controller: Controller) -> Option<u8> {
        self.with(controller).map(|part| match part.version {
            Version::One => 1,
            Version::Two => 2,
        })
    }

    /// Bounds the box; what is `None` stays as it is, and what no group can bound is passed over.
    pub(in crate::engine::native) fn limit(&self, limits: &Limits) -> anyhow::Result<()> {
        if let (Some(part), Some(bytes)) = (self.with(Controller::Memory), limits.memory) {
            values::limit_memory(&part.path, part.version, bytes)
                .context("cannot bound the box's memory")?;
        }
        if let (Some(part), Some(processes)) = (self.with(Controller::Pids), limits.processes) {
            values::limit_processes(&part.path, u64::from(processes) + SHIM_PROCESSES)
                .context("cannot bound the number of the box's processes")?;
        }
        if let (Some(part), Some(millis)) = (self.with(Controller::Cpu), limits.cpu_millis) {
            values::limit_cpu(&part.path, part.version, millis)
                .context("cannot bound the box's processor time")?;
        }
        Ok(())
    }

    /// Puts a process, and with it what it will start, into the groups.
    pub(in crate::engine::native) fn place(&self, pid: u32) -> anyhow::Result<()> {
        for part in &self.parts {
            let place = part.programs();
            values::set(&place, "cgroup.procs", &pid.to_string())
                .with_context(|| format!("cannot put the box into {}", place.display()))?;
        }
        Ok(())
    }

    /// Has the kernel make ready for a process to be placed, which takes it some milliseconds when
    /// none was of late. Only system calls: for a process that is there for nothing else.
    pub(in crate::engine::native) fn make_ready(&self) {
        if let Some(part) = self.parts.first() {
            // Writing 0 places the process itself; without it the next one waits longer.
            let _ = values::set(&part.programs(), "cgroup.procs", "0");
        }
    }

    fn freezing(&self) -> Option<&Part> {
        self.parts.iter().find(|part| part.freezes())
    }

    pub(in crate::engine::native) fn can_freeze(&self) -> bool {
        self.freezing().is_some()
    }

    /// Holds every process of the box but its shim, whose id is `shim`.
    pub(in crate::engine::native) async fn freeze(&self, shim: u32) -> Result<(), Failure> {
        let part = self.freezing().context("the box has no group that freezes")?;
        let programs = part.programs();
        values::set(&part.path, "cgroup.procs", &shim.to_string())
            .context("cannot keep the box's first process from being frozen")?;
        values::freeze(&programs, part.version, true).context("cannot freeze the box")?;
        let deadline = tokio::time::Instant::now() + FREEZE_DEADLINE;
        while !self.is_frozen() {
            if tokio::time::Instant::now() >= deadline {
                self.thaw()?;
                let message = "a process of the box does not let itself be paused";
                return Err(Failure::new(FailureKind::Timeout, message)
                    .hint("it waits for the disk or the network; try again"));
            }
            tokio::time::sleep(FREEZE_LOOK).await;
        }
        Ok(())
    }

    /// Lets everything go on, and everything be held the next time.
    pub(in crate::engine::native) fn thaw(&self) -> anyhow::Result<()> {
        let Some(part) = self.freezing() else { return Ok(()) };
        let programs = part.programs();
        values::freeze(&programs, part.version, false).context("cannot let the box go on")?;
        for pid in values::members(&part.path) {
            // One that ended meanwhile needs no place.
            let _ = values::set(&programs, "cgroup.procs", &pid.to_string());
        }
        Ok(())
    }

    /// Whether the box is held, as the kernel has it.
    pub(in crate::engine::native) fn is_frozen(&self) -> bool {
        self.freezing().is_some_and(|part| values::is_frozen(&part.programs(), part.version))
    }

    pub(in crate::engine::native) fn count(&self) -> Counted {
        let cpu = |part: &Part| values::cpu(&part.path, part.version, &part.controllers);
        let memory = self.with(Controller::Memory);
        let processes = self.with(Controller::Pids).and_then(|it| values::processes(&it.path));
        Counted {
            cpu: self.parts.iter().find_map(cpu),
            memory: memory.and_then(|part| values::memory(&part.path, part.version)),
            processes: processes.map(|count| count.saturating_sub(SHIM_PROCESSES as u32)),
        }
    }

    /// How often a process of the box was killed because the box's memory was used up.
    pub(in crate::engine::native) fn memory_kills(&self) -> u64 {
        let part = self.with(Controller::Memory);
        part.and_then(|part| values::memory_kills(&part.path, part.version)).unwrap_or_default()
    }

    /// Removes the groups of a box that ended.
    pub(in crate::engine::native) async fn remove(&self) -> Result<(), Failure> {
        let deadline = tokio::time::Instant::now() + REMOVE_DEADLINE;
        for part in &self.parts {
            while let Err(error) = part.remove() {
                if tokio::time::Instant::now() >= deadline {
                    let message = format!("cannot remove {}: {error}", part.path.display());
                    return Err(Failure::new(FailureKind::Timeout, message));
                }
                tokio::time::sleep(REMOVE_RETRY).await;
            }
        }
        Ok(())
    }

    /// The same, for a process that has no runtime.
    pub(in crate::engine::native) fn remove_blocking(&self) {
        let begun = std::time::Instant::now();
        for part in &self.parts {
            while part.remove().is_err() && begun.elapsed() < REMOVE_DEADLINE {
                std::thread::sleep(REMOVE_RETRY);
            }
        }
    }
}

impl Part {
    fn freezes(&self) -> bool {
        self.version == Version::Two || self.controllers.contains(&Controller::Freezer)
    }

    /// Where the box's processes are.
    fn programs(&self) -> PathBuf {
        if self.freezes() { self.path.join(PROGRAMS) } else { self.path.clone() }
    }

    /// Removes the group.
    fn remove(&self) -> io::Result<()> {
        if self.freezes() {
            remove_directory(&self.programs())?;
        }
        remove_directory(&self.path)
    }
}

fn name(deck: &str, environment: &str) -> String {
    format!("{PREFIX}-{deck}-{environment}")
}

fn make_directory(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn remove_directory(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Makes a box's group in one hierarchy, at the first place that allows it.
fn part(hierarchy: &Hierarchy, deck: &str, environment: &str) -> Option<Part> {
    hierarchy.tops.iter().find_map(|top| {
        if hierarchy.version == Version::Two {
            turn_on_at(top, &hierarchy.controllers);
        }
        make_at(top.join(name(deck, environment)), hierarchy).ok()
    })
}

fn make_at(path: PathBuf, hierarchy: &Hierarchy) -> io::Result<Part> {
    make_directory(&path)?;
    let mut controllers = hierarchy.controllers.clone();
    if hierarchy.version == Version::Two {
        let on = std::fs::read_to_string(path.join("cgroup.controllers"))?;
        controllers.retain(|it| on.split_ascii_whitespace().any(|name| name == it.name()));
    }
    let part = Part { path, version: hierarchy.version, controllers };
    if part.freezes() {
        make_directory(&part.programs())?;
    }
    if part.controllers.contains(&Controller::Cpu) {
        values::weigh(&part.path, part.version)?;
    }
    rustix::fs::access(part.programs().join("cgroup.procs"), rustix::fs::Access::WRITE_OK)?;
    Ok(part)
}

/// Turns each controller on for the groups below; one that the kernel refuses stays off.
fn turn_on(group: &Path, controllers: &[Controller]) -> bool {
    let busy = |controller: &Controller| {
        let word = format!("+{}", controller.name());
        matches!(values::set(group, "cgroup.subtree_control", &word),
            Err(error) if error.raw_os_error() == Some(libc::EBUSY))
    };
    // Each is tried, also after one that was refused.
    controllers.iter().filter(|controller| busy(controller)).count() == 0
}

/// The same in a group that was delegated. The kernel refuses while processes are in it; where
/// this server is the only one there, it moves into a group of its own.
fn turn_on_at(top: &Path, controllers: &[Controller]) {
    if turn_on(top, controllers) {
        return;
    }
    let own = std::process::id();
    if values::members(top) == [own] {
        let place = top.join(SERVER);
        // Without the move the controllers stay off, which is then told.
        let _ = std::fs::create_dir(&place);
        let _ = values::set(&place, "cgroup.procs", &own.to_string());
        turn_on(top, controllers);
    }
}
