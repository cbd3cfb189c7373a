//! Records that this program cannot read: what they are of is listed, and left alone until somebody
//! can read them.

use std::path::PathBuf;

use serde_json::Value;

use crate::common::home::{TestHome, make};
use crate::common::place::Place;

/// An environment whose agent counts its starts, and its record as it is while no server runs.
struct World {
    test: TestHome,
    directory: PathBuf,
    record: Value,
}

impl World {
    fn new() -> Self {
        let test = TestHome::new();
        make(&test, "fox", &[], "echo started >>starts; exec sleep 1000");
        test.wait_for_json(&["inspect", "fox", "--json"], |it| it["environment"]["snapshots"] != 0);
        let inspection = test.agentdeck(&["inspect", "fox", "--json"]).json();
        let id = inspection["environment"]["id"].as_str().expect("an id");
        let directory = test.home.join("environments").join(id);
        test.agentdeck(&["server", "stop"]).ok();
        let text = std::fs::read(directory.join("record.json")).expect("read");
        let record = serde_json::from_slice(&text).expect("json");
        Self { test, directory, record }
    }

    /// Puts something in the record's place, and has a server begin with that.
    fn begin_with(&self, text: &str) -> Vec<Value> {
        self.test.agentdeck(&["server", "stop"]);
        std::fs::write(self.directory.join("record.json"), text).expect("written");
        let _ = std::fs::remove_file(self.directory.join("record.unsynced.json"));
        self.test.agentdeck(&["ls", "--json"]).json().as_array().expect("a list").clone()
    }

    /// Tries whatever would change an environment, under a name.
    fn try_everything(&self, name: &str) {
        for arguments in [
            &["discard", name, "--yes"][..],
            &["start", name],
            &["stop", name],
            &["fork", name, "cub"],
            &["mark", name, "here"],
            &["apply", name],
            &["exec", name, "--", "true"],
        ] {
            let run = self.test.agentdeck(arguments);
            assert_ne!(run.code, 0, "{arguments:?}: {run:?}");
            assert!(run.stderr.contains("its record"), "{arguments:?}: {run:?}");
        }
    }
}

/// Whatever is in its place, the boxes of the home are ended by the record.
impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::write(self.directory.join("record.json"), self.record.to_string());
    }
}

#[tokio::test]
async fn what_a_newer_agentdeck_wrote_is_listed_and_left_alone_and_goes_on_under_it() {
    if crate::native::usable(&Place::new()).await.is_none() {
        return;
    }
    let world = World::new();
    let mut newer = world.record.clone();
    newer["version"] = 99.into();
    let text = newer.to_string();
    let listed = world.begin_with(&text);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(
        (&listed[0]["name"], &listed[0]["state"]["state"]),
        (&"fox".into(), &"failed".into())
    );
    let message = listed[0]["state"]["message"].as_str().expect("a message");
    assert!(message.contains("newer version"), "{message}");
    world.try_everything("fox");
    let again = world.test.agentdeck(&["new", "fox", "--", "true"]);
    assert_ne!(again.code, 0, "{again:?}");
    assert!(again.stderr.contains("exists already"), "{again:?}");
    let kept = std::fs::read_to_string(world.directory.join("record.json")).expect("read");
    assert_eq!(kept, text, "nothing was written over it");

    // Whoever can read it finds the agent at work, as it was all the while.
    world.begin_with(&world.record.to_string());
    world.test.wait_for_json(&["ls", "--json"], |it| it[0]["state"]["state"] == "running");
    let starts = std::fs::read_to_string(world.directory.join("workspace/starts")).expect("read");
    assert_eq!(starts, "started\n");
}

#[tokio::test]
async fn an_environment_whose_record_is_torn_is_listed_by_its_id_and_left_alone() {
    if crate::native::usable(&Place::new()).await.is_none() {
        return;
    }
    let world = World::new();
    let id = world.directory.file_name().and_then(|it| it.to_str()).expect("an id");
    let listed = world.begin_with("");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!((&listed[0]["name"], &listed[0]["state"]["state"]), (&id.into(), &"failed".into()));
    world.try_everything(id);
    assert_eq!(std::fs::read(world.directory.join("record.json")).expect("read"), b"");
    world.begin_with(&world.record.to_string());
    world.test.wait_for_json(&["ls", "--json"], |it| it[0]["state"]["state"] == "running");
}
