//! Records that this program cannot read: what they are of is listed, and left alone until somebody
//! can read them.

use std::path::PathBuf;

use serde_json::Value;

use crate::common::home::{TestHome, make};
use crate::common::place::Place;
use crate::docker;

/// An environment whose agent counts its starts, and its record as it is while no server runs.
struct World {
    test: TestHome,
    directory: PathBuf,
    record: Value,
}

impl World {
    fn new() -> Self {
        Self::at(TestHome::new(), &[])
    }

    fn at(test: TestHome, engine: &[&str]) -> Self {
        make(&test, "fox", engine, "echo started >>starts; exec sleep 1000");
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

/// Whether the process of the box that a record speaks of lives.
fn lives(record: &Value) -> bool {
    let stat = format!("/proc/{}/stat", record["record"]["init_pid"]);
    let started = |stat: String| {
        let (_, after_name) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        // One that ended may wait to be reaped for as long as its parent likes.
        fields.get(19).filter(|_| fields[0] != "Z")?.parse::<u64>().ok()
    };
    let now = std::fs::read_to_string(stat).ok().and_then(started);
    now.is_some() && now == record["record"]["init_start"].as_u64()
}

fn what_is_given_up_is_kept_and_its_box_ends(engine: &[&str], text: impl Fn(&Value) -> String) {
    let world = World::at(TestHome::new(), engine);
    let test = &world.test;
    let id = world.directory.file_name().and_then(|it| it.to_str()).expect("an id");
    test.agentdeck(&["ls"]).ok();
    test.agentdeck(&["discard", "fox", "--give-up", "--yes"]).fails(1, &["can be read"]);
    world.begin_with(&text(&world.record));
    assert!(lives(&world.record), "the control: its box goes on");
    test.agentdeck(&["discard", id, "--yes"]).fails(1, &["its record", "discard --give-up"]);
    test.agentdeck(&["discard", id, "--give-up"]).fails(1, &["--yes"]);
    let said = test.agentdeck(&["discard", id, "--give-up", "--yes", "--json"]).json();
    assert!(!lives(&world.record));
    if !engine.is_empty() {
        let filter = format!("label=agentdeck.environment={id}");
        assert_eq!(docker::text(&docker::docker(&["ps", "-aq", "--filter", &filter])), "");
    }
    assert_eq!(said["trouble"], Value::Null);
    let files = PathBuf::from(said["files"].as_str().expect("a path"));
    let starts = std::fs::read_to_string(files.join("workspace/starts")).expect("kept");
    assert_eq!(starts, "started\n");
    let (store, newest) = (&said["snapshots"][0], &said["snapshots"][1]);
    let store = PathBuf::from(store.as_str().expect("a path"));
    let log = ["log", "--format=%H", newest.as_str().expect("a name")];
    assert_ne!(test.git_in(&store, &log), "");
    assert_eq!(test.agentdeck(&["ls", "--json"]).json(), Value::Array(Vec::new()));
    test.agentdeck(&[&["new", "fox"], engine, &["--", "true"]].concat()).ok();
    test.agentdeck(&["discard", "fox", "--yes"]).ok();

    // Whoever can read its record after all has it back.
    test.agentdeck(&["server", "stop"]).ok();
    std::fs::rename(&files, &world.directory).expect("moved back");
    world.begin_with(&world.record.to_string());
    test.wait_for_json(&["ls", "--json"], |it| it[0]["state"]["state"] == "stopped");
    test.agentdeck(&["start", id]).ok();
    let starts = || std::fs::read_to_string(world.directory.join("workspace/starts"));
    test.wait_for_json(&["ls", "--json"], |_| starts().expect("there").lines().count() == 2);
    test.agentdeck(&["discard", id, "--yes"]).ok();
}

#[tokio::test]
async fn what_cannot_be_read_is_given_up_and_its_work_is_kept() {
    if crate::native::usable(&Place::new()).await.is_none() {
        return;
    }
    what_is_given_up_is_kept_and_its_box_ends(&[], |_| String::new());
}

#[test]
fn a_container_of_what_a_newer_agentdeck_wrote_is_given_up_with_it() {
    if docker::engine_answers() {
        let image = docker::Image::busybox();
        let engine = ["--engine", "docker", "--image", &image.0];
        what_is_given_up_is_kept_and_its_box_ends(&engine, |record| {
            let mut newer = record.clone();
            newer["version"] = 99.into();
            newer.to_string()
        });
    }
}
