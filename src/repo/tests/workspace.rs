use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;
use crate::repo::diff::Counts;
use crate::repo::{divergence, history};

fn project(root: &Path) {
    write(root, "README.md", b"hello\n");
    write(root, "src/main.rs", b"fn main() {}\n");
    write(root, "bin/tool", b"#!/bin/sh\n");
    let executable = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(root.join("bin/tool"), executable).expect("a mode");
    symlink("../README.md", root.join("src/link")).expect("a link");
    write(root, "with space/grüße.txt", b"\xff\x00\n");
    write(root, "windows.txt", b"one\r\ntwo\r\n");
    write(root, ".gitattributes", b"windows.txt text eol=crlf\n*.bin filter=lfs -text\n");
    write(root, "large.bin", b"version https://git-lfs.github.com/spec/v1\n");
}

#[test]
fn a_workspace_is_a_clean_checkout_the_agent_can_commit_in() {
    let fixture = Fixture::new(project);
    assert_eq!(fixture.git_inside(&["status", "--porcelain"]), "");
    assert_eq!(fixture.git_inside(&["log", "--format=%s"]), "base\n");
    assert_eq!(fixture.git_inside(&["branch", "--show-current"]), "main\n");
    assert_eq!(fixture.git_inside(&["remote"]), "");
    assert_eq!(fixture.git_inside(&["fsck", "--full"]), "");

    let workspace = fixture.workspace();
    assert_eq!(std::fs::read(workspace.join("windows.txt")).expect("a file"), b"one\r\ntwo\r\n");
    let mode = std::fs::metadata(workspace.join("bin/tool")).expect("a file").mode();
    assert_eq!(mode & 0o777, 0o755);
    let target = std::fs::read_link(workspace.join("src/link")).expect("a link");
    assert_eq!(target, Path::new("../README.md"));
    assert_eq!(std::fs::read_dir(workspace.join(".git")).expect("a directory").count(), 0);

    write(&workspace, "src/main.rs", b"fn main() { work() }\n");
    fixture.git_inside(&["commit", "-q", "-a", "-m", "the agent's work"]);
    assert_eq!(fixture.git_inside(&["log", "-1", "--format=%s %an"]), "the agent's work Ada\n");
}

#[test]
fn git_reads_no_file_again_to_know_that_a_workspace_is_clean() {
    let fixture = Fixture::new(project);
    let index = std::fs::metadata(fixture.git_directory().join("index")).expect("an index");
    let file = std::fs::metadata(fixture.workspace().join("README.md")).expect("a file");
    assert!(file.mtime() < index.mtime(), "an entry as old as the index is read again");
    assert_eq!(fixture.git_inside(&["diff-files", "--name-only"]), "", "a stat differs");
}

#[test]
fn objects_of_the_box_share_nothing_with_the_users() {
    let fixture = Fixture::new(project);
    let objects = fixture.git_directory().join("objects");
    let mut seen = 0;
    for directory in std::fs::read_dir(objects).expect("objects") {
        for file in std::fs::read_dir(directory.expect("an entry").path()).expect("a directory") {
            assert_eq!(file.expect("an entry").metadata().expect("a file").nlink(), 1);
            seen += 1;
        }
    }
    assert!(seen > 5, "the objects were copied");
    assert!(!fixture.git_directory().join("objects/info/alternates").exists());
}

#[test]
fn the_users_repository_keeps_every_byte_but_one_ref() {
    let oracle = Oracle::new();
    project(&oracle.root());
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    let before = contents(&oracle.root());
    let fixture = Fixture::over(oracle);
    write(&fixture.workspace(), "new.txt", b"new\n");
    fixture.take(&Touched::Everything).expect("a change");
    fixture.user.state().expect("a state");

    let mut after = contents(&fixture.oracle.root());
    let pin = format!(".git/refs/agentdeck/pin/{}", fixture.environment);
    let pinned = after.remove(&pin).expect("the pin");
    assert_eq!(String::from_utf8_lossy(&pinned).trim(), fixture.base.as_str());
    assert_eq!(after, before);

    workspaces::unpin(&fixture.user, &fixture.store, &fixture.environment).expect("unpinned");
    assert_eq!(contents(&fixture.oracle.root()), before);
    assert!(!fixture.oracle.root().join(".git/refs/agentdeck").exists());
}

