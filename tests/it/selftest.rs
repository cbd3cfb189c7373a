//! The suite that anyone can run, run here: every row is there, every control fired, every box
//! held. What cannot be shown on this machine says why.

use std::os::unix::process::CommandExt;
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
fn run(place: &Path, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.arg("selftest").args(arguments);
    command.env("TMPDIR", place).env("AGENTDECK_HOME", place.join("home")).current_dir(place);
    let output = command.output().expect("the binary");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
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
    let (code, output, errors) = run(place.path(), arguments);
    assert_eq!(left(place.path()), Vec::<String>::new(), "nothing stays: {errors}");
    let attacks = attacks(&output);
    assert_eq!(attacks.len(), ROWS, "{output}");
    for row in &attacks {
        let name = row["attack"].as_str().expect("a name");
        let held = row["status"] == "held";
        let excused = EXCUSED.contains(&name) && row["status"] == "not-applicable";
        assert!(held || excused, "{row:#}\n{errors}");
        let tried = row["tried"].as_array().expect("a list");
        assert!(
            !tried.is_empty() || JUDGED_BY_THE_HOST.contains(&name),
            "nothing was tried: {row:#}"
        );
    }
    assert_eq!(code, 0, "{errors}");
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
    const ATTACKS: &str = "host-files,unix-sockets,own-sockets,namespaces,mounts,devices,setuid,\
        escape-root,host-calls,host-ports,metadata,sibling-files,sibling-sockets,sibling-ports,\
        fork-bomb,memory-bomb,descriptor-flood";
    let Some(engine) = installed("runsc").then(Dockerd::with_emulated_kernel).flatten() else {
        return;
    };
    let image = engine.import(&busybox_root());
    let place = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.args(["selftest", "--engine", "docker", "--image", &image, "--runtime", EMULATED]);
    command.args(["--json", "--only", ATTACKS]).env("DOCKER_HOST", engine.host());
    command.env("TMPDIR", place.path()).env("AGENTDECK_HOME", place.path().join("home"));
    let output = command.current_dir(place.path()).output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    let mut gaps = Vec::new();
    for row in attacks(&String::from_utf8_lossy(&output.stdout)) {
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
    assert_eq!(output.status.code(), Some(0), "{errors}");
    assert_eq!(left(place.path()), Vec::<String>::new(), "nothing stays: {errors}");
}

/// What only root could do without a box proves nothing for others, and says so.
#[test]
fn an_ordinary_user_is_told_what_only_root_could_do() {
    if !rustix::process::geteuid().is_root() || !native_is_usable() {
        return;
    }
    const USER: u32 = 12_345;
    let place = tempfile::tempdir().expect("a directory");
    let program = place.path().join("agentdeck");
    std::fs::copy(env!("CARGO_BIN_EXE_agentdeck"), &program).expect("copied");
    std::os::unix::fs::chown(place.path(), Some(USER), Some(USER)).expect("given away");
    let mut command = Command::new(&program);
    command.args(["selftest", "--engine", "native", "--json"]);
    command.args(["--only", "host-files,signals,namespaces,mounts,setuid,host-calls,fork-bomb"]);
    command.env("TMPDIR", place.path()).env("HOME", place.path().join("user"));
    command.env("AGENTDECK_HOME", place.path().join("home")).current_dir(place.path());
    command.uid(USER).gid(USER);
    let output = command.output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("the native engine cannot be used") {
        return;
    }
    let text = String::from_utf8_lossy(&output.stdout);
    let status = |row: &Value| format!("{} {}", row["attack"], row["status"]).replace('"', "");
    let told: Vec<String> = attacks(&text).iter().map(status).collect();
    let expected = [
        "host-files held",
        "signals held",
        "namespaces held",
        "mounts held",
        "setuid not-applicable",
        "host-calls not-applicable",
        "fork-bomb held",
    ];
    let mut ordered: Vec<&str> = told.iter().map(String::as_str).collect();
    ordered.sort_unstable();
    let mut wanted = expected;
    wanted.sort_unstable();
    assert_eq!(ordered, wanted, "{text}\n{errors}");
    assert_eq!(output.status.code(), Some(0), "{errors}");
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
