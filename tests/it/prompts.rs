//! Prompts for agents: typed when the program can take them, once, never into a person's line, with
//! a receipt that says what came of each.

use std::path::PathBuf;

use agentdeck::client::{Client, Events};
use agentdeck::model::id::{EnvironmentId, SessionId};
use agentdeck::model::input::{Input, Key, KeyCode, Modifiers};
use agentdeck::proto::Request;
use serde_json::Value;

use super::common::home::{TestHome, for_both, make};
use super::common::pty::Pty;
use super::survival::wait_until;

/// Reads lines at a prompt and keeps them.
const READS: &str = "while printf '> ' && read -r line; do echo \"$line\" >>got; done";

/// Asks for permission, with its status, until it may go on; then it reads lines and works on each.
const ASKS: &str = "report() { printf '\\033]7501;state=%s\\033\\\\' \"$1\"; }; \
    report blocked:kind=permission; printf 'may I? '; while [ ! -e go ]; do sleep 0.05; done; \
    while report idle && printf '> ' && read -r line; do \
        echo \"$line\" >>got; report working; sleep 0.5; done";

fn workspace(test: &TestHome, name: &str) -> PathBuf {
    let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
    inspection["workspace"].as_str().expect("a path").into()
}

/// The lines that the program of an environment was given.
fn got(test: &TestHome, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(workspace(test, name).join("got")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn tell(test: &TestHome, name: &str, file: &str) {
    std::fs::write(workspace(test, name).join(file), "").expect("a file");
}

/// The newest receipt, once it says so.
fn receipt(test: &TestHome, name: &str, state: &str) -> Value {
    let newest = |list: &Value| list.as_array().and_then(|list| list.last().cloned());
    let is = |list: &Value| newest(list).is_some_and(|it| it["delivery"]["state"] == state);
    newest(&test.wait_for_json(&["prompts", name, "--json"], is)).expect("a receipt")
}

/// A person at an environment's agent.
struct Person {
    runtime: tokio::runtime::Runtime,
    client: Client,
    _events: Events,
    environment: EnvironmentId,
}

impl Person {
    fn at(test: &TestHome, name: &str) -> Self {
        let inspection = test.agentdeck(&["inspect", name, "--json"]).json();
        let id = inspection["environment"]["id"].as_str().and_then(EnvironmentId::parse);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let connected = runtime.block_on(Client::connect(&test.home)).expect("connected");
        Self { runtime, client: connected.0, _events: connected.1, environment: id.expect("an id") }
    }

    fn ask(&self, request: Request) {
        self.runtime.block_on(self.client.request(request)).expect("done");
    }

    fn take_keyboard(&self) {
        let (environment, session) = (self.environment.clone(), SessionId::AGENT);
        self.ask(Request::TakeKeyboard { environment, session });
    }

    fn press(&self, code: KeyCode) {
        let (environment, session) = (self.environment.clone(), SessionId::AGENT);
        let input = Input::Key(Key { code, modifiers: Modifiers::default() });
        self.ask(Request::SendInput { environment, session, input });
    }
}

#[test]
fn a_prompt_is_typed_at_a_prompt_and_entered_once() {
    for_both(|test, engine| {
        make(test, "fox", engine, READS);
        let run = test.agentdeck(&["send", "fox", "add a \x1b[31mtest", "--json"]);
        let receipts = run.json();
        assert_eq!(receipts[0]["environment"], "fox");
        assert_eq!(receipts[0]["prompt"]["delivery"]["state"], "taken", "{receipts:#}");
        assert_eq!(got(test, "fox"), ["add a [31mtest"]);
        // The next one waits for the next prompt, and is not taken for the first.
        let told = test.agentdeck(&["send", "fox", "add a [31mtest"]).ok();
        assert!(told.starts_with("fox: taken"), "{told}");
        wait_until("both are there", || got(test, "fox").len() == 2);
    });
}

#[test]
fn a_prompt_never_answers_what_an_agent_asks_and_outlives_the_server() {
    for_both(|test, engine| {
        make(test, "fox", engine, ASKS);
        let run = test.agentdeck(&["send", "fox", "yes", "--wait", "1"]);
        assert_eq!(run.code, 3, "{run:#?}");
        assert!(run.stdout.contains("queued: it asks for permission"), "{run:#?}");
        let second = test.agentdeck(&["send", "fox", "and more", "--wait", "0"]);
        assert_eq!(second.code, 3, "{second:#?}");
        test.end_server();
        receipt(test, "fox", "queued");
        assert_eq!(got(test, "fox"), Vec::<String>::new());
        tell(test, "fox", "go");
        let taken = receipt(test, "fox", "taken");
        assert_eq!(taken["delivery"]["sign"], "status", "{taken:#}");
        assert_eq!(got(test, "fox"), ["yes", "and more"]);
        test.end_server();
        receipt(test, "fox", "taken");
        assert_eq!(got(test, "fox"), ["yes", "and more"], "nothing is typed again");
    });
}

#[test]
fn what_is_not_shown_is_not_entered_and_is_said_to_be_unsure() {
    let test = TestHome::new();
    make(&test, "fox", &[], &format!("stty -echo; {READS}"));
    let run = test.agentdeck(&["send", "fox", "add a test"]);
    assert_eq!(run.code, 4, "{run:#?}");
    assert!(run.stdout.contains("does not show what was typed"), "{run:#?}");
    assert_eq!(got(&test, "fox"), Vec::<String>::new());
    // It stands there: nothing else is typed behind it.
    let next = test.agentdeck(&["send", "fox", "more", "--wait", "2"]);
    assert_eq!(next.code, 3, "{next:#?}");
}

#[test]
fn a_program_that_ends_takes_nothing_more() {
    let test = TestHome::new();
    let ends = "printf '\\033]7501;state=working\\033\\\\'; \
                while [ ! -e go ]; do sleep 0.05; done";
    make(&test, "fox", &[], ends);
    let run = test.agentdeck(&["send", "fox", "add a test", "--wait", "1"]);
    assert_eq!(run.code, 3, "{run:#?}");
    tell(&test, "fox", "go");
    let failed = receipt(&test, "fox", "failed");
    let why = failed["delivery"]["why"].as_str().expect("a reason");
    assert!(why.contains("its program has ended; nothing was typed"), "{failed:#}");
    test.agentdeck(&["stop", "fox"]).ok();
    let run = test.agentdeck(&["send", "fox", "add a test"]);
    assert_eq!(run.code, 1, "{run:#?}");
}

#[test]
fn a_prompt_waits_for_whoever_holds_the_keyboard_or_left_half_a_line() {
    for_both(|test, engine| {
        make(test, "fox", engine, READS);
        let person = Person::at(test, "fox");
        person.take_keyboard();
        let held = test.agentdeck(&["send", "fox", "add a test", "--wait", "2"]);
        assert_eq!(held.code, 3, "{held:#?}");
        assert!(held.stdout.contains("somebody holds its keyboard"), "{held:#?}");
        person.press(KeyCode::Char('h'));
        person.press(KeyCode::Char('i'));
        drop(person);
        let begun = |list: &Value| {
            list[0]["delivery"]["why"].as_str().is_some_and(|why| why.contains("line is begun"))
        };
        test.wait_for_json(&["prompts", "fox", "--json"], begun);
        test.end_server();
        test.wait_for_json(&["prompts", "fox", "--json"], begun);
        Person::at(test, "fox").press(KeyCode::Enter);
        receipt(test, "fox", "taken");
        assert_eq!(got(test, "fox"), ["hi", "add a test"]);
    });
}

#[test]
fn what_waits_is_listed_and_can_be_taken_back() {
    let test = TestHome::new();
    for name in ["fox", "owl"] {
        make(&test, name, &[], ASKS);
    }
    let run = test.agentdeck(&["send", "--all", "one", "--wait", "1", "--json"]);
    assert_eq!(run.code, 3, "{run:#?}");
    assert_eq!(run.stdout.matches("queued").count(), 2, "{run:#?}");
    test.agentdeck(&["send", "fox", "two", "--wait", "0"]);
    let table = test.agentdeck(&["prompts"]).ok();
    assert!(table.contains("two") && table.contains("owl"), "{table}");
    assert!(test.agentdeck(&["prompts", "cancel", "fox", "1"]).ok().contains("1 one"));
    test.agentdeck(&["prompts", "cancel", "fox", "1"]).fails(1, &["no prompt 1 waits for fox"]);
    for name in ["fox", "owl"] {
        tell(&test, name, "go");
    }
    receipt(&test, "fox", "taken");
    receipt(&test, "owl", "taken");
    assert_eq!((got(&test, "fox"), got(&test, "owl")), (vec!["two".into()], vec!["one".into()]));
    let run = test.agentdeck(&["send", "fox", "nobody", "more", "--wait", "0"]);
    assert!(run.code == 1 && run.stdout.contains("there is no environment nobody"), "{run:#?}");
}

#[test]
fn text_comes_from_standard_input_and_lines_are_not_entered_one_by_one() {
    let test = TestHome::new();
    make(&test, "fox", &[], READS);
    let mut child = test.command(&["send", "fox", "-", "--json"]);
    let child = child.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = child.spawn().expect("started");
    let mut stdin = child.stdin.take().expect("a pipe");
    std::io::Write::write_all(&mut stdin, b"one\ntwo\n").expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("ended");
    assert_eq!(output.status.code(), Some(1));
    let receipts: Value = serde_json::from_slice(&output.stdout).expect("json");
    let why = receipts[0]["prompt"]["delivery"]["why"].as_str().expect("a reason");
    assert!(why.contains("one line at a time") && why.contains("nothing was typed"), "{why}");
    assert_eq!(got(&test, "fox"), Vec::<String>::new());
}

#[test]
fn a_prompt_is_sent_from_the_deck_and_its_receipt_is_shown() {
    let test = TestHome::new();
    make(&test, "fox", &[], READS);
    let mut deck = Pty::open(&test, &[], 80, 24);
    deck.wait_for_text("> ");
    deck.send("b");
    deck.wait_for_text("Send a prompt");
    deck.send("add a test\r");
    deck.wait_for_text("fox took it");
    assert_eq!(got(&test, "fox"), ["add a test"]);
    deck.send("P");
    deck.wait_for_text("taken");
    deck.send("q");
    deck.wait_for("the deck", |screen| !screen.contents().contains("Prompts"));
    deck.send("q");
    assert_eq!(deck.wait_for_end(), 0);
    deck.assert_restored();
}
