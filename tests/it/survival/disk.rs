//! Places that fill up, cannot be written or vanish: what failed is named by its path, nothing is
//! damaged, and with room again all goes on.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount};

use super::wait_until;
use crate::common::dockerd::Dockerd;
use crate::common::home::TestHome;
use crate::docker::busybox_root;

/// A home without work in it, which has a copy of the binary.
fn small() -> u64 {
    let binary = std::fs::metadata(env!("CARGO_BIN_EXE_agentdeck")).expect("the binary");
    binary.len() + (24 << 20)
}

/// A small file system over a directory; it goes with the home it is for.
struct Small(PathBuf);

impl Small {
    /// `None` where this user cannot mount.
    fn over(test: &mut TestHome, directory: &Path, size: u64) -> Option<Self> {
        Self::with(test, directory, &format!("size={size},mode=700"))
    }

    fn with(test: &mut TestHome, directory: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(directory).expect("made");
        let options = std::ffi::CString::new(options).expect("text");
        mount("agentdeck-test", directory, "tmpfs", MountFlags::empty(), Some(options.as_c_str()))
            .ok()?;
        test.mounts.push(directory.to_owned());
        Some(Self(directory.to_owned()))
    }

    /// Takes all the room there is; what comes back gives it back when removed.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("ballast");
        let mut file = std::fs::File::create(&path).expect("made");
        let block = vec![b'x'; 1 << 20];
        while file.write_all(&block).is_ok() {}
        let byte = [b'x'; 512];
        while file.write_all(&byte).is_ok() {}
        path
    }

    /// Makes as many files as there is room for, in a directory that gives the room back when it is
    /// removed.
    fn crowd(&self) -> PathBuf {
        let path = self.0.join("crowd");
        std::fs::create_dir(&path).expect("made");
        for number in 0.. {
            if std::fs::File::create(path.join(number.to_string())).is_err() {
                break;
            }
        }
        path
    }
}

/// Has a deck not pause its agents for want of room: here it is always wanting.
fn without_reserve(test: &TestHome) {
    with_reserve(test, "1k");
}

fn with_reserve(test: &TestHome, amount: &str) {
    std::fs::create_dir_all(&test.home).expect("made");
    let text = format!("[limits]\ndisk_reserve = \"{amount}\"\n");
    std::fs::write(test.home.join("config.toml"), text).expect("written");
}

/// Prints now and then.
const WORK: &str = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.2; done";

