//! What the root of a box makes in the directories of an ordinary user's environment becomes the
//! user's: else the agent cannot change it, nor the user copy or remove it.
//!
//! Where the tests run as root, which owns such files anyway, they run themselves as somebody else
//! who may use the engine.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::home::{TestHome, make};
use crate::common::talk::PATIENCE;
use crate::docker::{self, Image};

/// A user without a name, whose number no distribution gives to anybody.
const ORDINARY: u32 = 54_322;
/// Between two looks at something that has no event to wait for.
const PAUSE: Duration = Duration::from_millis(20);

/// A box of an ordinary user.
struct World {
    test: TestHome,
    _image: Image,
}

/// Has what root left behind go on, also without a server, and waits until it has.
fn root_goes_on(workspace: &Path, name: &str) {
    std::fs::write(workspace.join(format!("{name}.go")), "").expect("written");
    let done = workspace.join(format!("{name}.done"));
    let told = || std::fs::read_to_string(&done).unwrap_or_default();
    wait_until("root has made it", || !told().is_empty());
    assert_eq!(told(), "0\n", "the control: it is root's");
}

impl World {
    /// `None` where there is no engine, or root would own what it makes anyway.
    fn new() -> Option<Self> {
        if rustix::process::geteuid().is_root() || !docker::engine_answers() {
            return None;
        }
        let (test, image) = (TestHome::new(), Image::busybox());
        let engine = ["--engine", "docker", "--image", &image.0];
        make(&test, "fox", &engine, "exec sleep 1000");
        Some(Self { test, _image: image })
    }

    fn directory(&self, name: &str) -> PathBuf {
        let inspection = self.test.agentdeck(&["inspect", name, "--json"]).json();
        let id = inspection["environment"]["id"].as_str().expect("an id").to_owned();
        self.test.home.join("environments").join(id)
    }

    fn root(&self, script: &str) -> String {
        self.test.agentdeck(&["exec", "--root", "fox", "--", "sh", "-ec", script]).ok()
    }

    /// Has the box's root wait for the file `NAME.go`, with nobody waiting for it, and then make what
    /// the script says. Who had all of it then is in `NAME.done`.
    fn root_waits(&self, name: &str, script: &str) {
        let script = format!(
            "(while [ ! -e {name}.go ]; do sleep 0.02; done; {script}; umask 022; \
             stat -c %u {name} >/tmp/{name}; mv /tmp/{name} {name}.done) \
             >/dev/null 2>&1 </dev/null &"
        );
        self.root(&script);
    }

    /// Has the box's root make something once nobody waits for it any more: something to read in
    /// the workspace, and in the home what no other may.
    fn root_later(&self, name: &str) {
        let script = format!(
            "mkdir {name}; echo late >{name}/file; umask 077; mkdir -p ~agent/{name}; \
             touch ~agent/{name}/file"
        );
        self.root_waits(name, &script);
        root_goes_on(&self.directory("fox").join("workspace"), name);
        let home = self.directory("fox").join("home").join(name);
        assert_eq!(owner(&home), Some(0), "the control: it is root's");
    }

    fn assert_nothing_left(&self) {
        self.test.assert_nothing_left();
        let removing = std::fs::read_dir(self.test.home.join("removing")).expect("there");
        assert_eq!(removing.count(), 0);
        let filter = ["ps", "-aq", "--filter", "label=agentdeck.hand-back"];
        assert_eq!(docker::text(&docker::docker(&filter)), "");
    }
}

fn owner(path: &Path) -> Option<u32> {
    std::fs::symlink_metadata(path).ok().map(|found| found.uid())
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "{what}");
        std::thread::sleep(PAUSE);
    }
}

