//! What cannot be is refused by name and leaves nothing behind; what can be odd, works.

use std::path::Path;

use crate::common::home::TestHome;

/// An agent that waits for ever.
const WAIT: [&str; 4] = ["--", "sh", "-c", "exec sleep 1000000"];

/// `agentdeck new one …` in a directory.
fn new(test: &TestHome, directory: &Path, arguments: &[&str]) -> crate::common::home::Run {
    test.agentdeck_in(directory, &[&["new", "one"][..], arguments].concat())
}

/// Refused with exit code 1, the words in the message, and nothing made.
fn refused(test: &TestHome, directory: &Path, arguments: &[&str], named: &[&str]) {
    let run = new(test, directory, arguments).fails(1, named);
    assert!(run.stderr.contains("hint: "), "what to do is said: {run:#?}");
    test.assert_nothing_left();
}

#[test]
fn a_place_without_a_usable_repository_is_refused() {
    let test = TestHome::empty();
    let plain = test.path().join("plain");
    std::fs::create_dir(&plain).expect("made");
    let text = plain.to_str().expect("text");
    refused(&test, &plain, &[], &["no git repository", text]);

    test.git_in(&plain, &["init", "-q"]);
    refused(&test, &plain, &[], &["no commit", text]);

    let bare = test.path().join("bare");
    test.git_in(&test.path(), &["init", "-q", "--bare", "bare"]);
    refused(&test, &bare, &[], &["bare", bare.to_str().expect("text")]);
}

#[test]
fn a_repository_of_another_user_is_refused() {
    let test = TestHome::new();
    if !rustix::process::geteuid().is_root() {
        // Only root can give a repository away.
        return;
    }
    let given = |path: &Path, owner| {
        std::os::unix::fs::chown(path, Some(owner), Some(owner)).expect("given away");
    };
    given(&test.repository, 12_345);
    given(&test.repository.join(".git"), 12_345);
    let run = new(&test, &test.repository, &[]).fails(1, &["12345", "shop"]);
    assert!(run.stderr.contains("hint: "), "{run:#?}");
    given(&test.repository, 0);
    given(&test.repository.join(".git"), 0);
    test.assert_nothing_left();
}

#[test]
fn a_wrong_word_is_refused_by_name() {
    let test = TestHome::new();
    let here = test.repository.clone();
    test.agentdeck(&["new", "Bad Name"]).fails(1, &["\"Bad Name\"", "hint: "]);
    refused(&test, &here, &["--agent", "cluade"], &["cluade", "claude"]);
    refused(&test, &here, &["--base", "no-such"], &["no-such"]);
    refused(&test, &here, &["-e", "UNSET"], &["UNSET"]);
    refused(&test, &here, &["--engine", "docker"], &["image"]);
    refused(&test, &here, &["--image", "debian:12"], &["native", "image"]);
    for (flag, value) in
        [("--engine", "podmann"), ("--network", "opne"), ("--allow", "nowhere:http")]
    {
        new(&test, &here, &[flag, value]).fails(2, &[flag, value]);
    }
    test.assert_nothing_left();
}

#[test]
fn a_taken_name_is_refused_and_the_first_stays() {
    let test = TestHome::new();
    new(&test, &test.repository, &WAIT).ok();
    new(&test, &test.repository, &WAIT).fails(1, &["one", "hint: "]);
    let all = test.agentdeck(&["ls", "--json"]).json();
    assert_eq!(all.as_array().expect("a list").len(), 1);
    assert_eq!(test.git(&["for-each-ref", "refs/agentdeck"]).lines().count(), 1);
    test.script("one", "true");
}

#[test]
fn a_command_that_does_not_exist_is_named_and_the_environment_stays() {
    let test = TestHome::new();
    let run = new(&test, &test.repository, &["--", "no-such-program"]);
    run.fails(1, &["no-such-program", "hint: "]);
    let inspected = test.agentdeck(&["inspect", "one", "--json"]).json();
    let agent = &inspected["environment"]["sessions"][0]["state"];
    assert_eq!(agent["state"], "failed");
    assert!(agent["message"].as_str().expect("text").contains("no-such-program"), "{agent}");
    assert!(test.agentdeck(&["ls"]).ok().contains("agent failed"));
    test.agentdeck(&["exec", "one", "--", "no-such"]).fails(127, &["no-such"]);
    test.script("one", "true");
}

