//! Files that are made before anybody asks are those that would be made then.

use std::collections::BTreeMap;

use super::*;
use crate::repo::workspace::{fill, lay_out, origin};

const CONTENT: [(&str, &str); 3] =
    [("price", "one\n"), (".gitattributes", "*.txt eol=crlf\n"), ("deep/note.txt", "a\nb\n")];

fn write(root: &Path, name: &str, text: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    std::fs::write(path, text).expect("written");
}

fn fixture() -> Fixture {
    Fixture::new(|root| {
        for (name, text) in CONTENT {
            write(root, name, text);
        }
        std::os::unix::fs::symlink("price", root.join("link")).expect("made");
    })
}

/// Every file below a directory with its content, but for an index, which knows inodes.
fn picture(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(place) = waiting.pop() {
        for entry in std::fs::read_dir(place).expect("read") {
            let path = entry.expect("an entry").path();
            let name = path.strip_prefix(directory).expect("below").to_owned();
            if path.is_symlink() {
                let target = std::fs::read_link(&path).expect("a link");
                found.insert(name, target.into_os_string().into_encoded_bytes());
            } else if path.is_dir() {
                found.insert(name, b"directory".to_vec());
                waiting.push(path);
            } else if name != Path::new("index") {
                found.insert(name, std::fs::read(&path).expect("read"));
            }
        }
    }
    found
}

#[test]
fn files_made_ahead_are_those_that_are_made_when_asked_for() {
    let fixture = fixture();
    let ahead = fixture.oracle.outside().join("ahead");
    let known = ahead.join("known");
    let (workspace, git) = (ahead.join("workspace"), ahead.join("git"));
    let places = Places { workspace: &workspace, git: &git };
    lay_out(&places).expect("laid out");
    let (user, store) = (&fixture.user, &fixture.store);
    fill(user, store, &fixture.base, &places, &known).expect("filled");
    assert_eq!(picture(&workspace), picture(&fixture.workspace()));
    assert_eq!(picture(&git), picture(&fixture.git_directory()));

    let moved = fixture.oracle.outside().join("moved");
    std::fs::rename(&ahead, &moved).expect("moved");
    let (workspace, git, known) = (moved.join("workspace"), moved.join("git"), moved.join("known"));
    let environment = EnvironmentId::from_random([8; 8]);
    let first = workspaces::create(
        user,
        store,
        &environment,
        &fixture.base,
        Changes::Leave,
        &Places { workspace: &workspace, git: &git },
        &user.identity(),
        Timestamp(1_700_000_000_000),
        &mut Making {
            progress: &mut |_, _| {},
            ahead: Some(&known),
            may_pin: &mut || Ok(()),
            bringing: &mut |_| {},
        },
    )
    .expect("a workspace");
    assert_eq!(first, fixture.first);
    assert!(!known.exists(), "it was taken up");
    let occasion = Occasion::new(SnapshotCause::Change, Timestamp(1_700_000_001_000));
    let take = || snapshot::take(store, &environment, &workspace, &Touched::Everything, &occasion);
    assert_eq!(take().expect("taken"), None, "nothing has changed");
    write(&workspace, "price", "two\n");
    assert!(take().expect("taken").is_some());
    let status = Command::new("git")
        .args(["status", "--porcelain"])
        .env("GIT_DIR", &git)
        .env("GIT_WORK_TREE", &workspace)
        .output()
        .expect("git runs");
    assert_eq!(String::from_utf8_lossy(&status.stdout), " M price\n");
}

#[test]
fn whatever_files_are_made_from_is_another_origin_when_it_changes() {
    let fixture = fixture();
    let oracle = &fixture.oracle;
    let git_dir = oracle.root().join(".git");
    let now = || {
        let user = UserRepository::discover(&oracle.root()).expect("a repository");
        origin(&user, &fixture.base).expect("an origin")
    };
    let mut last = now();
    assert_eq!(now(), last);
    write(&oracle.root(), "price", "two\n");
    assert_eq!(now(), last, "uncommitted work is not in it");
    let changes: [(&str, &dyn Fn()); 6] = [
        ("an object", &|| drop(oracle.git(["hash-object", "-w", "price"]))),
        ("the branch", &|| drop(oracle.git(["checkout", "-q", "-b", "other"]))),
        ("line endings", &|| drop(oracle.git(["config", "core.autocrlf", "true"]))),
        ("the user", &|| drop(oracle.git(["config", "user.name", "Grace"]))),
        ("excludes", &|| write(&git_dir, "info/exclude", "secret\n")),
        ("attributes", &|| write(&git_dir, "info/attributes", "*.md eol=crlf\n")),
    ];
    for (what, change) in changes {
        change();
        let next = now();
        assert_ne!(next, last, "{what}");
        last = next;
    }
    oracle.git(["commit", "-q", "-am", "next"]);
    let user = UserRepository::discover(&oracle.root()).expect("a repository");
    let (head, _) = user.head().expect("a head");
    assert_ne!(origin(&user, &head), origin(&user, &fixture.base));
}
