//! What is told of a box is what is: each protection is really taken away, and the reading says so.

use std::process::Command;

use agentdeck::engine::{Asked, BoxRecord, Engine};
use agentdeck::model::policy::{
    Aspect, Enforcement, Isolation, IsolationFact, IsolationLevel, LimitSupport, Limits,
    NetworkMode,
};
use agentdeck::shim::config::{ProgramLimits, ShimConfig};
use serde_json::Value;

use crate::common::home::{TestHome, make};
use crate::common::place::Place;
use crate::docker::{Boxed, Image, docker, engine_answers, text};
use crate::native;
use crate::survival::wait_until;

/// The reading of a box.
async fn read(engine: &dyn Engine, record: &BoxRecord, asked: &Asked) -> Isolation {
    engine.isolation(record, asked).await.expect("read back")
}

fn fact<'a>(isolation: &'a Isolation, name: &str) -> &'a IsolationFact {
    let found = isolation.facts.iter().find(|fact| fact.name == name);
    found.unwrap_or_else(|| panic!("no fact {name} in {isolation:#?}"))
}

/// What both engines must find in a box as they make it.
async fn a_box_is_enforced_in_every_part(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let isolation = read(engine, &record, &Asked::from(&place.plan)).await;
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    for aspect in Aspect::ALL {
        let told = isolation.facts.iter().filter(|fact| fact.aspect == aspect);
        assert!(told.count() > 0, "nothing is told of {aspect}");
    }
    let calls = fact(&isolation, "forbidden system calls");
    assert!(calls.evidence.contains("refused"), "{calls:?}");
    let fewer: Vec<_> = isolation.facts.iter().filter(|fact| !fact.holds()).collect();
    assert!(fewer.iter().all(|fact| fact.remedy.is_some()), "{fewer:#?}");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_native_box_is_enforced_in_every_part() {
    let place = Place::new();
    if let Some(engine) = native::usable(&place).await {
        a_box_is_enforced_in_every_part(&engine, &place).await;
    }
}

#[tokio::test]
async fn a_container_is_enforced_in_every_part() {
    if engine_answers() {
        let boxed = Boxed::of(Image::busybox());
        a_box_is_enforced_in_every_part(&boxed.engine(), &boxed.place).await;
    }
}

#[tokio::test]
async fn whose_share_of_file_notices_a_container_uses_up_is_told() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let record = boxed.place.create(&boxed.engine()).await;
    let own = read(&boxed.engine(), &record, &Asked::from(&boxed.place.plan)).await;
    let own = fact(&own, "file notices");
    assert_eq!(own.enforcement, Enforcement::Enforced, "{own:?}");
    assert!(own.evidence.contains("on the box's own account"), "{own:?}");
    // Without a shim that answers for them.
    let shared = hand_made(&STRICT, true, &Asked::default()).await;
    let shared = fact(&shared, "file notices");
    assert_eq!(shared.enforcement, Enforcement::Partial, "{shared:?}");
    assert!(shared.evidence.contains("shared"), "{shared:?}");
}

