//! The trash: what was discarded is listed with its cost, and dropped for good by the user or by
//! itself, with its box, its pin and its files.

use serde_json::Value;

use super::common::home::TestHome;
use super::common::traces::Traces;
use super::docker;

fn make(test: &TestHome, name: &str, engine: &[&str]) {
    let command = ["--", "sh", "-c", "exec sleep 1000"];
    test.agentdeck(&[&["new", name], engine, &command].concat()).ok();
}

fn trash(test: &TestHome) -> Value {
    test.agentdeck(&["trash", "--json"]).json()
}

fn names(trash: &Value) -> Vec<&str> {
    trash
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| one["name"].as_str().expect("text"))
        .collect()
}

/// Every ref of ours in the user's repository.
fn pins(test: &TestHome) -> String {
    test.git(&["for-each-ref", "refs/agentdeck"])
}

fn what_is_emptied_is_gone(engine: &[&str]) {
    let test = TestHome::new();
    make(&test, "fox", engine);
    test.script("fox", "head -c 300000 /dev/zero | tr '\\0' x >work");
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    make(&test, "owl", engine);
    let listed = trash(&test);
    assert_eq!(names(&listed), ["fox"]);
    assert!(listed[0]["bytes"].as_u64().expect("a number") > 300_000, "{listed}");
    let days = |later: &str| listed[0][later].as_u64().expect("a time") / 86_400_000;
    assert_eq!(days("kept_until") - days("at"), 30);
    assert!(test.agentdeck(&["trash"]).ok().contains("fox"));
    test.agentdeck(&["trash", "empty"]).fails(1, &["--yes"]);
    test.agentdeck(&["trash", "empty", "cat", "--yes"]).fails(1, &["cat", "agentdeck trash"]);
    test.agentdeck(&["trash", "empty", "--older-than", "1h", "--yes"]).ok();
    assert_eq!(trash(&test), listed, "it is younger");
    assert_eq!(pins(&test).lines().count(), 2);
    let dropped = test.agentdeck(&["trash", "empty", "fox", "--yes"]);
    assert!(dropped.stderr.contains("dropped fox"), "{dropped:#?}");
    assert_eq!(trash(&test), Value::Array(Vec::new()));
    let left = Traces::stray(&test.home, &test.repository);
    assert_eq!(left, Vec::<String>::new());
    assert_eq!(pins(&test).lines().count(), 1, "its pin is gone, the other's stays");
    test.agentdeck(&["discard", "owl", "--yes"]).ok();
    test.agentdeck(&["undo"]).ok();
    test.agentdeck(&["start", "owl"]).ok();
    assert_eq!(
        test.script("owl", "cat price"),
        "one\ntwo\nthree\n",
        "what was not dropped is whole"
    );
}

#[test]
fn what_is_emptied_is_gone_with_all_that_was_kept_for_it() {
    what_is_emptied_is_gone(&[]);
}

#[test]
fn a_container_in_the_trash_is_removed_with_it() {
    if docker::engine_answers() {
        let image = docker::Image::busybox();
        what_is_emptied_is_gone(&["--engine", "docker", "--image", &image.0]);
    }
}

#[test]
fn an_undo_of_what_was_dropped_says_its_name_and_the_next_one_goes_on() {
    let test = TestHome::new();
    let before = test.picture_without_pins();
    make(&test, "owl", &[]);
    test.script("owl", "echo four >>price");
    test.agentdeck(&["apply", "owl"]).ok();
    make(&test, "fox", &[]);
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    test.agentdeck(&["trash", "empty", "--yes"]).ok();
    test.agentdeck(&["undo"]).fails(1, &["fox was dropped from the trash", "the apply of owl"]);
    assert_ne!(test.picture_without_pins(), before, "nothing was taken back");
    test.agentdeck(&["undo"]).ok();
    TestHome::assert_same(&before, &test.picture_without_pins());
    test.agentdeck(&["undo"]).fails(1, &["nothing to undo"]);
}

