//! Copies and images of native boxes that are given up: the box that stood still for them goes on.

use std::path::Path;
use std::pin::pin;
use std::time::{Duration, Instant};

use agentdeck::engine::{BoxRecord, BoxState, Engine, SaveTarget};
use agentdeck::shim::wire::Role;

use crate::common::place::Place;
use crate::common::processes::{self, lives};
use crate::common::talk::{PATIENCE, script};
use crate::native::usable;

/// Files enough that a copy of them is met while it goes on.
const MANY: &str = "mkdir -p /opt/many && cd /opt/many && seq 30000 | xargs touch && \
                    head -c 200000000 /dev/urandom >large";

/// The child that works below a directory.
fn at_work(directory: &Path) -> Option<u32> {
    let holding = processes::holding(directory).into_iter().map(|(pid, _)| pid);
    holding.into_iter().find(|pid| processes::command(*pid).ends_with(" box"))
}

/// Carries `work` on until the process that does it is seen.
async fn begun<T>(work: &mut (impl Future<Output = T> + Unpin), directory: &Path) -> u32 {
    loop {
        let over = tokio::time::timeout(Duration::from_millis(1), &mut *work).await.is_ok();
        assert!(!over, "it was over before it was seen");
        if let Some(pid) = at_work(directory) {
            return pid;
        }
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn a_full_box(place: &Place) -> Option<(impl Engine, BoxRecord)> {
    let engine = usable(place).await?;
    let record = place.create(&engine).await;
    script(&engine, &record, Role::Root, MANY).await;
    Some((engine, record))
}

#[tokio::test]
async fn the_source_of_a_fork_that_is_given_up_goes_on() {
    let (place, copy) = (Place::new(), Place::new());
    let Some((engine, record)) = a_full_box(&place).await else { return };
    let target = copy.plan.directory.join("layer");
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let copier = {
        let mut forking = pin!(engine.fork(&record, &copy.plan, &progress));
        let copier = begun(&mut forking, &target).await;
        assert_eq!(engine.state(&record).await, Ok(BoxState::Paused));
        copier
    };
    until("the source goes on", async || engine.state(&record).await == Ok(BoxState::Running))
        .await;
    until("the copy ends", async || !lives(copier)).await;
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_box_whose_save_is_given_up_goes_on() {
    let place = Place::new();
    let Some((engine, record)) = a_full_box(&place).await else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let to = SaveTarget::Archive(directory.path().join("box.tar"));
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let writer = {
        let mut saving = pin!(engine.save(&place.plan, &record, &to, &progress));
        begun(&mut saving, directory.path()).await
    };
    until("the box goes on", async || engine.state(&record).await == Ok(BoxState::Running)).await;
    until("the writer ends", async || !lives(writer)).await;
    engine.remove(&record).await.expect("removed");
}