/// Makes a container as a hand might that knows no better, with our shim in it, and what is known
/// of it. `boxed` removes it.
fn by_hand(boxed: &Boxed, options: &[&str], drops: bool) -> BoxRecord {
    let plan = &boxed.place.plan;
    let config = ShimConfig {
        run_directory: "/run/agentdeck".to_owned(),
        workspace: "/".to_owned(),
        environment: vec![("PATH".to_owned(), "/bin".to_owned())],
        agent_user: 1000,
        agent_group: 1000,
        drop_privileges: drops,
        relay: None,
        limits: ProgramLimits::default(),
        accounts: None,
        confinement: None,
        notices: None,
    };
    let config = serde_json::to_vec(&config).expect("text");
    std::fs::write(plan.run.join("shim.json"), config).expect("written");
    let labels = [("deck", plan.deck.as_str()), ("environment", plan.environment.as_str())];
    let labels = labels.map(|(name, value)| format!("agentdeck.{name}={value}"));
    let run = format!("{}:/run/agentdeck", plan.run.display());
    let shim = format!("{}:/agentdeck-shim:ro", plan.shim.display());
    let image = plan.image.as_ref().expect("an image").to_string();
    let mut arguments = vec!["run", "-d", "--pids-limit", "4096"];
    arguments.extend(["-v", &run, "-v", &shim, "--entrypoint", "/agentdeck-shim"]);
    arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
    arguments.extend(options);
    arguments.extend([image.as_str(), "shim", "/run/agentdeck/shim.json"]);
    let made = docker(&arguments);
    assert!(made.status.success(), "{options:?}: {made:?}");
    let id = text(&made);
    let pid = text(&docker(&["inspect", "--format", "{{.State.Pid}}", &id]));
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
    let (_, after_name) = stat.rsplit_once(')').expect("a name");
    let start = after_name.split_whitespace().nth(19).expect("a start");
    while !plan.run.join("shim.sock").exists() {
        std::thread::yield_now();
    }
    BoxRecord {
        environment: plan.environment.clone(),
        init_pid: pid.parse().expect("a number"),
        init_start: start.parse().expect("a number"),
        container: Some(id),
        boot: std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
            .expect("read")
            .trim()
            .into(),
        run: plan.run.clone(),
        endpoint: None,
    }
}

/// What a container of the engine's own defaults lacks, and what ours asks for besides.
const STRICT: [&str; 8] = [
    "--security-opt",
    "no-new-privileges",
    "--network",
    "none",
    "--ipc",
    "private",
    "--cgroupns",
    "private",
];

/// `STRICT` with one option put in the place of the one of its name, or added.
fn strict_but<'a>(name: &'a str, value: &'a str) -> Vec<&'a str> {
    let mut options: Vec<&str> =
        STRICT.chunks(2).filter(|pair| pair[0] != name).flatten().copied().collect();
    if name == "--security-opt" && value != "none" {
        // Of this one there may be several.
        options.extend(["--security-opt", "no-new-privileges"]);
    }
    if value != "none" || name == "--network" {
        options.extend([name, value]);
    }
    options
}

async fn hand_made(options: &[&str], drops: bool, asked: &Asked) -> Isolation {
    let boxed = Boxed::of(Image::busybox());
    let record = by_hand(&boxed, options, drops);
    let isolation = boxed.engine().isolation(&record, asked).await;
    isolation.unwrap_or_else(|failure| panic!("{options:?}: {failure:?}"))
}

