//! CPU time of judging 190 pairs of 20 environments, all of them and after one changed, against
//! one `git merge-tree` for each pair.
//!
//! Both judge the same heads of the same generated repository and must agree on how many pairs do
//! not fit; the numbers are user and system time, as medians.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use agentdeck::model::id::{CommitId, EnvironmentId, EnvironmentName};
use agentdeck::repo::predict::{Contender, Predictor};
use agentdeck::repo::{Store, UserRepository};

const FILES: usize = 28_000;
const ENVIRONMENTS: usize = 20;
/// Files that each environment edits, some of them the same ones as others do.
const EDITED: usize = 30;
const ROUNDS: usize = 5;
/// The goals, in milliseconds of CPU.
const GOALS: (f64, f64) = (600.0, 60.0);

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("user");
    fs::create_dir(&root).expect("a directory");
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["config", "user.name", "Ada"]);
    git(&root, &["config", "user.email", "ada@example.org"]);
    git(&root, &["config", "gc.auto", "0"]);
    for number in 0..FILES {
        let path = root.join(path_of(number));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        fs::write(path, text_of(number, None)).expect("a file");
    }
    git(&root, &["add", "-A"]);
    git(&root, &["commit", "-q", "-m", "base"]);
    git(&root, &["gc", "-q"]);
    let user = UserRepository::discover(&root).expect("a repository");
    let store = Store::open(&directory.path().join("store"), &user).expect("a store");
    let base = user.head().expect("a head").0;
    let mut list: Vec<Contender> =
        (0..ENVIRONMENTS).map(|number| contender(&root, &base, number, number)).collect();
    let again = contender(&root, &base, 0, ENVIRONMENTS);

    let (mut cold, mut warm, mut conflicts) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let mut predictor = Predictor::default();
        let mut judge = |list: &[Contender]| {
            let before = cpu(libc::RUSAGE_SELF);
            let found = predictor.predict(&user, &store, list).expect("predictions");
            let pairs: usize = found.iter().map(|it| it.conflicting().count()).sum();
            (cpu(libc::RUSAGE_SELF) - before, pairs / 2)
        };
        let (took, pairs) = judge(&list);
        cold.push(took);
        conflicts = pairs;
        let first = std::mem::replace(&mut list[0], again.clone());
        warm.push(judge(&list).0);
        list[0] = first;
    }
    let before = cpu(libc::RUSAGE_CHILDREN);
    let mut theirs = 0;
    for one in 0..list.len() {
        for other in &list[one + 1..] {
            let heads = [list[one].head.as_str(), other.head.as_str()];
            let status = command(&root, &["merge-tree", "--write-tree"])
                .args(heads)
                .stdout(Stdio::null())
                .status()
                .expect("git runs");
            theirs += usize::from(!status.success());
        }
    }
    let peer = cpu(libc::RUSAGE_CHILDREN) - before;
    let (cold, warm) = (median(cold), median(warm));
    let verdict = |took: f64, goal: f64| if took <= goal { "met" } else { "MISSED" };
    report(&format!(
        "{FILES} files, {ENVIRONMENTS} environments, pairs that do not fit: {conflicts}, to git {theirs}"
    ));
    report(&format!(
        "all pairs: {cold:.0} ms of CPU, goal {}: {}",
        GOALS.0,
        verdict(cold, GOALS.0)
    ));
    report(&format!(
        "one changed: {warm:.0} ms of CPU, goal {}: {}",
        GOALS.1,
        verdict(warm, GOALS.1)
    ));
    report(&format!(
        "git merge-tree, a process a pair: {peer:.0} ms of CPU, {:.3} of it",
        cold / peer
    ));
    assert_eq!(conflicts, theirs, "both judge alike");
}

/// An environment that edited files of its own and some that others edit too.
fn contender(root: &Path, base: &CommitId, number: usize, seed: usize) -> Contender {
    let mut edits: BTreeMap<String, String> = BTreeMap::new();
    for edit in 0..EDITED {
        // One in ten is a file that many edit, in one of a few ways.
        let file = if edit % 10 == 0 {
            (seed * 7 + edit * 13) % 40
        } else {
            (seed * 977 + edit * 131) % FILES
        };
        edits.insert(path_of(file), text_of(file, Some(seed % 3)));
    }
    let index = root.join(format!(".git/index-{seed}"));
    let with_index = |arguments: &[&str]| {
        let mut command = command(root, arguments);
        command.env("GIT_INDEX_FILE", &index);
        command
    };
    assert!(with_index(&["read-tree", base.as_str()]).status().expect("git runs").success());
    for (path, text) in edits {
        let mut child = command(root, &["hash-object", "-w", "--stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("git runs");
        let mut stdin = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut stdin, text.as_bytes()).expect("git reads");
        drop(stdin);
        let output = child.wait_with_output().expect("git ends");
        let blob = String::from_utf8(output.stdout).expect("a name").trim().to_owned();
        let entry = format!("100644,{blob},{path}");
        let added = with_index(&["update-index", "--cacheinfo", &entry]).status();
        assert!(added.expect("git runs").success());
    }
    let tree = text(&mut with_index(&["write-tree"]));
    let head = text(&mut command(root, &["commit-tree", &tree, "-m", "work", "-p", base.as_str()]));
    Contender {
        environment: EnvironmentId::from_random([number as u8; 8]),
        name: EnvironmentName::parse(&format!("attempt{number}")).expect("a name"),
        base: base.clone(),
        head: CommitId::parse(&head).expect("a commit"),
        held: None,
        paired: true,
    }
}

/// Forty lines; an edit changes one of them, where depends on the way.
fn text_of(number: usize, way: Option<usize>) -> String {
    let line = |line: usize| match way {
        Some(way) if line == 10 + way / 2 * 15 => {
            format!("fn f{number}_{line}() {{ way_{way}() }}\n")
        }
        _ => format!("fn f{number}_{line}() {{}}\n"),
    };
    (0..40).map(line).collect()
}

fn path_of(number: usize) -> String {
    format!("src{}/module{}/part{}.rs", number / 1000, number / 10 % 100, number % 10)
}

fn command(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(root).env("GIT_CONFIG_GLOBAL", "/dev/null");
    command
}

fn git(root: &Path, arguments: &[&str]) {
    let status = command(root, arguments).status().expect("git runs");
    assert!(status.success(), "git {arguments:?} failed");
}

fn text(command: &mut Command) -> String {
    let output = command.output().expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
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
