//! What every engine's boxes must do. Scripts here need a POSIX shell and small tools only.

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use agentdeck::engine::{Asked, BoxEvent, BoxRecord, BoxState, Engine};
use agentdeck::model::id::{EnvironmentName, SessionId};
use agentdeck::model::policy::{EngineKind, IsolationLevel, LimitSupport, Limits};
use agentdeck::model::screen::Size;
use agentdeck::shim::wire::{Frame, Role, ShimEvent, ShimRequest};

use crate::common::place::Place;
use crate::common::talk::{Outcome, PATIENCE, SIZE, Talk, program, run, script};

pub use crate::conformance_streams::{
    a_port_is_listed_and_dialled, files_go_in_and_out_with_the_agents_rights,
};

/// Hands every case to a macro that makes tests of them for an engine, so that none is forgotten.
macro_rules! every_case {
    ($make:ident) => {
        $make!(
            a_box_lives_and_keeps_its_layer,
            a_session_is_a_terminal,
            a_command_has_pipes,
            a_command_dies_with_its_connection,
            rights_follow_the_role,
            the_workspace_is_the_users,
            a_reader_never_holds_a_program_up,
            a_port_is_listed_and_dialled,
            files_go_in_and_out_with_the_agents_rights,
            a_paused_box_stands_still,
            the_end_of_a_box_is_told,
            what_a_box_uses_is_counted,
            processes_are_bounded,
            memory_is_bounded,
            a_fork_has_a_layer_of_its_own,
        );
    };
}
pub(crate) use every_case;

const GRACE: Duration = Duration::from_secs(1);

const SHELL: SessionId = SessionId(1);

/// Created, listed, stopped, started with its layer, removed.
pub async fn a_box_lives_and_keeps_its_layer(engine: &dyn Engine, place: &Place) {
    let plan = &place.plan;
    let record = place.create(engine).await;
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    assert_eq!(engine.list(&plan.deck).await, Ok(vec![plan.environment.clone()]));
    assert_eq!(engine.list("0123456789abcdef").await, Ok(Vec::new()));
    script(engine, &record, Role::Root, "echo kept >/usr/kept; echo kept >/etc/kept").await;
    engine.stop(&record, GRACE).await.expect("stopped");
    engine.stop(&record, GRACE).await.expect("stopping twice is fine");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Stopped));
    let record = engine.start(plan, &record).await.expect("started");
    assert_eq!(script(engine, &record, Role::Agent, "cat /usr/kept /etc/kept").await, "kept\nkept");
    engine.remove(&record).await.expect("removed");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Gone));
    assert_eq!(engine.list(&plan.deck).await, Ok(Vec::new()));
}

/// A terminal echoes, knows its size, and tells the exit code after its last output.
pub async fn a_session_is_a_terminal(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let mut talk = Talk::with(engine, &record).await;
    talk.start(SHELL, &["sh"]).await;
    talk.keys(SHELL, "stty size; pwd; echo a$((20+22))\n").await;
    talk.see("a42").await;
    assert!(talk.text().contains("24 80"), "{}", talk.text());
    assert!(talk.text().contains(&place.plan.mount.display().to_string()), "{}", talk.text());
    let size = Size { columns: 100, rows: 30 };
    talk.ask(&ShimRequest::Resize { session: SHELL, size }).await;
    talk.keys(SHELL, "stty size; echo b$((20+22))\n").await;
    talk.see("b42").await;
    assert!(talk.text().contains("30 100"), "{}", talk.text());
    talk.keys(SHELL, "echo last; exit 7\n").await;
    let exited = loop {
        if let Some(event) = talk.next().await {
            break event;
        }
    };
    assert_eq!(exited, ShimEvent::Exited { session: SHELL, code: 7 });
    assert!(talk.text().ends_with("last\r\n"), "{}", talk.text());
    let again = Talk::with(engine, &record).await;
    assert_eq!(again.sessions.len(), 1, "the ring stays until the session is closed");
    assert_eq!(again.sessions[0].ring_end, talk.output.len() as u64);
    assert_eq!((again.sessions[0].size, again.sessions[0].exited), (size, Some(7)));
    engine.remove(&record).await.expect("removed");
}

