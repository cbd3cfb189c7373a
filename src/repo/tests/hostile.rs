//! What a hostile agent may leave in its workspace. Each test shows that the same thing works
//! against an ordinary reader.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, RenameFlags};

use super::*;

const SECRET: &[u8] = b"the secret of another user";

/// Rounds of the race in an ordinary run; each takes a snapshot while names are swapped without
/// pause.
const RACE_ROUNDS: usize = 60;

fn rounds() -> usize {
    let asked = std::env::var("AGENTDECK_SOAK").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or(RACE_ROUNDS)
}

fn plain() -> Fixture {
    Fixture::new(|root| {
        write(root, "file.txt", b"file\n");
        write(root, "dir/inner.txt", b"inner\n");
    })
}

/// Whether any object of the store holds the secret.
fn leaked(fixture: &Fixture) -> bool {
    let objects = fixture.oracle.outside().join("store/snapshots.git/objects");
    let reader = fixture.store.reader();
    for directory in fs::read_dir(objects).expect("objects") {
        let directory = directory.expect("an entry");
        let prefix = directory.file_name().to_string_lossy().into_owned();
        if prefix.len() != 2 {
            continue;
        }
        for file in fs::read_dir(directory.path()).expect("a directory") {
            let rest = file.expect("an entry").file_name().to_string_lossy().into_owned();
            let id = gix::ObjectId::from_hex(format!("{prefix}{rest}").as_bytes());
            let Ok(id) = id else { continue };
            let data = reader.find_object(id).expect("an object").detach().data;
            if data.windows(SECRET.len()).any(|window| window == SECRET) {
                return true;
            }
        }
    }
    false
}

#[test]
fn a_link_is_stored_as_a_link_and_what_it_leads_to_is_not_read() {
    let fixture = plain();
    let secret = fixture.oracle.outside().join("secret");
    fs::create_dir(&secret).expect("a directory");
    fs::write(secret.join("key"), SECRET).expect("a file");
    let root = fixture.workspace();
    symlink(secret.join("key"), root.join("to-file")).expect("a link");
    symlink(&secret, root.join("to-directory")).expect("a link");
    symlink(secret.join("key"), root.join(".gitignore")).expect("a link");
    symlink("/proc/self/root", root.join("magic")).expect("a link");

    let paths = ["to-file", "to-directory/key", "to-directory", "magic/etc/passwd"];
    fixture.take_paths(&paths).expect("a change");
    let taken = fixture.take(&Touched::Everything).expect("the link named .gitignore");
    let listing = fixture.listing(&taken);
    let expected = [".gitignore", "dir/inner.txt", "file.txt", "magic", "to-directory", "to-file"];
    assert_eq!(listing, expected);
    assert!(!leaked(&fixture));
    let control = fs::read(root.join("to-directory/key")).expect("the control follows the link");
    assert_eq!(control, SECRET);
}

