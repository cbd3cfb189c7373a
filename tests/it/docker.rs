//! The docker engine against a real Docker Engine.
//!
//! Where none answers these tests pass without a word, unless `AGENTDECK_REQUIRE_DOCKER=1` is set;
//! `tests/setup` makes one answer. Everything made here is labelled, and removed again.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use agentdeck::engine::docker::Docker;
use agentdeck::engine::{Asked, BoxPlan, BoxRecord, BoxState, Engine};
use agentdeck::model::failure::FailureKind;
use agentdeck::model::id::EnvironmentId;
use agentdeck::model::policy::ImageSource;
use agentdeck::shim::wire::Role;

use crate::common::place::Place;
use crate::common::talk;
use crate::conformance;

const GRACE: Duration = Duration::from_secs(1);

/// The label of all that tests make in an engine, and that others inherit from it: by its value
/// `tests/left` tells this run's from those of another.
pub fn test_label() -> String {
    let decks = std::env::var_os("AGENTDECK_TEST_DECKS").map(PathBuf::from);
    let run = decks.as_deref().and_then(Path::parent).and_then(Path::file_name);
    format!("agentdeck.test={}", run.map_or("1".into(), |name| name.to_string_lossy()))
}

/// Numbers everything that needs a name of its own in this run.
static NEXT: AtomicU32 = AtomicU32::new(0);

pub fn docker(arguments: &[&str]) -> Output {
    Command::new("docker").args(arguments).output().expect("the docker command")
}

pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Whether an engine answers; where one is required and none does, the test fails.
pub fn engine_answers() -> bool {
    let asked = Command::new("docker").args(["version"]).stdout(Stdio::null()).status();
    let answers = asked.is_ok_and(|status| status.success());
    let required = std::env::var("AGENTDECK_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
    assert!(answers || !required, "no Docker Engine answers; run tests/setup");
    answers
}

/// An image made of a few files, removed when dropped.
pub struct Image(pub String);

impl Image {
    /// A static busybox under the names of its applets, without `/etc`.
    pub fn busybox() -> Self {
        Self::import(&busybox_root())
    }

    /// An image that holds nothing at all.
    fn empty() -> Self {
        Self::import(&tar::Builder::new(Vec::new()).into_inner().expect("an archive"))
    }

    fn import(archive: &[u8]) -> Self {
        Self::written(|input| input.write_all(archive))
    }

    /// An image of the files of an archive, as it is written.
    pub fn written(write: impl FnOnce(&mut ChildStdin) -> std::io::Result<()>) -> Self {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("agentdeck-test:{}-{number}", std::process::id());
        let mut import = Command::new("docker")
            .args(["import", "--change", &format!("LABEL {}", test_label()), "-", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("docker import");
        let mut input = import.stdin.take().expect("a pipe");
        write(&mut input).expect("written");
        drop(input);
        assert!(import.wait().expect("ended").success());
        Self(name)
    }
}

/// The files of a static busybox under the names of its applets, without `/etc`.
pub fn busybox_root() -> Vec<u8> {
    let mut files = tar::Builder::new(Vec::new());
    let binary = std::fs::read(busybox()).expect("busybox");
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o755);
    header.set_size(binary.len() as u64);
    files.append_data(&mut header, "bin/busybox", binary.as_slice()).expect("added");
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Directory);
    header.set_mode(0o755);
    header.set_size(0);
    files.append_data(&mut header, "usr", std::io::empty()).expect("added");
    let applets = Command::new(busybox()).arg("--list").output().expect("a list");
    for applet in text(&applets).lines().filter(|applet| *applet != "busybox") {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        let link = format!("bin/{applet}");
        files.append_link(&mut header, link, "/bin/busybox").expect("added");
    }
    files.into_inner().expect("an archive")
}

impl Drop for Image {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            docker(&["rmi", "-f", &self.0]);
        }
    }
}

pub fn busybox() -> PathBuf {
    let found = ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from);
    found.into_iter().find(|path| path.exists()).expect("busybox; run tests/setup")
}

/// An environment whose containers are removed when it is dropped, also by a test that failed.
pub struct Boxed {
    pub place: Place,
    /// Removed after the containers.
    pub image: Image,
}

impl Boxed {
    pub fn of(image: Image) -> Self {
        let mut place = Place::new();
        place.plan.image = Some(ImageSource::Name(image.0.clone()));
        Self { place, image }
    }

