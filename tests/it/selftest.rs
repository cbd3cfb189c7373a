//! The suite that anyone can run, run here: every row is there, every control fired, every box
//! held. What cannot be shown on this machine says why.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::dockerd::{Dockerd, EMULATED};
use crate::docker::{Image, busybox_root, engine_answers};
use crate::other_engines::installed;

/// Rows whose control the machine itself may keep from firing: a busy one gives no processor, a
/// newer kernel has typing into terminals turned off, an older one or an engine has no second layer.
const EXCUSED: [&str; 5] =
    ["cpu-hog", "terminal-input", "devices", "metadata", "leaked-descriptor"];
/// Rows that are judged by what happens on the host alone.
const JUDGED_BY_THE_HOST: [&str; 3] = ["terminal-escapes", "disk-fill", "host-health"];
/// Rows of a complete table.
const ROWS: usize = 38;

/// The suite with a place of its own, which must be empty afterwards.
fn selftest(place: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.arg("selftest").env("TMPDIR", place).env("AGENTDECK_HOME", place.join("home"));
    command.current_dir(place);
    command
}

/// Its exit code, its output and its words.
type Ended = (i32, String, String);

fn finished(command: &mut Command) -> Ended {
    let output = command.output().expect("the binary");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn run(place: &Path, arguments: &[&str]) -> Ended {
    finished(selftest(place).args(arguments))
}

fn left(place: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(place).expect("a directory");
    let names = entries.map(|entry| entry.expect("an entry").file_name().display().to_string());
    names.filter(|name| name != "home").collect()
}

fn attacks(text: &str) -> Vec<Value> {
    let report: Value =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    report["attacks"].as_array().expect("rows").clone()
}

/// Asserts that every row is shown to be held, as far as this user can show it.
fn assert_held(arguments: &[&str]) {
    let place = tempfile::tempdir().expect("a directory");
    assert_shown(place.path(), run(place.path(), arguments), |_| false);
}

/// The same but for rows that are `known`.
fn assert_shown(place: &Path, (code, output, errors): Ended, known: impl Fn(&Value) -> bool) {
    assert_eq!(left(place), Vec::<String>::new(), "nothing stays: {errors}");
    assert!(!output.is_empty(), "{errors}");
    let attacks = attacks(&output);
    assert_eq!(attacks.len(), ROWS, "{output}");
    let mut bad = false;
    for row in &attacks {
        let name = row["attack"].as_str().expect("a name");
        let held = row["status"] == "held";
        let excused = EXCUSED.contains(&name) && row["status"] == "not-applicable";
        assert!(held || excused || known(row), "{row:#}\n{errors}");
        bad |= row["status"] == "not-held";
        let tried = row["tried"].as_array().expect("a list");
        assert!(
            !tried.is_empty() || JUDGED_BY_THE_HOST.contains(&name),
            "nothing was tried: {row:#}"
        );
    }
    assert_eq!(code, i32::from(bad), "{errors}");
}

fn native_is_usable() -> bool {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.args(["doctor", "--json"]).env("AGENTDECK_HOME", place.path());
    let output = command.output().expect("the binary");
    let mut stop = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    stop.args(["server", "stop"]).env("AGENTDECK_HOME", place.path());
    stop.output().expect("the binary");
    let report: Value = serde_json::from_slice(&output.stdout).expect("json");
    let engines = report["engines"].as_array().expect("engines");
    let usable = engines.iter().any(|one| one["engine"] == "native" && one["usable"] == true);
    let required = std::env::var("AGENTDECK_REQUIRE_NATIVE").is_ok_and(|value| value == "1");
    assert!(usable || !required, "{report:#}");
    usable
}

#[test]
fn every_attack_fires_on_the_host_and_is_held_by_a_native_box() {
    if native_is_usable() {
        assert_held(&["--engine", "native", "--json"]);
    }
}

#[test]
fn every_attack_fires_on_the_host_and_is_held_by_a_container() {
    if engine_answers() {
        let image = Image::busybox();
        assert_held(&["--engine", "docker", "--image", &image.0, "--json"]);
    }
}

/// What is known of such boxes is named, with its reason, and nothing else comes through.
#[test]
fn every_attack_is_held_by_an_emulated_kernel_but_for_what_is_known_of_it() {
    const GAPS: [&str; 3] = ["host-calls", "namespaces", "own-sockets"];
    let Some(engine) = installed("runsc").then(Dockerd::with_emulated_kernel).flatten() else {
        return;
    };
    let image = engine.import(&busybox_root());
    let place = tempfile::tempdir().expect("a directory");
    let mut command = selftest(place.path());
    command.args(["--engine", "docker", "--image", &image, "--runtime", EMULATED, "--json"]);
    let (code, output, errors) = finished(command.env("DOCKER_HOST", engine.host()));
    let mut gaps = Vec::new();
    let attacks = attacks(&output);
    assert_eq!(attacks.len(), ROWS, "{output}");
    for row in attacks {
        let name = row["attack"].as_str().expect("a name");
        let excused = EXCUSED.contains(&name) && row["status"] == "not-applicable";
        if row["status"] == "known-gap" {
            assert!(
                row["evidence"][0].as_str().is_some_and(|why| why.contains("kernel")),
                "{row:#}"
            );
            gaps.push(name.to_owned());
        } else {
            assert!(row["status"] == "held" || excused, "{row:#}\n{errors}");
        }
    }
    gaps.sort_unstable();
    assert_eq!(gaps, GAPS);
    assert_eq!(code, 0, "{errors}");
    assert_eq!(left(place.path()), Vec::<String>::new(), "nothing stays: {errors}");
}

/// A user without a name, whose number no distribution gives to anybody.
const ORDINARY: u32 = 12_345;
/// What only root could do without a box, so that nothing is proven for others.
const OF_ROOT: [&str; 4] = ["kernel-settings", "devices", "setuid", "host-calls"];
/// What needs control groups, which users have where a service manager gives them some.
const BOUNDS: [&str; 2] = ["memory-bomb", "cpu-hog"];

/// A home of theirs, with a file in it to be looked for, and a copy of the program.
struct Ordinary(tempfile::TempDir);

impl Ordinary {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        let (program, user) = (place.path().join("agentdeck"), place.path().join("user"));
        std::fs::copy(env!("CARGO_BIN_EXE_agentdeck"), program).expect("copied");
        std::fs::create_dir(&user).expect("made");
        std::fs::write(user.join(".profile"), "set -o vi\n").expect("written");
        for path in [place.path(), &user, &user.join(".profile")] {
            std::os::unix::fs::chown(path, Some(ORDINARY), Some(ORDINARY)).expect("given away");
        }
        Self(place)
    }

    /// The suite as this user, who is in one more group.
    fn selftest(&self, group: u32, arguments: &[&str]) -> Ended {
        let place = self.0.path();
        let mut command = Command::new("setpriv");
        command.args([format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")]);
        command.arg(format!("--groups={group}")).arg(place.join("agentdeck"));
        command.args(["selftest", "--json"]).args(arguments).current_dir(place);
        command.env("TMPDIR", place).env("HOME", place.join("user"));
        command.env("AGENTDECK_HOME", place.join("home"));
        let ended = finished(&mut command);
        std::fs::remove_file(place.join("agentdeck")).expect("removed");
        std::fs::remove_dir_all(place.join("user")).expect("removed");
        ended
    }
}

/// The whole table, as most users see it.
#[test]
fn every_attack_is_held_for_an_ordinary_user_but_for_what_needs_control_groups() {
    if !rustix::process::geteuid().is_root() || !native_is_usable() {
        return;
    }
    let user = Ordinary::new();
    let ended = user.selftest(ORDINARY, &["--engine", "native"]);
    if ended.2.contains("the native engine cannot be used") {
        return;
    }
    assert_shown(user.0.path(), ended, |row| {
        let name = row["attack"].as_str().expect("a name");
        let why = row["evidence"].to_string();
        OF_ROOT.contains(&name) && row["status"] == "not-applicable"
            || BOUNDS.contains(&name)
                && row["status"] == "not-held"
                && why.contains("no control groups for boxes here")
    });
}

/// There the agent has the number of its user, whose share it would take.
#[test]
fn a_container_takes_no_file_notices_of_an_ordinary_user() {
    if !engine_answers() || !rustix::process::geteuid().is_root() {
        return;
    }
    let Ok(socket) = std::fs::metadata("/var/run/docker.sock") else { return };
    let (image, user) = (Image::busybox(), Ordinary::new());
    let only = ["--engine", "docker", "--image", &image.0, "--only", "inotify-storm"];
    let (code, output, errors) = user.selftest(socket.gid(), &only);
    assert!(!output.is_empty(), "{errors}");
    let row = attacks(&output).remove(0);
    assert_eq!(row["status"], "held", "{row:#}");
    // It gets as many as any user.
    assert!(row["tried"].to_string().contains("made and held"), "{row:#}");
    assert_eq!(code, 0, "{errors}");
}

#[test]
fn an_engine_that_cannot_be_used_is_refused_with_a_reason() {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.args(["selftest", "--engine", "docker"]);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock").env("TMPDIR", place.path());
    command.env("AGENTDECK_HOME", place.path().join("home")).current_dir(place.path());
    let output = command.output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("the docker engine cannot be used"), "{errors}");
    assert_eq!(left(place.path()), Vec::<String>::new());
}

#[test]
fn an_attack_that_does_not_exist_is_named() {
    let place = tempfile::tempdir().expect("a directory");
    let (code, output, errors) = run(place.path(), &["--only", "host-files,nothing"]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(errors.contains("\"nothing\" is no attack"), "{errors}");
}

/// Its rights are those of whoever starts it, but it is no tool to attack with.
#[test]
fn the_hidden_verb_does_nothing_without_the_suite() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    let output = command.arg("box-attack").output().expect("the binary");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}