#[test]
fn odd_repositories_work() {
    let test = TestHome::empty();
    let odd = test.path().join("my shöp 日本");
    test.make_repository(&odd);
    std::fs::write(odd.join("ä b"), "x\n").expect("written");
    test.git_in(&odd, &["add", "."]);
    test.git_in(&odd, &["commit", "-qm", "an odd name"]);
    test.git_in(&odd, &["checkout", "-q", "--detach"]);
    new(&test, &odd, &WAIT).ok();
    let run = ["exec", "one", "--", "sh", "-ec", "pwd; cat 'ä b'; echo y >>'ä b'"];
    let printed = test.agentdeck_in(&odd, &run).ok();
    assert_eq!(printed, format!("{}\nx\n", odd.display()));
    test.agentdeck_in(&odd, &["apply", "one"]).ok();
    assert_eq!(std::fs::read_to_string(odd.join("ä b")).expect("read"), "x\ny\n");
}

#[test]
fn a_linked_worktree_works() {
    let test = TestHome::new();
    let linked = test.path().join("linked");
    test.git(&["worktree", "add", "-q", "-b", "side", linked.to_str().expect("text")]);
    new(&test, &linked, &WAIT).ok();
    let run = ["exec", "one", "--", "sh", "-ec", "git status --porcelain; echo four >>price"];
    assert_eq!(test.agentdeck_in(&linked, &run).ok(), "");
    let before = test.git(&["rev-parse", "side"]);
    test.agentdeck_in(&linked, &["merge", "one", "-m", "from the side"]).ok();
    assert_ne!(test.git(&["rev-parse", "side"]), before);
    assert_eq!(test.git(&["rev-parse", "main"]), before);
    assert_eq!(test.git_in(&linked, &["status", "--porcelain"]), "");
    test.agentdeck_in(&linked, &["undo"]).ok();
    assert_eq!(test.git(&["rev-parse", "side"]), before);
    // From another worktree it is listed, and what is written is named.
    for place in [&linked, &test.repository] {
        assert!(test.agentdeck_in(place, &["ls"]).ok().contains("one "));
    }
    let elsewhere = test.agentdeck_in(&test.repository, &["apply", "one"]);
    assert_eq!(elsewhere.code, 0, "{elsewhere:?}");
    let written = linked.canonicalize().expect("there");
    assert!(elsewhere.stderr.contains(&format!("in {}", written.display())), "{elsewhere:?}");
    assert!(!elsewhere.stderr.contains("your working tree"), "{elsewhere:?}");
    assert_eq!(test.git_in(&linked, &["status", "--porcelain"]), " M price\n");
    assert_eq!(test.git(&["status", "--porcelain"]), "");
}

#[test]
fn uncommitted_work_is_left_out_and_the_user_is_told() {
    let test = TestHome::new();
    std::fs::write(test.repository.join("price"), "changed\n").expect("written");
    std::fs::write(test.repository.join("fresh"), "new\n").expect("written");
    let run = new(&test, &test.repository, &WAIT);
    assert_eq!(run.code, 0, "{run:#?}");
    for word in ["note: ", "price", "fresh"] {
        assert!(run.stderr.contains(word), "{word} in {run:#?}");
    }
    assert_eq!(test.script("one", "cat price; ls"), "one\ntwo\nthree\nprice\ntill\n");
}

#[test]
fn a_home_of_two_hundred_bytes_works() {
    let mut test = TestHome::new();
    let missing = 200 - test.path().as_os_str().len() - 1;
    test.home = test.path().join("h".repeat(missing));
    assert_eq!(test.home.as_os_str().len(), 200);
    new(&test, &test.repository, &WAIT).ok();
    assert_eq!(test.script("one", "cat till/open"), "#!/bin/sh\necho open\n");
}

#[test]
fn a_home_of_another_user_is_refused() {
    let test = TestHome::new();
    if !rustix::process::geteuid().is_root() {
        return;
    }
    std::fs::create_dir(&test.home).expect("made");
    std::os::unix::fs::chown(&test.home, Some(12_345), None).expect("given away");
    new(&test, &test.repository, &[]).fails(1, &["12345", "hint: "]);
    assert_eq!(std::fs::read_dir(&test.home).expect("a home").count(), 0);
}

#[test]
fn a_screen_without_a_terminal_is_refused() {
    let test = TestHome::new();
    test.agentdeck(&[]).fails(1, &["terminal", "hint: "]);
    test.agentdeck(&["attach", "one"]).fails(1, &["terminal", "hint: "]);
}
