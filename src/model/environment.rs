//! Environments and their sessions: what was asked for, and what is.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::attention::Attention;
use super::destination::Denial;
use super::endpoint::EndpointChoice;
use super::id::{CommitId, EnvironmentId, EnvironmentName, SessionId, Timestamp};
use super::policy::{
    Aspect, EngineKind, ImageSource, Isolation, IsolationRequest, Limits, Load, NetworkPolicy,
};
use super::prediction::Prediction;
use super::prompt::Prompt;
use super::screen::Size;
use super::snapshot::Divergence;
use super::status::Status;

/// What a client asks for when it makes an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// Any path inside the user's repository.
    pub repository: PathBuf,
    /// Left out, the deck makes a readable one up.
    pub name: Option<EnvironmentName>,
    /// A revision; left out, the repository's `HEAD`.
    pub base: Option<String>,
    /// The user's uncommitted work comes along.
    #[serde(default)]
    pub with_changes: bool,
    pub work: Work,
    /// Left out, the configured engine, else `native`.
    pub engine: Option<EngineKind>,
    /// Which engine of that kind, where there may be several.
    #[serde(default)]
    pub endpoint: EndpointChoice,
    pub image: Option<ImageSource>,
    /// The runtime of the engine, by the name that the engine knows it by.
    pub runtime: Option<String>,
    pub isolation: IsolationRequest,
    /// Without these the environment must not run.
    pub require: Vec<Aspect>,
    pub network: NetworkPolicy,
    pub limits: Limits,
    /// What the agent is to do, told to it at its start; left out, somebody tells it later.
    #[serde(default)]
    pub task: Option<String>,
    /// Variables for the agent, from the environment of the client that asks.
    pub variables: Vec<Variable>,
    pub size: Size,
}

/// What runs in an environment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work {
    /// An agent profile by name.
    Profile(String),
    /// A program and its arguments.
    Command(Vec<String>),
}

/// An environment variable. Its value is a secret until proven otherwise and is never logged.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    pub name: String,
    pub value: String,
}

impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

/// An environment as every client sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    pub id: EnvironmentId,
    pub name: EnvironmentName,
    /// The root of the user's repository, which is also where the workspace stands in the box.
    pub repository: PathBuf,
    pub base: CommitId,
    /// The user's branch when the environment was made; `None` for a detached `HEAD`.
    pub base_branch: Option<String>,
    /// What runs, for people: the profile's name or the program's.
    pub agent: String,
    /// How the agent was started last, or will be.
    pub command: Vec<String>,
    /// What the agent was asked to do when the environment was made.
    #[serde(default)]
    pub task: Option<String>,
    /// Whether the agent's last start went on with a conversation that it had begun before.
    #[serde(default)]
    pub resumed: bool,
    pub engine: EngineKind,
    pub image: Option<ImageSource>,
    #[serde(default)]
    pub runtime: Option<String>,
    #[serde(default)]
    pub require: Vec<Aspect>,
    pub network: NetworkPolicy,
    #[serde(default)]
    pub limits: Limits,
    /// What the gateway lately refused it, the newest first.
    #[serde(default)]
    pub denied: Vec<Denial>,
    /// What it uses, in steps; `None` while nobody looks or it cannot be read.
    #[serde(default)]
    pub load: Option<Load>,
    /// Read back from the kernel or the engine; `None` until the box runs.
    pub isolation: Option<Isolation>,
    pub state: EnvironmentState,
    /// How it stood before the server began, while its engine has not answered yet how it stands
    /// now: `state` says meanwhile that nobody knows, and sessions are as they were.
    #[serde(default)]
    pub last_known: Option<Box<EnvironmentState>>,
    /// When the state last changed.
    pub state_since: Timestamp,
    pub sessions: Vec<Session>,
    pub divergence: Divergence,
    /// The user's commit that was merged in the box since, which divergence and prediction are
    /// then told of in place of the base.
    #[serde(default)]
    pub onto: Option<CommitId>,
    /// What a merge would come to; `None` until it was judged.
    #[serde(default)]
    pub prediction: Option<Box<Prediction>>,
    pub snapshots: u32,
    pub last_snapshot: Option<Timestamp>,
    pub created: Timestamp,
    /// What people know of already.
    #[serde(default)]
    pub attention: Attention,
    /// What people sent to its agent, the oldest first: all that waits, and what came of the rest.
    #[serde(default)]
    pub prompts: Vec<Prompt>,
    /// What its program or box died of last, where that is known, until it is started again.
    #[serde(default)]
    pub trouble: Option<String>,
    /// Things the user should know, one sentence each: what was left out, what is degraded.
    pub notes: Vec<String>,
}

impl Environment {
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.iter().find(|session| session.id == id)
    }

    /// What it, or a program in it, died of, and what helps: an agent that lives on needs no start.
    pub fn trouble_and_remedy(&self) -> Option<String> {
        let (trouble, name) = (self.trouble.as_ref()?, &self.name);
        let agent = self.session(SessionId::AGENT).map(|agent| &agent.state);
        if agent != Some(&SessionState::Running) {
            return Some(format!("{trouble}; agentdeck start {name} starts it again"));
        }
        let lost = format!("{trouble}: a program in the box was ended, and the agent goes on");
        Some(match self.limits.memory {
            Some(_) => format!("{lost}; agentdeck limits {name} --memory BYTES sets another limit"),
            None => lost,
        })
    }

    /// What its agent is doing, while it runs.
    pub fn agent_status(&self) -> Option<&Status> {
        let agent = self.session(SessionId::AGENT)?;
        let runs = self.state == EnvironmentState::Running && agent.state == SessionState::Running;
        agent.status.as_ref().filter(|_| runs)
    }
}

/// Where an environment is in its life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum EnvironmentState {
    /// Being made; `done` of `total` units of the step, `total` 0 when unknown.
    Creating {
        step: String,
        done: u64,
        total: u64,
    },
    Running,
    /// Every program of the box stands still. The reason is left out where the user asked for it.
    Paused {
        reason: Option<String>,
    },
    /// The box is not running; snapshots and the last screen remain.
    Stopped,
    /// It could not be made or started; the message says why.
    Failed {
        message: String,
        hint: Option<String>,
    },
    /// The engine does not answer; what the box does is not known.
    EngineUnreachable {
        since: Timestamp,
        message: String,
    },
}

/// One PTY and the program in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    pub kind: SessionKind,
    pub command: Vec<String>,
    pub state: SessionState,
    pub size: Size,
    pub started: Timestamp,
    /// When the program last printed.
    pub last_output: Option<Timestamp>,
    /// A human holds the keyboard.
    pub taken: bool,
    /// A person typed there and has not pressed Enter yet.
    #[serde(default)]
    pub draft: bool,
    pub title: String,
    /// What its program is doing; `None` where no more can be known than that it runs.
    #[serde(default)]
    pub status: Option<Status>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionKind {
    Agent,
    Shell,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum SessionState {
    Running,
    /// The program ended; 128 + n for a death by signal n, as shells have it.
    Exited {
        code: i32,
        at: Timestamp,
    },
    /// The program could not be started.
    Failed {
        message: String,
    },
}
