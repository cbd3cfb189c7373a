//! What a power cut left of a store: objects whose files are torn are put aside, and an environment
//! whose newest snapshot cannot be read goes on from the newest that can.
//!
//! Quiet snapshots are not brought to the disk one by one, so the last of them may be there in part.
//! The workspace still has what they held, and is taken anew.

use std::collections::HashSet;
use std::fs;

use anyhow::Context;
use gix::ObjectId;
use gix::objs::Kind;
use gix::objs::tree::EntryMode;

use crate::model::id::EnvironmentId;

use super::store::Store;
use super::upkeep::{Damage, Look, Upkeep, lock};
use super::{heads, object, older, origin, refs, stat};

/// Names the start of the machine since which a store was looked through.
const BOOT: &str = "boot";

/// What that file begins with since snapshots hold bytes. An earlier version stored what git would.
const EXACT: &str = "exact ";

/// Where torn objects are put, beside the store.
const TORN: &str = "torn";

/// Looks through a store once after each start of the machine, and whenever something in it could
/// not be read. What cannot be mended is told and left: the rest of the store is as good as it was.
pub(super) fn look(store: &Store, upkeep: &Upkeep) {
    // Whoever opens the store meanwhile waits.
    let mut look = lock(&upkeep.look);
    let path = store.directory().join(BOOT);
    let (known, now) = (fs::read_to_string(&path).ok(), EXACT.to_owned() + &boot());
    let due = match *look {
        Look::Done => false,
        Look::InAnyCase => true,
        Look::IfRestarted => known.as_ref() != Some(&now),
    };
    if due {
        let older = !known.as_ref().is_some_and(|known| known.starts_with(EXACT));
        // Where nothing is said it may have been lost.
        let as_git_stores = older && known.is_some_and(|known| !known.is_empty());
        let looked = Healing::new(store, older, as_git_stores).and_then(Healing::run).and_then(
            |(damage, settled)| {
                upkeep.found(damage);
                if settled {
                    fs::write(&path, &now)?;
                }
                Ok(())
            },
        );
        if let Err(error) = looked {
            tracing::warn!("{} was not looked through: {error:#}", store.directory().display());
        }
    }
    // What was not settled is by the next server, or when something else cannot be read.
    *look = Look::Done;
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default()
}

struct Healing<'s> {
    store: &'s Store,
    repository: gix::Repository,
    /// Trees of which all can be read, and files that are there.
    good: HashSet<ObjectId>,
    /// It may not be known yet which files of bases are converted when they are checked out, and
    /// what is known of files may be what git would store of them.
    older: bool,
    /// The snapshots that there are hold what git would store.
    as_git_stores: bool,
}

impl<'s> Healing<'s> {
    fn new(store: &'s Store, older: bool, as_git_stores: bool) -> anyhow::Result<Self> {
        // Before anything is read through a handle that would remember it.
        move_torn(store)?;
        let (repository, good) = (store.reader(), HashSet::new());
        Ok(Self { store, repository, good, older, as_git_stores })
    }

    /// What was found, and whether all could be judged.
    fn run(mut self) -> anyhow::Result<(Vec<Damage>, bool)> {
        let (mut damage, mut settled) = (Vec::new(), true);
        for environment in environments(self.store)? {
            match self.environment(&environment) {
                Ok(found) => damage.extend(found),
                Err(error) => {
                    tracing::warn!(%environment, "its snapshots were not looked at: {error:#}");
                    settled = false;
                }
            }
        }
        Ok((damage, settled))
    }

    fn environment(&mut self, environment: &EnvironmentId) -> anyhow::Result<Option<Damage>> {
        let base = refs::read(&self.repository, &refs::base(environment))?;
        let base = base.context("it has no base")?;
        // Without it nothing that is missing can be told from what only the user has.
        let tree = object::tree_of(&self.repository, &object::name(base))?;
        anyhow::ensure!(self.files(tree), "its base cannot be read");
        let found_anew = self.origin(environment, base)?;
        let name = refs::snapshot(environment);
        let newest = refs::read(&self.repository, &name).ok().flatten();
        let stands = newest.is_some_and(|newest| self.can_be_built_on(newest));
        let message = if let Some(newest) = newest.filter(|_| stands) {
            if heads::read(self.store, environment).is_empty() {
                // An earlier version wrote none down.
                heads::add(self.store, environment, None, newest);
            }
            None
        } else {
            let known = heads::read(self.store, environment);
            let found = known.into_iter().find(|id| self.can_be_built_on(*id));
            let found = found.context("no snapshot of it can be read")?;
            // Torn refs cannot be compared with.
            let _ = fs::remove_file(self.store.git_dir().join(name.as_bstr().to_string()));
            refs::set(&self.repository, name, found, None)?;
            let number = super::history::number_of(&self.repository, found)?;
            Some(format!(
                "the newest snapshots were lost in a crash of the machine; the history goes on \
                 from snapshot {number}, and the workspace is as it was"
            ))
        };
        let newest = refs::read(&self.repository, &refs::snapshot(environment))?;
        let newest = newest.context("it has no snapshot")?;
        if self.as_git_stores {
            older::note(self.store, environment, newest)?;
        }
        let tree = self.repository.find_commit(newest)?.tree_id()?.detach();
        let as_stored = self.files(tree) && self.remembers_what_is_there(environment);
        // Whether or not its origin was found by this look: an earlier one may have been cut short
        // just after it was.
        if self.older || message.is_some() || found_anew || !as_stored {
            // Files that are as they were are read again, and what they hold is stored again.
            stat::forget(self.store, environment);
        }
        Ok(message.map(|message| Damage { environment: environment.clone(), message }))
    }