#[test]
fn what_a_command_of_root_made_is_the_agents_when_it_has_ended() {
    let Some(world) = World::new() else { return };
    let made = world.root(
        "umask 077; mkdir -p made/deep ~agent/.tool; echo one >made/deep/file; ln -s /etc made/link; \
         echo set >~agent/.tool/setting; cp /bin/busybox made/suid; chmod 4755 made/suid; \
         chown 7:7 price; stat -c %u made made/deep/file price ~agent/.tool",
    );
    assert_eq!(made, "0\n0\n7\n0\n", "the control: it is not the agent's before");
    let own = rustix::process::geteuid().as_raw();
    let directory = world.directory("fox");
    let files = ["made", "made/deep/file", "made/link", "made/suid", "price"];
    let all = files.map(|name| directory.join("workspace").join(name));
    for path in all.iter().chain([&directory.join("home/.tool/setting")]) {
        assert_eq!(owner(path), Some(own), "{}", path.display());
    }
    let mode = std::fs::metadata(directory.join("workspace/made/suid")).expect("there").mode();
    assert_eq!(mode & 0o6000, 0);
    let work =
        "echo two >>made/deep/file; cat made/deep/file; echo more >>~/.tool/setting; rm -r made";
    assert_eq!(world.test.script("fox", work), "one\ntwo\n");
    assert_eq!(owner(Path::new("/etc")), Some(0));
}

#[test]
fn a_fork_a_start_and_a_drop_take_what_root_left_behind_with_them() {
    let Some(world) = World::new() else { return };
    world.root_later("first");
    world.test.agentdeck(&["fork", "fox", "cub"]).ok();
    assert_eq!(world.test.script("cub", "cat first/file; ls ~/first"), "late\nfile\n");
    world.test.agentdeck(&["discard", "cub", "--yes"]).ok();

    world.root_later("second");
    world.test.agentdeck(&["stop", "fox"]).ok();
    world.test.agentdeck(&["start", "fox"]).ok();
    world.test.script("fox", "echo more >>second/file");

    world.root_later("third");
    world.test.agentdeck(&["discard", "fox", "--yes"]).ok();
    let said = world.test.agentdeck(&["trash", "empty", "--yes"]);
    assert_eq!(said.code, 0, "{said:?}");
    world.assert_nothing_left();
}

#[test]
fn what_root_shuts_with_nobody_waiting_is_in_the_snapshot_that_meets_it() {
    let Some(world) = World::new() else { return };
    for name in ["early", "late"] {
        let script = format!("umask 077; mkdir {name}; echo {name} work >{name}/file");
        world.root_waits(name, &script);
    }
    let workspace = world.directory("fox").join("workspace");
    let own = rustix::process::geteuid().as_raw();

    // Nobody asks for anything: what is met once the workspace is quiet is enough.
    root_goes_on(&workspace, "early");
    let file = workspace.join("early/file");
    wait_until("it is the user's", || owner(&file) == Some(own));
    let holds = |text: &str| {
        let diff = world.test.agentdeck(&["diff", "fox"]).ok();
        diff.contains(text) && !diff.contains("cannot be read")
    };
    wait_until("it is in a snapshot", || holds("+early work"));

    // Nobody was there to meet it: whoever looks first has it.
    world.test.end_server();
    root_goes_on(&workspace, "late");
    assert!(holds("+late work"));
    world.test.script("fox", "echo more >>early/file; echo more >>late/file");
}

#[test]
fn a_server_of_an_ordinary_user_keeps_all_of_this() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() || !docker::engine_answers() {
        return;
    }
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let socket = host.strip_prefix("unix://").unwrap_or("/var/run/docker.sock");
    let Ok(socket) = std::fs::metadata(socket) else { return };
    let home = tempfile::tempdir().expect("a directory");
    std::os::unix::fs::chown(home.path(), Some(ORDINARY), Some(socket.gid())).expect("given");
    let run = Command::new(std::env::current_exe().expect("this program"))
        .args(["docker_owners::", "--test-threads", "2"])
        .envs([("HOME", home.path()), ("TMPDIR", home.path())])
        .current_dir(home.path())
        .uid(ORDINARY)
        .gid(socket.gid())
        .output();
    let required = std::env::var("AGENTDECK_REQUIRE_DOCKER").is_ok_and(|value| value == "1");
    match run {
        Ok(run) => {
            let told = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success() && told.contains("test result: ok"), "{told}");
        }
        // The build may be where only root may look.
        Err(error) => assert!(!required, "the tests cannot run as another user: {error}"),
    }
}
