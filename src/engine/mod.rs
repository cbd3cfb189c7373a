//! Engines make boxes. One trait, and one conformance suite that every engine passes.

mod belongings;
pub mod docker;
mod headers;
mod isolation;
pub mod native;
mod part;
mod place;
mod plain;
mod removal;
mod room;

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::model::endpoint::EndpointChoice;
use crate::model::environment::Environment;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, EnvironmentName};
use crate::model::policy::{
    EngineKind, EngineReport, ImageSource, Isolation, IsolationRequest, Limits, NetworkMode,
    NetworkPolicy, Usage,
};
use crate::model::repository::Identity;

pub use belongings::{Belongings, any_of_root};
pub use place::{other_binaries, place_binary};
pub use removal::remove_tree;

/// The directory inside every box that holds the shim's and the gateway's sockets.
pub const RUN_DIRECTORY: &str = "/run/agentdeck";

/// Everything an engine needs to make a box. All paths are the host's unless said otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxPlan {
    pub environment: EnvironmentId,
    pub name: EnvironmentName,
    /// Tells this deck's boxes from those of another `AGENTDECK_HOME`: 16 hexadecimal digits.
    pub deck: String,
    /// The environment's own directory. An engine may keep a `layer` directory in it.
    pub directory: PathBuf,
    /// The files the agent works on; owned by the user.
    pub workspace: PathBuf,
    /// The box's private git directory, mounted over `.git` of the workspace inside the box only.
    pub git: PathBuf,
    /// The agent's home, already seeded; mounted at the box's home.
    pub home: PathBuf,
    /// Mounted at `RUN_DIRECTORY`; the server listens on the gateway's socket in it.
    pub run: PathBuf,
    /// Where the workspace stands inside the box: the repository's own absolute path.
    pub mount: PathBuf,
    /// The shim's binary: static, named by its content.
    pub shim: PathBuf,
    /// Which engine makes it, for kinds of which there may be several; left out, the one that the
    /// server's own environment names.
    pub endpoint: Option<String>,
    pub image: Option<ImageSource>,
    /// The engine's runtime by its name; left out, the engine's own choice.
    pub runtime: Option<String>,
    pub isolation: IsolationRequest,
    pub network: NetworkPolicy,
    pub limits: Limits,
    pub identity: Identity,
    /// Directories of the user's home shown at the same path; what the box changes in them is its
    /// own (native only).
    pub tools: Vec<PathBuf>,
}

impl BoxPlan {
    /// The deck's own directory, two above the environment's.
    pub fn deck_directory(&self) -> &std::path::Path {
        self.directory.ancestors().nth(2).unwrap_or(&self.directory)
    }

    /// The same plan with the environment's directory at another place.
    #[must_use]
    pub fn moved_to(&self, directory: &std::path::Path) -> Self {
        let moved = |path: &PathBuf| match path.strip_prefix(&self.directory) {
            Ok(rest) => directory.join(rest),
            Err(_) => path.clone(),
        };
        Self {
            directory: directory.to_owned(),
            workspace: moved(&self.workspace),
            git: moved(&self.git),
            home: moved(&self.home),
            run: moved(&self.run),
            ..self.clone()
        }
    }
}

/// What of an environment's rails a box is compared with when it is read back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub network: NetworkMode,
    pub limits: Limits,
}

impl From<&BoxPlan> for Asked {
    fn from(plan: &BoxPlan) -> Self {
        Self { network: plan.network.mode, limits: plan.limits.clone() }
    }
}

impl From<&Environment> for Asked {
    fn from(environment: &Environment) -> Self {
        Self { network: environment.network.mode, limits: environment.limits.clone() }
    }
}

/// What an engine must remember of a box to find it again; kept by the deck, read by its engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxRecord {
    pub environment: EnvironmentId,
    /// The host's process id of the box's first process, and its start time in clock ticks since
    /// boot (`/proc/PID/stat`, field 22), which together name one process for good.
    pub init_pid: u32,
    pub init_start: u64,
    /// The container's id, for engines that have one.
    pub container: Option<String>,
    /// The boot the pid belongs to (`/proc/sys/kernel/random/boot_id`).
    pub boot: String,
    /// The plan's run directory, to reach the shim.
    pub run: PathBuf,
    /// The engine that made it, for kinds of which there may be several: `unix://` and its socket.
    #[serde(default)]
    pub endpoint: Option<String>,
}

