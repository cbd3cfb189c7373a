//! What the engine keeps of a box, in its layer, which the box does not see.

use std::io::ErrorKind;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::cgroup::Group;
use super::processes::Known;
use super::{layer, process};
use crate::engine::{BoxPlan, BoxRecord};
use crate::model::failure::Failure;

const FILE: &str = "box.json";

/// A box that was made: whose, which, and what else is held for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Mark {
    pub(super) deck: String,
    pub(super) record: BoxRecord,
    #[serde(default)]
    pub(super) group: Group,
    /// While the box is paused by signals: what stood still before.
    #[serde(default)]
    pub(super) stopped_before: Option<Vec<Known>>,
    /// Directories of the user's home that it was shown.
    #[serde(default)]
    pub(super) tools: Vec<PathBuf>,
    /// The program that its first process runs. One of an earlier version has not said, and does
    /// not hold its `/etc` either.
    #[serde(default)]
    pub(super) program: Option<PathBuf>,
}

impl Mark {
    /// Writes down which box the layer belongs to. Whoever makes the box does it before the box
    /// begins, so that one that outlives the server's end is always found again.
    pub(super) fn make(plan: &BoxPlan, group: &Group, pid: u32, start: u64) -> anyhow::Result<()> {
        let record = record_of(plan, pid, start)?;
        let (deck, group) = (plan.deck.clone(), group.clone());
        let (tools, program) = (plan.tools.clone(), Some(plan.shim.clone()));
        Self { deck, record, group, stopped_before: None, tools, program }.write()
    }

    pub(super) fn write(&self) -> anyhow::Result<()> {
        replace(&layer_of(&self.record), FILE, &serde_json::to_vec(self)?)
    }

    /// The mark in an environment's directory.
    pub(super) fn read(directory: &Path) -> Option<Self> {
        let text = std::fs::read(directory.join(layer::DIRECTORY).join(FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The mark of the environment that `record` belongs to; not always of the same box.
    pub(super) fn of(record: &BoxRecord) -> Option<Self> {
        Self::read(record.run.parent()?)
    }

    /// Every mark below a deck's home.
    pub(super) fn all(home: &Path) -> Vec<Self> {
        let environments = std::fs::read_dir(home.join("environments"));
        let directories = environments.into_iter().flatten().flatten().map(|entry| entry.path());
        directories.filter_map(|directory| Self::read(&directory)).collect()
    }

    /// As [`Mark::all`], for who removes what none of them names: one that cannot be read is an
    /// error.
    pub(super) fn every(home: &Path) -> std::io::Result<Vec<Self>> {
        let mut marks = Vec::new();
        let environments = match std::fs::read_dir(home.join("environments")) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(marks),
            environments => environments?,
        };
        for directory in environments {
            let file = directory?.path().join(layer::DIRECTORY).join(FILE);
            match std::fs::read(file) {
                Ok(text) => marks.push(serde_json::from_slice(&text)?),
                // No box was made in it.
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(marks)
    }

    pub(super) fn remove(record: &BoxRecord) -> Result<(), Failure> {
        match std::fs::remove_file(layer_of(record).join(FILE)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(anyhow::Error::from(error).context("cannot forget the box").into())
            }
            _ => Ok(()),
        }
    }
}

fn layer_of(record: &BoxRecord) -> PathBuf {
    record.run.parent().unwrap_or(&record.run).join(layer::DIRECTORY)
}

pub(super) fn record_of(plan: &BoxPlan, pid: u32, start: u64) -> anyhow::Result<BoxRecord> {
    Ok(BoxRecord {
        environment: plan.environment.clone(),
        init_pid: pid,
        init_start: start,
        container: None,
        boot: process::boot_id().context("cannot read the boot's id")?,
        endpoint: None,
        run: plan.run.clone(),
    })
}

/// Puts a file in a directory, whole or not at all. The box may have put anything in the file's
/// place, so it is replaced, never written through.
pub(super) fn replace(directory: &Path, name: &str, content: &[u8]) -> anyhow::Result<()> {
    let failed = || format!("cannot write {name} in {}", directory.display());
    let mut file = tempfile::NamedTempFile::new_in(directory).with_context(failed)?;
    file.write_all(content).with_context(failed)?;
    file.persist(directory.join(name)).with_context(failed)?;
    Ok(())
}
