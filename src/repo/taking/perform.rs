//! Carrying a record out, one durable step after another, and the pieces that going back shares.

use std::path::{Path, PathBuf};

use anyhow::Context;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};

use super::super::checkout::modes::Modes;
use super::super::checkout::{Found, Outcome, WorkingTree};
use super::super::object::{self, failed};
use super::super::user::UserRepository;
use super::index::Index;
use super::journal::{Journal, Pending};
use super::lock::IndexLock;
use super::plan::would_overwrite;
use super::record::{Move, Record, State, Step, digest};
use super::recover;
use crate::model::decision::{Decision, DecisionKind};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{DecisionId, EnvironmentId};
use crate::model::path::{RepoPath, printable};
use crate::model::snapshot::FileCaps;

/// What git's form of a file becomes in the working tree.
pub(super) type Convert<'c> = dyn FnMut(&RepoPath, Vec<u8>) -> Result<Vec<u8>, Failure> + 'c;

/// The working tree that one take works on: the user's, or an environment's workspace.
pub(super) struct Site<'a> {
    pub(super) user: &'a UserRepository,
    pub(super) repository: gix::Repository,
    pub(super) journal: &'a Journal,
    pub(super) tree: WorkingTree,
    /// What is locked meanwhile.
    index: PathBuf,
}

impl<'a> Site<'a> {
    pub(super) fn open(user: &'a UserRepository, journal: &'a Journal) -> Result<Self, Failure> {
        let repository = user.reader();
        let tree = WorkingTree::open(user.root())?.heeding(Modes::of(&repository));
        let index = repository.index_path();
        Ok(Self { user, repository, journal, tree, index })
    }

    /// A workspace has no index of ours; a file of the journal stands for it. What no snapshot can
    /// hold, being larger than `largest` in bytes, is not read either.
    pub(super) fn of_workspace(
        user: &'a UserRepository,
        journal: &'a Journal,
        workspace: &Path,
        largest: u64,
    ) -> Result<Self, Failure> {
        let tree = WorkingTree::open_limited(workspace, largest)?;
        let index = journal.directory().join("workspace");
        Ok(Self { user, repository: user.reader(), journal, tree, index })
    }

    /// Where a decision that is on record was carried out.
    pub(super) fn of_decision(
        user: &'a UserRepository,
        journal: &'a Journal,
        decision: &Decision,
        workspace: &dyn Fn(&EnvironmentId) -> PathBuf,
    ) -> Result<Self, Failure> {
        match decision.kind {
            DecisionKind::Restore => {
                let workspace = workspace(&decision.environment);
                // It was made under a cap that may have been another one.
                Self::of_workspace(user, journal, &workspace, FileCaps::MOST)
            }
            _ => Self::open(user, journal),
        }
    }

    pub(super) fn lock(&self, id: DecisionId) -> IndexLock {
        IndexLock::new(self.index.clone(), self.journal.directory(), id)
    }

    pub(super) fn index(&self, lock: &IndexLock) -> Result<Index, Failure> {
        Index::read(lock.index(), &self.repository)
    }

    /// Writes the journal entry and performs it; whatever goes wrong, nothing is left half done.
    pub(super) fn carry_out(
        &self,
        record: &Record,
        objects: &gix::Repository,
        convert: &mut Convert<'_>,
    ) -> Result<Decision, Failure> {
        let lock = self.lock(record.decision.id);
        let ready = self
            .prepare(record, &lock)
            .and_then(|()| lock.take())
            .and_then(|()| self.journal.step())
            .and_then(|()| self.verify(record, &lock));
        if let Err(failure) = ready {
            if !self.journal.stopped() {
                self.abandon(record)?;
            }
            return Err(failure);
        }
        match self.perform(record, &lock, objects, convert) {
            Ok(()) => Ok(record.decision.clone()),
            Err(failure) if self.journal.stopped() => Err(failure),
            Err(failure) => Err(recover::give_up(self, failure)),
        }
    }

    /// Ends what has not written anything yet.
    fn abandon(&self, record: &Record) -> Result<(), Failure> {
        let id = record.decision.id;
        if self.journal.pending()? == Some(Pending::Doing(id)) {
            recover::close(self, record)?;
        }
        self.journal.remove_entry(id);
        Ok(())
    }

