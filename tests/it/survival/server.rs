//! Kills of the server: agents go on, their screens are whole, half-made work is finished.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use agentdeck::engine::Engine;
use agentdeck::engine::native::Native;
use agentdeck::model::id::EnvironmentId;
use agentdeck::model::input::KeyCode;
use agentdeck::model::screen::Screen;
use rustix::process::Signal;
use serde_json::Value;

use super::{
    Agent, Deck, Dice, Watching, finished, kill, lives, names, process, rounds, wait_until,
};

/// Prints numbered lines, some thousand a second, and changes a file, until it is told to stop.
const PRINTER: &str = "echo $$ >pid; i=0; while [ ! -e stop ]; do i=$((i+1)); echo \"line $i\"; \
    if [ $((i % 50)) = 0 ]; then echo $i >progress; sleep 0.02; fi; done; \
    echo \"end $i\"; exec sleep 1000";

#[tokio::test]
async fn four_agents_go_on_through_kills_of_the_server() {
    let mut dice = Dice::new();
    let deck = Deck::new(3);
    let agents = ["ant", "bee", "cat", "dog"].map(|name| deck.make(name, PRINTER));
    for agent in &agents {
        agent.wait_for("pid");
    }
    let before: Vec<_> = agents.iter().map(|agent| deck.processes(agent)).collect();
    let mut known = agents.each_ref().map(|_| Vec::new());
    for _ in 0..rounds(5) {
        dice.linger(Duration::from_millis(400));
        deck.kill_server();
        dice.linger(Duration::from_millis(300));
        for agent in &agents {
            deck.wait_for_state(&agent.name, "running");
        }
        for (agent, known) in agents.iter().zip(&mut known) {
            let now = deck.snapshots(&agent.name);
            let lost: Vec<_> = known.iter().filter(|id| !now.contains(id)).collect();
            assert!(lost.is_empty(), "{}: snapshots {lost:?} are lost", agent.name);
            *known = now;
        }
    }
    let after: Vec<_> = agents.iter().map(|agent| deck.processes(agent)).collect();
    assert_eq!(before, after);
    for agent in &agents {
        agent.tell("stop");
        let mut watching = Watching::new(&deck, agent).await;
        watching.see_text("end ").await;
        let lines = watching.history().await;
        assert_contiguous(&lines);
    }
}

/// Asserts that the lines count up one by one to the end.
fn assert_contiguous(lines: &[String]) {
    let number = |line: &String| line.strip_prefix("line ").and_then(|text| text.parse().ok());
    let numbers: Vec<u64> = lines.iter().filter_map(number).collect();
    assert!(numbers.len() > 500, "only {} lines", numbers.len());
    for pair in numbers.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "in {lines:#?}");
    }
    let end = format!("end {}", numbers.last().expect("lines"));
    let others: Vec<_> =
        lines.iter().filter(|line| number(line).is_none() && !line.is_empty()).collect();
    assert_eq!(others, [&end]);
}

#[tokio::test]
async fn a_flood_is_read_whole() {
    let deck = Deck::new(3);
    let flood = "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); echo \"line $i\"; done; \
        echo \"end $i\"; exec sleep 1000";
    let agent = deck.make("ant", flood);
    let mut watching = Watching::new(&deck, &agent).await;
    watching.see_text("end ").await;
    assert_contiguous(&watching.history().await);
}

/// A full-screen program: paints its size, also when asked to, and floods one row meanwhile.
const FULL_SCREEN: &str = "draw() { printf '\\033[H\\033[2Jsize %s' \"$(stty size)\"; }; \
    enter() { printf '\\033[?1049h\\033[?1h\\033[?2004h'; trap draw WINCH; draw; }; \
    until_told() { while [ ! -e $1 ]; do sleep 0.02; done; }; \
    stty -echo; echo before; [ $1 = early ] && enter; until_told flood; [ $1 = late ] && enter; \
    i=0; while [ $i -lt 90000 ]; do i=$((i+1)); printf '\\033[5;1Hnoise %s' $i; done; \
    >flooded; while :; do read -r line && echo \"$line\" | od -c >typed; done";

#[tokio::test]
async fn a_full_screen_program_is_whole_after_its_ring_lapped_without_a_server() {
    let deck = Deck::new(3);
    for moment in ["early", "late"] {
        deck.ok(&["new", moment, "--", "sh", "-c", FULL_SCREEN, "sh", moment]);
        let inspection = deck.json(&["inspect", moment]);
        let id = inspection["environment"]["id"].as_str().expect("an id");
        let agent = Agent {
            name: moment.to_owned(),
            id: EnvironmentId::parse(id).expect("an id"),
            workspace: inspection["workspace"].as_str().expect("a path").into(),
        };
        let mut watching = Watching::new(&deck, &agent).await;
        watching.see_text(if moment == "early" { "size 40 120" } else { "before" }).await;
        drop(watching);

        deck.kill_server();
        agent.tell("flood");
        agent.wait_for("flooded");

        let mut watching = Watching::new(&deck, &agent).await;
        watching.see("the program's own screen", |screen| screen.modes.alternate_screen).await;
        watching.see("nothing else", |screen| rest_is_empty(screen, "size 40 120")).await;
        assert!(watching.screen.modes.bracketed_paste);
        let notes = deck.json(&["inspect", moment])["environment"]["notes"].to_string();
        assert!(notes.contains("output was lost"), "{notes}");

        watching.press(KeyCode::Up).await;
        watching.press(KeyCode::Enter).await;
        agent.wait_for("typed");
        wait_until("the key is read", || {
            let typed = std::fs::read_to_string(agent.workspace.join("typed")).expect("read");
            typed.contains("033   O   A")
        });
    }
}