    pub fn engine(&self) -> Docker {
        Docker::connect(self.place.home.path())
    }
}

impl Drop for Boxed {
    fn drop(&mut self) {
        let filter = format!("label=agentdeck.deck={}", self.place.plan.deck);
        for id in text(&docker(&["ps", "-aq", "--filter", &filter])).lines() {
            docker(&["rm", "-fv", id]);
        }
        let filter = format!("label=agentdeck.image.deck={}", self.place.plan.deck);
        for id in text(&docker(&["images", "-q", "--filter", &filter])).lines() {
            docker(&["rmi", "-f", id]);
        }
    }
}

macro_rules! conformance_cases {
    ($($name:ident),* $(,)?) => {$(
        #[tokio::test]
        async fn $name() {
            if engine_answers() {
                let mut boxed = Boxed::of(Image::busybox());
                conformance::$name(&boxed.engine(), &mut boxed.place).await;
            }
        }
    )*};
}

conformance::every_case!(conformance_cases);

/// A user without a name, whose number no distribution gives to anybody.
const ORDINARY: u32 = 54_322;

/// A user who may use the engine's socket, as the distributions' group for it does.
#[test]
fn all_of_this_holds_for_an_ordinary_user_too() {
    if !engine_answers() || !rustix::process::geteuid().is_root() {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::chown(home.path(), Some(ORDINARY), Some(ORDINARY)).expect("given");
    let socket = std::fs::metadata("/var/run/docker.sock");
    let Ok(group) = socket.map(|socket| socket.gid()) else { return };
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={ORDINARY}"), format!("--regid={ORDINARY}")]);
    command.arg(format!("--groups={group}")).arg(std::env::current_exe().expect("this program"));
    command.args(["docker::", "--skip", "network", "--test-threads", "2"]);
    command.envs([("HOME", home.path()), ("TMPDIR", home.path())]).current_dir(home.path());
    let run = command.output().expect("setpriv runs");
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success() && told.contains("test result: ok"), "{told}");
    assert!(told.contains("the_workspace_is_the_users ... ok"), "{told}");
}

/// What a command that succeeds printed.
async fn run(engine: &Docker, record: &BoxRecord, role: Role, command: &[&str]) -> (i32, String) {
    let outcome = talk::run(engine, record, role, command, b"").await.expect("started");
    (outcome.code, outcome.output)
}

async fn agent(engine: &Docker, record: &BoxRecord, script: &str) -> String {
    let (code, printed) = run(engine, record, Role::Agent, &["/bin/sh", "-c", script]).await;
    assert_eq!(code, 0, "{script}: {printed}");
    printed
}

fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").expect("ourselves").uid()
}

#[tokio::test]
async fn a_box_keeps_its_layer_and_gives_files_back_to_the_user() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let (engine, place) = (boxed.engine(), &boxed.place);
    std::fs::write(place.plan.workspace.join("given"), "from the user\n").expect("written");
    let record = place.create(&engine).await;
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    assert_eq!(engine.list(&place.plan.deck).await, Ok(vec![place.plan.environment.clone()]));

    let printed = agent(&engine, &record, "pwd; cat given; id -un; echo $HOME; umask").await;
    assert_eq!(printed, "/home/me/shop\nfrom the user\nagent\n/home/agent\n0022");
    agent(&engine, &record, "echo changed >given; echo made >made; mkdir -p d; echo x >.git/x")
        .await;
    agent(&engine, &record, "echo seed >~/.seed").await;
    for path in ["workspace/given", "workspace/made", "workspace/d", "git/x", "home/.seed"] {
        let file = std::fs::metadata(place.plan.directory.join(path)).expect(path);
        assert_eq!(file.uid(), own_uid(), "{path}");
    }
    let (code, _) = run(&engine, &record, Role::Agent, &["/bin/rm", "-rf", ".git"]).await;
    assert_ne!(code, 0, "the git directory is a mount and stays");

    let (code, _) = run(&engine, &record, Role::Root, &["/bin/touch", "/kept"]).await;
    assert_eq!(code, 0, "the box's root may change its layer");
    let (code, _) = run(&engine, &record, Role::Agent, &["/bin/touch", "/refused"]).await;
    assert_ne!(code, 0, "the agent may not");

    engine.stop(&record, GRACE).await.expect("stopped");
    engine.stop(&record, GRACE).await.expect("stopping twice is fine");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Stopped));
    assert_eq!(
        engine.open_channel(&record).await.expect_err("stopped").kind,
        FailureKind::Unavailable
    );
    let again = engine.start(&place.plan, &record).await.expect("started");
    assert_ne!(again.init_pid, record.init_pid);
    assert_eq!(agent(&engine, &again, "ls /kept; cat made").await, "/kept\nmade");

    engine.remove(&again).await.expect("removed");
    engine.remove(&again).await.expect("removing twice is fine");
    assert_eq!(engine.state(&again).await, Ok(BoxState::Gone));
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("the mount table");
    let left = mounts.contains(place.plan.directory.to_str().expect("text"));
    assert!(!left, "nothing stays mounted");
}

