//! What is kept for boxes goes when none needs it any more, and never before.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use agentdeck::engine::Engine;
use agentdeck::shim::wire::Role;
use serde_json::Value;

use crate::common::home::{TestHome, make};
use crate::common::place::Place;
use crate::common::talk::script;
use crate::docker::{Image, engine_answers};
use crate::native::usable;
use crate::survival::wait_until;

fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).expect("listed").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().display().to_string()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_copy_of_etc_stays_for_as_long_as_a_box_is_shown_it() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let system = place.home.path().join("system");
    // As if the host's had changed since.
    let old = system.join("etc-0000000000000000");
    for name in names(&system).iter().filter(|name| name.starts_with("etc-")) {
        let ending = if name.strip_suffix(".lock").is_some() { ".lock" } else { "" };
        std::fs::rename(system.join(name), format!("{}{ending}", old.display())).expect("renamed");
    }
    let unheld = system.join("etc-0000000000000001");
    std::fs::create_dir(&unheld).expect("made");
    // One of an earlier version does not say what it is shown.
    let mark = place.plan.directory.join("layer/box.json");
    let told = std::fs::read(&mark).expect("a mark");
    let mut silent: Value = serde_json::from_slice(&told).expect("JSON");
    silent.as_object_mut().expect("an object").remove("program");
    std::fs::write(&mark, silent.to_string()).expect("written");
    engine.remove_unused().await.expect("looked");
    assert!(old.exists() && unheld.exists(), "nobody knows");
    std::fs::write(&mark, told).expect("written");

    engine.remove_unused().await.expect("looked");
    assert!(old.exists() && !unheld.exists());
    engine.pause(&record).await.expect("paused");
    engine.remove_unused().await.expect("looked");
    assert!(old.exists(), "it is to go on");
    engine.resume(&record).await.expect("resumed");
    let look = "test -e /etc/passwd && echo there";
    assert_eq!(script(&engine, &record, Role::Agent, look).await, "there");
    engine.stop(&record, Duration::ZERO).await.expect("stopped");
    wait_until("its process has gone", || crate::common::processes::holding(&system).is_empty());
    engine.remove_unused().await.expect("looked");
    assert_eq!(names(&system), Vec::<String>::new());
    let record = engine.start(&place.plan, &record).await.expect("it takes what is there now");
    assert_eq!(script(&engine, &record, Role::Agent, look).await, "there");
    engine.remove(&record).await.expect("removed");
}

/// A home with boxes of one version of this program, and a server of the next.
struct Versions {
    test: TestHome,
    later: PathBuf,
}

impl Versions {
    fn run(&self, arguments: &[&str]) {
        let mut command = Command::new(&self.later);
        command.env_clear().envs(self.test.variables()).current_dir(&self.test.repository);
        let output = command.args(arguments).output().expect("started");
        assert!(output.status.success(), "{arguments:?}: {output:?}");
    }

    fn programs(&self) -> PathBuf {
        self.test.home.join("bin")
    }

    /// Starts a server again and waits until it has removed what no box needs: what is looked at
    /// last is a copy that none was made with.
    fn start_again(&self) {
        let last = self.programs().join("agentdeck-ffffffffffffffff");
        std::fs::write(&last, "").expect("written");
        self.run(&["server", "stop"]);
        self.run(&["server", "start"]);
        wait_until("what no box needs is removed", || !last.exists());
    }
}

#[test]
fn a_copy_of_this_program_stays_for_as_long_as_a_box_needs_it() {
    let test = TestHome::new();
    make(&test, "fox", &["--engine", "native"], "exec sleep 1000");
    let image = engine_answers().then(Image::busybox);
    if let Some(image) = &image {
        make(&test, "owl", &["--engine", "docker", "--image", &image.0], "exec sleep 1000");
    }
    test.agentdeck(&["server", "stop"]).ok();
    let later = test.path().join("later");
    std::fs::copy(env!("CARGO_BIN_EXE_agentdeck"), &later).expect("copied");
    let appended = std::fs::File::options().append(true).open(&later);
    appended.and_then(|mut file| file.write_all(b"later")).expect("another content");
    let versions = Versions { test, later };
    let first = versions.programs().join(&names(&versions.programs())[0]);
    versions.run(&["new", "hen", "--engine", "native", "--", "sh", "-c", "exec sleep 1000"]);
    assert_eq!(names(&versions.programs()).len(), 2);

    versions.start_again();
    assert!(first.exists(), "a box runs it");
    versions.run(&["stop", "fox"]);
    if image.is_some() {
        versions.run(&["stop", "owl"]);
        versions.start_again();
        assert!(first.exists(), "a container starts with it again");
        versions.run(&["start", "owl"]);
        versions.run(&["exec", "owl", "--", "true"]);
        versions.run(&["discard", "owl", "--yes"]);
        versions.start_again();
        assert!(first.exists(), "what was discarded may come back");
        versions.run(&["trash", "empty", "--yes"]);
    }
    versions.start_again();
    assert!(!first.exists());
    assert_eq!(names(&versions.programs()).len(), 1);
    versions.run(&["start", "fox"]);
    versions.run(&["exec", "fox", "--", "true"]);
}