    fn prepare(&self, record: &Record, lock: &IndexLock) -> Result<(), Failure> {
        let index = match &record.branch {
            Some(_) => Some(Ok(("index".to_owned(), lock.read()?))),
            None => None,
        };
        let files = record.steps.iter().enumerate().filter_map(|(number, step)| {
            let State::File { .. } = step.before else { return None };
            if step.before == step.after {
                return None;
            }
            Some(match self.tree.find(&step.path) {
                Ok(found) if !step.before.shows(&found, self.tree.modes()) => {
                    Err(would_overwrite(vec![step.path.clone()]))
                }
                Ok(Found::File { content, .. }) => Ok((before(number), content)),
                Ok(_) => unreachable!("only a file has the state of one"),
                Err(failure) => Err(failure),
            })
        });
        self.journal.write_entry(record, index.into_iter().chain(files))?;
        self.journal.begin(Pending::Doing(record.decision.id))
    }

    fn perform(
        &self,
        record: &Record,
        lock: &IndexLock,
        objects: &gix::Repository,
        convert: &mut Convert<'_>,
    ) -> Result<(), Failure> {
        self.write(record, objects, convert)?;
        if let Some(branch) = &record.branch {
            self.move_branch(record, branch, Direction::Forward)?;
            self.journal.step()?;
        }
        self.conclude(record, lock)
    }

    /// Looks again, now that nobody else should be at work.
    fn verify(&self, record: &Record, lock: &IndexLock) -> Result<(), Failure> {
        let mut moved = Vec::new();
        for step in &record.steps {
            let found = self.tree.find(&step.path)?;
            let gives_way = found == Found::Directory && step.before == State::Absent;
            if !gives_way && !step.before.shows(&found, self.tree.modes()) {
                moved.push(step.path.clone());
            }
        }
        if !moved.is_empty() {
            return Err(would_overwrite(moved));
        }
        let Some(branch) = &record.branch else { return Ok(()) };
        if digest(&lock.read()?) == branch.index && self.is_on(&branch.name)? {
            return Ok(());
        }
        Err(Failure::new(
            FailureKind::Unavailable,
            "the index or the branch changed meanwhile; nothing was changed",
        )
        .hint("try again"))
    }

    /// Removes first, so that a directory can take a file's place and the reverse. Nothing gives
    /// way but what [`Self::verify`] saw: editors know no lock.
    fn write(
        &self,
        record: &Record,
        objects: &gix::Repository,
        convert: &mut Convert<'_>,
    ) -> Result<(), Failure> {
        let steps = record.steps.iter().enumerate();
        let changed = steps.filter(|(_, step)| step.before != step.after);
        for (number, step) in changed.clone() {
            if step.after == State::Absent {
                let temporary = temporary(record.decision.id, number);
                let expected = step.before.expected(self.tree.modes());
                let removed = self.tree.remove(&step.path, &temporary, &expected)?;
                refuse_kept(removed, step)?;
                self.journal.step()?;
            }
        }
        for (number, step) in changed {
            let temporary = temporary(record.decision.id, number);
            let expected = step.before.expected(self.tree.modes());
            let put = match (&step.after, &step.new) {
                (State::File { permissions, .. }, Some(entry)) => {
                    let blob = objects
                        .find_object(object::id(&entry.id))
                        .map_err(failed("read a file to write"))?;
                    let content = convert(&step.path, blob.detach().data)?;
                    let tree = &self.tree;
                    tree.put_file(&step.path, &content, *permissions, &temporary, &expected)?
                }
                (State::Link { target }, _) => {
                    self.tree.put_link(&step.path, target, &temporary, &expected)?
                }
                _ => continue,
            };
            refuse_kept(put, step)?;
            self.journal.step()?;
        }
        Ok(())
    }

    /// What follows once files and branch are as they should be; also after a kill.
    pub(super) fn conclude(&self, record: &Record, lock: &IndexLock) -> Result<(), Failure> {
        let id = record.decision.id;
        if let Some(branch) = &record.branch
            && digest(&lock.read()?) == branch.index
        {
            let mut index = self.index(lock)?;
            index.bring_forward(&self.tree, &record.steps);
            let bytes = index.serialize()?;
            self.journal.write_file(id, "installed", &digest(&bytes))?;
            lock.install(&bytes)?;
            self.journal.step()?;
        }
        self.journal.append_made(&record.decision)?;
        self.journal.step()?;
        lock.release()?;
        self.journal.end()
    }