#[tokio::test]
async fn a_box_of_an_emptyimage_runs_a_static_program() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::empty());
    let (engine, place) = (boxed.engine(), &boxed.place);
    std::fs::copy(busybox(), place.plan.workspace.join("busybox")).expect("copied");
    let record = place.create(&engine).await;
    let inside = format!("{}/busybox", place.plan.mount.display());
    let (code, printed) = run(&engine, &record, Role::Agent, &[&inside, "id", "-un"]).await;
    assert_eq!((code, printed.as_str()), (0, "agent"));
    let (_, names) =
        run(&engine, &record, Role::Agent, &[&inside, "cat", "/etc/resolv.conf"]).await;
    assert_eq!(names, "nameserver 127.0.0.1");
    let temporary = [&inside, "stat", "-c", "%a %u", "/tmp"];
    let (_, temporary) = run(&engine, &record, Role::Agent, &temporary).await;
    assert_eq!(temporary, "1777 0", "programs take it for granted");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn an_agent_has_no_rights_that_a_plain_container_has() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let (engine, place) = (boxed.engine(), &boxed.place);
    let record = place.create(&engine).await;
    let attempts = "grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t'; \
                    mknod /tmp-node c 1 3 2>/dev/null && echo made a device; \
                    chown 1 /bin 2>/dev/null && echo changed an owner; \
                    cat /proc/net/route | wc -l";
    let plain = docker(&[
        "run",
        "--rm",
        "--label",
        &test_label(),
        &boxed.image.0,
        "/bin/sh",
        "-c",
        attempts,
    ]);
    let plain = text(&plain);
    assert!(plain.contains("CapEff:00000000a80425fb"), "the control has rights: {plain}");
    assert!(plain.contains("made a device") && plain.contains("changed an owner"), "{plain}");
    let none = "0000000000000000";
    let expected = format!("CapEff:{none}\nCapBnd:{none}\nNoNewPrivs:1\nSeccomp:2\n1");
    assert_eq!(agent(&engine, &record, attempts).await, expected);

    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("facts");
    for fact in &isolation.facts {
        assert!(fact.holds() || !fact.counts, "{fact:?}");
    }
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_box_that_cannot_be_made_leaves_nothing() {
    if !engine_answers() {
        return;
    }
    let (progress, _) = tokio::sync::mpsc::channel(8);
    let mut boxed = Boxed::of(Image::busybox());
    let engine = boxed.engine();
    let place = &mut boxed.place;
    place.plan.shim = "/bin/sh".into();
    let failure = engine.create(&place.plan, &progress).await.expect_err("not our shim");
    assert_eq!(failure.kind, FailureKind::Unavailable, "{failure:?}");
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));

    place.plan.image = None;
    let failure = engine.create(&place.plan, &progress).await.expect_err("no image");
    assert!(failure.hint.expect("a hint").contains("--image"));
    // No registry listens on the discard port, so the pull ends at once.
    place.plan.image = Some("127.0.0.1:9/agentdeck/missing:1".into());
    let failure = engine.create(&place.plan, &progress).await.expect_err("no such image");
    assert_eq!(failure.kind, FailureKind::Unavailable);
    assert!(failure.message.contains("127.0.0.1:9/agentdeck/missing:1"), "{failure:?}");
    assert_eq!(engine.list(&place.plan.deck).await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_box_made_by_an_older_binary_starts_under_a_newer_one() {
    if !engine_answers() {
        return;
    }
    let mut boxed = Boxed::of(Image::busybox());
    let engine = boxed.engine();
    let place = &mut boxed.place;
    let bin = place.home.path().join("bin");
    std::fs::create_dir(&bin).expect("made");
    let [older, newer] = ["agentdeck-1", "agentdeck-2"].map(|name| bin.join(name));
    for binary in [&older, &newer] {
        std::fs::copy(env!("CARGO_BIN_EXE_agentdeck"), binary).expect("copied");
    }
    place.plan.shim = older;
    let record = place.create(&engine).await;
    engine.stop(&record, GRACE).await.expect("stopped");
    place.plan.shim = newer;
    let record = engine.start(&place.plan, &record).await.expect("started");
    assert_eq!(agent(&engine, &record, "echo on").await, "on");
    engine.stop(&record, GRACE).await.expect("stopped");
    place.plan.shim = env!("CARGO_BIN_EXE_agentdeck").into();
    let failure = engine.start(&place.plan, &record).await.expect_err("placed elsewhere");
    assert!(failure.message.contains("not mounted as planned"), "{failure:?}");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn a_container_that_is_not_ours_is_left_alone() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let (engine, place) = (boxed.engine(), &boxed.place);
    let record = place.create(&engine).await;
    let foreign =
        docker(&["run", "-d", "--label", &test_label(), &boxed.image.0, "/bin/sleep", "600"]);
    let foreign = text(&foreign);
    let mistaken = BoxRecord { container: Some(foreign.clone()), ..record.clone() };
    assert_eq!(engine.state(&mistaken).await, Ok(BoxState::Gone));
    engine.stop(&mistaken, GRACE).await.expect("nothing to stop");
    engine.remove(&mistaken).await.expect("nothing to remove");
    let running = docker(&["inspect", "-f", "{{.State.Running}}", &foreign]);
    docker(&["rm", "-f", &foreign]);
    assert_eq!(text(&running), "true");

    let other = EnvironmentId::from_random([9; 8]);
    engine.remove_orphan(&place.plan.deck, &other).await.expect("nothing to remove");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    engine.remove_orphan(&place.plan.deck, &place.plan.environment).await.expect("removed");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Gone));
}

