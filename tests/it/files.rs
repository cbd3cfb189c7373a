//! `agentdeck cp`, as a user runs it.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, symlink};
use std::process::Stdio;

use crate::common::home::TestHome;
use crate::docker::{Image, engine_answers};

const WAIT: [&str; 4] = ["--", "sh", "-c", "exec sleep 1000000"];

fn copies_go_both_ways(engine: &[&str]) {
    let test = TestHome::new();
    test.agentdeck(&[&["new", "one"][..], engine, &WAIT].concat()).ok();
    let here = test.path();
    let path = |name: &str| here.join(name).display().to_string();
    std::fs::create_dir_all(here.join("in/deep")).expect("made");
    std::fs::write(here.join("in/deep/file"), "from here\n").expect("written");
    symlink("deep/file", here.join("in/link")).expect("linked");

    test.agentdeck(&["cp", &path("in"), "one:made"]).ok();
    assert_eq!(test.script("one", "cat made/link"), "from here\n");
    test.agentdeck(&["cp", &path("in"), "one:made"]).ok();
    assert_eq!(test.script("one", "cat made/in/deep/file"), "from here\n");
    test.script("one", "mkdir spread");
    test.agentdeck(&["cp", &path("in/."), "one:spread"]).ok();
    assert_eq!(test.script("one", "cat spread/deep/file"), "from here\n");
    let own = "test $(stat -c %u made/deep/file) = $(id -u) && echo own";
    assert_eq!(test.script("one", own), "own\n");

    test.script("one", "mkdir out && echo from there >out/a && ln -s /etc/passwd out/link");
    test.agentdeck(&["cp", "one:out", &path("new")]).ok();
    assert_eq!(std::fs::read_to_string(here.join("new/a")).expect("read"), "from there\n");
    let link = std::fs::read_link(here.join("new/link")).expect("a link");
    assert_eq!(link.to_str(), Some("/etc/passwd"));
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(std::fs::metadata(here.join("new/a")).expect("found").uid(), user);
    test.agentdeck(&["cp", "one:out/a", &path("in/deep/file")]).ok();
    assert_eq!(std::fs::read_to_string(here.join("in/link")).expect("read"), "from there\n");
}

#[test]
fn files_go_both_ways_as_users_of_cp_expect() {
    copies_go_both_ways(&[]);
}

#[test]
fn files_go_both_ways_with_docker_too() {
    if engine_answers() {
        let image = Image::busybox();
        copies_go_both_ways(&["--engine", "docker", "--image", &image.0]);
    }
}

#[test]
fn a_tar_stream_goes_through_standard_input_and_output() {
    let test = TestHome::new();
    test.agentdeck(&[&["new", "one"][..], &WAIT].concat()).ok();
    let large = "x".repeat(5 << 20);
    test.script("one", "mkdir big && head -c 5242880 /dev/zero | tr '\\0' x >big/file");
    let out = test.command(&["cp", "one:big", "-"]).output().expect("ran");
    assert!(out.status.success(), "{out:?}");
    let mut archive = tar::Archive::new(out.stdout.as_slice());
    let names: Vec<String> = archive
        .entries()
        .expect("entries")
        .map(|entry| entry.expect("an entry").path().expect("a path").display().to_string())
        .collect();
    assert_eq!(names, ["big/", "big/file"]);
    let mut back =
        test.command(&["cp", "-", "one:/tmp"]).stdin(Stdio::piped()).spawn().expect("started");
    back.stdin.take().expect("a pipe").write_all(&out.stdout).expect("written");
    assert!(back.wait().expect("ended").success());
    assert_eq!(test.script("one", "cmp big/file /tmp/big/file && wc -c <big/file"), "5242880\n");
    let copied = test.path().join("copied");
    test.agentdeck(&["cp", "one:/tmp/big/file", copied.to_str().expect("text")]).ok();
    assert!(std::fs::read_to_string(copied).expect("read") == large);
}

#[test]
fn what_cannot_be_copied_is_said() {
    let test = TestHome::new();
    test.agentdeck(&[&["new", "one"][..], &WAIT].concat()).ok();
    let here = test.path().display().to_string();
    test.agentdeck(&["cp", "one:/absent", &here]).fails(1, &["/absent", "No such file"]);
    test.agentdeck(&["cp", "./absent", "one:x"]).fails(1, &["./absent", "No such file"]);
    test.agentdeck(&["cp", "nobody:x", &here]).fails(1, &["nobody"]);
    test.agentdeck(&["cp", "a", "b"]).fails(1, &["NAME:PATH"]);
    test.agentdeck(&["cp", "one:a", "one:b"]).fails(1, &["NAME:PATH"]);
    test.agentdeck(&["cp", "one:price", "absent/"]).fails(1, &["absent/", "not a directory"]);
    test.agentdeck(&["cp", "price", "one:/proc/x"]).fails(1, &["price"]);
    test.script("one", "mkdir out && mkfifo out/pipe && echo x >out/file");
    test.agentdeck(&["cp", "one:out", &format!("{here}/out")]).fails(1, &["out/pipe"]);
    assert!(test.path().join("out/file").is_file(), "everything else is copied");
}

#[test]
fn a_link_that_a_box_planted_is_never_written_through() {
    let test = TestHome::new();
    test.agentdeck(&[&["new", "one"][..], &WAIT].concat()).ok();
    let outside = test.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("secret"), "untouched").expect("written");
    let out = test.path().join("out").display().to_string();
    test.script("one", &format!("mkdir out && ln -s {} out/way", outside.display()));
    test.agentdeck(&["cp", "one:out", &out]).ok();
    let control = std::fs::read_to_string(format!("{out}/way/secret")).expect("the link leads out");
    assert_eq!(control, "untouched");
    test.script("one", "rm out/way && mkdir out/way && echo taken >out/way/secret");
    test.agentdeck(&["cp", "one:out/.", &out]).fails(1, &["in its way"]);
    assert_eq!(std::fs::read_to_string(outside.join("secret")).expect("read"), "untouched");
}