/// Whether a box lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoxState {
    Running,
    /// Its programs stand still.
    Paused,
    /// It exists and can be started again.
    Stopped,
    /// The engine does not know it.
    Gone,
}

/// How a box ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// 128 + n for a death by signal n; `None` when nobody knows.
    pub code: Option<i32>,
    /// The kernel ended a program of the box because its memory limit was reached.
    pub out_of_memory: bool,
}

/// What an engine noticed by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoxEvent {
    Ended {
        environment: EnvironmentId,
        ending: Ending,
    },
    /// A program of the box was ended for want of memory; the box goes on.
    OutOfMemory {
        environment: EnvironmentId,
    },
    /// It was started, paused or resumed, by us or by others: how it stands is to be asked.
    Moved {
        environment: EnvironmentId,
    },
    /// The engine does not answer any more, nor tell of its boxes.
    Lost {
        /// As the records of its boxes have it.
        endpoint: String,
        message: String,
    },
    /// It answers, for the first time or again; what happened before was not told.
    Back {
        endpoint: String,
    },
}

/// Where a box's system is written to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SaveTarget {
    /// An image of the engine's own, by name.
    Image(String),
    /// A file that `docker load` and `agentdeck new --image` take.
    Archive(PathBuf),
}

/// How far a long step is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    pub step: String,
    pub done: u64,
    /// 0 when unknown.
    pub total: u64,
}

/// Where an engine reports progress; full means that a report is dropped, never that it waits.
pub type ProgressSink = mpsc::Sender<Progress>;

/// What runs boxes. Every call has a deadline of its own and fails with a `Failure` that says what
/// was tried and what to do.
#[async_trait]
pub trait Engine: Send + Sync {
    fn kind(&self) -> EngineKind;

    /// Finds out what works here, by trying.
    async fn probe(&self) -> EngineReport;

    /// The same of the engine that a user's environment names, where there may be several.
    async fn probe_chosen(&self, _choice: &EndpointChoice) -> EngineReport {
        self.probe().await
    }

    /// The engine that a user's environment names, as plans and records have it, once it has
    /// answered. `None` for kinds of which there is one.
    async fn endpoint(&self, _choice: &EndpointChoice) -> Result<Option<String>, Failure> {
        Ok(None)
    }

    /// Has engines that boxes were at be looked through and followed like those that boxes are at.
    fn remember(&self, _endpoints: &[String]) {}

    /// Makes a box and starts its shim. On failure nothing is left behind.
    async fn create(&self, plan: &BoxPlan, progress: &ProgressSink) -> Result<BoxRecord, Failure>;

    /// Makes the box of a record anew, which the engine says not to have any more. Fails where it
    /// turns out to have it after all.
    async fn create_anew(
        &self,
        plan: &BoxPlan,
        _former: &BoxRecord,
        progress: &ProgressSink,
    ) -> Result<BoxRecord, Failure> {
        self.create(plan, progress).await
    }

    /// Starts a stopped box again, with its own layer as it was.
    async fn start(&self, plan: &BoxPlan, record: &BoxRecord) -> Result<BoxRecord, Failure>;

    /// Ends every process of the box, killing what is left after `grace`. Stopping twice is fine.
    async fn stop(&self, record: &BoxRecord, grace: Duration) -> Result<(), Failure>;

    /// Removes what the engine made for the box outside the plan's directory. Implies `stop`.
    async fn remove(&self, record: &BoxRecord) -> Result<(), Failure>;

    async fn state(&self, record: &BoxRecord) -> Result<BoxState, Failure>;

    /// Whether a box that ended did so because its engine was restarted, not by itself nor by a
    /// person. No where that cannot be told.
    async fn ended_with_engine(&self, _record: &BoxRecord) -> Result<bool, Failure> {
        Ok(false)
    }

    /// Reads back what holds the box, beside what was asked for.
    async fn isolation(&self, record: &BoxRecord, asked: &Asked) -> Result<Isolation, Failure>;

    /// Boxes of this deck that the engine has, whether or not the deck remembers them.
    async fn list(&self, deck: &str) -> Result<Vec<EnvironmentId>, Failure>;

    /// Removes a box that the deck does not remember, and what `fork` copied for it.
    async fn remove_orphan(&self, deck: &str, environment: &EnvironmentId) -> Result<(), Failure>;

