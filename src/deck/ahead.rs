//! What is made before anybody asks: the files of the next environment of a repository, in a
//! directory that becomes the environment's own by a rename, and its box, as far as an engine can.
//!
//! There is at most one for each repository, and it is for whichever engine is asked for: the files
//! are the same, and the box in them is like the last one of the engine that can make one ahead. It
//! is made a moment after an environment was, at the lowest priority, from the same base; whoever
//! asks for another base, or for the same one where anything else that files are made from has
//! changed, gets none. What nobody takes is removed after a while, and at every start: it is no
//! environment and is never listed.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context;

use super::disk;
use super::making;
use super::recover;
use super::shared::{Shared, blocking};
use super::state::Record;
use super::step::{Step, reached};
use crate::model::failure::{Failure, FailureKind};
use crate::model::id::{EnvironmentId, RepositoryId};
use crate::model::policy::EngineKind;
use crate::repo::{self, Store, UserRepository};
use crate::store::{self, Layout};

/// Between an environment that was made and the files of the next: its agent comes first.
const PAUSE: Duration = Duration::from_millis(400);

/// How long files are kept for an environment that nobody asks for.
const AGE: Duration = Duration::from_hours(1);

/// More than this is not kept twice on a guess: files, and bytes of files and objects together.
const FILES_LIMIT: usize = 50_000;
const BYTES_LIMIT: u64 = 256 << 20;

/// Free room below which nothing is made on a guess.
const ROOM: u64 = 4 << 30;

/// Between a making that failed for a reason that may pass and the next one: by the last a machine
/// that was short of something has calmed down, and so few cost nobody anything.
const PAUSES: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(25)];

/// The lowest priority there is.
const IDLE: i32 = 19;

/// What the directory of a new environment begins with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Nothing,
    /// Its files, made before anybody asked.
    Ahead,
}

/// What is there, or on its way, for each repository.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    slots: Mutex<HashMap<RepositoryId, Slot>>,
    /// The last environment of each repository whose engine can make a box ahead.
    models: Mutex<HashMap<RepositoryId, Record>>,
}

#[derive(Debug, PartialEq, Eq)]
enum Slot {
    Making,
    Made {
        id: EnvironmentId,
        origin: String,
        /// Whether it has its box, or is to have none.
        boxed: Boxed,
    },
    /// It would be too large; this server does not try again.
    Refused,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Boxed {
    Done,
    Missing,
}

/// The making of what is missing.
#[derive(Debug, PartialEq, Eq)]
enum Claim {
    Everything {
        /// What is to be removed for it.
        former: Option<EnvironmentId>,
    },
    /// Only the box of what is there.
    Box { id: EnvironmentId },
}

impl Ahead {
    /// The id of a new environment, and what its directory begins with.
    pub(super) fn choose(
        &self,
        repository: &RepositoryId,
        origin: &str,
    ) -> Result<(EnvironmentId, Source), Failure> {
        match self.take(repository, origin) {
            Some(id) => Ok((id, Source::Ahead)),
            None => Ok((recover::new_id()?, Source::Nothing)),
        }
    }

    /// Takes the directory that was made from `origin`, if there is one. Its name is the id that
    /// the environment will have.
    fn take(&self, repository: &RepositoryId, origin: &str) -> Option<EnvironmentId> {
        let mut slots = self.slots();
        let fits = |slot: &Slot| matches!(slot, Slot::Made { origin: own, .. } if own == origin);
        if !slots.get(repository).is_some_and(fits) {
            return None;
        }
        match slots.remove(repository) {
            Some(Slot::Made { id, .. }) => Some(id),
            _ => None,
        }
    }

    /// Claims the making of what the next one lacks, unless it lacks nothing or is on its way.
    fn begin(&self, repository: &RepositoryId, origin: &str) -> Option<Claim> {
        let mut slots = self.slots();
        let claim = match slots.get(repository) {
            Some(Slot::Making | Slot::Refused) => return None,
            Some(Slot::Made { id, origin: own, boxed }) if own == origin => match boxed {
                Boxed::Done => return None,
                Boxed::Missing => Claim::Box { id: id.clone() },
            },
            Some(Slot::Made { id, .. }) => Claim::Everything { former: Some(id.clone()) },
            None => Claim::Everything { former: None },
        };
        slots.insert(repository.clone(), Slot::Making);
        Some(claim)
    }

