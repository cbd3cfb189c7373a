//! Packing our own store, so that thousands of snapshots stay small.
//!
//! Git's own packer does it: nothing else writes deltas. It works on our store alone, without any
//! configuration but ours, and is safe beside writers: an object goes from its own file only once a
//! pack on the disk has it, and none goes altogether. What a kill leaves are files of no name,
//! which the next packing removes.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;

/// Objects in files of their own above which packing pays: some five hundred snapshots.
const LOOSE_LIMIT: usize = 5_000;
/// Directories over which those files are spread evenly, by the first byte of their name.
const FANS: usize = 256;
/// One of these directories stands for all.
const SAMPLE: &str = "17";
/// More packs than this become one: trees find what they differ little from only in their own.
const PACKS_LIMIT: usize = 3;
/// Longer than this it is stuck: a hundred thousand objects take less than a minute.
const DEADLINE: Duration = Duration::from_mins(10);
/// Between two looks whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// What is unfinished and older than this was left by a kill.
const ABANDONED: Duration = Duration::from_hours(1);
/// The lowest priority there is.
const IDLE: i32 = 19;

/// Whether the store in `directory` has enough loose objects. Costs one listing of a directory.
pub fn is_due(directory: &Path) -> bool {
    let sample = directory.join("snapshots.git/objects").join(SAMPLE);
    fs::read_dir(sample).is_ok_and(|entries| entries.count() >= LOOSE_LIMIT / FANS)
}

/// Packs the store in `directory`. The calling thread has the lowest priority from now on.
pub fn run(directory: &Path) -> anyhow::Result<()> {
    // Where it cannot be lowered, packing is only less considerate.
    let _ = rustix::process::setpriority_process(None, IDLE);
    let bare = directory.join("snapshots.git");
    sweep(&bare.join("objects/pack"));
    // What nothing refers to yet is about to be referred to, and is kept.
    let many = packs(&bare.join("objects/pack")) > PACKS_LIMIT;
    let together: &[&str] = if many { &["-a", "--keep-unreachable", "-F"] } else { &[] };
    let child = Command::new("git")
        .arg("--git-dir")
        .arg(&bare)
        .args(["-c", "pack.threads=1", "-c", "repack.writeBitmaps=false"])
        // Local objects only. Directories of one name are many, and the nearest is wanted.
        .args(["repack", "-d", "-l", "-q", "--window=50", "--depth=50"])
        .args(together)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .current_dir(&bare)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run git to pack the snapshots")?;
    wait(child)
}

fn wait(mut child: Child) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            anyhow::ensure!(status.success(), "git did not pack the snapshots: {status}");
            return Ok(());
        }
        if start.elapsed() > DEADLINE {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("git took too long to pack the snapshots");
        }
        std::thread::sleep(LOOK);
    }
}

fn packs(directory: &Path) -> usize {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "pack")).count()
}

/// Removes half-written packs that nobody writes any more.
fn sweep(packs: &Path) {
    for entry in fs::read_dir(packs).into_iter().flatten().flatten() {
        let unfinished = entry.file_name().to_string_lossy().starts_with("tmp_");
        let changed = entry.metadata().and_then(|metadata| metadata.modified());
        let age = changed.ok().and_then(|at| SystemTime::now().duration_since(at).ok());
        if unfinished && age.is_some_and(|age| age > ABANDONED) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
