//! What a hostile agent may leave in its workspace. Each test shows that the same thing works
//! against an ordinary reader.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, RenameFlags};

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
fn a_race_between_files_directories_links_and_pipes_leaks_nothing() {
    let fixture = Fixture::new(|root| {
        write(root, "file.txt", b"file\n");
        write(root, "pipe.txt", b"no pipe\n");
        write(root, "dir/inner.txt", b"inner\n");
    });
    let outside = fixture.oracle.outside().to_owned();
    let root = fixture.workspace();
    fs::create_dir(outside.join("secret")).expect("a directory");
    fs::write(outside.join("secret/inner.txt"), SECRET).expect("a file");
    symlink(outside.join("secret"), outside.join("swap-directory")).expect("a link");
    symlink(outside.join("secret/inner.txt"), outside.join("swap-file")).expect("a link");
    rustix::fs::mkfifoat(CWD, outside.join("swap-pipe"), 0o644.into()).expect("a FIFO");

    let stop = AtomicBool::new(false);
    let (mut led, mut met_pipe) = (false, false);
    std::thread::scope(|scope| {
        let swaps =
            [("dir", "swap-directory"), ("file.txt", "swap-file"), ("pipe.txt", "swap-pipe")];
        for (inside, other) in swaps {
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
                touched(&["dir", "dir/inner.txt", "file.txt", "pipe.txt"])
            };
            // It comes back: a pipe that is opened for reading waits for a writer.
            fixture.take(&touched);
        }
        // The control looks first and opens afterwards, until it was cheated in both ways.
        for _ in 0..1_000_000 {
            for name in ["file.txt", "dir/inner.txt"] {
                let path = root.join(name);
                let parent = path.parent().expect("a parent").symlink_metadata();
                let real = path.symlink_metadata().is_ok_and(|found| found.is_file())
                    && parent.is_ok_and(|found| found.is_dir());
                led |= real && fs::read(&path).is_ok_and(|bytes| bytes == SECRET);
            }
            met_pipe |= opens_a_pipe_for_a_file(&root.join("pipe.txt"));
            if led && met_pipe {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(led, "the control: looking before opening is cheated");
    assert!(met_pipe, "the control: what was a file is opened as a pipe");
    assert!(!leaked(&fixture));
}

/// Whether what looked like a file was a pipe once it was open; without being held up by one.
fn opens_a_pipe_for_a_file(path: &Path) -> bool {
    use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
    let looked = path.symlink_metadata().is_ok_and(|found| found.is_file());
    let flags = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let opened = fs::OpenOptions::new().read(true).custom_flags(flags).open(path);
    let opened = opened.and_then(|file| file.metadata());
    looked && opened.is_ok_and(|found| found.file_type().is_fifo())
}

#[test]
fn a_repository_within_is_taken_as_files_and_what_is_inside_its_git_directory_is_not() {
    let fixture = plain();
    let root = fixture.workspace();
    for place in [&root, &root.join("nested")] {
        fixture.oracle.git(["init", "-q", place.to_str().expect("a plain path")]);
    }
    write(&root, "nested/inner.txt", b"inner\n");
    let taken = fixture.take(&Touched::Everything).expect("a change");
    let expected = ["dir/inner.txt", "file.txt", "nested/inner.txt"];
    assert_eq!(fixture.listing(&taken), expected);
    let skipped: Vec<String> =
        taken.skipped.iter().map(|skipped| skipped.path.to_string()).collect();
    assert_eq!(skipped, ["nested/.git"]);
    write(&root, "nested/inner.txt", b"INNER\n");
    fixture.take_paths(&["nested/inner.txt", "nested", "nested/.git/config"]).expect("a change");
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
    tracked.set_len(9 << 20).expect("a size");
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
        ("sparse", "larger than 256 MiB"),
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

/// Levels of a tree that no path reaches the bottom of.
const DEEP: usize = 4000;

/// Removes what is deeper than descriptors last.
struct Deep(std::path::PathBuf);

impl Drop for Deep {
    fn drop(&mut self) {
        let _ = Command::new("rm").arg("-rf").arg(&self.0).status();
    }
}

#[test]
fn a_very_deep_tree_is_cut_off_and_said_so() {
    let fixture = plain();
    let _deep = Deep(fixture.workspace().join("d"));
    let flags = rustix::fs::OFlags::DIRECTORY;
    let open = |at, name: &Path| rustix::fs::openat(at, name, flags, Mode::empty());
    let mut at = open(CWD, &fixture.workspace()).expect("the workspace");
    for _ in 0..DEEP {
        rustix::fs::mkdirat(&at, "d", Mode::from(0o755)).expect("a directory");
        at = rustix::fs::openat(&at, "d", flags, Mode::empty()).expect("a directory");
    }
    rustix::fs::mknodat(&at, "bottom", FileType::RegularFile, Mode::from(0o644), 0).expect("made");
    write(&fixture.workspace(), "near", b"x");
    let control = fixture.workspace().join("d/".repeat(DEEP)).symlink_metadata();
    assert!(control.is_err(), "the control: no path names it");

    let taken = fixture.take(&Touched::Everything).expect("a change");
    assert!(taken.skipped.iter().any(|skipped| skipped.reason == "nested too deeply"));
    assert!(fixture.listing(&taken).contains(&"near".to_owned()));
    write(&fixture.workspace(), "near", b"y");
    let taken = fixture.take_paths(&["near", "d", "d/d/d"]).expect("a change");
    assert!(fixture.listing(&taken).contains(&"near".to_owned()));
    let ignored = crate::repo::ignored::directories(
        &fixture.store,
        &fixture.environment,
        &fixture.workspace(),
    );
    assert!(!ignored.expect("rules")("d/".repeat(DEEP).trim_end_matches('/').as_bytes()));
    let copied = fixture.oracle.outside().join("copied");
    crate::repo::copy::tree(&fixture.workspace(), &copied, &mut |_| {}).expect_err("refused");
}

/// Bytes of a file that no disk here holds.
const SPARSE: u64 = 2 << 40;

#[test]
fn a_sparse_file_of_two_terabytes_is_named_and_never_read() {
    let fixture = plain();
    for name in ["new", "file.txt"] {
        let file = fs::File::create(fixture.workspace().join(name)).expect("a file");
        file.set_len(SPARSE).expect("a size");
    }
    write(&fixture.workspace(), "near", b"x");
    for touched in [Touched::Everything, touched(&["near", "new", "file.txt"])] {
        write(&fixture.workspace(), "near", format!("{touched:?}").as_bytes());
        let taken = fixture.take(&touched).expect("a change");
        let mut skipped: Vec<_> =
            taken.skipped.iter().map(|it| (it.path.to_string(), it.reason.as_str())).collect();
        skipped.sort();
        let named = [("file.txt", "larger than 256 MiB"), ("new", "larger than 256 MiB")];
        assert_eq!(skipped, named.map(|(path, reason)| (path.to_owned(), reason)));
        assert_eq!(fixture.listing(&taken), ["dir/inner.txt", "file.txt", "near"]);
    }
}

/// Files of a flood in an ordinary run, and in one that was asked to take its time.
const FLOOD: usize = 20_000;
const LONG_FLOOD: usize = 1_000_000;

#[test]
fn a_flood_of_small_files_is_taken_whole() {
    let fixture = plain();
    let long = std::env::var_os("AGENTDECK_SOAK").is_some();
    let count = if long { LONG_FLOOD } else { FLOOD };
    let flood = fixture.workspace().join("flood");
    for number in 0..count {
        let directory = flood.join(format!("{}", number / 1000));
        if number.is_multiple_of(1000) {
            fs::create_dir_all(&directory).expect("a directory");
        }
        // Without content, so that it is the walk that is tried and not the disk.
        fs::File::create(directory.join(format!("f{number}"))).expect("a file");
    }
    let taken = fixture.take_paths(&["flood"]).expect("a change");
    assert_eq!(taken.change.files as usize, count);
    assert_eq!(fixture.take(&Touched::Everything), None);
}
