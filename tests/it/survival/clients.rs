//! Clients whose server dies, or is of another version: they stay, say so, and go on.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use agentdeck::client::Client;
use agentdeck::model::failure::FailureKind;
use agentdeck::proto::conn::{Receiver, Sender};
use agentdeck::proto::{ClientMessage, SOCKET, ServerMessage, VERSION, wire};
use rustix::fs::{FlockOperation, flock};

use super::wait_until;
use crate::common::home::TestHome;
use crate::common::pty::Pty;

/// Answers each line that is typed.
const ECHO: &str = "echo ready; while read -r line; do echo \"got <$line>\"; done";

fn home_with_agent() -> TestHome {
    let test = TestHome::new();
    test.agentdeck(&["new", "brave-otter", "--", "sh", "-c", ECHO]).ok();
    test
}

/// Kills the server and keeps every other from starting until the lock is dropped.
fn kill_and_hold(test: &TestHome) -> File {
    let lock = File::open(test.home.join("server.lock")).expect("a lock");
    // It waits for the lock before the server dies, so that it is the first to get it.
    let waiting = std::thread::spawn(move || {
        flock(&lock, FlockOperation::LockExclusive).expect("locked");
        lock
    });
    let inode = std::os::unix::fs::MetadataExt::ino(
        &std::fs::metadata(test.home.join("server.lock")).expect("a lock"),
    );
    wait_until("the lock is waited for", || {
        let locks = std::fs::read_to_string("/proc/locks").expect("read");
        locks.lines().any(|line| line.contains("->") && line.contains(&format!(":{inode} ")))
    });
    test.end_server();
    waiting.join().expect("the lock")
}

#[test]
fn the_deck_stays_without_its_server_and_takes_up_where_it_was() {
    let test = home_with_agent();
    let mut deck = Pty::open(&test, &[], 100, 30);
    deck.wait_for_text("ready");
    deck.send("\r");
    deck.wait_for_text("Ctrl+Q");
    deck.send("before\r");
    deck.wait_for_text("got <before>");
    let held = kill_and_hold(&test);
    let shown = deck.wait_for_text("server gone, reconnecting");
    assert!(shown.contains("got <before>"), "the screen stays:\n{shown}");
    deck.send("xyz");
    deck.wait_for_text("3 keys not sent");
    drop(held);
    deck.wait_for_text("the server is back; 3 keys typed meanwhile went nowhere");
    let before = test.server().expect("a server");
    take_again(&mut deck);
    deck.send("after\r");
    let shown = deck.wait_for_text("got <after>");
    assert!(shown.contains("got <before>") && !shown.contains("xyz"), "{shown}");
    assert_eq!(test.server(), Some(before), "one server, which stays");
    deck.send("\x11");
    deck.wait_for("the deck's own keys", |screen| !screen.contents().contains("Ctrl+Q"));
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    deck.assert_restored();
}

/// Presses Enter until the keyboard is held: right after an interruption keys are refused.
fn take_again(deck: &mut Pty) {
    let held = |text: &str| text.contains("Ctrl+Q");
    wait_until("the keyboard is taken again", || {
        if !held(&deck.text()) {
            std::thread::sleep(Duration::from_millis(450));
            deck.send("\r");
            deck.settle();
        }
        held(&deck.text())
    });
}

#[test]
fn an_attached_session_stays_through_the_death_of_its_server() {
    let test = home_with_agent();
    let mut session = Pty::open(&test, &["attach", "brave-otter"], 100, 30);
    session.wait_for_text("ready");
    session.send("before\r");
    session.wait_for_text("got <before>");
    test.end_server();
    session.wait_for_text("the server is back");
    session.wait_for_text("gives it back");
    session.send("after\r");
    let shown = session.wait_for_text("got <after>");
    assert!(shown.contains("got <before>"), "{shown}");
    session.send("\x11");
    assert_eq!(session.wait_for_end(), 0);
    session.assert_restored();
}

#[test]
fn a_server_that_was_stopped_on_purpose_is_started_by_a_key() {
    let test = home_with_agent();
    let mut deck = Pty::open(&test, &[], 100, 30);
    deck.wait_for_text("ready");
    test.agentdeck(&["server", "stop"]).ok();
    deck.wait_for_text("server stopped · R starts it");
    assert_eq!(test.server(), None, "nobody starts one by itself");
    deck.send("R");
    deck.wait_for_text("the server is back");
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
}

/// Where a server of another version is told to listen, and which version it speaks.
const FAKE_HOME: &str = "AGENTDECK_TEST_FAKE_HOME";
const FAKE_VERSION: &str = "AGENTDECK_TEST_FAKE_VERSION";

