//! The time from a key to its echo on the outer terminal: through agentdeck (client, server, shim
//! in a native box), through tmux, and through a bare PTY, in turns in one run.
//!
//! The program in each echoes what it reads. A key is one of the letters U+00E0 to U+00FE, which
//! stand in no escape sequence, so that the echo is found whatever is drawn around it.

use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize, native_pty_system};

const KEYS: usize = 300;
const ECHO: &str = "stty raw -echo; exec cat";
/// A key that takes longer is lost.
const LOST: Duration = Duration::from_secs(3);
/// Lets a terminal become quiet before it is timed.
const SETTLE: Duration = Duration::from_millis(1500);

fn main() {
    let agentdeck = Path::new(env!("CARGO_BIN_EXE_agentdeck"));
    let home = tempfile::tempdir().expect("a directory");
    let repository = repository(home.path());
    let mut subjects = vec![("bare pty", terminal(command("sh", &["-c", ECHO])))];
    let socket = home.path().join("tmux.sock");
    let tmux = ["-f", "/dev/null", "-S", socket.to_str().expect("text"), "new", ECHO];
    match Command::new("tmux").arg("-V").output() {
        Ok(_) => subjects.push(("tmux", terminal(command("tmux", &tmux)))),
        Err(error) => report(&format!("tmux is left out: {error}")),
    }
    run(agentdeck, home.path(), &repository, &["new", "echo", "--", "sh", "-c", ECHO]);
    let mut attach = command(agentdeck.to_str().expect("text"), &["attach", "echo"]);
    attach.env("AGENTDECK_HOME", home.path());
    attach.cwd(&repository);
    subjects.push(("agentdeck", terminal(attach)));
    for (_, terminal) in &mut subjects {
        terminal.quiet();
    }
    let mut times = vec![Vec::new(); subjects.len()];
    for key in 0..KEYS {
        for (index, (_, terminal)) in subjects.iter_mut().enumerate() {
            times[index].push(terminal.key(key));
        }
    }
    print_table(&subjects.iter().map(|(name, _)| *name).collect::<Vec<_>>(), times);
    drop(subjects);
    run(agentdeck, home.path(), &repository, &["discard", "--yes", "echo"]);
    run(agentdeck, home.path(), &repository, &["server", "stop"]);
    let _ = Command::new("tmux").args(["-S", tmux[3], "kill-server"]).output();
}

fn print_table(names: &[&str], times: Vec<Vec<Option<Duration>>>) {
    report(&format!(
        "{:>10}  {:>8}  {:>8}  {:>6}  {:>5}",
        "", "p50 ms", "p99 ms", "÷ bare", "lost"
    ));
    let mut bare = None;
    for (name, times) in names.iter().zip(times) {
        let lost = times.iter().filter(|time| time.is_none()).count();
        let mut found: Vec<f64> =
            times.into_iter().flatten().map(|time| time.as_secs_f64() * 1e3).collect();
        found.sort_by(f64::total_cmp);
        let at = |part: f64| found[((found.len() - 1) as f64 * part) as usize];
        let first = *bare.get_or_insert(at(0.5));
        report(&format!(
            "{name:>10}  {:8.3}  {:8.3}  {:6.2}  {lost:>5}",
            at(0.5),
            at(0.99),
            at(0.5) / first
        ));
    }
}

#[expect(clippy::print_stdout, reason = "a bench reports on standard output")]
fn report(line: &str) {
    println!("{line}");
}

/// A program in a PTY, what it prints, and when.
struct Terminal {
    writer: Box<dyn Write + Send>,
    output: mpsc::Receiver<(Instant, Vec<u8>)>,
    _master: Box<dyn portable_pty::MasterPty + Send>,
    child: Box<dyn portable_pty::Child + Send + Sync>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Terminal {
    /// Waits until nothing has been printed for a while.
    fn quiet(&mut self) {
        while self.output.recv_timeout(SETTLE).is_ok() {}
    }

    /// Types the key of a number and waits for its echo; `None` when it does not come.
    fn key(&mut self, number: usize) -> Option<Duration> {
        let letter = char::from_u32(0xe0 + (number % 31) as u32).expect("a letter");
        let mut bytes = [0; 2];
        let text = letter.encode_utf8(&mut bytes).as_bytes();
        let typed = Instant::now();
        self.writer.write_all(text).expect("typed");
        self.writer.flush().expect("typed");
        let mut seen = Vec::new();
        loop {
            let left = LOST.checked_sub(typed.elapsed())?;
            let (at, printed) = self.output.recv_timeout(left).ok()?;
            seen.extend_from_slice(&printed);
            if seen.windows(text.len()).any(|window| window == text) {
                return Some(at.duration_since(typed));
            }
        }
    }
}

fn terminal(command: CommandBuilder) -> Terminal {
    let size = PtySize { rows: 40, cols: 120, pixel_width: 0, pixel_height: 0 };
    let pair = native_pty_system().openpty(size).expect("a pty");
    let child = pair.slave.spawn_command(command).expect("started");
    let mut reader = pair.master.try_clone_reader().expect("a reader");
    let writer = pair.master.take_writer().expect("a writer");
    let (sender, output) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            if sender.send((Instant::now(), buffer[..count].to_vec())).is_err() {
                return;
            }
        }
    });
    Terminal { writer, output, _master: pair.master, child }
}

fn command(program: &str, arguments: &[&str]) -> CommandBuilder {
    let mut command = CommandBuilder::new(program);
    command.args(arguments);
    command.env("TERM", "xterm-256color");
    command.env_remove("TMUX");
    command
}

/// A repository of one commit.
fn repository(home: &Path) -> std::path::PathBuf {
    let root = home.join("repository");
    std::fs::create_dir(&root).expect("made");
    let git = |arguments: &[&str]| {
        let identity = ["-c", "user.name=bench", "-c", "user.email=bench@localhost"];
        let status = Command::new("git").args(identity).args(arguments).current_dir(&root).status();
        assert!(status.expect("git runs").success(), "git {arguments:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["commit", "-q", "--allow-empty", "-m", "first"]);
    root
}

fn run(agentdeck: &Path, home: &Path, repository: &Path, arguments: &[&str]) {
    let ran = Command::new(agentdeck)
        .args(arguments)
        .env("AGENTDECK_HOME", home)
        .current_dir(repository)
        .output()
        .expect("agentdeck runs");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
}
