//! The second layer: what Landlock holds where the first walls have a hole. Each hole is made on
//! purpose, and the same attack comes through it on a kernel that says it has no Landlock.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};

use agentdeck::engine::native::Native;
use agentdeck::engine::{Asked, BoxRecord, Engine};
use agentdeck::model::policy::{Enforcement, IsolationFact, IsolationLevel};
use agentdeck::shim::claims::{Attempt, Claims};
use agentdeck::shim::config::{Confinement, ProgramLimits, ShimConfig};
use agentdeck::shim::wire::Role;
use serde_json::Value;

use crate::common::place::Place;
use crate::common::talk::{Talk, run_by, script};
use crate::native::usable;

/// The version of Landlock that has all of what a box asks for.
const WHOLE: u32 = 6;

fn landlock_is_whole() -> bool {
    agentdeck::shim::landlock().is_some_and(|version| version >= WHOLE)
}

/// Does `work` as on a kernel without Landlock: a filter says so to this thread and to all that it
/// starts. Nothing else of a box is different.
fn without_landlock<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let work = || {
        deny_landlock();
        assert_eq!(agentdeck::shim::landlock(), None);
        work()
    };
    std::thread::scope(|scope| scope.spawn(work).join().expect("no panic"))
}

/// Has the three calls of Landlock answer as a kernel does that does not know them.
fn deny_landlock() {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let first = libc::SYS_landlock_create_ruleset as u32;
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut filter = [
        step(LOAD, 0, 0, 0),
        step(AT_LEAST, 0, 1, first),
        step(AT_LEAST, 0, 1, first + 3),
        step(ANSWER, 0, 0, libc::SECCOMP_RET_ALLOW),
        step(ANSWER, 0, 0, libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    rustix::thread::set_no_new_privs(true).expect("no new privileges");
    let (mode, flags) = (libc::c_ulong::from(libc::SECCOMP_SET_MODE_FILTER), 0 as libc::c_ulong);
    // SAFETY: the kernel copies the program, which lives through the call.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const program) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// Makes a box and has `look` look at it; `None` where there are no boxes.
fn in_a_box<T>(look: impl AsyncFnOnce(&Native, &BoxRecord, &Place) -> T) -> Option<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let place = Place::new();
        let engine = usable(&place).await?;
        let record = place.create(&engine).await;
        let seen = look(&engine, &record, &place).await;
        engine.remove(&record).await.expect("removed");
        Some(seen)
    })
}

async fn told(
    engine: &Native,
    record: &BoxRecord,
    place: &Place,
) -> (IsolationLevel, IsolationFact) {
    let isolation = engine.isolation(record, &Asked::from(&place.plan)).await.expect("read back");
    let fact = isolation.facts.iter().find(|fact| fact.name == "landlock").expect("a fact");
    (isolation.level, fact.clone())
}

#[test]
fn a_box_says_whether_it_has_a_second_layer_and_needs_none() {
    let Some((level, fact)) = without_landlock(|| in_a_box(told)) else { return };
    assert_eq!((level, fact.enforcement), (IsolationLevel::Enforced, Enforcement::Off));
    assert!(fact.remedy.is_some() && fact.evidence.contains("this kernel"), "{fact:?}");
    if landlock_is_whole() {
        let (level, fact) = in_a_box(told).expect("a box");
        assert_eq!((level, fact.enforcement), (IsolationLevel::Enforced, Enforcement::Enforced));
        assert!(fact.counts && fact.evidence.contains("3 of 3 refused"), "{fact:?}");
    }
}

/// What a box's programs find when a directory of the host is mounted where none should be, and
/// when what covers the kernel's settings is gone.
async fn through_holes(engine: &Native, record: &BoxRecord, place: &Place) -> String {
    let outside = place.home.path().join("outside");
    std::fs::create_dir(&outside).expect("made");
    std::fs::write(outside.join("secret"), "read ").expect("written");
    let init = record.init_pid;
    let holes = std::thread::spawn(move || make_holes(init, &outside));
    holes.join().expect("no panic").expect("holes");
    // Opened to be written at its end, and nothing is written.
    let attack = "cat /leak/secret; echo x >/leak/written && echo written; \
                  true >>/proc/sys/kernel/core_pattern && echo opened";
    let by_agent = script(engine, record, Role::Agent, attack).await;
    format!("{by_agent} {}", script(engine, record, Role::Root, attack).await)
}

