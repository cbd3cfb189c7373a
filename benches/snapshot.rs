//! CPU time of one snapshot after one changed file, against `git add -A && git write-tree`.
//!
//! Both are measured in turns on the same generated tree; the numbers are user and system time of
//! this process, or of the git processes, as medians.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use agentdeck::model::id::{EnvironmentId, Timestamp};
use agentdeck::model::path::RepoPath;
use agentdeck::model::snapshot::SnapshotCause;
use agentdeck::repo::snapshot::{self, Occasion, Touched};
use agentdeck::repo::workspace::{self, Places};
use agentdeck::repo::{Store, UserRepository};

const ROUNDS: usize = 9;

fn main() {
    report(&format!(
        "{:>6}  {:>9}  {:>10}  {:>7}  {:>12}  {:>11}",
        "files", "ours ms", "git ms", "ratio", "create ms", "full walk ms"
    ));
    for files in [1_000, 28_000] {
        measure(files);
    }
}

fn measure(files: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("user");
    fs::create_dir(&root).expect("a directory");
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["config", "user.name", "Ada"]);
    git(&root, &["config", "user.email", "ada@example.org"]);
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
        &places,
        &user.identity(),
        Timestamp(1),
        &mut |_, _| {},
    )
    .expect("a workspace");
    let create = began.elapsed().as_secs_f64() * 1e3;

    let (mut ours, mut gits) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let path = path_of(round * 97 % files);
        fs::write(workspace.join(&path), format!("changed {round}\n")).expect("a file");
        let touched = Touched::Paths([RepoPath::new(path.as_bytes())].into());
        let take = |touched: &Touched| {
            let occasion = Occasion::new(SnapshotCause::Change, Timestamp(2));
            snapshot::take(&store, &environment, &workspace, touched, &occasion)
                .expect("a snapshot")
        };
        let before = cpu(libc::RUSAGE_SELF);
        assert!(take(&touched).is_some());
        ours.push(cpu(libc::RUSAGE_SELF) - before);

        fs::write(root.join(&path), format!("changed {round}\n")).expect("a file");
        let before = cpu(libc::RUSAGE_CHILDREN);
        git(&root, &["add", "-A"]);
        git(&root, &["write-tree"]);
        gits.push(cpu(libc::RUSAGE_CHILDREN) - before);
    }
    let began = Instant::now();
    let occasion = Occasion::new(SnapshotCause::Change, Timestamp(3));
    let nothing = snapshot::take(&store, &environment, &workspace, &Touched::Everything, &occasion);
    assert_eq!(nothing, Ok(None));
    let full = began.elapsed().as_secs_f64() * 1e3;
    let (ours, gits) = (median(ours), median(gits));
    report(&format!(
        "{files:>6}  {ours:>9.2}  {gits:>10.2}  {:>7.3}  {create:>12.0}  {full:>11.0}",
        ours / gits
    ));
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
