use gix::objs::tree::{Entry, EntryMode};
use gix::objs::{Tree, Write as _};

use proptest::prelude::*;

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
    /// An entry as bytes, before the object's id.
    Raw(&'a [u8]),
    /// A file below as many directories.
    Deep(usize),
}

/// Names that git, or a file system of another machine, takes for `.git`.
const DISGUISES: [&[u8]; 25] = [
    b".git",
    b".GIT",
    b".gIt",
    // Short names of NTFS, and forms that it takes for the same name.
    b"git~1",
    b"GIT~1",
    b"git~1.",
    b"GIT~1::$INDEX_ALLOCATION",
    b".git.",
    b".git...",
    b".git ",
    b".git . .",
    b".git:x",
    b".git::$DATA",
    b".git::$INDEX_ALLOCATION",
    b".git\\hooks\\post-merge",
    b"a\\.git\\config",
    b"sub\\git~1\\config",
    // Characters that HFS+ takes out of a name.
    b".g\xe2\x80\x8cit",
    b".git\xe2\x80\x8c",
    b".gi\xe2\x80\x8ft",
    b".git\xe2\x80\xae",
    b".G\xe2\x80\xaaI\xe2\x81\xafT",
    b".g\xe2\x80\x8eit",
    b"\xe2\x80\x8d.git",
    b"\xef\xbb\xbf.git",
];

/// One of each kind of them, to be tried as directories too.
const KINDS: [&[u8]; 6] =
    [b".git", b".GIT", b"git~1", b".git ", b".git::$INDEX_ALLOCATION", b".git\xe2\x80\x8c"];

fn corpus() -> Vec<Evil<'static>> {
    use Evil::{Below, Deep, File, Link, Mode, Raw, Submodule, Twice};
    let mut corpus: Vec<Evil<'static>> = DISGUISES.into_iter().map(File).collect();
    for name in KINDS {
        corpus.extend([Below(name, b"config"), Below(b"sub", name)]);
    }
    corpus.extend([
        File(b".."),
        File(b"."),
        File(b""),
        File(b"../escape"),
        File(b"/absolute"),
        File(b"a/b"),
        File(b"..\\escape"),
        File(&[b'n'; 256]),
        Below(b"..", b"escape"),
        Below(b".", b"escape"),
        Below(b"sub", b".."),
        Below(b".git", b"hooks"),
        Below(b"sub", b"../../escape"),
        Link(b"l", b"/etc/passwd"),
        Link(b"l", b".."),
        Link(b"l", b"../outside"),
        Link(b"l", b".git/hooks"),
        Link(b"l", b"x/../../outside"),
        Link(b"l", b"sub/./../../outside"),
        Link(b"l", b"\\\\host\\share"),
        Link(b"l", b".GIT"),
        Link(b"l", b""),
        Link(b"l", b"a\0b"),
        Link(b"l", &[b'a'; 5000]),
        Link(b".git", b"x"),
        // Links in the place of a file that git itself reads.
        Link(b".gitmodules", b"x"),
        Link(b".GitModules", b"x"),
        Link(b"gitmod~1", b"x"),
        Link(b".gitmodules::$DATA", b"x"),
        Link(b".gitmodules .", b"x"),
        Twice(b"d", b"../outside"),
        Twice(b"d", b"/tmp"),
        Twice(b"x", b".git"),
        Submodule(b"sub"),
        Submodule(b".git"),
        Mode(b"setuid", 0o104_755),
        Mode(b"odd", 0o100_777),
        Raw(b"100644 a\0b"),
        Raw(b"060000 device\0"),
        Raw(b"010000 pipe\0"),
        Raw(b"140000 socket\0"),
        Raw(b"040000 blob\0"),
        Deep(2100),
    ]);
    corpus
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
        Evil::Raw(bytes) => return raw(&case.store, &entries, bytes, file),
        Evil::Deep(depth) => {
            let mut below = tree(vec![entry(EntryKind::Blob, b"x", file)]);
            for _ in 0..*depth {
                below = tree(vec![entry(EntryKind::Tree, b"d", below)]);
            }
            entries.push(entry(EntryKind::Tree, b"deep", below));
        }
        Evil::Mode(name, mode) => {
            let mode = EntryMode::try_from(u32::from(*mode)).unwrap_or(EntryKind::Blob.into());
            entries.push(Entry { mode, filename: (*name).into(), oid: file });
        }
    }
    entries.sort();
    tree(entries)
}

