//! The native engine: the conformance suite, and what only it has to show.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};

use agentdeck::engine::native::Native;
use agentdeck::engine::{Asked, BoxRecord, BoxState, Engine};
use agentdeck::model::failure::FailureKind;
use agentdeck::model::policy::{IsolationLevel, IsolationRequest, LimitSupport, NetworkMode};
use agentdeck::shim::wire::Role;

use crate::common::home::TestHome;
use crate::common::place::Place;
use crate::common::talk::script;
use crate::conformance;
use crate::survival::wait_until;

fn engine(place: &Place) -> Native {
    Native::with_program(place.home.path(), Path::new(env!("CARGO_BIN_EXE_agentdeck")))
}

/// The engine for `place`, or `None` where this kernel cannot make boxes. Set
/// `AGENTDECK_REQUIRE_NATIVE=1` to make that a failure.
pub async fn usable(place: &Place) -> Option<Native> {
    let engine = engine(place);
    let report = engine.probe().await;
    let required = std::env::var("AGENTDECK_REQUIRE_NATIVE").is_ok_and(|value| value == "1");
    assert!(report.usable || !required, "{report:?}");
    report.usable.then_some(engine)
}

macro_rules! conformance_cases {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            let mut place = Place::new();
            if let Some(engine) = usable(&place).await {
                conformance::$name(&engine, &mut place).await;
            }
        }
    )*};
}

conformance::every_case!(conformance_cases);

/// Runs a script as the agent, and the same script on the host as the control.
async fn both(engine: &Native, record: &BoxRecord, text: &str) -> (String, String) {
    let outside = Command::new("sh").args(["-c", text]).output().expect("a shell");
    let inside = script(engine, record, Role::Agent, text).await;
    (inside, String::from_utf8_lossy(&outside.stdout).trim_end().to_owned())
}

#[tokio::test]
async fn the_hosts_files_and_processes_are_not_there() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let look = "for f in /etc/shadow /etc/gshadow /boot /var/run/docker.sock /proc/1/root/etc/shadow; \
                do test -e $f && echo $f; done; true";
    let (inside, outside) = both(&engine, &record, look).await;
    assert_eq!(inside, "");
    assert!(outside.contains("/etc/shadow"), "the control sees nothing: {outside}");
    let own_home = "ls -A /home /root";
    assert_eq!(script(&engine, &record, Role::Agent, own_home).await, "/home:\nme\n\n/root:");
    let secret = place.home.path().join("secret");
    std::fs::write(&secret, "x").expect("written");
    let (inside, outside) = both(&engine, &record, &format!("cat {}", secret.display())).await;
    assert_eq!(outside, "x");
    assert!(inside.contains("No such file"), "{inside}");
    let count = "ls -d /proc/[0-9]* | wc -l";
    let (inside, outside) = both(&engine, &record, count).await;
    let number = |text: &str| text.trim().parse::<u32>().expect("a number");
    assert!(number(&inside) < 8 && number(&outside) > 8, "{inside} inside, {outside} outside");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn the_hosts_sockets_are_out_of_reach() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let name = format!("agentdeck-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let _abstract = UnixListener::bind_addr(&address).expect("bound");
    UnixStream::connect_addr(&address).expect("the control reaches it");
    let loopback = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = loopback.local_addr().expect("an address").port();
    std::net::TcpStream::connect(("127.0.0.1", port)).expect("the control reaches it");
    let dial = format!("exec 3<>/dev/tcp/127.0.0.1/{port} && echo reached");
    let outcome = script(&engine, &record, Role::Agent, &format!("bash -c '{dial}'")).await;
    assert!(outcome.contains("Connection refused"), "{outcome}");
    let listed = script(&engine, &record, Role::Agent, "cat /proc/net/unix").await;
    assert!(!listed.contains(&name), "{listed}");
    let outside = std::fs::read_to_string("/proc/net/unix").expect("read");
    assert!(outside.contains(&name), "the control does not list it");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn the_kernels_doors_are_shut_for_agents() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    for (attempt, answer) in [
        ("unshare -U true", "Operation not permitted"),
        ("mount -t tmpfs none /mnt", "permi"),
        ("echo x >/proc/sys/kernel/hostname", "Read-only file system"),
        ("echo h >/proc/sysrq-trigger; echo done", "done"),
        ("dmesg", "not permitted"),
        ("chroot / true", "Operation not permitted"),
        ("echo x >/run/agentdeck/shim.json", "Read-only file system"),
        ("kill -9 1; sleep 0; echo lives", "lives"),
    ] {
        let outcome = script(&engine, &record, Role::Agent, attempt).await;
        assert!(outcome.contains(answer), "{attempt}: {outcome}");
    }
    let shim = "agentdeck-shim shim-hold </dev/null; cat /proc/1/environ /proc/1/mem";
    let outcome = script(&engine, &record, Role::Agent, shim).await;
    assert!(outcome.contains("Permission denied"), "{outcome}");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn only_the_outside_may_speak_to_the_shim() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let dial = "import socket\ns = socket.socket(socket.AF_UNIX)\ns.settimeout(5)\n\
                s.connect('/run/agentdeck/shim.sock')\nprint('closed' if s.recv(1) == b'' else 'open')";
    let outcome = script(&engine, &record, Role::Agent, &format!("python3 -c \"{dial}\"")).await;
    if !outcome.contains("not found") {
        assert!(outcome.contains("closed") || outcome.contains("reset"), "{outcome}");
    }
    engine.remove(&record).await.expect("removed");
}