#[test]
fn what_was_discarded_comes_back_by_its_name_past_what_cannot_be_undone() {
    let test = TestHome::new();
    for name in ["owl", "fox"] {
        make(&test, name, &[]);
        test.script(name, &format!("echo {name} >{name}"));
    }
    test.agentdeck(&["discard", "owl", "--yes"]).ok();
    test.agentdeck(&["merge", "fox"]).ok();
    test.git(&["commit", "-q", "--allow-empty", "-m", "mine"]);
    let before = test.picture_without_pins();
    test.agentdeck(&["undo"]).fails(1, &["has moved since the merge", "agentdeck undo owl"]);
    test.agentdeck(&["undo", "cat"]).fails(1, &["cat", "agentdeck trash"]);
    let back = test.agentdeck(&["undo", "owl", "--json"]).json();
    assert_eq!((&back["name"], &back["undone"]), (&"owl".into(), &true.into()));
    test.agentdeck(&["start", "owl"]).ok();
    assert_eq!(test.script("owl", "cat owl"), "owl\n");
    assert_eq!(trash(&test), Value::Array(Vec::new()));
    TestHome::assert_same(&before, &test.picture_without_pins());
    test.agentdeck(&["undo", "owl"]).fails(1, &["owl is not among what was discarded"]);
}

#[test]
fn discards_of_a_day_stay_whatever_room_they_take() {
    let test = TestHome::new();
    std::fs::create_dir_all(&test.home).expect("made");
    let keep = "[trash]\nmax_size = \"1k\"\n";
    std::fs::write(test.home.join("config.toml"), keep).expect("written");
    for name in ["ant", "bee", "cat"] {
        make(&test, name, &[]);
    }
    for name in ["ant", "bee", "cat"] {
        test.agentdeck(&["discard", name, "--yes"]).ok();
    }
    assert_eq!(names(&trash(&test)), ["ant", "bee", "cat"]);
    for name in ["cat", "bee", "ant"] {
        test.agentdeck(&["undo"]).ok();
        test.agentdeck(&["start", name]).ok();
    }
}

#[test]
fn a_lock_that_a_kill_left_keeps_nothing_in_the_trash() {
    let test = TestHome::new();
    make(&test, "fox", &[]);
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    let listed = trash(&test);
    let id = listed[0]["environment"].as_str().expect("an id");
    let lock = test.repository.join(format!(".git/refs/agentdeck/pin/{id}.lock"));
    std::fs::write(&lock, "").expect("written");
    test.agentdeck(&["trash", "empty", "--yes"]).ok();
    assert_eq!(pins(&test), "");
    assert!(!lock.exists());
    // One that the user's git may hold stays, and is named.
    make(&test, "owl", &[]);
    test.agentdeck(&["discard", "owl", "--yes"]).ok();
    test.git(&["pack-refs", "--all"]);
    let lock = test.repository.join(".git/packed-refs.lock");
    std::fs::write(&lock, "").expect("written");
    test.agentdeck(&["trash", "empty", "--yes"]).fails(1, &["packed-refs.lock"]);
    assert!(lock.exists());
    assert_eq!(trash(&test)[0]["dropped"], true, "it is gone for good, but for its pin");
    std::fs::remove_file(lock).expect("removed");
    test.agentdeck(&["trash", "empty", "--yes"]).ok();
    assert_eq!(pins(&test), "");
}

/// A repository that was moved away after work in an environment of it, and its old and new place.
fn away() -> (TestHome, std::path::PathBuf) {
    let test = TestHome::new();
    make(&test, "fox", &[]);
    test.script("fox", "echo four >>price; echo kept >.ignored");
    test.wait_for_snapshots("fox", 2);
    let elsewhere = test.path().join("elsewhere");
    std::fs::rename(&test.repository, &elsewhere).expect("moved");
    (test, elsewhere)
}

