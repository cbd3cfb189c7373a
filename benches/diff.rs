//! Time to what the first screen of a diff and of a comparison needs, on 10,000 changed files with
//! 100,000 changed lines: the answer made, written as a message and read again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use agentdeck::model::comparison::Attempt;
use agentdeck::model::diff::{Detail, FileSide, Reach, Whitespace};
use agentdeck::model::id::{CommitId, EnvironmentId, EnvironmentName};
use agentdeck::proto::{Reply, ServerMessage, wire};
use agentdeck::repo::diff::Counts;
use agentdeck::repo::{Store, UserRepository, compare, diff};

const FILES: usize = 10_000;
const LINES: usize = 40;
const ROUNDS: usize = 5;
/// In milliseconds, for all that the first screen waits for.
const GOAL: f64 = 200.0;

fn main() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path().join("user");
    fs::create_dir(&root).expect("a directory");
    git(&root, &["init", "-q", "-b", "main"]);
    git(&root, &["config", "user.name", "Ada"]);
    git(&root, &["config", "user.email", "ada@example.org"]);
    git(&root, &["config", "gc.auto", "0"]);
    let base = commit(&root, 0);
    let heads = [commit(&root, 1), commit(&root, 2)];
    git(&root, &["gc", "-q"]);
    let state = directory.path().join("store");
    let attempts: Vec<Attempt> = heads
        .iter()
        .zip(1_u8..)
        .map(|(head, number)| Attempt {
            environment: EnvironmentId::from_random([number; 8]),
            name: EnvironmentName::parse(&format!("attempt{number}")).expect("a name"),
            head: head.clone(),
        })
        .collect();

    let open = || {
        let user = UserRepository::discover(&root).expect("a repository");
        Store::open(&state, &user).expect("a store")
    };
    let outline = measure(|| {
        let made = diff::between(&open(), &base, &heads[0], Detail::Outline).expect("a diff");
        assert_eq!(made.files.len(), FILES);
        carry(Reply::Diff(made));
    });
    let file = diff::between(&open(), &base, &heads[0], Detail::Outline).expect("a diff").files;
    let file = file[0].clone();
    let side = |blob: Option<CommitId>| FileSide { mode: 0o100_644, blob: blob.expect("a blob") };
    let (old, new) = (side(file.old_blob), side(file.new_blob));
    let one = measure(|| {
        let paths = (file.path.clone(), None);
        let made =
            diff::file(&open(), paths, (Some(&old), Some(&new)), Whitespace::Exact, Reach::Usual);
        carry(Reply::FileDiff(Box::new(made.expect("a diff"))));
    });
    let matrix = measure(|| {
        let made = compare::attempts(&open(), &base, attempts.clone(), None).expect("a matrix");
        assert_eq!(made.rows.len(), FILES);
        carry(Reply::Comparison(made));
    });
    let aligned = measure(|| {
        let made = compare::file(&open(), &base, &attempts, &file.path).expect("a file");
        carry(Reply::AlignedFile(made));
    });
    let counts = Counts::default();
    let counting = measure(|| {
        let made = compare::attempts(&open(), &base, attempts.clone(), Some(&counts));
        let totals = made.expect("a matrix").totals();
        assert_eq!(totals[0].added, (FILES * LINES / 4) as u64);
    });
    let verdict = |took: f64| if took <= GOAL { "met" } else { "MISSED" };
    let both = outline + one;
    report(&format!("{FILES} files, {} changed lines", FILES * LINES / 4));
    report(&format!(
        "diff: files {outline:.1} ms + first file {one:.1} ms = {both:.1} ms, goal {GOAL}: {}",
        verdict(both)
    ));
    report(&format!("compare: matrix {matrix:.1} ms, goal {GOAL}: {}", verdict(matrix)));
    report(&format!("compare: one file {aligned:.1} ms, goal {GOAL}: {}", verdict(aligned)));
    report(&format!("compare: lines counted, once they were: {counting:.1} ms"));
}

/// Writes a message as the server does and reads it as a client does.
fn carry(reply: Reply) {
    let message = ServerMessage::Reply { id: 1, reply: Ok(reply) };
    let mut bytes = Vec::new();
    wire::encode(&message, &mut bytes).expect("it is encoded");
    let read: ServerMessage = wire::decode(&bytes[wire::PREFIX..]).expect("it is decoded");
    assert!(matches!(read, ServerMessage::Reply { id: 1, .. }));
}

/// The median of wall time, in milliseconds.
fn measure(mut work: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            work();
            began.elapsed().as_secs_f64() * 1e3
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Commits every file with a quarter of its lines as this version has them.
fn commit(root: &Path, version: usize) -> CommitId {
    for number in 0..FILES {
        let path = root.join(format!("src{}/part{}.rs", number / 100, number % 100));
        fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        let line = |line: usize| match line % 4 {
            0 => format!("fn f{number}_{line}() {{ version_{version}() }}\n"),
            _ => format!("fn f{number}_{line}() {{}}\n"),
        };
        fs::write(path, (0..LINES).map(line).collect::<String>()).expect("a file");
    }
    git(root, &["add", "-A"]);
    git(root, &["commit", "-q", "-m", "version"]);
    let output = Command::new("git").args(["rev-parse", "HEAD"]).current_dir(root).output();
    let text = String::from_utf8(output.expect("git runs").stdout).expect("text");
    CommitId::parse(text.trim()).expect("a commit")
}

fn git(root: &Path, arguments: &[&str]) {
    let status = Command::new("git")
        .args(arguments)
        .current_dir(root)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .status()
        .expect("git runs");
    assert!(status.success(), "git {arguments:?} failed");
}

#[expect(clippy::print_stdout, reason = "a bench prints what it measured")]
fn report(line: &str) {
    println!("{line}");
}
