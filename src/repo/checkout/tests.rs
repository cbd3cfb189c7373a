use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn place() -> (tempfile::TempDir, WorkingTree) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    std::fs::create_dir(&root).expect("a root");
    let tree = WorkingTree::open(&root).expect("a working tree");
    (directory, tree)
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text)
}

#[test]
fn a_file_appears_whole_with_its_parents_and_goes_with_them() {
    let (directory, tree) = place();
    tree.put_file(&path("a/b/c"), b"one", EXECUTABLE, ".new").expect("a file");
    assert_eq!(
        tree.find(&path("a/b/c")),
        Ok(Found::File { permissions: 0o755, content: b"one".to_vec() })
    );
    tree.put_link(&path("a/b/c"), b"x", ".new").expect("a link");
    assert_eq!(tree.find(&path("a/b/c")), Ok(Found::Link { target: b"x".to_vec() }));
    std::fs::write(directory.path().join("root/a/kept"), "").expect("a file");
    tree.remove(&path("a/b/c")).expect("removed");
    assert_eq!(tree.find(&path("a/b")), Ok(Found::Absent));
    assert_eq!(tree.find(&path("a")), Ok(Found::Directory));
    assert_eq!(tree.files_below(&path("a")), Ok(vec![path("a/kept")]));
}

#[test]
fn no_write_goes_through_a_link() {
    let (directory, tree) = place();
    let outside = directory.path().join("outside");
    std::fs::create_dir(&outside).expect("a directory");
    std::fs::write(outside.join("file"), "theirs").expect("a file");
    symlink(&outside, directory.path().join("root/d")).expect("a link");
    // The control: a plain write follows the link.
    std::fs::write(directory.path().join("root/d/control"), "").expect("a write");
    assert!(outside.join("control").exists());

    for name in ["d/new", "d/file", "d/sub/new"] {
        let failure = tree.put_file(&path(name), b"ours", PLAIN, ".new").expect_err("a refusal");
        assert_eq!(failure.paths, [path(name)]);
    }
    tree.remove(&path("d/file")).expect_err("a refusal");
    assert_eq!(tree.find(&path("d/file")), Ok(Found::Absent));
    assert_eq!(std::fs::read(outside.join("file")).expect("a file"), b"theirs");
    assert_eq!(std::fs::read_dir(&outside).expect("a directory").count(), 2);
    // The link itself may be replaced, and then the way is ours.
    tree.remove(&path("d")).expect("removed");
    tree.put_file(&path("d/new"), b"ours", PLAIN, ".new").expect("a file");
    assert!(!outside.join("new").exists());
}

#[test]
fn special_files_are_seen_and_never_opened() {
    let (directory, tree) = place();
    let pipe = directory.path().join("root/pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        .expect("a pipe");
    assert_eq!(tree.find(&path("pipe")), Ok(Found::Other));
    let file = directory.path().join("root/file");
    std::fs::write(&file, "x").expect("a file");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("a mode");
    let found = Found::File { permissions: 0o640, content: b"x".to_vec() };
    assert_eq!(tree.find(&path("file")), Ok(found));
}

#[test]
fn a_file_above_the_limit_is_seen_and_never_read() {
    let (directory, tree) = place();
    let root = directory.path().join("root");
    let limited = WorkingTree::open_limited(&root, 4).expect("a working tree");
    std::fs::write(root.join("just"), "four").expect("a file");
    std::fs::write(root.join("over"), "fifth").expect("a file");
    let found = |content: &[u8]| Found::File { permissions: 0o644, content: content.to_vec() };
    std::fs::set_permissions(root.join("just"), std::fs::Permissions::from_mode(0o644))
        .expect("a mode");
    assert_eq!(limited.find(&path("just")), Ok(found(b"four")));
    assert_eq!(limited.find(&path("over")), Ok(Found::Other));
    let sparse = std::fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(1 << 42).expect("a sparse file");
    assert_eq!(tree.find(&path("sparse")), Ok(Found::Other));
}