/// Variables that make this program, started again, the process that creates a box and is killed.
const CREATOR_PLAN: &str = "AGENTDECK_TEST_CREATOR_PLAN";
const CREATOR_RECORD: &str = "AGENTDECK_TEST_CREATOR_RECORD";

#[tokio::test]
async fn creator() {
    let Ok(plan) = std::env::var(CREATOR_PLAN) else { return };
    let record = std::env::var(CREATOR_RECORD).expect("a place for the record");
    let plan: BoxPlan = serde_json::from_str(&plan).expect("a plan");
    let (progress, _) = tokio::sync::mpsc::channel(8);
    let made = Docker::connect(Path::new("/")).create(&plan, &progress).await.expect("a box");
    std::fs::write(&record, serde_json::to_vec(&made).expect("json")).expect("written");
    std::fs::rename(&record, format!("{record}.done")).expect("renamed");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_box_outlives_the_kill_of_the_process_that_made_it() {
    if !engine_answers() {
        return;
    }
    let boxed = Boxed::of(Image::busybox());
    let (engine, place) = (boxed.engine(), &boxed.place);
    let record = place.home.path().join("record");
    let mut creator = Command::new(std::env::current_exe().expect("ourselves"))
        .args(["--exact", "docker::creator", "--nocapture"])
        .env(CREATOR_PLAN, serde_json::to_string(&place.plan).expect("json"))
        .env(CREATOR_RECORD, &record)
        .stdout(Stdio::null())
        .spawn()
        .expect("started");
    let done = place.home.path().join("record.done");
    let written = async {
        while !done.exists() {
            assert!(creator.try_wait().expect("waited").is_none(), "the creator ended early");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), written).await.expect("a box in time");
    creator.kill().expect("killed");
    creator.wait().expect("reaped");

    let record = std::fs::read(done).expect("a record");
    let record: BoxRecord = serde_json::from_slice(&record).expect("a record");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    assert_eq!(agent(&engine, &record, "echo alive").await, "alive");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn the_engine_says_what_it_is() {
    if !engine_answers() {
        return;
    }
    let report = Docker::connect(Path::new("/")).probe().await;
    assert!(report.usable, "{report:?}");
    for name in ["endpoint", "live restore", "storage driver", "security options"] {
        assert!(report.details.iter().any(|detail| detail.0 == name), "{name}: {report:?}");
    }
}