#[test]
fn a_race_between_files_directories_and_links_leaks_nothing() {
    let fixture = plain();
    let outside = fixture.oracle.outside().to_owned();
    let root = fixture.workspace();
    fs::create_dir(outside.join("secret")).expect("a directory");
    fs::write(outside.join("secret/inner.txt"), SECRET).expect("a file");
    symlink(outside.join("secret"), outside.join("swap-directory")).expect("a link");
    symlink(outside.join("secret/inner.txt"), outside.join("swap-file")).expect("a link");

    let stop = AtomicBool::new(false);
    let mut control_leaked = false;
    std::thread::scope(|scope| {
        for (inside, other) in [("dir", "swap-directory"), ("file.txt", "swap-file")] {
            let (inside, other) = (root.join(inside), outside.join(other));
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, &inside, CWD, &other, RenameFlags::EXCHANGE)
                        .expect("names are swapped");
                }
            });
        }
        for round in 0..rounds() {
            let touched = if round % 2 == 0 {
                Touched::Everything
            } else {
                touched(&["dir", "dir/inner.txt", "file.txt"])
            };
            fixture.take(&touched);
        }
        // The control looks first and opens afterwards, until it was cheated once.
        for _ in 0..1_000_000 {
            for name in ["file.txt", "dir/inner.txt"] {
                let path = root.join(name);
                let parent = path.parent().expect("a parent").symlink_metadata();
                let real = path.symlink_metadata().is_ok_and(|found| found.is_file())
                    && parent.is_ok_and(|found| found.is_dir());
                control_leaked |= real && fs::read(&path).is_ok_and(|bytes| bytes == SECRET);
            }
            if control_leaked {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(control_leaked, "the control: looking before opening is cheated");
    assert!(!leaked(&fixture));
}

#[test]
fn nothing_the_workspace_configures_runs() {
    let fixture = plain();
    let root = fixture.workspace();
    let canary = fixture.oracle.outside().join("canary");
    let command = format!("touch '{}'; cat", canary.display());
    let plant = |repository: &Path| {
        for (key, value) in [
            ("filter.x.clean", command.as_str()),
            ("filter.x.process", &command),
            ("core.fsmonitor", &command),
        ] {
            let path = repository.to_str().expect("a plain path");
            fixture.oracle.git(["-C", path, "config", key, value]);
        }
        let hook = repository.join(".git/hooks/post-index-change");
        write(
            repository,
            ".git/hooks/post-index-change",
            format!("#!/bin/sh\n{command}").as_bytes(),
        );
        fs::set_permissions(hook, fs::Permissions::from_mode(0o755)).expect("a mode");
    };
    let path = root.to_str().expect("a plain path");
    fixture.oracle.git(["init", "-q", path]);
    plant(&root);
    let nested = root.join("nested");
    fixture.oracle.git(["init", "-q", nested.to_str().expect("a plain path")]);
    plant(&nested);
    write(&root, ".gitattributes", b"* filter=x\n");
    write(&root, "nested/inner.txt", b"inner\n");
    write(&root, "file.txt", b"FILE\n");

    let taken = fixture.take(&Touched::Everything).expect("a change");
    write(&root, "nested/inner.txt", b"INNER\n");
    fixture.take_paths(&["nested/inner.txt", "nested", "nested/.git/config"]).expect("a change");
    assert!(!canary.exists(), "something ran on the host");
    let expected = [".gitattributes", "dir/inner.txt", "file.txt", "nested/inner.txt"];
    assert_eq!(fixture.listing(&taken), expected);
    let skipped: Vec<String> =
        taken.skipped.iter().map(|skipped| skipped.path.to_string()).collect();
    assert_eq!(skipped, ["nested/.git"]);

    let output = fixture.oracle.command(["add", "-A"]).current_dir(&root).output();
    output.expect("git runs");
    assert!(canary.exists(), "the control: git itself runs what the workspace configures");
}

#[test]
fn special_and_oversized_files_are_listed_and_nothing_blocks() {
    let fixture = plain();
    let root = fixture.workspace();
    rustix::fs::mkfifoat(CWD, root.join("fifo"), 0o644.into()).expect("a FIFO");
    rustix::fs::mkfifoat(CWD, root.join("dir/.gitignore"), 0o644.into()).expect("a FIFO");
    let _socket = UnixListener::bind(root.join("socket")).expect("a socket");
    let sparse = fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(2 << 30).expect("a size");
    let tracked = fs::File::create(root.join("file.txt")).expect("a file");
    tracked.set_len(11 << 20).expect("a size");
    write(&root, "odd/GIT~1", b"x");
    write(&root, "line\nbreak \u{1b}[31m", b"named\n");

    let taken = fixture.take(&Touched::Everything).expect("a change");
    let mut skipped: Vec<(String, &str)> = taken
        .skipped
        .iter()
        .map(|skipped| (skipped.path.to_string(), skipped.reason.as_str()))
        .collect();
    skipped.sort();
    let expected = [
        ("dir/.gitignore", "a FIFO"),
        ("fifo", "a FIFO"),
        ("odd/GIT~1", "git refuses this name"),
        ("socket", "a socket"),
        ("sparse", "larger than 10 MB"),
    ];
    assert_eq!(skipped, expected.map(|(path, reason)| (path.to_owned(), reason)));
    let read = crate::repo::history::read(&fixture.store, &fixture.environment);
    assert_eq!(read.expect("a history").last(), Some(&taken));
    assert_eq!(fixture.take(&Touched::Everything), None);

    fs::remove_file(root.join("fifo")).expect("removed");
    write(&root, "fifo", b"now a file\n");
    let next = fixture.take_paths(&["fifo"]).expect("a change");
    assert!(!next.skipped.iter().any(|skipped| skipped.path == RepoPath::new(*b"fifo")));
    assert_eq!(next.skipped.len(), 4, "what is still skipped stays listed");
}

#[test]
fn a_very_deep_tree_is_cut_off_and_said_so() {
    let fixture = plain();
    let mut deep = fixture.workspace();
    for _ in 0..150 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).expect("directories");
    fs::write(deep.join("bottom"), b"x").expect("a file");
    write(&fixture.workspace(), "near", b"x");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    assert!(taken.skipped.iter().any(|skipped| skipped.reason == "nested too deeply"));
    assert!(fixture.listing(&taken).contains(&"near".to_owned()));
}