/// Not a test of its own: makes a box and waits to be killed.
#[tokio::test]
#[ignore = "started by the test below"]
async fn creator() {
    let place = Place::new();
    let record = place.create(&engine(&place)).await;
    let told = (place.home.path().to_owned(), record);
    std::fs::write(
        std::env::var("TOLD").expect("a path"),
        serde_json::to_vec(&told).expect("text"),
    )
    .expect("written");
    std::mem::forget(place);
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_box_outlives_the_kill_of_the_process_that_made_it() {
    let probe = Place::new();
    if usable(&probe).await.is_none() {
        return;
    }
    let told = probe.home.path().join("told");
    let mut creator = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "native::creator", "--ignored"])
        .env("TOLD", &told)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let (home, record): (std::path::PathBuf, BoxRecord) = loop {
        if let Some(read) =
            std::fs::read(&told).ok().and_then(|it| serde_json::from_slice(&it).ok())
        {
            break read;
        }
        assert!(creator.try_wait().expect("asked").is_none(), "the creator ended");
        tokio::task::yield_now().await;
    };
    creator.kill().expect("killed");
    creator.wait().expect("ended");
    let engine = Native::new(&home);
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    assert_eq!(script(&engine, &record, Role::Agent, "echo on").await, "on");
    engine.remove(&record).await.expect("removed");
    agentdeck::engine::remove_tree(&home).expect("removed");
}

#[tokio::test]
async fn a_box_that_cannot_be_made_leaves_nothing() {
    let mut place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    place.plan.workspace = place.home.path().join("missing");
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let failure = engine.create(&place.plan, &progress).await.expect_err("no workspace");
    assert!(failure.message.contains("missing"), "{failure:?}");
    assert!(!place.plan.directory.join("layer").exists());
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));
    place.plan.network.mode = NetworkMode::Bridge;
    let failure = engine.create(&place.plan, &progress).await.expect_err("no bridge");
    assert_eq!(failure.kind, FailureKind::Refused);
    assert!(failure.hint.is_some_and(|hint| hint.contains("docker")));
}

#[tokio::test]
async fn two_boxes_never_share_a_layer() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    let failure = engine.create(&place.plan, &progress).await.expect_err("a second box");
    assert_eq!(failure.kind, FailureKind::AlreadyExists, "{failure:?}");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn no_isolation_is_only_by_name_and_is_told() {
    let mut place = Place::new();
    place.plan.isolation = IsolationRequest::Unisolated;
    let engine = engine(&place);
    let record = place.create(&engine).await;
    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("read back");
    assert_eq!(isolation.level, IsolationLevel::Off);
    let pwd = script(&engine, &record, Role::Agent, "pwd; cat hello").await;
    assert_eq!(pwd, format!("{}\nhello", place.plan.workspace.display()));
    engine.stop(&record, std::time::Duration::from_secs(1)).await.expect("stopped");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Stopped));
    engine.remove(&record).await.expect("removed");
}

/// The groups of a box's first process in every hierarchy, as paths below where each is mounted.
fn groups_of(pid: u32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read");
    let paths = text.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    paths.filter(|path| path.contains("/agentdeck-")).map(str::to_owned).collect()
}

/// Directories in whose name this one is a part.
fn directories_named(name: &str, below: &Path) -> usize {
    let found = std::fs::read_dir(below).into_iter().flatten().flatten();
    found
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| {
            let is_it = entry.file_name().to_string_lossy().contains(name);
            usize::from(is_it) + directories_named(name, &entry.path())
        })
        .sum()
}