/// Not a test: the process that `Fake` starts.
#[test]
#[ignore = "started by the tests of versions"]
fn a_server_of_another_version() {
    let Some(home) = std::env::var_os(FAKE_HOME).map(std::path::PathBuf::from) else { return };
    let version = std::env::var(FAKE_VERSION).expect("a version").parse().expect("a number");
    let lock = File::options().create(true).append(true).open(home.join("server.lock"));
    let lock = lock.expect("a lock");
    flock(&lock, FlockOperation::LockExclusive).expect("locked");
    let listener = agentdeck::socket::bind(&home, SOCKET).expect("bound");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a client");
        let mut hello = [0; 1024];
        if stream.read(&mut hello).is_ok_and(|count| count > 0) {
            let mut welcome = Vec::new();
            let message = ServerMessage::Welcome { version, pid: std::process::id() };
            wire::encode(&message, &mut welcome).expect("encoded");
            let _ = stream.write_all(&welcome);
        }
    }
}

/// A server of another version, in a process of its own.
struct Fake(Child);

impl Fake {
    fn start(test: &TestHome, version: u32) -> Self {
        test.end_server();
        let _ = std::fs::remove_file(test.home.join(SOCKET));
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.args(["--ignored", "--exact", "survival::clients::a_server_of_another_version"]);
        command.env(FAKE_HOME, &test.home).env(FAKE_VERSION, version.to_string());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let fake = Self(command.spawn().expect("started"));
        wait_until("it listens", || test.home.join(SOCKET).exists());
        fake
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_older_server_is_named_and_replaced_and_the_agents_stay() {
    let test = home_with_agent();
    let before = test.agentdeck(&["inspect", "brave-otter", "--json"]).json()["init_pid"].clone();
    let mut fake = Fake::start(&test, VERSION - 1);
    test.agentdeck(&["ls"]).fails(1, &["older than this program", "agentdeck server restart"]);
    test.agentdeck(&["server", "restart"]).ok();
    assert!(fake.0.wait().is_ok(), "it has ended");
    let after = test.agentdeck(&["inspect", "brave-otter", "--json"]).json()["init_pid"].clone();
    assert_eq!(before, after);

    let _fake = Fake::start(&test, VERSION - 1);
    let mut deck = Pty::open(&test, &[], 100, 30);
    deck.wait_for_text("restart it? the agents go on");
    deck.send("\r");
    deck.wait_for_text("ready");
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
}

#[test]
fn a_deck_whose_next_server_is_older_offers_to_replace_it() {
    let test = home_with_agent();
    let mut deck = Pty::open(&test, &[], 100, 30);
    deck.wait_for_text("ready");
    test.agentdeck(&["server", "stop"]).ok();
    deck.wait_for_text("server stopped");
    let _fake = Fake::start(&test, VERSION - 1);
    deck.wait_for_text("an older server runs");
    deck.send("R");
    deck.wait_for_text("the server is back");
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
}

#[test]
fn a_newer_server_is_left_alone_and_said_so() {
    let test = home_with_agent();
    let mut deck = Pty::open(&test, &[], 100, 30);
    deck.wait_for_text("ready");
    test.agentdeck(&["server", "stop"]).ok();
    let mut fake = Fake::start(&test, VERSION + 1);
    test.agentdeck(&["ls"]).fails(1, &["newer than this program", "run the newer agentdeck"]);
    assert_ne!(deck.wait_for_end(), 0, "what it shows could be wrong");
    deck.assert_restored();
    assert!(String::from_utf8_lossy(&deck.raw).contains("newer than this program"));
    assert!(fake.0.try_wait().expect("asked").is_none(), "it goes on");
}

#[tokio::test]
async fn a_client_of_another_version_is_told_ours_and_served_nothing() {
    let test = TestHome::new();
    test.agentdeck(&["server", "start"]).ok();
    for version in [0, VERSION - 1, VERSION + 1, u32::MAX] {
        let stream = agentdeck::socket::connect(&test.home, SOCKET).expect("connected");
        stream.set_nonblocking(true).expect("set");
        let stream = tokio::net::UnixStream::from_std(stream).expect("taken");
        let (reader, writer) = stream.into_split();
        let mut sender = Sender::new(writer);
        sender.send(&ClientMessage::Hello { version }).await.expect("said");
        let mut receiver = Receiver::<_, ServerMessage>::new(reader);
        let welcome = receiver.receive().await.expect("told");
        assert!(matches!(welcome, Some(ServerMessage::Welcome { version: VERSION, .. })));
        assert!(matches!(receiver.receive().await, Ok(None) | Err(_)), "the connection ends");
    }
    let (client, _events) = Client::connect(&test.home).await.expect("the right one is served");
    assert_eq!(client.home(), Some(test.home.as_path()));
    drop(client);
    let missing = test.path().join("missing");
    let failure = Client::connect(&missing).await.expect_err("nobody there");
    assert_eq!(failure.kind, FailureKind::Unavailable);
}