    /// Removes a box whose making was cut short before it was recorded. What `fork` copied for it
    /// stays, to be started on.
    async fn remove_unrecorded(
        &self,
        deck: &str,
        environment: &EnvironmentId,
    ) -> Result<(), Failure> {
        self.remove_orphan(deck, environment).await
    }

    /// Puts a box together before anybody asks for it, as far as that goes: `plan` is what it will
    /// be told, but for its name and the place of its directory. A `create` with the same id takes
    /// it or ends it. What fails costs whoever asks the usual time, and no more.
    async fn make_ahead(&self, _plan: &BoxPlan) -> Result<(), Failure> {
        Ok(())
    }

    /// Says that what was made ahead for an environment is about to be asked for, so that what is to
    /// be looked at for that is looked at meanwhile.
    fn expect_ahead(&self, _environment: &EnvironmentId) {}

    /// Ends what `make_ahead` made for an environment; then nothing holds its files.
    async fn forget_ahead(&self, _environment: &EnvironmentId) {}

    /// Removes what was kept for boxes and is of no use to any that there is, and what was begun
    /// for somebody who ended before it was done.
    async fn remove_unused(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// The copies of this program that boxes of this deck were made with and still need: those
    /// that live, and those that are to be started with the same one again. `boxes` are all that
    /// the deck remembers. Fails where that cannot be told.
    async fn programs(&self, deck: &str, boxes: &[BoxRecord]) -> Result<Vec<PathBuf>, Failure>;

    /// Connects to the box's shim, after making sure that it is the shim.
    async fn open_channel(&self, record: &BoxRecord) -> Result<UnixStream, Failure>;

    /// Ends every process of the box at once.
    async fn kill(&self, record: &BoxRecord) -> Result<(), Failure> {
        self.stop(record, Duration::ZERO).await
    }

    /// Waits until the box has ended, however long that takes: the one call without a deadline.
    async fn wait(&self, _record: &BoxRecord) -> Result<Ending, Failure> {
        Err(unsupported(self.kind(), "wait for a box"))
    }

    /// What the engine notices of this deck's boxes from now on. A closed channel: it never will.
    fn events(&self, _deck: &str) -> mpsc::Receiver<BoxEvent> {
        mpsc::channel(1).1
    }

    /// Has every program of the box stand still; the shim may go on.
    async fn pause(&self, _record: &BoxRecord) -> Result<(), Failure> {
        Err(unsupported(self.kind(), "pause a box"))
    }

    async fn resume(&self, _record: &BoxRecord) -> Result<(), Failure> {
        Err(unsupported(self.kind(), "resume a box"))
    }

    /// Changes the limits of a box that runs; what is `None` stays as it is.
    async fn update_limits(&self, _record: &BoxRecord, _limits: &Limits) -> Result<(), Failure> {
        Err(unsupported(self.kind(), "change the limits of a box that runs"))
    }

    /// What each box uses now, in the order asked; `None` where that cannot be read.
    async fn usage(&self, records: &[BoxRecord]) -> Vec<Option<Usage>> {
        vec![None; records.len()]
    }

    /// Gives `plan` a copy of the own layer of the box `from`, on which `create` then starts. The
    /// box `from` stands still meanwhile, if it runs. On failure nothing is left behind.
    async fn fork(
        &self,
        _from: &BoxRecord,
        _plan: &BoxPlan,
        _progress: &ProgressSink,
    ) -> Result<(), Failure> {
        Err(unsupported(self.kind(), "fork a box"))
    }

    /// Where boxes' own layers are kept on this machine outside of their plans' directories, by the
    /// endpoints of the engines that have answered.
    fn layers(&self) -> Vec<(String, PathBuf)> {
        Vec::new()
    }

    /// Makes the user the owner of what is another's in an environment's directories, where the
    /// box's root is not the user: else the agent cannot change it, nor the user copy or remove it.
    async fn hand_back(&self, _of: &Belongings) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes the box's system as an image. On failure nothing is left behind.
    async fn save(
        &self,
        _plan: &BoxPlan,
        _record: &BoxRecord,
        _to: &SaveTarget,
        _progress: &ProgressSink,
    ) -> Result<(), Failure> {
        Err(unsupported(self.kind(), "save a box"))
    }
}

/// The answer of an engine that has no such thing.
fn unsupported(engine: EngineKind, what: &str) -> Failure {
    Failure::new(FailureKind::Refused, format!("the {engine} engine cannot {what} here"))
        .hint("agentdeck doctor says what each engine can")
}
