//! CPU time of one snapshot after one changed file, against `git add -A && git write-tree`.
//!
//! Both are measured in turns on the same generated tree; the numbers are user and system time of
//! this process, or of the git processes, as medians.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use agentdeck::model::id::{EnvironmentId, Timestamp};
use agentdeck::model::path::RepoPath;
use agentdeck::model::snapshot::{Snapshot, SnapshotCause};
use agentdeck::repo::snapshot::{self, Occasion, Touched};
use agentdeck::repo::workspace::{self, Changes, Making, Places};
use agentdeck::repo::{Store, UserRepository, history, pack};

const ROUNDS: usize = 9;

/// Snapshots of the store that is measured; every hundredth makes a file, the others change one.
const KEPT: usize = 10_000;
const KEPT_FILES: usize = 28_000;

/// Without arguments 1,000 and 28,000 files; numbers of files, and `store` for what ten thousand
/// snapshots keep.
fn main() {
    let mut words: Vec<String> =
        std::env::args().skip(1).filter(|word| word != "--bench").collect();
    if words.is_empty() {
        words = vec!["1000".to_owned(), "28000".to_owned()];
    }
    let sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if !sizes.is_empty() {
        report(&format!(
            "{:>6}  {:>9}  {:>10}  {:>7}  {:>12}  {:>11}",
            "files", "ours ms", "git ms", "ratio", "create ms", "full walk ms"
        ));
    }
    for files in sizes {
        measure(files);
    }
    if words.iter().any(|word| word == "store") {
        measure_store();
    }
}

/// A generated repository of the user's and one environment of it.
struct Place {
    root: PathBuf,
    workspace: PathBuf,
    store: Store,
    environment: EnvironmentId,
    created: f64,
    directory: tempfile::TempDir,
}

impl Place {
    fn new(files: usize) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("user");
        fs::create_dir(&root).expect("a directory");
        git(&root, &["init", "-q", "-b", "main"]);
        git(&root, &["config", "user.name", "Ada"]);
        git(&root, &["config", "user.email", "ada@example.org"]);
        git(&root, &["config", "gc.auto", "0"]);
        for number in 0..files {
            let path = root.join(path_of(number));
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, format!("fn f{number}() {{}}\n").repeat(40)).expect("a file");
        }
        git(&root, &["add", "-A"]);
        git(&root, &["commit", "-q", "-m", "base"]);

        let user = UserRepository::discover(&root).expect("a repository");
        let store = Store::open(&directory.path().join("store"), &user).expect("a store");
        let environment = EnvironmentId::from_random([1; 8]);
        let base = user.head().expect("a head").0;
        let workspace = directory.path().join("workspace");
        let git_directory = directory.path().join("git");
        let places = Places { workspace: &workspace, git: &git_directory };
        let began = Instant::now();
        workspace::create(
            &user,
            &store,
            &environment,
            &base,
            Changes::Leave,
            &places,
            &user.identity(),
            Timestamp(1),
            &mut Making {
                progress: &mut |_, _| {},
                ahead: None,
                may_pin: &mut || Ok(()),
                bringing: &mut |_| {},
            },
        )
        .expect("a workspace");
        let created = began.elapsed().as_secs_f64() * 1e3;
        Self { root, workspace, store, environment, created, directory }
    }

    fn take(&self, touched: &Touched) -> Option<Snapshot> {
        let occasion = Occasion::new(SnapshotCause::Change, Timestamp(2));
        snapshot::take(&self.store, &self.environment, &self.workspace, touched, &occasion)
            .expect("a snapshot")
    }
}