#[tokio::test]
async fn a_box_sees_no_group_and_leaves_none() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let own = "cut -d: -f3 /proc/self/cgroup | sort -u; grep -c cgroup /proc/mounts";
    let inside = script(&engine, &record, Role::Agent, own).await;
    let environment = place.plan.environment.to_string();
    let groups = groups_of(record.init_pid);
    let limits = engine.probe().await.capabilities.limits;
    if limits == LimitSupport::Cgroup {
        assert!(!groups.is_empty() && groups.iter().all(|it| it.contains(&environment)));
        assert!(inside.starts_with("/\n"), "{inside}");
    }
    assert!(inside.ends_with("\n0") && !inside.contains(&environment), "{inside}");
    let all = Path::new("/sys/fs/cgroup");
    assert_eq!(directories_named(&environment, all) > 0, limits == LimitSupport::Cgroup);
    engine.stop(&record, std::time::Duration::ZERO).await.expect("stopped");
    assert_eq!(directories_named(&environment, all), 0);
    assert_eq!(directories_named(&place.plan.deck, all), 0, "nor another of the deck");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_group_without_a_box_is_listed_and_removed() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    if engine.probe().await.capabilities.limits != LimitSupport::Cgroup {
        return;
    }
    let record = place.create(&engine).await;
    // As after a kill between the making of the groups and of the box, or a layer that was lost.
    let pid = rustix::process::Pid::from_raw(record.init_pid as i32).expect("a process");
    std::fs::remove_file(place.plan.directory.join("layer/box.json")).expect("removed");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    let environment = &place.plan.environment;
    assert_eq!(engine.list(&place.plan.deck).await, Ok(vec![environment.clone()]));
    engine.remove_orphan(&place.plan.deck, environment).await.expect("removed");
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));
    assert_eq!(directories_named(&place.plan.deck, Path::new("/sys/fs/cgroup")), 0);
}

#[tokio::test]
async fn open_files_and_inotify_are_bounded() {
    let mut place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    place.plan.limits.files = Some(300);
    let record = place.create(&engine).await;
    let read = "ulimit -n; ulimit -c; cat /proc/sys/user/max_inotify_instances";
    let (inside, outside) = both(&engine, &record, read).await;
    let numbers =
        |text: &str| -> Vec<u64> { text.lines().filter_map(|it| it.parse().ok()).collect() };
    let (inside, outside) = (numbers(&inside), numbers(&outside));
    assert_eq!(inside[..2], [300, 0]);
    assert!(inside[2] * 4 <= *outside.last().expect("the user's own"), "{inside:?} {outside:?}");
    engine.remove(&record).await.expect("removed");
}

/// A user without a name, whose number no distribution gives to anybody.
const ORDINARY: u32 = 54_321;

#[test]
fn all_of_this_holds_for_an_ordinary_user_too() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::chown(home.path(), Some(ORDINARY), Some(ORDINARY)).expect("given");
    let run = Command::new(std::env::current_exe().expect("this program"))
        .args(["native::", "native_images::", "--skip", "network::", "--test-threads", "2"])
        .envs([("HOME", home.path()), ("TMPDIR", home.path())])
        .current_dir(home.path())
        .uid(ORDINARY)
        .gid(ORDINARY)
        .output();
    let required = std::env::var("AGENTDECK_REQUIRE_NATIVE").is_ok_and(|value| value == "1");
    match run {
        Ok(run) => {
            let told = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success() && told.contains("test result: ok"), "{told}");
        }
        // The build may be where only root may look.
        Err(error) => assert!(!required, "the tests cannot run as another user: {error}"),
    }
}

/// First processes of boxes in waiting that the server of a home began.
fn in_waiting(test: &TestHome) -> Vec<rustix::process::Pid> {
    let processes = std::fs::read_dir("/proc").expect("listed").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let read = |pid: i32, file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}"));
    let nested = |pid: i32| {
        let status = read(pid, "status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        line.map_or(0, |numbers| numbers.split_whitespace().count())
    };
    let depth = nested(std::process::id() as i32);
    let found = numbers.filter(|pid| {
        let program = std::fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        let waits = read(*pid, "cmdline").is_ok_and(|line| line.ends_with("\0box\0"));
        waits && program.starts_with(&test.home) && nested(*pid) > depth
    });
    found.filter_map(rustix::process::Pid::from_raw).collect()
}

#[tokio::test]
async fn a_box_in_waiting_whose_first_process_died_is_passed_over() {
    if usable(&Place::new()).await.is_none() {
        return;
    }
    let test = TestHome::new();
    let agent = ["--", "sh", "-c", "exec sleep 1000"];
    test.agentdeck(&[&["new", "one"][..], &agent].concat()).ok();
    let mut waiting = Vec::new();
    wait_until("the next box waits", || {
        waiting = in_waiting(&test);
        !waiting.is_empty()
    });
    for pid in &waiting {
        rustix::process::kill_process(*pid, rustix::process::Signal::KILL).expect("killed");
    }
    wait_until("it is dead", || in_waiting(&test).is_empty());
    test.agentdeck(&[&["new", "two"][..], &agent].concat()).ok();
    test.wait_for_json(&["inspect", "two", "--json"], |told| {
        told["environment"]["sessions"][0]["state"]["state"] == "running"
    });
}