#[test]
fn an_environment_whose_repository_is_away_is_discarded_and_comes_back() {
    let (test, elsewhere) = away();
    let outside = test.path();
    let shop = test.repository.to_str().expect("text").to_owned();
    let run = |arguments: &[&str]| test.agentdeck_in(&outside, arguments);
    run(&["apply", "fox"]).fails(1, &["the repository of fox is away", "bring it back", &shop]);
    run(&["discard", "fox", "--yes"]).ok();
    assert_eq!(names(&run(&["trash", "--all", "--json"]).json()), ["fox"]);
    assert_eq!(run(&["ls", "--all", "--json"]).json(), Value::Array(Vec::new()));
    // From elsewhere, and from where the repository is now, it is said how.
    for place in [&outside, &elsewhere] {
        let told = test.agentdeck_in(place, &["undo"]);
        told.fails(1, &["fox was discarded", &format!("agentdeck undo --repository {shop}")]);
    }
    run(&["undo", "--repository", &shop]).ok();
    let workspace = run(&["inspect", "fox", "--json"]).json()["workspace"].clone();
    let workspace = std::path::PathBuf::from(workspace.as_str().expect("a path"));
    let read = |name: &str| std::fs::read_to_string(workspace.join(name)).expect("it is there");
    assert_eq!(read("price"), "one\ntwo\nthree\nfour\n");
    assert_eq!(read(".ignored"), "kept\n");
    std::fs::rename(&elsewhere, &test.repository).expect("moved back");
    test.agentdeck(&["start", "fox"]).ok();
    assert_eq!(test.script("fox", "git status --porcelain price"), " M price\n");
    let taken = test.agentdeck(&["apply", "fox", "--json"]).json();
    assert!(taken["paths"].as_array().expect("paths").contains(&"price".into()), "{taken}");
    assert_eq!(pins(&test).lines().count(), 1);
}

#[test]
fn a_discard_without_a_last_snapshot_says_what_is_in_the_trash_and_as_of_when() {
    let (test, elsewhere) = away();
    let outside = test.path();
    let shop = test.repository.to_str().expect("text").to_owned();
    let run = |arguments: &[&str]| test.agentdeck_in(&outside, arguments);
    run(&["exec", "fox", "--", "sh", "-c", "echo late >>price"]).ok();
    let discarded = run(&["discard", "fox", "--yes"]);
    for words in [
        "without a last snapshot",
        &shop,
        "files are in the trash as they are now",
        "snapshots as of",
    ] {
        assert!(discarded.stderr.contains(words), "{words:?} in {discarded:#?}");
    }
    run(&["undo", "--repository", &shop]).ok();
    let workspace = run(&["inspect", "fox", "--json"]).json()["workspace"].clone();
    let price = std::path::Path::new(workspace.as_str().expect("a path")).join("price");
    assert!(std::fs::read_to_string(price).expect("it is there").ends_with("late\n"));
    let told = run(&["discard", "fox", "--yes", "--json"]).json();
    assert!(told["as_of"].as_u64().is_some_and(|at| at < told["at"].as_u64().expect("a time")));
    run(&["undo", "--repository", &shop]).ok();
    // Where it is there, there is nothing to be said.
    std::fs::rename(&elsewhere, &test.repository).expect("moved back");
    let discarded = test.agentdeck(&["discard", "fox", "--yes"]);
    assert!(!discarded.stderr.contains("snapshot"), "{discarded:#?}");
}

