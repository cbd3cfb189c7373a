//! Copies and images of native boxes that are given up: nothing goes on behind them, nothing is
//! left of them, and the box goes on.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use agentdeck::engine::{BoxRecord, BoxState, Engine, SaveTarget};
use agentdeck::shim::wire::Role;
use rustix::process::Signal;

use crate::common::place::Place;
use crate::common::processes::{self, lives};
use crate::common::talk::{PATIENCE, script};
use crate::native::usable;

/// Files enough that a copy of them is met while it goes on.
const MANY: &str = "mkdir -p /opt/many && cd /opt/many && seq 30000 | xargs touch && \
                    head -c 200000000 /dev/urandom >large";

/// A process that writes below a directory, and stands still since it was found.
fn caught(directory: &Path, named: &str) -> Option<u32> {
    let is_it = |place: &PathBuf| place.to_string_lossy().contains(named);
    let found = processes::holding(directory).into_iter().find(|(_, place)| is_it(place));
    let (pid, _) = found.filter(|(pid, _)| processes::command(*pid).ends_with(" box"))?;
    processes::signal(pid, Signal::STOP);
    Some(pid)
}

/// Carries `work` on until the process that does it is caught.
async fn begun<T>(
    work: &mut (impl Future<Output = T> + Unpin),
    caught: impl Fn() -> Option<u32>,
) -> u32 {
    loop {
        let over = tokio::time::timeout(Duration::from_millis(1), &mut *work).await.is_ok();
        assert!(!over, "it was over before it was seen");
        if let Some(pid) = caught() {
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
async fn a_fork_that_is_given_up_ends_its_copy_and_lets_its_source_go_on() {
    let (place, copy) = (Place::new(), Place::new());
    let Some((engine, record)) = a_full_box(&place).await else { return };
    let target = copy.plan.directory.join("layer");
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let copier = {
        let mut forking = pin!(engine.fork(&record, &copy.plan, &progress));
        let copier = begun(&mut forking, || caught(&target, "")).await;
        assert_eq!(engine.state(&record).await, Ok(BoxState::Paused));
        copier
    };
    until("the copy ends", async || !lives(copier)).await;
    until("nothing is left of it", async || !target.exists()).await;
    until("the source goes on", async || engine.state(&record).await == Ok(BoxState::Running))
        .await;
    engine.fork(&record, &copy.plan, &progress).await.expect("and can be forked again");
    assert!(target.join("layers").exists());
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_copy_ends_with_the_process_that_keeps_it() {
    let (place, copy) = (Place::new(), Place::new());
    let Some((engine, record)) = a_full_box(&place).await else { return };
    let target = copy.plan.directory.join("layer");
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let mut forking = pin!(engine.fork(&record, &copy.plan, &progress));
    let copier = begun(&mut forking, || caught(&target, "")).await;
    let keeper = processes::parent(copier).and_then(processes::parent).expect("a keeper");
    assert!(processes::command(keeper).ends_with(" box"), "{}", processes::command(keeper));
    processes::signal(keeper, Signal::KILL);
    forking.await.expect_err("nobody finishes it");
    assert!(!lives(copier), "it has ended before the failure is told");
    assert!(!target.exists());
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_save_that_is_given_up_leaves_no_process_and_no_file() {
    let place = Place::new();
    let Some((engine, record)) = a_full_box(&place).await else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let to = SaveTarget::Archive(directory.path().join("box.tar"));
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let writer = {
        let mut saving = pin!(engine.save(&place.plan, &record, &to, &progress));
        begun(&mut saving, || caught(directory.path(), ".agentdeck-save-")).await
    };
    until("the writer ends", async || !lives(writer)).await;
    let empty = || std::fs::read_dir(directory.path()).expect("there").count() == 0;
    until("its file is gone", async || empty()).await;
    until("the box goes on", async || engine.state(&record).await == Ok(BoxState::Running)).await;
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_copy_ends_with_whoever_ordered_it() {
    let (place, copy) = (Place::new(), Place::new());
    let Some((engine, record)) = a_full_box(&place).await else { return };
    engine.stop(&record, Duration::ZERO).await.expect("stopped");
    let target = copy.plan.directory.join("layer");
    let order = serde_json::json!({ "Copy": {
        "from": place.plan.directory.join("layer"), "to": target, "name": "cub",
    }});
    let mut keeper = Command::new(env!("CARGO_BIN_EXE_agentdeck"))
        .arg("box")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let mut input = keeper.stdin.take().expect("a pipe");
    input.write_all(order.to_string().as_bytes()).expect("ordered");
    drop(input);
    let start = Instant::now();
    let copier = loop {
        assert!(start.elapsed() < PATIENCE && keeper.try_wait().expect("asked").is_none());
        if let Some(pid) = caught(&target, "") {
            break pid;
        }
    };
    drop(keeper.stdout.take());
    until("the keeper ends", async || keeper.try_wait().expect("asked").is_some()).await;
    assert!(!lives(copier), "it took all below it along");
    engine.remove(&record).await.expect("removed");
}