    /// Finds the base as it is checked out anew where what is known of it cannot be read, or nothing
    /// is known of it yet; whether it did.
    fn origin(&mut self, environment: &EnvironmentId, base: ObjectId) -> anyhow::Result<bool> {
        let name = refs::origin(environment);
        let tree = |id| object::tree_of(&self.repository, &object::name(id)).ok();
        match refs::read(&self.repository, &name) {
            Ok(None) if !self.older => return Ok(false),
            Ok(Some(known)) if tree(known).is_some_and(|tree| self.files(tree)) => {
                return Ok(false);
            }
            _ => {}
        }
        let (origin, _) = origin::of_base(self.store, base)?;
        // A torn ref cannot be compared with.
        let _ = fs::remove_file(self.store.git_dir().join(name.as_bstr().to_string()));
        if origin == base {
            return Ok(false);
        }
        refs::set(&self.repository, name.clone(), origin, None)?;
        self.store.sync()?;
        self.store.sync_refs(&[name])?;
        Ok(true)
    }

    /// Whether a snapshot and its directories can be read; its files may be stored again.
    fn can_be_built_on(&mut self, commit: ObjectId) -> bool {
        let found = self.repository.find_commit(commit);
        let tree = found.ok().and_then(|it| it.tree_id().ok().map(gix::Id::detach));
        tree.is_some_and(|tree| self.walk(tree, false))
    }

    /// Whether a tree can be read with every file in it.
    fn files(&mut self, tree: ObjectId) -> bool {
        self.walk(tree, true)
    }

    fn walk(&mut self, tree: ObjectId, files: bool) -> bool {
        if self.good.contains(&tree) {
            return true;
        }
        let Some(entries) = self.entries(tree) else { return false };
        for (mode, id) in entries {
            let there = if mode.is_tree() {
                self.walk(id, files)
            } else if mode.is_commit() || !files || self.good.contains(&id) {
                true
            } else {
                self.repository.has_object(id) && self.good.insert(id)
            };
            if !there {
                return false;
            }
        }
        if files {
            self.good.insert(tree);
        }
        true
    }

    fn entries(&self, tree: ObjectId) -> Option<Vec<(EntryMode, ObjectId)>> {
        let found = self.repository.find_tree(tree).ok()?;
        let decoded = found.decode().ok()?;
        Some(decoded.entries.iter().map(|entry| (entry.mode, entry.oid.to_owned())).collect())
    }

    /// Whether every file that is not to be read again is stored.
    fn remembers_what_is_there(&self, environment: &EnvironmentId) -> bool {
        let known = stat::StatCache::open(self.store, environment);
        known.blobs().all(|id| self.good.contains(&id) || self.repository.has_object(id))
    }
}

/// Takes our own loose objects that are not what their names say out of the way. They are kept: a
/// disk may only have failed to read them.
fn move_torn(store: &Store) -> anyhow::Result<()> {
    let files = store.loose();
    let mut buffer = Vec::new();
    for id in files.iter() {
        let Ok(id) = id else { continue };
        let path = files.object_path(&id);
        let Ok(found) = fs::metadata(&path) else { continue };
        let whole = match files.try_find(&id, &mut buffer) {
            Ok(Some(object)) => hash(object.kind, object.data, &id),
            // It was packed just now, or there is nothing in it.
            Ok(None) => found.len() > 0,
            Err(_) => false,
        };
        if !whole {
            let aside = store.directory().join(TORN);
            fs::create_dir_all(&aside)?;
            fs::rename(&path, aside.join(id.to_string()))
                .with_context(|| format!("cannot move {}", path.display()))?;
            tracing::warn!("{} is torn; it lies in {} now", path.display(), aside.display());
        }
    }
    Ok(())
}

fn hash(kind: Kind, data: &[u8], id: &ObjectId) -> bool {
    gix::objs::compute_hash(id.kind(), kind, data).is_ok_and(|found| found == *id)
}

/// The environments of which a store has snapshots.
fn environments(store: &Store) -> anyhow::Result<Vec<EnvironmentId>> {
    let directory = match fs::read_dir(store.git_dir().join(refs::OURS)) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        directory => directory?,
    };
    let mut found = Vec::new();
    for entry in directory {
        let entry = entry?;
        // One whose making was cut short has no snapshot, and is made again.
        if entry.path().join("snap").exists()
            && let Some(id) = EnvironmentId::parse(&entry.file_name().to_string_lossy())
        {
            found.push(id);
        }
    }
    Ok(found)
}
