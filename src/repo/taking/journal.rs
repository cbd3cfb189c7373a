//! The journal of one repository: decisions as a list, and for each what is needed to undo it.
//!
//! `decisions.jsonl` is the list: one line a decision made or undone, and a line is what makes it
//! count. `<id>/` holds the record, the bytes of each path before, and the index before.
//! `pending` names what is under way, which is one thing at most: nothing begins before it has ended.
//! Every file is on the disk before the next step relies on it.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::model::decision::Decision;
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::DecisionId;
use crate::model::packed;

/// The list of decisions and the marker of what is under way.
const LIST: &str = "decisions.jsonl";
const PENDING: &str = "pending";

/// The journal of one repository, in our state directory.
pub struct Journal {
    directory: PathBuf,
    /// Durable steps until the test's kill; below zero once it came.
    #[cfg(test)]
    pub(super) steps_left: std::sync::atomic::AtomicI32,
    #[cfg(test)]
    pub(super) at_step: std::sync::Mutex<Option<AtStep>>,
}

/// What a test does at each durable step, as the user or the disk would.
#[cfg(test)]
pub(super) type AtStep = Box<dyn FnMut() -> Result<(), Failure> + Send>;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    Made(Box<Decision>),
    Undone(DecisionId),
    /// What a discard threw away is gone for good.
    Dropped(DecisionId),
    /// The user was told so, and an undo goes on to the decision before it.
    Passed(DecisionId),
}

/// What was begun and has not ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Pending {
    Doing(DecisionId),
    Undoing(DecisionId),
}

impl Pending {
    pub(super) fn id(self) -> DecisionId {
        match self {
            Self::Doing(id) | Self::Undoing(id) => id,
        }
    }
}

impl Journal {
    /// Opens the journal in `directory`, made when missing.
    pub fn open(directory: &Path) -> Result<Self, Failure> {
        fs::create_dir_all(directory)
            .with_context(|| format!("cannot make the journal {}", directory.display()))?;
        Ok(Self {
            directory: directory.to_owned(),
            #[cfg(test)]
            steps_left: std::sync::atomic::AtomicI32::new(i32::MAX),
            #[cfg(test)]
            at_step: std::sync::Mutex::default(),
        })
    }

    /// Where the index and the lock say the decision comes from.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Ends a durable step. Only tests make it fail, as a kill after that step would.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "tests stop here")]
    pub(super) fn step(&self) -> Result<(), Failure> {
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn step(&self) -> Result<(), Failure> {
        if self.steps_left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) <= 0 {
            return Err(Failure::new(FailureKind::Internal, "stopped by the test"));
        }
        match &mut *self.at_step.lock().expect("no test panics in it") {
            Some(act) => act(),
            None => Ok(()),
        }
    }