/// Mounts `shown` at `/leak` in a box and uncovers `/proc/sys` there. For a thread of its own.
fn make_holes(init: u32, shown: &Path) -> std::io::Result<()> {
    use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
    use rustix::thread::{LinkNameSpaceType, UnshareFlags};
    let namespace = std::fs::File::open(format!("/proc/{init}/ns/mnt"))?;
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let tree = rustix::mount::open_tree(rustix::fs::CWD, shown, flags)?;
    // SAFETY: parts this thread's root and directory from those of the others.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::FS) }?;
    let kind = Some(LinkNameSpaceType::Mount);
    rustix::thread::move_into_link_name_space(std::os::fd::AsFd::as_fd(&namespace), kind)?;
    std::fs::create_dir("/leak")?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    rustix::mount::move_mount(&tree, "", rustix::fs::CWD, "/leak", flags)?;
    Ok(rustix::mount::unmount("/proc/sys", UnmountFlags::DETACH)?)
}

#[test]
fn a_forgotten_mount_and_an_uncovered_setting_are_shut_all_the_same() {
    // Only root may make such holes, and only root's boxes have settings that they could write.
    if !rustix::process::geteuid().is_root() || !landlock_is_whole() {
        return;
    }
    let Some(open) = without_landlock(|| in_a_box(through_holes)) else { return };
    for fired in ["read", "written", "opened"] {
        assert_eq!(open.matches(fired).count(), 2, "the control: {fired} in {open}");
    }
    let shut = in_a_box(through_holes).expect("a box");
    assert_eq!(shut.matches("Permission denied").count(), 6, "{shut}");
    for fired in ["read ", "written\n", "opened"] {
        assert!(!shut.contains(fired), "{fired} in {shut}");
    }
}

/// A row of the selftest that was asked for alone: its status, and what its control says.
fn row(name: &str) -> Option<(String, String)> {
    let place = tempfile::tempdir().expect("a directory");
    let mut command = Command::new(env!("CARGO_BIN_EXE_agentdeck"));
    command.args(["selftest", "--engine", "native", "--json", "--only", name]);
    command.env("TMPDIR", place.path()).env("AGENTDECK_HOME", place.path().join("home"));
    let output = command.current_dir(place.path()).output().expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("the native engine cannot be used") {
        return None;
    }
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let text = |key: &str| report["attacks"][0][key].as_str().unwrap_or_default().to_owned();
    Some((text("status"), text("control")))
}

#[test]
fn a_descriptor_that_reached_a_box_opens_nothing_of_the_host() {
    let without = without_landlock(|| row("leaked-descriptor"));
    let Some((status, control)) = without else { return };
    assert_eq!(status, "not-applicable");
    let read = control.matches("below a descriptor: read").count();
    assert_eq!(read, 2, "the control: agent and root read it in a box: {control}");
    if landlock_is_whole() {
        let (status, control) = row("leaked-descriptor").expect("boxes");
        assert_eq!((status.as_str(), control.as_str()), ("held", "1 of 1"));
    }
}

/// A shim in the host's own namespaces, but for that of users, in which it may confine itself.
struct Bare {
    process: Child,
    directory: tempfile::TempDir,
}