fn contents(root: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            let kind = path.symlink_metadata().expect("metadata").file_type();
            let name = path.strip_prefix(root).expect("inside").to_string_lossy().into_owned();
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_symlink() {
                let target = std::fs::read_link(&path).expect("a link");
                found.insert(name, target.to_string_lossy().into_owned().into_bytes());
            } else {
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

#[test]
fn the_first_snapshot_is_the_base() {
    let fixture = Fixture::new(project);
    let tree = fixture.oracle.git(["rev-parse", "HEAD^{tree}"]);
    assert_eq!(fixture.stored(&fixture.first.id), tree);
    assert_eq!(fixture.first.tree.as_str(), fixture.exact_tree_by_git());
    assert_eq!(fixture.first.cause, SnapshotCause::Base);
    assert_eq!(fixture.first.parent, None);
    let read = history::read(&fixture.store, &fixture.environment).expect("a history");
    assert_eq!(read, std::slice::from_ref(&fixture.first));
    assert_eq!(history::base(&fixture.store, &fixture.environment), Ok(fixture.base.clone()));
    let change =
        divergence::since(&fixture.store, &fixture.environment, &fixture.base, &Counts::default())
            .expect("a count");
    assert_eq!(change, crate::model::snapshot::ChangeCount::default());
}

#[test]
fn a_repository_of_many_packs_and_no_branch_makes_a_clean_workspace_too() {
    let oracle = Oracle::new();
    for number in 0..3 {
        write(&oracle.root(), "file.txt", format!("{number}\n").as_bytes());
        oracle.git(["add", "-A"]);
        oracle.git(["commit", "-q", "-m", "work"]);
        oracle.git(["repack", "-q", "-d"]);
    }
    oracle.git(["checkout", "-q", "--detach"]);
    let fixture = Fixture::over(oracle);
    assert_eq!(fixture.git_inside(&["status", "--porcelain"]), "");
    assert_eq!(fixture.git_inside(&["rev-list", "--count", "HEAD"]), "3\n");
    assert_eq!(fixture.git_inside(&["branch", "--show-current"]), "agentdeck\n");
}

#[test]
fn without_conversion_rules_line_endings_stay_as_committed() {
    let fixture = Fixture::new(|root| write(root, "mixed.txt", b"a\r\nb\n"));
    let file = fixture.workspace().join("mixed.txt");
    assert_eq!(std::fs::read(file).expect("a file"), b"a\r\nb\n");
    assert_eq!(fixture.take(&Touched::Everything), None);
}

#[test]
fn a_checkout_with_the_users_autocrlf_shows_no_difference() {
    let oracle = Oracle::new();
    write(&oracle.root(), "text.txt", b"one\ntwo\n");
    write(&oracle.root(), "binary.dat", b"\x00\n\n");
    oracle.git(["add", "-A"]);
    oracle.git(["commit", "-q", "-m", "base"]);
    oracle.git(["config", "core.autocrlf", "true"]);
    let fixture = Fixture::over(oracle);
    let file = fixture.workspace().join("text.txt");
    assert_eq!(std::fs::read(&file).expect("a file"), b"one\r\ntwo\r\n");
    assert_eq!(fixture.git_inside(&["status", "--porcelain"]), "");
    assert_eq!(fixture.take(&Touched::Everything), None);

    // Rewritten with the same bytes, so that it is read and not known from its status.
    std::fs::write(&file, b"one\r\ntwo\r\n").expect("a file");
    assert_eq!(fixture.take_paths(&["text.txt", "binary.dat"]), None);
    assert_eq!(fixture.take(&Touched::Everything), None);
}
