use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn place() -> (tempfile::TempDir, WorkingTree) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("root");
    std::fs::create_dir(&root).expect("a root");
    let tree = WorkingTree::open(&root).expect("a working tree");
    (directory, tree)
}

const ANY: &Expected<'_> = &Expected::Anything;

impl Outcome {
    fn done(self) {
        assert_eq!(self, Self::Done);
    }
}

fn path(text: &str) -> RepoPath {
    RepoPath::new(text)
}

#[test]
fn a_file_appears_whole_with_its_parents_and_goes_with_them() {
    let (directory, tree) = place();
    tree.put_file(&path("a/b/c"), b"one", EXECUTABLE, ".new", ANY).expect("a file").done();
    assert_eq!(
        tree.find(&path("a/b/c")),
        Ok(Found::File { permissions: 0o755, content: b"one".to_vec() })
    );
    tree.put_link(&path("a/b/c"), b"x", ".new", ANY).expect("a link").done();
    assert_eq!(tree.find(&path("a/b/c")), Ok(Found::Link { target: b"x".to_vec() }));
    std::fs::write(directory.path().join("root/a/kept"), "").expect("a file");
    tree.remove(&path("a/b/c"), ".new", ANY).expect("removed").done();
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
        let failure = tree.put_file(&path(name), b"ours", PLAIN, ".new", ANY);
        let failure = failure.expect_err("a refusal");
        assert_eq!(failure.paths, [path(name)]);
    }
    tree.remove(&path("d/file"), ".new", ANY).expect_err("a refusal");
    assert_eq!(tree.find(&path("d/file")), Ok(Found::Absent));
    assert_eq!(std::fs::read(outside.join("file")).expect("a file"), b"theirs");
    assert_eq!(std::fs::read_dir(&outside).expect("a directory").count(), 2);
    // The link itself may be replaced, and then the way is ours.
    tree.remove(&path("d"), ".new", ANY).expect("removed").done();
    tree.put_file(&path("d/new"), b"ours", PLAIN, ".new", ANY).expect("a file").done();
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

/// Whatever the file system can do.
fn either_way(check: impl Fn(&Path, &WorkingTree)) {
    for exchange in [Exchange::Possible, Exchange::Missing] {
        let (directory, mut tree) = place();
        tree.exchange = exchange;
        check(&directory.path().join("root"), &tree);
    }
}