fn measure(files: usize) {
    let place = Place::new(files);
    let (mut ours, mut gits) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let path = path_of(round * 97 % files);
        fs::write(place.workspace.join(&path), format!("changed {round}\n")).expect("a file");
        let touched = Touched::Paths([RepoPath::new(path.as_bytes())].into());
        let before = cpu(libc::RUSAGE_SELF);
        assert!(place.take(&touched).is_some());
        ours.push(cpu(libc::RUSAGE_SELF) - before);

        fs::write(place.root.join(&path), format!("changed {round}\n")).expect("a file");
        let before = cpu(libc::RUSAGE_CHILDREN);
        git(&place.root, &["add", "-A"]);
        git(&place.root, &["write-tree"]);
        gits.push(cpu(libc::RUSAGE_CHILDREN) - before);
    }
    let began = Instant::now();
    assert_eq!(place.take(&Touched::Everything), None);
    let full = began.elapsed().as_secs_f64() * 1e3;
    let (ours, gits, create) = (median(ours), median(gits), place.created);
    report(&format!(
        "{files:>6}  {ours:>9.2}  {gits:>10.2}  {:>7.3}  {create:>12.0}  {full:>11.0}",
        ours / gits
    ));
}

/// What ten thousand snapshots of one environment keep, packed as the server does it.
fn measure_store() {
    let place = Place::new(KEPT_FILES);
    let directory = place.directory.path().join("store");
    let own = cpu(libc::RUSAGE_SELF);
    let began = Instant::now();
    for round in 0..KEPT {
        let mut path = path_of(round * 97 % KEPT_FILES);
        if round % 100 == 0 {
            path.push_str(".new");
        }
        let text = format!("fn f{round}() {{}}\n").repeat(40) + &format!("// {round}\n");
        fs::write(place.workspace.join(&path), text).expect("a file");
        let taken = place.take(&Touched::Paths([RepoPath::new(path.as_bytes())].into()));
        assert!(taken.is_some());
        if pack::is_due(&directory) {
            let directory = directory.clone();
            let packing = std::thread::spawn(move || pack::run(&directory));
            packing.join().expect("no panic").expect("packed");
        }
    }
    let (own, seconds) = (cpu(libc::RUSAGE_SELF) - own, began.elapsed().as_secs_f64());
    let packing = cpu(libc::RUSAGE_CHILDREN);
    pack::run(&directory).expect("packed");
    let size = size_of(&directory.join("snapshots.git"));
    let user = UserRepository::discover(&place.root).expect("a repository");
    let began = Instant::now();
    let store = Store::open(&directory, &user).expect("a store");
    let page = history::page(&store, &place.environment, None, PAGE).expect("a page");
    let opened = began.elapsed().as_secs_f64() * 1e3;
    assert_eq!(
        (page.len(), history::count(&store, &place.environment)),
        (PAGE, Ok(KEPT as u32 + 1))
    );
    report(&format!(
        "{KEPT} snapshots of {KEPT_FILES} files in {seconds:.0} s: {:.2} ms each, packing {:.1} s of processor",
        own / KEPT as f64,
        packing / 1e3
    ));
    report(&format!(
        "store {:.1} MB (goal 15), history opens in {opened:.1} ms (goal 100)",
        size as f64 / 1e6
    ));
    git(&directory.join("snapshots.git"), &["fsck", "--strict", "--no-dangling"]);
}

/// As many as the history view reads at once.
const PAGE: usize = 400;

/// What files occupy on the disk, in bytes.
fn size_of(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("one"));
    entries
        .map(|entry| {
            let metadata = entry.metadata().expect("there");
            if metadata.is_dir() { size_of(&entry.path()) } else { metadata.blocks() * 512 }
        })
        .sum()
}

/// Three levels of directories, ten files in the last, as in a project of that size.
fn path_of(number: usize) -> String {
    format!("src{}/module{}/part{}.rs", number / 1000, number / 10 % 100, number % 10)
}

fn git(root: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?} failed");
}

/// User and system time so far, in milliseconds.
fn cpu(who: libc::c_int) -> f64 {
    // SAFETY: the structure is plain numbers, and getrusage fills it or leaves it zero.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &raw mut usage);
        usage
    };
    let milliseconds = |time: libc::timeval| time.tv_sec as f64 * 1e3 + time.tv_usec as f64 / 1e3;
    milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn report(line: &str) {
    println!("{line}");
}