#[test]
fn a_full_home_is_named_and_takes_nothing_with_it() {
    let mut test = TestHome::new();
    test.home = test.path().join("small/home");
    let directory = test.path().join("small");
    let Some(small) = Small::over(&mut test, &directory, small()) else { return };
    without_reserve(&test);
    test.agentdeck(&["new", "ant", "--", "sh", "-c", WORK]).ok();
    let before = test.agentdeck(&["inspect", "ant", "--json"]).json();
    let ballast = small.fill();
    // A new environment is refused with the place that is full, and leaves nothing.
    let refused = test.agentdeck(&["new", "bee", "--", "true"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    let words = refused.stderr.clone();
    assert!(words.contains("No space left") || words.contains("room"), "{words}");
    assert!(words.contains(test.home.to_str().expect("text")), "the path is named: {words}");
    // What runs goes on and is seen.
    let pid = before["init_pid"].clone();
    assert_eq!(test.agentdeck(&["inspect", "ant", "--json"]).json()["init_pid"], pid);
    // A server that is killed now starts on a full disk and finds its environments.
    test.end_server();
    let listed = test.agentdeck(&["ls", "--json"]).json();
    let names: Vec<_> = listed.as_array().expect("a list").iter().collect();
    assert!(names.iter().any(|one| one["name"] == "ant"), "{listed}");
    std::fs::remove_file(ballast).expect("room again");
    test.wait_for_json(&["inspect", "ant", "--json"], |found| found["init_pid"] == pid);
    for name in listed.as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()) {
        if name != "ant" {
            test.agentdeck(&["discard", name, "--yes"]).ok();
        }
    }
    test.agentdeck(&["new", "cat", "--", "sh", "-c", "echo more >more; exec sleep 1000"]).ok();
    test.wait_for_snapshots("cat", 2);
    test.git_in(&store(&test.home), &["fsck", "--no-dangling"]);
}

/// The one store of a home's repositories.
fn store(home: &Path) -> PathBuf {
    let mut entries = std::fs::read_dir(home.join("repositories")).expect("listed");
    let repository = entries.next().expect("one").expect("an entry").path();
    let bare = |path: &PathBuf| path.join("objects").is_dir();
    let below = std::fs::read_dir(&repository).expect("listed").flatten().map(|it| it.path());
    std::iter::once(repository.clone()).chain(below).find(bare).expect("a store")
}

#[test]
fn a_full_store_takes_no_snapshot_says_so_and_takes_it_later() {
    let mut test = TestHome::new();
    let directory = test.home.join("repositories");
    let Some(small) = Small::over(&mut test, &directory, 4 << 20) else { return };
    let script = "while [ ! -e go ]; do sleep 0.1; done; head -c 20000 /dev/urandom >big; \
        exec sleep 1000";
    test.agentdeck(&["new", "ant", "--", "sh", "-c", script]).ok();
    let found = test.agentdeck(&["inspect", "ant", "--json"]).json();
    let workspace = PathBuf::from(found["workspace"].as_str().expect("a path"));
    let before = test.agentdeck(&["log", "ant", "--json"]).json().as_array().map(Vec::len);
    let ballast = small.fill();
    std::fs::write(workspace.join("go"), "").expect("written");
    wait_until("it is changed", || workspace.join("big").exists());
    let said = test.wait_for_json(&["inspect", "ant", "--json"], |found| {
        let notes = found["environment"]["notes"].to_string();
        notes.contains("No space left") || notes.contains("snapshot")
    });
    let notes = said["environment"]["notes"].to_string();
    assert!(notes.contains(test.home.to_str().expect("text")), "the path is named: {notes}");
    let log = test.agentdeck(&["log", "ant", "--json"]).json();
    assert_eq!(log.as_array().map(Vec::len), before, "no snapshot is claimed");
    std::fs::remove_file(ballast).expect("room again");
    std::fs::write(workspace.join("again"), "").expect("written");
    test.wait_for_snapshots("ant", before.unwrap_or_default() + 1);
    test.git_in(&store(&test.home), &["fsck", "--no-dangling"]);
}

#[test]
fn agents_stand_still_while_hardly_a_file_more_can_be_made() {
    let mut test = TestHome::new();
    test.home = test.path().join("small/home");
    let directory = test.path().join("small");
    let options = format!("size={},nr_inodes=5000,mode=700", small() + (64 << 20));
    let Some(small) = Small::with(&mut test, &directory, &options) else { return };
    without_reserve(&test);
    test.agentdeck(&["new", "ant", "--", "sh", "-c", WORK]).ok();
    let state = |wanted: &str| {
        test.wait_for_json(&["inspect", "ant", "--json"], |found| {
            found["environment"]["state"]["state"] == wanted
        })
    };
    state("running");
    let crowd = small.crowd();
    let reason = state("paused")["environment"]["state"]["reason"].to_string();
    let home = test.home.to_str().expect("text");
    assert!(reason.contains("more files") && reason.contains(home), "{reason}");
    std::fs::remove_dir_all(crowd).expect("room again");
    state("running");
}

#[test]
fn the_boxes_of_an_engine_stand_still_while_its_own_disk_is_full() {
    let Some((engine, data)) = Dockerd::with_small_data(96 << 20) else { return };
    let image = engine.import(&busybox_root());
    let mut test = TestHome::new();
    test.also.push(("DOCKER_HOST", engine.host()));
    with_reserve(&test, "16m");
    test.agentdeck(&["new", "bee", "--", "sh", "-c", WORK]).ok();
    let command = ["new", "ant", "--engine", "docker", "--image", &image, "--", "sh", "-c", WORK];
    test.agentdeck(&command).ok();
    let state = |name: &str, wanted: &str| {
        test.wait_for_json(&["inspect", name, "--json"], |found| {
            found["environment"]["state"]["state"] == wanted
        })
    };
    state("ant", "running");
    let ballast = data.join("ballast");
    std::fs::write(&ballast, vec![b'x'; 80 << 20]).expect("written");
    let reason = state("ant", "paused")["environment"]["state"]["reason"].to_string();
    assert!(reason.contains(data.to_str().expect("text")), "{reason}");
    state("bee", "running");
    std::fs::remove_file(ballast).expect("room again");
    state("ant", "running");
    test.agentdeck(&["discard", "ant", "--yes"]).ok();
    test.agentdeck(&["trash", "empty", "--yes"]).ok();
}

#[test]
fn a_full_repository_gets_all_or_nothing_of_an_apply_and_a_merge() {
    let mut test = TestHome::empty();
    test.repository = test.path().join("small/shop");
    let directory = test.path().join("small");
    let Some(small) = Small::over(&mut test, &directory, small()) else { return };
    test.make_repository(&test.repository);
    let script = "head -c 300000 /dev/urandom >big; echo four >>price; echo done >done; \
        exec sleep 1000";
    test.agentdeck(&["new", "ant", "--", "sh", "-c", script]).ok();
    test.wait_for_snapshots("ant", 2);
    test.wait_for_json(&["diff", "ant", "--json"], |diff| diff.to_string().contains("\"done\""));
    let ballast = small.fill();
    let before = test.picture_without_pins();
    let filled = |picture: &std::collections::BTreeMap<String, Vec<u8>>| picture.clone();
    for verb in ["apply", "merge"] {
        let refused = test.agentdeck(&[verb, "ant"]);
        assert_eq!(refused.code, 1, "{refused:#?}");
        let place = test.repository.to_str().expect("text");
        assert!(refused.stderr.contains("No space left"), "{}", refused.stderr);
        assert!(refused.stderr.contains(place), "{verb} names the path: {}", refused.stderr);
        TestHome::assert_same(&filled(&before), &test.picture_without_pins());
    }
    std::fs::remove_file(ballast).expect("room again");
    test.agentdeck(&["apply", "ant"]).ok();
    assert!(test.repository.join("done").exists());
    test.agentdeck(&["undo"]).ok();
    assert!(!test.repository.join("done").exists());
    test.git(&["fsck", "--no-dangling"]);
}

#[test]
fn screens_that_cannot_be_written_end_nothing() {
    let mut test = TestHome::new();
    test.agentdeck(&["new", "ant", "--", "sh", "-c", WORK]).ok();
    let found = test.agentdeck(&["inspect", "ant", "--json"]).json();
    let state = PathBuf::from(found["state_directory"].as_str().expect("a path"));
    let directory = state.join("screens");
    let Some(small) = Small::over(&mut test, &directory, 64 << 10) else { return };
    small.fill();
    let pid = found["init_pid"].clone();
    test.agentdeck(&["server", "stop"]).ok();
    test.wait_for_json(&["inspect", "ant", "--json"], |found| found["init_pid"] == pid);
    let log = std::fs::read_to_string(test.home.join("server.log")).expect("a log");
    let screens = state.join("screens");
    assert!(log.contains(screens.to_str().expect("text")), "the path is named: {log}");
}

#[test]
fn a_full_directory_for_temporary_files_is_in_nobodys_way() {
    let mut test = TestHome::new();
    let place = test.path().join("tmp");
    let Some(small) = Small::over(&mut test, &place, 64 << 10) else { return };
    test.also.push(("TMPDIR", place.to_str().expect("text").to_owned()));
    small.fill();
    test.agentdeck(&["new", "ant", "--", "sh", "-c", "echo x >x; exec sleep 1000"]).ok();
    test.wait_for_snapshots("ant", 2);
    test.agentdeck(&["merge", "ant"]).ok();
    test.agentdeck(&["undo"]).ok();
}

#[test]
fn a_home_that_cannot_be_written_is_refused_by_name() {
    let mut test = TestHome::new();
    test.home = test.path().join("small/home");
    let place = test.path().join("small");
    let Some(_small) = Small::over(&mut test, &place, small()) else { return };
    without_reserve(&test);
    test.agentdeck(&["new", "ant", "--", "sh", "-c", WORK]).ok();
    let pid = test.agentdeck(&["inspect", "ant", "--json"]).json()["init_pid"].clone();
    test.end_server();
    // A bind mount of itself may be read-only where the box still writes in its own.
    let change = |read_only: bool| {
        let flag = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        rustix::mount::mount_remount(&place, flag, "")
    };
    if change(true).is_err() {
        return;
    }
    let refused = test.agentdeck(&["ls"]);
    assert_eq!(refused.code, 1, "{refused:#?}");
    assert!(refused.stderr.contains(test.home.to_str().expect("text")), "{}", refused.stderr);
    let told = refused.stderr.to_lowercase();
    assert!(told.contains("read-only"), "{told}");
    change(false).expect("writable again");
    test.wait_for_json(&["inspect", "ant", "--json"], |found| found["init_pid"] == pid);
}

#[test]
fn a_home_that_is_removed_under_its_server_ends_it_and_no_more() {
    let test = TestHome::new();
    test.agentdeck(&["server", "start"]).ok();
    let server = test.server().expect("a server");
    let before = test.picture();
    let moved = test.path().join("moved");
    std::fs::rename(&test.home, &moved).expect("moved");
    wait_until("the server whose home is gone ends", || !super::lives(server));
    // The next one makes a home of its own and knows nothing.
    assert_eq!(test.agentdeck(&["ls", "--json"]).json(), serde_json::json!([]));
    let log = std::fs::read_to_string(moved.join("server.log")).expect("a log");
    assert!(log.contains("is gone"), "{log}");
    TestHome::assert_same(&before, &test.picture());
}

#[test]
fn a_lock_that_a_kill_left_is_nobodys_and_two_paths_are_one_home() {
    let mut test = TestHome::new();
    test.agentdeck(&["server", "start"]).ok();
    test.end_server();
    assert!(test.home.join("server.lock").exists(), "the file stays, its lock does not");
    test.agentdeck(&["ls"]).ok();
    let server = test.server().expect("a server");
    let inode = std::fs::metadata(&test.home).expect("a home").ino();
    let home = test.home.clone();
    let link = test.path().join("also");
    std::os::unix::fs::symlink(&home, &link).expect("linked");
    for other in [link, home.join("../home"), home.join(".")] {
        assert_eq!(std::fs::metadata(&other).expect("a home").ino(), inode);
        test.home = other;
        let status = test.agentdeck(&["server", "status", "--json"]).json();
        assert_eq!(status["pid"].as_u64(), Some(u64::from(server)), "{status}");
        let mut second = test.command(&["server", "run"]);
        let output = second.output().expect("ended");
        assert!(!output.status.success());
    }
    test.home = home;
}