fn holding(content: &'static [u8]) -> Expected<'static> {
    Expected::Known(Box::new(move |found| is_file(found, content)))
}

fn is_file(found: &Found, content: &[u8]) -> bool {
    matches!(found, Found::File { content: there, .. } if there == content)
}

/// As an editor does it: a new file, renamed over the one before.
fn save(root: &Path, name: &str, content: &str) {
    let new = root.parent().expect("a parent").join("editor");
    std::fs::write(&new, content).expect("a file");
    std::fs::rename(new, root.join(name)).expect("renamed");
}

/// Puts `ours` at `f`; `meanwhile` happens when all is ready for it.
fn put(root: &Path, tree: &WorkingTree, expected: &Expected<'_>, meanwhile: &dyn Fn()) -> Outcome {
    let put = tree.put(&path("f"), ".new", expected, |_| {
        std::fs::write(root.join(".new"), "ours").expect("a file");
        meanwhile();
        Ok(())
    });
    put.expect("no trouble")
}

fn names(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root).expect("a directory");
    let mut names: Vec<String> =
        entries.map(|it| it.expect("an entry").file_name().to_string_lossy().into()).collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_between_the_look_and_the_write_stays() {
    type Save = fn(&Path);
    let users: [(&str, Save); 4] = [
        ("saved", |root| save(root, "f", "the user's")),
        ("written in place", |root| std::fs::write(root.join("f"), "the user's").expect("written")),
        ("made a link", |root| {
            std::fs::remove_file(root.join("f")).expect("removed");
            symlink("elsewhere", root.join("f")).expect("a link");
        }),
        ("made a directory", |root| {
            std::fs::remove_file(root.join("f")).expect("removed");
            std::fs::create_dir_all(root.join("f/in")).expect("a directory");
        }),
    ];
    for (what, act) in users {
        either_way(|root, tree| {
            std::fs::write(root.join("f"), "old").expect("a file");
            assert_eq!(put(root, tree, &holding(b"old"), &|| act(root)), Outcome::Kept, "{what}");
            let found = tree.find(&path("f")).expect("found");
            assert!(!is_file(&found, b"ours") && found != Found::Absent, "{what}: {found:?}");
            assert_eq!(names(root), ["f"], "{what}");
        });
    }
    either_way(|root, tree| {
        std::fs::write(root.join("f"), "old").expect("a file");
        let gone = || std::fs::remove_file(root.join("f")).expect("removed");
        assert_eq!(put(root, tree, &holding(b"old"), &gone), Outcome::Kept);
        assert_eq!(names(root), [""; 0], "what the user removed stays removed");
        let came = || save(root, "f", "the user's");
        assert_eq!(put(root, tree, &Expected::Nothing, &came), Outcome::Kept);
        assert_eq!(std::fs::read(root.join("f")).expect("a file"), b"the user's");
        // The control: with nobody there, each is written.
        assert_eq!(put(root, tree, &holding(b"the user's"), &|| ()), Outcome::Done);
        assert_eq!(std::fs::read(root.join("f")).expect("a file"), b"ours");
        std::fs::remove_file(root.join("f")).expect("removed");
        assert_eq!(put(root, tree, &Expected::Nothing, &|| ()), Outcome::Done);
        assert_eq!(names(root), ["f"]);
    });
}

#[test]
fn of_two_saves_meanwhile_the_later_stays() {
    either_way(|root, tree| {
        std::fs::write(root.join("f"), "old").expect("a file");
        // While what was set aside is looked at, the user saves again.
        let again = Expected::Known(Box::new(|found| {
            save(root, "f", "the later");
            is_file(found, b"old")
        }));
        let first = || save(root, "f", "the first");
        assert_eq!(put(root, tree, &again, &first), Outcome::Kept);
        assert_eq!(std::fs::read(root.join("f")).expect("a file"), b"the later");
        assert_eq!(names(root), ["f"]);

        // Or removes what they find, which was ours where it was exchanged.
        let removed = Expected::Known(Box::new(|found| {
            let _ = std::fs::remove_file(root.join("f"));
            is_file(found, b"old")
        }));
        assert_eq!(put(root, tree, &removed, &first), Outcome::Kept);
        assert_eq!(std::fs::read(root.join("f")).expect("a file"), b"the first");
        assert_eq!(names(root), ["f"]);
    });
}

#[test]
fn only_what_is_expected_is_removed() {
    either_way(|root, tree| {
        std::fs::create_dir(root.join("d")).expect("a directory");
        std::fs::write(root.join("d/f"), "the user's").expect("a file");
        assert_eq!(tree.remove(&path("d/f"), ".new", &holding(b"old")), Ok(Outcome::Kept));
        assert_eq!(std::fs::read(root.join("d/f")).expect("a file"), b"the user's");
        assert_eq!(names(&root.join("d")), ["f"]);
        assert_eq!(tree.remove(&path("d/f"), ".new", &holding(b"the user's")), Ok(Outcome::Done));
        assert_eq!(names(root), [""; 0]);
        assert_eq!(tree.remove(&path("d/f"), ".new", &holding(b"old")), Ok(Outcome::Done));
    });
}

#[test]
fn what_a_kill_left_beside_a_path_goes_back_unless_it_is_known() {
    let tidied = |there: Option<&str>, aside: &str| {
        let (directory, tree) = place();
        let root = directory.path().join("root");
        if let Some(there) = there {
            std::fs::write(root.join("f"), there).expect("a file");
        }
        std::fs::write(root.join(".new"), "half").expect("a file");
        std::fs::write(root.join(".new.aside"), aside).expect("a file");
        let is_known = |found: &Found| is_file(found, b"before") || is_file(found, b"after");
        let left = tree.tidy(&path("f"), ".new", &is_known).expect("no trouble");
        let content = std::fs::read_to_string(root.join("f")).expect("a file");
        (content, names(&root), left)
    };
    let clean = |content: &str| (content.to_owned(), vec!["f".to_owned()], None);
    assert_eq!(tidied(Some("before"), "after"), clean("before"), "ours was not there yet");
    assert_eq!(tidied(Some("after"), "before"), clean("after"), "the journal has it");
    assert_eq!(tidied(Some("after"), "the user's"), clean("the user's"));
    assert_eq!(tidied(None, "the user's"), clean("the user's"));
    assert_eq!(tidied(None, "before"), clean("before"));
    let both = vec![".new.aside".to_owned(), "f".to_owned()];
    assert_eq!(
        tidied(Some("the later"), "the first"),
        ("the later".to_owned(), both, Some(path(".new.aside")))
    );
}
