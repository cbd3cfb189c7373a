use gix::objs::Tree;
use gix::objs::tree::{Entry, EntryMode};

use super::*;

/// What a hostile tree holds at its top, each with content or a subtree of one entry.
enum Evil<'a> {
    File(&'a [u8]),
    Link(&'a [u8], &'a [u8]),
    Below(&'a [u8], &'a [u8]),
    /// A link and a directory of the same name, with a file in it.
    Twice(&'a [u8], &'a [u8]),
    Submodule(&'a [u8]),
    Mode(&'a [u8], u16),
}

fn corpus() -> Vec<Evil<'static>> {
    use Evil::{Below, File, Link, Mode, Submodule, Twice};
    vec![
        File(b".git"),
        File(b".GIT"),
        File(b".gIt"),
        File(b"git~1"),
        File(b"GIT~1"),
        File(b".git."),
        File(b".git "),
        File(b".git::$INDEX_ALLOCATION"),
        File(b".git:x"),
        File(b".."),
        File(b"."),
        File(b""),
        File(b"../escape"),
        File(b"/absolute"),
        File(b"a/b"),
        File(b"a\\.git\\config"),
        File(b"..\\escape"),
        File(b".g\xe2\x80\x8cit"),
        File(b"\xe2\x80\x8d.git"),
        Below(b".git", b"config"),
        Below(b".GIT", b"config"),
        Below(b"git~1", b"config"),
        Below(b"..", b"escape"),
        Below(b".", b"escape"),
        Below(b"sub", b".git"),
        Below(b"sub", b".."),
        Below(b".git", b"hooks"),
        Below(b"sub", b"../../escape"),
        Link(b"l", b"/etc/passwd"),
        Link(b"l", b".."),
        Link(b"l", b"../outside"),
        Link(b"l", b".git/hooks"),
        Link(b"l", b"x/../../outside"),
        Link(b"l", b".GIT"),
        Link(b"l", b""),
        Link(b".gitmodules", b"x"),
        Link(b".git", b"x"),
        Link(b"l", b"a\0b"),
        Twice(b"d", b"../outside"),
        Twice(b"d", b"/tmp"),
        Submodule(b"sub"),
        Submodule(b".git"),
        Mode(b"setuid", 0o104_755),
        Mode(b"odd", 0o100_777),
    ]
}

fn write(case: &Case, evil: &Evil<'_>) -> gix::ObjectId {
    let repository = case.store.reader();
    let blob = |content: &[u8]| case.store.write_blob(content).expect("a blob");
    let tree = |entries: Vec<Entry>| case.store.write_tree(&Tree { entries }).expect("a tree");
    let entry =
        |mode: EntryKind, name: &[u8], oid| Entry { mode: mode.into(), filename: name.into(), oid };
    let base = repository.find_tree(object::tree_of(&repository, &case.base).expect("a tree"));
    let mut entries = base.expect("a tree").decode().expect("a tree").into_owned().entries;
    let file = blob(b"evil\n");
    match evil {
        Evil::File(name) => entries.push(entry(EntryKind::Blob, name, file)),
        Evil::Link(name, target) => entries.push(entry(EntryKind::Link, name, blob(target))),
        Evil::Below(name, inner) => {
            let below = tree(vec![entry(EntryKind::BlobExecutable, inner, file)]);
            entries.push(entry(EntryKind::Tree, name, below));
        }
        Evil::Twice(name, target) => {
            let below = tree(vec![entry(EntryKind::Blob, b"x", file)]);
            entries.push(entry(EntryKind::Link, name, blob(target)));
            entries.push(entry(EntryKind::Tree, name, below));
        }
        Evil::Submodule(name) => {
            entries.push(entry(EntryKind::Commit, name, object::id(&case.base)));
        }
        Evil::Mode(name, mode) => {
            let mode = EntryMode::try_from(u32::from(*mode)).unwrap_or(EntryKind::Blob.into());
            entries.push(Entry { mode, filename: (*name).into(), oid: file });
        }
    }
    entries.sort();
    tree(entries)
}

#[test]
fn no_hostile_tree_changes_anything_outside_or_in_a_git_directory() {
    let corpus = corpus();
    assert!(corpus.len() >= 30);
    for (number, evil) in corpus.iter().enumerate() {
        for merges in [false, true] {
            let case = Case::new(&files(&[("a", "a\n"), ("x", "x\n")]));
            let outside = case.oracle.outside().join("outside");
            std::fs::create_dir(&outside).expect("a directory");
            case.oracle.git(["config", "core.protectNTFS", "true"]);
            let head = case.snapshot_of(write(&case, evil));
            let (git, around) = (git_directory(&case), surroundings(&case));
            let outcome = if merges { case.merge(1, &head) } else { case.apply(1, &head) };
            assert_eq!(surroundings(&case), around, "tree {number}");
            if let Evil::Mode(name, _) = evil {
                // Odd permissions are not an attack: they come out as git's.
                outcome.unwrap_or_else(|failure| panic!("tree {number}: {failure}"));
                let name = String::from_utf8_lossy(name).into_owned();
                let metadata = std::fs::metadata(case.oracle.root().join(name)).expect("a file");
                assert!(matches!(metadata.mode() & 0o7777, 0o644 | 0o755), "tree {number}");
                continue;
            }
            let failure = outcome.err().unwrap_or_else(|| panic!("tree {number} was taken"));
            assert_ne!(failure.kind, FailureKind::WouldOverwrite, "tree {number}");
            assert_eq!(git_directory(&case), git, "tree {number}");
            assert_eq!(case.status(), "", "tree {number}");
        }
    }
}

/// Everything beside the user's repository and our state.
fn surroundings(case: &Case) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    look(case.oracle.outside(), "", &mut files);
    files.retain(|name, _| !name.starts_with("root/") && !name.starts_with("state/"));
    files
}

/// The user's git directory but for objects, which a refused merge never reaches either.
fn git_directory(case: &Case) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    look(&case.oracle.root().join(".git"), "", &mut files);
    files
}