#[test]
fn an_undo_in_a_repository_that_is_away_never_means_the_one_around_it() {
    let test = TestHome::new();
    let inner = test.repository.join("inner");
    test.make_repository(&inner);
    make(&test, "owl", &[]);
    test.script("owl", "echo four >>price");
    test.agentdeck(&["apply", "owl"]).ok();
    test.agentdeck_in(&inner, &["new", "fox", "--", "sh", "-c", "exec sleep 1000"]).ok();
    let (git, aside) = (inner.join(".git"), test.path().join("aside"));
    std::fs::rename(&git, &aside).expect("moved");
    let outer = test.repository.to_str().expect("text").to_owned();
    let text = inner.to_str().expect("text");
    let named = [&format!("{text} is away"), &*format!("agentdeck undo --repository {outer}")];
    for place in [text, &format!("{text}/till"), "inner"] {
        test.agentdeck(&["undo", "--repository", place]).fails(1, &named);
    }
    test.agentdeck_in(&inner, &["undo"]).fails(1, &named);
    assert_eq!(test.git(&["status", "--porcelain", "price"]), " M price\n");
    // What was discarded there comes back; nothing else is meant by it.
    test.agentdeck_in(&inner, &["discard", "fox", "--yes"]).ok();
    let back = test.agentdeck(&["undo", "--repository", text]);
    assert!(back.stderr.contains("fox is back"), "{back:#?}");
    assert_eq!(test.git(&["status", "--porcelain", "price"]), " M price\n");
    // The outer one is meant by itself, and by what is its own.
    test.agentdeck(&["undo", "--repository", &format!("{outer}/till")]).ok();
    assert_eq!(test.git(&["status", "--porcelain", "price"]), "");
    std::fs::rename(&aside, &git).expect("moved back");
    test.agentdeck_in(&inner, &["undo"]).fails(1, &["nothing to undo"]);
}

#[test]
fn the_pin_of_what_was_dropped_meanwhile_goes_when_its_repository_is_back() {
    let (test, elsewhere) = away();
    let outside = test.path();
    test.agentdeck_in(&outside, &["discard", "fox", "--yes"]).ok();
    test.agentdeck_in(&outside, &["trash", "empty", "fox", "--all", "--yes"]).ok();
    assert_eq!(test.agentdeck_in(&outside, &["trash", "--all", "--json"]).ok().trim(), "[]");
    std::fs::rename(&elsewhere, &test.repository).expect("moved back");
    assert_eq!(pins(&test).lines().count(), 1, "nobody looked yet");
    test.agentdeck(&["server", "restart"]).ok();
    super::survival::wait_until("the pin is gone", || pins(&test).is_empty());
    let left = Traces::stray(&test.home, &test.repository);
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn what_cannot_be_removed_is_said_and_goes_with_a_later_start() {
    use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
    let mut test = TestHome::new();
    make(&test, "fox", &[]);
    let inspection = test.agentdeck(&["inspect", "fox", "--json"]).json();
    let id = inspection["environment"]["id"].as_str().expect("an id").to_owned();
    test.agentdeck(&["discard", "fox", "--yes"]).ok();
    make(&test, "owl", &[]);
    test.agentdeck(&["discard", "owl", "--yes"]).ok();
    let place = |parent: &str| test.home.join(parent).join(&id).join("home/kept");
    let (before, after) = (place("trash"), place("removing"));
    std::fs::create_dir(&before).expect("made");
    if mount("agentdeck-test", &before, "tmpfs", MountFlags::empty(), None).is_err() {
        return; // Only root mounts.
    }
    test.mounts.push(after.clone());
    let left = after.display().to_string();
    let left = left.trim_end_matches("/home/kept");
    let said = test.agentdeck(&["trash", "empty", "--yes"]);
    let said = said.fails(1, &["nothing brings fox back", left]);
    assert!(!said.stderr.contains("dropped fox"), "{said:?}");
    assert!(said.stderr.contains("dropped owl"), "one that stays is in nobody's way: {said:?}");

    unmount(&after, UnmountFlags::DETACH).expect("unmounted");
    test.agentdeck(&["server", "stop"]).ok();
    test.agentdeck(&["ls"]).ok();
    assert!(!after.parent().expect("a directory").exists());
    test.assert_nothing_left();
}