impl Bare {
    /// Starts one, and waits until it listens; `None` where this user may make no namespace.
    fn start(confined: bool) -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name);
        for name in ["run", "inside", "outside"] {
            std::fs::create_dir(path(name)).expect("made");
        }
        std::fs::write(path("outside/secret"), "x").expect("written");
        let system = ["/usr", "/bin", "/lib", "/lib64"].map(PathBuf::from);
        let own = [path("inside"), path("run"), env!("CARGO_BIN_EXE_agentdeck").into()];
        let places = system.into_iter().chain(own).collect();
        let config = ShimConfig {
            run_directory: path("run").to_string_lossy().into_owned(),
            workspace: path("inside").to_string_lossy().into_owned(),
            environment: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            agent_user: 0,
            agent_group: 0,
            drop_privileges: false,
            relay: None,
            limits: ProgramLimits::default(),
            accounts: None,
            confinement: confined.then_some(Confinement { places }),
            notices: None,
        };
        let config = serde_json::to_vec(&config).expect("text");
        std::fs::write(path("run/shim.json"), config).expect("written");
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", env!("CARGO_BIN_EXE_agentdeck"), "shim"]);
        let process = command.arg(path("run/shim.json")).spawn().expect("unshare");
        let mut bare = Self { process, directory };
        let socket = bare.directory.path().join("run/shim.sock");
        // It stands there before it can be connected to.
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            if bare.process.try_wait().expect("asked").is_some() {
                return None;
            }
            std::thread::yield_now();
        }
        Some(bare)
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_string_lossy().into_owned()
    }

    async fn run(&self, command: &[&str]) -> String {
        let socket = self.path("run/shim.sock");
        let stream = tokio::net::UnixStream::connect(socket).await.expect("it listens");
        let outcome = run_by(Talk::over(stream).await, command).await;
        assert_eq!(outcome.errors, "");
        outcome.output
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Says what it could do. The last two are its own right, with any second layer.
const ATTACK: &str = r#"
    use Socket;
    my ($directory, $outsider, $name) = @ARGV;
    my $device;
    print "read " if open(my $file, "<", "$directory/outside/secret");
    print "written " if open(my $file, ">", "$directory/outside/new");
    print "signalled " if kill(0, $outsider);
    socket(my $socket, PF_UNIX, SOCK_STREAM, 0);
    print "connected " if connect($socket, pack_sockaddr_un("\0$name"));
    open($device, "<", "/dev/full");
    my $answer = "\0" x 64;
    print "steered " unless ioctl($device, 0x5401, $answer) or $! == 13;
    print "own-file " if open(my $file, ">", "$directory/inside/new");
    print "own-signal " if kill(0, $$) and kill(0, getppid());
"#;

async fn attacked(bare: &Bare) -> (String, Claims) {
    let name = format!("agentdeck-test-{}-{}", std::process::id(), bare.process.id());
    let address = SocketAddr::from_abstract_name(&name).expect("an address");
    let _listener = UnixListener::bind_addr(&address).expect("bound");
    let outsider = std::process::id().to_string();
    let directory = bare.directory.path().to_string_lossy().into_owned();
    let could = bare.run(&["perl", "-e", ATTACK, &directory, &outsider, &name]).await;
    let claims = bare.run(&["/proc/self/exe", "shim-probe", "word"]).await;
    (could, serde_json::from_str(&claims).expect("claims"))
}

#[tokio::test]
async fn landlock_alone_keeps_files_signals_sockets_and_devices() {
    if !landlock_is_whole() {
        return;
    }
    let Some(bare) = Bare::start(false) else { return };
    let (could, claims) = attacked(&bare).await;
    assert_eq!(could, "read written signalled connected steered own-file own-signal");
    assert!(claims.second_layer.iter().all(|tried| !tried.refused_by_landlock()), "{claims:?}");
    let confined = Bare::start(true).expect("another");
    let (could, claims) = attacked(&confined).await;
    assert_eq!(could, "own-file own-signal");
    assert_eq!(claims.second_layer.len(), 3);
    assert!(claims.second_layer.iter().all(Attempt::refused_by_landlock), "{claims:?}");
}

#[tokio::test]
async fn what_programs_do_every_day_is_open_to_them() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    for (work, answer) in [
        ("cd /tmp; mkdir -p a b; echo x >a/f; mv a/f b/f; ln b/f a/g; mv a c; cat c/g", "x"),
        ("mkdir -p n/m; echo x >n/f; mv n/f n/m/; ln -s m/f n/l; cat n/l; rm -r n", "x"),
        ("echo x >/dev/shm/s; cat /dev/shm/s; mkfifo /tmp/p; head -c2 /dev/zero | wc -c", "x\n2"),
        ("for d in usr/local/bin etc opt var/tmp srv mnt run home; do echo x >/$d/x; done", ""),
        ("echo x >/dev/null; echo y >/dev/stdout; ls / >/dev/null; cat /proc/self/comm", "y\ncat"),
        ("(sleep 60 & kill $!; wait $!; echo $?) 2>/dev/null", "143"),
    ] {
        for role in [Role::Agent, Role::Root] {
            assert_eq!(script(&engine, &record, role, work).await, answer, "{work}");
            script(&engine, &record, role, "rm -rf /tmp/*").await;
        }
    }
    for beyond in ["mkdir /elsewhere", "echo 7 >/proc/self/oom_score_adj"] {
        let told = script(&engine, &record, Role::Root, beyond).await;
        assert_eq!(told.ends_with("Permission denied"), landlock_is_whole(), "{beyond}: {told}");
    }
    engine.remove(&record).await.expect("removed");
}

/// One domain for all of a box: what a person starts beside the agent sees and ends what it did.
#[tokio::test]
async fn what_was_started_apart_is_signalled_and_seen() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let start = "setsid sleep 600 >/dev/null 2>&1 & echo $!";
    let pid = script(&engine, &record, Role::Agent, start).await;
    let look =
        format!("tr '\\0' '\\n' </proc/{pid}/environ | grep -c ^HOME=; kill {pid} && echo sent");
    assert_eq!(script(&engine, &record, Role::Agent, &look).await, "1\nsent");
    engine.remove(&record).await.expect("removed");
}

#[tokio::test]
async fn programs_are_ended_before_the_shim_when_memory_runs_out() {
    let place = Place::new();
    let Some(engine) = usable(&place).await else { return };
    let record = place.create(&engine).await;
    let told = script(&engine, &record, Role::Agent, "cat /proc/self/oom_score_adj").await;
    assert_eq!(told, "300");
    let read = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj"));
    let shim = read(&record.init_pid.to_string()).expect("read");
    assert_eq!(shim, read("self").expect("read"), "the shim's own is as it was");
    engine.remove(&record).await.expect("removed");
}