#[tokio::test]
async fn every_protection_that_a_container_is_made_without_is_told() {
    use Enforcement::{Off, Partial};
    if !engine_answers() {
        return;
    }
    let whole = hand_made(&STRICT, true, &Asked::default()).await;
    assert_eq!(whole.level, IsolationLevel::Enforced, "the control lacks nothing: {whole:#?}");
    let socket = std::env::temp_dir().join(format!("agentdeck-honest-{}", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let _listener = std::os::unix::net::UnixListener::bind(&socket).expect("bound");
    let mount_socket = format!("{}:/seen.sock", socket.display());
    for (name, enforcement, option, value) in [
        ("rights of the box's root", Off, "--cap-add", "SYS_ADMIN"),
        ("rights of the box's root", Off, "--security-opt", "none"),
        ("rights of the box's root", Off, "--security-opt", "seccomp=unconfined"),
        ("own network", Off, "--network", "host"),
        ("no way past the gateway", Off, "--network", "bridge"),
        ("own shared memory", Off, "--ipc", "host"),
        ("own host name and groups", Partial, "--uts", "host"),
        ("own host name and groups", Partial, "--cgroupns", "host"),
        ("files of the host", Off, "-v", "/var:/seen"),
        ("files of the host", Partial, "-v", "/usr/share:/seen:ro"),
        ("sockets of the host", Off, "-v", &mount_socket),
        ("devices", Off, "--device", "/dev/kmsg"),
        ("not privileged", Off, "--device", "/dev/kmsg"),
        ("masked /proc and /sys", Off, "--security-opt", "systempaths=unconfined"),
    ] {
        let isolation = hand_made(&strict_but(option, value), true, &Asked::default()).await;
        let fact = fact(&isolation, name);
        assert_eq!(fact.enforcement, enforcement, "{option} {value}: {fact:?}");
        assert!(fact.counts && fact.remedy.is_some(), "{fact:?}");
        assert_ne!(isolation.level, IsolationLevel::Enforced, "{option} {value}");
    }
    std::fs::remove_file(&socket).expect("removed");
}

#[tokio::test]
async fn an_agent_that_keeps_its_rights_is_told() {
    use Enforcement::{Off, Partial};
    if !engine_answers() {
        return;
    }
    let free =
        ["--security-opt", "seccomp=unconfined", "--network", "none", "--cap-add", "SYS_PTRACE"];
    let isolation = hand_made(&free, false, &Asked::default()).await;
    for (name, enforcement) in [
        ("no capabilities", Off),
        ("no new privileges", Off),
        ("system call filter", Off),
        ("forbidden system calls", Partial),
        ("users of its own", Off),
        ("first process out of reach", Off),
    ] {
        let fact = fact(&isolation, name);
        assert_eq!(fact.enforcement, enforcement, "{fact:?}");
    }
    assert_eq!(isolation.level, IsolationLevel::Off);
    let isolation = hand_made(&["--pid", "host"], false, &Asked::default()).await;
    let table = fact(&isolation, "own process table");
    assert_eq!(table.enforcement, Off, "{table:?}");
}

#[tokio::test]
async fn limits_of_a_container_are_what_its_groups_say() {
    if !engine_answers() {
        return;
    }
    let limits = Limits { memory: Some(64 << 20), cpu_millis: Some(500), ..Limits::default() };
    let asked = Asked { network: NetworkMode::None, limits };
    let with = |memory: &'static str, processors: &'static str| {
        [&STRICT[..], &["-m", memory, "--cpus", processors]].concat()
    };
    let held = hand_made(&with("64m", "0.5"), true, &asked).await;
    assert_eq!(fact(&held, "memory").enforcement, Enforcement::Enforced, "{held:#?}");
    assert_eq!(fact(&held, "processors").enforcement, Enforcement::Enforced, "{held:#?}");
    let wide = hand_made(&with("128m", "1"), true, &asked).await;
    let missing = hand_made(&STRICT, true, &asked).await;
    for isolation in [wide, missing] {
        for name in ["memory", "processors"] {
            assert_eq!(fact(&isolation, name).enforcement, Enforcement::Off, "{isolation:#?}");
        }
        assert_eq!(isolation.level, IsolationLevel::Partial);
        assert_eq!(isolation.lacking(), [Aspect::Limits]);
    }
}

#[tokio::test]
async fn limits_of_a_native_box_are_what_was_found_not_what_was_asked() {
    let mut place = Place::new();
    let Some(engine) = native::usable(&place).await else { return };
    let limits = Limits {
        memory: Some(256 << 20),
        cpu_millis: Some(500),
        processes: Some(64),
        files: Some(512),
    };
    let asked = Asked { network: NetworkMode::None, limits: limits.clone() };
    let record = place.create(&engine).await;
    let isolation = read(&engine, &record, &asked).await;
    assert_eq!(isolation.lacking(), [Aspect::Limits], "a box made without: {isolation:#?}");
    engine.remove(&record).await.expect("removed");
    let support = engine.probe().await.capabilities.limits;
    place = Place::new();
    place.plan.limits = limits;
    let engine = native::usable(&place).await.expect("usable before");
    let record = place.create(&engine).await;
    let isolation = read(&engine, &record, &asked).await;
    if support == LimitSupport::Cgroup {
        assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    } else {
        assert_eq!(isolation.lacking(), [Aspect::Limits], "{isolation:#?}");
        assert_eq!(fact(&isolation, "open files").enforcement, Enforcement::Enforced);
    }
    engine.remove(&record).await.expect("removed");
}

/// An agent that leaves a mark, and waits.
const MARKS: [&str; 4] = ["--", "sh", "-c", "echo ran >mark; exec sleep 1000000"];

#[test]
fn what_cannot_be_had_is_refused_before_anything_is_made() {
    let test = TestHome::new();
    for (wish, words) in [
        (&["--require", "limits"][..], &["none is asked for", "--memory"][..]),
        (&["--unisolated", "--require", "files"], &["files is required"]),
        (
            &["--require", "network", "--engine", "docker", "--image", "x", "--network", "bridge"],
            &["network is required", "--network open"],
        ),
        (&["--require", "everything"], &["everything"]),
    ] {
        let run = test.agentdeck(&[&["new", "one"], wish, &MARKS].concat());
        assert_ne!(run.code, 0, "{wish:?}: {run:#?}");
        for word in words {
            assert!(run.stderr.contains(word), "{word}: {}", run.stderr);
        }
        test.assert_nothing_left();
    }
}

#[test]
fn what_is_required_and_there_is_told_as_enforced() {
    let test = TestHome::new();
    let engines = test.agentdeck(&["doctor", "--json"]).json();
    let native = &engines["engines"][0];
    if native["usable"] != true {
        return;
    }
    let wish =
        ["new", "one", "--require", "files,network,limits", "--memory", "256m", "--pids", "99"];
    let run = test.agentdeck(&[&wish[..], &MARKS].concat());
    if native["capabilities"]["limits"] != "cgroup" {
        run.fails(1, &["limits are required", "control groups"]);
        test.assert_nothing_left();
        return;
    }
    run.ok();
    let told = test.agentdeck(&["inspect", "one", "--json"]).json();
    assert_eq!(told["environment"]["isolation"]["level"], "enforced", "{told:#}");
    let text = test.agentdeck(&["inspect", "one"]).ok();
    for words in ["isolation   enforced", "enforced  memory", "256 MiB", "enforced  processes"] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let discarded = test.agentdeck(&["discard", "one", "--yes"]);
    discarded.ok();
}

/// Shows what is mounted below a home to processes in other mount namespaces, until it is dropped.
struct Shared(std::path::PathBuf);

impl Shared {
    fn of(test: &TestHome) -> Self {
        let place = Self(test.path());
        let path = place.0.to_str().expect("text");
        for arguments in [&["--bind", path, path][..], &["--make-shared", path]] {
            let done = Command::new("mount").args(arguments).status().expect("mount");
            assert!(done.success(), "mount {arguments:?}");
        }
        place
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let _ = Command::new("umount").args(["-l", "-R"]).arg(&self.0).status();
    }
}

/// Starts a server that cannot see control groups, as in a container that shows none. Its other
/// mounts are the host's, as an engine needs them.
fn start_blind_server(test: &TestHome) {
    let blind =
        "mount --make-rprivate /sys && umount -l -R /sys/fs/cgroup && exec \"$0\" server start";
    let started = Command::new("unshare")
        .args([
            "-m",
            "--propagation",
            "unchanged",
            "sh",
            "-c",
            blind,
            env!("CARGO_BIN_EXE_agentdeck"),
        ])
        .env_clear()
        .envs(test.variables())
        .current_dir(&test.repository)
        .output()
        .expect("unshare");
    assert!(started.status.success(), "{started:?}");
}

/// The containers of an environment that run.
fn boxes(test: &TestHome, name: &str) -> String {
    let told = test.agentdeck(&["inspect", name, "--json"]).json();
    let id = told["environment"]["id"].as_str().expect("an id").to_owned();
    text(&docker(&["ps", "-q", "--filter", &format!("label=agentdeck.environment={id}")]))
}

#[test]
fn an_agent_never_runs_in_a_box_in_which_what_is_required_was_not_found() {
    if !engine_answers() || !rustix::process::geteuid().is_root() {
        return;
    }
    let image = Image::busybox();
    let test = TestHome::new();
    let _shared = Shared::of(&test);
    start_blind_server(&test);
    let new = |name: &'static str, require: &'static [&'static str]| {
        let plan = ["new", name, "--engine", "docker", "--image", &image.0, "--memory", "64m"];
        test.agentdeck(&[&plan[..], require, &MARKS].concat())
    };
    let mark = |name: &str| -> bool {
        let told: Value = test.agentdeck(&["inspect", name, "--json"]).json();
        let workspace = told["workspace"].as_str().expect("a path").to_owned();
        std::path::Path::new(&workspace).join("mark").exists()
    };
    new("two", &["--require", "limits"]).fails(1, &["limits is required", "memory"]);
    assert!(!mark("two"), "the agent ran");
    // The failure is told first, so that nothing less is.
    wait_until("its box is ended", || boxes(&test, "two").is_empty());
    new("one", &[]).ok();
    test.wait_for_json(&["inspect", "one", "--json"], |_| mark("one"));
    // Its box is read back while the agent works.
    wait_until("what it lacks is listed", || {
        test.agentdeck(&["ls"]).ok().contains("partial: limits")
    });
}

#[tokio::test]
async fn what_holds_a_box_is_told_while_its_agent_is_installed() {
    if native::usable(&Place::new()).await.is_none() {
        return;
    }
    let test = TestHome::new();
    let profile = "[agents.slow]\ncommand = [\"no-such-agent\"]\ninstall = [\"exec sleep 1000\"]\n";
    std::fs::create_dir_all(&test.home).expect("made");
    std::fs::write(test.home.join("config.toml"), profile).expect("written");
    test.agentdeck(&["new", "one", "--agent", "slow"]);
    let told = test.wait_for_json(&["inspect", "one", "--json"], |told| {
        told["environment"]["isolation"].is_object()
    });
    let agent = &told["environment"]["sessions"][0];
    assert_eq!(agent["state"]["state"], "running", "{agent}");
    assert!(agent["command"].to_string().contains("sleep 1000"), "{agent}");
}

#[test]
fn nor_does_one_that_the_next_server_would_start_there() {
    if !engine_answers() || !rustix::process::geteuid().is_root() {
        return;
    }
    let image = Image::busybox();
    let mut test = TestHome::new();
    let _shared = Shared::of(&test);
    // It ends itself before it reads the box back.
    test.also.push(("AGENTDECK_END_AT", "box-answers".to_owned()));
    start_blind_server(&test);
    test.also.clear();
    let server = test.server().expect("a server");
    let plan = ["new", "two", "--engine", "docker", "--image", &image.0, "--memory", "64m"];
    let _ = test.agentdeck(&[&plan[..], &["--require", "limits"], &MARKS].concat());
    wait_until("the server ends itself", || {
        !std::path::Path::new(&format!("/proc/{server}/exe")).exists()
    });
    start_blind_server(&test);
    let told = test.wait_for_json(&["inspect", "two", "--json"], |told| {
        told["environment"]["notes"].to_string().contains("its agent was not started")
    });
    assert!(told["environment"]["notes"].to_string().contains("limits is required"), "{told:#}");
    let workspace = told["workspace"].as_str().expect("a path").to_owned();
    assert!(!std::path::Path::new(&workspace).join("mark").exists(), "the agent ran");
    assert_eq!(boxes(&test, "two"), "", "its box runs");
}

#[tokio::test]
async fn an_agent_goes_on_in_a_box_that_cannot_be_read_back_and_that_is_said() {
    let place = Place::new();
    let Some(engine) = native::usable(&place).await else { return };
    if engine.probe().await.capabilities.limits != LimitSupport::Cgroup {
        return;
    }
    let test = TestHome::new();
    // Room for the agent beside the first process, and none for what would look from inside.
    make(&test, "fox", &["--pids", "1"], "exec sleep 1000");
    let told = test.wait_for_json(&["ls", "--json"], |listed| {
        listed[0]["notes"].to_string().contains("could not be read back")
    });
    assert_eq!(told[0]["state"]["state"], "running", "{told:#}");
    assert_eq!(told[0]["sessions"][0]["state"]["state"], "running", "{told:#}");
    // What is required must be known before an agent is started.
    let sleep = ["--", "sh", "-c", "exec sleep 1000"];
    let new = ["new", "owl", "--pids", "1", "--require", "files"];
    assert_ne!(test.agentdeck(&[&new[..], &sleep].concat()).code, 0);
    let owl = test.agentdeck(&["inspect", "owl", "--json"]).json();
    assert_eq!(owl["environment"]["state"]["state"], "failed", "{owl:#}");
    assert_eq!(owl["environment"]["sessions"], Value::Array(Vec::new()), "{owl:#}");
}