    /// Ends the making of what was begun.
    fn end(&self, repository: &RepositoryId, slot: Option<Slot>) {
        let mut slots = self.slots();
        match slot {
            Some(slot) => slots.insert(repository.clone(), slot),
            None => slots.remove(repository),
        };
    }

    /// Forgets one that nobody asked for; whether it is still there.
    fn expire(&self, repository: &RepositoryId, id: &EnvironmentId) -> bool {
        let mut slots = self.slots();
        let is_it = |slot: &Slot| matches!(slot, Slot::Made { id: own, .. } if own == id);
        slots.get(repository).is_some_and(is_it) && slots.remove(repository).is_some()
    }

    /// Remembers what the next box of the repository is to be like.
    fn learn(&self, record: &Record) {
        if record.environment.engine == EngineKind::Native {
            self.models().insert(record.repository_id.clone(), record.clone());
        }
    }

    /// What the next box of the repository is to be like.
    fn model(&self, repository: &RepositoryId) -> Option<Record> {
        self.models().get(repository).cloned()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<RepositoryId, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn models(&self) -> MutexGuard<'_, HashMap<RepositoryId, Record>> {
        self.models.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Puts in its place what the directory of a new environment begins with.
pub(super) fn put_in_place(shared: &Shared, record: &Record, source: Source) -> anyhow::Result<()> {
    match source {
        Source::Nothing => Ok(()),
        // What is left where this fails is removed by the next start.
        Source::Ahead => become_environment(shared, record),
    }
}

/// Makes the directory of `record` from the one that was made ahead under its id. The record is in
/// it before it is an environment's, so that a kill leaves the whole or nothing.
fn become_environment(shared: &Shared, record: &Record) -> anyhow::Result<()> {
    let id = &record.environment.id;
    let from = directory(&shared.layout, id);
    shared.engine(record.environment.engine).expect_ahead(id);
    shared.keeper.leave(record, &store::Places { directory: from.clone() })?;
    reached(Step::AheadRecorded);
    std::fs::rename(&from, shared.layout.environment(id).directory)?;
    reached(Step::AheadTaken);
    if record.environment.engine != EngineKind::Native {
        let (native, id) = (shared.native.clone(), id.clone());
        tokio::spawn(async move { native.forget_ahead(&id).await });
    }
    Ok(())
}

/// Has the next environment's files made like those of `record`, and its box.
pub(super) fn make_next(shared: &Arc<Shared>, record: &Record) {
    shared.ahead.learn(record);
    let (shared, record) = (shared.clone(), record.clone());
    tokio::spawn(async move {
        tokio::time::sleep(PAUSE).await;
        let Some(id) = make_patiently(&shared, &record).await else { return };
        let repository = record.repository_id.clone();
        drop(record);
        tokio::time::sleep(AGE).await;
        if shared.ahead.expire(&repository, &id) {
            remove(&shared, &id).await;
        }
    });
}

/// Makes one, again where that failed for a reason that may pass; its id when it was made here.
async fn make_patiently(shared: &Arc<Shared>, record: &Record) -> Option<EnvironmentId> {
    let (mut made, mut pauses) = (None, PAUSES.iter());
    loop {
        let failure = match make(shared, record).await {
            Ok(Outcome::Nothing) => return made,
            Ok(Outcome::Made { id, lacks: None }) => return Some(id),
            Ok(Outcome::Made { id, lacks: Some(failure) }) => {
                made = Some(id);
                failure
            }
            Err(failure) => failure,
        };
        let Some(pause) = pauses.next().filter(|_| may_pass(&failure)) else {
            tracing::info!("not made ahead: {failure}");
            return made;
        };
        tracing::info!("not made ahead, and tried again: {failure}");
        tokio::time::sleep(*pause).await;
    }
}

/// Whether what failed may work a moment later.
fn may_pass(failure: &Failure) -> bool {
    use FailureKind::{Internal, Timeout, Unavailable};
    matches!(failure.kind, Internal | Timeout | Unavailable)
}

/// What came of trying to make one.
enum Outcome {
    /// It is there; where it lacks its box, why.
    Made { id: EnvironmentId, lacks: Option<Failure> },
    /// There is one already, or there is to be none.
    Nothing,
}

/// Makes what the next one lacks.
async fn make(shared: &Arc<Shared>, record: &Record) -> Result<Outcome, Failure> {
    let repository = record.repository_id.clone();
    let environment = record.environment.clone();
    let fresh = recover::new_id()?;
    let origin = blocking(move || {
        let user = UserRepository::discover(&environment.repository)?;
        repo::workspace::origin(&user, &environment.base)
    });
    let origin = origin.await?;
    let (id, former) = match shared.ahead.begin(&repository, &origin) {
        None => return Ok(Outcome::Nothing),
        Some(Claim::Box { id }) => return Ok(give_box(shared, &repository, id, origin).await),
        Some(Claim::Everything { former }) => (fresh, former),
    };
    if let Some(former) = former {
        remove(shared, &former).await;
    }
    let refused = match fill_at_leisure(shared, record, &id, &origin).await {
        Ok(Filled::Whole) => {
            let made = give_box(shared, &repository, id.clone(), origin).await;
            tracing::info!(%id, "files are made ahead");
            reached(Step::AheadMade);
            return Ok(made);
        }
        Ok(Filled::TooLarge) => Ok(Outcome::Nothing),
        Ok(Filled::Moved) => {
            let message = "what files are made from has changed, or there is little room";
            Err(Failure::new(FailureKind::Unavailable, message))
        }
        Err(error) => Err(error.into()),
    };
    remove(shared, &id).await;
    shared.ahead.end(&repository, refused.is_ok().then_some(Slot::Refused));
    refused
}

/// Makes the box that goes with files, which are there for whoever asks from then on.
async fn give_box(
    shared: &Arc<Shared>,
    repository: &RepositoryId,
    id: EnvironmentId,
    origin: String,
) -> Outcome {
    let lacks = make_box(shared, repository, &id).await.err();
    let boxed = if lacks.is_some() { Boxed::Missing } else { Boxed::Done };
    shared.ahead.end(repository, Some(Slot::Made { id: id.clone(), origin, boxed }));
    Outcome::Made { id, lacks }
}

/// Fills the directory on a thread of its own: its priority is lowered and cannot be raised again.
async fn fill_at_leisure(
    shared: &Arc<Shared>,
    record: &Record,
    id: &EnvironmentId,
    origin: &str,
) -> anyhow::Result<Filled> {
    let (task, record, origin) = (shared.clone(), record.clone(), origin.to_owned());
    let place = directory(&shared.layout, id);
    let (done, filled) = tokio::sync::oneshot::channel();
    let filling = std::thread::Builder::new().name("ahead".to_owned());
    filling.spawn(move || {
        let _ = rustix::process::setpriority_process(None, IDLE);
        // Whoever waits goes only with the server.
        let _ = done.send(fill(&task, &record, &place, &origin));
    })?;
    filled.await.context("filling the directory failed")?
}

/// Has the engine put the box together that goes with the files, guessing that it is asked to be
/// like its last one.
async fn make_box(
    shared: &Arc<Shared>,
    repository: &RepositoryId,
    id: &EnvironmentId,
) -> Result<(), Failure> {
    let Some(mut record) = shared.ahead.model(repository) else { return Ok(()) };
    record.environment.id = id.clone();
    let profile = making::profile_of(shared, &record)?;
    let plan = making::plan(shared, &record, &profile).await?;
    let plan = plan.moved_to(&directory(&shared.layout, id));
    shared.engine(record.environment.engine).make_ahead(&plan).await
}

/// What came of filling a directory.
enum Filled {
    Whole,
    TooLarge,
    /// What it is made from changed meanwhile, or there is little room.
    Moved,
}

fn fill(shared: &Shared, record: &Record, place: &Path, origin: &str) -> anyhow::Result<Filled> {
    if disk::free(shared.layout.home())? < ROOM {
        return Ok(Filled::Moved);
    }
    let base = &record.environment.base;
    let user = UserRepository::discover(&record.environment.repository)?;
    let store = Store::open(&shared.layout.repository(&record.repository_id), &user)?;
    let (files, objects) = repo::workspace::weight(&user, &store, base)?;
    if files > FILES_LIMIT || objects > BYTES_LIMIT {
        return Ok(Filled::TooLarge);
    }
    let places = store::Places { directory: place.to_owned() };
    places.create()?;
    reached(Step::AheadBegun);
    let (workspace, git) = (places.workspace(), places.git());
    let target = repo::workspace::Places { workspace: &workspace, git: &git };
    repo::workspace::lay_out(&target)?;
    let bytes = repo::workspace::fill(&user, &store, base, &target, &places.made_ahead())?;
    if bytes.saturating_add(objects) > BYTES_LIMIT {
        return Ok(Filled::TooLarge);
    }
    let again = UserRepository::discover(&record.environment.repository)?;
    let same = repo::workspace::origin(&again, base)? == origin;
    Ok(if same { Filled::Whole } else { Filled::Moved })
}

/// Ends the box of a directory that nobody asked for, and removes it.
async fn remove(shared: &Arc<Shared>, id: &EnvironmentId) {
    for kind in [EngineKind::Native, EngineKind::Docker] {
        shared.engine(kind).forget_ahead(id).await;
    }
    let place = directory(&shared.layout, id);
    let removing = tokio::task::spawn_blocking(move || match crate::engine::remove_tree(&place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            // The next start tries again.
            tracing::warn!("{} could not be removed: {error}", place.display());
        }
        _ => {}
    });
    let _ = removing.await;
}

fn directory(layout: &Layout, id: &EnvironmentId) -> PathBuf {
    layout.ahead().join(id.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::state::tests::record;
    use super::*;

    fn id(number: u8) -> EnvironmentId {
        EnvironmentId::from_random([number; 8])
    }

    fn made(number: u8, boxed: Boxed) -> Slot {
        Slot::Made { id: id(number), origin: "a".to_owned(), boxed }
    }

    fn everything(former: Option<u8>) -> Claim {
        Claim::Everything { former: former.map(id) }
    }

    #[test]
    fn only_what_was_made_from_the_same_is_taken_and_only_once() {
        let (ahead, shop) = (Ahead::default(), RepositoryId("shop".to_owned()));
        assert_eq!(ahead.take(&shop, "a"), None);
        assert_eq!(ahead.begin(&shop, "a"), Some(everything(None)));
        assert_eq!(ahead.take(&shop, "a"), None, "it is not whole");
        assert_eq!(ahead.begin(&shop, "a"), None, "one at a time");
        ahead.end(&shop, Some(made(1, Boxed::Done)));
        assert_eq!(ahead.take(&shop, "b"), None);
        assert_eq!(ahead.take(&shop, "a"), Some(id(1)));
        assert_eq!(ahead.take(&shop, "a"), None);
    }

    #[test]
    fn what_was_made_from_something_else_gives_way_and_what_is_too_large_is_not_tried_again() {
        let (ahead, shop) = (Ahead::default(), RepositoryId("shop".to_owned()));
        ahead.begin(&shop, "a");
        ahead.end(&shop, Some(made(1, Boxed::Done)));
        assert_eq!(ahead.begin(&shop, "a"), None, "it is there");
        assert_eq!(ahead.begin(&shop, "b"), Some(everything(Some(1))));
        ahead.end(&shop, None);
        assert_eq!(ahead.begin(&shop, "a"), Some(everything(None)));
        ahead.end(&shop, Some(made(3, Boxed::Done)));
        assert!(!ahead.expire(&shop, &id(2)) && ahead.expire(&shop, &id(3)));
        ahead.begin(&shop, "a");
        ahead.end(&shop, Some(Slot::Refused));
        assert_eq!(ahead.begin(&shop, "b"), None, "it is too large");
    }

    #[test]
    fn a_box_that_failed_is_made_again_and_nobody_takes_its_files_meanwhile() {
        let (ahead, shop) = (Ahead::default(), RepositoryId("shop".to_owned()));
        ahead.begin(&shop, "a");
        ahead.end(&shop, Some(made(1, Boxed::Missing)));
        assert_eq!(ahead.begin(&shop, "a"), Some(Claim::Box { id: id(1) }));
        assert_eq!(ahead.take(&shop, "a"), None);
        ahead.end(&shop, Some(made(1, Boxed::Missing)));
        assert_eq!(ahead.take(&shop, "a"), Some(id(1)), "files alone are worth having");
    }

    #[test]
    fn the_next_box_is_like_the_last_of_its_engine() {
        let ahead = Ahead::default();
        let mut first = record(1, "fox", "/shop");
        first.environment.engine = EngineKind::Docker;
        ahead.learn(&first);
        let repository = first.repository_id.clone();
        assert_eq!(ahead.model(&repository), None, "no box of that engine is made ahead");
        let mut second = record(2, "owl", "/shop");
        second.environment.engine = EngineKind::Native;
        second.repository_id = repository.clone();
        ahead.learn(&second);
        ahead.learn(&first);
        assert_eq!(ahead.model(&repository), Some(second));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let failed = |kind| may_pass(&Failure::new(kind, "x"));
        assert!(failed(FailureKind::Timeout) && failed(FailureKind::Unavailable));
        assert!(!failed(FailureKind::Refused) && !failed(FailureKind::Invalid));
    }
}
