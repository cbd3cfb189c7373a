//! What holds a box, judged the same for every engine: what the kernel says of a process with an
//! agent's rights, beside what that process found by trying, beside what was asked for.
//!
//! The host's readings decide. What only the inside can tell is said to be claimed.

mod distant;
mod files;
mod groups;
mod hold;
mod limits;
mod mounts;
mod network;
mod privileges;
mod processes;
mod reading;
mod second;

use std::path::{Path, PathBuf};

use tokio::net::UnixStream;

use crate::engine::{Asked, BoxRecord};
use crate::model::failure::{Failure, FailureKind};
use crate::model::policy::{Aspect, Enforcement, EngineKind, Isolation, IsolationFact};
use reading::Reading;

/// What an engine puts around its boxes by design.
pub(super) struct Design {
    pub(super) engine: EngineKind,
    /// The directory of the host that belongs to the environment, and all below it.
    pub(super) own: PathBuf,
    /// Places in the box that the engine fills with writable files of its own making.
    pub(super) filled: Vec<PathBuf>,
    /// Places in the box at which it shows a file of the host, read-only.
    pub(super) shown: Vec<PathBuf>,
    /// Parts of the host's system that are shown read-only on purpose, with all below them.
    pub(super) system: Vec<PathBuf>,
    /// Places in the box at which it lays an overlay over a part of the host's system. Of one that
    /// was mounted by descriptors no table tells what it shows.
    pub(super) laid: Vec<PathBuf>,
    /// The most that the box's root may have; `None` where its user namespace bounds it.
    pub(super) root_capabilities: Option<u64>,
    /// The runtime's name, where it is one that gives boxes a kernel of their own.
    pub(super) own_kernel: Option<String>,
    /// What Landlock is to hold, where the engine has the shim take it on.
    pub(super) second_layer: Option<SecondLayer>,
    /// Facts that only the engine itself knows.
    pub(super) told: Vec<IsolationFact>,
}

/// How far Landlock reaches in a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecondLayer {
    /// The box's own places are open to its programs, and nothing else in its root is.
    Places,
    /// All of its root is, and nothing else.
    Root,
}

/// Reads a box through connections to its shim, whose binary stands at `shim` in the box.
pub(super) async fn read<F: Future<Output = Result<UnixStream, Failure>>>(
    record: &BoxRecord,
    open: impl Fn() -> F,
    shim: &str,
    design: Design,
    asked: &Asked,
) -> Result<Isolation, Failure> {
    let held = hold::hold(record, open, shim).await?;
    match (held.pid, &design.own_kernel) {
        (Some(pid), _) => {
            let reading = Reading::of(record.init_pid, pid, held.claims.clone());
            drop(held);
            Ok(Isolation::of(facts(&reading, design, asked)))
        }
        (None, Some(runtime)) => {
            // The runtime's own process stands for all of the box.
            let reading = Reading::of(record.init_pid, record.init_pid, held.claims.clone());
            Ok(Isolation::of(distant::facts(&reading, runtime, &design, asked)))
        }
        (None, None) => {
            let message = format!(
                "cannot look into the box of {}: the process started for it is not there",
                record.environment
            );
            Err(Failure::new(FailureKind::Unavailable, message))
        }
    }
}

fn facts(reading: &Reading, design: Design, asked: &Asked) -> Vec<IsolationFact> {
    let mut facts = files::facts(reading, &design);
    facts.extend(second::fact(reading, design.second_layer));
    facts.extend(processes::facts(reading));
    facts.extend(privileges::facts(reading, &design));
    facts.extend(network::facts(reading, asked));
    facts.extend(limits::facts(reading, &design, asked));
    if reading.claims.is_none() {
        facts.push(untried());
    }
    facts.extend(design.told);
    facts.sort_by_key(|fact| fact.aspect);
    facts
}

/// Nothing was tried from inside: the box runs a shim that is older than the probe.
fn untried() -> IsolationFact {
    IsolationFact::new(
        Aspect::Privileges,
        "tried from inside",
        Enforcement::Partial,
        "the shim of this box is older than the probe; everything here was read from outside",
    )
    .remedy("new environments have it; in this one, what was read from outside holds all the same")
    .aside()
}

/// Facts of an environment that was made without isolation.
pub(super) fn unisolated(pid: u32) -> Isolation {
    let evidence = format!("process {pid} is in the host's own namespaces, as a process of yours");
    let fact = |aspect| {
        IsolationFact::new(aspect, "a box", Enforcement::Off, evidence.clone())
            .remedy("make it again without --unisolated")
    };
    Isolation::of(Aspect::ALL.map(fact).to_vec())
}

/// A fact that could not be read, which is never taken as good.
fn unread(aspect: Aspect, name: &str, what: &str) -> IsolationFact {
    IsolationFact::new(aspect, name, Enforcement::Partial, format!("{what} cannot be read"))
        .remedy("run agentdeck as the user who made the box, or as root")
}

/// The directory of an environment as the kernel names it.
pub(super) fn own_directory(record: &BoxRecord) -> PathBuf {
    let directory = record.run.parent().unwrap_or(&record.run);
    directory.canonicalize().unwrap_or_else(|_| Path::to_owned(directory))
}

#[cfg(test)]
mod tests;