    /// Moves the branch by compare-and-swap, with an entry in its log and in that of `HEAD`.
    pub(super) fn move_branch(
        &self,
        record: &Record,
        branch: &Move,
        direction: Direction,
    ) -> Result<(), Failure> {
        let decision = &record.decision;
        let (old, new, verb) = match direction {
            Direction::Forward => (&branch.old, &branch.new, "merge"),
            Direction::Back => (&branch.new, &branch.old, "undo merge of"),
        };
        let log = LogChange {
            mode: RefLog::AndReference,
            force_create_reflog: false,
            message: format!("agentdeck: {verb} {}", decision.name).into(),
        };
        let expected = PreviousValue::MustExistAndMatch(Target::Object(object::id(old)));
        let change = Change::Update { log, expected, new: Target::Object(object::id(new)) };
        let head = FullName::try_from("HEAD").expect("HEAD is a name");
        let edit = RefEdit { change, name: head, deref: true };
        let who = super::objects::signature(&self.user.identity(), decision.at);
        let mut time = gix::date::parse::TimeBuf::default();
        self.repository.edit_references_as(Some(edit), Some(who.to_ref(&mut time))).map_err(
            |error| {
                let message = format!("{} moved meanwhile; nothing was changed", branch.name);
                Failure::new(FailureKind::Unavailable, message)
                    .hint(format!("try again: {error:#}"))
            },
        )?;
        self.sync_ref(&branch.name)
    }

    fn sync_ref(&self, name: &str) -> Result<(), Failure> {
        let directory =
            if name == "HEAD" { self.repository.git_dir() } else { self.repository.common_dir() };
        let path = directory.join(name);
        let sync = || -> std::io::Result<()> {
            std::fs::File::open(&path)?.sync_all()?;
            super::journal::sync_directory(path.parent().expect("a ref lies in a git directory"))
        };
        Ok(sync().with_context(|| format!("cannot keep {name}"))?)
    }

    /// Where a ref points now.
    pub(super) fn read_ref(&self, name: &str) -> Result<gix::ObjectId, Failure> {
        let mut reference =
            self.repository.find_reference(name).map_err(failed("read the branch"))?;
        Ok(reference.peel_to_id().map_err(failed("read the branch"))?.detach())
    }

    pub(super) fn has_ref(&self, name: &str) -> Result<bool, Failure> {
        let found = self.repository.try_find_reference(name).map_err(failed("read the branch"))?;
        Ok(found.is_some())
    }

    /// The full name of the branch, or `HEAD` when it is detached. The journal and what is said of
    /// it are text, so a name that is none is refused.
    pub(super) fn branch_name(&self) -> Result<String, Failure> {
        let name = self.checked_out()?;
        String::from_utf8(name).map_err(|error| {
            let name = printable(error.as_bytes());
            Failure::new(FailureKind::Refused, format!("the branch's name {name} is not UTF-8"))
                .hint("give it another one: git branch -m NAME")
        })
    }

    /// Whether that is what is checked out.
    pub(super) fn is_on(&self, name: &str) -> Result<bool, Failure> {
        Ok(self.checked_out()? == name.as_bytes())
    }

    fn checked_out(&self) -> Result<Vec<u8>, Failure> {
        let name = self.repository.head_name().map_err(failed("read HEAD"))?;
        Ok(name.map_or_else(|| b"HEAD".to_vec(), |name| name.as_bstr().to_vec()))
    }
}

/// What somebody saved between our look and our write stays, and the take does not go on.
fn refuse_kept(outcome: Outcome, step: &Step) -> Result<(), Failure> {
    match outcome {
        Outcome::Done => Ok(()),
        Outcome::Kept => Err(would_overwrite(vec![step.path.clone()])),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Forward,
    Back,
}

/// The journal's name for the bytes of a step's path before.
pub(super) fn before(number: usize) -> String {
    format!("before-{number}")
}

/// The name beside a path under which its new content is written.
pub(super) fn temporary(id: DecisionId, number: usize) -> String {
    format!(".agentdeck-{id}-{number}.tmp")
}