fn rest_is_empty(screen: &Screen, first: &str) -> bool {
    screen.rows[0].text() == first && screen.rows[1..].iter().all(|row| row.text().is_empty())
}

#[tokio::test]
async fn a_question_is_answered_once_over_a_kill_of_the_server() {
    let deck = Deck::new(3);
    let script = "stty raw -echo; printf 'asked\\033[c'; cat >answers";
    let agent = deck.make("ant", script);
    let answers = agent.workspace.join("answers");
    let read = || std::fs::read(&answers).unwrap_or_default();
    wait_until("an answer", || !read().is_empty());
    let answer = read();
    deck.kill_server();
    let mut watching = Watching::new(&deck, &agent).await;
    watching.see_text("asked").await;
    // Typed after everything that was replayed, so that a second answer would come before it.
    watching.press(KeyCode::Char('x')).await;
    wait_until("a key", || read().ends_with(b"x"));
    assert_eq!(read(), [answer.as_slice(), b"x"].concat());
}

#[tokio::test]
async fn an_update_that_never_ends_is_shown() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "printf '\\033[?2026hheld back'; exec sleep 1000");
    Watching::new(&deck, &agent).await.see_text("held back").await;
}

/// A lock that a killed server holds would keep its environment from ever taking a snapshot again.
#[test]
fn a_lock_of_a_ref_is_broken_by_the_next_server_and_by_none_beside_the_one_that_runs() {
    let deck = Deck::new(3);
    let agent = deck.make(
        "ant",
        "for file in one two three; do until [ -e go-$file ]; do sleep 0.02; done; \
            echo $file >$file; done; exec sleep 1000",
    );
    let taken = || deck.snapshots("ant").len();
    agent.tell("go-one");
    agent.wait_for("one");
    wait_until("a snapshot", || deck.ok(&["diff", "ant"]).contains("one") && taken() > 1);
    let stores = deck.home.join("repositories");
    let store = stores.join(&names(&stores)[0]).join("snapshots.git");
    let lock = store.join("refs/agentdeck").join(agent.id.as_str()).join("snap.lock");
    assert!(lock.with_extension("").exists(), "the ref that it locks");
    std::fs::write(&lock, "").expect("locked");

    agent.tell("go-two");
    let said = || deck.json(&["inspect", "ant"])["environment"]["notes"].to_string();
    wait_until("it says that there is none", || said().contains("a snapshot could not be taken"));
    assert!(!deck.run(&["server", "run"]).status.success(), "one has the home");
    assert!(lock.exists(), "it may be held");

    let known = stores.join(&names(&stores)[0]).join("stat").join(agent.id.as_str());
    assert!(known.exists(), "what is known of its files");
    let other_lock = known.with_extension("lock");

    let before = taken();
    deck.kill_server();
    std::fs::write(&other_lock, "").expect("locked");
    deck.ok(&["ls"]);
    assert!(!lock.exists() && !other_lock.exists(), "whoever held them is gone");
    agent.tell("go-three");
    agent.wait_for("three");
    wait_until("a snapshot", || taken() > before);
}

#[test]
fn an_environment_half_made_is_finished_by_starting_it() {
    let mut dice = Dice::new();
    let deck = Deck::new(3_000);
    deck.ok(&["ls"]);
    for round in 0..rounds(3) {
        let name = format!("n{round}");
        let server = deck.server();
        let mut making = deck.command(&["new", &name, "--", "sh", "-c", "exec sleep 1000"]);
        let mut making =
            making.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        dice.linger(Duration::from_millis(250));
        kill(server);
        let _ = making.wait();
        let listed = deck.environments();
        let Some(found) = listed.iter().find(|found| found["name"] == name.as_str()) else {
            continue;
        };
        if found["state"]["state"] == "failed" {
            let hint = found["state"]["hint"].as_str().expect("a hint");
            assert_eq!(hint, format!("agentdeck start {name}"));
            deck.ok(&["start", &name]);
        }
        deck.wait_for_state(&name, "running");
        let count = deck.ok(&["exec", &name, "--", "sh", "-c", "cat d*/* | wc -l; git status -s"]);
        assert_eq!(count.trim(), "3000");
        wait_until("one box", || init_processes(&deck).len() == 1);
        deck.ok(&["discard", &name, "--yes"]);
        assert_eq!(deck.boxes(), Vec::<u32>::new());
    }
    assert_eq!(names(&deck.home.join("environments")), Vec::<String>::new());
}

