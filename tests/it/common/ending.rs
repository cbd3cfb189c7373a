//! The end of all that a home has begun, also where its server was killed or its files are gone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use agentdeck::engine::docker::Docker;
use agentdeck::engine::native::Native;
use agentdeck::engine::{BoxRecord, Engine};
use serde_json::Value;

use super::processes;
use super::talk::PATIENCE;

/// Between two looks at something that has no event to wait for.
const PAUSE: Duration = Duration::from_millis(20);

/// Ends every process of a home, and removes its control groups, containers and files. Boxes are
/// known by their records; what has none, by the path of `root`, the test's own directory.
pub fn end_all(root: &Path, home: &Path, deck: Option<&str>) {
    let tag = std::fs::read_to_string(home.join("deck")).ok();
    let tag = deck.map(str::to_owned).or(tag);
    tell(tag.as_deref());
    let (root, home) = (root.to_owned(), home.to_owned());
    // A test may have a runtime of its own, in which this one could not wait.
    let ending = std::thread::spawn(move || {
        // First those that would make others.
        let servers = processes::all().into_iter().filter(|pid| serves(*pid, &home));
        servers.for_each(|pid| processes::end(pid, &home));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(end_boxes(&home, tag.as_deref()));
        end_rest(&root);
        let _ = agentdeck::engine::remove_tree(&home);
    });
    let _ = ending.join();
}

/// Writes a deck's tag down for whoever looks, after all tests, for control groups that are left.
fn tell(tag: Option<&str>) {
    let Some((file, tag)) = std::env::var_os("AGENTDECK_TEST_DECKS").zip(tag) else { return };
    let file = std::fs::File::options().append(true).open(file);
    let _ = file.and_then(|mut file| file.write_all(format!("{tag}\n").as_bytes()));
}

/// Whether a process is the server of a home, by the home in its variables.
fn serves(pid: u32, home: &Path) -> bool {
    processes::command(pid).ends_with("server run") && processes::belongs_to(pid, home)
}

async fn end_boxes(home: &Path, tag: Option<&str>) {
    let native = Native::new(home);
    for record in records(home) {
        let _ = match &record.container {
            Some(_) => Docker::connect(home).remove(&record).await,
            None => native.stop(&record, Duration::ZERO).await,
        };
    }
    let Some(tag) = tag else { return };
    let of_engine = records(home).into_iter().filter(|record| record.container.is_some());
    for record in of_engine {
        // Images of forks are found by their labels where their notes are not: in the trash.
        let _ = Docker::connect(home).remove_orphan(tag, &record.environment).await;
    }
    for environment in native.list(tag).await.unwrap_or_default() {
        let _ = native.remove_orphan(tag, &environment).await;
    }
}

/// The boxes that the deck or the engine has written down.
fn records(home: &Path) -> Vec<BoxRecord> {
    let places = ["environments", "trash", "removing"].map(|name| home.join(name));
    let listed = places.iter().filter_map(|place| std::fs::read_dir(place).ok()).flatten();
    let directories: Vec<PathBuf> = listed.flatten().map(|entry| entry.path()).collect();
    let mut records = Vec::new();
    for directory in directories {
        for file in ["record.json", "layer/box.json"] {
            let text = std::fs::read(directory.join(file)).unwrap_or_default();
            let value: Value = serde_json::from_slice(&text).unwrap_or_default();
            records.extend(serde_json::from_value(value["record"].clone()).ok());
        }
    }
    records
}

/// Ends what still names the test's own directory, which no record was found for.
fn end_rest(root: &Path) {
    let left = || -> Vec<u32> {
        let own = std::process::id();
        let others = processes::all().into_iter().filter(|pid| *pid != own);
        others.filter(|pid| processes::belongs_to(*pid, root) && processes::lives(*pid)).collect()
    };
    let start = Instant::now();
    let mut rest = left();
    while !rest.is_empty() && start.elapsed() < PATIENCE {
        for pid in rest {
            processes::end(pid, root);
        }
        std::thread::sleep(PAUSE);
        rest = left();
    }
}
