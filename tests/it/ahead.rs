//! What is made before anybody asks, by servers.

use crate::common::home::{TestHome, make};
use crate::common::processes;
use crate::docker::{Image, engine_answers};
use crate::survival::wait_until;

const AGENT: &str = "exec sleep 1000";

/// How often a server of this home has said something.
fn said(test: &TestHome, words: &str) -> usize {
    let log = std::fs::read_to_string(test.home.join("server.log")).unwrap_or_default();
    log.matches(words).count()
}

fn wait_for_files(test: &TestHome, count: usize) {
    wait_until("files are made ahead", || said(test, "files are made ahead") >= count);
}

/// The first process of the box that nobody has asked for yet.
fn box_ahead(test: &TestHome) -> Option<u32> {
    let own = std::fs::read_link("/proc/self/ns/mnt").expect("a namespace");
    let place = format!("{}/ahead/", test.home.file_name().expect("a name").display());
    let mut found = processes::all().into_iter().filter(|pid| {
        let of = |name: &str| format!("/proc/{pid}/{name}");
        let mounts = std::fs::read_to_string(of("mountinfo")).unwrap_or_default();
        std::fs::read_link(of("ns/mnt")).is_ok_and(|other| other != own)
            && processes::belongs_to(*pid, &test.home)
            && mounts.contains(&place)
    });
    found.next()
}

#[test]
fn a_box_of_this_kernel_after_a_container_is_the_one_that_was_made_for_it() {
    if !engine_answers() {
        return;
    }
    let image = Image::busybox();
    let test = TestHome::new();
    make(&test, "first", &["--engine", "native"], AGENT);
    wait_for_files(&test, 1);
    make(&test, "container", &["--engine", "docker", "--image", &image.0], AGENT);
    wait_for_files(&test, 2);
    let waiting = box_ahead(&test);
    assert!(waiting.is_some(), "a box is there");
    make(&test, "second", &["--engine", "native"], AGENT);
    let found = test.agentdeck(&["inspect", "second", "--json"]).json();
    assert_eq!(found["init_pid"].as_u64(), waiting.map(u64::from));
    assert_eq!(test.script("second", "cat price"), "one\ntwo\nthree\n");
    // And the container, which has taken files that a box stood on, has nothing of that.
    assert_eq!(test.script("container", "cat price"), "one\ntwo\nthree\n");
}

#[test]
fn what_could_not_be_made_ahead_is_tried_again() {
    let test = TestHome::new();
    test.agentdeck(&["server", "start"]).ok();
    let place = test.home.join("ahead");
    std::fs::remove_dir(&place).expect("it is empty");
    std::fs::write(&place, "in the way").expect("written");
    make(&test, "first", &[], AGENT);
    wait_until("it fails", || said(&test, "made ahead") > 0);
    assert_eq!(said(&test, "files are made ahead"), 0);
    std::fs::remove_file(&place).expect("removed");
    std::fs::create_dir(&place).expect("made");
    wait_for_files(&test, 1);
    make(&test, "second", &[], AGENT);
    assert_eq!(test.script("second", "cat price"), "one\ntwo\nthree\n");
}