/// Boxes by their first processes.
fn init_processes(deck: &Deck) -> Vec<u32> {
    let first = |pid: &u32| {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap_or_default();
        line.ends_with("\t1")
    };
    deck.boxes().into_iter().filter(first).collect()
}

#[test]
fn a_discard_and_its_undoing_are_whole_through_kills() {
    let mut dice = Dice::new();
    let deck = Deck::new(3);
    let agent = deck.make("ant", "echo work >done; exec sleep 1000");
    agent.wait_for("done");
    let directory = deck.home.join("environments").join(agent.id.as_str());
    let trash = deck.home.join("trash").join(agent.id.as_str());
    for round in 0..rounds(6) {
        let arguments: &[&str] =
            if directory.exists() { &["discard", "ant", "--yes"] } else { &["undo"] };
        let server = deck.server();
        let mut command = deck.command(arguments);
        let mut deciding =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("started");
        dice.linger(Duration::from_millis(120));
        kill(server);
        let _ = deciding.wait();
        let listed = !deck.environments().is_empty();
        assert_eq!((directory.exists(), trash.exists()), (listed, !listed), "round {round}");
        let place = if listed { &directory } else { &trash };
        assert!(place.join("workspace/done").exists(), "round {round}");
    }
    if !directory.exists() {
        deck.ok(&["undo"]);
    }
    if deck.state("ant") != "running" {
        deck.ok(&["start", "ant"]);
    }
    assert_eq!(deck.ok(&["exec", "ant", "--", "cat", "done"]), "work\n");
}

#[test]
fn a_key_comes_from_the_shell_that_asks_and_lies_in_no_file() {
    const KEY: &str = "sk-7f3a-a-key-of-nobody";
    let deck = Deck::new(3);
    deck.ok(&["server", "start"]);
    let script = "[ \"$ANTHROPIC_API_KEY\" ] && printf %s \"$ANTHROPIC_API_KEY\" | cksum >sum; \
        exec sleep 1000";
    let mut command =
        deck.command(&["new", "ant", "-e", "ANTHROPIC_API_KEY", "--", "sh", "-c", script]);
    let output = finished(command.env("ANTHROPIC_API_KEY", KEY));
    assert!(output.status.success(), "{output:?}");
    let sum = deck.json(&["inspect", "ant"])["workspace"].as_str().expect("a path").to_owned();
    let sum = Path::new(&sum).join("sum");
    let expected = Command::new("sh").args(["-c", &format!("printf %s {KEY} | cksum")]).output();
    wait_until("the key arrives", || {
        std::fs::read(&sum).is_ok_and(|sum| sum == expected.as_ref().expect("summed").stdout)
    });
    deck.ok(&["server", "stop"]);
    let found = Command::new("grep").args(["-rlaF", KEY]).arg(&deck.home).output();
    assert_eq!(String::from_utf8_lossy(&found.expect("searched").stdout), "");
}

#[test]
fn clients_that_start_at_once_meet_at_one_server() {
    let deck = Deck::new(3);
    let clients: Vec<_> = (0..6)
        .map(|_| {
            let mut command = deck.command(&["ls", "--json"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started")
        })
        .collect();
    for client in clients {
        let output = client.wait_with_output().expect("ended");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let second = deck.run(&["server", "run"]);
    assert!(!second.status.success());
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("another server has"), "{said}");
}

#[tokio::test]
async fn a_server_that_is_told_to_end_writes_its_screens() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "echo kept; exec sleep 1000");
    Watching::new(&deck, &agent).await.see_text("kept").await;
    let server = deck.server();
    rustix::process::kill_process(process(server), Signal::TERM).expect("told");
    wait_until("the server ends", || !lives(server));
    let place = deck.home.join("environments").join(agent.id.as_str());
    let screen = std::fs::read_to_string(place.join("screens/0.json")).expect("written");
    let screen: Value = serde_json::from_str(&screen).expect("a value");
    assert_eq!(screen["offset"], 6);
}

#[tokio::test]
async fn a_stopped_environment_shows_its_last_screen_and_claims_nothing() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "echo last words; exec sleep 1000");
    Watching::new(&deck, &agent).await.see_text("last words").await;
    deck.ok(&["stop", "ant"]);
    deck.kill_server();
    assert_eq!(deck.json(&["inspect", "ant"])["environment"]["isolation"], Value::Null);
    Watching::new(&deck, &agent).await.see_text("last words").await;
    let refused = deck.run(&["exec", "ant", "--", "true"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("ant does not run") && said.contains("agentdeck start ant"), "{said}");
}

/// The engine finds a box that a killed server never took note of.
#[tokio::test]
async fn a_box_is_marked_before_it_begins() {
    let deck = Deck::new(3);
    let agent = deck.make("ant", "exec sleep 1000");
    let tag = std::fs::read_to_string(deck.home.join("deck")).expect("a tag");
    let engine = Native::new(&deck.home);
    assert_eq!(engine.list(&tag).await.expect("listed"), [agent.id]);
}
