//! Snapshots go on, whatever becomes of the server, the user's repository or a moment's luck.

use std::path::PathBuf;

use serde_json::Value;

use super::common::home::{TestHome, make};

fn workspace(test: &TestHome, name: &str) -> PathBuf {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    inspection["workspace"].as_str().expect("a path").into()
}

fn write(directory: &std::path::Path, name: &str, text: &str) {
    std::fs::write(directory.join(name), text).expect("written");
}

fn diff(test: &TestHome, name: &str) -> String {
    test.agentdeck(&["diff", name]).ok()
}

#[test]
fn the_first_command_after_a_restart_sees_what_is_there_now() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    let workspace = workspace(&test, "fox");
    for round in 0..6 {
        test.end_server();
        write(&workspace, "price", &format!("without a server {round}\n"));
        let told = diff(&test, "fox");
        assert!(told.contains(&format!("+without a server {round}")), "{told}");
    }
    test.end_server();
    write(&workspace, "price", "at last\n");
    test.agentdeck(&["apply", "fox"]).ok();
    let applied = std::fs::read_to_string(test.repository.join("price")).expect("read");
    assert_eq!(applied, "at last\n");
}

#[test]
fn what_a_failed_snapshot_was_told_of_is_in_the_next_that_succeeds() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    let (inspection, workspace) =
        (test.agentdeck(&["inspect", "fox", "--json"]).json(), workspace(&test, "fox"));
    let id = inspection["environment"]["id"].as_str().expect("an id");
    test.wait_for_json(&["inspect", "fox", "--json"], |it| it["environment"]["snapshots"] == 1);
    let stores = std::fs::read_dir(test.home.join("repositories")).expect("there");
    let store = stores.last().expect("one").expect("read").path();
    let lock = store.join(format!("snapshots.git/refs/agentdeck/{id}/snap.lock"));
    std::fs::write(&lock, "").expect("written");
    write(&workspace, "first", "told of while nothing could be taken\n");
    let failed = |it: &Value| {
        let notes = it["environment"]["notes"].as_array().expect("notes");
        notes.iter().any(|note| note.as_str().is_some_and(|it| it.contains("could not be taken")))
    };
    test.wait_for_json(&["inspect", "fox", "--json"], failed);
    std::fs::remove_file(&lock).expect("removed");
    // Nothing else is changed, and nobody asks for a snapshot.
    let log = test.wait_for_snapshots("fox", 2);
    assert_eq!((&log[0]["cause"], &log[0]["change"]["files"]), (&"change".into(), &1.into()));
    test.wait_for_json(&["inspect", "fox", "--json"], |it| !failed(it));
}

#[test]
fn snapshots_go_on_and_are_read_while_the_users_branch_is_unborn() {
    let test = TestHome::new();
    make(&test, "fox", &[], "exec sleep 1000");
    let workspace = workspace(&test, "fox");
    test.git(&["switch", "-q", "--orphan", "pages"]);
    write(&workspace, "price", "on an unborn branch\n");
    test.wait_for_snapshots("fox", 2);
    let told = diff(&test, "fox");
    assert!(told.contains("+on an unborn branch"), "{told}");
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    test.agentdeck(&["undo"]).ok();
    test.git(&["switch", "-q", "main"]);
    test.wait_for_snapshots("fox", 2);
}