/// A tree of these entries and of one that no writer of trees would write.
fn raw(store: &Store, entries: &[Entry], bytes: &[u8], id: gix::ObjectId) -> gix::ObjectId {
    let mut text = Vec::new();
    for entry in entries {
        text.extend_from_slice(format!("{:o} ", entry.mode.value()).as_bytes());
        text.extend_from_slice(&entry.filename);
        text.push(0);
        text.extend_from_slice(entry.oid.as_bytes());
    }
    text.extend_from_slice(bytes);
    text.extend_from_slice(id.as_bytes());
    store.reader().objects.write_buf(gix::objs::Kind::Tree, &text).expect("written")
}

#[test]
fn no_hostile_tree_changes_anything_outside_or_in_a_git_directory() {
    let corpus = corpus();
    assert!(corpus.len() >= 60);
    for (number, evil) in corpus.iter().enumerate() {
        for merges in [false, true] {
            let mut case = Case::new(&files(&[("a", "a\n"), ("x", "x\n")]));
            case.hostile = true;
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

/// Rounds of the race in an ordinary run.
const RACE_ROUNDS: usize = 20;

#[test]
fn a_race_with_the_writer_leads_it_nowhere() {
    let rounds = std::env::var("AGENTDECK_SOAK").ok().and_then(|text| text.parse().ok());
    let rounds: usize = rounds.unwrap_or(RACE_ROUNDS);
    let base = files(&[("a", "1\n"), ("d/x", "old\n")]);
    let case = Case::new(&base);
    let outside = case.oracle.outside().to_owned();
    std::fs::create_dir(outside.join("secret")).expect("a directory");
    std::fs::write(outside.join("secret/x"), "old\n").expect("a file");
    std::os::unix::fs::symlink(outside.join("secret"), outside.join("swap")).expect("a link");
    let heads =
        ["one\n", "two\n"].map(|text| case.snapshot(&files(&[("a", "1\n"), ("d/x", text)])));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let (mut written, mut control_led) = (0, false);
    std::thread::scope(|scope| {
        let (inside, other) = (case.oracle.root().join("d"), outside.join("swap"));
        let stop = &stop;
        scope.spawn(move || {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                rustix::fs::renameat_with(rustix::fs::CWD, &inside, rustix::fs::CWD, &other, flags)
                    .expect("names are swapped");
            }
        });
        for round in 0..rounds {
            // Refused where it looks on a link, and rolled back where that comes too late.
            written += usize::from(case.apply(round as u64 + 1, &heads[round % 2]).is_ok());
            let _ = case.recover();
        }
        // The control looks first and opens afterwards, until it was cheated once.
        let control = case.oracle.root().join("d");
        for _ in 0..1_000_000 {
            let real = control.symlink_metadata().is_ok_and(|found| found.is_dir());
            control_led |= real && std::fs::read_link(&control).is_ok();
            if control_led {
                break;
            }
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(control_led, "the control: looking before opening is cheated");
    assert!(written < rounds, "nothing was ever in its way");
    let secret = std::fs::read_dir(outside.join("secret")).expect("there").count();
    assert_eq!(secret, 1, "nothing was made in it");
    assert_eq!(std::fs::read(outside.join("secret/x")).expect("there"), b"old\n");
}

#[test]
fn a_damaged_tree_is_refused_or_holds_single_names_once() {
    let oracle = Oracle::new();
    let repository = oracle.open();
    let blob = repository.write_blob(b"x").expect("a blob").detach();
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    proptest!(|(names in prop::collection::vec("[a-c.]{1,3}", 1..6), damage in damage)| {
        let mut bytes = Vec::new();
        for name in &names {
            bytes.extend_from_slice(format!("100644 {name}\0").as_bytes());
            bytes.extend_from_slice(blob.as_bytes());
        }
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let id = repository.objects.write_buf(gix::objs::Kind::Tree, &bytes).expect("written");
        if super::super::sound::check_tree(&repository, id, None).is_ok() {
            let tree = repository.find_tree(id).expect("a tree");
            let entries = tree.iter().map(|entry| entry.expect("an entry").filename().to_vec());
            let all: Vec<Vec<u8>> = entries.collect();
            for name in &all {
                prop_assert!(!name.is_empty() && !name.contains(&b'/'), "{:?}", name);
                prop_assert!(name != b"." && name != b"..", "{:?}", name);
            }
            let once: std::collections::BTreeSet<&Vec<u8>> = all.iter().collect();
            prop_assert_eq!(once.len(), all.len());
        }
    });
}