/// Exit codes, standard input and standard error arrive; what does not exist is named.
pub async fn a_command_has_pipes(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let shell = ["sh", "-c", "cat; echo e >&2; exit 3"];
    let large = vec![b'x'; 300_000];
    let outcome = run(engine, &record, Role::Agent, &shell, &large).await.expect("started");
    assert_eq!((outcome.code, outcome.output.len()), (3, large.len()));
    assert_eq!(outcome.errors, "e");
    let killed = run(engine, &record, Role::Agent, &["sh", "-c", "kill -9 $$"], b"").await;
    assert_eq!(killed, Ok(Outcome { code: 137, output: String::new(), errors: String::new() }));
    let unknown = run(engine, &record, Role::Agent, &["no-such-program"], b"").await;
    assert_eq!(unknown, Err("command not found: no-such-program".to_owned()));
    let mut talk = Talk::with(engine, &record).await;
    let program = program(Role::Agent, &["no-such-program"]);
    talk.ask(&ShimRequest::Start { session: SHELL, program, size: SIZE }).await;
    let failed = ShimEvent::StartFailed {
        session: SHELL,
        message: "command not found: no-such-program".to_owned(),
        not_found: true,
    };
    assert_eq!(talk.next().await, Some(failed));
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    engine.remove(&record).await.expect("removed");
}

/// A command ends when its connection does.
pub async fn a_command_dies_with_its_connection(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let mut talk = Talk::with(engine, &record).await;
    let sleeper = program(Role::Agent, &["sh", "-c", "echo on; sleep 1234 & wait"]);
    talk.ask(&ShimRequest::Exec { program: sleeper }).await;
    assert!(matches!(talk.frame().await, Some(Frame::ExecOutput { .. })));
    drop(talk);
    let gone = "while cat /proc/[0-9]*/cmdline 2>/dev/null | grep -q 'sleep.123[4]'; do :; done; echo gone";
    assert_eq!(script(engine, &record, Role::Agent, gone).await, "gone");
    engine.remove(&record).await.expect("removed");
}

/// The agent has no capability, the box's root a container's.
pub async fn rights_follow_the_role(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    each_role_has_its_rights(engine, &record).await;
    let isolation = engine.isolation(&record, &Asked::from(&place.plan)).await.expect("read back");
    assert_eq!(isolation.level, IsolationLevel::Enforced, "{isolation:#?}");
    engine.remove(&record).await.expect("removed");
}

pub async fn each_role_has_its_rights(engine: &dyn Engine, record: &BoxRecord) {
    let read = "grep -E '^(CapPrm|CapBnd|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status";
    let agent = script(engine, record, Role::Agent, read).await;
    assert_eq!(
        agent,
        "CapPrm:\t0000000000000000\nCapBnd:\t0000000000000000\nCapAmb:\t0000000000000000\n\
         NoNewPrivs:\t1\nSeccomp:\t2"
    );
    let root = script(engine, record, Role::Root, read).await;
    assert!(root.contains("CapPrm:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\n"), "{root}");
}

/// What is made in the workspace is the user's outside, and the git directory cannot be taken away.
pub async fn the_workspace_is_the_users(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let work = "cat hello; echo new >made; mkdir deep; echo x >deep/er; rm -rf .git 2>/dev/null; \
                test -d .git && echo still";
    assert_eq!(script(engine, &record, Role::Agent, work).await, "hello\nstill");
    for name in ["made", "deep", "deep/er"] {
        let made = std::fs::metadata(place.plan.workspace.join(name)).expect("made");
        assert_eq!(made.uid(), rustix::process::geteuid().as_raw(), "{name}");
    }
    assert!(place.plan.workspace.join(".git").read_dir().expect("there").next().is_none());
    engine.remove(&record).await.expect("removed");
}

/// A reader that leaves in the middle of a flood loses nothing that the ring still has, and a
/// reader that stands still does not hold the program up.
pub async fn a_reader_never_holds_a_program_up(engine: &dyn Engine, place: &Place) {
    const LINES: usize = 60_000;
    let record = place.create(engine).await;
    let mut idle = Talk::with(engine, &record).await;
    let flood =
        format!("i=0; while [ $i -lt {LINES} ]; do i=$((i+1)); echo line-$i; done; echo all");
    idle.start(SHELL, &["sh", "-c", &flood]).await;
    let mut leaving = Talk::with(engine, &record).await;
    leaving.ask(&ShimRequest::Follow { session: SHELL, from: 0 }).await;
    leaving.see("line-100\r").await;
    let mut offset = leaving.output.len() as u64;
    let mut seen = std::mem::take(&mut leaving.output);
    drop(leaving);
    // `idle` followed and never reads; the program must come to its end all the same.
    let mut back = Talk::with(engine, &record).await;
    back.ask(&ShimRequest::Follow { session: SHELL, from: offset }).await;
    loop {
        match back.frame().await.expect("a frame") {
            Frame::Output { offset: at, bytes, .. } => {
                assert_eq!(at, offset, "nothing is lost or told twice");
                offset += bytes.len() as u64;
                seen.extend(bytes);
            }
            Frame::Control(json) => {
                match serde_json::from_slice(&json).expect("an event") {
                    // Told of any session, when it comes to be known.
                    ShimEvent::Foreground { .. } => {}
                    ShimEvent::Exited { session: SHELL, code: 0 } => break,
                    other => panic!("{other:?} was not asked for"),
                }
            }
            other => panic!("{other:?} was not asked for"),
        }
    }
    let wanted: Vec<String> = (1..=LINES).map(|line| format!("line-{line}\r\n")).collect();
    let wanted = wanted.concat() + "all\r\n";
    assert!(String::from_utf8_lossy(&seen) == wanted, "every line, in order, once");
    engine.remove(&record).await.expect("removed");
}