    /// Whether a test has stopped us: what would follow in a live process must not.
    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "only tests stop us")]
    pub(super) fn stopped(&self) -> bool {
        false
    }

    #[cfg(test)]
    pub(super) fn stopped(&self) -> bool {
        self.steps_left.load(std::sync::atomic::Ordering::Relaxed) < 0
    }

    pub(super) fn decisions(&self) -> Result<Vec<Decision>, Failure> {
        let mut decisions: Vec<Decision> = Vec::new();
        for line in self.lines()? {
            match line {
                Line::Made(decision) => decisions.push(*decision),
                Line::Dropped(_) | Line::Passed(_) => {}
                Line::Undone(id) => {
                    for decision in decisions.iter_mut().filter(|decision| decision.id == id) {
                        decision.undone = true;
                    }
                }
            }
        }
        for decision in &mut decisions {
            // JSON escapes what is not text; the record has the names as they are.
            if let Ok(record) = self.record(decision.id) {
                decision.paths = record.decision.paths;
            }
        }
        Ok(decisions)
    }

    /// Discards whose environments are gone for good.
    pub(super) fn dropped(&self) -> Result<BTreeSet<DecisionId>, Failure> {
        let dropped = |line| if let Line::Dropped(id) = line { Some(id) } else { None };
        Ok(self.lines()?.into_iter().filter_map(dropped).collect())
    }

    /// Those of them that an undo passes over.
    pub(super) fn passed(&self) -> Result<BTreeSet<DecisionId>, Failure> {
        let passed = |line| if let Line::Passed(id) = line { Some(id) } else { None };
        Ok(self.lines()?.into_iter().filter_map(passed).collect())
    }

    fn lines(&self) -> Result<Vec<Line>, Failure> {
        let text = self.text()?;
        // Behind the last whole line is what a kill left, or what is being written just now.
        let text = &text[..whole_lines(&text)];
        let lines = text.split_inclusive(|byte| *byte == b'\n').map(serde_json::from_slice);
        Ok(lines.collect::<Result<_, _>>().context("cannot read the list of decisions")?)
    }

    /// Refuses a decision while another is under way, and one whose number is not higher than every
    /// earlier one.
    pub(super) fn check_next(&self, id: DecisionId) -> Result<(), Failure> {
        self.check_idle()?;
        if id < self.next()? {
            return Err(Failure::new(
                FailureKind::Internal,
                format!("decision {id} exists already"),
            ));
        }
        Ok(())
    }

    /// Refuses while something is under way: its entry and its lock are needed to end it.
    pub(super) fn check_idle(&self) -> Result<(), Failure> {
        let Some(pending) = self.pending()? else { return Ok(()) };
        let message = format!("decision {} of this repository was cut short", pending.id());
        Err(Failure::new(FailureKind::Unavailable, message)
            .hint("it is finished or taken back before anything else is decided; try again"))
    }

    /// The number of the next decision. Entries count that are on no list: one may hold the only
    /// copy of what a path held before.
    pub(super) fn next(&self) -> Result<DecisionId, Failure> {
        let entries = fs::read_dir(&self.directory).context("cannot read the journal")?;
        let mut last = 0;
        for entry in entries {
            let name = entry.context("cannot read the journal")?.file_name();
            last = last.max(name.to_str().and_then(|name| name.parse().ok()).unwrap_or(0));
        }
        let decisions = self.decisions()?;
        let listed = decisions.iter().map(|decision| decision.id.0).max().unwrap_or(0);
        Ok(DecisionId(last.max(listed) + 1))
    }

    pub(super) fn append_made(&self, decision: &Decision) -> Result<(), Failure> {
        self.append(&Line::Made(Box::new(decision.clone())))
    }

    pub(super) fn append_undone(&self, id: DecisionId) -> Result<(), Failure> {
        self.append(&Line::Undone(id))
    }

    pub(super) fn append_dropped(&self, id: DecisionId) -> Result<(), Failure> {
        self.append(&Line::Dropped(id))
    }

    pub(super) fn append_passed(&self, id: DecisionId) -> Result<(), Failure> {
        self.append(&Line::Passed(id))
    }

    fn append(&self, line: &Line) -> Result<(), Failure> {
        self.trim()?;
        let mut bytes = serde_json::to_vec(line).context("cannot write a decision")?;
        bytes.push(b'\n');
        let write = || -> std::io::Result<()> {
            let path = self.directory.join(LIST);
            let mut file = OpenOptions::new().create(true).append(true).open(path)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            sync_directory(&self.directory)
        };
        Ok(write().context("cannot write the list of decisions")?)
    }

    /// Cuts off a line that a kill left half written. Only for whoever writes next: what a reader
    /// takes for a half may be a line on its way.
    fn trim(&self) -> Result<(), Failure> {
        let text = self.text()?;
        let whole = whole_lines(&text);
        if whole < text.len() {
            let cut = || -> std::io::Result<()> {
                let file = OpenOptions::new().write(true).open(self.directory.join(LIST))?;
                file.set_len(whole as u64)?;
                file.sync_all()
            };
            cut().context("cannot mend the list of decisions")?;
        }
        Ok(())
    }

    fn text(&self) -> Result<Vec<u8>, Failure> {
        match fs::read(self.directory.join(LIST)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            other => Ok(other.context("cannot read the list of decisions")?),
        }
    }

    pub(super) fn place(&self, id: DecisionId) -> PathBuf {
        self.directory.join(id.to_string())
    }

    /// Writes an entry: the record and the files that go back where they were.
    pub(super) fn write_entry(
        &self,
        record: &Record,
        files: impl IntoIterator<Item = Result<(String, Vec<u8>), Failure>>,
    ) -> Result<(), Failure> {
        let place = self.place(record.decision.id);
        fs::create_dir(&place).context("cannot make a journal entry")?;
        for file in files {
            let (name, bytes) = file?;
            write_durably(&place.join(name), &bytes)?;
        }
        let bytes = packed::pack(record).context("cannot write a journal entry")?;
        write_durably(&place.join("record"), &bytes)?;
        sync_directory(&place).context("cannot write a journal entry")?;
        sync_directory(&self.directory).context("cannot write a journal entry")?;
        self.step()
    }

    pub(super) fn record(&self, id: DecisionId) -> Result<Record, Failure> {
        let path = self.place(id).join("record");
        let bytes = fs::read(&path)
            .with_context(|| format!("cannot read the journal entry {}", path.display()))?;
        Ok(packed::unpack(&bytes).context("cannot understand a journal entry")?)
    }

    pub(super) fn file_path(&self, id: DecisionId, name: &str) -> PathBuf {
        self.place(id).join(name)
    }

    /// A file of an entry; `None` when the entry has no such file.
    pub(super) fn read_file(&self, id: DecisionId, name: &str) -> Result<Option<Vec<u8>>, Failure> {
        match fs::read(self.place(id).join(name)) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => {
                Ok(Some(other.with_context(|| format!("cannot read {name} of decision {id}"))?))
            }
        }
    }

    pub(super) fn write_file(
        &self,
        id: DecisionId,
        name: &str,
        bytes: &[u8],
    ) -> Result<(), Failure> {
        write_durably(&self.place(id).join(name), bytes)?;
        Ok(sync_directory(&self.place(id)).context("cannot write the journal")?)
    }

    /// Forgets an entry that came to nothing.
    pub(super) fn remove_entry(&self, id: DecisionId) {
        let _ = fs::remove_dir_all(self.place(id));
    }

    /// The file that names what is under way.
    pub(super) fn pending_path(&self) -> PathBuf {
        self.directory.join(PENDING)
    }

    pub(super) fn pending(&self) -> Result<Option<Pending>, Failure> {
        match fs::read(self.pending_path()) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            other => {
                let bytes = other.context("cannot read the journal")?;
                Ok(Some(serde_json::from_slice(&bytes).context("cannot understand the journal")?))
            }
        }
    }

    pub(super) fn begin(&self, pending: Pending) -> Result<(), Failure> {
        self.check_idle()?;
        let bytes = serde_json::to_vec(&pending).context("cannot write the journal")?;
        let temporary = self.directory.join("pending.new");
        write_durably(&temporary, &bytes)?;
        fs::rename(&temporary, self.pending_path()).context("cannot write the journal")?;
        sync_directory(&self.directory).context("cannot write the journal")?;
        self.step()
    }

    pub(super) fn end(&self) -> Result<(), Failure> {
        let remove = || -> std::io::Result<()> {
            fs::remove_file(self.pending_path())?;
            sync_directory(&self.directory)
        };
        remove().context("cannot write the journal")?;
        self.step()
    }
}

/// How many of the bytes are whole lines.
fn whole_lines(text: &[u8]) -> usize {
    text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

pub(super) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        let mut file = File::create(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(|error| {
        let message = format!("cannot write {}: {error}", path.display());
        Failure::new(FailureKind::Unavailable, message).hint("look at the disk's free space")
    })
}

pub(super) fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path)?.sync_all()
}
