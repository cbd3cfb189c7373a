//! An environment's own files: the workspace from its base, and when its changes are noticed.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::jobs::Snapshotter;
use super::super::shared::{Shared, blocking, now};
use super::super::state::{Matter, Record, Report};
use super::super::step::{Step, reached};
use super::prepare::note_of;
use super::{disk, seeds};
use crate::model::failure::Failure;
use crate::model::profile::AgentProfile;
use crate::model::snapshot::{Divergence, Snapshot};
use crate::repo::snapshot::Touched;
use crate::repo::workspace::{Bringing, Changes};
use crate::repo::{self, UserRepository};

/// Makes the directories that a box is shown and seeds its home; the files may follow while the
/// box is made.
pub(super) async fn lay_out(
    shared: &Arc<Shared>,
    record: &Record,
    profile: &AgentProfile,
) -> Result<(), Failure> {
    let id = &record.environment.id;
    let places = shared.layout.environment(id);
    let (record, variables) = (record.clone(), shared.variables(id));
    let profile_seeds = profile.seeds.clone();
    blocking(move || {
        places.create().map_err(|error| disk(&places.directory, &error))?;
        let workspace = record.environment.repository.display().to_string();
        seeds::write(&places.agent_home(), &profile_seeds, &workspace, &variables)?;
        reached(Step::HomeSeeded);
        if record.workspace_made || record.files_made {
            return Ok(());
        }
        let (workspace, git) = (places.workspace(), places.git());
        for half_made in [&workspace, &git] {
            remove_half_made(half_made)?;
        }
        repo::workspace::lay_out(&repo::workspace::Places { workspace: &workspace, git: &git })
    })
    .await
}

/// The first snapshot, on its way to the disk.
pub(in crate::deck) type Keeping = JoinHandle<Result<(), Failure>>;

/// Checks the base out, takes the first snapshot and notices changes from there on. Nothing but
/// the last where the first two were done before.
pub(super) async fn make_files(
    shared: &Arc<Shared>,
    record: &Record,
) -> Result<Option<Keeping>, Failure> {
    if record.workspace_made {
        watch(shared, record, FirstLook::AtOnce).await?;
        return Ok(None);
    }
    let id = record.environment.id.clone();
    let places = shared.layout.environment(&id);
    let (reports, mut progress) = mpsc::channel::<(u64, u64)>(1);
    let task = shared.clone();
    let task_record = record.clone();
    let runtime = tokio::runtime::Handle::current();
    let work = blocking(move || {
        let user = UserRepository::discover(&task_record.environment.repository)?;
        let identity = user.identity();
        let store = task.store_of(&user)?;
        let (workspace, git) = (places.workspace(), places.git());
        let target = repo::workspace::Places { workspace: &workspace, git: &git };
        let made_ahead = places.made_ahead();
        let environment = &task_record.environment;
        let created = repo::workspace::create(
            &user,
            &store,
            &environment.id,
            &environment.base,
            if task_record.with_changes { Changes::Bring } else { Changes::Leave },
            &target,
            &identity,
            now(),
            &mut repo::workspace::Making {
                progress: &mut |done, total| {
                    // A full channel means that a newer number is on its way anyway.
                    let _ = reports.try_send((done, total));
                    reached(Step::CheckoutBegun);
                },
                ahead: task_record.files_made.then_some(made_ahead.as_path()),
                may_pin: &mut || runtime.block_on(task.keeper.durable(&environment.id)),
                bringing: &mut |how| match how {
                    Bringing::Noted => reached(Step::ChangesNoted),
                    Bringing::Done => reached(Step::ChangesBrought),
                },
            },
        );
        match created {
            Ok(snapshot) => {
                let carried = repo::workspace::carried(&store, &environment.id)?;
                Ok((store, snapshot, note_of(&carried, true)))
            }
            Err(mut failure) => {
                // Where they were there before, an agent may have worked in them.
                let own = [&workspace, &git].into_iter().filter(|_| !task_record.files_made);
                for half_made in own {
                    // What failed is told; this only gives the room back.
                    let _ = remove_half_made(half_made);
                }
                failure.message = format!("{}: {}", workspace.display(), failure.message);
                Err(failure)
            }
        }
    });
    let reporting = async {
        while let Some((done, total)) = progress.recv().await {
            let step = "checking out".to_owned();
            shared.report(&id, Report::Progress { step, done, total }).await;
        }
    };
    let (made, ()) = tokio::join!(work, reporting);
    let (store, snapshot, carried) = made?;
    reached(Step::WorkspaceMade);
    if let Some(note) = carried {
        // Before the files count as made: after a kill they are made, and told of, again.
        shared.report(&id, Report::Note(note)).await;
    }
    tell_made(shared, record, store, snapshot).await
}

/// Records files and first snapshot, and notices changes from there on.
async fn tell_made(
    shared: &Arc<Shared>,
    record: &Record,
    store: repo::Store,
    snapshot: Snapshot,
) -> Result<Option<Keeping>, Failure> {
    let id = record.environment.id.clone();
    // The record speaks of refs and objects, which must be on the disk before it is.
    let hold = shared.keeper.hold(&id);
    shared.report(&id, Report::WorkspaceMade).await;
    // Whoever is told of the first snapshot may change something at once.
    let watched = watch(shared, record, FirstLook::Later).await;
    let divergence = Divergence::default();
    let snapshot = Box::new(snapshot);
    shared.report(&id, Report::SnapshotTaken { snapshot, count: 1, divergence }).await;
    shared.settled(&id).await;
    reached(Step::WorkspaceRecorded);
    let keeping = tokio::spawn(blocking(move || {
        let _hold = hold;
        repo::workspace::keep(&store, &id)
    }));
    watched?;
    Ok(Some(keeping))
}

/// Brings the first snapshot to the disk, and only then the record, which speaks of it.
pub(in crate::deck) fn keep_snapshot(shared: &Arc<Shared>, record: &Record) -> Keeping {
    let hold = shared.keeper.hold(&record.environment.id);
    let (task, record) = (shared.clone(), record.clone());
    tokio::spawn(blocking(move || {
        let _hold = hold;
        let (store, _) = task.store(&record)?;
        repo::workspace::keep_again(&store, &record.environment.id)
    }))
}

/// Removes what an interrupted checkout left; no program has seen it yet.
fn remove_half_made(directory: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(disk(directory, &error)),
        _ => Ok(()),
    }
}

/// When what changed before anybody watched is taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::deck) enum FirstLook {
    AtOnce,
    /// When the snapshotter is next told of something.
    Later,
}

/// Begins to notice changes of the workspace.
pub(in crate::deck) async fn watch(
    shared: &Arc<Shared>,
    record: &Record,
    look: FirstLook,
) -> Result<(), Failure> {
    let id = record.environment.id.clone();
    let snapshotter = Snapshotter::start(shared.clone(), record.clone());
    if shared.set_snapshotter(&id, &snapshotter) && look == FirstLook::AtOnce {
        snapshotter.touched(Touched::Everything, true);
    }
    // Where there was one, the other ends with this.
    drop(snapshotter);
    let (task, record) = (shared.clone(), record.clone());
    blocking(move || {
        let id = &record.environment.id;
        let places = task.layout.environment(id);
        let (store, _) = task.store(&record)?;
        let workspace = places.workspace();
        let ignored = repo::ignored::directories(&store, id, &workspace)?;
        task.watcher.watch_except(id, &workspace, &places.git(), Arc::new(ignored));
        Ok(())
    })
    .await?;
    shared.report(&id, Report::Matter { matter: Matter::Watching, note: None }).await;
    Ok(())
}