/// A paused box stands still, says so, and its shim still answers; resumed it goes on.
pub async fn a_paused_box_stands_still(engine: &dyn Engine, place: &Place) {
    if !engine.probe().await.capabilities.pause {
        return;
    }
    let record = place.create(engine).await;
    let mut talk = Talk::with(engine, &record).await;
    talk.start(SHELL, &["sh", "-c", "while :; do (echo x >>grows); done"]).await;
    let grows = place.plan.workspace.join("grows");
    let length = || std::fs::metadata(&grows).map_or(0, |found| found.len());
    let grown = async |than: u64| {
        while length() <= than {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, grown(0)).await.expect("it runs");
    engine.pause(&record).await.expect("paused");
    engine.pause(&record).await.expect("pausing twice is fine");
    let stood = length();
    for _ in 0..50 {
        assert_eq!(engine.state(&record).await, Ok(BoxState::Paused));
    }
    // A shim that stands still with its box is not waited for.
    match engine.open_channel(&record).await {
        Ok(_) => assert_eq!(Talk::with(engine, &record).await.sessions.len(), 1),
        Err(failure) => assert!(failure.message.contains("paused"), "{failure:?}"),
    }
    assert_eq!(length(), stood);
    engine.resume(&record).await.expect("resumed");
    engine.resume(&record).await.expect("resuming twice is fine");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running));
    tokio::time::timeout(PATIENCE, grown(stood)).await.expect("it goes on");
    engine.pause(&record).await.expect("paused again");
    engine.remove(&record).await.expect("a paused box is removed too");
}

/// A box is waited for, and its end is told to who listens.
pub async fn the_end_of_a_box_is_told(engine: &dyn Engine, place: &Place) {
    let mut events = engine.events(&place.plan.deck);
    let record = place.create(engine).await;
    let (waited, killed) = tokio::join!(engine.wait(&record), engine.kill(&record));
    killed.expect("killed");
    if let Ok(ending) = waited {
        assert!(!ending.out_of_memory, "{ending:?}");
    }
    let ended = async {
        loop {
            match events.recv().await {
                Some(BoxEvent::Moved { .. }) => {}
                other => return other,
            }
        }
    };
    if let Some(event) = tokio::time::timeout(PATIENCE, ended).await.expect("in time") {
        let BoxEvent::Ended { environment, ending } = event else { panic!("{event:?}") };
        assert_eq!((environment, ending.out_of_memory), (record.environment.clone(), false));
    }
    assert_eq!(engine.state(&record).await, Ok(BoxState::Stopped));
    engine.remove(&record).await.expect("removed");
}

/// What a box uses is counted, without its shim.
pub async fn what_a_box_uses_is_counted(engine: &dyn Engine, place: &Place) {
    let record = place.create(engine).await;
    let Some(before) = engine.usage(std::slice::from_ref(&record)).await[0] else { return };
    let mut talk = Talk::with(engine, &record).await;
    let busy = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 1000 & echo spent; wait";
    talk.start(SHELL, &["sh", "-c", busy]).await;
    talk.see("spent").await;
    let after = engine.usage(&[record.clone(), record.clone()]).await;
    let after = after[1].expect("counted");
    assert!(after.cpu >= before.cpu + Duration::from_millis(20), "{before:?} {after:?}");
    assert_eq!(after.processes, before.processes + 2, "{before:?} {after:?}");
    assert!(after.memory > 0, "{after:?}");
    engine.remove(&record).await.expect("removed");
}

/// No more processes than the box was given, whoever starts them.
pub async fn processes_are_bounded(engine: &dyn Engine, place: &mut Place) {
    let bomb = "i=0; while [ $i -lt 60 ]; do i=$((i+1)); sleep 1000 & done; echo all";
    let record = place.create(engine).await;
    assert_eq!(script(engine, &record, Role::Agent, bomb).await, "all", "the control runs");
    engine.remove(&record).await.expect("removed");
    place.plan.limits.processes = Some(30);
    let record = place.create(engine).await;
    let outcome = script(engine, &record, Role::Agent, bomb).await;
    assert!(!outcome.contains("all") && outcome.contains("fork"), "{outcome}");
    engine.remove(&record).await.expect("removed");
}

/// The kernel ends what uses more memory than the box was given, and that is told.
pub async fn memory_is_bounded(engine: &dyn Engine, place: &mut Place) {
    if engine.probe().await.capabilities.limits != LimitSupport::Cgroup {
        return;
    }
    // `tail` keeps all of an unfinished line.
    let bomb = "head -c 200000000 /dev/zero | tail -n 1 | wc -c";
    let mut events = engine.events(&place.plan.deck);
    let record = place.create(engine).await;
    assert_eq!(script(engine, &record, Role::Agent, bomb).await, "200000000", "the control runs");
    engine.remove(&record).await.expect("removed");
    place.plan.limits.memory = Some(100 << 20);
    let record = place.create(engine).await;
    let outcome = script(engine, &record, Role::Agent, bomb).await;
    assert!(!outcome.contains("200000000"), "{outcome}");
    let told = async {
        while let Some(event) = events.recv().await {
            if matches!(event, BoxEvent::OutOfMemory { .. }) {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, told).await.expect("out of memory is told");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running), "the shim is not what ends");
    let limits = Limits { memory: Some(400 << 20), ..Limits::default() };
    engine.update_limits(&record, &limits).await.expect("raised while it runs");
    assert_eq!(script(engine, &record, Role::Agent, bomb).await, "200000000");
    engine.remove(&record).await.expect("removed");
}

/// A fork has what its origin had and took away, and neither sees what the other does later.
pub async fn a_fork_has_a_layer_of_its_own(engine: &dyn Engine, place: &Place) {
    if !engine.probe().await.capabilities.fork {
        return;
    }
    let mut other = Place::new();
    other.plan.name = EnvironmentName::parse("calm-heron").expect("a name");
    other.plan.image.clone_from(&place.plan.image);
    other.plan.deck.clone_from(&place.plan.deck);
    other.plan.runtime.clone_from(&place.plan.runtime);
    let record = place.create(engine).await;
    let change = "cd /etc && echo kept >kept && ln kept again && ln -s nowhere link && \
                  rm -f passwd- os-release && rm -rf alternatives skel && mkdir skel && \
                  mkdir shut && echo in >shut/in && chmod 000 shut && \
                  mkfifo pipe && truncate -s 3221225472 hole && chmod 4755 kept";
    assert_eq!(script(engine, &record, Role::Root, change).await, "");
    let (progress, _reports) = tokio::sync::mpsc::channel(1);
    engine.fork(&record, &other.plan, &progress).await.expect("forked");
    assert_eq!(engine.state(&record).await, Ok(BoxState::Running), "the origin goes on");
    let fork = other.create(engine).await;
    let look = "cd /etc; cat kept again shut/in; ls -A skel; readlink link; stat -c '%h %a' kept; \
                stat -c '%a %s' shut hole | sed 's/ [0-9]*$//;1q'; stat -c %s hole; \
                test ! -e os-release && test ! -e alternatives && echo gone";
    let whole = "kept\nkept\nin\nnowhere\n2 4755\n0\n3221225472\ngone";
    assert_eq!(script(engine, &fork, Role::Root, look).await, whole);
    assert_eq!(script(engine, &record, Role::Root, look).await, whole);
    // A kernel of the box's own keeps pipes to itself, and they end with it.
    let kept = place.plan.runtime.is_none();
    let pipe = "test -p /etc/pipe && echo pipe";
    assert_eq!(script(engine, &record, Role::Root, pipe).await, "pipe");
    assert_eq!(script(engine, &fork, Role::Root, pipe).await, if kept { "pipe" } else { "" });
    assert_eq!(script(engine, &fork, Role::Agent, "cat /etc/hostname").await, "calm-heron");
    script(engine, &fork, Role::Root, "echo fork >/etc/kept").await;
    script(engine, &record, Role::Root, "echo origin >/etc/again").await;
    // Where layers are stacked, names of one file part when it is first written.
    let other_name = script(engine, &fork, Role::Root, "cat /etc/again").await;
    let stacked = engine.kind() == EngineKind::Docker;
    assert_eq!(other_name, if stacked { "kept" } else { "fork" });
    assert_eq!(script(engine, &record, Role::Root, "cat /etc/kept").await, "origin");
    let again = engine.fork(&record, &other.plan, &progress).await;
    assert!(again.is_err(), "nothing is written over");
    engine.remove(&fork).await.expect("removed");
    engine.remove(&record).await.expect("removed");
}
